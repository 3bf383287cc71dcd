//! MPEG transport streams (ISO/IEC 13818-1), as far as durations and times go.
//!
//! A stream has no header that says how long it is: the first frame in front and the last ones at the end say when they
//! are decoded, on a clock that begins anew after 26.5 hours. Of a longer file what is told is short of that. When a
//! recording of ours began is to the microsecond in its first frame ([`Stamp`]). What is no packet is passed over: power
//! cuts leave half packets, and zeros behind them.

use std::{
    io::{self, Read, Seek},
    time::{Duration, SystemTime},
};

use super::{Film, Skim, or_end};
use crate::config::RecordingFormat;

/// Bytes of a packet.
pub(in crate::output) const PACKET: usize = 188;

/// Packets read at once.
pub(in crate::output) const AT_ONCE: u64 = 512;

/// Packets looked at in front of the first frame, and for what it says.
const IN_FRONT: u64 = AT_ONCE;

/// Packets looked at from the end: a frame and the one before it, each of several megabytes.
const AT_THE_END: u64 = 64 * AT_ONCE;

/// Where the clock of frames begins anew: 33 bits of a 90 kHz clock.
const WRAP: u64 = 1 << 33;

/// A packet.
pub(in crate::output) struct Packet<'a> {
    /// What it is part of.
    pub pid: u16,
    /// Whether a frame, or a table, begins with it.
    pub begins: bool,
    /// Whether it is filled up: then a frame ends with it, because what follows begins with a packet of its own.
    pub filled_up: bool,
    /// What is in it.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `None`: this is no packet, or none with anything in it.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[0x47, first, second, third], rest) = bytes.split_first_chunk()? else { return None };
        let (payload, filled_up) = match third >> 4 & 3 {
            1 => (rest, false),
            3 => {
                let (length, rest) = rest.split_first()?;
                let (field, payload) = rest.split_at_checked((*length).into())?;
                // Flags, and the two clocks that they say there are. Whatever else there may be is not taken for filling.
                let used = field.first().map_or(0, |flags| match flags & 0x07 {
                    0 => 1 + 6 * usize::from(flags >> 4 & 1) + 6 * usize::from(flags >> 3 & 1),
                    _ => field.len(),
                });
                (payload, field.is_empty() || field.len() > used)
            }
            _ => return None,
        };
        // The sender itself says where something went wrong.
        let is_sound = bytes.len() == PACKET && first & 0x80 == 0;
        let pid = u16::from_be_bytes([first & 0x1f, second]);
        is_sound.then_some(Self { pid, begins: first & 0x40 != 0, filled_up, payload })
    }

    /// The frame of video that begins with it: when it is decoded, and its first bytes. `None`: none begins, or it does
    /// not say.
    pub fn frame(&self) -> Option<(u64, &'a [u8])> {
        let &[0, 0, 1, 0xe0..=0xef, _, _, marker, flags, length, ref rest @ ..] = self.payload else { return None };
        let (header, data) = rest.split_at_checked(length.into())?;
        let time = match flags >> 6 {
            2 => header.first_chunk(),
            // When it is shown, and then when it is decoded.
            3 => header.get(5..)?.first_chunk(),
            _ => None,
        };
        let &[a, b, c, d, e] = time.filter(|_| self.begins && marker >> 6 == 2)?;
        let [a, b, c, d, e] = [a >> 1 & 7, b, c >> 1, d, e >> 1].map(u64::from);
        Some((a << 30 | b << 22 | c << 15 | d << 7 | e, data))
    }
}

/// The packets in `bytes`, as far as they are some.
pub(in crate::output) fn packets(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Option<Packet<'_>>> {
    bytes.chunks(PACKET).map(Packet::parse)
}

/// When a frame was captured, as it stands ahead of the frame's slices: a message of its own in H.264 (user data that is
/// not registered, ITU-T H.264, D.1.6) as the Motion Imagery Standards Board has it for time (ST 0604, ST 0603). Decoders
/// pass it over.
pub(in crate::output) struct Stamp;

