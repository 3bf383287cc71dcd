//! The gate all RTP packets of a media pass, so that a reader begins at a key frame.
//!
//! gst-rtsp-server begins a media with the frame that answered DESCRIBE, however old it is by the time of PLAY, and adds
//! a reader to a running media in the middle of a GOP. So the gate is shut until the first frame made after the first
//! PLAY; and a reader that joins a shared media is held: taken off it at once, while the packets wait for the
//! millisecond that takes, and put back by the thread that carries the packets, right before the first of a key frame.
//! That is done at the last sink and not at the gate: between them is a queue, in which seconds wait for slow TCP readers.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Transport, lock, reader::Reader};

/// How long packets wait for a PLAY to be answered. It takes a fraction of a millisecond, unless it fails.
const PLAY: Duration = Duration::from_millis(50);
/// How long after a sink got its last packet a PLAY is answered: it has been given to the readers then, unless the machine
/// is overloaded. Then a reader over TCP may get one frame before its first key frame.
const QUIET: Duration = Duration::from_millis(5);
const SHUT: u64 = u64::MAX;

pub(super) struct Gate {
    /// Packets older than this timestamp do not leave. Nanoseconds; [`SHUT`] lets nothing out.
    open_from: AtomicU64,
    /// Readers to put on the media before the first packet with this timestamp or a later one.
    releases: Mutex<Vec<(u64, Arc<Reader>)>>,
    has_releases: AtomicBool,
    /// A PLAY is being answered, until this time at most; packets wait for it.
    playing: Mutex<Option<Instant>>,
    has_playing: AtomicBool,
    played: Condvar,
    began: Instant,
    /// When a sink got its last packet, in microseconds since `began`.
    passed: AtomicU64,
}

impl Gate {
    /// A shut one.
    pub(super) fn new() -> Self {
        Self {
            open_from: AtomicU64::new(SHUT),
            releases: Mutex::new(Vec::new()),
            has_releases: AtomicBool::new(false),
            playing: Mutex::new(None),
            has_playing: AtomicBool::new(false),
            played: Condvar::new(),
            began: Instant::now(),
            passed: AtomicU64::new(0),
        }
    }

    pub(super) fn shut(&self) {
        self.open_from.store(SHUT, Ordering::Release);
    }

    pub(super) fn open(&self, from: Duration) {
        self.open_from.store(nanoseconds(from), Ordering::Release);
    }

    /// Releases the reader right before this frame, which is a key frame.
    pub(super) fn release_at(&self, pts: Duration, reader: &Arc<Reader>) {
        lock(&self.releases).push((nanoseconds(pts), Arc::clone(reader)));
        self.has_releases.store(true, Ordering::Release);
    }

    /// A PLAY is about to be answered. gst-rtsp-server puts the reader on the media before it says so.
    pub(super) fn begin_play(&self) {
        let until = Instant::now() + PLAY;
        loop {
            let passed = self.began + Duration::from_micros(self.passed.load(Ordering::Relaxed));
            match QUIET.checked_sub(passed.elapsed()) {
                Some(left) if Instant::now() < until => thread::sleep(left),
                _ => break,
            }
        }
        *lock(&self.playing) = Some(Instant::now() + PLAY);
        self.has_playing.store(true, Ordering::Release);
    }

    pub(super) fn end_play(&self) {
        *lock(&self.playing) = None;
        self.has_playing.store(false, Ordering::Release);
        self.played.notify_all();
    }

    /// Whether a packet may leave. Waits while a PLAY is answered.
    pub(super) fn pass(&self, pts: u64) -> bool {
        if self.has_playing.load(Ordering::Acquire) {
            self.wait_for_play();
        }
        pts >= self.open_from.load(Ordering::Acquire)
    }

    /// Those who wait for a packet that has passed the gate.
    pub(super) fn awaiting(&self, pts: u64) -> Vec<Arc<Reader>> {
        if !self.has_releases.load(Ordering::Acquire) {
            return Vec::new();
        }
        let releases = lock(&self.releases);
        releases.iter().filter(|(from, _)| pts >= *from).map(|(_, reader)| Arc::clone(reader)).collect()
    }

    /// A packet has come to the sink of a transport. Waits while a PLAY is answered, then calls `release` for those who
    /// are due. False if there is one whose key frame has not come here: it needs another one.
    pub(super) fn arrive(&self, transport: Transport, pts: u64, release: impl Fn(&Reader)) -> bool {
        if self.has_playing.load(Ordering::Acquire) {
            self.wait_for_play();
        }
        let mut late = false;
        if self.has_releases.load(Ordering::Acquire) {
            let due: Vec<_> = {
                let mut releases = lock(&self.releases);
                let passed =
                    |(from, reader): &mut (u64, Arc<Reader>)| reader.info.transport == transport && pts >= *from;
                let due = releases.extract_if(.., passed).collect();
                self.has_releases.store(!releases.is_empty(), Ordering::Release);
                due
            };
            due.iter()
                .filter(|(from, reader)| pts == *from && reader.is_held())
                .for_each(|(_, reader)| release(reader));
            late = due.iter().any(|(_, reader)| reader.is_held() && !reader.is_gone());
        }
        self.passed.store(self.began.elapsed().as_micros() as u64, Ordering::Relaxed);
        !late
    }

    fn wait_for_play(&self) {
        let mut playing = lock(&self.playing);
        while let Some(left) = playing.and_then(|until| until.checked_duration_since(Instant::now())) {
            let waited = self.played.wait_timeout(playing, left);
            playing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.has_playing.store(false, Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(SHUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(33);

    fn passes(gate: &Gate, pts: Duration) -> bool {
        gate.pass(nanoseconds(pts))
    }

    #[test]
    fn it_lets_out_what_is_as_new_as_the_frame_it_was_opened_for() {
        let gate = Gate::new();
        assert!(!passes(&gate, 9 * FRAME));
        gate.open(5 * FRAME);
        assert!(!passes(&gate, 4 * FRAME), "what answered DESCRIBE");
        assert!(passes(&gate, 5 * FRAME) && passes(&gate, 6 * FRAME));
        gate.shut();
        assert!(!passes(&gate, 7 * FRAME));
    }

    #[test]
    fn packets_wait_for_a_play_and_not_for_one_that_fails() {
        let gate = Gate::new();
        gate.open(FRAME);
        // Never ended: passing at all is the promise.
        gate.begin_play();
        assert!(passes(&gate, FRAME));

        gate.begin_play();
        std::thread::scope(|scope| {
            scope.spawn(|| gate.end_play());
            assert!(passes(&gate, 2 * FRAME));
        });
        assert!(lock(&gate.playing).is_none());
    }
}
