//! The recordings of all paths: starting and stopping them, one a path.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{
    PathStatus, Paths, RecordingRequest, RecordingStatus, RecordingStopped, Room,
    auto_record::Keeper,
    recording::{Desk, Recording},
    registry::{Entry, closing},
    room::no_room,
    streaming::streaming,
};
use crate::error::{Error, Kind, Result};

/// The place of a path's recording. Locked while one starts.
pub(super) type Slot = Arc<tokio::sync::Mutex<Place>>;

/// What is in a [`Slot`].
#[derive(Default)]
pub(super) enum Place {
    /// Nothing yet.
    #[default]
    Empty,
    /// A recording, which may have ended by itself.
    Taken(Recording),
    /// The last recording was stopped by a request, at this count of [`appearances`](super::PathStatus::appearances).
    Stopped(u64),
}

/// How a recording came to its end.
pub(super) enum Ended {
    /// By a request, at this count of [`appearances`](super::PathStatus::appearances).
    Stopped(u64),
    /// It reached its limit, or could not go on.
    ByItself,
}

impl Place {
    fn status(&self) -> Option<RecordingStatus> {
        match self {
            Self::Taken(recording) => recording.status(),
            Self::Empty | Self::Stopped(_) => None,
        }
    }
}

impl Paths {
    /// Records a path, starting it where need be. Returns when the file is open.
    /// Errors: no such path, a recording that runs already, not streaming, the disk.
    pub async fn start_recording(&self, name: &str, request: RecordingRequest) -> Result<RecordingStatus> {
        let (demands, mut status, settings, slot, trouble) = self.with(name, |entry| {
            let (slot, trouble) = (Arc::clone(&entry.recording), entry.recording_trouble.clone());
            (entry.demands.clone(), entry.status.clone(), entry.settings.clone(), slot, trouble)
        })?;
        let request = RecordingRequest { pre_roll: request.pre_roll.or(Some(settings.ring.past)), ..request };
        // Held until the recording has begun: a second caller waits, and is then told that it runs.
        let mut slot = slot.lock().await;
        if self.0.closing.is_cancelled() {
            return Err(closing());
        }
        if slot.status().is_some() {
            let kind = Kind::InvalidState { state: "RECORDING".into(), allowed: vec!["STOPPED"] };
            return Err(Error::new(kind, format!("{name} is being recorded already")));
        }
        if self.room_in(request.folder) == Room::None {
            return Err(no_room());
        }
        let demand = (!request.only_while_streaming).then(|| demands.hold());
        if demand.is_none() && !can_be_recorded(&status.borrow()) {
            let kind = Kind::InvalidState { state: "STOPPED".into(), allowed: vec!["STARTED"] };
            return Err(Error::new(kind, format!("{name} is not streaming")));
        }
        // A filler is recorded too, in files of its own: the stream is what readers see (as in MediaMTX).
        if status.borrow().filler.is_none() {
            streaming(&mut status, settings.start_timeout).await?;
        }
        let desk = Desk {
            path: name.to_owned(),
            folders: self.0.parts.folders.clone(),
            launch: self.0.parts.launch.clone(),
            events: self.0.events.clone(),
            disks: self.0.disks.subscribe(),
            trouble,
        };
        let recording = Recording::start(desk, request, status, demand).await?;
        let started = recording.status();
        *slot = Place::Taken(recording);
        started.ok_or_else(|| Error::internal("the recording ended as it began"))
    }

    /// Ends the recording of a path. Returns when the file is playable. Errors: no such path, no recording (with the
    /// reason, where the last one failed), the disk.
    pub async fn stop_recording(&self, name: &str) -> Result<RecordingStopped> {
        let (slot, status, trouble) = self.with(name, |entry| {
            (Arc::clone(&entry.recording), entry.status.clone(), entry.recording_trouble.clone())
        })?;
        let mut place = slot.lock().await;
        let recording = match std::mem::take(&mut *place) {
            Place::Taken(recording) if recording.status().is_some() => {
                *place = Place::Stopped(status.borrow().appearances);
                recording
            }
            other => {
                *place = other;
                let kind = Kind::InvalidState { state: "STOPPED".into(), allowed: vec!["RECORDING"] };
                let why = trouble.now().map_or(String::new(), |error| format!("; its last recording failed: {error}"));
                return Err(Error::new(kind, format!("{name} is not being recorded{why}")));
            }
        };
        drop(place);
        recording.stop().await
    }

