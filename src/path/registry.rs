//! All paths by name: making them, asking them, closing them.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use super::{
    Demands, Folders, PathEvent, PathSettings, PathStatus, Phase, Running, Wish,
    auto_record::Keeper,
    publishing::{Publisher, occupant},
    recording::Trouble,
    recordings::{Slot, end_recording, recording_status},
    room::Disks,
    snapshots::Shots,
    task::{self, Request, Seat},
};
use crate::{
    config::EncoderKind,
    error::{Error, Kind, Result},
    id::RunId,
    media::launch::LaunchFiles,
    output::rtsp::{Readers, RtspServer},
    pipeline::{CaptureRequest, Encoders},
};

/// Events kept for a listener that is behind. One that falls further behind is told how many it missed.
const EVENTS: usize = 256;
/// Requests a path's task has not come to yet. Callers wait when it is full.
const REQUESTS: usize = 8;

/// What all paths share.
pub struct Parts {
    /// Where launch files come from.
    pub launch: LaunchFiles,
    /// Which encoders work here.
    pub encoders: Arc<Encoders>,
    /// Where readers come.
    pub rtsp: Arc<RtspServer>,
    /// This host's name in the URLs that the log shows.
    pub rtsp_host: String,
    /// Where files go.
    pub folders: Folders,
}

/// A stream that was asked to run.
#[derive(Clone, Copy, Debug)]
pub struct StreamingStarted {
    /// Since when it runs.
    pub since: SystemTime,
    /// How long after the last reader it stops by itself. `None`: it runs as long as the camera is there.
    pub closes_after: Option<Duration>,
}

/// A stream that need not run any more.
#[derive(Clone, Copy, Debug)]
pub struct StreamingStopped {
    /// Since when it ran.
    pub since: SystemTime,
    /// Whether it goes on all the same, because it is read, recorded or always on.
    pub goes_on: bool,
}

/// The paths. Cheap to clone.
#[derive(Clone)]
pub struct Paths(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) events: broadcast::Sender<PathEvent>,
    paths: Mutex<BTreeMap<String, Entry>>,
    /// Cancelled when no more recordings are begun.
    pub(super) closing: CancellationToken,
    pub(super) disks: watch::Sender<Disks>,
    pub(super) shots: Shots,
}

pub(super) struct Entry {
    inbox: mpsc::Sender<Request>,
    pub(super) status: watch::Receiver<PathStatus>,
    pub(super) demands: Demands,
    supervisor: Option<JoinHandle<()>>,
    pub(super) recording: Slot,
    pub(super) publisher: Publisher,
    pub(super) recording_trouble: Trouble,
    pub(super) settings: PathSettings,
    /// What they were when the path was made.
    made: PathSettings,
    /// What has the path recorded whenever its camera is there, where something does.
    pub(super) keeper: Option<Keeper>,
}

impl Paths {
    /// No paths yet.
    pub fn new(parts: Parts) -> Self {
        let (events, _) = broadcast::channel(EVENTS);
        Self(Arc::new(Inner {
            parts,
            events,
            paths: Mutex::default(),
            closing: CancellationToken::new(),
            disks: watch::Sender::default(),
            shots: Shots::default(),
        }))
    }

