//! The promises of a snapshot, checked with ffprobe.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{
    frame::Format,
    output::test_camera::{TestCamera, output, wait_for_frames},
    stream::{Limits, Stream},
};

const JPEG: SnapshotRequest =
    SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 85, max_width: None, max_height: None };
const PNG: SnapshotRequest = SnapshotRequest { format: SnapshotFormat::Png, ..JPEG };

fn snap(camera: &TestCamera, request: SnapshotRequest) -> Picture {
    take(&camera.stream, &LaunchFiles::default(), request).unwrap()
}

/// Codec, width and height of what is in the file, which has to decode without complaint.
fn probe(picture: &Picture) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &picture.data).unwrap();
    let path = file.path().to_str().unwrap();
    output("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]);
    output("ffprobe", &["-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", path])
        .trim()
        .to_owned()
}

/// The picture at `number` in the burst, as the camera's own pixels say: where the bright ball is.
fn ball(launch: &LaunchFiles, frames: &[EncodedFrame], format: Format) -> Vec<u8> {
    let (raw, _) = picture::decode(launch, format, frames, Instant::now() + PATIENCE).unwrap();
    picture::encode(launch, &raw, PNG, (format.width, format.height), Instant::now() + PATIENCE).unwrap().to_vec()
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
    let shown = snap(&camera, PNG).data.to_vec();
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
fn mjpeg_stays_the_cameras_own_bytes_unless_it_must_change() {
    let camera = TestCamera::burst(Codec::Mjpeg, 3);
    let newest = camera.frames.last().unwrap();
    let picture = snap(&camera, SnapshotRequest { max_width: Some(320), ..JPEG });
    assert_eq!((picture.data.as_ptr(), picture.data.len()), (newest.data.as_ptr(), newest.data.len()));
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
    let error = take_before(Instant::now(), &empty, &LaunchFiles::default(), JPEG).unwrap_err();
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
