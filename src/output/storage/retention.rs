//! Which files have to go. Pure: no clock, no disk; `cleanup` does it.

use std::time::{Duration, SystemTime};

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
    /// Bytes that the files of all folders take together.
    pub max_bytes: Option<u64>,
}

/// A file that may have to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The folder's place among the folders.
    pub folder: usize,
    /// The file.
    pub stored: Stored,
    /// It stays, whatever the rules say. It counts.
    pub busy: bool,
}

impl Rules {
    /// Whether there is any rule.
    pub fn any(&self) -> bool {
        self.max_bytes.is_some() || self.limits.iter().any(|limits| *limits != Limits::default())
    }

    /// The files that have to go at `now`, oldest first, so that those that stay keep every rule. Where busy files alone
    /// break one, nothing more can be done. A file of the future is not old.
    pub(super) fn doomed(&self, mut files: Vec<Candidate>, now: SystemTime) -> Vec<Candidate> {
        let limits = |folder: usize| self.limits.get(folder).copied().unwrap_or_default();
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
        files.retain(|Candidate { folder, stored, busy }| {
            let Limits { max_age, max_count } = limits(*folder);
            let age = now.duration_since(stored.modified).unwrap_or_default();
            let goes = max_age.is_some_and(|most| age > most)
                || max_count.is_some_and(|most| counts[*folder] > most)
                || self.max_bytes.is_some_and(|most| bytes > most);
            let goes = goes && !busy;
            if goes {
                bytes -= stored.size.min(bytes);
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
        Candidate { folder, stored: Stored { name, size, modified: at(seconds) }, busy }
    }

    fn names(files: &[Candidate]) -> Vec<&str> {
        files.iter().map(|file| file.stored.name.as_str().trim_end_matches(".mp4")).collect()
    }

    fn rules(age: Option<u64>, count: Option<usize>, max_bytes: Option<u64>) -> Rules {
        let limits = Limits { max_age: age.map(Duration::from_secs), max_count: count };
        Rules { limits: vec![limits, Limits::default()], max_bytes }
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
        let doomed = |rules: Rules| rules.doomed(files.clone(), at(200));
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
            ages in prop::collection::vec(prop::option::of((0u64..50).prop_map(Duration::from_secs)), 2),
            counts in prop::collection::vec(prop::option::of(0usize..20), 2),
            max_bytes in prop::option::of(0u64..2000),
        ) -> Rules {
            let limits = ages.into_iter().zip(counts).map(|(max_age, max_count)| Limits { max_age, max_count });
            Rules { limits: limits.collect(), max_bytes }
        }
    }

    proptest! {
        /// Whatever the files and the rules.
        #[test]
        fn what_stays_keeps_the_rules_and_nothing_goes_without_need(files in some_files(), rules in some_rules()) {
            let now = at(40);
            let doomed = rules.doomed(files.clone(), now);
            let stay: Vec<_> = files.iter().filter(|file| !doomed.contains(file)).cloned().collect();
            prop_assert!(doomed.iter().all(|file| !file.busy));
            prop_assert!(doomed.is_sorted_by_key(|file| file.stored.modified));
            prop_assert!(rules.doomed(stay.clone(), now).is_empty(), "a second time changes nothing");
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
                let old = |file: &Candidate| limits.max_age.is_some_and(|most| {
                    now.duration_since(file.stored.modified).is_ok_and(|age| age > most)
                });
                prop_assert!(!own.clone().any(|file| old(file)));
                let newest = doomed.iter().filter(|file| file.folder == folder).map(|file| file.stored.modified).max();
                prop_assert!(own.all(|file| newest.is_none_or(|newest| file.stored.modified >= newest)));
            }
            if let Some(last) = doomed.last() {
                // Had it been kept, a rule would have been broken.
                let limits = rules.limits[last.folder];
                let count = stay.iter().filter(|file| file.folder == last.folder).count() + 1;
                let age = now.duration_since(last.stored.modified).unwrap_or_default();
                prop_assert!(
                    limits.max_age.is_some_and(|most| age > most)
                        || limits.max_count.is_some_and(|most| count > most)
                        || rules.max_bytes.is_some_and(|most| size(&stay) + last.stored.size > most)
                );
            }
        }
    }
}
