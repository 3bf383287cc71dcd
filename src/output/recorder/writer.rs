//! The thread of a segment: takes frames from the stream while the pipeline has room for them, then closes the file.
//!
//! It never waits for the disk. Frames go into the bounded `appsrc` of the pipeline; while that is full they stay in
//! the stream's ring, and what falls out there is counted as missed. Opening, closing and syncing, where a disk can hang
//! in the kernel for ever, are done where a deadline can leave them behind.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Bounds, Patience, Rest, SegmentEnd, SegmentReport, Target,
    disk::{self, Closing, Syncing},
    muxer::Muxer,
    unresponsive,
};
use crate::{
    error::{Error, Kind, Result},
    frame::{EncodedFrame, Format},
    media::launch::LaunchFiles,
    output::storage::{disk_error, sync_folder},
    stream::{Next, Subscription},
};

/// What a segment's thread is to do.
pub(super) struct Request {
    pub target: Target,
    pub line: String,
    pub launch: LaunchFiles,
    pub format: Format,
    pub bounds: Bounds,
    pub patience: Patience,
    pub stop: CancellationToken,
}

/// Whom it tells what.
pub(super) struct Listeners {
    /// Whether the file could be opened.
    pub opened: mpsc::SyncSender<Result<()>>,
    /// What follows a segment that was cut; dropped when it ends otherwise.
    pub rest: oneshot::Sender<Rest>,
    /// What became of the file.
    pub report: watch::Sender<Option<SegmentReport>>,
}

