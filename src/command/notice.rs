//! The shapes of what clients are told without asking. When and to whom is `notification`'s.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Timestamp, cameras::Camera, controls::ControlsChanged, events::TOPICS, health::Condition,
    notification::RecordingStatus,
};

/// The parameters of a notification.
pub trait Notice: Serialize + JsonSchema {
    /// Its name on the wire.
    const METHOD: &'static str;
    /// What it says, in one sentence: for the document that `rpc.discover` answers with.
    const SUMMARY: &'static str;
}

impl Notice for Camera {
    const METHOD: &'static str = "camera_status_update";
    const SUMMARY: &'static str = "A camera is not as it was.";
}

/// A recording has begun, or a file of it is complete, or it could not go on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordingUpdate {
    pub(super) device: String,
    pub(super) status: RecordingStatus,
    pub(super) filename: String,
    /// Whole seconds in the file.
    pub(super) duration: u64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Notice for RecordingUpdate {
    const METHOD: &'static str = "recording_status_update";
    const SUMMARY: &'static str = "A recording has begun, or a file of it is complete, or it could not go on.";
}

/// Something that a client has subscribed to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Event<'a> {
    #[schemars(extend("enum" = TOPICS))]
    pub(super) topic: &'static str,
    /// The camera it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<&'a str>,
    pub(super) timestamp: Timestamp,
    pub(super) data: &'a EventData,
}

impl Notice for Event<'_> {
    const METHOD: &'static str = "event";
    const SUMMARY: &'static str = "Something that the client has subscribed to.";
}

/// What an event tells; what of this is told by its topic.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EventData {
    /// `camera.…`: the camera as it is now.
    Camera(Camera),
    /// `camera.control_change`.
    Controls(ControlsChanged),
    /// `recording.…`.
    Recording(RecordingUpdate),
    /// `snapshot.taken`.
    Snapshot {
        /// The camera.
        device: String,
        /// The file.
        filename: String,
        /// Where it is found on this host and port.
        download_url: String,
    },
    /// `system.health`.
    Health {
        /// The condition the service is in now.
        status: Condition,
    },
    /// `system.shutdown`.
    Shutdown {
        /// Of the service that ends.
        version: &'static str,
    },
}
