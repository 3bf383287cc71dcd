//! The promises of a recording, checked with ffprobe and ffmpeg.

use std::{sync::Arc, time::Instant};

use super::*;
use crate::{
    frame::EncodedFrame,
    output::test_camera::{TestCamera, output, wait_for_frames},
    stream::{Join, Limits, Next, Stream},
};

/// A ring that forgets nothing.
const ENOUGH: Limits = Limits { gops: 1000, bytes: usize::MAX, frames: 1000, past: Duration::ZERO };

const SHORT: Patience =
    Patience { open: Duration::from_secs(5), stall: Duration::from_millis(300), close: Duration::from_millis(300) };

/// What ffprobe says about a file's only stream: codec, width, height, packets, frames that decode.
fn probe(file: &Path) -> (String, u32, u32, u64, u64) {
    let entries = "stream=codec_name,width,height,nb_read_packets,nb_read_frames";
    let text = output(
        "ffprobe",
        &["-v", "error", "-count_packets", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", &path(file)],
    );
    // Of MPEG-TS it tells twice: of the program, and of the stream.
    let fields: Vec<_> = text.lines().next().unwrap().trim_end_matches(',').split(',').collect();
    let number = |index: usize| fields[index].parse::<u64>().unwrap_or_else(|_| panic!("{text}"));
    (fields[0].into(), number(1) as u32, number(2) as u32, number(4), number(3))
}

/// Time in seconds and key flag of every packet.
fn packets(file: &Path) -> Vec<(f64, bool)> {
    let entries = "packet=pts_time,flags";
    output("ffprobe", &["-v", "error", "-show_entries", entries, "-of", "csv=p=0", &path(file)])
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (time, flags) = line.split_once(',').unwrap();
            (time.parse().unwrap(), flags.starts_with('K'))
        })
        .collect()
}

/// The whole file decodes without a word of complaint.
pub(super) fn plays(file: &Path) {
    assert_eq!(output("ffmpeg", &["-v", "error", "-i", &path(file), "-f", "null", "-"]), "");
}

fn path(file: &Path) -> String {
    file.to_str().unwrap().into()
}

pub(super) fn publish(stream: &Stream, frames: &[EncodedFrame]) {
    for frame in frames {
        stream.publish(frame.pts, frame.key, frame.captured, frame.data.clone());
    }
}

fn record(file: PathBuf, format: RecordingFormat, camera: &TestCamera) -> Segment {
    begin(file, format, &camera.stream, Bounds::default())
}

pub(super) fn target(file: PathBuf, format: RecordingFormat) -> Target {
    Target { file, mark: None, format, part: None, syncs: Syncs::default() }
}

pub(super) fn begin(file: PathBuf, format: RecordingFormat, stream: &Arc<Stream>, bounds: Bounds) -> Segment {
    Segment::start(target(file, format), stream.subscribe(Join::Ring), &LaunchFiles::default(), bounds).unwrap()
}

pub(super) fn finish(mut segment: Segment) -> SegmentReport {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), segment.finished()).await.expect("the segment ends")
    })
}

#[test]
fn every_frame_is_in_the_file_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for (codec, format) in [
        (Codec::H264, RecordingFormat::Fmp4),
        (Codec::H264, RecordingFormat::Mp4),
        (Codec::H264, RecordingFormat::Mkv),
        (Codec::H264, RecordingFormat::MpegTs),
        (Codec::Mjpeg, RecordingFormat::Mkv),
    ] {
        let camera = TestCamera::burst(codec, 150);
        let file = folder.path().join(format!("{codec}-{format}.{}", extension(format)));
        let stream = Stream::new(camera.stream.format(), ENOUGH);
        let segment = begin(file.clone(), format, &stream, Bounds::default());
        publish(&stream, &camera.frames);
        segment.stop();
        let report = finish(segment);
        assert!(matches!(report.end, SegmentEnd::Stopped), "{report:?}");
        assert_eq!((report.frames, report.missed, report.started), (150, 0, camera.frames[0].captured), "{format}");
        let name = if codec == Codec::H264 { "h264" } else { "mjpeg" };
        assert_eq!(probe(&file), (name.into(), 320, 180, 150, 150), "{format}");
        assert_eq!(report.bytes, std::fs::metadata(&file).unwrap().len());
        plays(&file);
        let packets = packets(&file);
        // GStreamer has MPEG-TS begin after an hour.
        let begin = if format == RecordingFormat::MpegTs { 3600.0 } else { 0.0 };
        assert_eq!(packets[0], (begin, true), "{format}");
        let length = packets.last().unwrap().0 - begin + 1.0 / 30.0;
        assert!((report.duration.as_secs_f64() - length).abs() < 0.002, "{format}: {:?} {length}", report.duration);
    }
}

