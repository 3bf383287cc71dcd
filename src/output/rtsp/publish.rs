//! Publishing (ANNOUNCE, RECORD; RFC 2326, 10.3 and 10.11): streams that come in.
//!
//! gst-rtsp-server asks the factory of the path for a media when a stream is announced, as it does for a reader. The
//! factory makes an empty one then ([`announcing`] tells it so), and what the SDP says fills it: a sink for each stream,
//! the first that is understood leads into a [`Publication`]. A path without a stream has no mount; while something is
//! announced on it, it has one that says 404 to readers, also when the stream ends that was there before.
//!
//! Not here: who may publish, and what becomes of it ([`Publishers`](super::Publishers) knows).

use std::{
    cell::Cell,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak, mpsc},
    time::Duration,
};

use gst::{glib, glib::subclass::prelude::*, prelude::*};
use gst_rtsp::RTSPStatusCode;
use gst_rtsp_server::{RTSPClient, RTSPContext, prelude::*, subclass::prelude::*};

use super::{
    asked::Asked,
    client::session_media,
    guest::Visit,
    lock,
    server::State,
    traffic::{self, Meter},
    tune::{self, Door},
};
use crate::{
    error::{Error, Result},
    frame::Codec,
    media::publication::Publication,
};

/// What the packets that have come have time for on their way to the publication when their publisher leaves. They need
/// milliseconds, if nothing is stuck.
const LAST_PACKETS: Duration = Duration::from_millis(500);
/// The RTP payload type of JPEG (RFC 3551, 6).
const JPEG: i32 = 26;

/// What a reader is told of a path that has no stream.
pub(super) enum Told {
    /// To go there, a URL.
    Elsewhere(String),
    /// That there is no such path.
    Unknown,
}

/// Who publishes on a connection.
pub(super) struct Publisher {
    pub(super) connection: u64,
    pub(super) publication: Publication,
    pub(super) meter: Arc<Meter>,
}

