//! Puts the RTP packets of a frame together, so that they are written to a reader at once.
//!
//! The H.264 payloader pushes each NAL unit by itself; a frame has several (delimiter, parameter sets, slices). With
//! many readers nearly all the time goes into writing to their sockets, and into waking them: three writes a frame
//! cost three times as much as one.

use std::sync::Mutex;

use gst::prelude::*;

use super::lock;

#[derive(Default)]
pub(super) struct Packets(Mutex<Frame>);

/// How much a frame is on its way.
#[derive(Clone, Copy)]
pub(super) struct Parcel {
    pub(super) packets: u64,
    /// Headers of RTP included.
    pub(super) bytes: u64,
}

#[derive(Default)]
struct Frame {
    packets: Vec<gst::Buffer>,
    /// What comes now comes from here.
    pushing: bool,
}

impl Packets {
    /// For a probe on the pad all packets leave through. Keeps them back until the frame is complete; the payloader has
    /// it all at hand, so that takes no time. `passes` says whether a frame may leave, by its timestamp in nanoseconds, and
    /// is told how much it is.
    pub(super) fn pass(
        &self,
        pad: &gst::Pad,
        info: &gst::PadProbeInfo,
        passes: impl Fn(u64, Parcel) -> bool,
    ) -> gst::PadProbeReturn {
        let mut frame = lock(&self.0);
        if frame.pushing {
            return gst::PadProbeReturn::Ok;
        }
        let complete = match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => frame.add(packet.clone()),
            Some(gst::PadProbeData::BufferList(list)) => list.iter_owned().fold(false, |_, packet| frame.add(packet)),
            _ => return gst::PadProbeReturn::Ok,
        };
        if complete {
            let packets = std::mem::take(&mut frame.packets);
            let pts = packets.first().and_then(|packet| packet.pts()).map_or(u64::MAX, gst::ClockTime::nseconds);
            let parcel = Parcel {
                packets: packets.len() as u64,
                bytes: packets.iter().map(|packet| packet.size() as u64).sum(),
            };
            frame.pushing = true;
            drop(frame);
            if passes(pts, parcel) {
                // Refused while the media is taken down, and then whoever pushed this is refused as well.
                let _ = pad.push_list(packets.into_iter().collect::<gst::BufferList>());
            }
            lock(&self.0).pushing = false;
        }
        gst::PadProbeReturn::Drop
    }
}

impl Frame {
    /// True if this is the last packet of a frame.
    fn add(&mut self, packet: gst::Buffer) -> bool {
        if self.packets.first().is_some_and(|first| first.pts() != packet.pts()) {
            // The end of the one before was lost.
            self.packets.clear();
        }
        let marked = is_marked(&packet);
        self.packets.push(packet);
        marked
    }
}

/// The timestamp of what passes a pad, in nanoseconds. `None`: it has none.
pub(super) fn shown(info: &gst::PadProbeInfo) -> Option<u64> {
    let first = match &info.data {
        Some(gst::PadProbeData::Buffer(packet)) => packet.pts(),
        Some(gst::PadProbeData::BufferList(list)) => list.get(0).and_then(gst::BufferRef::pts),
        _ => None,
    };
    first.map(gst::ClockTime::nseconds)
}

/// The marker bit (RFC 3550, 5.1), which H.264 and JPEG have on a frame's last packet.
fn is_marked(packet: &gst::BufferRef) -> bool {
    // The header has a memory of its own; mapping the whole packet would copy it.
    let header = (packet.n_memory() > 0).then(|| packet.peek_memory(0).map_readable());
    matches!(header, Some(Ok(header)) if header.get(1).is_some_and(|byte| byte & 0x80 != 0))
}
