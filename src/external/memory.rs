//! What is remembered, and its file: changed one at a time, on disk before anybody sees it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Mutex as Turn, task::spawn_blocking};

use super::file::Kept;
use crate::error::{Error, Kind, Result};

/// What outlives a restart: the external streams, and the time between scans. Cheap to clone.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    file: PathBuf,
    kept: Mutex<Kept>,
    turn: Turn<()>,
}

impl Memory {
    /// Reads the file, as it is in the state directory. Blocks on the disk. Error: it cannot be read; one that cannot be
    /// understood is set aside.
    pub fn load(file: &Path) -> Result<Self> {
        let kept = Mutex::new(Kept::load(file)?);
        Ok(Self(Arc::new(Inner { file: file.to_owned(), kept, turn: Turn::default() })))
    }

    pub(super) fn kept(&self) -> Kept {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is remembered. Error: the change refuses, or the disk does; nothing is changed then.
    pub(super) async fn change(&self, how: impl FnOnce(&mut Kept) -> Result<()>) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        let mut kept = self.kept();
        how(&mut kept)?;
        let (written, file) = (kept.clone(), self.0.file.clone());
        let saved = spawn_blocking(move || written.save(&file)).await;
        saved.map_err(|error| Error::with_source(Kind::Internal, "external streams were not saved", error))??;
        *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }
}