thread_local! {
    /// The connection whose ANNOUNCE this thread is answering. A connection has one thread, and a request one answer.
    static ANNOUNCING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Whether the media that this thread makes is for a publisher, and on which connection.
pub(super) fn announcing() -> Option<u64> {
    ANNOUNCING.get()
}

/// The next media is for a reader.
pub(super) fn announced() {
    ANNOUNCING.set(None);
}

/// Follows what a connection publishes.
pub(super) fn follow(state: &Arc<State>, connection: u64, client: &RTSPClient) {
    client.connect_announce_request(|_, _| announced());
    let weak = Arc::downgrade(state);
    client.connect_pre_record_request(move |_, context| {
        weak.upgrade().map_or(RTSPStatusCode::ServiceUnavailable, |state| state.record(connection, context))
    });
}

impl State {
    /// A stream is about to be announced: what may be published gets a place.
    pub(super) fn announce(self: &Arc<Self>, connection: u64, remote: SocketAddr, name: &str) -> RTSPStatusCode {
        announced();
        let Some(publishers) = self.publishers.get() else { return RTSPStatusCode::MethodNotAllowed };
        if let Err(error) = publishers.announced(name, remote) {
            tracing::info!(path = name, %remote, error = error.chain(), "publisher refused");
            return RTSPStatusCode::BadRequest;
        }
        let before = lock(&self.connections).get_mut(&connection).and_then(|known| {
            // What was read before is not what it is here for.
            known.mount = Weak::new();
            known.announced.replace(name.into())
        });
        self.hold_place(name);
        if let Some(before) = before {
            self.forget_placeholder(&before);
        }
        ANNOUNCING.set(Some(connection));
        RTSPStatusCode::Ok
    }

    /// Somebody wants to read a path. `None`: it is handled as what is there by now.
    pub(super) fn visit(&self, connection: u64, context: &RTSPContext, name: &str) -> Option<Told> {
        let url = context.uri()?;
        let mount = self.mount_of(&format!("/{name}"));
        let publishers = self.publishers.get().filter(|_| mount.is_none_or(|mount| mount.is_placeholder))?;
        let query = lock(&self.connections).get(&connection).map(|known| known.query.clone()).unwrap_or_default();
        match publishers.visited(name, &query) {
            Visit::Asked => None,
            Visit::Elsewhere(place) if place.starts_with('/') => {
                let uri = url.request_uri();
                let start = uri.find("://").map_or(0, |at| at + 3);
                let host = uri[start..].find('/').map_or(uri.as_str(), |slash| &uri[..start + slash]);
                Some(Told::Elsewhere(format!("{host}{place}")))
            }
            Visit::Elsewhere(place) => Some(Told::Elsewhere(place)),
            Visit::Unknown => Some(Told::Unknown),
        }
    }

    fn record(&self, connection: u64, context: &RTSPContext) -> RTSPStatusCode {
        let media = session_media(context).and_then(|(_, media)| media.media());
        let media = media.and_then(|media| media.downcast::<Media>().ok());
        let Some((media, publishers)) = media.zip(self.publishers.get()) else {
            return RTSPStatusCode::MethodNotValidInThisState;
        };
        let Some((name, publication, meter)) = media.imp().publication() else {
            return RTSPStatusCode::MethodNotValidInThisState;
        };
        // A second RECORD is a sign of life.
        if lock(&self.publishing).iter().any(|known| known.publication == publication) {
            return RTSPStatusCode::Ok;
        }
        if let Err(error) = publishers.published(&name, publication.clone()) {
            tracing::info!(path = name, remote = %publication.remote(), error = error.chain(), "publisher refused");
            return RTSPStatusCode::BadRequest;
        }
        tracing::info!(path = name, remote = %publication.remote(), codec = %publication.codec(), "a publisher came");
        // Whoever announced it long ago has not been silent since.
        publication.begin();
        lock(&self.publishing).push(Publisher { connection, publication, meter });
        RTSPStatusCode::Ok
    }

    /// Sends off those who are not wanted any more and those who have fallen silent. For the server's thread.
    pub(super) fn look_after_publishers(&self) {
        let meters: Vec<_> = lock(&self.publishing).iter().map(|known| Arc::clone(&known.meter)).collect();
        let (false, Some(publishers)) = (meters.is_empty(), self.publishers.get()) else { return };
        meters.iter().for_each(|meter| meter.look());
        let patience = publishers.patience();
        let mut gone = Vec::new();
        lock(&self.publishing).retain(|known| {
            let (publication, remote) = (&known.publication, known.publication.remote());
            if publication.is_over() {
                return false;
            }
            if publication.is_refused() {
                tracing::info!(%remote, "publisher sent off");
                gone.push(known.connection);
            } else if publication.silence() > patience {
                tracing::warn!(%remote, "publisher sends nothing any more; disconnected");
                gone.push(known.connection);
            }
            !gone.contains(&known.connection)
        });
        self.disconnect(&gone);
    }
}

mod imp {
    use super::*;

    /// What is announced on a media that is made for a publisher.
    pub(super) struct Announced {
        pub state: Weak<State>,
        pub path: String,
        pub connection: u64,
        pub publication: OnceLock<Publication>,
        /// Where packets leave for the publication.
        pub door: OnceLock<gst::Pad>,
        pub meter: Arc<Meter>,
    }

    /// A media that may be a publisher's.
    #[derive(Default)]
    pub struct Media {
        pub(super) announced: OnceLock<Announced>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Media {
        const NAME: &'static str = "CameraServiceRtspMedia";
        type Type = super::Media;
        type ParentType = gst_rtsp_server::RTSPMedia;
    }

    impl ObjectImpl for Media {}

    impl RTSPMediaImpl for Media {
        fn handle_sdp(&self, sdp: &gst_sdp::SDPMessageRef) -> std::result::Result<(), gst::LoggableError> {
            if let Some(announced) = self.announced.get() {
                announced.receive(&self.obj(), sdp).map_err(|error| {
                    tracing::warn!(path = announced.path, error = error.chain(), "cannot be published");
                    gst::loggable_error!(gst::CAT_RUST, "{error}")
                })?;
            }
            self.parent_handle_sdp(sdp)?;
            if let Some(announced) = self.announced.get() {
                tell_jpeg(&self.obj());
                name_streams(&self.obj(), &announced.path);
            }
            Ok(())
        }

        fn unprepare(&self) -> std::result::Result<(), gst::LoggableError> {
            if let Some(announced) = self.announced.get() {
                announced.drain(&self.obj());
            }
            self.parent_unprepare()
        }

        fn unprepared(&self) {
            self.parent_unprepared();
            if let Some((path, publication, _)) = self.publication()
                && !publication.is_over()
            {
                tracing::info!(path, remote = %publication.remote(), "a publisher left");
                publication.end();
            }
        }
    }

    impl Media {
        /// The path, what is published to it, and what counts that, once the SDP was understood.
        pub(super) fn publication(&self) -> Option<(String, Publication, Arc<Meter>)> {
            let announced = self.announced.get()?;
            let meter = Arc::clone(&announced.meter);
            Some((announced.path.clone(), announced.publication.get()?.clone(), meter))
        }
    }
}

glib::wrapper! {
    /// The media of a reader or a publisher.
    pub struct Media(ObjectSubclass<imp::Media>) @extends gst_rtsp_server::RTSPMedia;
}

impl Media {
    /// Makes it a publisher's. Error: it has no pipeline.
    pub(super) fn announce(&self, state: &Arc<State>, path: &str, connection: u64) -> Result<()> {
        let pipeline = self.pipeline().ok_or_else(|| Error::internal("the RTSP media has no pipeline"))?;
        let meter = Arc::new(Meter::default());
        let counting = Arc::clone(&meter);
        let doors = move |door, pad: &gst::Pad| {
            let meter = Arc::clone(&counting);
            match door {
                Door::RtpIn => meter.receive_at(pad),
                Door::RtcpIn => traffic::watch(pad, move |report| meter.heard(report)),
                Door::RtcpOut => traffic::watch(pad, move |report| meter.reported(report)),
                Door::RtpOut | Door::Sink(_) => {}
            }
        };
        tune::pipeline(&pipeline, doors, |_, _| {});
        let announced = imp::Announced {
            state: Arc::downgrade(state),
            path: path.to_owned(),
            connection,
            publication: OnceLock::new(),
            door: OnceLock::new(),
            meter,
        };
        // The cell is empty: the media was just made.
        let _ = self.imp().announced.set(announced);
        Ok(())
    }

    fn pipeline(&self) -> Option<gst::Pipeline> {
        self.element().parent()?.downcast().ok()
    }

    /// Whether it is a publisher's.
    pub(super) fn is_announced(&self) -> bool {
        self.imp().announced.get().is_some()
    }
}

impl imp::Announced {
    /// Makes a sink for each stream of the SDP. Errors: nothing in it is understood, it was announced before.
    fn receive(&self, media: &Media, sdp: &gst_sdp::SDPMessageRef) -> Result<()> {
        if self.publication.get().is_some() {
            return Err(Error::internal("announced twice on one connection"));
        }
        let state = self.state.upgrade().ok_or_else(|| Error::internal("the RTSP server is stopping"))?;
        let remote = lock(&state.connections).get(&self.connection).map(|known| known.remote);
        let remote = remote.ok_or_else(|| Error::internal("the publisher is gone"))?;
        let bin = media.element().downcast::<gst::Bin>().map_err(|_| Error::internal("the RTSP media is no bin"))?;
        let mut offered = Vec::new();
        for stream in sdp.medias() {
            let (codec, encoding) = codec(stream);
            let codec = codec.filter(|_| self.publication.get().is_none());
            let sink = match codec {
                Some(codec) => self.publication.get_or_init(|| Publication::new(remote, codec)).sink(),
                None => gst::ElementFactory::make("fakesink").property("async", false).property("sync", false).build(),
            };
            let sink = sink.map_err(|error| Error::dependency("gstreamer", format!("no sink for packets: {error}")))?;
            let made = bin.add(&sink).ok().and(sink.static_pad("sink"));
            let pad = made.ok_or_else(|| Error::internal("the RTSP media takes no sink"))?;
            media.create_stream(&sink, &pad);
            if codec.is_some() {
                let _ = self.door.set(pad);
            }
            offered.push(encoding);
        }
        match self.publication.get() {
            Some(_) => Ok(()),
            None => Err(Error::invalid_param(
                "sdp",
                format!("offers {}", offered.join(", ")),
                "publish H264 or JPEG video (RFC 6184, RFC 2435)",
            )),
        }
    }

    /// Lets the packets that have come reach the publication: a media that is unprepared throws away what is in it. Called
    /// on the thread of the publisher's connection, which waits for that.
    fn drain(&self, media: &Media) {
        let Some((pipeline, door)) = media.pipeline().zip(self.door.get()) else { return };
        // Nobody tells of the end where nothing began.
        if self.meter.read().packets_received == 0 {
            return;
        }
        let (told, end) = mpsc::sync_channel(1);
        let probe = door.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
                let _ = told.try_send(());
            }
            gst::PadProbeReturn::Ok
        });
        // Who pauses before it leaves has sent what came before that.
        let _ = pipeline.set_state(gst::State::Playing);
        for source in pipeline.iterate_sources().into_iter().flatten() {
            // What waits in it goes first. The event alone would overtake that, but what a socket holds is lost anyway.
            let _ = match source.downcast_ref::<gst_app::AppSrc>() {
                Some(inside) => inside.end_of_stream().is_ok(),
                None => source.send_event(gst::event::Eos::new()),
            };
        }
        if end.recv_timeout(LAST_PACKETS).is_err() {
            tracing::debug!(path = self.path, "packets of a publisher that left are lost");
        }
        if let Some(probe) = probe {
            door.remove_probe(probe);
        }
    }
}

