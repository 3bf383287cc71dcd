//! What a scalar of the configuration can be. Each type reads itself and says what it accepts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use crate::{
    frame::Codec,
    id::CameraId,
    mode::{FourCc, Rate},
};

/// Why a text is not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something else altogether.
    Type,
    /// The right kind of thing, too small or too large.
    Range,
}

/// A type that stands in the configuration as one scalar.
pub(super) trait Value: Sized {
    /// What is accepted, after "valid:".
    fn valid() -> String;
    fn read(text: &str) -> Result<Self, Fault>;
    /// What an empty value means, if anything.
    fn empty() -> Option<Self> {
        None
    }
    /// The accepted words, where there are only so many.
    fn words() -> &'static [&'static str] {
        &[]
    }
    /// Whether messages must not repeat it.
    const SECRET: bool = false;
}

/// Declares an enum whose variants are words of the configuration, with older spellings after a bar.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal $(| $old:literal)*,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$about])* $variant,)+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $word,)+ })
            }
        }

        impl $crate::config::value::Value for $name {
            fn valid() -> String {
                [$($word),+].join(", ")
            }
            fn read(text: &str) -> Result<Self, $crate::config::value::Fault> {
                match text.to_lowercase().as_str() {
                    $($word $(| $old)* => Ok(Self::$variant),)+
                    _ => Err($crate::config::value::Fault::Type),
                }
            }
            fn words() -> &'static [&'static str] {
                &[$($word),+]
            }
        }
    };
}
pub(super) use words;

/// A number of bytes. Written as a number, or with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("GB", 1_000_000_000), ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10)];
        match units.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Value for ByteSize {
    fn valid() -> String {
        "a size in bytes, or with a unit such as 512KiB, 10MB, 4GB".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let (number, unit) = split_unit(text);
        let factor: u64 = match unit.to_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(Fault::Type),
        };
        scaled(number, factor as f64, (1u64 << 60) as f64).map(|bytes| Self(bytes as u64))
    }
}

/// Bits per second. Written as a number, or with k or M.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(pub u32);

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits if bits > 0 && bits.is_multiple_of(1_000_000) => write!(f, "{}M", bits / 1_000_000),
            bits if bits > 0 && bits.is_multiple_of(1_000) => write!(f, "{}k", bits / 1_000),
            bits => write!(f, "{bits}"),
        }
    }
}

impl Value for BitRate {
    fn valid() -> String {
        "bits per second, such as 2000000, 600k or 2M".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let (number, unit) = split_unit(text);
        let factor = match unit.trim_end_matches("bit/s").trim_end_matches("bps") {
            "" => 1.0,
            "k" | "K" => 1e3,
            "m" | "M" => 1e6,
            _ => return Err(Fault::Type),
        };
        scaled(number, factor, u32::MAX.into()).map(|bits| Self(bits as u32))
    }
}

/// A text that is never shown: `Debug` and messages hide it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(hidden)" })
    }
}

impl Value for Secret {
    const SECRET: bool = true;
    fn valid() -> String {
        "a text".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        Ok(Self(text.to_owned()))
    }
    fn empty() -> Option<Self> {
        Some(Self::default())
    }
}

impl Value for Duration {
    fn valid() -> String {
        "a time such as 10s, 500ms, 1h30m, or a number of seconds".into()
    }
    /// A number is seconds; otherwise numbers with ms, s, m, h or d one after another, as Go writes them.
    fn read(text: &str) -> Result<Self, Fault> {
        let (mut rest, mut total) = (text.trim(), 0.0);
        if rest.is_empty() {
            return Err(Fault::Type);
        }
        while !rest.is_empty() {
            let (number, tail) = split_unit(rest);
            let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let factor = match &tail[..end] {
                "" if number == text.trim() => 1.0,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return Err(Fault::Type),
            };
            total += scaled(number, factor, 1e12)?;
            rest = tail[end..].trim_start();
        }
        // Microseconds are finer than anything here needs, and free of the noise of binary fractions.
        Ok(Self::from_micros((total * 1e6).round() as u64))
    }
}

/// Splits `10MB` into `10` and `MB`.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | '_')).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn scaled(number: &str, factor: f64, max: f64) -> Result<f64, Fault> {
    let value = number.replace('_', "").parse::<f64>().map_err(|_| Fault::Type)? * factor;
    if (0.0..=max).contains(&value) { Ok(value) } else { Err(Fault::Range) }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => { $(
        impl Value for $type {
            fn valid() -> String {
                "a whole number".into()
            }
            fn read(text: &str) -> Result<Self, Fault> {
                let number: i128 = text.trim().replace('_', "").parse().map_err(|_| Fault::Type)?;
                number.try_into().map_err(|_| Fault::Range)
            }
        }
    )+ };
}
whole_numbers!(u8, u16, u32, u64);

