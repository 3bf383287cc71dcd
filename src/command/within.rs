//! Numbers with a range.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A whole number from `MIN` to `MAX`. Anything else is refused as it is read, with the range in the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = |found: String| D::Error::custom(format!("{found}, expected a whole number from {MIN} to {MAX}"));
        // Read as any value first: that one which is not there at all is told as missing.
        let serde_json::Value::Number(number) = serde_json::Value::deserialize(deserializer)? else {
            return Err(refused("not a number".into()));
        };
        // Some languages write every number with a fraction: 5.0 is 5.
        let whole = number.as_f64().filter(|value| value.fract() == 0.0);
        match whole {
            Some(value) if (f64::from(MIN)..=f64::from(MAX)).contains(&value) => Ok(Self(value as u32)),
            _ => Err(refused(format!("invalid value: {number}"))),
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Within<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_is_taken() {
        let read = |text| serde_json::from_str::<Within<1, 100>>(text);
        for good in ["1", "100", "42.0"] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in ["0", "101", "1.5", "-1", "\"5\"", "null", "1e300"] {
            let refusal = read(bad).unwrap_err().to_string();
            assert!(refusal.contains("expected a whole number from 1 to 100"), "{bad}: {refusal}");
        }
    }
}
