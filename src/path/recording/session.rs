//! The task of a recording: one stream after the other, and of each stream one file after the other.
//!
//! While the path streams a segment is written. Where it is cut the next one goes on with the very next frame, while the
//! first is closed behind it. When the stream ends (the camera was unplugged) the segment is closed, and the next stream
//! is recorded from its first frame on.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Desk, RecordingRequest, RecordingStarted, RecordingStatus, RecordingStopped, file_name};
use crate::{
    error::{Error, Kind, Result},
    output::{
        recorder::{Bounds, Note, Segment, SegmentEnd, SegmentReport},
        storage::InUse,
    },
    path::{
        Demand, PathEvent, PathStatus, Room,
        folders::{NewRecording, Which},
        room::{no_room, out_of_room},
    },
    stream::{Join, Stream, Subscription},
};

pub(super) struct Session {
    desk: Desk,
    request: RecordingRequest,
    id: String,
    status: watch::Sender<Option<RecordingStatus>>,
    stop: CancellationToken,
    _demand: Option<Demand>,
}

/// A file of the session.
struct File {
    number: u32,
    name: String,
    /// The folder it is in.
    place: PathBuf,
    segment: Segment,
    /// The file counts as being written until it is closed, whoever forgets the recording before.
    written: InUse,
    folder: Which,
}

/// How far a session has come.
struct Progress {
    /// Time in the files that are written.
    recorded: Duration,
    /// Time there may be in all files.
    limit: Option<Duration>,
    /// When what was recorded last ended.
    ended: Option<SystemTime>,
    files: u32,
    /// The file that was complete last.
    last: Option<RecordingStopped>,
    /// The file that is being closed while another is written. One at a time, so that a slow disk slows us down.
    closing: Option<JoinHandle<Option<RecordingStopped>>>,
}

/// How a stream that was being recorded came to its end.
enum Over {
    /// The camera is away, and may come back.
    Stream,
    /// There is nothing more to record.
    Recording,
}

impl Session {
    pub fn new(
        desk: Desk,
        request: RecordingRequest,
        status: watch::Sender<Option<RecordingStatus>>,
        stop: CancellationToken,
        demand: Option<Demand>,
    ) -> Arc<Self> {
        Arc::new(Self { desk, request, id: Uuid::new_v4().to_string(), status, stop, _demand: demand })
    }

    /// Records until it is told to stop, the limit is reached, or a file cannot be written. `opened` is told when the
    /// first file is open. Gives the last file.
    pub async fn run(
        self: Arc<Self>,
        mut path: watch::Receiver<PathStatus>,
        opened: oneshot::Sender<()>,
    ) -> Result<RecordingStopped> {
        let mut opened = Some(opened);
        let mut progress = Progress {
            recorded: Duration::ZERO,
            limit: self.request.limit,
            ended: None,
            files: 0,
            last: None,
            closing: None,
        };
        loop {
            let stream = match opened {
                // Whoever asked for it waits for the first file, and nobody can stop it so far.
                Some(_) => {
                    live(&path.borrow()).cloned().ok_or_else(|| Error::dependency("device", "the stream is over"))?
                }
                None => tokio::select! {
                    Some(stream) = live_stream(&mut path) => stream,
                    () = self.stop.cancelled() => break,
                    else => break,
                },
            };
            match self.record(&stream, &mut progress, &mut opened).await {
                Ok(Over::Stream) if !self.request.only_while_streaming => {}
                Ok(_) => break,
                Err(error) => {
                    progress.settle().await;
                    return Err(error);
                }
            }
        }
        progress.settle().await;
        progress.last.ok_or_else(|| Error::dependency("device", "the camera was away all the time"))
    }

    /// Records one stream.
    async fn record(
        self: &Arc<Self>,
        stream: &Arc<Stream>,
        progress: &mut Progress,
        opened: &mut Option<oneshot::Sender<()>>,
    ) -> Result<Over> {
        let is_first = progress.files == 0;
        // Of a stream that came back nothing is left out.
        let past = if is_first { self.request.pre_roll.unwrap_or_default() } else { Duration::MAX };
        let mut frames = stream.subscribe(Join::Past(past));
        if is_first {
            progress.limit = progress.limit.map(|limit| limit + frames.lead());
        }
        loop {
            let mut file = self.open(frames, progress).await?;
            if let Some(opened) = opened.take() {
                let _ = opened.send(());
            }
            let rest = tokio::select! {
                rest = file.segment.taken() => rest,
                () = self.stop.cancelled() => {
                    file.segment.stop();
                    file.segment.taken().await
                }
                () = out_of_room(self.desk.disks.clone(), file.folder) => {
                    file.segment.stop();
                    file.segment.taken().await
                }
            };
            progress.settle().await;
            match rest {
                Some(rest) => {
                    progress.recorded += rest.duration;
                    progress.ended = rest.subscription.begins();
                    progress.closing = Some(tokio::spawn(Arc::clone(self).close_behind(file)));
                    frames = rest.subscription;
                }
                None => {
                    let (name, folder) = (file.name.clone(), file.folder);
                    let over = self.close(file, progress).await?;
                    // The file is whole; the recording is not.
                    if self.desk.disks.borrow().rooms.of(folder) == Room::None && !self.stop.is_cancelled() {
                        self.failed(name, &no_room());
                        return Err(no_room());
                    }
                    return Ok(over);
                }
            }
        }
    }

