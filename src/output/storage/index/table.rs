//! The files of one folder in memory, in every order somebody asks for. Pure: no clock, no disk.
//!
//! Each order is a row of pointers: a page is cut out at once however deep it is. A file that comes is put in, which moves
//! a few hundred kilobytes at most among 100,000 files; new files come last by age, and old ones go first, which moves
//! nothing.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use super::super::{FileName, NamePattern, Stored, contents::Film};

/// A file of a folder as it was when it was last looked at. One that has changed is another entry.
#[derive(Debug)]
pub struct Entry {
    /// What a list tells of it.
    pub stored: Stored,
    /// The camera or stream in its name, as it is spelled there; `None` where the name does not say it.
    pub device: Option<Arc<str>>,
    /// The time in its name, in whole seconds.
    named: Option<SystemTime>,
    /// What is in it, once that was read. `None` in it: it is no recording.
    film: OnceLock<Option<Film>>,
}

impl Entry {
    /// What is in it. The outer `None`: nobody has read it yet.
    pub fn film(&self) -> Option<Option<Film>> {
        self.film.get().copied()
    }

    /// Remembers what is in it, for as long as it stays as it is.
    pub(super) fn learn(&self, film: Option<Film>) {
        // Whoever was first read the same.
        let _ = self.film.set(film);
    }

    /// When it began: as the file says, else its name, else its length before it was last written to.
    pub fn began(&self) -> SystemTime {
        let film = self.film().flatten();
        let told = film.and_then(|film| film.created).or(self.named);
        let length = film.and_then(|film| film.duration).unwrap_or(Duration::ZERO);
        told.unwrap_or_else(|| self.stored.modified.checked_sub(length).unwrap_or(self.stored.modified))
    }

    fn age_order(&self) -> (SystemTime, &FileName) {
        // Names have the time in them, which tells files of one moment apart.
        (self.stored.modified, &self.stored.name)
    }
}

/// Makes entries: what a name says is read once for each name, and devices' names are kept once.
#[derive(Debug)]
pub(super) struct Maker {
    pattern: NamePattern,
    devices: HashSet<Arc<str>>,
}

impl Maker {
    pub fn new(pattern: NamePattern) -> Self {
        Self { pattern, devices: HashSet::new() }
    }

    /// The entry of a file that was `before`. What was known of it stays known while it is as it was.
    pub fn entry(&mut self, before: Option<&Arc<Entry>>, stored: Stored) -> Arc<Entry> {
        let (device, named) = match before {
            Some(before) if before.stored == stored => return Arc::clone(before),
            Some(before) => (before.device.clone(), before.named),
            None => {
                let read = self.pattern.device_and_time(stored.name.as_str());
                let (device, named) = read.unzip();
                let device = device.map(|device| match self.devices.get(device) {
                    Some(known) => Arc::clone(known),
                    None => {
                        let new: Arc<str> = device.into();
                        self.devices.insert(Arc::clone(&new));
                        new
                    }
                });
                (device, named.flatten())
            }
        };
        Arc::new(Entry { stored, device, named, film: OnceLock::new() })
    }
}

impl Entry {
    /// One of which all was kept.
    pub(super) fn kept(
        stored: Stored,
        device: Option<Arc<str>>,
        named: Option<SystemTime>,
        film: Option<Option<Film>>,
    ) -> Self {
        Self { stored, device, named, film: film.map_or_else(OnceLock::new, OnceLock::from) }
    }

    /// The time in its name.
    pub(super) fn named(&self) -> Option<SystemTime> {
        self.named
    }
}

type Row = VecDeque<Arc<Entry>>;

/// The files of two rows that are in order by age, as one.
pub(super) fn merged(one: &Row, other: &Row) -> Row {
    let mut both: Vec<_> = one.iter().chain(other).cloned().collect();
    both.sort_by(|a, b| a.age_order().cmp(&b.age_order()));
    both.into()
}

/// The files of a folder.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_name: Row,
    by_age: Row,
    devices: HashMap<Arc<str>, Row>,
    bytes: u64,
}

impl Table {
    /// A table of `files`, which are told apart by their names. Quicker where they are in order.
    pub fn of(files: Vec<Arc<Entry>>) -> Self {
        let mut table = Self { by_name: files.clone().into(), by_age: files.into(), ..Self::default() };
        table.by_name.make_contiguous().sort_unstable_by(|a, b| a.stored.name.cmp(&b.stored.name));
        table.by_age.make_contiguous().sort_unstable_by(|a, b| a.age_order().cmp(&b.age_order()));
        for entry in &table.by_age {
            table.bytes += entry.stored.size;
            if let Some(device) = &entry.device {
                table.devices.entry(Arc::clone(device)).or_default().push_back(Arc::clone(entry));
            }
        }
        table
    }

    /// The file of this name.
    pub fn get(&self, name: &FileName) -> Option<&Arc<Entry>> {
        let place = self.by_name.binary_search_by(|entry| entry.stored.name.cmp(name)).ok()?;
        self.by_name.get(place)
    }

    /// A file is there as this says; whether that is news.
    pub fn put(&mut self, entry: Arc<Entry>) -> bool {
        if self.get(&entry.stored.name).is_some_and(|before| Arc::ptr_eq(before, &entry)) {
            return false;
        }
        self.remove(&entry.stored.name);
        let by_age = |other: &Arc<Entry>| other.age_order().cmp(&entry.age_order());
        insert(&mut self.by_name, &entry, |other| other.stored.name.cmp(&entry.stored.name));
        insert(&mut self.by_age, &entry, by_age);
        if let Some(device) = &entry.device {
            insert(self.devices.entry(Arc::clone(device)).or_default(), &entry, by_age);
        }
        self.bytes += entry.stored.size;
        true
    }

    /// A file is not there; whether that is news.
    pub fn remove(&mut self, name: &FileName) -> bool {
        let Ok(place) = self.by_name.binary_search_by(|entry| entry.stored.name.cmp(name)) else { return false };
        let Some(entry) = self.by_name.remove(place) else { return false };
        self.bytes -= entry.stored.size;
        let by_age = |other: &Arc<Entry>| other.age_order().cmp(&entry.age_order());
        take(&mut self.by_age, by_age);
        if let Some(device) = &entry.device
            && let Some(row) = self.devices.get_mut(device)
        {
            take(row, by_age);
            if row.is_empty() {
                self.devices.remove(device);
            }
        }
        true
    }

    /// The files of `device`, or all, those last written to at the end.
    pub fn by_age(&self, device: Option<&str>) -> Option<&Row> {
        match device {
            None => Some(&self.by_age),
            Some(device) => self.devices.get(device),
        }
    }

    /// Those that have files.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<str>> {
        self.devices.keys()
    }

    /// All files by name.
    pub fn by_name(&self) -> &Row {
        &self.by_name
    }

    /// Bytes that all take together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn insert(row: &mut Row, entry: &Arc<Entry>, by: impl Fn(&Arc<Entry>) -> Ordering) {
    let place = row.binary_search_by(by).unwrap_or_else(|place| place);
    row.insert(place, Arc::clone(entry));
}

fn take(row: &mut Row, by: impl Fn(&Arc<Entry>) -> Ordering) {
    if let Ok(place) = row.binary_search_by(by) {
        row.remove(place);
    }
}
