//! Which H.264 encoders work on this machine.
//!
//! An element that is registered may still not work: the driver is missing, a library is too old, the hardware is held
//! by somebody. So each encoder is tried with a few frames through its own launch file.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{Wanted, failure, frames, settings};
use crate::{
    config::EncoderKind,
    error::{Error, Result},
    media::launch::{self, LaunchFiles},
    mode::Rate,
};

/// The encoders of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoders {
    /// Those that passed their trial, in the order they were tried.
    pub usable: Vec<EncoderKind>,
    /// Those that did not, and why.
    pub refused: Vec<(EncoderKind, String)>,
}

/// Size and rate of the trial's pictures, as `source/trial.launch` has them. Small enough for any encoder, large enough
/// for those that refuse small pictures.
const TRIAL: (u32, u32, Rate) = (640, 480, Rate::per_second(30));

impl Encoders {
    /// Why an encoder is not usable that GStreamer does not have here.
    pub const NOT_INSTALLED: &str = "not installed";

    /// Tries the encoders of `order`, one after the other, and takes those that deliver a key frame within
    /// `deadline`. Blocks; a trial that hangs in a driver is left behind on its thread.
    pub fn probe(order: &[EncoderKind], files: &LaunchFiles, deadline: Duration) -> Self {
        let mut encoders = Self::default();
        for &kind in order {
            match trial(kind, files, deadline) {
                Ok(()) => {
                    tracing::info!(encoder = %kind, "encoder works");
                    encoders.usable.push(kind);
                }
                Err(reason) => {
                    tracing::info!(encoder = %kind, %reason, "encoder is passed over");
                    encoders.refused.push((kind, reason));
                }
            }
        }
        encoders
    }

    /// Why this encoder is not usable.
    pub fn why_not(&self, kind: EncoderKind) -> &str {
        self.refused.iter().find(|(refused, _)| *refused == kind).map_or("it was not tried", |(_, reason)| reason)
    }

    /// The encoder to use, and why. Error: the pinned one is not usable, or none is.
    pub(super) fn choose(&self, wanted: &Wanted) -> Result<(EncoderKind, String)> {
        let missing = |message: String| Err(Error::dependency("encoder", message));
        if let Some(pinned) = wanted.encoder {
            return match self.usable.contains(&pinned) {
                true => Ok((pinned, format!("encoder {pinned}: pinned"))),
                false => missing(format!(
                    "the pinned encoder {pinned} cannot be used: {}. Usable here: {}",
                    self.why_not(pinned),
                    list(&self.usable)
                )),
            };
        }
        let default = || self.refused.iter().map(|(kind, _)| *kind).chain(self.usable.iter().copied()).collect();
        let order = if wanted.order.is_empty() { default() } else { wanted.order.clone() };
        let mut refusals = Vec::new();
        for kind in order {
            if self.usable.contains(&kind) {
                let after = match refusals.is_empty() {
                    true => "the first choice".into(),
                    false => format!("the first that works; {}", refusals.join(", ")),
                };
                return Ok((kind, format!("encoder {kind}: {after}")));
            }
            refusals.push(format!("{kind}: {}", self.why_not(kind)));
        }
        missing(format!(
            "no H.264 encoder works here ({}). Install gstreamer1.0-plugins-ugly for x264enc, or set the codec to MJPEG",
            refusals.join(", ")
        ))
    }
}