impl Value for f64 {
    fn valid() -> String {
        "a number".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.trim().parse::<Self>().ok().filter(|number| number.is_finite()).ok_or(Fault::Type)
    }
}

impl Value for bool {
    fn valid() -> String {
        "true or false".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(Fault::Type),
        }
    }
    fn words() -> &'static [&'static str] {
        &["true", "false"]
    }
}

impl Value for String {
    fn valid() -> String {
        "a text".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        Ok(text.to_owned())
    }
    fn empty() -> Option<Self> {
        Some(Self::new())
    }
}

impl Value for PathBuf {
    fn valid() -> String {
        "a path".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.contains('\0') { Err(Fault::Type) } else { Ok(text.into()) }
    }
}

/// An optional value: nothing and `""` are none.
impl<T: Value> Value for Option<T> {
    const SECRET: bool = T::SECRET;
    fn valid() -> String {
        format!("{}, or nothing", T::valid())
    }
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() { Ok(None) } else { T::read(text).map(Some) }
    }
    fn empty() -> Option<Self> {
        Some(None)
    }
    fn words() -> &'static [&'static str] {
        T::words()
    }
}

impl Value for IpAddr {
    fn valid() -> String {
        "an IP address of this machine, such as 0.0.0.0 (all), 127.0.0.1 or ::".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text {
            "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().map_err(|_| Fault::Type),
        }
    }
}

impl Value for FourCc {
    fn valid() -> String {
        "a V4L2 pixel format of up to four characters, such as YUYV, MJPG, H264".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::Type)
    }
}

impl Value for CameraId {
    fn valid() -> String {
        "camera0, camera1, …".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::Type)
    }
}

impl Value for Codec {
    fn valid() -> String {
        Self::words().join(", ")
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text.to_lowercase().as_str() {
            "h264" => Ok(Self::H264),
            "mjpeg" => Ok(Self::Mjpeg),
            _ => Err(Fault::Type),
        }
    }
    fn words() -> &'static [&'static str] {
        &["h264", "mjpeg"]
    }
}

impl Value for Rate {
    fn valid() -> String {
        "frames per second from 1 to 240, such as 30, 29.97 or 30000/1001".into()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| Fault::Type);
        let rate = match text.split_once('/') {
            Some((frames, seconds)) => Self { frames: number(frames)?, seconds: number(seconds)? },
            None => match text.trim() {
                "59.94" => Self { frames: 60000, seconds: 1001 },
                "29.97" => Self { frames: 30000, seconds: 1001 },
                "23.976" | "23.98" => Self { frames: 24000, seconds: 1001 },
                text => match text.parse::<f64>().map_err(|_| Fault::Type)? {
                    fps if fps.fract() == 0.0 => Self::per_second(fps as u32),
                    fps => Self { frames: (fps * 1000.0).round() as u32, seconds: 1000 },
                },
            },
        };
        if rate.seconds > 0 && (1.0..=240.0).contains(&rate.fps()) { Ok(rate) } else { Err(Fault::Range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_bit_rates_have_units() {
        assert_eq!(ByteSize::read("10MB"), Ok(ByteSize(10_000_000)));
        assert_eq!(ByteSize::read("512 KiB"), Ok(ByteSize(524_288)));
        assert_eq!(ByteSize::read("10485760").map(|size| size.to_string()), Ok("10MiB".into()));
        assert_eq!(ByteSize::read("-1"), Err(Fault::Range));
        assert_eq!(ByteSize::read("10 apples"), Err(Fault::Type));
        assert_eq!(BitRate::read("600k"), Ok(BitRate(600_000)));
        assert_eq!(BitRate::read("1.5M"), Ok(BitRate(1_500_000)));
        assert_eq!(BitRate::read("9G"), Err(Fault::Type));
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, millis) in
            [("5", 5000), ("0.1", 100), ("2.0", 2000), ("500ms", 500), ("1h30m", 5_400_000), ("1m 5s", 65_000)]
        {
            assert_eq!(Duration::read(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "ten", "5 5", "1x", "nan", "1s5"] {
            assert_eq!(Duration::read(text), Err(Fault::Type), "{text}");
        }
        assert_eq!(Duration::read("-5s"), Err(Fault::Range));
    }

    #[test]
    fn rates_are_fractions() {
        assert_eq!(Rate::read("30"), Ok(Rate::per_second(30)));
        assert_eq!(Rate::read("29.97"), Rate::read("30000/1001"));
        assert_eq!(Rate::read("7.5"), Ok(Rate { frames: 15, seconds: 2 }));
        assert_eq!(Rate::read("0"), Err(Fault::Range));
        assert_eq!(Rate::read("30/0"), Err(Fault::Range));
        assert_eq!(Rate::read("fast"), Err(Fault::Type));
    }

    #[test]
    fn secrets_do_not_print() {
        let text = format!("{:?}", Secret("hunter2".into()));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
