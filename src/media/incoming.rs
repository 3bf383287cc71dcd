//! RTP packets that others send, on their way to the element that takes frames out of them: each gets the time at which what
//! is in it was made, and what that element would misunderstand is mended.
//!
//! Not here: how they come (`output::rtsp`, `rtspsrc`), where they go (`publication`, `pipeline`).

use std::time::Duration;

use rtp_types::RtpPacket;

use super::sender_clock::SenderClock;

/// Ticks a second of a video stream that does not say (RFC 6184, 8.2.1; RFC 2435, 3.1).
const VIDEO: u32 = 90_000;

/// The packets of a stream, in order.
#[derive(Debug, Default)]
pub struct Incoming {
    clock: SenderClock,
    slices: Slices,
}

impl Incoming {
    /// The next packet, of a stream with these caps. What is no RTP stays as it is.
    pub fn mend(&mut self, packet: &mut gst::BufferRef, caps: Option<&gst::CapsRef>) {
        let structure = caps.and_then(|caps| caps.structure(0));
        let rate = structure.and_then(|stream| stream.get::<i32>("clock-rate").ok());
        let rate = rate.and_then(|rate| u32::try_from(rate).ok()).filter(|rate| *rate > 0).unwrap_or(VIDEO);
        let is_h264 = structure.is_some_and(|stream| stream.get("encoding-name") == Ok("H264"));
        let Some((time, repeated)) = self.look(packet, rate, is_h264) else { return };
        packet.set_pts(gst::ClockTime::try_from(time).ok());
        packet.set_dts(gst::ClockTime::NONE);
        if !repeated.is_empty()
            && let Ok(mut bytes) = packet.map_writable()
        {
            repeated.into_iter().for_each(|unit| fill(&mut bytes[unit]));
        }
    }

    /// The time of a packet, and the NAL units in it that are better not there.
    fn look(&mut self, packet: &gst::BufferRef, rate: u32, is_h264: bool) -> Option<(Duration, Vec<Range>)> {
        let bytes = packet.map_readable().ok()?;
        let rtp = RtpPacket::parse(&bytes).ok()?;
        let stamp = rtp.timestamp();
        let time = self.clock.time(stamp, rate, super::now());
        let payload = rtp.payload_offset()..rtp.payload_offset() + rtp.payload_len();
        let repeated = if is_h264 { self.slices.repeated_sets(stamp, &bytes, payload) } else { Vec::new() };
        Some((time, repeated))
    }
}

type Range = std::ops::Range<usize>;

/// Which picture the slices that came last are of.
///
/// Parameter sets stand before the first slice of a picture (ITU-T H.264, 7.4.1.2.3). GStreamer's `rtph264pay
/// config-interval=-1` sends them before each slice of a key frame, and `x264enc tune=zerolatency` makes a slice for each
/// processor. `rtph264depay` takes them for the beginning of the next picture, and a key frame falls to pieces.
#[derive(Debug, Default)]
struct Slices {
    stamp: Option<u32>,
}

impl Slices {
    /// The parameter sets in this payload (RFC 6184, 5.4) that come after a slice of the same picture.
    fn repeated_sets(&mut self, stamp: u32, packet: &[u8], payload: Range) -> Vec<Range> {
        let mut repeated = Vec::new();
        for unit in units(packet, payload) {
            match packet.get(unit.start).map_or(0, |header| header & 0x1f) {
                // A slice, or parts of one (FU-A, FU-B); nothing else is long enough to be sent in parts.
                1..=5 | 28 | 29 => self.stamp = Some(stamp),
                7 | 8 if self.stamp == Some(stamp) => repeated.push(unit),
                _ => {}
            }
        }
        repeated
    }
}

