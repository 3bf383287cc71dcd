//! Files that somebody else may change while the service runs: telling one that was changed from one that was not, and
//! looking again and again, without the runtime ever waiting for the disk.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// By what a file that was changed is told from one that was not, or why it cannot be looked at.
pub type Seen = Result<Marks, io::ErrorKind>;

/// What changes with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Marks {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Looks at `file`. Blocks on the disk.
pub fn look(file: &Path) -> Seen {
    let seen = fs::metadata(file).map_err(|error| error.kind())?;
    Ok(Marks {
        device: seen.dev(),
        inode: seen.ino(),
        size: seen.size(),
        modified: (seen.mtime(), seen.mtime_nsec()),
        changed: (seen.ctime(), seen.ctime_nsec()),
    })
}

/// Calls `look`, which may block, once a second until `stopping`. `what` it looks at is said in the log.
pub async fn keep_looking(what: &str, stopping: &CancellationToken, look: impl Fn() + Clone + Send + 'static) {
    let mut tick = tokio::time::interval(LOOK);
    // A disk that hangs is not asked more often afterwards to make up for it.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            tick.tick().await;
            if let Err(error) = spawn_blocking(look.clone()).await {
                tracing::error!(%error, "{what} were not looked at");
            }
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = looking => {}
    }
}
