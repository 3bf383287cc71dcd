//! GStreamer's own log, as far as it says what its error messages do not.
//!
//! When a driver refuses something, the errno is often only in the log of the V4L2 elements ("error with STREAMON 28"),
//! while the message on the bus is the same for every cause ("Failed to allocate a buffer"). Both come from one thread,
//! the log first: so the newest line of each thread is kept until [`take`] asks for it.

use std::{cell::RefCell, sync::Once};

thread_local! {
    static NEWEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Begins to listen to the V4L2 elements. They do not write to standard error any more, unless `GST_DEBUG` is set.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("GST_DEBUG").is_none() {
            gst::log::remove_default_log_function();
            gst::log::set_threshold_for_name("v4l2*", gst::DebugLevel::Warning);
        }
        gst::log::add_log_function(|category, level, _file, _function, _line, object, message| {
            if level > gst::DebugLevel::Warning || !category.name().starts_with("v4l2") {
                return;
            }
            let Some(text) = message.get() else { return };
            let object = object.map(|object| object.to_string()).unwrap_or_default();
            tracing::debug!(target: "gstreamer", category = category.name(), object, "{text}");
            NEWEST.with(|newest| *newest.borrow_mut() = Some(text.to_string()));
        });
    });
}

/// The newest warning or error that the V4L2 elements logged on this thread since the last call.
pub fn take() -> Option<String> {
    NEWEST.with(|newest| newest.borrow_mut().take())
}
