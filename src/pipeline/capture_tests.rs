//! The promises of a running pipeline to the stream and to its owner, with real elements.

use std::{path::PathBuf, sync::mpsc};

use super::*;
use crate::{
    config::{EncoderKind, Gop, Profile},
    frame::{Codec, EncodedFrame},
    mode::{FourCc, Mode, Rate},
    pipeline::{CaptureRequest, Dropped, Encoders, Source, Wanted, plan},
    stream::{Join, Limits, Next},
};

const LONG: Duration = Duration::from_secs(60);

struct Run {
    pipeline: CapturePipeline,
    stream: Arc<Stream>,
    counters: Arc<Counters>,
    tap: Tap,
    events: mpsc::Receiver<PipelineEvent>,
    reader: crate::stream::Subscription,
}

fn wanted(gop: u32) -> Wanted {
    Wanted { width: 320, height: 240, gop: Gop::Frames(gop), ..Wanted::default() }
}

fn camera(format: FourCc) -> Source {
    let mode = Mode { format, width: 320, height: 240, rate: Rate::per_second(30) };
    Source::Camera { node: PathBuf::from("/dev/video-nowhere"), driver: "uvcvideo".into(), modes: vec![mode] }
}

fn planned(source: Source, wanted: Wanted) -> CapturePlan {
    media::init().unwrap();
    let encoders = Encoders { usable: vec![EncoderKind::X264], refused: Vec::new() };
    plan(&CaptureRequest { source, wanted }, &encoders).unwrap()
}

fn override_with(name: &str, line: &str) -> (tempfile::TempDir, LaunchFiles) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{name}.launch"));
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(file, line).unwrap();
    let files = LaunchFiles::new(Some(folder.path().into()));
    (folder, files)
}

fn try_start(plan: &CapturePlan, files: &LaunchFiles) -> Result<Run> {
    let stream = Stream::new(plan.format, Limits { gops: 1000, bytes: 64 << 20, frames: 10_000, ..Limits::default() });
    let reader = stream.subscribe(Join::Ring);
    let (tell, events) = mpsc::channel();
    let listener = move |event| tell.send(event).unwrap_or_default();
    let counters = Arc::<Counters>::default();
    let (into, counted, tap) = (Arc::clone(&stream), Arc::clone(&counters), Tap::default());
    let pipeline = CapturePipeline::start(plan, files, into, counted, &tap, Box::new(listener))?;
    Ok(Run { pipeline, stream, counters, tap, events, reader })
}

fn start(plan: &CapturePlan) -> Run {
    try_start(plan, &LaunchFiles::default()).unwrap()
}

impl Run {
    fn frames(&mut self, count: usize) -> Vec<EncodedFrame> {
        let deadline = Instant::now() + LONG;
        let next = |_| match self.reader.next_before(deadline) {
            Some(Next::Frame(frame)) => frame,
            other => panic!("no frame but {other:?}; events {:?}", self.events.try_recv()),
        };
        (0..count).map(next).collect()
    }

    fn event(&self) -> PipelineEvent {
        self.events.recv_timeout(LONG).unwrap()
    }
}

fn keys(frames: &[EncodedFrame]) -> Vec<u64> {
    frames.iter().filter(|frame| frame.key).map(|frame| frame.seq).collect()
}

/// The NAL unit types of a frame, in order.
fn nals(frame: &EncodedFrame) -> Vec<u8> {
    frame.data.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1]).map(|bytes| bytes[3] & 0x1f).collect()
}

#[test]
fn h264_begins_with_a_key_frame_and_keeps_its_gop_and_order() {
    for profile in [Profile::Baseline, Profile::Main, Profile::High] {
        keeps_its_gop_and_order(Wanted { profile, ..wanted(10) });
    }
}

fn keeps_its_gop_and_order(wanted: Wanted) {
    let mut run = start(&planned(Source::Test, wanted));
    let frames = run.frames(35);
    assert_eq!(keys(&frames), [0, 10, 20, 30]);
    for frame in frames.iter().filter(|frame| frame.key) {
        let nals = nals(frame);
        let at = |kind| nals.iter().position(|&nal| nal == kind).unwrap();
        assert!(at(7) < at(8) && at(8) < at(5), "{nals:?}");
    }
    assert!(frames.windows(2).all(|pair| pair[0].pts < pair[1].pts));
    // A B-frame would come with a time before its predecessor's, and that would have been mended.
    assert_eq!(run.counters.dropped().times_mended, 0);
    let age = media::now().checked_sub(frames[34].pts).expect("captured before now, on the shared clock");
    assert!(age < LONG);
    assert!(matches!(run.event(), PipelineEvent::FirstFrame));
    run.pipeline.stop();
}

