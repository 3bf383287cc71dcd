//! Quantities with units: sizes, bit rates, times.

use std::{fmt, time::Duration};

use serde_json::{Value as Json, json};

use super::value::{Fault, Value, text_form};

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
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![
            json!({ "type": "number", "minimum": 0 }),
            text_form("^ *[0-9][0-9._]* *([kKmMgGtT]([iI]?[bB])?|[bB])? *$"),
        ]
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
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": "number", "minimum": 0 }), text_form("^ *[0-9][0-9._]* *[kKmM]?(bit/s|bps)? *$")]
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

impl Value for Duration {
    fn valid() -> String {
        "a time such as 10s, 500ms, 1h30m, or a number of seconds".into()
    }
    /// A number is seconds; otherwise numbers with ms, s, m, h or d one after another, as Go writes them.
    fn written(&self) -> Json {
        match self.as_millis() {
            0 => json!("0"),
            millis if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000).into(),
            millis if millis % 1000 == 0 => format!("{}s", millis / 1000).into(),
            millis => format!("{millis}ms").into(),
        }
    }
    fn forms() -> Vec<Json> {
        let units = "(us|µs|ms|s|m|min|h|d)";
        let several = format!("^ *([0-9][0-9._]* *{units} *)+$");
        vec![json!({ "type": "number", "minimum": 0 }), text_form(&several), text_form("^ *[0-9][0-9._]* *$")]
    }
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
}
