//! A stream of another machine as the source of a path.

mod support;

use std::{sync::Arc, time::Duration};

use camera_service::{
    frame::{Codec, EncodedFrame},
    path::{PathSettings, Phase, Publishing},
    pipeline::{CaptureRequest, Source, Wanted},
    rtsp_url::RtspUrl,
    stream::{Join, Limits, Next, Stream},
};
use support::{
    PATIENCE, SMALL, Service,
    peers::ffprobe,
    remote::{B_FRAMES, H264, MJPEG, Remote, VP8},
};

/// A path that pulls this URL all the time.
async fn pull(service: &Service, name: &str, url: &str) {
    let settings = PathSettings {
        publishing: Publishing::Never,
        always_on: true,
        close_after: Duration::from_secs(1),
        start_timeout: Duration::from_secs(10),
        frame_timeout: Duration::from_secs(5),
        stop_timeout: Duration::from_secs(5),
        ring: Limits::default(),
        auto_record: None,
        always_available: None,
    };
    service.app.paths().add(name, settings);
    let source = Source::Rtsp { url: RtspUrl::parse(url).expect("a URL"), fingerprint: None };
    let request = CaptureRequest { source, wanted: Wanted::default() };
    service.app.paths().set_source(name, Some(request)).await.expect("the path is there");
}

/// This many frames.
async fn frames(stream: &Arc<Stream>, count: usize) -> Vec<EncodedFrame> {
    let mut reader = stream.subscribe(Join::Ring);
    let mut frames = Vec::new();
    while frames.len() < count {
        match tokio::time::timeout(PATIENCE, reader.next()).await.expect("a frame in time") {
            Next::Frame(frame) => frames.push(frame),
            Next::Missed(_) => {}
            Next::Closed => panic!("the stream ended"),
        }
    }
    frames
}

/// The times of this many frames.
async fn times(stream: &Arc<Stream>, count: usize) -> Vec<Duration> {
    frames(stream, count).await.iter().map(|frame| frame.pts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_through_as_it_is_and_others_read_it() {
    let service = Service::start(SMALL).await;
    for (name, line, codec, ffprobes) in [("h", H264, Codec::H264, "h264"), ("j", MJPEG, Codec::Mjpeg, "mjpeg")] {
        let remote = Remote::start(0, line, None);
        pull(&service, name, &remote.url("")).await;
        let stream = service.streaming(name).await.stream.unwrap();
        let format = stream.format();
        assert_eq!((format.codec, format.width, format.height), (codec, 320, 240));
        assert_eq!(format.rate.fps(), 25.0, "{codec}");
        let before = camera_service::media::now();
        let times = times(&stream, 40).await;
        assert!(times.is_sorted() && times[0] < *times.last().unwrap());
        // On the clock that all pipelines share, not on the remote's.
        let age = before.abs_diff(times[0]);
        assert!(age < Duration::from_secs(10), "{codec}: {age:?}");
        let video = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!((&video["codec_name"], &video["width"]), (&ffprobes.into(), &320.into()));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_come_before_others_that_are_shown_first_keep_their_times() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, B_FRAMES, None);
    pull(&service, "b", &remote.url("")).await;
    let status = service.streaming("b").await;
    let stream = status.stream.as_ref().unwrap();
    // For some seconds, and after every standstill of a busy machine, the times of RTP are laid on our clock anew.
    for attempt in 0..40 {
        let before = status.counters.dropped().times_mended;
        let mut frames = frames(stream, 75).await;
        assert!(frames.is_sorted_by(|one, next| one.pts < next.pts), "the order they are decoded in");
        assert!(frames.iter().all(|frame| frame.pts <= frame.shown));
        assert!(!frames.is_sorted_by_key(|frame| frame.shown), "there are B-frames");
        frames.sort_by_key(|frame| frame.shown);
        // At the ends, others come in between.
        let shown = &frames[4..frames.len() - 4];
        let intervals: Vec<_> = shown.windows(2).map(|pair| (pair[1].shown - pair[0].shown).as_secs_f64()).collect();
        let even = intervals.iter().all(|interval| (interval - 1.0 / 30.0).abs() < 0.005);
        if even && status.counters.dropped().times_mended == before {
            break;
        }
        assert!(attempt < 39, "{intervals:?}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_when_the_remote_goes_and_comes_with_it_again() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, H264, None);
    let (port, url) = (remote.port, remote.url(""));
    pull(&service, "away", &url).await;
    let first = service.streaming("away").await;
    let newest = *times(first.stream.as_ref().unwrap(), 5).await.last().unwrap();
    drop(remote);
    let gone = service.path("away", |status| matches!(status.phase, Phase::Waiting { .. })).await;
    assert!(!gone.open && gone.trouble.is_some());
    assert!(first.stream.unwrap().is_closed());
    ffprobe(&service.url("away"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
    let _remote = Remote::start(port, H264, None);
    let back = service.streaming("away").await;
    assert!(back.runs > first.runs && back.trouble.is_none());
    assert!(times(back.stream.as_ref().unwrap(), 5).await[0] > newest, "time goes on");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_said_without_the_password() {
    let service = Service::start(SMALL).await;
    let (locked, other) = (Remote::start(0, H264, Some(("me", "hunter2"))), Remote::start(0, VP8, None));
    pull(&service, "good", &locked.url("me:hunter2@")).await;
    service.streaming("good").await;
    let nowhere = format!("{}/elsewhere", other.url("me:hunter2@"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = format!("rtsp://me:hunter2@127.0.0.1:{port}/live");
    // Accepts connections, by the kernel, and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("rtsp://me:hunter2@127.0.0.1:{}/live", listener.local_addr().unwrap().port());
    for (name, url, word) in [
        ("wrong", locked.url("me:hunter3@"), "asks for other credentials"),
        ("nobody", locked.url(""), "asks for other credentials"),
        ("codec", other.url("me:hunter2@"), "offers VP8 video"),
        ("nowhere", nowhere, "is not there"),
        ("closed", closed, "cannot be reached"),
        ("silent", silent, "cannot be reached"),
    ] {
        pull(&service, name, &url).await;
        let status = service.path(name, |status| matches!(status.phase, Phase::Waiting { .. })).await;
        let trouble = status.trouble.unwrap();
        assert!(trouble.message().contains(word), "{name}: {trouble:?}");
        assert!(!format!("{trouble:?}").contains("hunter"), "{name}: {trouble:?}");
        let line = status.plan.unwrap().launch_line(&Default::default()).unwrap();
        assert!(line.contains("location=\"rtsp://") && !line.contains("hunter"), "{line}");
    }
    service.stop().await;
}
