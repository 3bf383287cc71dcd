//! Section `security`: tokens, keys, TLS, limits, and the health port, which needs no credentials.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use super::{
    section::Section,
    value::{Secret, words},
};

/// Bytes of a secret below which HS256 is weaker than its hash (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

/// Who may do what, and how they show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// Tokens.
    pub jwt: Jwt,
    /// API keys.
    pub api_keys: ApiKeys,
    /// TLS.
    pub ssl: Ssl,
    /// Limits per client.
    pub rate_limiting: RateLimiting,
    /// The health server.
    pub health: Health,
    /// Origins of web pages that may open a WebSocket, besides those of the service's own host; `*` is any.
    pub cors_origins: Vec<String>,
}

/// JSON Web Tokens (RFC 7519).
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// The key tokens are signed with, at least 32 bytes. Empty: the service makes one and keeps it in the state
    /// directory.
    pub secret_key: Secret,
    /// Life of a token made by `camera-service token`, in hours.
    pub expiry_hours: u32,
    /// How tokens are signed.
    pub algorithm: Algorithm,
}

words! {
    /// Signature algorithms (RFC 7518).
    Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256" | "hs256",
    }
}

/// API keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiKeys {
    /// File they are kept in. None: `api-keys.json` in the state directory.
    pub storage_file: Option<PathBuf>,
}

/// TLS for the WebSocket and file server, the health server, and the MediaMTX-compatible API, metrics and playback.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ssl {
    /// Whether TLS is wanted.
    pub enabled: bool,
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Private key, PEM.
    pub key_file: Option<PathBuf>,
}

/// Limits per client address.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimiting {
    /// Sockets open at once.
    pub max_connections: u32,
    /// Requests a minute.
    pub requests_per_minute: u32,
}

/// The health server.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// TCP port; 0 is any free one.
    pub port: u16,
    /// Address to listen on.
    pub bind_address: IpAddr,
}

impl Default for Jwt {
    fn default() -> Self {
        Self { secret_key: Secret::default(), expiry_hours: 24, algorithm: Algorithm::Hs256 }
    }
}

impl Default for RateLimiting {
    fn default() -> Self {
        Self { max_connections: 100, requests_per_minute: 600 }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { port: 8003, bind_address: Ipv4Addr::UNSPECIFIED.into() }
    }
}

impl Security {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.section("jwt", |s| self.jwt.read(s));
        s.section("api_keys", |s| s.value("storage_file", &mut self.api_keys.storage_file));
        s.section("ssl", |s| self.ssl.read(s));
        s.section("rate_limiting", |s| {
            s.number("max_connections", &mut self.rate_limiting.max_connections, 1..=100_000);
            s.number("requests_per_minute", &mut self.rate_limiting.requests_per_minute, 1..=1_000_000);
        });
        s.section("health", |s| {
            s.port("port", &mut self.health.port);
            s.value("bind_address", &mut self.health.bind_address);
        });
        s.list("cors_origins", &mut self.cors_origins);
    }
}

impl Jwt {
    fn read(&mut self, s: &mut Section<'_>) {
        s.value("secret_key", &mut self.secret_key);
        let bytes = self.secret_key.expose().len();
        if (1..SECRET_BYTES).contains(&bytes) {
            let valid =
                "at least 32 bytes (openssl rand -hex 32 makes some), or nothing: the service then makes its own";
            s.refuse("secret_key", format!("is too short to be safe with its {bytes} bytes"), valid);
        }
        s.number("expiry_hours", &mut self.expiry_hours, 1..=87_600);
        s.value("algorithm", &mut self.algorithm);
    }
}

impl Ssl {
    fn read(&mut self, s: &mut Section<'_>) {
        s.value("enabled", &mut self.enabled);
        for (key, file) in [("cert_file", &mut self.cert_file), ("key_file", &mut self.key_file)] {
            s.value(key, file);
            match file {
                _ if !self.enabled || s.faulty(key) => {}
                Some(file) => s.reads_from(key, file.clone()),
                None => {
                    s.refuse(key, "is missing, and TLS is enabled", "a PEM file; to do without TLS, enabled: false");
                }
            }
        }
    }
}
