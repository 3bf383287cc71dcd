//! One media: its readers, and the gate that lets a reader begin at a key frame.
//!
//! gst-rtsp-server adds a reader to a running media in the middle of a GOP, and begins a media with the frame that
//! answered DESCRIBE, however old it is by the time of PLAY. So all RTP packets pass a gate that is shut until the
//! first frame made after the first PLAY, and a reader that joins later is held: taken off the media at once, and
//! put back by the thread that carries the packets, right before the first packet of a key frame.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};
use gst_rtsp_server::prelude::*;

use super::{Opened, ReaderEvent, ReaderInfo, Transport, feeder, lock, mount::Mount, server::State, tune};
use crate::{
    error::{Error, Kind, Result},
    media::{launch, sample},
    stream::Stream,
};

/// A session that plays.
pub(super) struct Reader {
    pub(super) info: ReaderInfo,
    /// The connection it belongs to.
    pub(super) connection: u64,
    /// The RTSP session's identifier.
    session: String,
    media: glib::WeakRef<gst_rtsp_server::RTSPSessionMedia>,
    /// Not on the media until a key frame comes.
    held: AtomicBool,
    /// Set when the session is over; held locked while the reader is put on the media, which must not happen to a
    /// session that is over: its transport points to a connection without owning it.
    gone: Mutex<bool>,
    /// When the oldest frame the reader has not taken was handed to the media, in milliseconds since the feed began;
    /// 0 for none. For TCP only.
    waiting_since: Arc<AtomicU64>,
}

/// One media and who reads it.
pub(super) struct Feed {
    pub(super) mount: Arc<Mount>,
    /// Whether more than one reader may be on it.
    pub(super) shared: bool,
    state: Weak<State>,
    media: glib::WeakRef<gst_rtsp_server::RTSPMedia>,
    stream: Arc<Stream>,
    readers: Mutex<Vec<Arc<Reader>>>,
    began: Instant,
    /// The first reader has come: begin anew.
    restart: AtomicBool,
    /// The media is being taken down.
    stopped: AtomicBool,
    /// The stream has ended.
    ended: AtomicBool,
    /// RTP packets older than this timestamp do not leave. Nanoseconds; `SHUT` lets nothing out.
    gate: AtomicU64,
    /// Readers to put on the media before the first packet with this timestamp or a later one.
    releases: Mutex<Vec<(u64, Arc<Reader>)>>,
    has_releases: AtomicBool,
}

const SHUT: u64 = u64::MAX;

impl Feed {
    /// Connects a new media to its frames. Errors: the launch file lacks an element we need, no thread.
    pub(super) fn start(
        state: &Arc<State>,
        mount: &Arc<Mount>,
        opened: Opened,
        media: &gst_rtsp_server::RTSPMedia,
    ) -> Result<()> {
        let bin = media.element().downcast::<gst::Bin>().map_err(|_| Error::internal("the RTSP media is no bin"))?;
        let frames: gst_app::AppSrc = launch::element(&bin, "frames")?;
        frames.set_caps(Some(&sample::caps(opened.stream.format())));
        let pipeline = bin
            .parent()
            .and_then(|parent| parent.downcast::<gst::Pipeline>().ok())
            .ok_or_else(|| Error::internal("the RTSP media has no pipeline"))?;

        media.set_shared(opened.key_frames_on_demand);
        let feed = Arc::new(Self {
            mount: Arc::clone(mount),
            shared: opened.key_frames_on_demand,
            state: Arc::downgrade(state),
            media: media.downgrade(),
            stream: Arc::clone(&opened.stream),
            readers: Mutex::new(Vec::new()),
            began: Instant::now(),
            restart: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            gate: AtomicU64::new(SHUT),
            releases: Mutex::new(Vec::new()),
            has_releases: AtomicBool::new(false),
        });

        let weak = Arc::downgrade(&feed);
        tune::pipeline(&pipeline, move |pad| {
            let weak = weak.clone();
            let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(packets, move |_, info| {
                weak.upgrade().map_or(gst::PadProbeReturn::Ok, |feed| feed.pass(info))
            });
        });
        let weak = Arc::downgrade(&feed);
        media.connect_unprepared(move |_| {
            if let Some(feed) = weak.upgrade() {
                feed.stop();
            }
        });

        lock(&state.feeds).push(Arc::clone(&feed));
        feeder::spawn(Arc::clone(&feed), opened, frames.downgrade()).map_err(|error| {
            feed.stop();
            Error::with_source(Kind::Internal, "no thread for an RTSP media", error)
        })
    }

    pub(super) fn is_of(&self, media: &gst_rtsp_server::RTSPMedia) -> bool {
        self.media.upgrade().as_ref() == Some(media)
    }

    pub(super) fn readers(&self) -> Vec<Arc<Reader>> {
        lock(&self.readers).clone()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(state) = self.state.upgrade() {
            lock(&state.feeds).retain(|feed| !std::ptr::eq(Arc::as_ptr(feed), self));
        }
    }

    /// The stream has ended: nobody gets this media any more, and those who have it are disconnected.
    pub(super) fn end(self: &Arc<Self>) {
        self.ended.store(true, Ordering::Release);
        self.mount.renew();
        if let Some(state) = self.state.upgrade() {
            state.disconnect(self.readers().iter().map(|reader| reader.connection).collect());
        }
    }

