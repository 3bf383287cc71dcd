//! What happens in a folder: told by the kernel, or, where that does not tell, found by looking.
//!
//! The kernel's queue is read when somebody asks and once a second. What happened before it is read is in it (inotify(7)
//! queues an event within the call that causes it), so whoever asks after a change sees the change.

use std::{
    collections::HashSet,
    fs, io,
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

use super::{
    super::FileName,
    saved::{Seal, nanos},
};

/// How long a folder that is not watched is trusted not to have changed when it looks as it did.
const TRUST: Duration = Duration::from_secs(30);

/// How soon after a change another one may leave no trace in the folder's time: file systems count in up to two seconds.
const GRAIN: Duration = Duration::from_secs(3);

/// File systems that other machines or other programs change behind the kernel's back, by the number that statfs(2) has
/// for them: NFS, SMB (three), FUSE, 9P, Ceph, AFS.
const REMOTE: [u32; 8] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// File systems that count in ticks of the kernel, of 10 ms at most: ext4, XFS, Btrfs, F2FS, tmpfs.
const FINE: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// As [`GRAIN`], there.
const FINE_GRAIN: Duration = Duration::from_millis(50);

/// A folder that is watched.
pub(super) struct Watch {
    /// Which folder of this name it is: another one may come in its place.
    folder: (u64, u64),
    how: How,
}

enum How {
    Told(OwnedFd),
    Looked { changed: SystemTime, at: Instant },
}

/// What happened since it was asked last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something with these files, or nothing. Names that nobody may use are left out.
    Files(HashSet<FileName>),
    /// More than is known: which files there are has to be read again.
    Names,
    /// More than is known: everything has to be looked at again.
    All,
    /// It is another folder, or is not watched any more.
    Lost,
}

impl Watch {
    /// Watches `folder` from now on. The second part says why only by looking. Error: the folder cannot be looked at.
    pub fn on(folder: &Path) -> io::Result<(Self, Option<String>)> {
        // Looked at before it is watched: one that is exchanged in between is another one the next time.
        let found = fs::metadata(folder)?;
        let told = if is_remote(folder)? {
            Err("its file system may be changed from elsewhere".to_owned())
        } else {
            tell(folder).map_err(|errno| errno.to_string())
        };
        let (how, why) = match told {
            Ok(queue) => (How::Told(queue), None),
            Err(why) => (looked(&found), Some(why)),
        };
        Ok((Self { folder: identity(&found), how }, why))
    }

    /// As [`on`](Self::on), by looking only.
    #[cfg(test)]
    pub fn by_looking(folder: &Path) -> io::Result<(Self, Option<String>)> {
        let found = fs::metadata(folder)?;
        Ok((Self { folder: identity(&found), how: looked(&found) }, None))
    }

    /// Whether changes are found by looking only.
    pub fn looks(&self) -> bool {
        matches!(self.how, How::Looked { .. })
    }

    /// What happened in `folder` since the last call. Error: the folder cannot be looked at.
    pub fn news(&mut self, folder: &Path) -> io::Result<News> {
        let found = fs::metadata(folder)?;
        if identity(&found) != self.folder {
            return Ok(News::Lost);
        }
        match &mut self.how {
            How::Told(queue) => read(queue),
            How::Looked { changed, at } => {
                let now = found.modified()?;
                let settled =
                    at.elapsed() < TRUST && SystemTime::now().duration_since(now).is_ok_and(|age| age > GRAIN);
                let same = now == *changed && settled;
                if !same {
                    (*changed, *at) = (now, Instant::now());
                }
                Ok(if same { News::Files(HashSet::new()) } else { News::Names })
            }
        }
    }
}

/// The seal of `folder` as it is.
pub(super) fn seal(folder: &Path) -> io::Result<Seal> {
    let found = fs::metadata(folder)?;
    Ok(Seal { inode: found.ino(), changed: nanos(found.modified()?) })
}

/// The same, unless another change now might leave it as it is.
pub(super) fn settled_seal(folder: &Path) -> Option<Seal> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    let grain = if FINE.iter().any(|fine| is_kind(kind, *fine)) { FINE_GRAIN } else { GRAIN };
    let changed = fs::metadata(folder).ok()?.modified().ok()?;
    let settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > grain);
    seal(folder).ok().filter(|seal| settled && seal.changed == nanos(changed))
}

fn looked(found: &fs::Metadata) -> How {
    How::Looked { changed: found.modified().unwrap_or(SystemTime::UNIX_EPOCH), at: Instant::now() }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn is_remote(folder: &Path) -> io::Result<bool> {
    let kind = rustix::fs::statfs(folder)?.f_type;
    Ok(REMOTE.iter().any(|remote| is_kind(kind, *remote)))
}

/// The number's width is the processor's.
fn is_kind(kind: rustix::fs::FsWord, number: u32) -> bool {
    kind as u32 == number
}

fn tell(folder: &Path) -> rustix::io::Result<OwnedFd> {
    let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let what = WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&queue, folder, what)?;
    Ok(queue)
}

fn read(queue: &OwnedFd) -> io::Result<News> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = Reader::new(queue, &mut buffer);
    let (mut files, mut overflow) = (HashSet::new(), false);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let what = event.events();
        if what.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF) {
            return Ok(News::Lost);
        }
        overflow |= what.contains(ReadFlags::QUEUE_OVERFLOW);
        let name = event.file_name().and_then(|name| std::ffi::OsStr::from_bytes(name.to_bytes()).to_str());
        files.extend(name.and_then(|name| FileName::parse(name).ok()));
    }
    Ok(if overflow { News::All } else { News::Files(files) })
}
