//! What readers see while a source is away: a short film that is made once and shown again and again.
//!
//! It says so in large letters, or it is a file of somebody's. It costs nothing but memory while it is shown.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gst::prelude::*;

use super::{
    Counters, Encoders, Setting, Wanted, encoder, failure,
    frames::{Frame, Frames},
    modes::Coding,
    remote, settings,
};
use crate::{
    config::{EncoderKind, Gop},
    error::{Error, Kind, Result},
    frame::{Codec, Format},
    media::launch::{self, LaunchFiles},
    mode::{FourCc, Mode, Rate},
};

/// What is written in the picture, as MediaMTX has it.
const TEXT: &str = "STREAM IS OFFLINE";
/// Brightness of the picture.
const GROUND: u8 = 40;
/// Brightness of its letters.
const LETTERS: u8 = 225;
/// Pictures a second.
const RATE: Rate = Rate::per_second(5);
/// Two GOPs: two key frames that follow each other must tell themselves apart (ITU-T H.264, 7.4.3, `idr_pic_id`).
const PICTURES: u32 = 10;
/// The most of a file that is kept, in bytes. Larger ones are refused.
const LARGEST: usize = 32 << 20;
/// How long the making may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A film that can be shown again and again.
#[derive(Debug)]
pub struct Clip {
    /// What its pictures are.
    pub format: Format,
    /// Its frames. The first is a key frame.
    pub frames: Vec<ClipFrame>,
    /// How long it lasts.
    pub length: Duration,
}

/// A frame of it.
#[derive(Clone, Debug)]
pub struct ClipFrame {
    /// When it is decoded, from the beginning of the film.
    pub at: Duration,
    /// When it is shown; not before.
    pub shown: Duration,
    /// Whether decoding can begin here.
    pub key: bool,
    /// The access unit.
    pub data: Bytes,
}

impl Clip {
    /// A picture of this size with the words `STREAM IS OFFLINE`. Blocks while it is encoded, preferably by software: what
    /// a board's own encoder can do belongs to the cameras. Error: no encoder works.
    pub fn words(width: u32, height: u32, encoders: &Encoders, files: &LaunchFiles) -> Result<Self> {
        let even = |pixels: u32| (pixels.clamp(16, 8192) / 2) * 2;
        let (width, height) = (even(width), even(height));
        let mut order = vec![EncoderKind::X264, EncoderKind::OpenH264];
        order.extend(&encoders.usable);
        let wanted = Wanted { order, bitrate: 500_000, gop: Gop::Time(Duration::from_secs(1)), ..Wanted::default() };
        let (kind, _) = encoders.choose(&wanted)?;
        let mode = Mode { format: FourCc(*b"GREY"), width, height, rate: RATE };
        let caps = settings::mode(&mode, Coding::Raw("GRAY8"));
        let mut all = vec![Setting { element: "source", ..caps }];
        all.extend(settings::encoder(kind, &wanted, width, height, RATE));
        let names = ["source/filler".to_owned(), encoder::launch_file(kind), "tail/h264".into()];
        let format = Format { codec: Codec::H264, width, height, rate: RATE };
        let feed = |pipeline: &gst::Pipeline| feed(pipeline, drawn(width, height));
        let (frames, _) = film(&files.join(&names)?, &all, Frames::new(Codec::H264), feed)?;
        Self::new(frames, format)
    }

    /// What is in an MP4 file: its H.264. Blocks on the disk. Errors: the file cannot be read, has no H.264, is larger than
    /// 32 MiB.
    pub fn file(file: &Path, files: &LaunchFiles) -> Result<Self> {
        let location = Setting::new("source", "location", file.display());
        let line = files.join(&["source/filler-file", "tail/h264"])?;
        let made = film(&line, &[location], Frames::of_others(Codec::H264), |_| Ok(()));
        let named = |error: Error| {
            Error::with_source(error.kind().clone(), format!("{} cannot be shown: {error}", file.display()), error)
        };
        made.and_then(|(frames, format)| Self::new(frames, format)).map_err(named)
    }

    fn new(frames: Vec<Frame>, format: Format) -> Result<Self> {
        let Some(begin) = frames.first().map(|first| first.pts) else {
            return Err(Error::dependency("filler", "it has no picture"));
        };
        // By when they are shown: that is even also where decoding begins early, for B-frames.
        let shown = || frames.iter().map(|frame| frame.shown);
        let lasts = shown().max().unwrap_or_default().saturating_sub(shown().min().unwrap_or_default());
        let interval = match u32::try_from(frames.len() - 1) {
            Ok(intervals @ 1..) => lasts / intervals,
            _ => Duration::from_secs(1),
        };
        let frames = frames.into_iter().map(|frame| ClipFrame {
            at: frame.pts.saturating_sub(begin),
            shown: frame.shown.saturating_sub(begin),
            key: frame.key,
            data: frame.data,
        });
        Ok(Self { format, frames: frames.collect(), length: lasts + interval })
    }
}

/// Runs a pipeline to its end: its frames, and what they are.
fn film(
    line: &str,
    all: &[Setting],
    frames: Frames,
    feed: impl FnOnce(&gst::Pipeline) -> Result<()>,
) -> Result<(Vec<Frame>, Format)> {
    let pipeline = launch::pipeline(line)?;
    settings::apply(&pipeline, all)?;
    // Every picture counts, and no camera waits for its buffers.
    if let Some(queue) = pipeline.by_name("raw").filter(|queue| queue.has_property("leaky")) {
        queue.set_property_from_str("leaky", "no");
    }
    let tail = launch::element::<gst_app::AppSink>(&pipeline, "tail")?;
    let started = pipeline.set_state(gst::State::Playing).map_err(|error| failure::at_start(&pipeline, &error));
    let made = started.and_then(|_| feed(&pipeline)).and_then(|()| take(&pipeline, &tail, frames));
    let _ = pipeline.set_state(gst::State::Null);
    made
}

