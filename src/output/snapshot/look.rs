//! Looking at a stream once for everybody who asks at the same time.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use img_parts::jpeg::Jpeg;

use super::{Caption, Counters, PATIENCE, Picture, SnapshotFormat, SnapshotRequest, counters::count, fit, picture};
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, EncodedFrame, Format},
    media::{self, launch::LaunchFiles, sample, tap::Tap},
    stream::{Join, Next, Stream},
};

/// How long the next picture on its way to the encoder is waited for; what takes longer is decoded from the ring.
const RAW_PATIENCE: Duration = Duration::from_millis(250);
/// Up to this age a picture is as good as the newest one. Three frames of most cameras.
const FRESH: Duration = Duration::from_millis(100);

/// The pictures that can be taken of one run of a path.
pub struct Pictures {
    stream: Arc<Stream>,
    tap: Arc<Tap>,
    launch: LaunchFiles,
    counters: Arc<Counters>,
    /// Kept by those who look, so that no picture stays when nobody wants it any more.
    newest: Mutex<Weak<Look>>,
}

impl Pictures {
    /// Pictures of `stream`, and of what can be had from `tap` before it is encoded.
    pub fn new(stream: Arc<Stream>, tap: Arc<Tap>, launch: LaunchFiles, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { stream, tap, launch, counters, newest: Mutex::default() })
    }

    /// A look at the newest picture. Never waits; [`Look::picture`] does.
    ///
    /// Whoever comes while others look shares what they see, if that is right for a request made now: if it is not seen
    /// yet (it is then as old for the last who came as for the first, when they get it, and a look of one's own would be
    /// over later), if there is no newer frame, or if it is not older than `FRESH`. Otherwise a new look begins. So nobody
    /// gets a picture from before the request but the newest there was, one of a tenth of a second ago, or the one that
    /// was being decoded.
    pub fn look(self: &Arc<Self>) -> Arc<Look> {
        let mut newest = lock(&self.newest);
        if let Some(look) = newest.upgrade().filter(|look| look.is_right_now()) {
            return look;
        }
        let look = Arc::new(Look { of: Arc::clone(self), seen: OnceLock::new(), files: Mutex::default() });
        *newest = Arc::downgrade(&look);
        look
    }
}

/// One look at a stream, shared by all who ask at the same time: one picture is caught or decoded, and every file that
/// somebody wants is made of it once.
pub struct Look {
    of: Arc<Pictures>,
    seen: OnceLock<Result<Seen>>,
    files: Mutex<Vec<(File, Made)>>,
}

/// A file that one makes and the others wait for.
type Made = Arc<OnceLock<Result<Bytes>>>;

/// What was seen.
struct Seen {
    /// The camera's own JPEG.
    jpeg: Option<Bytes>,
    /// Decoded. Of a JPEG only when somebody wants it otherwise.
    raw: OnceLock<Result<gst::Sample>>,
    size: (u32, u32),
    pts: Duration,
    captured: SystemTime,
}

/// What tells one file of a picture from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct File {
    format: SnapshotFormat,
    quality: u8,
    size: (u32, u32),
}

impl Look {
    /// The picture as it is asked for, with this caption. Blocks, up to 10 s: without a key frame in the ring, one is
    /// requested and waited for. Errors: a parameter out of range; the stream has ended or delivers no key frame; no
    /// decoder works here.
    pub fn picture(&self, request: SnapshotRequest, caption: &Caption) -> Result<Picture> {
        self.picture_before(Instant::now() + PATIENCE, request, caption)
    }

    pub(super) fn picture_before(
        &self,
        deadline: Instant,
        request: SnapshotRequest,
        caption: &Caption,
    ) -> Result<Picture> {
        if !(1..=100).contains(&request.quality) {
            return Err(Error::invalid_param("quality", "is not between 1 and 100", "leave it out"));
        }
        let seen = self.seen.get_or_init(|| self.see(deadline)).as_ref().map_err(Error::clone)?;
        let (width, height) = fit(seen.size, request.max_width, request.max_height);
        let format = request.format;
        // To a PNG quality is nothing.
        let quality = if format == SnapshotFormat::Jpeg { request.quality } else { 0 };
        let plain = self.file(seen, File { format, quality, size: (width, height) }, deadline)?;
        // A picture without a word is better than none.
        let data = caption.put(plain.clone(), format, seen.captured).unwrap_or_else(|error| {
            tracing::debug!(camera = caption.camera, "a snapshot has no caption: {}", error.chain());
            plain
        });
        count(&self.of.counters.given);
        Ok(Picture { data, width, height, captured: seen.captured, format })
    }

