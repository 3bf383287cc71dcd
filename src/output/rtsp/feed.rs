//! One media: its readers and its life.
//!
//! GStreamer before 1.24 gives a shared media that is just being taken down to the next reader, who then gets
//! 503. So a shared media is kept: we count as one who has prepared it. When it has had no reader for a while it is
//! retired, which is to say that who comes gets another, and only then let go.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};
use gst_rtsp_server::{RTSPSessionMedia, prelude::*};
use prometheus_client::metrics::histogram::Histogram;

use super::{
    Opened, ReaderEvent, ReaderInfo, feeder,
    gate::Gate,
    lock,
    mount::Mount,
    reader::{Reader, Seat},
    server::State,
};
use crate::{
    error::{Error, Kind, Result},
    media::{self, launch, sample},
    stream::Stream,
};

/// One media and who reads it.
pub(super) struct Feed {
    pub(super) mount: Arc<Mount>,
    /// Whether more than one reader may be on it.
    pub(super) shared: bool,
    pub(super) state: Weak<State>,
    media: glib::WeakRef<gst_rtsp_server::RTSPMedia>,
    pub(super) stream: Arc<Stream>,
    /// How old frames are when they are handed to readers.
    handed: Histogram,
    pub(super) gate: Gate,
    audience: Mutex<Audience>,
    began: Instant,
    /// The first reader has come: begin anew.
    restart: AtomicBool,
    /// The media is taken down.
    stopped: AtomicBool,
    /// We have prepared the media and owe the opposite.
    kept: AtomicBool,
    /// Nobody new gets this media.
    retired: AtomicBool,
    /// The stream has ended.
    ended: AtomicBool,
}

struct Audience {
    readers: Vec<Arc<Reader>>,
    /// Since when there is no reader, or since when the media is retired.
    idle_since: Option<Instant>,
}

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
            handed: state.handed.clone(),
            gate: Gate::new(),
            audience: Mutex::new(Audience { readers: Vec::new(), idle_since: Some(Instant::now()) }),
            began: Instant::now(),
            restart: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });

        feed.follow_packets(&pipeline);
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
        lock(&self.audience).readers.clone()
    }

    /// Those who are on the media.
    pub(super) fn playing(&self) -> impl Iterator<Item = Arc<Reader>> {
        self.readers().into_iter().filter(|reader| !reader.is_held())
    }

    /// Whether this RTSP session plays.
    pub(super) fn has(&self, session: &str) -> bool {
        lock(&self.audience).readers.iter().any(|reader| reader.session == session)
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
            lock(&self.audience).idle_since = Some(Instant::now());
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
        let Some(idle) = lock(&self.audience).idle_since.map(|since| since.elapsed()) else {
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
    pub(super) fn stop(self: &Arc<Self>) {
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

    fn is_kept(&self) -> bool {
        self.shared && self.kept.load(Ordering::Acquire)
    }

    /// A session is about to play.
    pub(super) fn expect_play(&self) {
        if self.is_kept() {
            self.gate.begin_play();
        }
    }

    /// A session plays. Called with the media locked by gst-rtsp-server, before anybody else can act on it.
    pub(super) fn join(&self, info: ReaderInfo, seat: Seat, media: &RTSPSessionMedia) {
        // What is not kept goes down when its reader leaves, which waits for the thread that would release the reader.
        // It has only one, for whom the gate is enough.
        let reader = Reader::new(info, seat, media, self.is_kept());
        {
            let mut audience = lock(&self.audience);
            if audience.readers.is_empty() {
                self.gate.shut();
                self.restart.store(true, Ordering::Release);
            }
            audience.readers.push(Arc::clone(&reader));
            audience.idle_since = None;
        }
        self.gate.end_play();
        self.stream.request_key_frame();
        self.wake_sender();
        if let Some(state) = self.state.upgrade() {
            state.tell(ReaderEvent::Joined(reader.info.clone()));
        }
    }

    /// The sessions `which` says play no more.
    pub(super) fn leave(&self, which: impl Fn(&Reader) -> bool) {
        let gone: Vec<_> = {
            let mut audience = lock(&self.audience);
            let gone: Vec<_> = audience.readers.extract_if(.., |reader| which(reader)).collect();
            if gone.is_empty() {
                return;
            }
            if audience.readers.is_empty() {
                self.gate.shut();
                audience.idle_since = Some(Instant::now());
            }
            gone
        };
        gone.iter().for_each(|reader| reader.leave());
        self.wake_sender();
        if let Some(state) = self.state.upgrade() {
            gone.iter().for_each(|reader| state.tell(ReaderEvent::Left(reader.info.clone())));
        }
    }

    /// TCP readers that have taken nothing for `limit` although there was something for them.
    pub(super) fn stalled(&self, limit: Duration) -> Vec<Arc<Reader>> {
        let now = self.now();
        let mut readers = self.readers();
        readers.retain(|reader| reader.is_stalled(now, limit));
        readers
    }

    fn wake_sender(&self) {
        self.readers().iter().any(|reader| reader.wake_sender());
    }

    // What the feeder asks and tells.

    pub(super) fn take_restart(&self) -> bool {
        self.restart.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_idle(&self) -> bool {
        lock(&self.audience).readers.is_empty()
    }

    /// Lets packets out from this timestamp on, unless the readers have left meanwhile.
    pub(super) fn open_gate(&self, pts: Duration) {
        let audience = lock(&self.audience);
        if !audience.readers.is_empty() {
            self.gate.open(pts);
        }
    }

    /// A frame is about to go into the media.
    pub(super) fn offer(&self, pts: Duration, key: bool, bytes: usize) {
        self.handed.observe(media::now().saturating_sub(pts).as_secs_f64());
        let now = self.now().max(1);
        let (mut taking, mut taken) = (0, 0);
        for reader in self.readers() {
            match (reader.is_held(), key) {
                (true, false) => continue,
                (true, true) => self.gate.release_at(pts, &reader),
                (false, _) => {}
            }
            reader.offer(now);
            taking += bytes as u64;
            taken += 1;
        }
        self.mount.sent.bytes.fetch_add(taking, Ordering::Relaxed);
        self.mount.sent.frames.fetch_add(taken, Ordering::Relaxed);
    }

    /// Milliseconds since the media was made.
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}
