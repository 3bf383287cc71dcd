//! Times as the wire has them.

use std::{borrow::Cow, time::SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment, written as RFC 3339 in UTC with a `Z` and milliseconds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment = OffsetDateTime::from(self.0);
        let moment = moment.replace_millisecond(moment.millisecond()).map_err(S::Error::custom)?;
        serializer.collect_str(&moment.format(&Rfc3339).map_err(S::Error::custom)?)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "pattern": "Z$" })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_utc_with_a_z() {
        let text = |millis, nanos| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis) + Duration::from_nanos(nanos);
            serde_json::to_string(&Timestamp(time)).unwrap()
        };
        assert_eq!(text(1_736_951_400_000, 0), "\"2025-01-15T14:30:00Z\"");
        assert_eq!(text(1_736_951_400_250, 999), "\"2025-01-15T14:30:00.25Z\"");
    }
}
