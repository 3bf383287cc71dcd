//! The promises of a snapshot, checked with ffprobe and exiv2.

use std::{
    path::Path,
    sync::{Arc, Barrier},
    time::{Instant, UNIX_EPOCH},
};

use gst::prelude::*;
use img_parts::{ImageEXIF, jpeg::Jpeg};
use proptest::prelude::*;

use super::*;
use crate::{
    error::{Kind, Result},
    frame::{Codec, EncodedFrame, Format},
    media::{launch::LaunchFiles, tap::Tap},
    output::test_camera::{TestCamera, output, wait_for_frames},
    stream::{Join, Limits, Next, Stream},
};

const JPEG: SnapshotRequest =
    SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 85, max_width: None, max_height: None };
const PNG: SnapshotRequest = SnapshotRequest { format: SnapshotFormat::Png, ..JPEG };

fn caption() -> Caption {
    Caption { camera: "camera0".into(), model: Some("Test Webcam".into()) }
}

fn pictures(stream: &Arc<Stream>, tap: Tap, launch: &LaunchFiles) -> (Arc<Pictures>, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    (Pictures::new(Arc::clone(stream), Arc::new(tap), launch.clone(), Arc::clone(&counters)), counters)
}

fn take(stream: &Arc<Stream>, launch: &LaunchFiles, request: SnapshotRequest) -> Result<Picture> {
    pictures(stream, Tap::default(), launch).0.look().picture(request, &caption())
}

fn snap(camera: &TestCamera, request: SnapshotRequest) -> Picture {
    take(&camera.stream, &LaunchFiles::default(), request).unwrap()
}

/// A file of a picture, and its path.
fn file(picture: &Picture) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &picture.data).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

/// A JPEG without what is said in it.
fn bare(jpeg: &Bytes) -> Bytes {
    let mut jpeg = Jpeg::from_bytes(jpeg.clone()).unwrap();
    jpeg.set_exif(None);
    jpeg.encoder().bytes()
}

/// Codec, width and height of what is in the file, which has to decode without complaint.
fn probe(picture: &Picture) -> String {
    let (_file, path) = file(picture);
    let path = path.as_str();
    output("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]);
    output("ffprobe", &["-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", path])
        .trim()
        .to_owned()
}

/// The picture at `number` in the burst, as the camera's own pixels say: where the bright ball is.
fn ball(launch: &LaunchFiles, frames: &[EncodedFrame], format: Format) -> Bytes {
    let deadline = Instant::now() + PATIENCE;
    let (raw, _) = picture::decode(launch, format, frames, deadline).unwrap();
    let size = (format.width, format.height);
    let png = picture::encode(launch, &raw, SnapshotFormat::Png, 85, size, deadline).unwrap();
    caption().put(png, SnapshotFormat::Png, frames.last().unwrap().captured).unwrap()
}

#[test]
fn h264_becomes_a_jpeg_or_png_of_the_newest_frame() {
    let camera = TestCamera::burst(Codec::H264, 45);
    let newest = camera.frames.last().unwrap();
    for (request, codec) in [(JPEG, "mjpeg"), (PNG, "png")] {
        let picture = snap(&camera, request);
        assert_eq!(probe(&picture), format!("{codec},320,180"));
        assert_eq!((picture.width, picture.height, picture.captured), (320, 180, newest.captured));
    }
    // The newest frame is shown, not the key frame its GOP begins with.
    let (launch, format) = (LaunchFiles::default(), camera.stream.format());
    let shown = snap(&camera, PNG).data;
    assert_eq!(shown, ball(&launch, &camera.frames[30..45], format));
    assert_ne!(shown, ball(&launch, &camera.frames[30..31], format));
}

#[test]
fn every_decoder_that_is_installed_decodes_to_the_newest_frame() {
    let camera = TestCamera::burst(Codec::H264, 45);
    let frames = camera.stream.newest_gop();
    let mut tried = 0;
    for file in picture::decoders(Codec::H264) {
        let line = LaunchFiles::default().line(file).unwrap();
        if crate::media::launch::pipeline(&line).is_err() {
            continue;
        }
        tried += 1;
        let deadline = Instant::now() + PATIENCE;
        let raw =
            picture::decode_with(&LaunchFiles::default(), file, camera.stream.format(), &frames, deadline).unwrap();
        let pts = raw.buffer().unwrap().pts().map(Duration::from);
        assert_eq!(pts, Some(camera.frames.last().unwrap().pts), "{file}");
    }
    assert!(tried > 0, "no H.264 decoder is installed");
}

#[test]
fn pictures_are_scaled_down_in_their_shape_and_quality_is_heard() {
    let camera = TestCamera::burst(Codec::H264, 5);
    let small = snap(&camera, SnapshotRequest { max_width: Some(160), max_height: Some(160), ..JPEG });
    assert_eq!((probe(&small).as_str(), small.width, small.height), ("mjpeg,160,90", 160, 90));
    let coarse = snap(&camera, SnapshotRequest { quality: 10, ..JPEG });
    assert!(coarse.data.len() < snap(&camera, SnapshotRequest { quality: 100, ..JPEG }).data.len());
    for quality in [0, 101] {
        let error = take(&camera.stream, &LaunchFiles::default(), SnapshotRequest { quality, ..JPEG }).unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidParams { param, .. } if param == "quality"));
    }
}

