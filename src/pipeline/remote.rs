//! A stream of another machine as a source: which of its streams is taken, and what to say when there is none.
//!
//! What the other side offers is known only once it is connected to. So the launch file has a branch for every codec we
//! take, and `rtspsrc` asks here, before it sets anything up, which stream it should take.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use gst::{glib, prelude::*};
use gst_net::gio::{self, prelude::TlsCertificateExt};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{CapturePlan, Setting};
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, Format},
    media::{self, incoming::Incoming, launch},
    mode::Rate,
    rtsp_url::{Fingerprint, RtspUrl, without_credentials},
};

/// Encodings that are taken, by their names in SDP.
const TAKEN: [&str; 2] = ["H264", "JPEG"];
/// What stands in a plan until the other side has said better, and afterwards for what it does not say.
pub(super) const USUAL: Format = Format { codec: Codec::H264, width: 0, height: 0, rate: Rate::per_second(30) };

/// An authority that vouches for nobody, because a list of authorities cannot be empty: its certificate is for no authority,
/// was valid for the first second of 1970, and its key was thrown away.
const NOBODY: &[u8] = include_bytes!("nobody.pem");

/// The plan for a stream of another machine.
pub(super) fn plan(url: &RtspUrl, fingerprint: Option<&Fingerprint>) -> CapturePlan {
    CapturePlan {
        remote: Some(url.clone()),
        fingerprint: fingerprint.filter(|_| url.is_inside_tls()).cloned(),
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
    /// Why its certificate was refused.
    refused: Mutex<Option<String>>,
}

impl Remote {
    /// Tells the element `source` where to connect to, whom to trust there and which stream to take. None: the plan pulls
    /// nothing. Errors: the launch file (perhaps an override) has another kind of element there; TLS does not work.
    pub fn attach(pipeline: &gst::Pipeline, plan: &CapturePlan) -> Result<Option<Arc<Self>>> {
        let Some(url) = &plan.remote else { return Ok(None) };
        let source = launch::element::<gst::Element>(pipeline, "source")?;
        let asks = glib::subclass::SignalId::lookup("select-stream", source.type_()).is_some();
        if source.find_property("location").is_none() || !asks {
            let message = format!("element \"source\" is a {}, which pulls no RTSP", source.type_());
            return Err(Error::dependency("source", message));
        }
        // As a property: nothing in it can become part of the launch line.
        source.set_property("location", url.expose());
        let remote = Arc::new(Self::new(url));
        let asked = Arc::clone(&remote);
        source.connect("select-stream", false, move |values| {
            let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
            Some(asked.takes(caps.as_ref()).to_value())
        });
        source.connect_pad_added(|_, pad| mend(pad));
        if plan.fingerprint.is_some() {
            // Asked is only about what is not trusted already: nobody is to be, not even whom this machine trusts.
            source.set_property("tls-database", nobody()?);
        }
        let (asked, expected) = (Arc::clone(&remote), plan.fingerprint.clone());
        source.connect("accept-certificate", false, move |values| {
            let certificate = values.get(2).and_then(|shown| shown.get::<gio::TlsCertificate>().ok());
            let faults = values.get(3).and_then(|faults| faults.get::<gio::TlsCertificateFlags>().ok());
            Some(asked.trusts(certificate.as_ref(), faults, expected.as_ref()).to_value())
        });
        Ok(Some(remote))
    }

    fn new(url: &RtspUrl) -> Self {
        let (offered, refused) = (Mutex::default(), Mutex::default());
        Self { shown: url.to_string(), offered, taken: AtomicBool::new(false), refused }
    }

    /// Whether to go on with the one who shows a certificate that this machine does not trust, because of these faults.
    fn trusts(
        &self,
        certificate: Option<&gio::TlsCertificate>,
        faults: Option<gio::TlsCertificateFlags>,
        expected: Option<&Fingerprint>,
    ) -> bool {
        let Some(der) = certificate.and_then(TlsCertificateExt::certificate) else { return false };
        let (found, shown) = (Fingerprint::of(&der), &self.shown);
        let why = match expected {
            Some(expected) if *expected == found => return true,
            Some(expected) => {
                format!("{shown} shows another certificate than it should: the fingerprint is {found}, not {expected}")
            }
            None => format!(
                "{shown} shows a certificate that is not trusted here: {}; its fingerprint is {found}",
                said(faults.unwrap_or(gio::TlsCertificateFlags::GENERIC_ERROR))
            ),
        };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        false
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
        if let Some(why) = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Error::dependency("remote", why);
        }
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

/// Has RTP packets that leave here be what they should be, and say when they were made, in place of when they came.
fn mend(pad: &gst::Pad) {
    let incoming = Mutex::new(Incoming::default());
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(packet) = info.buffer_mut() {
            let packet = packet.make_mut();
            // Plain data that is whole after every statement.
            incoming.lock().unwrap_or_else(PoisonError::into_inner).mend(packet, pad.current_caps().as_deref());
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let segment = segment.as_ref().and_then(|event| event.segment().downcast_ref::<gst::ClockTime>());
            if let (Some(segment), Some(time)) = (segment, packet.pts()) {
                packet.set_pts(segment.position_from_running_time(time).or(Some(time)));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// A list of authorities by which no certificate is trusted. Error: TLS does not work here.
fn nobody() -> Result<gio::TlsFileDatabase> {
    let failed = |error| Error::with_source(Kind::Internal, "there is no file in memory", error);
    let mut file =
        fs::File::from(memfd_create("nobody", MemfdFlags::CLOEXEC).map_err(io::Error::from).map_err(failed)?);
    file.write_all(NOBODY).map_err(failed)?;
    // Read at once, and not again.
    gio::TlsFileDatabase::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|error| {
        let kind = Kind::Dependency { dependency: "remote".into() };
        Error::with_source(kind, "no fingerprint can be compared: TLS does not work here", error)
    })
}

/// What is wrong with a certificate, in words.
fn said(faults: gio::TlsCertificateFlags) -> String {
    use gio::TlsCertificateFlags as Fault;
    let words = [
        (Fault::UNKNOWN_CA, "nobody this machine knows has signed it"),
        (Fault::BAD_IDENTITY, "it is for another host"),
        (Fault::NOT_ACTIVATED, "it is not valid yet"),
        (Fault::EXPIRED, "it has expired"),
        (Fault::REVOKED, "it was revoked"),
        (Fault::INSECURE, "its algorithm is not secure"),
    ];
    let found: Vec<_> = words.iter().filter(|(fault, _)| faults.contains(*fault)).map(|(_, words)| *words).collect();
    if found.is_empty() { "it is broken".into() } else { found.join(", ") }
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
    use gio::prelude::TlsDatabaseExt;

    use super::*;

    fn remote() -> Remote {
        media::init().unwrap();
        Remote::new(&RtspUrl::parse("rtsp://me:hunter2@cam/x").unwrap())
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
    fn who_is_to_have_a_fingerprint_is_trusted_for_nothing_else() {
        media::init().unwrap();
        let expected = Fingerprint::written("ab:cd");
        for (url, expected, compared) in [
            ("rtsps://cam/x", expected.as_ref(), true),
            ("rtsps://cam/x", None, false),
            ("rtsp://cam/x", expected.as_ref(), false),
        ] {
            let pipeline = launch::pipeline("rtspsrc name=source fakesink").unwrap();
            Remote::attach(&pipeline, &plan(&RtspUrl::parse(url).unwrap(), expected)).unwrap().unwrap();
            let source = pipeline.by_name("source").unwrap();
            let trusted = source.property::<Option<gio::TlsDatabase>>("tls-database");
            assert_eq!(trusted.is_some(), compared, "{url} {expected:?}");
        }
        // Not even the one that is in the list.
        let own = gio::TlsCertificate::from_pem(std::str::from_utf8(NOBODY).unwrap()).unwrap();
        let flags = gio::TlsDatabaseVerifyFlags::empty();
        let (server, nothing) = ("1.3.6.1.5.5.7.3.1", gio::Cancellable::NONE);
        let faults = nobody().unwrap().verify_chain(
            &own,
            server,
            None::<&gio::NetworkAddress>,
            None::<&gio::TlsInteraction>,
            flags,
            nothing,
        );
        assert!(faults.unwrap().contains(gio::TlsCertificateFlags::EXPIRED));
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        use gio::TlsCertificateFlags as Fault;
        assert_eq!(said(Fault::BAD_IDENTITY | Fault::EXPIRED), "it is for another host, it has expired");
        assert_eq!(said(Fault::GENERIC_ERROR), "it is broken");
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
