//! What goes to a session and comes from it, counted: RTP packets, and the reports about them (RTCP; RFC 3550, 6).
//!
//! Many readers share one media, whose RTP session is one for all. Whose report it is, its address tells: GStreamer notes
//! it at each packet, also at those that come in the RTSP connection.
//!
//! Everything is counted where packets pass anyway, and read by whoever asks; nobody waits for anybody.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gst::{glib, prelude::*};
use gst_rtsp_server::gio;
use rtcp_types::{Compound, Packet, ReportBlock, RtcpParseError};

use super::{arrivals::Arrivals, lock, packets::Parcel};

/// Bytes of the fixed header of RTP (RFC 3550, 5.1).
const HEADER: usize = 12;

/// What a session was sent and what came from it since it was set up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes that it was sent: RTP packets with their headers, and RTCP packets.
    pub bytes_sent: u64,
    /// RTP packets that it was sent.
    pub packets_sent: u64,
    /// Of those the ones that it has reported lost (the cumulative number of its newest report; RFC 3550, 6.4.1).
    pub reported_lost: u64,
    /// RTP packets that were not sent because it, or others that read like it, did not take them in time.
    pub discarded: u64,
    /// RTCP packets that it was sent.
    pub reports_sent: u64,
    /// Bytes that came from it: RTP packets with their headers, and RTCP packets.
    pub bytes_received: u64,
    /// RTP packets that came from it.
    pub packets_received: u64,
    /// Those that did not arrive, as their numbers tell, and those that no pipeline took in time.
    pub lost: u64,
    /// Those that were no RTP.
    pub in_error: u64,
    /// How unevenly they came (RFC 3550, 6.4.1), in ticks of their clock; for video 90,000 a second.
    pub jitter: f64,
    /// RTCP packets that came from it.
    pub reports_received: u64,
    /// Those that were no RTCP.
    pub reports_in_error: u64,
}

/// Counts for a session.
#[derive(Default)]
pub(super) struct Meter {
    bytes_sent: AtomicU64,
    packets_sent: AtomicU64,
    reported_lost: AtomicU64,
    discarded: AtomicU64,
    reports_sent: AtomicU64,
    bytes_received: AtomicU64,
    packets_received: AtomicU64,
    arrivals: Mutex<Arrivals>,
    in_error: AtomicU64,
    /// The bits of an `f64`.
    jitter: AtomicU64,
    reports_received: AtomicU64,
    reports_in_error: AtomicU64,
    /// The RTP sessions that know how what comes in comes: an `rtpbin`, and the number of the session in it.
    receivers: Mutex<Vec<(glib::WeakRef<gst::Element>, u32)>>,
}

impl Meter {
    /// A frame goes out.
    pub(super) fn sent(&self, parcel: Parcel) {
        self.packets_sent.fetch_add(parcel.packets, Relaxed);
        self.bytes_sent.fetch_add(parcel.bytes, Relaxed);
    }

    /// Packets did not go out.
    pub(super) fn discarded(&self, packets: u64) {
        self.discarded.fetch_add(packets, Relaxed);
    }

    /// A report goes out.
    pub(super) fn reported(&self, report: &gst::BufferRef) {
        self.reports_sent.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(report.size() as u64, Relaxed);
    }

    /// A report came.
    pub(super) fn heard(&self, report: &gst::BufferRef) {
        self.bytes_received.fetch_add(report.size() as u64, Relaxed);
        let told = report.map_readable().ok().and_then(|report| read(&report).ok());
        let Some((packets, lost)) = told else {
            self.reports_in_error.fetch_add(1, Relaxed);
            return;
        };
        self.reports_received.fetch_add(packets, Relaxed);
        if let Some(lost) = lost {
            self.reported_lost.store(lost, Relaxed);
        }
    }

    /// How many reports have come, sound or not.
    pub(super) fn reports(&self) -> u64 {
        self.reports_received.load(Relaxed) + self.reports_in_error.load(Relaxed)
    }

    /// An RTP packet came.
    pub(super) fn received(&self, packet: &gst::BufferRef) {
        self.bytes_received.fetch_add(packet.size() as u64, Relaxed);
        let header = (packet.n_memory() > 0).then(|| packet.peek_memory(0).map_readable());
        let count = match header {
            Some(Ok(header)) if header.len() >= HEADER && header[0] >> 6 == 2 => {
                let sender = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
                lock(&self.arrivals).take(sender, u16::from_be_bytes([header[2], header[3]]));
                &self.packets_received
            }
            _ => &self.in_error,
        };
        count.fetch_add(1, Relaxed);
    }

    /// What comes in through this pad of an `rtpbin` is to be counted.
    pub(super) fn receive_at(self: &Arc<Self>, pad: &gst::Pad) {
        let name = pad.name();
        let number = name.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
        if let (Some(rtpbin), Some(number)) = (pad.parent_element(), number) {
            lock(&self.receivers).push((rtpbin.downgrade(), number));
        }
        let meter = Arc::clone(self);
        watch(pad, move |packet| meter.received(packet));
    }

