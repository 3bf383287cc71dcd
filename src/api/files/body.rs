//! The bytes of a file on their way out: read piece by piece, off the runtime's threads, as the client takes them.

use std::{io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::task::spawn_blocking;
use warp::http::HeaderValue;

use crate::command::files::Download;

/// Bytes that are read at once: the memory a download takes.
const PIECE: u64 = 128 << 10;

/// These bytes of the file. A file that has become shorter breaks the connection: the length was told already. So does a
/// service that stops: whoever downloads a large file must not hold it up, and may go on with a range.
pub(super) fn part(file: Arc<Download>, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    stream::try_unfold((file, range), |(file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        if file.stopping.is_cancelled() {
            return Err(io::Error::other("the service is stopping"));
        }
        let end = range.end.min(range.start + PIECE);
        let (piece, file) = read(file, range.start..end).await?;
        Ok(Some((piece, (file, end..range.end))))
    })
}

async fn read(file: Arc<Download>, range: Range<u64>) -> io::Result<(Bytes, Arc<Download>)> {
    let reading = spawn_blocking(move || {
        let mut piece = BytesMut::zeroed((range.end - range.start) as usize);
        file.opened.file.read_exact_at(&mut piece, range.start)?;
        Ok((piece.freeze(), file))
    });
    reading.await.map_err(io::Error::other)?
}

/// Several parts in one body (RFC 9110, section 14.6).
pub(super) struct Multipart {
    boundary: String,
    /// What stands before each part.
    parts: Vec<(Bytes, Range<u64>)>,
    end: Bytes,
}

impl Multipart {
    /// Parts of a file of `length` bytes.
    pub(super) fn new(ranges: Vec<Range<u64>>, length: u64, media_type: &str) -> Self {
        // Of 122 random bits: it does not stand in the file.
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let before = |range: Range<u64>| {
            let (first, last) = (range.start, range.end - 1);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n"
            );
            (Bytes::from(head), range)
        };
        let parts = ranges.into_iter().map(before).collect();
        Self { end: Bytes::from(format!("\r\n--{boundary}--\r\n")), parts, boundary }
    }

    /// What the body is.
    pub(super) fn media_type(&self) -> HeaderValue {
        let value = HeaderValue::try_from(format!("multipart/byteranges; boundary={}", self.boundary));
        value.unwrap_or(HeaderValue::from_static("multipart/byteranges"))
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, range)| head.len() as u64 + (range.end - range.start));
        parts.sum::<u64>() + self.end.len() as u64
    }

    /// Its bytes.
    pub(super) fn into_stream(self, file: Arc<Download>) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
        let parts = stream::iter(self.parts)
            .flat_map(move |(head, range)| stream::iter([Ok(head)]).chain(part(Arc::clone(&file), range)));
        parts.chain(stream::iter([Ok(self.end)]))
    }
}
