//! Files as this service's recorder writes them, whole, growing and cut, beside what ffprobe says of them.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Instant,
};

use proptest::prelude::*;

use super::*;
use crate::{
    frame::Codec,
    media::launch::LaunchFiles,
    output::{
        recorder::{Bounds, Segment, Syncs, Target, extension},
        test_camera::{TestCamera, output},
    },
    stream::{Join, Limits, Next, Stream},
};

/// Frames of a whole recording, at 30 a second.
const FRAMES: usize = 150;

fn film_in(file: &Path) -> Film {
    let file = File::open(file).unwrap();
    let size = file.metadata().unwrap().len();
    film(&file, size).unwrap().expect("a recording")
}

fn film_of(bytes: &[u8]) -> Option<Film> {
    film(Cursor::new(bytes), bytes.len() as u64).unwrap()
}

fn begin(file: PathBuf, format: RecordingFormat, stream: &Arc<Stream>) -> Segment {
    let (target, frames) =
        (Target { file, mark: None, format, part: None, syncs: Syncs::default() }, stream.subscribe(Join::Ring));
    Segment::start(target, frames, &LaunchFiles::default(), Bounds::default()).unwrap()
}

/// Records [`FRAMES`] frames.
fn record(folder: &Path, codec: Codec, format: RecordingFormat) -> PathBuf {
    record_with_start(folder, codec, format).0
}

/// The same, and when the first frame was captured.
fn record_with_start(folder: &Path, codec: Codec, format: RecordingFormat) -> (PathBuf, SystemTime) {
    let file = folder.join(format!("{codec}-{format}.{}", extension(format)));
    let camera = TestCamera::burst(codec, FRAMES);
    let limits = Limits { gops: FRAMES, bytes: usize::MAX, frames: FRAMES, ..Limits::default() };
    let stream = Stream::new(camera.stream.format(), limits);
    let mut segment = begin(file.clone(), format, &stream);
    for frame in &camera.frames {
        stream.publish(frame.pts, frame.key, frame.captured, frame.data.clone());
    }
    segment.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(segment.finished());
    (file, camera.frames[0].captured)
}

/// Place and length in the file, and time in seconds.
type Packet = (u64, u64, f64);

/// Every packet, as ffprobe sees them.
fn packets(file: &Path) -> Vec<Packet> {
    let entries = ["-show_entries", "packet=pts_time,size,pos", "-of", "csv=p=0", file.to_str().unwrap()];
    let text = output("ffprobe", &[&["-v", "fatal", "-select_streams", "v"][..], &entries].concat());
    let packet = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        (fields[2].parse().unwrap(), fields[1].parse().unwrap(), fields[0].parse().unwrap())
    };
    text.lines().filter(|line| !line.is_empty()).map(packet).collect()
}

/// To a hundredth of a second.
fn assert_near(duration: Option<Duration>, seconds: f64) {
    let told = duration.expect("a duration").as_secs_f64();
    assert!((told - seconds).abs() < 0.01, "{told} s, not {seconds} s");
}

/// The fragmented recording and its packets, made once.
static FRAGMENTED: LazyLock<(Vec<u8>, Vec<Packet>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = record(folder.path(), Codec::H264, RecordingFormat::Fmp4);
    (fs::read(&file).unwrap(), packets(&file))
});

/// The same as Matroska.
static MATROSKA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    fs::read(record(folder.path(), Codec::H264, RecordingFormat::Mkv)).unwrap()
});

/// The same as MPEG-TS.
static TRANSPORT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    fs::read(record(folder.path(), Codec::H264, RecordingFormat::MpegTs)).unwrap()
});

/// Where each whole `mdat` ends that begins before `cut`: boxes, read as simply as can be.
fn whole_media(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (0, Vec::new());
    while let Some(head) = bytes.get(at..at + 8) {
        let size = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        at += size.max(8);
        if &head[4..] == b"mdat" && at <= bytes.len() {
            ends.push(at);
        }
    }
    ends
}

