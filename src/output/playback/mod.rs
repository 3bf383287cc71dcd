//! Recordings as one film: the parts of a path's files between two moments, in one MP4, without decoding a picture.
//!
//! - `timeline`: which files follow each other without a gap;
//! - `tape`: the samples of one file;
//! - `film`: the samples of several, in one time;
//! - `movie`: the boxes of what comes out.
//!
//! Not here: which files there are (`storage`), who may see them, and HTTP.

mod film;
mod movie;
mod tape;
#[cfg(test)]
mod tests;
mod timeline;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

pub use film::Film;
pub use timeline::{Span, spans};

/// A file of a path, in its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The file: MP4, in fragments or not.
    pub path: PathBuf,
    /// When its first frame was captured.
    pub began: SystemTime,
    /// How long it plays.
    pub duration: Duration,
}

impl Segment {
    /// When it ends.
    pub fn end(&self) -> SystemTime {
        self.began.checked_add(self.duration).unwrap_or(self.began)
    }
}

/// What comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// In fragments: plays while it is being received.
    #[default]
    Fragmented,
    /// With an index in front: seekable for every player.
    Plain,
}
