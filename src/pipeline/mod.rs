//! From a camera's modes to encoded frames in a stream.
//!
//! [`plan()`] chooses, and only it: which mode, which encoder, which launch files. [`Encoders`] knows which encoders work
//! on this machine, because each was tried. [`CapturePipeline`] does what a plan says.
//!
//! Not here: which camera it is and when to start or try again (`camera`, `path`), what becomes of the frames
//! (`stream`, `output`), and what a device offers (`device::probe`).

mod capture;
mod capture_plan;
mod clip;
mod encoder;
mod failure;
mod frames;
mod modes;
mod order;
mod plan;
mod published;
mod remote;
mod settings;
mod stages;

use std::path::PathBuf;

pub use capture::{CapturePipeline, PipelineEvent};
pub use capture_plan::CapturePlan;
pub use clip::{Clip, ClipFrame};
pub use encoder::Encoders;
pub use frames::{Counters, Dropped};
pub use plan::plan;
pub use settings::Setting;

use crate::{
    config::{EncoderKind, Gop, H264Level, PinnedMode, Preset, Profile},
    frame::Codec,
    media::publication::Publication,
    mode::{Mode, Rate},
    rtsp_url::{Fingerprint, RtspUrl},
};

/// What is to be captured, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureRequest {
    /// Where the pictures come from.
    pub source: Source,
    /// What they should be.
    pub wanted: Wanted,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A V4L2 capture device.
    Camera {
        /// Its node, e.g. `/dev/video0`.
        node: PathBuf,
        /// Its driver as `VIDIOC_QUERYCAP` names it, e.g. `uvcvideo`.
        driver: String,
        /// All it offers.
        modes: Vec<Mode>,
    },
    /// A test pattern; no device is needed.
    Test,
    /// A stream that is published to this service, untouched.
    Published(Publication),
    /// A stream of another machine: its H.264 or Motion JPEG, untouched.
    Rtsp {
        /// Where it is.
        url: RtspUrl,
        /// The one certificate it may show, over `rtsps`, whoever vouches for it. None: one that this machine trusts.
        fingerprint: Option<Fingerprint>,
    },
}

/// What a stream should be. A camera that cannot is used as near to it as it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// How the stream is coded. MJPEG is only ever the camera's own, untouched.
    pub codec: Codec,
    /// Width in pixels. Pictures are never scaled up.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub rate: Rate,
    /// The one mode to open the device in; width, height and rate above count for nothing then.
    pub mode: Option<PinnedMode>,
    /// The one encoder to use; the camera's own H.264 is passed over then.
    pub encoder: Option<EncoderKind>,
    /// Encoders that may be used, the best first. Empty: all that work, in the order they were tried.
    pub order: Vec<EncoderKind>,
    /// Bits per second an encoder aims at.
    pub bitrate: u32,
    /// Distance of key frames.
    pub gop: Gop,
    /// H.264 profile.
    pub profile: Profile,
    /// H.264 level; `x264enc` and `v4l2h264enc` can be told. None: what fits.
    pub level: Option<H264Level>,
    /// How much work `x264enc` does.
    pub preset: Preset,
}

impl Default for Wanted {
    /// H.264, 1280x720 at 30 frames a second and 2 Mbit/s, a key frame every two seconds.
    fn default() -> Self {
        Self {
            codec: Codec::H264,
            width: 1280,
            height: 720,
            rate: Rate::per_second(30),
            mode: None,
            encoder: None,
            order: Vec::new(),
            bitrate: 2_000_000,
            gop: Gop::Time(std::time::Duration::from_secs(2)),
            profile: Profile::Baseline,
            level: None,
            preset: Preset::Ultrafast,
        }
    }
}
