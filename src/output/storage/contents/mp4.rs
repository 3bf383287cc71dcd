//! MP4 (ISO/IEC 14496-12), plain and in fragments.
//!
//! A plain file names its duration. One in fragments does not know it while it grows; it is the sum of what the
//! fragments (`moof`) say of themselves, and one counts when the `mdat` behind it is whole. What comes after the first box
//! that is not whole, or makes no sense, is not looked at: power cuts leave half boxes, and zeros behind them.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek},
    time::{Duration, SystemTime},
};

use mp4_atom::{Atom, Header, Mdat, Mdhd, Mdia, Moof, Moov, Mvex, Mvhd, ReadFrom, Tkhd, Traf, Trak, Trex, TrunSamples};

use super::{Film, Skim, or_end};
use crate::config::RecordingFormat;

/// The largest box that is taken into memory. A fragment of a second has some kilobytes.
const LARGEST: u64 = 4 << 20;

/// Boxes looked at in one file: ten days of one-second fragments. A file that has more is told about up to there.
const MOST: usize = 2_000_000;

/// From 1904, where MP4 begins to count, to 1970, in seconds.
const BEFORE_1970: u64 = 2_082_844_800;

/// A box that begins at the reader's place.
struct Found {
    kind: mp4_atom::FourCC,
    end: u64,
}

/// The movie's header.
#[derive(Default)]
struct Movie {
    created: Option<SystemTime>,
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

/// The next box that is whole before `end`, and the reader at its body. `None`: there is none.
fn next<R: Read + Seek>(file: &mut Skim<R>, end: u64) -> io::Result<Option<Found>> {
    if end.saturating_sub(file.at()) < 8 {
        return Ok(None);
    }
    let header = match Header::read_from(file) {
        Ok(header) => header,
        Err(mp4_atom::Error::Io(error)) => return or_end(Err(error)),
        Err(_) => return Ok(None),
    };
    // A box without a size goes on to the end of the file: it is not whole before that is closed.
    let Some(size) = header.size else { return Ok(None) };
    let own_end = file.at().checked_add(size as u64).filter(|own| *own <= end);
    Ok(own_end.map(|end| Found { kind: header.kind, end }))
}

/// Calls `look` with the reader at the body of each box up to `end`.
fn each<R: Read + Seek>(
    file: &mut Skim<R>,
    end: u64,
    mut look: impl FnMut(&mut Skim<R>, &Found) -> io::Result<()>,
) -> io::Result<()> {
    for _ in 0..MOST {
        let Some(found) = next(file, end)? else { break };
        look(file, &found)?;
        file.go_to(found.end)?;
    }
    Ok(())
}

fn decode<T: Atom>(body: &[u8]) -> Option<T> {
    T::decode_body(&mut &body[..]).ok()
}

/// The box whose body is next, if it is one that makes sense.
fn body<T: Atom, R: Read + Seek>(file: &mut Skim<R>, found: &Found) -> io::Result<Option<T>> {
    Ok(or_end(file.up_to(found.end, LARGEST))?.and_then(|body| decode(&body)))
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
        Film { format, created: self.created, duration }
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

/// Zero is what muxers write that have no clock.
fn created(since_1904: u64) -> Option<SystemTime> {
    let since_1970 = since_1904.checked_sub(BEFORE_1970)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_1970)).filter(|_| since_1970 < 1 << 34)
}
