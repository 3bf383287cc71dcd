//! Words for what a camera can deliver: pixel format, size, rate.
//!
//! Asking a device for them is `device::probe`; choosing among them is `pipeline::plan`.

use std::{fmt, str::FromStr};

/// A V4L2 pixel format code (`V4L2_PIX_FMT_*`), e.g. `YUYV`, `MJPG`, `H264`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// H.264 byte stream (`V4L2_PIX_FMT_H264`).
    pub const H264: Self = Self(*b"H264");
    /// Motion JPEG (`V4L2_PIX_FMT_MJPEG`).
    pub const MJPG: Self = Self(*b"MJPG");
    /// JPEG (`V4L2_PIX_FMT_JPEG`); some drivers name their Motion JPEG so.
    pub const JPEG: Self = Self(*b"JPEG");
    /// Packed YUV 4:2:2 (`V4L2_PIX_FMT_YUYV`).
    pub const YUYV: Self = Self(*b"YUYV");

    /// Whether each picture is a JPEG file of its own.
    pub fn is_jpeg(self) -> bool {
        self == Self::MJPG || self == Self::JPEG
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b' ' => {}
                0x21..=0x7e => fmt::Write::write_char(f, byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FourCc {
    type Err = String;

    /// Reads one to four printable characters, padded with spaces as V4L2 does.
    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 4 || !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(format!("\"{text}\" is not a four-character pixel format"));
        }
        let mut code = *b"    ";
        code[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(code))
    }
}

/// Frames per second as a fraction, the reciprocal of `v4l2_fract` frame intervals.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Frames …
    pub frames: u32,
    /// … in this many seconds. Never 0.
    pub seconds: u32,
}

impl Rate {
    /// A whole number of frames per second.
    pub const fn per_second(frames: u32) -> Self {
        Self { frames, seconds: 1 }
    }

    /// As a floating-point number, for people and comparisons.
    pub fn fps(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        u64::from(self.frames) * u64::from(other.seconds) == u64::from(other.frames) * u64::from(self.seconds)
    }
}
impl Eq for Rate {}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            1 => write!(f, "{}", self.frames),
            _ => write!(f, "{:.2}", self.fps()),
        }
    }
}

/// One thing a camera offers: a pixel format at a size and a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Pixel format.
    pub format: FourCc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frame rate.
    pub rate: Rate,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}@{}", self.format, self.width, self.height, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_as_people_write_them() {
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'G', b'R', 0, 0x80]).to_string(), "GR\\x00\\x80");
        assert_eq!("Y16".parse::<FourCc>().unwrap(), FourCc(*b"Y16 "));
        assert!("".parse::<FourCc>().is_err() && "TOOLONG".parse::<FourCc>().is_err());
    }

    #[test]
    fn equal_rates_compare_equal() {
        assert_eq!(Rate { frames: 60, seconds: 2 }, Rate::per_second(30));
        assert_ne!(Rate { frames: 30000, seconds: 1001 }, Rate::per_second(30));
    }
}
