//! Section `rtsp`: the RTSP server. Its port is `mediamtx.rtsp_port`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::section::Section;

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
}

impl Default for Rtsp {
    fn default() -> Self {
        Self {
            bind_address: Ipv4Addr::UNSPECIFIED.into(),
            session_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
            max_readers: 500,
        }
    }
}

impl Rtsp {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("bind_address", &mut self.bind_address);
        s.time("session_timeout", &mut self.session_timeout, 5..=3600);
        s.time("idle_timeout", &mut self.idle_timeout, 1..=3600);
        s.number("max_readers", &mut self.max_readers, 1..=100_000);
    }
}
