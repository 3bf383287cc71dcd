//! What files may be called: names that clients give, and names made by a pattern.
//!
//! The one place where a name from outside becomes part of a path. No file is touched here.

use std::{fmt, time::SystemTime};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::spelling::{self, LONGEST_OLD};
use crate::error::{Error, Result};

/// The longest name the kernel takes, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

/// Bytes that stand before a file's name in that of its mark (`.unfinished-`).
const MARK: usize = 12;

/// What stands before a number that `_` does not set apart. No spelling has it.
const NUMBER: char = '+';

/// Extensions that say what is in a file here.
const MEDIA: [&str; 6] = ["jpg", "jpeg", "png", "mp4", "mkv", "ts"];

/// The name of a file directly in a folder of ours: joined to the folder, it stays in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Checks a name that a client gave. Refused: path separators (`\` too), control characters and NUL, a leading dot
    /// (hidden files, `.`, `..`), nothing at all, more than 255 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let rule = match text {
            "" => "is empty",
            _ if text.len() > LONGEST => "is longer than 255 bytes",
            _ if text.contains(['/', '\\']) => "has a path separator",
            _ if text.contains(char::is_control) => "has a control character",
            _ if text.starts_with('.') => "begins with a dot",
            _ => return Ok(Self(text.to_owned())),
        };
        Err(Error::invalid_param("filename", rule, "give a plain file name, such as front-door.jpg"))
    }

    /// The name with one of `extensions` (lower case, without dots): kept where it has one of them, the first added
    /// where it has none. Error: it has the extension of some other kind of file.
    pub fn with_extension(self, extensions: &[&str]) -> Result<Self> {
        let own = self.extension().unwrap_or_default();
        if extensions.contains(&own.as_str()) {
            return Ok(self);
        }
        let wanted = extensions.first().copied().unwrap_or_default();
        if MEDIA.contains(&own.as_str()) {
            let rule = format!("ends in .{own}");
            return Err(Error::invalid_param("filename", rule, format!("end it in .{wanted}, or ask for that format")));
        }
        Self::parse(&format!("{}.{wanted}", self.0))
    }

    /// What stands after the last dot, in small letters; `None` without a dot.
    pub fn extension(&self) -> Option<String> {
        self.0.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How new files are named: text with `{device}` and times in braces, e.g. `{device}_{YYYY-MM-DD_HH-MM-SS}`. Times are
/// in UTC, so that names sort by age over a change of summer time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text(char),
    Device,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

impl Default for NamePattern {
    /// `{device}_{YYYY-MM-DD_HH-MM-SS}`
    fn default() -> Self {
        use Piece::{Day, Device, Hour, Minute, Month, Second, Text, Year};
        let dash = Text('-');
        let (date, time) = ([Year, dash, Month, dash, Day], [Hour, dash, Minute, dash, Second]);
        Self([&[Device, Text('_')], &date[..], &[Text('_')], &time].concat())
    }
}

impl NamePattern {
    /// Reads a pattern. `MM` after `HH` is minutes, otherwise months. Errors name `file_name_pattern`: an unknown or
    /// unclosed brace, no `{device}`, more than 100 characters, or names that [`FileName`] would refuse.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |rule: String| {
            Error::invalid_param("file_name_pattern", rule, "write it like {device}_{YYYY-MM-DD_HH-MM-SS}")
        };
        if text.len() > 100 {
            return Err(wrong("is longer than 100 bytes".into()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '{' => {
                    let (field, after) = rest.split_once('}').ok_or_else(|| wrong("has a { without a }".into()))?;
                    pieces.extend(fields(field).ok_or_else(|| wrong(format!("has an unknown field {{{field}}}")))?);
                    rest = after;
                }
                '}' => return Err(wrong("has a } without a {".into())),
                text => pieces.push(Piece::Text(text)),
            }
        }
        if !pieces.contains(&Piece::Device) {
            return Err(wrong("has no {device}".into()));
        }
        let pattern = Self(pieces);
        // The longest name it can make: names() promises that every one of them is a FileName.
        let longest = format!("{}_999.jpeg", pattern.stem(&"x".repeat(LONGEST_OLD), SystemTime::UNIX_EPOCH));
        FileName::parse(&longest).map_err(|error| wrong(format!("makes file names that do not do: {error}")))?;
        Ok(pattern)
    }

    /// Names for a file of `device` begun at `at`, best first: the second is the first with `_2`, and so on to `_999`;
    /// with `+2` where `_2` could be a part of it. The device is [`spelled`](Self::spelled).
    pub fn names(&self, device: &str, at: SystemTime, extension: &'static str) -> impl Iterator<Item = FileName> {
        let stem = self.stem(&self.spelled(device), at);
        let own = self.device(&format!("{stem}.{extension}")).map(str::to_owned);
        // Fields have two digits or four.
        let is_plain = [2, 10].iter().all(|n| self.device(&format!("{stem}_{n}.{extension}")) == own.as_deref());
        let before = if is_plain { '_' } else { NUMBER };
        (1..1000).map(move |number| {
            FileName(match number {
                1 => format!("{stem}.{extension}"),
                _ => format!("{stem}{before}{number}.{extension}"),
            })
        })
    }

    /// The device in a name that [`names`](Self::names) made, as it is spelled; `None` for other names.
    pub fn device<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.read(name).map(|(device, _)| device)
    }

    /// The time in such a name; `None` where the pattern has no whole date.
    pub fn time(&self, name: &str) -> Option<SystemTime> {
        self.device_and_time(name)?.1
    }

    /// Both at once.
    pub fn device_and_time<'a>(&self, name: &'a str) -> Option<(&'a str, Option<SystemTime>)> {
        self.read(name).map(|(device, numbers)| (device, Self::time_of(&numbers)))
    }

    fn time_of(numbers: &[(Piece, u16)]) -> Option<SystemTime> {
        let of = |wanted| numbers.iter().find(|(piece, _)| *piece == wanted).map(|(_, number)| *number);
        let small = |wanted| u8::try_from(of(wanted).unwrap_or(0)).ok();
        let month = Month::try_from(small(Piece::Month)?).ok()?;
        let date = Date::from_calendar_date(i32::from(of(Piece::Year)?), month, small(Piece::Day)?).ok()?;
        let time = Time::from_hms(small(Piece::Hour)?, small(Piece::Minute)?, small(Piece::Second)?).ok()?;
        Some(PrimitiveDateTime::new(date, time).assume_utc().into())
    }

    /// The device and the numbers in a name that this pattern made.
    fn read<'a>(&self, name: &'a str) -> Option<(&'a str, Vec<(Piece, u16)>)> {
        let (stem, _) = name.rsplit_once('.')?;
        let mut devices = self.0.split(|piece| *piece == Piece::Device);
        let (before, after) = (devices.next()?, devices.next()?);
        if devices.next().is_some() {
            return None;
        }
        let middle = |mut rest: &'a str| {
            let mut numbers = Vec::new();
            for (piece, at_end) in
                before.iter().map(|piece| (piece, false)).chain(after.iter().rev().map(|p| (p, true)))
            {
                let (number, left) = piece.strip(rest, at_end)?;
                numbers.extend(number.map(|number| (*piece, number)));
                rest = left;
            }
            (!rest.is_empty() && !rest.contains(NUMBER)).then_some((rest, numbers))
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let numbered = |before| stem.rsplit_once(before).filter(|(_, number)| digits(number));
        middle(stem).or_else(|| middle(numbered('_')?.0)).or_else(|| middle(numbered(NUMBER)?.0))
    }

    /// A device's name as it stands in the names of its files, and no other's.
    pub fn spelled(&self, device: &str) -> String {
        let times = self.0.iter().filter(|piece| **piece == Piece::Device).count();
        let others = self.stem("", SystemTime::UNIX_EPOCH).len() + "_999.jpeg".len() + MARK;
        spelling::spell(device, (LONGEST.saturating_sub(others) / times.max(1)).max(LONGEST_OLD))
    }

    /// A name without its number and its ending. `device` is spelled.
    fn stem(&self, device: &str, at: SystemTime) -> String {
        let at = date(at);
        let mut stem = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(letter) => stem.push(*letter),
                Piece::Device => stem.push_str(device),
                Piece::Year => stem.push_str(&format!("{:04}", at.year())),
                Piece::Month => stem.push_str(&format!("{:02}", u8::from(at.month()))),
                Piece::Day => stem.push_str(&format!("{:02}", at.day())),
                Piece::Hour => stem.push_str(&format!("{:02}", at.hour())),
                Piece::Minute => stem.push_str(&format!("{:02}", at.minute())),
                Piece::Second => stem.push_str(&format!("{:02}", at.second())),
            }
        }
        stem
    }
}

