//! A camera for the tests of this floor: a test picture, really encoded, published as a capture pipeline does it.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use gst::prelude::*;

use crate::{
    frame::{Codec, EncodedFrame, Format},
    media::{launch, sample},
    mode::Rate,
    stream::{Join, Limits, Next, Stream, Subscription},
};

pub const SIZE: (u32, u32) = (320, 180);

/// Pictures of 320x180 at 30/s with a moving ball.
pub struct TestCamera {
    pub stream: Arc<Stream>,
    /// What a burst published.
    pub frames: Vec<EncodedFrame>,
    reader: Subscription,
    pipeline: gst::Pipeline,
}

impl TestCamera {
    /// Publishes in real time until it is dropped, with a key frame after so many frames.
    pub fn live(codec: Codec, gop: u32) -> Self {
        Self::start(codec, Limits::default(), "is-live=true", gop)
    }

    /// Publishes this many frames as fast as it can, with 30 to a GOP, and keeps them all in the ring.
    pub fn burst(codec: Codec, count: usize) -> Self {
        let limits = Limits { gops: count, bytes: usize::MAX, frames: count, ..Limits::default() };
        let mut camera = Self::start(codec, limits, &format!("num-buffers={count}"), 30);
        let deadline = Instant::now() + Duration::from_secs(60);
        for _ in 0..count {
            match camera.reader.next_before(deadline) {
                Some(Next::Frame(frame)) => camera.frames.push(frame),
                other => panic!("{other:?} after {} frames of {count}", camera.frames.len()),
            }
        }
        camera
    }

    fn start(codec: Codec, limits: Limits, source: &str, gop: u32) -> Self {
        crate::media::init().unwrap();
        let stream = Stream::new(Format { codec, width: SIZE.0, height: SIZE.1, rate: Rate::per_second(30) }, limits);
        let encoder = match codec {
            Codec::H264 => format!(
                "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate=800 ! \
                 h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
            ),
            Codec::Mjpeg => "jpegenc".into(),
        };
        let line = format!(
            "videotestsrc pattern=ball {source} ! video/x-raw,format=I420,width={},height={},framerate=30/1 ! {encoder} ! \
             appsink name=sink sync=false",
            SIZE.0, SIZE.1
        );
        let pipeline = launch::pipeline(&line).unwrap();
        let sink: gst_app::AppSink = launch::element(&pipeline, "sink").unwrap();
        let publish = Arc::clone(&stream);
        let on_sample = move |sink: &gst_app::AppSink| {
            let buffer = sink.pull_sample().unwrap().buffer_owned().unwrap();
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            let pts = buffer.pts().unwrap().into();
            publish.publish(pts, key, SystemTime::now(), sample::bytes(buffer).unwrap());
            if publish.take_key_frame_request() {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
                sink.static_pad("sink").unwrap().push_event(event);
            }
            Ok(gst::FlowSuccess::Ok)
        };
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build();
        sink.set_callbacks(callbacks);
        let reader = stream.subscribe(Join::Ring);
        // The first frame is a key frame anyhow; asked for one more, the encoder would move all that follow.
        stream.take_key_frame_request();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { stream, frames: Vec::new(), reader, pipeline }
    }

    /// The camera is pulled out.
    pub fn unplug(&self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
        self.stream.close();
    }
}

impl Drop for TestCamera {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Waits until this many frames were published.
pub fn wait_for_frames(stream: &Arc<Stream>, frames: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut reader = stream.subscribe(Join::Ring);
    while stream.stats().frames < frames {
        match reader.next_before(deadline) {
            Some(Next::Frame(_) | Next::Missed(_)) => {}
            other => panic!("{other:?} after {} frames of {frames}", stream.stats().frames),
        }
    }
}

/// What a command prints. It has to succeed and to have nothing to complain about.
pub fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{command} {arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}
