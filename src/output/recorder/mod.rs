//! Recording: one [`Segment`] is one file of one stream.
//!
//! A segment is a reader of the stream with a thread (`writer`) and a pipeline (`muxer`) of its own. The file has its
//! final name from the start, because a client is told the name when recording begins: a fragmented MP4 plays while it
//! grows. What is written is on the disk within a second (`disk`).
//! Not here: names and folders (`storage`), and when a recording begins, goes on in another file or ends (`path`).

mod disk;
mod muxer;
mod repair;
mod transport;
mod unfinished;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use crate::config::RecordingFormat;
pub use disk::Syncs;
pub use repair::{Repaired, repair};
pub use unfinished::{Mark, Note, unfinished};

use crate::{
    error::{Error, Kind, Result},
    frame::Codec,
    media::launch::LaunchFiles,
    stream::Subscription,
};

/// The extensions of all formats, without dots.
pub const EXTENSIONS: &[&str] = &["mp4", "mkv", "ts"];

/// The extension of the files of a format, without the dot.
pub fn extension(format: RecordingFormat) -> &'static str {
    match format {
        RecordingFormat::Fmp4 | RecordingFormat::Mp4 => "mp4",
        RecordingFormat::Mkv => "mkv",
        RecordingFormat::MpegTs => "ts",
    }
}

/// The launch file that records `codec` so. Error: the container does not take it.
fn launch_file(format: RecordingFormat, codec: Codec) -> Result<&'static str> {
    use RecordingFormat::{Fmp4, Mkv, Mp4, MpegTs};
    match (format, codec) {
        (Fmp4, Codec::H264) => Ok("output/record-fmp4"),
        (Mp4, Codec::H264) => Ok("output/record-mp4"),
        (Mkv, Codec::H264) => Ok("output/record-mkv"),
        (MpegTs, Codec::H264) => Ok("output/record-mpegts"),
        (Mkv, Codec::Mjpeg) => Ok("output/record-mkv-mjpeg"),
        (Fmp4 | Mp4 | MpegTs, Codec::Mjpeg) => Err(Error::new(
            Kind::Unsupported { feature: format!("{codec} in {format}") },
            format!("{format} does not take {codec}: record this camera as mkv, or have it encoded as H264"),
        )),
    }
}

/// Why a segment came to its end.
#[derive(Clone, Debug)]
pub enum SegmentEnd {
    /// [`Segment::stop`] asked for it.
    Stopped,
    /// The stream ended: the camera was unplugged, or its pipeline failed.
    StreamClosed,
    /// The next frame would have gone beyond the limit.
    LimitReached,
    /// It is long or large enough: the next frame, a key frame, is the first of another segment.
    Cut,
    /// The disk or an element failed. What was written before stays.
    Failed(Error),
}

/// What became of a segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// When the first frame was captured, or when the segment was opened if there was none.
    pub started: SystemTime,
    /// From the first frame to the end of the last, by their capture times.
    pub duration: Duration,
    /// Size of the file. Of a disk that does not answer, what it last said.
    pub bytes: u64,
    /// Frames handed to the muxer; all of them are in the file unless it failed. With none, there is no file.
    pub frames: u64,
    /// Frames the disk was too slow for. The file goes on at the next key frame after each gap.
    pub missed: u64,
    /// Why it ended.
    pub end: SegmentEnd,
}

/// Where a segment goes.
#[derive(Debug)]
pub struct Target {
    /// The file: not there, or empty as `storage::reserve` makes it.
    pub file: PathBuf,
    /// Its mark, which is removed when the file is complete.
    pub mark: Option<Mark>,
    /// The container.
    pub format: RecordingFormat,
    /// How long the parts of fragmented MP4 are, where not a second.
    pub part: Option<Duration>,
    /// Where it is told how long the disk takes.
    pub syncs: Syncs,
}

impl Target {
    /// Takes away what was made for a segment that does not begin. Blocks on the disk.
    pub fn give_up(&self) {
        disk::give_up(&self.file, self.mark.as_ref());
    }
}

