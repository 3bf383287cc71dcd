//! What the stages of a capture pipeline do, counted and timed: frames that come in, decoding, encoding.
//!
//! Stages are found by the names of their elements. A launch file of somebody's own that has other names is used all the
//! same; nothing is counted then. What a stage leaves out is `capture`'s to count.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use gst::{PadProbeReturn, PadProbeType, prelude::*};
use prometheus_client::metrics::histogram::Histogram;

use super::frames::Counters;
use crate::frame::FRAME_AGES;

/// Frames inside a stage that are kept in mind. No encoder here holds as many back.
const INSIDE: usize = 64;

/// What goes through the stages. Written by GStreamer's threads; the runs of a path add to the same.
#[derive(Debug)]
pub struct Stages {
    captured: AtomicU64,
    encoded: AtomicU64,
    decoding: Histogram,
    encoding: Histogram,
}

impl Default for Stages {
    fn default() -> Self {
        let (captured, encoded) = Default::default();
        Self { captured, encoded, decoding: Histogram::new(FRAME_AGES), encoding: Histogram::new(FRAME_AGES) }
    }
}

impl Stages {
    /// Frames that the source has delivered, also those that were left out afterwards.
    pub fn captured(&self) -> u64 {
        self.captured.load(Ordering::Relaxed)
    }

    /// Frames that were encoded here. None of a source that encodes itself.
    pub fn encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }

    /// Each stage with the time a frame takes in it, in seconds, without waiting in the queue before it.
    pub fn times(&self) -> [(&'static str, &Histogram); 2] {
        [("decode", &self.decoding), ("encode", &self.encoding)]
    }
}

/// Counts from now on what goes through the stages of a pipeline.
pub(super) fn watch(pipeline: &gst::Pipeline, counters: &Arc<Counters>) {
    // What others have encoded comes without a mode, and nothing is left out before the end.
    let captured = match pad(pipeline, "mode", "src") {
        Some(mode) => vec![mode],
        None => ["tail", "tail-mjpeg"].iter().filter_map(|tail| pad(pipeline, tail, "sink")).collect(),
    };
    for pad in captured {
        count(&pad, counters, |stages| &stages.captured);
    }
    if let Some(encoder) = pad(pipeline, "encoder", "src") {
        count(&encoder, counters, |stages| &stages.encoded);
    }
    time(pipeline, "decoder", counters, |stages| &stages.decoding);
    time(pipeline, "encoder", counters, |stages| &stages.encoding);
}

fn pad(pipeline: &gst::Pipeline, element: &str, pad: &str) -> Option<gst::Pad> {
    pipeline.by_name(element)?.static_pad(pad)
}

fn count(pad: &gst::Pad, counters: &Arc<Counters>, of: fn(&Stages) -> &AtomicU64) {
    let counters = Arc::clone(counters);
    pad.add_probe(PadProbeType::BUFFER, move |_, _| {
        of(&counters.stages).fetch_add(1, Ordering::Relaxed);
        PadProbeReturn::Ok
    });
}

/// Takes the time of each frame from where it enters an element to where it leaves it. Frames keep their order in all that
/// is used here.
fn time(pipeline: &gst::Pipeline, element: &str, counters: &Arc<Counters>, of: fn(&Stages) -> &Histogram) {
    let (Some(entry), Some(exit)) = (pad(pipeline, element, "sink"), pad(pipeline, element, "src")) else { return };
    let entered = Arc::new(Mutex::new(VecDeque::with_capacity(INSIDE)));
    let inside = Arc::clone(&entered);
    entry.add_probe(PadProbeType::BUFFER, move |pad, info| {
        if let Some(frame) = running_time(pad, info) {
            let mut inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
            if inside.len() == INSIDE {
                inside.pop_front();
            }
            inside.push_back((frame, Instant::now()));
        }
        PadProbeReturn::Ok
    });
    let counters = Arc::clone(counters);
    exit.add_probe(PadProbeType::BUFFER, move |pad, info| {
        let mut inside = entered.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = running_time(pad, info);
        // Those before it were left out inside.
        while let Some((entered, since)) = inside.front().copied().filter(|(entered, _)| Some(*entered) <= frame) {
            inside.pop_front();
            if Some(entered) == frame {
                of(&counters.stages).observe(since.elapsed().as_secs_f64());
            }
        }
        PadProbeReturn::Ok
    });
}

/// By what a frame is known again: encoders change the timestamps of buffers, and the segment with them.
fn running_time(pad: &gst::Pad, info: &gst::PadProbeInfo<'_>) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(info.buffer()?.pts()?)
}
