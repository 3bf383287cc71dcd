//! From `params` to the typed parameters of a command, with refusals that name the parameter.
//!
//! serde knows what a command's parameters are called: it tells the deserializer. So what is unknown, missing or of
//! the wrong type is found here, once, for every command, and a command only checks what its types cannot say.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Unexpected, Visitor,
        value::StrDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    api::rpc::table::nearest,
    error::{Error, Result},
};

/// The parameters as `P`.
///
/// # Errors
/// [`crate::error::Kind::InvalidParams`].
pub(super) fn read<P: DeserializeOwned>(raw: Option<&RawValue>) -> Result<P> {
    let by_name = match raw {
        None => Map::new(),
        Some(raw) => named(raw)?,
    };
    P::deserialize(Params(by_name)).map_err(|Refusal { param, rule, hint }| Error::invalid_param(param, rule, hint))
}

/// The parameters by name. One that no value can hold (a number beyond all numbers, half a letter, 128 levels) is refused
/// by its name.
fn named(raw: &RawValue) -> Result<Map<String, Value>> {
    let by_name: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid_param("params", "are not named", "send an object: {\"name\": value}"))?;
    let value = |(name, raw): (String, &RawValue)| match serde_json::from_str(raw.get()) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(Error::invalid_param(name, format!("cannot be read: {error}"), "send another value")),
    };
    by_name.into_iter().map(value).collect()
}

struct Params(Map<String, Value>);

/// What is wrong with the parameters.
#[derive(Debug)]
struct Refusal {
    param: String,
    rule: String,
    hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.param, self.rule)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let hint = "read what the method takes in docs/rpc.md".to_owned();
        Self { param: "params".to_owned(), rule: format!("do not fit: {message}"), hint }
    }

    fn missing_field(field: &'static str) -> Self {
        let hint = format!("add \"{field}\" to params");
        Self { param: field.to_owned(), rule: "is missing".to_owned(), hint }
    }
}

impl<'de> Deserializer<'de> for Params {
    type Error = Refusal;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if let Some(unknown) = self.0.keys().find(|key| !fields.contains(&key.as_str())) {
            let hint = match nearest(unknown, fields.iter().copied()) {
                Some(field) => format!("did you mean \"{field}\"?"),
                None if fields.is_empty() => "this method takes no parameters".to_owned(),
                None => format!("the parameters are {}", fields.join(", ")),
            };
            return Err(Refusal { param: unknown.clone(), rule: "is unknown".to_owned(), hint });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(Fields { rest: self.0.into_iter(), current: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields {
    rest: serde_json::map::IntoIter,
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.current = self.rest.next();
        let Some((name, _)) = &self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Refusal> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (param, value) = self.current.take().ok_or_else(|| de::Error::custom("a value without a name"))?;
        seed.deserialize(Given(value)).map_err(|error| {
            // serde says "invalid type: string \"x\", expected u64".
            let reason = error.to_string();
            let hint = match reason.split_once("expected ") {
                Some((_, expected)) => format!("send {expected}"),
                None => "send another value".to_owned(),
            };
            Refusal { param, rule: format!("does not fit: {reason}"), hint }
        })
    }
}

/// The value of a parameter. serde would also read a struct from a list, field by field, and a word from an object that
/// has it for a key: here a field has its name, and a word is a string.
struct Given(Value);

impl<'de> Deserializer<'de> for Given {
    type Error = serde_json::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &"an object")),
            value => value.deserialize_struct(name, fields, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(_) => Err(de::Error::invalid_type(Unexpected::Map, &"a string")),
            value => value.deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{command::NoParams, error::Kind};

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Round,
        Square,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Place {
        x: u8,
        y: u8,
    }

    #[derive(Debug, Deserialize)]
    struct Take {
        device: String,
        quality: Option<u8>,
        shape: Option<Shape>,
        place: Option<Place>,
    }

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }

    fn take(params: Value) -> Result<Take> {
        read(Some(&serde_json::value::to_raw_value(&params).unwrap()))
    }

    #[test]
    fn good_parameters_are_taken() {
        let taken = take(json!({"shape": "round", "device": "camera0", "quality": null})).unwrap();
        assert!(taken.device == "camera0" && taken.quality.is_none() && matches!(taken.shape, Some(Shape::Round)));
        assert!(matches!(take(json!({"shape": "square", "device": ""})).unwrap().shape, Some(Shape::Square)));
        assert_eq!(take(json!({"device": "", "place": {"x": 1, "y": 2}})).unwrap().place, Some(Place { x: 1, y: 2 }));
        assert!(read::<NoParams>(None).is_ok());
    }

    #[test]
    fn every_refusal_names_the_parameter_the_rule_and_the_way_out() {
        let table = [
            (json!({"devise": "x"}), "devise", "is unknown", "did you mean \"device\"?"),
            (json!({"device": "x", "zzz": 1}), "zzz", "is unknown", "the parameters are device, quality, shape, place"),
            (json!({}), "device", "is missing", "add \"device\" to params"),
            (
                json!({"device": 5}),
                "device",
                "does not fit: invalid type: integer `5`, expected a string",
                "send a string",
            ),
            (
                json!({"device": "x", "quality": 256}),
                "quality",
                "does not fit: invalid value: integer `256`, expected u8",
                "send u8",
            ),
            (
                json!({"device": "x", "shape": "oval"}),
                "shape",
                "does not fit: unknown variant `oval`, expected `round` or `square`",
                "send `round` or `square`",
            ),
            (json!(["x"]), "params", "are not named", "send an object: {\"name\": value}"),
        ];
        for (params, param, rule, hint) in table {
            let error = take(params).unwrap_err();
            let kind = Kind::InvalidParams { param: param.into(), rule: rule.into(), hint: hint.into() };
            assert_eq!(error.kind(), &kind);
        }
        for (value, rule) in [
            ("1e999", "cannot be read: number out of range at line 1 column 5".to_owned()),
            (r#""\ud800""#, "cannot be read: unexpected end of hex escape at line 1 column 8".to_owned()),
            (&nested(128), "cannot be read: recursion limit exceeded at line 1 column 128".to_owned()),
            (&nested(127), "does not fit: invalid type: sequence, expected u8".to_owned()),
        ] {
            let raw = RawValue::from_string(format!(r#"{{"device":"x","quality":{value}}}"#)).unwrap();
            let error = read::<Take>(Some(&raw)).unwrap_err();
            assert!(
                matches!(error.kind(), Kind::InvalidParams { param, rule: said, .. } if param == "quality" && *said == rule),
                "{error}"
            );
        }
        let word = take(json!({"device": "x", "shape": {"round": null}})).unwrap_err();
        assert!(word.message().contains("invalid type: map, expected a string"), "{word}");
        let places = take(json!({"device": "x", "place": [1, 2]})).unwrap_err();
        assert!(places.message().contains("invalid type: sequence, expected an object"), "{places}");
        let error = read::<NoParams>(Some(&serde_json::value::to_raw_value(&json!({"a": 1})).unwrap())).unwrap_err();
        assert!(matches!(error.kind(), Kind::InvalidParams { hint, .. } if hint == "this method takes no parameters"));
        assert!(read::<Take>(None).is_err());
    }
}
