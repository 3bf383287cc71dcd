//! Who comes over RTSP: whether they may, and what becomes of those who want what is not there.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use tokio::runtime::Handle;

use super::{Shown, access, missing};
use crate::{
    command::Gateway,
    mtx::{Action, Asking},
    output::rtsp::{Admission, Guest, Visit},
    path::Host,
};

/// Answers the RTSP server's threads.
pub struct Porter {
    gateway: Weak<Gateway>,
    runtime: Handle,
}

impl Porter {
    /// Called on the runtime.
    pub fn new(gateway: &Arc<Gateway>) -> Self {
        Self { gateway: Arc::downgrade(gateway), runtime: Handle::current() }
    }
}

impl Host for Porter {
    fn admits(&self, guest: &Guest<'_>) -> Admission {
        let Some(gateway) = self.gateway.upgrade() else { return Admission::Refused };
        let (user, pass) = guest.shown.unwrap_or_default();
        if guest.remote.ip().is_loopback() && (user, pass) == (access::OURSELVES, gateway.engine.own_pass.as_str()) {
            return Admission::Granted;
        }
        let asking = Asking {
            address: guest.remote.ip(),
            action: if guest.publishes { Action::Publish } else { Action::Read },
            path: guest.path.to_owned(),
            user: user.to_owned(),
            pass: pass.to_owned(),
            token: String::new(),
            query: guest.query.to_owned(),
        };
        let shown = Shown { pass: pass.to_owned(), query: guest.query.to_owned(), ..Shown::default() };
        let asking = match gateway.engine.acting().text("authMethod") {
            "internal" => asking,
            // RTSP has no other place for one.
            _ => Asking { token: access::token(&shown, true), ..asking },
        };
        let nothing = guest.shown.is_none() && asking.token.is_empty();
        match self.runtime.block_on(access::may(&gateway, asking)) {
            true => Admission::Granted,
            false if nothing => Admission::Ask,
            false => {
                let address: IpAddr = guest.remote.ip();
                tracing::warn!(%address, path = guest.path, "RTSP was asked with wrong credentials");
                self.runtime.block_on(access::wait(&gateway));
                Admission::Refused
            }
        }
    }

    fn missing(&self, path: &str, publishes: bool) -> Visit {
        match self.gateway.upgrade() {
            Some(gateway) => self.runtime.block_on(missing(&gateway, path, publishes)),
            None => Visit::Asked,
        }
    }
}
