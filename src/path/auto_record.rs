//! Recording a path whenever its camera is there, without anybody asking each time.
//!
//! The recording that this begins is like any other: it goes on across the camera's absences, and can be stopped by a
//! request. Then it is the camera's next appearance that begins another.

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    PathStatus, Paths, RecordingRequest,
    recordings::{Ended, can_be_recorded},
};
use crate::error::{Error, Kind};

/// The pause before a recording that could not be written is tried again: a disk that is full may get room.
const PAUSE: Duration = Duration::from_secs(10);

/// What has a path recorded, until no more recordings are begun, the path is gone, or it is cancelled.
pub(super) struct Keeper {
    /// How.
    pub request: RecordingRequest,
    over: CancellationToken,
    done: JoinHandle<()>,
}

impl Keeper {
    /// Has `name` recorded so, after the one `before` has let go.
    pub fn spawn(
        paths: &Paths,
        name: &str,
        status: watch::Receiver<PathStatus>,
        request: RecordingRequest,
        before: Option<Self>,
    ) -> Self {
        let over = paths.closing().child_token();
        let (paths, name, is_over) = (paths.clone(), name.to_owned(), over.clone());
        let done = tokio::spawn(async move {
            if let Some(before) = before {
                before.ended().await;
            }
            record(paths, name, status, request, is_over).await;
        });
        Self { request, over, done }
    }

    /// It begins no more recordings. What is being recorded goes on.
    pub fn cancel(&self) {
        self.over.cancel();
    }

    /// Waits until it has let go. A recording that it was about to begin is ended.
    async fn ended(self) {
        self.over.cancel();
        // A task that panicked holds nothing.
        let _ = self.done.await;
    }
}

async fn record(
    paths: Paths,
    name: String,
    mut status: watch::Receiver<PathStatus>,
    request: RecordingRequest,
    over: CancellationToken,
) {
    let mut told = false;
    let waits = request.only_while_streaming;
    let may_begin = |status: &PathStatus| if waits { can_be_recorded(status) } else { status.open };
    // Broken off while it waits, and never while a recording begins: nobody would have that one.
    while reached(&mut status, &over, may_begin).await {
        match paths.start_recording(&name, request).await {
            Ok(_) if over.is_cancelled() => {
                // Whoever cancelled may have found nothing to stop.
                if let Err(error) = paths.stop_recording(&name).await {
                    tracing::debug!(path = name, "{}", error.chain());
                }
                return;
            }
            Ok(_) => told = false,
            // Somebody was quicker: theirs is as good.
            Err(error) if matches!(error.kind(), Kind::InvalidState { .. }) => {}
            Err(error) => {
                tell(&name, &error, &mut told);
                over.run_until_cancelled(sleep(PAUSE)).await;
                continue;
            }
        }
        let Some(ended) = over.run_until_cancelled(paths.recording_ended(&name)).await else { return };
        match ended {
            Ok(Ended::Stopped(then)) => {
                reached(&mut status, &over, |status| status.appearances != then).await;
            }
            // With its stream: another begins with the next.
            Ok(Ended::ByItself)
                if waits && paths.status(&name).is_ok_and(|status| status.recording_trouble.is_none()) => {}
            // It has told of its error.
            Ok(Ended::ByItself) => {
                over.run_until_cancelled(sleep(PAUSE)).await;
            }
            Err(_) => return,
        }
    }
}

/// Waits until a path is so. False: it never will be, or nobody wants to know any more.
async fn reached(
    status: &mut watch::Receiver<PathStatus>,
    over: &CancellationToken,
    so: impl FnMut(&PathStatus) -> bool,
) -> bool {
    over.run_until_cancelled(status.wait_for(so)).await.is_some_and(|status| status.is_ok())
}

/// Once for every row of failures.
fn tell(name: &str, error: &Error, told: &mut bool) {
    match std::mem::replace(told, true) {
        false => tracing::warn!(path = name, "not recorded, tried again every {PAUSE:?}: {}", error.chain()),
        true => tracing::debug!(path = name, "not recorded: {}", error.chain()),
    }
}
