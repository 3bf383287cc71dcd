//! Section `external_discovery`: looking for RTSP streams of other machines.

use std::{fmt, net::IpAddr, time::Duration};

use serde_json::Value as Json;

use super::{
    section::Section,
    value::{Fault, Value, text_form},
};

/// Seconds that a scan may take at most.
pub const LONGEST_SCAN: u64 = 3600;
/// Seconds between two scans at most.
pub const LONGEST_INTERVAL: u32 = 86_400;
/// Bits of a network's address that may differ: every address is tried, and a typing error must not make that millions.
const LARGEST: u8 = 12;

/// Looking for RTSP streams of other machines.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalDiscovery {
    /// Whether it happens.
    pub enabled: bool,
    /// Time between two scans. Zero: on request only.
    pub scan_interval: Duration,
    /// Longest time a scan may take.
    pub scan_timeout: Duration,
    /// Connections tried at once.
    pub max_concurrent_scans: u32,
    /// Skydio drones.
    pub skydio: Targets,
    /// Any other.
    pub generic_uav: Targets,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Whether these are looked for.
    pub enabled: bool,
    /// Networks whose every address is tried.
    pub network_ranges: Vec<Network>,
    /// TCP ports tried at each address.
    pub common_ports: Vec<u16>,
    /// Paths tried at each port.
    pub stream_paths: Vec<String>,
    /// Addresses tried first.
    pub known_ips: Vec<IpAddr>,
}

/// An IP network, e.g. `192.168.42.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// Bits of the address that all its addresses share.
    pub prefix: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Value for Network {
    fn valid() -> String {
        "a network of at most 4096 addresses (IPv4 /20, IPv6 /116), such as 192.168.42.0/24".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![text_form("^[0-9a-fA-F:.]+/[0-9]{1,3}$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let (address, prefix) = text.split_once('/').ok_or(Fault::Type)?;
        let address: IpAddr = address.parse().map_err(|_| Fault::Type)?;
        let prefix = u8::read(prefix)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if (bits - LARGEST..=bits).contains(&prefix) { Ok(Self { address, prefix }) } else { Err(Fault::Range) }
    }
}

impl Default for ExternalDiscovery {
    fn default() -> Self {
        Self {
            enabled: false,
            scan_interval: Duration::ZERO,
            scan_timeout: Duration::from_secs(30),
            max_concurrent_scans: 5,
            skydio: Targets::default(),
            generic_uav: Targets::default(),
        }
    }
}

impl ExternalDiscovery {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("enabled", &mut self.enabled);
        s.time("scan_interval", &mut self.scan_interval, 0..=LONGEST_INTERVAL.into());
        s.time("scan_timeout", &mut self.scan_timeout, 1..=LONGEST_SCAN);
        s.number("max_concurrent_scans", &mut self.max_concurrent_scans, 1..=1000);
        s.section("skydio", |s| self.skydio.read(s));
        s.section("generic_uav", |s| self.generic_uav.read(s));
    }
}

impl Targets {
    fn read(&mut self, s: &mut Section<'_>) {
        s.value("enabled", &mut self.enabled);
        s.list("network_ranges", &mut self.network_ranges);
        s.list("common_ports", &mut self.common_ports);
        s.list("stream_paths", &mut self.stream_paths);
        if self.stream_paths.iter().any(|path| path.contains(|c: char| c.is_whitespace() || c.is_control())) {
            s.refuse("stream_paths", "has a path with a space", "paths as they stand in a URL, such as /live");
        }
        s.list("known_ips", &mut self.known_ips);
    }
}
