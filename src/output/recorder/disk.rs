//! The file of a segment as the kernel has it: opened without overwriting, seen onto the disk, closed.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::muxer::Muxer;
use crate::{
    error::{Error, Kind, Result},
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

/// Sees what is written onto the disk until it is dropped, on a thread of its own: a sync may take seconds. Then a
/// power cut costs the part that is being written and no earlier one.
pub(super) struct Syncing(#[expect(dead_code, reason = "its end is the message")] mpsc::Sender<()>);

impl Syncing {
    /// Begins. `failed` is told once if the disk does not take what was written. Error: the thread cannot be made.
    pub fn start(path: &Path, disk: Arc<File>, failed: impl FnOnce(Error) + Send + 'static) -> Result<Self> {
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
                if let Err(error) = disk.sync_data() {
                    return failed(disk_error(&path, "is not safe on the disk", error));
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

/// Stops the pipeline, which closes its file, and sees the file onto the disk. `bytes` is its size as last known. A file
/// without a frame is taken away.
pub(super) fn close(muxer: &Muxer, disk: &File, path: &Path, empty: bool, bytes: &AtomicU64) -> io::Result<()> {
    bytes.store(disk.metadata()?.len(), Ordering::Relaxed);
    muxer.stop();
    if empty {
        remove(path, disk);
        return Ok(());
    }
    let found = disk.metadata()?;
    bytes.store(found.len(), Ordering::Relaxed);
    if found.nlink() == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "deleted while it was recorded"));
    }
    disk.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Takes away a file that nothing was written to.
pub(super) fn remove(path: &Path, disk: &File) {
    if disk.metadata().is_ok_and(|found| found.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}
