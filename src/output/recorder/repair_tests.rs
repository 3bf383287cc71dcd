//! Files that were cut off anywhere, and what a power cut leaves behind their end.

use super::{
    tests::{begin, finish, plays, publish},
    *,
};
use crate::{
    output::test_camera::{TestCamera, output},
    stream::{Limits, Stream},
};

fn recorded(folder: &Path, format: RecordingFormat) -> (Vec<u8>, SystemTime) {
    let camera = TestCamera::burst(Codec::H264, 90);
    let limits = Limits { gops: 1000, bytes: usize::MAX, frames: 1000, ..Limits::default() };
    let stream = Stream::new(camera.stream.format(), limits);
    let file = folder.join(format!("whole.{}", extension(format)));
    let segment = begin(file.clone(), format, &stream, Bounds::default());
    publish(&stream, &camera.frames);
    segment.stop();
    let report = finish(segment);
    assert_eq!(report.frames, 90);
    (std::fs::read(&file).unwrap(), report.started)
}

fn packets(file: &Path) -> u64 {
    let file = file.to_str().unwrap();
    let entries = ["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"];
    // Of MPEG-TS it tells twice: of the program, and of the stream.
    output("ffprobe", &[&entries[..], &[file]].concat()).lines().next().unwrap().trim_end_matches(',').parse().unwrap()
}

#[test]
fn fragments_that_are_whole_stay_wherever_the_file_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, started) = recorded(folder.path(), RecordingFormat::Fmp4);
    let file = folder.path().join("cut.mp4");
    let repaired = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        repair(&file, started, &LaunchFiles::default()).unwrap()
    };
    assert_eq!(repaired(&whole), Repaired::Whole { lost: 0 });
    let mut kept = Vec::new();
    for cut in (0..whole.len()).step_by(whole.len() / 37) {
        for behind in [0, 1, 8, 5000] {
            let bytes = [&whole[..cut], &vec![0; behind]].concat();
            match repaired(&bytes) {
                Repaired::Empty => assert!(kept.is_empty() && !file.exists(), "{cut}"),
                Repaired::Whole { lost } => {
                    let left = std::fs::read(&file).unwrap();
                    assert_eq!(left.len() as u64 + lost, bytes.len() as u64);
                    assert!(whole.starts_with(&left), "{cut}");
                    kept.push(packets(&file));
                    plays(&file);
                }
            }
        }
    }
    assert!(kept.is_sorted() && kept.first() == Some(&30) && kept.last() == Some(&60), "{kept:?}");
}

/// Frames that come out of a file, whatever a decoder says of it.
fn pictures(file: &Path) -> usize {
    let file = file.to_str().unwrap();
    let entries = ["-v", "quiet", "-select_streams", "v", "-show_entries", "frame=key_frame", "-of", "csv=p=0", file];
    output("ffprobe", &entries).lines().filter(|line| line.starts_with(['0', '1'])).count()
}

#[test]
fn mpegts_plays_wherever_it_was_cut_and_ends_with_a_whole_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, started) = recorded(folder.path(), RecordingFormat::MpegTs);
    let file = folder.path().join("cut.ts");
    let write = |bytes: &[u8]| std::fs::write(&file, bytes).unwrap();
    let repaired = || repair(&file, started, &LaunchFiles::default()).unwrap();
    write(&whole);
    assert_eq!((repaired(), packets(&file)), (Repaired::Whole { lost: 0 }, 90));
    let mut kept = Vec::new();
    for cut in (0..whole.len()).step_by(whole.len() / 15) {
        // Also between two packets.
        for cut in [cut, cut / 188 * 188] {
            for behind in [0, 5000] {
                let bytes = [&whole[..cut], &vec![0; behind]].concat();
                write(&bytes);
                match repaired() {
                    Repaired::Empty => assert!(kept.is_empty() && !file.exists(), "{cut}"),
                    Repaired::Whole { lost } => {
                        let left = std::fs::read(&file).unwrap();
                        assert_eq!(left.len() as u64 + lost, bytes.len() as u64);
                        assert!(whole.starts_with(&left), "{cut}");
                        plays(&file);
                        kept.push(pictures(&file));
                    }
                }
            }
            // It plays before it is repaired, too; what is taken away is half a frame, or one nobody can tell is whole.
            if let Some(after) = kept.last() {
                write(&whole[..cut]);
                let before = pictures(&file);
                assert!((*after..=after + 1).contains(&before), "{cut}: {after} of {before}");
            }
        }
    }
    assert!(kept.is_sorted() && kept[0] <= 6 && kept.last() >= Some(&86), "{kept:?}");
}