/// Things as people list them.
pub(super) fn list<T: ToString>(things: &[T]) -> String {
    match things.is_empty() {
        true => "none".into(),
        false => things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The launch file of an encoder has the element's name.
pub(super) fn launch_file(kind: EncoderKind) -> String {
    format!("encoder/{kind}")
}

fn trial(kind: EncoderKind, files: &LaunchFiles, deadline: Duration) -> Result<(), String> {
    if gst::ElementFactory::find(&kind.to_string()).is_none() {
        return Err(Encoders::NOT_INSTALLED.into());
    }
    let (told, verdict) = mpsc::sync_channel(1);
    let files = files.clone();
    thread::Builder::new()
        .name(format!("try:{kind}"))
        .spawn(move || {
            // Fails only when nobody waits any more.
            let _ = told.send(encode(kind, &files, Instant::now() + deadline));
        })
        .map_err(|error| format!("no thread for its trial: {error}"))?;
    match verdict.recv_timeout(deadline) {
        Ok(verdict) => verdict.map_err(|error| error.to_string()),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("no key frame within {} s", deadline.as_secs_f32())),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("its trial panicked".into()),
    }
}

fn encode(kind: EncoderKind, files: &LaunchFiles, deadline: Instant) -> Result<()> {
    let file = launch_file(kind);
    let pipeline = launch::pipeline(&files.join(&["source/trial", &file, "tail/h264"])?)?;
    let (width, height, rate) = TRIAL;
    settings::apply(&pipeline, &settings::encoder(kind, &Wanted::default(), width, height, rate))?;
    let tail = launch::element::<gst_app::AppSink>(&pipeline, "tail")?;
    let started = pipeline.set_state(gst::State::Playing).map_err(|error| failure::at_start(&pipeline, &error));
    let verdict = started.and_then(|_| first_key_frame(&pipeline, &tail, deadline));
    let _ = pipeline.set_state(gst::State::Null);
    verdict
}

fn first_key_frame(pipeline: &gst::Pipeline, tail: &gst_app::AppSink, deadline: Instant) -> Result<()> {
    // Short turns, because an encoder that fails says so on the bus and never at the sink.
    while Instant::now() < deadline {
        if let Some(sample) = tail.try_pull_sample(gst::ClockTime::from_mseconds(20)) {
            let key = sample.buffer().filter(|buffer| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
            let data = key.and_then(|buffer| buffer.map_readable().ok());
            if data.is_some_and(|data| frames::begins_decoding(&data)) {
                return Ok(());
            }
        }
        if let Some(error) = failure::on_bus(pipeline) {
            return Err(error);
        }
        if tail.is_eos() {
            return Err(Error::dependency("encoder", "delivered no key frame with parameter sets"));
        }
    }
    Err(Error::dependency("encoder", "delivered no key frame in time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(x264: &str) -> (tempfile::TempDir, LaunchFiles) {
        crate::media::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("encoder")).unwrap();
        std::fs::write(folder.path().join("encoder/x264enc.launch"), x264).unwrap();
        let files = LaunchFiles::new(Some(folder.path().into()));
        (folder, files)
    }

    fn refusal(x264: &str, deadline: Duration) -> String {
        let (_folder, files) = files(x264);
        let encoders = Encoders::probe(&[EncoderKind::X264], &files, deadline);
        assert!(encoders.usable.is_empty(), "{encoders:?}");
        encoders.why_not(EncoderKind::X264).to_owned()
    }

    #[test]
    fn what_is_installed_and_works_is_usable() {
        crate::media::init().unwrap();
        let order = [EncoderKind::Nvv4l2H264, EncoderKind::X264, EncoderKind::OpenH264];
        let encoders = Encoders::probe(&order, &LaunchFiles::default(), Duration::from_secs(60));
        assert_eq!(encoders.usable, [EncoderKind::X264, EncoderKind::OpenH264]);
        assert_eq!(encoders.refused, [(EncoderKind::Nvv4l2H264, "not installed".to_owned())]);
    }

    #[test]
    fn an_encoder_that_hangs_is_left_behind() {
        // It would sleep for ten minutes with the first frame in its hands.
        let hangs = "videoconvert ! identity sleep-time=600000000 ! x264enc name=encoder ! capsfilter name=profile";
        let reason = refusal(hangs, Duration::from_millis(300));
        assert_eq!(reason, "no key frame within 0.3 s");
    }

    #[test]
    fn an_encoder_that_fails_says_why() {
        let fails =
            "videoconvert ! x264enc name=encoder ! capsfilter name=profile ! identity name=broken error-after=1";
        let reason = refusal(fails, Duration::from_secs(60));
        assert!(reason.contains("broken"), "{reason}");
        let silent = "videoconvert ! x264enc name=encoder ! capsfilter name=profile ! identity drop-probability=1";
        let reason = refusal(silent, Duration::from_secs(60));
        assert!(reason.contains("no key frame"), "{reason}");
        let other = "videoconvert ! openh264enc name=encoder ! capsfilter name=profile";
        let reason = refusal(other, Duration::from_secs(60));
        assert!(reason.contains("has no property \"key-int-max\""), "{reason}");
    }
}
