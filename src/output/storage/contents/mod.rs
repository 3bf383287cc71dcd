//! What a file says of itself: how long a recording is and when it began, how large a picture is.
//!
//! Only headers are read, whatever the size of the file, and also of one that is being written or was cut off: then what
//! is told is true up to the last part that is whole. Blocks on the disk.

pub(in crate::output) mod boxes;
mod mkv;
mod mp4;
pub(in crate::output) mod skim;
pub(in crate::output) mod ts;

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek},
    time::{Duration, SystemTime},
};

use skim::Skim;

use crate::config::RecordingFormat;

/// A recording, as far as its file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Film {
    /// The container.
    pub format: RecordingFormat,
    /// When it began.
    pub created: Option<SystemTime>,
    /// How long it plays.
    pub duration: Option<Duration>,
}

/// The size of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// What the first `size` bytes of a recording tell. `None`: it is neither MP4, Matroska nor MPEG-TS. Error: the disk's.
pub fn film(mut file: impl Read + Seek, size: u64) -> io::Result<Option<Film>> {
    let mut start = [0; 8];
    if or_end(file.read_exact(&mut start))?.is_none() {
        return Ok(None);
    }
    file.rewind()?;
    let mut file = Skim::new(file, size);
    match start {
        [.., b'f', b't', b'y', b'p'] => mp4::read(&mut file).map(Some),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => mkv::read(&mut file).map(Some),
        [0x47, ..] => ts::read(&mut file),
        _ => Ok(None),
    }
}

/// The size that a picture's header names. `None`: it is neither JPEG nor PNG, or cut off. Error: the disk's.
pub fn picture_size(file: &File) -> io::Result<Option<PictureSize>> {
    match imagesize::reader_size(BufReader::new(file)) {
        Ok(size) => Ok(u32::try_from(size.width).ok().zip(u32::try_from(size.height).ok()).map(PictureSize::from)),
        Err(imagesize::ImageError::IoError(error)) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        Err(_) => Ok(None),
    }
}

impl From<(u32, u32)> for PictureSize {
    fn from((width, height): (u32, u32)) -> Self {
        Self { width, height }
    }
}

/// A file's end is no error here: files are cut off.
fn or_end<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
