//! What files written for earlier versions say differently: other spellings, keys that moved, keys without a meaning.
//!
//! The tree is brought to today's spelling here, so that no section needs to know its past. Messages keep the spelling
//! of the file.

use serde_json::{Value as Json, json};

use super::{
    document::{Data, Entry, Node},
    problem::Diagnostic,
};

/// Old path, path today. Where both are written, today's wins and a warning says so.
const MOVED: &[(&str, &str)] = &[
    ("cameras", "camera"),
    ("recording.enabled", "recording.auto_record"),
    ("mediamtx.codec.video_profile", "encoder.profile"),
    ("mediamtx.codec.video_level", "encoder.level"),
    ("mediamtx.codec.bitrate", "encoder.bitrate"),
    ("mediamtx.codec.preset", "encoder.preset"),
    ("storage.default_path", "mediamtx.recordings_path"),
];

const ENGINE: &str = "has no meaning: the media engine is part of this process, there is none to watch or restart";
const PROBED: &str = "has no meaning: a camera's abilities are read when it is plugged in";
const POLLED: &str = "has no meaning: udev reports cameras at once, nothing is polled";

/// Paths (a last part ending in `*` stands for any ending) that are accepted, and why they do nothing.
const MEANINGLESS: &[(&str, &str)] = &[
    ("mediamtx.config_path", "has no meaning: this file is the configuration of the media engine too"),
    ("mediamtx.health_*", ENGINE),
    ("mediamtx.backoff_*", ENGINE),
    ("mediamtx.process_*", ENGINE),
    ("mediamtx.stream_readiness", ENGINE),
    (
        "mediamtx.codec.pixel_format",
        "has no meaning: every encoder here makes 4:2:0 of 8 bits, which all viewers decode",
    ),
    ("camera.poll_interval", POLLED),
    ("camera.polling_interval", POLLED),
    ("camera.device_range", "has no meaning: cameras are found whatever their number; camera.devices can ignore one"),
    ("camera.enable_capability_detection", PROBED),
    ("camera.capability_*", PROBED),
];

/// Keys that were removed, and what to write instead.
const REMOVED: &[(&str, &str)] = &[
    ("mediamtx.api_url", "was removed; write mediamtx.host and mediamtx.api_port instead"),
    ("mediamtx.api_timeout", "was removed; write mediamtx.host and mediamtx.api_port instead"),
];

/// Adds what is accepted of earlier versions to the schema of today's keys, as outdated.
pub(super) fn describe(schema: &mut Json) {
    for (path, why) in MEANINGLESS {
        place(schema, path, json!({ "deprecated": true, "description": why }));
    }
    for (old, new) in MOVED {
        let pointer = |path: &str| format!("/properties/{}", path.replace('.', "/properties/"));
        let Some(mut today) = schema.pointer(&pointer(new)).cloned() else { continue };
        today["deprecated"] = true.into();
        today["description"] = format!("an earlier spelling of {new}").into();
        if let Some(fields) = today.as_object_mut() {
            // Where nobody wrote it, it stands for nothing.
            fields.remove("default");
        }
        place(schema, old, today);
    }
    schema["properties"]["mediamtx"]["properties"]["codec"]["deprecated"] = true.into();
}

/// Puts `what` at a path whose last part may stand for any ending.
fn place(schema: &mut Json, path: &str, what: Json) {
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let within = section.split('.').filter(|part| !part.is_empty());
    let section = within.fold(schema, |inner, part| &mut inner["properties"][part]);
    match key.strip_suffix('*') {
        Some(start) => section["patternProperties"][format!("^{start}")] = what,
        None => section["properties"][key] = what,
    }
}

/// Rewrites `root` to today's keys.
pub(super) fn modernise(root: &mut Node, problems: &mut Vec<Diagnostic>, warnings: &mut Vec<Diagnostic>) {
    for (old, new) in MOVED {
        for entry in take(root, old) {
            put(root, new, entry, warnings);
        }
    }
    for (path, why) in MEANINGLESS {
        warnings.extend(take(root, path).iter().map(|entry| Diagnostic::new(&entry.place, &entry.written, *why)));
    }
    for (path, instead) in REMOVED {
        problems.extend(take(root, path).iter().map(|entry| Diagnostic::new(&entry.place, &entry.written, *instead)));
    }
}

