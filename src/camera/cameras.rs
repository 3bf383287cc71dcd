//! What others may ask of the cameras, and how cameras are offered.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    controls::Desks,
    identity::Pin,
    listening::{ControlChange, Ears},
    registry::{CameraRecord, CameraState, Registry},
    remembered::Remembered,
    watch,
};
use crate::{
    device::{Capture, Device, DeviceEvent},
    error::{Error, Result},
    id::TEST_PATTERN,
    path::{PathSettings, Paths, Phase},
    pipeline::Wanted,
};

/// Events kept for a listener that is behind. One that falls further behind looks at the list instead.
const EVENTS: usize = 256;

/// What one camera is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// What its stream should be.
    pub wanted: Wanted,
    /// How its path is run.
    pub settings: PathSettings,
    /// What people call it; `None` for the device's own name.
    pub name: Option<String>,
    /// What its controls are set to when it is plugged in.
    pub controls: ControlPolicy,
}

/// What the controls of a camera are set to when it is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPolicy {
    /// Whether what they are set to through the service is remembered and set again.
    pub restore: bool,
    /// What they are set to in any case, by name, as the configuration has it.
    pub fixed: BTreeMap<String, String>,
}

/// How cameras are offered; from the configuration.
#[derive(Clone, Debug)]
pub struct Offer {
    /// For a camera without an entry of its own.
    pub default: Service,
    /// For the entries of the configuration, by [`identity::Pin::entry`](super::identity::Pin::entry).
    pub pinned: Vec<Service>,
    /// Whether there is a test pattern.
    pub test_pattern: TestPattern,
    /// Where identities are kept.
    pub identities: PathBuf,
}

impl Offer {
    /// What a camera with this entry of the configuration is given.
    pub(super) fn service(&self, pin: Option<usize>) -> &Service {
        pin.and_then(|entry| self.pinned.get(entry)).unwrap_or(&self.default)
    }
}

/// When the test pattern is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestPattern {
    /// While no camera is plugged in.
    Auto,
    /// All the time.
    Always,
    /// Not at all.
    Never,
}

/// Whether a camera can be used.
#[derive(Clone, Debug)]
pub enum Connection {
    /// It is plugged in, and nothing is wrong with it that we know of.
    Connected,
    /// It is known and not plugged in.
    Disconnected,
    /// It is plugged in and cannot be used now; it is tried again.
    Error(Error),
}

/// A camera as it is now.
#[derive(Clone, Debug)]
pub struct CameraStatus {
    /// Its name on the wire and on RTSP: `camera0`, or `test`.
    pub device: String,
    /// What people call it: the configured name, else its own.
    pub name: String,
    /// Whether it can be used.
    pub connection: Connection,
    /// The kernel's device it is, or was last.
    pub hardware: Option<Device>,
    /// What it offers, or offered last.
    pub capture: Option<Capture>,
}

/// A camera's [`Connection`], or its name, is another than before.
#[derive(Clone, Debug)]
pub struct CameraEvent {
    /// The camera as it is now.
    pub camera: CameraStatus,
}

/// The cameras. Cheap to clone.
#[derive(Clone)]
pub struct Cameras(pub(super) Arc<Inner>);

pub(super) struct Inner {
    registry: Mutex<Registry>,
    pub(super) paths: Paths,
    offer: Mutex<Arc<Offer>>,
    changes: mpsc::Sender<Changed>,
    pub(super) events: broadcast::Sender<CameraEvent>,
    /// Whether somebody tells of devices still.
    pub(super) watching: AtomicBool,
    pub(super) desks: Desks,
    pub(super) ears: Ears,
    pub(super) control_changes: broadcast::Sender<ControlChange>,
    pub(super) remembered: Remembered,
}

/// Another configuration of the cameras.
pub(super) struct Changed {
    pub offer: Offer,
    pub pins: Vec<Pin>,
    /// Told when all of it is done.
    pub done: oneshot::Sender<()>,
}

