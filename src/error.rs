//! The one error type of the service.
//!
//! A [`Kind`] for machines, a message for people, a source for the log. Foreign errors are classified where they are
//! met, with the thing's name in the message. What a kind means on a wire (an HTTP status, a JSON-RPC code) is not
//! decided here: the two tables are in `api`.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// Shorthand for results that fail with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a program needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A parameter is missing, unknown, of the wrong type or out of range.
    InvalidParams {
        /// The parameter.
        param: String,
        /// The rule it breaks.
        rule: String,
        /// What to send instead.
        hint: String,
    },
    /// The caller is nobody known. The message never holds the credentials.
    Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied {
        /// The least role that may.
        required: &'static str,
        /// The role the caller has.
        have: &'static str,
    },
    /// There is no such thing.
    NotFound {
        /// `camera`, `stream`, `recording` or `snapshot`; on the command line also `key`.
        resource: &'static str,
        /// The name that was asked for.
        id: String,
    },
    /// The thing exists and is in a state that does not allow this.
    InvalidState {
        /// The state it is in.
        state: String,
        /// The states that would allow it.
        allowed: Vec<&'static str>,
    },
    /// The service does not do this, here or at all.
    Unsupported {
        /// The feature that is missing.
        feature: String,
    },
    /// Too much, too fast.
    RateLimited {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Something the service needs failed: a device, an encoder, the disk.
    Dependency {
        /// What it is: `device`, `encoder`, `disk`, an element's name.
        dependency: String,
    },
    /// A fault of ours.
    Internal,
}

/// An error with its cause. Cheap to clone: one failure is often told to several listeners.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause below it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: None }))
    }

    /// An error that wraps the one that caused it.
    pub fn with_source(
        kind: Kind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: Some(source.into()) }))
    }

    /// A fault of ours, or one nobody foresaw.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// `dependency` (a device, an element, the disk) failed.
    pub fn dependency(dependency: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Dependency { dependency: dependency.into() }, message)
    }

    /// There is no `resource` called `id`.
    pub fn not_found(resource: &'static str, id: impl Into<String>) -> Self {
        let id = id.into();
        let message = format!("there is no {resource} \"{id}\"");
        Self::new(Kind::NotFound { resource, id }, message)
    }

    /// A parameter does not fit.
    pub fn invalid_param(param: impl Into<String>, rule: impl Into<String>, hint: impl Into<String>) -> Self {
        let (param, rule, hint) = (param.into(), rule.into(), hint.into());
        let message = format!("parameter \"{param}\" {rule}");
        Self::new(Kind::InvalidParams { param, rule, hint }, message)
    }

    /// What went wrong, for a program.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// What went wrong, for a person, without its causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The message and every cause below it, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_every_cause() {
        let cause = std::io::Error::other("no space left");
        let error = Error::with_source(Kind::Internal, "recording not written", cause);
        assert_eq!(error.chain(), "recording not written: no space left");
        assert_eq!(error.to_string(), "recording not written");
    }
}
