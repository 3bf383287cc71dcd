//! What a picture says of itself: when it was captured, by which camera, and which service wrote it.
//!
//! In EXIF 2.32 (JIETA CP-3451), in JPEG and PNG alike, and in PNG also as the text chunks that more programs read
//! (PNG specification, 11.3.3). The bytes of the picture itself stay as they are.

use std::{io::Cursor, time::SystemTime};

use bytes::Bytes;
use exif::{Field, In, Tag, Value, experimental::Writer};
use img_parts::{
    ImageEXIF,
    jpeg::Jpeg,
    png::{Png, PngChunk},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use super::SnapshotFormat;
use crate::error::{Error, Kind, Result};

/// The program that writes the files.
const SOFTWARE: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Of which camera a picture is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// Its name here, e.g. `camera0`.
    pub camera: String,
    /// What its maker calls it, where that is known.
    pub model: Option<String>,
}

impl Caption {
    /// The file `data` with this caption in it. One that a camera wrote itself is replaced.
    /// Error: it is not a whole file of that format.
    pub(super) fn put(&self, data: Bytes, format: SnapshotFormat, captured: SystemTime) -> Result<Bytes> {
        let moment = OffsetDateTime::from(captured);
        let exif = Bytes::from(self.exif(moment)?);
        match format {
            SnapshotFormat::Jpeg => {
                let mut jpeg = Jpeg::from_bytes(data).map_err(|error| failed("the JPEG cannot be read", error))?;
                jpeg.set_exif(Some(exif));
                Ok(jpeg.encoder().bytes())
            }
            SnapshotFormat::Png => {
                let mut png = Png::from_bytes(data).map_err(|error| failed("the PNG cannot be read", error))?;
                png.set_exif(Some(exif));
                let created = moment.format(&Rfc3339).map_err(|error| failed("a time cannot be written", error))?;
                let texts = [("Creation Time", created.as_str()), ("Source", &self.camera), ("Software", SOFTWARE)];
                // Behind the header, which is first.
                let texts = texts.iter().map(|(keyword, text)| text_chunk(keyword, text));
                png.chunks_mut().splice(1..1, texts);
                Ok(png.encoder().bytes())
            }
        }
    }

    /// The times are in UTC and say so: the zone of a machine without a display is anything.
    fn exif(&self, moment: OffsetDateTime) -> Result<Vec<u8>> {
        let unwritten = |error| failed("a time cannot be written", error);
        let date = format_description!("[year]:[month]:[day] [hour]:[minute]:[second]");
        let date = moment.format(&date).map_err(unwritten)?;
        let fraction = moment.format(&format_description!("[subsecond digits:3]")).map_err(unwritten)?;
        let field = |tag, text: &str| {
            // A zero would end the text.
            let text = text.bytes().filter(|byte| *byte != 0).collect();
            Field { tag, ifd_num: In::PRIMARY, value: Value::Ascii(vec![text]) }
        };
        let mut fields = vec![
            field(Tag::ImageDescription, &self.camera),
            field(Tag::Software, SOFTWARE),
            field(Tag::DateTime, &date),
            field(Tag::SubSecTime, &fraction),
            field(Tag::OffsetTime, "+00:00"),
            field(Tag::DateTimeOriginal, &date),
            field(Tag::SubSecTimeOriginal, &fraction),
            field(Tag::OffsetTimeOriginal, "+00:00"),
            Field { tag: Tag::ExifVersion, ifd_num: In::PRIMARY, value: Value::Undefined(b"0232".to_vec(), 0) },
        ];
        fields.extend(self.model.as_deref().map(|model| field(Tag::Model, model)));
        let (mut writer, mut written) = (Writer::new(), Cursor::new(Vec::new()));
        fields.iter().for_each(|field| writer.push_field(field));
        writer.write(&mut written, false).map_err(|error| failed("EXIF cannot be written", error))?;
        Ok(written.into_inner())
    }
}

/// A `tEXt` chunk; where Latin-1 might not do, `iTXt`, which is UTF-8. Neither is compressed.
fn text_chunk(keyword: &str, text: &str) -> PngChunk {
    let text = text.replace('\0', "");
    match text.is_ascii() {
        true => PngChunk::new(*b"tEXt", format!("{keyword}\0{text}").into()),
        false => PngChunk::new(*b"iTXt", format!("{keyword}\0\0\0\0\0{text}").into()),
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(Kind::Internal, what, error)
}
