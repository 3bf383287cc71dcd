//! What a capture pipeline dies of, in words that say what to do.

use std::path::Path;

use gst::prelude::*;

use crate::{
    error::{Error, Kind},
    media,
};

/// What the words of an error may refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspect {
    /// The device.
    pub node: Option<String>,
    /// Its driver.
    pub driver: String,
    /// The mode it was opened in.
    pub mode: String,
}

impl Suspect {
    pub(super) fn device(node: &Path, driver: &str, mode: &str) -> Self {
        Self { node: Some(node.display().to_string()), driver: driver.into(), mode: mode.into() }
    }
}

/// What a message of the pipeline means. `logged` is what the element logged before it, on the same thread.
pub(super) fn explain(message: &gst::message::Error, logged: Option<String>, suspect: &Suspect) -> Error {
    let cause = media::bus::error(message);
    let from_source = message.src().is_some_and(|element| element.name() == "source");
    let Some(node) = suspect.node.as_ref().filter(|_| from_source) else {
        return cause;
    };
    let mut text = cause.message().to_owned();
    if let Some(line) = &logged {
        text = format!("{text} [{line}]");
    }
    let message = match Reason::of(&text) {
        Reason::Bandwidth if suspect.driver == "uvcvideo" => format!(
            "USB bandwidth exhausted: the bus has no room for {} of {node}. Use MJPEG, a smaller size or rate, or plug \
             the camera into a port of another USB controller",
            suspect.mode
        ),
        Reason::Bandwidth => format!("{node} has no resources left for {}", suspect.mode),
        Reason::Busy => format!("{node} is busy: used by another program (\"fuser -v {node}\" shows which)"),
        Reason::Denied => {
            format!("{node} may not be opened: permission denied. The service's user must be in the group \"video\"")
        }
        Reason::Gone => format!("{node} is gone"),
        Reason::Unreadable => format!("{node} cannot be read any more; perhaps it was unplugged: {text}"),
        Reason::Refused => format!("{node} refuses {}: {text}", suspect.mode),
        Reason::Other => format!("{node} failed: {text}"),
    };
    Error::with_source(Kind::Dependency { dependency: "device".into() }, message, cause)
}

/// Why a pipeline that would not start did not, without a device to blame.
pub(super) fn at_start(pipeline: &gst::Pipeline, error: &gst::StateChangeError) -> Error {
    on_bus(pipeline).unwrap_or_else(|| Error::dependency("pipeline", error.to_string()))
}

/// The first error waiting on the bus.
pub(super) fn on_bus(pipeline: &gst::Pipeline) -> Option<Error> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(message) => Some(media::bus::error(message)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Bandwidth,
    Busy,
    Denied,
    Gone,
    Unreadable,
    Refused,
    Other,
}

impl Reason {
    /// Reads the errno out of GStreamer's texts: by number where it is given, else by the C library's English words.
    fn of(text: &str) -> Self {
        // ENOSPC is matched with its errno only: v4l2src uses the resource error NO_SPACE_LEFT for many other things.
        let signs: [(Self, &[&str]); 6] = [
            (Self::Bandwidth, &["No space left on device", "STREAMON 28 "]),
            (Self::Busy, &["Device or resource busy", "STREAMON 16 ", "is busy"]),
            (Self::Denied, &["Permission denied", "Operation not permitted"]),
            (Self::Gone, &["No such device", "No such file or directory", "STREAMON 19 ", "Cannot identify device"]),
            (Self::Unreadable, &["Could not read from resource"]),
            (Self::Refused, &["has no supported format", "cannot capture", "not-negotiated", "did not accept"]),
        ];
        let found = signs.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign)));
        found.map_or(Self::Other, |&(reason, _)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &str, debug: &str, logged: Option<&str>) -> String {
        media::init().unwrap();
        let source = gst::ElementFactory::make("fakesrc").name("source").build().unwrap();
        let message = gst::message::Error::builder(gst::ResourceError::Failed, text).debug(debug).src(&source).build();
        let gst::MessageView::Error(message) = message.view() else { unreachable!() };
        let suspect = Suspect::device(Path::new("/dev/video7"), "uvcvideo", "YUYV 1280x720@30");
        explain(message, logged.map(Into::into), &suspect).message().to_owned()
    }

    #[test]
    fn the_words_say_what_to_do() {
        let enospc = explained("Failed to allocate a buffer", "", Some("error with STREAMON 28 (Kein Platz)"));
        assert!(enospc.contains("USB bandwidth exhausted") && enospc.contains("MJPEG"), "{enospc}");
        let busy = explained("Device '/dev/video7' is busy", "Call to S_FMT failed: Device or resource busy", None);
        assert!(busy.contains("another program"), "{busy}");
        let denied = explained("Could not open device", "system error: Permission denied", None);
        assert!(denied.contains("group \"video\""), "{denied}");
        let gone = explained("Cannot identify device '/dev/video7'.", "system error: No such file or directory", None);
        assert_eq!(gone, "/dev/video7 is gone");
        let unplugged = explained("Failed to allocate a buffer", "", Some("failed dequeuing: No such device"));
        assert_eq!(unplugged, "/dev/video7 is gone");
        let refused = explained("Device '/dev/video7' cannot capture at 1280x720", "", None);
        assert!(refused.contains("refuses YUYV 1280x720@30"), "{refused}");
        let other = explained("Strange", "things", None);
        assert!(other.contains("/dev/video7") && other.contains("Strange") && other.contains("things"), "{other}");
    }
}
