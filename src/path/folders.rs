//! Where the files of paths go, and what they are called.

use std::{path::PathBuf, time::SystemTime};

use crate::{
    error::Result,
    output::{
        recorder::{self, RecordingFormat},
        snapshot::{self, Picture},
        storage::{self, FileName, InUse, NamePattern, Uses},
    },
};

/// The folders of recordings and snapshots.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Recordings.
    pub recordings: PathBuf,
    /// Snapshots.
    pub snapshots: PathBuf,
    /// How files are named that nobody named.
    pub pattern: NamePattern,
    /// Which of them somebody is busy with.
    pub uses: Uses,
}

impl Folders {
    /// A new, empty file for a recording of `path`, and the mark that it is being written. Blocks on the disk. Error: the
    /// folder cannot be written.
    pub(super) fn new_recording(&self, path: &str, format: RecordingFormat) -> Result<(PathBuf, InUse)> {
        let names = self.pattern.names(path, SystemTime::now(), recorder::extension(format));
        storage::reserve(&self.recordings, names, &self.uses)
    }

    /// Stores a picture of `path`, whole or not at all, as `name` or by the pattern. Blocks on the disk.
    /// Errors: the name is taken or ends like another kind of file; the folder cannot be written.
    pub(super) fn store_snapshot(&self, path: &str, name: Option<FileName>, picture: &Picture) -> Result<PathBuf> {
        let extensions = snapshot::extensions(picture.format);
        match name {
            Some(name) => storage::write(&self.snapshots, [name.with_extension(extensions)?], &picture.data),
            None => {
                let names = self.pattern.names(path, picture.captured, extensions[0]);
                storage::write(&self.snapshots, names, &picture.data)
            }
        }
    }
}
