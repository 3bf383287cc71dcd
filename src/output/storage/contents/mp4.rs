//! MP4 (ISO/IEC 14496-12), plain and in fragments.
//!
//! When a recording of ours begins is to the frame in its first `prft` box, or in its comment where it is plain (see the
//! recorder's muxer). Other files have the second in which they were made.
//!
//! A plain file names its duration. One in fragments does not know it while it grows; it is the sum of what the
//! fragments (`moof`) say of themselves, and one counts when the `mdat` behind it is whole. What comes after the first box
//! that is not whole, or makes no sense, is not looked at: power cuts leave half boxes, and zeros behind them.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek},
    time::{Duration, SystemTime},
};

use mp4_atom::{Atom, FourCC, Mdat, Mdhd, Mdia, Moof, Moov, Mvex, Mvhd, Prft, Tkhd, Traf, Trak, Trex, TrunSamples};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Film,
    boxes::{LARGEST, MOST, body, decode, each, next},
    or_end,
    skim::Skim,
};
use crate::config::RecordingFormat;

/// What is inside the user data of a movie and leads to its comment (iTunes metadata, as all players read it).
const USER_DATA: FourCC = FourCC::new(b"udta");
const META: FourCC = FourCC::new(b"meta");
const ITEMS: FourCC = FourCC::new(b"ilst");
const COMMENT: FourCC = FourCC::new(b"\xa9cmt");

/// From 1900, where NTP begins to count, to 1970, in seconds.
const NTP_BEFORE_1970: u64 = 2_208_988_800;

/// From 1904, where MP4 begins to count, to 1970, in seconds.
const BEFORE_1970: u64 = 2_082_844_800;

/// The movie's header.
#[derive(Default)]
struct Movie {
    created: Option<SystemTime>,
    /// When its first frame was captured.
    begun: Option<SystemTime>,
    duration: Option<Duration>,
    fragmented: bool,
    tracks: BTreeMap<u32, Track>,
}

/// A track, and how far it is known. Times are in its timescale.
#[derive(Default)]
struct Track {
    timescale: u32,
    default_duration: u32,
    span: Option<(u64, u64)>,
}

pub(super) fn read<R: Read + Seek>(file: &mut Skim<R>) -> io::Result<Film> {
    let mut movie = Movie::default();
    let mut fragment = None;
    for _ in 0..MOST {
        let Some(found) = next(file, file.size())? else { break };
        match found.kind {
            Moov::KIND => movie = read_movie(file, found.end)?,
            Prft::KIND if movie.begun.is_none() => {
                movie.begun = body::<Prft, _>(file, &found)?.and_then(|clock| of_ntp(clock.ntp_timestamp));
            }
            Moof::KIND => match or_end(file.up_to(found.end, LARGEST))?.and_then(|body| decode::<Moof>(&body)) {
                Some(moof) => fragment = Some(moof),
                None => break,
            },
            Mdat::KIND => {
                if let Some(moof) = fragment.take() {
                    moof.traf.iter().for_each(|traf| movie.take(traf));
                }
            }
            _ => {}
        }
        file.go_to(found.end)?;
    }
    Ok(movie.film())
}

fn read_movie<R: Read + Seek>(file: &mut Skim<R>, end: u64) -> io::Result<Movie> {
    let mut movie = Movie::default();
    let mut defaults = Vec::new();
    each(file, end, |file, found| {
        match found.kind {
            Mvhd::KIND => {
                if let Some(mvhd) = body::<Mvhd, _>(file, found)? {
                    movie.created = created(mvhd.creation_time);
                    movie.duration = time(mvhd.duration, mvhd.timescale);
                }
            }
            Trak::KIND => {
                let (id, track) = read_track(file, found.end)?;
                movie.tracks.insert(id, track);
            }
            Mvex::KIND => {
                movie.fragmented = true;
                each(file, found.end, |file, found| {
                    if found.kind == Trex::KIND {
                        defaults.extend(body::<Trex, _>(file, found)?);
                    }
                    Ok(())
                })?;
            }
            USER_DATA => {
                movie.begun = read_comment(file, found.end, &[META, ITEMS, COMMENT])?.as_deref().and_then(of_text)
            }
            _ => {}
        }
        Ok(())
    })?;
    for trex in defaults {
        if let Some(track) = movie.tracks.get_mut(&trex.track_id) {
            track.default_duration = trex.default_sample_duration;
        }
    }
    Ok(movie)
}

