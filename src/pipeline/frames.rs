//! From a buffer at the end of a capture pipeline to a frame in the stream, and what is left out on the way.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prometheus_client::metrics::histogram::Histogram;

use super::{
    order::{Order, Times},
    remote,
    stages::Stages,
};
use crate::{
    error::{Error, Result},
    frame::{Codec, FRAME_AGES},
    media,
};

/// Smallest JPEG that can be a picture. What cameras send in trouble is shorter, or has no end.
const SMALLEST_JPEG: usize = 128;

/// Frames that were left out on their way into a stream, by stage and reason. Written by GStreamer's threads; the runs of
/// a path add to the same.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) raw_overrun: AtomicU64,
    pub(super) undecoded_overrun: AtomicU64,
    pub(super) broken_jpeg: AtomicU64,
    pub(super) before_key: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) times_mended: AtomicU64,
    delay: Delay,
    pub(super) stages: Stages,
}

/// How old frames are when they are published.
#[derive(Debug)]
struct Delay(Histogram);

impl Default for Delay {
    fn default() -> Self {
        Self(Histogram::new(FRAME_AGES))
    }
}

/// What [`Counters`] say at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Raw pictures that waited for the encoder when a newer one came: the encoder is too slow.
    pub raw_overrun: u64,
    /// JPEG pictures that waited for the decoder when a newer one came: the decoder is too slow.
    pub undecoded_overrun: u64,
    /// Pictures that are no whole JPEG: the camera or its cable.
    pub broken_jpeg: u64,
    /// H.264 before the first key frame: nobody could decode it.
    pub before_key: u64,
    /// Buffers that could not be read.
    pub unreadable: u64,
    /// Frames that were kept with another timestamp, because theirs was missing or did not advance.
    pub times_mended: u64,
}

impl Counters {
    /// How old frames are when they are published, in seconds: what capture, decoding and encoding take.
    pub fn delay(&self) -> &Histogram {
        &self.delay.0
    }

