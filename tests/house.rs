//! The rules of the house that a program can check: floors, headers, sizes, documents, honest tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every module and its floor. A module imports strictly lower floors, and on floor 0 its neighbours too.
const FLOORS: &[(&str, u8)] = &[
    ("main", 8),
    ("cli", 8),
    ("app", 7),
    ("api", 6),
    ("command", 5),
    ("camera", 4),
    ("external", 4),
    ("path", 3),
    ("device", 2),
    ("pipeline", 2),
    ("output", 2),
    ("media", 1),
    ("state_file", 1),
    ("hook", 1),
    ("error", 0),
    ("id", 0),
    ("mode", 0),
    ("frame", 0),
    ("stream", 0),
    ("rtsp_url", 0),
    ("config", 0),
    ("mtx", 0),
];

/// Crates that only some modules may use: what they bring in stays behind those modules.
const CRATES: &[(&[&str], &[&str])] = &[
    (
        &["gst", "gst_app", "gst_net", "gst_rtsp", "gst_rtsp_server", "gst_sdp", "gst_video", "gstfmp4", "glib"],
        &["media", "pipeline", "output"],
    ),
    (&["warp"], &["api"]),
    (&["tokio_rustls"], &["api", "cli"]),
    (&["udev", "v4l2r"], &["device"]),
    (&["ureq"], &["command"]),
    (&["nix"], &["cli", "output"]),
    (&["x509_parser"], &["api"]),
];

/// Lines above which a file holds more than one thing.
const LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with this ending, as a path from the root of the repository, with its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.map_or_else(|error| panic!("{error}"), |entry| entry.path())) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|there| there == ending) => found.push(named(&path)),
                false => {}
            }
        }
    }
    found.sort();
    found
}

fn named(path: &Path) -> (String, String) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.strip_prefix(root()).unwrap_or(path);
    (name.display().to_string(), text)
}

/// README and everything in `docs/`.
fn documents() -> Vec<(String, String)> {
    let readme = root().join("README.md");
    files("docs", "md").into_iter().chain(readme.exists().then(|| named(&readme))).collect()
}

