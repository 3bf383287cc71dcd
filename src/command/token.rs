//! Tokens: JWT (RFC 7519) signed with HS256, claims `user_id`, `role`, `iat`, `exp`. And the secret they stand on.
//!
//! No token and no secret is ever put into a message or the log.

use std::{
    fmt, fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access::{Identity, Role, unauthenticated};
use crate::{
    error::{Error, Result},
    state_file,
};

/// Shortest secret that is taken: HS256 wants a key as long as its hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// The key that tokens are signed with.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The configured secret.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes.
    pub fn new(secret: &str) -> Result<Self> {
        if secret.len() < MIN_SECRET {
            let rule = format!("has {} bytes, fewer than the {MIN_SECRET} that HS256 needs", secret.len());
            let hint = "write a longer one (openssl rand -hex 32), or none to have one made";
            return Err(Error::invalid_param("security.jwt.secret_key", rule, hint));
        }
        Ok(Self(secret.as_bytes().to_vec()))
    }

    /// The secret kept in `file`; it is made, readable by its owner alone, when there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read or written, is too short, or can be read by others. Blocks on the disk.
    pub fn kept_in(file: &Path) -> Result<Self> {
        let met =
            |error| Error::with_source(disk(), format!("the token secret in {} cannot be kept", file.display()), error);
        if !file.exists() {
            match make(file) {
                Ok(()) => tracing::info!(
                    file = %file.display(),
                    "no security.jwt.secret_key is configured: made a secret, which is used from now on; camera-service token makes tokens with it"
                ),
                // Another process of ours was faster; its secret is as good.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(met(error)),
            }
        }
        let mode = fs::metadata(file).map_err(met)?.permissions().mode();
        if mode & 0o077 != 0 {
            let message = format!("the token secret in {} can be read by others: chmod 600 it", file.display());
            return Err(Error::new(disk(), message));
        }
        Self::new(fs::read_to_string(file).map_err(met)?.trim())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn disk() -> crate::error::Kind {
    crate::error::Kind::Dependency { dependency: "disk".into() }
}

/// Writes a new secret under another name and links it to `file`, so that nobody ever reads half of one.
fn make(file: &Path) -> std::io::Result<()> {
    let name = format!(".{}.{}", file.file_name().unwrap_or_default().display(), Uuid::new_v4().simple());
    let unfinished = file.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&unfinished).and_then(|mut out| {
        // A version 4 UUID carries 122 bits from the kernel's random numbers.
        writeln!(out, "{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())?;
        state_file::give_to_owner_of(file.parent().unwrap_or(Path::new(".")), &out)?;
        out.sync_all()?;
        fs::hard_link(&unfinished, file)
    });
    let removed = fs::remove_file(&unfinished);
    made.and(removed)
}

const EXPIRED: &str = "the token has expired";

#[derive(Serialize, Deserialize)]
struct Claims {
    user_id: String,
    role: Role,
    iat: u64,
    exp: u64,
}

/// Makes a token for `user_id` that ends `expiry` from now.
///
/// # Errors
/// Only when signing itself fails, which would be our fault.
pub fn make_token(secret: &Secret, role: Role, expiry: Duration, user_id: &str) -> Result<String> {
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims { user_id: user_id.to_owned(), role, iat, exp: iat.saturating_add(expiry.as_secs()) };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&secret.0))
        .map_err(|error| Error::with_source(crate::error::Kind::Internal, "a token cannot be signed", error))
}

/// Tells good tokens from bad ones.
#[derive(Clone, Debug)]
pub struct Tokens {
    key: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// Takes tokens signed with `secret`.
    pub fn new(secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        Self { key: DecodingKey::from_secret(&secret.0), validation }
    }

