//! MediaMTX's configuration file: read at the start and whenever it changes.
//!
//! What was set over the API is gone then, as with MediaMTX. A file that says something that cannot be is told of and
//! changes nothing; MediaMTX would end.

use std::{fs, path::Path, sync::Arc};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};

use super::{
    Allowed, Refusal, apply,
    config::{self, By},
    unused,
};
use crate::{
    command::{Gateway, watched::LOOK},
    error::{Error, Kind, Result},
    mtx::{self, Conf, Environment, Refused, Set, says_something},
    path::PathEvent,
};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 10 * 1024 * 1024;
/// The feature of an error that says what is wrong with MediaMTX's configuration.
const CONFIGURATION: &str = "configuration";

/// The configuration that a file and the environment describe. `None`: neither says anything. Blocks on the disk. Error:
/// the file cannot be read, or something is said that cannot be.
pub(super) fn load(conf: &Conf, file: Option<&Path>, environment: &Environment) -> Result<Option<Conf>> {
    let wrong = |message: String| wrong(file, &message);
    if file.is_none() && !says_something(environment).map_err(wrong)? {
        return Ok(None);
    }
    let read = conf.read_with(&file.map(text).transpose()?.unwrap_or_default(), environment);
    read.and_then(|conf| config::supported(&conf).map(|()| Some(conf))).map_err(wrong)
}

/// The global keys that the file and the environment say, for who is started by them. Blocks on the disk. Error: as of the
/// engine's start.
pub fn said(allowed: &Allowed) -> Result<Set> {
    let file = allowed.file.as_deref();
    let read = mtx::said(&file.map(text).transpose()?.unwrap_or_default(), &allowed.environment);
    read.map_err(|message| wrong(file, &message))
}

/// What is wrong with what is said there.
pub fn wrong(file: Option<&Path>, message: &str) -> Error {
    let place = file.map_or_else(String::new, |file| format!("{}: ", file.display()));
    Error::new(Kind::Unsupported { feature: CONFIGURATION.into() }, format!("{place}{message}"))
}

/// Whether an error of the start says that MediaMTX's configuration is wrong: it stays so, and trying again is no use.
pub fn is_wrong(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unsupported { feature } if feature == CONFIGURATION)
}

fn text(file: &Path) -> Result<String> {
    let failed = |error| {
        Error::with_source(
            Kind::Dependency { dependency: "disk".into() },
            format!("{} cannot be read", file.display()),
            error,
        )
    };
    if fs::metadata(file).map_err(failed)?.len() > LARGEST {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(file).map_err(failed)
}

/// Keeps what streams and is recorded as the configuration says, until the service stops: also when a camera is plugged
/// in for the first time, and when the file changes.
pub async fn keep(gateway: Arc<Gateway>) {
    let (mut paths, mut cameras) = (gateway.paths.events(), gateway.cameras.events());
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut file = gateway.engine.file.clone();
    unused::tell_unused(&gateway, None, &gateway.engine.conf());
    settle(&gateway).await;
    loop {
        tokio::select! {
            () = gateway.stopping.cancelled() => return,
            event = paths.recv() => match event {
                Ok(PathEvent::Changed { name }) if apply::is_settled(&gateway, &name) => {}
                Ok(PathEvent::Changed { .. }) | Err(_) => settle(&gateway).await,
                Ok(_) => {}
            },
            _ = cameras.recv() => settle(&gateway).await,
            _ = tick.tick(), if file.is_some() => if let Some(file) = &mut file && file.has_changed().await {
                reload(&gateway, file.file()).await;
            }
        }
    }
}

/// Makes what streams and is recorded what the configuration says, of this service and of MediaMTX.
pub async fn settle(gateway: &Arc<Gateway>) {
    let _turn = gateway.engine.turn.lock().await;
    apply::reconcile(gateway).await;
}

async fn reload(gateway: &Arc<Gateway>, file: &Path) {
    let (file, shown) = (file.to_owned(), file.display().to_string());
    let read = match spawn_blocking(move || text(&file)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return tracing::error!("{}; everything stays as it was", error.chain()),
        Err(error) => return tracing::error!(%error, file = shown, "not read"),
    };
    let environment = gateway.engine.environment.clone();
    let read = move |conf: &Conf| conf.read_with(&read, &environment).map_err(Refused::Invalid);
    match config::change_by(gateway, read, By::File).await {
        Ok(()) => tracing::info!(file = shown, "configuration read again"),
        Err(Refusal::Invalid(problem)) => {
            tracing::error!(file = shown, problem, "the configuration is wrong; everything stays as it was")
        }
        Err(refusal) => tracing::error!(file = shown, ?refusal, "not read; everything stays as it was"),
    }
}