    /// Begins a file, and tells of it.
    async fn open(&self, frames: Subscription, progress: &mut Progress) -> Result<File> {
        let (pre_roll, started) = (frames.lead(), frames.begins().unwrap_or_else(SystemTime::now));
        let bounds = Bounds {
            limit: progress.limit.map(|limit| limit.saturating_sub(progress.recorded)),
            cut_after: self.request.cut_after,
            cut_at: self.request.cut_at,
        };
        let (folders, launch) = (self.desk.folders.clone(), self.desk.launch.clone());
        let (note, request) = (Note::new(&self.desk.path, &self.id, started), self.request);
        let rooms = self.desk.disks.borrow().rooms.clone();
        let opening = async {
            let NewRecording { target, written, folder } = folders.new_recording(&note, &request, &rooms).await?;
            let (name, place) = (file_name(&target.file), target.file.parent().unwrap_or(&target.file).to_owned());
            let opening = spawn_blocking(move || Segment::start(target, frames, &launch, bounds));
            let segment = opening
                .await
                .map_err(|error| Error::with_source(Kind::Internal, "a recording's file was not opened", error))??;
            Ok((name, place, segment, written, folder))
        };
        let (name, place, segment, written, folder) = opening.await.inspect_err(|error: &Error| {
            // A first file that cannot be written is the caller's to hear of; a later one is an event.
            let before = self.status.borrow().as_ref().map(|status| status.filename.clone());
            match before {
                Some(before) => self.failed(before, error),
                None => {
                    self.desk.trouble.set(Some(error.clone()));
                    self.tell(PathEvent::Changed { name: self.desk.path.clone() });
                }
            }
        })?;
        let gap = progress.ended.and_then(|ended| started.duration_since(ended).ok()).unwrap_or_default();
        progress.files += 1;
        self.desk.trouble.set(None);
        self.status.send_modify(|status| {
            let first = status.take();
            *status = Some(RecordingStatus {
                session_id: self.id.clone(),
                filename: name.clone(),
                started: first.as_ref().map_or(started, |first| first.started),
                pre_roll: first.as_ref().map_or(pre_roll, |first| first.pre_roll),
                files: progress.files,
                request: self.request,
            });
        });
        tracing::info!(path = %self.desk.path, filename = %name, gap = gap.as_secs_f64(), "recording");
        self.tell(PathEvent::RecordingStarted {
            name: self.desk.path.clone(),
            started: RecordingStarted {
                session_id: self.id.clone(),
                filename: name.clone(),
                folder: place.clone(),
                started,
                gap,
            },
        });
        Ok(File { number: progress.files, name, place, segment, written, folder })
    }

    /// Closes the last file of a stream.
    async fn close(&self, mut file: File, progress: &mut Progress) -> Result<Over> {
        let report = file.segment.finished().await;
        progress.recorded += report.duration;
        progress.ended = Some(report.started + report.duration);
        let stopped = self.closed(file, &report)?;
        progress.last = Some(stopped);
        Ok(match report.end {
            SegmentEnd::StreamClosed if progress.limit.is_none_or(|limit| progress.recorded < limit) => Over::Stream,
            _ => Over::Recording,
        })
    }

    /// Closes a file while another is written already. Gives it, unless that failed, which then is told.
    async fn close_behind(self: Arc<Self>, mut file: File) -> Option<RecordingStopped> {
        let report = file.segment.finished().await;
        self.closed(file, &report).ok()
    }

    /// Tells what became of a file.
    fn closed(&self, file: File, report: &SegmentReport) -> Result<RecordingStopped> {
        // Whoever is told may want to delete it.
        drop(file.written);
        tracing::info!(path = %self.desk.path, filename = %file.name, frames = report.frames, missed = report.missed,
            seconds = report.duration.as_secs_f64(), bytes = report.bytes, "recording closed: {:?}", report.end);
        if let SegmentEnd::Failed(error) = &report.end {
            self.failed(file.name, error);
            return Err(error.clone());
        }
        let stopped = RecordingStopped {
            session_id: self.id.clone(),
            filename: file.name,
            folder: file.place,
            started: report.started,
            ended: report.started + report.duration,
            duration: report.duration,
            bytes: report.bytes,
            missed: report.missed,
            format: self.request.format,
            files: file.number,
        };
        self.tell(PathEvent::RecordingStopped { name: self.desk.path.clone(), stopped: stopped.clone() });
        Ok(stopped)
    }

    /// Tells that the recording ends, and why: whoever asks later is told, too.
    fn failed(&self, filename: String, error: &Error) {
        self.desk.trouble.set(Some(error.clone()));
        tracing::error!(path = %self.desk.path, %filename, "recording failed: {}", error.chain());
        self.tell(PathEvent::RecordingFailed { name: self.desk.path.clone(), filename, error: error.clone() });
    }

    fn tell(&self, event: PathEvent) {
        // Nobody listening is fine.
        let _ = self.desk.events.send(event);
    }
}

impl Progress {
    /// Waits for the file that is being closed.
    async fn settle(&mut self) {
        if let Some(closing) = self.closing.take()
            && let Ok(Some(stopped)) = closing.await
        {
            self.last = Some(stopped);
        }
    }
}

/// The stream of a path as soon as there is one that has not ended; `None` when the path is gone for good.
async fn live_stream(path: &mut watch::Receiver<PathStatus>) -> Option<Arc<Stream>> {
    live(&*path.wait_for(|status| live(status).is_some()).await.ok()?).cloned()
}

fn live(status: &PathStatus) -> Option<&Arc<Stream>> {
    status.available().filter(|stream| !stream.is_closed())
}
