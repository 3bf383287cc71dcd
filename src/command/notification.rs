//! What clients are told without asking.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    Gateway, Timestamp,
    access::Caller,
    cameras::{Camera, Status, View},
    files::Kind,
    health::Condition,
    notice::{Event, EventData, Notice, RecordingUpdate},
};
use crate::{camera::ControlChange, error::Error, path::PathEvent};

/// How a recording has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordingStatus {
    /// It has begun, or goes on in a new file.
    Started,
    /// A file is complete.
    Stopped,
    /// It could not go on; what was recorded is in the file.
    Error,
}

/// Something that clients are told.
#[derive(Clone, Debug)]
pub struct Notification {
    at: SystemTime,
    news: News,
}

/// What it is.
#[derive(Clone, Debug)]
pub enum News {
    /// A camera is not as it was. `camera_status_update`, and `camera.…` where its status is another.
    Camera {
        /// How it is now.
        view: View,
        /// The status it had; `None` for one that was not there.
        before: Option<Status>,
    },
    /// `camera.control_change`.
    Controls(ControlChange),
    /// `recording_status_update`, and `recording.…`.
    Recording {
        /// What has happened to it.
        update: RecordingUpdate,
        /// What went wrong.
        error: Option<Error>,
    },
    /// `snapshot.taken`.
    Snapshot {
        /// The camera.
        device: String,
        /// The file.
        filename: String,
    },
    /// `system.health`: the service as a whole is in another condition.
    Health(Condition),
    /// `system.shutdown`.
    Shutdown,
}

impl Notification {
    /// Something that happened at this moment.
    pub fn now(news: News) -> Self {
        Self { at: SystemTime::now(), news }
    }

    /// The messages this client gets for it: the name of each on the wire, and its parameters.
    pub fn messages(&self, caller: &Caller, gateway: &Gateway) -> Vec<(&'static str, Value)> {
        let device = self.news.device();
        let is_wanted = |topic: &&str| caller.subscriptions().want(topic, device);
        let wanted: Vec<_> = self.news.topics().into_iter().filter(is_wanted).collect();
        let standing = self.news.standing();
        // Nothing is written for the many who do not want to know.
        if wanted.is_empty() && standing.is_none() {
            return Vec::new();
        }
        let data = self.news.data(caller, gateway);
        let timestamp = Timestamp(self.at);
        let events = wanted.into_iter().map(|topic| json!(Event { topic, device, timestamp, data: &data }));
        let standing = standing.map(|method| (method, json!(data)));
        standing.into_iter().chain(events.map(|event| (Event::METHOD, event))).collect()
    }
}

impl News {
    /// What every authenticated client is told it as.
    fn standing(&self) -> Option<&'static str> {
        match self {
            Self::Camera { .. } => Some(Camera::METHOD),
            Self::Recording { .. } => Some(RecordingUpdate::METHOD),
            _ => None,
        }
    }

    fn topics(&self) -> Vec<&'static str> {
        match self {
            Self::Camera { view, before } if *before == Some(view.status) => Vec::new(),
            Self::Camera { view, .. } => {
                let came_or_went = match view.status {
                    Status::Connected => Some("camera.connected"),
                    Status::Disconnected => Some("camera.disconnected"),
                    Status::Error => None,
                };
                came_or_went.into_iter().chain(["camera.status_change"]).collect()
            }
            Self::Controls(_) => vec!["camera.control_change"],
            Self::Recording { update, .. } => vec![match update.status {
                RecordingStatus::Started => "recording.start",
                RecordingStatus::Stopped => "recording.stop",
                RecordingStatus::Error => "recording.error",
            }],
            Self::Snapshot { .. } => vec!["snapshot.taken"],
            Self::Health(_) => vec!["system.health"],
            Self::Shutdown => vec!["system.shutdown"],
        }
    }

    fn device(&self) -> Option<&str> {
        match self {
            Self::Camera { view, .. } => Some(&view.device),
            Self::Controls(change) => Some(&change.device),
            Self::Recording { update, .. } => Some(&update.device),
            Self::Snapshot { device, .. } => Some(device),
            Self::Health(_) | Self::Shutdown => None,
        }
    }

    fn data(&self, caller: &Caller, gateway: &Gateway) -> EventData {
        match self {
            Self::Camera { view, .. } => EventData::Camera(view.shown_to(caller, gateway)),
            Self::Controls(change) => EventData::Controls(change.clone().into()),
            Self::Recording { update, error } => EventData::Recording(RecordingUpdate {
                error: error.as_ref().map(|error| caller.may_read(error.message())),
                ..update.clone()
            }),
            Self::Snapshot { device, filename } => EventData::Snapshot {
                device: device.clone(),
                download_url: Kind::Snapshot.download_url(filename),
                filename: filename.clone(),
            },
            Self::Health(condition) => EventData::Health { status: *condition },
            Self::Shutdown => EventData::Shutdown { version: env!("CARGO_PKG_VERSION") },
        }
    }

    fn recording(update: RecordingUpdate, error: Option<Error>) -> Self {
        Self::Recording { update, error }
    }

    fn of(event: PathEvent) -> Option<Self> {
        Some(match event {
            PathEvent::Changed { .. } | PathEvent::RoomChanged => return None,
            PathEvent::SnapshotTaken { name, filename } => Self::Snapshot { device: name, filename },
            PathEvent::RecordingStarted { name, started } => {
                Self::recording(RecordingUpdate::started(name, started), None)
            }
            PathEvent::RecordingStopped { name, stopped } => {
                Self::recording(RecordingUpdate::stopped(name, stopped), None)
            }
            PathEvent::RecordingRecovered { name, filename, session_id, duration } => {
                Self::recording(RecordingUpdate::recovered(name, filename, session_id, duration), None)
            }
            PathEvent::RecordingFailed { name, filename, error } => {
                Self::recording(RecordingUpdate::new(name, RecordingStatus::Error, filename), Some(error))
            }
        })
    }
}

