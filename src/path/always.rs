//! Paths that are always available: their readers stay while the source is away, and see a filler meanwhile.
//!
//! Such a path has one stream that lasts, which is what RTSP readers get. A task of its own puts into it what there is: the
//! frames of the source's stream while there is one, those of the filler otherwise. Each begins at a key frame with its
//! parameter sets, and [`Splice`] has the times go on rising.
//!
//! Not here: when the source is there (`state`, `task`), and the filler's pictures (`pipeline::Clip`).

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{PathStatus, task::Seat};
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, Format},
    media::{self, launch::LaunchFiles},
    mode::Rate,
    pipeline::{Clip, ClipFrame, Encoders, Wanted},
    stream::{Join, Limits, Next, Stream},
};

/// The least time between the last frame of one source and the first of the next.
const STEP: Duration = Duration::from_millis(1);
/// What the lasting stream says of itself: its pictures change their size.
const ANY_SIZE: Format = Format { codec: Codec::H264, width: 0, height: 0, rate: Rate::per_second(30) };

/// What readers see while the source of a path is away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// An MP4 file with H.264. `None`, or a file that cannot be shown: a picture that says `STREAM IS OFFLINE`.
    pub file: Option<PathBuf>,
}

/// What an always available path has beside its source. Dropping it ends the stream of its readers.
pub(super) struct Always {
    path: String,
    filling: Filling,
    /// What readers get.
    pub outgoing: Arc<Stream>,
    filler: Option<Filler>,
    /// Size of the source's pictures, as they were last.
    size: Option<(u32, u32)>,
    kitchen: Kitchen,
    ring: Limits,
    _relay: AbortOnDropHandle<()>,
}

/// One absence of the source. Dropping it ends its stream.
struct Filler {
    stream: Arc<Stream>,
    _show: AbortOnDropHandle<()>,
}

/// Where clips are made. Cheap to clone.
#[derive(Clone)]
struct Kitchen {
    filling: Filling,
    encoders: Arc<Encoders>,
    launch: LaunchFiles,
    /// The one that was made last.
    made: Arc<tokio::sync::Mutex<Option<Made>>>,
}

/// A clip, and for which size it was made.
struct Made {
    size: (u32, u32),
    clip: Arc<Clip>,
}

impl Always {
    /// Nothing is in its stream before [`attend`](Self::attend). Called on the runtime.
    pub fn new(seat: &Seat, filling: Filling) -> Self {
        // Readers join at the newest key frame; recordings, which reach back, are of the source's own stream.
        let ring = Limits { past: Duration::ZERO, ..seat.settings.ring };
        let outgoing = Stream::new(ANY_SIZE, ring);
        let relay = tokio::spawn(relay(seat.status.subscribe(), Arc::clone(&outgoing)));
        let kitchen = Kitchen {
            filling: filling.clone(),
            encoders: Arc::clone(&seat.encoders),
            launch: seat.launch.clone(),
            made: Arc::default(),
        };
        let (path, relay) = (seat.name.clone(), AbortOnDropHandle::new(relay));
        Self { path, filling, outgoing, filler: None, size: None, kitchen, ring, _relay: relay }
    }

    /// Whether it is this that fills.
    pub fn is(&self, filling: Option<&Filling>) -> bool {
        filling == Some(&self.filling)
    }

    /// The filler's stream, which is started where need be, unless the source delivers what readers can go on with: then
    /// there is none from [`Self::settle`] on. `planned` is what the source would be.
    pub fn attend(&mut self, source: Option<&Stream>, planned: Option<Format>) -> Option<Arc<Stream>> {
        let format = source.map(Stream::format);
        match format {
            Some(format) if format.codec == ANY_SIZE.codec => {
                self.size = Some((format.width, format.height));
                return None;
            }
            Some(format) => tracing::warn!(
                path = self.path,
                "readers go on with {} only, and the source delivers {}: they see the filler",
                ANY_SIZE.codec,
                format.codec
            ),
            None => {}
        }
        let usual = Wanted::default();
        let sizes = [self.size, planned.map(|format| (format.width, format.height))];
        let known = sizes.into_iter().flatten().find(|&(width, height)| width > 0 && height > 0);
        let size = known.unwrap_or((usual.width, usual.height));
        let filler = self.filler.get_or_insert_with(|| {
            tracing::info!(path = self.path, "the source is away; readers see a filler until it is there");
            Filler::start(self.path.clone(), size, self.kitchen.clone(), self.ring)
        });
        Some(Arc::clone(&filler.stream))
    }

    /// Ends the filler if there is a source. Called when the path's status shows it, so that it is never without both.
    pub fn settle(&mut self, there: bool) {
        if there {
            self.filler = None;
        }
    }
}

