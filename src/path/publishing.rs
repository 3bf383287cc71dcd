//! Paths whose source is whoever publishes to them.
//!
//! Not here: RTSP (`output::rtsp`), and what is done with the packets (`pipeline::published`).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    Paths,
    registry::{Entry, closing},
};
use crate::{
    error::{Error, Kind, Result},
    media::publication::Publication,
    output::rtsp::{Admission, Guest, Publishers, Visit},
    pipeline::{CaptureRequest, Source, Wanted},
};

/// Who may publish to a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publishing {
    /// Nobody: it has a source of its own.
    #[default]
    Never,
    /// Whoever comes while nobody else does.
    First,
    /// Whoever came last; who published before is sent off (`overridePublisher` of MediaMTX).
    Newest,
}

/// What is decided elsewhere about those who come over RTSP. Called on threads of the RTSP server; it may block.
pub trait Host: Send + Sync {
    /// Whether somebody may.
    fn admits(&self, guest: &Guest<'_>) -> Admission;

    /// How long a publisher may send nothing.
    fn patience(&self) -> Duration;

    /// Somebody wants to read a path that has no stream, with the query `reads`, or to publish to one that is not there.
    /// It may be made meanwhile.
    fn missing(&self, path: &str, reads: Option<&str>) -> Visit;
}

/// Who publishes to a path now: one at a time.
#[derive(Default)]
pub(super) struct Publisher {
    occupant: std::sync::Mutex<Option<Publication>>,
    /// Held by whoever takes it until the path has the source: of two who come at once the later one's stays. Who leaves
    /// does not need it.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Paths {
    /// Lets RTSP clients publish. Called once, on the runtime. `host` decides who may.
    pub fn accept_publishers(&self, host: Arc<dyn Host>) {
        let door = Door { paths: self.clone(), runtime: Handle::current(), host };
        self.0.parts.rtsp.accept_publishers(Arc::new(door));
    }

    /// Who publishes to this path. Error: no such path.
    pub fn publisher(&self, name: &str) -> Result<Option<Publication>> {
        self.with(name, |entry| occupant(&entry.publisher).clone())
    }

    /// Whether somebody may publish to this path now. Errors: no such path, it has a source of its own, somebody does.
    fn may_be_published(&self, name: &str) -> Result<()> {
        self.with(name, |entry| may_be_published(name, entry))?
    }

    /// Gives a path this source, if it may have it.
    pub(super) async fn publish(&self, name: &str, publication: Publication) -> Result<()> {
        let place = self.with(name, |entry| Arc::clone(&entry.publisher))?;
        let turn = place.turn.lock().await;
        // From then on the path is used.
        let former = self.with(name, |entry| {
            // It was taken away meanwhile, and is made anew.
            if !Arc::ptr_eq(&place, &entry.publisher) {
                return Err(Error::not_found("stream", name));
            }
            may_be_published(name, entry)?;
            Ok(occupant(&place).replace(publication.clone()))
        })??;
        if let Some(former) = former {
            former.refuse();
        }
        let source = Source::Published(publication.clone());
        self.set_source(name, Some(CaptureRequest { source, wanted: Wanted::default() })).await?;
        drop(turn);
        let (paths, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            publication.ended().await;
            let gone = {
                let mut occupant = occupant(&place);
                let gone = occupant.as_ref() == Some(&publication);
                if gone {
                    *occupant = None;
                }
                gone
            };
            // Otherwise somebody else publishes already. No such path: it was taken away meanwhile.
            let source = Source::Published(publication);
            if gone && let Err(error) = paths.lose_source(&name, source).await {
                tracing::debug!(path = name, "{}", error.chain());
            }
        });
        Ok(())
    }
}

/// How the RTSP server's threads come to the paths.
struct Door {
    paths: Paths,
    runtime: Handle,
    host: Arc<dyn Host>,
}

impl Door {
    /// Does something on a path, which is made if it is not there.
    fn made(&self, path: &str, act: impl Fn() -> Result<()>) -> Result<()> {
        match act() {
            Err(error) if matches!(error.kind(), Kind::NotFound { .. }) => {
                self.host.missing(path, None);
                act()
            }
            done => done,
        }
    }
}

impl Publishers for Door {
    fn announced(&self, path: &str, _: SocketAddr) -> Result<()> {
        match self.paths.0.closing.is_cancelled() {
            true => Err(closing()),
            false => self.made(path, || self.paths.may_be_published(path)),
        }
    }

    fn visited(&self, path: &str, query: &str) -> Visit {
        self.host.missing(path, Some(query))
    }

    fn patience(&self) -> Duration {
        self.host.patience()
    }

    fn admitted(&self, guest: &Guest<'_>) -> Admission {
        self.host.admits(guest)
    }

    fn published(&self, path: &str, publication: Publication) -> Result<()> {
        // It was there when it was announced; if nobody was on it, it may have been taken away since.
        self.made(path, || self.runtime.block_on(self.paths.publish(path, publication.clone())))
    }
}

fn may_be_published(name: &str, entry: &Entry) -> Result<()> {
    let refused = |state: &str, allowed, message: String| {
        Err(Error::new(Kind::InvalidState { state: state.into(), allowed: vec![allowed] }, message))
    };
    match entry.settings.publishing {
        Publishing::Never => refused("SOURCE", "PUBLISHER", format!("{name} has a source of its own")),
        Publishing::First if occupant(&entry.publisher).is_some() => {
            refused("TAKEN", "FREE", format!("somebody publishes to {name} already"))
        }
        Publishing::First | Publishing::Newest => Ok(()),
    }
}

// Plain data that is whole after every statement.
pub(super) fn occupant(publisher: &Publisher) -> std::sync::MutexGuard<'_, Option<Publication>> {
    publisher.occupant.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