#[test]
fn mjpeg_stays_the_cameras_own_picture_unless_it_must_change() {
    let camera = TestCamera::burst(Codec::Mjpeg, 3);
    let newest = camera.frames.last().unwrap();
    let picture = snap(&camera, SnapshotRequest { max_width: Some(320), ..JPEG });
    assert_eq!(bare(&picture.data), newest.data);
    assert_eq!((probe(&picture).as_str(), picture.captured), ("mjpeg,320,180", newest.captured));
    assert_eq!(probe(&snap(&camera, SnapshotRequest { max_height: Some(90), ..JPEG })), "mjpeg,160,90");
    assert_eq!(probe(&snap(&camera, PNG)), "png,320,180");
}

#[test]
fn mjpeg_without_huffman_tables_becomes_a_file_that_has_them() {
    let camera = TestCamera::burst(Codec::Mjpeg, 1);
    let whole = &camera.frames[0].data;
    assert!(picture::has_huffman_tables(whole));
    // As webcams send it: every segment but those of the tables.
    let (mut bare, mut at) = (whole[..2].to_vec(), 2);
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            bare.extend(&whole[at..end]);
        }
        at = end;
    }
    bare.extend(&whole[at..]);
    assert!(!picture::has_huffman_tables(&bare) && bare.len() < whole.len());

    let stream = Stream::new(camera.stream.format(), Limits::default());
    stream.publish(Duration::ZERO, true, SystemTime::now(), bare.into());
    let picture = take(&stream, &LaunchFiles::default(), JPEG).unwrap();
    assert!(picture::has_huffman_tables(&picture.data));
    assert_eq!(probe(&picture), "mjpeg,320,180");
}

#[test]
fn pictures_of_odd_sizes_keep_their_shape_and_none_grows() {
    let camera = TestCamera::burst(Codec::H264, 1);
    for (width, height, is) in [(Some(161), None, "161,91"), (None, Some(45), "80,45"), (Some(1), None, "1,1")] {
        for (request, codec) in [(JPEG, "mjpeg"), (PNG, "png")] {
            let picture = snap(&camera, SnapshotRequest { max_width: width, max_height: height, ..request });
            assert_eq!(probe(&picture), format!("{codec},{is}"));
            assert_eq!(format!("{},{}", picture.width, picture.height), is);
        }
    }
    let large = snap(&camera, SnapshotRequest { max_width: Some(16_000), max_height: Some(16_000), ..JPEG });
    assert_eq!(probe(&large), "mjpeg,320,180");
}

