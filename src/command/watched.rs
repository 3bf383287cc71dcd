//! Files that somebody else may change while the service runs: telling one that was changed from one that was not, and
//! looking again and again, without the runtime ever waiting for the disk.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
pub const LOOK: Duration = Duration::from_secs(1);

/// By what a file that was changed is told from one that was not, or why it cannot be looked at.
pub type Seen = Result<Marks, io::ErrorKind>;

/// What changes with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that is looked at again and again.
#[derive(Clone, Debug)]
pub struct Watched {
    file: PathBuf,
    known: Seen,
    last: Seen,
}

impl Watched {
    /// One that is read afterwards. Blocks on the disk.
    pub fn new(file: &Path) -> Self {
        Self::seen(file, look(file))
    }

    fn seen(file: &Path, seen: Seen) -> Self {
        Self { file: file.to_owned(), known: seen.clone(), last: seen }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Looks at it, and tells whether it has changed since it was last read, and settled. To be called every [`LOOK`].
    pub async fn has_changed(&mut self) -> bool {
        let file = self.file.clone();
        match spawn_blocking(move || look(&file)).await {
            Ok(now) => self.has_settled(now),
            Err(error) => {
                tracing::error!(%error, file = %self.file.display(), "not looked at");
                false
            }
        }
    }

    /// Whether it has changed and was the same at two looks since: whoever writes it in place is not done at the first.
    fn has_settled(&mut self, now: Seen) -> bool {
        let settled = now != self.known && now == self.last;
        if settled {
            self.known = now.clone();
        }
        self.last = now;
        settled
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_when_it_is_the_same_at_two_looks() {
        let seen = |size: u64| Ok(Marks { device: 1, inode: 2, size, modified: (3, 4), changed: (5, 6) });
        let gone = || Err(io::ErrorKind::NotFound);
        let mut file = Watched::seen(Path::new("any"), seen(10));
        let mut settled = |now: Seen| file.has_settled(now);
        assert!(!settled(seen(10)) && !settled(seen(10)), "nothing has changed");
        assert!(!settled(seen(0)) && !settled(seen(5)) && !settled(seen(9)), "somebody is writing it");
        assert!(settled(seen(9)) && !settled(seen(9)), "once");
        assert!(!settled(gone()) && !settled(seen(9)), "put in the place of the old one");
        assert!(!settled(gone()) && settled(gone()) && !settled(gone()));
        assert!(!settled(seen(9)) && settled(seen(9)), "back");
    }
}
