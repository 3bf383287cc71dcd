//! The index as a file of the state directory: only what would otherwise have to be asked of every file again.
//!
//! It is a cache. One that is not there, is cut off, is of another version or of another folder is as good as none.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crc::{CRC_32_ISCSI, Crc};
use serde::{Deserialize, Serialize};

use super::{
    super::{FileName, Stored, contents::Film},
    table::Entry,
};
use crate::{
    config::RecordingFormat,
    error::{Error, Kind, Result},
    state_file,
};

/// What this code reads and writes.
const VERSION: u32 = 1;

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    folder: String,
    files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    size: u64,
    /// Nanoseconds since 1970, as all times here.
    modified: i64,
    /// Not there: nobody has read it. In it, not there: it is no recording.
    film: Option<Option<Shot>>,
}

#[derive(Serialize, Deserialize)]
struct Shot {
    matroska: bool,
    fragmented: bool,
    created: Option<i64>,
    duration: Option<Duration>,
}

/// A file as it was when the index was saved, and what was in it.
pub(super) type Remembered = (Stored, Option<Option<Film>>);

/// What `file` says of `folder`; nothing where there is none. Blocks on the disk. Error: it cannot be read or understood.
pub(super) fn load(file: &Path, folder: &Path) -> Result<HashMap<FileName, Remembered>> {
    let Some(bytes) = state_file::read(file)? else { return Ok(HashMap::new()) };
    let bad =
        |problem: String| Error::dependency("disk", format!("{} cannot be understood: {problem}", file.display()));
    let document: Document =
        postcard::from_bytes_crc32(&bytes, CHECKSUM.digest()).map_err(|error| bad(error.to_string()))?;
    match document {
        Document { version: VERSION, folder: of, files } if Path::new(&of) == folder => {
            Ok(files.into_iter().filter_map(File::read).collect())
        }
        Document { version: VERSION, folder: of, .. } => Err(bad(format!("it is of {of}"))),
        Document { version, .. } => Err(bad(format!("it is of version {version}, not {VERSION}"))),
    }
}

/// Writes what is known of the files of `folder`. Blocks on the disk. Error: the state directory cannot be written; the
/// old file is whole then.
pub(super) fn save(file: &Path, folder: &Path, entries: &[Arc<Entry>]) -> Result<()> {
    let files = entries.iter().map(|entry| File::of(entry)).collect();
    let document = Document { version: VERSION, folder: folder.to_string_lossy().into_owned(), files };
    let bytes = postcard::to_stdvec_crc32(&document, CHECKSUM.digest())
        .map_err(|error| Error::with_source(Kind::Internal, "an index cannot be written", error))?;
    state_file::write(file, &bytes, 0o600)
}

impl File {
    fn of(entry: &Entry) -> Self {
        let Stored { name, size, modified } = &entry.stored;
        let film = entry.film().map(|film| film.map(Shot::of));
        Self { name: name.as_str().to_owned(), size: *size, modified: nanos(*modified), film }
    }

    fn read(self) -> Option<(FileName, Remembered)> {
        let name = FileName::parse(&self.name).ok()?;
        let stored = Stored { name: name.clone(), size: self.size, modified: time(self.modified) };
        Some((name, (stored, self.film.map(|film| film.map(Shot::read)))))
    }
}

impl Shot {
    fn of(film: Film) -> Self {
        Self {
            matroska: film.format == RecordingFormat::Mkv,
            fragmented: film.format == RecordingFormat::Fmp4,
            created: film.created.map(nanos),
            duration: film.duration,
        }
    }

    fn read(self) -> Film {
        let format = match (self.matroska, self.fragmented) {
            (true, _) => RecordingFormat::Mkv,
            (false, true) => RecordingFormat::Fmp4,
            (false, false) => RecordingFormat::Mp4,
        };
        Film { format, created: self.created.map(time), duration: self.duration }
    }
}

/// Times that do not fit, before 1678 or after 2262, become another time: then the file is read again.
fn nanos(time: SystemTime) -> i64 {
    let whole = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

fn time(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if nanos < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    time.unwrap_or(epoch)
}
