//! What is changed in the pipelines gst-rtsp-server builds around our elements.
//!
//! All of it answers to a measured fault of GStreamer 1.22; a hook on the pipeline is the only way to reach elements
//! that come and go with the readers.

use gst::prelude::*;

/// How much of a stream waits for slow TCP readers while UDP readers go on, before the oldest falls out. More than
/// the time in which a stalled reader is found and disconnected, so a reader that catches up has lost nothing.
const BRANCH: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// The same in bytes.
const BRANCH_BYTES: u32 = 32 << 20;

/// Changes the elements to come. `rtp` is called with the pad all RTP packets of the media leave through.
pub(super) fn pipeline(pipeline: &gst::Pipeline, rtp: impl Fn(&gst::Pad) + Send + Sync + 'static) {
    crate::media::share_clock(pipeline);
    let rtp = std::sync::Arc::new(rtp);
    pipeline.connect_deep_element_added(move |_, _, element| {
        match element.factory().map(|factory| factory.name()).as_deref() {
            Some("appsink" | "multiudpsink") => send_at_once(element),
            Some("queue") => isolate(element),
            Some("rtpbin") => {
                let rtp = std::sync::Arc::clone(&rtp);
                element.connect_pad_added(move |_, pad| {
                    if pad.name().starts_with("send_rtp_src") {
                        rtp(pad);
                    }
                });
            }
            _ => {}
        }
    });
}

/// A sink that follows the clock holds each packet back by the pipeline's latency, one frame. gst-rtsp-server turns
/// the clock on again at every PLAY, so it is turned off for as long as the sink lives.
fn send_at_once(sink: &gst::Element) {
    sink.set_property("sync", false);
    sink.connect_notify(Some("sync"), |sink, _| {
        if sink.property::<bool>("sync") {
            sink.set_property("sync", false);
        }
    });
}

/// The queues stand between the TCP and the UDP branch of a media that has both. As built they hold one buffer and
/// then block, so that TCP readers that stall stop the UDP readers too, for good. They are made to wait for nobody.
fn isolate(queue: &gst::Element) {
    queue.set_property_from_str("leaky", "downstream");
    queue.set_property("max-size-buffers", 0u32);
    queue.set_property("max-size-bytes", BRANCH_BYTES);
    queue.set_property("max-size-time", BRANCH);
}