/// Says what payload type 26 is. Its streams need no rtpmap (RFC 3551, 6), and without one gst-rtsp-server 1.22 has no
/// clock for them.
fn tell_jpeg(media: &Media) {
    let jpeg = gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("payload", JPEG)
        .field("clock-rate", 90_000)
        .field("encoding-name", "JPEG")
        .build();
    for stream in (0..media.n_streams()).filter_map(|index| media.stream(index)) {
        stream.set_pt_map(JPEG as u32, &jpeg);
    }
}

/// Streams are asked for by the end of their URLs, of which some publishers write all.
fn name_streams(media: &Media, path: &str) {
    for stream in (0..media.n_streams()).filter_map(|index| media.stream(index)) {
        let control = stream.control().map(|control| Asked::stream(&control, path));
        stream.set_control(control.as_deref());
    }
}

/// How a stream of an SDP is coded, as far as it is understood, and what it calls that.
fn codec(stream: &gst_sdp::SDPMediaRef) -> (Option<Codec>, String) {
    let kind = stream.media().unwrap_or_default();
    let payload = stream.format(0).unwrap_or_default();
    let caps = payload.parse().ok().and_then(|payload| stream.caps_from_media(payload));
    let encoding = caps.as_ref().and_then(|caps| caps.structure(0)).and_then(|caps| caps.get("encoding-name").ok());
    let encoding: String = match (encoding, payload) {
        (Some(encoding), _) => encoding,
        (None, payload) if payload == JPEG.to_string() => "JPEG".into(),
        (None, payload) => format!("payload type {payload}"),
    };
    let codec = match (kind, encoding.as_str()) {
        ("video", "H264") => Some(Codec::H264),
        ("video", "JPEG") => Some(Codec::Mjpeg),
        _ => None,
    };
    (codec, format!("{encoding} {kind}"))
}