#[test]
fn a_key_frame_comes_on_demand() {
    let mut run = start(&planned(Source::Test, wanted(10_000)));
    run.frames(3);
    let mut live = run.stream.subscribe(Join::Live);
    let Some(Next::Frame(frame)) = live.next_before(Instant::now() + LONG) else { panic!("no key frame") };
    assert!(frame.key && frame.seq > 0 && nals(&frame).starts_with(&[9, 7, 8]), "{:?}", nals(&frame));
    run.pipeline.stop();
}

#[test]
fn requests_for_key_frames_are_limited() {
    let mut key_frames = KeyFrames::default();
    assert!(!key_frames.is_due(false));
    assert!(key_frames.is_due(true));
    assert!(!key_frames.is_due(true), "too early");
    assert!(!key_frames.is_due(false), "and still wanted");
    key_frames.newest = Instant::now().checked_sub(KEY_FRAME_INTERVAL);
    assert!(key_frames.is_due(false), "now it is");
    assert!(!key_frames.is_due(false));
}

#[test]
fn stop_leaves_nothing_behind() {
    let mut run = start(&planned(Source::Test, wanted(30)));
    run.frames(5);
    let Run { pipeline, stream, events, reader, .. } = run;
    let shared = Arc::downgrade(&pipeline.shared);
    pipeline.stop();
    drop(reader);
    assert!(shared.upgrade().is_none(), "a closure still holds what it shared");
    assert_eq!(Arc::strong_count(&stream), 1);
    assert!(!stream.is_closed(), "closing is the owner's");
    assert!(matches!(events.recv(), Ok(PipelineEvent::FirstFrame)));
    assert!(events.recv().is_err(), "it said more, or can still");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let plan = planned(camera(FourCc::YUYV), wanted(30));
    let error = try_start(&plan, &LaunchFiles::default()).err().unwrap();
    assert_eq!(error.message(), "/dev/video-nowhere is gone");
    assert!(error.chain().contains("Cannot identify device"), "{}", error.chain());
}

#[test]
fn a_failure_is_told_once() {
    let line = "videotestsrc is-live=true ! identity name=source error-after=5 ! capsfilter name=mode";
    let (_folder, files) = override_with("source/raw", line);
    let run = try_start(&planned(camera(FourCc::YUYV), wanted(30)), &files).unwrap();
    assert!(matches!(run.event(), PipelineEvent::FirstFrame));
    let PipelineEvent::Failed(error) = run.event() else { panic!("not failed") };
    assert!(error.message().contains("/dev/video-nowhere"), "{error}");
    let Run { pipeline, events, .. } = run;
    pipeline.stop();
    assert!(events.recv().is_err());
}

#[test]
fn the_last_word_is_said_once_and_not_before_the_start_is_over() {
    let (tell, events) = mpsc::channel();
    let shared = Shared {
        counters: Arc::default(),
        life: Mutex::new(Life::Starting(None)),
        events: Box::new(move |event| tell.send(event).unwrap_or_default()),
        suspect: Suspect::default(),
        remote: None,
        guessed: false,
    };
    assert!(shared.run(true).is_none());
    shared.last_word(PipelineEvent::Ended);
    shared.last_word(PipelineEvent::Ended);
    assert_eq!(events.try_iter().count(), 1);
    *shared.life() = Life::Starting(None);
    shared.last_word(PipelineEvent::Failed(Error::internal("first")));
    shared.last_word(PipelineEvent::Ended);
    assert_eq!(events.try_iter().count(), 0);
    assert!(matches!(shared.run(true), Some(PipelineEvent::Failed(_))));
    shared.last_word(PipelineEvent::Ended);
    assert_eq!(events.try_iter().count(), 0);
}

#[test]
fn a_source_that_ends_is_told() {
    let (_folder, files) = override_with("source/test", "videotestsrc num-buffers=5 ! capsfilter name=mode");
    let run = try_start(&planned(Source::Test, wanted(30)), &files).unwrap();
    assert!(matches!(run.event(), PipelineEvent::FirstFrame));
    assert!(matches!(run.event(), PipelineEvent::Ended));
    run.pipeline.stop();
}

const JPEG_CAMERA: &str = "videotestsrc name=source is-live=true ! video/x-raw,width=320,height=240,framerate=30/1
    ! jpegenc ! capsfilter name=mode";

#[test]
fn mjpeg_goes_through_as_whole_pictures() {
    let (_folder, files) = override_with("source/mjpeg", JPEG_CAMERA);
    let plan = planned(camera(FourCc::MJPG), Wanted { codec: Codec::Mjpeg, ..wanted(30) });
    let mut run = try_start(&plan, &files).unwrap();
    let frames = run.frames(5);
    assert!(frames.iter().all(|frame| frame.key && is_whole_jpeg(&frame.data)));
    assert_eq!(run.counters.dropped(), Dropped::default());
    run.pipeline.stop();
}

