//! Readers begin at a key frame, whenever they come.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::time::Duration;

use camera_service::output::rtsp::Transport;
use futures_util::future::join_all;

use super::{
    Server, eventually,
    readers::{Raw, Reader},
    source::{H264, Kind, Source},
};

#[tokio::test(flavor = "multi_thread")]
async fn readers_begin_at_a_key_frame_even_if_the_gop_never_ends() {
    use Transport::{Tcp, Udp};
    for order in [[Tcp, Tcp, Udp, Udp, Tcp], [Udp, Tcp, Udp, Tcp, Tcp]] {
        begin_at_a_key_frame(order).await;
    }
}

async fn begin_at_a_key_frame(order: [Transport; 5]) {
    let source = Source::start(Kind { gop: 0, ..H264 });
    let server = Server::serving(&source);
    let mut readers = Vec::new();
    for transport in order {
        let mut reader = Reader::open(&server.url(), transport).await.unwrap();
        let first = reader.next().await.unwrap();
        assert!(first.is_random_access_point(), "reader {} over {transport}", readers.len());
        readers.push(reader);
    }
    for reader in &mut readers {
        assert!(reader.take(10).await.unwrap() < Duration::from_millis(500), "and go on without a break");
    }
}

#[test]
fn no_packet_goes_out_before_the_first_key_frame() {
    let source = Source::start(Kind { gop: 0, delay: 8, ..H264 });
    let server = Server::serving(&source);
    const SPS: u8 = 7;
    let mut first = Raw::play(&server.url());
    assert_eq!(first.first_nal(), SPS);
    let mut second = Raw::play(&server.url());
    assert_eq!(second.first_nal(), SPS, "of a media that runs");
}

#[test]
fn what_play_says_of_the_first_packet_is_true() {
    let source = Source::start(Kind { gop: 0, delay: 8, ..H264 });
    let server = Server::serving(&source);
    let url = server.url();
    // The first of a media, and one of a media that runs: that packet is not made yet.
    for reader in [Raw::play(&url), Raw::play(&url)] {
        assert_eq!(reader.rtp_info, Some(format!("url={url}/trackID=0")));
    }
}

#[test]
fn the_first_frame_is_not_the_one_that_answered_describe() {
    for kind in [Kind { gop: 0, ..H264 }, Kind { gop: 10, key_frames_on_demand: false, ..H264 }] {
        the_first_frame_is_new(kind);
    }
}

fn the_first_frame_is_new(kind: Kind) {
    let source = Source::start(kind);
    let server = Server::serving(&source);
    let mut reader = Raw::set_up(&server.url());
    let described = source.stream.stats().frames;
    eventually("a second passes", || source.stream.stats().frames > described + 30);
    assert_eq!(reader.request("PLAY", "", "").0, 200);
    let mut before = reader.packet().1;
    for _ in 0..30 {
        let timestamp = reader.packet().1;
        assert!(timestamp.wrapping_sub(before) < 45_000, "half a second between two frames");
        before = timestamp;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_that_answered_describe_does_not_come_twice() {
    let source = Source::start(Kind { gop: 0, key_frames_on_demand: false, ..H264 });
    let server = Server::serving(&source);
    let url = server.url();
    // Each has a media of its own, and they are in each other's way.
    let readers = join_all((0..24).map(|_| Reader::open(&url, Transport::Tcp))).await;
    for (number, reader) in readers.into_iter().enumerate() {
        let mut reader = reader.unwrap();
        let mut before = None;
        for _ in 0..3 {
            let at = reader.next().await.unwrap().timestamp().timestamp();
            assert!(Some(at) > before, "{at} after {before:?} of reader {number}");
            before = Some(at);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_key_frames_on_demand_readers_begin_in_the_past() {
    let source = Source::start(Kind { gop: 150, key_frames_on_demand: false, ..H264 });
    let server = Server::serving(&source);
    eventually("the key frame is old", || source.stream.stats().frames > 60);
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut reader = Reader::open(&server.url(), transport).await.unwrap();
        assert!(reader.next().await.unwrap().is_random_access_point(), "{transport}");
        reader.take(90).await.unwrap();
    }
}