/// Turns what happens to cameras and paths into notifications, until the service stops and what had happened by then is
/// told: the end of a recording is the last thing a client wants to miss.
///
/// A camera is announced when clients would see it differently, and not because something happened to it.
pub async fn announce(gateway: Arc<Gateway>) {
    let (mut cameras, mut paths) = (gateway.cameras.events(), gateway.paths.events());
    let mut controls = gateway.cameras.control_changes();
    let mut known: HashMap<String, View> = by_device(&gateway);
    let mut condition = gateway.health().status();
    loop {
        let event = tokio::select! {
            biased;
            event = next(&mut paths) => event.map(|event| event.and_then(News::of)),
            event = next(&mut cameras) => event.map(|_| None),
            change = next(&mut controls) => change.map(|change| change.map(News::Controls)),
            () = gateway.stopping.cancelled() => None,
        };
        let Some(event) = event else { break };
        let now = by_device(&gateway);
        for view in now.values().filter(|view| known.get(&view.device) != Some(view)) {
            let before = known.get(&view.device).map(|before| before.status);
            tell(&gateway, News::Camera { view: view.clone(), before });
        }
        for gone in known.into_values().filter(|view| !now.contains_key(&view.device)) {
            let before = Some(gone.status);
            tell(&gateway, News::Camera { view: gone.disconnected(), before });
        }
        known = now;
        if let Some(news) = event {
            tell(&gateway, news);
        }
        let (before, now) = (condition, gateway.health().status());
        condition = now;
        // That it stops is told by itself, below.
        if before != now && !gateway.stopping.is_cancelled() {
            tell(&gateway, News::Health(now));
        }
    }
    tell(&gateway, News::Shutdown);
    gateway.all_told.cancel();
}

fn by_device(gateway: &Gateway) -> HashMap<String, View> {
    gateway.views().into_iter().chain(gateway.external_views()).map(|view| (view.device.clone(), view)).collect()
}

fn tell(gateway: &Gateway, news: News) {
    // Nobody being connected is fine.
    let _ = gateway.notifications.send(Arc::new(Notification::now(news)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::control::{Changes, ControlValue};

    #[test]
    fn changed_controls_are_an_event_about_their_camera_and_nothing_else() {
        let changes = Changes {
            values: [
                ("automatic".to_owned(), ControlValue::Boolean(false)),
                ("label".to_owned(), ControlValue::Text("x".into())),
            ]
            .into(),
            inactive: [("gain".to_owned(), false)].into(),
            ..Changes::default()
        };
        let news = News::Controls(ControlChange { device: "camera0".into(), changes: changes.clone() });
        assert_eq!(news.topics(), ["camera.control_change"]);
        assert_eq!((news.standing(), news.device()), (None, Some("camera0")));
        let data = EventData::Controls(ControlChange { device: "camera0".into(), changes }.into());
        let written = json!({ "device": "camera0", "controls": { "automatic": false, "label": "x" },
                              "inactive": { "gain": false } });
        assert_eq!(json!(data), written);
    }
}