fn take(root: &mut Node, path: &str) -> Vec<Entry> {
    let Data::Map(entries) = &mut root.data else { return Vec::new() };
    match path.split_once('.') {
        Some((section, rest)) => match entries.iter_mut().find(|entry| entry.key == section) {
            Some(entry) => take(&mut entry.node, rest),
            None => Vec::new(),
        },
        None => entries.extract_if(.., |entry| matches(path, &entry.key)).collect(),
    }
}

fn matches(pattern: &str, key: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == key, |start| key.starts_with(start))
}

fn put(root: &mut Node, path: &str, mut entry: Entry, warnings: &mut Vec<Diagnostic>) {
    let Data::Map(entries) = &mut root.data else { return };
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    let there = entries.iter_mut().find(|there| there.key == key);
    match (there, rest) {
        (Some(there), Some(rest)) if there.node.is_null() => {
            there.node.data = Data::Map(Vec::new());
            put(&mut there.node, rest, entry, warnings);
        }
        (Some(there), Some(rest)) => put(&mut there.node, rest, entry, warnings),
        (None, Some(rest)) => {
            let mut node = Node { place: entry.place.clone(), data: Data::Map(Vec::new()) };
            let place = entry.place.clone();
            put(&mut node, rest, entry, warnings);
            entries.push(Entry { key: key.into(), written: key.into(), place, node });
        }
        (None, None) => {
            entry.key = key.into();
            entries.push(entry);
        }
        (Some(there), None) if there.node.is_null() => there.node = entry.node,
        (Some(there), None) => match entry.node.data {
            Data::Map(inner) if matches!(there.node.data, Data::Map(_)) => {
                for entry in inner {
                    let key = entry.key.clone();
                    put(&mut there.node, &key, entry, warnings);
                }
            }
            _ => {
                let message = format!("is not used: {} at {} says the same", there.written, there.place);
                warnings.push(Diagnostic::new(&entry.place, &entry.written, message));
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document::parse, *};

    fn modern(text: &str) -> (Node, Vec<String>, Vec<String>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut node = parse(&"f".into(), text, &mut problems);
        modernise(&mut node, &mut problems, &mut warnings);
        let text = |list: Vec<Diagnostic>| list.iter().map(ToString::to_string).collect();
        (node, text(problems), text(warnings))
    }

    fn at(node: &mut Node, path: &str) -> Entry {
        take(node, path).pop().unwrap_or_else(|| panic!("{path} is missing"))
    }

    #[test]
    fn a_moved_key_keeps_its_spelling_for_messages() {
        let (mut node, problems, warnings) = modern("mediamtx:\n  codec: {bitrate: 600k}\nencoder:\n  gop: 1s\n");
        let entry = at(&mut node, "encoder.bitrate");
        assert_eq!((entry.written.as_str(), entry.node.data), ("mediamtx.codec.bitrate", Data::Text("600k".into())));
        assert!(problems.is_empty() && warnings.is_empty(), "{problems:?} {warnings:?}");
    }

    #[test]
    fn of_two_spellings_todays_wins_with_a_warning() {
        let (mut node, _, warnings) = modern("recording:\n  auto_record: true\n  enabled: false\n");
        assert_eq!(at(&mut node, "recording.auto_record").node.data, Data::Text("true".into()));
        assert_eq!(warnings, ["f:3:3: recording.enabled: is not used: recording.auto_record at f:2:3 says the same"]);
    }

    #[test]
    fn two_spellings_of_a_section_are_joined() {
        let (mut node, _, warnings) = modern("camera: {a: 1}\ncameras: {b: 2}\n");
        assert_eq!(at(&mut node, "camera.b").written, "cameras.b");
        at(&mut node, "camera.a");
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn meaningless_keys_warn_once_each_and_removed_ones_say_what_to_write() {
        let (_, problems, warnings) =
            modern("mediamtx:\n  health_check_interval: 3\n  health_x: 4\n  api_url: http://localhost:9997\n");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            problems[0].starts_with("f:4:3: mediamtx.api_url: ") && problems[0].contains("host and mediamtx.api_port")
        );
    }
}
