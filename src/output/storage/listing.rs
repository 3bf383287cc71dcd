//! What is in a folder of ours. The folder is the truth: nothing is remembered here.

use std::{fs, io::ErrorKind, path::Path, time::SystemTime};

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

/// Deletes a file of `folder`. Blocks on the disk. Errors: it is not there, the folder cannot be written.
pub fn delete(folder: &Path, name: &FileName) -> Result<()> {
    let path = folder.join(name.as_str());
    fs::remove_file(&path).map_err(|error| match error.kind() {
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
    fn a_file_is_deleted_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mp4"), "").unwrap();
        let name = FileName::parse("a.mp4").unwrap();
        delete(folder.path(), &name).unwrap();
        let error = delete(folder.path(), &name).unwrap_err();
        assert!(matches!(error.kind(), crate::error::Kind::NotFound { .. }), "{error:?}");
    }
}
