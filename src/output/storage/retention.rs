//! Which files have to go. Pure: no clock, no disk; `cleanup` does it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::Stored;

/// What is kept of one folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How old a file gets, from when it was last written to.
    pub max_age: Option<Duration>,
    /// How many files there are.
    pub max_count: Option<usize>,
}

/// What is kept of several folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of each folder, in the order in which the folders are named everywhere.
    pub limits: Vec<Limits>,
    /// How old the files of all folders get, besides, but those of a camera that has an age of its own.
    pub max_age: Option<Duration>,
    /// Bytes that the files of all folders take together.
    pub max_bytes: Option<u64>,
    /// Bytes that stay free on the disk of each folder.
    pub min_free: Option<u64>,
    /// Of the files of single cameras and streams, by name, in all folders together.
    pub devices: BTreeMap<String, DeviceLimits>,
    /// The names that are spelled otherwise in those of files, by their spellings.
    pub names: BTreeMap<String, String>,
    /// How long ago the recordings of single cameras and streams began at most, by the spelling of their names.
    pub begun: BTreeMap<String, Duration>,
}

/// What is kept of one camera or stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceLimits {
    /// How old its files get, instead of [`Rules::max_age`].
    pub max_age: Option<Duration>,
    /// Bytes that its files take together.
    pub max_bytes: Option<u64>,
}

/// A disk on which less is free than should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shortfall {
    /// The folders on it, by their places.
    pub folders: Vec<usize>,
    /// Bytes that are missing.
    pub bytes: u64,
}

/// A file that may have to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The folder's place among the folders.
    pub folder: usize,
    /// The file.
    pub stored: Stored,
    /// Whose it is, where that is known.
    pub device: Option<Arc<str>>,
    /// When it began, of a recording.
    pub began: Option<SystemTime>,
    /// It stays, whatever the rules say. It counts.
    pub busy: bool,
}

impl Rules {
    /// Whether there is any rule.
    pub fn any(&self) -> bool {
        let Self { limits, max_age, max_bytes, min_free, devices, names: _, begun } = self;
        max_age.is_some()
            || max_bytes.is_some()
            || min_free.is_some()
            || !devices.is_empty()
            || !begun.is_empty()
            || limits.iter().any(|limits| *limits != Limits::default())
    }

