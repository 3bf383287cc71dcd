//! Takes over the file of an earlier version: what it says that still counts, as a file of today, and what became of each
//! key. A key that is wrong costs itself and not the start of the service.
//!
//! Not here: which files, and what is done with the result.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use super::{
    Config, Findings, Loaded, Problems, STATE_DIRECTORY, check,
    document::{self, Data, Entry, Node},
    environment::{self, Variables},
    legacy,
    section::Section,
};

/// Keys whose values are files or folders: relative ones began at the earlier installation.
const PATHS: &[&str] =
    &["recordings_path", "snapshots_path", "default_path", "fallback_path", "cert_file", "key_file", "config_file"];

/// What became of a file of an earlier version.
#[derive(Debug)]
pub struct Takeover {
    /// The configuration of today.
    pub config: Config,
    /// The same as YAML: what is not the default.
    pub text: String,
    /// What became of each key of the old file, in its order: the key as it was written, and its fate.
    pub fates: Vec<(String, Fate)>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts: its path today and its value, which is not shown where it is secret.
    Taken(String, String),
    /// It says what holds anyway.
    Default,
    /// It has no effect: why.
    WithoutEffect(String),
    /// It is left out: why.
    LeftOut(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(key, value) => write!(f, "taken as {key}: {value}"),
            Self::Default => f.write_str("default anyway"),
            Self::WithoutEffect(why) => write!(f, "without effect: {why}"),
            Self::LeftOut(why) => write!(f, "left out: {why}"),
        }
    }
}

impl Config {
    /// Takes over `text`, the file `name` of an earlier installation in the folder `home`, under its environment `env`.
    /// Nothing on the machine is looked at.
    ///
    /// Errors: the file is not YAML, or nothing of it can be understood.
    pub fn take_over(
        name: &str,
        text: &str,
        env: impl Iterator<Item = (String, String)>,
        home: &Path,
    ) -> Result<Takeover, Problems> {
        let variables: Variables = env.collect();
        let mut problems = Vec::new();
        let mut root = document::parse(&name.into(), text, &mut problems);
        if root.data == Data::Faulty {
            return Err(Problems(problems));
        }
        environment::substitute(&mut root, "", &variables, &mut problems);
        environment::merge(&mut root, environment::overrides(&variables, &mut problems));
        let mut left_out = BTreeMap::new();
        settle(&mut root, home, &mut left_out);
        left_out.extend(problems.into_iter().map(|problem| (problem.key, problem.message)));
        loop {
            let reading = read(without(root.clone(), left_out.keys()));
            let mut found = Vec::new();
            for problem in &reading.findings.problems {
                match innermost(&root, &problem.key).filter(|key| !left_out.contains_key(*key)) {
                    Some(key) => found.push((key.to_owned(), problem.message.clone())),
                    None => return Err(Problems(reading.findings.problems)),
                }
            }
            if found.is_empty() {
                return Ok(account(&root, reading, &left_out));
            }
            left_out.extend(found);
        }
    }
}

/// A tree of today, read.
struct Reading {
    tree: Node,
    loaded: Loaded,
    findings: Findings,
}

fn read(mut tree: Node) -> Reading {
    let mut findings = Findings::default();
    legacy::modernise(&mut tree, &mut findings.problems, &mut findings.warnings);
    let mut config = Config { state_directory: STATE_DIRECTORY.into(), ..Config::default() };
    Section::walk(&tree, ("", ""), &mut findings, |section| config.fill(section));
    check::ports(&mut findings);
    let (warnings, values) = (std::mem::take(&mut findings.warnings), std::mem::take(&mut findings.values));
    Reading { tree, loaded: Loaded { config, warnings, values }, findings }
}

/// Makes paths absolute, and leaves out what cannot be had from an earlier version.
fn settle(node: &mut Node, home: &Path, left_out: &mut BTreeMap<String, String>) {
    let Data::Map(entries) = &mut node.data else { return };
    for Entry { key, written, node, .. } in entries {
        if let Data::Text(text) = &mut node.data {
            if text.is_empty() {
                continue;
            }
            if PATHS.contains(&key.as_str()) && Path::new(text).is_relative() {
                *text = home.join(&*text).display().to_string();
            }
            let why = match key.as_str() {
                "storage_file" => "its keys are of another kind: make new ones with camera-service key add",
                "fallback_path" if Path::new(text).starts_with("/tmp") => {
                    "the service has a /tmp of its own, and it is emptied when the service stops"
                }
                _ => continue,
            };
            left_out.insert(written.clone(), why.into());
        } else {
            settle(node, home, left_out);
        }
    }
}

