//! API keys: credentials for programs, which are good until they end or are revoked.
//!
//! They are made and revoked on the command line while the service runs. It looks at their file once a second, and goes
//! by its last good copy in between: asking who a caller is never waits for the disk.

mod file;
mod record;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_util::sync::CancellationToken;

pub use file::{add, read, revoke};
pub use record::{Record, Wish};

use super::{
    Gateway,
    access::{Identity, unauthenticated},
    watched::{Seen, keep_looking, look},
};
use crate::error::Result;

/// The end of what has none: 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
fn never() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(253_402_300_799)
}

/// The API keys there are. Clones are the same keys.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    seen: Seen,
    keys: HashMap<String, Key>,
    /// What was wrong with the file when it was last read, and is said once.
    trouble: Option<String>,
}

/// A key, and what is cancelled when it is revoked.
#[derive(Debug)]
struct Key {
    record: Record,
    revoked: CancellationToken,
}

impl Keys {
    /// Reads the keys in `file`, which need not be there yet. Blocks on the disk.
    ///
    /// A file that cannot be read or understood gives no keys, and a warning: cameras stream without them, and whoever
    /// repairs it may need this service to get there.
    pub fn load(file: &Path) -> Self {
        let known = Known { seen: Err(io::ErrorKind::NotFound), keys: HashMap::new(), trouble: None };
        let keys = Self(Arc::new(Inner { file: file.to_owned(), known: Mutex::new(known) }));
        keys.refresh();
        keys
    }

    /// Whether `text` is meant to be an API key and not a token.
    pub fn are_like(text: &str) -> bool {
        record::split(text).is_some()
    }

    /// Whom the key stands for.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unauthenticated`] with the reason.
    pub fn verify(&self, key: &str) -> Result<Identity> {
        let known = self.known();
        let found =
            record::split(key).and_then(|(id, secret)| known.keys.get(id).filter(|key| key.record.fits(secret)));
        // The same for an id that is not there and a secret that does not fit: only the owner learns more.
        let Some(Key { record, revoked }) = found else { return Err(unauthenticated("there is no such API key")) };
        if record.expired() {
            return Err(unauthenticated("the API key has expired"));
        }
        Ok(Identity {
            user_id: record.name.clone(),
            role: record.role,
            expires: record.expires.map_or_else(never, SystemTime::from),
            revoked: revoked.clone(),
        })
    }