    /// Asks how what comes in comes. Calls into GStreamer; for the server's thread, now and then.
    pub(super) fn look(&self) {
        let receivers: Vec<_> =
            lock(&self.receivers).iter().filter_map(|(rtpbin, number)| Some((rtpbin.upgrade()?, *number))).collect();
        let sources: Vec<_> = receivers.iter().flat_map(|(rtpbin, number)| senders(rtpbin, *number)).collect();
        if !sources.is_empty() {
            let jitter = sources.iter().sum::<f64>() / sources.len() as f64;
            self.jitter.store(jitter.to_bits(), Relaxed);
        }
    }

    /// What was counted.
    pub(super) fn read(&self) -> Traffic {
        Traffic {
            bytes_sent: self.bytes_sent.load(Relaxed),
            packets_sent: self.packets_sent.load(Relaxed),
            reported_lost: self.reported_lost.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            reports_sent: self.reports_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            packets_received: self.packets_received.load(Relaxed),
            lost: lock(&self.arrivals).lost(),
            in_error: self.in_error.load(Relaxed),
            jitter: f64::from_bits(self.jitter.load(Relaxed)),
            reports_received: self.reports_received.load(Relaxed),
            reports_in_error: self.reports_in_error.load(Relaxed),
        }
    }
}

/// How many packets a report consists of, and how many of ours it says are lost.
fn read(report: &[u8]) -> Result<(u64, Option<u64>), RtcpParseError> {
    let (mut packets, mut lost) = (0, None);
    for packet in Compound::parse(report)? {
        packets += 1;
        let mut count = |block: ReportBlock| lost = Some(lost.unwrap_or(0) + cumulative(&block));
        match packet? {
            Packet::Rr(report) => report.report_blocks().for_each(&mut count),
            Packet::Sr(report) => report.report_blocks().for_each(&mut count),
            _ => {}
        }
    }
    Ok((packets, lost))
}

/// 24 bits with a sign: below zero where more came than was sent, because some came twice.
fn cumulative(block: &ReportBlock) -> u64 {
    let lost = block.cumulative_lost();
    if lost < 1 << 23 { lost.into() } else { 0 }
}

/// The jitter of those who send in a session of an `rtpbin`.
fn senders(rtpbin: &gst::Element, number: u32) -> Vec<f64> {
    let session = rtpbin.emit_by_name::<Option<gst::Element>>("get-session", &[&number]);
    let Some(stats) = session.map(|session| session.property::<gst::Structure>("stats")) else { return Vec::new() };
    let Ok(sources) = stats.get::<glib::ValueArray>("source-stats") else { return Vec::new() };
    let sources = sources.iter().filter_map(|source| source.get::<gst::Structure>().ok());
    let remote = sources.filter(|source| {
        source.get::<bool>("internal") == Ok(false)
            && source.get::<u64>("packets-received").is_ok_and(|count| count > 0)
    });
    remote.map(|source| source.get::<u32>("jitter").unwrap_or_default().into()).collect()
}

/// Shows every buffer that passes a pad.
pub(super) fn watch(pad: &gst::Pad, seen: impl Fn(&gst::BufferRef) + Send + Sync + 'static) {
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => seen(buffer),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(&seen),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Where a packet came from.
pub(super) fn origin(packet: &gst::BufferRef) -> Option<SocketAddr> {
    let from = packet.meta::<gst_net::NetAddressMeta>()?.addr();
    from.downcast::<gio::InetSocketAddress>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use rtcp_types::{ReceiverReport, RtcpPacketWriter, RtcpPacketWriterExt, Sdes};

    use super::*;

    fn report(lost: &[u32]) -> Vec<u8> {
        let blocks = lost.iter().zip(1..).map(|(lost, ssrc)| ReportBlock::builder(ssrc).cumulative_lost(*lost));
        let report = blocks.fold(ReceiverReport::builder(9), |report, block| report.add_report_block(block));
        let compound = Compound::builder().add_packet(report).add_packet(Sdes::builder());
        let mut bytes = vec![0; compound.calculate_size().unwrap()];
        compound.write_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_report_says_what_is_lost() {
        assert_eq!(read(&report(&[])).unwrap(), (2, None));
        assert_eq!(read(&report(&[7])).unwrap(), (2, Some(7)));
        assert_eq!(read(&report(&[7, 5])).unwrap(), (2, Some(12)));
        assert_eq!(read(&report(&[0xff_fffe])).unwrap(), (2, Some(0)), "two came twice");
    }

    #[test]
    fn what_is_no_report_says_nothing() {
        let whole = report(&[7]);
        for length in 0..whole.len() {
            let told = read(&whole[..length]);
            assert!(told.is_err() || told.unwrap().0 < 2, "{length}");
        }
        assert!(read(&[0x40; 32]).is_err());
    }
}
