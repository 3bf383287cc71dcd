//! A recording in several files: nothing is lost between them, nothing comes twice.

use std::sync::Arc;

use super::{tests::target, *};
use crate::{
    frame::EncodedFrame,
    output::test_camera::{TestCamera, output},
    stream::{Join, Stream},
};

/// The pictures in a file, each as a hash of its decoded bytes.
fn pictures(file: &Path) -> Vec<String> {
    let text = output("ffmpeg", &["-v", "error", "-i", file.to_str().unwrap(), "-f", "framemd5", "-"]);
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Records all that is in the stream into as many files as it takes, each begun before the one before is closed.
fn record_all(
    folder: &Path,
    format: RecordingFormat,
    stream: &Arc<Stream>,
    bounds: Bounds,
) -> Vec<(PathBuf, SegmentReport)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut segments = Vec::new();
    let mut frames = Some(stream.subscribe(Join::Past(Duration::MAX)));
    runtime.block_on(async {
        while let Some(next) = frames.take() {
            let file = folder.join(format!("{}.{}", segments.len(), extension(format)));
            let mut segment =
                Segment::start(target(file.clone(), format), next, &LaunchFiles::default(), bounds).unwrap();
            if let Some(rest) = segment.taken().await {
                frames = Some(rest.subscription);
            }
            segments.push((file, segment));
        }
        let mut reports = Vec::new();
        for (file, mut segment) in segments {
            reports.push((file, segment.finished().await));
        }
        reports
    })
}

/// The frames as they came from the encoder, in a file of their own.
fn raw(folder: &Path, frames: &[EncodedFrame]) -> PathBuf {
    let file = folder.join("raw.h264");
    std::fs::write(&file, frames.iter().flat_map(|frame| frame.data.to_vec()).collect::<Vec<u8>>()).unwrap();
    file
}

#[test]
fn files_of_a_length_have_every_picture_once() {
    let folder = tempfile::tempdir().unwrap();
    // Five seconds of GOPs of a second.
    let camera = TestCamera::burst(Codec::H264, 150);
    camera.stream.close();
    let all = pictures(&raw(folder.path(), &camera.frames));
    assert_eq!(all.len(), 150);
    for format in [RecordingFormat::Fmp4, RecordingFormat::Mp4, RecordingFormat::Mkv, RecordingFormat::MpegTs] {
        // Not a multiple of the GOP: the cut waits for a key frame.
        let bounds = Bounds { cut_after: Some(Duration::from_millis(1500)), ..Bounds::default() };
        let files = record_all(folder.path(), format, &camera.stream, bounds);
        let lengths: Vec<_> = files.iter().map(|(_, report)| (report.frames, report.missed)).collect();
        assert_eq!(lengths, [(60, 0), (60, 0), (30, 0)], "{format}");
        assert!(matches!(files[0].1.end, SegmentEnd::Cut) && matches!(files[2].1.end, SegmentEnd::StreamClosed));
        assert_eq!(files[0].1.duration, camera.frames[60].pts - camera.frames[0].pts, "{format}");
        assert_eq!(files[1].1.started, camera.frames[60].captured, "{format}");
        let joined: Vec<_> = files.iter().flat_map(|(file, _)| pictures(file)).collect();
        assert_eq!(joined, all, "{format}");
        for (file, _) in files {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn files_of_a_size_stay_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let camera = TestCamera::burst(Codec::H264, 150);
    camera.stream.close();
    let bytes = |frames: &[EncodedFrame]| frames.iter().map(|frame| frame.data.len() as u64).sum::<u64>();
    let gops: Vec<u64> = camera.frames.chunks(30).map(bytes).collect();
    let most = gops.iter().max().unwrap() * 5 / 2;
    let bounds = Bounds { cut_at: Some(most), ..Bounds::default() };
    let files = record_all(folder.path(), RecordingFormat::Fmp4, &camera.stream, bounds);
    let frames: Vec<_> = files.iter().map(|(_, report)| report.frames).collect();
    assert_eq!(frames, [60, 60, 30]);
    let joined: Vec<_> = files.iter().flat_map(|(file, _)| pictures(file)).collect();
    assert_eq!(joined, pictures(&raw(folder.path(), &camera.frames)));
}

#[test]
fn a_cut_that_is_due_asks_for_a_key_frame() {
    let folder = tempfile::tempdir().unwrap();
    // One GOP without an end, unless somebody asks.
    let camera = TestCamera::live(Codec::H264, 10_000);
    let bounds = Bounds { cut_after: Some(Duration::from_millis(500)), ..Bounds::default() };
    let frames = camera.stream.subscribe(Join::Live);
    let file = folder.path().join("long.mp4");
    let mut segment =
        Segment::start(target(file, RecordingFormat::Fmp4), frames, &LaunchFiles::default(), bounds).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rest = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), segment.taken()).await });
    let mut rest = rest.expect("it is cut").expect("it goes on");
    assert!(rest.duration >= Duration::from_millis(500));
    assert!(matches!(rest.subscription.poll(), Some(crate::stream::Next::Frame(frame)) if frame.key));
}

