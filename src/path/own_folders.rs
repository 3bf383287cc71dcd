//! Folders that single paths are recorded in, beside the folder of all.
//!
//! One that is known stays known until the service ends, so that what is in it is listed, played back and deleted in time
//! also when no path is recorded there any more.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Paths,
    folders::{Door, Which, ask},
};
use crate::{
    error::{Error, Kind, Result},
    output::{recorder::unfinished, storage::disk_error},
};

/// Such folders: each has an index in memory and a thread that keeps it.
const MOST: usize = 32;
/// Names under which folders may be known.
const NAMES: usize = 256;

/// A folder that some paths are recorded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnFolder(usize);

/// All of them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct OwnFolders(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    folders: Vec<(PathBuf, Door)>,
    /// What they were asked for as. `None`: it is one of the folders of all, or could not be used.
    names: BTreeMap<PathBuf, Option<OwnFolder>>,
}

impl OwnFolders {
    /// The folder that was asked for so. The outer `None`: nobody did.
    pub fn find(&self, asked: &Path) -> Option<Option<OwnFolder>> {
        self.lock().names.get(asked).copied()
    }

    /// Where it is.
    pub fn path(&self, folder: OwnFolder) -> Option<PathBuf> {
        self.get(folder).map(|(path, _)| path)
    }

    pub(super) fn all(&self) -> Vec<(OwnFolder, PathBuf)> {
        let known = self.lock();
        known.folders.iter().enumerate().map(|(number, (path, _))| (OwnFolder(number), path.clone())).collect()
    }

    pub(super) fn get(&self, OwnFolder(number): OwnFolder) -> Option<(PathBuf, Door)> {
        self.lock().folders.get(number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnFolder {
    /// Its place among all of them.
    pub(super) fn number(self) -> usize {
        self.0
    }
}

impl Known {
    /// Remembers that this is no folder of its own.
    fn remember(&mut self, asked: &Path) {
        if self.names.len() < NAMES {
            self.names.insert(asked.to_owned(), None);
        }
    }

    /// Remembers a folder by what it is called and what it was asked for as. Error: there are too many.
    fn put(&mut self, asked: &Path, folder: PathBuf, door: Door) -> Result<OwnFolder> {
        let known = self.folders.iter().position(|(path, _)| *path == folder);
        let full = self.names.len() >= NAMES || (known.is_none() && self.folders.len() >= MOST);
        if full {
            return Err(Error::new(
                Kind::Unsupported { feature: "recordPath".into() },
                format!("{} is one folder of recordings more than the {MOST} there may be", asked.display()),
            ));
        }
        let number = known.unwrap_or_else(|| {
            self.folders.push((folder, door));
            self.folders.len() - 1
        });
        self.names.insert(asked.to_owned(), Some(OwnFolder(number)));
        Ok(OwnFolder(number))
    }
}

impl Paths {
    /// Makes `asked` a folder that paths may be recorded in, and says which it is; recordings in it that were cut off are
    /// repaired. `None`: it is one of the folders of all. Of one that is known nothing is done; one that could not be used
    /// is that of all, unless it is tried `again`. Errors: it cannot be made or hangs; there are too many.
    pub async fn take_folder(&self, asked: &Path, again: bool) -> Result<Option<OwnFolder>> {
        let own = &self.0.parts.folders.own;
        if let Some(known) = own.find(asked).filter(|known| known.is_some() || !again) {
            return Ok(known);
        }
        let taken = self.take(asked).await;
        if !matches!(taken, Ok(Some(_))) {
            own.lock().remember(asked);
        }
        taken
    }

    async fn take(&self, asked: &Path) -> Result<Option<OwnFolder>> {
        let folders = &self.0.parts.folders;
        let of_all: Vec<_> = folders.of_all().map(|(_, folder)| folder.to_owned()).collect();
        let door = Door::default();
        let make = move |folder: &Path| {
            let failed = |error| disk_error(folder, "cannot be made", error);
            std::fs::create_dir_all(folder).map_err(failed)?;
            // By its real name: two ways to one folder are one folder.
            let real = folder.canonicalize().map_err(failed)?;
            let is_of_all = of_all.iter().any(|other| other.canonicalize().is_ok_and(|other| other == real));
            Ok((!is_of_all).then_some(real))
        };
        let real = ask(asked.to_owned(), &door, make, drop).await?;
        let Some(real) = real else { return Ok(None) };
        // Before anything is recorded there: what is marked is from an earlier run.
        let is_new = !folders.own.lock().folders.iter().any(|(path, _)| *path == real);
        let found = if is_new { ask(real.clone(), &door, unfinished, drop).await? } else { Vec::new() };
        let own = folders.own.lock().put(asked, real, door)?;
        self.repair_in_background(found);
        Ok(Some(own))
    }

    /// The rooms that are looked at.
    pub(super) fn own_folders(&self) -> Vec<Which> {
        self.0.parts.folders.own.all().into_iter().map(|(own, _)| Which::Own(own)).collect()
    }
}
