//! The newest GOPs of one pipeline run, fanned out to any number of readers.
//!
//! [`Stream::publish`] never waits: frames go into a bounded ring, readers come and take them. A reader that falls
//! behind the ring is told how many frames it missed and goes on at a key frame. Nobody's slowness is anybody else's:
//! a [`Subscription`] is a position in the ring, nothing more.
//!
//! Not here: GStreamer (see `media::sample`), and any thread or task. Readers bring their own; that is why
//! [`Subscription::next`] exists for tasks and [`Subscription::next_before`] for threads.

mod ring;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use event_listener::{Event, Listener};

pub use ring::Limits;
use ring::Ring;

use crate::frame::{EncodedFrame, Format};

/// The frames of one pipeline run. Shared as `Arc<Stream>` by the writer and every reader.
pub struct Stream {
    planned: Format,
    found: OnceLock<Format>,
    ring: Mutex<Ring>,
    published: Event,
    key_wanted: AtomicBool,
    readers: AtomicUsize,
    missed: AtomicU64,
}

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// At the newest key frame in the ring: a picture at once, at most one GOP old.
    Ring,
    /// At the newest key frame in the ring that is this old or older, measured from the newest frame; where none is, at
    /// the oldest there is.
    Past(Duration),
    /// At the next key frame to come, which is requested: no past, at the price of a short wait.
    Live,
}

/// What a reader finds when it asks for the next frame.
#[derive(Clone, Debug)]
pub enum Next {
    /// The frame.
    Frame(EncodedFrame),
    /// The reader was too slow for this many frames; the next one will be a key frame.
    Missed(u64),
    /// The stream has ended and everything in it was read.
    Closed,
}

/// Counters of a stream since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Frames published.
    pub frames: u64,
    /// Bytes published.
    pub bytes: u64,
    /// Readers now.
    pub readers: usize,
    /// Frames missed, all readers together.
    pub missed: u64,
    /// Bits per second over the frames in the ring.
    pub bitrate: f64,
    /// Frames per second over the frames in the ring.
    pub fps: f64,
    /// When the newest frame was published.
    pub newest: Option<Instant>,
    /// How long after its capture that was: what decoding and encoding take.
    pub delay: Duration,
}

