//! The reference, docs/configuration.md, against the keys that the code asks for.

use camera_service::config::{Config, counts_at_once};
use serde_json::Value;

use super::read;

/// Every key of today, with the part of the schema that is about it.
fn keys_of(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        if inner["deprecated"] == true {
            continue;
        }
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys_of(inner, &path, found);
        keys_of(&inner["items"], &format!("{path}[]"), found);
        found.push((path, inner.clone()));
    }
}

/// A default as the reference writes it.
fn written(default: &Value) -> String {
    match default {
        Value::Null => "none".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::Array(list) if list.is_empty() => "`[]`".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Where the reference says a default in words.
const IN_WORDS: &[(&str, &str)] = &[
    ("mediamtx.recordings_path", "`recordings` in the state directory"),
    ("mediamtx.snapshots_path", "`snapshots` in the state directory"),
    ("encoder.order", "all, in this order"),
    ("retention_policy.cameras", "empty"),
    ("retention_policy.cameras[].device", "required"),
];

#[test]
fn the_reference_has_every_key_with_its_default() {
    let reference = read("docs/configuration.md");
    let mut keys = Vec::new();
    keys_of(&Config::schema(), "", &mut keys);
    assert!(keys.len() > 100, "{keys:?}");
    let mut wrong = Vec::new();
    for (key, schema) in keys {
        // The entries of this list are a table of their own, without defaults: each is none.
        if let Some(key) = key.strip_prefix("camera.devices[].") {
            let listed = key.split_once('.').map_or(key, |(_, inner)| inner);
            if !reference.contains(&format!("`{listed}`")) && !reference.contains(&format!("{listed},")) {
                wrong.push(format!("{key} of camera.devices is not there"));
            }
            continue;
        }
        let is_of = |line: &&str| line.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{key}`")));
        let Some(row) = reference.lines().find(is_of) else {
            // A section may be a heading alone.
            let heading = schema["properties"].is_object() && reference.contains(&format!("## `{key}`\n"));
            if !heading {
                wrong.push(format!("`{key}` is not there"));
            }
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let in_words = IN_WORDS.iter().find(|(there, _)| *there == key).map(|(_, words)| (*words).to_owned());
        let default = schema.get("default").map(written).unwrap_or_default();
        let expected = in_words.unwrap_or(default);
        if cells[3] != expected {
            wrong.push(format!("`{key}`: the default is {expected}, and there stands {}", cells[3]));
        }
        if schema.get("default").is_some() && cells[2].is_empty() {
            wrong.push(format!("`{key}` has no type"));
        }
    }
    assert!(wrong.is_empty(), "docs/configuration.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_reference_says_which_keys_count_at_once() {
    let reference = read("docs/configuration.md");
    let list = reference.split("These count at once:").nth(1).and_then(|rest| rest.split("All others wait").next());
    let listed: Vec<&str> = list.expect("a list").split('`').skip(1).step_by(2).collect();
    let mut keys = Vec::new();
    keys_of(&Config::schema(), "", &mut keys);
    for (key, _) in keys.iter().filter(|(key, schema)| !key.contains("[]") && !schema["properties"].is_object()) {
        let is_listed =
            listed.iter().any(|said| said.strip_suffix('*').map_or(said == key, |start| key.starts_with(start)));
        assert_eq!(is_listed, counts_at_once(key), "{key}");
    }
    let known = |said: &&str| {
        keys.iter().any(|(key, _)| said.strip_suffix('*').map_or(said == key, |start| key.starts_with(start)))
    };
    assert!(listed.iter().all(known), "{listed:?}");
}
