//! The samples of one file: where they are and when they are shown. Nothing of the pictures is read.

use std::{fs::File, io, time::Duration};

use mp4_atom::{Moof, Moov, Traf, Trak, Trex, TrunEntry};

use crate::output::storage::contents::{
    boxes::{LARGEST, MOST, body, decode, next},
    skim::Skim,
};

/// The largest index of a plain file that is read: that of a day at 60 frames a second.
const LARGEST_INDEX: u64 = 128 << 20;
/// The flag of a sample that is no key frame (ISO/IEC 14496-12, 8.8.3.1).
pub(super) const NO_KEY: u32 = 0x0001_0000;

/// A frame in its file. Times are in the track's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where it is in the file.
    pub at: u64,
    /// Its bytes.
    pub size: u32,
    /// When it is decoded.
    pub dts: i64,
    /// How long after that it is shown.
    pub shift: i64,
    /// When the next one is decoded, after this.
    pub duration: u32,
    /// Whether decoding can begin here.
    pub key: bool,
}

impl Sample {
    /// When it is shown.
    pub fn pts(&self) -> i64 {
        self.dts + self.shift
    }
}

/// The video of a file.
pub(super) struct Tape {
    /// What is said of the track, without its samples.
    pub track: Trak,
    /// Ticks a second.
    pub timescale: u32,
    /// When the first frame of the file is shown, in ticks.
    pub first: i64,
    /// The frames that are needed to show those that were asked for.
    pub samples: Vec<Sample>,
}

/// The time that is asked for, from the first frame of the file on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub from: Duration,
    pub to: Duration,
}

impl Tape {
    /// Reads what is needed of the first `size` bytes of a file to show the window. `None`: there is no video in it, or no
    /// frame of the window. Error: the disk's.
    pub fn read(file: &File, size: u64, window: Window) -> io::Result<Option<Self>> {
        let mut file = Skim::new(file, size);
        let mut reel: Option<Reel> = None;
        let mut fragment = None;
        for _ in 0..MOST {
            let at = file.at();
            let Some(found) = next(&mut file, size)? else { break };
            match &found.kind.as_ref()[..] {
                b"moov" => {
                    let limit = LARGEST_INDEX.max(LARGEST);
                    let Ok(body) = file.up_to(found.end, limit) else { break };
                    reel = decode::<Moov>(&body).and_then(|moov| Reel::new(moov, window));
                }
                b"moof" => fragment = body::<Moof, _>(&mut file, &found)?.map(|moof| (at, moof)),
                // What a fragment says counts when its frames are there too.
                b"mdat" => {
                    if let (Some((at, moof)), Some(reel)) = (fragment.take(), &mut reel) {
                        moof.traf.iter().for_each(|traf| reel.fragment(at, traf));
                        if reel.is_full() {
                            break;
                        }
                    }
                }
                _ => {}
            }
            file.go_to(found.end)?;
        }
        Ok(reel.and_then(Reel::tape))
    }
}

/// Collects the samples of the window.
struct Reel {
    track: Trak,
    extends: Trex,
    timescale: u32,
    window: Window,
    first: Option<i64>,
    /// When the next sample of the next fragment is decoded, if it does not say so.
    next: i64,
    samples: Vec<Sample>,
    full: bool,
}

impl Reel {
    /// The first video track of a movie, with the samples that the movie itself has.
    fn new(mut moov: Moov, window: Window) -> Option<Self> {
        let video = moov.trak.iter().position(|trak| &trak.mdia.hdlr.handler.as_ref()[..] == b"vide")?;
        let mut track = moov.trak.swap_remove(video);
        let id = track.tkhd.track_id;
        let extends = moov.mvex.into_iter().flat_map(|mvex| mvex.trex).find(|trex| trex.track_id == id);
        let timescale = Some(track.mdia.mdhd.timescale).filter(|scale| *scale > 0)?;
        let table = std::mem::take(&mut track.mdia.minf.stbl);
        track.mdia.minf.stbl.stsd = table.stsd.clone();
        let extends = extends.unwrap_or_default();
        let mut reel =
            Self { track, extends, timescale, window, first: None, next: 0, samples: Vec::new(), full: false };
        super::movie::samples(&table, |sample| reel.add(sample));
        Some(reel)
    }

    fn fragment(&mut self, at: u64, traf: &Traf) {
        if traf.tfhd.track_id != self.track.tkhd.track_id {
            return;
        }
        let header = &traf.tfhd;
        let duration = header.default_sample_duration.unwrap_or(self.extends.default_sample_duration);
        let size = header.default_sample_size.unwrap_or(self.extends.default_sample_size);
        let flags = header.default_sample_flags.unwrap_or(self.extends.default_sample_flags);
        let base = header.base_data_offset.unwrap_or(at);
        let mut dts = traf.tfdt.as_ref().map_or(self.next, |time| time.base_media_decode_time.cast_signed());
        let mut place = base;
        for run in &traf.trun {
            if let Some(offset) = run.data_offset {
                place = base.saturating_add_signed(offset.into());
            }
            for TrunEntry { duration: own, size: own_size, flags: own_flags, cts } in &run.samples {
                let sample = Sample {
                    at: place,
                    size: own_size.unwrap_or(size),
                    dts,
                    shift: cts.unwrap_or(0),
                    duration: own.unwrap_or(duration),
                    key: own_flags.unwrap_or(flags) & NO_KEY == 0,
                };
                place = place.saturating_add(sample.size.into());
                dts = dts.saturating_add(sample.duration.into());
                self.add(sample);
            }
        }
        self.next = dts;
    }

    /// Keeps a sample if the window needs it: from the last key frame before it on.
    fn add(&mut self, sample: Sample) {
        let first = *self.first.get_or_insert(sample.pts());
        if self.full {
            return;
        }
        let shown = sample.pts().saturating_sub(first);
        if sample.key && shown <= ticks(self.window.from, self.timescale) {
            self.samples.clear();
        }
        // Decoded later than the window ends, so shown later too, and so is all that follows.
        if sample.dts.saturating_sub(first) >= ticks(self.window.to, self.timescale) {
            self.full = true;
            return;
        }
        self.samples.push(sample);
    }

    fn is_full(&self) -> bool {
        self.full
    }

    fn tape(self) -> Option<Tape> {
        let begins = self.samples.iter().position(|sample| sample.key)?;
        let Self { track, timescale, first, mut samples, window, .. } = self;
        let first = first?;
        samples.drain(..begins);
        // All of it may be over before the window begins.
        let last = samples.iter().map(|sample| sample.pts() + i64::from(sample.duration)).max()?;
        (last - first > ticks(window.from, timescale)).then_some(Tape { track, timescale, first, samples })
    }
}

/// A time in ticks, rounded to the nearest.
pub(super) fn ticks(time: Duration, timescale: u32) -> i64 {
    let ticks = (time.as_nanos() * u128::from(timescale) + 500_000_000) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// Bytes of a file from a place on.
pub(super) fn copy(file: &File, at: u64, size: u32, to: &mut Vec<u8>) -> io::Result<()> {
    let start = to.len();
    to.resize(start + size as usize, 0);
    std::os::unix::fs::FileExt::read_exact_at(file, &mut to[start..], at)
}