/// H.264 without its parameter sets.
fn bare(data: &[u8]) -> Vec<u8> {
    let starts = data.windows(3).enumerate().filter(|(_, start)| start == &[0, 0, 1]).map(|(at, _)| at + 3);
    let starts: Vec<_> = starts.chain([data.len() + 3]).collect();
    let units = starts.windows(2).map(|pair| &data[pair[0]..pair[1] - 3]);
    units.filter(|unit| ![7, 8].contains(&(unit[0] & 0x1f))).flat_map(|unit| [&[0, 0, 1][..], unit].concat()).collect()
}

#[test]
fn mpegts_plays_from_any_key_frame_on() {
    let folder = tempfile::tempdir().unwrap();
    let camera = TestCamera::burst(Codec::H264, 90);
    let stream = Stream::new(camera.stream.format(), Limits { gops: 90, frames: 90, ..Limits::default() });
    let file = folder.path().join("whole.ts");
    let segment = begin(file.clone(), RecordingFormat::MpegTs, &stream, Bounds::default());
    // A camera that says what its pictures are only once.
    for frame in &camera.frames {
        let data = if frame.seq == 0 { frame.data.clone() } else { bare(&frame.data).into() };
        stream.publish(frame.pts, frame.key, frame.captured, data);
    }
    segment.stop();
    assert_eq!(finish(segment).frames, 90);
    let places = ["-v", "error", "-show_entries", "packet=pos,flags", "-of", "csv=p=0", file.to_str().unwrap()];
    let places = output("ffprobe", &places);
    let keys =
        places.lines().filter_map(|line| line.split_once(",K")).map(|(place, _)| place.parse::<usize>().unwrap());
    let (keys, whole) = (keys.collect::<Vec<_>>(), std::fs::read(&file).unwrap());
    assert_eq!(keys.len(), 3, "{places}");
    let rest = folder.path().join("rest.ts");
    std::fs::write(&rest, &whole[keys[1]..]).unwrap();
    plays(&rest);
    assert_eq!(packets(&rest), 60);
}

#[test]
fn matroska_gets_its_duration_and_keeps_its_date() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, started) = recorded(folder.path(), RecordingFormat::Mkv);
    let file = folder.path().join("cut.mkv");
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(repair(&file, started, &LaunchFiles::default()), Ok(Repaired::Whole { .. })));
    let entries = ["-v", "error", "-show_entries", "format=duration:format_tags=creation_time", "-of", "json"];
    let told = output("ffprobe", &[&entries[..], &[file.to_str().unwrap()]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let seconds: f64 = told["format"]["duration"].as_str().unwrap().parse().unwrap();
    let kept = packets(&file);
    assert!((20..90).contains(&kept) && (seconds - kept as f64 / 30.0).abs() < 0.1, "{seconds} {kept}");
    plays(&file);
    let date = time::OffsetDateTime::from(started).date().to_string();
    assert!(told["format"]["tags"]["creation_time"].as_str().unwrap().starts_with(&date), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
}

#[test]
fn what_is_no_recording_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.mp4");
    std::fs::write(&file, "something else altogether").unwrap();
    let error = repair(&file, SystemTime::now(), &LaunchFiles::default()).unwrap_err();
    assert!(error.message().contains("neither MP4, Matroska nor MPEG-TS"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"something else altogether");
    std::fs::write(&file, [0; 4096]).unwrap();
    assert_eq!(repair(&file, SystemTime::now(), &LaunchFiles::default()).unwrap(), Repaired::Empty);
}