/// Where a segment ends, unless it is stopped before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The recording is over when this much is recorded, to the frame.
    pub limit: Option<Duration>,
    /// The segment is cut at the first key frame after this much time.
    pub cut_after: Option<Duration>,
    /// The segment is cut at a key frame, before it has more than so many bytes of frames if its GOPs are of one size.
    pub cut_at: Option<u64>,
}

/// What follows a segment that was cut.
#[derive(Debug)]
pub struct Rest {
    /// Its next frame is the first that the segment does not have.
    pub subscription: Subscription,
    /// Time in the segment, from its first frame to that one.
    pub duration: Duration,
}

/// How long the disk may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// To open the file.
    open: Duration,
    /// To take anything while frames are waiting for it.
    stall: Duration,
    /// To take the rest, and again to close the file.
    close: Duration,
}

const PATIENCE: Patience =
    Patience { open: Duration::from_secs(5), stall: Duration::from_secs(10), close: Duration::from_secs(10) };

/// One file being recorded. Dropping it asks it to close, as [`Segment::stop`] does.
#[derive(Debug)]
pub struct Segment {
    file: PathBuf,
    stop: CancellationToken,
    rest: oneshot::Receiver<Rest>,
    report: watch::Receiver<Option<SegmentReport>>,
}

impl Segment {
    /// Begins to record what `frames` has, within `bounds`.
    ///
    /// Blocks while the file is opened, up to 5 s. Errors: the format does not take the stream's codec; the file cannot
    /// be written or is not empty; an element is missing. No file and no mark is left behind then.
    pub fn start(target: Target, frames: Subscription, launch: &LaunchFiles, bounds: Bounds) -> Result<Self> {
        Self::start_with(target, frames, launch, bounds, PATIENCE)
    }

    fn start_with(
        target: Target,
        frames: Subscription,
        launch: &LaunchFiles,
        bounds: Bounds,
        patience: Patience,
    ) -> Result<Self> {
        let stream_format = frames.stream().format();
        let line = launch_file(target.format, stream_format.codec).and_then(|name| launch.line(name));
        let line = line.inspect_err(|_| disk::give_up(&target.file, target.mark.as_ref()))?;
        let file = target.file.clone();
        let request = writer::Request {
            target,
            line,
            launch: launch.clone(),
            format: stream_format,
            bounds,
            patience,
            stop: CancellationToken::new(),
        };
        let segment_stop = request.stop.clone();
        let (tell, report) = watch::channel(None);
        let (hand_over, rest) = oneshot::channel();
        let (tell_opened, opened) = mpsc::sync_channel(1);
        let listeners = writer::Listeners { opened: tell_opened, rest: hand_over, report: tell };
        thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer::run(request, frames, listeners))
            .map_err(|error| Error::with_source(Kind::Internal, "no thread for a recording", error))?;
        let segment = Self { file, stop: segment_stop, rest, report };
        // On an error the segment is dropped, so that a thread that comes to life later finds it is to stop.
        opened
            .recv_timeout(patience.open)
            .unwrap_or_else(|_| Err(unresponsive(&segment.file, "opened", patience.open)))?;
        Ok(segment)
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Asks the segment to take what is published by now, and to close. Does not wait: see [`Segment::finished`].
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the segment takes no more frames: the rest where it was cut, `None` where it ends otherwise. Its file
    /// is being closed then. May be cancelled and called again until it has given its answer.
    pub async fn taken(&mut self) -> Option<Rest> {
        (&mut self.rest).await.ok()
    }

    /// Waits until the file is closed and on the disk, or given up. May be cancelled and called again.
    pub async fn finished(&mut self) -> SegmentReport {
        let report = self.report.wait_for(Option::is_some).await.ok().and_then(|report| report.clone());
        report.unwrap_or_else(|| SegmentReport {
            started: SystemTime::now(),
            duration: Duration::ZERO,
            bytes: 0,
            frames: 0,
            missed: 0,
            end: SegmentEnd::Failed(Error::internal(format!("the recorder of {} broke", self.file.display()))),
        })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn unresponsive(file: &Path, what: &str, after: Duration) -> Error {
    Error::dependency("disk", format!("{} could not be {what} within {after:?}: the disk hangs", file.display()))
}

#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod tests;
