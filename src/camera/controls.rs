//! The controls of a camera: which node to ask, one request at a time, and not for ever.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, oneshot},
    time::timeout,
};

use super::{cameras::Cameras, registry::CameraState};
use crate::{
    device::control::{self, Control, ControlValue},
    error::{Error, Kind, Result},
    id::TEST_PATTERN,
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
        let (name, node) = self.node(device)?;
        Ok((name, self.0.desks.ask(node, control::read).await?))
    }

    /// Sets controls, all or none, as [`control::set`] does, and gives the camera's name and what they are set to.
    ///
    /// Error: as [`controls`](Self::controls), and what [`control::set`] refuses.
    pub async fn set_controls(
        &self,
        device: &str,
        wishes: BTreeMap<String, ControlValue>,
    ) -> Result<(String, BTreeMap<String, Option<ControlValue>>)> {
        let (name, node) = self.node(device)?;
        let set = self.0.desks.ask(node, move |node| control::set(node, &wishes)).await?;
        tracing::info!(camera = name, controls = ?set, "controls set");
        Ok((name, set))
    }

    /// Sets all controls to their defaults, as [`control::reset`] does, and gives the camera's name and all of them.
    ///
    /// Error: as [`controls`](Self::controls), or the driver refuses a default.
    pub async fn reset_controls(&self, device: &str) -> Result<(String, Vec<Control>)> {
        let (name, node) = self.node(device)?;
        let controls = self.0.desks.ask(node, control::reset).await?;
        tracing::info!(camera = name, "controls reset");
        Ok((name, controls))
    }

    /// A camera's name and the node of its device.
    fn node(&self, device: &str) -> Result<(String, PathBuf)> {
        let name = self.find(device)?;
        if name == TEST_PATTERN {
            let kind = Kind::Unsupported { feature: "camera controls".into() };
            return Err(Error::new(kind, "the test pattern has no controls; plug in a camera"));
        }
        let records = self.registry().list();
        let record = records.into_iter().find(|record| record.id.to_string() == name);
        let record = record.ok_or_else(|| Error::not_found("camera", device))?;
        match (record.state, record.device) {
            (CameraState::Attached { .. }, Some(hardware)) => Ok((name, hardware.node)),
            // Among others: its device cannot be told from another one.
            (CameraState::Troubled(reason), _) => Err(reason),
            (CameraState::Absent | CameraState::Attached { .. }, _) => {
                let kind = Kind::InvalidState { state: "DISCONNECTED".into(), allowed: vec!["CONNECTED"] };
                Err(Error::new(kind, format!("{name} is not plugged in: its controls are in the camera; plug it in")))
            }
        }
    }
}

impl Desks {
    /// Does `work` with the node when it is its turn.
    async fn ask<T: Send + 'static>(
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
