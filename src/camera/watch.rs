//! The task between the kernel's devices and the paths: what the registry says is carried out, and whoever listens is
//! told when a camera is no longer as it was.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    cameras::{CameraEvent, CameraStatus, Cameras, Changed, Connection, Offer, Service},
    identity::Pin,
    registry::{CameraRecord, CameraState, Change},
};
use crate::{
    device::{Capture, Device, DeviceEvent},
    id::{CameraId, TEST_PATTERN},
    pipeline::{CaptureRequest, Source},
};

/// How long a camera's stream waits for its controls to be set, so that its first pictures are as they should be and
/// what cannot be set while it streams is set before. A driver that takes longer does not answer.
const HEAD_START: Duration = Duration::from_secs(2);

/// Follows the devices to their end, and the paths to theirs.
pub(super) async fn run(
    cameras: Cameras,
    mut devices: mpsc::Receiver<DeviceEvent>,
    mut changed: mpsc::Receiver<Changed>,
) {
    let mut path_events = cameras.0.paths.events();
    let mut watch = Watch {
        cameras,
        told: BTreeMap::new(),
        test_pattern: false,
        given: BTreeMap::new(),
        waiting: BTreeMap::new(),
        head_starts: JoinSet::new(),
    };
    watch.follow_test_pattern().await;
    watch.tell();
    let mut watching = true;
    loop {
        tokio::select! {
            event = devices.recv(), if watching => match event {
                Some(event) => watch.device(event).await,
                None => {
                    watching = false;
                    watch.cameras.0.watching.store(false, Ordering::Relaxed);
                }
            },
            Some(Ok(id)) = watch.head_starts.join_next() => watch.begin(id).await,
            Some(Changed { offer, pins, done }) = changed.recv() => {
                watch.follow(offer, pins).await;
                // Whoever asked may have gone.
                let _ = done.send(());
            }
            // A path's trouble is its camera's. Behind or not, the list is looked at whole.
            event = path_events.recv() => if matches!(event, Err(RecvError::Closed)) { return },
        }
        watch.tell();
        watch.cameras.follow_controls();
    }
}

struct Watch {
    cameras: Cameras,
    /// How listeners know each camera: how it is, and what people call it.
    told: BTreeMap<String, (&'static str, String)>,
    test_pattern: bool,
    /// What each camera was given, and the test pattern, since the service was started.
    given: BTreeMap<String, Service>,
    /// Cameras whose controls are being set first.
    waiting: BTreeMap<CameraId, CaptureRequest>,
    head_starts: JoinSet<CameraId>,
}

impl Watch {
    async fn device(&mut self, event: DeviceEvent) {
        let changes = self.cameras.registry().step(event);
        self.carry_out(changes).await;
    }

    async fn follow(&mut self, offer: Offer, pins: Vec<Pin>) {
        let changes = {
            let mut registry = self.cameras.registry();
            // Together: an entry's number means another one afterwards.
            self.cameras.set_offer(offer);
            registry.set_pins(pins)
        };
        self.carry_out(changes).await;
    }

    /// Takes the paths away that no camera has any more, because it has another name now.
    async fn leave_paths(&mut self) {
        let known: Vec<_> = self.cameras.registry().list().iter().map(|record| record.id.to_string()).collect();
        let gone: Vec<_> =
            self.given.keys().filter(|name| *name != TEST_PATTERN && !known.contains(name)).cloned().collect();
        for name in gone {
            tracing::info!(path = name, "no camera has this name any more: the path goes");
            self.given.remove(&name);
            // Waited for, because the name may be given again. Fails only when it is gone already.
            let _ = self.cameras.0.paths.remove(&name).await;
        }
    }