    /// Whom `token` stands for.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unauthenticated`] with the reason.
    pub fn verify(&self, token: &str) -> Result<Identity> {
        let reason = |error: jsonwebtoken::errors::Error| match error.kind() {
            ErrorKind::ExpiredSignature => EXPIRED,
            ErrorKind::InvalidSignature => "the token was not signed with this service's secret",
            ErrorKind::InvalidAlgorithm => "the token is not signed with HS256",
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
                "the token cannot be read: it is signed with HS256 and claims user_id, role (viewer, operator, admin), iat and exp"
            }
            _ => "this is not a token",
        };
        let token = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| unauthenticated(reason(error)))?;
        let Claims { user_id, role, exp, .. } = token.claims;
        let expires = UNIX_EPOCH
            .checked_add(Duration::from_secs(exp))
            .ok_or_else(|| unauthenticated("the token ends after the end of time"))?;
        // The library still takes it in the very second of its end, when no session lasts any more (RFC 7519, 4.1.4: "on
        // or after").
        if expires <= SystemTime::now() {
            return Err(unauthenticated(EXPIRED));
        }
        // Nobody keeps a list of tokens: one is good until its end.
        Ok(Identity { user_id, role, expires, revoked: CancellationToken::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::error::Kind;

    const HOUR: Duration = Duration::from_secs(3600);

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    fn sign(header: &Header, claims: serde_json::Value, secret: &Secret) -> String {
        jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(&secret.0)).unwrap()
    }

    #[test]
    fn a_token_carries_who_and_what() {
        let token = make_token(&secret(), Role::Operator, HOUR, "ada").unwrap();
        let identity = Tokens::new(&secret()).verify(&token).unwrap();
        assert_eq!((identity.user_id.as_str(), identity.role), ("ada", Role::Operator));
        assert!(identity.expires > SystemTime::now());
    }

    #[test]
    fn bad_tokens_are_refused_with_a_reason() {
        let good = serde_json::json!({"user_id": "u", "role": "viewer", "iat": 1, "exp": 4_000_000_000_u64});
        let with = |key: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[key] = value;
            claims
        };
        let hs256 = Header::new(Algorithm::HS256);
        let other = Secret::new("another secret, long enough for HS256").unwrap();
        // {"alg":"none"} and the good claims, unsigned.
        let none = "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoidSIsInJvbGUiOiJ2aWV3ZXIiLCJpYXQiOjEsImV4cCI6NDAwMDAwMDAwMH0.";
        let table = [
            (sign(&hs256, good.clone(), &secret()), None),
            (sign(&hs256, with("exp", 1.into()), &secret()), Some("expired")),
            (sign(&hs256, good.clone(), &other), Some("not signed with this")),
            (sign(&Header::new(Algorithm::HS512), good.clone(), &secret()), Some("HS256")),
            (sign(&hs256, with("role", "root".into()), &secret()), Some("cannot be read")),
            (sign(&hs256, serde_json::json!({"user_id": "u", "role": "viewer"}), &secret()), Some("cannot be read")),
            (none.to_owned(), Some("cannot be read")),
            (String::new(), Some("not a token")),
        ];
        for (token, refusal) in table {
            let outcome = Tokens::new(&secret()).verify(&token);
            match refusal {
                None => assert!(outcome.is_ok(), "{outcome:?}"),
                Some(reason) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.kind(), &Kind::Unauthenticated);
                    assert!(error.chain().contains(reason), "{error} is not \"{reason}\"");
                    assert!(token.is_empty() || !error.chain().contains(&token));
                }
            }
        }
    }

    #[test]
    fn a_token_is_over_in_the_second_of_its_end() {
        let token = make_token(&secret(), Role::Viewer, Duration::ZERO, "u").unwrap();
        let error = Tokens::new(&secret()).verify(&token).unwrap_err();
        assert_eq!(error.message(), "the token has expired");
    }

    /// What a token says of its own signature is not believed: the signature of each of these is a good HS256 one, or
    /// missing.
    #[test]
    fn other_algorithms_are_refused() {
        let good = make_token(&secret(), Role::Admin, HOUR, "u").unwrap();
        let claims = good.split('.').nth(1).unwrap();
        let key = EncodingKey::from_secret(&secret().0);
        for (name, header) in [
            ("HS256", "eyJhbGciOiJIUzI1NiJ9"),
            ("HS384", "eyJhbGciOiJIUzM4NCJ9"),
            ("RS256", "eyJhbGciOiJSUzI1NiJ9"),
            ("PS256", "eyJhbGciOiJQUzI1NiJ9"),
            ("ES256", "eyJhbGciOiJFUzI1NiJ9"),
            ("EdDSA", "eyJhbGciOiJFZERTQSJ9"),
            ("none", "eyJhbGciOiJub25lIn0"),
            ("None", "eyJhbGciOiJOb25lIn0"),
            ("NONE", "eyJhbGciOiJOT05FIn0"),
        ] {
            let message = format!("{header}.{claims}");
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            let verify = |signature: &str| Tokens::new(&secret()).verify(&format!("{message}.{signature}"));
            assert_eq!(verify(&signature).is_ok(), name == "HS256", "{name}");
            assert_eq!(verify("").unwrap_err().kind(), &Kind::Unauthenticated, "{name}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Secret::new("0123456789abcdef0123456789abcde").is_err());
        assert_eq!(format!("{:?}", secret()), "Secret");
    }

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), Some(1234)).unwrap();
        }
        let file = folder.path().join("jwt-secret");
        let first = Secret::kept_in(&file).unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap();
        assert_eq!(owner(&file), owner(folder.path()), "whoever makes it, the service reads it");
        assert_eq!(first.0, Secret::kept_in(&file).unwrap().0);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(make(&file).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Secret::kept_in(&file).is_err());
    }
}