/// What exiv2 reads in a picture: key and value, a line each.
fn exif(picture: &Picture) -> String {
    let (_file, path) = file(picture);
    let lines = output("exiv2", &["-q", "-Pkt", "pr", &path]);
    let fields = lines.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    fields.map(|(key, value)| format!("{key}={}\n", value.trim())).collect()
}

#[test]
fn a_picture_says_when_and_by_what_it_was_taken() {
    let moment = UNIX_EPOCH + Duration::from_millis(1_768_487_400_123);
    let said = [
        "Exif.Photo.DateTimeOriginal=2026:01:15 14:30:00",
        "Exif.Photo.SubSecTimeOriginal=123",
        "Exif.Photo.OffsetTimeOriginal=+00:00",
        "Exif.Image.DateTime=2026:01:15 14:30:00",
        "Exif.Image.ImageDescription=camera0",
        "Exif.Image.Model=Test Webcam",
        concat!("Exif.Image.Software=camera-service ", env!("CARGO_PKG_VERSION")),
    ];
    for codec in [Codec::H264, Codec::Mjpeg] {
        let camera = TestCamera::burst(codec, 1);
        let frame = &camera.frames[0];
        let stream = Stream::new(camera.stream.format(), Limits::default());
        stream.publish(frame.pts, true, moment, frame.data.clone());
        let jpeg = take(&stream, &LaunchFiles::default(), JPEG).unwrap();
        let found = exif(&jpeg);
        assert!(said.iter().all(|line| found.lines().any(|found| found == *line)), "{found}");

        let png = take(&stream, &LaunchFiles::default(), PNG).unwrap();
        let (_file, path) = file(&png);
        let tags = output("ffprobe", &["-v", "error", "-show_entries", "frame_tags", "-of", "flat", &path]);
        for (key, value) in [
            ("Creation_Time", "2026-01-15T14:30:00.123Z"),
            ("Source", "camera0"),
            ("Software", concat!("camera-service ", env!("CARGO_PKG_VERSION"))),
        ] {
            assert!(tags.contains(&format!("{key}=\"{value}\"")), "{tags}");
        }
        let found = exif(&png);
        assert!(said.iter().all(|line| found.lines().any(|found| found == *line)), "{found}");
    }
}

#[test]
fn a_caption_stands_in_front_of_the_picture_once_and_takes_any_text() {
    let camera = TestCamera::burst(Codec::Mjpeg, 1);
    let plain = &camera.frames[0].data;
    let words = Caption { camera: "a\0b".into(), model: Some("Kamera für die Tür".into()) };
    let once = words.put(plain.clone(), SnapshotFormat::Jpeg, SystemTime::now()).unwrap();
    let twice = caption().put(once.clone(), SnapshotFormat::Jpeg, SystemTime::now()).unwrap();
    assert!(bare(&once) == plain && bare(&twice) == plain && once != twice);
    let picture = Picture { data: once, width: 320, height: 180, captured: UNIX_EPOCH, format: SnapshotFormat::Jpeg };
    let found = exif(&picture);
    assert!(
        found.contains("Image.ImageDescription=ab\n") && found.contains("Image.Model=Kamera für die Tür\n"),
        "{found}"
    );
    let before_1970 = UNIX_EPOCH - Duration::from_millis(1);
    assert!(words.put(plain.clone(), SnapshotFormat::Jpeg, before_1970).is_ok());
    assert!(words.put(Bytes::from_static(b"no picture"), SnapshotFormat::Jpeg, UNIX_EPOCH).is_err());
    assert!(words.put(plain.clone(), SnapshotFormat::Png, UNIX_EPOCH).is_err());
}

