//! Section `encoder`: which encoders may be used, in which order, and how they are set.

use std::{fmt, time::Duration};

use serde_json::{Value as Json, json};

use super::{
    section::Section,
    unit::BitRate,
    value::{Fault, Value, text_form, words},
};
use crate::mode::Rate;

/// How raw pictures become H.264.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    /// Encoders that may be used, the best first. The first that is installed and passes its trial is taken.
    pub order: Vec<EncoderKind>,
    /// Bits per second.
    pub bitrate: BitRate,
    /// Distance of key frames.
    pub gop: Gop,
    /// H.264 profile.
    pub profile: Profile,
    /// H.264 level. None: the lowest that fits size and rate.
    pub level: Option<Level>,
    /// How much work x264 does for a picture; the other encoders have no such choice.
    pub preset: Preset,
    /// Longest time an encoder may take to encode a few frames when it is tried at start.
    pub trial_timeout: Duration,
}

words! {
    /// An H.264 encoder, by its GStreamer element.
    EncoderKind {
        /// NVIDIA Jetson.
        Nvv4l2H264 = "nvv4l2h264enc",
        /// V4L2 memory-to-memory: Raspberry Pi 3 and 4, many other boards.
        V4l2H264 = "v4l2h264enc",
        /// VA-API, the newer plugin: Intel and AMD.
        VaH264 = "vah264enc",
        /// VA-API, the older plugin.
        VaapiH264 = "vaapih264enc",
        /// Software, everywhere.
        X264 = "x264enc",
        /// Software, everywhere; poorer pictures than x264, another licence.
        OpenH264 = "openh264enc",
    }
}

words! {
    /// H.264 profiles (ITU-T H.264, A.2).
    Profile {
        /// What every viewer decodes.
        Baseline = "baseline" | "constrained-baseline" | "constrained_baseline",
        /// Smaller for the same picture; every current viewer.
        Main = "main",
        /// Smaller still.
        High = "high",
    }
}

words! {
    /// x264's presets, the least work first.
    Preset {
        /// Least work, largest stream.
        Ultrafast = "ultrafast",
        /// Little work.
        Superfast = "superfast",
        /// Some work.
        Veryfast = "veryfast",
        /// More work.
        Faster = "faster",
        /// Much work.
        Fast = "fast",
        /// x264's own default.
        Medium = "medium",
    }
}

/// An H.264 level (ITU-T H.264, A.3) in tenths: 31 is level 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl fmt::Display for Level {
    /// As GStreamer's caps write it: `4`, `3.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}", self.0 / 10),
            minor => write!(f, "{}.{minor}", self.0 / 10),
        }
    }
}

impl Value for Level {
    fn valid() -> String {
        "an H.264 level: 1, 1.1, 1.2, 1.3, 2, 2.1, 2.2, 3, 3.1, 3.2, 4, 4.1, 4.2, 5, 5.1, 5.2, 6, 6.1, 6.2".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": "number", "minimum": 1, "maximum": 6.2 }), text_form("^[1-6]([.][0-3])?$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let tenths = (f64::read(text)? * 10.0).round();
        match tenths {
            10.0..=13.0 | 20.0..=22.0 | 30.0..=32.0 | 40.0..=42.0 | 50.0..=52.0 | 60.0..=62.0 => Ok(Self(tenths as u8)),
            _ => Err(Fault::Range),
        }
    }
}

/// The distance of key frames: a time, or a number of frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gop {
    /// Whatever the rate.
    Time(Duration),
    /// Whatever the time.
    Frames(u32),
}

impl Gop {
    /// The distance in frames at this rate, at least 1.
    pub fn frames(self, rate: Rate) -> u32 {
        match self {
            Self::Time(time) => ((time.as_secs_f64() * rate.fps()).round() as u32).max(1),
            Self::Frames(frames) => frames,
        }
    }
}

impl Value for Gop {
    fn valid() -> String {
        "a time from 100ms to 60s such as 2s, or a number of frames from 1 to 10000".into()
    }
    fn written(&self) -> Json {
        match self {
            Self::Time(time) => time.written(),
            Self::Frames(frames) => (*frames).into(),
        }
    }
    fn forms() -> Vec<Json> {
        [vec![json!({ "type": "integer", "minimum": 1, "maximum": 10_000 })], Duration::forms().split_off(1)].concat()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        if let Ok(frames) = u32::read(text) {
            return if (1..=10_000).contains(&frames) { Ok(Self::Frames(frames)) } else { Err(Fault::Range) };
        }
        let time = Duration::read(text)?;
        let range = Duration::from_millis(100)..=Duration::from_secs(60);
        if range.contains(&time) { Ok(Self::Time(time)) } else { Err(Fault::Range) }
    }
}

impl BitRate {
    /// Whether an encoder can do something with it: 16 kbit/s to 200 Mbit/s.
    pub(super) fn is_sane(self) -> bool {
        (16_000..=200_000_000).contains(&self.0)
    }

    pub(super) fn sane() -> String {
        format!("{}, from 16k to 200M", Self::valid())
    }
}

impl Default for Encoder {
    fn default() -> Self {
        use EncoderKind::{Nvv4l2H264, OpenH264, V4l2H264, VaH264, VaapiH264, X264};
        Self {
            order: vec![Nvv4l2H264, V4l2H264, VaH264, VaapiH264, X264, OpenH264],
            bitrate: BitRate(2_000_000),
            gop: Gop::Time(Duration::from_secs(2)),
            profile: Profile::Baseline,
            level: None,
            preset: Preset::Ultrafast,
            trial_timeout: Duration::from_secs(5),
        }
    }
}

impl Encoder {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.list("order", &mut self.order);
        if self.order.is_empty() && !s.faulty("order") {
            s.refuse("order", "names no encoder", format!("at least one of {}", EncoderKind::valid()));
        }
        s.bounded("bitrate", &mut self.bitrate, |rate| rate.is_sane(), BitRate::sane());
        s.value("gop", &mut self.gop);
        s.value("profile", &mut self.profile);
        s.value("level", &mut self.level);
        s.value("preset", &mut self.preset);
        s.time("trial_timeout", &mut self.trial_timeout, 1..=60);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gop_is_time_or_frames() {
        assert_eq!(Gop::read("2s").map(|gop| gop.frames(Rate::per_second(15))), Ok(30));
        assert_eq!(Gop::read("60").map(|gop| gop.frames(Rate::per_second(15))), Ok(60));
        assert_eq!(Gop::read("0"), Err(Fault::Range));
        assert_eq!(Gop::read("1h"), Err(Fault::Range));
    }

    #[test]
    fn levels_print_as_caps_have_them() {
        assert_eq!(Level::read("3.0").map(|level| level.to_string()), Ok("3".into()));
        assert_eq!(Level::read("4.1").map(|level| level.to_string()), Ok("4.1".into()));
        assert_eq!(Level::read("4.5"), Err(Fault::Range));
    }
}
