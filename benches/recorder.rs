//! What it costs to record one camera: processor time, and bytes written against bytes that came from the encoder.
//!
//! Run it with `cargo bench --bench recorder`. The frames are encoded before the clock starts, and pass as fast as the
//! recorder takes them: what is told is work, and not how long a camera takes. It asserts that every frame is in the file.

// A bench asserts like a test does.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use camera_service::{
    frame::{Codec, Format},
    media::{self, launch::LaunchFiles, sample},
    mode::Rate,
    output::recorder::{Bounds, RecordingFormat, Segment, SegmentEnd, Syncs, Target, extension},
    stream::{Join, Limits, Stream},
};
use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};

const FORMAT: Format = Format { codec: Codec::H264, width: 1920, height: 1080, rate: Rate::per_second(30) };
/// Frames of the film that is recorded again and again.
const FRAMES: usize = 300;

/// A film of ten seconds, with a key frame a second.
fn film() -> Vec<(bool, Bytes)> {
    let line = format!(
        "videotestsrc num-buffers={FRAMES} pattern=ball ! video/x-raw,format=I420,width=1920,height=1080,framerate=30/1 ! \
         x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=4000 ! h264parse config-interval=-1 ! \
         video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false max-buffers=0"
    );
    let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut frames = Vec::new();
    while let Ok(taken) = sink.pull_sample() {
        let buffer = taken.buffer_owned().unwrap();
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        frames.push((key, sample::bytes(buffer).unwrap()));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(frames.len(), FRAMES);
    frames
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Bytes that were handed to the kernel to be written, in all (proc(5): `wchar`).
fn handed_over() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

/// Records the film so often, and tells what it took.
fn record(format: RecordingFormat, film: &[(bool, Bytes)], times: usize, folder: &Path) {
    let count = film.len() * times;
    let limits = Limits { gops: count, bytes: usize::MAX, frames: count, ..Limits::default() };
    let stream: Arc<Stream> = Stream::new(FORMAT, limits);
    let frames = stream.subscribe(Join::Ring);
    let mut received = 0;
    for (number, (key, data)) in film.iter().cycle().take(count).enumerate() {
        received += data.len() as u64;
        let pts = Duration::from_nanos(33_333_333) * u32::try_from(number).unwrap();
        stream.publish(pts, *key, SystemTime::now(), data.clone());
    }
    stream.close();
    let file = folder.join(format!("{format}.{}", extension(format)));
    let target = Target { file: file.clone(), mark: None, format, part: None, syncs: Syncs::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (before, written_before) = (processor(), handed_over());
    let mut segment = Segment::start(target, frames, &LaunchFiles::default(), Bounds::default()).unwrap();
    let report = runtime.block_on(segment.finished());
    let (took, written) = (processor() - before, handed_over() - written_before);
    assert!(matches!(report.end, SegmentEnd::StreamClosed), "{report:?}");
    assert_eq!((report.frames, report.missed), (count as u64, 0));
    let counted = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(&file)
        .output()
        .unwrap();
    // Of MPEG-TS it tells twice: of the program, and of the stream.
    let counted = String::from_utf8(counted.stdout).unwrap();
    assert_eq!(counted.lines().next().unwrap().trim_end_matches(','), count.to_string());
    let size = std::fs::metadata(&file).unwrap().len();
    let each = took.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{format}: {count} frames, {received} bytes received; {each:.1} µs of processor a frame, {:.3} % of one at 30/s; \
         file {:.2} % larger, {:.2} % more handed to the kernel",
        each * 30.0 / 1e4,
        (size as f64 / received as f64 - 1.0) * 100.0,
        (written as f64 / received as f64 - 1.0) * 100.0,
    );
    std::fs::remove_file(file).unwrap();
}

fn main() {
    media::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let film = film();
    // `cargo test` wants to see that it works, and `cargo bench` what it costs.
    let times = if std::env::args().any(|argument| argument == "--bench") { 60 } else { 1 };
    for format in [RecordingFormat::Fmp4, RecordingFormat::Mp4, RecordingFormat::Mkv, RecordingFormat::MpegTs] {
        record(format, &film, times, folder.path());
    }
}