    async fn carry_out(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Attached { id, device, capture, pin } => self.attach(id, &device, capture, pin).await,
                Change::Detached { id } => {
                    tracing::info!(camera = %id, "unplugged");
                    self.waiting.remove(&id);
                    self.set_source(&id.to_string(), None).await;
                }
                Change::Troubled { id, reason } => tracing::warn!(camera = %id, "{}", reason.chain()),
                Change::IdentitiesChanged => self.save().await,
            }
        }
        self.follow_test_pattern().await;
        self.leave_paths().await;
        self.follow_services().await;
    }

    /// Gives those cameras what the configuration says now that were given something else, also while they are away.
    async fn follow_services(&mut self) {
        let offer = self.cameras.offer();
        for (name, was) in self.given.clone() {
            let id = name.parse::<CameraId>().ok();
            let pin = id.and_then(|id| self.cameras.registry().pin(id));
            let is = offer.service(pin);
            if was == *is {
                continue;
            }
            tracing::info!(camera = name, "its configuration is another now");
            self.given.insert(name.clone(), is.clone());
            if was.settings != is.settings {
                self.cameras.0.paths.reconfigure(&name, is.settings.clone()).await;
            }
            match id.and_then(|id| self.waiting.get_mut(&id)) {
                Some(request) => request.wanted = is.wanted.clone(),
                None if was.wanted != is.wanted => self.cameras.0.paths.want(&name, is.wanted.clone()).await,
                None => {}
            }
            let record = self.cameras.registry().list().into_iter().find(|record| Some(record.id) == id);
            if let Some(CameraRecord { id, state: CameraState::Attached { pin }, device: Some(device), .. }) = record
                && was.controls != is.controls
            {
                // Nobody waits for it: it streams already.
                drop(self.cameras.restore_controls(id, &device, pin));
            }
        }
    }

    async fn attach(&mut self, id: CameraId, device: &Device, capture: Capture, pin: Option<usize>) {
        tracing::info!(camera = %id, node = %device.node.display(), name = device.name, driver = capture.driver,
            modes = capture.modes.len(), "plugged in");
        let service = self.cameras.offer().service(pin).clone();
        let source = Source::Camera { node: device.node.clone(), driver: capture.driver, modes: capture.modes };
        self.cameras.0.paths.set_up(&id.to_string(), service.settings.clone()).await;
        self.waiting.insert(id, CaptureRequest { source, wanted: service.wanted.clone() });
        self.given.insert(id.to_string(), service);
        match self.cameras.restore_controls(id, device, pin) {
            None => self.begin(id).await,
            Some(restored) => drop(self.head_starts.spawn(async move {
                // Set or not, and how far it got: it has been logged, or will be.
                let _ = timeout(HEAD_START, restored).await;
                id
            })),
        }
    }

    /// Gives a camera's path its source, unless the camera is gone again.
    async fn begin(&mut self, id: CameraId) {
        if let Some(request) = self.waiting.remove(&id) {
            self.set_source(&id.to_string(), Some(request)).await;
        }
    }

    /// Offers the test pattern when it is due, and takes it away when it is not.
    async fn follow_test_pattern(&mut self) {
        let due = self.cameras.test_pattern_wanted();
        if due == self.test_pattern {
            return;
        }
        self.test_pattern = due;
        if due {
            tracing::info!(path = TEST_PATTERN, "no camera is plugged in, or none is wanted: offering a test pattern");
            let service = self.cameras.offer().default.clone();
            self.cameras.0.paths.add(TEST_PATTERN, service.settings.clone());
            let request = CaptureRequest { source: Source::Test, wanted: service.wanted.clone() };
            self.given.insert(TEST_PATTERN.into(), service);
            self.set_source(TEST_PATTERN, Some(request)).await;
        } else {
            tracing::info!(path = TEST_PATTERN, "a camera is plugged in: the test pattern goes");
            self.set_source(TEST_PATTERN, None).await;
        }
    }

    async fn set_source(&self, path: &str, source: Option<CaptureRequest>) {
        if let Err(error) = self.cameras.0.paths.set_source(path, source).await {
            tracing::debug!(path, "{}", error.chain());
        }
    }

    async fn save(&self) {
        let (identities, file) =
            (self.cameras.registry().identities().clone(), self.cameras.offer().identities.clone());
        match spawn_blocking(move || identities.save(&file)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("camera names will not outlive a restart: {}", error.chain());
            }
            Err(error) => tracing::error!(%error, "camera names were not saved"),
        }
    }

    /// Tells of every camera that is not as it was told last.
    fn tell(&mut self) {
        let list = self.cameras.list();
        let gone: Vec<String> =
            self.told.keys().filter(|name| list.iter().all(|camera| camera.device != **name)).cloned().collect();
        for name in gone {
            self.told.remove(&name);
            self.send(CameraStatus {
                device: name.clone(),
                name,
                connection: Connection::Disconnected,
                hardware: None,
                capture: None,
            });
        }
        for camera in list {
            let word = match camera.connection {
                Connection::Connected => "connected",
                Connection::Disconnected => "disconnected",
                Connection::Error(_) => "error",
            };
            let now = (word, camera.name.clone());
            let before = self.told.insert(camera.device.clone(), now.clone());
            if before.as_ref().is_none_or(|(before, _)| *before != word) {
                tracing::info!(camera = camera.device, "{word}");
            }
            if before != Some(now) {
                self.send(camera);
            }
        }
    }

    fn send(&self, camera: CameraStatus) {
        // Nobody listening is fine.
        let _ = self.cameras.0.events.send(CameraEvent { camera });
    }
}
