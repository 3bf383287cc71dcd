//! What is changed in the pipelines gst-rtsp-server builds around our elements.
//!
//! All of it answers to a measured fault of GStreamer 1.22; a hook on the pipeline is the only way to reach elements
//! that come and go with the readers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use gst::prelude::*;

use super::{Transport, lock};

/// How much of a stream waits for slow TCP readers while UDP readers go on, before the oldest falls out. More than
/// the time in which a stalled reader is found and disconnected, so a reader that catches up has lost nothing.
const BRANCH: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// The same in bytes.
const BRANCH_BYTES: u32 = 32 << 20;

/// What passes a pad of `rtpbin` or of a sink.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// RTP packets of all readers.
    RtpOut,
    /// Reports to whoever is at the other end.
    RtcpOut,
    /// RTP packets of a publisher.
    RtpIn,
    /// Reports of whoever is at the other end.
    RtcpIn,
    /// Packets for readers of one transport, RTP and RTCP.
    Sink(Transport),
}

/// How the names of these pads begin.
const DOORS: [(&str, Door); 4] = [
    ("send_rtp_src", Door::RtpOut),
    ("send_rtcp_src", Door::RtcpOut),
    ("recv_rtp_sink", Door::RtpIn),
    ("recv_rtcp_sink", Door::RtcpIn),
];

