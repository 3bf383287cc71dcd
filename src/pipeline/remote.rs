//! A stream of another machine as a source: which of its streams is taken, and what to say when there is none.
//!
//! What the other side offers is known only once it is connected to. So the launch file has a branch for every codec we
//! take, and `rtspsrc` asks here, before it sets anything up, which stream it should take.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use gst::{glib, prelude::*};

use super::{CapturePlan, Setting};
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, Format},
    media::{self, launch},
    mode::Rate,
    rtsp_url::{RtspUrl, without_credentials},
};

/// Encodings that are taken, by their names in SDP.
const TAKEN: [&str; 2] = ["H264", "JPEG"];
/// What stands in a plan until the other side has said better, and afterwards for what it does not say.
pub(super) const USUAL: Format = Format { codec: Codec::H264, width: 0, height: 0, rate: Rate::per_second(30) };

/// The plan for a stream of another machine.
pub(super) fn plan(url: &RtspUrl) -> CapturePlan {
    CapturePlan {
        remote: Some(url.clone()),
        source: "source/rtsp",
        why: vec![format!("a stream of another machine, untouched: {url}")],
        ..CapturePlan::untouched(USUAL)
    }
}

/// The URL as a launch line shows it.
pub(super) fn shown(url: &RtspUrl) -> Setting {
    Setting::new("source", "location", url)
}

/// What a stream turns out to be, from the caps of its first frame.
pub(super) fn format(codec: Codec, caps: Option<&gst::CapsRef>) -> Format {
    let structure = caps.and_then(|caps| caps.structure(0));
    let pixels = |name| {
        let value = structure.and_then(|structure| structure.get::<i32>(name).ok());
        value.and_then(|pixels| u32::try_from(pixels).ok()).unwrap_or_default()
    };
    let rate = structure.and_then(|structure| structure.get::<gst::Fraction>("framerate").ok());
    let rate = rate.and_then(|rate| {
        let (frames, seconds) = (u32::try_from(rate.numer()).ok()?, u32::try_from(rate.denom()).ok()?);
        (frames > 0 && seconds > 0).then_some(Rate { frames, seconds })
    });
    Format { codec, width: pixels("width"), height: pixels("height"), rate: rate.unwrap_or(USUAL.rate) }
}

/// What a pipeline learns of the other side.
pub(super) struct Remote {
    /// The URL without credentials.
    shown: String,
    /// What it offers, e.g. `H265 video`.
    offered: Mutex<Vec<String>>,
    taken: AtomicBool,
}

impl Remote {
    /// Tells the element `source` where to connect to and which stream to take. Error: the launch file (perhaps an
    /// override) has another kind of element there.
    pub fn attach(pipeline: &gst::Pipeline, url: &RtspUrl) -> Result<Arc<Self>> {
        let source = launch::element::<gst::Element>(pipeline, "source")?;
        let asks = glib::subclass::SignalId::lookup("select-stream", source.type_()).is_some();
        if source.find_property("location").is_none() || !asks {
            let message = format!("element \"source\" is a {}, which pulls no RTSP", source.type_());
            return Err(Error::dependency("source", message));
        }
        // As a property: nothing in it can become part of the launch line.
        source.set_property("location", url.expose());
        let remote =
            Arc::new(Self { shown: url.to_string(), offered: Mutex::default(), taken: AtomicBool::new(false) });
        let asked = Arc::clone(&remote);
        source.connect("select-stream", false, move |values| {
            let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
            Some(asked.takes(caps.as_ref()).to_value())
        });
        Ok(remote)
    }

    /// Whether to take this stream: the first that fits, and no other beside it.
    fn takes(&self, caps: Option<&gst::Caps>) -> bool {
        let structure = caps.and_then(|caps| caps.structure(0));
        let text = |name| structure.and_then(|structure| structure.get::<String>(name).ok()).unwrap_or_default();
        let (media, encoding) = (text("media"), text("encoding-name"));
        // A panic elsewhere under the lock leaves a list.
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{encoding} {media}"));
        media == "video" && TAKEN.contains(&encoding.as_str()) && !self.taken.swap(true, Ordering::SeqCst)
    }