/// The NAL units in a payload: several with their sizes in front (STAP-A), or one, of which it may be a part.
fn units(packet: &[u8], payload: Range) -> Vec<Range> {
    if packet.get(payload.start).is_none_or(|header| header & 0x1f != 24) {
        return vec![payload];
    }
    let (mut units, mut at) = (Vec::new(), payload.start + 1);
    while let Some(&[high, low]) = packet[..payload.end].get(at..at + 2) {
        let unit = at + 2..at + 2 + usize::from(u16::from_be_bytes([high, low]));
        if unit.end > payload.end || unit.is_empty() {
            break;
        }
        at = unit.end;
        units.push(unit);
    }
    units
}

/// Makes filler data of a NAL unit (ITU-T H.264, 7.3.2.7), which means nothing. Leaving out its packet would be a loss.
fn fill(unit: &mut [u8]) {
    unit.fill(0xff);
    if let [header, .., end] = unit {
        (*header, *end) = (12, 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stamp: u32, payload: &[u8]) -> gst::Buffer {
        gst::Buffer::from_mut_slice([&[0x80, 96, 0, 1][..], &stamp.to_be_bytes(), &[0; 4], payload].concat())
    }

    /// A stream with these payloads, each with the time that it was made: what becomes of them.
    fn mended(encoding: &str, packets: &[(u32, &[u8])]) -> Vec<Vec<u8>> {
        crate::media::init().unwrap();
        let caps = gst::Caps::builder("application/x-rtp").field("encoding-name", encoding).build();
        let mut incoming = Incoming::default();
        let mend = |(stamp, payload): &(u32, &[u8])| {
            let mut packet = packet(*stamp, payload);
            incoming.mend(packet.make_mut(), Some(&caps));
            packet.map_readable().unwrap()[12..].to_vec()
        };
        packets.iter().map(mend).collect()
    }

    #[test]
    fn parameter_sets_between_the_slices_of_a_picture_become_filler() {
        let filler = vec![12, 0xff, 0xff, 0x80];
        for slice in [&[0x65, 1, 2][..], &[0x7c, 0x85, 2], &[24, 0, 2, 0x68, 1, 0, 2, 0x65, 1]] {
            let set: &[u8] = &[0x67, 1, 2, 3];
            let packets = [(9, set), (9, slice), (9, set), (9, &[0x68, 1, 2, 3]), (9, slice), (12, set), (12, slice)];
            let mut expected: Vec<_> = packets.iter().map(|(_, payload)| payload.to_vec()).collect();
            (expected[2], expected[3]) = (filler.clone(), filler.clone());
            if slice[0] == 24 {
                expected[4] = vec![24, 0, 2, 12, 0x80, 0, 2, 0x65, 1];
            }
            assert_eq!(mended("H264", &packets), expected, "{slice:?}");
            assert_eq!(mended("JPEG", &packets), packets.map(|(_, payload)| payload.to_vec()), "{slice:?}");
        }
    }

    #[test]
    fn what_is_broken_stays_as_it_is() {
        for payload in [&[][..], &[24], &[24, 0], &[24, 0, 0], &[24, 0, 9, 0x67], &[24, 0xff, 0xff, 0x67, 1]] {
            assert_eq!(mended("H264", &[(9, &[0x65, 1]), (9, payload)])[1], payload);
        }
        let mut short = gst::Buffer::from_mut_slice([0x80; 11]);
        Incoming::default().mend(short.make_mut(), None);
        assert_eq!(short.pts(), None);
    }

    #[test]
    fn the_packets_of_a_picture_have_one_time() {
        crate::media::init().unwrap();
        let mut incoming = Incoming::default();
        let caps = gst::Caps::builder("application/x-rtp").field("clock-rate", 1000).build();
        let mut time = |stamp: u32| {
            let mut packet = packet(stamp, &[]);
            incoming.mend(packet.make_mut(), Some(&caps));
            packet.pts().unwrap()
        };
        let (first, again, later) = (time(5), time(5), time(1005));
        assert_eq!(first, again);
        assert!(later - first > gst::ClockTime::from_mseconds(900), "{first} {later}");
    }
}
