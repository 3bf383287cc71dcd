//! What snapshots have cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts over all paths.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) caught: AtomicU64,
    pub(super) decoded: AtomicU64,
    pub(super) encoded: AtomicU64,
    pub(super) given: AtomicU64,
    refused: AtomicU64,
}

/// What [`Counters`] say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures that were had without decoding: raw, or as the JPEG that the camera made.
    pub caught: u64,
    /// Pictures that were decoded.
    pub decoded: u64,
    /// Files that were encoded.
    pub encoded: u64,
    /// Requests that were given a file.
    pub given: u64,
    /// Requests that were refused because too many were under way.
    pub refused: u64,
}

impl Counters {
    /// The counters now.
    pub fn now(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            caught: read(&self.caught),
            decoded: read(&self.decoded),
            encoded: read(&self.encoded),
            given: read(&self.given),
            refused: read(&self.refused),
        }
    }

    /// A request was refused.
    pub fn refuse(&self) {
        count(&self.refused);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
