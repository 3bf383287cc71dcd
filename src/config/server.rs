//! Section `server`: the WebSocket and file server, and how long stopping may take.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{section::Section, unit::ByteSize};

/// The WebSocket and file server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address to listen on.
    pub host: IpAddr,
    /// TCP port; 0 is any free one.
    pub port: u16,
    /// Path of the WebSocket, beginning with `/`.
    pub websocket_path: String,
    /// Sockets open at once.
    pub max_connections: u32,
    /// Longest time an HTTP request may take to arrive.
    pub read_timeout: Duration,
    /// Longest time a message may take to leave; a socket that is slower is dropped.
    pub write_timeout: Duration,
    /// Time between two WebSocket pings.
    pub ping_interval: Duration,
    /// Longest silence of a client before its socket is dropped.
    pub pong_wait: Duration,
    /// Largest WebSocket message accepted.
    pub max_message_size: ByteSize,
    /// Grace period of the whole service: recordings are closed and clients told within it.
    pub shutdown_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port: 8002,
            websocket_path: "/ws".into(),
            max_connections: 100,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            pong_wait: Duration::from_secs(60),
            max_message_size: ByteSize(512 << 10),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

impl Server {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("host", &mut self.host);
        s.port("port", &mut self.port);
        let path = |path: &String| path.starts_with('/') && !path.contains(char::is_whitespace);
        s.bounded("websocket_path", &mut self.websocket_path, path, "a path beginning with /".into());
        s.number("max_connections", &mut self.max_connections, 1..=100_000);
        s.time("read_timeout", &mut self.read_timeout, 1..=3600);
        s.time("write_timeout", &mut self.write_timeout, 1..=3600);
        s.time("ping_interval", &mut self.ping_interval, 1..=3600);
        s.time("pong_wait", &mut self.pong_wait, 1..=3600);
        s.number("max_message_size", &mut self.max_message_size, ByteSize(1 << 10)..=ByteSize(64 << 20));
        s.time("shutdown_timeout", &mut self.shutdown_timeout, 0..=600);
    }
}
