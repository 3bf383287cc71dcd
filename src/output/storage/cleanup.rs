//! Deletes the files that have to go. Which those are is `retention`'s.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::SystemTime};

use super::{
    Index, Rules, Space, Uses, delete,
    retention::{Candidate, Shortfall},
    space,
};
use crate::error::{Error, Kind, Result};

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
    /// Bytes that should be free and that no file was left to be deleted for.
    pub short: u64,
}

/// Deletes what `rules` say has to go of the folders of `indexes`, oldest first, but `most` files at a time. Files in use
/// stay, and so do links, folders and files of other kinds. What fails does not stop the rest. Blocks on the disk.
pub fn clean(indexes: &[Index], rules: &Rules, uses: &Uses, most: usize) -> Cleaned {
    clean_on(indexes, rules, uses, most, space)
}

/// Whether less is free on a disk of `folders` than `rules` say. A folder that is not there has no disk. Blocks on the disk.
pub fn is_short(indexes: &[Index], rules: &Rules) -> bool {
    !shortfalls(indexes, rules, space).0.is_empty()
}

fn clean_on(
    indexes: &[Index],
    rules: &Rules,
    uses: &Uses,
    most: usize,
    space: impl Fn(&Path) -> Result<Space>,
) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut files = Vec::new();
    for (folder, index) in indexes.iter().enumerate() {
        match index.all() {
            Ok(found) => files.extend(found.into_iter().map(|entry| {
                let stored = entry.stored.clone();
                let busy = uses.is_busy(&index.place().folder.join(stored.name.as_str()));
                let began = index.place().films.then(|| entry.began());
                Candidate { folder, stored, device: entry.device.clone(), began, busy }
            })),
            Err(error) => cleaned.failed(error),
        }
    }
    let (mut short, failures) = shortfalls(indexes, rules, space);
    failures.into_iter().for_each(|error| cleaned.failed(error));
    let doomed = rules.doomed(files, SystemTime::now(), &mut short);
    cleaned.unfinished = doomed.len() > most;
    cleaned.short = short.iter().map(|short| short.bytes).sum();
    for file in doomed.iter().take(most) {
        cleaned.delete(file, &indexes[file.folder].place().folder, uses);
    }
    cleaned
}

/// The disks on which less is free than `rules` say, and what could not be looked at.
fn shortfalls(
    indexes: &[Index],
    rules: &Rules,
    space: impl Fn(&Path) -> Result<Space>,
) -> (Vec<Shortfall>, Vec<Error>) {
    let (mut disks, mut failures) = (Vec::<(u64, Shortfall)>::new(), Vec::new());
    let Some(min_free) = rules.min_free else { return (Vec::new(), failures) };
    for (place, index) in indexes.iter().enumerate() {
        let folder = &index.place().folder;
        let missing = match space(folder) {
            Ok(space) => min_free.saturating_sub(space.available),
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        // Of two folders on one disk the same bytes are missing.
        let disk = fs::metadata(folder).map_or(0, |found| found.dev());
        match disks.iter_mut().find(|(other, _)| *other == disk) {
            Some((_, short)) => short.folders.push(place),
            None => disks.push((disk, Shortfall { folders: vec![place], bytes: missing })),
        }
    }
    (disks.into_iter().map(|(_, short)| short).filter(|short| short.bytes > 0).collect(), failures)
}

/// Whether the file is as it was when it was condemned.
fn is_unchanged(path: &Path, file: &Candidate) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        let same = found.modified().is_ok_and(|modified| modified == file.stored.modified);
        same && found.len() == file.stored.size
    })
}

