//! What the RTSP server asks of the rest of the service: who may read and publish, and what is there to be read.
//!
//! Not here: how it is asked of a client (`door`), and what is done with a stream that comes in (`publish`).

use std::{net::SocketAddr, time::Duration};

use uuid::Uuid;

use crate::{error::Result, media::publication::Publication, mtx::DigestProof};

/// Who decides about publishers and takes what they send. Called on the thread of the publisher's connection: it may
/// block, and nobody else waits.
pub trait Publishers: Send + Sync {
    /// Whether somebody there may publish to `path`. Error: it is told to nobody but the log; the publisher gets 400.
    fn announced(&self, path: &str, remote: SocketAddr) -> Result<()>;

    /// From now on, until it ends, this is published to `path`. Error: as above.
    fn published(&self, path: &str, publication: Publication) -> Result<()>;

    /// How long a publisher may send nothing.
    fn patience(&self) -> Duration;

    /// Whether somebody may read `path` or publish to it. Takes its time for wrong credentials.
    fn admitted(&self, guest: &Guest<'_>) -> Admission;

    /// Somebody wants to read `path`, where nothing is mounted, with this query. It may be mounted when this returns.
    fn visited(&self, path: &str, query: &str) -> Visit;
}

/// Somebody who wants something, and has to show who it is.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The path.
    pub path: &'a str,
    /// The query of its URL.
    pub query: &'a str,
    /// To publish to it, or to read it.
    pub publishes: bool,
    /// From where.
    pub remote: SocketAddr,
    /// The session that this is for; of a DESCRIBE, which is for none, the connection.
    pub id: Uuid,
    /// Whether this connection was let in before, to do the same.
    pub known: bool,
    /// What its program calls itself.
    pub user_agent: &'a str,
    /// The name, and what was shown for it.
    pub shown: Option<(&'a str, Proof<'a>)>,
}

/// What is shown for a name.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The password (Basic).
    Password(&'a str),
    /// That it is known (Digest), with the nonce of this connection.
    Digest(&'a DigestProof),
}

/// Whether somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Granted,
    /// Not without credentials, of which none were shown.
    Ask {
        /// The password may be sent.
        basic: bool,
        /// That it is known may be shown.
        digest: bool,
    },
    /// Not with these credentials.
    Refused,
}

/// What a reader is told who wants to read what is not mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// What is there by now: 404, if it still is nothing.
    Asked,
    /// To go there: to a path of this server (`/name`), or a URL.
    Elsewhere(String),
    /// Nothing can be there, or nobody came in time who should have published: 400.
    Unknown,
}