/// Ten threads that look at once, each for one of these, and what they get.
fn ten(pictures: &Arc<Pictures>, wanted: &[SnapshotRequest]) -> Vec<Picture> {
    let all = Barrier::new(10);
    std::thread::scope(|scope| {
        let one = |number: usize| {
            let (all, request) = (&all, wanted[number % wanted.len()]);
            scope.spawn(move || {
                let look = pictures.look();
                all.wait();
                look.picture(request, &caption()).unwrap()
            })
        };
        let threads: Vec<_> = (0..10).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn ten_at_once_get_ten_right_pictures_of_one_decode() {
    let small = SnapshotRequest { max_width: Some(160), ..JPEG };
    let other = SnapshotRequest { quality: 10, ..PNG };
    for codec in [Codec::H264, Codec::Mjpeg] {
        let camera = TestCamera::burst(codec, 15);
        let (pictures, counters) = pictures(&camera.stream, Tap::default(), &LaunchFiles::default());
        let taken = ten(&pictures, &[JPEG, PNG, small, other]);
        for (picture, right) in
            taken.iter().zip(["mjpeg,320,180", "png,320,180", "mjpeg,160,90", "png,320,180"].iter().cycle())
        {
            assert_eq!((probe(picture).as_str(), picture.captured), (*right, camera.frames[14].captured));
        }
        let own = u64::from(codec == Codec::Mjpeg);
        assert_eq!(counters.now(), Counts { caught: own, decoded: 1, encoded: 3 - own, given: 10, refused: 0 });
        // Nothing is kept for later, and the frame is looked at anew.
        drop(taken);
        assert!(pictures.look().picture(JPEG, &caption()).is_ok());
        assert_eq!(counters.now().caught + counters.now().decoded, 2 + own);
    }
}

#[test]
fn who_comes_later_shares_only_what_is_right_then() {
    let camera = TestCamera::burst(Codec::H264, 2);
    let stream = Stream::new(camera.stream.format(), Limits::default());
    let publish = |frame: &EncodedFrame, pts| stream.publish(pts, frame.key, frame.captured, frame.data.clone());
    let old = crate::media::now().saturating_sub(Duration::from_secs(60));
    publish(&camera.frames[0], old);
    let (pictures, _) = pictures(&stream, Tap::default(), &LaunchFiles::default());
    let first = pictures.look();
    assert!(Arc::ptr_eq(&first, &pictures.look()), "nobody has seen anything yet");
    first.picture(JPEG, &caption()).unwrap();
    assert!(Arc::ptr_eq(&first, &pictures.look()), "old, and still the newest");
    publish(&camera.frames[1], old + Duration::from_millis(33));
    let second = pictures.look();
    assert!(!Arc::ptr_eq(&first, &second), "there is a newer one");
    assert!(Arc::ptr_eq(&second, &pictures.look()));
    let failed = second.picture_before(Instant::now(), JPEG, &caption());
    assert!(failed.is_err() && !Arc::ptr_eq(&second, &pictures.look()), "what failed is tried again");
}

#[test]
fn what_is_encoded_here_is_had_before_that() {
    let camera = TestCamera::burst(Codec::H264, 1);
    for (line, caught, decoded, encoded) in [
        ("videotestsrc is-live=true ! video/x-raw,format=NV16,width=323,height=181,framerate=30/1", 1, 0, 1),
        ("videotestsrc is-live=true ! video/x-raw,format=I420,width=323,height=181,framerate=30/1 ! jpegenc", 1, 0, 0),
    ] {
        let pipeline = crate::media::launch::pipeline(&format!("{line} ! fakesink name=raw sync=false")).unwrap();
        let tap = Tap::default();
        tap.attach(&pipeline.by_name("raw").unwrap().static_pad("sink").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
        assert!(tap.next_before(Instant::now() + 6 * PATIENCE).is_some(), "it runs");
        let (pictures, counters) = pictures(&camera.stream, tap, &LaunchFiles::default());
        let asked = SystemTime::now() - Duration::from_secs(1);
        let picture = pictures.look().picture(JPEG, &caption()).unwrap();
        assert_eq!(probe(&picture), "mjpeg,323,181");
        assert!(picture.captured > asked);
        assert_eq!(counters.now(), Counts { caught, decoded, encoded, given: 1, refused: 0 });
        // When nothing comes that way any more, the ring still has something.
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(probe(&pictures.look().picture(JPEG, &caption()).unwrap()), "mjpeg,320,180");
    }
}

#[test]
fn a_key_frame_is_requested_when_there_is_none() {
    let camera = TestCamera::live(Codec::H264, 10_000);
    wait_for_frames(&camera.stream, 5);
    // A ring so small that the only key frame is gone from it.
    let stream = Stream::new(camera.stream.format(), Limits { gops: 1, bytes: 1, frames: 1, ..Limits::default() });
    let (source, copy) = (Arc::clone(&camera.stream), Arc::clone(&stream));
    let mut reader = source.subscribe(Join::Ring);
    let mut copy_next = move || match reader.next_before(Instant::now() + PATIENCE) {
        Some(Next::Frame(frame)) => {
            copy.publish(frame.pts, frame.key, frame.captured, frame.data);
            true
        }
        _ => false,
    };
    (0..5).for_each(|_| assert!(copy_next()));
    assert!(stream.newest_gop().is_empty());
    let (asked, was_asked) = std::sync::mpsc::channel();
    let wanted = Arc::clone(&stream);
    let copier = std::thread::spawn(move || {
        while copy_next() {
            if wanted.take_key_frame_request() {
                source.request_key_frame();
                let _ = asked.send(());
            }
        }
    });
    let picture = take(&stream, &LaunchFiles::default(), JPEG).unwrap();
    assert_eq!(probe(&picture), "mjpeg,320,180");
    assert!(was_asked.try_recv().is_ok());
    camera.unplug();
    copier.join().unwrap();
}

#[test]
fn without_a_picture_or_a_decoder_the_reason_is_given() {
    let camera = TestCamera::burst(Codec::H264, 1);
    let empty = Stream::new(camera.stream.format(), Limits::default());
    let look = pictures(&empty, Tap::default(), &LaunchFiles::default()).0.look();
    let error = look.picture_before(Instant::now(), JPEG, &caption()).unwrap_err();
    assert_eq!(*error.kind(), Kind::Dependency { dependency: "device".into() });
    empty.close();
    let error = take(&empty, &LaunchFiles::default(), JPEG).unwrap_err();
    assert!(matches!(error.kind(), Kind::InvalidState { state, .. } if state == "ended"), "{error:?}");

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("output")).unwrap();
    for file in picture::decoders(Codec::H264) {
        let line = "appsrc name=frames ! nosuchdecoder ! appsink name=picture";
        std::fs::write(folder.path().join(Path::new(file).with_extension("launch")), line).unwrap();
    }
    let error = take(&camera.stream, &LaunchFiles::new(Some(folder.path().into())), JPEG).unwrap_err();
    assert_eq!(*error.kind(), Kind::Dependency { dependency: "decoder".into() });
    assert!(error.message().matches("nosuchdecoder").count() > 2, "{error}");
}

proptest! {
    /// Scaled pictures are within both limits, no larger than they were, and keep their shape to a pixel.
    #[test]
    fn sizes_fit(
        width in 1u32..8000, height in 1u32..8000,
        max_width in prop::option::of(0u32..9000), max_height in prop::option::of(0u32..9000),
    ) {
        let (w, h) = fit((width, height), max_width, max_height);
        prop_assert!(w >= 1 && h >= 1 && w <= width && h <= height);
        prop_assert!(w <= max_width.unwrap_or(width).max(1) && h <= max_height.unwrap_or(height).max(1));
        let (exact_h, exact_w) = (f64::from(w * height) / f64::from(width), f64::from(h * width) / f64::from(height));
        prop_assert!((f64::from(h) - exact_h).abs() <= 1.0 || (f64::from(w) - exact_w).abs() <= 1.0);
        if max_width.is_none() && max_height.is_none() {
            prop_assert_eq!((w, h), (width, height));
        }
    }
}