    fn is_right_now(&self) -> bool {
        match self.seen.get() {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(seen)) => {
                let newer = self.of.stream.newest().is_some_and(|newest| newest.shown > seen.pts);
                !newer || media::now().saturating_sub(seen.pts) <= FRESH
            }
        }
    }

    /// The next picture on its way to the encoder, else the newest of the ring.
    fn see(&self, deadline: Instant) -> Result<Seen> {
        let Pictures { stream, tap, launch, counters, .. } = &*self.of;
        let format = stream.format();
        let interval = Duration::from_secs_f64(1.0 / format.rate.fps().max(0.01));
        let soon = deadline.min(Instant::now() + RAW_PATIENCE);
        let tapped = if interval <= RAW_PATIENCE { tap.next_before(soon) } else { None };
        if let Some(tapped) = tapped {
            count(&counters.caught);
            return Seen::tapped(tapped.sample, tapped.pts, format);
        }
        let frames = newest(stream, deadline)?;
        if format.codec == Codec::Mjpeg
            && let Some(frame) = frames.last()
        {
            count(&counters.caught);
            return Ok(Seen::jpeg(frame.data.clone(), frame.shown, frame.captured, format));
        }
        let (raw, pts) = picture::decode(launch, format, &frames, deadline)?;
        count(&counters.decoded);
        let shown = frames.iter().find(|frame| Some(frame.shown) == pts).or(frames.last());
        let (pts, captured) = shown.map_or((media::now(), SystemTime::now()), |frame| (frame.shown, frame.captured));
        Ok(Seen::raw(raw, pts, captured, format))
    }

    /// The file, made by the first who wants it.
    fn file(&self, seen: &Seen, file: File, deadline: Instant) -> Result<Bytes> {
        if let Some(jpeg) = &seen.jpeg
            && file.format == SnapshotFormat::Jpeg
            && file.size == seen.size
            && picture::has_huffman_tables(jpeg)
        {
            return Ok(jpeg.clone());
        }
        let made = {
            let mut files = lock(&self.files);
            match files.iter().find(|(other, _)| *other == file) {
                Some((_, made)) => Arc::clone(made),
                None => {
                    let made = Arc::default();
                    files.push((file, Arc::clone(&made)));
                    made
                }
            }
        };
        made.get_or_init(|| {
            let raw = seen.raw.get_or_init(|| self.decoded(seen, deadline)).as_ref().map_err(Error::clone)?;
            let data = picture::encode(&self.of.launch, raw, file.format, file.quality, file.size, deadline)?;
            count(&self.of.counters.encoded);
            Ok(data)
        })
        .clone()
    }

    /// The camera's JPEG, decoded.
    fn decoded(&self, seen: &Seen, deadline: Instant) -> Result<gst::Sample> {
        let data = seen.jpeg.clone().ok_or_else(|| Error::internal("a picture that is neither raw nor JPEG"))?;
        let frame = EncodedFrame { seq: 0, pts: seen.pts, shown: seen.pts, key: true, captured: seen.captured, data };
        let (width, height) = seen.size;
        let format = Format { codec: Codec::Mjpeg, width, height, rate: self.of.stream.format().rate };
        let (raw, _) = picture::decode(&self.of.launch, format, &[frame], deadline)?;
        count(&self.of.counters.decoded);
        Ok(raw)
    }
}

impl Seen {
    fn tapped(sample: gst::Sample, pts: Duration, format: Format) -> Result<Self> {
        let captured = media::wall_clock(pts);
        let is_jpeg = sample.caps().and_then(|caps| caps.structure(0)).is_some_and(|s| s.name() == "image/jpeg");
        if !is_jpeg {
            return Ok(Self::raw(sample, pts, captured, format));
        }
        let buffer = sample.buffer_owned().ok_or_else(|| Error::internal("an empty sample"))?;
        Ok(Self::jpeg(sample::bytes(buffer)?, pts, captured, format))
    }

    fn jpeg(data: Bytes, pts: Duration, captured: SystemTime, format: Format) -> Self {
        let own = Jpeg::from_bytes(data.clone()).ok().and_then(|jpeg| jpeg.dimensions());
        let size = own.map_or((format.width, format.height), |(width, height)| (width.into(), height.into()));
        Self { jpeg: Some(data), raw: OnceLock::new(), size, pts, captured }
    }

    fn raw(sample: gst::Sample, pts: Duration, captured: SystemTime, format: Format) -> Self {
        let size = picture::size(&sample).unwrap_or((format.width, format.height));
        Self { jpeg: None, raw: OnceLock::from(Ok(sample)), size, pts, captured }
    }
}

/// The frames that make the newest picture: the newest GOP, or the key frame that had to be waited for.
fn newest(stream: &Arc<Stream>, deadline: Instant) -> Result<Vec<EncodedFrame>> {
    let frames = stream.newest_gop();
    if !frames.is_empty() {
        return Ok(frames);
    }
    let mut reader = stream.subscribe(Join::Ring);
    loop {
        match reader.next_before(deadline) {
            Some(Next::Frame(frame)) => return Ok(vec![frame]),
            Some(Next::Missed(_)) => {}
            Some(Next::Closed) => {
                let kind = Kind::InvalidState { state: "ended".into(), allowed: vec!["streaming"] };
                return Err(Error::new(kind, "the camera stopped before it had delivered a picture"));
            }
            None => return Err(Error::dependency("device", "the camera delivered no key frame in time")),
        }
    }
}

// What is locked here is whole after every statement, so a panic elsewhere under a lock harms nobody.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
