//! The samples of several files in one time, and the pieces of what comes out.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use mp4_atom::{Codec, Stsd};

use super::{
    Container, Segment,
    movie::{self, Movie},
    tape::{Sample, Tape, Window, copy, ticks},
    timeline::follows,
};
use crate::{
    error::{Error, Result},
    output::storage::disk_error,
};

/// Bytes of frames that come out at once, if one frame does not have more.
const PIECE: usize = 1 << 20;
/// Frames of a film with its index in front: a day at 30 frames a second. Each costs memory while it is given out.
const MOST_FRAMES: usize = 2_600_000;

/// A frame in its file and in the film. Times are in ticks of the film.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    file: Arc<Origin>,
    at: u64,
    pub size: u32,
    pub dts: i64,
    pub shift: i64,
    pub duration: u32,
    pub key: bool,
}

/// A file that frames are in. It is open while they are taken out of it: a film may be of more files than a process may have
/// open.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    path: PathBuf,
    /// What tells it apart from another that takes its name: its device and its number there.
    identity: (u64, u64),
}

impl Origin {
    /// Opens it again. Error: it is not there any more.
    fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        match identity(&file.metadata()?) == self.identity {
            true => Ok(file),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// A film that is being given out. Blocks on the disk.
pub struct Film {
    container: Container,
    frames: Frames,
    /// What comes out before any more frames are looked at.
    head: Option<Vec<u8>>,
    /// Frames that have their place and did not come out yet.
    ready: VecDeque<Placed>,
    /// The file that frames were taken out of last.
    open: Option<(Arc<Origin>, File)>,
    fragments: u32,
}

impl Film {
    /// The film of these files, which are in order, from `start` on for `duration`. It begins at the key frame before
    /// that, and says so to players (an edit list, ISO/IEC 14496-12, 8.6.6), so that what is shown begins on the frame. It
    /// ends early where the files have a gap, or where the picture changes its size or coding.
    ///
    /// `None`: nothing was recorded then. Errors: the disk; a film with its index in front that is too long.
    pub fn open(
        segments: &[Segment],
        start: SystemTime,
        duration: Duration,
        container: Container,
    ) -> Result<Option<Self>> {
        let end = start.checked_add(duration).unwrap_or(start);
        let first = segments.iter().position(|segment| segment.end() > start && segment.began < end);
        let Some(first) = first else { return Ok(None) };
        let together = segments.windows(2).skip(first).take_while(|pair| follows(&pair[0], &pair[1])).count();
        let mut segments: VecDeque<Segment> = segments.iter().skip(first).take(together + 1).cloned().collect();
        let (tape, file, zero) = loop {
            let Some(segment) = segments.pop_front().filter(|segment| segment.began < end) else { return Ok(None) };
            if let Some((tape, file)) = read(&segment, start, end)? {
                break (tape, file, segment.began);
            }
        };
        let Some(key) = tape.samples.first().copied() else { return Ok(None) };
        let timescale = tape.timescale;
        // The film's time begins when its first frame is decoded.
        let before = since(zero, start, timescale) - (key.dts - tape.first);
        let movie = Movie {
            track: tape.track.clone(),
            timescale,
            from: before.max(key.shift).max(0).cast_unsigned(),
            lasts: ticks(duration, timescale).max(0).cast_unsigned(),
        };
        let frames = Frames {
            coding: coding(&tape),
            timescale,
            zero,
            from: key.dts - tape.first,
            start,
            end,
            segments,
            file,
            samples: VecDeque::new(),
            held: None,
        };
        let mut film = Self { container, frames, head: None, ready: VecDeque::new(), open: None, fragments: 0 };
        film.frames.take(&tape, zero);
        film.head = Some(match container {
            Container::Fragmented => movie.fragmented()?,
            Container::Plain => {
                film.ready = film.all_frames()?;
                movie.plain(film.ready.make_contiguous())?
            }
        });
        Ok(Some(film))
    }

    /// The next piece of it; `None`: it is over. Errors: the disk, a file that was taken away or shortened.
    pub fn piece(&mut self) -> Result<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head.into()));
        }
        let frames = match self.container {
            Container::Fragmented => self.next_second()?,
            Container::Plain => {
                let mut bytes = 0;
                let fits = self.ready.iter().take_while(|frame| {
                    bytes += frame.size as usize;
                    bytes <= PIECE
                });
                let count = fits.count().max(1).min(self.ready.len());
                self.ready.drain(..count).collect()
            }
        };
        if frames.is_empty() {
            return Ok(None);
        }
        let mut piece = match self.container {
            Container::Fragmented => {
                self.fragments += 1;
                movie::fragment(self.fragments, &frames)?
            }
            Container::Plain => Vec::new(),
        };
        for frame in &frames {
            self.copy(frame, &mut piece).map_err(|error| {
                Error::with_source(
                    crate::error::Kind::Dependency { dependency: "disk".into() },
                    "a recording cannot be read any more",
                    error,
                )
            })?;
        }
        Ok(Some(piece.into()))
    }

    fn copy(&mut self, frame: &Placed, to: &mut Vec<u8>) -> io::Result<()> {
        let file = match self.open.take().filter(|(origin, _)| Arc::ptr_eq(origin, &frame.file)) {
            Some((_, file)) => file,
            None => frame.file.open()?,
        };
        let (_, file) = self.open.insert((Arc::clone(&frame.file), file));
        copy(file, frame.at, frame.size, to)
    }

    /// Frames of a second, or of a piece.
    fn next_second(&mut self) -> Result<Vec<Placed>> {
        let (mut frames, mut bytes): (Vec<Placed>, usize) = (Vec::new(), 0);
        while let Some(next) = match self.ready.pop_front() {
            Some(frame) => Some(frame),
            None => self.frames.next()?,
        } {
            let second = frames.first().is_some_and(|first| next.dts - first.dts >= i64::from(self.frames.timescale));
            if second || (bytes + next.size as usize > PIECE && !frames.is_empty()) {
                self.ready.push_front(next);
                break;
            }
            bytes += next.size as usize;
            frames.push(next);
        }
        Ok(frames)
    }

    fn all_frames(&mut self) -> Result<VecDeque<Placed>> {
        let mut all = VecDeque::new();
        while let Some(frame) = self.frames.next()? {
            if all.len() >= MOST_FRAMES {
                let rule = format!("is more than {MOST_FRAMES} frames, too many for an index in front");
                return Err(Error::invalid_param("duration", rule, "ask for less, or for format=fmp4"));
            }
            all.push_back(frame);
        }
        Ok(all)
    }
}

