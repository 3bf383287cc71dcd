//! Where MediaMTX's configuration file has the service listen. What it says counts in place of this service's own keys.
//! Not here: everything else that it says (`command::v3`), and what of it changes later, which waits for the next start.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use ipnet::Ipv4Net;

use super::settings;
use crate::{
    command::v3,
    config::{self, Config},
    error::Result,
    mtx::{self, Environment, Set},
};

/// This service's own keys of ports, and those that count in their place where somebody says them.
const KEYS: [(&str, &str); 5] = [
    ("mediamtx.rtsp_port", "rtspAddress"),
    ("mediamtx.rtsps_port", "rtspsAddress"),
    ("mediamtx.api_port", "apiAddress"),
    ("mediamtx.metrics_port", "metricsAddress"),
    ("mediamtx.playback_port", "playbackAddress"),
];

/// What decides about the port that is `key` of this service's own configuration, for people: that key, a variable of this
/// environment, or a key of MediaMTX's configuration file. Blocks on the disk.
pub fn decides(key: &str, config: &Config, environment: Environment) -> String {
    let own = || key.to_owned();
    let Some((_, theirs)) = KEYS.into_iter().find(|(own, _)| *own == key) else { return own() };
    let allowed = settings::allowed(config, environment);
    // What cannot be read does not count.
    if v3::said(&allowed).map_or(true, |said| said.text(theirs).is_empty()) {
        return own();
    }
    let variable = mtx::variable(theirs);
    match &allowed.file {
        _ if allowed.environment.contains_key(&variable) => variable,
        Some(file) => format!("{theirs} in {}", file.display()),
        None => own(),
    }
}

/// The configuration as it is served in this environment. Blocks on the disk, and on the resolver where an address has a name.
/// Errors: `mediamtx.config_file` cannot be read, or names an address that is none.
pub fn as_served(mut config: Config, environment: Environment) -> Result<Config> {
    let allowed = settings::allowed(&config, environment);
    let said = v3::said(&allowed)?;
    take(&mut config, &said).map_err(|message| v3::wrong(allowed.file.as_deref(), &message))?;
    Ok(config)
}

fn take(config: &mut Config, said: &Set) -> Result<(), String> {
    let (media, rtsp) = (&mut config.mediamtx, &mut config.rtsp);
    let metrics = media.metrics_bind_address.get_or_insert(media.api_bind_address);
    let playback = media.playback_bind_address.get_or_insert(media.api_bind_address);
    for (key, enabled, host, port) in [
        ("api", &mut media.api_enabled, &mut media.api_bind_address, &mut media.api_port),
        ("metrics", &mut media.metrics_enabled, metrics, &mut media.metrics_port),
        ("playback", &mut media.playback_enabled, playback, &mut media.playback_port),
    ] {
        if said.get(key).is_some() {
            if *enabled && !said.flag(key) {
                tracing::info!("{key} is not served: mediamtx.yml says so");
            }
            *enabled = said.flag(key);
        }
        if *enabled {
            address(said, &format!("{key}Address"), host, port)?;
        }
    }
    address(said, "rtspAddress", &mut rtsp.bind_address, &mut media.rtsp_port)?;
    if media.rtsps_enabled {
        // RTSP is at one address, with and without TLS.
        let mut host = rtsp.bind_address;
        address(said, "rtspsAddress", &mut host, &mut media.rtsps_port)?;
    }
    if said.get("rtspTransports").is_some() {
        let has = |transport: &str| said.texts("rtspTransports").iter().any(|said| said == transport);
        (rtsp.udp, rtsp.multicast) = (has("udp"), has("multicast"));
    }
    if rtsp.multicast {
        groups(said, &mut rtsp.multicast_range, &mut rtsp.multicast_port)?;
    }
    Ok(())
}

/// `host:port`; without a host, that stays as it is.
fn address(said: &Set, key: &str, host: &mut IpAddr, port: &mut u16) -> Result<(), String> {
    let text = said.text(key);
    if text.is_empty() {
        return Ok(());
    }
    let wrong = || format!("'{key}' is no address to listen at: '{text}'");
    let at = match text.strip_prefix(':') {
        Some(number) => SocketAddr::new(*host, number.parse().map_err(|_| wrong())?),
        None => text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(wrong)?,
    };
    (*host, *port) = (at.ip(), at.port());
    Ok(())
}

fn groups(said: &Set, range: &mut Ipv4Net, port: &mut u16) -> Result<(), String> {
    if said.get("multicastIPRange").is_some() {
        let text = said.text("multicastIPRange");
        *range =
            config::groups(text).ok_or_else(|| format!("'multicastIPRange' are no multicast addresses: '{text}'"))?;
    }
    let number = |key: &str, own: u16| match said.get(key) {
        Some(_) => u16::try_from(said.int(key)).map_err(|_| format!("'{key}' is no port")),
        None => Ok(own),
    };
    let rtp = number("multicastRTPPort", *port)?;
    if rtp % 2 != 0 || rtp == 0 {
        return Err("'multicastRTPPort' must be even".into());
    }
    if number("multicastRTCPPort", rtp + 1)? != rtp + 1 {
        return Err("'multicastRTPPort' and 'multicastRTCPPort' must be consecutive".into());
    }
    *port = rtp;
    Ok(())
}
