//! Reading here and there in a file: a little is read at a time, and what is passed over is not read at all.

use std::io::{self, BufReader, Read, Seek};

/// Bytes read at once: a header and what usually follows it. Video between headers is not worth reading.
const AT_ONCE: usize = 4096;

/// The beginning of a file and the place in it that is read next.
pub(in crate::output) struct Skim<R> {
    file: BufReader<R>,
    at: u64,
    size: u64,
}

impl<R: Read + Seek> Skim<R> {
    /// Reads `file` from its start up to `size` bytes.
    pub(in crate::output) fn new(file: R, size: u64) -> Self {
        Self { file: BufReader::with_capacity(AT_ONCE, file), at: 0, size }
    }

    /// The place.
    pub(in crate::output) fn at(&self) -> u64 {
        self.at
    }

    /// Where the file ends, as far as it is looked at.
    pub(in crate::output) fn size(&self) -> u64 {
        self.size
    }

    /// Goes to a place; beyond the end is the end.
    pub(in crate::output) fn go_to(&mut self, place: u64) -> io::Result<()> {
        let place = place.min(self.size);
        match i64::try_from(i128::from(place) - i128::from(self.at)) {
            // Stays in what is in memory where it can.
            Ok(distance) => self.file.seek_relative(distance)?,
            Err(_) => drop(self.file.seek(io::SeekFrom::Start(place))?),
        }
        self.at = place;
        Ok(())
    }

    /// The bytes from here to `end`. Error: [`io::ErrorKind::UnexpectedEof`] where they are more than `most`, or not
    /// all there.
    pub(in crate::output) fn up_to(&mut self, end: u64, most: u64) -> io::Result<Vec<u8>> {
        let wanted = end.saturating_sub(self.at);
        if wanted > most || end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = Vec::new();
        self.take(wanted).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: Read + Seek> Read for Skim<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}
