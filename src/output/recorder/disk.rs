//! The file of a segment as the kernel has it: opened without overwriting, seen onto the disk, closed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::metrics::histogram::Histogram;

use super::{Mark, muxer::Muxer, repair};
use crate::{
    error::{Error, Kind, Result},
    media::launch::LaunchFiles,
    output::storage::{disk_error, sync_folder},
};

/// How often a growing file is looked at. With a part a second, this is how much later than written a part is safe.
const LOOK: Duration = Duration::from_millis(50);
/// The pause after a file was synced: cards wear out by every sync, and parts come once a second.
const PAUSE: Duration = Duration::from_millis(900);

/// Opens the file, which is not there or is empty. Errors: it has something in it, or cannot be written.
pub(super) fn open(path: &Path) -> Result<File> {
    let cannot = |error| disk_error(path, "cannot be written", error);
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).custom_flags(no_link);
    let disk = options.open(path).map_err(cannot)?;
    if disk.metadata().map_err(cannot)?.len() > 0 {
        let message = format!("{} exists; a recording does not overwrite it", path.display());
        return Err(Error::dependency("disk", message));
    }
    Ok(disk)
}

/// Whether the file is still the one that is found under its name. What nobody finds is not recorded, however well it is
/// written. Error: it is not.
fn in_place(path: &Path, disk: &File) -> Result<()> {
    let gone = "is not where it was: it, its folder or its disk was moved, deleted or unmounted while it was recorded";
    let own = disk.metadata().map_err(|error| disk_error(path, "cannot be examined", error))?;
    match fs::symlink_metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk_error(path, "cannot be examined", error)),
        _ => Err(Error::dependency("disk", format!("{} {gone}", path.display()))),
    }
}

/// How long the disk took to have what was written to it, in seconds. Clones are the same.
#[derive(Clone, Debug)]
pub struct Syncs(Histogram);

impl Default for Syncs {
    fn default() -> Self {
        Self(Histogram::new([0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]))
    }
}

impl Syncs {
    /// For those who show it.
    pub fn histogram(&self) -> &Histogram {
        &self.0
    }
}

/// Sees what is written onto the disk until it is dropped, on a thread of its own: a sync may take seconds. Then a
/// power cut costs the part that is being written and no earlier one.
pub(super) struct Syncing(#[expect(dead_code, reason = "its end is the message")] mpsc::Sender<()>);

impl Syncing {
    /// Begins. `failed` is told once if the disk does not take what was written, or the file is not in its place. Error: the thread cannot be made.
    pub fn start(
        path: &Path,
        disk: Arc<File>,
        syncs: Syncs,
        failed: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Self> {
        let (over, is_over) = mpsc::channel();
        let path = path.to_owned();
        let work = move || {
            let mut safe = 0;
            let mut pause = LOOK;
            while is_over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = LOOK;
                // A pipe or a device, in a test, has no length and nothing to sync.
                let length = disk.metadata().map_or(0, |found| found.len());
                if length == safe {
                    continue;
                }
                let began = Instant::now();
                let synced = disk.sync_data();
                syncs.0.observe(began.elapsed().as_secs_f64());
                if let Err(error) = synced {
                    return failed(disk_error(&path, "is not safe on the disk", error));
                }
                if let Err(error) = in_place(&path, &disk) {
                    return failed(error);
                }
                (safe, pause) = (length, PAUSE);
            }
        };
        thread::Builder::new()
            .name("recorder-sync".into())
            .spawn(work)
            .map_err(|error| Error::with_source(Kind::Internal, "no thread to sync a recording", error))?;
        Ok(Self(over))
    }
}

/// A file whose segment is over.
pub(super) struct Closing {
    pub file: PathBuf,
    pub mark: Option<Mark>,
    pub disk: Arc<File>,
    pub muxer: Muxer,
    pub launch: LaunchFiles,
    /// When its first frame was captured.
    pub started: SystemTime,
    /// Whether it has a frame.
    pub empty: bool,
    /// Whether something was not written that should be in it.
    pub failed: bool,
}

impl Closing {
    /// Stops the pipeline, which closes the file, and sees that onto the disk, made whole where it failed. Then its mark
    /// goes. `bytes` is its size as last known. A file without a frame is taken away. Blocks on the disk.
    pub fn run(&self, bytes: &AtomicU64) -> Result<()> {
        let unsafe_yet = |error| disk_error(&self.file, "is not safe on the disk", error);
        self.measure(bytes).map_err(unsafe_yet)?;
        self.muxer.stop();
        if self.empty {
            remove(&self.file, &self.disk);
        } else {
            in_place(&self.file, &self.disk)?;
            self.save().map_err(unsafe_yet)?;
            if self.failed {
                repair(&self.file, self.started, &self.launch)?;
            }
            self.measure(bytes).map_err(unsafe_yet)?;
        }
        if let Some(mark) = &self.mark {
            mark.remove();
        }
        Ok(())
    }

    fn measure(&self, bytes: &AtomicU64) -> io::Result<()> {
        bytes.store(self.disk.metadata()?.len(), Ordering::Relaxed);
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        self.disk.sync_all()?;
        self.file.parent().map_or(Ok(()), sync_folder)
    }
}

/// Takes away a file that nothing was written to.
fn remove(path: &Path, disk: &File) {
    if disk.metadata().is_ok_and(|found| found.is_file()) {
        let _ = fs::remove_file(path);
    }
}

/// Takes away what was made for a segment that does not begin: its mark, and its file unless there is something in it.
pub(super) fn give_up(path: &Path, mark: Option<&Mark>) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0) {
        let _ = fs::remove_file(path);
    }
    if let Some(mark) = mark {
        mark.remove();
    }
}
