//! What a pipeline says on its bus, as our errors.

use gst::prelude::*;

use crate::error::{Error, Kind};

/// An error message with the element, GStreamer's text and its debug text, none of them lost.
pub fn error(message: &gst::message::Error) -> Error {
    let element = message.src().map_or_else(|| "pipeline".into(), |source| source.name().to_string());
    let debug = message.debug().map(|debug| format!(" ({})", debug.replace('\n', " "))).unwrap_or_default();
    let text = format!("{element}: {}{debug}", message.error());
    Error::with_source(Kind::Dependency { dependency: element }, text, message.error())
}

/// How a pipeline came to its end.
#[derive(Debug)]
pub enum End {
    /// Every sink has seen the end of the stream.
    Eos,
    /// An element failed.
    Failed(Error),
    /// Nothing of either within the time given.
    Timeout,
}

/// Blocks until the pipeline ends, or for `timeout`.
pub fn wait_for_end(pipeline: &gst::Pipeline, timeout: std::time::Duration) -> End {
    let Some(bus) = pipeline.bus() else {
        return End::Timeout;
    };
    let timeout = gst::ClockTime::try_from(timeout).unwrap_or(gst::ClockTime::MAX);
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    match bus.timed_pop_filtered(timeout, &ends).as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(message)) => End::Failed(error(message)),
        Some(_) => End::Eos,
        None => End::Timeout,
    }
}