    /// The files that have to go at `now`, oldest first, so that those that stay keep every rule. What is left of `short`
    /// is what they do not make good. Where busy files alone break a rule, nothing more can be done. A file of the future
    /// is not old.
    pub(super) fn doomed(&self, mut files: Vec<Candidate>, now: SystemTime, short: &mut [Shortfall]) -> Vec<Candidate> {
        let limits = |folder: usize| self.limits.get(folder).copied().unwrap_or_default();
        let own = |device: &Option<Arc<str>>| {
            let spelled = device.as_deref()?;
            self.devices.get_key_value(self.names.get(spelled).map_or(spelled, String::as_str))
        };
        let mut of_devices = BTreeMap::<&str, u64>::new();
        for file in &files {
            if let Some((device, _)) = own(&file.device) {
                *of_devices.entry(device).or_default() += file.stored.size;
            }
        }
        let mut bytes = files.iter().map(|file| file.stored.size).fold(0, u64::saturating_add);
        let mut counts = vec![0; self.limits.len()];
        for file in &files {
            if let Some(count) = counts.get_mut(file.folder) {
                *count += 1;
            }
        }
        files.sort_by(|a, b| {
            let by = |file: &Candidate| (file.stored.modified, file.folder);
            by(a).cmp(&by(b)).then_with(|| a.stored.name.cmp(&b.stored.name))
        });
        let is_past = |device: &Option<Arc<str>>, began: &Option<SystemTime>| {
            let most = device.as_deref().and_then(|device| self.begun.get(device));
            let age = began.and_then(|began| now.duration_since(began).ok());
            most.zip(age).is_some_and(|(most, age)| age > *most)
        };
        files.retain(|Candidate { folder, stored, device, began, busy }| {
            let Limits { max_age, max_count } = limits(*folder);
            let age = now.duration_since(stored.modified).unwrap_or_default();
            let own = own(device);
            let of_device = own.and_then(|(device, _)| of_devices.get_mut(device.as_str()));
            let own = own.map(|(_, limits)| *limits).unwrap_or_default();
            let disk = short.iter_mut().find(|short| short.bytes > 0 && short.folders.contains(folder));
            let goes = max_age.into_iter().chain(own.max_age.or(self.max_age)).min().is_some_and(|most| age > most)
                || max_count.is_some_and(|most| counts[*folder] > most)
                || self.max_bytes.is_some_and(|most| bytes > most)
                || own.max_bytes.is_some_and(|most| of_device.as_ref().is_some_and(|bytes| **bytes > most))
                || disk.is_some()
                || is_past(device, began);
            let goes = goes && !busy;
            if goes {
                bytes -= stored.size.min(bytes);
                for left in of_device.into_iter().chain(disk.map(|short| &mut short.bytes)) {
                    *left = left.saturating_sub(stored.size);
                }
                if let Some(count) = counts.get_mut(*folder) {
                    *count -= 1;
                }
            }
            goes
        });
        files
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::storage::FileName;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A file that is named by its number.
    fn file(number: usize, folder: usize, size: u64, seconds: u64, busy: bool) -> Candidate {
        let name = FileName::parse(&format!("{number:03}.mp4")).unwrap();
        let device = (number % 3 < 2).then(|| Arc::from(format!("camera{}", number % 3)));
        let stored = Stored { name, size, modified: at(seconds) };
        Candidate { folder, stored, device, began: (folder == 0).then(|| at(seconds / 2)), busy }
    }

    fn names(files: &[Candidate]) -> Vec<&str> {
        files.iter().map(|file| file.stored.name.as_str().trim_end_matches(".mp4")).collect()
    }

    fn rules(age: Option<u64>, count: Option<usize>, max_bytes: Option<u64>) -> Rules {
        let limits = Limits { max_age: age.map(Duration::from_secs), max_count: count };
        Rules { limits: vec![limits, Limits::default()], max_bytes, ..Rules::default() }
    }

    #[test]
    fn the_oldest_go_first_and_only_what_has_to() {
        let files = vec![
            file(0, 0, 10, 100, false),
            file(1, 1, 10, 50, false),
            file(2, 0, 10, 10, false),
            file(3, 0, 10, 20, true),
            file(4, 0, 10, 900, false),
        ];
        let doomed = |rules: Rules| rules.doomed(files.clone(), at(200), &mut []);
        assert_eq!(names(&doomed(rules(None, None, None))), [""; 0]);
        assert_eq!(names(&doomed(rules(Some(100), None, None))), ["002"], "as old as the limit is not older");
        assert_eq!(names(&doomed(rules(Some(99), None, None))), ["002", "000"], "busy files stay");
        assert_eq!(names(&doomed(rules(None, Some(2), None))), ["002", "000"], "busy files count");
        assert_eq!(names(&doomed(rules(None, None, Some(30)))), ["002", "001"], "from all folders");
        assert_eq!(names(&doomed(rules(None, None, Some(0)))), ["002", "001", "000", "004"]);
    }

    prop_compose! {
        fn some_files()(list in prop::collection::vec((0usize..2, 0u64..100, 0u64..50, any::<bool>()), 0..40))
            -> Vec<Candidate> {
            let number = |(number, (folder, size, seconds, busy))| file(number, folder, size, seconds, busy);
            list.into_iter().enumerate().map(number).collect()
        }
    }

    prop_compose! {
        fn some_rules()(
            ages in prop::collection::vec(prop::option::of((0u64..50).prop_map(Duration::from_secs)), 4),
            counts in prop::collection::vec(prop::option::of(0usize..20), 2),
            max_bytes in prop::collection::vec(prop::option::of(0u64..2000), 2),
            begun in prop::option::of(0u64..50),
        ) -> Rules {
            let limits = ages[..2].iter().zip(counts).map(|(max_age, max_count)| Limits { max_age: *max_age, max_count });
            let own = DeviceLimits { max_age: ages[2], max_bytes: max_bytes[1] };
            Rules {
                limits: limits.collect(),
                max_age: ages[3],
                max_bytes: max_bytes[0],
                min_free: None,
                devices: [("studio".to_owned(), own)].into(),
                names: [("camera0".to_owned(), "studio".to_owned())].into(),
                begun: begun.map(|most| ("camera1".to_owned(), Duration::from_secs(most))).into_iter().collect(),
            }
        }
    }

    fn age_limit(rules: &Rules, file: &Candidate) -> Option<Duration> {
        let own = rules.devices["studio"].max_age.filter(|_| is_own(file));
        own.or(rules.max_age).into_iter().chain(rules.limits[file.folder].max_age).min()
    }

    fn began_too_early(rules: &Rules, file: &Candidate, now: SystemTime) -> bool {
        let most = file.device.as_deref().and_then(|device| rules.begun.get(device));
        most.zip(file.began).is_some_and(|(most, began)| began + *most < now)
    }

    fn is_own(file: &Candidate) -> bool {
        file.device.as_deref() == Some("camera0")
    }

    proptest! {
        /// Whatever the files and the rules.
        #[test]
        fn what_stays_keeps_the_rules_and_nothing_goes_without_need(
            files in some_files(),
            rules in some_rules(),
            missing in 0u64..500,
        ) {
            let now = at(40);
            // The second folder is alone on a disk.
            let mut short = [Shortfall { folders: vec![1], bytes: missing }];
            let doomed = rules.doomed(files.clone(), now, &mut short);
            let stay: Vec<_> = files.iter().filter(|file| !doomed.contains(file)).cloned().collect();
            prop_assert!(doomed.iter().all(|file| !file.busy));
            prop_assert!(doomed.is_sorted_by_key(|file| file.stored.modified));
            prop_assert!(rules.doomed(stay.clone(), now, &mut []).is_empty(), "a second time changes nothing");
            let freed = doomed.iter().filter(|file| file.folder == 1).map(|file| file.stored.size).sum::<u64>();
            prop_assert_eq!(short[0].bytes, missing.saturating_sub(freed));
            prop_assert!(short[0].bytes == 0 || stay.iter().all(|file| file.folder != 1 || file.busy));
            let size = |files: &[Candidate]| files.iter().map(|file| file.stored.size).sum::<u64>();
            let idle: Vec<_> = stay.iter().filter(|file| !file.busy).collect();
            if rules.max_bytes.is_some_and(|most| size(&stay) > most) {
                prop_assert!(idle.is_empty());
            }
            for (folder, limits) in rules.limits.iter().enumerate() {
                let of = |files: &[Candidate]| files.iter().filter(|file| file.folder == folder).count();
                let mut own = idle.iter().filter(|file| file.folder == folder);
                if limits.max_count.is_some_and(|most| of(&stay) > most) {
                    prop_assert!(own.clone().next().is_none());
                }
                let old = |file: &Candidate| age_limit(&rules, file).is_some_and(|most| {
                    now.duration_since(file.stored.modified).is_ok_and(|age| age > most)
                });
                prop_assert!(!own.any(|file| old(file) || began_too_early(&rules, file, now)));
            }
            let of_own = |files: &[Candidate]| {
                files.iter().filter(|file| is_own(file)).map(|file| file.stored.size).sum::<u64>()
            };
            if rules.devices["studio"].max_bytes.is_some_and(|most| of_own(&stay) > most) {
                prop_assert!(!idle.iter().any(|file| is_own(file)));
            }
            if let Some(last) = doomed.last() {
                // Had it been kept, a rule would have been broken.
                let limits = rules.limits[last.folder];
                let count = stay.iter().filter(|file| file.folder == last.folder).count() + 1;
                let age = now.duration_since(last.stored.modified).unwrap_or_default();
                let own = rules.devices["studio"].max_bytes.filter(|_| is_own(last));
                prop_assert!(
                    age_limit(&rules, last).is_some_and(|most| age > most)
                        || began_too_early(&rules, last, now)
                        || limits.max_count.is_some_and(|most| count > most)
                        || rules.max_bytes.is_some_and(|most| size(&stay) + last.stored.size > most)
                        || own.is_some_and(|most| of_own(&stay) + last.stored.size > most)
                        || (last.folder == 1 && freed - last.stored.size < missing)
                );
            }
        }
    }
}
