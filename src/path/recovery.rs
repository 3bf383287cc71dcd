//! What an earlier run left behind: recordings that were cut off by a crash or a power cut.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use super::{PathEvent, Paths, recording::file_name};
use crate::output::{
    recorder::{Mark, Note, Repaired, repair, unfinished},
    storage::{contents::film, spelling},
};

impl Paths {
    /// Finds the recordings that were cut off, and repairs them in the background, one after the other; each is told
    /// of when it plays. Has to come before the first recording. In a folder that cannot be read there are none.
    pub async fn recover(&self) {
        let mut found = Vec::new();
        for (which, _) in self.0.parts.folders.of_all() {
            match self.0.parts.folders.ask(which, unfinished, drop).await {
                Ok(marked) => found.extend(marked),
                Err(error) => tracing::error!("recordings that were cut off are not looked for: {}", error.chain()),
            }
        }
        self.repair_in_background(found);
    }

    /// Repairs them, one after the other.
    pub(super) fn repair_in_background(&self, found: Vec<(PathBuf, Option<Note>, Mark)>) {
        let paths = self.clone();
        spawn_blocking(move || {
            for (file, note, mark) in found {
                if paths.closing().is_cancelled() {
                    break;
                }
                paths.recover_one(&file, note, &mark);
            }
        });
    }

    fn recover_one(&self, file: &Path, note: Option<Note>, mark: &Mark) {
        let filename = file_name(file);
        let started = note.as_ref().map_or_else(|| modified(file), |note| note.started.into());
        // The mark came before the file, and nothing after it.
        if !file.exists() {
            return mark.remove();
        }
        let name = note.as_ref().map(|note| note.path.clone());
        let spelled = || self.0.parts.folders.pattern.device(&filename);
        let read = |spelled: &str| spelling::read(spelled).unwrap_or_else(|| spelled.to_owned());
        let name = name.or_else(|| spelled().map(read)).unwrap_or_default();
        let _written = self.0.parts.folders.uses.write(file);
        match repair(file, started, &self.0.parts.launch) {
            Ok(Repaired::Whole { lost }) => {
                tracing::info!(path = name, %filename, lost, "a recording that was cut off plays up to its last whole part");
                mark.remove();
                let session_id = note.map(|note| note.session_id);
                let duration = length(file);
                let _ = self.0.events.send(PathEvent::RecordingRecovered { name, filename, session_id, duration });
            }
            Ok(Repaired::Empty) => {
                tracing::info!(path = name, %filename, "a recording that was cut off had no whole part");
                mark.remove();
            }
            // The mark stays, and the next start tries again.
            Err(error) => {
                tracing::warn!(path = name, %filename, "a recording that was cut off stays as it is: {}", error.chain());
            }
        }
    }
}

fn length(file: &Path) -> Duration {
    let film = File::open(file).and_then(|opened| film(&opened, opened.metadata()?.len()));
    film.ok().flatten().and_then(|film| film.duration).unwrap_or_default()
}

fn modified(file: &Path) -> SystemTime {
    file.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