    /// A session plays. Called with the media locked by gst-rtsp-server, before anybody else can act on it.
    pub(super) fn join(
        &self,
        info: ReaderInfo,
        connection: u64,
        session: String,
        media: &gst_rtsp_server::RTSPSessionMedia,
    ) {
        let reader = Arc::new(Reader {
            info,
            connection,
            session,
            media: media.downgrade(),
            held: AtomicBool::new(false),
            gone: Mutex::new(false),
            waiting_since: Arc::new(AtomicU64::new(0)),
        });
        for transport in media.transports() {
            let waiting_since = Arc::clone(&reader.waiting_since);
            transport.set_message_sent(move || waiting_since.store(0, Ordering::Relaxed));
        }
        let first = {
            let mut readers = lock(&self.readers);
            let first = readers.is_empty();
            reader.held.store(!first, Ordering::Release);
            if first {
                self.gate.store(SHUT, Ordering::Release);
                self.restart.store(true, Ordering::Release);
            }
            readers.push(Arc::clone(&reader));
            first
        };
        if !first {
            for transport in media.transports() {
                // Already off is as good.
                let _ = transport.set_active(false);
            }
        }
        self.stream.request_key_frame();
        self.wake_sender();
        if let Some(state) = self.state.upgrade() {
            (state.settings.events)(ReaderEvent::Joined(reader.info.clone()));
        }
    }

    /// The sessions `which` says play no more.
    pub(super) fn leave(&self, which: impl Fn(&Reader) -> bool) {
        let gone: Vec<_> = {
            let mut readers = lock(&self.readers);
            let gone = readers.extract_if(.., |reader| which(reader)).collect();
            if readers.is_empty() {
                self.gate.store(SHUT, Ordering::Release);
            }
            gone
        };
        for reader in &gone {
            reader.leave();
        }
        if !gone.is_empty() {
            self.wake_sender();
        }
        if let Some(state) = self.state.upgrade() {
            for reader in gone {
                (state.settings.events)(ReaderEvent::Left(reader.info.clone()));
            }
        }
    }

    /// TCP readers that have taken nothing for `limit` although there was something for them.
    pub(super) fn stalled(&self, limit: Duration) -> Vec<Arc<Reader>> {
        let now = self.now();
        let limit = limit.as_millis() as u64;
        let mut readers = self.readers();
        readers.retain(|reader| {
            let since = reader.waiting_since.load(Ordering::Relaxed);
            since != 0 && now.saturating_sub(since) > limit
        });
        readers
    }

    // What the feeder asks and tells.

    pub(super) fn take_restart(&self) -> bool {
        self.restart.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_idle(&self) -> bool {
        lock(&self.readers).is_empty()
    }

    /// Lets packets out from this timestamp on, unless the readers have left meanwhile.
    pub(super) fn open_gate(&self, pts: Duration) {
        let readers = lock(&self.readers);
        if !readers.is_empty() {
            self.gate.store(pts.as_nanos() as u64, Ordering::Release);
        }
    }

    /// A frame is about to go into the media.
    pub(super) fn offer(&self, pts: Duration, key: bool, bytes: usize) {
        let now = self.now().max(1);
        let mut taking = 0u64;
        for reader in lock(&self.readers).iter() {
            if reader.held.load(Ordering::Acquire) {
                if !key {
                    continue;
                }
                lock(&self.releases).push((pts.as_nanos() as u64, Arc::clone(reader)));
                self.has_releases.store(true, Ordering::Release);
            }
            taking += 1;
            if reader.info.transport == Transport::Tcp {
                let _ = reader.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        self.mount.bytes_sent.fetch_add(bytes as u64 * taking, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// The gate: called by the thread that carries the packets, for each one.
    fn pass(&self, info: &gst::PadProbeInfo) -> gst::PadProbeReturn {
        let pts = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => buffer.pts(),
            Some(gst::PadProbeData::BufferList(list)) => list.get(0).and_then(|buffer| buffer.pts()),
            _ => None,
        };
        let Some(pts) = pts.map(gst::ClockTime::nseconds) else {
            return gst::PadProbeReturn::Ok;
        };
        if pts < self.gate.load(Ordering::Acquire) {
            return gst::PadProbeReturn::Drop;
        }
        if self.has_releases.load(Ordering::Acquire) {
            let due: Vec<_> = {
                let mut releases = lock(&self.releases);
                let due = releases.extract_if(.., |(from, _)| pts >= *from).collect();
                self.has_releases.store(!releases.is_empty(), Ordering::Release);
                due
            };
            for (_, reader) in due {
                self.release(&reader);
            }
        }
        gst::PadProbeReturn::Ok
    }

    fn release(&self, reader: &Reader) {
        let gone = lock(&reader.gone);
        let Some(media) = reader.media.upgrade().filter(|_| !*gone) else {
            return;
        };
        for transport in media.transports() {
            let _ = transport.set_active(true);
        }
        reader.held.store(false, Ordering::Release);
        // If this is the last reference, dropping it takes the media down, which waits for this very thread.
        if let Some(state) = self.state.upgrade() {
            state.later(move || drop(media));
        }
    }

    /// gst-rtsp-server's thread for TCP sleeps while no TCP reader takes anything, and is not told when those readers
    /// are gone or one has come that would. Any reader's "sent" wakes it.
    fn wake_sender(&self) {
        for reader in self.readers() {
            if let Some(media) = reader.media.upgrade() {
                for transport in media.transports() {
                    transport.message_sent();
                }
                return;
            }
        }
    }
}

impl Reader {
    pub(super) fn is_session(&self, id: &str) -> bool {
        self.session == id
    }

    pub(super) fn is_media(&self, media: &gst_rtsp_server::RTSPSessionMedia) -> bool {
        self.media.upgrade().as_ref() == Some(media)
    }

    /// The session is over. Makes sure that a release which came in between does not outlive it.
    fn leave(&self) {
        *lock(&self.gone) = true;
        if let Some(media) = self.media.upgrade() {
            for transport in media.transports() {
                if transport.stream().is_some_and(|stream| stream.joined_bin().is_some()) {
                    let _ = transport.set_active(false);
                }
            }
        }
    }
}
