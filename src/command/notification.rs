//! What clients are told without asking.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Gateway, access::Caller, cameras::View, recordings::whole_seconds};
use crate::{error::Error, path::PathEvent};

/// How a recording has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordingStatus {
    /// It has begun, or goes on in a new file.
    Started,
    /// A file is complete.
    Stopped,
    /// It could not go on; what was recorded is in the file.
    Error,
}

/// Something that goes to every authenticated client.
#[derive(Clone, Debug)]
pub enum Notification {
    /// `camera_status_update`.
    Camera(View),
    /// `recording_status_update`.
    Recording {
        /// The camera.
        device: String,
        /// How it has changed.
        status: RecordingStatus,
        /// The file.
        filename: String,
        /// Whole seconds in the file.
        duration: u64,
        /// What went wrong.
        error: Option<Error>,
    },
}

impl Notification {
    /// Its name on the wire.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Camera(_) => "camera_status_update",
            Self::Recording { .. } => "recording_status_update",
        }
    }

    /// What it says to this client.
    pub fn params(&self, caller: &Caller, gateway: &Gateway) -> Value {
        match self {
            Self::Camera(view) => json!(view.shown_to(caller, gateway)),
            Self::Recording { device, status, filename, duration, error } => {
                let mut params =
                    json!({ "device": device, "status": status, "filename": filename, "duration": duration });
                if let Some(error) = error {
                    params["error"] = caller.may_read(error.message()).into();
                }
                params
            }
        }
    }

    fn of(event: PathEvent) -> Option<Self> {
        Some(match event {
            PathEvent::Changed { .. } => return None,
            PathEvent::RecordingStarted { name, filename } => {
                Self::Recording { device: name, status: RecordingStatus::Started, filename, duration: 0, error: None }
            }
            PathEvent::RecordingStopped { name, stopped } => Self::Recording {
                device: name,
                status: RecordingStatus::Stopped,
                filename: stopped.filename,
                duration: whole_seconds(stopped.duration),
                error: None,
            },
            PathEvent::RecordingFailed { name, filename, error } => Self::Recording {
                device: name,
                status: RecordingStatus::Error,
                filename,
                duration: 0,
                error: Some(error),
            },
        })
    }
}

/// Turns what happens to cameras and paths into notifications, until the service stops and what had happened by then is
/// told: the end of a recording is the last thing a client wants to miss.
///
/// A camera is announced when clients would see it differently, and not because something happened to it.
pub async fn announce(gateway: Arc<Gateway>) {
    let (mut cameras, mut paths) = (gateway.cameras.events(), gateway.paths.events());
    let mut known: HashMap<String, View> = by_device(&gateway);
    loop {
        let event = tokio::select! {
            biased;
            event = next(&mut paths) => event,
            event = next(&mut cameras) => event.map(|_| None::<PathEvent>),
            () = gateway.stopping.cancelled() => None,
        };
        let Some(event) = event else { break };
        let now = by_device(&gateway);
        for view in now.values().filter(|view| known.get(&view.device) != Some(view)) {
            tell(&gateway, Notification::Camera(view.clone()));
        }
        for gone in known.into_values().filter(|view| !now.contains_key(&view.device)) {
            tell(&gateway, Notification::Camera(gone.disconnected()));
        }
        known = now;
        if let Some(notification) = event.and_then(Notification::of) {
            tell(&gateway, notification);
        }
    }
    gateway.all_told.cancel();
}

fn by_device(gateway: &Gateway) -> HashMap<String, View> {
    gateway.views().into_iter().map(|view| (view.device.clone(), view)).collect()
}

fn tell(gateway: &Gateway, notification: Notification) {
    // Nobody being connected is fine.
    let _ = gateway.notifications.send(Arc::new(notification));
}

/// The next event, `Some(None)` for those that were missed, `None` when there will be no more.
async fn next<E: Clone>(events: &mut Receiver<E>) -> Option<Option<E>> {
    match events.recv().await {
        Ok(event) => Some(Some(event)),
        Err(RecvError::Lagged(missed)) => {
            tracing::warn!(missed, "events were missed while clients were being told of earlier ones");
            Some(None)
        }
        Err(RecvError::Closed) => None,
    }
}
