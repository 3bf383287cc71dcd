//! Rules for the global keys. Each returns MediaMTX's message.

use super::{Nanos, Set, users::has_old_credentials};

/// An error where `broken`.
fn refuse_if(broken: bool, message: impl Into<String>) -> Result<(), String> {
    if broken { Err(message.into()) } else { Ok(()) }
}

pub(super) fn check(global: &Set) -> Result<(), String> {
    general(global)?;
    authentication(global)?;
    listeners(global)?;
    rtsp(global)?;
    webrtc(global)
}

fn general(global: &Set) -> Result<(), String> {
    for key in ["readTimeout", "writeTimeout"] {
        refuse_if(global.time(key) <= Nanos(0), format!("'{key}' must be greater than zero"))?;
    }
    let queue = global.int("writeQueueSize");
    refuse_if(queue <= 0, "'writeQueueSize' must be greater than zero")?;
    refuse_if(!queue.cast_unsigned().is_power_of_two(), "'writeQueueSize' must be a power of two")?;
    refuse_if(global.int("udpMaxPayloadSize") > 1472, "'udpMaxPayloadSize' must be less than 1472")
}

fn authentication(global: &Set) -> Result<(), String> {
    let is_http = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    match global.text("authMethod") {
        "http" => {
            let address = global.text("authHTTPAddress");
            refuse_if(address.is_empty(), "'authHTTPAddress' is empty")?;
            refuse_if(!is_http(address), "'externalAuthenticationURL' must be a HTTP URL")
        }
        "jwt" => {
            let keys = global.text("authJWTJWKS");
            refuse_if(keys.is_empty(), "'authJWTJWKS' is empty")?;
            refuse_if(!is_http(keys), "'authJWTJWKS' must be a HTTP URL")?;
            refuse_if(global.text("authJWTClaimKey").is_empty(), "'authJWTClaimKey' is empty")
        }
        _ => global.records("authInternalUsers").iter().try_for_each(|user| {
            refuse_if(user.text("user").is_empty(), "empty usernames are not supported")?;
            let broken = user.text("user") == "any" && !user.text("pass").is_empty();
            refuse_if(broken, "using a password with 'any' user is not supported")
        }),
    }
}

fn listeners(global: &Set) -> Result<(), String> {
    for (server, address, wrong) in [
        ("api", "apiAddress", "API is enabled"),
        ("metrics", "metricsAddress", "metrics are enabled"),
        ("pprof", "pprofAddress", "pprof is enabled"),
        ("playback", "playbackAddress", "playback is enabled"),
        ("rtmp", "rtmpAddress", "RTMP is enabled"),
        ("hls", "hlsAddress", "HLS is enabled"),
        ("webrtc", "webrtcAddress", "WebRTC is enabled"),
        ("moq", "moqQUICAddress", "MoQ is enabled"),
    ] {
        let broken = global.flag(server) && global.text(address).is_empty();
        refuse_if(broken, format!("'{address}' must be set when {wrong}"))?;
    }
    Ok(())
}

fn rtsp(global: &Set) -> Result<(), String> {
    if !global.flag("rtsp") {
        return Ok(());
    }
    let has = |transport: &str| global.texts("rtspTransports").iter().any(|known| known == transport);
    let (plain, secure) = ("'no' or 'optional'", "'optional' or 'strict'");
    let encryption = global.text("rtspEncryption");
    for (spoken, when, address, udp, multicast) in [
        (
            encryption != "strict",
            plain,
            "rtspAddress",
            ["rtpAddress", "rtcpAddress"],
            ["multicastRTPPort", "multicastRTCPPort"],
        ),
        (
            encryption != "no",
            secure,
            "rtspsAddress",
            ["srtpAddress", "srtcpAddress"],
            ["multicastSRTPPort", "multicastSRTCPPort"],
        ),
    ] {
        if !spoken {
            continue;
        }
        let and = format!("and RTSP encryption is {when}");
        refuse_if(global.text(address).is_empty(), format!("'{address}' must be set when RTSP is enabled {and}"))?;
        for key in udp {
            let broken = has("udp") && global.text(key).is_empty();
            refuse_if(broken, format!("'{key}' must be set when UDP is enabled {and}"))?;
        }
        let message = |key: &str| format!("'{key}' must be set when UDP multicast is enabled {and}");
        refuse_if(has("multicast") && global.text("multicastIPRange").is_empty(), message("multicastIPRange"))?;
        for key in multicast {
            refuse_if(has("multicast") && global.int(key) == 0, message(key))?;
        }
    }
    let methods = global.texts("rtspAuthMethods");
    refuse_if(methods.is_empty(), "at least one 'rtspAuthMethods' must be provided")?;
    if methods.iter().any(|method| method == "digest") {
        let other = global.text("authMethod") != "internal";
        refuse_if(other, "when RTSP digest is enabled, the only supported auth method is 'internal'")?;
        let hashed = |text: &str| text.starts_with("sha256:") || text.starts_with("argon2:");
        let broken = global
            .records("authInternalUsers")
            .iter()
            .any(|user| hashed(user.text("user")) || hashed(user.text("pass")));
        refuse_if(broken, "when RTSP digest is enabled, hashed credentials cannot be used")?;
    }
    Ok(())
}

fn webrtc(global: &Set) -> Result<(), String> {
    let secret = global.text("hlsCDNSecret");
    let plain = |c: char| c.is_ascii_alphanumeric() || "!$()*+.;<=>[]^_-{}@#&".contains(c);
    refuse_if(
        !secret.chars().all(plain),
        "'hlsCDNSecret' contains unsupported characters. Supported are: A-Z,0-9,!,$,(,),*,+,.,;,<,=,>,[,],^,_,-,\",\",@,#,&",
    )?;
    if !global.flag("webrtc") {
        return Ok(());
    }
    let servers = global.records("webrtcICEServers2");
    let known = |url: &str| ["stun:", "turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme));
    if let Some(server) = servers.iter().find(|server| !known(server.text("url"))) {
        return Err(format!("invalid ICE server: '{}'", server.text("url")));
    }
    let local = !global.text("webrtcLocalUDPAddress").is_empty() || !global.text("webrtcLocalTCPAddress").is_empty();
    refuse_if(
        !local && servers.is_empty(),
        "at least one between 'webrtcLocalUDPAddress', 'webrtcLocalTCPAddress' or 'webrtcICEServers2' must be filled",
    )?;
    let hosts = global.flag("webrtcIPsFromInterfaces") || !global.texts("webrtcAdditionalHosts").is_empty();
    refuse_if(
        local && !hosts,
        "at least one between 'webrtcIPsFromInterfaces' or 'webrtcAdditionalHosts' must be filled",
    )
}

/// Credentials of a path, as they were written earlier, and users of one's own do not go together.
pub(super) fn check_old_credentials(defaults: &Set, own: &Set, paths: &[(String, Set)]) -> Result<(), String> {
    let has = has_old_credentials;
    let users = own
        .get("authInternalUsers")
        .is_some_and(|users| Set::defaults(own.keys()).get("authInternalUsers") != Some(users));
    refuse_if(
        users && (has(defaults) || paths.iter().any(|(_, path)| has(path))),
        "authInternalUsers and legacy credentials (publishUser, publishPass, publishIPs, readUser, readPass, readIPs) \
         cannot be used together",
    )
}
