//! The thread that takes frames from the `Stream` and gives them to one media.
//!
//! It is the only thing between a `Stream` and gst-rtsp-server, and never waits for the latter: what the media does
//! not take within [`BEHIND`] is given up, and the media goes on at a key frame.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gst::glib;

use super::{Opened, feed::Feed};
use crate::{
    frame::{Codec, EncodedFrame},
    media::sample,
    stream::{Join, Next},
};

/// How long the thread sleeps at most before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// When this much waits in the media for this long, no more is put in.
const BEHIND: Duration = Duration::from_millis(500);
/// When no more than this waits, frames are put in again.
const CAUGHT_UP: Duration = Duration::from_millis(50);

enum Phase {
    /// DESCRIBE waits for a frame, from which the parameters in the SDP are taken.
    Preroll,
    /// Nobody plays.
    Idle,
    /// The first reader plays and gets the next key frame.
    Starting,
    /// Frames flow.
    Live,
    /// Frames do not flow: nothing has taken them.
    Behind,
}

/// Starts the thread. It ends when the media is taken down or the stream ends, and drops `opened` then.
pub(super) fn spawn(feed: Arc<Feed>, opened: Opened, frames: glib::WeakRef<gst_app::AppSrc>) -> io::Result<()> {
    thread::Builder::new()
        .name(format!("rtsp {}", feed.mount.name))
        .spawn(move || run(&feed, opened, &frames))
        .map(drop)
}

fn run(feed: &Arc<Feed>, opened: Opened, media: &glib::WeakRef<gst_app::AppSrc>) {
    let stream = &opened.stream;
    let from_ring = !opened.key_frames_on_demand && stream.format().codec == Codec::H264;
    let mut frames = stream.subscribe(Join::Ring);
    let mut phase = Phase::Preroll;
    let (mut behind_since, mut prerolled) = (None, None);

    while !feed.is_stopped() {
        let Some(media) = media.upgrade() else { return feed.stop() };
        let next = frames.next_before(Instant::now() + LOOK);
        if feed.take_restart() {
            phase = Phase::Starting;
            behind_since = None;
            if from_ring {
                frames = stream.subscribe(Join::Ring);
                continue;
            }
        }
        let frame = match next {
            Some(Next::Frame(frame)) => frame,
            // The next frame is a key frame; nothing else is to be done about it.
            Some(Next::Missed(_)) | None => continue,
            Some(Next::Closed) => return feed.end(),
        };
        match phase {
            Phase::Preroll => {
                if push(&media, &frame) {
                    prerolled = Some(frame.seq);
                    phase = Phase::Idle;
                }
            }
            Phase::Idle => {}
            Phase::Starting if frame.key => {
                let frame = if prerolled == Some(frame.seq) { again(frame) } else { frame };
                feed.open_gate(frame.shown);
                feed.offer(frame.shown, frame.key, frame.data.len());
                if push(&media, &frame) {
                    phase = Phase::Live;
                }
            }
            Phase::Starting => {}
            Phase::Live if feed.is_idle() => phase = Phase::Idle,
            Phase::Live => {
                feed.offer(frame.shown, frame.key, frame.data.len());
                push(&media, &frame);
                if waiting(&media) < BEHIND {
                    behind_since = None;
                } else if behind_since.get_or_insert_with(Instant::now).elapsed() > BEHIND {
                    tracing::warn!(path = feed.mount.name, "RTSP readers take no frames; frames are skipped");
                    phase = Phase::Behind;
                }
            }
            Phase::Behind if feed.is_idle() => phase = Phase::Idle,
            Phase::Behind => {
                if waiting(&media) <= CAUGHT_UP {
                    // Asks for a key frame, once: not while nobody would get it.
                    frames.skip();
                    behind_since = None;
                    phase = Phase::Live;
                }
            }
        }
    }
}

/// The frame that answered DESCRIBE, for PLAY. The first one is still on its way to the gate, which lets nothing out that is
/// older than this one: they have to differ, or a reader gets both.
fn again(frame: EncodedFrame) -> EncodedFrame {
    let later = Duration::from_nanos(1);
    EncodedFrame { pts: frame.pts + later, shown: frame.shown + later, ..frame }
}

fn push(media: &gst_app::AppSrc, frame: &EncodedFrame) -> bool {
    // Refused while the media is not started yet or no longer runs; both pass.
    media.push_buffer(sample::buffer(frame)).is_ok()
}

/// How much waits in the media, by its timestamps.
fn waiting(media: &gst_app::AppSrc) -> Duration {
    media.current_level_time().map_or(Duration::ZERO, Into::into)
}
