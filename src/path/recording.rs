//! One recording of one path: from start to stop, across the camera's absences.
//!
//! A recording has a task of its own that watches the path's status. While the path streams it writes a segment; when
//! the stream ends (the camera was unplugged) the segment is closed, and the next stream becomes the next segment of the
//! same recording. It holds a [`Demand`], so an on-demand path runs for it. The path's own task knows nothing of this.
//!
//! Not here: how a file is written (`output::recorder`) and what it is called (`output::storage`).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{broadcast, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use super::{Demand, Folders, PathEvent, PathStatus};
use crate::{
    error::{Error, Kind, Result},
    media::launch::LaunchFiles,
    output::{
        recorder::{RecordingFormat, Segment, SegmentEnd, SegmentReport},
        storage::InUse,
    },
    stream::Stream,
};

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordingRequest {
    /// The container.
    pub format: RecordingFormat,
    /// Stop by itself after this much recorded time.
    pub limit: Option<Duration>,
}

/// A recording that runs.
#[derive(Clone, Debug)]
pub struct RecordingStatus {
    /// Names the recording across its segments.
    pub session_id: String,
    /// The file written now, or last while the camera is away; without its folder.
    pub filename: String,
    /// When the recording was started.
    pub started: SystemTime,
    /// What was asked for.
    pub request: RecordingRequest,
}

/// A file of a recording that is complete.
#[derive(Clone, Debug)]
pub struct RecordingStopped {
    /// Names the recording across its segments.
    pub session_id: String,
    /// The file, without its folder.
    pub filename: String,
    /// When its first frame was captured.
    pub started: SystemTime,
    /// When its last frame ended.
    pub ended: SystemTime,
    /// Recorded time.
    pub duration: Duration,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The container.
    pub format: RecordingFormat,
}

/// What a recording needs of the service.
pub(super) struct Desk {
    pub path: String,
    pub folders: Folders,
    pub launch: LaunchFiles,
    pub events: broadcast::Sender<PathEvent>,
}

/// A recording's handle.
pub(super) struct Recording {
    status: watch::Receiver<Option<RecordingStatus>>,
    stop: CancellationToken,
    done: JoinHandle<Result<RecordingStopped>>,
}

