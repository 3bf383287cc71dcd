//! One API key: what its owner holds, and what the service keeps of it.
//!
//! A key is `cs_ID_SECRET`. The id says which record to compare with, so that a look-up costs one hash however many keys
//! there are. The secret is 256 bits of the kernel's random numbers; only its salted hash is kept.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Sha256;
use time::OffsetDateTime;

use crate::{
    command::access::Role,
    error::{Error, Kind, Result},
};

/// What every key begins with. No token does: those begin with `ey`.
const PREFIX: &str = "cs_";

/// Longest name of a key: it is shown in every log line about its sessions.
const NAME_LENGTH: usize = 64;

/// What is asked for when a key is made.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What its owner may do.
    pub role: Role,
    /// Who its owner is; shows in logs. None: the key is called by its id.
    pub name: Option<String>,
    /// How long it is good. None: until it is revoked.
    pub life: Option<Duration>,
}

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The part of the key that is no secret. Names the key when it is revoked.
    pub id: String,
    /// Who its owner is.
    pub name: String,
    /// What its owner may do.
    pub role: Role,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When it ends by itself. None: it does not.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<OffsetDateTime>,
    salt: Hex<16>,
    hash: Hex<32>,
}

impl Record {
    /// A new key: its record, and the text that is shown to its owner and kept nowhere.
    ///
    /// # Errors
    /// When the name is no name, the end is too far away, or the kernel has no random numbers.
    pub(super) fn make(wish: &Wish) -> Result<(Self, String)> {
        let (id, salt, secret) = (Hex::<4>::random()?, Hex::<16>::random()?, Hex::<32>::random()?);
        let id = id.to_string();
        let name = wish.name.clone().unwrap_or_else(|| id.clone());
        if name.is_empty() || name.chars().count() > NAME_LENGTH || name.chars().any(char::is_control) {
            let hint = format!("write 1 to {NAME_LENGTH} characters, without control characters");
            return Err(Error::invalid_param("name", format!("is not a name: {hint}"), hint));
        }
        let now = SystemTime::now();
        let moment = |time: SystemTime| {
            let moment = OffsetDateTime::from(time);
            moment.replace_nanosecond(0).unwrap_or(moment)
        };
        let end = |life: Duration| {
            let far = || Error::invalid_param("days", "ends too far away", "leave it out for a key without an end");
            now.checked_add(life).filter(|end| *end < super::never()).map(moment).ok_or_else(far)
        };
        let expires = wish.life.map(end).transpose()?;
        let secret = secret.to_string();
        let mut record =
            Self { name, role: wish.role, created: moment(now), expires, salt, hash: Hex([0; 32]), id: id.clone() };
        record.hash = Hex(record.digest(&secret)?.finalize().into_bytes().into());
        Ok((record, format!("{PREFIX}{id}_{secret}")))
    }

    /// Whether `secret` is this key's.
    pub(super) fn fits(&self, secret: &str) -> bool {
        // `verify_slice` takes the same time whatever differs: how much of a guess was right cannot be measured.
        self.digest(secret).is_ok_and(|digest| digest.verify_slice(&self.hash.0).is_ok())
    }

    /// HMAC-SHA-256 under the salt. A fast hash is right here, unlike for passwords: the secret is 256 random bits, which
    /// nobody finds by trying, and every HTTP request pays for one hash.
    fn digest(&self, secret: &str) -> Result<Hmac<Sha256>> {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.salt.0)
            .map_err(|error| Error::with_source(Kind::Internal, "a key cannot be hashed", error))?;
        digest.update(secret.as_bytes());
        Ok(digest)
    }

    /// Whether the key has ended by itself.
    pub fn expired(&self) -> bool {
        self.expires.is_some_and(|end| SystemTime::from(end) <= SystemTime::now())
    }
}

/// The id and the secret of a text that looks like an API key.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(PREFIX)?.split_once('_')
}

/// Bytes, written as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    /// From the kernel's random numbers, which wait at boot until they are good.
    fn random() -> Result<Self> {
        let mut bytes = [0; N];
        let failed = |error: rustix::io::Errno| {
            Error::with_source(Kind::Internal, "the kernel gives no random numbers", std::io::Error::from(error))
        };
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(failed)?;
        match filled == N {
            true => Ok(Self(bytes)),
            false => Err(Error::internal("the kernel gives too few random numbers")),
        }
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected {} hexadecimal digits", 2 * N);
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * N).ok_or_else(refused)?;
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: Option<&str>) -> Wish {
        Wish { role: Role::Operator, name: name.map(str::to_owned), life: None }
    }

    #[test]
    fn a_key_fits_its_record_and_nothing_else_does() {
        let (record, key) = Record::make(&wish(Some("door"))).unwrap();
        let (id, secret) = split(&key).unwrap();
        assert_eq!(id, record.id);
        // 256 bits.
        assert_eq!(secret.len(), 64);
        assert!(record.fits(secret));
        for other in ["", &secret[1..], &secret.to_uppercase(), &format!("{secret}0"), &"0".repeat(64)] {
            assert!(!record.fits(other) || other == secret, "{other}");
        }
        let (another, _) = Record::make(&wish(Some("door"))).unwrap();
        assert!(another.id != record.id && another.salt != record.salt && !another.fits(secret));
    }

    #[test]
    fn what_is_kept_does_not_hold_the_secret() {
        let (record, key) = Record::make(&wish(None)).unwrap();
        let (_, secret) = split(&key).unwrap();
        let kept = format!("{} {record:?}", serde_json::to_string(&record).unwrap());
        assert!(!kept.contains(secret));
        assert_eq!(record.name, record.id);
    }

    #[test]
    fn a_salt_makes_two_hashes_of_one_secret_differ() {
        let (one, key) = Record::make(&wish(None)).unwrap();
        let other = Record { salt: Hex::random().unwrap(), ..one.clone() };
        assert!(!other.fits(split(&key).unwrap().1), "the salt does not count");
    }

    #[test]
    fn names_and_ends_are_checked() {
        for name in ["", "a\nb", &"x".repeat(65)] {
            assert!(Record::make(&wish(Some(name))).is_err(), "{name:?}");
        }
        let far = Wish { life: Some(Duration::from_secs(u64::MAX)), ..wish(None) };
        assert!(Record::make(&far).is_err());
    }

    #[test]
    fn only_hexadecimal_digits_of_the_right_number_are_bytes() {
        assert_eq!("00ffA1".parse(), Ok(Hex([0, 255, 161])));
        for bad in ["", "00ff", "00ffa1a", "+0ffa1", "00ffg1", "é0ffa1"] {
            assert!(bad.parse::<Hex<3>>().is_err(), "{bad}");
        }
    }
}
