//! Where the files of paths go, and what they are called.
//!
//! Recordings have two folders where a second one is configured: it takes what the first one does not. A folder's disk may
//! hang at any moment, so nobody waits for one without an end.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    OwnFolder, OwnFolders, RecordingRequest,
    room::{Room, Rooms, no_room},
};
use crate::{
    error::{Error, Kind, Result},
    output::{
        recorder::{self, Mark, Note, Syncs, Target},
        snapshot::{self, Picture},
        storage::{self, FileName, InUse, NamePattern, Uses},
    },
};

/// How long a folder may take to say what it is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions to a folder at once. A disk that hangs holds so many threads, and no more.
const QUESTIONS: usize = 4;

/// The folders of recordings and snapshots.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Recordings.
    pub recordings: PathBuf,
    /// Recordings that the first folder does not take.
    pub fallback: Option<PathBuf>,
    /// Recordings of paths that have a folder of their own.
    pub own: OwnFolders,
    /// Snapshots.
    pub snapshots: PathBuf,
    /// How files are named that nobody named.
    pub pattern: NamePattern,
    /// Which of them somebody is busy with.
    pub uses: Uses,
    /// The questions that the folders of recordings are busy with.
    pub doors: Doors,
}

/// One of the folders of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one of the path.
    Own(OwnFolder),
    First,
    Fallback,
}

/// Lets a few questions at a time through to each folder of recordings. Clones are the same doors.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    first: Door,
    fallback: Door,
    syncs: Syncs,
}

#[derive(Clone, Debug)]
pub(super) struct Door {
    questions: Arc<Semaphore>,
    /// Whether the last question was answered too late, or not at all.
    late: Arc<AtomicBool>,
}

impl Default for Door {
    fn default() -> Self {
        Self { questions: Arc::new(Semaphore::new(QUESTIONS)), late: Arc::default() }
    }
}

impl Doors {
    /// How long the disks of recordings took to have what was written.
    pub fn syncs(&self) -> &Syncs {
        &self.syncs
    }
}

/// A file that was made for a recording.
#[derive(Debug)]
pub(super) struct NewRecording {
    pub target: Target,
    /// The sign that it is being written.
    pub written: InUse,
    /// Where it is.
    pub folder: Which,
}

impl Folders {
    /// The folders of recordings of all paths, in the order in which they are tried.
    pub(super) fn of_all(&self) -> impl Iterator<Item = (Which, &Path)> {
        let fallback = self.fallback.as_deref().map(|folder| (Which::Fallback, folder));
        std::iter::once((Which::First, self.recordings.as_path())).chain(fallback)
    }

    /// A new, empty file for a recording with its mark, in the first folder that has room and takes it: the one that was
    /// asked for, then those of all. Errors: those of the first folder, where none does.
    pub(super) async fn new_recording(
        &self,
        note: &Note,
        request: &RecordingRequest,
        rooms: &Rooms,
    ) -> Result<NewRecording> {
        let mut failure = None;
        let of_all = self.of_all().map(|(which, _)| which);
        for which in request.folder.map(Which::Own).into_iter().chain(of_all) {
            let made = match rooms.of(which) {
                Room::None => Err(no_room()),
                _ => self.try_recording(which, note.clone(), request).await,
            };
            if let (Which::Own(_), Err(error)) = (which, &made) {
                tracing::error!(path = note.path, "not recorded in its recordPath: {}", error.chain());
            }
            match made {
                Ok(new) => return Ok(new),
                Err(error) => failure.get_or_insert(error),
            };
        }
        Err(failure.unwrap_or_else(no_room))
    }

    async fn try_recording(&self, which: Which, note: Note, request: &RecordingRequest) -> Result<NewRecording> {
        let (pattern, uses, syncs) = (self.pattern.clone(), self.uses.clone(), self.doors.syncs.clone());
        let (format, part) = (request.format, request.part);
        // Whoever asks for a name gets that one file, whichever folder it is in. A disk that hangs is not asked.
        let own = self.own.all().into_iter().map(|(own, _)| Which::Own(own));
        let others = self.of_all().map(|(other, _)| other).chain(own).filter(|other| *other != which);
        let others = others.filter_map(|other| self.at(other)).filter(|(_, door)| !door.late.load(Ordering::Relaxed));
        let others: Vec<_> = others.map(|(folder, _)| folder).collect();
        let make = move |folder: &Path| {
            let free = |name: &FileName| others.iter().all(|other| !other.join(name.as_str()).exists());
            let names = pattern.names(&note.path, note.started.into(), recorder::extension(format)).filter(free);
            let (file, mark, written) = reserve(folder, names, &note, &uses)?;
            let target = Target { file, mark: Some(mark), format, part, syncs };
            Ok(NewRecording { target, written, folder: which })
        };
        // Too late, it is nobody's.
        self.ask(which, make, |new| new.target.give_up()).await
    }

    /// A folder of recordings and its door. `None`: there is none such.
    fn at(&self, which: Which) -> Option<(PathBuf, Door)> {
        match which {
            Which::Own(own) => self.own.get(own),
            Which::First => Some((self.recordings.clone(), self.doors.first.clone())),
            Which::Fallback => Some((self.fallback.clone()?, self.doors.fallback.clone())),
        }
    }

