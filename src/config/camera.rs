//! Section `camera` (also written `cameras`): finding cameras, and what is fixed for single ones.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{encoder::EncoderKind, section::Section, unit::BitRate, value::words};
use crate::{
    frame::Codec,
    id::CameraId,
    mode::{FourCc, Rate},
};

/// Finding cameras.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Whether cameras are looked for at all. Off: only the test pattern is served.
    pub discovery_enabled: bool,
    /// Longest time a device may take to say what it can do before it counts as unusable.
    pub detection_timeout: Duration,
    /// Whether a camera streams from plug to unplug. Off: from the first reader until
    /// [`Streams::close_after`](super::Streams::close_after) the last.
    pub auto_start_streams: bool,
    /// Whether readers stay while a camera is away, and see a filler meanwhile. Such a camera streams from plug to unplug.
    pub always_available: bool,
    /// Whether what controls are set to is remembered, and set again when a camera is plugged in.
    pub restore_controls: bool,
    /// When a test-pattern camera is offered.
    pub test_pattern: TestPattern,
    /// What is fixed for single devices. The first that matches counts.
    pub devices: Vec<Pin>,
}

words! {
    /// When a test-pattern camera is offered.
    TestPattern {
        /// While no device is there.
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

/// What is fixed for one device. What is None is chosen as for any other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pin {
    /// Which device.
    pub matches: Match,
    /// The id it has.
    pub id: Option<CameraId>,
    /// The name shown to people.
    pub name: Option<String>,
    /// The mode it is opened in.
    pub mode: Option<PinnedMode>,
    /// The encoder it uses.
    pub encoder: Option<EncoderKind>,
    /// The bit rate it is encoded at.
    pub bitrate: Option<BitRate>,
    /// How its stream is coded.
    pub codec: Option<Codec>,
    /// Whether it streams without readers.
    pub auto_start: Option<bool>,
    /// Whether its readers stay while it is away.
    pub always_available: Option<bool>,
    /// Whether it is recorded whenever it is there.
    pub auto_record: Option<bool>,
    /// How much of the past its recordings begin with.
    pub pre_roll: Option<Duration>,
    /// Whether what its controls are set to is remembered, and set again.
    pub restore_controls: Option<bool>,
    /// What its controls are set to when it is plugged in, by name. The device says what these are and take.
    pub controls: BTreeMap<String, String>,
    /// Whether it is no camera of ours.
    pub ignore: bool,
}

/// A device by what udev knows of it. All that is given must fit; at least one thing is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// USB serial number (`ID_SERIAL_SHORT`).
    pub serial: Option<String>,
    /// Port it is plugged in (`ID_PATH`), or a link below `/dev/v4l`.
    pub path: Option<String>,
    /// Product name (`ID_V4L_PRODUCT`).
    pub name: Option<String>,
    /// Device node, e.g. `/dev/video0`. It may be another device tomorrow.
    pub node: Option<PathBuf>,
}

/// A mode a person has chosen. What is None is chosen among the modes that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PinnedMode {
    /// Pixel format.
    pub format: Option<FourCc>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frame rate.
    pub rate: Option<Rate>,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            discovery_enabled: true,
            detection_timeout: Duration::from_secs(5),
            auto_start_streams: true,
            always_available: false,
            restore_controls: true,
            test_pattern: TestPattern::Auto,
            devices: Vec::new(),
        }
    }
}

impl Camera {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("discovery_enabled", &mut self.discovery_enabled);
        let range = Duration::from_millis(100)..=Duration::from_secs(60);
        let valid = "a time from 100ms to 60s".to_owned();
        s.bounded("detection_timeout", &mut self.detection_timeout, |time| range.contains(time), valid);
        s.value("auto_start_streams", &mut self.auto_start_streams);
        s.value("always_available", &mut self.always_available);
        s.value("restore_controls", &mut self.restore_controls);
        s.value("test_pattern", &mut self.test_pattern);
        let mut ids: Vec<CameraId> = Vec::new();
        self.devices = s.sections("devices", |s| {
            let pin = Pin::read(s);
            if let Some(id) = pin.id {
                if ids.contains(&id) {
                    s.refuse("id", format!("{id} is given to two devices"), "an id of its own");
                }
                ids.push(id);
            }
            pin
        });
    }
}

impl Pin {
    fn read(s: &mut Section<'_>) -> Self {
        let mut pin = Self { matches: s.optional("match", Match::read).unwrap_or_default(), ..Self::default() };
        if pin.matches == Match::default() && !s.faulty("match") {
            s.refuse("match", "names no device", "at least one of serial, path, name, node");
        }
        s.value("id", &mut pin.id);
        s.value("name", &mut pin.name);
        pin.mode = s.optional("mode", PinnedMode::read);
        s.value("encoder", &mut pin.encoder);
        s.bounded("bitrate", &mut pin.bitrate, |rate| rate.is_none_or(BitRate::is_sane), BitRate::sane());
        s.value("codec", &mut pin.codec);
        s.value("auto_start", &mut pin.auto_start);
        s.value("always_available", &mut pin.always_available);
        s.value("auto_record", &mut pin.auto_record);
        let short = |time: &Option<Duration>| time.is_none_or(|time| time <= Duration::from_secs(600));
        s.bounded("pre_roll", &mut pin.pre_roll, short, "a time up to 10m".into());
        s.value("restore_controls", &mut pin.restore_controls);
        pin.controls = s.texts("controls");
        s.value("ignore", &mut pin.ignore);
        pin
    }
}

impl Match {
    fn read(s: &mut Section<'_>) -> Self {
        let mut matches = Self::default();
        s.value("serial", &mut matches.serial);
        s.value("path", &mut matches.path);
        s.value("name", &mut matches.name);
        s.value("node", &mut matches.node);
        matches
    }
}

impl PinnedMode {
    fn read(s: &mut Section<'_>) -> Self {
        let mut mode = Self::default();
        s.value("format", &mut mode.format);
        s.number("width", &mut mode.width, 16..=16_384);
        s.number("height", &mut mode.height, 16..=16_384);
        s.value("fps", &mut mode.rate);
        for key in ["width", "height"] {
            s.require(key);
        }
        mode
    }
}