impl Stamp {
    /// What it begins with: a NAL unit of messages, this message, its length, its name.
    const FRONT: &[u8; 19] = b"\x06\x05\x1cMISPmicrosectime";

    /// The NAL unit that says `captured`.
    pub fn write(captured: SystemTime) -> Vec<u8> {
        let since = captured.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        // Of a clock that nobody vouches for.
        let mut unit = [&[0, 0, 0, 1], &Self::FRONT[..], &[0x9f]].concat();
        for (place, pair) in micros.to_be_bytes().chunks(2).enumerate() {
            // No two zeros in a row that a start code could be taken for.
            unit.extend(if place == 0 { &[][..] } else { &[0xff] });
            unit.extend(pair);
        }
        unit.push(0x80);
        unit
    }

    /// The first that is in `data`.
    fn find(data: &[u8]) -> Option<SystemTime> {
        let place = data.windows(Self::FRONT.len()).position(|bytes| bytes == Self::FRONT)?;
        let &[_, a, b, _, c, d, _, e, f, _, g, h] = data.get(place + Self::FRONT.len()..)?.first_chunk()?;
        let micros = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        // In 2262 nanoseconds do not fit any more wherever times are kept.
        let nanos = micros.checked_mul(1000).filter(|nanos| i64::try_from(*nanos).is_ok())?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
    }
}

/// The first frame.
struct First {
    pid: u16,
    time: u64,
    created: Option<SystemTime>,
}

/// `None`: it is no transport stream. Error: the disk's.
pub(super) fn read<R: Read + Seek>(file: &mut Skim<R>) -> io::Result<Option<Film>> {
    let front = file.size().min(IN_FRONT * PACKET as u64);
    let Some(front) = or_end(file.up_to(front, front))? else { return Ok(None) };
    // One byte may be a 0x47 by chance.
    if packets(&front).take(2).any(|packet| packet.is_none()) {
        return Ok(None);
    }
    let mut film = Film { format: RecordingFormat::MpegTs, created: None, duration: None };
    if let Some(first) = First::find(&front) {
        film.created = first.created;
        film.duration = last(file, first.pid)?.map(|(last, before)| {
            let since = |time: u64| last.wrapping_sub(time) % WRAP;
            // The last frame lasts as long as the one before it. What is far away was not before it.
            let lasts = before.map(since).filter(|ticks| *ticks < WRAP / 2).unwrap_or_default();
            let ticks = since(first.time) + lasts;
            Duration::from_nanos(ticks * 100_000 / 9)
        });
    }
    Ok(Some(film))
}

impl First {
    fn find(front: &[u8]) -> Option<Self> {
        let mut packets = packets(front).flatten();
        let (pid, time, data) =
            packets.find_map(|packet| packet.frame().map(|(time, data)| (packet.pid, time, data)))?;
        let rest = packets.filter(|packet| packet.pid == pid).take_while(|packet| !packet.begins);
        let data: Vec<u8> = std::iter::once(data).chain(rest.map(|packet| packet.payload)).flatten().copied().collect();
        Some(Self { pid, time, created: Stamp::find(&data) })
    }
}

/// When the last frame is decoded, and the one before it.
fn last<R: Read + Seek>(file: &mut Skim<R>, pid: u16) -> io::Result<Option<(u64, Option<u64>)>> {
    let mut end = file.size() / PACKET as u64;
    let (least, mut last) = (end.saturating_sub(AT_THE_END), None);
    while end > least {
        let begin = end.saturating_sub(AT_ONCE);
        file.go_to(begin * PACKET as u64)?;
        let Some(bytes) = or_end(file.up_to(end * PACKET as u64, AT_ONCE * PACKET as u64))? else { break };
        for (time, _) in packets(&bytes).rev().flatten().filter(|packet| packet.pid == pid).filter_map(|it| it.frame())
        {
            match last {
                Some(last) => return Ok(Some((last, Some(time)))),
                None => last = Some(time),
            }
        }
        end = begin;
    }
    Ok(last.map(|last| (last, None)))
}