    /// As [`ask`], of a folder of recordings.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        which: Which,
        question: impl FnOnce(&Path) -> Result<T> + Send + 'static,
        late: impl FnOnce(T) + Send + 'static,
    ) -> Result<T> {
        let (folder, door) = self.at(which).unwrap_or_else(|| (self.recordings.clone(), self.doors.first.clone()));
        ask(folder, &door, question, late).await
    }

    /// Stores a picture of `path`, whole or not at all, as `name` or by the pattern. Blocks on the disk.
    /// Errors: the name is taken or ends like another kind of file; the folder cannot be written.
    pub(super) fn store_snapshot(&self, path: &str, name: Option<FileName>, picture: &Picture) -> Result<PathBuf> {
        let extensions = snapshot::extensions(picture.format);
        match name {
            Some(name) => storage::write(&self.snapshots, [name.with_extension(extensions)?], &picture.data),
            None => {
                let names = self.pattern.names(path, picture.captured, extensions[0]);
                storage::write(&self.snapshots, names, &picture.data)
            }
        }
    }
}

/// Asks a folder something that blocks on its disk. `late` takes the answer that comes too late.
/// Errors: those of `question`; the disk hangs.
pub(super) async fn ask<T: Send + 'static>(
    folder: PathBuf,
    door: &Door,
    question: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    late: impl FnOnce(T) + Send + 'static,
) -> Result<T> {
    let (deadline, hanging) = (Instant::now() + PATIENCE, hanging(&folder));
    let questions = Arc::clone(&door.questions);
    let Ok(Ok(turn)) = timeout_at(deadline, questions.acquire_owned()).await else { return Err(hanging) };
    let (answer, answered) = oneshot::channel();
    spawn_blocking(move || {
        let _turn = turn;
        if let Err(Ok(unwanted)) = answer.send(question(&folder)) {
            late(unwanted);
        }
    });
    let answered = timeout_at(deadline, answered).await;
    door.late.store(answered.is_err(), Ordering::Relaxed);
    match answered {
        Ok(Ok(answer)) => answer,
        // Its thread is gone, and with it the other end.
        Ok(Err(_)) => Err(Error::internal("a question to the disk broke off")),
        Err(_) => Err(hanging),
    }
}

/// Makes the file and its mark. Blocks on the disk. Errors: the folder cannot be written; every name is taken.
fn reserve(
    folder: &Path,
    names: impl Iterator<Item = FileName>,
    note: &Note,
    uses: &Uses,
) -> Result<(PathBuf, Mark, InUse)> {
    for name in names {
        let file = folder.join(name.as_str());
        if file.exists() {
            continue;
        }
        // The mark comes first: at no moment is there a file that nobody would find.
        let mark = Mark::put(&file, note)?;
        match storage::reserve(folder, [name], uses) {
            Ok((file, written)) => return Ok((file, mark, written)),
            Err(error) => {
                mark.remove();
                if !matches!(error.kind(), Kind::InvalidParams { .. }) {
                    return Err(error);
                }
            }
        }
    }
    Err(storage::taken(folder))
}

/// Of a folder whose disk hangs.
fn hanging(folder: &Path) -> Error {
    Error::dependency("disk", format!("{} does not answer within {PATIENCE:?}: the disk hangs", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::output::recorder::RecordingFormat;

    const MKV: RecordingRequest = RecordingRequest::new(RecordingFormat::Mkv);

    fn folders(root: &Path) -> Folders {
        let folder = |name: &str| {
            std::fs::create_dir(root.join(name)).unwrap();
            root.join(name)
        };
        Folders {
            recordings: folder("first"),
            fallback: Some(folder("second")),
            own: OwnFolders::default(),
            snapshots: folder("snapshots"),
            pattern: NamePattern::default(),
            uses: Uses::default(),
            doors: Doors::default(),
        }
    }

    fn name(new: &NewRecording) -> &str {
        new.target.file.file_name().unwrap().to_str().unwrap()
    }

    #[tokio::test]
    async fn a_moment_that_comes_twice_has_two_names_whichever_folder_they_are_in() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        // As after a clock that was set back.
        let note = Note::new("camera0", "a session", SystemTime::UNIX_EPOCH);
        let make = async || folders.new_recording(&note, &MKV, &Rooms::default()).await.unwrap();
        let first = make().await;
        assert_eq!((first.folder, name(&first)), (Which::First, "camera0_1970-01-01_00-00-00.mkv"));
        std::fs::rename(&folders.recordings, root.path().join("away")).unwrap();
        std::fs::write(&folders.recordings, "no folder").unwrap();
        let second = make().await;
        assert_eq!((second.folder, name(&second)), (Which::Fallback, "camera0_1970-01-01_00-00-00.mkv"));
        std::fs::remove_file(&folders.recordings).unwrap();
        std::fs::rename(root.path().join("away"), &folders.recordings).unwrap();
        // Back in the first folder, and none is called like one of the other.
        std::fs::remove_file(&first.target.file).unwrap();
        let third = make().await;
        assert_eq!((third.folder, name(&third)), (Which::First, "camera0_1970-01-01_00-00-00_2.mkv"));
    }

    #[tokio::test]
    async fn where_no_folder_takes_it_the_first_one_says_why() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        std::fs::remove_dir(&folders.recordings).unwrap();
        std::fs::remove_dir(folders.fallback.as_ref().unwrap()).unwrap();
        let note = Note::new("camera0", "a session", SystemTime::UNIX_EPOCH);
        let error = folders.new_recording(&note, &MKV, &Rooms::default()).await.unwrap_err();
        assert!(error.message().contains("first"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_does_not_answer_holds_a_few_threads_and_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path());
        let held: Vec<_> =
            (0..QUESTIONS).map(|_| Arc::clone(&folders.doors.first.questions).try_acquire_owned().unwrap()).collect();
        let error = folders.ask(Which::First, |_| Ok(()), drop).await.unwrap_err();
        assert!(error.message().contains("the disk hangs"), "{error}");
        drop(held);
        folders.ask(Which::First, |_| Ok(()), drop).await.unwrap();
    }
}
