//! What is published, to the last packet.

use std::{sync::Arc, time::Duration};

use camera_service::{
    media,
    path::{PathEvent, Phase},
    stream::{Join, Stream},
};
use gst::prelude::*;
use serde_json::json;
use tokio::time::timeout;

use super::{
    done,
    hand::{Hand, framed},
    matching::until,
    support::{Camera, PATIENCE, SMALL, Service, configured, peers::ffprobe},
};

/// Frames in a [`film`].
const FRAMES: usize = 60;

/// RTP packets of [`FRAMES`] frames at 30 a second, those of a frame together. Only the first is a key frame, of two slices
/// with parameter sets before each, as many programs send it.
fn film() -> Vec<Vec<Vec<u8>>> {
    media::init().unwrap();
    let line = format!(
        "videotestsrc num-buffers={FRAMES} ! video/x-raw,width=320,height=240,framerate=30/1 ! x264enc tune=zerolatency \
         threads=2 key-int-max={FRAMES} ! rtph264pay config-interval=-1 ! appsink name=packets sync=false max-buffers=0"
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("packets").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut film = vec![Vec::new()];
    while let Ok(sample) = sink.pull_sample() {
        let list = sample.buffer_list_owned().unwrap_or_else(|| sample.buffer_owned().into_iter().collect());
        for packet in list.iter() {
            let packet = packet.map_readable().unwrap().to_vec();
            let is_last = packet[1] & 0x80 != 0;
            film.last_mut().unwrap().push(packet);
            if is_last {
                film.push(Vec::new());
            }
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    film.pop();
    assert_eq!(film.len(), FRAMES);
    film
}

fn in_one(frames: &[Vec<Vec<u8>>]) -> Vec<u8> {
    frames.iter().flatten().flat_map(|packet| framed(packet)).collect()
}

/// What programs say in RTCP when they leave (RFC 3550, 6.4.2 and 6.6): an empty report, and BYE.
fn good_bye(film: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let sender = &film[0][0][8..12];
    let report = [&[0x80, 201, 0, 1], sender, &[0x81, 203, 0, 1], sender].concat();
    [&[b'$', 1, 0, report.len() as u8][..], &report].concat()
}

/// A service that takes its time with what is published.
async fn slow() -> Service {
    let (folder, file) = configured(SMALL);
    let slow = "appsrc name=source is-live=true format=time ! rtph264depay ! identity sleep-time=1500";
    std::fs::write(folder.path().join("pipelines/source/published.launch"), slow).unwrap();
    Service::start_in(folder, file).await
}

/// Whether all frames of a film are there and whole, each shown 1/30 s after the one before it, or a little less.
fn assert_is_whole(stream: &Stream, what: &str) {
    let frames = stream.newest_gop();
    let slices = frames[0].data.windows(4).filter(|unit| unit[..3] == [0, 0, 1] && unit[3] & 0x1f == 5).count();
    assert_eq!(slices, 2, "{what}");
    let shown: Vec<_> = frames.iter().map(|frame| frame.shown).collect();
    assert_eq!(shown.len(), FRAMES, "{what}");
    let even = |interval: Duration| (29..=34).contains(&interval.as_millis());
    assert!(shown.windows(2).all(|pair| even(pair[1] - pair[0])), "{what}: {shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_publisher_sent_is_in_the_stream_when_it_leaves() {
    let film = film();
    // What takes its time still has it.
    let service = slow().await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    // Some pause first (GStreamer's rtspclientsink).
    for pauses in [false, true].repeat(4) {
        let mut hand = Hand::publish(&service, "studio").await;
        hand.say(&in_one(&film[..1])).await;
        let stream = service.streaming("studio").await.stream.unwrap();
        // Nobody waits for what comes after that.
        hand.say(&in_one(&film[1..])).await;
        if pauses {
            assert_eq!(hand.ask("PAUSE", "", "").await.status, 200);
        }
        assert_eq!(hand.ask("TEARDOWN", "", "").await.status, 200);
        service.path("studio", |status| status.stream.is_none()).await;
        assert_is_whole(&stream, &format!("pauses: {pauses}"));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_is_shown_when_it_was_made_here_and_where_it_is_pulled() {
    let film = film();
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    let mut hand = Hand::publish(&service, "studio").await;
    hand.say(&in_one(&film[..1])).await;
    let studio = service.streaming("studio").await.stream.unwrap();
    let pulling = json!({ "source": service.url("studio") }).to_string();
    done(&service, "POST", "/config/paths/add/copy", &pulling).await;
    let copy = service.streaming("copy").await.stream.unwrap();
    hand.say(&in_one(&film[1..])).await;
    for (stream, what) in [(studio, "published"), (copy, "pulled")] {
        let mut reader = stream.subscribe(Join::Ring);
        for _ in 0..FRAMES {
            timeout(PATIENCE, reader.next()).await.expect("a frame");
        }
        assert_is_whole(&stream, what);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_sent_no_picture_leaves_no_trouble() {
    for packets in [0_u16, 30] {
        let service = Service::start(SMALL).await;
        done(&service, "POST", "/config/paths/add/studio", "{}").await;
        let mut hand = Hand::publish(&service, "studio").await;
        for number in 0..packets {
            let packet = [&[0x80, 0xe0][..], &number.to_be_bytes(), &[0; 4], &[1, 2, 3, 4], &[0x41; 100]].concat();
            hand.say(&framed(&packet)).await;
        }
        assert_eq!(hand.ask("TEARDOWN", "", "").await.status, 200);
        let gone = service.path("studio", |status| status.phase == Phase::Away).await;
        assert_eq!((gone.runs, gone.trouble.is_none()), (1, true), "{packets} packets");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_sends_nothing_is_sent_off_after_the_read_timeout() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    done(&service, "PATCH", "/config/global/patch", r#"{"readTimeout":"1s"}"#).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut hand = Hand::publish(&service, "studio").await;
    // Six seconds of a camera; without a word about it a publisher has ten.
    tokio::select! {
        reply = hand.reply() => assert!(reply.is_none(), "{reply:?}"),
        () = super::records::frames(&stream, 180) => panic!("it is still there"),
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_may_come_back_at_once() {
    let picture = in_one(&film()[..1]);
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    done(&service, "POST", "/config/paths/add/all_others", "{}").await;
    for path in ["studio", "stage"] {
        let mut last = None;
        for round in 0..40 {
            let mut hand = Hand::publish(&service, path).await;
            hand.say(&picture).await;
            let is_new = |stream: &Arc<Stream>| last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, stream));
            last = service.path(path, |status| status.stream.as_ref().is_some_and(is_new)).await.stream;
            match round % 4 {
                0 | 1 => assert_eq!(hand.ask("TEARDOWN", "", "").await.status, 200),
                // Who announces while another publishes sets it up when that one is gone, and all that was there for it.
                2 => {
                    let mut next = Hand::announce(&service, path).await;
                    drop(hand);
                    until(&service, path, |path| path["ready"] != true && (path["name"] == "studio" || path.is_null()))
                        .await;
                    next.record().await;
                }
                _ => drop(hand),
            }
        }
    }
    // Nothing is left of those who announced and went.
    drop(Hand::announce(&service, "studio").await);
    until(&service, "stage", serde_json::Value::is_null).await;
    for path in ["studio", "stage"] {
        let mut hand = Hand::connect(&service, path).await;
        assert_eq!(hand.ask("DESCRIBE", "", "").await.status, 404, "{path}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_sent_last_is_recorded_also_where_its_path_goes_with_it() {
    let film = film();
    let service = slow().await;
    done(&service, "POST", "/config/paths/add/studio", r#"{"record":true}"#).await;
    done(&service, "POST", "/config/paths/add/all_others", r#"{"record":true}"#).await;
    for path in ["studio", "stage", "hall", "yard"] {
        let mut events = service.app.paths().events();
        let mut next = async || timeout(PATIENCE, events.recv()).await.expect("it is told").unwrap();
        let mut hand = Hand::publish(&service, path).await;
        hand.say(&in_one(&film[..1])).await;
        while !matches!(next().await, PathEvent::RecordingStarted { .. }) {}
        hand.say(&[in_one(&film[1..]), good_bye(&film)].concat()).await;
        assert_eq!(hand.ask("PAUSE", "", "").await.status, 200);
        assert_eq!(hand.ask("TEARDOWN", "", "").await.status, 200);
        let stopped = loop {
            if let PathEvent::RecordingStopped { stopped, .. } = next().await {
                break stopped;
            }
        };
        let file = service.recording(&stopped.filename.into()).display().to_string();
        let video = ffprobe(&file, &["-count_packets"]).await.unwrap();
        assert_eq!(video["nb_read_packets"], FRAMES.to_string(), "{path}");
    }
    service.stop().await;
}
