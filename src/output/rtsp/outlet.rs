//! What leaves one media and what comes back: through the gate, to the readers of each transport, counted.

use std::sync::{Arc, atomic::Ordering};

use gst::prelude::*;

use super::{
    Transport,
    feed::Feed,
    packets::{self, Packets, Parcel},
    reader::Reader,
    traffic,
    tune::{self, Door},
};

impl Feed {
    /// Lets its packets through the gate, and counts what goes out and comes in.
    pub(super) fn follow_packets(self: &Arc<Self>, pipeline: &gst::Pipeline) {
        let (weak, own) = (Arc::downgrade(self), Arc::downgrade(self));
        let doors = move |door, pad: &gst::Pad| {
            let weak = weak.clone();
            match door {
                Door::RtpOut => {
                    let frame = Packets::default();
                    let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
                    pad.add_probe(packets, move |pad, info| {
                        frame.pass(pad, info, |pts, parcel| weak.upgrade().is_some_and(|feed| feed.passes(pts, parcel)))
                    });
                }
                Door::RtcpOut => traffic::watch(pad, move |report| {
                    if let Some(feed) = weak.upgrade() {
                        feed.playing()
                            .filter(|reader| !reader.listens())
                            .for_each(|reader| reader.meter.reported(report));
                    }
                }),
                Door::RtcpIn => traffic::watch(pad, move |report| {
                    if let Some(feed) = weak.upgrade() {
                        feed.hear(report);
                    }
                }),
                Door::Sink(transport) => {
                    let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
                    pad.add_probe(packets, move |pad, info| match (tune::is_rtp(pad), packets::shown(info)) {
                        (true, Some(pts)) if !weak.upgrade().is_some_and(|feed| feed.arrives(transport, pts, pad)) => {
                            // Not `Drop`: GStreamer frees once more what is dropped at a sink, and complains.
                            gst::PadProbeReturn::Handled
                        }
                        _ => gst::PadProbeReturn::Ok,
                    });
                }
                Door::RtpIn => {}
            }
        };
        tune::pipeline(pipeline, doors, move |transport, packets| {
            if let Some(feed) = own.upgrade() {
                let of_it = feed.playing().filter(|reader| reader.info.transport == transport);
                of_it.for_each(|reader| reader.meter.discarded(packets));
            }
        });
    }

    /// A report came, of one of the readers.
    fn hear(&self, report: &gst::BufferRef) {
        let readers = self.readers();
        let Some(from) = traffic::origin(report) else { return };
        // On one machine may be who has named its ports and who has not.
        let whose = readers.iter().filter(|reader| reader.end.is_at(from)).max_by_key(|reader| reader.end.is_exact());
        if let Some(reader) = whose {
            reader.meter.heard(report);
        }
    }

    /// Whether a frame may leave the media; called by the thread that carries its packets.
    fn passes(&self, pts: u64, parcel: Parcel) -> bool {
        let passes = self.gate.pass(pts);
        if passes {
            // What waits for this frame gets it, further down.
            let awaiting = self.gate.awaiting(pts);
            let gets = |reader: &Arc<Reader>| {
                !reader.is_held() || awaiting.iter().any(|awaiting| Arc::ptr_eq(awaiting, reader))
            };
            let mut to_group = false;
            for reader in self.readers().into_iter().filter(gets) {
                if !reader.listens() {
                    reader.meter.sent(parcel);
                } else if std::mem::replace(&mut to_group, true) {
                    continue;
                }
                self.mount.sent.packet_bytes.fetch_add(parcel.bytes, Ordering::Relaxed);
            }
        }
        passes
    }

    /// Whether a frame may go to the readers of a transport; called by the thread that carries their packets.
    fn arrives(&self, transport: Transport, pts: u64, pad: &gst::Pad) -> bool {
        let in_time = self.gate.arrive(transport, pts, |reader| {
            // What the sink holds is older.
            tune::drain(pad);
            if let (Some(session), Some(state)) = (reader.release(), self.state.upgrade()) {
                // If this is the last reference, dropping it takes the media down, which waits for this very thread.
                state.later(move || drop(session));
            }
        });
        if !in_time {
            self.stream.request_key_frame();
        }
        // Without a reader it would wait in the sink, and be the first thing that the next one gets.
        transport != Transport::Tcp || self.playing().any(|reader| reader.info.transport == transport)
    }
}
