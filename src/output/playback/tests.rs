//! Films of files that ffmpeg cut out of one stream, read back and decoded by ffmpeg: nothing of ours on either side.

use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use super::*;

const RATE: u64 = 30;
/// Frames of each file, and from key frame to key frame.
const FILE: u64 = 90;
const GOP: u64 = 30;

fn at(frames: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + frame(frames)
}

fn frame(frames: u64) -> Duration {
    Duration::from_nanos(frames * 1_000_000_000 / RATE)
}

fn ffmpeg(arguments: &[&str]) -> String {
    let output = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Three files of three seconds that follow each other, with B-frames, and the picture of each of their frames.
fn recorded(folder: &Path, fragmented: bool) -> (Vec<Segment>, Vec<String>) {
    let whole = folder.join("whole.mkv").display().to_string();
    let source = "testsrc2=size=160x120:rate=30";
    let coding = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-sc_threshold", "0"];
    let head = ["-f", "lavfi", "-i", source, "-t", "9", "-pix_fmt", "yuv420p"];
    ffmpeg(&[&head[..], &coding, &[&whole]].concat());
    let options = match fragmented {
        true => "movflags=+frag_keyframe+empty_moov+default_base_moof",
        false => "movflags=+faststart",
    };
    let cut = ["-c", "copy", "-f", "segment", "-segment_time", "3", "-reset_timestamps", "1"];
    let into = ["-segment_format", "mp4", "-segment_format_options", options];
    let names = folder.join("%d.mp4").display().to_string();
    ffmpeg(&[&["-i", &whole][..], &cut, &into, &[&names]].concat());
    let segment = |number: u64| Segment {
        path: folder.join(format!("{number}.mp4")),
        began: at(number * FILE),
        duration: frame(FILE),
    };
    ((0..3).map(segment).collect(), pictures(&whole))
}

/// A hash of each picture that is shown.
fn pictures(file: &str) -> Vec<String> {
    let text = ffmpeg(&["-i", file, "-f", "framemd5", "-fps_mode", "passthrough", "-"]);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned())).collect()
}

fn save(mut film: Film, folder: &Path) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = film.piece().unwrap() {
        bytes.extend(piece);
    }
    let path = folder.join("film.mp4");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// When the packets of a film are shown, in frames.
fn times(film: &str) -> Vec<i64> {
    let arguments = ["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", film];
    let output = Command::new("ffprobe").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let seconds = text.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
    let mut times: Vec<_> = seconds.map(|seconds| (seconds * RATE as f64).round() as i64).collect();
    times.sort_unstable();
    times
}

#[test]
fn a_film_shows_each_frame_of_the_time_that_was_asked_for_across_files() {
    for fragmented in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (segments, pictures_of_all) = recorded(folder.path(), fragmented);
        assert_eq!(pictures_of_all.len() as u64, 3 * FILE);
        for (container, start, count) in [
            (Container::Plain, 0, 3 * FILE),
            (Container::Fragmented, 0, 3 * FILE),
            // In the middle of a GOP, into the second file; and in one GOP of the last.
            (Container::Plain, 50, 100),
            (Container::Fragmented, 50, 100),
            (Container::Plain, 215, 7),
            (Container::Fragmented, 215, 7),
        ] {
            let film = Film::open(&segments, at(start), frame(count), container).unwrap().unwrap();
            let film = save(film, folder.path());
            let times = times(&film);
            let shown: Vec<_> = times.iter().copied().filter(|time| (0..count as i64).contains(time)).collect();
            let what = format!("{container:?} of fragments: {fragmented}, {start}+{count}");
            assert_eq!(shown, (0..count as i64).collect::<Vec<_>>(), "{what}");
            // What comes before is needed to decode it, and not more than a GOP.
            assert!(times.iter().all(|time| *time > -(GOP as i64)), "{what}: {times:?}");
            let wanted = &pictures_of_all[start as usize..(start + count) as usize];
            let pictures = pictures(&film);
            // Of fragments ffmpeg shows all, also what is before the beginning.
            let before = times.iter().filter(|time| **time < 0).count();
            let from = if pictures.len() >= before + count as usize { before } else { 0 };
            assert_eq!(&pictures[from..from + count as usize], wanted, "{what}");
        }
    }
}

