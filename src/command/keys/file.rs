//! The API keys on disk: one file, versioned, readable by its owner alone.
//!
//! It is replaced as a whole: a power cut leaves the old file or the new one, and the service, which reads it while it
//! runs, never sees half of one.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::record::{Record, Wish};
use crate::{
    error::{Error, Kind, Result},
    state_file,
};

/// What this code reads and writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    keys: Vec<Record>,
}

/// Makes a key and keeps its record in `file`, whose folder is made when it is not there. Gives the record, and the key
/// itself: nobody can ask for it again. Blocks on the disk.
///
/// # Errors
/// When the wish is none, or the file cannot be read, understood or written.
pub fn add(file: &Path, wish: &Wish) -> Result<(Record, String)> {
    let folder = folder(file);
    fs::create_dir_all(folder)
        .map_err(|error| on_disk(format!("folder {} cannot be made", folder.display()), error))?;
    change(file, |keys| {
        let (record, key) = loop {
            let made = Record::make(wish)?;
            if keys.iter().all(|other| other.id != made.0.id) {
                break made;
            }
        };
        keys.push(record.clone());
        Ok((record, key))
    })
}

/// Takes the key `id` out of `file`. Blocks on the disk.
///
/// # Errors
/// When there is no such key, or the file cannot be read, understood or written.
pub fn revoke(file: &Path, id: &str) -> Result<Record> {
    let unknown = || {
        let message = format!("there is no key \"{id}\": camera-service key list shows those there are");
        Error::new(Kind::NotFound { resource: "key", id: id.into() }, message)
    };
    if !file.exists() {
        return Err(unknown());
    }
    change(file, |keys| {
        let index = keys.iter().position(|key| key.id == id).ok_or_else(unknown)?;
        Ok(keys.remove(index))
    })
}

/// The keys in `file`; where there is none, nobody has made a key yet. Blocks on the disk.
///
/// # Errors
/// When the file cannot be read or understood, or others than its owner may read or write it.
pub fn read(file: &Path) -> Result<Vec<Record>> {
    let failed = |error| on_disk(format!("the API keys in {} cannot be read", file.display()), error);
    let mode = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata.map_err(failed)?.permissions().mode(),
    };
    if mode & 0o077 != 0 {
        // Whoever may write it, may write a key of their own into it.
        let message = format!("the API keys in {} are open to others: chmod 600 it", file.display());
        return Err(Error::dependency("disk", message));
    }
    parse(&fs::read(file).map_err(failed)?).map_err(|problem| {
        let message = format!(
            "the API keys in {} cannot be understood ({problem}): repair the file, or move it away and make new keys with \
             camera-service key add",
            file.display()
        );
        Error::dependency("API key file", message)
    })
}

/// The whole file or nothing: a key that was skipped could be one that somebody meant to revoke by hand.
fn parse(text: &[u8]) -> Result<Vec<Record>, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", document.version));
    }
    let mut ids = HashSet::new();
    match document.keys.iter().find(|key| !ids.insert(&key.id)) {
        Some(twice) => Err(format!("the id {} is there twice", twice.id)),
        None => Ok(document.keys),
    }
}

/// Reads, changes and writes, while nobody else does.
fn change<T>(file: &Path, how: impl FnOnce(&mut Vec<Record>) -> Result<T>) -> Result<T> {
    let failed = |error| on_disk(format!("the API keys in {} cannot be written", file.display()), error);
    // The folder is what is locked: the file itself is another one after each change.
    let lock = File::open(folder(file)).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut keys = read(file)?;
    let result = how(&mut keys)?;
    let document = Document { version: VERSION, keys };
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| Error::with_source(Kind::Internal, "the API keys cannot be written", error))?;
    state_file::write(file, format!("{text}\n").as_bytes(), 0o600)?;
    Ok(result)
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn on_disk(message: String, error: io::Error) -> Error {
    Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::MetadataExt, time::Duration};

    use super::*;
    use crate::command::access::Role;

    fn wish() -> Wish {
        Wish { role: Role::Viewer, name: Some("Küche".into()), life: Some(Duration::from_secs(86_400)) }
    }

    #[test]
    fn what_is_added_is_read_until_it_is_revoked() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("new/api-keys.json");
        assert_eq!(read(&file).unwrap(), []);
        let unknown = revoke(&file, "0badf00d").unwrap_err();
        assert!(unknown.message().contains("0badf00d") && unknown.message().contains("key list"), "{unknown}");
        let (first, key) = add(&file, &wish()).unwrap();
        let (second, _) = add(&file, &Wish { life: None, ..wish() }).unwrap();
        assert_eq!(read(&file).unwrap(), [first.clone(), second.clone()]);
        assert!(!fs::read_to_string(&file).unwrap().contains(key.rsplit('_').next().unwrap()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");

        assert_eq!(revoke(&file, &first.id).unwrap(), first);
        assert_eq!(read(&file).unwrap(), [second]);
        assert!(revoke(&file, &first.id).is_err());
    }

    #[test]
    fn the_file_belongs_to_whoever_its_folder_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), None).unwrap();
        }
        let owner = fs::metadata(folder.path()).unwrap().uid();
        for _ in 0..2 {
            add(&file, &wish()).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().uid(), owner);
        }
    }

    #[test]
    fn several_may_change_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..4).for_each(|_| drop(add(&file, &wish()).unwrap())));
            }
        });
        assert_eq!(read(&file).unwrap().len(), 32);
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-keys.json");
        add(&file, &wish()).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let record = good.split_once('[').unwrap().1.rsplit_once(']').unwrap().0.to_owned();
        for (bad, why) in [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "EOF"),
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good.replace("viewer", "root"), "root"),
            (good.replace("\"hash\": \"", "\"hash\": \"0"), "64 hexadecimal digits"),
            (good.replace("\"name\"", "\"nmae\""), "nmae"),
            (good.replace(&record, &format!("{record},{record}")), "twice"),
        ] {
            fs::write(&file, &bad).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.message().contains("api-keys.json") && error.message().contains(why), "{error}, not {why}");
            assert!(add(&file, &wish()).is_err());
            assert_eq!(fs::read_to_string(&file).unwrap(), bad, "what is not understood is not overwritten");
        }
        fs::write(&file, good).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&file).unwrap_err().message().contains("chmod 600"));
    }
}
