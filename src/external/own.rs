//! Whether a URL leads back to this service: pulling our own stream would go round in circles.

use std::{net::IpAddr, time::Duration};

use crate::rtsp_url::RtspUrl;

/// How long a name may take to be resolved. One that cannot be now belongs to a machine that is away.
const RESOLVING: Duration = Duration::from_secs(2);

/// Where this service serves RTSP.
#[derive(Clone, Debug)]
pub struct OwnServer {
    /// The configured name of this host.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

impl OwnServer {
    /// Whether `url` leads here: to our port, at an address of this machine.
    pub(super) async fn is_at(&self, url: &RtspUrl) -> bool {
        if url.port() != self.port {
            return false;
        }
        if self.host.as_deref().is_some_and(|host| host.eq_ignore_ascii_case(url.host())) {
            return true;
        }
        let resolving = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((url.host(), url.port())));
        match resolving.await {
            Ok(Ok(mut addresses)) => addresses.any(|address| is_ours(address.ip())),
            _ => false,
        }
    }
}

/// Whether an address is one of this machine's: only those can be bound to.
fn is_ours(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_way_home_is_recognised() {
        let own = OwnServer { host: Some("gate.example".into()), port: 8554 };
        for (url, ours) in [
            ("rtsp://127.0.0.1:8554/x", true),
            ("rtsp://me:pw@localhost:8554/camera0", true),
            ("rtsp://127.1.2.3:8554/x", true),
            ("rtsp://[::1]:8554/x", true),
            ("rtsp://0.0.0.0:8554/x", true),
            ("rtsp://GATE.example:8554/x", true),
            ("rtsp://127.0.0.1:8555/x", false),
            ("rtsp://192.0.2.1:8554/x", false),
        ] {
            assert_eq!(own.is_at(&RtspUrl::parse(url).unwrap()).await, ours, "{url}");
        }
    }
}