    /// Makes a path without a source. One of that name that is there already stays as it is.
    pub fn add(&self, name: &str, settings: PathSettings) {
        let mut paths = self.lock();
        if paths.contains_key(name) {
            return;
        }
        let (inbox_tx, inbox) = mpsc::channel(REQUESTS);
        let (status_tx, status) = watch::channel(PathStatus {
            name: name.to_owned(),
            phase: Phase::Away,
            open: false,
            trouble: None,
            plan: None,
            stream: None,
            pictures: None,
            streaming_since: None,
            appearances: 0,
            runs: 0,
            counters: Arc::default(),
            panics: 0,
            recording: None,
            recording_trouble: None,
        });
        let demands = Demands::new();
        let seat = Seat {
            name: name.to_owned(),
            settings: settings.clone(),
            launch: self.0.parts.launch.clone(),
            encoders: Arc::clone(&self.0.parts.encoders),
            rtsp: Arc::clone(&self.0.parts.rtsp),
            rtsp_host: self.0.parts.rtsp_host.clone(),
            demands: demands.clone(),
            shots: Arc::clone(&self.0.shots.counters),
            status: status_tx,
            events: self.0.events.clone(),
            inbox,
            source: None,
            run: RunId::default(),
            appearances: 0,
        };
        let supervisor = Some(tokio::spawn(supervise(seat)));
        let (recording, recording_trouble) = (Arc::default(), Trouble::default());
        let keeper = settings.auto_record.map(|request| Keeper::spawn(self, name, status.clone(), request, None));
        let (inbox, publisher, made) = (inbox_tx, Publisher::default(), settings.clone());
        let entry = Entry {
            inbox,
            status,
            demands,
            supervisor,
            recording,
            publisher,
            recording_trouble,
            settings,
            made,
            keeper,
        };
        paths.insert(name.to_owned(), entry);
    }

    /// How a path is run if nobody changes that. Error: no such path.
    pub fn settings(&self, name: &str) -> Result<PathSettings> {
        self.with(name, |entry| entry.made.clone())
    }

    /// Has a path run otherwise than before, without disturbing who reads it. Error: no such path.
    pub async fn change_running(&self, name: &str, running: Running) -> Result<()> {
        let inbox = {
            let mut paths = self.lock();
            let entry = paths.get_mut(name).ok_or_else(|| Error::not_found("stream", name))?;
            running.put_into(&mut entry.settings);
            entry.inbox.clone()
        };
        inbox.send(Request::Running(running)).await.map_err(|_| closing())
    }

    /// How many want a path's stream, and every change of that. Error: no such path.
    pub fn wanted(&self, name: &str) -> Result<watch::Receiver<Wish>> {
        self.with(name, |entry| entry.demands.watch())
    }

    /// The RTSP server, with everybody who is connected to it.
    pub fn rtsp(&self) -> Arc<RtspServer> {
        Arc::clone(&self.0.parts.rtsp)
    }

    /// Gives a path its source, or takes it away. Returns when the path's status shows it. Error: no such path.
    pub async fn set_source(&self, name: &str, source: Option<CaptureRequest>) -> Result<()> {
        let inbox = self.with(name, |entry| entry.inbox.clone())?;
        let (taken, is_taken) = oneshot::channel();
        inbox.send(Request::Source(source, taken)).await.map_err(|_| closing())?;
        // A task that panics over it is started again with it, and shows that.
        let _ = is_taken.await;
        Ok(())
    }

    /// How a path is. Error: no such path.
    pub fn status(&self, name: &str) -> Result<PathStatus> {
        let (mut status, recording, trouble) = self.with(name, |entry| {
            (entry.status.borrow().clone(), Arc::clone(&entry.recording), entry.recording_trouble.clone())
        })?;
        status.recording = recording_status(&recording);
        status.recording_trouble = trouble.now();
        Ok(status)
    }

    /// How all paths are, by name.
    pub fn list(&self) -> Vec<PathStatus> {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        names.iter().filter_map(|name| self.status(name).ok()).collect()
    }

    /// The encoders that work here, the best first.
    pub fn encoders(&self) -> &[EncoderKind] {
        &self.0.parts.encoders.usable
    }

