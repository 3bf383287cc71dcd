//! The controls of a camera: which node to ask, one request at a time, and not for ever.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    cameras::Cameras,
    identity::Marks,
    registry::{CameraRecord, CameraState},
};
use crate::{
    device::{
        Device,
        control::{self, Control, ControlValue, Kept},
    },
    error::{Error, Kind, Result},
    id::{CameraId, TEST_PATTERN},
};

/// How long a driver may take, the requests before this one included. Below the deadline of a command, so that it is
/// the driver that is named.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whose turn it is to ask a node for its controls. A driver that never answers keeps its turn, and so costs one thread
/// however often it is asked, also across replugging.
#[derive(Default)]
pub(super) struct Desks(Mutex<BTreeMap<PathBuf, Arc<Turn<()>>>>);

impl Cameras {
    /// The name of a camera and its controls. `device` is its name, its device node or any udev link to it.
    ///
    /// Error: there is no such camera, it is not plugged in or has no controls, or its driver fails or is silent.
    pub async fn controls(&self, device: &str) -> Result<(String, Vec<Control>)> {
        let (id, device, _) = self.reached(device)?;
        Ok((id.to_string(), self.0.desks.ask(device.node, control::read).await?))
    }

    /// Sets controls, all or none, as [`control::set`] does, and gives the camera's name and what they are set to.
    ///
    /// Error: as [`controls`](Self::controls), and what [`control::set`] refuses.
    pub async fn set_controls(
        &self,
        device: &str,
        wishes: BTreeMap<String, ControlValue>,
    ) -> Result<(String, BTreeMap<String, Option<ControlValue>>)> {
        let (id, device, remember) = self.reached(device)?;
        let (cameras, marks) = (self.clone(), Marks::of(&device));
        let set = move |node: &Path| {
            let ear = cameras.0.ears.of(id);
            let set = control::set(node, &wishes)?;
            cameras.tell_unheard(id, ear.as_deref(), &set);
            if remember {
                not_kept(id, cameras.0.remembered.note(id, &marks, &set));
            }
            Ok(set)
        };
        let set = self.0.desks.ask(device.node, set).await?;
        let now: BTreeMap<_, _> = set.into_iter().map(|set| (set.name, set.now)).collect();
        tracing::info!(camera = %id, controls = ?now, "controls set");
        Ok((id.to_string(), now))
    }

    /// Sets all controls to their defaults, as [`control::reset`] does, and gives the camera's name and all of them. What
    /// they were set to is forgotten.
    ///
    /// Error: as [`controls`](Self::controls), or the driver refuses a default.
    pub async fn reset_controls(&self, device: &str) -> Result<(String, Vec<Control>)> {
        let (id, device, _) = self.reached(device)?;
        let cameras = self.clone();
        let reset = move |node: &Path| {
            let ear = cameras.0.ears.of(id);
            let (controls, changed) = control::reset(node)?;
            cameras.tell_unheard(id, ear.as_deref(), &changed);
            not_kept(id, cameras.0.remembered.forget(id));
            Ok(controls)
        };
        let controls = self.0.desks.ask(device.node, reset).await?;
        tracing::info!(camera = %id, "controls reset");
        Ok((id.to_string(), controls))
    }

    /// Begins to set the controls of a camera that was plugged in to what the configuration says and what they were set to
    /// before. `None`: there is nothing to set.
    pub(super) fn restore_controls(&self, id: CameraId, device: &Device, pin: Option<usize>) -> Option<JoinHandle<()>> {
        let offer = self.offer();
        let policy = &offer.service(pin).controls;
        let remembered = if policy.restore { self.0.remembered.of(id, &Marks::of(device)) } else { BTreeMap::new() };
        let mut values: BTreeMap<_, _> =
            remembered.into_iter().map(|(name, value)| (name, Kept::Value(value))).collect();
        values.extend(policy.fixed.iter().map(|(name, text)| (name.clone(), Kept::Written(text.clone()))));
        (!values.is_empty()).then(|| tokio::spawn(self.clone().restore(id, device.node.clone(), values)))
    }

