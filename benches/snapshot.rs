//! What a snapshot takes, whole and in its parts, and beside it what ffmpeg takes for a picture of the same stream.
//!
//! Run it with `cargo bench --bench snapshot`. Every bench asserts that its work was done: a picture of the right size
//! came out, and of the right number of decodes.

// A bench asserts like a test does.
#![allow(clippy::unwrap_used)]

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use camera_service::{
    frame::{Codec, EncodedFrame, Format},
    media::{self, launch::LaunchFiles, tap::Tap},
    mode::Rate,
    output::{
        snapshot::{Caption, Counters, Picture, Pictures, SnapshotFormat, SnapshotRequest},
        storage::{self, FileName},
    },
    stream::{Join, Limits, Next, Stream},
};
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use serde_json::json;
use tokio::runtime::Runtime;

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Camera, Service, http};

const SIZE: (u32, u32) = (1280, 720);
const JPEG: SnapshotRequest =
    SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 90, max_width: None, max_height: None };
const PNG: SnapshotRequest = SnapshotRequest { format: SnapshotFormat::Png, ..JPEG };
/// The longest GOP there is here: two seconds of a camera.
const GOP: usize = 60;

/// A service with a camera of this size that is always on.
const SERVICE: &str = "
camera: { test_pattern: never }
streams: { width: 1280, height: 720, fps: 30 }
";

fn caption() -> Caption {
    Caption { camera: "camera0".into(), model: None }
}

fn checked(picture: Picture, size: (u32, u32)) -> Picture {
    let read = imagesize::blob_size(&picture.data).unwrap();
    assert_eq!((read.width, read.height), (size.0 as usize, size.1 as usize));
    picture
}

/// The H.264 camera of a service: its launch line, and the camera.
fn h264_camera(service: &Service) -> Camera {
    let line = format!(
        "videotestsrc is-live=true pattern=smpte horizontal-speed=4
         ! video/x-raw,format=I420,width={},height={},framerate=30/1
         ! x264enc name=source tune=zerolatency speed-preset=ultrafast key-int-max={GOP} ! capsfilter name=mode",
        SIZE.0, SIZE.1
    );
    std::fs::write(service.folder.path().join("pipelines/source/h264.launch"), line).unwrap();
    large(Camera::usb(2, "2", Some("BEEF")).giving(*b"H264"))
}

fn large(mut camera: Camera) -> Camera {
    (camera.capture.modes[0].width, camera.capture.modes[0].height) = SIZE;
    camera
}

/// A key frame and what follows it, as the H.264 camera makes them.
fn gop() -> Vec<EncodedFrame> {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let service = Service::start(SERVICE).await;
        service.plug(&h264_camera(&service)).await;
        let stream = service.streaming("camera0").await.stream.unwrap();
        let mut reader = stream.subscribe(Join::Ring);
        let mut frames = Vec::<EncodedFrame>::new();
        while frames.len() < GOP {
            match reader.next().await {
                Next::Frame(frame) if frame.key => frames = vec![frame],
                Next::Frame(frame) => frames.push(frame),
                other => panic!("{other:?} after {} frames", frames.len()),
            }
        }
        service.stop().await;
        frames
    })
}

/// Pictures of a stream that has these frames.
fn pictures(frames: &[EncodedFrame]) -> (Arc<Pictures>, Arc<Counters>) {
    let format = Format { codec: Codec::H264, width: SIZE.0, height: SIZE.1, rate: Rate::per_second(30) };
    let stream = Stream::new(format, Limits::default());
    for frame in frames {
        stream.publish(frame.pts, frame.key, frame.captured, frame.data.clone());
    }
    let counters = Arc::<Counters>::default();
    (Pictures::new(stream, Arc::<Tap>::default(), LaunchFiles::default(), Arc::clone(&counters)), counters)
}