    /// What goes through the stages before that.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The counters now.
    pub fn dropped(&self) -> Dropped {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Dropped {
            raw_overrun: read(&self.raw_overrun),
            undecoded_overrun: read(&self.undecoded_overrun),
            broken_jpeg: read(&self.broken_jpeg),
            before_key: read(&self.before_key),
            unreadable: read(&self.unreadable),
            times_mended: read(&self.times_mended),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A frame that may be published.
#[derive(Debug)]
pub(super) struct Frame {
    pub pts: Duration,
    pub shown: Duration,
    pub key: bool,
    pub captured: SystemTime,
    pub data: Bytes,
}

/// Turns the samples of one pipeline run into frames with advancing times, from the first key frame on.
pub(super) struct Frames {
    codec: Codec,
    order: Order,
    /// Whether pictures may be shown in another order than they come in.
    of_others: bool,
    begun: bool,
}

impl Frames {
    /// Of a pipeline in which every picture is shown when it comes.
    pub fn new(codec: Codec) -> Self {
        Self { codec, order: Order::default(), of_others: false, begun: false }
    }

    /// Of a pipeline that gets what others have encoded, perhaps with B-frames.
    pub fn of_others(codec: Codec) -> Self {
        Self { of_others: codec == Codec::H264, ..Self::new(codec) }
    }

    /// The frame in this sample. None: it is left out, and counted.
    pub fn take(&mut self, sample: &gst::Sample, counters: &Counters) -> Option<Frame> {
        let Some(buffer) = sample.buffer_owned() else {
            count(&counters.unreadable);
            return None;
        };
        let delta = buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        // The stream's running time is the capture time: the clock's time minus base time 0. The buffer's own timestamp
        // may be off by an offset that only the segment tells (video encoders begin at 1000 hours).
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let time = segment.zip(buffer.pts()).and_then(|(segment, pts)| segment.to_running_time(pts));
        let Ok(data) = own_bytes(buffer) else {
            count(&counters.unreadable);
            return None;
        };
        let key = match self.codec {
            Codec::Mjpeg => true,
            Codec::H264 => !delta && begins_decoding(&data),
        };
        if !self.begun && !key {
            count(&counters.before_key);
            return None;
        }
        let now = media::now();
        self.begun = true;
        if key && self.of_others {
            self.order.look_at(&data, remote::format(self.codec, sample.caps()).rate);
        }
        let time = time.map(Duration::from);
        let Times { pts, shown } = self.order.next(time.unwrap_or(now));
        if time != Some(shown) {
            count(&counters.times_mended);
        }
        counters.delay.0.observe(now.saturating_sub(shown).as_secs_f64());
        Some(Frame { pts, shown, key, captured: media::wall_clock(shown), data })
    }
}

/// The bytes of a buffer, without a copy where the memory is the process's own.
///
/// Memory that belongs to a driver (V4L2 capture buffers, DMA) is copied: frames stay in the stream's ring and with its
/// readers long after, and a driver whose buffers are not given back runs dry, or answers "busy" to the next start.
fn own_bytes(buffer: gst::Buffer) -> Result<Bytes> {
    if buffer.iter_memories().all(|memory| memory.is_type("SystemMemory")) && buffer.n_memory() > 0 {
        return media::sample::bytes(buffer);
    }
    let mapped = buffer.map_readable().map_err(|_| Error::internal("a captured buffer cannot be mapped"))?;
    Ok(Bytes::copy_from_slice(&mapped))
}

/// Whether decoding can begin with this access unit: a sequence and a picture parameter set stand before its first
/// slice (ITU-T H.264, 7.4.1.2.3, byte stream format of Annex B).
pub(super) fn begins_decoding(access_unit: &[u8]) -> bool {
    let (mut sequence, mut picture) = (false, false);
    for kind in nal_kinds(access_unit) {
        match kind {
            7 => sequence = true,
            8 => picture = true,
            1..=5 => return sequence && picture,
            _ => {}
        }
    }
    false
}

/// The `nal_unit_type`s of an access unit in byte stream format, in order.
fn nal_kinds(access_unit: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let starts = access_unit.windows(4).filter(|window| window.starts_with(&[0, 0, 1]));
    starts.map(|window| window[3] & 0x1f)
}

/// Whether this is a whole JPEG picture: from SOI to EOI (ITU-T T.81, B.1.1.3). Cameras may fill up with zeros behind.
pub(super) fn is_whole_jpeg(data: &[u8]) -> bool {
    let end = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    end >= SMALLEST_JPEG && data.starts_with(&[0xff, 0xd8]) && data[..end].ends_with(&[0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(data: &[u8], pts: Option<u64>, flags: gst::BufferFlags) -> gst::Sample {
        media::init().unwrap();
        let mut buffer = gst::Buffer::from_slice(data.to_vec());
        buffer.get_mut().unwrap().set_pts(pts.map(gst::ClockTime::from_mseconds));
        buffer.get_mut().unwrap().set_flags(flags);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        gst::Sample::builder().buffer(&buffer).segment(&segment).build()
    }

    const KEY: &[u8] = &[0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1];
    const DELTA: &[u8] = &[0, 0, 0, 1, 0x41, 1];

    #[test]
    fn a_stream_begins_where_decoding_can() {
        let (mut frames, counters) = (Frames::new(Codec::H264), Counters::default());
        let bare = &[0, 0, 0, 1, 0x65, 1];
        assert!(frames.take(&sample(DELTA, Some(1), gst::BufferFlags::DELTA_UNIT), &counters).is_none());
        assert!(frames.take(&sample(bare, Some(2), gst::BufferFlags::empty()), &counters).is_none());
        assert!(frames.take(&sample(KEY, Some(3), gst::BufferFlags::empty()), &counters).unwrap().key);
        assert!(!frames.take(&sample(DELTA, Some(4), gst::BufferFlags::DELTA_UNIT), &counters).unwrap().key);
        assert!(!frames.take(&sample(bare, Some(5), gst::BufferFlags::empty()), &counters).unwrap().key);
        assert_eq!(counters.dropped(), Dropped { before_key: 2, ..Dropped::default() });
    }

    #[test]
    fn times_always_advance() {
        let (mut frames, counters) = (Frames::new(Codec::Mjpeg), Counters::default());
        let mut time = |pts| frames.take(&sample(&[1], pts, gst::BufferFlags::empty()), &counters).unwrap().pts;
        let first = time(Some(40));
        assert_eq!(first, Duration::from_millis(40));
        let same = time(Some(40));
        assert!(same > first);
        let back = time(Some(7));
        assert!(back > same);
        let before = media::now();
        let missing = time(None);
        assert!(missing >= before && missing <= media::now());
        assert_eq!(counters.dropped().times_mended, 3);
    }

    #[test]
    fn the_wall_clock_time_is_that_of_the_capture() {
        let (mut frames, counters) = (Frames::new(Codec::Mjpeg), Counters::default());
        let age = Duration::from_secs(5);
        let earliest = SystemTime::now() - age - Duration::from_millis(2);
        let pts = media::now().saturating_sub(age);
        let sample = sample(&[1], Some(pts.as_millis() as u64), gst::BufferFlags::empty());
        let captured = frames.take(&sample, &counters).unwrap().captured;
        assert!(captured >= earliest && captured <= SystemTime::now() - age);
    }

    #[test]
    fn only_whole_pictures_count() {
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.resize(200, 7);
        jpeg.extend([0xff, 0xd9]);
        assert!(is_whole_jpeg(&jpeg));
        jpeg.extend([0; 40]);
        assert!(is_whole_jpeg(&jpeg), "padding is usual");
        assert!(!is_whole_jpeg(&jpeg[..150]), "cut off");
        assert!(!is_whole_jpeg(&jpeg[2..]), "no beginning");
        assert!(!is_whole_jpeg(&[0xff, 0xd8, 0xff, 0xd9]) && !is_whole_jpeg(&[]) && !is_whole_jpeg(&[0; 500]));
    }
}
