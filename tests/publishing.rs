//! Streams that ffmpeg and GStreamer publish: a path of their own, with readers, recordings and snapshots.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use camera_service::{
    config::{EncoderKind, RecordingFormat, SnapshotFormat},
    frame::Codec,
    media::{self, launch::LaunchFiles},
    output::{
        rtsp::{Admission, Guest, RtspServer, RtspSettings, Traffic, Visit},
        snapshot::{Caption, SnapshotRequest},
        storage::{NamePattern, Uses},
    },
    path::{Doors, Folders, Host, OwnFolders, Parts, PathSettings, PathStatus, Paths, Publishing, RecordingRequest},
    pipeline::Encoders,
    stream::Limits,
};
use gst::prelude::*;
use support::{
    PATIENCE,
    peers::{assert_is_part, decode, ffprobe, is_unknown, pictures, run},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

const PICTURES: &[&str] = &["-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30"];
const H264: &[&str] =
    &["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-pix_fmt", "yuv420p"];
/// RTP has no room for Huffman tables of the encoder's own (RFC 2435).
const JPEG: &[&str] = &["-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p"];

/// As recordings are made where nothing is said of them.
const RECORDING: RecordingRequest = RecordingRequest::new(RecordingFormat::Fmp4);

/// Lets everybody in.
struct Anybody;

impl Host for Anybody {
    fn admits(&self, _: &Guest<'_>) -> Admission {
        Admission::Granted
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn missing(&self, _: &str, _: Option<&str>) -> Visit {
        Visit::Asked
    }
}

/// Paths on a server that takes publishers: `cam` belongs to the newest, `first` to the first, `own` to nobody.
struct Gateway {
    paths: Paths,
    port: u16,
    folder: tempfile::TempDir,
}

impl Gateway {
    fn start() -> Self {
        media::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let launch = LaunchFiles::default();
        let settings = RtspSettings { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, ..RtspSettings::default() };
        let rtsp = Arc::new(RtspServer::start(settings, launch.clone()).unwrap());
        let port = rtsp.port();
        let paths = Paths::new(Parts {
            encoders: Arc::new(Encoders::probe(&[EncoderKind::X264], &launch, PATIENCE)),
            rtsp,
            rtsp_host: "localhost".into(),
            launch,
            folders: Folders {
                recordings: folder.path().into(),
                fallback: None,
                own: OwnFolders::default(),
                doors: Doors::default(),
                snapshots: folder.path().into(),
                pattern: NamePattern::default(),
                uses: Uses::default(),
            },
        });
        paths.accept_publishers(Arc::new(Anybody));
        for (name, publishing) in
            [("cam", Publishing::Newest), ("first", Publishing::First), ("own", Publishing::Never)]
        {
            paths.add(name, path_settings(publishing));
        }
        Self { paths, port, folder }
    }

    fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.port)
    }

    /// ffmpeg, publishing.
    fn publish(&self, path: &str, transport: &str, coding: &[&str]) -> Child {
        let output = ["-f", "rtsp", "-rtsp_transport", transport, &self.url(path)];
        Command::new("ffmpeg")
            .args([&["-v", "error"], PICTURES, coding, &output].concat())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// ffmpeg, publishing a file as it is, at the speed it is shown at.
    fn publish_file(&self, path: &str, file: &Path) -> Child {
        Command::new("ffmpeg")
            .args(["-v", "error", "-re", "-i"])
            .arg(file)
            .args(["-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", &self.url(path)])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn status(&self, path: &str, fits: impl Fn(&PathStatus) -> bool) -> PathStatus {
        let mut events = self.paths.events();
        let look = async {
            loop {
                let status = self.paths.status(path).unwrap();
                if fits(&status) {
                    return status;
                }
                let _ = events.recv().await;
            }
        };
        timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("{path} is {:?}", self.paths.status(path).unwrap().phase))
    }

    async fn streaming(&self, path: &str) -> PathStatus {
        self.status(path, |status| status.stream.is_some()).await
    }

    /// Frames of the stream that a reader of it gets.
    async fn frames(&self, path: &str, count: usize) {
        let stream = self.streaming(path).await.stream.unwrap();
        let mut reader = stream.subscribe(camera_service::stream::Join::Live);
        for _ in 0..count {
            timeout(PATIENCE, reader.next()).await.expect("a frame");
        }
    }
}

fn path_settings(publishing: Publishing) -> PathSettings {
    PathSettings {
        always_on: true,
        close_after: Duration::from_secs(1),
        start_timeout: PATIENCE,
        frame_timeout: PATIENCE,
        stop_timeout: PATIENCE,
        ring: Limits::default(),
        publishing,
        auto_record: None,
        always_available: None,
    }
}

/// How a program ends, and what it complained of.
async fn end(child: Child) -> (bool, String) {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_publishes_is_read_pictured_and_recorded_until_it_leaves() {
    let gateway = Gateway::start();
    for transport in ["tcp", "udp"] {
        let sound = ["-f", "lavfi", "-i", "sine", "-c:a", "aac"];
        let mut publisher = gateway.publish("cam", transport, &[&sound[..], H264].concat());
        let status = gateway.streaming("cam").await;
        let format = status.stream.as_ref().unwrap().format();
        assert_eq!((format.codec, format.width, format.height), (Codec::H264, 320, 240), "{transport}");
        for reader in ["tcp", "udp"] {
            let video = ffprobe(&gateway.url("cam"), &["-rtsp_transport", reader]).await.unwrap();
            assert_eq!((&video["codec_name"], &video["width"]), (&"h264".into(), &320.into()), "{transport} {reader}");
        }
        let picture = SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 90, max_width: None, max_height: None };
        let taken = gateway.paths.snapshot("cam", picture, Caption::default(), None).await.unwrap();
        assert_eq!((taken.picture.width, taken.picture.height), (320, 240));

        gateway.paths.start_recording("cam", RECORDING).await.unwrap();
        gateway.frames("cam", 45).await;
        let stopped = gateway.paths.stop_recording("cam").await.unwrap();
        decode(&gateway.folder.path().join(&stopped.filename)).await.unwrap();

        if transport == "tcp" {
            let sessions = gateway.paths.rtsp().sessions();
            let traffic = sessions.iter().map(|session| session.traffic).find(|traffic| traffic.packets_received > 0);
            assert_eq!(traffic.map(|traffic| (traffic.lost, traffic.in_error)), Some((0, 0)), "{sessions:?}");
        }
        publisher.kill().await.unwrap();
        gateway.status("cam", |status| status.stream.is_none()).await;
        assert!(gateway.paths.publisher("cam").unwrap().is_none());
        is_unknown(&gateway.url("cam")).await;
    }
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_jpeg_is_published_too_and_other_codings_are_refused() {
    let gateway = Gateway::start();
    let _publisher = gateway.publish("cam", "tcp", JPEG);
    let format = gateway.streaming("cam").await.stream.unwrap().format();
    assert_eq!((format.codec, format.width), (Codec::Mjpeg, 320));
    let (done, complaint) = end(gateway.publish("first", "tcp", &["-c:v", "mpeg4"])).await;
    assert!(!done && complaint.contains("415"), "{complaint}");
    gateway.frames("cam", 5).await;
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_publisher_stays_or_the_first_as_the_path_says() {
    let gateway = Gateway::start();
    let (former, kept) = (gateway.publish("cam", "tcp", H264), gateway.publish("first", "tcp", H264));
    let (one, other) = (gateway.streaming("cam").await, gateway.streaming("first").await);

    let newest = gateway.publish("cam", "tcp", H264);
    let (done, complaint) = end(former).await;
    assert!(!done, "it was sent off: {complaint}");
    let again = |status: &PathStatus| status.stream.is_some() && status.appearances > one.appearances;
    gateway.status("cam", again).await;
    gateway.frames("cam", 30).await;

    let (done, complaint) = end(gateway.publish("first", "tcp", H264)).await;
    assert!(!done && complaint.contains("400"), "{complaint}");
    assert_eq!(gateway.paths.status("first").unwrap().appearances, other.appearances);
    gateway.frames("first", 30).await;
    drop((newest, kept));
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_publishes_where_nothing_is_to_be_published() {
    let gateway = Gateway::start();
    for path in ["own", "nowhere"] {
        let (done, complaint) = end(gateway.publish(path, "tcp", H264)).await;
        assert!(!done && complaint.contains("400"), "{path}: {complaint}");
    }
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_taken_away_sends_its_publisher_off() {
    let gateway = Gateway::start();
    let publisher = gateway.publish("cam", "tcp", H264);
    gateway.streaming("cam").await;
    gateway.paths.remove("cam").await.unwrap();
    let (done, _) = end(publisher).await;
    assert!(!done);
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_publishes_too() {
    let gateway = Gateway::start();
    for protocols in ["tcp", "udp"] {
        let line = format!(
            "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! x264enc tune=zerolatency \
             key-int-max=15 ! rtspclientsink protocols={protocols} location={}",
            gateway.url("cam")
        );
        let mut publisher = Command::new("gst-launch-1.0")
            .args(["-q", "-e"])
            .args(line.split_whitespace())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        gateway.frames("cam", 30).await;
        publisher.kill().await.unwrap();
        gateway.status("cam", |status| status.stream.is_none()).await;
    }
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_with_b_frames_is_read_pictured_and_recorded_as_it_is() {
    let gateway = Gateway::start();
    let film = gateway.folder.path().join("film.mp4");
    for (b_frames, format) in [
        ("2", RecordingFormat::Fmp4),
        ("2", RecordingFormat::Mp4),
        ("3", RecordingFormat::Mkv),
        ("2", RecordingFormat::MpegTs),
        ("0", RecordingFormat::Mp4),
    ] {
        let coding = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", b_frames, "-g", "30"];
        let length = ["-v", "error", "-y", "-t", "7"];
        let made = [&length[..], &PICTURES[1..], &coding, &[film.to_str().unwrap()]].concat();
        run("ffmpeg", &made).await.unwrap();
        let original = pictures(film.to_str().unwrap(), &[], 1000).await.unwrap();
        assert_eq!(original.len(), 210);

        let what = format!("{format:?} with {b_frames} B-frames");
        let publisher = gateway.publish_file("cam", &film);
        // A whole group of pictures.
        gateway.frames("cam", 45).await;
        let stream = gateway.streaming("cam").await.stream.unwrap();
        let moved = stream.newest_gop().iter().any(|frame| frame.shown != frame.pts);
        assert_eq!(moved, b_frames != "0", "{what}");
        let before = gateway.paths.status("cam").unwrap().counters.dropped();
        let request = RecordingRequest { format, ..RECORDING };
        gateway.paths.start_recording("cam", request).await.unwrap();
        let mut read = pictures(&gateway.url("cam"), &["-rtsp_transport", "tcp"], 45).await.unwrap();
        // ffmpeg makes up the times of the first, while it learns how far pictures are moved.
        read.drain(..6);
        assert_is_part(&read, &original, &what);

        let picture = SnapshotRequest { format: SnapshotFormat::Png, quality: 90, max_width: None, max_height: None };
        gateway.paths.snapshot("cam", picture, Caption::default(), None).await.unwrap();

        assert!(end(publisher).await.0);
        let gone = gateway.status("cam", |status| status.stream.is_none()).await;
        assert_eq!(gone.counters.dropped(), before, "{what}");
        let stopped = gateway.paths.stop_recording("cam").await.unwrap();
        let file = gateway.folder.path().join(&stopped.filename);
        let recorded = pictures(file.to_str().unwrap(), &[], 1000).await.unwrap();
        assert!(recorded.len() >= 60, "{what}: {}", recorded.len());
        assert_eq!(recorded.last().unwrap().1, original.last().unwrap().1, "{what}");
        assert_is_part(&recorded, &original, &what);
    }
    gateway.paths.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_a_publisher_that_get_lost_on_the_way_are_told() {
    let gateway = Gateway::start();
    for losing in [true, false] {
        let line = format!(
            "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! x264enc tune=zerolatency \
             key-int-max=15 ! rtspclientsink protocols=udp location={}",
            gateway.url("cam")
        );
        let publisher = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        if losing {
            publisher.connect_deep_element_added(|_, _, element| lose_some(element));
        }
        publisher.set_state(gst::State::Playing).unwrap();
        gateway.streaming("cam").await;
        let traffic = || gateway.paths.rtsp().sessions().first().map(|session| session.traffic).unwrap_or_default();
        let told = async {
            // What was lost shows with the next look at it, reports with the first one; frames take their time.
            let enough =
                |told: Traffic| told.packets_received > 60 && told.reports_received > 0 && told.reports_sent > 0;
            while !enough(traffic()) || (losing && traffic().lost < 5) {
                gateway.frames("cam", 1).await;
            }
        };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{losing}: {:?}", traffic()));
        let told = traffic();
        if losing {
            // Every tenth.
            assert!(told.lost < told.packets_received / 5, "{told:?}");
        } else {
            assert_eq!((told.lost, told.in_error, told.reports_in_error), (0, 0, 0), "{told:?}");
        }
        assert!(told.jitter.is_finite() && told.bytes_received > 12 * told.packets_received, "{told:?}");
        publisher.set_state(gst::State::Null).unwrap();
        gateway.status("cam", |status| status.stream.is_none()).await;
    }
    gateway.paths.close().await;
}

/// Lets no tenth RTP packet through to the network.
fn lose_some(element: &gst::Element) {
    if element.factory().is_none_or(|factory| factory.name() != "rtph264pay") {
        return;
    }
    let count = std::sync::atomic::AtomicU32::new(0);
    element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let losing = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 10 == 9;
        if losing { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
}