#[test]
fn a_live_recording_has_the_frames_from_start_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.mp4");
    let camera = TestCamera::live(Codec::H264, 30);
    wait_for_frames(&camera.stream, 5);
    let oldest = camera.stream.newest_gop()[0].seq;
    let segment = record(file.clone(), RecordingFormat::Fmp4, &camera);
    let newest = camera.stream.newest_gop()[0].seq;
    wait_for_frames(&camera.stream, 70);
    let published = camera.stream.stats().frames;
    segment.stop();
    let report = finish(segment);
    let after = camera.stream.stats().frames;
    assert!((published - newest..=after - oldest).contains(&report.frames), "{report:?} of {published}");
    assert_eq!(report.missed, 0);
    assert_eq!(probe(&file), ("h264".into(), 320, 180, report.frames, report.frames));
    plays(&file);
}

#[test]
fn the_file_plays_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("growing.mp4");
    // One GOP without an end: what was captured is in the file all the same.
    let camera = TestCamera::live(Codec::H264, 10_000);
    wait_for_frames(&camera.stream, 1);
    let segment = record(file.clone(), RecordingFormat::Fmp4, &camera);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut reader = camera.stream.subscribe(Join::Ring);
    while std::fs::metadata(&file).unwrap().len() < 20_000 {
        assert!(matches!(reader.next_before(deadline), Some(Next::Frame(_))), "nothing is written");
    }
    std::fs::copy(&file, folder.path().join("cut.mp4")).unwrap();
    let (_, _, _, packets, _) = probe(&folder.path().join("cut.mp4"));
    assert!(packets >= 28, "{packets}");
    drop(segment);
}

#[test]
fn an_unplugged_camera_leaves_a_file_that_plays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unplugged.mp4");
    let camera = TestCamera::live(Codec::H264, 30);
    let segment = record(file.clone(), RecordingFormat::Fmp4, &camera);
    wait_for_frames(&camera.stream, 20);
    camera.unplug();
    let report = finish(segment);
    assert!(matches!(report.end, SegmentEnd::StreamClosed), "{report:?}");
    assert_eq!(report.frames, camera.stream.stats().frames);
    assert_eq!(probe(&file).3, report.frames);
    plays(&file);
}

#[test]
fn the_limit_is_kept_to_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limited.mp4");
    let camera = TestCamera::live(Codec::H264, 30);
    let bounds = Bounds { limit: Some(Duration::from_secs(1)), ..Bounds::default() };
    let segment = begin(file.clone(), RecordingFormat::Fmp4, &camera.stream, bounds);
    let report = finish(segment);
    assert!(matches!(report.end, SegmentEnd::LimitReached), "{report:?}");
    assert_eq!((report.frames, probe(&file).3), (30, 30));
    assert!((report.duration.as_secs_f64() - 1.0).abs() < 0.001, "{report:?}");
}

#[test]
fn a_gap_is_counted_and_the_file_goes_on_at_a_key_frame() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gap.mp4");
    let camera = TestCamera::burst(Codec::H264, 150);
    let stream =
        Stream::new(camera.stream.format(), Limits { gops: 1, bytes: usize::MAX, frames: 40, ..Limits::default() });
    let mut subscription = stream.subscribe(Join::Ring);
    publish(&stream, &camera.frames[..1]);
    // The first frame is taken from the writer, and then it does not come to read until the ring has moved on.
    assert!(matches!(subscription.poll(), Some(Next::Frame(_))));
    publish(&stream, &camera.frames[1..]);
    stream.close();
    let request = writer::Request {
        target: target(file.clone(), RecordingFormat::Fmp4),
        launch: LaunchFiles::default(),
        line: LaunchFiles::default().line("output/record-fmp4").unwrap(),
        format: stream.format(),
        bounds: Bounds::default(),
        patience: PATIENCE,
        stop: CancellationToken::new(),
    };
    let (tell, told) = watch::channel(None);
    let listeners = writer::Listeners { opened: mpsc::sync_channel(1).0, rest: oneshot::channel().0, report: tell };
    writer::run(request, subscription, listeners);
    let report: SegmentReport = told.borrow().clone().unwrap();
    assert!(matches!(report.end, SegmentEnd::StreamClosed), "{report:?}");
    assert_eq!((report.frames, report.missed), (30, 119), "frames 1..120 are missing");
    assert_eq!(probe(&file).3, 30);
    assert_eq!(packets(&file)[0], (0.0, true));
    plays(&file);
}