#[test]
fn durations_and_times_are_true_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for (codec, format) in [
        (Codec::H264, RecordingFormat::Fmp4),
        (Codec::H264, RecordingFormat::Mp4),
        (Codec::H264, RecordingFormat::Mkv),
        (Codec::H264, RecordingFormat::MpegTs),
        (Codec::Mjpeg, RecordingFormat::Mkv),
    ] {
        let (file, started) = record_with_start(folder.path(), codec, format);
        let film = film_in(&file);
        assert_eq!(film.format, format);
        let entries = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file.to_str().unwrap()];
        assert_near(film.duration, output("ffprobe", &entries).trim().parse().unwrap());
        assert_near(film.duration, FRAMES as f64 / 30.0);
        let created = film.created.expect("a time");
        let off = created.duration_since(started).or_else(|_| started.duration_since(created)).unwrap();
        assert!(off < Duration::from_millis(1), "{format}: {off:?}");
    }
}

#[test]
fn a_file_that_grows_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for format in [RecordingFormat::Fmp4, RecordingFormat::Mp4, RecordingFormat::Mkv, RecordingFormat::MpegTs] {
        let file = folder.path().join(format!("growing.{format}.{}", extension(format)));
        let camera = TestCamera::live(Codec::H264, 15);
        let segment = begin(file.clone(), format, &camera.stream);
        let copy = folder.path().join(format!("cut.{}", extension(format)));
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut reader = camera.stream.subscribe(Join::Ring);
        loop {
            assert!(matches!(reader.next_before(deadline), Some(Next::Frame(_))), "nothing is written");
            fs::copy(&file, &copy).unwrap();
            let read = fs::read(&copy).unwrap();
            if film_of(&read).and_then(|film| film.duration).is_some_and(|far| far > Duration::from_millis(1200)) {
                break;
            }
        }
        let packets = packets(&copy);
        let last = packets.iter().map(|packet| packet.2 - packets[0].2).fold(0.0, f64::max);
        // ffprobe also counts what it finds of a part that is not whole, up to a second of it.
        let told = film_in(&copy).duration.unwrap().as_secs_f64();
        let most = last + 1.0 / 30.0;
        assert!((most - 1.05..most + 0.01).contains(&told), "{format}: {told} s, not {most} s");
        drop(segment);
    }
}

#[test]
fn a_matroska_file_that_was_cut_off_plays_up_to_its_last_whole_frame() {
    let whole = &*MATROSKA;
    // As it is before it is closed: without a duration.
    let mut open = whole.clone();
    let place = open.windows(3).position(|bytes| bytes == [0x44, 0x89, 0x88]).expect("a duration");
    open[place + 3..place + 11].fill(0);
    assert_near(film_of(&open).unwrap().duration, FRAMES as f64 / 30.0);
    let folder = tempfile::tempdir().unwrap();
    for parts in 2..9 {
        let cut = &open[..whole.len() * parts / 10];
        let file = folder.path().join("cut.mkv");
        fs::write(&file, cut).unwrap();
        let place = |(pos, size, _): &&Packet| pos + size + 10 <= cut.len() as u64;
        let last = packets(&file).iter().filter(place).map(|packet| packet.2).fold(0.0, f64::max);
        let told = film_of(cut).unwrap().duration.unwrap().as_secs_f64();
        assert!((told - last - 1.0 / 30.0).abs() < 0.04, "{parts}: {told} s, not {last} s and a frame");
    }
}

#[test]
fn what_is_no_recording_or_picture_tells_nothing() {
    for text in ["", "\0\0\0", "plain text that is long enough", "\0\0\0\u{8}ftyp", "\0\0\0\u{8}free"] {
        assert_eq!(film_of(text.as_bytes()).and_then(|film| film.duration), None);
    }
    let size = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        picture_size(&file).unwrap()
    };
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x05\0\0\0\x02\xd0\x08\x02\0\0\0";
    let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\x02\xd0\x05\0\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    let hd = Some(PictureSize { width: 1280, height: 720 });
    assert_eq!((size(png), size(jpeg)), (hd, hd));
    assert_eq!((size(&png[..12]), size(&jpeg[..10]), size(b"a text of some length")), (None, None, None));
}

