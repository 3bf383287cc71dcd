//! The index of a folder: which files there are, in every order somebody asks for, without reading the folder.
//!
//! The folder is the truth. The index is read from it, is told of every change by the kernel before it answers
//! ([`watch`]), and looks at the files of a page again when it tells of them. What is kept in the state directory
//! ([`saved`]) only spares asking every file again after a start. One index is of one folder; it takes its lock for as long
//! as it needs the disk, so everything here blocks.

mod keeper;
mod saved;
mod several;
mod table;
mod watch;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

pub use keeper::Keeper;
use saved::Saved;
pub use several::{bytes_of, page_of};
pub use table::Entry;
use table::{Maker, Table};
use watch::{News, Watch};

use super::{FileName, NamePattern, Stored, contents::Film, disk_error};
use crate::error::{Error, Result};

/// How often a page is cut out anew because its files changed under it. After that it is told as it is.
const TURNS: usize = 3;

/// Files that are looked at again whenever somebody asks, where the kernel does not tell of changes.
const NEWEST: usize = 64;

/// What an index is of.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// Endings of its files, in small letters and without dots. Others are not in the index.
    pub extensions: &'static [&'static str],
    /// How names are read.
    pub pattern: NamePattern,
    /// Whether the files are recordings, whose lengths are read in the background.
    pub films: bool,
    /// Where it is kept over a restart.
    pub saved: PathBuf,
}

/// The index of a folder. Clones are the same index.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    place: Place,
    state: Mutex<State>,
}

struct State {
    /// Begins to watch a folder.
    begin: Begin,
    table: Table,
    maker: Maker,
    /// `None`: the folder is to be read before anything is told of it.
    watch: Option<Watch>,
    /// What was saved: not loaded yet, or not used yet, or of no more use.
    start: Start,
    /// Files whose size and time are as they were saved, and were not looked at since.
    unverified: Vec<Arc<Entry>>,
    /// Whether there may be files that nobody has read.
    unread: bool,
    /// Whether it is not as it was saved.
    changed: bool,
    /// Whether the log says already that changes are found by looking only.
    told: bool,
}

type Begin = fn(&Path) -> io::Result<(Watch, Option<String>)>;

enum Start {
    ToLoad,
    Loaded(Saved),
    Over,
}

/// Some of the files of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// Only those of this camera or stream.
    pub device: Option<&'a str>,
    /// And those that have this in the place of its name.
    pub or_device: Option<&'a str>,
    /// Those first written to come first, else those last written to.
    pub oldest_first: bool,
    /// How many are left out in front.
    pub offset: usize,
    /// How many there are at most.
    pub limit: usize,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// The files, in the order that was asked for.
    pub files: Vec<Arc<Entry>>,
    /// How many there are without an offset and a limit.
    pub total: usize,
}

/// A file of a recording in its place in time.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The file.
    pub file: Arc<Entry>,
    /// When it began ([`Entry::began`]).
    pub began: SystemTime,
    /// How long it plays, where that is known by now.
    pub duration: Option<Duration>,
}

impl Index {
    /// An index that has read nothing yet. The first who asks, or its [keeper](Index::keep), reads the folder.
    pub fn new(place: Place) -> Self {
        Self::watched(place, Watch::on)
    }

    fn watched(place: Place, begin: Begin) -> Self {
        let state = State {
            begin,
            table: Table::default(),
            maker: Maker::new(place.pattern.clone()),
            watch: None,
            start: Start::ToLoad,
            unverified: Vec::new(),
            unread: false,
            changed: false,
            told: false,
        };
        Self(Arc::new(Inner { place, state: Mutex::new(state) }))
    }

    /// What it is of.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Some of the files, as they are now. Error: the folder cannot be read.
    pub fn page(&self, query: &Query<'_>) -> Result<Page> {
        let place = self.place();
        let mut state = self.current()?;
        let mut page = state.cut(query);
        for _ in 0..TURNS {
            // A file may grow without a word from the kernel, or not have been looked at since the start.
            let mut same = true;
            for entry in &page.files {
                same &= !state.look(place, &entry.stored.name);
            }
            if same {
                break;
            }
            page = state.cut(query);
        }
        Ok(page)
    }

