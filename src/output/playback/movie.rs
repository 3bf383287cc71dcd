//! The boxes of a film (ISO/IEC 14496-12): one video track, with its index in front or in fragments.

use mp4_atom::{
    Co64, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Mfhd, Moof, Moov, Mvex, Mvhd, Stbl, Stsc,
    StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry, Tfdt, Tfhd, Traf, Trak, Trex, Trun, TrunEntry,
};

use super::{
    film::Placed,
    tape::{NO_KEY, Sample},
};
use crate::error::{Error, Result};

/// The one track that comes out.
const TRACK: u32 = 1;
/// A key frame depends on no other sample (8.6.4).
const KEY: u32 = 0x0200_0000;
/// Any other frame does.
const DEPENDS: u32 = 0x0100_0000 | NO_KEY;

/// What a film is made of, in front of its frames.
pub(super) struct Movie {
    /// The track of the first file, without samples.
    pub track: Trak,
    /// Ticks a second, of the track and of the movie.
    pub timescale: u32,
    /// What is shown of the frames, in ticks: from here on...
    pub from: u64,
    /// ... and so long; 0: to the end.
    pub lasts: u64,
}

/// Calls `take` with each sample that a movie's own tables have; none for one in fragments.
pub(super) fn samples(table: &Stbl, mut take: impl FnMut(Sample)) {
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(chunks), _) => chunks.entries.iter().copied().map(u64::from).collect(),
        (None, Some(chunks)) => chunks.entries.clone(),
        (None, None) => return,
    };
    let size = |index: usize| match &table.stsz.samples {
        StszSamples::Identical { count, size } => (index < *count as usize).then_some(*size),
        StszSamples::Different { sizes } => sizes.get(index).copied(),
    };
    let mut durations = runs(table.stts.entries.iter().map(|entry| (entry.sample_count, entry.sample_delta)));
    let shifts = table.ctts.iter().flat_map(|shifts| &shifts.entries);
    let mut shifts = runs(shifts.map(|entry| (entry.sample_count, entry.sample_offset)));
    let (mut index, mut dts) = (0, 0);
    for (chunk, mut at) in chunks.into_iter().enumerate() {
        // The last entry that begins at this chunk or before it; chunks are counted from one.
        let entry = table.stsc.entries.partition_point(|entry| entry.first_chunk as usize <= chunk + 1);
        let Some(entry) = entry.checked_sub(1).and_then(|entry| table.stsc.entries.get(entry)) else { return };
        for _ in 0..entry.samples_per_chunk {
            let (Some(size), Some(duration)) = (size(index), durations.next()) else { return };
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let key = table.stss.as_ref().is_none_or(|keys| keys.entries.binary_search(&number).is_ok());
            take(Sample { at, size, dts, shift: shifts.next().unwrap_or(0), duration, key });
            at = at.saturating_add(size.into());
            dts = dts.saturating_add(duration.into());
            index += 1;
        }
    }
}

fn runs<T: Copy>(entries: impl Iterator<Item = (u32, T)>) -> impl Iterator<Item = T> {
    entries.flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
}

impl Movie {
    /// What comes before the fragments.
    pub fn fragmented(self) -> Result<Vec<u8>> {
        let brands = [b"iso6", b"iso5", b"mp41", b"cmfc"].map(FourCC::new).to_vec();
        let ftyp = Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands: brands };
        let trex = Trex { track_id: TRACK, default_sample_description_index: 1, ..Trex::default() };
        let mvex = Mvex { mehd: None, trex: vec![trex] };
        let moov = Moov { mvex: Some(mvex), ..self.moov(0) };
        boxes(&ftyp, &moov)
    }

    /// What comes before the frames of a plain file, the header of their box included.
    pub fn plain(mut self, samples: &[Placed]) -> Result<Vec<u8>> {
        let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec();
        let ftyp = Ftyp { major_brand: FourCC::new(b"isom"), minor_version: 512, compatible_brands: brands };
        // Decoding may be over before showing is.
        let ends = samples.iter().map(|sample| sample.dts + sample.shift + i64::from(sample.duration));
        let lasts = ends.max().unwrap_or(0).max(0).cast_unsigned();
        let data: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        self.track.mdia.minf.stbl = table(std::mem::take(&mut self.track.mdia.minf.stbl), samples);
        let mut moov = self.moov(lasts);
        // Where the frames are depends on how long their list is, which does not depend on what is in it.
        let length = boxes(&ftyp, &moov)?.len() as u64 + LARGE_HEADER;
        let mut at = length;
        let places = samples.iter().map(|sample| {
            let place = at;
            at += u64::from(sample.size);
            place
        });
        let places = Co64 { entries: places.collect() };
        for track in &mut moov.trak {
            track.mdia.minf.stbl.co64 = Some(places.clone());
        }
        let mut bytes = boxes(&ftyp, &moov)?;
        bytes.extend(1u32.to_be_bytes());
        bytes.extend(b"mdat");
        bytes.extend((data + LARGE_HEADER).to_be_bytes());
        Ok(bytes)
    }

    fn moov(self, lasts: u64) -> Moov {
        let Self { mut track, timescale, from, lasts: shown } = self;
        let shown = match (shown, lasts) {
            // Nobody knows yet how long it will be.
            (_, 0) => 0,
            (0, lasts) => lasts.saturating_sub(from),
            (shown, lasts) => shown.min(lasts.saturating_sub(from)),
        };
        let edit = ElstEntry { segment_duration: shown, media_time: Some(from), media_rate: 1.into() };
        track.edts = Some(Edts { elst: Some(Elst { entries: vec![edit] }) });
        (track.tkhd.track_id, track.tkhd.duration, track.tkhd.enabled) = (TRACK, shown, true);
        track.mdia.mdhd.duration = lasts;
        let mvhd = Mvhd { timescale, duration: shown, next_track_id: TRACK + 1, ..Mvhd::default() };
        Moov { mvhd, trak: vec![track], ..Moov::default() }
    }
}