/// Moves the times of all frames, which take five bytes each, so that the first is decoded at `begin`.
fn begin_at(transport: &[u8], begin: u64) -> Vec<u8> {
    let mut bytes = transport.to_vec();
    let mut moved = None;
    for packet in bytes.chunks_mut(188) {
        let place = packet.windows(4).position(|start| start == [0, 0, 1, 0xe0]);
        // In the table of programs it means something else.
        let Some(place) = place.filter(|_| packet[1..3] == [0x40, 0x41]) else { continue };
        assert_eq!(packet[place + 7] >> 6, 2, "shown when they are decoded");
        let field = &mut packet[place + 9..place + 14];
        let [a, b, c, d, e]: [u64; 5] =
            [field[0] >> 1 & 7, field[1], field[2] >> 1, field[3], field[4] >> 1].map(Into::into);
        let was = a << 30 | b << 22 | c << 15 | d << 7 | e;
        let time = was.wrapping_add(begin).wrapping_sub(*moved.get_or_insert(was)) % (1 << 33);
        let part = |shift: u32, bits: u64| (time >> shift & bits) as u8;
        field.copy_from_slice(&[
            0x21 | part(30, 7) << 1,
            part(22, 0xff),
            1 | part(15, 0x7f) << 1,
            part(7, 0xff),
            1 | part(0, 0x7f) << 1,
        ]);
    }
    bytes
}

#[test]
fn the_clock_of_a_transport_stream_may_begin_anew() {
    let (whole, length) = (&*TRANSPORT, FRAMES as f64 / 30.0);
    // Two seconds before the end of the clock's 26.5 hours; on the last frame; on the one before it.
    for before in [180_000, 149 * 3000, 148 * 3000, 1, 0] {
        let moved = begin_at(whole, ((1u64 << 33) - before) % (1 << 33));
        assert_near(film_of(&moved).unwrap().duration, length);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wraps.ts");
    fs::write(&file, begin_at(whole, (1 << 33) - 180_000)).unwrap();
    let entries = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file.to_str().unwrap()];
    assert_near(film_in(&file).duration, output("ffprobe", &entries).trim().parse().unwrap());
}

#[test]
fn of_a_transport_stream_only_its_ends_are_read() {
    /// A file that counts what is read of it.
    struct Counted(Cursor<Vec<u8>>, usize);
    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += read;
            Ok(read)
        }
    }
    impl Seek for Counted {
        fn seek(&mut self, place: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(place)
        }
    }
    let read = |bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        let mut file = Counted(Cursor::new(bytes), 0);
        (film(&mut file, size).unwrap().unwrap(), file.1)
    };
    let whole = &*TRANSPORT;
    let long = whole.repeat(16_000_000 / whole.len());
    let (film, count) = read(long.clone());
    assert_near(film.duration, FRAMES as f64 / 30.0);
    assert!(film.created.is_some() && count < 500_000, "{count}");
    // Zeros behind it, or something else that is no packet, are passed over, as far as there is sense in it.
    assert_eq!(read([&whole[..], &[0; 100_000]].concat()).0.duration, read(whole.clone()).0.duration);
    let (film, count) = read([&whole[..], &[0x47; 40_000_000]].concat());
    assert!(film.duration.is_none() && count < 8_000_000, "{film:?} {count}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A power cut leaves any part of the file, and perhaps zeros behind it.
    #[test]
    fn a_cut_recording_lasts_as_long_as_its_whole_fragments(share in 0.0f64..1.0, zeros in 0usize..200) {
        let (whole, packets) = &*FRAGMENTED;
        let mut cut = whole[..(whole.len() as f64 * share) as usize].to_vec();
        let end = whole_media(&cut).last().copied().unwrap_or(0) as u64;
        let frames = packets.iter().filter(|(pos, size, _)| pos + size <= end).count();
        let expected = Duration::from_secs_f64(frames as f64 / 30.0);
        cut.resize(cut.len() + zeros, 0);
        // A box whose end is zeros is whole, as far as anybody can tell: only the zeros of a hole are.
        prop_assume!(zeros == 0 || whole_media(&cut).last().copied().unwrap_or(0) as u64 == end);
        let told = film_of(&cut).and_then(|film| film.duration).unwrap_or_default();
        prop_assert!(told.abs_diff(expected) < Duration::from_millis(5), "{:?} of {:?}", told, expected);
    }

    /// Broken files are told of somehow, and at once.
    #[test]
    fn nothing_in_a_file_is_too_much(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        container in 0usize..3,
        front: bool,
    ) {
        let mut bytes = [&FRAGMENTED.0, &*MATROSKA, &*TRANSPORT][container].clone();
        let most = if front { 1500.min(bytes.len()) } else { bytes.len() };
        for (place, value) in flips {
            bytes[place.index(most)] = value;
        }
        film_of(&bytes);
    }
}