    /// All files, those last written to at the end. Error: the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Arc<Entry>>> {
        let state = self.current()?;
        Ok(state.table.by_age(None).into_iter().flatten().cloned().collect())
    }

    /// Bytes that all files take together. Error: the folder cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.current()?.table.bytes())
    }

    /// The cameras and streams that have files. Error: the folder cannot be read.
    pub fn devices(&self) -> Result<Vec<Arc<str>>> {
        Ok(self.current()?.table.devices().cloned().collect())
    }

    /// The files of a camera or stream by when they began. Error: the folder cannot be read.
    pub fn segments(&self, device: &str) -> Result<Vec<Segment>> {
        let state = self.current()?;
        let files = state.table.by_age(Some(device)).into_iter().flatten();
        let segment = |file: &Arc<Entry>| Segment {
            file: Arc::clone(file),
            began: file.began(),
            duration: file.film().flatten().and_then(|film| film.duration),
        };
        let mut segments: Vec<_> = files.map(segment).collect();
        // Stable, and nearly in order already.
        segments.sort_by_key(|segment| segment.began);
        Ok(segments)
    }

    /// What is known of a file that somebody has just looked at.
    pub fn entry(&self, stored: Stored) -> Arc<Entry> {
        let State { table, maker, .. } = &mut *self.lock();
        maker.entry(table.get(&stored.name), stored)
    }

    /// Remembers what is in a file, for as long as it stays as it is.
    pub fn learn(&self, entry: &Entry, film: Option<Film>) {
        entry.learn(film);
        self.lock().changed = true;
    }

    /// Keeps it over a restart, if it is not kept as it is. Error: the state directory cannot be written.
    pub fn save(&self) -> Result<()> {
        let (place, mut state) = (self.place(), self.lock());
        if !std::mem::take(&mut state.changed) {
            return Ok(());
        }
        // First the folder, then what happened in it: what comes later is seen by the seal.
        let seal = watch::settled_seal(&place.folder);
        let seal = seal.filter(|_| state.catch_up(place).is_ok());
        let entries: Vec<_> = state.table.by_name().iter().cloned().collect();
        drop(state);
        let saved = saved::save(place, &Saved { seal, entries });
        if saved.is_err() {
            self.lock().changed = true;
        }
        saved
    }

    /// The state, true as of now.
    fn current(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.catch_up(self.place()).map_err(|error| disk_error(&self.place().folder, "cannot be read", error))?;
        Ok(state)
    }

    // What is left half done by a panic is told of as it is, and corrected by the folder.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cut(&self, Query { device, or_device, oldest_first, offset, limit }: &Query<'_>) -> Page {
        let also = or_device.and_then(|device| self.table.by_age(Some(device)));
        let both;
        let row = match (self.table.by_age(*device), also) {
            (Some(row), Some(also)) => {
                both = table::merged(row, also);
                &both
            }
            (Some(row), None) | (None, Some(row)) => row,
            (None, None) => return Page { files: Vec::new(), total: 0 },
        };
        let total = row.len();
        let (from, to) = ((*offset).min(total), offset.saturating_add(*limit).min(total));
        let files = match oldest_first {
            true => row.range(from..to).cloned().collect(),
            false => row.range(total - to..total - from).rev().cloned().collect(),
        };
        Page { files, total }
    }

    /// Learns what happened in the folder since the last time. Error: it cannot be read; it is read anew the next time.
    fn catch_up(&mut self, place: &Place) -> io::Result<()> {
        let done = self.learn_news(place);
        if done.is_err() {
            self.watch = None;
        }
        done
    }

    fn learn_news(&mut self, place: &Place) -> io::Result<()> {
        let news = match &mut self.watch {
            Some(watch) => watch.news(&place.folder)?,
            None => News::Lost,
        };
        match news {
            News::Files(mut names) => {
                if self.watch.as_ref().is_some_and(Watch::looks) {
                    // What grows is among them.
                    let newest = self.table.by_age(None).into_iter().flatten().rev().take(NEWEST);
                    names.extend(newest.map(|entry| entry.stored.name.clone()));
                }
                for name in names.iter().filter(|name| place.is_of(name)) {
                    self.look(place, name);
                }
            }
            News::Names => self.read_folder(place, false)?,
            News::All => self.read_folder(place, true)?,
            News::Lost => {
                let (watch, looking) = (self.begin)(&place.folder)?;
                // Once: what is not watched is lost again and again when it is exchanged.
                if let Some(why) = looking.filter(|_| !std::mem::replace(&mut self.told, true)) {
                    let folder = place.folder.display();
                    tracing::warn!(%folder, "the kernel does not tell of changes ({why}): they are found by looking at the folder");
                }
                self.watch = Some(watch);
                self.read_folder(place, true)?;
            }
        }
        Ok(())
    }

    /// Reads which files there are, unless they are as they were saved. Those that are known are looked at too if `closely`, but right after start: what was
    /// saved is verified in the background.
    fn read_folder(&mut self, place: &Place, closely: bool) -> io::Result<()> {
        if let Start::ToLoad = self.start {
            self.start = Start::Loaded(load(place));
        }
        let sealed = watch::seal(&place.folder)?;
        let names = fs::read_dir(&place.folder)?;
        self.unverified.clear();
        (self.unread, self.changed) = (true, true);
        let (closely, saved) = match std::mem::replace(&mut self.start, Start::Over) {
            Start::Loaded(saved) if saved.seal == Some(sealed) => {
                // The names are the same.
                self.unverified.clone_from(&saved.entries);
                self.table = Table::of(saved.entries);
                return Ok(());
            }
            Start::Loaded(saved) => (false, saved.entries),
            _ => (closely, Vec::new()),
        };
        let remembered: HashMap<_, _> = saved.iter().map(|entry| (&entry.stored.name, entry)).collect();
        let mut files = Vec::new();
        for found in names {
            let found = found?;
            let name = found.file_name();
            let Some(name) = name.to_str().and_then(|name| FileName::parse(name).ok()) else { continue };
            // The entry's own kind, so of the link and not of what it leads to.
            if !place.is_of(&name) || !found.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let before = remembered.get(&name).copied().or_else(|| self.table.get(&name));
            if let (false, Some(before)) = (closely, before) {
                files.push(Arc::clone(before));
                self.unverified.push(Arc::clone(before));
                continue;
            }
            // A file that was just deleted has none.
            let Ok(Some(stored)) = found.metadata().map(|found| stored(name, &found)) else { continue };
            files.push(self.maker.entry(before, stored));
        }
        self.table = Table::of(files);
        Ok(())
    }

    /// Looks at one file; whether it is not as it was.
    fn look(&mut self, place: &Place, name: &FileName) -> bool {
        let found = fs::symlink_metadata(place.folder.join(name.as_str()));
        let changed = match found.ok().and_then(|found| stored(name.clone(), &found)) {
            Some(stored) => {
                let entry = self.maker.entry(self.table.get(name), stored);
                self.table.put(entry)
            }
            None => self.table.remove(name),
        };
        self.unread |= changed;
        self.changed |= changed;
        changed
    }
}

impl Place {
    fn is_of(&self, name: &FileName) -> bool {
        name.extension().is_some_and(|own| self.extensions.contains(&own.as_str()))
    }
}

/// What a list tells of a plain file; `None`: it is another thing.
fn stored(name: FileName, found: &fs::Metadata) -> Option<Stored> {
    let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    found.is_file().then_some(Stored { name, size: found.len(), modified })
}

fn load(place: &Place) -> Saved {
    let saved = saved::load(place).unwrap_or_else(|error: Error| {
        tracing::info!("the index is made anew: {}", error.chain());
        None
    });
    saved.unwrap_or(Saved { seal: None, entries: Vec::new() })
}

#[cfg(test)]
mod tests;
