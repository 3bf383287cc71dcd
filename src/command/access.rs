//! Who is calling, and whether they may.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::events::Subscriptions;
use crate::error::{Error, Kind, Result};

/// What a caller may do. A higher role may do all that a lower one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, and make cameras do things.
    Operator,
    /// Everything, and see the host's device nodes and paths.
    Admin,
}

impl Role {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// What it may do, in the words existing clients know.
    pub fn permissions(self) -> &'static [&'static str] {
        let all = &["view", "control", "admin"];
        match self {
            Self::Viewer => &all[..1],
            Self::Operator => &all[..2],
            Self::Admin => all,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| Error::invalid_param("role", "is not a role", "write viewer, operator or admin"))
    }
}

/// Somebody whose credentials were good.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who, as the credentials say.
    pub user_id: String,
    /// What they may do.
    pub role: Role,
    /// When the credentials end.
    pub expires: SystemTime,
    /// Cancelled when the credentials are taken back before that.
    pub revoked: CancellationToken,
}

/// One conversation: a socket, or a single HTTP request. Clones are the same conversation.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Session>);

#[derive(Debug)]
struct Session {
    id: Uuid,
    host: Option<String>,
    address: Option<IpAddr>,
    identity: Mutex<Option<Identity>>,
    subscriptions: Subscriptions,
}

/// A conversation that may be over.
#[derive(Debug)]
pub struct Known(Weak<Session>);

impl Known {
    /// The conversation, if it is not over.
    pub fn caller(&self) -> Option<Caller> {
        self.0.upgrade().map(Caller)
    }
}

impl Caller {
    /// A new conversation. `host` is the name or address the caller reached the service by, without a port; `address` is
    /// the caller's own.
    pub fn new(host: Option<String>, address: Option<IpAddr>, identity: Option<Identity>) -> Self {
        Self(Arc::new(Session {
            id: Uuid::new_v4(),
            host,
            address,
            identity: Mutex::new(identity),
            subscriptions: Subscriptions::default(),
        }))
    }

    /// Somebody of whom nothing is known.
    pub fn nobody() -> Self {
        Self::new(None, None, None)
    }

    /// The conversation's name, for the log and the caller.
    pub fn session_id(&self) -> Uuid {
        self.0.id
    }

    /// The name or address the caller reached the service by, without a port.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// What the caller wants to hear of.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.0.subscriptions
    }

    /// The conversation, without keeping it.
    pub fn known(&self) -> Known {
        Known(Arc::downgrade(&self.0))
    }

    /// The address the caller's connection comes from.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// From now on the caller is `identity`.
    pub fn bind(&self, identity: Identity) {
        *self.0.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
    }

    /// Who the caller is at this moment.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] for a caller that never said, or whose credentials have expired or were revoked.
    pub fn identity(&self) -> Result<Identity> {
        let identity = self.0.identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let identity = identity.ok_or_else(|| unauthenticated("call authenticate first"))?;
        if identity.expires <= SystemTime::now() {
            return Err(unauthenticated("the credentials have expired"));
        }
        if identity.revoked.is_cancelled() {
            return Err(unauthenticated("the API key was revoked"));
        }
        Ok(identity)
    }

    /// Whether the caller may do what `least` may.
    ///
    /// # Errors
    /// As [`Caller::identity`], and [`Kind::PermissionDenied`].
    pub fn require(&self, least: Role) -> Result<Identity> {
        let identity = self.identity()?;
        if identity.role < least {
            let kind = Kind::PermissionDenied { required: least.name(), have: identity.role.name() };
            return Err(Error::new(kind, format!("this needs the role {least}")));
        }
        Ok(identity)
    }

    /// Whether the caller may see device nodes and file-system paths of the host.
    pub fn sees_host(&self) -> bool {
        self.identity().is_ok_and(|identity| identity.role == Role::Admin)
    }

    /// `text` without the host's device nodes and paths, unless the caller may see those.
    pub fn may_read(&self, text: &str) -> String {
        if self.sees_host() { text.to_owned() } else { without_host_paths(text) }
    }
}

/// The error of a caller nobody knows.
pub(super) fn unauthenticated(reason: impl Into<String>) -> Error {
    Error::new(Kind::Unauthenticated, reason)
}

/// Takes absolute paths (`/dev/video0`, `/var/lib/…`) out of a message for people, and leaves URLs and fractions.
fn without_host_paths(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(at) = rest.chars().next() {
        let opens = !before.is_alphanumeric() && !"/:.]".contains(before);
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`,;()<>{}".contains(c)).unwrap_or(rest.len());
        if at == '/' && opens && end > 1 {
            shown.push_str("(host path)");
            // A path is often followed by the sentence's own colon or full stop.
            let kept = rest[..end].trim_end_matches([':', '.', '!', '?']).len();
            before = ')';
            rest = &rest[kept..];
        } else {
            shown.push(at);
            before = at;
            rest = &rest[at.len_utf8()..];
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn somebody(role: Role, expires: SystemTime) -> Identity {
        Identity { user_id: "u".into(), role, expires, revoked: CancellationToken::new() }
    }

    #[test]
    fn a_role_may_what_lower_roles_may() {
        let caller = Caller::nobody();
        assert_eq!(caller.require(Role::Viewer).unwrap_err().kind(), &Kind::Unauthenticated);
        let later = SystemTime::now() + Duration::from_secs(3600);
        caller.bind(somebody(Role::Operator, later));
        assert!(caller.require(Role::Viewer).is_ok() && caller.require(Role::Operator).is_ok());
        assert_eq!(
            caller.require(Role::Admin).unwrap_err().kind(),
            &Kind::PermissionDenied { required: "admin", have: "operator" }
        );
        assert!(!caller.sees_host());
        caller.bind(somebody(Role::Admin, later));
        assert!(caller.sees_host());
    }

    #[test]
    fn a_role_ends_with_its_credentials() {
        let caller = Caller::new(None, None, Some(somebody(Role::Admin, SystemTime::now())));
        assert_eq!(caller.require(Role::Viewer).unwrap_err().kind(), &Kind::Unauthenticated);
        assert!(!caller.sees_host());
    }

    #[test]
    fn paths_are_taken_out_of_texts_and_nothing_else_is() {
        assert_eq!(
            without_host_paths("/dev/video0: busy (\"/var/lib/x y\"), /a."),
            "(host path): busy (\"(host path) y\"), (host path)."
        );
        assert_eq!(without_host_paths("node=/dev/video0"), "node=(host path)");
        for harmless in ["rtsp://pi:8554/camera0", "30/1 per second", "and/or", "a / b", ""] {
            assert_eq!(without_host_paths(harmless), harmless);
        }
        let admin = Caller::new(None, None, Some(somebody(Role::Admin, SystemTime::now() + Duration::from_secs(60))));
        assert_eq!(admin.may_read("/dev/video0"), "/dev/video0");
    }
}
