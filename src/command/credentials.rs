//! Whether what a caller shows is good: a token or an API key, and not too many wrong ones.

use std::{net::IpAddr, time::Instant};

use super::{access::Identity, attempts::Attempts, keys::Keys, token::Tokens};
use crate::error::Result;

/// Everything a caller can show, and who showed wrong ones.
#[derive(Debug)]
pub struct Credentials {
    tokens: Tokens,
    keys: Keys,
    attempts: Attempts,
}

impl Credentials {
    /// Takes these tokens and these keys.
    pub fn new(tokens: Tokens, keys: Keys) -> Self {
        Self { tokens, keys, attempts: Attempts::default() }
    }

    /// Whom `shown` stands for, a token or an API key that came from `address`.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unauthenticated`] with the reason, or [`crate::error::Kind::RateLimited`] when too many
    /// wrong ones came from there. What was shown is in neither.
    pub fn verify(&self, shown: &str, address: Option<IpAddr>) -> Result<Identity> {
        let now = Instant::now();
        if let Some(address) = address {
            self.attempts.admit(address, now)?;
        }
        let outcome = match Keys::are_like(shown) {
            true => self.keys.verify(shown),
            false => self.tokens.verify(shown),
        };
        if let Some(address) = address {
            match &outcome {
                Ok(_) => self.attempts.succeeded(address),
                Err(_) => self.attempts.failed(address, now),
            }
        }
        outcome
    }

    /// The API keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}
