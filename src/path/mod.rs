//! A path: a named stream with its source, its readers and its recorder.
//!
//! Every path has one task that owns it ([`task`](self)); others hold [`Paths`], ask it things and look at the
//! [`PathStatus`] it publishes. What the source is (a camera, a test pattern) matters to nobody above this floor.
//!
//! Not here: which device is which camera (`camera`), and how a caller asks (`command`).

mod always;
mod auto_record;
mod backoff;
mod demand;
mod folders;
mod own_folders;
mod publishing;
mod recording;
mod recordings;
mod recovery;
mod registry;
mod room;
mod run;
mod snapshots;
pub mod state;
mod streaming;
mod task;

use std::{sync::Arc, time::SystemTime};

pub use always::Filling;
pub use demand::{Demand, Demands, Wish};
pub use folders::{Doors, Folders};
pub use own_folders::{OwnFolder, OwnFolders};
pub use publishing::{Host, Publishing};
pub use recording::{RecordingRequest, RecordingStarted, RecordingStatus, RecordingStopped};
pub use registry::{Parts, Paths};
pub use room::{Room, Thresholds};
pub use snapshots::SnapshotTaken;
pub use state::Phase;
pub use streaming::{StreamingStarted, StreamingStopped};

use crate::{
    error::Error,
    output::snapshot::Pictures,
    pipeline::{CapturePlan, Counters},
    stream::Stream,
};

/// How one path is run.
#[derive(Clone, Debug, PartialEq)]
pub struct PathSettings {
    /// Run from plug to unplug, instead of from the first reader to some time after the last.
    pub always_on: bool,
    /// On demand: how long after the last reader the pipeline stops.
    pub close_after: std::time::Duration,
    /// How long a camera may take from start to its first frame.
    pub start_timeout: std::time::Duration,
    /// How old the newest frame may get before the camera counts as frozen.
    pub frame_timeout: std::time::Duration,
    /// How long a pipeline may take to let go of its device before the driver counts as wedged.
    pub stop_timeout: std::time::Duration,
    /// What the stream keeps. Recordings begin with its `past` unless they are asked for less.
    pub ring: crate::stream::Limits,
    /// Whether its source is whoever publishes to it.
    pub publishing: Publishing,
    /// Record it whenever the camera is there, so.
    pub auto_record: Option<RecordingRequest>,
    /// Readers stay while the source is away, and see this meanwhile. `None`: they end with the source's stream.
    pub always_available: Option<Filling>,
}

/// When a path runs: what of its [`PathSettings`] can change while it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// As in the settings.
    pub always_on: bool,
    /// As in the settings.
    pub close_after: std::time::Duration,
    /// As in the settings; for readers, from the next time on that the path becomes one that can be read.
    pub start_timeout: std::time::Duration,
    /// As in the settings. Readers that see a filler leave when it is none any more.
    pub always_available: Option<Filling>,
}

impl Running {
    fn of(settings: &PathSettings) -> Self {
        let PathSettings { always_on, close_after, start_timeout, always_available, .. } = settings.clone();
        Self { always_on, close_after, start_timeout, always_available }
    }

    fn put_into(self, settings: &mut PathSettings) {
        let Self { always_on, close_after, start_timeout, always_available } = self;
        *settings = PathSettings { always_on, close_after, start_timeout, always_available, ..settings.clone() };
    }
}

/// How a path is, right now. A snapshot; cheap to clone.
#[derive(Clone)]
pub struct PathStatus {
    /// The path's name, e.g. `camera0`; readers find it at `rtsp://host:port/NAME`.
    pub name: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether readers may come: frames flow, would on demand, or a filler is shown.
    pub open: bool,
    /// Why it is not streaming, when it should be.
    pub trouble: Option<Error>,
    /// What the pipeline does, or would do if somebody wanted the stream; `None` without a source, or if there can be
    /// no pipeline.
    pub plan: Option<Arc<CapturePlan>>,
    /// The frames, while they flow.
    pub stream: Option<Arc<Stream>>,
    /// What stands in for them, on a path that is always available.
    pub filler: Option<Arc<Stream>>,
    /// What RTSP readers get, on a path that is always available: first the one, then the other, without an end.
    pub outgoing: Option<Arc<Stream>>,
    /// The pictures that can be taken, while frames flow.
    pub pictures: Option<Arc<Pictures>>,
    /// Since when they flow.
    pub streaming_since: Option<SystemTime>,
    /// Since when there is something to read.
    pub available_since: Option<SystemTime>,
    /// Counts the comings and goings of its source.
    pub appearances: u64,
    /// Runs of the pipeline since the path was made.
    pub runs: u64,
    /// What these runs left out.
    pub counters: Arc<Counters>,
    /// Times the path's own task had to be started again.
    pub panics: u64,
    /// The recording, while there is one.
    pub recording: Option<RecordingStatus>,
    /// Why the last one ended or did not begin, where that was no wish of anybody, until another begins.
    pub recording_trouble: Option<Error>,
}

impl PathStatus {
    /// What can be read now: the frames of the source, or what stands in for them.
    pub fn available(&self) -> Option<&Arc<Stream>> {
        self.filler.as_ref().or(self.stream.as_ref())
    }
}

/// Something others want to hear of at once.
#[derive(Clone, Debug)]
pub enum PathEvent {
    /// The path's [`PathStatus`] changed in its phase or its trouble.
    Changed {
        /// The path.
        name: String,
    },
    /// There is more or less [`Room`] for recordings.
    RoomChanged,
    /// A snapshot was taken and stored.
    SnapshotTaken {
        /// The path.
        name: String,
        /// The file, without its folder.
        filename: String,
    },
    /// A recording began, or went on in a new file.
    RecordingStarted {
        /// The path.
        name: String,
        /// What is being recorded.
        started: RecordingStarted,
    },
    /// A recording's file is complete.
    RecordingStopped {
        /// The path.
        name: String,
        /// What was recorded.
        stopped: RecordingStopped,
    },
    /// A recording that an earlier run was writing when it was cut off plays up to its last whole part.
    RecordingRecovered {
        /// The path.
        name: String,
        /// The file, without its folder.
        filename: String,
        /// Names the recording across its files, where that is known.
        session_id: Option<String>,
        /// What is left of it.
        duration: std::time::Duration,
    },
    /// A recording could not go on. What was written stays.
    RecordingFailed {
        /// The path.
        name: String,
        /// The file, without its folder.
        filename: String,
        /// Why.
        error: Error,
    },
}
