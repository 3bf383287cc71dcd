//! Who may do what: `authInternalUsers`.

use std::net::IpAddr;

use argon2::{Argon2, PasswordVerifier};
use base64::{Engine, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use regex::Regex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Conf, Set, Value, global, key::Kind};

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
    /// As the configuration has it.
    pub fn word(self) -> &'static str {
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
    /// The token that was given, or none. Users have none; whoever is asked elsewhere may know it.
    pub token: String,
    /// The query of the URL.
    pub query: String,
    /// The connection or session that it is about, where there is one. Users do not care; whoever is asked elsewhere may.
    pub id: Option<Uuid>,
    /// What the program calls itself that asks, if it does. The same.
    pub user_agent: String,
    /// What was shown in place of the password.
    pub digest: Option<DigestProof>,
}

/// That somebody knows a password, without the password (RFC 2617, 3.2.2 without `qop`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestProof {
    /// As it was asked for.
    pub realm: String,
    /// As it was asked for.
    pub nonce: String,
    /// The request's method.
    pub method: String,
    /// The URL that was meant.
    pub uri: String,
    /// What only somebody can know who knows the password, in hexadecimal digits.
    pub response: String,
}

impl DigestProof {
    /// Whether it is of somebody with this name and password.
    pub fn fits(&self, user: &str, pass: &str) -> bool {
        let digits = |byte: &u8| format!("{byte:02x}");
        let hash = |text: String| md5::Md5::digest(text).iter().map(digits).collect::<String>();
        let secret = hash(format!("{user}:{}:{pass}", self.realm));
        let request = hash(format!("{}:{}", self.method, self.uri));
        let expected = hash(format!("{secret}:{}:{request}", self.nonce));
        expected.as_bytes().ct_eq(self.response.to_ascii_lowercase().as_bytes()).into()
    }
}

/// The users there are.
#[derive(Clone)]
pub struct Users(Vec<Set>);

impl Users {
    /// Those of a configuration. Where paths have credentials of their own, as earlier versions had it, those count; whoever
    /// may play recordings and use the API stays as it is by default.
    pub fn new(conf: &Conf) -> Self {
        let global = conf.global();
        let users = global.records("authInternalUsers");
        let paths = conf.paths();
        if !paths.iter().any(|(_, path)| has_old_credentials(path)) {
            return Self(users.to_vec());
        }
        let mut users = users.to_vec();
        users.iter_mut().for_each(|user| user.retain_permissions(|action| !["publish", "read"].contains(&action)));
        for (name, path) in &paths {
            users.push(old_user(name, path, "publish", ["publishUser", "publishPass", "publishIPs"]));
            users.push(old_user(name, path, "read", ["readUser", "readPass", "readIPs"]));
        }
        Self(users)
    }

    /// Whether one of the users may. Takes its time (a second, at worst) where a password is hashed with Argon2.
    pub fn admit(&self, asking: &Asking) -> bool {
        self.0.iter().any(|user| {
            let networks = user.networks("ips");
            let address = asking.address.to_canonical();
            let near = networks.is_empty() || networks.iter().any(|network: &IpNet| network.contains(&address));
            near && permit(user.records("permissions"), asking)
                && (user.text("user") == "any" || is_shown(user, asking))
        })
    }
}

/// Old keys of a path that hold credentials.
const OLD_CREDENTIALS: [&str; 6] = ["publishUser", "publishPass", "publishIPs", "readUser", "readPass", "readIPs"];

/// Whether credentials are set for a path itself.
pub(super) fn has_old_credentials(path: &Set) -> bool {
    OLD_CREDENTIALS.iter().any(|key| path.get(key).is_some())
}

/// Who may do this with a path whose credentials are its own; everybody, where it has none for it.
fn old_user(name: &str, path: &Set, action: &str, [user, pass, networks]: [&str; 3]) -> Set {
    let name = if ["all", "all_others"].contains(&name) { "~^.*$" } else { name };
    let user = Some(path.text(user)).filter(|user| !user.is_empty()).unwrap_or("any");
    let permission = Set::defaults(global::PERMISSION)
        .with("action", Value::Text(action.to_owned()))
        .with("path", Value::Text(name.to_owned()));
    Set::defaults(global::USER)
        .with("user", Value::Text(user.to_owned()))
        .with("pass", Value::Text(path.text(pass).to_owned()))
        .with("ips", Value::Networks(path.networks(networks).to_vec()))
        .with("permissions", Value::Records(vec![permission]))
}

/// Whether one of these permissions is for what somebody wants.
pub fn permit(permissions: &[Set], asking: &Asking) -> bool {
    permissions.iter().any(|permission| permits(permission, asking))
}

/// Permissions as JSON has them. Error: MediaMTX's message.
pub fn permissions(json: &serde_json::Value) -> Result<Vec<Set>, String> {
    match Kind::Records(global::PERMISSION).decode(json, "")? {
        Value::Records(records) => Ok(records),
        _ => Ok(Vec::new()),
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

/// Whether somebody has shown to be this user.
fn is_shown(user: &Set, asking: &Asking) -> bool {
    let pass = user.text("pass");
    match &asking.digest {
        None => fits(user.text("user"), &asking.user) && fits(pass, &asking.pass),
        // Hashed credentials and this exclude each other, which is checked when they are set.
        Some(digest) => user.text("user") == asking.user && (pass.is_empty() || digest.fits(&asking.user, pass)),
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