/// The top module a source file belongs to: `src/config/value.rs` is of `config`.
fn module(file: &str) -> &str {
    let path = file.strip_prefix("src/").unwrap_or(file);
    path.split(['/', '.']).next().unwrap_or(path)
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The code without comment lines and without what follows ` //`.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The word at the start of `text`.
fn word(text: &str) -> &str {
    &text[..text.find(|character| !is_word(character)).unwrap_or(text.len())]
}

/// What follows each `crate::` in `code`: one word, or the words of a group.
fn imports(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if code[..start].ends_with(is_word) {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut item) = (1, true);
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => item = depth == 1,
                character if is_word(character) && depth == 1 && item => {
                    found.push(word(&group[index..]));
                    item = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Whether `code` uses the crate `name`: the word, at the start of a path.
fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(start, _)| {
        let (before, after) = (&code[..start], &code[start + name.len()..]);
        let path = after.starts_with("::") || (before.trim_end().ends_with("use") && after.starts_with([';', ' ']));
        path && !before.ends_with(is_word) && !before.ends_with("::") && !before.ends_with('$')
    })
}

/// What is wrong with the imports of one file.
fn misplaced(file: &str, text: &str) -> Vec<String> {
    let (module, code) = (module(file), code(text));
    let Some(own) = floor(module) else { return vec![format!("{file}: give {module} a floor in tests/house.rs")] };
    let mut wrong = Vec::new();
    for import in imports(&code) {
        let allowed = match floor(import) {
            _ if import == module => true,
            // `crate::Name` and the like: not a module.
            None => true,
            Some(0) => true,
            // Commands are all that the outside can reach.
            Some(floor) if module == "api" => floor == 5,
            Some(floor) => floor < own,
        };
        if !allowed {
            wrong.push(format!("{file}: {module} must not import {import}"));
        }
    }
    for (names, homes) in CRATES {
        for name in names.iter().filter(|name| !homes.contains(&module) && uses(&code, name)) {
            wrong.push(format!("{file}: the crate {name} is used in {} only", homes.join(", ")));
        }
    }
    wrong
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn modules_import_lower_floors_only() {
    let sources = files("src", "rs");
    assert!(sources.len() > 10, "the sources are not where they were");
    // A fixture builds what it tests from all floors.
    let inner = sources.iter().filter(|(file, _)| file != "src/lib.rs" && !file.ends_with("/fixture.rs"));
    assert_none(inner.flat_map(|(file, text)| misplaced(file, text)).collect());
}

#[test]
fn a_wrong_import_is_seen() {
    let wrong = |file: &str, text: &str| misplaced(file, text).len();
    assert_eq!(wrong("src/config/mod.rs", "use crate::{error::Error, mode::{Rate, path}, frame};"), 0);
    assert_eq!(wrong("src/config/mod.rs", "use crate::{error::Error, media::launch};"), 1);
    assert_eq!(wrong("src/path/task.rs", "fn f() { crate::camera::find() }"), 1);
    assert_eq!(wrong("src/path/task.rs", "// crate::camera is not imported here\nuse crate::path::state;"), 0);
    assert_eq!(wrong("src/output/rtsp.rs", "use crate::pipeline::plan;"), 1);
    assert_eq!(wrong("src/api/rpc.rs", "use crate::{command::Gateway, camera::Camera};"), 1);
    assert_eq!(wrong("src/path/task.rs", "use gst::prelude::*;"), 1);
    assert_eq!(wrong("src/command/mod.rs", "fn f() -> warp::Reply { my_gst::x() }"), 1);
    assert_eq!(wrong("src/camera/mod.rs", "use udev;\nuse crate::device::v4l2r::Probe;"), 1);
    assert_eq!(wrong("src/device/probe.rs", "use v4l2r::Device;"), 0);
    assert_eq!(wrong("src/helper.rs", ""), 1);
}

#[test]
fn sources_say_what_they_are_for_and_stay_small() {
    let mut wrong = Vec::new();
    for (file, text) in files("src", "rs").into_iter().chain(files("tests", "rs")).chain(files("benches", "rs")) {
        if !text.starts_with("//!") {
            wrong.push(format!("{file}: does not begin with a //! header"));
        }
        let lines = text.lines().count();
        // Tests may be long lists of cases.
        if file.starts_with("src/") && lines > LINES {
            wrong.push(format!("{file}: {lines} lines are more than {LINES}"));
        }
    }
    assert_none(wrong);
}

#[test]
fn tests_neither_sleep_nor_are_ignored() {
    // In pieces, so that this file does not find itself.
    let forbidden = [concat!("thread::", "sleep"), concat!("time::", "sleep("), concat!("#[", "ignore")];
    let mut wrong = Vec::new();
    for (file, text) in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let tests = match file.starts_with("tests/") || file.ends_with("/tests.rs") {
            true => text.as_str(),
            false => text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests),
        };
        let found = forbidden.iter().filter(|word| tests.contains(**word));
        wrong.extend(found.map(|word| format!("{file}: has {word} in a test; wait for a state, with a deadline")));
    }
    assert_none(wrong);
}

#[test]
fn documents_open_with_their_status() {
    let documents = files("docs", "md");
    assert!(!documents.is_empty());
    let silent = documents.iter().filter(|(_, text)| !text.starts_with("Status: "));
    assert_none(silent.map(|(file, _)| format!("{file}: does not open with \"Status: \"")).collect());
}

#[test]
fn documents_have_no_dead_links() {
    let mut wrong = Vec::new();
    for (file, text) in documents() {
        let folder = root().join(&file).parent().map(PathBuf::from).unwrap_or_default();
        for (start, _) in text.match_indices("](") {
            let target = text[start + 2..].split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                wrong.push(format!("{file}: links to {target}, which is not there"));
            }
        }
    }
    assert_none(wrong);
}