fn take(pipeline: &gst::Pipeline, tail: &gst_app::AppSink, mut frames: Frames) -> Result<(Vec<Frame>, Format)> {
    let (deadline, counters) = (Instant::now() + DEADLINE, Counters::default());
    let (mut taken, mut bytes, mut format) = (Vec::new(), 0, remote::USUAL);
    while Instant::now() < deadline {
        // Short turns, because what fails says so on the bus and never at the sink.
        if let Some(sample) = tail.try_pull_sample(gst::ClockTime::from_mseconds(20)) {
            if taken.is_empty() {
                format = remote::format(Codec::H264, sample.caps());
            }
            if let Some(frame) = frames.take(&sample, &counters) {
                bytes += frame.data.len();
                taken.push(frame);
            }
            if bytes > LARGEST {
                return Err(Error::dependency("filler", format!("it has more than {} MiB", LARGEST >> 20)));
            }
        } else if let Some(error) = failure::on_bus(pipeline) {
            return Err(error);
        } else if tail.is_eos() {
            return Ok((taken, format));
        }
    }
    Err(Error::dependency("filler", "it was not made in time"))
}

/// Gives a pipeline its pictures, which are all the same, and no more.
fn feed(pipeline: &gst::Pipeline, picture: Vec<u8>) -> Result<()> {
    let source = launch::element::<gst_app::AppSrc>(pipeline, "source")?;
    let refused = |error| Error::with_source(Kind::Internal, "the encoder takes no filler", error);
    let interval = Duration::from_secs(RATE.seconds.into()) / RATE.frames;
    let picture = gst::Buffer::from_slice(picture);
    for number in 0..PICTURES {
        // The pictures share their memory.
        let mut copy = picture.copy();
        if let Some(copy) = copy.get_mut() {
            copy.set_pts(gst::ClockTime::try_from(interval * number).ok());
            copy.set_duration(gst::ClockTime::try_from(interval).ok());
        }
        source.push_buffer(copy).map_err(refused)?;
    }
    source.end_of_stream().map(drop).map_err(refused)
}

/// A picture with the words across it, a byte a pixel, rows as GStreamer has them: multiples of four.
fn drawn(width: u32, height: u32) -> Vec<u8> {
    const GLYPH: usize = 8;
    let (width, height) = (width as usize, height as usize);
    let stride = width.next_multiple_of(4);
    let mut picture = vec![GROUND; stride * height];
    let columns = TEXT.len() * GLYPH;
    // Four fifths of the width, and never more than a third of the height.
    let scale = (width * 4 / 5 / columns).min(height / 3 / GLYPH).max(1);
    let (left, top) = (width.saturating_sub(columns * scale) / 2, height.saturating_sub(GLYPH * scale) / 2);
    for (y, row) in picture.chunks_mut(stride).enumerate().skip(top).take(GLYPH * scale) {
        for (x, pixel) in row.iter_mut().enumerate().take(width).skip(left).take(columns * scale) {
            let (column, line) = ((x - left) / scale, (y - top) / scale);
            let letter = TEXT.as_bytes().get(column / GLYPH).copied().unwrap_or(b' ');
            // The least bit is the leftmost pixel.
            let glyph = font8x8::legacy::BASIC_LEGACY.get(usize::from(letter)).and_then(|glyph| glyph.get(line));
            if glyph.is_some_and(|bits| bits >> (column % GLYPH) & 1 == 1) {
                *pixel = LETTERS;
            }
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> (Encoders, LaunchFiles) {
        crate::media::init().unwrap();
        let files = LaunchFiles::default();
        (Encoders::probe(&[EncoderKind::X264], &files, DEADLINE), files)
    }

    #[test]
    fn the_words_are_two_groups_of_pictures_of_any_size() {
        let (encoders, files) = here();
        for (width, height) in [(640, 360), (1366, 768), (17, 17)] {
            let clip = Clip::words(width, height, &encoders, &files).unwrap();
            assert_eq!((clip.format.width, clip.format.height), (width / 2 * 2, height / 2 * 2));
            let keys: Vec<_> =
                clip.frames.iter().enumerate().filter(|(_, frame)| frame.key).map(|(at, _)| at).collect();
            assert_eq!((clip.frames.len(), keys), (10, vec![0, 5]), "{width}x{height}");
            assert_eq!((clip.frames[9].at, clip.length), (Duration::from_millis(1800), Duration::from_secs(2)));
            let bytes: usize = clip.frames.iter().map(|frame| frame.data.len()).sum();
            assert!(bytes < 200_000, "{bytes}");
        }
    }

    #[test]
    fn the_words_are_in_the_middle_and_nowhere_else() {
        let picture = drawn(640, 360);
        let lit: Vec<_> = (0..picture.len()).filter(|&at| picture[at] == LETTERS).collect();
        let (columns, rows) = (lit.iter().map(|at| at % 640), lit.iter().map(|at| at / 640));
        assert!(columns.clone().min() > Some(100 - 50) && columns.max() < Some(590));
        assert!(rows.clone().min() >= Some(168) && rows.max() <= Some(192));
    }

    #[test]
    fn a_file_that_is_no_film_is_named() {
        let (_, files) = here();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.mp4");
        for text in [None, Some("no film")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = Clip::file(&file, &files).unwrap_err();
            assert!(error.message().contains("film.mp4"), "{error}");
        }
    }
}
