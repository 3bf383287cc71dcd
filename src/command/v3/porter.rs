//! Who comes over RTSP: whether they may, and what becomes of those who want what is not there.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::runtime::Handle;

use super::{Shown, access, missing};
use crate::{
    command::Gateway,
    mtx::{Action, Asking},
    output::rtsp::{Admission, Guest, Proof, Visit},
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
        let global = gateway.engine.acting();
        let offered = |way: &str| global.texts("rtspAuthMethods").iter().any(|offered| offered == way);
        let (basic, digest) = (offered("basic"), offered("digest"));
        let (user, proof) = guest.shown.map_or(("", None), |(user, proof)| (user, Some(proof)));
        if user == access::OURSELVES && guest.remote.ip().is_loopback() && is_ours(&gateway, proof) {
            return Admission::Granted;
        }
        let pass = match proof {
            Some(Proof::Password(pass)) if basic => pass,
            _ => "",
        };
        let shown = Shown { pass: pass.to_owned(), query: guest.query.to_owned(), ..Shown::default() };
        let internal = global.text("authMethod") == "internal";
        // Another server is told of the session too, as MediaMTX does.
        if guest.known && global.text("authMethod") != "http" {
            return Admission::Granted;
        }
        let asking = Asking {
            address: guest.remote.ip(),
            action: if guest.publishes { Action::Publish } else { Action::Read },
            path: guest.path.to_owned(),
            user: user.to_owned(),
            pass: pass.to_owned(),
            // RTSP has no other place for one than the password and the query.
            token: if internal { String::new() } else { access::token(&shown, true) },
            query: guest.query.to_owned(),
            id: Some(guest.id),
            user_agent: guest.user_agent.to_owned(),
            digest: match proof {
                Some(Proof::Digest(shown)) if digest => Some(shown.clone()),
                _ => None,
            },
        };
        let nothing = guest.shown.is_none() && asking.token.is_empty();
        match self.runtime.block_on(access::may(&gateway, asking)) {
            true => Admission::Granted,
            false if nothing => Admission::Ask { basic, digest },
            false => {
                let address: IpAddr = guest.remote.ip();
                tracing::warn!(%address, path = guest.path, "RTSP was asked with wrong credentials");
                self.runtime.block_on(access::wait(&gateway));
                Admission::Refused
            }
        }
    }

    fn patience(&self) -> Duration {
        // Without a gateway the service ends, and everybody with it.
        self.gateway.upgrade().map_or(Duration::MAX, |gateway| gateway.engine.acting().time("readTimeout").duration())
    }

    fn missing(&self, path: &str, reads: Option<&str>) -> Visit {
        match self.gateway.upgrade() {
            Some(gateway) => self.runtime.block_on(missing(&gateway, path, reads)),
            None => Visit::Asked,
        }
    }
}

/// Whether it is this service that reads its own streams.
fn is_ours(gateway: &Gateway, proof: Option<Proof<'_>>) -> bool {
    let own = gateway.engine.own_pass.as_str();
    match proof {
        Some(Proof::Password(pass)) => pass == own,
        Some(Proof::Digest(digest)) => digest.fits(access::OURSELVES, own),
        None => false,
    }
}