#[test]
fn mjpeg_is_decoded_and_encoded() {
    let (_folder, files) = override_with("source/mjpeg", JPEG_CAMERA);
    let mut run = try_start(&planned(camera(FourCc::MJPG), wanted(5)), &files).unwrap();
    assert!(nals(&run.frames(1)[0]).contains(&5));
    run.pipeline.stop();
}

#[test]
fn what_is_encoded_here_can_be_had_as_the_camera_delivers_it() {
    let (_folder, files) = override_with("source/mjpeg", JPEG_CAMERA);
    for (source, kind) in [(Source::Test, "video/x-raw"), (camera(FourCc::MJPG), "image/jpeg")] {
        let mut run = try_start(&planned(source, wanted(5)), &files).unwrap();
        run.frames(1);
        let tapped = run.tap.next_before(Instant::now() + LONG).unwrap();
        assert_eq!(tapped.sample.caps().unwrap().structure(0).unwrap().name(), kind);
        // The same picture comes out encoded, with the same time.
        while run.frames(1)[0].pts != tapped.pts {}
        run.pipeline.stop();
    }
    let plan = planned(camera(FourCc::MJPG), Wanted { codec: Codec::Mjpeg, ..wanted(30) });
    let mut run = try_start(&plan, &files).unwrap();
    run.frames(1);
    assert!(run.tap.next_before(Instant::now() + LONG).is_none(), "its frames are the camera's own");
    run.pipeline.stop();
}

#[test]
fn broken_pictures_are_left_out_and_counted() {
    let noise = "fakesrc name=source num-buffers=4 format=time sizetype=fixed sizemax=5000 filltype=random";
    let (_folder, files) = override_with("source/mjpeg", &format!("{noise} ! capsfilter name=mode"));
    let plan = planned(camera(FourCc::MJPG), Wanted { codec: Codec::Mjpeg, ..wanted(30) });
    let run = try_start(&plan, &files).unwrap();
    assert!(matches!(run.event(), PipelineEvent::Ended));
    assert_eq!(run.counters.dropped(), Dropped { broken_jpeg: 4, ..Dropped::default() });
    assert_eq!(run.counters.stages().captured(), 4, "they came");
    assert_eq!(run.stream.stats().frames, 0);
    run.pipeline.stop();
}

#[test]
fn a_cameras_own_h264_is_not_asked_for_key_frames() {
    let line = "videotestsrc name=source is-live=true ! video/x-raw,width=320,height=240,framerate=30/1
        ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10
        ! video/x-h264,stream-format=byte-stream,profile=constrained-baseline ! capsfilter name=mode";
    let (_folder, files) = override_with("source/h264", line);
    let mut run = try_start(&planned(camera(FourCc::H264), wanted(30)), &files).unwrap();
    let mut frames = Vec::new();
    for _ in 0..25 {
        run.stream.request_key_frame();
        frames.extend(run.frames(1));
    }
    assert_eq!(keys(&frames), [0, 10, 20]);
    run.pipeline.stop();
}

#[test]
fn a_slow_encoder_loses_raw_pictures_and_they_are_counted() {
    let slow = LaunchFiles::default().line("encoder/x264enc").unwrap();
    let slow = slow.replace("! videoconvert", "! identity sleep-time=150000 ! videoconvert");
    let (_folder, files) = override_with("encoder/x264enc", &slow);
    let mut run = try_start(&planned(Source::Test, wanted(30)), &files).unwrap();
    run.frames(4);
    assert!(run.counters.dropped().raw_overrun > 0);
    run.pipeline.stop();
}

#[test]
fn the_launch_line_is_what_runs() {
    for (source, wanted) in [
        (Source::Test, wanted(30)),
        (camera(FourCc::MJPG), Wanted { bitrate: 700_000, ..wanted(30) }),
        (camera(FourCc::H264), wanted(30)),
    ] {
        let plan = planned(source, wanted);
        let line = plan.launch_line(&LaunchFiles::default()).unwrap();
        let pasted = launch::pipeline(&line).unwrap();
        let set = launch::pipeline(&LaunchFiles::default().join(&plan.files()).unwrap()).unwrap();
        settings::apply(&set, &plan.settings).unwrap();
        for element in set.iterate_elements().into_iter().flatten() {
            let Some(other) = pasted.by_name(&element.name()) else { continue };
            for spec in element.list_properties() {
                if spec.flags().contains(gst::glib::ParamFlags::READWRITE) && spec.name() != "parent" {
                    let value = |element: &gst::Element| element.property_value(spec.name()).serialize().ok();
                    assert_eq!(value(&element), value(&other), "{}.{} in {line}", element.name(), spec.name());
                }
            }
        }
    }
}