impl Piece {
    /// `text` without this piece at its beginning, or its end, and the number it is there; `None` where it is not there.
    fn strip(self, text: &str, at_end: bool) -> Option<(Option<u16>, &str)> {
        let digits = match self {
            Self::Text(letter) if at_end => return text.strip_suffix(letter).map(|rest| (None, rest)),
            Self::Text(letter) => return text.strip_prefix(letter).map(|rest| (None, rest)),
            Self::Device => return None,
            Self::Year => 4,
            Self::Month | Self::Day | Self::Hour | Self::Minute | Self::Second => 2,
        };
        let (first, second) = text.split_at_checked(if at_end { text.len().checked_sub(digits)? } else { digits })?;
        let (number, rest) = if at_end { (second, first) } else { (first, second) };
        let plain = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| plain).map(|number| (Some(number), rest))
    }
}

/// What stands between braces: `device`, or a time. `None` where it is neither.
fn fields(text: &str) -> Option<Vec<Piece>> {
    if text == "device" {
        return Some(vec![Piece::Device]);
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let known = [
            ("YYYY", Piece::Year),
            ("MM", if pieces.contains(&Piece::Hour) { Piece::Minute } else { Piece::Month }),
            ("DD", Piece::Day),
            ("HH", Piece::Hour),
            ("SS", Piece::Second),
        ];
        if let Some((letters, piece)) = known.into_iter().find(|(letters, _)| rest.starts_with(letters)) {
            pieces.push(piece);
            rest = &rest[letters.len()..];
        } else if matches!(first, '-' | '_' | '.' | 'T') {
            pieces.push(Piece::Text(first));
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    (!pieces.is_empty()).then_some(pieces)
}

/// The date in UTC. A clock beyond what dates can say counts as 1970.
fn date(at: SystemTime) -> OffsetDateTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
