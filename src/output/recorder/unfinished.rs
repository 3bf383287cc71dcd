//! The mark of a recording that is being written: a hidden file beside it, which is there before the recording and goes
//! when that is complete.
//!
//! Whoever looks into the folder can tell by it what is not finished; after a crash or a power cut the next start finds
//! by it what has to be repaired. A folder of 100,000 recordings is not read for that: only the marks' files are opened.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    error::{Error, Kind, Result},
    output::storage::{disk_error, sync_folder},
};

const PREFIX: &str = ".unfinished-";

/// What is known of a recording before it has a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The path it is of.
    pub path: String,
    /// Names the recording across its files.
    pub session_id: String,
    /// When its first frame was captured.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
}

impl Note {
    /// A file of a recording.
    pub fn new(path: &str, session_id: &str, started: SystemTime) -> Self {
        Self { path: path.to_owned(), session_id: session_id.to_owned(), started: started.into() }
    }
}

/// A mark that is there. Dropped, it stays: only what is complete loses its mark.
#[derive(Debug)]
pub struct Mark(PathBuf);

impl Mark {
    /// Marks a file that is going to be written. When this returns, the mark outlives a power cut. Blocks on the disk.
    /// Error: the folder cannot be written.
    pub fn put(file: &Path, note: &Note) -> Result<Self> {
        let mark = mark_of(file);
        let failed = |error| disk_error(&mark, "cannot be written", error);
        let text = serde_json::to_vec(note)
            .map_err(|error| Error::with_source(Kind::Internal, "a recording's mark cannot be written", error))?;
        fs::write(&mark, text).and_then(|()| fs::File::open(&mark)?.sync_all()).map_err(failed)?;
        mark.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
        Ok(Self(mark))
    }

    /// The recording is complete, or there is none. Blocks on the disk.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(mark = %self.0.display(), %error, "a complete recording keeps its mark, and is looked at when the service starts");
        }
    }
}

/// The recordings of `folder` that are marked, with what is known of them. Blocks on the disk. Error: the folder cannot
/// be read.
pub fn unfinished(folder: &Path) -> Result<Vec<(PathBuf, Option<Note>, Mark)>> {
    let failed = |error| disk_error(folder, "cannot be read", error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let mark = entry.path();
        // Cut off, it marks all the same.
        let note = fs::read(&mark).ok().and_then(|text| serde_json::from_slice(&text).ok());
        found.push((folder.join(name), note, Mark(mark)));
    }
    Ok(found)
}

fn mark_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!("{PREFIX}{name}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mark_is_found_until_it_is_removed_also_when_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("camera0_1970-01-01_00-00-01.mp4");
        let note = Note::new("camera0", "a session", SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        drop(Mark::put(&file, &note).unwrap());
        let (found, told, mark) = unfinished(folder.path()).unwrap().remove(0);
        assert_eq!((found, told), (file.clone(), Some(note)));
        fs::write(mark_of(&file), "{").unwrap();
        assert_eq!(unfinished(folder.path()).unwrap()[0].1, None);
        mark.remove();
        assert!(unfinished(folder.path()).unwrap().is_empty());
    }
}