fn read_track<R: Read + Seek>(file: &mut Skim<R>, end: u64) -> io::Result<(u32, Track)> {
    let (mut id, mut track) = (0, Track::default());
    each(file, end, |file, found| {
        match found.kind {
            Tkhd::KIND => id = body::<Tkhd, _>(file, found)?.map_or(0, |tkhd| tkhd.track_id),
            Mdia::KIND => each(file, found.end, |file, found| {
                if found.kind == Mdhd::KIND {
                    track.timescale = body::<Mdhd, _>(file, found)?.map_or(0, |mdhd| mdhd.timescale);
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, track))
}

/// The comment in a movie's user data, which is at the end of `way`.
fn read_comment<R: Read + Seek>(file: &mut Skim<R>, end: u64, way: &[FourCC]) -> io::Result<Option<String>> {
    let Some((kind, further)) = way.split_first() else {
        // One box, `data`: its header, the kind of value and the locale, 16 bytes together; then the text.
        let value = or_end(file.up_to(end, 1024))?.unwrap_or_default();
        return Ok(value.get(16..).and_then(|text| String::from_utf8(text.to_vec()).ok()));
    };
    let mut comment = None;
    each(file, end, |file, found| {
        if found.kind == *kind {
            // Version and flags come before what is in it.
            let skipped = if found.kind == META { 4 } else { 0 };
            file.go_to(file.at() + skipped)?;
            comment = read_comment(file, found.end, further)?;
        }
        Ok(())
    })?;
    Ok(comment)
}

impl Movie {
    /// Adds what a fragment has of one track.
    fn take(&mut self, traf: &Traf) {
        let Some(track) = self.tracks.get_mut(&traf.tfhd.track_id) else { return };
        let default = traf.tfhd.default_sample_duration.unwrap_or(track.default_duration);
        let lasts: u64 = traf.trun.iter().map(|run| lasts(&run.samples, default)).fold(0, u64::saturating_add);
        let known = track.span.map_or(0, |(_, end)| end);
        let start = traf.tfdt.as_ref().map_or(known, |tfdt| tfdt.base_media_decode_time);
        let (first, end) = track.span.unwrap_or((start, start));
        track.span = Some((first.min(start), end.max(start.saturating_add(lasts))));
    }

    fn film(self) -> Film {
        let longest = self.tracks.values().filter_map(|track| {
            let (first, end) = track.span?;
            time(end - first, track.timescale)
        });
        let (format, duration) = match self.fragmented {
            true => (RecordingFormat::Fmp4, longest.max()),
            false => (RecordingFormat::Mp4, self.duration),
        };
        Film { format, created: self.begun.or(self.created), duration }
    }
}

/// How long the samples of a run last together.
fn lasts(samples: &TrunSamples, default: u32) -> u64 {
    match samples {
        TrunSamples::Inherited { count, .. } => u64::from(*count) * u64::from(default),
        TrunSamples::Explicit(samples) => {
            samples.iter().map(|sample| u64::from(sample.duration.unwrap_or(default))).fold(0, u64::saturating_add)
        }
    }
}

fn time(ticks: u64, timescale: u32) -> Option<Duration> {
    let scale = u64::from(timescale);
    let seconds = ticks.checked_div(scale)?;
    // Below 10^9, because the remainder is below the scale.
    let nanos = u128::from(ticks % scale) * 1_000_000_000 / u128::from(scale);
    Some(Duration::new(seconds, nanos as u32))
}

fn of_ntp(time: u64) -> Option<SystemTime> {
    let seconds = (time >> 32).checked_sub(NTP_BEFORE_1970)?;
    let nanos = ((time & 0xffff_ffff) * 1_000_000_000) >> 32;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos as u32))
}

fn of_text(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// Zero is what muxers write that have no clock.
fn created(since_1904: u64) -> Option<SystemTime> {
    let since_1970 = since_1904.checked_sub(BEFORE_1970)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_1970)).filter(|_| since_1970 < 1 << 34)
}
