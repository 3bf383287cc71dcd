//! The task between the kernel's devices and the paths: what the registry says is carried out, and whoever listens is
//! told when a camera is no longer as it was.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    task::spawn_blocking,
};

use super::{
    cameras::{CameraEvent, CameraStatus, Cameras, Connection, Service},
    registry::Change,
};
use crate::{
    device::{Capture, Device, DeviceEvent},
    id::{CameraId, TEST_PATTERN},
    pipeline::{CaptureRequest, Source},
};

/// Follows the devices to their end, and the paths to theirs.
pub(super) async fn run(cameras: Cameras, mut devices: mpsc::Receiver<DeviceEvent>) {
    let mut path_events = cameras.0.paths.events();
    let mut watch = Watch { cameras, told: BTreeMap::new(), test_pattern: false };
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
            // A path's trouble is its camera's. Behind or not, the list is looked at whole.
            event = path_events.recv() => if matches!(event, Err(RecvError::Closed)) { return },
        }
        watch.tell();
    }
}

struct Watch {
    cameras: Cameras,
    /// How listeners know each camera.
    told: BTreeMap<String, &'static str>,
    test_pattern: bool,
}

impl Watch {
    async fn device(&mut self, event: DeviceEvent) {
        let changes = self.cameras.registry().step(event);
        for change in changes {
            match change {
                Change::Attached { id, device, capture, pin } => self.attach(id, &device, capture, pin).await,
                Change::Detached { id } => {
                    tracing::info!(camera = %id, "unplugged");
                    self.set_source(&id.to_string(), None).await;
                }
                Change::Troubled { id, reason } => tracing::warn!(camera = %id, "{}", reason.chain()),
                Change::IdentitiesChanged => self.save().await,
            }
        }
        self.follow_test_pattern().await;
    }

    async fn attach(&self, id: CameraId, device: &Device, capture: Capture, pin: Option<usize>) {
        tracing::info!(camera = %id, node = %device.node.display(), name = device.name, driver = capture.driver,
            modes = capture.modes.len(), "plugged in");
        let offer = &self.cameras.0.offer;
        let service = pin.and_then(|entry| offer.pinned.get(entry)).unwrap_or(&offer.default);
        let source = Source::Camera { node: device.node.clone(), driver: capture.driver, modes: capture.modes };
        self.serve(&id.to_string(), service, source).await;
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
            self.serve(TEST_PATTERN, &self.cameras.0.offer.default, Source::Test).await;
        } else {
            tracing::info!(path = TEST_PATTERN, "a camera is plugged in: the test pattern goes");
            self.set_source(TEST_PATTERN, None).await;
        }
    }

    async fn serve(&self, path: &str, service: &Service, source: Source) {
        self.cameras.0.paths.add(path, service.settings.clone());
        let request = CaptureRequest { source, wanted: service.wanted.clone() };
        self.set_source(path, Some(request)).await;
    }

    async fn set_source(&self, path: &str, source: Option<CaptureRequest>) {
        if let Err(error) = self.cameras.0.paths.set_source(path, source).await {
            tracing::debug!(path, "{}", error.chain());
        }
    }

    async fn save(&self) {
        let (identities, file) =
            (self.cameras.registry().identities().clone(), self.cameras.0.offer.identities.clone());
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
            if self.told.insert(camera.device.clone(), word) != Some(word) {
                tracing::info!(camera = camera.device, "{word}");
                self.send(camera);
            }
        }
    }

    fn send(&self, camera: CameraStatus) {
        // Nobody listening is fine.
        let _ = self.cameras.0.events.send(CameraEvent { camera });
    }
}
