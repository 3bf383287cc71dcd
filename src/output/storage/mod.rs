//! Files in the recordings and snapshots folders: created without overwriting, written whole or not at all.
//!
//! What a file may be called is `name`'s business, what there is `listing`'s and, quickly, `index`', what is in it
//! `contents`', which are kept `retention`'s. Not here: who may have one.

mod cleanup;
pub mod contents;
mod index;
mod known;
mod listing;
mod name;
mod retention;
pub mod spelling;
mod uses;

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub use cleanup::{Cleaned, clean, is_short};
pub use index::{Entry, Index, Keeper, Page, Place, Query, Segment, bytes_of, page_of};
pub use known::Known;
pub use listing::{Opened, Stored, delete, list, open};
pub use name::{FileName, NamePattern};
pub use retention::{DeviceLimits, Limits, Rules};
pub use uses::{InUse, Use, Uses};

use crate::error::{Error, Kind, Result};

/// Room on the file system of a folder, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this service may still use (`f_bavail` of statvfs(3): root's reserve is not counted).
    pub available: u64,
}

impl Space {
    /// What is in use, and what is kept for root.
    pub fn used(self) -> u64 {
        self.total - self.available.min(self.total)
    }

    /// The same in percent of all.
    pub fn percent_used(self) -> f64 {
        self.used() as f64 * 100.0 / self.total.max(1) as f64
    }
}

/// Creates an empty file under the first of `names` that is free. It counts as being written before it is there, for as
/// long as what is returned beside it is kept. Blocks on the disk. Errors: the folder cannot be written; every name is
/// taken.
pub fn reserve(folder: &Path, names: impl IntoIterator<Item = FileName>, uses: &Uses) -> Result<(PathBuf, InUse)> {
    for name in names {
        let path = folder.join(name.as_str());
        let written = uses.write(&path);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => return Ok((path, written)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(disk_error(&path, "cannot be created", error)),
        }
    }
    Err(taken(folder))
}

/// Writes a whole file under the first of `names` that is free: a reader finds all of it under its name or nothing,
/// also after a power cut. Blocks on the disk. Errors: the folder cannot be written, the disk is full; every name is
/// taken.
pub fn write(folder: &Path, names: impl IntoIterator<Item = FileName>, data: &[u8]) -> Result<PathBuf> {
    let failed = |error: io::Error| disk_error(folder, "does not take a file", error);
    // Readable like any other file, as far as the umask allows; the crate's own choice is the owner alone.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let mut file =
        tempfile::Builder::new().prefix(".new-").permissions(permissions).tempfile_in(folder).map_err(failed)?;
    file.write_all(data).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    for name in names {
        let path = folder.join(name.as_str());
        match file.persist_noclobber(&path) {
            Ok(_) => {
                sync_folder(folder).map_err(failed)?;
                return Ok(path);
            }
            Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => file = refused.file,
            Err(refused) => return Err(disk_error(&path, "cannot be created", refused.error)),
        }
    }
    Err(taken(folder))
}

/// How much room the file system of `folder` has (statvfs(3)). Error: the folder is not there.
pub fn space(folder: &Path) -> Result<Space> {
    let found = rustix::fs::statvfs(folder).map_err(|error| disk_error(folder, "cannot be examined", error.into()))?;
    Ok(Space { total: found.f_blocks * found.f_frsize, available: found.f_bavail * found.f_frsize })
}

/// The room for files that are made in `folder`. Blocks on the disk. Errors: the folder is not there, or cannot be
/// written by this user or by anybody.
pub fn examine(folder: &Path) -> Result<Space> {
    use rustix::fs::Access;
    let space = space(folder)?;
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| disk_error(folder, "cannot be written", error.into()))?;
    Ok(space)
}

/// Makes a name that was just created in `folder` outlive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What the operating system says about a file, as our error.
pub fn disk_error(path: &Path, what: &str, error: io::Error) -> Error {
    let reason = match error.kind() {
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        kind => kind.to_string(),
    };
    Error::with_source(
        Kind::Dependency { dependency: "disk".into() },
        format!("{} {what}: {reason}", path.display()),
        error,
    )
}

/// The error of a name that is given to another file.
pub fn taken(folder: &Path) -> Error {
    Error::invalid_param(
        "filename",
        format!("is taken in {}", folder.display()),
        "choose another name, or leave it out to get a new one",
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn client(name: &str) -> [FileName; 1] {
        [FileName::parse(name).unwrap()]
    }

    fn listing(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_of_the_same_second_are_numbered_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = NamePattern::default();
        for data in [b"one", b"two"] {
            write(folder.path(), pattern.names("camera0", SystemTime::UNIX_EPOCH, "jpg"), data).unwrap();
        }
        reserve(folder.path(), pattern.names("camera0", SystemTime::UNIX_EPOCH, "jpg"), &Uses::default()).unwrap();
        let stem = "camera0_1970-01-01_00-00-00";
        let names = [format!("{stem}.jpg"), format!("{stem}_2.jpg"), format!("{stem}_3.jpg")];
        assert_eq!(listing(folder.path()), names);
        assert_eq!(std::fs::read(folder.path().join(&names[0])).unwrap(), b"one");
        assert_eq!(std::fs::read(folder.path().join(&names[1])).unwrap(), b"two");
    }

    #[test]
    fn a_name_that_is_taken_is_refused_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), client("mine.jpg"), b"first").unwrap();
        let error = write(folder.path(), client("mine.jpg"), b"second").unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidParams { param, .. } if param == "filename"), "{error:?}");
        assert!(reserve(folder.path(), client("mine.jpg"), &Uses::default()).is_err());
        assert_eq!(listing(folder.path()), ["mine.jpg"]);
        assert_eq!(std::fs::read(folder.path().join("mine.jpg")).unwrap(), b"first");
    }

    #[test]
    fn a_link_is_not_followed_out_of_the_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path().join("target"), folder.path().join("link.jpg")).unwrap();
        assert!(write(folder.path(), client("link.jpg"), b"data").is_err());
        assert!(reserve(folder.path(), client("link.jpg"), &Uses::default()).is_err());
        assert!(listing(outside.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_the_disks_fault_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("gone");
        for error in [
            write(&missing, client("a.jpg"), b"").unwrap_err(),
            reserve(&missing, client("a.mp4"), &Uses::default()).unwrap_err(),
            space(&missing).unwrap_err(),
        ] {
            assert_eq!(*error.kind(), Kind::Dependency { dependency: "disk".into() });
            assert!(error.message().contains("gone"), "{error}");
        }
        let space = space(folder.path()).unwrap();
        assert!(space.available <= space.total && space.total > 0);
    }
}
