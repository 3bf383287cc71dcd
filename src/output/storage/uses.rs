//! Files that somebody is busy with: being written, downloaded, deleted.
//!
//! Who deletes asks here, and not the file system: an open file could be unlinked, but a recording would be lost with it.
//! The table has a row for each open file and no more.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is being done with which file. Clones are the same table.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<Mutex<HashMap<PathBuf, Counts>>>);

/// What is being done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is being written.
    Written,
    /// It is being read.
    Read,
    /// It is being deleted.
    Deleted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    written: usize,
    read: usize,
    deleted: usize,
}

/// A use that goes on until this is dropped.
#[derive(Debug)]
pub struct InUse {
    uses: Uses,
    file: PathBuf,
    what: Use,
}

impl Uses {
    /// The file is being written from now on.
    pub fn write(&self, file: &Path) -> InUse {
        self.begin(&mut self.lock(), file, Use::Written)
    }

    /// The file is being read from now on. `None`: it is being deleted.
    pub fn read(&self, file: &Path) -> Option<InUse> {
        let mut table = self.lock();
        let going = table.get(file).is_some_and(|counts| counts.deleted > 0);
        (!going).then(|| self.begin(&mut table, file, Use::Read))
    }

    /// The file is being deleted from now on; whoever `spares` readers is refused while there is one.
    ///
    /// # Errors
    /// What it is in use for.
    pub fn delete(&self, file: &Path, spares: bool) -> Result<InUse, Use> {
        let mut table = self.lock();
        let counts = table.get(file).copied().unwrap_or_default();
        match counts {
            Counts { written: 1.., .. } => Err(Use::Written),
            Counts { deleted: 1.., .. } => Err(Use::Deleted),
            Counts { read: 1.., .. } if spares => Err(Use::Read),
            _ => Ok(self.begin(&mut table, file, Use::Deleted)),
        }
    }

    /// Whether the file is being written.
    pub fn is_written(&self, file: &Path) -> bool {
        self.lock().get(file).is_some_and(|counts| counts.written > 0)
    }

    /// Whether anything is being done with the file.
    pub fn is_busy(&self, file: &Path) -> bool {
        self.lock().contains_key(file)
    }

    fn begin(&self, table: &mut HashMap<PathBuf, Counts>, file: &Path, what: Use) -> InUse {
        *table.entry(file.to_owned()).or_default().of(what) += 1;
        InUse { uses: self.clone(), file: file.to_owned(), what }
    }

    // A table of counts is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&mut self, what: Use) -> &mut usize {
        match what {
            Use::Written => &mut self.written,
            Use::Read => &mut self.read,
            Use::Deleted => &mut self.deleted,
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut table = self.uses.lock();
        if let Some(counts) = table.get_mut(&self.file) {
            *counts.of(self.what) -= 1;
            if *counts == Counts::default() {
                table.remove(&self.file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_and_what_is_read_stays_for_those_who_spare_it() {
        let (uses, file) = (Uses::default(), Path::new("/srv/a.mp4"));
        let written = uses.write(file);
        assert!(uses.is_written(file) && !uses.is_written(Path::new("/srv/b.mp4")));
        assert_eq!(uses.delete(file, false).unwrap_err(), Use::Written);
        drop(written);
        let readers = [uses.read(file).unwrap(), uses.read(file).unwrap()];
        assert_eq!(uses.delete(file, true).unwrap_err(), Use::Read);
        let deleted = uses.delete(file, false).unwrap();
        assert_eq!(uses.delete(file, false).unwrap_err(), Use::Deleted);
        assert!(uses.read(file).is_none(), "too late");
        drop((readers, deleted));
        assert!(uses.lock().is_empty(), "nothing is kept of what is over");
    }
}
