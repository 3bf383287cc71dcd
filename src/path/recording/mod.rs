//! One recording of one path: from start to stop, over many files, across the camera's absences.
//!
//! A recording has a task of its own (`session`) that watches the path's status. It holds a [`Demand`], so an on-demand
//! path runs for it, unless that is not wanted. The path's own task knows nothing of this.
//!
//! Not here: how a file is written (`output::recorder`) and what it is called (`output::storage`).

mod session;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{broadcast, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Demand, Folders, OwnFolder, PathEvent, PathStatus, room::Disks};
use crate::{
    error::{Error, Kind, Result},
    media::launch::LaunchFiles,
    output::recorder::RecordingFormat,
};
use session::Session;

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordingRequest {
    /// The container.
    pub format: RecordingFormat,
    /// Stop by itself after this much recorded time. What was before the request comes on top.
    pub limit: Option<Duration>,
    /// Begin this much before the request, at a key frame, as far as the stream's ring reaches back. `None`: as much as
    /// the path keeps for it.
    pub pre_roll: Option<Duration>,
    /// Go on in another file after this much time.
    pub cut_after: Option<Duration>,
    /// Go on in another file before this one has more bytes.
    pub cut_at: Option<u64>,
    /// Fragmented MP4 is written in parts of this length; `None`: of a second.
    pub part: Option<Duration>,
    /// The folder that the files go to while it takes them; `None`: the one of all.
    pub folder: Option<OwnFolder>,
    /// Record what there is: it begins when the path streams and ends with its stream, and the path does not run for it.
    pub only_while_streaming: bool,
}

impl RecordingRequest {
    /// Everything there is, in one file, until somebody stops it.
    pub const fn new(format: RecordingFormat) -> Self {
        Self {
            format,
            limit: None,
            pre_roll: None,
            cut_after: None,
            cut_at: None,
            part: None,
            folder: None,
            only_while_streaming: false,
        }
    }
}

/// A recording that runs.
#[derive(Clone, Debug)]
pub struct RecordingStatus {
    /// Names the recording across its files.
    pub session_id: String,
    /// The file written now, or last while the camera is away; without its folder.
    pub filename: String,
    /// When the first frame of the first file was captured.
    pub started: SystemTime,
    /// How much of it was before the request.
    pub pre_roll: Duration,
    /// Files begun.
    pub files: u32,
    /// What was asked for.
    pub request: RecordingRequest,
}

/// A file of a recording that was begun.
#[derive(Clone, Debug)]
pub struct RecordingStarted {
    /// Names the recording across its files.
    pub session_id: String,
    /// The file, without its folder.
    pub filename: String,
    /// The folder.
    pub folder: PathBuf,
    /// When its first frame was captured.
    pub started: SystemTime,
    /// What is missing between the file before this one and this one, because the camera was away.
    pub gap: Duration,
}

/// A file of a recording that is complete.
#[derive(Clone, Debug)]
pub struct RecordingStopped {
    /// Names the recording across its files.
    pub session_id: String,
    /// The file, without its folder.
    pub filename: String,
    /// The folder.
    pub folder: PathBuf,
    /// When its first frame was captured.
    pub started: SystemTime,
    /// When its last frame ended.
    pub ended: SystemTime,
    /// Recorded time.
    pub duration: Duration,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Frames that are not in it because the disk was too slow.
    pub missed: u64,
    /// The container.
    pub format: RecordingFormat,
    /// Files of the recording up to this one.
    pub files: u32,
}

/// What a recording needs of the service.
pub(super) struct Desk {
    pub path: String,
    pub folders: Folders,
    pub launch: LaunchFiles,
    pub events: broadcast::Sender<PathEvent>,
    pub disks: watch::Receiver<Disks>,
    pub trouble: Trouble,
}

/// Why the last recording of a path ended or did not begin, until another begins. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Error>>>);

impl Trouble {
    pub fn now(&self) -> Option<Error> {
        self.lock().clone()
    }

    pub fn set(&self, trouble: Option<Error>) {
        *self.lock() = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A recording's handle.
pub(super) struct Recording {
    status: watch::Receiver<Option<RecordingStatus>>,
    stop: CancellationToken,
    done: JoinHandle<Result<RecordingStopped>>,
}

impl Recording {
    /// Starts recording what `path` streams now. Returns when the first file is open.
    /// Errors: those of [`Segment::start`](crate::output::recorder::Segment::start), and a path that stops streaming
    /// meanwhile.
    pub async fn start(
        desk: Desk,
        request: RecordingRequest,
        path: watch::Receiver<PathStatus>,
        demand: Option<Demand>,
    ) -> Result<Self> {
        let (status_tx, status) = watch::channel(None);
        let stop = CancellationToken::new();
        let (opened, is_open) = oneshot::channel();
        let session = Session::new(desk, request, status_tx, stop.clone(), demand);
        let done = tokio::spawn(session.run(path, opened));
        match is_open.await {
            Ok(()) => Ok(Self { status, stop, done }),
            Err(_) => match done.await {
                Ok(Err(error)) => Err(error),
                _ => Err(Error::internal("a recording ended before it began")),
            },
        }
    }

    /// How it is; `None` when it has ended by itself.
    pub fn status(&self) -> Option<RecordingStatus> {
        if self.done.is_finished() { None } else { self.status.borrow().clone() }
    }

    /// Waits until it has ended. Holds nothing of it.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut status = self.status.clone();
        async move { while status.changed().await.is_ok() {} }
    }

    /// Closes the file and returns when it is playable.
    pub async fn stop(self) -> Result<RecordingStopped> {
        self.stop.cancel();
        self.done.await.map_err(|error| Error::with_source(Kind::Internal, "a recording's task failed", error))?
    }
}

/// A file of ours without its folder. Our names are UTF-8.
pub(super) fn file_name(file: &std::path::Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
