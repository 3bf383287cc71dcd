//! What every GStreamer pipeline here shares: launch files, the clock, samples, pictures taken out, errors from
//! the bus and the log; and what goes from one to another.
//!
//! Not here: any particular pipeline. Capture is `pipeline`, everything else is `output`.

pub mod bus;
pub mod incoming;
pub mod launch;
pub mod log;
pub mod publication;
pub mod sample;
mod sender_clock;
pub mod tap;

use gst::prelude::*;

use crate::error::{Error, Kind, Result};

/// Initialises GStreamer and the elements linked into this binary (`isofmp4mux`, `cmafmux`). Call once, first.
pub fn init() -> Result<()> {
    gst::init().map_err(|error| Error::with_source(Kind::Internal, "GStreamer does not start", error))?;
    log::listen();
    gstfmp4::plugin_register_static()
        .map_err(|error| Error::with_source(Kind::Internal, "the fMP4 muxers do not register", error))
}

/// The version of GStreamer that runs, e.g. `1.22.0`.
pub fn version() -> String {
    let (major, minor, micro, _) = gst::version();
    format!("{major}.{minor}.{micro}")
}

/// Puts a pipeline on the clock all pipelines share: `CLOCK_MONOTONIC`, base time 0, never reset.
///
/// A buffer's timestamp is then the time of capture in every pipeline it passes, whenever that pipeline was made.
/// Otherwise a consumer made later than the camera would take each buffer for a late one.
pub fn share_clock(pipeline: &gst::Pipeline) {
    pipeline.use_clock(Some(&gst::SystemClock::obtain()));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(gst::ClockTime::ZERO);
}

/// Now, on the clock all pipelines share.
pub fn now() -> std::time::Duration {
    gst::SystemClock::obtain().time().into()
}

/// The time on the wall clock at which the shared clock said `pts`, as the wall clock is set now.
pub fn wall_clock(pts: std::time::Duration) -> std::time::SystemTime {
    let age = now().saturating_sub(pts);
    std::time::SystemTime::now().checked_sub(age).unwrap_or(std::time::SystemTime::UNIX_EPOCH)
}