#[test]
fn the_file_says_when_it_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let camera = TestCamera::burst(Codec::H264, 60);
    camera.stream.close();
    let first = camera.frames[0].captured.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let tag = |file: &Path, name: &str| {
        let entry = format!("format_tags={name}");
        let file = file.to_str().unwrap();
        output("ffprobe", &["-v", "error", "-show_entries", &entry, "-of", "csv=p=0", file]).trim().to_owned()
    };
    let utc = time::OffsetDateTime::UNIX_EPOCH + first;
    let seconds = format!("{}T{:02}:{:02}:{:02}", utc.date(), utc.hour(), utc.minute(), utc.second());
    for (format, name) in [(RecordingFormat::Mp4, "comment"), (RecordingFormat::Mkv, "creation_time")] {
        let (file, _) = record_all(folder.path(), format, &camera.stream, Bounds::default()).remove(0);
        let told = tag(&file, name);
        assert_eq!(told, format!("{seconds}.{:06}Z", utc.microsecond()), "{format}");
        std::fs::remove_file(file).unwrap();
    }
    // Fragments have it as NTP time: seconds since 1900, and 2^32nd parts of one.
    let (file, _) = record_all(folder.path(), RecordingFormat::Fmp4, &camera.stream, Bounds::default()).remove(0);
    let bytes = std::fs::read(file).unwrap();
    let found: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, word)| word == b"prft").map(|(at, _)| at).collect();
    assert!(found.len() >= 2, "one ahead of every fragment: {found:?}");
    // Type, version and flags, track id, then the time.
    let at = found[0] + 4 + 4 + 4;
    let ntp = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let (whole, fraction) = (ntp >> 32, ntp & 0xffff_ffff);
    let told = Duration::from_secs(whole - 2_208_988_800) + Duration::from_nanos((fraction * 1_000_000_000) >> 32);
    assert!(told.abs_diff(first) < Duration::from_millis(1), "{told:?} {first:?}");
    // Of MPEG-TS every key frame says it, in a message that players know as one of the encoder's.
    let (file, _) = record_all(folder.path(), RecordingFormat::MpegTs, &camera.stream, Bounds::default()).remove(0);
    let said = |line: &str| line == "H.26[45] User Data Unregistered SEI message";
    let messages =
        ["-v", "error", "-show_entries", "frame=key_frame:frame_side_data=side_data_type", "-of", "default=nk=1:nw=1"];
    let told = output("ffprobe", &[&messages[..], &[file.to_str().unwrap()]].concat());
    let frames: Vec<_> = told.lines().collect();
    let keys = frames.iter().filter(|line| **line == "1").count();
    assert_eq!((keys, frames.iter().filter(|line| **line == "0").count()), (2, 58), "{told}");
    assert_eq!(frames.iter().filter(|line| said(line)).count(), keys + 1, "x264 has one in the first: {told}");
}
