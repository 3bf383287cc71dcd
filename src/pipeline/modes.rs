//! Which of the modes a camera offers comes nearest to what is wanted.

use super::Wanted;
use crate::mode::{FourCc, Mode, Rate};

/// What one camera on USB 2 gets: isochronous transfers reserve at most 24 MB/s.
const USB2_BYTES_PER_SECOND: f64 = 24e6;

/// A raw pixel format as GStreamer 1.22's `v4l2src` calls it, and its bits per pixel. What is not here it does not take.
/// Earlier entries are preferred where a camera offers several: the nearer to an encoder's 4:2:0, the less work.
const RAW: [(FourCc, &str, u32); 18] = [
    (FourCc(*b"NV12"), "NV12", 12),
    (FourCc(*b"YU12"), "I420", 12),
    (FourCc(*b"YV12"), "YV12", 12),
    (FourCc(*b"NV21"), "NV21", 12),
    (FourCc(*b"YUYV"), "YUY2", 16),
    (FourCc(*b"UYVY"), "UYVY", 16),
    (FourCc(*b"YVYU"), "YVYU", 16),
    (FourCc(*b"NV16"), "NV16", 16),
    (FourCc(*b"NV61"), "NV61", 16),
    (FourCc(*b"422P"), "Y42B", 16),
    (FourCc(*b"NV24"), "NV24", 24),
    (FourCc(*b"RGB3"), "RGB", 24),
    (FourCc(*b"BGR3"), "BGR", 24),
    (FourCc(*b"XR24"), "BGRx", 32),
    (FourCc(*b"RGB4"), "xRGB", 32),
    (FourCc(*b"RGBP"), "RGB16", 16),
    (FourCc(*b"GREY"), "GRAY8", 8),
    (FourCc(*b"Y16 "), "GRAY16_LE", 16),
];

/// How a mode gets into a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    H264,
    Jpeg,
    /// With GStreamer's name of the format.
    Raw(&'static str),
}

/// How the pictures of this format are coded; None: nothing here reads them.
pub(super) fn coding(format: FourCc) -> Option<Coding> {
    match format {
        FourCc::H264 => Some(Coding::H264),
        jpeg if jpeg.is_jpeg() => Some(Coding::Jpeg),
        raw => RAW.iter().find(|(code, ..)| *code == raw).map(|&(_, name, _)| Coding::Raw(name)),
    }
}

/// Whether a format is a sensor's Bayer pattern (V4L2's `SBGGR`, `SGBRG`, `SGRBG`, `SRGGB` of any depth and packing).
pub(super) fn is_bayer(format: FourCc) -> bool {
    match &format.0 {
        b"GBRG" | b"GRBG" | b"RGGB" | b"BYR2" => true,
        [b'p', b'B' | b'G' | b'g' | b'R', b'A' | b'C' | b'E', _] => true,
        [b'B' | b'G' | b'R', b'A' | b'B' | b'G' | b'R', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => false,
    }
}

/// Whether a mode is one a driver can mean: sizes that caps and encoders can express, a rate above 0.
pub(super) fn is_sane(mode: &Mode) -> bool {
    let size = 16..=16_384;
    let rate = 1..=i32::MAX as u32;
    size.contains(&mode.width)
        && size.contains(&mode.height)
        && rate.contains(&mode.rate.frames)
        && rate.contains(&mode.rate.seconds)
        && mode.rate.fps() <= 1000.0
}

/// Bytes per second of uncompressed pictures; 0 for compressed ones.
pub(super) fn raw_bytes_per_second(mode: &Mode) -> f64 {
    let bits = RAW.iter().find(|(code, ..)| *code == mode.format).map_or(0, |&(_, _, bits)| bits);
    area(mode.width, mode.height) as f64 * f64::from(bits) / 8.0 * mode.rate.fps()
}

/// Whether a mode asks more of USB 2 than it carries.
pub(super) fn overloads_usb2(mode: &Mode, driver: &str) -> bool {
    driver == "uvcvideo" && raw_bytes_per_second(mode) > USB2_BYTES_PER_SECOND
}

pub(super) fn area(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// How far a mode is from what is wanted; the smaller, the better. The fields count in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distance {
    /// Less than half the wanted rate: the best size is no use as a slide show.
    pub slide_show: bool,
    pub size: SizeDistance,
    /// Below the wanted rate. One percent is nothing: 30000/1001 is 30.
    pub slow: bool,
    /// Raw pictures that USB 2 does not carry.
    pub overload: bool,
    /// Thousandths of a frame per second.
    rate: u64,
    /// JPEG must be decoded first.
    pub decode: bool,
    format: usize,
}

/// How far a size is from the wanted one, in pixels of area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SizeDistance {
    /// Not above the wanted one, and a quarter of it or more.
    Within(u64),
    /// Wider or higher.
    Above(u64),
    /// So small that a larger one serves better.
    Tiny(u64),
}

/// How far `mode` is from what is wanted.
pub(super) fn distance(mode: &Mode, wanted: &Wanted, driver: &str) -> Distance {
    let (has, wants) = (area(mode.width, mode.height), area(wanted.width, wanted.height));
    let size = match mode.width <= wanted.width && mode.height <= wanted.height {
        true if has * 4 >= wants => SizeDistance::Within(wants - has),
        true => SizeDistance::Tiny(wants - has),
        false => SizeDistance::Above(has),
    };
    let rate = wanted_fps(wanted.rate);
    Distance {
        slide_show: mode.rate.fps() < rate * 0.5,
        size,
        slow: mode.rate.fps() < rate * 0.99,
        overload: overloads_usb2(mode, driver),
        rate: ((mode.rate.fps() - rate).abs() * 1000.0) as u64,
        decode: mode.format.is_jpeg(),
        format: RAW.iter().position(|(code, ..)| *code == mode.format).unwrap_or(RAW.len()),
    }
}

/// The mode that comes nearest; the first of equals.
pub(super) fn nearest(modes: impl IntoIterator<Item = Mode>, wanted: &Wanted, driver: &str) -> Option<Mode> {
    modes.into_iter().min_by_key(|mode| distance(mode, wanted, driver))
}

/// The wanted rate as a number that can be compared with, whatever was written.
fn wanted_fps(rate: Rate) -> f64 {
    if rate.seconds == 0 || rate.frames == 0 { 30.0 } else { rate.fps() }
}
