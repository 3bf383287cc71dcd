//! What keeps an index true while nobody asks: a thread that reads the kernel's queue before it is full, looks at what was
//! only remembered over a restart, reads how long recordings are, and keeps all that for the next start.
//!
//! It rests several times as long as it has worked, so that a slow disk is the recordings'.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{Entry, Index, Place, State};
use crate::{
    error::{Error, Kind, Result},
    output::storage::{contents, open},
};

/// Between two looks when there is nothing to do. The kernel keeps 16,384 events meanwhile, and tells when it did not.
const LOOK: Duration = Duration::from_secs(1);

/// Work after which it rests, and how many times as long.
const WORK: Duration = Duration::from_millis(5);
const REST: u32 = 4;

/// Files looked at under one lock: somebody who asks waits for so many at most.
const LOOKED_AT: usize = 20;

/// Between two looks for files that nobody has read.
const GATHER: Duration = Duration::from_secs(10);

/// A file that was written to so shortly ago may still be written to: it is read when it is asked for, or later.
const YOUNG: Duration = Duration::from_secs(5);

/// How much a crash may cost of what was read. A card wears out by what is written to it.
const SAVE: Duration = Duration::from_secs(3600);

/// Keeps an index true until it is dropped.
#[must_use]
pub struct Keeper {
    index: Index,
    _over: mpsc::Sender<()>,
}

impl Keeper {
    /// Keeps the index over a restart, and no longer true. Blocks on the disk. Error: the state directory cannot be
    /// written.
    pub fn stop(self) -> Result<()> {
        self.index.save()
    }
}

/// What is left to do.
struct Work {
    unread: Vec<Arc<Entry>>,
    gathered: Option<Instant>,
    saved: Instant,
    /// Whether the log says already that the folder cannot be read.
    told: bool,
}

impl Index {
    /// Keeps it true from now on, and reads the folder at once. Error: the thread cannot be made.
    pub fn keep(&self) -> Result<Keeper> {
        let (over, is_over) = mpsc::channel();
        let index = self.clone();
        let run = move || {
            let mut work = Work { unread: Vec::new(), gathered: None, saved: Instant::now(), told: false };
            loop {
                let begun = Instant::now();
                let more = work.some(&index);
                let pause = if more { begun.elapsed().saturating_mul(REST).min(LOOK) } else { LOOK };
                if is_over.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("index".into())
            .spawn(run)
            .map_err(|error| Error::with_source(Kind::Internal, "no thread to keep an index", error))?;
        Ok(Keeper { index: self.clone(), _over: over })
    }
}

impl Work {
    /// Does some of it; whether there is more.
    fn some(&mut self, index: &Index) -> bool {
        match index.current() {
            Ok(_) => self.told = false,
            Err(error) if !std::mem::replace(&mut self.told, true) => {
                tracing::warn!("the index waits for its folder: {}", error.chain());
            }
            Err(_) => {}
        }
        let begun = Instant::now();
        let mut more = true;
        while more && begun.elapsed() < WORK {
            more = index.lock().verify(index.place()) || self.read_one(index);
        }
        if self.saved.elapsed() >= SAVE {
            self.saved = Instant::now();
            if let Err(error) = index.save() {
                tracing::warn!("the index is not kept over a restart: {}", error.chain());
            }
        }
        more
    }

    /// Reads one file that nobody has read; whether there are more.
    fn read_one(&mut self, index: &Index) -> bool {
        let Some(entry) = self.unread.pop() else { return self.gather(index) };
        if entry.film().is_none() {
            let read = open(&index.place().folder, &entry.stored.name).and_then(|opened| {
                let film = contents::film(&opened.file, opened.stored.size);
                let film = film.map_err(|error| Error::with_source(Kind::Internal, "not read", error))?;
                Ok((opened.stored == entry.stored).then_some(film))
            });
            match read {
                Ok(Some(film)) => index.learn(&entry, film),
                // It is another file by now.
                Ok(None) => {}
                Err(error) => tracing::debug!(file = %entry.stored.name, "length not read: {}", error.chain()),
            }
        }
        true
    }

    fn gather(&mut self, index: &Index) -> bool {
        let due = self.gathered.is_none_or(|before| before.elapsed() >= GATHER);
        if !index.place().films || !due {
            return false;
        }
        self.gathered = Some(Instant::now());
        self.unread = index.lock().unread(SystemTime::now());
        !self.unread.is_empty()
    }
}

impl State {
    /// Looks at some of the files that were only remembered; whether there are more.
    pub(super) fn verify(&mut self, place: &Place) -> bool {
        let from = self.unverified.len().saturating_sub(LOOKED_AT);
        for entry in self.unverified.split_off(from) {
            self.look(place, &entry.stored.name);
        }
        !self.unverified.is_empty()
    }

    /// The files that nobody has read, those last written to at the end.
    fn unread(&mut self, now: SystemTime) -> Vec<Arc<Entry>> {
        if !std::mem::take(&mut self.unread) {
            return Vec::new();
        }
        let files = self.table.by_age(None).into_iter().flatten().filter(|entry| entry.film().is_none());
        let is_young = |entry: &&Arc<Entry>| now.duration_since(entry.stored.modified).is_ok_and(|age| age < YOUNG);
        let (young, old): (Vec<_>, Vec<_>) = files.cloned().partition(|entry| is_young(&entry));
        self.unread = !young.is_empty();
        old
    }
}
