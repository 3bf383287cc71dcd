//! What a plan sets on the elements of its launch files.
//!
//! Every encoder has its own names and units for the same few things; they are here and nowhere else. What never varies
//! stands in the launch files.

use gst::{glib, prelude::*};

use super::{
    Wanted,
    modes::{Coding, area},
};
use crate::{
    config::{EncoderKind, H264Level, Profile},
    error::{Error, Kind, Result},
    media::launch,
    mode::{Mode, Rate},
};

/// A property that is set on an element of a launch file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The element's fixed name.
    pub element: &'static str,
    /// The property.
    pub property: &'static str,
    /// The value as `gst-launch-1.0` reads it.
    pub value: String,
}

impl Setting {
    pub(super) fn new(element: &'static str, property: &'static str, value: impl ToString) -> Self {
        Self { element, property, value: value.to_string() }
    }
}

/// Sets properties on the elements of a pipeline. Errors: the launch file (perhaps an override) lacks the element, the
/// element lacks the property, or the value is none it takes.
pub(super) fn apply(pipeline: &gst::Pipeline, settings: &[Setting]) -> Result<()> {
    for Setting { element, property, value } in settings {
        let found = launch::element::<gst::Element>(pipeline, element)?;
        let refuse = |why: &str| {
            let kind = Kind::Dependency { dependency: (*element).to_owned() };
            Error::new(kind, format!("element \"{element}\" ({}) {why} \"{property}\"", found.type_()))
        };
        let spec = match found.find_property(property) {
            Some(spec) => spec,
            // An override may have a source that finds its camera another way: libcamerasrc, nvarguscamerasrc.
            None if (*element, *property) == ("source", "device") => continue,
            None => return Err(refuse("has no property")),
        };
        // A text is taken as it is; everything else is read as gst-launch-1.0 reads it.
        let value = match spec.value_type() == glib::Type::STRING {
            true => value.to_value(),
            false => glib::Value::deserialize_with_pspec(value, &spec)
                .map_err(|_| refuse(&format!("takes no \"{value}\" for")))?,
        };
        found.set_property_from_value(property, &value);
    }
    Ok(())
}

/// The caps of a mode, for the element `mode`.
pub(super) fn mode(mode: &Mode, coding: Coding) -> Setting {
    let media = match coding {
        Coding::H264 => "video/x-h264".to_owned(),
        Coding::Jpeg => "image/jpeg".to_owned(),
        Coding::Raw(format) => format!("video/x-raw,format={format}"),
    };
    let Rate { frames, seconds } = mode.rate;
    let caps = format!("{media},width={},height={},framerate={frames}/{seconds}", mode.width, mode.height);
    Setting::new("mode", "caps", caps)
}

/// Makes the size even, which 4:2:0 needs. Nothing to set for most cameras.
pub(super) fn crop(width: u32, height: u32) -> Vec<Setting> {
    let mut settings = Vec::new();
    if width % 2 == 1 {
        settings.push(Setting::new("crop", "right", 1));
    }
    if height % 2 == 1 {
        settings.push(Setting::new("crop", "bottom", 1));
    }
    settings
}

/// Bit rate, GOP, profile and what else an encoder must be told. `format` gives the size and rate of the pictures.
pub(super) fn encoder(kind: EncoderKind, wanted: &Wanted, width: u32, height: u32, rate: Rate) -> Vec<Setting> {
    let set = |property, value: String| Setting::new("encoder", property, value);
    let bits = wanted.bitrate.to_string();
    let kilobits = (wanted.bitrate / 1000).max(1).to_string();
    let gop = wanted.gop.frames(rate).max(1).to_string();
    match kind {
        EncoderKind::X264 => vec![
            set("bitrate", kilobits),
            set("key-int-max", gop),
            set("speed-preset", wanted.preset.to_string()),
            profile(wanted.profile, wanted.level),
        ],
        EncoderKind::OpenH264 => vec![set("bitrate", bits), set("gop-size", gop), profile(wanted.profile, None)],
        EncoderKind::V4l2H264 => {
            let level = wanted.level.unwrap_or_else(|| lowest_level(width, height, rate, wanted.bitrate));
            let controls = format!(
                "controls,video_bitrate_mode=1,video_bitrate={bits},h264_i_frame_period={gop},video_gop_size={gop},\
                 video_b_frames=0,repeat_sequence_header=1"
            );
            vec![set("extra-controls", controls), profile(wanted.profile, Some(level))]
        }
        EncoderKind::Nvv4l2H264 => {
            let profile = match wanted.profile {
                Profile::Baseline => "0",
                Profile::Main => "2",
                Profile::High => "4",
            };
            vec![
                set("bitrate", bits),
                set("iframeinterval", gop.clone()),
                set("idrinterval", gop),
                set("profile", profile.into()),
            ]
        }
        EncoderKind::VaH264 => {
            vec![set("bitrate", kilobits), set("key-int-max", gop), profile(wanted.profile, None)]
        }
        EncoderKind::VaapiH264 => {
            vec![set("bitrate", kilobits), set("keyframe-period", gop), profile(wanted.profile, None)]
        }
    }
}

/// The caps behind an encoder, for the element `profile`.
fn profile(profile: Profile, level: Option<H264Level>) -> Setting {
    let name = match profile {
        Profile::Baseline => "constrained-baseline",
        Profile::Main => "main",
        Profile::High => "high",
    };
    let level = level.map(|level| format!(",level=(string){level}")).unwrap_or_default();
    Setting::new("profile", "caps", format!("video/x-h264,profile={name}{level}"))
}

/// The lowest level that allows this size, rate and bit rate: level in tenths, macroblocks a second, macroblocks a
/// frame, kbit/s (ITU-T H.264, table A-1). It begins at 3, and drivers take more than they were asked for.
fn lowest_level(width: u32, height: u32, rate: Rate, bitrate: u32) -> H264Level {
    const LEVELS: [(u8, u64, u64, u32); 8] = [
        (30, 40_500, 1_620, 10_000),
        (31, 108_000, 3_600, 14_000),
        (32, 216_000, 5_120, 20_000),
        (40, 245_760, 8_192, 20_000),
        (42, 522_240, 8_704, 50_000),
        (50, 589_824, 22_080, 135_000),
        (51, 983_040, 36_864, 240_000),
        (52, 2_073_600, 36_864, 240_000),
    ];
    let frame = area(width.div_ceil(16), height.div_ceil(16));
    let second = (frame as f64 * rate.fps()).ceil() as u64;
    let fits = LEVELS.iter().find(|&&(_, per_second, per_frame, kilobits)| {
        second <= per_second && frame <= per_frame && bitrate / 1000 <= kilobits
    });
    H264Level(fits.map_or(52, |&(level, ..)| level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_standard() {
        let level = |width, height, fps| lowest_level(width, height, Rate::per_second(fps), 2_000_000).to_string();
        assert_eq!(level(640, 480, 30), "3");
        assert_eq!(level(1280, 720, 30), "3.1");
        assert_eq!(level(1920, 1080, 30), "4");
        assert_eq!(level(1920, 1080, 60), "4.2");
        assert_eq!(level(3840, 2160, 30), "5.1");
        assert_eq!(lowest_level(640, 480, Rate::per_second(30), 12_000_000).to_string(), "3.1");
    }
}
