//! Times as MediaMTX shows them.

use std::{fmt, time::SystemTime};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};

/// A moment, written as Go does: RFC 3339 with the offset of this machine, nanoseconds without zeros at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub SystemTime);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Timestamp::try_from(self.0).map_err(|_| fmt::Error)?;
        f.write_str(&written(moment, TimeZone::system()))
    }
}

fn written(moment: Timestamp, zone: TimeZone) -> String {
    let local = moment.to_zoned(zone);
    let offset = if local.offset().is_zero() { "Z" } else { "%:z" };
    local.strftime(&format!("%Y-%m-%dT%H:%M:%S%.f{offset}")).to_string()
}

/// Reads a moment that was shown, at any offset. Error: Go's beginning of a message.
pub fn read(text: &str) -> Result<SystemTime, String> {
    let read = text.parse::<Timestamp>().map(SystemTime::from);
    read.map_err(|error| format!("parsing time {text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn moments_have_the_offset_and_no_zeros_at_their_end() {
        let shown = |text: &str, hours| written(text.parse().unwrap(), TimeZone::fixed(Offset::constant(hours)));
        assert_eq!(shown("2026-08-22T16:57:28.120Z", 2), "2026-08-22T18:57:28.12+02:00");
        assert_eq!(shown("2026-08-22T16:57:28.000000001Z", -3), "2026-08-22T13:57:28.000000001-03:00");
        assert_eq!(shown("2026-08-22T16:57:28Z", 0), "2026-08-22T16:57:28Z");
        assert_eq!(read("2026-08-22T18:57:28.12+02:00").unwrap(), read("2026-08-22T16:57:28.12Z").unwrap());
        assert!(read("").is_err() && read("2026-08-22").is_err());
    }
}
