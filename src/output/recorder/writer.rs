//! The thread of a segment: takes frames from the stream while the pipeline has room for them, then closes the file.
//!
//! It never waits for the disk. Frames go into the bounded `appsrc` of the pipeline; while that is full they stay in
//! the stream's ring, and what falls out there is counted as missed. Opening, closing and syncing, where a disk can hang
//! in the kernel for ever, are done where a deadline can leave them behind.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use gst::prelude::*;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Patience, SegmentEnd, SegmentReport, unresponsive};
use crate::{
    error::{Error, Kind, Result},
    frame::EncodedFrame,
    media::{bus, launch, sample},
    output::storage::{disk_error, sync_folder},
    stream::{Next, Subscription},
};

/// What a segment's thread is to do.
pub(super) struct Request {
    pub file: PathBuf,
    pub line: String,
    pub subscription: Subscription,
    pub limit: Option<Duration>,
    pub patience: Patience,
    pub stop: CancellationToken,
}

/// The whole life of a segment's thread.
pub(super) fn run(
    request: Request,
    opened: &mpsc::SyncSender<Result<()>>,
    report: &watch::Sender<Option<SegmentReport>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let writer = runtime
        .map_err(|error| Error::with_source(Kind::Internal, "no runtime for a recording", error))
        .and_then(|runtime| Ok((runtime, Writer::open(request)?)));
    match writer {
        Ok((runtime, mut writer)) => {
            // Nobody listens any more if the disk took too long to open the file; the stop is set then.
            let _ = opened.try_send(Ok(()));
            let finished = runtime.block_on(async {
                let end = writer.record().await;
                writer.close(end).await
            });
            report.send_replace(Some(finished));
        }
        Err(error) => {
            let _ = opened.try_send(Err(error));
        }
    }
}

struct Writer {
    request: Request,
    disk: Arc<File>,
    pipeline: gst::Pipeline,
    frames: gst_app::AppSrc,
    /// Told by the `appsrc` when half of its queue is free.
    room: Arc<Notify>,
    /// The first two things the pipeline says about its end; more change nothing.
    ends: tokio::sync::mpsc::Receiver<Result<()>>,
    /// Capture times of the first and the newest frame.
    span: Option<(Duration, Duration)>,
    started: SystemTime,
    count: u64,
    missed: u64,
}

impl Writer {
    fn open(request: Request) -> Result<Self> {
        let path = &request.file;
        let cannot = |error| disk_error(path, "cannot be written", error);
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let disk = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(no_link)
            .open(path)
            .map_err(cannot)?;
        if disk.metadata().map_err(cannot)?.len() > 0 {
            let message = format!("{} exists; a recording does not overwrite it", path.display());
            return Err(Error::dependency("disk", message));
        }
        let (tell, ends) = tokio::sync::mpsc::channel(2);
        let room = Arc::new(Notify::new());
        let (pipeline, frames) = start(&request, tell, Arc::clone(&room)).inspect_err(|_| remove(path, &disk))?;
        let started = SystemTime::now();
        Ok(Self {
            request,
            disk: Arc::new(disk),
            pipeline,
            frames,
            room,
            ends,
            span: None,
            started,
            count: 0,
            missed: 0,
        })
    }

    /// Takes frames until there is a reason to end.
    async fn record(&mut self) -> SegmentEnd {
        let patience = self.request.patience.stall;
        let mut full_since = None;
        // What was published before the stop belongs to the recording: this many frames.
        let mut until = None;
        loop {
            let full = self.is_full();
            full_since = if full { full_since.or_else(|| Some(Instant::now())) } else { None };
            if let (Some(until), false) = (until, full) {
                match self.request.subscription.poll() {
                    Some(Next::Frame(frame)) if frame.seq >= until => return SegmentEnd::Stopped,
                    None => return SegmentEnd::Stopped,
                    Some(next) => match self.take(next) {
                        Some(end) => return end,
                        None => continue,
                    },
                }
            }
            tokio::select! {
                () = self.request.stop.cancelled(), if until.is_none() => {
                    until = Some(self.request.subscription.stream().stats().frames);
                }
                Some(ended) = self.ends.recv() => return match ended {
                    Ok(()) => SegmentEnd::Failed(Error::internal("a recording's pipeline ended by itself")),
                    Err(error) => SegmentEnd::Failed(error),
                },
                next = self.request.subscription.next(), if !full => {
                    if let Some(end) = self.take(next) {
                        return end;
                    }
                }
                () = self.room.notified(), if full => {}
                () = sleep_until(full_since.unwrap_or_else(Instant::now) + patience), if full => {
                    return SegmentEnd::Failed(unresponsive(&self.request.file, "written", patience));
                }
            }
        }
    }

    fn take(&mut self, next: Next) -> Option<SegmentEnd> {
        let frame = match next {
            Next::Frame(frame) => frame,
            Next::Missed(missed) => {
                self.missed += missed;
                return None;
            }
            Next::Closed => return Some(SegmentEnd::StreamClosed),
        };
        let first = match self.span {
            Some((first, _)) => first,
            None => {
                self.started = frame.captured;
                frame.pts
            }
        };
        if self.request.limit.is_some_and(|limit| frame.pts.saturating_sub(first) >= limit) {
            return Some(SegmentEnd::LimitReached);
        }
        self.span = Some((first, frame.pts));
        self.count += 1;
        // Refused only after an error, which then is on the bus.
        let _ = self.frames.push_buffer(buffer(&frame, first));
        None
    }

    fn is_full(&self) -> bool {
        let frames = &self.frames;
        frames.current_level_bytes() >= frames.max_bytes()
            || frames.max_time().is_some_and(|most| !most.is_zero() && frames.current_level_time() >= Some(most))
    }

