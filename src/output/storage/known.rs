//! What was read from files, remembered for as long as they stay as they were.
//!
//! The bound is files, the one asked for least recently is forgotten. An index on the disk could stand in its place.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use lru::LruCache;

use super::{FileName, Stored};

/// Files remembered of a folder: some hundred bytes each.
const FILES: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");

/// What is known of the files of one folder.
#[derive(Debug)]
pub struct Known<T>(Mutex<LruCache<FileName, Remembered<T>>>);

#[derive(Debug)]
struct Remembered<T> {
    size: u64,
    modified: SystemTime,
    what: T,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::of(FILES)
    }
}

impl<T> Known<T> {
    fn of(files: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(files)))
    }
}

impl<T: Copy> Known<T> {
    /// What is known of a file that is as it was then.
    pub fn get(&self, file: &Stored) -> Option<T> {
        let mut known = self.lock();
        let same = |then: &&Remembered<T>| (then.size, then.modified) == (file.size, file.modified);
        known.get(&file.name).filter(same).map(|then| then.what)
    }

    /// Remembers `what` of a file as it is now.
    pub fn put(&self, file: &Stored, what: T) {
        self.lock().put(file.name.clone(), Remembered { size: file.size, modified: file.modified, what });
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<FileName, Remembered<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_until_it_changes_or_others_come() {
        let known = Known::of(NonZeroUsize::new(2).unwrap());
        let file =
            |name: &str, size| Stored { name: FileName::parse(name).unwrap(), size, modified: SystemTime::UNIX_EPOCH };
        known.put(&file("a.mp4", 1), 'a');
        known.put(&file("b.mp4", 1), 'b');
        assert_eq!(known.get(&file("a.mp4", 1)), Some('a'));
        assert_eq!(known.get(&file("a.mp4", 2)), None, "it has grown");
        let later = Stored { modified: SystemTime::now(), ..file("a.mp4", 1) };
        assert_eq!(known.get(&later), None, "it was written to");
        known.put(&file("c.mp4", 1), 'c');
        assert_eq!(known.get(&file("b.mp4", 1)), None, "asked for least recently");
        assert_eq!(known.get(&file("a.mp4", 1)), Some('a'));
    }
}
