//! Where to look: pure, from the configuration to addresses, ports and paths, and nothing beyond them.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::SystemTime,
};

use super::StreamKind;
use crate::{
    config::{Network, Targets},
    rtsp_url::RtspUrl,
};

/// A stream that was found, or was there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub url: RtspUrl,
    /// For which section of the configuration.
    pub kind: StreamKind,
    /// A name it could be added by.
    pub name: String,
    /// It asks for credentials, so that no more is known of it.
    pub locked: bool,
    /// Its video's encoding by its name in SDP; `None`: it has none, or is locked.
    pub codec: Option<String>,
    /// When it answered last.
    pub seen: SystemTime,
}

/// Where one section of the configuration says to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// What is found there.
    pub kind: StreamKind,
    /// The section.
    pub targets: Targets,
}

impl Places {
    /// Every address and port once, the known addresses first. None is made up: without a port nothing is tried.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let mut seen = HashSet::new();
        let known = self.targets.known_ips.iter().copied();
        let addresses = known.chain(self.targets.network_ranges.iter().flat_map(|network| hosts(*network)));
        let addresses = addresses.filter(move |address| seen.insert(*address));
        addresses.flat_map(|address| self.targets.common_ports.iter().map(move |port| SocketAddr::new(address, *port)))
    }

    /// Every URL to try at a socket.
    pub fn urls(&self, socket: SocketAddr) -> Vec<RtspUrl> {
        let root = [String::new()];
        let paths = if self.targets.stream_paths.is_empty() { &root[..] } else { &self.targets.stream_paths };
        let url = |path: &String| format!("rtsp://{socket}/{}", path.trim_start_matches('/'));
        // One that is no URL cannot be asked for.
        paths.iter().filter_map(|path| RtspUrl::parse(&url(path)).ok()).collect()
    }

    /// A name for a stream found here: what it is, where it is, and the words of its path.
    pub fn name(&self, url: &RtspUrl) -> String {
        let kind = match self.kind {
            StreamKind::Generic => "rtsp",
            StreamKind::Skydio => "skydio",
        };
        let place = url.expose().trim_start_matches("rtsp://");
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let name: String = format!("{kind}_{place}").chars().map(plain).take(64).collect();
        name.trim_end_matches('_').to_owned()
    }
}

/// The addresses of a network that machines can have: in one of IPv4 not the first and the last, where there are more
/// than two. The configuration has seen to it that it is small.
fn hosts(network: Network) -> Box<dyn Iterator<Item = IpAddr> + Send> {
    match network.address {
        IpAddr::V4(address) => {
            let bits = 32 - u32::from(network.prefix.min(32));
            let size = 1u64 << bits;
            let first = u64::from(u32::from(address)) & !(size - 1);
            let edge = u64::from(size > 2);
            Box::new((first + edge..first + size - edge).map(|one| IpAddr::V4(Ipv4Addr::from(one as u32))))
        }
        IpAddr::V6(address) => {
            let bits = 128 - u32::from(network.prefix.min(128));
            let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
            let first = u128::from(address) & !(size - 1);
            Box::new((first..first.saturating_add(size)).map(|one| IpAddr::V6(Ipv6Addr::from(one))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(networks: &[&str], ports: &[u16], paths: &[&str], known: &[&str]) -> Places {
        let network = |text: &&str| {
            let (address, prefix) = text.split_once('/').unwrap();
            Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
        };
        let targets = Targets {
            enabled: true,
            network_ranges: networks.iter().map(network).collect(),
            common_ports: ports.to_vec(),
            stream_paths: paths.iter().map(|&path| path.to_owned()).collect(),
            known_ips: known.iter().map(|address| address.parse().unwrap()).collect(),
        };
        Places { kind: StreamKind::Skydio, targets }
    }

    fn sockets(places: &Places) -> Vec<String> {
        places.sockets().map(|socket| socket.to_string()).collect()
    }

    #[test]
    fn only_what_is_configured_is_tried_and_once() {
        let places = places(&["10.0.0.9/30", "10.0.0.8/29"], &[554, 8554], &[], &["10.0.0.10", "192.0.2.7"]);
        let found = sockets(&places);
        assert_eq!(&found[..4], ["10.0.0.10:554", "10.0.0.10:8554", "192.0.2.7:554", "192.0.2.7:8554"]);
        let rest: HashSet<_> = found[4..].iter().map(String::as_str).collect();
        assert_eq!(found.len(), 4 + rest.len(), "{found:?}");
        let expected: HashSet<String> =
            [9, 11, 12, 13, 14].iter().flat_map(|n| [554, 8554].map(|port| format!("10.0.0.{n}:{port}"))).collect();
        assert_eq!(rest, expected.iter().map(String::as_str).collect());
    }

    #[test]
    fn networks_of_every_size_have_the_addresses_they_should() {
        let count = |network: &str| sockets(&places(&[network], &[554], &[], &[])).len();
        assert_eq!((count("10.0.0.1/32"), count("10.0.0.1/31"), count("10.0.0.1/30")), (1, 2, 2));
        assert_eq!((count("10.0.16.0/20"), count("fd00::1/128"), count("fd00::/116")), (4094, 1, 4096));
        assert_eq!(count("255.255.255.255/28"), 14);
        assert_eq!(sockets(&places(&["fd00::ff/127"], &[554], &[], &[])), ["[fd00::fe]:554", "[fd00::ff]:554"]);
        assert!(
            sockets(&places(&["10.0.0.0/24"], &[], &["/live"], &["10.0.0.1"])).is_empty(),
            "no port, nothing to try"
        );
    }

    #[test]
    fn paths_become_urls_and_urls_names() {
        let places = places(&[], &[554], &["/subject", "infrared?x=1", "a b"], &[]);
        let urls = places.urls("10.0.0.7:5554".parse().unwrap());
        let urls: Vec<_> = urls.iter().map(|url| url.expose()).collect();
        assert_eq!(urls, ["rtsp://10.0.0.7:5554/subject", "rtsp://10.0.0.7:5554/infrared?x=1"]);
        let name = places.name(&RtspUrl::parse(urls[1]).unwrap());
        assert_eq!(name, "skydio_10.0.0.7_5554_infrared_x_1");
        crate::external::name::check(&name).unwrap();
        let none = self::places(&[], &[554], &[], &[]);
        assert_eq!(none.urls("[fd00::1]:554".parse().unwrap())[0].expose(), "rtsp://[fd00::1]:554/");
    }
}
