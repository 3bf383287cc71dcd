//! Files of the state directory: written whole or not at all, and set aside when they cannot be understood.
//!
//! Not here: what stands in them. Everything in this module blocks on the disk.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::error::{Error, Kind, Result};

/// What stands in a file; `None` where there is none. Error: it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(on_disk(format!("{} cannot be read", path.display()), error)),
    }
}

/// What a file says, or the default where there is none. One that `parse` does not understand is set aside, and the log
/// says so with `loss`, what is lost by it. Error: the file cannot be read, or not be set aside.
pub fn load<T: Default>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>, loss: &str) -> Result<T> {
    let Some(text) = read(path)? else { return Ok(T::default()) };
    parse(&text).or_else(|problem| {
        let aside = set_aside(path)?;
        tracing::error!(file = %path.display(), aside = %aside.display(), problem, "the file cannot be understood and is set aside: {loss}");
        Ok(T::default())
    })
}

/// Writes a file with the permissions `mode`: to a temporary one in the same folder, which is synced and renamed, so a
/// power cut leaves the old file or the new one. What root writes belongs to the owner of the old one, or of the folder.
/// Error: the folder cannot be written; the old file is whole then.
pub fn write(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    replace(path, text, mode).map_err(|error| on_disk(format!("{} cannot be written", path.display()), error))
}

/// Gives a file that root makes to the owner of `other`, such as its folder: the service, which runs as somebody else, has
/// to read what commands leave there for it. Nothing where this is not root. Blocks on the disk.
pub fn give_to_owner_of(other: &Path, file: &fs::File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(other)?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Renames a file to `NAME.bad-SECONDS`, or the next name that is free, and says which. Error: it cannot be renamed.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = |number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bad-{number}"));
        PathBuf::from(name)
    };
    let aside = (now..).map(name).find(|name| !name.exists());
    let aside = aside.ok_or_else(|| Error::internal("no name is left for a file to be set aside"))?;
    match fs::rename(path, &aside) {
        Ok(()) => Ok(aside),
        Err(error) => Err(on_disk(format!("{} cannot be understood, nor set aside", path.display()), error)),
    }
}

fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // One that a power cut left may have other permissions.
    let _ = fs::remove_file(&temporary);
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let written = open.and_then(|mut file| {
        file.write_all(text)?;
        give_to_owner_of(if path.exists() { path } else { folder }, &file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // What is left of it is of no use; the error is the one above.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    fs::File::open(folder)?.sync_all()
}

fn on_disk(message: String, error: io::Error) -> Error {
    Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
}
