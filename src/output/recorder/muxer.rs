//! The pipeline of a segment: frames go in, a file comes out.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use gst::{glib, prelude::*};
use tokio::sync::{Notify, mpsc};

use super::{RecordingFormat, Target, transport::stamped};
use crate::{
    error::{Error, Kind, Result},
    frame::{EncodedFrame, Format},
    media::{bus, launch, sample},
};

/// A running pipeline that writes a file.
#[derive(Clone)]
pub(super) struct Muxer {
    pipeline: gst::Pipeline,
    frames: gst_app::AppSrc,
    /// What marks a time on a buffer as one of the wall clock.
    wall_clock: gst::Caps,
    /// Whether key frames say themselves when they were captured.
    stamps: bool,
}

impl Muxer {
    /// Builds the pipeline of `line`, which writes `target`, and starts it. `ends` is told when it has ended or failed, `room` when half of its
    /// queue is free. Errors: an element is missing or does not start.
    pub fn start(
        line: &str,
        target: &Target,
        format: Format,
        ends: mpsc::Sender<Result<()>>,
        room: Arc<Notify>,
    ) -> Result<Self> {
        let pipeline = launch::pipeline(line)?;
        let frames: gst_app::AppSrc = launch::element(&pipeline, "frames")?;
        frames.set_caps(Some(&sample::caps(format)));
        frames.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(move |_, _| room.notify_one()).build());
        let file = &target.file;
        launch::element::<gst::Element>(&pipeline, "file")?.set_property("location", file);
        if let (Some(part), RecordingFormat::Fmp4) = (target.part, target.format) {
            let part = u64::try_from(part.as_nanos()).unwrap_or(u64::MAX);
            let muxer = launch::element::<gst::Element>(&pipeline, "muxer")?;
            // Parts are written out also inside a longer GOP.
            muxer.set_properties(&[("fragment-duration", &part), ("chunk-duration", &part)]);
        }
        let path = file.to_owned();
        let listen = move |_: &gst::Bus, message: &gst::Message| {
            let ended = match message.view() {
                gst::MessageView::Eos(_) => Some(Ok(())),
                gst::MessageView::Error(error) => Some(Err(failure(&path, error))),
                _ => None,
            };
            if let Some(ended) = ended {
                let _ = ends.try_send(ended);
            }
            gst::BusSyncReply::Drop
        };
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(listen);
        }
        pipeline.set_state(gst::State::Playing).map_err(|error| {
            let _ = pipeline.set_state(gst::State::Null);
            let message = format!("the pipeline that writes {} does not start", file.display());
            Error::with_source(Kind::Dependency { dependency: "recorder".into() }, message, error)
        })?;
        let stamps = target.format == RecordingFormat::MpegTs;
        Ok(Self { pipeline, frames, wall_clock: gst::Caps::new_empty_simple("timestamp/x-unix"), stamps })
    }

    /// Says when the first frame was captured. Has to come before it.
    pub fn begin(&self, captured: SystemTime) {
        stamp(&self.pipeline, captured);
    }

    /// Hands over a frame, timed from `first`, the PTS that the file begins with. What the muxer says about it is told
    /// to `ends`.
    pub fn push(&self, frame: &EncodedFrame, first: Duration) {
        let since = |time: Duration| gst::ClockTime::try_from(time.saturating_sub(first)).ok();
        let captured = frame.captured.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut buffer = match self.stamps && frame.key {
            true => sample::buffer(&EncodedFrame { data: stamped(frame), ..frame.clone() }),
            false => sample::buffer(frame),
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(since(frame.shown));
            buffer.set_dts(since(frame.pts));
            if let Ok(captured) = gst::ClockTime::try_from(captured) {
                gst::ReferenceTimestampMeta::add(buffer, &self.wall_clock, captured, gst::ClockTime::NONE);
            }
        }
        // Refused only after an error, which then is on the bus.
        let _ = self.frames.push_buffer(buffer);
    }

    /// Whether its queue is full.
    pub fn is_full(&self) -> bool {
        let frames = &self.frames;
        frames.current_level_bytes() >= frames.max_bytes()
            || frames.max_time().is_some_and(|most| !most.is_zero() && frames.current_level_time() >= Some(most))
    }

    /// No more frames come: what is left is written, and `ends` told when it is.
    pub fn finish(&self) {
        let _ = self.frames.end_of_stream();
    }

    /// Takes the pipeline down, which closes its file. Blocks on the disk.
    pub fn stop(&self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Has the muxer write when the first frame was captured, to the microsecond.
///
/// Matroska has `DateUTC` for it. In MP4 GStreamer's muxer writes whole days and seconds only, so that there it is the
/// comment, as RFC 3339. Fragmented MP4 has it from the frames: a `prft` box (ISO/IEC 14496-12, 8.16.5) ahead of every
/// fragment. So has MPEG-TS, in the key frames themselves.
pub(super) fn stamp(pipeline: &gst::Pipeline, captured: SystemTime) {
    let since = captured.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let Some((muxer, date)) = pipeline.by_name("muxer").zip(date(micros)) else { return };
    if muxer.has_property("creation-time") {
        muxer.set_property("creation-time", date);
    } else if let Some(tags) = muxer.dynamic_cast_ref::<gst::TagSetter>()
        && let Ok(text) = date.format("%Y-%m-%dT%H:%M:%S.%fZ")
    {
        tags.add_tag::<gst::tags::Comment>(&text.as_str(), gst::TagMergeMode::Replace);
    }
}

/// A moment, from microseconds since 1970.
fn date(micros: i64) -> Option<glib::DateTime> {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    glib::DateTime::from_unix_utc(seconds).ok()?.add(glib::TimeSpan(rest)).ok()
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
