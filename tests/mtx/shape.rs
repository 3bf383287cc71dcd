//! What a reply looks like: an object has these fields and no others, in any depth.

use serde_json::Value;

/// Compares a reply with a shape: a word is a kind of value, with a `?` it may be null; an array has elements like the
/// one that is shown.
pub fn check(found: &Value, shape: &Value, place: &str) {
    match shape {
        Value::String(kind) => {
            let (kind, null) = kind.strip_suffix('?').map_or((kind.as_str(), false), |kind| (kind, true));
            assert!((null && found.is_null()) || is(found, kind), "{place}: {found} is no {kind}");
        }
        Value::Array(shapes) => {
            let elements = found.as_array().unwrap_or_else(|| panic!("{place}: {found} is no array"));
            for (at, element) in elements.iter().enumerate() {
                check(element, &shapes[0], &format!("{place}[{at}]"));
            }
        }
        Value::Object(fields) => {
            let there = found.as_object().unwrap_or_else(|| panic!("{place}: {found} is no object"));
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(there), names(fields), "{place}");
            for (name, shape) in fields {
                check(&there[name], shape, &format!("{place}.{name}"));
            }
        }
        other => panic!("{place}: {other} is no shape"),
    }
}

fn is(found: &Value, kind: &str) -> bool {
    let text = || found.as_str().unwrap_or("?");
    match kind {
        "bool" => found.is_boolean(),
        "int" => found.is_u64(),
        "number" => found.is_number(),
        "string" => found.is_string(),
        "object" => found.is_object(),
        "uuid" => text().parse::<uuid::Uuid>().is_ok(),
        "time" => {
            let parse = time::OffsetDateTime::parse(text(), &time::format_description::well_known::Rfc3339);
            parse.is_ok() && !text().contains("0Z") || text().ends_with(":00Z")
        }
        word => found == word.trim_matches('\''),
    }
}