    /// Reads the file again if it has changed. Sessions of keys that are not in it any more, or are others now, lose their
    /// role. A file that cannot be read changes nothing and is warned of once. Blocks on the disk.
    pub fn refresh(&self) {
        let (file, seen) = (&self.0.file, look(&self.0.file));
        if seen == self.known().seen {
            return;
        }
        let records = read(file);
        let mut known = self.known();
        match records {
            Ok(records) => {
                (known.seen, known.trouble) = (seen, None);
                let keys = known.take_over(records);
                tracing::info!(file = %file.display(), keys, "API keys were read");
            }
            // It is read again the next time, whether it has changed or not: the trouble may be the disk's.
            Err(error) => {
                let trouble = error.chain();
                if known.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(keys = known.keys.len(), "{trouble}; until then the API keys stay as they were");
                    known.trouble = Some(trouble);
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Goes by these records from now on; gives their number.
    fn take_over(&mut self, records: Vec<Record>) -> usize {
        let mut before = std::mem::take(&mut self.keys);
        for record in records {
            // A key whose record is the same keeps its sessions.
            let kept = before.remove(&record.id).filter(|key| key.record == record);
            self.keys.insert(record.id.clone(), kept.unwrap_or_else(|| Key::new(record)));
        }
        self.keys.len()
    }
}

impl Key {
    fn new(record: Record) -> Self {
        Self { record, revoked: CancellationToken::new() }
    }
}

impl Drop for Key {
    /// A key that is known no more is revoked, however it came to that.
    fn drop(&mut self) {
        self.revoked.cancel();
    }
}

/// Looks at the file again and again until the service stops.
pub async fn watch(gateway: Arc<Gateway>) {
    let keys = gateway.credentials.keys().clone();
    keep_looking("the API keys", &gateway.stopping, move || keys.refresh()).await;
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        command::access::{Caller, Role},
        error::Kind,
    };

    fn wish(life: Option<Duration>) -> Wish {
        Wish { role: Role::Operator, name: Some("door".into()), life }
    }

    #[test]
    fn a_key_stands_for_its_owner_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        let (_, endless) = add(&file, &wish(None)).unwrap();
        let (record, ending) = add(&file, &wish(Some(Duration::from_secs(60)))).unwrap();
        let (_, ended) = add(&file, &wish(Some(Duration::ZERO))).unwrap();
        let keys = Keys::load(&file);
        let identity = keys.verify(&endless).unwrap();
        assert_eq!((identity.user_id.as_str(), identity.role, identity.expires), ("door", Role::Operator, never()));
        assert_eq!(keys.verify(&ending).unwrap().expires, SystemTime::from(record.expires.unwrap()));
        let shorter = endless.len() - 1;
        let wrong = ["cs_", "cs__", "cs_00000000_0", &endless[..shorter], &ending.replace(&record.id, "00000000")];
        for (key, why) in wrong.into_iter().map(|key| (key, "no such")).chain([(ended.as_str(), "expired")]) {
            let error = keys.verify(key).unwrap_err();
            assert_eq!(error.kind(), &Kind::Unauthenticated);
            assert!(error.message().contains(why), "{error} is not {why}");
        }
    }

    #[test]
    fn the_file_may_change_while_the_service_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        let keys = Keys::load(&file);
        let (record, key) = add(&file, &wish(None)).unwrap();
        let (_, other_key) = add(&file, &wish(None)).unwrap();
        keys.refresh();
        let session = |key| Caller::new(None, None, Some(keys.verify(key).unwrap()));
        let (caller, other) = (session(&key), session(&other_key));

        revoke(&file, &record.id).unwrap();
        keys.refresh();
        assert!(keys.verify(&key).is_err());
        assert_eq!(caller.require(Role::Viewer).unwrap_err().message(), "the API key was revoked");
        assert!(!caller.sees_host());
        assert!(other.require(Role::Operator).is_ok(), "a key that stays keeps its sessions");

        // An editor writes into the file itself.
        let text = fs::read_to_string(&file).unwrap().replace("operator", "viewer");
        fs::write(&file, text).unwrap();
        keys.refresh();
        assert!(other.require(Role::Viewer).is_err(), "the key is another one now");
        assert_eq!(keys.verify(&other_key).unwrap().role, Role::Viewer);

        fs::remove_file(&file).unwrap();
        keys.refresh();
        assert!(keys.verify(&other_key).is_err());
    }

    #[test]
    fn a_broken_file_leaves_the_keys_as_they_were_and_stops_no_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        let (_, key) = add(&file, &wish(None)).unwrap();
        let keys = Keys::load(&file);
        let session = Caller::new(None, None, Some(keys.verify(&key).unwrap()));
        let good = fs::read(&file).unwrap();
        fs::write(&file, "{").unwrap();
        assert!(Keys::load(&file).verify(&key).is_err(), "there are none");
        let log = folder.path().join("log");
        let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(fs::File::create(&log).unwrap())).finish();
        tracing::subscriber::with_default(subscriber, || (0..3).for_each(|_| keys.refresh()));
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.matches("stay as they were").count(), 1, "{log}");
        assert!(log.contains("api-keys.json"), "{log}");
        assert!(keys.verify(&key).is_ok() && session.identity().is_ok());
        fs::write(&file, good).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        keys.refresh();
        assert!(keys.verify(&key).is_ok() && session.identity().is_ok());
    }
}