    async fn restore(self, id: CameraId, node: PathBuf, values: BTreeMap<String, Kept>) {
        let cameras = self.clone();
        let restore = move |node: &Path| {
            // It may have been another one's turn for long.
            if cameras.record(id).and_then(|record| record.device).is_none_or(|device| device.node != node) {
                return Ok(());
            }
            let ear = cameras.0.ears.of(id);
            let restored = control::restore(node, &values)?;
            cameras.tell_unheard(id, ear.as_deref(), &restored.set);
            for (name, refusal) in &restored.refused {
                let inactive = matches!(refusal.kind(), Kind::InvalidState { state, .. } if state == "inactive");
                match values.get(name) {
                    // Whoever set it has turned an automatism on since.
                    Some(Kept::Value(_)) if inactive => tracing::debug!(camera = %id, "left as it is: {refusal}"),
                    _ => tracing::warn!(camera = %id, "not set again: {}", refusal.chain()),
                }
            }
            let set: BTreeMap<_, _> = restored.set.iter().map(|set| (&set.name, &set.now)).collect();
            tracing::info!(camera = %id, controls = ?set, "controls set again");
            Ok(())
        };
        if let Err(error) = self.0.desks.ask(node, restore).await {
            tracing::warn!(camera = %id, "its controls are not what they were set to: {}", error.chain());
        }
    }

    fn record(&self, id: CameraId) -> Option<CameraRecord> {
        self.registry().list().into_iter().find(|record| record.id == id)
    }

    /// A camera, its device, and whether it is remembered what its controls are set to.
    fn reached(&self, device: &str) -> Result<(CameraId, Device, bool)> {
        let name = self.find(device)?;
        if name == TEST_PATTERN {
            let kind = Kind::Unsupported { feature: "camera controls".into() };
            return Err(Error::new(kind, "the test pattern has no controls; plug in a camera"));
        }
        let record = self.record(name.parse()?).ok_or_else(|| Error::not_found("camera", device))?;
        match (record.state, record.device) {
            (CameraState::Attached { pin }, Some(hardware)) => {
                Ok((record.id, hardware, self.offer().service(pin).controls.restore))
            }
            // Among others: its device cannot be told from another one.
            (CameraState::Troubled(reason), _) => Err(reason),
            (CameraState::Absent | CameraState::Attached { .. }, _) => {
                let kind = Kind::InvalidState { state: "DISCONNECTED".into(), allowed: vec!["CONNECTED"] };
                Err(Error::new(kind, format!("{name} is not plugged in: its controls are in the camera; plug it in")))
            }
        }
    }
}

/// What is set is set, whether it is remembered or not.
fn not_kept(id: CameraId, saved: Result<()>) {
    if let Err(error) = saved {
        tracing::error!(camera = %id, "its controls will not be set again after a restart: {}", error.chain());
    }
}

impl Desks {
    /// Does `work` with the node when it is its turn.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        node: PathBuf,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask_within(PATIENCE, node, work).await
    }

    async fn ask_within<T: Send + 'static>(
        &self,
        patience: Duration,
        node: PathBuf,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(node.clone()).or_default())
        };
        let asked = async {
            let turn = turn.lock_owned().await;
            let (answer, answered) = oneshot::channel();
            control::on_thread(node.clone(), work, move |result| {
                drop(turn);
                // Whoever asked may have given up.
                drop(answer.send(result));
            })?;
            answered
                .await
                .map_err(|_| Error::internal(format!("asking {} for its controls panicked", node.display())))?
        };
        timeout(patience, asked).await.unwrap_or_else(|_| {
            let message = format!(
                "{}: the driver does not answer for its controls within {patience:?}; it is not asked again until it \
                 does: replug the camera, or restart the machine",
                node.display()
            );
            Err(Error::dependency("device", message))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn a_driver_that_hangs_costs_one_thread_and_holds_up_only_its_own_node() {
        let desks = Desks::default();
        let (release, held) = mpsc::channel::<()>();
        let short = Duration::from_millis(50);
        let hangs = move |_: &Path| Ok(held.recv().is_err());
        let error = desks.ask_within(short, "/dev/video0".into(), hangs).await.unwrap_err();
        assert!(error.message().starts_with("/dev/video0: the driver does not answer"), "{error}");

        let runs = Arc::new(AtomicUsize::new(0));
        let count = |runs: &Arc<AtomicUsize>| {
            let runs = Arc::clone(runs);
            move |_: &Path| Ok(runs.fetch_add(1, Ordering::SeqCst))
        };
        assert!(desks.ask_within(short, "/dev/video0".into(), count(&runs)).await.is_err());
        assert_eq!(desks.ask("/dev/video1".into(), count(&runs)).await.unwrap(), 0);

        drop(release);
        assert_eq!(desks.ask("/dev/video0".into(), count(&runs)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_told_and_gives_the_turn_back() {
        let desks = Desks::default();
        let error = desks.ask("/dev/video0".into(), |_| -> Result<()> { panic!("a test") }).await.unwrap_err();
        assert_eq!(error.kind(), &Kind::Internal);
        assert!(desks.ask("/dev/video0".into(), |_| Ok(())).await.is_ok());
    }
}