    /// What a message of the pipeline means.
    pub fn explain(&self, message: &gst::message::Error) -> Error {
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        let shown = &self.shown;
        if !self.taken.load(Ordering::SeqCst) && !offered.is_empty() {
            let kind = Kind::Unsupported { feature: offered.clone() };
            return Error::new(kind, format!("{shown} offers {offered}; what is taken is H264 or JPEG video"));
        }
        // Without its source: its text may have the URL in it.
        let text = without_credentials(media::bus::error(message).message());
        Error::dependency(
            "remote",
            match Reason::of(&text) {
                Reason::Credentials => format!("{shown} asks for other credentials than those in the URL"),
                Reason::NotThere => format!("{shown} is not there: the other side answers, and has no such stream"),
                Reason::Unreachable => format!("{shown} cannot be reached: {text}"),
                Reason::Other => format!("{shown} failed: {text}"),
            },
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Credentials,
    NotThere,
    Unreachable,
    Other,
}

impl Reason {
    fn of(text: &str) -> Self {
        let signs: [(Self, &[&str]); 3] = [
            (Self::Credentials, &["Unauthorized", "Forbidden", "(401)", "(403)"]),
            (Self::NotThere, &["Not Found", "(404)"]),
            (Self::Unreachable, &["Failed to connect", "Could not connect", "Timeout while waiting"]),
        ];
        let found = signs.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign)));
        found.map_or(Self::Other, |&(reason, _)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Remote {
        media::init().unwrap();
        Remote { shown: "rtsp://***@cam/x".into(), offered: Mutex::default(), taken: AtomicBool::new(false) }
    }

    fn caps(media: &str, encoding: &str) -> gst::Caps {
        gst::Caps::builder("application/x-rtp").field("media", media).field("encoding-name", encoding).build()
    }

    fn failure(text: &str, debug: &str) -> gst::Message {
        gst::message::Error::builder(gst::ResourceError::OpenRead, text).debug(debug).build()
    }

    fn explained(remote: &Remote, text: &str, debug: &str) -> Error {
        let message = failure(text, debug);
        let gst::MessageView::Error(message) = message.view() else { unreachable!() };
        remote.explain(message)
    }

    #[test]
    fn the_first_video_that_is_understood_is_taken_and_nothing_beside_it() {
        let remote = remote();
        let takes = |media, encoding| remote.takes(Some(&caps(media, encoding)));
        assert!(!takes("audio", "PCMU") && !takes("video", "H265") && !remote.takes(None));
        assert!(takes("video", "JPEG"));
        assert!(!takes("video", "H264"));
    }

    #[test]
    fn what_is_offered_instead_is_named() {
        let remote = remote();
        remote.takes(Some(&caps("video", "H265")));
        remote.takes(Some(&caps("audio", "MPEG4-GENERIC")));
        let error = explained(&remote, "Could not setup", "");
        assert!(
            matches!(error.kind(), Kind::Unsupported { feature } if feature.starts_with("H265 video")),
            "{error:?}"
        );
    }

    #[test]
    fn an_error_never_has_the_credentials() {
        let remote = remote();
        let error = explained(&remote, "Could not connect to rtsp://me:hunter2@cam/x", "at rtsp://me:hunter2@cam/x");
        assert!(error.message().starts_with("rtsp://***@cam/x cannot be reached"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let error = explained(&remote, "Unauthorized", "");
        assert!(error.message().contains("asks for other credentials"), "{error}");
    }

    #[test]
    fn the_caps_say_what_it_is_and_the_usual_stands_for_what_they_do_not() {
        media::init().unwrap();
        let caps = gst::Caps::builder("video/x-h264").field("width", 640).field("height", 360);
        assert_eq!(format(Codec::H264, None), USUAL);
        let found = format(Codec::H264, Some(&caps.field("framerate", gst::Fraction::new(25, 2)).build()));
        assert_eq!((found.width, found.height, found.rate), (640, 360, Rate { frames: 25, seconds: 2 }));
        let caps = gst::Caps::builder("image/jpeg").field("framerate", gst::Fraction::new(0, 1)).build();
        assert_eq!(format(Codec::Mjpeg, Some(&caps)), Format { codec: Codec::Mjpeg, ..USUAL });
    }
}
