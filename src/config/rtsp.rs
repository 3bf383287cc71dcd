//! Section `rtsp`: the RTSP server. Its port is `mediamtx.rtsp_port`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::Ipv4Net;
use serde_json::Value as Json;

use super::{
    section::Section,
    value::{Fault, Value, text_form},
};

/// The RTSP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Rtsp {
    /// Address to listen on.
    pub bind_address: IpAddr,
    /// Silence of a reader before its session ends; told to it in the `Session` header (RFC 2326, 12.37).
    pub session_timeout: Duration,
    /// Time a TCP connection without a session stays open.
    pub idle_timeout: Duration,
    /// Readers at once, all cameras together.
    pub max_readers: u32,
    /// Whether RTP may go over UDP to or from a single address.
    pub udp: bool,
    /// UDP ports of RTP and RTCP on this machine. None: the system chooses.
    pub udp_ports: Option<(u16, u16)>,
    /// Whether readers may have a stream sent to a group of addresses, once for all of them.
    pub multicast: bool,
    /// The groups that are used.
    pub multicast_range: Ipv4Net,
    /// UDP port of RTP there, an even one; RTCP has the next.
    pub multicast_port: u16,
    /// Routers that packets to groups may pass.
    pub multicast_ttl: u8,
}

/// A network of multicast addresses (RFC 5771). `None`: it is none.
pub fn groups(text: &str) -> Option<Ipv4Net> {
    let range: Ipv4Net = text.parse().ok()?;
    (range.network().is_multicast() && range.broadcast().is_multicast()).then_some(range)
}

impl Value for Ipv4Net {
    fn valid() -> String {
        "multicast addresses, such as 224.1.0.0/16".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        let byte = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
        vec![text_form(&format!("^(22[4-9]|23[0-9])([.]{byte}){{3}}/([4-9]|[12][0-9]|3[0-2])$"))]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        groups(text).ok_or(Fault::Type)
    }
}

impl Default for Rtsp {
    fn default() -> Self {
        Self {
            bind_address: Ipv4Addr::UNSPECIFIED.into(),
            session_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
            max_readers: 500,
            udp: true,
            udp_ports: None,
            multicast: false,
            multicast_range: Ipv4Net::new_assert(Ipv4Addr::new(224, 1, 0, 0), 16),
            multicast_port: 8002,
            multicast_ttl: 127,
        }
    }
}

impl Rtsp {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("bind_address", &mut self.bind_address);
        s.time("session_timeout", &mut self.session_timeout, 5..=3600);
        s.time("idle_timeout", &mut self.idle_timeout, 1..=3600);
        s.number("max_readers", &mut self.max_readers, 1..=100_000);
        s.value("udp", &mut self.udp);
        let (mut first, mut last) = self.udp_ports.unwrap_or_default();
        s.value("udp_first_port", &mut first);
        s.value("udp_last_port", &mut last);
        match (first, last) {
            (0, 0) => self.udp_ports = None,
            (0, _) | (1.., 0) => s.refuse(
                "udp_first_port",
                "stands without its other end",
                "udp_first_port and udp_last_port, or neither",
            ),
            (first, last) if last <= first => {
                s.refuse(
                    "udp_last_port",
                    "leaves no pair of ports",
                    format!("a port from {} on", first.saturating_add(1)),
                );
            }
            ports => self.udp_ports = Some(ports),
        }
        s.value("multicast", &mut self.multicast);
        s.value("multicast_range", &mut self.multicast_range);
        s.bounded("multicast_port", &mut self.multicast_port, |port| *port > 0 && port % 2 == 0, "an even port".into());
        s.number("multicast_ttl", &mut self.multicast_ttl, 1..=255);
    }
}
