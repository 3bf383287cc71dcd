//! What recordings as MPEG-TS need besides the muxer: each key frame says when it was captured, and a file that was cut off
//! ends with a whole frame.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use bytes::Bytes;

use crate::{
    frame::EncodedFrame,
    output::storage::contents::ts::{AT_ONCE, PACKET, Packet, Stamp, packets},
};

/// The bytes of a frame of H.264 that says when it was captured, in a copy. One without slices is as it is.
pub(super) fn stamped(frame: &EncodedFrame) -> Bytes {
    match first_slice(&frame.data) {
        Some(place) => {
            let (sets, slices) = frame.data.split_at(place);
            [sets, &Stamp::write(frame.captured), slices].concat().into()
        }
        None => frame.data.clone(),
    }
}

/// Where the first slice begins, with its start code: parameter sets and messages come before it (ITU-T H.264, 7.4.1.2.3).
fn first_slice(data: &[u8]) -> Option<usize> {
    let place = data.windows(4).position(|bytes| matches!(bytes, [0, 0, 1, unit] if matches!(unit & 0x1f, 1..=5)))?;
    // A zero before a start code belongs to it.
    Some(if data[..place].ends_with(&[0]) { place - 1 } else { place })
}

/// Where the last frame ends that is whole. `None`: there is none. Reads back to it from the end.
///
/// What follows a frame is in another packet, so that its last one is filled up, if not by chance: of the few frames that
/// fill theirs exactly nobody can tell, and they do not count.
pub(super) fn last_frame(file: &File, size: u64) -> io::Result<Option<u64>> {
    let count = size / PACKET as u64;
    let front = read(file, 0, count.min(AT_ONCE))?;
    let frame = packets(&front).flatten().find(|packet| packet.frame().is_some());
    let Some(pid) = frame.map(|packet| packet.pid) else { return Ok(None) };
    let mut end = count;
    while end > 0 {
        let begin = end.saturating_sub(AT_ONCE);
        let bytes = read(file, begin, end)?;
        // No frame of H.264 ends in a zero byte (7.4.1): a power cut wrote such a one.
        let ends = |packet: &Packet<'_>| packet.filled_up && packet.payload.last().is_some_and(|last| *last != 0);
        let found = packets(&bytes).zip(begin + 1..).filter_map(|(packet, end)| {
            packet.filter(|packet| packet.pid == pid && ends(packet)).map(|_| end * PACKET as u64)
        });
        if let Some(place) = found.last() {
            return Ok(Some(place));
        }
        end = begin;
    }
    Ok(None)
}

/// The packets from one place to another.
fn read(mut file: &File, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin * PACKET as u64))?;
    file.take((end - begin) * PACKET as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
