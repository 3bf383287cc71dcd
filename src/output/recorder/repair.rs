//! Making the best of a recording that was cut off: by a crash, a power cut, a full disk.
//!
//! MP4, which is in fragments while it grows, loses what follows its last whole fragment: half a fragment, or the zeros
//! that a power cut leaves; MPEG-TS loses what follows its last whole frame. Matroska is written anew, with the duration and
//! the index that it got no more. What cannot be repaired stays as it is.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, SystemTime},
};

use gst::prelude::*;
use mp4_atom::{Atom, FourCC, Header, Mdat, Moov, ReadFrom};

use super::{muxer, transport};
use crate::{
    error::{Error, Result},
    media::{bus, launch, launch::LaunchFiles},
    output::storage::{disk_error, sync_folder},
};

/// The index at the end of a file in fragments (ISO/IEC 14496-12, 8.8.9).
const MFRA: FourCC = FourCC::new(b"mfra");

/// How long Matroska may take to be written anew, without a byte that comes. A slow card writes megabytes a second.
const STALL: Duration = Duration::from_secs(30);

/// What became of a recording that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It plays to its end; so many bytes of it were no good.
    Whole {
        /// Bytes taken away.
        lost: u64,
    },
    /// Nothing was in it, and it is gone.
    Empty,
}

/// Repairs a recording whose first frame was captured at `started`. Blocks on the disk, for as long as a copy takes.
/// Errors: the disk, or what is in the file is no recording; then it stays as it is.
pub fn repair(path: &Path, started: SystemTime, launch: &LaunchFiles) -> Result<Repaired> {
    let failed = |error| disk_error(path, "cannot be repaired", error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start).map_err(failed)?;
    match start[..] {
        [.., b'f', b't', b'y', b'p'] => shorten(path, &file, size, last_fragment(&file, size).map_err(failed)?),
        // As the muxer begins: with the first packet of the table of programs.
        [0x47, 0x40, 0, ..] => shorten(path, &file, size, transport::last_frame(&file, size).map_err(failed)?),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => rewrite(path, started, launch),
        _ if start.iter().all(|byte| *byte == 0) => remove(path),
        _ => Err(Error::dependency("recorder", format!("{} is neither MP4, Matroska nor MPEG-TS", path.display()))),
    }
}

/// Takes away what follows `end`, or the file where nothing in it is whole.
fn shorten(path: &Path, file: &File, size: u64, end: Option<u64>) -> Result<Repaired> {
    match end {
        Some(end) if end == size => Ok(Repaired::Whole { lost: 0 }),
        Some(end) => {
            let shortened = file.set_len(end).and_then(|()| file.sync_all());
            shortened.map_err(|error| disk_error(path, "cannot be repaired", error))?;
            Ok(Repaired::Whole { lost: size - end })
        }
        None => remove(path),
    }
}

fn remove(path: &Path) -> Result<Repaired> {
    std::fs::remove_file(path).map_err(|error| disk_error(path, "is empty and cannot be removed", error))?;
    Ok(Repaired::Empty)
}

/// Where the last box of frames ends that is whole, or the index behind it. `None`: there is no frame.
fn last_fragment(file: &File, size: u64) -> io::Result<Option<u64>> {
    let mut file = BufReader::with_capacity(64, file);
    let (mut at, mut end) = (0, None);
    loop {
        file.seek(SeekFrom::Start(at))?;
        let Ok(header) = Header::read_from(&mut file) else { break };
        let body = file.stream_position()?;
        // A box without a size would go on to the end, and a power cut leaves zeros that look like one.
        let Some(next) = header.size.and_then(|size| body.checked_add(size as u64)).filter(|next| *next <= size) else {
            break;
        };
        match header.kind {
            // No frame of H.264 ends in a zero byte (ITU-T H.264, 7.4.1): a power cut wrote this one.
            Mdat::KIND if last_byte(&mut file, next)? == 0 => break,
            Mdat::KIND => end = Some(next),
            // The index of a file that was complete.
            Moov::KIND | MFRA if end.is_some() => end = Some(next),
            _ => {}
        }
        at = next;
    }
    Ok(end)
}

/// The byte before `end`, which is in the file.
fn last_byte(file: &mut (impl Read + Seek), end: u64) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::Start(end.saturating_sub(1)))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

/// Writes Matroska anew, beside the file and then in its place.
fn rewrite(path: &Path, started: SystemTime, launch: &LaunchFiles) -> Result<Repaired> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |error| disk_error(path, "cannot be repaired", error);
    let anew = tempfile::Builder::new().prefix(".repaired-").tempfile_in(folder).map_err(failed)?;
    copy(path, anew.path(), started, launch)?;
    let before = std::fs::metadata(path).map_err(failed)?;
    let written = anew.as_file().metadata().map_err(failed)?.len();
    anew.as_file().set_permissions(before.permissions()).map_err(failed)?;
    anew.as_file().sync_all().map_err(failed)?;
    anew.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder).map_err(failed)?;
    Ok(Repaired::Whole { lost: before.len().saturating_sub(written) })
}

fn copy(from: &Path, to: &Path, started: SystemTime, launch: &LaunchFiles) -> Result<()> {
    let pipeline = launch::pipeline(&launch.line("output/repair-mkv")?)?;
    launch::element::<gst::Element>(&pipeline, "cut")?.set_property("location", from);
    launch::element::<gst::Element>(&pipeline, "file")?.set_property("location", to);
    muxer::stamp(&pipeline, started);
    let outcome = run(&pipeline, from, to);
    let _ = pipeline.set_state(gst::State::Null);
    outcome
}

fn run(pipeline: &gst::Pipeline, from: &Path, to: &Path) -> Result<()> {
    let refused = |what: &str| Error::dependency("recorder", format!("{} cannot be repaired: {what}", from.display()));
    pipeline.set_state(gst::State::Playing).map_err(|_| refused("its pipeline does not start"))?;
    let bus = pipeline.bus().ok_or_else(|| refused("its pipeline has no bus"))?;
    let stall = gst::ClockTime::try_from(STALL).ok();
    let mut written = 0;
    loop {
        match bus.timed_pop_filtered(stall, &[gst::MessageType::Eos, gst::MessageType::Error]) {
            Some(message) => match message.view() {
                gst::MessageView::Error(error) => {
                    let error = bus::error(error);
                    let kind = error.kind().clone();
                    return Err(Error::with_source(kind, format!("{} cannot be repaired", from.display()), error));
                }
                _ => return Ok(()),
            },
            None => {
                let now = std::fs::metadata(to).map_or(0, |found| found.len());
                if now == written {
                    return Err(refused("the disk hangs"));
                }
                written = now;
            }
        }
    }
}
