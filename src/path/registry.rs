//! All paths by name: making them, asking them, closing them.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use super::{
    Demands, Folders, PathEvent, PathSettings, PathStatus, Phase, Running, Thresholds, Wish,
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
    pipeline::{CaptureRequest, Encoders, Source, Wanted},
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
    /// Set before the disks are looked at.
    pub(super) thresholds: Mutex<Thresholds>,
    pub(super) shots: Shots,
    /// How many paths were made so far.
    made: AtomicU64,
}

pub(super) struct Entry {
    /// Which of all that were made.
    number: u64,
    pub(super) inbox: mpsc::Sender<Request>,
    pub(super) status: watch::Receiver<PathStatus>,
    pub(super) demands: Demands,
    supervisor: Option<JoinHandle<()>>,
    pub(super) recording: Slot,
    pub(super) publisher: Arc<Publisher>,
    pub(super) recording_trouble: Trouble,
    pub(super) settings: PathSettings,
    /// What they were when the path was made.
    made: PathSettings,
    /// What has the path recorded whenever its camera is there, where something does.
    pub(super) keeper: Option<Keeper>,
}

impl Entry {
    fn is_used(&self) -> bool {
        occupant(&self.publisher).is_some() || !matches!(self.status.borrow().phase, Phase::Idle | Phase::Away)
    }
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
            thresholds: Mutex::default(),
            shots: Shots::default(),
            made: AtomicU64::default(),
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
            filler: None,
            outgoing: None,
            pictures: None,
            streaming_since: None,
            available_since: None,
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
        let (inbox, publisher, made) = (inbox_tx, Arc::default(), settings.clone());
        let entry = Entry {
            number: self.0.made.fetch_add(1, Ordering::Relaxed),
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

    /// Makes a path, or runs one that is there by these settings from its next start on: one that was kept available
    /// before it had a source. Its readers stay.
    pub async fn set_up(&self, name: &str, settings: PathSettings) {
        let (inbox, settings) = {
            let mut paths = self.lock();
            match paths.get_mut(name) {
                Some(entry) if entry.made == settings => return,
                Some(entry) => {
                    entry.made = settings.clone();
                    let always_available = entry.settings.always_available.clone();
                    entry.settings = PathSettings { always_available, ..settings };
                    if let Some(request) = entry.settings.auto_record
                        && entry.keeper.is_none()
                    {
                        entry.keeper = Some(Keeper::spawn(self, name, entry.status.clone(), request, None));
                    }
                    (entry.inbox.clone(), entry.settings.clone())
                }
                None => {
                    drop(paths);
                    return self.add(name, settings);
                }
            }
        };
        // Fails only when the path is being taken away.
        let _ = inbox.send(Request::Settings(Box::new(settings))).await;
    }

    /// Runs a path by these settings instead of those it was made with, but for [`Running`] and whether it is recorded: that may
    /// have been changed since, and is for [`change_running`](Self::change_running) and
    /// [`keep_recording`](Self::keep_recording). Its readers stay; a path that is not there is not made.
    pub async fn reconfigure(&self, name: &str, settings: PathSettings) {
        let change = |entry: &mut Entry| {
            let running = Running::of(&entry.settings);
            (entry.made, entry.settings) = (settings.clone(), settings);
            running.put_into(&mut entry.settings);
            (entry.inbox.clone(), entry.settings.clone())
        };
        if let Ok((inbox, settings)) = self.with_mut(name, change) {
            // Fails only when the path is being taken away.
            let _ = inbox.send(Request::Settings(Box::new(settings))).await;
        }
    }

    /// Has a path's source deliver another stream from now on; one that comes out as it is goes on. A path that is not there
    /// is not made.
    pub async fn want(&self, name: &str, wanted: Wanted) {
        if let Ok(inbox) = self.with(name, |entry| entry.inbox.clone()) {
            // Fails only when the path is being taken away.
            let _ = inbox.send(Request::Wanted(Box::new(wanted))).await;
        }
    }

    /// Tells a path from another one that has its name later. Error: no such path.
    pub fn number(&self, name: &str) -> Result<u64> {
        self.with(name, |entry| entry.number)
    }

    /// How a path is run if nobody changes that. Error: no such path.
    pub fn settings(&self, name: &str) -> Result<PathSettings> {
        self.with(name, |entry| entry.made.clone())
    }

    /// When a path runs. Error: no such path.
    pub fn running(&self, name: &str) -> Result<Running> {
        self.with(name, |entry| Running::of(&entry.settings))
    }

    /// Has a path run otherwise than before, without disturbing who reads it. Error: no such path.
    pub async fn change_running(&self, name: &str, running: Running) -> Result<()> {
        let inbox = {
            let mut paths = self.lock();
            let entry = paths.get_mut(name).ok_or_else(|| Error::not_found("stream", name))?;
            running.clone().put_into(&mut entry.settings);
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

    /// Takes a path's source away if it still is this one. Error: no such path.
    pub(super) async fn lose_source(&self, name: &str, source: Source) -> Result<()> {
        let inbox = self.with(name, |entry| entry.inbox.clone())?;
        inbox.send(Request::Lost(source)).await.map_err(|_| closing())
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

    /// Takes a path away: closes its recording, sends its readers off, takes its pipeline down, and returns when all that
    /// is done, or given up after its stop timeout. From the first moment on nobody finds it. Error: no such path.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let entry = self.lock().remove(name).ok_or_else(|| Error::not_found("stream", name))?;
        end_recording(name, &entry.recording).await;
        close(entry).await;
        Ok(())
    }

    /// The same for a path that [is not used](Self::is_used): from now on nobody finds it, and what this returns does the
    /// rest. `None`: it is used, or not there.
    pub fn remove_unused(&self, name: &str) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut paths = self.lock();
        let entry = if paths.get(name)?.is_used() { None } else { paths.remove(name) }?;
        let name = name.to_owned();
        Some(async move {
            end_recording(&name, &entry.recording).await;
            close(entry).await;
        })
    }

    /// Whether somebody publishes to a path, or it runs. False: there may be no such path.
    pub fn is_used(&self, name: &str) -> bool {
        self.with(name, Entry::is_used).unwrap_or(false)
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
            (status.filler, status.outgoing) = (None, None);
            (status.streaming_since, status.available_since) = (None, None);
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