impl Recording {
    /// Starts recording what `path` streams now. Returns when the first file is open.
    /// Errors: those of [`Segment::start`], and a path that stops streaming meanwhile.
    pub async fn start(
        desk: Desk,
        request: RecordingRequest,
        path: watch::Receiver<PathStatus>,
        demand: Demand,
    ) -> Result<Self> {
        let (status_tx, status) = watch::channel(None);
        let stop = CancellationToken::new();
        let (opened, is_open) = oneshot::channel();
        let session = Session {
            desk,
            request,
            id: uuid::Uuid::new_v4().to_string(),
            started: SystemTime::now(),
            status: status_tx,
            stop: stop.clone(),
            _demand: demand,
        };
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

    /// Closes the file and returns when it is playable.
    pub async fn stop(self) -> Result<RecordingStopped> {
        self.stop.cancel();
        self.done.await.map_err(|error| Error::with_source(Kind::Internal, "a recording's task failed", error))?
    }
}

struct Session {
    desk: Desk,
    request: RecordingRequest,
    id: String,
    started: SystemTime,
    status: watch::Sender<Option<RecordingStatus>>,
    stop: CancellationToken,
    _demand: Demand,
}

impl Session {
    async fn run(self, mut path: watch::Receiver<PathStatus>, opened: oneshot::Sender<()>) -> Result<RecordingStopped> {
        let mut opened = Some(opened);
        let mut recorded = Duration::ZERO;
        let mut last: Option<RecordingStopped> = None;
        loop {
            let stream = tokio::select! {
                stream = live_stream(&mut path) => stream,
                () = self.stop.cancelled() => None,
            };
            let Some(stream) = stream else {
                return last.ok_or_else(|| Error::dependency("device", "the camera was away all the time"));
            };
            let limit = self.request.limit.map(|limit| limit.saturating_sub(recorded));
            // The file counts as being written until its segment is closed, whoever forgets the recording before.
            let (filename, mut segment, written) = match self.open(&stream, limit).await {
                Ok(segment) => segment,
                Err(error) => {
                    // A first file that cannot be written is the caller's to hear of; a later one is an event.
                    if let Some(last) = &last {
                        self.failed(last.filename.clone(), &error);
                    }
                    return Err(error);
                }
            };
            self.status.send_replace(Some(RecordingStatus {
                session_id: self.id.clone(),
                filename: filename.clone(),
                started: self.started,
                request: self.request,
            }));
            self.tell(PathEvent::RecordingStarted { name: self.desk.path.clone(), filename: filename.clone() });
            tracing::info!(path = %self.desk.path, %filename, "recording");
            if let Some(opened) = opened.take() {
                let _ = opened.send(());
            }
            let report = tokio::select! {
                report = segment.finished() => report,
                () = self.stop.cancelled() => { segment.stop(); segment.finished().await }
            };
            drop(written);
            recorded += report.duration;
            let stopped = self.stopped(&filename, &report);
            tracing::info!(path = %self.desk.path, %filename, frames = report.frames, missed = report.missed,
                seconds = report.duration.as_secs_f64(), bytes = report.bytes, "recording closed: {:?}", report.end);
            match report.end {
                SegmentEnd::Failed(error) => {
                    self.failed(filename, &error);
                    return Err(error);
                }
                SegmentEnd::Stopped | SegmentEnd::LimitReached => {
                    self.tell(PathEvent::RecordingStopped { name: self.desk.path.clone(), stopped: stopped.clone() });
                    return Ok(stopped);
                }
                SegmentEnd::StreamClosed => {
                    self.tell(PathEvent::RecordingStopped { name: self.desk.path.clone(), stopped: stopped.clone() });
                    last = Some(stopped);
                }
            }
        }
    }

    async fn open(&self, stream: &Arc<Stream>, limit: Option<Duration>) -> Result<(String, Segment, InUse)> {
        let (folders, launch, stream) = (self.desk.folders.clone(), self.desk.launch.clone(), Arc::clone(stream));
        let (path, format) = (self.desk.path.clone(), self.request.format);
        let opened = spawn_blocking(move || {
            let (file, written) = folders.new_recording(&path, format)?;
            let filename = file_name(&file);
            Segment::start(file, format, &stream, &launch, limit).map(|segment| (filename, segment, written))
        });
        opened.await.map_err(|error| Error::with_source(Kind::Internal, "a recording's file was not opened", error))?
    }

    fn stopped(&self, filename: &str, report: &SegmentReport) -> RecordingStopped {
        RecordingStopped {
            session_id: self.id.clone(),
            filename: filename.to_owned(),
            started: report.started,
            ended: report.started + report.duration,
            duration: report.duration,
            bytes: report.bytes,
            format: self.request.format,
        }
    }

    fn failed(&self, filename: String, error: &Error) {
        tracing::error!(path = %self.desk.path, %filename, "recording failed: {}", error.chain());
        self.tell(PathEvent::RecordingFailed { name: self.desk.path.clone(), filename, error: error.clone() });
    }

    fn tell(&self, event: PathEvent) {
        // Nobody listening is fine.
        let _ = self.desk.events.send(event);
    }
}

/// The stream of a path as soon as there is one that has not ended; `None` when the path is gone for good.
async fn live_stream(path: &mut watch::Receiver<PathStatus>) -> Option<Arc<Stream>> {
    let live = |status: &PathStatus| status.stream.as_ref().is_some_and(|stream| !stream.is_closed());
    path.wait_for(live).await.ok()?.stream.clone()
}

/// A file of ours without its folder. Our names are UTF-8.
pub(super) fn file_name(file: &std::path::Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
