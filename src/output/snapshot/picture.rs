//! The two pipelines of a snapshot: encoded frames to a raw picture, and a raw picture to a file's content.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gst::prelude::*;

use super::SnapshotFormat;
use crate::{
    error::{Error, Kind, Result},
    frame::{Codec, EncodedFrame, Format},
    media::{
        bus,
        launch::{self, LaunchFiles},
        sample,
    },
};

/// Decodes `frames`, which begin with a key frame, and returns the newest picture that comes out and its timestamp.
/// Error: no decoder does it, with what each said.
pub(super) fn decode(
    launch: &LaunchFiles,
    format: Format,
    frames: &[EncodedFrame],
    deadline: Instant,
) -> Result<(gst::Sample, Option<Duration>)> {
    let mut refusals = Vec::new();
    for file in decoders(format.codec) {
        match decode_with(launch, file, format, frames, deadline) {
            Ok(raw) => {
                let pts = raw.buffer().and_then(|buffer| buffer.pts()).map(Duration::from);
                return Ok((raw, pts));
            }
            Err(error) => refusals.push(error.chain()),
        }
    }
    let message = format!("no decoder makes a picture of this {} stream: {}", format.codec, refusals.join("; "));
    Err(Error::new(Kind::Dependency { dependency: "decoder".into() }, message))
}

pub(super) fn decoders(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &[
            "output/snapshot-decode-h264-avdec",
            "output/snapshot-decode-h264-openh264",
            "output/snapshot-decode-h264-v4l2",
        ],
        Codec::Mjpeg => &["output/snapshot-decode-mjpeg"],
    }
}

pub(super) fn decode_with(
    launch: &LaunchFiles,
    file: &str,
    format: Format,
    frames: &[EncodedFrame],
    deadline: Instant,
) -> Result<gst::Sample> {
    let pipeline = launch::pipeline(&launch.line(file)?)?;
    let input: gst_app::AppSrc = launch::element(&pipeline, "frames")?;
    input.set_caps(Some(&sample::caps(format)));
    run(&pipeline, "picture", deadline, || {
        frames.iter().try_for_each(|frame| input.push_buffer(sample::buffer(frame)).map(drop))?;
        input.end_of_stream().map(drop)
    })
}

/// Whether a JPEG frame has its Huffman tables (marker DHT, ITU-T T.81 B.2.4.2), and so is a file for every viewer.
///
/// In Motion JPEG they may be left out, and many webcams do so: the typical ones of annex K.3 are meant, which decoders
/// of films know and most viewers of pictures do not.
pub(super) fn has_huffman_tables(jpeg: &[u8]) -> bool {
    const DHT: u8 = 0xc4;
    const SOS: u8 = 0xda;
    // Behind SOI every segment is a marker and a length, up to the one that begins the picture.
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        match marker {
            DHT => return true,
            SOS => return false,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

/// Width and height of a raw picture.
pub(super) fn size(raw: &gst::Sample) -> Option<(u32, u32)> {
    let structure = raw.caps()?.structure(0)?;
    let pixels = |name| u32::try_from(structure.get::<i32>(name).ok()?).ok();
    Some((pixels("width")?, pixels("height")?))
}

/// Scales the raw picture to a size and encodes it. `quality` is that of JPEG, 1 to 100.
pub(super) fn encode(
    launch: &LaunchFiles,
    raw: &gst::Sample,
    format: SnapshotFormat,
    quality: u8,
    (width, height): (u32, u32),
    deadline: Instant,
) -> Result<Bytes> {
    let file = match format {
        SnapshotFormat::Jpeg => "output/snapshot-encode-jpeg",
        SnapshotFormat::Png => "output/snapshot-encode-png",
    };
    let pipeline = launch::pipeline(&launch.line(file)?)?;
    let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let size = gst::Caps::builder("video/x-raw").field("width", whole(width)).field("height", whole(height)).build();
    launch::element::<gst::Element>(&pipeline, "size")?.set_property("caps", size);
    if format == SnapshotFormat::Jpeg {
        launch::element::<gst::Element>(&pipeline, "encoder")?.set_property("quality", i32::from(quality));
    }
    let input: gst_app::AppSrc = launch::element(&pipeline, "picture")?;
    let encoded = run(&pipeline, "file", deadline, || {
        input.push_sample(raw)?;
        input.end_of_stream().map(drop)
    })?;
    let buffer = encoded.buffer_owned().ok_or_else(|| Error::internal("the encoder gave an empty sample"))?;
    sample::bytes(buffer)
}

/// Runs a pipeline over what `feed` puts into it and returns the newest sample of the `appsink` named `output`.
fn run(
    pipeline: &gst::Pipeline,
    output: &str,
    deadline: Instant,
    feed: impl FnOnce() -> Result<(), gst::FlowError>,
) -> Result<gst::Sample> {
    let sink: gst_app::AppSink = launch::element(pipeline, output)?;
    let failed = |what: &str| Error::dependency("decoder", format!("a snapshot's pipeline {what}"));
    let started = pipeline.set_state(gst::State::Playing);
    let fed = started.is_ok().then(feed);
    // A pipeline that did not start has said why already.
    let patience = if fed.is_some() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
    let end = bus::wait_for_end(pipeline, patience);
    let newest = sink.try_pull_sample(gst::ClockTime::ZERO);
    let _ = pipeline.set_state(gst::State::Null);
    match (end, newest) {
        (bus::End::Eos, Some(picture)) => Ok(picture),
        (bus::End::Failed(error), _) => Err(error),
        (bus::End::Timeout, _) => Err(failed("took too long")),
        (bus::End::Eos, None) => Err(failed(if matches!(fed, Some(Ok(()))) { "made no picture" } else { "broke" })),
    }
}
