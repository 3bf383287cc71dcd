//! One session that plays.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use gst::{glib, prelude::*};
use gst_rtsp_server::{RTSPSessionMedia, RTSPStreamTransport, prelude::*};

use super::{ReaderInfo, Transport, lock, traffic::Meter, way::End};

/// A session that plays.
pub(super) struct Reader {
    pub(super) info: ReaderInfo,
    /// The connection it belongs to.
    pub(super) connection: u64,
    /// The RTSP session's identifier.
    pub(super) session: String,
    /// Where its reports come from.
    pub(super) end: End,
    /// What goes to it and comes from it.
    pub(super) meter: Arc<Meter>,
    media: glib::WeakRef<RTSPSessionMedia>,
    /// Not on the media until a key frame comes.
    held: AtomicBool,
    /// Set when the session is over; held locked while the reader is put on the media, which must not happen to a
    /// session that is over: its transport points to a connection without owning it.
    gone: Mutex<bool>,
    /// When the oldest frame it has not taken was offered, in milliseconds of the feed's clock; 0 for none. For TCP.
    waiting_since: Arc<AtomicU64>,
}

/// What a session has before it plays.
pub(super) struct Seat {
    /// The connection it belongs to.
    pub(super) connection: u64,
    /// The RTSP session's identifier.
    pub(super) session: String,
    /// Where its reports come from.
    pub(super) end: End,
    /// What goes to it and comes from it.
    pub(super) meter: Arc<Meter>,
}

/// Our media have one stream, video. (`transports()` would give all and must not be used: the binding of 0.24 takes
/// references that it is not given, and the transports are freed under gst-rtsp-server's hands.)
pub(super) const ONLY: u32 = 0;

impl Reader {
    /// Called while the PLAY is answered. `held` takes it off the media until [`Reader::release`].
    pub(super) fn new(info: ReaderInfo, seat: Seat, media: &RTSPSessionMedia, held: bool) -> Arc<Self> {
        // A group has no beginning of one's own. (Whoever is taken off it has given its address back.)
        let held = held && info.transport != Transport::Multicast;
        let waiting_since = Arc::new(AtomicU64::new(0));
        if let Some(transport) = media.transport(ONLY) {
            let taken = Arc::clone(&waiting_since);
            transport.set_message_sent(move || taken.store(0, Ordering::Relaxed));
            if held {
                // Off already is as good.
                let _ = transport.set_active(false);
            }
        }
        let (media, held, gone) = (media.downgrade(), AtomicBool::new(held), Mutex::new(false));
        let Seat { connection, session, end, meter } = seat;
        Arc::new(Self { info, connection, session, end, meter, media, held, gone, waiting_since })
    }

    /// Whether it listens to a group. What goes there goes there once, and is counted for nobody in it (as MediaMTX does).
    pub(super) fn listens(&self) -> bool {
        self.info.transport == Transport::Multicast
    }

    fn transport(&self) -> Option<RTSPStreamTransport> {
        self.media.upgrade()?.transport(ONLY)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Whether its session is over.
    pub(super) fn is_gone(&self) -> bool {
        *lock(&self.gone)
    }

    /// Puts it on the media. The session it did that to, if it is not over: dropping it may take the media down, which
    /// the thread that carries the packets must not do.
    pub(super) fn release(&self) -> Option<RTSPSessionMedia> {
        let gone = lock(&self.gone);
        let media = self.media.upgrade().filter(|_| !*gone)?;
        if let Some(transport) = media.transport(ONLY) {
            let _ = transport.set_active(true);
        }
        self.held.store(false, Ordering::Release);
        Some(media)
    }

    /// The session is over. Makes sure that a release which came in between does not outlive it.
    pub(super) fn leave(&self) {
        *lock(&self.gone) = true;
        if let Some(transport) = self.transport()
            && transport.stream().is_some_and(|stream| stream.joined_bin().is_some())
        {
            let _ = transport.set_active(false);
        }
    }

    /// Something is about to be sent to it.
    pub(super) fn offer(&self, now: u64) {
        if self.info.transport == Transport::Tcp {
            let _ = self.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether it has taken nothing for `limit` although there was something for it.
    pub(super) fn is_stalled(&self, now: u64, limit: Duration) -> bool {
        let since = self.waiting_since.load(Ordering::Relaxed);
        since != 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
    }

    /// gst-rtsp-server's thread for TCP sleeps while no TCP reader of the media takes anything, and is not told when
    /// those readers are gone or one has come that would. Any reader's "sent" wakes it. False if it has no transport.
    pub(super) fn wake_sender(&self) -> bool {
        let Some(transport) = self.transport() else { return false };
        let since = self.waiting_since.load(Ordering::Relaxed);
        transport.message_sent();
        // It has taken nothing by that.
        let _ = self.waiting_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
        true
    }
}
