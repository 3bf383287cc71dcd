//! Who may do what: `authInternalUsers`.

use std::net::IpAddr;

use argon2::{Argon2, PasswordVerifier};
use base64::{Engine, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use regex::Regex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Set;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Use the control API.
    Api,
    /// Read metrics.
    Metrics,
    /// Play recordings of a path.
    Playback,
    /// Read a path.
    Read,
    /// Publish to a path.
    Publish,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Metrics => "metrics",
            Self::Playback => "playback",
            Self::Read => "read",
            Self::Publish => "publish",
        }
    }

    /// Whether it is about a path.
    fn has_path(self) -> bool {
        matches!(self, Self::Playback | Self::Read | Self::Publish)
    }
}

/// Somebody who wants to do something.
#[derive(Clone, Debug)]
pub struct Asking {
    /// From where; an IPv4 address inside an IPv6 one counts as what it is.
    pub address: IpAddr,
    /// What.
    pub action: Action,
    /// To which path, where it is about one.
    pub path: String,
    /// The name that was given, or none.
    pub user: String,
    /// The password that was given, or none.
    pub pass: String,
}

/// The users there are.
#[derive(Clone)]
pub struct Users(Vec<Set>);

impl Users {
    /// Those of the global configuration.
    pub fn new(global: &Set) -> Self {
        Self(global.records("authInternalUsers").to_vec())
    }

    /// Whether one of the users may. Takes its time (a second, at worst) where a password is hashed with Argon2.
    pub fn admit(&self, asking: &Asking) -> bool {
        self.0.iter().any(|user| {
            let networks = user.networks("ips");
            let address = asking.address.to_canonical();
            let near = networks.is_empty() || networks.iter().any(|network: &IpNet| network.contains(&address));
            near && user.records("permissions").iter().any(|permission| permits(permission, asking))
                && (user.text("user") == "any"
                    || (fits(user.text("user"), &asking.user) && fits(user.text("pass"), &asking.pass)))
        })
    }
}

fn permits(permission: &Set, asking: &Asking) -> bool {
    if permission.text("action") != asking.action.word() {
        return false;
    }
    match permission.text("path") {
        _ if !asking.action.has_path() => true,
        "" => true,
        path => match path.strip_prefix('~') {
            Some(expression) => Regex::new(expression).is_ok_and(|expression| expression.is_match(&asking.path)),
            None => path == asking.path,
        },
    }
}

/// Whether what was given is what is wanted. Nothing wanted is anything.
fn fits(wanted: &str, given: &str) -> bool {
    let same = |wanted: &str, given: &str| bool::from(wanted.as_bytes().ct_eq(given.as_bytes()));
    if let Some(hash) = wanted.strip_prefix("sha256:") {
        return same(hash, &BASE64_STANDARD.encode(Sha256::digest(given)));
    }
    if let Some(hash) = wanted.strip_prefix("argon2:") {
        let parsed = argon2::PasswordHash::new(hash);
        return parsed.is_ok_and(|hash| Argon2::default().verify_password(given.as_bytes(), &hash).is_ok());
    }
    wanted.is_empty() || same(wanted, given)
}