impl Stream {
    /// An empty stream.
    pub fn new(format: Format, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            planned: format,
            found: OnceLock::new(),
            ring: Mutex::new(Ring::new(limits)),
            published: Event::new(),
            key_wanted: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
        })
    }

    /// What the frames are.
    pub fn format(&self) -> Format {
        self.found.get().copied().unwrap_or(self.planned)
    }

    /// Says what the frames are where nobody could before the first one came. For the writer, before it publishes that
    /// one; the first word counts.
    pub fn found(&self, format: Format) {
        // That it was said before is fine.
        let _ = self.found.set(format);
    }

    /// Adds a frame that is shown when it is decoded, and wakes the readers. Never waits for one. After
    /// [`Stream::close`] it does nothing.
    pub fn publish(&self, pts: Duration, key: bool, captured: SystemTime, data: Bytes) {
        self.publish_shown(pts, pts, key, captured, data);
    }

    /// The same for a frame that is shown later than it is decoded.
    pub fn publish_shown(&self, pts: Duration, shown: Duration, key: bool, captured: SystemTime, data: Bytes) {
        {
            let mut ring = self.lock();
            if ring.closed {
                return;
            }
            ring.push(pts, shown, key, captured, data);
        }
        self.published.notify(usize::MAX);
    }

    /// Ends the stream. Readers still get what is in the ring, then [`Next::Closed`].
    pub fn close(&self) {
        self.lock().closed = true;
        self.published.notify(usize::MAX);
    }

    /// Whether [`Stream::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A new reader.
    pub fn subscribe(self: &Arc<Self>, join: Join) -> Subscription {
        self.readers.fetch_add(1, Ordering::Relaxed);
        let from_ring = match join {
            Join::Ring => self.lock().newest_key(),
            Join::Past(age) => self.lock().key_before(age),
            Join::Live => None,
        };
        let next = from_ring.unwrap_or_else(|| {
            // In this order: whoever finds the request knows that the next key frame published will satisfy it.
            let end = self.lock().end();
            self.request_key_frame();
            end
        });
        Subscription { stream: Arc::clone(self), next, needs_key: true, missed: 0 }
    }

    /// The newest key frame and all that follows it; empty before the first key frame.
    pub fn newest_gop(&self) -> Vec<EncodedFrame> {
        let ring = self.lock();
        match ring.newest_key() {
            Some(seq) => (seq..ring.end()).filter_map(|seq| ring.get(seq).cloned()).collect(),
            None => Vec::new(),
        }
    }

    /// The newest frame.
    pub fn newest(&self) -> Option<EncodedFrame> {
        let ring = self.lock();
        ring.get(ring.end().checked_sub(1)?).cloned()
    }

    /// Asks the source for a key frame as soon as it can. Any number of requests before it comes are one.
    pub fn request_key_frame(&self) {
        self.key_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether a key frame was asked for since the last call. For the writer.
    pub fn take_key_frame_request(&self) -> bool {
        self.key_wanted.swap(false, Ordering::Relaxed)
    }

    /// Counters and rates.
    pub fn stats(&self) -> Stats {
        let ring = self.lock();
        let (bitrate, fps) = ring.rates();
        Stats {
            frames: ring.end(),
            bytes: ring.bytes_published,
            readers: self.readers.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            bitrate,
            fps,
            newest: ring.newest_at,
            delay: ring.delay,
        }
    }

    // The ring holds plain data that is valid after every statement, so a panic elsewhere under the lock harms nobody.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's position in a [`Stream`].
pub struct Subscription {
    stream: Arc<Stream>,
    next: u64,
    needs_key: bool,
    missed: u64,
}

impl Subscription {
    /// The next frame, when there is one.
    pub async fn next(&mut self) -> Next {
        loop {
            let listener = self.stream.published.listen();
            match self.poll() {
                Some(next) => return next,
                None => listener.await,
            }
        }
    }

    /// The next frame, or `None` when the deadline passes without one. For threads: it blocks.
    pub fn next_before(&mut self, deadline: Instant) -> Option<Next> {
        loop {
            let listener = self.stream.published.listen();
            match self.poll() {
                Some(next) => return Some(next),
                None if listener.wait_deadline(deadline).is_none() => return self.poll(),
                None => {}
            }
        }
    }

    /// The next frame if it is there already.
    pub fn poll(&mut self) -> Option<Next> {
        let ring = self.stream.lock();
        if self.next < ring.start() {
            // Everything up to the frame we go on with is lost to this reader.
            let key = ring.newest_key();
            let resume = key.unwrap_or(ring.end());
            drop(ring);
            return Some(Next::Missed(self.skip_to(resume, key.is_some())));
        }
        if self.needs_key {
            match ring.first_key_from(self.next) {
                // A reader that has seen nothing yet has missed nothing by waiting for its first key frame.
                Some(key) => self.next = key,
                None => {
                    self.next = ring.end();
                    return ring.closed.then_some(Next::Closed);
                }
            }
        }
        match ring.get(self.next) {
            Some(frame) => {
                let frame = frame.clone();
                self.needs_key = false;
                self.next += 1;
                Some(Next::Frame(frame))
            }
            None => ring.closed.then_some(Next::Closed),
        }
    }

    /// Gives back the frame that was taken last, a key frame: it is the next one again. For a reader that hands its
    /// place on to another.
    pub fn put_back(&mut self, frame: &EncodedFrame) {
        self.next = frame.seq;
        self.needs_key = true;
    }

    /// When the next frame was captured, if it is there already.
    pub fn begins(&self) -> Option<SystemTime> {
        self.stream.lock().get(self.next).map(|frame| frame.captured)
    }

    /// How much of the past this reader has before it, up to the newest frame.
    pub fn lead(&self) -> Duration {
        self.stream.lock().age(self.next)
    }

    /// Gives up the frames this reader has not taken yet and goes on at the next key frame, which is requested.
    /// Returns how many were given up. For readers whose own way out is blocked.
    pub fn skip(&mut self) -> u64 {
        let end = self.stream.lock().end();
        self.skip_to(end, false)
    }

    /// Frames this reader was too slow for, in all.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The stream that is read.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Goes on at `resume`, counting what lies between as missed.
    fn skip_to(&mut self, resume: u64, key_at_hand: bool) -> u64 {
        let missed = resume.saturating_sub(self.next);
        self.next = resume;
        self.needs_key = true;
        self.missed += missed;
        self.stream.missed.fetch_add(missed, Ordering::Relaxed);
        if !key_at_hand {
            self.stream.request_key_frame();
        }
        missed
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("next", &self.next).field("missed", &self.missed).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