    /// Records a path whenever its camera is there, from now on, or not any more: then what is being recorded ends. Where
    /// it was recorded so, but otherwise, its recording ends and another begins.
    /// Errors: no such path, the disk.
    pub async fn keep_recording(&self, name: &str, request: Option<RecordingRequest>) -> Result<()> {
        let is_so = |entry: &Entry| request.is_some() && entry.keeper.as_ref().map(|keeper| keeper.request) == request;
        if self.with(name, is_so)? {
            return Ok(());
        }
        let before = self.with_mut(name, |entry| entry.keeper.take().inspect(Keeper::cancel))?;
        let is_its_own = |running: &RecordingRequest| {
            before.as_ref().is_some_and(|keeper| {
                RecordingRequest { pre_roll: None, ..keeper.request } == RecordingRequest { pre_roll: None, ..*running }
            })
        };
        // What somebody asked for himself goes on.
        let stops = match request {
            None => true,
            Some(_) => self.status(name)?.recording.is_some_and(|running| is_its_own(&running.request)),
        };
        let stopped = if stops { self.stop_recording(name).await.map(drop) } else { Ok(()) };
        if let Some(request) = request {
            self.with_mut(name, |entry| {
                let keeper = Keeper::spawn(self, name, entry.status.clone(), request, before);
                if let Some(other) = entry.keeper.replace(keeper) {
                    other.cancel();
                }
            })?;
        }
        match stopped {
            Err(error) if matches!(error.kind(), Kind::InvalidState { .. }) => Ok(()),
            stopped => stopped,
        }
    }

    /// How a path is recorded whenever its camera is there. `None`: it is not. Error: no such path.
    pub fn kept_recording(&self, name: &str) -> Result<Option<RecordingRequest>> {
        self.with(name, |entry| entry.keeper.as_ref().map(|keeper| keeper.request))
    }

    /// Waits for the recording of a path to end, and says how; where there is none, that is at once. Error: no such path.
    pub(super) async fn recording_ended(&self, name: &str) -> Result<Ended> {
        let slot = self.with(name, |entry| Arc::clone(&entry.recording))?;
        let over = match &*slot.lock().await {
            Place::Taken(recording) => Some(recording.over()),
            Place::Empty | Place::Stopped(_) => None,
        };
        if let Some(over) = over {
            over.await;
        }
        Ok(match &*slot.lock().await {
            Place::Stopped(appearances) => Ended::Stopped(*appearances),
            Place::Empty | Place::Taken(_) => Ended::ByItself,
        })
    }

    /// When no more recordings are begun.
    pub(super) fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    /// Closes all recordings, and begins no more. Returns when every file is playable.
    pub async fn close_recordings(&self) {
        self.0.closing.cancel();
        let slot = |(name, entry): (&String, &Entry)| (name.clone(), Arc::clone(&entry.recording));
        let slots: Vec<(String, Slot)> = self.lock().iter().map(slot).collect();
        join_all(slots.iter().map(|(name, slot)| end_recording(name, slot))).await;
    }
}

/// Whether a recording begins with what there is.
pub(super) fn can_be_recorded(status: &PathStatus) -> bool {
    status.available().is_some_and(|stream| !stream.is_closed())
}

/// Ends the recording in a slot, if there is one, and returns when its file is playable. Waits for one that is about to
/// begin.
pub(super) async fn end_recording(name: &str, slot: &Slot) {
    let place = std::mem::take(&mut *slot.lock().await);
    if let Place::Taken(recording) = place
        && recording.status().is_some()
        && let Err(error) = recording.stop().await
    {
        tracing::error!(path = %name, "recording not closed: {}", error.chain());
    }
}

/// The recording in a slot.
pub(super) fn recording_status(slot: &Slot) -> Option<RecordingStatus> {
    // Held only while a recording starts: then there is none yet.
    slot.try_lock().ok()?.status()
}
