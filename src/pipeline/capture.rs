//! A capture pipeline that runs: what a plan says, from the device into the stream.
//!
//! Every run has new elements: a `v4l2src` that is opened twice polls stale descriptors (GStreamer before 1.22.9).
//! The closures that GStreamer keeps hold what they share with us, and never the pipeline.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{
    CapturePlan,
    failure::{self, Suspect},
    frames::{Counters, Frames, count, is_whole_jpeg},
    published::Attached,
    remote::{self, Remote},
    settings, stages,
};
use crate::{
    error::{Error, Result},
    frame::Codec,
    media::{
        self,
        launch::{self, LaunchFiles},
        tap::Tap,
    },
    stream::Stream,
};

/// Shortest time between two key frames on demand. A request that comes earlier waits for the rest of it.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(250);

/// What a pipeline tells while it runs.
#[derive(Debug)]
pub enum PipelineEvent {
    /// The first frame is in the stream.
    FirstFrame,
    /// It does not go on. Said once, and nothing after it.
    Failed(Error),
    /// The source has ended by itself. Said once, and nothing after it.
    Ended,
}

/// Who is told. Called on GStreamer's threads: it must not wait.
pub type Listener = Box<dyn Fn(PipelineEvent) + Send + Sync>;

/// A running capture pipeline.
pub struct CapturePipeline {
    pipeline: Option<gst::Pipeline>,
    published: Option<Attached>,
    shared: Arc<Shared>,
}

impl CapturePipeline {
    /// Builds the pipeline of `plan` and starts it. Blocks for as long as the driver takes to open the device, so call
    /// it on a thread that may be lost.
    ///
    /// `stream` was made by the caller from [`CapturePlan::format`]; frames go into it until [`stop`](Self::stop), and
    /// closing it is the caller's. What is left out on the way is added to `counters`; pictures that are encoded here can
    /// be had before that from `tap`, as the camera delivers them. Errors: a launch file, an
    /// element that is not installed, a device that cannot be opened or is busy; `events` hears nothing then.
    pub fn start(
        plan: &CapturePlan,
        files: &LaunchFiles,
        stream: Arc<Stream>,
        counters: Arc<Counters>,
        tap: &Tap,
        events: Listener,
    ) -> Result<Self> {
        let pipeline = launch::pipeline(&files.join(&plan.files())?)?;
        settings::apply(&pipeline, &plan.settings)?;
        let remote = Remote::attach(&pipeline, plan)?;
        let (life, suspect) = (Mutex::new(Life::Starting(None)), plan.suspect());
        let guessed = plan.is_guess();
        let shared = Arc::new(Shared { counters, life, events, suspect, remote, guessed });
        // What is left out counts as captured: this has to look first.
        stages::watch(&pipeline, &shared.counters);
        shared.watch_drops(&pipeline, plan)?;
        // In front of the queue: there a picture is newest. A camera's own JPEG is better than what is decoded from it.
        let queue = ["undecoded", "raw"].iter().find_map(|name| pipeline.by_name(name));
        if let Some(pad) = queue.and_then(|queue| queue.static_pad("sink")) {
            tap.attach(&pad);
        }
        shared.watch_bus(&pipeline);
        if shared.remote.is_some()
            && let Ok(tail) = launch::element(&pipeline, "tail-mjpeg")
        {
            shared.deliver(&tail, Codec::Mjpeg, plan, Arc::clone(&stream));
        }
        shared.deliver(&launch::element(&pipeline, "tail")?, plan.format.codec, plan, stream);
        let mut started = Self { pipeline: Some(pipeline), published: None, shared };
        started.play()?;
        if let (Some(pipeline), Some(publication)) = (&started.pipeline, &plan.publication) {
            started.published = Some(Attached::new(pipeline, publication)?);
        }
        Ok(started)
    }

    /// Takes the pipeline down and lets go of the device. Blocks until the driver has, which may be never: the caller
    /// bounds it. After it, nothing more comes into the stream and `events` is silent.
    pub fn stop(mut self) {
        self.take_down();
    }

    fn play(&mut self) -> Result<()> {
        let Some(pipeline) = &self.pipeline else { return Ok(()) };
        let played = pipeline.set_state(gst::State::Playing);
        let word = self.shared.run(played.is_ok());
        let Err(error) = played else {
            // Outside of the lock, like every word.
            if let Some(word) = word {
                (self.shared.events)(word);
            }
            return Ok(());
        };
        self.take_down();
        // What the bus said meanwhile says more than the state change does.
        Err(match word {
            Some(PipelineEvent::Failed(fault)) => fault,
            _ => Error::dependency("pipeline", format!("the pipeline does not start: {error}")),
        })
    }

    fn take_down(&mut self) {
        self.shared.end();
        self.published = None;
        if let Some(pipeline) = self.pipeline.take() {
            let _ = pipeline.set_state(gst::State::Null);
            if let Some(bus) = pipeline.bus() {
                bus.unset_sync_handler();
            }
        }
    }
}

impl Drop for CapturePipeline {
    /// For a pipeline nobody stopped, because its thread panicked: it is taken down elsewhere, without waiting.
    fn drop(&mut self) {
        self.shared.end();
        if let Some(pipeline) = self.pipeline.take() {
            std::thread::spawn(move || pipeline.set_state(gst::State::Null));
        }
    }
}

/// What GStreamer's threads share with us.
struct Shared {
    counters: Arc<Counters>,
    life: Mutex<Life>,
    events: Listener,
    suspect: Suspect,
    remote: Option<Arc<Remote>>,
    /// What the stream is, its first frame says.
    guessed: bool,
}

