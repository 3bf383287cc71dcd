//! What a camera's pipeline does and why, and what it left out.

use schemars::JsonSchema;
use serde::Serialize;

use super::access::Caller;
use crate::{
    path::{PathStatus, Phase},
    pipeline::Dropped,
};

/// The pipeline of a camera, as it runs or would run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pipeline {
    state: State,
    /// `H264` or `MJPEG`: what readers get.
    codec: String,
    /// The mode the device is opened in, e.g. `MJPG 1280x720@30`; none for a test pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    /// None: what the camera gives goes through untouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<String>,
    /// Each choice with its reason.
    reasons: Vec<String>,
    /// Times it was started since the service was.
    runs: u64,
    /// Times the task that looks after it had to be started again.
    panics: u64,
    dropped: Frames,
}

/// What a pipeline does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "PipelineState")]
pub enum State {
    /// Waits for a reader.
    Idle,
    /// Opens the camera, and waits for its first frame.
    Starting,
    /// Frames flow.
    Streaming,
    /// Has failed, and is tried again soon.
    Waiting,
    /// Lets go of the camera.
    Stopping,
    /// The driver does not let go of the camera.
    Wedged,
}

/// Frames that were left out since the service was started.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DroppedFrames")]
struct Frames {
    /// The encoder or the decoder was too slow.
    too_slow: u64,
    /// What the camera sent was no picture.
    broken: u64,
    /// They came before the first key frame.
    before_key_frame: u64,
}

impl State {
    /// `None`: there is nothing to do anything with.
    pub fn of(phase: Phase) -> Option<Self> {
        Some(match phase {
            Phase::Away | Phase::Closed => return None,
            Phase::Idle => Self::Idle,
            Phase::Starting(_) => Self::Starting,
            Phase::Streaming(_) => Self::Streaming,
            Phase::Waiting { .. } => Self::Waiting,
            Phase::Stopping(_) => Self::Stopping,
            Phase::Wedged(_) => Self::Wedged,
        })
    }
}

impl Pipeline {
    /// The pipeline of a path, told to this caller; `None` while there can be none.
    pub fn of(path: &PathStatus, caller: &Caller) -> Option<Self> {
        let state = State::of(path.phase)?;
        let plan = path.plan.as_ref()?;
        Some(Self {
            state,
            codec: plan.format.codec.to_string(),
            mode: plan.mode.map(|mode| mode.to_string()),
            encoder: plan.encoder.map(|encoder| encoder.to_string()),
            reasons: plan.why.iter().map(|reason| caller.may_read(reason)).collect(),
            runs: path.runs,
            panics: path.panics,
            dropped: path.counters.dropped().into(),
        })
    }
}

impl From<Dropped> for Frames {
    fn from(dropped: Dropped) -> Self {
        Self {
            too_slow: dropped.raw_overrun + dropped.undecoded_overrun,
            broken: dropped.broken_jpeg + dropped.unreadable,
            before_key_frame: dropped.before_key,
        }
    }
}
