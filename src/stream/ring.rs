//! The ring of frames behind a stream: what is kept, for how long, and what falls out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use crate::frame::EncodedFrame;

/// How much of the past a stream keeps. Whatever is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whole GOPs kept, the growing one included. At least 1.
    pub gops: usize,
    /// Bytes kept. A GOP larger than this loses its beginning, and readers then join at the next key frame.
    pub bytes: usize,
    /// Frames kept. Bounds MJPEG streams, where every frame is a GOP of its own, and endless GOPs.
    pub frames: usize,
    /// Time kept, for recordings that begin in the past: `gops` and `frames` take away nothing that is younger than
    /// this, and `bytes` alone bounds it.
    pub past: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { gops: 2, bytes: 32 << 20, frames: 600, past: Duration::ZERO }
    }
}

pub(super) struct Ring {
    limits: Limits,
    frames: VecDeque<EncodedFrame>,
    keys: VecDeque<u64>,
    start: u64,
    bytes: usize,
    pub(super) bytes_published: u64,
    pub(super) newest_at: Option<Instant>,
    pub(super) delay: Duration,
    pub(super) closed: bool,
}

impl Ring {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            frames: VecDeque::new(),
            keys: VecDeque::new(),
            start: 0,
            bytes: 0,
            bytes_published: 0,
            newest_at: None,
            delay: Duration::ZERO,
            closed: false,
        }
    }

    /// Sequence number of the oldest frame kept.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Sequence number the next frame will have.
    pub(super) fn end(&self) -> u64 {
        self.start + self.frames.len() as u64
    }

    pub(super) fn get(&self, seq: u64) -> Option<&EncodedFrame> {
        let index = usize::try_from(seq.checked_sub(self.start)?).ok()?;
        self.frames.get(index)
    }

    pub(super) fn newest_key(&self) -> Option<u64> {
        self.keys.back().copied()
    }

    /// The last key frame that is at least `age` older than the newest frame; the oldest key frame where none is.
    pub(super) fn key_before(&self, age: Duration) -> Option<u64> {
        let old_enough = self.keys.partition_point(|&key| self.age(key) >= age);
        self.keys.get(old_enough.saturating_sub(1)).copied()
    }

    /// How much older than the newest frame this one is.
    pub(super) fn age(&self, seq: u64) -> Duration {
        match (self.frames.back(), self.get(seq)) {
            (Some(newest), Some(frame)) => newest.pts.saturating_sub(frame.pts),
            _ => Duration::ZERO,
        }
    }

    /// The first key frame at or after `seq`.
    pub(super) fn first_key_from(&self, seq: u64) -> Option<u64> {
        let index = self.keys.partition_point(|&key| key < seq);
        self.keys.get(index).copied()
    }

    pub(super) fn push(&mut self, pts: Duration, shown: Duration, key: bool, captured: SystemTime, data: Bytes) {
        let seq = self.end();
        if key {
            self.keys.push_back(seq);
        }
        self.bytes += data.len();
        self.bytes_published += data.len() as u64;
        self.newest_at = Some(Instant::now());
        self.delay = captured.elapsed().unwrap_or_default();
        self.frames.push_back(EncodedFrame { seq, pts, shown, key, captured, data });
        self.trim();
    }

    /// Bits and frames per second over what is kept.
    pub(super) fn rates(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.frames.front(), self.frames.back()) else {
            return (0.0, 0.0);
        };
        let seconds = last.pts.saturating_sub(first.pts).as_secs_f64();
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        // The last frame's own duration is not over yet, so it and its bytes are left out.
        let bytes = self.bytes - last.data.len();
        (bytes as f64 * 8.0 / seconds, (self.frames.len() - 1) as f64 / seconds)
    }

    fn trim(&mut self) {
        let is_past = |ring: &Self, seq| ring.age(seq) >= ring.limits.past;
        // Whole GOPs leave together while there are more than asked for, so that the ring begins with a key frame.
        while self.keys.len() > self.limits.gops.max(1)
            && self.frames.len() > self.limits.frames.min(MJPEG_FLOOR)
            && is_past(self, self.keys[1])
        {
            let next_key = self.keys[1];
            while self.start < next_key {
                self.pop();
            }
        }
        let too_many = |ring: &Self| {
            ring.frames.len() > ring.limits.frames && ring.wanted_from().is_none_or(|wanted| ring.start < wanted)
        };
        while self.frames.len() > 1 && (self.bytes > self.limits.bytes || too_many(self)) {
            self.pop();
        }
    }

    /// Where the past begins that has to be kept: at a key frame, since without it a GOP is no past to begin in.
    fn wanted_from(&self) -> Option<u64> {
        let past = self.limits.past;
        if past.is_zero() { None } else { self.key_before(past) }
    }

    fn pop(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.data.len();
            self.start += 1;
            if self.keys.front() == Some(&frame.seq) {
                self.keys.pop_front();
            }
        }
    }
}

/// Frames kept even when every one is a key frame: two MJPEG frames would be no slack at all for a reader.
const MJPEG_FLOOR: usize = 60;