/// What became of each key of `root`.
fn account(root: &Node, reading: Reading, left_out: &BTreeMap<String, String>) -> Takeover {
    let Reading { tree, loaded: Loaded { warnings, .. }, .. } = reading;
    let paths = paths(&tree, "");
    let mut written = Vec::new();
    leaves(root, &mut written);
    // Without what has no effect: old spellings of keys that are written as today, too, would step in for those.
    let idle: Vec<String> =
        left_out.keys().cloned().chain(warnings.iter().map(|warning| warning.key.clone())).collect();
    let config = read(without(root.clone(), idle.iter())).loaded.config;
    let (mut fates, mut taken) = (Vec::new(), BTreeSet::new());
    for key in written {
        let about = |there: &str| belongs(&key, there);
        let fate = if let Some((_, why)) = left_out.iter().find(|(there, _)| about(there)) {
            Fate::LeftOut(why.clone())
        } else if let Some(warning) = warnings.iter().find(|warning| about(&warning.key)) {
            Fate::WithoutEffect(warning.message.clone())
        } else if read(without(root.clone(), idle.iter().chain([&key]))).loaded.config == config {
            Fate::Default
        } else if let Some((path, node)) = paths.get(&key) {
            taken.insert(key.clone());
            let secret = path.contains("secret");
            Fate::Taken(path.clone(), if secret { "(not shown)".into() } else { flow(node) })
        } else {
            Fate::Default
        };
        fates.push((key, fate));
    }
    let mut text = String::new();
    print(&tree, 0, &taken, &mut text);
    Takeover { config, text, fates }
}

/// Whether `key` is `there`, or inside it.
fn belongs(key: &str, there: &str) -> bool {
    key.strip_prefix(there).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The keys that have values, as they are written.
fn leaves(node: &Node, found: &mut Vec<String>) {
    let Data::Map(entries) = &node.data else { return };
    for entry in entries {
        match &entry.node.data {
            Data::Map(_) => leaves(&entry.node, found),
            _ => found.push(entry.written.clone()),
        }
    }
}

/// The path of each key and its value, by how it is written.
fn paths<'a>(node: &'a Node, above: &str) -> BTreeMap<String, (String, &'a Node)> {
    let Data::Map(entries) = &node.data else { return BTreeMap::new() };
    let inner = entries.iter().flat_map(|entry| {
        let path = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        let below = paths(&entry.node, &path);
        below.into_iter().chain([(entry.written.clone(), (path, &entry.node))])
    });
    inner.collect()
}

/// The written key of `root` that is the nearest to `key`: itself, or what it stands in.
fn innermost<'a>(root: &'a Node, key: &str) -> Option<&'a str> {
    let Data::Map(entries) = &root.data else { return None };
    let entry = entries.iter().find(|entry| belongs(key, &entry.written))?;
    innermost(&entry.node, key).or(Some(&entry.written))
}

fn without<'a>(mut root: Node, keys: impl Iterator<Item = &'a String>) -> Node {
    fn take(node: &mut Node, key: &str) {
        let Data::Map(entries) = &mut node.data else { return };
        entries.retain(|entry| entry.written != key);
        entries.iter_mut().for_each(|entry| take(&mut entry.node, key));
    }
    keys.for_each(|key| take(&mut root, key));
    root
}

/// Writes the keys of `taken`, and the sections they need.
fn print(node: &Node, depth: usize, taken: &BTreeSet<String>, text: &mut String) {
    let Data::Map(entries) = &node.data else { return };
    let indent = "  ".repeat(depth);
    for entry in entries {
        if taken.contains(&entry.written) {
            *text += &format!("{indent}{}: {}\n", entry.key, flow(&entry.node));
        } else {
            let mut inner = String::new();
            print(&entry.node, depth + 1, taken, &mut inner);
            if !inner.is_empty() {
                *text += &format!("{indent}{}:\n{inner}", entry.key);
            }
        }
    }
}

/// A value in YAML's flow notation.
fn flow(node: &Node) -> String {
    match &node.data {
        Data::Null | Data::Faulty => "\"\"".into(),
        Data::Text(text) => scalar(text),
        Data::List(nodes) => format!("[{}]", nodes.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Data::Map(entries) => {
            let inner = entries.iter().map(|entry| format!("{}: {}", scalar(&entry.key), flow(&entry.node)));
            format!("{{{}}}", inner.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text that is read again as it is: plain where that is safe, else as JSON, which YAML has inside it.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    match starts && text.chars().all(plain) && !text.eq_ignore_ascii_case("null") {
        true => text.to_owned(),
        false => serde_json::Value::from(text.replace("${", "$${")).to_string(),
    }
}