#[test]
fn a_full_disk_fails_the_segment_and_nobody_else() {
    let camera = TestCamera::live(Codec::H264, 30);
    let folder = tempfile::tempdir().unwrap();
    let healthy = record(folder.path().join("healthy.mp4"), RecordingFormat::Fmp4, &camera);
    let report = finish(record("/dev/full".into(), RecordingFormat::Fmp4, &camera));
    let SegmentEnd::Failed(error) = &report.end else { panic!("{report:?}") };
    assert!(error.message().contains("the disk is full"), "{error}");
    assert_eq!(*error.kind(), Kind::Dependency { dependency: "disk".into() });
    assert!(Path::new("/dev/full").exists());
    healthy.stop();
    let report = finish(healthy);
    assert!(matches!(report.end, SegmentEnd::Stopped) && report.missed == 0, "{report:?}");
    plays(&folder.path().join("healthy.mp4"));
}

#[test]
fn a_disk_that_hangs_fails_the_segment_within_its_deadlines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hangs.mp4");
    // A pipe that nobody reads takes 64 kB and then nothing more, for ever, as an NFS server that is gone.
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let unread = std::fs::File::options().read(true).write(true).open(&file).unwrap();
    let camera = TestCamera::burst(Codec::H264, 900);
    let stream = Stream::new(camera.stream.format(), ENOUGH);
    let (frames, launch, bounds) = (stream.subscribe(Join::Ring), LaunchFiles::default(), Bounds::default());
    let segment = Segment::start_with(target(file, RecordingFormat::Fmp4), frames, &launch, bounds, SHORT).unwrap();
    publish(&stream, &camera.frames);
    let report = finish(segment);
    let SegmentEnd::Failed(error) = &report.end else { panic!("{report:?}") };
    assert!(error.message().contains("the disk hangs"), "{error}");
    assert!(report.frames < 900, "{report:?}");
    // The thread that was left behind gets its error, and goes.
    drop(unread);
}

#[test]
fn a_folder_taken_away_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let camera = TestCamera::burst(Codec::H264, 30);
    let segment = record(folder.path().join("gone.mp4"), RecordingFormat::Fmp4, &camera);
    folder.close().unwrap();
    segment.stop();
    let report = finish(segment);
    assert!(matches!(&report.end, SegmentEnd::Failed(error) if error.chain().contains("deleted")), "{report:?}");
}

#[test]
fn what_cannot_begin_says_so_at_once_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (h264, mjpeg) = (TestCamera::burst(Codec::H264, 1), TestCamera::burst(Codec::Mjpeg, 1));
    let launch = LaunchFiles::default();
    let start = |file: &str, format, camera: &TestCamera, launch: &LaunchFiles| {
        let frames = camera.stream.subscribe(Join::Ring);
        Segment::start(target(folder.path().join(file), format), frames, launch, Bounds::default()).unwrap_err()
    };
    let error = start("a.mp4", RecordingFormat::Fmp4, &mjpeg, &launch);
    assert_eq!(*error.kind(), Kind::Unsupported { feature: "MJPEG in fmp4".into() });
    assert!(error.message().contains("mkv"), "{error}");
    let error = start("a.ts", RecordingFormat::MpegTs, &mjpeg, &launch);
    assert_eq!(*error.kind(), Kind::Unsupported { feature: "MJPEG in mpegts".into() });
    let error = start("missing/a.mp4", RecordingFormat::Fmp4, &h264, &launch);
    assert_eq!(*error.kind(), Kind::Dependency { dependency: "disk".into() });
    std::fs::create_dir_all(folder.path().join("pipelines/output")).unwrap();
    std::fs::write(folder.path().join("pipelines/output/record-mp4.launch"), "appsrc name=frames ! nosuchmuxer")
        .unwrap();
    let broken = LaunchFiles::new(Some(folder.path().join("pipelines")));
    let error = start("b.mp4", RecordingFormat::Mp4, &h264, &broken);
    assert!(error.message().contains("nosuchmuxer"), "{error}");
    std::fs::write(folder.path().join("taken.mp4"), "somebody's").unwrap();
    start("taken.mp4", RecordingFormat::Fmp4, &h264, &launch);
    assert_eq!(std::fs::read(folder.path().join("taken.mp4")).unwrap(), b"somebody's");
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["pipelines", "taken.mp4"]);
}

#[test]
fn a_recording_without_a_frame_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    crate::media::init().unwrap();
    let stream = Stream::new(TestCamera::burst(Codec::H264, 1).stream.format(), Limits::default());
    let file = folder.path().join("empty.mp4");
    let segment = begin(file.clone(), RecordingFormat::Fmp4, &stream, Bounds::default());
    assert!(stream.take_key_frame_request(), "a recorder asks for its first key frame");
    segment.stop();
    let report = finish(segment);
    assert!(matches!(report.end, SegmentEnd::Stopped), "{report:?}");
    assert_eq!((report.frames, report.bytes, report.duration), (0, 0, Duration::ZERO));
    assert!(!file.exists());
}
