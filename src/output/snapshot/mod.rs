//! The newest picture of a stream, as a file.
//!
//! Taken from what flows anyway, so the camera is not opened again: the next picture on its way to the encoder where
//! there is one (`media::tap`), else the newest frame of the ring. Most Motion JPEG frames are files already. H.264 that
//! a camera makes itself is decoded from the newest key frame to the newest frame: one second of video or so, once, and
//! no decoder runs otherwise. Which decoder is a list of launch files, tried in order, rather than `decodebin`: the
//! choice is the same every time, a hardware decoder is not taken from a live use, and a board's own can be put in by
//! overriding a file.
//!
//! [`Pictures`] are those of one run of one path; whoever asks while somebody looks looks with them ([`Look`]).
//! Not here: which camera, how many at once, and where the file goes.

mod caption;
mod counters;
mod look;
mod picture;

use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use self::{
    caption::Caption,
    counters::{Counters, Counts},
    look::{Look, Pictures},
};
pub use crate::config::SnapshotFormat;

/// How long a snapshot may take, waiting for a key frame included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The extensions of all formats, without dots.
pub const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png"];

/// The extensions of the files of a format, without dots, ours first.
pub fn extensions(format: SnapshotFormat) -> &'static [&'static str] {
    match format {
        SnapshotFormat::Jpeg => &["jpg", "jpeg"],
        SnapshotFormat::Png => &["png"],
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The file.
    pub format: SnapshotFormat,
    /// JPEG quality, 1 to 100. A Motion JPEG frame that is a whole file and needs no scaling keeps the camera's own.
    pub quality: u8,
    /// The most columns: a larger picture is scaled down, keeping its shape.
    pub max_width: Option<u32>,
    /// The most rows.
    pub max_height: Option<u32>,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The file's content.
    pub data: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// When the frame was captured.
    pub captured: SystemTime,
    /// What the file is.
    pub format: SnapshotFormat,
}

/// The size of a picture of `own` size within the limits: never larger, same shape, at least one pixel.
fn fit((width, height): (u32, u32), max_width: Option<u32>, max_height: Option<u32>) -> (u32, u32) {
    let most = |max: Option<u32>, own: u32| u64::from(max.unwrap_or(own).clamp(1, own.max(1)));
    let (max_width, max_height) = (most(max_width, width), most(max_height, height));
    let (wide, high) = (u64::from(width.max(1)), u64::from(height.max(1)));
    // Rounded to the nearest pixel; the narrower limit decides.
    let scaled = |length: u64, by: u64, of: u64| ((length * by + of / 2) / of).max(1);
    let (new_width, new_height) = if max_width * high <= max_height * wide {
        (max_width, scaled(high, max_width, wide))
    } else {
        (scaled(wide, max_height, high), max_height)
    };
    let small = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
    (small(new_width), small(new_height))
}

#[cfg(test)]
mod tests;
