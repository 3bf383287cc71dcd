//! The boxes of a file (ISO/IEC 14496-12, 4.2), one after another, without what is in them that nobody asks for.

use std::io::{self, Read, Seek};

use mp4_atom::{Atom, FourCC, Header, ReadFrom};

use super::{or_end, skim::Skim};

/// The largest box that is taken into memory. A fragment of a second has some kilobytes.
pub(in crate::output) const LARGEST: u64 = 4 << 20;

/// Boxes looked at in one file: ten days of one-second fragments. A file that has more is told about up to there.
pub(in crate::output) const MOST: usize = 2_000_000;

/// A box that begins at the reader's place.
pub(in crate::output) struct Found {
    /// What it is.
    pub(in crate::output) kind: FourCC,
    /// Where it ends in the file.
    pub(in crate::output) end: u64,
}

/// The next box that is whole before `end`, and the reader at its body. `None`: there is none.
pub(in crate::output) fn next<R: Read + Seek>(file: &mut Skim<R>, end: u64) -> io::Result<Option<Found>> {
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
pub(in crate::output) fn each<R: Read + Seek>(
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

pub(in crate::output) fn decode<T: Atom>(body: &[u8]) -> Option<T> {
    T::decode_body(&mut &body[..]).ok()
}

/// The box whose body is next, if it is one that makes sense.
pub(in crate::output) fn body<T: Atom, R: Read + Seek>(file: &mut Skim<R>, found: &Found) -> io::Result<Option<T>> {
    Ok(or_end(file.up_to(found.end, LARGEST))?.and_then(|body| decode(&body)))
}