impl Drop for Always {
    fn drop(&mut self) {
        self.outgoing.close();
    }
}

impl Filler {
    fn start(path: String, size: (u32, u32), kitchen: Kitchen, ring: Limits) -> Self {
        let stream = Stream::new(Format { width: size.0, height: size.1, ..ANY_SIZE }, ring);
        let target = Arc::clone(&stream);
        let show = tokio::spawn(async move {
            match kitchen.clip(&path, size).await {
                Ok(clip) => {
                    target.found(clip.format);
                    show(&clip, &target).await;
                }
                Err(error) => {
                    tracing::error!(path, "there is no filler: {}", error.chain());
                    target.close();
                }
            }
        });
        Self { stream, _show: AbortOnDropHandle::new(show) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stream.close();
    }
}

impl Kitchen {
    /// What is shown. Error: no encoder works.
    async fn clip(&self, path: &str, size: (u32, u32)) -> Result<Arc<Clip>> {
        // Held while one is made: a path has one filler at a time, and the next one takes it over.
        let mut made = self.made.lock().await;
        if let Some(made) = made.as_ref().filter(|made| made.size == size) {
            return Ok(Arc::clone(&made.clip));
        }
        let (own, path) = (self.clone(), path.to_owned());
        let clip = spawn_blocking(move || {
            let words = || Clip::words(size.0, size.1, &own.encoders, &own.launch);
            let Some(file) = &own.filling.file else { return words() };
            Clip::file(file, &own.launch).or_else(|error| {
                tracing::error!(path, "shown as words only: {}", error.chain());
                words()
            })
        });
        let clip = clip.await.map_err(|error| Error::with_source(Kind::Internal, "no filler was made", error))?;
        let clip = Arc::new(clip?);
        *made = Some(Made { size, clip: Arc::clone(&clip) });
        Ok(clip)
    }
}

/// Shows a clip again and again. Whoever asks for a key frame gets the next one of the clip at once.
async fn show(clip: &Clip, stream: &Stream) {
    let mut showing = Showing { clip, begun: media::now(), next: 0, latest: Duration::ZERO };
    loop {
        sleep(showing.due().saturating_sub(media::now())).await;
        if stream.take_key_frame_request() && !clip.frames[showing.next].key {
            showing.skip();
            continue;
        }
        let due = showing.due();
        let (frame, shown) = showing.take();
        stream.publish_shown(due, shown, frame.key, media::wall_clock(due), frame.data.clone());
    }
}

/// How far a clip is shown.
struct Showing<'a> {
    clip: &'a Clip,
    /// When it began, or would have.
    begun: Duration,
    next: usize,
    /// When the picture is shown that is shown last.
    latest: Duration,
}

impl<'a> Showing<'a> {
    /// When the next frame is decoded.
    fn due(&self) -> Duration {
        self.begun + self.clip.frames[self.next].at
    }

    /// The next frame, and when it is shown.
    fn take(&mut self) -> (&'a ClipFrame, Duration) {
        let frame = &self.clip.frames[self.next];
        let shown = self.begun + frame.shown;
        self.latest = self.latest.max(shown);
        self.next += 1;
        if self.next == self.clip.frames.len() {
            self.begun += self.clip.length;
            self.next = 0;
        }
        (frame, shown)
    }

    /// Goes on at the next key frame. It is shown after everything that was before: of B-frames that are left out, the
    /// picture behind them has been.
    fn skip(&mut self) {
        let (due, frames) = (self.due(), &self.clip.frames);
        self.next = (self.next..frames.len()).find(|&at| frames[at].key).unwrap_or_default();
        let interval = self.clip.length / u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let key = &frames[self.next];
        self.begun = due.saturating_sub(key.at).max((self.latest + interval).saturating_sub(key.shown));
    }
}

/// Puts what is available into the stream that lasts, one source after the other, for as long as the path is there.
async fn relay(mut status: watch::Receiver<PathStatus>, outgoing: Arc<Stream>) {
    let mut splice = Splice::default();
    let is_there = |status: &PathStatus| status.available().is_some_and(|stream| !stream.is_closed());
    loop {
        let Ok(Some(stream)) = status.wait_for(is_there).await.map(|status| status.available().cloned()) else {
            return;
        };
        let mut frames = stream.subscribe(Join::Ring);
        splice.begin();
        loop {
            match frames.next().await {
                Next::Frame(frame) => {
                    if frame.key {
                        // Whoever asked before now is served by this one.
                        outgoing.take_key_frame_request();
                    }
                    let (pts, shown) = splice.next(frame.pts, frame.shown);
                    outgoing.publish_shown(pts, shown, frame.key, frame.captured, frame.data);
                    if outgoing.take_key_frame_request() {
                        stream.request_key_frame();
                    }
                }
                // It goes on at a key frame.
                Next::Missed(_) => {}
                Next::Closed => break,
            }
        }
    }
}

