//! What to do with a camera: pure, from its modes, from what is wanted and from the encoders that work.

use super::{
    CapturePlan, CaptureRequest, Encoders, Setting, Source, Wanted,
    encoder::list,
    modes::{self, Coding, SizeDistance, area, coding, distance, nearest, overloads_usb2},
    published, remote, settings,
};
use crate::{
    config::PinnedMode,
    error::{Error, Kind, Result},
    frame::{Codec, Format},
    mode::{FourCc, Mode, Rate},
};

/// Chooses mode, encoder and launch files. Errors, each with a way out: no mode can be used, a pinned mode is not
/// offered, a pinned encoder does not work or none does, no MJPEG where it is wanted.
pub fn plan(request: &CaptureRequest, encoders: &Encoders) -> Result<CapturePlan> {
    let wanted = &request.wanted;
    match &request.source {
        Source::Test => test_pattern(wanted, encoders),
        Source::Rtsp { url, fingerprint } => Ok(remote::plan(url, fingerprint.as_ref())),
        Source::Published(publication) => Ok(published::plan(publication)),
        Source::Camera { node, driver, modes } => {
            let mut plan = Camera { driver, modes, wanted, encoders }.plan()?;
            plan.settings.insert(0, Setting::new("source", "device", node.display()));
            plan.node = Some(node.clone());
            plan.driver = driver.clone();
            Ok(plan)
        }
    }
}

fn test_pattern(wanted: &Wanted, encoders: &Encoders) -> Result<CapturePlan> {
    let even = |pixels: u32| (pixels.clamp(16, 8192) / 2) * 2;
    let mode = Mode {
        format: FourCc(*b"YU12"),
        width: even(wanted.width),
        height: even(wanted.height),
        rate: if (1.0..=240.0).contains(&wanted.rate.fps()) { wanted.rate } else { Rate::per_second(30) },
    };
    let why = vec!["a test pattern: no camera is captured".to_owned()];
    let mut plan = match wanted.codec {
        Codec::Mjpeg => untouched(mode, Coding::Raw("I420"), why),
        Codec::H264 => encoded(mode, Coding::Raw("I420"), wanted, encoders, why)?,
    };
    plan.mode = None;
    if wanted.codec == Codec::Mjpeg {
        (plan.source, plan.tail, plan.format.codec) = ("source/test-mjpeg", "tail/mjpeg", Codec::Mjpeg);
        plan.key_frames_on_demand = true;
    } else {
        plan.source = "source/test";
    }
    Ok(plan)
}

struct Camera<'a> {
    driver: &'a str,
    modes: &'a [Mode],
    wanted: &'a Wanted,
    encoders: &'a Encoders,
}

