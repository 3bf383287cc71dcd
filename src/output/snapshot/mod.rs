//! The newest picture of a stream, as a file.
//!
//! Taken from the frames in the ring, so the camera is not opened again. Most Motion JPEG frames are files already. H.264 is
//! decoded from the newest key frame to the newest frame: one second of video or so, once, and no decoder runs
//! otherwise. Which decoder is a list of launch files, tried in order, rather than `decodebin`: the choice is the same
//! every time, a hardware decoder is not taken from a live use, and a board's own can be put in by overriding a file.

mod picture;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

pub use crate::config::SnapshotFormat;
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, EncodedFrame},
    media::launch::LaunchFiles,
    stream::{Join, Next, Stream},
};

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

/// Takes the newest picture of `stream`. Blocks, up to 10 s: without a key frame in the ring, one is requested and
/// waited for. Errors: a parameter out of range; the stream has ended or delivers no key frame; no decoder works here.
pub fn take(stream: &Arc<Stream>, launch: &LaunchFiles, request: SnapshotRequest) -> Result<Picture> {
    take_before(Instant::now() + PATIENCE, stream, launch, request)
}

fn take_before(
    deadline: Instant,
    stream: &Arc<Stream>,
    launch: &LaunchFiles,
    request: SnapshotRequest,
) -> Result<Picture> {
    if !(1..=100).contains(&request.quality) {
        return Err(Error::invalid_param("quality", "is not between 1 and 100", "leave it out for 85"));
    }
    let format = stream.format();
    let own = (format.width, format.height);
    let (width, height) = fit(own, request.max_width, request.max_height);
    let frames = newest(stream, deadline)?;
    let finish = |data, captured| Picture { data, width, height, captured, format: request.format };
    match frames.last() {
        Some(frame)
            if (format.codec, request.format) == (Codec::Mjpeg, SnapshotFormat::Jpeg)
                && (width, height) == own
                && picture::has_huffman_tables(&frame.data) =>
        {
            return Ok(finish(frame.data.clone(), frame.captured));
        }
        _ => {}
    }
    let (raw, captured) = picture::decode(launch, format, &frames, deadline)?;
    let data = picture::encode(launch, &raw, request, (width, height), deadline)?;
    Ok(finish(data, captured))
}

/// The frames that make the newest picture: the newest GOP, or the key frame that had to be waited for.
fn newest(stream: &Arc<Stream>, deadline: Instant) -> Result<Vec<EncodedFrame>> {
    let frames = stream.newest_gop();
    if !frames.is_empty() {
        return Ok(frames);
    }
    let mut reader = stream.subscribe(Join::Ring);
    loop {
        match reader.next_before(deadline) {
            Some(Next::Frame(frame)) => return Ok(vec![frame]),
            Some(Next::Missed(_)) => {}
            Some(Next::Closed) => {
                let kind = Kind::InvalidState { state: "ended".into(), allowed: vec!["streaming"] };
                return Err(Error::new(kind, "the camera stopped before it had delivered a picture"));
            }
            None => return Err(Error::dependency("device", "the camera delivered no key frame in time")),
        }
    }
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