/// The whole life of a segment's thread.
pub(super) fn run(request: Request, mut frames: Subscription, listeners: Listeners) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let writer = runtime
        .map_err(|error| Error::with_source(Kind::Internal, "no runtime for a recording", error))
        .and_then(|runtime| Ok((runtime, Writer::open(request)?)));
    let Listeners { opened, rest, report } = listeners;
    match writer {
        Ok((runtime, mut writer)) => {
            // Nobody listens any more if the disk took too long to open the file; the stop is set then.
            let _ = opened.try_send(Ok(()));
            let finished = runtime.block_on(async {
                let end = writer.record(&mut frames).await;
                let duration = writer.duration();
                match end {
                    // Whoever goes on must not wait for this file to be closed.
                    SegmentEnd::Cut => drop(rest.send(Rest { subscription: frames, duration })),
                    _ => drop((rest, frames)),
                }
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
    muxer: Muxer,
    /// Told by the pipeline when half of its queue is free.
    room: Arc<Notify>,
    /// The first two things the pipeline says about its end; more change nothing.
    ends: tokio::sync::mpsc::Receiver<Result<()>>,
    syncing: Option<Syncing>,
    /// When the first frame was captured, or the file was opened.
    started: SystemTime,
    taken: Taken,
    missed: u64,
}

/// What the file has, or will have when the pipeline has written it.
#[derive(Default)]
struct Taken {
    frames: u64,
    bytes: u64,
    /// PTS of the first frame.
    first: Option<Duration>,
    /// When the last frame ends: as it is known when another follows, else by the frame rate.
    until: Duration,
    /// Bytes before the newest key frame.
    before_gop: u64,
}

impl Writer {
    fn open(request: Request) -> Result<Self> {
        let Target { file: path, mark, .. } = &request.target;
        let disk = disk::open(path).map(Arc::new).inspect_err(|_| disk::give_up(path, mark.as_ref()))?;
        let (tell, ends) = tokio::sync::mpsc::channel(2);
        let room = Arc::new(Notify::new());
        let (tell_failed, for_muxer) = (tell.clone(), Arc::clone(&room));
        let failed = move |error| drop(tell_failed.try_send(Err(error)));
        let started = Muxer::start(&request.line, &request.target, request.format, tell, for_muxer).and_then(|muxer| {
            // The name outlives a power cut from now on.
            path.parent().map_or(Ok(()), sync_folder).map_err(|error| disk_error(path, "is not safe", error))?;
            Ok((muxer, Syncing::start(path, Arc::clone(&disk), request.target.syncs.clone(), failed)?))
        });
        let (muxer, syncing) = started.inspect_err(|_| disk::give_up(path, mark.as_ref()))?;
        Ok(Self {
            request,
            disk,
            muxer,
            room,
            ends,
            syncing: Some(syncing),
            started: SystemTime::now(),
            taken: Taken::default(),
            missed: 0,
        })
    }

    /// Takes frames until there is a reason to end. After [`SegmentEnd::Cut`] the next frame is the one it was cut at.
    async fn record(&mut self, frames: &mut Subscription) -> SegmentEnd {
        let patience = self.request.patience.stall;
        let mut full_since = None;
        // What was published before the stop belongs to the recording: this many frames.
        let mut until = None;
        loop {
            let full = self.muxer.is_full();
            full_since = if full { full_since.or_else(|| Some(Instant::now())) } else { None };
            if let (Some(until), false) = (until, full) {
                match frames.poll() {
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
                    until = Some(frames.stream().stats().frames);
                    // What is left goes into this file.
                    (self.request.bounds.cut_after, self.request.bounds.cut_at) = (None, None);
                }
                Some(ended) = self.ends.recv() => return match ended {
                    Ok(()) => SegmentEnd::Failed(Error::internal("a recording's pipeline ended by itself")),
                    Err(error) => SegmentEnd::Failed(error),
                },
                next = frames.next(), if !full => {
                    if let Next::Frame(frame) = &next && self.is_cut_at(frame, frames) {
                        frames.put_back(frame);
                        self.taken.ends_at(frame);
                        return SegmentEnd::Cut;
                    }
                    if let Some(end) = self.take(next) {
                        return end;
                    }
                }
                () = self.room.notified(), if full => {}
                () = sleep_until(full_since.unwrap_or_else(Instant::now) + patience), if full => {
                    return SegmentEnd::Failed(unresponsive(&self.request.target.file, "written", patience));
                }
            }
        }
    }

    /// Whether the segment ends before this frame, and another goes on with it. Where it should and the frame is no key
    /// frame, one is asked for.
    fn is_cut_at(&self, frame: &EncodedFrame, frames: &Subscription) -> bool {
        let Bounds { cut_after, cut_at, .. } = self.request.bounds;
        let Some(first) = self.taken.first else { return false };
        let long = cut_after.is_some_and(|most| frame.pts.saturating_sub(first) >= most);
        let large = cut_at.is_some_and(|most| self.taken.bytes + self.taken.gop() > most);
        match frame.key {
            true => long || large,
            false => {
                if long {
                    frames.stream().request_key_frame();
                }
                false
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
        let first = self.taken.first.unwrap_or_else(|| {
            self.started = frame.captured;
            self.muxer.begin(frame.captured);
            frame.pts
        });
        if self.request.bounds.limit.is_some_and(|limit| frame.pts.saturating_sub(first) >= limit) {
            return Some(SegmentEnd::LimitReached);
        }
        self.taken.add(&frame, self.interval());
        self.muxer.push(&frame, first);
        None
    }

    /// Time in the file.
    fn duration(&self) -> Duration {
        self.taken.first.map_or(Duration::ZERO, |first| self.taken.until.saturating_sub(first))
    }

    /// Lets the pipeline write what it has, closes the file and sees it onto the disk. Each within a deadline.
    async fn close(mut self, mut end: SegmentEnd) -> SegmentReport {
        let patience = self.request.patience.close;
        let path = self.request.target.file.clone();
        if self.taken.frames > 0 && !matches!(end, SegmentEnd::Failed(_)) {
            self.muxer.finish();
            let failed = match timeout(patience, self.ends.recv()).await {
                Ok(Some(ended)) => ended.err(),
                Ok(None) => Some(Error::internal("a recording's bus is gone")),
                Err(_) => Some(unresponsive(&path, "finished", patience)),
            };
            end = failed.map_or(end, SegmentEnd::Failed);
        }
        drop(self.syncing.take());
        let bytes = Arc::new(AtomicU64::new(0));
        let failed = matches!(end, SegmentEnd::Failed(_));
        let failed = match timeout(patience, self.release(failed, Arc::clone(&bytes))).await {
            Ok(Ok(released)) => released.err(),
            Ok(Err(_)) => Some(Error::internal("the thread that closes a recording broke")),
            Err(_) => Some(unresponsive(&path, "closed", patience)),
        };
        if let (Some(error), false) = (failed, matches!(end, SegmentEnd::Failed(_))) {
            end = SegmentEnd::Failed(error);
        }
        SegmentReport {
            started: self.started,
            duration: self.duration(),
            bytes: bytes.load(Ordering::Relaxed),
            frames: self.taken.frames,
            missed: self.missed,
            end,
        }
    }

    /// Closes the file on a thread of its own, which is left behind when the disk hangs.
    fn release(&mut self, failed: bool, bytes: Arc<AtomicU64>) -> oneshot::Receiver<Result<()>> {
        let (done, released) = oneshot::channel();
        let closing = Closing {
            file: self.request.target.file.clone(),
            mark: self.request.target.mark.take(),
            disk: Arc::clone(&self.disk),
            muxer: self.muxer.clone(),
            launch: self.request.launch.clone(),
            started: self.started,
            empty: self.taken.frames == 0,
            failed,
        };
        let close = move || drop(done.send(closing.run(&bytes)));
        if let Err(error) = thread::Builder::new().name("recorder-close".into()).spawn(close) {
            // Whoever waits is told by the sender's end.
            tracing::error!(%error, "no thread to close a recording");
        }
        released
    }

    /// What the last frame counts for: the nominal frame interval.
    fn interval(&self) -> Duration {
        let rate = self.request.format.rate;
        Duration::from_secs(rate.seconds.into()).checked_div(rate.frames).unwrap_or_default()
    }
}

impl Taken {
    fn add(&mut self, frame: &EncodedFrame, interval: Duration) {
        self.first.get_or_insert(frame.pts);
        if frame.key {
            self.before_gop = self.bytes;
        }
        self.frames += 1;
        self.bytes += frame.data.len() as u64;
        self.until = frame.pts + interval;
    }

    /// Bytes of the newest GOP, which is whole when a key frame follows.
    fn gop(&self) -> u64 {
        self.bytes - self.before_gop
    }

    fn ends_at(&mut self, next: &EncodedFrame) {
        self.until = next.pts;
    }
}