    /// Lets the pipeline write what it has, closes the file and sees it onto the disk. Each within a deadline.
    async fn close(mut self, mut end: SegmentEnd) -> SegmentReport {
        let patience = self.request.patience.close;
        let path = self.request.file.clone();
        if self.count > 0 && !matches!(end, SegmentEnd::Failed(_)) {
            let _ = self.frames.end_of_stream();
            let failed = match timeout(patience, self.ends.recv()).await {
                Ok(Some(ended)) => ended.err(),
                Ok(None) => Some(Error::internal("a recording's bus is gone")),
                Err(_) => Some(unresponsive(&path, "finished", patience)),
            };
            end = failed.map_or(end, SegmentEnd::Failed);
        }
        let duration = self.span.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first) + self.interval());
        let bytes = Arc::new(AtomicU64::new(0));
        let failed = match timeout(patience, self.release(Arc::clone(&bytes))).await {
            Ok(Ok(released)) => released.err(),
            Ok(Err(_)) => Some(Error::internal("the thread that closes a recording broke")),
            Err(_) => Some(unresponsive(&path, "closed", patience)),
        };
        if let (Some(error), false) = (failed, matches!(end, SegmentEnd::Failed(_))) {
            end = SegmentEnd::Failed(error);
        }
        SegmentReport {
            started: self.started,
            duration,
            bytes: bytes.load(Ordering::Relaxed),
            frames: self.count,
            missed: self.missed,
            end,
        }
    }

    /// Closes the file on a thread of its own, which is left behind when the disk hangs.
    fn release(&self, bytes: Arc<AtomicU64>) -> oneshot::Receiver<Result<()>> {
        let (done, released) = oneshot::channel();
        let (pipeline, disk) = (self.pipeline.clone(), Arc::clone(&self.disk));
        let (path, empty) = (self.request.file.clone(), self.count == 0);
        let close = move || {
            let closed = close(&pipeline, &disk, &path, empty, &bytes);
            let _ = done.send(closed.map_err(|error| disk_error(&path, "is not safe on the disk", error)));
        };
        if let Err(error) = thread::Builder::new().name("recorder-close".into()).spawn(close) {
            // Whoever waits is told by the sender's end.
            tracing::error!(%error, "no thread to close a recording");
        }
        released
    }

    /// What the last frame counts for: the nominal frame interval.
    fn interval(&self) -> Duration {
        let rate = self.request.subscription.stream().format().rate;
        Duration::from_secs(rate.seconds.into()).checked_div(rate.frames).unwrap_or_default()
    }
}

/// Builds the pipeline and starts it.
fn start(
    request: &Request,
    tell: tokio::sync::mpsc::Sender<Result<()>>,
    room: Arc<Notify>,
) -> Result<(gst::Pipeline, gst_app::AppSrc)> {
    let pipeline = launch::pipeline(&request.line)?;
    let frames: gst_app::AppSrc = launch::element(&pipeline, "frames")?;
    frames.set_caps(Some(&sample::caps(request.subscription.stream().format())));
    frames.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(move |_, _| room.notify_one()).build());
    launch::element::<gst::Element>(&pipeline, "file")?.set_property("location", &request.file);
    let path = request.file.clone();
    let listen = move |_: &gst::Bus, message: &gst::Message| {
        let ended = match message.view() {
            gst::MessageView::Eos(_) => Some(Ok(())),
            gst::MessageView::Error(error) => Some(Err(failure(&path, error))),
            _ => None,
        };
        if let Some(ended) = ended {
            let _ = tell.try_send(ended);
        }
        gst::BusSyncReply::Drop
    };
    if let Some(bus) = pipeline.bus() {
        bus.set_sync_handler(listen);
    }
    pipeline.set_state(gst::State::Playing).map_err(|error| {
        let _ = pipeline.set_state(gst::State::Null);
        let message = format!("the pipeline that writes {} does not start", request.file.display());
        Error::with_source(Kind::Dependency { dependency: "recorder".into() }, message, error)
    })?;
    Ok((pipeline, frames))
}

/// What the pipeline's error means for this file.
fn failure(path: &Path, message: &gst::message::Error) -> Error {
    let error = bus::error(message);
    let disk = |what: &str| {
        let text = format!("{} {what}", path.display());
        Error::with_source(Kind::Dependency { dependency: "disk".into() }, text, error.clone())
    };
    let said = message.error();
    if said.matches(gst::ResourceError::NoSpaceLeft) {
        disk("cannot be written: the disk is full")
    } else if said.matches(gst::ResourceError::Write) || said.matches(gst::ResourceError::Seek) {
        disk("cannot be written")
    } else {
        error
    }
}

/// The frame's own bytes, timed from the beginning of the file.
fn buffer(frame: &EncodedFrame, first: Duration) -> gst::Buffer {
    let since = gst::ClockTime::try_from(frame.pts.saturating_sub(first)).ok();
    let mut buffer = sample::buffer(frame);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(since);
        buffer.set_dts(since);
    }
    buffer
}

/// Stops the pipeline, which closes its file, and sees the file onto the disk. `bytes` is its size as last known.
fn close(pipeline: &gst::Pipeline, disk: &File, path: &Path, empty: bool, bytes: &AtomicU64) -> io::Result<()> {
    bytes.store(disk.metadata()?.len(), Ordering::Relaxed);
    let _ = pipeline.set_state(gst::State::Null);
    if empty {
        remove(path, disk);
        return Ok(());
    }
    let found = disk.metadata()?;
    bytes.store(found.len(), Ordering::Relaxed);
    if found.nlink() == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "deleted while it was recorded"));
    }
    disk.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Takes away a file that nothing was written to.
fn remove(path: &Path, disk: &File) {
    if disk.metadata().is_ok_and(|found| found.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}