    /// The RTSP readers of a path.
    pub fn readers(&self, name: &str) -> Readers {
        self.0.parts.rtsp.readers(name)
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<PathEvent> {
        self.0.events.subscribe()
    }

    /// Starts a path where need be. On demand it then stops when nobody has read it for its `close_after`, or by
    /// [`stop_streaming`](Self::stop_streaming). Starting what runs succeeds. Errors: no such path, it does not start.
    pub async fn start_streaming(&self, name: &str) -> Result<StreamingStarted> {
        let (demands, mut status, settings) =
            self.with(name, |entry| (entry.demands.clone(), entry.status.clone(), entry.settings.clone()))?;
        let _demand = demands.hold();
        let streaming = task::streaming(&mut status, settings.start_timeout).await?;
        Ok(StreamingStarted {
            since: streaming.streaming_since.unwrap_or_else(SystemTime::now),
            closes_after: (!settings.always_on).then_some(settings.close_after),
        })
    }

    /// Stops an on-demand path that nobody reads or records, at once. Others go on, and that is no error. Errors: no such
    /// path, or it does not run.
    pub async fn stop_streaming(&self, name: &str) -> Result<StreamingStopped> {
        let (inbox, demands, always_on) =
            self.with(name, |entry| (entry.inbox.clone(), entry.demands.clone(), entry.settings.always_on))?;
        let since = self.status(name)?.streaming_since.ok_or_else(|| {
            let kind = Kind::InvalidState { state: "STOPPED".into(), allowed: vec!["STARTED"] };
            Error::new(kind, format!("{name} is not streaming"))
        })?;
        inbox.send(Request::Release).await.map_err(|_| closing())?;
        Ok(StreamingStopped { since, goes_on: always_on || demands.wish().holders > 0 })
    }

    /// Takes a path away: closes its recording, sends its readers off, takes its pipeline down, and returns when all that
    /// is done, or given up after its stop timeout. From the first moment on nobody finds it. Error: no such path.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let entry = self.lock().remove(name).ok_or_else(|| Error::not_found("stream", name))?;
        end_recording(name, &entry.recording).await;
        close(entry).await;
        Ok(())
    }

    /// Closes all recordings, then all paths. Returns when every pipeline is down, or given up after its stop timeout.
    pub async fn close(&self) {
        self.close_recordings().await;
        let entries = std::mem::take(&mut *self.lock());
        join_all(entries.into_values().map(close)).await;
    }

    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Entry) -> T) -> Result<T> {
        self.lock().get(name).map(look).ok_or_else(|| Error::not_found("stream", name))
    }

    pub(super) fn with_mut<T>(&self, name: &str, change: impl FnOnce(&mut Entry) -> T) -> Result<T> {
        self.lock().get_mut(name).map(change).ok_or_else(|| Error::not_found("stream", name))
    }

    // The map is valid after every statement, so a panic elsewhere under the lock harms nobody.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a path that nobody finds any more.
async fn close(mut entry: Entry) {
    if let Some(publication) = occupant(&entry.publisher).take() {
        publication.refuse();
    }
    // Fails only when the task has ended already.
    let _ = entry.inbox.send(Request::Close).await;
    if let Some(supervisor) = entry.supervisor.take() {
        let _ = supervisor.await;
    }
}

/// Runs the path's task, and runs it again should it panic: with its source, after a pause that keeps a task that
/// always panics from taking the processor.
async fn supervise(mut seat: Seat) {
    while AssertUnwindSafe(task::run(&mut seat)).catch_unwind().await.is_err() {
        let error = Error::internal("the path's task failed and is started again");
        tracing::error!(path = %seat.name, "{error}");
        seat.status.send_modify(|status| {
            status.panics += 1;
            status.trouble = Some(error);
            (status.phase, status.open) = (Phase::Away, false);
            (status.plan, status.stream, status.pictures) = (None, None, None);
            status.streaming_since = None;
        });
        let _ = seat.events.send(PathEvent::Changed { name: seat.name.clone() });
        let (rtsp, name) = (Arc::clone(&seat.rtsp), seat.name.clone());
        let _ = spawn_blocking(move || rtsp.unmount(&name)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub(super) fn closing() -> Error {
    Error::new(Kind::InvalidState { state: "closing".into(), allowed: vec!["running"] }, "the service is stopping")
}

#[cfg(test)]
mod tests;
