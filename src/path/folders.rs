//! Where the files of paths go, and what they are called.

use std::path::PathBuf;

use crate::{
    error::{Kind, Result},
    output::{
        recorder::{self, Mark, Note, RecordingFormat, Target},
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
    /// A new, empty file for a recording with its mark, and the sign that it is being written. Blocks on the disk. Errors: the folder cannot be written; every
    /// name is taken.
    pub(super) fn new_recording(&self, note: &Note, format: RecordingFormat) -> Result<(Target, InUse)> {
        for name in self.pattern.names(&note.path, note.started.into(), recorder::extension(format)) {
            let file = self.recordings.join(name.as_str());
            if file.exists() {
                continue;
            }
            // The mark comes first: at no moment is there a file that nobody would find.
            let mark = Mark::put(&file, note)?;
            match storage::reserve(&self.recordings, [name], &self.uses) {
                Ok((file, written)) => return Ok((Target { file, mark: Some(mark), format }, written)),
                Err(error) => {
                    mark.remove();
                    if !matches!(error.kind(), Kind::InvalidParams { .. }) {
                        return Err(error);
                    }
                }
            }
        }
        Err(storage::taken(&self.recordings))
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