#[test]
fn a_file_that_still_grows_plays_up_to_its_last_whole_fragment() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, pictures_of_all) = recorded(folder.path(), true);
    segments.truncate(1);
    let path = &segments[0].path;
    let bytes = std::fs::read(path).unwrap();
    let half = bytes.len() / 2;
    std::fs::write(path, &bytes[..half]).unwrap();
    let film = Film::open(&segments, at(0), frame(FILE), Container::Plain).unwrap().unwrap();
    let shown = pictures(&save(film, folder.path()));
    assert!(shown.len() as u64 >= GOP && (shown.len() as u64).is_multiple_of(GOP), "{}", shown.len());
    assert_eq!(shown, pictures_of_all[..shown.len()]);
}

#[test]
fn nothing_comes_of_a_time_without_a_recording_and_a_gap_ends_a_film() {
    let folder = tempfile::tempdir().unwrap();
    let (mut segments, _) = recorded(folder.path(), true);
    for (start, count) in [(3 * FILE, 10), (1000, 100)] {
        assert!(Film::open(&segments, at(start), frame(count), Container::Plain).unwrap().is_none());
    }
    let before = at(0) - Duration::from_secs(10);
    assert!(Film::open(&segments, before, Duration::from_secs(10), Container::Plain).unwrap().is_none());
    // Ten seconds between the second file and the third.
    segments[2].began = at(2 * FILE) + Duration::from_secs(10);
    let film = Film::open(&segments, at(0), Duration::from_secs(60), Container::Plain).unwrap().unwrap();
    assert_eq!(pictures(&save(film, folder.path())).len() as u64, 2 * FILE);
    let found = spans(&segments, None, None);
    let expected =
        [Span { start: at(0), duration: frame(2 * FILE) }, Span { start: segments[2].began, duration: frame(FILE) }];
    assert_eq!(found, expected);
    let clipped = spans(&segments, Some(at(30)), Some(at(60)));
    assert_eq!(clipped.len(), 1);
    assert_eq!((clipped[0].start, clipped[0].duration), (at(30), at(60).duration_since(at(30)).unwrap()));
}

#[test]
fn a_film_ends_where_the_picture_changes_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (segments, _) = recorded(folder.path(), true);
    let other = segments[1].path.display().to_string();
    let flags = "+frag_keyframe+empty_moov+default_base_moof";
    let source = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", "-t", "3", "-pix_fmt", "yuv420p"];
    ffmpeg(&[&source[..], &["-c:v", "libx264", "-movflags", flags, &other]].concat());
    let film = Film::open(&segments, at(0), frame(3 * FILE), Container::Fragmented).unwrap().unwrap();
    assert_eq!(pictures(&save(film, folder.path())).len() as u64, FILE);
}

#[test]
fn a_film_of_many_files_has_few_of_them_open() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = recorded(folder.path(), true);
    // The same three seconds again and again, each in a file of its own.
    let many = (0..40u64).map(|number| {
        let path = folder.path().join(format!("{number}-again.mp4"));
        std::fs::copy(&first[0].path, &path).unwrap();
        Segment { path, began: at(number * FILE), duration: frame(FILE) }
    });
    let segments: Vec<_> = many.collect();
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| file.ok()?.path().read_link().ok());
        files.filter(|file| file.starts_with(folder.path())).count()
    };
    for container in [Container::Plain, Container::Fragmented] {
        let mut film = Film::open(&segments, at(0), frame(40 * FILE), container).unwrap().unwrap();
        let (mut most, mut bytes) = (open(), Vec::new());
        while let Some(piece) = film.piece().unwrap() {
            most = most.max(open());
            bytes.extend(piece);
        }
        assert!(most <= 2, "{container:?}: {most}");
        let path = folder.path().join("film.mp4");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(times(&path.display().to_string()).len() as u64, 40 * FILE, "{container:?}");
        drop(film);
        assert_eq!(open(), 0, "{container:?}");
    }
}

#[test]
fn a_film_ends_in_an_error_when_a_file_was_taken_away_or_replaced() {
    for replaced in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (segments, _) = recorded(folder.path(), true);
        let mut film = Film::open(&segments, at(0), frame(3 * FILE), Container::Plain).unwrap().unwrap();
        let aside = folder.path().join("aside");
        std::fs::rename(&segments[2].path, &aside).unwrap();
        if replaced {
            std::fs::copy(&aside, &segments[2].path).unwrap();
        }
        let ended = std::iter::from_fn(|| film.piece().transpose()).find_map(Result::err);
        assert_eq!(ended.unwrap().message(), "a recording cannot be read any more", "{replaced}");
    }
}
