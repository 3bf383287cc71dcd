//! Recording a path whenever its camera is there, without anybody asking.
//!
//! The recording that this begins is like any other: it goes on across the camera's absences, and can be stopped by a
//! request. Then it is the camera's next appearance that begins another.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::{PathStatus, Paths, RecordingRequest, recordings::Ended};
use crate::error::{Error, Kind};

/// The pause before a recording that could not be written is tried again: a disk that is full may get room.
const PAUSE: Duration = Duration::from_secs(10);

/// Records `name` so until no more recordings are begun, or the path is gone.
pub(super) async fn run(paths: Paths, name: String, status: watch::Receiver<PathStatus>, request: RecordingRequest) {
    tokio::select! {
        () = paths.closing().cancelled_owned() => {}
        () = record(&paths, &name, status, request) => {}
    }
}

async fn record(paths: &Paths, name: &str, mut status: watch::Receiver<PathStatus>, request: RecordingRequest) {
    let mut told = false;
    while status.wait_for(|status| status.open).await.is_ok() {
        match paths.start_recording(name, request).await {
            Ok(_) => told = false,
            // Somebody was quicker: theirs is as good.
            Err(error) if matches!(error.kind(), Kind::InvalidState { .. }) => {}
            Err(error) => {
                tell(name, &error, &mut told);
                sleep(PAUSE).await;
                continue;
            }
        }
        match paths.recording_ended(name).await {
            Ok(Ended::Stopped(then)) => drop(status.wait_for(|status| status.appearances != then).await),
            // It has told of its error.
            Ok(Ended::ByItself) => sleep(PAUSE).await,
            Err(_) => return,
        }
    }
}

/// Once for every row of failures.
fn tell(name: &str, error: &Error, told: &mut bool) {
    match std::mem::replace(told, true) {
        false => tracing::warn!(path = name, "not recorded, tried again every {PAUSE:?}: {}", error.chain()),
        true => tracing::debug!(path = name, "not recorded: {}", error.chain()),
    }
}