/// The header of a box that may be larger than 4 GiB.
const LARGE_HEADER: u64 = 16;

/// Samples in a plain file's own words. Each is a chunk of its own: the list is longer, and nothing can go wrong with it.
fn table(before: Stbl, samples: &[Placed]) -> Stbl {
    let mut durations: Vec<SttsEntry> = Vec::new();
    let mut shifts: Vec<CttsEntry> = Vec::new();
    for sample in samples {
        match durations.last_mut().filter(|run| run.sample_delta == sample.duration) {
            Some(run) => run.sample_count += 1,
            None => durations.push(SttsEntry { sample_count: 1, sample_delta: sample.duration }),
        }
        match shifts.last_mut().filter(|run| run.sample_offset == sample.shift) {
            Some(run) => run.sample_count += 1,
            None => shifts.push(CttsEntry { sample_count: 1, sample_offset: sample.shift }),
        }
    }
    let keys = samples.iter().zip(1..).filter(|(sample, _)| sample.key).map(|(_, number)| number);
    let chunk = StscEntry { first_chunk: 1, samples_per_chunk: 1, sample_description_index: 1 };
    Stbl {
        stsd: before.stsd,
        stts: Stts { entries: durations },
        ctts: shifts.iter().any(|run| run.sample_offset != 0).then_some(Ctts { entries: shifts }),
        stss: Some(Stss { entries: keys.collect() }),
        stsc: Stsc { entries: vec![chunk] },
        stsz: Stsz { samples: StszSamples::Different { sizes: samples.iter().map(|sample| sample.size).collect() } },
        co64: Some(Co64 { entries: vec![0; samples.len()] }),
        ..Stbl::default()
    }
}

/// A fragment up to its frames, the header of their box included.
pub(super) fn fragment(number: u32, samples: &[Placed]) -> Result<Vec<u8>> {
    let entries = samples.iter().map(|sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.size),
        flags: Some(if sample.key { KEY } else { DEPENDS }),
        cts: Some(sample.shift),
    });
    let begins = samples.first().map_or(0, |first| first.dts.max(0).cast_unsigned());
    let run = Trun { data_offset: Some(0), samples: entries.collect::<Vec<_>>().into() };
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: number },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: begins }),
            trun: vec![run],
            ..Traf::default()
        }],
    };
    let length = bytes(&moof)?.len();
    let data: usize = samples.iter().map(|sample| sample.size as usize).sum();
    let too_large = || Error::internal("a fragment has more than 2 GiB");
    for run in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
        run.data_offset = Some(i32::try_from(length + 8).map_err(|_| too_large())?);
    }
    let mut bytes = bytes(&moof)?;
    bytes.extend(u32::try_from(data + 8).map_err(|_| too_large())?.to_be_bytes());
    bytes.extend(b"mdat");
    Ok(bytes)
}

fn boxes(ftyp: &Ftyp, moov: &Moov) -> Result<Vec<u8>> {
    let mut all = bytes(ftyp)?;
    all.extend(bytes(moov)?);
    Ok(all)
}

fn bytes(atom: &impl Encode) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes).map_err(|error| Error::internal(format!("a film cannot be written: {error}")))?;
    Ok(bytes)
}
