//! Matroska (RFC 9559), as far as durations go.
//!
//! A file that was closed names its duration, in front. One that was not has a zero there: then its clusters are stepped
//! over, and the blocks of the last one say how far it goes. Of each, only the few bytes in front are read. The crates
//! there are for this read every frame, or nothing of a file that was cut off.

use std::{
    io::{self, Read, Seek},
    time::{Duration, SystemTime},
};

use super::{Film, Skim, or_end};
use crate::config::RecordingFormat;

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
const DURATION: u32 = 0x4489;
const DATE: u32 = 0x4461;
const CLUSTER: u32 = 0x1F43_B675;
const TIMESTAMP: u32 = 0xE7;
const SIMPLE_BLOCK: u32 = 0xA3;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;

/// The largest `Info` that is taken into memory.
const LARGEST: u64 = 64 << 10;

/// Elements looked at in one file.
const MOST: usize = 2_000_000;

/// From 1970 to 2001, where Matroska begins to count, in seconds.
const FROM_1970: u64 = 978_307_200;

/// An element whose body the reader is at.
#[derive(Clone, Copy)]
struct Element {
    id: u32,
    /// Where it ends, if it says so.
    end: Option<u64>,
}

/// What `Info` has.
struct Info {
    scale: u64,
    duration: Option<Duration>,
    date: Option<SystemTime>,
}

/// The times of the blocks seen, in the segment's scale.
#[derive(Clone, Copy, Default)]
struct Times {
    cluster: u64,
    last: Option<u64>,
    gap: u64,
}

pub(super) fn read<R: Read + Seek>(file: &mut Skim<R>) -> io::Result<Film> {
    let mut info = Info { scale: 1_000_000, duration: None, date: None };
    let mut times = Times::default();
    // Where the body of the newest cluster that was stepped over is.
    let mut passed = None;
    for _ in 0..MOST {
        let Some(element) = next(file)? else { break };
        match (element.id, element.end) {
            // Its children come next.
            (SEGMENT | BLOCK_GROUP, _) => continue,
            (INFO, Some(end)) => match or_end(file.up_to(end, LARGEST))? {
                Some(body) => info = Info::parse(&body)?,
                None => break,
            },
            (CLUSTER, _) if info.duration.is_some() => break,
            (CLUSTER, Some(end)) if end < file.size() => passed = Some(file.at()),
            // Nobody knows where it ends.
            (CLUSTER, _) => continue,
            (TIMESTAMP | SIMPLE_BLOCK | BLOCK, Some(end)) => times.take(file, element.id, end)?,
            _ => {}
        }
        let Some(end) = element.end.filter(|end| *end <= file.size()) else { break };
        file.go_to(end)?;
    }
    if let (None, None, Some(body)) = (info.duration, times.last, passed) {
        file.go_to(body)?;
        times.take_all(file)?;
    }
    let duration = info.duration.or_else(|| times.duration(info.scale));
    Ok(Film { format: RecordingFormat::Mkv, created: info.date, duration })
}

/// The next element, and the reader at its body. `None`: the file ends, or goes on with what is none.
fn next<R: Read + Seek>(file: &mut Skim<R>) -> io::Result<Option<Element>> {
    let Some((id, 1..=4)) = number(file, false)? else { return Ok(None) };
    let Some((size, length)) = number(file, true)? else { return Ok(None) };
    let unknown = size == (1 << (7 * length)) - 1;
    let end = if unknown { None } else { file.at().checked_add(size) };
    Ok(if end.is_none() && !unknown { None } else { Some(Element { id: id as u32, end }) })
}

/// A number of variable length (RFC 8794, section 4) and its length in bytes; `plain` takes away the length's mark.
fn number<R: Read + Seek>(file: &mut Skim<R>, plain: bool) -> io::Result<Option<(u64, u32)>> {
    let mut bytes = [0; 8];
    if or_end(file.read_exact(&mut bytes[7..]))?.is_none() || bytes[7] == 0 {
        return Ok(None);
    }
    let first = bytes[7];
    let length = first.leading_zeros() + 1;
    bytes[7] = 0;
    let start = 8 - length as usize;
    bytes[start] = if plain { first ^ (0x80 >> (length - 1)) } else { first };
    let rest = or_end(file.read_exact(&mut bytes[start + 1..]))?;
    Ok(rest.map(|()| (u64::from_be_bytes(bytes), length)))
}

impl Info {
    fn parse(body: &[u8]) -> io::Result<Self> {
        let mut info = Self { scale: 1_000_000, duration: None, date: None };
        let mut ticks = 0.0;
        let mut children = Skim::new(io::Cursor::new(body), body.len() as u64);
        while let Some(Element { id, end: Some(end) }) = next(&mut children)? {
            let Some(value) = or_end(children.up_to(end, LARGEST))? else { break };
            match (id, value.len()) {
                (TIMESTAMP_SCALE, 1..=8) => info.scale = unsigned(&value),
                (DURATION, 4) => ticks = f64::from(f32::from_bits(unsigned(&value) as u32)),
                (DURATION, 8) => ticks = f64::from_bits(unsigned(&value)),
                (DATE, 8) => info.date = date(unsigned(&value).cast_signed()),
                _ => {}
            }
        }
        // Zero is what muxers write before they know.
        let seconds = ticks * info.scale as f64 / 1e9;
        info.duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
        Ok(info)
    }
}

impl Times {
    /// Looks at an element of a cluster, which counts if it is whole.
    fn take<R: Read + Seek>(&mut self, file: &mut Skim<R>, id: u32, end: u64) -> io::Result<()> {
        if end > file.size() {
            return Ok(());
        }
        if id == TIMESTAMP {
            self.cluster = or_end(file.up_to(end, 8))?.map_or(self.cluster, |value| unsigned(&value));
            return Ok(());
        }
        // Track, then the time since the cluster's.
        let mut since = [0; 2];
        if number(file, true)?.is_none() || or_end(file.read_exact(&mut since))?.is_none() {
            return Ok(());
        }
        let time = self.cluster.saturating_add_signed(i16::from_be_bytes(since).into());
        match self.last {
            Some(last) if time > last => (self.last, self.gap) = (Some(time), time - last),
            None => self.last = Some(time),
            Some(_) => {}
        }
        Ok(())
    }

    /// Looks at all that follows.
    fn take_all<R: Read + Seek>(&mut self, file: &mut Skim<R>) -> io::Result<()> {
        for _ in 0..MOST {
            let Some(Element { id, end: Some(end) }) = next(file)? else { break };
            match id {
                BLOCK_GROUP => continue,
                TIMESTAMP | SIMPLE_BLOCK | BLOCK => self.take(file, id, end)?,
                _ => {}
            }
            if end > file.size() {
                break;
            }
            file.go_to(end)?;
        }
        Ok(())
    }

    /// Up to the end of the last block, which lasts as long as the one before it.
    fn duration(self, scale: u64) -> Option<Duration> {
        let nanos = u128::from(self.last?.saturating_add(self.gap)) * u128::from(scale);
        let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
        Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Nanoseconds since 2001.
fn date(nanos: i64) -> Option<SystemTime> {
    let since = u64::try_from(nanos).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(FROM_1970))?.checked_add(Duration::from_nanos(since))
}