/// Changes the elements to come. `rtp` is called with each pad through which packets come or leave, and what it is;
/// `lost` with the number of RTP packets that fell out of a branch, and whose branch it is.
pub(super) fn pipeline(
    pipeline: &gst::Pipeline,
    rtp: impl Fn(Door, &gst::Pad) + Send + Sync + 'static,
    lost: impl Fn(Transport, u64) + Send + Sync + 'static,
) {
    crate::media::share_clock(pipeline);
    let (rtp, lost) = (Arc::new(rtp), Arc::new(lost));
    pipeline.connect_deep_element_added(move |_, _, element| {
        match element.factory().map(|factory| factory.name()).as_deref() {
            Some(sink @ ("appsink" | "multiudpsink")) => {
                send_at_once(element);
                let transport = if sink == "appsink" { Transport::Tcp } else { Transport::Udp };
                if let Some(pad) = element.static_pad("sink") {
                    rtp(Door::Sink(transport), &pad);
                }
            }
            Some("rtpulpfecdec") => hear_of_no_loss(element),
            Some("queue") => {
                isolate(element);
                let lost = Arc::clone(&lost);
                count(element, move |transport, packets| lost(transport, packets));
            }
            Some("rtpbin") => {
                let rtp = Arc::clone(&rtp);
                element.connect_pad_added(move |_, pad| {
                    let name = pad.name();
                    if let Some((_, door)) = DOORS.iter().find(|(start, _)| name.starts_with(start)) {
                        rtp(*door, pad);
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

/// The decoder of forward error correction (RFC 5109) is in every publisher's way, whether it corrects or not. Of packets
/// that are missing it is told by an event, at which it ends the process (`have_caps_ssrc`) if they came inside the RTSP
/// connection: caps have no SSRC there. Nothing is announced here that it could correct, so it is not told.
fn hear_of_no_loss(decoder: &gst::Element) {
    let Some(pad) = decoder.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        let is_loss = info.event().is_some_and(|event| event.has_name("GstRTPPacketLost"));
        if is_loss { gst::PadProbeReturn::Handled } else { gst::PadProbeReturn::Ok }
    });
}

/// What waits in a queue: what tells it apart, and how many packets it is.
type Waiting = Mutex<VecDeque<((usize, Option<gst::ClockTime>), u64)>>;

/// Tells how many RTP packets fall out of a queue: what comes out of it was in front of what did not.
fn count(queue: &gst::Element, lost: impl Fn(Transport, u64) + Send + Sync + 'static) {
    let (Some(sink), Some(src)) = (queue.static_pad("sink"), queue.static_pad("src")) else { return };
    let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    let waiting = Arc::new(Waiting::default());
    let own = Arc::clone(&waiting);
    sink.add_probe(packets, move |_, info| {
        lock(&own).extend(described(info));
        gst::PadProbeReturn::Ok
    });
    src.add_probe(packets, move |pad, info| {
        let mut fallen = 0;
        if let Some((out, _)) = described(info) {
            let mut waiting = lock(&waiting);
            while let Some((name, packets)) = waiting.pop_front()
                && name != out
            {
                fallen += packets;
            }
        }
        if fallen > 0 && is_rtp(pad) {
            let into = pad.peer().and_then(|peer| peer.parent_element()?.factory());
            let tcp = into.is_some_and(|factory| factory.name() == "appsink");
            lost(if tcp { Transport::Tcp } else { Transport::Udp }, fallen);
        }
        gst::PadProbeReturn::Ok
    });
}

fn described(info: &gst::PadProbeInfo) -> Option<((usize, Option<gst::ClockTime>), u64)> {
    match &info.data {
        Some(gst::PadProbeData::Buffer(packet)) => Some(((packet.as_ptr() as usize, packet.pts()), 1)),
        Some(gst::PadProbeData::BufferList(list)) => {
            let pts = list.get(0).and_then(gst::BufferRef::pts);
            Some(((list.as_ptr() as usize, pts), list.len() as u64))
        }
        _ => None,
    }
}

/// Waits until gst-rtsp-server has taken all that a sink for TCP holds. Called on the thread that brings it the next packet,
/// which would wait as long, and until the sink is stopped at most.
#[allow(unsafe_code, reason = "the bindings do not have the lock")]
pub(super) fn drain(pad: &gst::Pad) {
    let sink = pad.parent_element().filter(|sink| sink.is::<gst_app::AppSink>());
    let Some(sink) = sink.and_then(|sink| sink.downcast::<gst_app::gst_base::BaseSink>().ok()) else { return };
    let base: *mut gst_app::gst_base::ffi::GstBaseSink = sink.as_ptr();
    // A sink that is stopped while it waits gives this lock back and takes it again, as if it were given a packet.
    // SAFETY: the sink lives for as long as it is referenced here, and the lock is given back on this thread.
    unsafe { gst::glib::ffi::g_mutex_lock(&raw mut (*base).preroll_lock) };
    // Refused when it is stopped.
    let _ = pad.query(&mut gst::query::Drain::new());
    // SAFETY: as above.
    unsafe { gst::glib::ffi::g_mutex_unlock(&raw mut (*base).preroll_lock) };
}

/// Whether RTP packets pass, not RTCP.
pub(super) fn is_rtp(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps();
    caps.is_some_and(|caps| caps.structure(0).is_some_and(|packets| packets.name() == "application/x-rtp"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn packets_that_fall_out_of_a_full_queue_are_counted() {
        crate::media::init().unwrap();
        for (caps, counted) in [("application/x-rtp", true), ("application/x-rtcp", false)] {
            let line = format!(
                "appsrc name=packets format=time caps={caps} ! queue name=queue leaky=downstream max-size-buffers=6 \
                 max-size-time=0 ! appsink name=taken sync=false"
            );
            let pipeline = gst::parse::launch(&line).unwrap().downcast::<gst::Pipeline>().unwrap();
            let queue = pipeline.by_name("queue").unwrap();
            let fallen = Arc::new(AtomicU64::new(0));
            let told = Arc::clone(&fallen);
            count(&queue, move |transport, packets| {
                assert_eq!(transport, Transport::Tcp);
                told.fetch_add(packets, Ordering::Relaxed);
            });
            // Nobody takes anything until the source has nothing left and all has come by.
            let (shut, out) = (queue.static_pad("src").unwrap(), queue.static_pad("sink").unwrap());
            let block = shut
                .add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER_LIST, |_, _| gst::PadProbeReturn::Ok);
            let (ended, end) = std::sync::mpsc::channel();
            out.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if matches!(&info.data, Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos) {
                    let _ = ended.send(());
                }
                gst::PadProbeReturn::Ok
            });
            pipeline.set_state(gst::State::Playing).unwrap();
            let packets = pipeline.by_name("packets").unwrap().downcast::<gst_app::AppSrc>().unwrap();
            for frame in 0..10 {
                let list = (0..2).map(|_| {
                    let mut packet = gst::Buffer::with_size(20).unwrap();
                    packet.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(frame * 33));
                    packet
                });
                packets.push_buffer_list(list.collect::<gst::BufferList>()).unwrap();
            }
            packets.end_of_stream().unwrap();
            end.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
            shut.remove_probe(block.unwrap());
            let taken = pipeline.by_name("taken").unwrap().downcast::<gst_app::AppSink>().unwrap();
            let mut came = 0;
            while let Ok(sample) = taken.pull_sample() {
                came += sample.buffer_list().map_or(1, gst::BufferListRef::len) as u64;
            }
            pipeline.set_state(gst::State::Null).unwrap();
            let fallen = fallen.load(Ordering::Relaxed);
            assert!((1..20).contains(&came), "{caps}: {came}");
            assert_eq!(fallen, if counted { 20 - came } else { 0 }, "{caps}");
        }
    }
}
