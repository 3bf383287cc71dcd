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
    Place,
    table::Entry,
};
use crate::{
    config::RecordingFormat,
    error::{Error, Kind, Result},
    state_file,
};

/// What this code reads and writes.
const VERSION: u32 = 2;

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    folder: String,
    /// The folder as it was, if that tells whether it was changed since.
    seal: Option<Seal>,
    /// How names were read.
    pattern: String,
    devices: Vec<String>,
    files: Vec<File>,
}

/// By what a folder is told from what it was: another number, or another time, and something was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    pub inode: u64,
    /// When a name in it was last made, changed or taken away.
    pub changed: i64,
}

/// What was kept.
#[derive(Debug)]
pub(super) struct Saved {
    /// See [`Seal`].
    pub seal: Option<Seal>,
    /// The files by name, as they were.
    pub entries: Vec<Arc<Entry>>,
}

#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    size: u64,
    /// Nanoseconds since 1970, as all times here.
    modified: i64,
    /// Whose it is, by its place in `devices`.
    device: Option<u32>,
    /// The time in its name.
    named: Option<i64>,
    /// Not there: nobody has read it. In it, not there: it is no recording.
    film: Option<Option<Shot>>,
}

#[derive(Serialize, Deserialize)]
struct Shot {
    container: Container,
    created: Option<i64>,
    duration: Option<Duration>,
}

/// A container, in an order that stays as it is.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Container {
    Fmp4,
    Mp4,
    Mkv,
    MpegTs,
}

/// What `file` says of the folder of `place`; `None` where there is none. Blocks on the disk. Error: it cannot be read or
/// understood.
pub(super) fn load(place: &Place) -> Result<Option<Saved>> {
    let Some(bytes) = state_file::read(&place.saved)? else { return Ok(None) };
    let bad = |problem: String| {
        Error::dependency("disk", format!("{} cannot be understood: {problem}", place.saved.display()))
    };
    let document: Document =
        postcard::from_bytes_crc32(&bytes, CHECKSUM.digest()).map_err(|error| bad(error.to_string()))?;
    let Document { version, folder, seal, pattern, devices, files } = document;
    if version != VERSION {
        return Err(bad(format!("it is of version {version}, not {VERSION}")));
    }
    if Path::new(&folder) != place.folder || pattern != pattern_of(place) {
        return Err(bad(format!("it is of {folder} and of {pattern}")));
    }
    let devices: Vec<Arc<str>> = devices.into_iter().map(Into::into).collect();
    let entries = files.into_iter().filter_map(|file| file.read(&devices)).collect();
    Ok(Some(Saved { seal, entries }))
}

/// Writes what is known of the files of the folder of `place`, which are in the order of their names. Blocks on the disk.
/// Error: the state directory cannot be written; the old file is whole then.
pub(super) fn save(place: &Place, Saved { seal, entries }: &Saved) -> Result<()> {
    let (mut devices, mut places) = (Vec::new(), HashMap::new());
    let mut number = |device: &Arc<str>| {
        *places.entry(Arc::clone(device)).or_insert_with(|| {
            devices.push(device.to_string());
            u32::try_from(devices.len() - 1).unwrap_or(u32::MAX)
        })
    };
    let files = entries.iter().map(|entry| File::of(entry, entry.device.as_ref().map(&mut number))).collect();
    let folder = place.folder.to_string_lossy().into_owned();
    let document = Document { version: VERSION, folder, seal: *seal, pattern: pattern_of(place), devices, files };
    let bytes = postcard::to_stdvec_crc32(&document, CHECKSUM.digest())
        .map_err(|error| Error::with_source(Kind::Internal, "an index cannot be written", error))?;
    state_file::write(&place.saved, &bytes, 0o600)
}

fn pattern_of(place: &Place) -> String {
    format!("{:?} {:?}", place.pattern, place.extensions)
}

impl File {
    fn of(entry: &Entry, device: Option<u32>) -> Self {
        let Stored { name, size, modified } = &entry.stored;
        let film = entry.film().map(|film| film.map(Shot::of));
        let named = entry.named().map(nanos);
        Self { name: name.as_str().to_owned(), size: *size, modified: nanos(*modified), device, named, film }
    }

    fn read(self, devices: &[Arc<str>]) -> Option<Arc<Entry>> {
        let name = FileName::parse(&self.name).ok()?;
        let stored = Stored { name, size: self.size, modified: time(self.modified) };
        let device = self.device.and_then(|place| devices.get(usize::try_from(place).ok()?)).cloned();
        let film = self.film.map(|film| film.map(Shot::read));
        Some(Arc::new(Entry::kept(stored, device, self.named.map(time), film)))
    }
}

impl Shot {
    fn of(film: Film) -> Self {
        let container = match film.format {
            RecordingFormat::Fmp4 => Container::Fmp4,
            RecordingFormat::Mp4 => Container::Mp4,
            RecordingFormat::Mkv => Container::Mkv,
            RecordingFormat::MpegTs => Container::MpegTs,
        };
        Self { container, created: film.created.map(nanos), duration: film.duration }
    }

    fn read(self) -> Film {
        let format = match self.container {
            Container::Fmp4 => RecordingFormat::Fmp4,
            Container::Mp4 => RecordingFormat::Mp4,
            Container::Mkv => RecordingFormat::Mkv,
            Container::MpegTs => RecordingFormat::MpegTs,
        };
        Film { format, created: self.created.map(time), duration: self.duration }
    }
}

/// Times that do not fit, before 1678 or after 2262, become another time: then the file is read again.
pub(super) fn nanos(time: SystemTime) -> i64 {
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
