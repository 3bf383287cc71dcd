//! Groups: who asks for one is told the server's, whatever it would like. That packets get there is tests/multicast.rs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use camera_service::output::rtsp::{Multicast, RtspSettings};

use super::{
    Server,
    readers::Raw,
    source::{H264, Source},
};

/// The status of a SETUP, and the way it was answered with.
fn set_up(raw: &mut Raw, transport: &str) -> (u16, Vec<String>) {
    let (status, sdp) = raw.describe();
    assert_eq!(status, 200);
    let control = sdp.lines().filter_map(|line| line.strip_prefix("a=control:")).next_back().unwrap().to_owned();
    let status = raw.request("SETUP", &format!("/{control}"), &format!("Transport: {transport}\r\n")).0;
    (status, raw.transport.split(';').map(str::to_owned).collect())
}

#[test]
fn a_group_is_the_servers_and_each_stream_has_one() {
    let multicast = Multicast { first: [239, 77, 0, 1].into(), last: [239, 77, 0, 9].into(), port: 20_500, ttl: 3 };
    let source = Source::start(H264);
    let server = Server::with(RtspSettings { multicast: Some(multicast), ..RtspSettings::default() });
    server.server.mount("camera0", source.open());
    server.server.mount("camera1", source.open());
    let mut groups = Vec::new();
    let mut readers = Vec::new();
    for path in ["camera0", "camera0", "camera1"] {
        let mut raw = Raw::connect(&server.url_of(path));
        let wish = "RTP/AVP;multicast;destination=239.99.99.99;port=9000-9001;ttl=200";
        let (status, way) = set_up(&mut raw, wish);
        assert_eq!(status, 200, "{path}");
        assert!(way.iter().any(|part| part == "multicast"), "{way:?}");
        assert!(way.iter().any(|part| part == "port=20500-20501"), "{way:?}");
        assert!(way.iter().any(|part| part == "ttl=3"), "{way:?}");
        groups.push(way.iter().find_map(|part| part.strip_prefix("destination=239.77.0.")).unwrap().to_owned());
        readers.push(raw);
    }
    assert_eq!(groups[0], groups[1], "who reads the same listens to the same");
    assert_ne!(groups[0], groups[2]);
}

#[test]
fn without_groups_whoever_wants_one_is_told_so() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    assert_eq!(set_up(&mut Raw::connect(&server.url()), "RTP/AVP;multicast").0, 461);
}
