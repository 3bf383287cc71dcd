//! One media: its readers, and the gate that lets a reader begin at a key frame.
//!
//! gst-rtsp-server adds a reader to a running media in the middle of a GOP, and begins a media with the frame that
//! answered DESCRIBE, however old it is by the time of PLAY. So all RTP packets pass a gate that is shut until the
//! first frame made after the first PLAY, and a reader that joins a shared media is held: taken off it at once, while
//! the packets wait for the millisecond that takes, and put back by the thread that carries the packets, right before
//! the first packet of a key frame.
//!
//! GStreamer before 1.24 also gives a shared media that is just being taken down to the next reader, who then gets
//! 503. So a shared media is kept: we count as one who has prepared it. When it has had no reader for a while it is
//! retired, which is to say that who comes gets another, and only then let go.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
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
    /// The media is taken down.
    stopped: AtomicBool,
    /// We have prepared the media and owe the opposite.
    kept: AtomicBool,
    /// Nobody new gets this media.
    retired: AtomicBool,
    /// Since when there is no reader, or since when it is retired.
    idle_since: Mutex<Option<Instant>>,
    /// The stream has ended.
    ended: AtomicBool,
    /// RTP packets older than this timestamp do not leave. Nanoseconds; `SHUT` lets nothing out.
    gate: AtomicU64,
    /// Readers to put on the media before the first packet with this timestamp or a later one.
    releases: Mutex<Vec<(u64, Arc<Reader>)>>,
    has_releases: AtomicBool,
    /// A PLAY is being answered, until this time at most; packets wait for it.
    playing: Mutex<Option<Instant>>,
    played: Condvar,
    has_playing: AtomicBool,
}

const SHUT: u64 = u64::MAX;

/// How long packets wait for a PLAY to be answered. It takes a fraction of a millisecond, unless it fails.
const PLAY: Duration = Duration::from_millis(50);

/// Our media have one stream, video. (`transports()` would give all and must not be used: the binding of 0.24 takes
/// references that it is not given, and the transports are freed under gst-rtsp-server's hands.)
const ONLY: u32 = 0;