/// Times that rise across one source after the other. Those of a source keep their distances.
#[derive(Debug, Default)]
struct Splice {
    /// When the newest frame is decoded, and when the one that is shown last is shown.
    newest: Option<(Duration, Duration)>,
    /// What the present source's times are moved by: no more than its pictures are old when they come. `None`: it has not
    /// begun.
    moved: Option<Duration>,
}

impl Splice {
    /// The next frame is of another source.
    fn begin(&mut self) {
        self.moved = None;
    }

    /// When a frame is decoded and shown. The first of a source comes behind all that were before.
    fn next(&mut self, pts: Duration, shown: Duration) -> (Duration, Duration) {
        let newest = self.newest;
        let moved = *self.moved.get_or_insert_with(|| {
            let (decoded, last) = newest.map_or_else(Default::default, |(pts, shown)| (pts + STEP, shown + STEP));
            decoded.saturating_sub(pts).max(last.saturating_sub(shown))
        });
        let (pts, shown) = (pts + moved, shown + moved);
        self.newest = Some((pts, newest.map_or(shown, |(_, last)| last.max(shown))));
        (pts, shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sources as they come: where each begins, and its frames, by how much later they are decoded than the one before and
    /// shown than decoded.
    fn sources() -> impl Strategy<Value = Vec<(u64, Vec<(u64, u64)>)>> {
        let frames = prop::collection::vec((1..200u64, 0..100u64), 1..8);
        prop::collection::vec((0..5_000u64, frames), 1..8)
    }

    proptest! {
        #[test]
        fn times_rise_across_sources_and_keep_their_distances_within_one(sources in sources()) {
            let (mut splice, mut newest, mut latest) = (Splice::default(), None, None);
            for (begin, frames) in sources {
                splice.begin();
                let (mut pts, mut distance) = (Duration::from_millis(begin), None);
                for (number, (later, wait)) in frames.into_iter().enumerate() {
                    pts += Duration::from_millis(later);
                    let shown = pts + Duration::from_millis(wait);
                    let (out, out_shown) = splice.next(pts, shown);
                    prop_assert!(newest < Some(out), "decoded {out:?} after {newest:?}");
                    prop_assert!(number > 0 || latest < Some(out_shown), "shown {out_shown:?} after {latest:?}");
                    prop_assert_eq!(out_shown - out, shown - pts);
                    prop_assert_eq!(*distance.get_or_insert(out - pts), out - pts);
                    (newest, latest) = (Some(out), latest.max(Some(out_shown)));
                }
            }
        }
    }

    /// Two GOPs with B-frames, as a file has them: of the first the decoding begins late. In intervals of 40 ms.
    fn clip() -> Clip {
        let millis = Duration::from_millis;
        let order = [(0, 0), (0, 3), (0, 1), (1, 2), (2, 4), (3, 5), (4, 8), (5, 6), (6, 7), (7, 9)];
        let frames = order.map(|(at, shown)| ClipFrame {
            at: millis(40 * at),
            shown: millis(40 * shown),
            key: [0, 5].contains(&shown),
            data: bytes::Bytes::new(),
        });
        Clip { format: ANY_SIZE, frames: frames.to_vec(), length: millis(400) }
    }

    proptest! {
        #[test]
        fn a_key_frame_is_shown_after_all_that_was_before(skips in prop::collection::vec(any::<bool>(), 1..100)) {
            let clip = clip();
            let mut showing = Showing { clip: &clip, begun: Duration::from_secs(9), next: 0, latest: Duration::ZERO };
            let (mut decoded, mut latest) = (Duration::ZERO, Duration::ZERO);
            for skip in skips {
                if skip && !clip.frames[showing.next].key {
                    showing.skip();
                }
                prop_assert!(showing.due() >= decoded, "{:?} after {decoded:?}", showing.due());
                decoded = showing.due();
                let (frame, shown) = showing.take();
                prop_assert!(!frame.key || shown > latest, "{shown:?} after {latest:?}");
                prop_assert!(shown >= decoded);
                latest = latest.max(shown);
            }
        }
    }

    #[test]
    fn what_comes_later_anyway_is_not_moved() {
        let (mut splice, second) = (Splice::default(), Duration::from_secs(1));
        assert_eq!(splice.next(5 * second, 5 * second), (5 * second, 5 * second));
        splice.begin();
        assert_eq!(splice.next(7 * second, 8 * second), (7 * second, 8 * second));
    }
}
