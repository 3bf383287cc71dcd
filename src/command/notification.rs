//! What clients are told without asking.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Gateway, access::Caller};

/// How a recording has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordingStatus {
    /// It has begun.
    Started,
    /// Its file is complete.
    Stopped,
    /// It has ended before its time; what was recorded is in the file.
    Error,
}

/// Something that goes to every authenticated client.
#[derive(Clone, Debug)]
pub enum Notification {
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
    },
}

impl Notification {
    /// Its name on the wire.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Recording { .. } => "recording_status_update",
        }
    }

    /// What it says to this client.
    pub fn params(&self, _caller: &Caller, _gateway: &Gateway) -> Value {
        match self {
            Self::Recording { device, status, filename, duration } => {
                json!({ "device": device, "status": status, "filename": filename, "duration": duration })
            }
        }
    }
}