impl Camera<'_> {
    fn plan(&self) -> Result<CapturePlan> {
        let mut why = Vec::new();
        let usable = self.usable(&mut why)?;
        let candidates = match &self.wanted.mode {
            Some(pin) => self.pinned(pin, &usable)?,
            None => usable,
        };
        let best = |is: fn(Coding) -> bool| {
            nearest(
                candidates.iter().filter(|mode| coding(mode.format).is_some_and(is)).copied(),
                &self.target(),
                self.driver,
            )
        };
        let jpeg = best(|coding| coding == Coding::Jpeg);
        if self.wanted.codec == Codec::Mjpeg {
            let mode = jpeg.ok_or_else(|| self.no_mjpeg())?;
            why.push(format!("MJPEG untouched, as configured: {mode}{}", self.beside(&mode)));
            return Ok(untouched(mode, Coding::Jpeg, why));
        }
        let h264 = best(|coding| coding == Coding::H264);
        let decodable = best(|coding| coding != Coding::H264);
        let encoder = self.encoders.choose(self.wanted);
        match (h264, decodable) {
            (Some(mode), other) if self.passes_through(&mode, other, encoder.is_ok(), &mut why) => {
                Ok(untouched(mode, Coding::H264, why))
            }
            (_, Some(mode)) => {
                why.push(self.why_mode(&mode, best(|coding| matches!(coding, Coding::Raw(_)))));
                let coding = coding(mode.format).unwrap_or(Coding::Jpeg);
                encoded(mode, coding, self.wanted, self.encoders, why)
            }
            // Only H.264, and it was passed over: a pinned encoder.
            _ => Err(Error::invalid_param(
                "encoder",
                "is pinned, and the camera offers H.264 only, which is not encoded again",
                "remove \"encoder\" from this camera's entry",
            )),
        }
    }

    /// The modes that something here reads.
    fn usable(&self, why: &mut Vec<String>) -> Result<Vec<Mode>> {
        let sane: Vec<Mode> = self.modes.iter().copied().filter(modes::is_sane).collect();
        let usable: Vec<Mode> = sane.iter().copied().filter(|mode| coding(mode.format).is_some()).collect();
        let mut unread: Vec<FourCc> =
            sane.iter().map(|mode| mode.format).filter(|&format| coding(format).is_none()).collect();
        unread.sort();
        unread.dedup();
        if sane.len() < self.modes.len() {
            why.push(format!("{} of {} modes make no sense", self.modes.len() - sane.len(), self.modes.len()));
        }
        let listed = list(&unread);
        if usable.is_empty() {
            let feature = "this camera's pixel formats".to_owned();
            return Err(match unread.is_empty() {
                true => Error::dependency("device", "the device offers no usable mode at all"),
                false if unread.iter().all(|&format| modes::is_bayer(format)) => Error::new(
                    Kind::Unsupported { feature },
                    format!(
                        "the device offers only the sensor's own Bayer pictures ({listed}), which need an image \
                         signal processor: on a Raspberry Pi or a Jetson that is libcamera or Argus, not V4L2"
                    ),
                ),
                false => Error::new(
                    Kind::Unsupported { feature },
                    format!("the device offers only pixel formats that GStreamer does not read: {listed}"),
                ),
            });
        }
        if !unread.is_empty() {
            why.push(format!("passed over, because GStreamer does not read them: {listed}"));
        }
        Ok(usable)
    }

    /// The modes a pin leaves.
    fn pinned(&self, pin: &PinnedMode, usable: &[Mode]) -> Result<Vec<Mode>> {
        let fits = |mode: &Mode| {
            (mode.width, mode.height) == (pin.width, pin.height)
                && pin.format.is_none_or(|format| format == mode.format)
                && pin.rate.is_none_or(|rate| rate == mode.rate)
        };
        let left: Vec<Mode> = usable.iter().copied().filter(fits).collect();
        if !left.is_empty() {
            return Ok(left);
        }
        let asked = format!(
            "{}{}x{}{}",
            pin.format.map(|format| format!("{format} ")).unwrap_or_default(),
            pin.width,
            pin.height,
            pin.rate.map(|rate| format!("@{rate}")).unwrap_or_default()
        );
        let mut near = usable.to_vec();
        let target = self.target();
        near.sort_by_key(|mode| {
            (pin.format.is_some_and(|format| format != mode.format), distance(mode, &target, self.driver))
        });
        near.truncate(5);
        let unread = self.modes.iter().any(fits);
        let what = if unread { "is offered, but GStreamer does not read it" } else { "is not offered by the device" };
        let kind = Kind::InvalidParams {
            param: "mode".into(),
            rule: format!("{asked} {what}"),
            hint: format!("the nearest it offers: {}", list(&near)),
        };
        Err(Error::new(kind, format!("the pinned mode {asked} {what}; the nearest it offers: {}", list(&near))))
    }

    /// What modes are measured by: the wanted size and rate, or the pinned ones.
    fn target(&self) -> Wanted {
        let mut target = self.wanted.clone();
        if let Some(pin) = &self.wanted.mode {
            (target.width, target.height) = (pin.width, pin.height);
            target.rate = pin.rate.unwrap_or(target.rate);
        }
        target
    }

    /// Whether the camera's own H.264 is taken: at about the wanted size and rate, or because there is no other way.
    fn passes_through(&self, mode: &Mode, other: Option<Mode>, can_encode: bool, why: &mut Vec<String>) -> bool {
        if let Some(encoder) = self.wanted.encoder.filter(|_| other.is_some()) {
            why.push(format!("the camera's own H.264 ({mode}) passed over: the encoder {encoder} is pinned"));
            return false;
        }
        if self.wanted.encoder.is_some() && self.wanted.mode.is_none() {
            return false;
        }
        let Some(other) = other.filter(|_| can_encode) else {
            why.push(format!("the camera's own H.264, untouched: {mode}; there is no other way to H.264 here"));
            return true;
        };
        let target = self.target();
        let (has, wants) = (area(mode.width, mode.height), area(target.width, target.height));
        let off = distance(mode, &target, self.driver);
        if off.slide_show || has * 2 < wants || has * 2 > wants * 5 {
            why.push(format!(
                "the camera's own H.264 passed over: its nearest is {mode}, too far from {}x{}@{}; {other} is nearer",
                target.width, target.height, target.rate
            ));
            return false;
        }
        why.push(format!("the camera's own H.264, untouched: {mode}{}; nothing is encoded here", self.beside(mode)));
        true
    }

    fn why_mode(&self, mode: &Mode, raw: Option<Mode>) -> String {
        let beside = self.beside(mode);
        let target = self.target();
        match raw {
            _ if self.wanted.mode.is_some() => format!("mode {mode}: pinned"),
            Some(raw) if mode.format.is_jpeg() => {
                let (of_raw, of_jpeg) = (distance(&raw, &target, self.driver), distance(mode, &target, self.driver));
                let reason = if of_raw.slide_show && !of_jpeg.slide_show || of_raw.slow && !of_jpeg.slow {
                    "is slower than wanted"
                } else if of_raw.overload {
                    "is more than USB 2 carries"
                } else {
                    "is farther off"
                };
                format!("mode {mode}{beside}: raw {raw} {reason}")
            }
            Some(_) if overloads_usb2(mode, self.driver) => {
                format!("mode {mode}{beside}: more than USB 2 carries, and the camera has no MJPEG to match")
            }
            Some(_) => format!("mode {mode}{beside}: raw, nothing to decode"),
            None => format!("mode {mode}{beside}: MJPEG, the camera offers nothing raw"),
        }
    }

    /// How a mode differs from what is wanted, when it does.
    fn beside(&self, mode: &Mode) -> String {
        let target = self.target();
        let off = distance(mode, &target, self.driver);
        let size = match off.size {
            SizeDistance::Within(0) => None,
            SizeDistance::Within(_) | SizeDistance::Tiny(_) => Some("the largest below"),
            SizeDistance::Above(_) => Some("the smallest above"),
        };
        let wanted = format!("{}x{}@{}", target.width, target.height, target.rate);
        match (size, off.slow) {
            (Some(size), _) => format!(" ({size} the wanted {wanted})"),
            (None, true) => format!(" (slower than the wanted {wanted})"),
            (None, false) => String::new(),
        }
    }

    fn no_mjpeg(&self) -> Error {
        let feature = "MJPEG from this camera".to_owned();
        let message = match self.wanted.mode.and_then(|pin| pin.format).filter(|format| !format.is_jpeg()) {
            Some(format) => {
                format!("the codec is MJPEG, but the pinned mode is {format}: pin a MJPG mode, or no format")
            }
            None => "the camera offers no MJPEG to pass through; set the codec to H264".into(),
        };
        Error::new(Kind::Unsupported { feature }, message)
    }
}