/// The parts: decoding so many frames and encoding the picture; encoding it once it is decoded; a file once it is
/// encoded; storing it.
fn parts(criterion: &mut Criterion) {
    media::init().unwrap();
    let frames = gop();
    let mut group = criterion.benchmark_group("decoded and encoded");
    for count in [1, GOP / 2, GOP] {
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let (pictures, counters) = pictures(&frames[..count]);
            let before = counters.now();
            let mut rounds = 0;
            bencher.iter(|| {
                rounds += 1;
                checked(pictures.look().picture(JPEG, &caption()).unwrap(), SIZE)
            });
            assert_eq!(counters.now().decoded - before.decoded, rounds);
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("encoded");
    let small = (640, 360);
    for (name, request, size) in [
        ("jpeg", JPEG, SIZE),
        ("jpeg of half the width", SnapshotRequest { max_width: Some(small.0), ..JPEG }, small),
        ("png", PNG, SIZE),
    ] {
        group.bench_function(name, |bencher| {
            let (pictures, _) = pictures(&frames[..1]);
            let seen = || {
                let look = pictures.look();
                look.picture(SnapshotRequest { quality: 1, ..JPEG }, &caption()).unwrap();
                look
            };
            let picture = |look: Arc<camera_service::output::snapshot::Look>| {
                checked(look.picture(request, &caption()).unwrap(), size)
            };
            bencher.iter_batched(seen, picture, BatchSize::PerIteration);
        });
    }
    group.finish();

    let (pictures, counters) = pictures(&frames[..1]);
    let look = pictures.look();
    let picture = look.picture(JPEG, &caption()).unwrap();
    criterion.bench_function("once more, for somebody else", |bencher| {
        bencher.iter(|| checked(look.picture(JPEG, &caption()).unwrap(), SIZE));
    });
    assert_eq!((counters.now().decoded, counters.now().encoded), (1, 1));

    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    criterion.bench_function("stored", |bencher| {
        bencher.iter(|| {
            number += 1;
            let name = FileName::parse(&format!("{number}.jpg")).unwrap();
            storage::write(folder.path(), [name], &picture.data).unwrap()
        });
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), number);
}

/// From a client's question to the picture in its hand, of cameras that stream, and ffmpeg with the same streams.
fn live(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let service = runtime.block_on(async {
        let service = Service::start(SERVICE).await;
        service.plug(&large(Camera::usb(0, "1", Some("C0FFEE")))).await;
        service.streaming("camera0").await;
        service.plug(&h264_camera(&service)).await;
        service.streaming("camera1").await;
        service
    });
    for (name, camera) in [("raw", "camera0"), ("its own H.264", "camera1")] {
        let mut group = criterion.benchmark_group(format!("a camera with {name}"));
        group.sampling_mode(SamplingMode::Flat);
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        group.bench_function("take_snapshot", |bencher| {
            let mut client = runtime.block_on(service.client("operator"));
            bencher.iter_custom(|rounds| {
                measured(rounds, &mut times[0], || {
                    let taken = runtime.block_on(client.call("take_snapshot", json!({ "device": camera }))).unwrap();
                    assert_eq!((&taken["width"], &taken["height"]), (&json!(SIZE.0), &json!(SIZE.1)));
                })
            });
        });
        group.bench_function("GET /snapshot with curl", |bencher| {
            bencher.iter_custom(|rounds| {
                measured(rounds, &mut times[1], || {
                    let answer = runtime.block_on(http::get(&service, &format!("/snapshot/{camera}"), &[]));
                    assert_eq!(imagesize::blob_size(&answer.body).unwrap().width, SIZE.0 as usize);
                })
            });
        });
        let file = service.folder.path().join("ffmpeg.jpg");
        group.bench_function("ffmpeg -i rtsp://… -frames:v 1", |bencher| {
            bencher.iter_custom(|rounds| {
                measured(rounds, &mut times[2], || {
                    let done = Command::new("ffmpeg")
                        .args(["-v", "error", "-nostdin", "-rtsp_transport", "tcp", "-i", &service.url(camera)])
                        .args(["-frames:v", "1", "-y", file.to_str().unwrap()])
                        .status();
                    assert!(done.unwrap().success());
                    assert_eq!(imagesize::size(&file).unwrap().width, SIZE.0 as usize);
                    std::fs::remove_file(&file).unwrap();
                })
            });
        });
        group.finish();
        let [taken, got, ffmpeg] = times.map(median);
        println!(
            "a camera with {name}, medians: take_snapshot {taken:?}, GET {got:?}, ffmpeg {ffmpeg:?}: {:.0} and {:.0} times faster",
            ffmpeg.as_secs_f64() / taken.as_secs_f64(),
            ffmpeg.as_secs_f64() / got.as_secs_f64(),
        );
    }
    runtime.block_on(service.stop());
}

/// So many rounds, each with its time added to `times`.
fn measured(rounds: u64, times: &mut Vec<Duration>, mut round: impl FnMut()) -> Duration {
    let before = times.len();
    for _ in 0..rounds {
        // At any moment between two frames of the camera, and not in step with it.
        std::thread::sleep(Duration::from_millis(7 * (times.len() as u64 % 5)));
        let start = Instant::now();
        round();
        times.push(start.elapsed());
    }
    times[before..].iter().sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

criterion_group! {
    name = parts_of_it;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = parts
}
criterion_group! {
    name = whole;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = live
}
criterion_main!(parts_of_it, whole);
