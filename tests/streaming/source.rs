//! Frames for the tests: a live test pattern, encoded in this process, that honours key frame requests if told to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use camera_service::{
    error::{Error, Result},
    frame::{Codec, Format},
    media::{self, sample},
    mode::Rate,
    output::rtsp::{Open, Opened},
    stream::{Limits, Stream},
};
use gst::prelude::*;

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 240;

/// What the test pattern is.
#[derive(Clone, Copy)]
pub struct Kind {
    pub codec: Codec,
    /// Frames between key frames; 0 is "only the first, and those asked for".
    pub gop: u32,
    /// kbit/s. Above 2000 the picture is snow, which fills it.
    pub bitrate: u32,
    pub key_frames_on_demand: bool,
    /// Frames between the request for a key frame and the key frame.
    pub delay: u32,
}

pub const H264: Kind = Kind { codec: Codec::H264, gop: 30, bitrate: 1000, key_frames_on_demand: true, delay: 0 };

/// A running test pattern and the stream it writes.
pub struct Source {
    pub stream: Arc<Stream>,
    kind: Kind,
    pipeline: gst::Pipeline,
    /// Those who have opened it now.
    demand: Arc<()>,
}

impl Source {
    pub fn start(kind: Kind) -> Self {
        media::init().unwrap();
        let pattern = if kind.bitrate > 2000 { "snow" } else { "ball" };
        let encoder = match kind.codec {
            Codec::H264 => format!(
                "x264enc tune=zerolatency speed-preset=ultrafast bitrate={} key-int-max={} ! \
                 video/x-h264,profile=constrained-baseline ! h264parse config-interval=-1 ! \
                 video/x-h264,stream-format=byte-stream,alignment=au",
                kind.bitrate,
                if kind.gop == 0 { 1_000_000 } else { kind.gop }
            ),
            Codec::Mjpeg => "jpegenc".into(),
        };
        let line = format!(
            "videotestsrc is-live=true pattern={pattern} ! \
             video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=30/1 ! {encoder} ! \
             appsink name=frames sync=false"
        );
        let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let frames = pipeline.by_name("frames").unwrap().downcast::<gst_app::AppSink>().unwrap();
        let format = Format { codec: kind.codec, width: WIDTH, height: HEIGHT, rate: Rate::per_second(30) };
        let stream = Stream::new(format, Limits::default());
        let writer = Arc::clone(&stream);
        let clock = pipeline.downgrade();
        let mut due = None;
        frames.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    let buffer = sample.buffer_owned().unwrap();
                    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
                    let running = segment.to_running_time(buffer.pts()).unwrap();
                    let base = clock.upgrade().and_then(|pipeline| pipeline.base_time()).unwrap();
                    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                    writer.publish((base + running).into(), key, SystemTime::now(), sample::bytes(buffer).unwrap());
                    if writer.take_key_frame_request() && kind.key_frames_on_demand {
                        due = due.or(Some(kind.delay));
                    }
                    due = due.map(|frames: u32| frames.wrapping_sub(1));
                    if due == Some(u32::MAX) {
                        due = None;
                        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
                        sink.static_pad("sink").unwrap().push_event(event);
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { stream, kind, pipeline, demand: Arc::new(()) }
    }

    /// Opens this source.
    pub fn open(&self) -> Open {
        let (stream, kind, demand) = (Arc::clone(&self.stream), self.kind, Arc::clone(&self.demand));
        Arc::new(move || {
            Ok(Opened {
                stream: Arc::clone(&stream),
                key_frames_on_demand: kind.key_frames_on_demand,
                demand: Box::new(Arc::clone(&demand)),
            })
        })
    }

    /// How many hold it open; the closure of [`Source::open`] counts for nothing.
    pub fn demands(&self, opens: usize) -> usize {
        Arc::strong_count(&self.demand) - 1 - opens
    }

    /// Ends the stream, as a camera that is unplugged does.
    pub fn end(&self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        self.stream.close();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.end();
    }
}

/// An `Open` whose result can be set while it is in use.
pub struct Switch(Mutex<Option<Error>>);

impl Switch {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    pub fn fail(&self, error: Option<Error>) {
        *self.0.lock().unwrap() = error;
    }

    pub fn before(self: &Arc<Self>, open: Open) -> Open {
        let switch = Arc::clone(self);
        Arc::new(move || -> Result<Opened> {
            match switch.0.lock().unwrap().clone() {
                Some(error) => Err(error),
                None => open(),
            }
        })
    }
}

/// Long enough for a loaded machine, short enough to end a hung test.
pub const DEADLINE: Duration = Duration::from_secs(20);
