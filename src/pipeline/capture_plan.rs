//! What a capture pipeline will do, as a value: for the pipeline itself, for the log and for whoever asks.
//!
//! Not here: how it is chosen (`plan`).

use std::path::PathBuf;

use super::{Setting, encoder::launch_file, failure::Suspect, remote};
use crate::{
    config::EncoderKind,
    error::Result,
    frame::{Codec, Format},
    media::{launch::LaunchFiles, publication::Publication},
    mode::Mode,
    rtsp_url::{Fingerprint, RtspUrl},
};

/// What a capture pipeline will do.
#[derive(Clone, Debug, PartialEq)]
pub struct CapturePlan {
    /// What comes out. Of another machine's stream it is a guess until the stream is there, which then knows better.
    pub format: Format,
    /// Where it is pulled from; None: no other machine.
    pub remote: Option<RtspUrl>,
    /// The one certificate it may show there; None: one that this machine trusts.
    pub fingerprint: Option<Fingerprint>,
    /// What is published to this service; None: nothing is.
    pub publication: Option<Publication>,
    /// The device's node; None: no device.
    pub node: Option<PathBuf>,
    /// The device's driver, empty without a device.
    pub driver: String,
    /// The mode the device is opened in; None: no device.
    pub mode: Option<Mode>,
    /// The encoder; None: what the source delivers goes through untouched.
    pub encoder: Option<EncoderKind>,
    /// Launch file of the source, e.g. `source/mjpeg`.
    pub source: &'static str,
    /// Launch file of the decoder, where one is needed.
    pub decoder: Option<&'static str>,
    /// Launch file of the tail.
    pub tail: &'static str,
    /// What is set on the elements of those files.
    pub settings: Vec<Setting>,
    /// Whether a request for a key frame is fulfilled soon. A camera's own H.264 has its key frames when it likes.
    pub key_frames_on_demand: bool,
    /// Each choice with its reason, for the log and the status.
    pub why: Vec<String>,
}

impl CapturePlan {
    /// Whether a pipeline of the one does what one of the other does, for whatever reasons.
    pub fn does_as(&self, other: &Self) -> bool {
        Self { why: other.why.clone(), ..self.clone() } == *other
    }

    /// What nothing is done to; where it comes from is the caller's to say.
    pub(super) fn untouched(format: Format) -> Self {
        Self {
            format,
            remote: None,
            fingerprint: None,
            publication: None,
            node: None,
            driver: String::new(),
            mode: None,
            encoder: None,
            source: "",
            decoder: None,
            tail: match format.codec {
                Codec::H264 => "tail/h264",
                Codec::Mjpeg => "tail/mjpeg",
            },
            settings: Vec::new(),
            key_frames_on_demand: false,
            why: Vec::new(),
        }
    }

    /// The launch files in the order they are joined.
    pub fn files(&self) -> Vec<String> {
        let encoder = self.encoder.map_or_else(|| "encoder/none".into(), launch_file);
        let decoder = self.decoder.map(str::to_owned);
        [Some(self.source.into()), decoder, Some(encoder), Some(self.tail.into())].into_iter().flatten().collect()
    }

    /// The joined line with all that is set on its elements, as a shell takes it behind `gst-launch-1.0`. Errors: a
    /// launch file is missing or cannot be read.
    pub fn launch_line(&self, files: &LaunchFiles) -> Result<String> {
        let mut line = format!(" {} ", files.join(&self.files())?);
        // Without the credentials.
        let remote = self.remote.as_ref().map(remote::shown);
        for Setting { element, property, value } in self.settings.iter().chain(&remote) {
            let name = format!(" name={element}");
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            // Of two values for one property the later counts, which would be the file's own: that one goes.
            if let Some(at) = line.find(&format!("{name} ")) {
                let rest = without(&line[at + name.len()..], property);
                line = format!("{}{name} {property}=\"{value}\"{rest}", &line[..at]);
            }
        }
        Ok(line.trim().to_owned())
    }

    /// Whether the plan's format is a guess, because the stream is made elsewhere.
    pub(super) fn is_guess(&self) -> bool {
        self.remote.is_some() || self.publication.is_some()
    }

    pub(super) fn suspect(&self) -> Suspect {
        match (&self.node, self.mode) {
            (Some(node), Some(mode)) => Suspect::device(node, &self.driver, &mode.to_string()),
            _ => Suspect::default(),
        }
    }
}

/// The launch line's text without the assignment of `property` to the element it begins in.
fn without(text: &str, property: &str) -> String {
    let (own, others) = text.split_at(text.find(" ! ").unwrap_or(text.len()));
    let assignment = format!("{property}=");
    let kept: Vec<&str> = own.split(' ').filter(|word| !word.starts_with(&assignment)).collect();
    kept.join(" ") + others
}
