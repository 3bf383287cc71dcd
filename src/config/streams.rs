//! Section `streams`: what a camera's stream should be, and when it starts, stops and counts as stuck.

use std::time::Duration;

use super::{section::Section, unit::ByteSize};
use crate::{frame::Codec, mode::Rate};

/// What every stream is wanted to be. A device that cannot do it gives what comes nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct Streams {
    /// How pictures are coded. MJPEG is passed through from cameras that give it.
    pub codec: Codec,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frame rate.
    pub rate: Rate,
    /// Time an on-demand stream goes on after its last reader.
    pub close_after: Duration,
    /// Longest time from opening the device to the first frame.
    pub start_timeout: Duration,
    /// Age of the newest frame at which a running camera counts as stuck and is restarted.
    pub frame_timeout: Duration,
    /// How much of the past each stream keeps.
    pub ring: Ring,
}

/// How much of the past a stream keeps. Whatever is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ring {
    /// Whole GOPs.
    pub gops: u32,
    /// Bytes.
    pub size: ByteSize,
    /// Frames.
    pub frames: u32,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            codec: Codec::H264,
            width: 1280,
            height: 720,
            rate: Rate::per_second(30),
            close_after: Duration::from_secs(10),
            start_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(5),
            ring: Ring { gops: 2, size: ByteSize(32 << 20), frames: 600 },
        }
    }
}

impl Streams {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("codec", &mut self.codec);
        s.number("width", &mut self.width, 16..=16_384);
        s.number("height", &mut self.height, 16..=16_384);
        s.value("fps", &mut self.rate);
        s.time("close_after", &mut self.close_after, 0..=86_400);
        s.time("start_timeout", &mut self.start_timeout, 1..=120);
        s.time("frame_timeout", &mut self.frame_timeout, 1..=600);
        s.section("ring", |s| {
            s.number("gops", &mut self.ring.gops, 1..=100);
            s.number("size", &mut self.ring.size, ByteSize(1 << 20)..=ByteSize(4 << 30));
            s.number("frames", &mut self.ring.frames, 2..=100_000);
        });
    }
}