/// A plan that encodes.
fn encoded(
    mode: Mode,
    coding: Coding,
    wanted: &Wanted,
    encoders: &Encoders,
    mut why: Vec<String>,
) -> Result<CapturePlan> {
    let (kind, because) = encoders.choose(wanted)?;
    why.push(because);
    let (width, height) = (mode.width / 2 * 2, mode.height / 2 * 2);
    let mut settings = vec![settings::mode(&mode, coding)];
    settings.extend(settings::crop(mode.width, mode.height));
    settings.extend(settings::encoder(kind, wanted, width, height, mode.rate));
    if (width, height) != (mode.width, mode.height) {
        why.push(format!("cropped to {width}x{height}: 4:2:0 has even sizes only"));
    }
    let jpeg = coding == Coding::Jpeg;
    Ok(CapturePlan {
        mode: Some(mode),
        encoder: Some(kind),
        source: if jpeg { "source/mjpeg" } else { "source/raw" },
        decoder: jpeg.then_some("decoder/jpegdec"),
        settings,
        key_frames_on_demand: true,
        why,
        ..CapturePlan::untouched(Format { codec: Codec::H264, width, height, rate: mode.rate })
    })
}

/// A plan that passes on what the camera delivers.
fn untouched(mode: Mode, coding: Coding, why: Vec<String>) -> CapturePlan {
    let (codec, source) = match coding {
        Coding::H264 => (Codec::H264, "source/h264"),
        _ => (Codec::Mjpeg, "source/mjpeg"),
    };
    CapturePlan {
        mode: Some(mode),
        source,
        settings: vec![settings::mode(&mode, coding)],
        // Every JPEG is a key frame.
        key_frames_on_demand: codec == Codec::Mjpeg,
        why,
        ..CapturePlan::untouched(Format { codec, width: mode.width, height: mode.height, rate: mode.rate })
    }
}
