//! Times as Go writes them, with days in front: `"1d12h0m0s"`, `"200ms"`, and nothing for none.

use std::fmt;

/// A time in nanoseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub i64);

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

impl Nanos {
    /// Seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * SECOND)
    }

    /// As the standard library has it; none for a negative one.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads Go's notation, with days in front. Error: Go's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sign = usize::from(text.starts_with('-'));
        let digits = text[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - sign);
        if digits == 0 || !text[sign + digits..].starts_with('d') {
            return go(text).map(Self);
        }
        let wrong = || invalid(text);
        let days: i64 = text[sign..sign + digits].parse().map_err(|_| wrong())?;
        let rest = &text[sign + digits + 1..];
        let rest = if rest.is_empty() { 0 } else { go(rest)? };
        let sum = days.checked_mul(DAY).and_then(|days| days.checked_add(rest)).ok_or_else(wrong)?;
        Ok(Self(if sign == 1 { -sum } else { sum }))
    }
}

fn invalid(text: &str) -> String {
    format!("time: invalid duration {text:?}")
}

/// Go's `time.ParseDuration`.
fn go(text: &str) -> Result<i64, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        "" if text.is_empty() => return Ok(0),
        "" => return Err(invalid(text)),
        "0" => return Ok(0),
        _ => {}
    }
    let (mut rest, mut sum) = (unsigned, 0_f64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid(text))?;
        let tail = &rest[end..];
        let end = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
        let unit = &tail[..end];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = known.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        sum += number * *factor as f64;
        rest = &tail[end..];
    }
    if sum > i64::MAX as f64 {
        return Err(invalid(text));
    }
    let nanos = sum.round() as i64;
    Ok(if text.starts_with('-') { -nanos } else { nanos })
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.unsigned_abs();
        let (days, rest) = (all / DAY as u64, all % DAY as u64);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if days > 0 {
            write!(f, "{days}d")?;
        }
        let second = SECOND as u64;
        match rest {
            0 => Ok(()),
            rest if rest < 1_000 => write!(f, "{rest}ns"),
            rest if rest < 1_000_000 => write!(f, "{}µs", rest as f64 / 1e3),
            rest if rest < second => write!(f, "{}ms", rest as f64 / 1e6),
            rest => {
                let (minutes, seconds) = (rest / (60 * second), rest % (60 * second));
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}", seconds / second)?;
                let fraction = format!("{:09}", seconds % second);
                match fraction.trim_end_matches('0') {
                    "" => f.write_str("s"),
                    fraction => write!(f, ".{fraction}s"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_go_does() {
        for (text, shown) in [
            ("10s", "10s"),
            ("60s", "1m0s"),
            ("3600s", "1h0m0s"),
            ("200ms", "200ms"),
            ("1.5s", "1.5s"),
            ("1m30.25s", "1m30.25s"),
            ("24h", "1d"),
            ("1d12h", "1d12h0m0s"),
            ("36h5ms", "1d12h0m0.005s"),
            ("", ""),
            ("0", ""),
            ("0s", ""),
            ("1500us", "1.5ms"),
            ("-1d", "-1d"),
            ("-5s", "-5s"),
        ] {
            assert_eq!(Nanos::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, wrong) in [
            ("10", "time: missing unit in duration \"10\""),
            ("10x", "time: unknown unit \"x\" in duration \"10x\""),
            ("soon", "time: invalid duration \"soon\""),
            ("-", "time: invalid duration \"-\""),
            ("99999999999d", "time: invalid duration \"99999999999d\""),
        ] {
            assert_eq!(Nanos::parse(text).unwrap_err(), wrong, "{text}");
        }
    }
}
