//! Readers that take nothing, and readers that vanish, harm nobody.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{sync::Arc, time::Duration};

use camera_service::output::rtsp::{RtspSettings, Transport};

use super::{
    Server, eventually,
    readers::{Raw, Reader},
    source::{H264, Kind, Source},
};

/// A picture that fills the kernel's buffers in a second or two.
const HEAVY: Kind = Kind { bitrate: 16_000, ..H264 };

/// Lets a reader over TCP stall while `healthy` reads, and returns the longest gap the latter saw until 90 frames
/// after the stalled one was disconnected.
async fn beside_a_stalled_reader(server: &Arc<Server>, mut healthy: Reader) -> Duration {
    healthy.take(5).await.unwrap();
    let url = server.url();
    let stalled = tokio::task::spawn_blocking(move || Raw::play(&url)).await.unwrap();
    let (port, waiting) = (stalled.port(), Arc::clone(server));
    let waiting = tokio::task::spawn_blocking(move || waiting.wait_for_leave(port));
    let mut longest = Duration::ZERO;
    while !waiting.is_finished() {
        longest = longest.max(healthy.take(1).await.unwrap());
    }
    waiting.await.unwrap();
    longest = longest.max(healthy.take(90).await.unwrap());
    tokio::task::spawn_blocking(|| stalled.wait_for_close()).await.unwrap();
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_reader_that_reads_no_more_stops_nobody_and_is_disconnected() {
    let source = Source::start(HEAVY);
    let server = Arc::new(Server::serving(&source));
    for transport in [Transport::Udp, Transport::Tcp] {
        let healthy = Reader::open(&server.url(), transport).await.unwrap();
        let longest = beside_a_stalled_reader(&server, healthy).await;
        assert!(longest < Duration::from_secs(1), "the {transport} reader stood still for {longest:?}");
    }
}

/// A server that waits so long for readers that take nothing, one who reads over UDP, and one that reads no more over TCP.
async fn udp_beside_stalled(source: &Source, stall_timeout: Duration) -> (Server, Reader, Raw) {
    let server = Server::with(RtspSettings { stall_timeout, ..RtspSettings::default() });
    server.server.mount("camera0", source.open());
    let mut udp = Reader::open(&server.url(), Transport::Udp).await.unwrap();
    udp.take(5).await.unwrap();
    let url = server.url();
    let stalled = tokio::task::spawn_blocking(move || Raw::play(&url)).await.unwrap();
    (server, udp, stalled)
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_readers_never_wait_for_tcp_readers() {
    let source = Source::start(HEAVY);
    let (server, mut udp, stalled) = udp_beside_stalled(&source, Duration::from_secs(3600)).await;
    // More than the kernel takes for the stalled reader.
    udp.take(300).await.unwrap();
    assert_eq!(server.server.readers("camera0").count, 2);
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_stalled_reader_is_not_sent_to_who_comes() {
    let source = Source::start(HEAVY);
    // Longer than it takes to fill the kernel's buffers and some of what waits behind them.
    let (server, mut udp, stalled) = udp_beside_stalled(&source, Duration::from_secs(3)).await;
    udp.take(90).await.unwrap();
    let mut comes = Reader::open(&server.url(), Transport::Tcp).await.unwrap();
    let first = comes.next().await.unwrap();
    assert!(first.is_random_access_point(), "a frame from before it came");
    assert_eq!(first.loss(), 0);
    comes.take(30).await.unwrap();
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_all_read_no_more_do_not_stop_those_who_come() {
    let source = Source::start(HEAVY);
    let server = Server::serving(&source);
    let url = server.url();
    let stalled = tokio::task::spawn_blocking(move || [Raw::play(&url), Raw::play(&url)]).await.unwrap();
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut reader = Reader::open(&server.url(), transport).await.unwrap();
        assert!(reader.next().await.unwrap().is_random_access_point());
        let longest = reader.take(90).await.unwrap();
        assert!(longest < Duration::from_secs(2), "{transport}: {longest:?}");
    }
    for stalled in stalled {
        tokio::task::spawn_blocking(|| stalled.wait_for_close()).await.unwrap();
    }
}

#[test]
fn two_hundred_readers_that_vanish_leave_nothing_behind() {
    let source = Source::start(H264);
    let server = Server::serving(&source);
    let url = server.url();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let vanish = |times: usize| {
        for time in 0..times {
            match time % 4 {
                0 => drop(Raw::connect(&url)),
                1 => drop(Raw::connect(&url).describe()),
                _ => drop(Raw::play(&url)),
            }
        }
        eventually("all have left", || server.server.readers("camera0").count == 0 && source.demands(1) == 0);
    };
    vanish(8);
    let (fds, tasks) = (open(), threads());
    vanish(200);
    // GLib keeps a few threads for a while; other tests of this process come and go.
    eventually("files and threads are given back", || open() <= fds + 16 && threads() <= tasks + 16);
}