enum Life {
    /// The state change is under way: the last word waits for its outcome.
    Starting(Option<PipelineEvent>),
    /// The last word is told at once.
    Running,
    /// Nothing is told any more.
    Over,
}

impl Shared {
    /// The state change is over; from here on words are told at once. Returns the one that came meanwhile.
    fn run(&self, started: bool) -> Option<PipelineEvent> {
        let mut life = self.life();
        let word = match &mut *life {
            Life::Starting(word) => word.take(),
            Life::Running | Life::Over => return None,
        };
        *life = if started && word.is_none() { Life::Running } else { Life::Over };
        word
    }

    fn end(&self) {
        *self.life() = Life::Over;
    }

    fn first_frame(&self) {
        if !matches!(*self.life(), Life::Over) {
            (self.events)(PipelineEvent::FirstFrame);
        }
    }

    /// The last word of a run.
    fn last_word(&self, word: PipelineEvent) {
        let mut life = self.life();
        match &mut *life {
            Life::Starting(waiting) => {
                waiting.get_or_insert(word);
            }
            Life::Running => {
                *life = Life::Over;
                drop(life);
                (self.events)(word);
            }
            Life::Over => {}
        }
    }

    fn watch_bus(self: &Arc<Self>, pipeline: &gst::Pipeline) {
        let Some(bus) = pipeline.bus() else { return };
        let shared = Arc::clone(self);
        // On the thread that has the fault, at once; nobody reads this bus later.
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Error(error) => {
                    let logged = media::log::take();
                    let error = match &shared.remote {
                        Some(remote) => remote.explain(error),
                        None => failure::explain(error, logged, &shared.suspect),
                    };
                    shared.last_word(PipelineEvent::Failed(error));
                }
                gst::MessageView::Eos(_) => shared.last_word(PipelineEvent::Ended),
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
    }

    /// Counts what the leaky queues leave out, and takes broken JPEG pictures out behind `mode`.
    fn watch_drops(&self, pipeline: &gst::Pipeline, plan: &CapturePlan) -> Result<()> {
        for (name, counter) in [
            ("raw", (|counters| &counters.raw_overrun) as fn(&Counters) -> &_),
            ("undecoded", |counters| &counters.undecoded_overrun),
        ] {
            // Not every plan has them, and an override may do without.
            if let Some(queue) = pipeline.by_name(name).filter(|queue| queue.has_property("leaky")) {
                let counters = Arc::clone(&self.counters);
                queue.connect("overrun", false, move |_| {
                    count(counter(&counters));
                    None
                });
            }
        }
        if plan.mode.is_some_and(|mode| mode.format.is_jpeg()) {
            let mode = launch::element::<gst::Element>(pipeline, "mode")?;
            let pad = mode.static_pad("src").ok_or_else(|| Error::internal("element \"mode\" has no source pad"))?;
            let counters = Arc::clone(&self.counters);
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                let data = info.buffer().and_then(|buffer| buffer.map_readable().ok());
                match data.is_some_and(|data| is_whole_jpeg(&data)) {
                    true => gst::PadProbeReturn::Ok,
                    false => {
                        count(&counters.broken_jpeg);
                        gst::PadProbeReturn::Drop
                    }
                }
            });
        }
        Ok(())
    }

    /// Publishes what arrives at the tail, and sends requests for key frames the other way.
    fn deliver(self: &Arc<Self>, tail: &gst_app::AppSink, codec: Codec, plan: &CapturePlan, stream: Arc<Stream>) {
        let (shared, ended) = (Arc::clone(self), Arc::clone(self));
        let mut frames = if self.guessed { Frames::of_others(codec) } else { Frames::new(codec) };
        let mut key_frames = plan.key_frames_on_demand.then(KeyFrames::default);
        let mut first = true;
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |tail| {
            let sample = tail.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some(frame) = frames.take(&sample, &shared.counters) else { return Ok(gst::FlowSuccess::Ok) };
            if frame.key {
                // Whoever asked before now is served by this one.
                stream.take_key_frame_request();
                if let Some(key_frames) = &mut key_frames {
                    key_frames.wanted = false;
                }
            }
            if first && shared.guessed {
                stream.found(remote::format(codec, sample.caps()));
            }
            stream.publish_shown(frame.pts, frame.shown, frame.key, frame.captured, frame.data);
            if std::mem::take(&mut first) {
                shared.first_frame();
            }
            let requested = stream.take_key_frame_request();
            if let Some(key_frames) = &mut key_frames
                && key_frames.is_due(requested)
            {
                request_key_frame(tail);
            }
            Ok(gst::FlowSuccess::Ok)
        });
        // The bus is told only when every tail has ended, and of a remote stream's only one is in use.
        tail.set_callbacks(callbacks.eos(move |_| ended.last_word(PipelineEvent::Ended)).build());
    }

    // Every statement leaves it whole, so a panic under the lock harms nobody.
    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to ask the encoder for a key frame.
#[derive(Default)]
struct KeyFrames {
    wanted: bool,
    newest: Option<Instant>,
}

impl KeyFrames {
    fn is_due(&mut self, requested: bool) -> bool {
        self.wanted |= requested;
        if !self.wanted || self.newest.is_some_and(|newest| newest.elapsed() < KEY_FRAME_INTERVAL) {
            return false;
        }
        self.wanted = false;
        self.newest = Some(Instant::now());
        true
    }
}

fn request_key_frame(tail: &gst_app::AppSink) {
    let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
    // By the pad: `Element::send_event` takes the state lock, and this thread may be waited for under it.
    if let Some(pad) = tail.static_pad("sink") {
        pad.push_event(event);
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
