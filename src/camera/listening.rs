//! Listening to the controls of the cameras that stream: who listens to which, and telling what was heard.
//!
//! A camera that does not stream is left alone: an open node keeps a USB camera awake, and some sensors powered.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use super::{
    cameras::Cameras,
    registry::{CameraRecord, CameraState},
};
use crate::{
    device::control::{self, Changes, Listener, WasSet},
    error::Result,
    id::CameraId,
    path::Phase,
};

/// Controls of a camera are not as they were.
#[derive(Clone, Debug)]
pub struct ControlChange {
    /// The camera.
    pub device: String,
    /// Which, and how they are now.
    pub changes: Changes,
}

/// The cameras that are listened to.
#[derive(Default)]
pub(super) struct Ears(Mutex<BTreeMap<CameraId, Arc<Ear>>>);

/// One of them. While somebody holds this, all that happens to its controls is told.
pub(super) struct Ear {
    node: PathBuf,
    /// Not there before the driver has answered.
    listener: OnceLock<Listener>,
}

impl Ears {
    /// Stops listening to all but these, and gives those that nobody listens to yet.
    fn keep(&self, streaming: &BTreeMap<CameraId, PathBuf>) -> Vec<(CameraId, Weak<Ear>)> {
        let mut ears = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ears.retain(|id, ear| streaming.get(id) == Some(&ear.node));
        let mut new = Vec::new();
        for (id, node) in streaming.iter().filter(|(id, _)| !ears.contains_key(*id)).collect::<Vec<_>>() {
            let ear = Arc::new(Ear { node: node.clone(), listener: OnceLock::new() });
            new.push((*id, Arc::downgrade(&ear)));
            ears.insert(*id, ear);
        }
        new
    }

    /// Who listens to this camera. Held over a change, it hears of it.
    pub(super) fn of(&self, id: CameraId) -> Option<Arc<Ear>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Ear {
    fn hears(&self, control: u32) -> bool {
        self.listener.get().is_some_and(|listener| listener.hears(control))
    }
}

impl Cameras {
    /// Listens to the cameras that stream, and to no others.
    pub(super) fn follow_controls(&self) {
        let streaming = |record: CameraRecord| {
            let attached = matches!(record.state, CameraState::Attached { .. });
            let streams = |id: CameraId| {
                let status = self.0.paths.status(&id.to_string());
                status.is_ok_and(|status| matches!(status.phase, Phase::Streaming(_)))
            };
            (attached && streams(record.id)).then_some((record.id, record.device?.node))
        };
        let records = self.registry().list();
        let streaming = records.into_iter().filter_map(streaming).collect();
        for (id, ear) in self.0.ears.keep(&streaming) {
            tokio::spawn(self.clone().listen(id, ear));
        }
    }

    async fn listen(self, id: CameraId, ear: Weak<Ear>) {
        let Some(node) = ear.upgrade().map(|ear| ear.node.clone()) else { return };
        // Not the cameras themselves: what listens must not keep them alive.
        let told = self.0.control_changes.clone();
        let heard = move |changes| {
            // Nobody wanting to know is fine.
            let _ = told.send(ControlChange { device: id.to_string(), changes });
        };
        let begin = move |node: &Path| begin(node, &ear, heard);
        // In its turn: a request about the controls is then either over, or heard.
        if let Err(error) = self.0.desks.ask(node, begin).await {
            tracing::debug!(camera = %id, error = error.chain(), "changes of its controls are not told");
        }
    }

    /// Tells what was changed by the service itself and nobody has heard.
    pub(super) fn tell_unheard(&self, id: CameraId, ear: Option<&Ear>, set: &[WasSet]) {
        let unheard = |set: &&WasSet| set.differs() && !ear.is_some_and(|ear| ear.hears(set.id));
        let value = |set: &WasSet| Some((set.name.clone(), set.now.clone()?));
        let values: BTreeMap<_, _> = set.iter().filter(unheard).filter_map(value).collect();
        if !values.is_empty() {
            let changes = Changes { values, ..Changes::default() };
            let _ = self.0.control_changes.send(ControlChange { device: id.to_string(), changes });
        }
    }
}

/// Begins to listen, unless that has lost its point meanwhile.
fn begin(node: &Path, ear: &Weak<Ear>, heard: impl Fn(Changes) + Send + 'static) -> Result<()> {
    let Some(ear) = ear.upgrade() else { return Ok(()) };
    if let Some(listener) = control::listen(node, heard)? {
        // It was empty: an ear is made to listen once.
        let _ = ear.listener.set(listener);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(nodes: &[(u16, &str)]) -> BTreeMap<CameraId, PathBuf> {
        nodes.iter().map(|(id, node)| (CameraId(*id), (*node).into())).collect()
    }

    #[test]
    fn who_streams_is_listened_to_once_and_who_has_another_node_anew() {
        let ears = Ears::default();
        let new = |streaming: &[(u16, &str)]| -> Vec<CameraId> {
            ears.keep(&nodes(streaming)).into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(new(&[(0, "/dev/video0"), (1, "/dev/video2")]), [CameraId(0), CameraId(1)]);
        assert_eq!(new(&[(0, "/dev/video0"), (1, "/dev/video2")]), []);
        assert_eq!(new(&[(0, "/dev/video4"), (1, "/dev/video2")]), [CameraId(0)]);
        assert_eq!(new(&[(1, "/dev/video2")]), []);
        assert!(ears.of(CameraId(0)).is_none() && ears.of(CameraId(1)).is_some());
    }

    #[test]
    fn who_stopped_streaming_before_the_driver_answered_is_not_listened_to() {
        let ears = Ears::default();
        let (_, ear) = ears.keep(&nodes(&[(0, "/dev/video0")])).remove(0);
        ears.keep(&BTreeMap::new());
        // The node is not even opened: there is none of this name.
        assert!(begin(Path::new("/dev/no-such-node"), &ear, |_| {}).is_ok());
    }
}
