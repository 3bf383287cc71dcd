//! What is in the files, read off the runtime's threads and remembered.
//!
//! A list must not wait for a slow disk: it tells the durations that are known by then, and those that are not are there
//! the next time. Reading is bounded: one list at a time, two single files at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    access::Caller,
    files::{self, Kind},
    library::on_disk,
};
use crate::{
    error::{Error, Kind as Failure, Result},
    output::storage::{
        self, Known, Opened, Stored,
        contents::{self, Film, PictureSize},
    },
};

/// How long a list waits for what it does not know yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the contents of both folders. `None` in it: the file is no recording or picture.
pub struct Contents {
    films: Arc<Known<Option<Film>>>,
    pictures: Arc<Known<Option<PictureSize>>>,
    lists: Arc<Semaphore>,
    singles: Semaphore,
}

impl Default for Contents {
    fn default() -> Self {
        let (films, pictures) = (Arc::default(), Arc::default());
        Self { films, pictures, lists: Arc::new(Semaphore::new(1)), singles: Semaphore::new(2) }
    }
}

impl Contents {
    /// A recording of `folder` and what is in it.
    ///
    /// # Errors
    /// Those of [`files::open`], and the disk's.
    pub(super) async fn film(&self, name: String, caller: &Caller, folder: &Path) -> Result<(Stored, Option<Film>)> {
        let known = Arc::clone(&self.films);
        self.single(Kind::Recording, name, caller, folder, move |opened| read_film(&known, opened)).await
    }

    /// A snapshot of `folder` and how large it is.
    ///
    /// # Errors
    /// Those of [`files::open`], and the disk's.
    pub(super) async fn picture(
        &self,
        name: String,
        caller: &Caller,
        folder: &Path,
    ) -> Result<(Stored, Option<PictureSize>)> {
        let known = Arc::clone(&self.pictures);
        self.single(Kind::Snapshot, name, caller, folder, move |opened| read_picture(&known, opened)).await
    }

    /// What is in these recordings of `folder`, as far as it is known soon: in their order.
    pub(super) async fn films(&self, folder: &Path, files: &[Stored]) -> Vec<Option<Film>> {
        let unknown: Vec<_> = files.iter().filter(|file| self.films.get(file).is_none()).cloned().collect();
        if !unknown.is_empty() {
            let deadline = Instant::now() + PATIENCE;
            if let Ok(Ok(turn)) = timeout_at(deadline, Arc::clone(&self.lists).acquire_owned()).await {
                let (known, folder) = (Arc::clone(&self.films), PathBuf::from(folder));
                let reading = spawn_blocking(move || {
                    let _turn = turn;
                    unknown.iter().for_each(|file| learn(&known, &folder, file));
                });
                // It goes on when the list does not wait any more, and the next list knows more.
                let _ = timeout_at(deadline, reading).await;
            }
        }
        files.iter().map(|file| self.films.get(file).flatten()).collect()
    }

    async fn single<T: Send + 'static>(
        &self,
        kind: Kind,
        name: String,
        caller: &Caller,
        folder: &Path,
        read: impl FnOnce(&Opened) -> Result<T> + Send + 'static,
    ) -> Result<(Stored, T)> {
        let (caller, folder) = (caller.clone(), folder.to_owned());
        let closed = |error| Error::with_source(Failure::Internal, "no file is read any more", error);
        let _turn = self.singles.acquire().await.map_err(closed)?;
        on_disk(move || {
            let opened = files::open(kind, &name, &caller, &folder)?;
            let what = read(&opened)?;
            Ok((opened.stored, what))
        })
        .await
    }
}

/// Reads a file of a list. One that cannot be read, or was deleted meanwhile, is one of which nothing is known.
fn learn(known: &Known<Option<Film>>, folder: &Path, file: &Stored) {
    let read = storage::open(folder, &file.name).and_then(|opened| read_film(known, &opened));
    if let Err(error) = read {
        tracing::debug!(file = %file.name, "duration not read: {}", error.chain());
    } else if known.get(file).is_none() {
        // It has grown since it was listed. What is known of it now is what this list tells.
        known.put(file, read.ok().flatten());
    }
}

fn read_film(known: &Known<Option<Film>>, Opened { file, stored, .. }: &Opened) -> Result<Option<Film>> {
    remembered(known, stored, || contents::film(file, stored.size))
}

fn read_picture(
    known: &Known<Option<PictureSize>>,
    Opened { file, stored, .. }: &Opened,
) -> Result<Option<PictureSize>> {
    remembered(known, stored, || contents::picture_size(file))
}

fn remembered<T: Copy>(known: &Known<T>, file: &Stored, read: impl FnOnce() -> std::io::Result<T>) -> Result<T> {
    if let Some(what) = known.get(file) {
        return Ok(what);
    }
    let what = read().map_err(|error| {
        let failure = Failure::Dependency { dependency: "disk".into() };
        Error::with_source(failure, format!("{} cannot be read", file.name), error)
    })?;
    known.put(file, what);
    Ok(what)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use super::*;

    /// The shortest Matroska file that names its duration.
    fn film(seconds: u32) -> Vec<u8> {
        let head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8b\x44\x89\x88";
        [&head[..], &(f64::from(seconds) * 1000.0).to_be_bytes()].concat()
    }

    #[tokio::test]
    async fn what_is_in_a_file_is_read_once_for_each_version_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |seconds, modified| {
            let path = folder.path().join("a.mkv");
            fs::write(&path, film(seconds)).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        };
        let contents = Contents::default();
        let told = async || {
            let files = storage::list(folder.path(), &["mkv"]).unwrap();
            let films = contents.films(folder.path(), &files).await;
            films.iter().map(|film| film.unwrap().duration.unwrap().as_secs()).collect::<Vec<_>>()
        };
        let (before, after) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        write(5, before);
        assert_eq!(told().await, [5]);
        write(7, before);
        assert_eq!(told().await, [5], "it was not read again");
        write(7, after);
        assert_eq!(told().await, [7]);
    }

    #[tokio::test]
    async fn a_list_does_not_wait_for_another() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mkv"), film(5)).unwrap();
        let contents = Contents::default();
        let _slow_disk = Arc::clone(&contents.lists).acquire_owned().await.unwrap();
        let files = storage::list(folder.path(), &["mkv"]).unwrap();
        assert_eq!(contents.films(folder.path(), &files).await, [None]);
    }
}
