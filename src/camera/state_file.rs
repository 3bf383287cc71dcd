//! A file in the state folder that is replaced as a whole, and set aside where it cannot be understood.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::error::{Error, Kind, Result};

/// Reads the file; where there is none, it gives `None`. Blocks on the disk. Error: it cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(on_disk(format!("{} cannot be read", path.display()), error)),
    }
}

/// Writes the file: to a temporary one in the same folder, which is synced and renamed. So a power cut leaves the old one
/// or the new one. Blocks on the disk. Error: the folder cannot be written; the old file is whole then.
pub(super) fn write(path: &Path, text: &[u8]) -> Result<()> {
    write_atomically(path, text).map_err(|error| on_disk(format!("{} cannot be written", path.display()), error))
}

/// Renames the file to `NAME.bad-SECONDS`, or the next name that is free, which it gives: it can be repaired and put back.
/// Blocks on the disk. Error: that cannot be done.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf> {
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

fn on_disk(message: String, error: io::Error) -> Error {
    Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
}

fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // What is left of it is of no use; the error is the one above.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}
