//! Having a path stream by request, and waiting until it does.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::{PathStatus, Paths, Phase, registry::closing, task::Request};
use crate::error::{Error, Kind, Result};

/// A stream that was asked to run.
#[derive(Clone, Copy, Debug)]
pub struct StreamingStarted {
    /// Since when it runs.
    pub since: SystemTime,
    /// How long after the last reader it stops by itself. `None`: it runs as long as the camera is there.
    pub closes_after: Option<Duration>,
}

/// A stream that need not run any more.
#[derive(Clone, Copy, Debug)]
pub struct StreamingStopped {
    /// Since when it ran.
    pub since: SystemTime,
    /// Whether it goes on all the same, because it is read, recorded or always on.
    pub goes_on: bool,
}

impl Paths {
    /// Starts a path where need be. On demand it then stops when nobody has read it for its `close_after`, or by
    /// [`stop_streaming`](Self::stop_streaming). Starting what runs succeeds. Errors: no such path, it does not start.
    pub async fn start_streaming(&self, name: &str) -> Result<StreamingStarted> {
        let (demands, mut status, settings) =
            self.with(name, |entry| (entry.demands.clone(), entry.status.clone(), entry.settings.clone()))?;
        let _demand = demands.hold();
        let streaming = streaming(&mut status, settings.start_timeout).await?;
        Ok(StreamingStarted {
            since: streaming.streaming_since.unwrap_or_else(SystemTime::now),
            closes_after: (!settings.always_on).then_some(settings.close_after),
        })
    }

    /// Stops an on-demand path that nobody reads or records, at once. Others go on, and that is no error. Errors: no such
    /// path, or it does not run.
    pub async fn stop_streaming(&self, name: &str) -> Result<StreamingStopped> {
        let (inbox, demands, always_on) =
            self.with(name, |entry| (entry.inbox.clone(), entry.demands.clone(), entry.settings.always_on))?;
        let since = self.status(name)?.streaming_since.ok_or_else(|| {
            let kind = Kind::InvalidState { state: "STOPPED".into(), allowed: vec!["STARTED"] };
            Error::new(kind, format!("{name} is not streaming"))
        })?;
        inbox.send(Request::Release).await.map_err(|_| closing())?;
        Ok(StreamingStopped { since, goes_on: always_on || demands.wish().holders > 0 })
    }
}

/// The status of a path that streams, waited for while one can still hope. Errors: the path is away or in trouble, or
/// `deadline` passes.
pub(super) async fn streaming(status: &mut watch::Receiver<PathStatus>, deadline: Duration) -> Result<PathStatus> {
    let decided = |status: &PathStatus| match status.phase {
        Phase::Streaming(_) | Phase::Away | Phase::Wedged(_) | Phase::Waiting { .. } | Phase::Closed => true,
        Phase::Idle | Phase::Starting(_) | Phase::Stopping(_) => false,
    };
    let waited = tokio::time::timeout(deadline, status.wait_for(decided)).await.is_ok();
    let last = status.borrow().clone();
    match (last.phase, &last.trouble) {
        (Phase::Streaming(_), _) => Ok(last),
        (_, Some(trouble)) => Err(trouble.clone()),
        _ if !waited => Err(Error::dependency("device", format!("{} did not start in time", last.name))),
        _ => Err(Error::dependency("device", format!("{} is not connected", last.name))),
    }
}