impl Cleaned {
    fn delete(&mut self, file: &Candidate, folder: &Path, uses: &Uses) {
        let name = &file.stored.name;
        let path = folder.join(name.as_str());
        // Somebody may have come to read it, or written to it, meanwhile: then it goes the next time.
        let Ok(_deleted) = uses.delete(&path, true) else { return };
        if !is_unchanged(&path, file) {
            return;
        }
        match delete(folder, name) {
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
    use std::{fs::File, time::Duration};

    use super::*;
    use crate::output::storage::{DeviceLimits, FileName, Limits, NamePattern, Place, Stored};

    const DAY: Duration = Duration::from_secs(86_400);

    /// A folder with files of 10 bytes, each so many days old.
    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in files {
            let file = File::create(folder.path().join(name)).unwrap();
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

    fn at(folder: &Path) -> Index {
        let (folder, saved) = (folder.to_owned(), folder.join("index"));
        Index::new(Place { folder, extensions: &["mp4"], pattern: NamePattern::default(), films: false, saved })
    }

    fn of(folder: &tempfile::TempDir) -> Index {
        at(folder.path())
    }

    fn older_than(days: u32) -> Rules {
        Rules { limits: vec![Limits { max_age: Some(DAY * days), max_count: None }], ..Rules::default() }
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
        let gone = at(&folder.path().join("gone"));
        let mut rules = older_than(5);
        rules.limits.insert(0, Limits::default());
        let cleaned = clean(&[gone, of(&folder)], &rules, &Uses::default(), usize::MAX);
        assert_eq!((cleaned.files, cleaned.failures), (1, 1));
        assert!(cleaned.first_failure.unwrap().message().contains("gone"));
    }

    #[test]
    fn a_file_that_cannot_be_deleted_does_not_stop_the_rest() {
        let (mut cleaned, folder) = (Cleaned::default(), folder(&[("b.mp4", 8), ("c.mp4", 8)]));
        fs::create_dir(folder.path().join("a.mp4")).unwrap();
        let candidate = |name: &str| {
            let found = fs::metadata(folder.path().join(name)).unwrap();
            let (name, modified) = (FileName::parse(name).unwrap(), found.modified().unwrap());
            let stored = Stored { name, size: found.len(), modified };
            Candidate { folder: 0, stored, device: None, began: None, busy: false }
        };
        let files = ["a.mp4", "b.mp4", "c.mp4"].map(candidate);
        fs::write(folder.path().join("c.mp4"), "somebody goes on with it").unwrap();
        for file in &files {
            cleaned.delete(file, folder.path(), &Uses::default());
        }
        assert_eq!((cleaned.files, cleaned.failures), (1, 1));
        assert_eq!(names(&folder), ["a.mp4", "c.mp4"]);
    }

    #[test]
    fn no_more_go_at_a_time_than_is_said() {
        let folder = folder(&[("a.mp4", 9), ("b.mp4", 8), ("c.mp4", 7)]);
        let clean = || clean(&[of(&folder)], &older_than(5), &Uses::default(), 2);
        assert!(clean().unfinished);
        assert_eq!(names(&folder), ["c.mp4"], "the oldest first");
        assert!(!clean().unfinished);
    }
    #[test]
    fn so_much_goes_that_enough_is_free() {
        let snapshots = folder(&[("1.mp4", 9), ("2.mp4", 5)]);
        let recordings = folder(&[("a.mp4", 8), ("b.mp4", 7), ("c.mp4", 6), ("d.mp4", 4)]);
        let (indexes, uses) = ([of(&recordings), of(&snapshots)], Uses::default());
        let rules = Rules { min_free: Some(100), ..Rules::default() };
        let clean = |available| clean_on(&indexes, &rules, &uses, usize::MAX, |_| Ok(Space { total: 1000, available }));
        assert_eq!(clean(100).files, 0, "enough is enough");
        let busy = uses.write(&recordings.path().join("a.mp4"));
        let cleaned = clean(75);
        assert_eq!((cleaned.files, cleaned.bytes, cleaned.short), (3, 30, 0), "both are on one disk");
        assert_eq!(
            (names(&recordings), names(&snapshots)),
            (vec!["a.mp4".into(), "d.mp4".into()], vec!["2.mp4".into()])
        );
        let cleaned = clean(0);
        assert_eq!((cleaned.files, cleaned.short), (2, 80), "what is written stays");
        assert_eq!(names(&recordings), ["a.mp4"]);
        drop(busy);
        assert_eq!(clean(0).files, 1);
    }

    #[test]
    fn files_of_another_disk_do_not_go_for_this_one() {
        let (here, there) = (folder(&[("a.mp4", 2)]), tempfile::tempdir_in("/dev/shm").unwrap());
        File::create(there.path().join("b.mp4")).unwrap().set_modified(SystemTime::now() - DAY * 9).unwrap();
        let rules = Rules { min_free: Some(100), ..Rules::default() };
        let space = |folder: &Path| Ok(Space { total: 1000, available: if folder == here.path() { 95 } else { 100 } });
        let cleaned = clean_on(&[of(&there), of(&here)], &rules, &Uses::default(), usize::MAX, space);
        assert_eq!((cleaned.files, cleaned.bytes), (1, 10));
        assert!(there.path().join("b.mp4").exists() && names(&here).is_empty());
    }

    #[test]
    fn a_camera_may_have_limits_of_its_own() {
        let folder = folder(&[
            ("camera0_2026-01-01_00-00-00.mp4", 90),
            ("camera0_2026-01-02_00-00-00.mp4", 20),
            ("camera1_2026-01-01_00-00-00.mp4", 20),
            ("camera2_2026-01-01_00-00-00.mp4", 4),
            ("camera2_2026-01-02_00-00-00.mp4", 3),
            ("camera2_2026-01-03_00-00-00.mp4", 2),
            ("other.mp4", 20),
        ]);
        let days = |days| DeviceLimits { max_age: Some(DAY * days), max_bytes: None };
        let small = DeviceLimits { max_age: None, max_bytes: Some(20) };
        let devices = [("camera0".into(), days(60)), ("camera2".into(), small)].into();
        let rules = Rules { max_age: Some(DAY * 10), devices, ..Rules::default() };
        assert!(rules.any());
        assert_eq!(clean(&[of(&folder)], &rules, &Uses::default(), usize::MAX).files, 4);
        let stay =
            ["camera0_2026-01-02_00-00-00.mp4", "camera2_2026-01-02_00-00-00.mp4", "camera2_2026-01-03_00-00-00.mp4"];
        assert_eq!(names(&folder), stay);
    }
}
