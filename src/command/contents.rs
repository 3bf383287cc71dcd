//! What is in the files, read off the runtime's threads and remembered.
//!
//! A list must not wait for a slow disk: it tells the durations that are known by then, and those that are not are there
//! the next time. Reading is bounded: one list at a time, two single files at a time.

use std::{path::Path, sync::Arc, time::Duration};

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
        self, Entry, Index, Known, Opened, Stored,
        contents::{self, PictureSize},
    },
};

/// How long a list waits for what it does not know yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads contents, and knows those of snapshots; those of recordings are in their index.
pub struct Contents {
    /// `None` in it: the file is no picture.
    pictures: Arc<Known<Option<PictureSize>>>,
    lists: Arc<Semaphore>,
    singles: Semaphore,
}

impl Default for Contents {
    fn default() -> Self {
        Self { pictures: Arc::default(), lists: Arc::new(Semaphore::new(1)), singles: Semaphore::new(2) }
    }
}

impl Contents {
    /// A recording, and what is in it is read.
    ///
    /// # Errors
    /// Those of [`files::open`], and the disk's.
    pub(super) async fn film(&self, name: String, caller: &Caller, index: &Index) -> Result<Arc<Entry>> {
        let (index, folder) = (index.clone(), index.place().folder.clone());
        let read = move |opened: &Opened| {
            let entry = index.entry(opened.stored.clone());
            read_film(&index, &entry, opened)?;
            Ok(entry)
        };
        self.single(Kind::Recording, name, caller, &folder, read).await.map(|(_, entry)| entry)
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

    /// Reads what is in these recordings and is not known, as far as that is soon done.
    pub(super) async fn read_films(&self, index: &Index, files: &[Arc<Entry>]) {
        let unknown: Vec<_> = files.iter().filter(|entry| entry.film().is_none()).cloned().collect();
        if unknown.is_empty() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        if let Ok(Ok(turn)) = timeout_at(deadline, Arc::clone(&self.lists).acquire_owned()).await {
            let index = index.clone();
            let reading = spawn_blocking(move || {
                let _turn = turn;
                unknown.iter().for_each(|entry| learn(&index, entry));
            });
            // It goes on when the list does not wait any more, and the next list knows more.
            let _ = timeout_at(deadline, reading).await;
        }
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

/// Reads a file of a list. One that cannot be read, or was deleted meanwhile, is one of which nothing is known. One that
/// has grown since it was listed is told of as it is now.
fn learn(index: &Index, entry: &Entry) {
    let opened = storage::open(&index.place().folder, &entry.stored.name);
    if let Err(error) = opened.and_then(|opened| read_film(index, entry, &opened)) {
        tracing::debug!(file = %entry.stored.name, "duration not read: {}", error.chain());
    }
}

fn read_film(index: &Index, entry: &Entry, Opened { file, stored, .. }: &Opened) -> Result<()> {
    if entry.film().is_none() {
        index.learn(entry, contents::film(file, stored.size).map_err(|error| unreadable(stored, error))?);
    }
    Ok(())
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
    let what = read().map_err(|error| unreadable(file, error))?;
    known.put(file, what);
    Ok(what)
}

fn unreadable(file: &Stored, error: std::io::Error) -> Error {
    let failure = Failure::Dependency { dependency: "disk".into() };
    Error::with_source(failure, format!("{} cannot be read", file.name), error)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use super::*;
    use crate::output::storage::Query;

    /// The shortest Matroska file that names its duration.
    fn film(seconds: u32) -> Vec<u8> {
        let head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x15\x49\xa9\x66\x8b\x44\x89\x88";
        [&head[..], &(f64::from(seconds) * 1000.0).to_be_bytes()].concat()
    }

    fn index(folder: &Path) -> Index {
        Index::new(storage::Place {
            folder: folder.into(),
            extensions: &["mkv"],
            pattern: storage::NamePattern::default(),
            films: true,
            saved: folder.join("index"),
        })
    }

    #[tokio::test]
    async fn what_is_in_a_file_is_read_once_for_each_version_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |seconds, modified| {
            let path = folder.path().join("a.mkv");
            fs::write(&path, film(seconds)).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        };
        let (contents, index) = (Contents::default(), index(folder.path()));
        let told = async || {
            let files = index.page(&Query { limit: 10, ..Query::default() }).unwrap().files;
            contents.read_films(&index, &files).await;
            files.iter().map(|file| file.film().flatten().unwrap().duration.unwrap().as_secs()).collect::<Vec<_>>()
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
        let (contents, index) = (Contents::default(), index(folder.path()));
        let _slow_disk = Arc::clone(&contents.lists).acquire_owned().await.unwrap();
        let files = index.all().unwrap();
        contents.read_films(&index, &files).await;
        assert_eq!(files.iter().map(|file| file.film()).collect::<Vec<_>>(), [None]);
    }
}