impl Cameras {
    /// Starts the task that follows `devices` and the paths, to the end of the paths.
    pub fn spawn(
        registry: Registry,
        remembered: Remembered,
        offer: Offer,
        paths: Paths,
        devices: mpsc::Receiver<DeviceEvent>,
    ) -> (Self, JoinHandle<()>) {
        let (events, _) = broadcast::channel(EVENTS);
        let (changes, changed) = mpsc::channel(1);
        let cameras = Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            paths,
            offer: Mutex::new(Arc::new(offer)),
            changes,
            events,
            watching: AtomicBool::new(true),
            desks: Desks::default(),
            ears: Ears::default(),
            control_changes: broadcast::Sender::new(EVENTS),
            remembered,
        }));
        let task = tokio::spawn(watch::run(cameras.clone(), devices, changed));
        (cameras, task)
    }

    /// Offers cameras otherwise from now on. Who is who is found anew; a camera whose stream stays as it is is not disturbed.
    /// Returns when it is done.
    pub async fn follow(&self, offer: Offer, pins: Vec<Pin>) {
        let (done, is_done) = oneshot::channel();
        // Fails only when the cameras' task has ended, with the service.
        if self.0.changes.send(Changed { offer, pins, done }).await.is_ok() {
            let _ = is_done.await;
        }
    }

    pub(super) fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.0.offer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_offer(&self, offer: Offer) {
        *self.0.offer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(offer);
    }

    /// Whether cameras that are plugged in are noticed: somebody tells of devices.
    pub fn watching(&self) -> bool {
        self.0.watching.load(Ordering::Relaxed)
    }

    /// All known cameras by name, and the test pattern where it is offered now.
    pub fn list(&self) -> Vec<CameraStatus> {
        let records = self.registry().list();
        let mut list: Vec<_> = records.iter().map(|record| self.describe(record)).collect();
        if self.test_pattern_due(&records) {
            list.push(CameraStatus {
                device: TEST_PATTERN.into(),
                name: "Test pattern".into(),
                connection: self.streaming_trouble(TEST_PATTERN).map_or(Connection::Connected, Connection::Error),
                hardware: None,
                capture: None,
            });
        }
        list
    }

    /// One camera. `device` is its name, its device node or any udev link to it. Error: there is none.
    pub fn status(&self, device: &str) -> Result<CameraStatus> {
        let name = self.find(device)?;
        let found = self.list().into_iter().find(|camera| camera.device == name);
        found.ok_or_else(|| Error::not_found("camera", device))
    }

    /// The name of a camera. `device` is that, its device node or any udev link to it. Error: there is none.
    pub fn find(&self, device: &str) -> Result<String> {
        if device == TEST_PATTERN && self.test_pattern_due(&self.registry().list()) {
            return Ok(TEST_PATTERN.into());
        }
        self.registry().find(device).map(|id| id.to_string())
    }

    /// Changes from now on.
    pub fn events(&self) -> broadcast::Receiver<CameraEvent> {
        self.0.events.subscribe()
    }

    /// Changes of controls from now on, by whomever they are made. Those of others are heard while the camera streams.
    pub fn control_changes(&self) -> broadcast::Receiver<ControlChange> {
        self.0.control_changes.subscribe()
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A step makes the whole assignment anew, so a panic half way is mended by the next one.
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn test_pattern_wanted(&self) -> bool {
        self.test_pattern_due(&self.registry().list())
    }

    fn test_pattern_due(&self, records: &[CameraRecord]) -> bool {
        match self.offer().test_pattern {
            TestPattern::Auto => records.iter().all(|record| matches!(record.state, CameraState::Absent)),
            TestPattern::Always => true,
            TestPattern::Never => false,
        }
    }

    fn describe(&self, record: &CameraRecord) -> CameraStatus {
        let device = record.id.to_string();
        let (connection, pin) = match &record.state {
            CameraState::Absent => (Connection::Disconnected, None),
            CameraState::Troubled(reason) => (Connection::Error(reason.clone()), None),
            CameraState::Attached { pin } => {
                (self.streaming_trouble(&device).map_or(Connection::Connected, Connection::Error), *pin)
            }
        };
        let configured = pin.and_then(|entry| self.offer().pinned.get(entry)?.name.clone());
        let name = configured.unwrap_or_else(|| record.name.clone());
        CameraStatus { device, name, connection, hardware: record.device.clone(), capture: record.capture.clone() }
    }

    /// Why a path that has a source does not stream, when it should.
    fn streaming_trouble(&self, path: &str) -> Option<Error> {
        let status = self.0.paths.status(path).ok()?;
        match status.phase {
            Phase::Streaming(_) | Phase::Away | Phase::Closed => None,
            _ => status.trouble,
        }
    }
}
