//! One encoded picture on its way from a camera to its readers.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::mode::Rate;

/// Where one bucket of a histogram of frames' ages ends and the next begins, in seconds: a frame at 30 a second has 0.033.
pub const FRAME_AGES: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0];

/// How the pictures of a stream are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 as a byte stream (ITU-T H.264 Annex B), one access unit a frame, parameter sets before every key frame.
    /// Cameras show pictures in the order they are decoded in; streams of others may not (B-frames).
    H264,
    /// Motion JPEG: every frame is a whole JPEG file and a key frame.
    Mjpeg,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H264",
            Self::Mjpeg => "MJPEG",
        })
    }
}

/// What a stream carries. It is fixed for the stream's life: a camera that comes back starts a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The coding.
    pub codec: Codec,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Nominal frame rate.
    pub rate: Rate,
}

/// One encoded access unit. Immutable and cheap to clone: the bytes are shared with the buffer they were captured in.
#[derive(Clone, Debug)]
pub struct EncodedFrame {
    /// Position in the stream, from 0, without holes.
    pub seq: u64,
    /// When the frame is decoded, on `CLOCK_MONOTONIC`: it advances from frame to frame, so order, age and length are
    /// told by it. Without B-frames it is the time of capture, and `shown` the same.
    pub pts: Duration,
    /// When the picture is shown: its time of capture. Not before `pts`, and with B-frames it goes back and forth. All
    /// pipelines run on that clock with base time 0, so this is also the buffer timestamp.
    pub shown: Duration,
    /// Whether decoding can begin here.
    pub key: bool,
    /// Time of capture on the wall clock, as it was set at that moment.
    pub captured: SystemTime,
    /// The access unit.
    pub data: Bytes,
}
