//! Deletes the files that have to go. Which those are is `retention`'s.

use std::{path::PathBuf, time::SystemTime};

use super::{Rules, Uses, delete, list, retention::Candidate};
use crate::error::{Error, Kind};

/// A folder that is cleaned.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Endings of the files in it that are ours, in small letters and without dots. Others are left alone and do not
    /// count.
    pub extensions: &'static [&'static str],
}

/// What a cleaning did.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// Files that were deleted.
    pub files: u64,
    /// Bytes they took.
    pub bytes: u64,
    /// Files that had to go and could not be deleted, and folders that could not be read.
    pub failures: u64,
    /// The first of these.
    pub first_failure: Option<Error>,
    /// Whether files that have to go are left for the next time.
    pub unfinished: bool,
}

/// Deletes what `rules` say has to go of `folders`, oldest first, but `most` files at a time. Files in use stay, and so do
/// links, folders and files of other kinds. What fails does not stop the rest. Blocks on the disk.
pub fn clean(folders: &[Folder], rules: &Rules, uses: &Uses, most: usize) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut files = Vec::new();
    for (folder, place) in folders.iter().enumerate() {
        match list(&place.path, place.extensions) {
            Ok(found) => files.extend(found.into_iter().map(|stored| {
                let busy = uses.is_busy(&place.path.join(stored.name.as_str()));
                Candidate { folder, stored, busy }
            })),
            Err(error) => cleaned.failed(error),
        }
    }
    let doomed = rules.doomed(files, SystemTime::now());
    cleaned.unfinished = doomed.len() > most;
    for file in doomed.iter().take(most) {
        cleaned.delete(file, &folders[file.folder], uses);
    }
    cleaned
}

impl Cleaned {
    fn delete(&mut self, file: &Candidate, folder: &Folder, uses: &Uses) {
        let name = &file.stored.name;
        // Somebody may have come to read it meanwhile: then it goes the next time.
        let Ok(_deleted) = uses.delete(&folder.path.join(name.as_str()), true) else { return };
        match delete(&folder.path, name) {
            Ok(()) => {
                tracing::info!(file = %name, size = file.stored.size, "deleted by the retention policy");
                self.files += 1;
                self.bytes += file.stored.size;
            }
            // Somebody else was faster.
            Err(error) if matches!(error.kind(), Kind::NotFound { .. }) => {}
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) {
        tracing::warn!("not cleaned up: {}", error.chain());
        self.failures += 1;
        self.first_failure.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::output::storage::Limits;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A folder with files of 10 bytes, each so many days old.
    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in files {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(10).unwrap();
            file.set_modified(SystemTime::now() - DAY * *days).unwrap();
        }
        folder
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn of(folder: &tempfile::TempDir) -> Folder {
        Folder { path: folder.path().into(), extensions: &["mp4"] }
    }

    fn older_than(days: u32) -> Rules {
        Rules { limits: vec![Limits { max_age: Some(DAY * days), max_count: None }], max_bytes: None }
    }

    #[test]
    fn only_idle_files_of_ours_go() {
        let folder = folder(&[
            ("old.mp4", 9),
            ("new.mp4", 1),
            ("written.mp4", 9),
            ("read.mp4", 9),
            ("notes.txt", 9),
            (".hidden.mp4", 9),
        ]);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("target.mp4"), "evidence").unwrap();
        std::os::unix::fs::symlink(outside.path().join("target.mp4"), folder.path().join("link.mp4")).unwrap();
        fs::create_dir_all(folder.path().join("folder.mp4/inner.mp4")).unwrap();
        let uses = Uses::default();
        let busy =
            (uses.write(&folder.path().join("written.mp4")), uses.read(&folder.path().join("read.mp4")).unwrap());
        let cleaned = clean(&[of(&folder)], &older_than(5), &uses, usize::MAX);
        assert_eq!((cleaned.files, cleaned.bytes, cleaned.failures, cleaned.unfinished), (1, 10, 0, false));
        let stay = [".hidden.mp4", "folder.mp4", "link.mp4", "new.mp4", "notes.txt", "read.mp4", "written.mp4"];
        assert_eq!(names(&folder), stay);
        assert!(outside.path().join("target.mp4").exists());
        drop(busy);
        assert_eq!(clean(&[of(&folder)], &older_than(5), &uses, usize::MAX).files, 2);
    }

    #[test]
    fn a_folder_that_cannot_be_read_does_not_stop_the_rest() {
        let folder = folder(&[("old.mp4", 9)]);
        let gone = Folder { path: folder.path().join("gone"), extensions: &["mp4"] };
        let mut rules = older_than(5);
        rules.limits.insert(0, Limits::default());
        let cleaned = clean(&[gone, of(&folder)], &rules, &Uses::default(), usize::MAX);
        assert_eq!((cleaned.files, cleaned.failures), (1, 1));
        assert!(cleaned.first_failure.unwrap().message().contains("gone"));
    }

    #[test]
    fn a_file_that_cannot_be_deleted_does_not_stop_the_rest() {
        let (mut cleaned, folder) = (Cleaned::default(), folder(&[("b.mp4", 8)]));
        let place = of(&folder);
        let stored = list(&place.path, place.extensions).unwrap().remove(0);
        let blocked = crate::output::storage::FileName::parse("a.mp4").unwrap();
        fs::create_dir(folder.path().join("a.mp4")).unwrap();
        for name in [blocked, stored.name.clone()] {
            let file = Candidate { folder: 0, stored: super::super::Stored { name, ..stored.clone() }, busy: false };
            cleaned.delete(&file, &place, &Uses::default());
        }
        assert_eq!((cleaned.files, cleaned.failures), (1, 1));
        assert_eq!(names(&folder), ["a.mp4"]);
    }

    #[test]
    fn no_more_go_at_a_time_than_is_said() {
        let folder = folder(&[("a.mp4", 9), ("b.mp4", 8), ("c.mp4", 7)]);
        let clean = || clean(&[of(&folder)], &older_than(5), &Uses::default(), 2);
        assert!(clean().unfinished);
        assert_eq!(names(&folder), ["c.mp4"], "the oldest first");
        assert!(!clean().unfinished);
    }
}