/// How long a shared media waits for a reader before it is retired. A player that probes first and then plays, or one
/// that connects again, finds it running.
const LINGER: Duration = Duration::from_secs(2);
/// How long a retired media is kept for those who were given it before.
const GRACE: Duration = Duration::from_secs(1);

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
            kept: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            idle_since: Mutex::new(Some(Instant::now())),
            ended: AtomicBool::new(false),
            gate: AtomicU64::new(SHUT),
            releases: Mutex::new(Vec::new()),
            has_releases: AtomicBool::new(false),
            playing: Mutex::new(None),
            played: Condvar::new(),
            has_playing: AtomicBool::new(false),
        });

        let weak = Arc::downgrade(&feed);
        tune::pipeline(&pipeline, move |pad| {
            let weak = weak.clone();
            let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(packets, move |_, info| {
                weak.upgrade().map_or(gst::PadProbeReturn::Ok, |feed| feed.pass(info))
            });
        });
        if feed.shared {
            let weak = Arc::downgrade(&feed);
            media.connect_prepared(move |media| {
                if let Some(feed) = weak.upgrade() {
                    feed.keep(media);
                }
            });
        }
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

    /// Whether who comes is given this media.
    pub(super) fn is_open(&self) -> bool {
        self.shared && !self.retired.load(Ordering::Acquire)
    }

    /// The media is prepared; told once for each who waited for it.
    fn keep(&self, media: &gst_rtsp_server::RTSPMedia) {
        if !self.kept.swap(true, Ordering::AcqRel) && media.prepare(None).is_err() {
            self.kept.store(false, Ordering::Release);
        }
    }

    /// Nobody new gets this media any more.
    pub(super) fn retire(&self) {
        if !self.retired.swap(true, Ordering::AcqRel) {
            *lock(&self.idle_since) = Some(Instant::now());
            self.mount.renew();
        }
    }

    /// Lets go of a kept media. If nobody else has it, this takes it down, and waits for that.
    pub(super) fn let_go(&self) {
        if self.kept.swap(false, Ordering::AcqRel)
            && let Some(media) = self.media.upgrade()
        {
            // Fails if it is down already.
            let _ = media.unprepare();
        }
    }

    /// Retires what nobody reads, lets go of what is retired. For the server's thread, now and then.
    pub(super) fn look_after(&self) {
        let Some(idle) = lock(&self.idle_since).map(|since| since.elapsed()) else {
            return;
        };
        if self.retired.load(Ordering::Acquire) {
            if idle > GRACE {
                self.let_go();
            }
        } else if self.shared && idle > LINGER {
            self.retire();
        }
    }

    /// The media is down. Called by whoever took it down, under locks of its sessions.
    fn stop(self: &Arc<Self>) {
        self.stopped.store(true, Ordering::Release);
        self.retire();
        if let Some(state) = self.state.upgrade() {
            lock(&state.feeds).retain(|feed| !Arc::ptr_eq(feed, self));
            // A closing connection takes its media down first and says that it is closed afterwards.
            let feed = Arc::clone(self);
            state.later(move || feed.leave(|_| true));
        }
    }

    /// The stream has ended: nobody gets this media any more, and those who have it are disconnected.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.retire();
        if let Some(state) = self.state.upgrade() {
            state.disconnect(&self.readers().iter().map(|reader| reader.connection).collect::<Vec<_>>());
        }
    }

    /// A PLAY is about to be answered. gst-rtsp-server puts the reader on the media before it says so.
    pub(super) fn expect_play(&self) {
        if self.is_kept() {
            *lock(&self.playing) = Some(Instant::now() + PLAY);
            self.has_playing.store(true, Ordering::Release);
        }
    }

    fn end_play(&self) {
        *lock(&self.playing) = None;
        self.has_playing.store(false, Ordering::Release);
        self.played.notify_all();
    }

    fn wait_for_play(&self) {
        let mut playing = lock(&self.playing);
        while let Some(left) = playing.and_then(|until| until.checked_duration_since(Instant::now())) {
            let waited = self.played.wait_timeout(playing, left);
            playing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.has_playing.store(false, Ordering::Release);
    }

    fn is_kept(&self) -> bool {
        self.shared && self.kept.load(Ordering::Acquire)
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
        if let Some(transport) = media.transport(ONLY) {
            let waiting_since = Arc::clone(&reader.waiting_since);
            transport.set_message_sent(move || waiting_since.store(0, Ordering::Relaxed));
        }
        // What is not kept goes down when its reader leaves, which waits for the thread that would release the reader.
        // It has only one, for whom the gate is enough.
        let held = self.is_kept();
        reader.held.store(held, Ordering::Release);
        if held && let Some(transport) = media.transport(ONLY) {
            // Already off is as good.
            let _ = transport.set_active(false);
        }
        {
            let mut readers = lock(&self.readers);
            if readers.is_empty() {
                self.gate.store(SHUT, Ordering::Release);
                self.restart.store(true, Ordering::Release);
            }
            readers.push(Arc::clone(&reader));
        }
        *lock(&self.idle_since) = None;
        self.end_play();
        self.stream.request_key_frame();
        self.wake_sender();
        if let Some(state) = self.state.upgrade() {
            (state.settings.events)(ReaderEvent::Joined(reader.info.clone()));
        }
    }

    /// The sessions `which` says play no more.
    pub(super) fn leave(&self, which: impl Fn(&Reader) -> bool) {
        let gone = {
            let mut readers = lock(&self.readers);
            let gone: Vec<_> = readers.extract_if(.., |reader| which(reader)).collect();
            if readers.is_empty() && !gone.is_empty() {
                self.gate.store(SHUT, Ordering::Release);
            }
            gone
        };
        for reader in &gone {
            reader.leave();
        }
        if self.is_idle() && !gone.is_empty() {
            *lock(&self.idle_since) = Some(Instant::now());
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
        if self.has_playing.load(Ordering::Acquire) {
            self.wait_for_play();
        }
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
        if let Some(transport) = media.transport(ONLY) {
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
            if let Some(transport) = reader.media.upgrade().and_then(|media| media.transport(ONLY)) {
                return transport.message_sent();
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
        if let Some(transport) = self.media.upgrade().and_then(|media| media.transport(ONLY))
            && transport.stream().is_some_and(|stream| stream.joined_bin().is_some())
        {
            let _ = transport.set_active(false);
        }
    }
}
