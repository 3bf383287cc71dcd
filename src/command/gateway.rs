//! What commands reach.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{Notification, health::Health, token::Tokens};

/// Handles to everything commands work with. Clones are cheap and reach the same things.
#[derive(Clone)]
pub struct Gateway {
    /// Tells good tokens from bad ones.
    pub tokens: Arc<Tokens>,
    /// What goes to every authenticated client. The ring of this channel is the only queue of notifications there is.
    pub notifications: broadcast::Sender<Arc<Notification>>,
    /// How the service is now. Must not block.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
}
