//! What a caller may ask, and the reply.
//!
//! A [`Command`] names its method, the least role that may call it, its parameters and its reply, and has one `run`.
//! One file holds the commands of one group. What carries a command — a WebSocket, an HTTP request — is `api`'s; the
//! wire shapes of parameters, replies and notifications stand here.

pub mod access;
mod attempts;
pub mod cameras;
mod contents;
pub mod controls;
mod credentials;
pub mod discover;
pub mod events;
pub mod external;
pub mod files;
mod gateway;
pub mod health;
pub mod info;
pub mod keys;
pub mod library;
pub mod metrics;
pub mod notice;
mod notification;
mod pipeline;
mod places;
mod rates;
pub mod recordings;
pub mod retention;
pub mod session;
pub mod snapshots;
pub mod streams;
pub mod system;
mod timestamp;
pub mod token;
pub mod v3;
pub mod watched;
mod within;

use std::time::Duration;

pub use access::Role;
pub use contents::Contents;
pub use credentials::Credentials;
pub use gateway::{Defaults, Gateway, Indexes, NOTIFICATIONS, RtspAddress};
pub use notification::{News, Notification, RecordingStatus, announce};
pub use places::{Clients, Place, Places};
pub use rates::Rates;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
pub use timestamp::Timestamp;
pub use within::Within;

use crate::error::Result;
use access::Caller;

/// One thing a caller may ask for.
pub trait Command: Send + Sized + 'static {
    /// Its name on the wire.
    const METHOD: &'static str;
    /// What it does, in one sentence: for the document that `rpc.discover` answers with.
    const SUMMARY: &'static str;
    /// The least role that may call it; `None` where nobody needs to be known.
    const ROLE: Option<Role>;
    /// How long a caller waits for the reply. The work itself is not cut off by this where it has left the command.
    const DEADLINE: Duration = Duration::from_secs(10);
    /// The parameters: a struct with named fields. A field it does not have is refused.
    type Params: DeserializeOwned + JsonSchema + Send;
    /// The reply.
    type Reply: Serialize + JsonSchema + Send;

    /// Does it. A command that never waits is answered before the next message of its socket is looked at.
    fn run(
        params: Self::Params,
        caller: &Caller,
        gateway: &Gateway,
    ) -> impl Future<Output = Result<Self::Reply>> + Send;
}

/// The parameters of a command that has none.
#[derive(Debug, serde::Deserialize, JsonSchema)]
pub struct NoParams {}