/// The frames of the film, file by file.
struct Frames {
    coding: Stsd,
    timescale: u32,
    /// When the first file began; the film's first frame is decoded `from` ticks later.
    zero: SystemTime,
    from: i64,
    start: SystemTime,
    end: SystemTime,
    segments: VecDeque<Segment>,
    file: Arc<Origin>,
    samples: VecDeque<Sample>,
    /// The newest frame: how long it lasts is known when there is another.
    held: Option<Placed>,
}

impl Frames {
    fn next(&mut self) -> Result<Option<Placed>> {
        loop {
            let Some(sample) = self.samples.pop_front() else {
                match self.next_file()? {
                    true => continue,
                    false => return Ok(self.held.take()),
                }
            };
            let mut dts = sample.dts;
            if let Some(held) = &mut self.held {
                // Clocks are rounded: decoding goes on all the same.
                dts = dts.max(held.dts + 1);
                held.duration = u32::try_from(dts - held.dts).unwrap_or(u32::MAX);
            }
            let Sample { at, size, shift, duration, key, .. } = sample;
            let frame = Placed { file: Arc::clone(&self.file), at, size, dts, shift, duration, key };
            if let Some(held) = self.held.replace(frame) {
                return Ok(Some(held));
            }
        }
    }

    /// Goes on in the next file. False: there is none, or it cannot go on there.
    fn next_file(&mut self) -> Result<bool> {
        let Some(segment) = self.segments.pop_front().filter(|segment| segment.began < self.end) else {
            return Ok(false);
        };
        let Some((tape, file)) = read(&segment, self.start, self.end)? else { return Ok(false) };
        if coding(&tape) != self.coding || tape.timescale != self.timescale {
            self.segments.clear();
            return Ok(false);
        }
        self.file = file;
        self.take(&tape, segment.began);
        Ok(true)
    }

    /// Takes a file's frames, in the time of the film.
    fn take(&mut self, tape: &Tape, began: SystemTime) {
        let moved = since(self.zero, began, self.timescale) - self.from - tape.first;
        self.samples = tape.samples.iter().map(|sample| Sample { dts: sample.dts + moved, ..*sample }).collect();
    }
}

/// What a decoder must know before the first frame. Bit rates are another in every file.
fn coding(tape: &Tape) -> Stsd {
    let mut description = tape.track.mdia.minf.stbl.stsd.clone();
    for codec in &mut description.codecs {
        if let Codec::Avc1(avc) = codec {
            avc.btrt = None;
        }
    }
    description
}

/// What a file has of a time. `None`: nothing.
fn read(segment: &Segment, start: SystemTime, end: SystemTime) -> Result<Option<(Tape, Arc<Origin>)>> {
    let failed = |error| disk_error(&segment.path, "cannot be read", error);
    let file = File::open(&segment.path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    let after = |time: SystemTime| time.duration_since(segment.began).unwrap_or_default();
    let tape = Tape::read(&file, found.len(), Window { from: after(start), to: after(end) }).map_err(failed)?;
    let origin = || Arc::new(Origin { path: segment.path.clone(), identity: identity(&found) });
    Ok(tape.map(|tape| (tape, origin())))
}

/// From one moment to another in ticks; negative if it is earlier.
fn since(zero: SystemTime, time: SystemTime, timescale: u32) -> i64 {
    match time.duration_since(zero) {
        Ok(later) => ticks(later, timescale),
        Err(earlier) => -ticks(earlier.duration(), timescale),
    }
}
