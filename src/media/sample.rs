//! Between GStreamer's buffers and the bytes of an `EncodedFrame`, without copying.

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    frame::{Codec, EncodedFrame, Format},
};

/// The memory of a buffer, mapped for as long as anybody holds the bytes. Error: the buffer cannot be read.
pub fn bytes(buffer: gst::Buffer) -> Result<Bytes> {
    let mapped =
        buffer.into_mapped_buffer_readable().map_err(|_| Error::internal("a captured buffer cannot be mapped"))?;
    Ok(Bytes::from_owner(mapped))
}

/// A buffer over the frame's own bytes, stamped with when it is decoded and when it is shown.
pub fn buffer(frame: &EncodedFrame) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(frame.data.clone());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(frame.shown).ok());
        buffer.set_dts(gst::ClockTime::try_from(frame.pts).ok());
        if !frame.key {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

/// The caps of a stream's frames. A size of 0 is left for the frames to say.
pub fn caps(format: Format) -> gst::Caps {
    let caps = match format.codec {
        Codec::H264 => {
            gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au")
        }
        Codec::Mjpeg => gst::Caps::builder("image/jpeg").field("parsed", true),
    };
    let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let sized = format.width > 0 && format.height > 0;
    caps.field_if("width", whole(format.width), sized)
        .field_if("height", whole(format.height), sized)
        .field("framerate", gst::Fraction::new(whole(format.rate.frames), whole(format.rate.seconds)))
        .build()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn the_round_trip_shares_the_memory_and_keeps_the_times() {
        crate::media::init().unwrap();
        let data = bytes(gst::Buffer::from_slice(vec![7u8; 4096])).unwrap();
        let frame = EncodedFrame {
            seq: 0,
            pts: Duration::from_millis(40),
            shown: Duration::from_millis(120),
            key: false,
            captured: SystemTime::UNIX_EPOCH,
            data: data.clone(),
        };
        let buffer = buffer(&frame);
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(120)));
        assert_eq!(buffer.dts(), Some(gst::ClockTime::from_mseconds(40)));
        assert!(buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        assert_eq!(buffer.map_readable().unwrap().as_ptr(), data.as_ptr());
    }
}
