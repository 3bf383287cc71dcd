//! What is in a folder of ours. The folder is the truth: nothing is remembered here.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::OFlags;

use super::{FileName, disk_error};
use crate::error::{Error, Result};

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name in the folder.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// The plain files directly in `folder` that end in one of `extensions` (lower case, without dots), newest first; links
/// and hidden files are none. Blocks on the disk. Error: the folder cannot be read.
pub fn list(folder: &Path, extensions: &[&str]) -> Result<Vec<Stored>> {
    let failed = |error| disk_error(folder, "cannot be read", error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| FileName::parse(name).ok()) else { continue };
        if !name.extension().is_some_and(|own| extensions.contains(&own.as_str())) {
            continue;
        }
        // The entry's own, so of the link and not of what it leads to. A file that was just deleted has none.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_file() {
            let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Stored { name, size: found.len(), modified });
        }
    }
    // Names have the time in them, which tells files of one moment apart.
    files.sort_by(|a, b| (b.modified, &b.name).cmp(&(a.modified, &a.name)));
    Ok(files)
}

/// As [`list`], of several folders, each file with the number of its folder. A folder that cannot be read has no files, and
/// of two files of one name the first is told. Blocks on the disks. Error: no folder can be read.
pub fn list_all(folders: &[PathBuf], extensions: &[&str]) -> Result<Vec<(usize, Stored)>> {
    let (mut files, mut failure, mut read) = (Vec::new(), None, 0);
    for (number, folder) in folders.iter().enumerate() {
        match list(folder, extensions) {
            Ok(found) => {
                read += 1;
                files.extend(found.into_iter().map(|stored| (number, stored)));
            }
            Err(error) => {
                tracing::debug!("a folder is left out of a list: {}", error.chain());
                failure.get_or_insert(error);
            }
        }
    }
    if let (Some(error), 0) = (failure, read) {
        return Err(error);
    }
    if read > 1 {
        let mut names = HashSet::new();
        files.retain(|(_, stored)| names.insert(stored.name.clone()));
        files.sort_by(|(_, a), (_, b)| (b.modified, &b.name).cmp(&(a.modified, &a.name)));
    }
    Ok(files)
}

/// A file that is open for reading, and what it was like when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// What a list would say of it.
    pub stored: Stored,
    /// Its number in its file system, by which it is told from another of the same name.
    pub inode: u64,
}

/// Opens a file of `folder` for reading, and no link, folder or other thing of its name. What is returned is what was
/// looked at: nobody can put something else in its place in between. Blocks on the disk. Errors: it is not there, is no
/// plain file, cannot be read.
pub fn open(folder: &Path, name: &FileName) -> Result<Opened> {
    let path = folder.join(name.as_str());
    // Not blocking: a named pipe would wait for its other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let looked = opened.and_then(|file| file.metadata().map(|found| (file, found)));
    let (file, found) = looked.map_err(|error| unreadable(&path, name, error))?;
    if !found.is_file() {
        return Err(not_plain());
    }
    let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Opened { file, stored: Stored { name: name.clone(), size: found.len(), modified }, inode: found.ino() })
}

fn unreadable(path: &Path, name: &FileName, error: io::Error) -> Error {
    let links = [rustix::io::Errno::LOOP, rustix::io::Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    match error.kind() {
        ErrorKind::NotFound => Error::not_found("file", name.as_str()),
        _ if links.contains(&error.raw_os_error()) => not_plain(),
        _ => disk_error(path, "cannot be read", error),
    }
}

fn not_plain() -> Error {
    Error::invalid_param("filename", "is not a plain file", "name a file of the list")
}

/// Deletes a file of `folder`. Blocks on the disk. Errors: it is not there, the folder cannot be written.
pub fn delete(folder: &Path, name: &FileName) -> Result<()> {
    let path = folder.join(name.as_str());
    match fs::symlink_metadata(&path) {
        // A link could be taken away without harm, but it is not ours.
        Ok(found) if !found.is_file() => return Err(not_plain()),
        _ => fs::remove_file(&path),
    }
    .map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found("file", name.as_str()),
        _ => disk_error(&path, "cannot be deleted", error),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_files_of_the_kind_are_listed_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (name, seconds) in [("old.mp4", 1), ("new.MKV", 3), ("mid.mp4", 2), ("a.jpg", 4), (".new-x.mp4", 5)] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(seconds * 10).unwrap();
            file.set_modified(at(seconds)).unwrap();
        }
        fs::create_dir(folder.path().join("folder.mp4")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.mp4")).unwrap();
        let found = list(folder.path(), &["mp4", "mkv"]).unwrap();
        let told: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.size, file.modified)).collect();
        assert_eq!(told, [("new.MKV", 30, at(3)), ("mid.mp4", 20, at(2)), ("old.mp4", 10, at(1))]);
        assert!(list(&folder.path().join("gone"), &["mp4"]).is_err());
    }

    #[test]
    fn only_plain_files_are_opened_or_deleted() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::write(folder.path().join("a.mp4"), "0123").unwrap();
        fs::create_dir(folder.path().join("folder.mp4")).unwrap();
        std::os::unix::fs::symlink(&secret, folder.path().join("link.mp4")).unwrap();
        std::os::unix::fs::symlink("a.mp4", folder.path().join("near.mp4")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket.mp4")).unwrap();
        let pipe = folder.path().join("pipe.mp4");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let name = |text| FileName::parse(text).unwrap();
        let opened = open(folder.path(), &name("a.mp4")).unwrap();
        assert_eq!((opened.stored.size, opened.stored.name.as_str()), (4, "a.mp4"));
        for other in ["folder.mp4", "link.mp4", "near.mp4", "socket.mp4", "pipe.mp4"] {
            for error in
                [open(folder.path(), &name(other)).unwrap_err(), delete(folder.path(), &name(other)).unwrap_err()]
            {
                assert!(matches!(error.kind(), crate::error::Kind::InvalidParams { .. }), "{other}: {error:?}");
            }
            assert!(folder.path().join(other).symlink_metadata().is_ok(), "{other} is still there");
        }
        let error = open(folder.path(), &name("gone.mp4")).unwrap_err();
        assert!(matches!(error.kind(), crate::error::Kind::NotFound { .. }), "{error:?}");
        assert!(secret.exists());
    }

    #[test]
    fn a_file_is_deleted_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mp4"), "").unwrap();
        let name = FileName::parse("a.mp4").unwrap();
        delete(folder.path(), &name).unwrap();
        let error = delete(folder.path(), &name).unwrap_err();
        assert!(matches!(error.kind(), crate::error::Kind::NotFound { .. }), "{error:?}");
    }
}
