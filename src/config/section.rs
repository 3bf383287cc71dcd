//! Walks a section of the tree and fills plain structs. Every mistake becomes a [`Diagnostic`]; none stops the walk.
//!
//! A section's keys are the ones its struct asks for: that list is what "valid:" shows and where the nearest key is
//! looked for, so there is no second list to keep in step.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde_json::Value as Json;

use super::{
    document::{Data, Entry, Node},
    live::Values,
    problem::{Diagnostic, Place},
    schema::{self, Outline},
    unused,
    value::{Fault, Value},
};

/// What reading has found out besides the values.
#[derive(Default)]
pub(super) struct Findings {
    pub problems: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    /// Every port, for the check that none is used twice.
    pub ports: Vec<Setting<u16>>,
    /// Every folder something is written to, for the check that it can be.
    pub folders: Vec<Setting<PathBuf>>,
    /// Every folder that recordings are written to: it is enough if one of them can be.
    pub recordings: Vec<Setting<PathBuf>>,
    /// Every file that has to be there when the service starts.
    pub files: Vec<Setting<PathBuf>>,
    /// Every key with what it is.
    pub values: Values,
    /// Whether the keys are asked for to be described (`schema`), and nothing is read.
    pub describing: bool,
}

/// A value with the key and place it comes from.
pub(super) struct Setting<T> {
    pub key: String,
    pub place: Place,
    pub value: T,
}

pub(super) struct Section<'a> {
    /// Its key as it is written, with the sections around it.
    path: String,
    /// The same in today's spelling.
    name: String,
    place: Place,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    findings: &'a mut Findings,
    outline: Outline,
}

impl<'a> Section<'a> {
    /// Lets `fill` ask `node` for its keys, then complains about the keys nobody asked for. Does not call `fill` where
    /// there is no section. Gives what was asked for, where that is to be described.
    pub fn walk(
        node: &Node,
        (path, name): (&str, &str),
        findings: &mut Findings,
        fill: impl FnOnce(&mut Section<'_>),
    ) -> Outline {
        let entries: &[Entry] = match &node.data {
            Data::Map(entries) => entries,
            Data::Null => &[],
            Data::Faulty => return Outline::default(),
            Data::Text(_) | Data::List(_) => {
                let problem = Diagnostic::new(&node.place, path, "has the wrong type").found(node.describe());
                findings.problems.push(problem.valid("a section: indented lines of \"key: value\""));
                return Outline::default();
            }
        };
        let place = node.place.clone();
        let outline = Outline::default();
        let (path, name) = (path.into(), name.into());
        let mut section = Section { path, name, place, entries, asked: Vec::new(), findings, outline };
        fill(&mut section);
        section.complain_of_unknown_keys();
        section.outline
    }

    fn complain_of_unknown_keys(&mut self) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let problem = Diagnostic::new(&entry.place, &entry.written, "unknown key");
            let problem = problem.found(format!("\"{}\"", entry.key)).valid(self.asked.join(", "));
            self.findings.problems.push(problem.nearest(&entry.key, self.asked.iter().copied()));
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.asked.push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Keys that are valid here and read elsewhere.
    pub fn known(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// A scalar.
    pub fn value<T: Value>(&mut self, key: &'static str, target: &mut T) {
        self.bounded(key, target, |_| true, T::valid());
    }

    /// A number between two bounds, both allowed.
    pub fn number<T: Value + PartialOrd + Display>(
        &mut self,
        key: &'static str,
        target: &mut T,
        range: RangeInclusive<T>,
    ) {
        let valid = format!("{}, from {} to {}", T::valid(), range.start(), range.end());
        self.bounded(key, target, |value| range.contains(value), valid);
        self.outline.limit(key, &range.start().written(), &range.end().written());
    }

    /// A time between two bounds in seconds, both allowed.
    pub fn time(&mut self, key: &'static str, target: &mut Duration, seconds: RangeInclusive<u64>) {
        let valid = format!("{}, from {}s to {}s", Duration::valid(), seconds.start(), seconds.end());
        let range = Duration::from_secs(*seconds.start())..=Duration::from_secs(*seconds.end());
        self.bounded(key, target, |value| range.contains(value), valid);
        self.outline.limit(key, &(*seconds.start()).into(), &(*seconds.end()).into());
    }

    /// A scalar that has to pass a test; `valid` says which.
    pub fn bounded<T: Value>(
        &mut self,
        key: &'static str,
        target: &mut T,
        accepts: impl Fn(&T) -> bool,
        valid: String,
    ) {
        self.describe(key, || schema::scalar::<T>(target, &valid));
        if let Some(entry) = self.entry(key)
            && let Some(value) = self.scalar(&entry.node, &entry.written, accepts, &valid)
        {
            self.set(entry, target, value);
        }
        self.note(key, target.mark());
    }

    /// As [`Section::value`]; a text with `mark` in it is of earlier versions, and means nothing any more.
    pub fn value_unless<T: Value>(&mut self, key: &'static str, target: &mut T, mark: &str, instead: &str) {
        if self.text(key).is_some_and(|text| text.contains(mark)) {
            self.known(&[key]);
            self.warn(key, instead);
        } else {
            self.value(key, target);
            self.outline.or_text_with(key, mark);
        }
    }

    /// Notes what may stand at `key`, where somebody wants to know.
    fn describe(&mut self, key: &'static str, schema: impl FnOnce() -> Json) {
        if self.findings.describing {
            self.outline.add(key, schema());
        }
    }

    /// Replaces the default, with a warning where nothing goes by it.
    fn set<T: PartialEq>(&mut self, entry: &Entry, target: &mut T, value: T) {
        if *target != value
            && let Some(message) = unused::warning(&self.today(&entry.key))
        {
            self.findings.warnings.push(Diagnostic::new(&entry.place, &entry.written, message));
        }
        *target = value;
    }

    /// A list of scalars.
    pub fn list<T: Value>(&mut self, key: &'static str, target: &mut Vec<T>) {
        self.describe(key, || schema::list(target));
        if let Some(entry) = self.entry(key)
            && let Some(nodes) = self.nodes(entry)
        {
            let item = |(index, node)| self.scalar(node, &format!("{}[{index}]", entry.written), |_| true, &T::valid());
            let values = nodes.iter().enumerate().filter_map(item).collect();
            self.set(entry, target, values);
        }
        self.note(key, format!("{:?}", target.iter().map(Value::mark).collect::<Vec<_>>()));
    }

    /// A TCP port. Remembered for the check that no port is used twice.
    pub fn port(&mut self, key: &'static str, target: &mut u16) {
        self.bounded(key, target, |_| true, "a port from 0 to 65535, 0 for any free one".into());
        let setting = self.setting(key, *target);
        self.findings.ports.push(setting);
    }

    /// A folder the service writes to. Remembered for the check that it can.
    pub fn folder(&mut self, key: &'static str, target: &mut PathBuf) {
        self.value(key, target);
        self.writes_to(key, target.clone());
    }

    /// Remembers that the value of `key` makes the service write to `folder`.
    pub fn writes_to(&mut self, key: &str, folder: PathBuf) {
        let setting = self.setting(key, folder);
        self.findings.folders.push(setting);
    }

    /// Remembers that the value of `key` makes the service write recordings to `folder`.
    pub fn records_to(&mut self, key: &str, folder: PathBuf) {
        let setting = self.setting(key, folder);
        self.findings.recordings.push(setting);
    }

    /// Remembers that the value of `key` makes the service read `file` at its start.
    pub fn reads_from(&mut self, key: &str, file: PathBuf) {
        let setting = self.setting(key, file);
        self.findings.files.push(setting);
    }

    /// A section in this one. None when it is not there.
    pub fn section(&mut self, key: &'static str, fill: impl FnOnce(&mut Section<'_>)) {
        let name = self.today(key);
        let outline = if let Some(entry) = self.entry(key) {
            Section::walk(&entry.node, (&entry.written, &name), self.findings, fill)
        } else {
            // Read all the same: its ports and folders are checked with their defaults.
            let node = Node { place: Place::Default, data: Data::Null };
            Section::walk(&node, (&self.written(key), &name), self.findings, fill)
        };
        self.describe(key, || outline.section());
    }

    /// A section in this one that is only there when it is written.
    pub fn optional<T>(&mut self, key: &'static str, fill: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let mut value = None;
        if self.findings.describing {
            let outline = self.described(|section| value = Some(fill(section)));
            self.describe(key, || outline.section());
            return value;
        }
        let (name, entry) = (self.today(key), self.entry(key).filter(|entry| !entry.node.is_null())?);
        Section::walk(&entry.node, (&entry.written, &name), self.findings, |section| value = Some(fill(section)));
        value
    }

    /// A list of sections.
    pub fn sections<T>(&mut self, key: &'static str, mut fill: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        if self.findings.describing {
            let outline = self.described(|section| drop(fill(section)));
            self.describe(key, || outline.list());
        }
        let Some(nodes) = self.entry(key).and_then(|entry| Some((entry, self.nodes(entry)?))) else {
            return Vec::new();
        };
        let (entry, nodes) = nodes;
        let mut values = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let (path, name) = (format!("{}[{index}]", entry.written), format!("{}[{index}]", self.today(key)));
            Section::walk(node, (&path, &name), self.findings, |section| values.push(fill(section)));
        }
        values
    }

    /// A section of texts under names that only somebody else can judge.
    pub fn texts(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        self.describe(key, schema::texts);
        let name = self.today(key);
        let Some(entry) = self.entry(key) else { return texts };
        Section::walk(&entry.node, (&entry.written, &name), self.findings, |section| {
            for entry in std::mem::take(&mut section.entries) {
                if entry.node.is_null() {
                    let problem = Diagnostic::new(&entry.place, &entry.written, "is empty");
                    section.findings.problems.push(problem.valid("a value; \"\" for an empty text"));
                } else if let Some(text) = section.scalar(&entry.node, &entry.written, |_| true, &String::valid()) {
                    texts.insert(entry.key.clone(), text);
                }
            }
        });
        self.note(key, format!("{texts:?}"));
        texts
    }

    /// Complains about a value that breaks a rule beyond its type. `key` may be absent or of an inner section; the
    /// section itself is pointed at then.
    pub fn refuse(&mut self, key: &'static str, message: impl Into<String>, valid: impl Into<String>) {
        let problem = self.about(key, message).valid(valid);
        self.findings.problems.push(problem);
    }

    /// Complains where `key` is not written.
    pub fn require(&mut self, key: &'static str) {
        self.outline.require(key);
        if self.find(key).is_none() {
            let problem = Diagnostic::new(&self.place, self.written(key), "is missing");
            self.findings.problems.push(problem);
        }
    }

    /// Whether a problem stands at this key already, or inside it.
    pub fn faulty(&self, key: &str) -> bool {
        let written = self.find(key).map(|entry| entry.written.as_str());
        written.is_some_and(|written| self.findings.problems.iter().any(|problem| problem.key.starts_with(written)))
    }

    /// The text at `key`, unread.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match &self.find(key)?.node.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Tells of a value that is accepted and may not do what its writer thinks.
    pub fn warn(&mut self, key: &'static str, message: impl Into<String>) {
        let warning = self.about(key, message);
        self.findings.warnings.push(warning);
    }

    /// What `fill` asks of a section that is only there when it is written.
    fn described(&mut self, fill: impl FnOnce(&mut Section<'_>)) -> Outline {
        Section::walk(&Node { place: Place::Default, data: Data::Null }, ("", ""), self.findings, fill)
    }

    fn about(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        match self.find(key) {
            Some(entry) => Diagnostic::new(&entry.node.place, &entry.written, message),
            None => Diagnostic::new(&self.place, self.written(key), message),
        }
    }

    fn setting<T>(&self, key: &str, value: T) -> Setting<T> {
        match self.find(key) {
            Some(entry) => Setting { key: entry.written.clone(), place: entry.node.place.clone(), value },
            None => Setting { key: self.written(key), place: Place::Default, value },
        }
    }

    fn written(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// `key` with the sections around it, in today's spelling.
    fn today(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn note(&mut self, key: &str, mark: String) {
        let key = self.today(key);
        self.findings.values.note(key, mark);
    }

    fn nodes(&mut self, entry: &'a Entry) -> Option<&'a [Node]> {
        match &entry.node.data {
            Data::List(nodes) => Some(nodes),
            Data::Null => Some(&[]),
            Data::Faulty => None,
            Data::Text(_) | Data::Map(_) => {
                let problem = Diagnostic::new(&entry.node.place, &entry.written, "has the wrong type");
                self.findings.problems.push(problem.found(entry.node.describe()).valid("a list"));
                None
            }
        }
    }

    fn scalar<T: Value>(&mut self, node: &Node, written: &str, accepts: impl Fn(&T) -> bool, valid: &str) -> Option<T> {
        let (message, text) = match &node.data {
            Data::Faulty => return None,
            Data::Null => match T::empty() {
                Some(value) => return Some(value),
                None => ("is empty", ""),
            },
            Data::Text(text) => match T::read(text) {
                Ok(value) if accepts(&value) => return Some(value),
                Ok(_) | Err(Fault::Range) => ("is out of range", text.as_str()),
                Err(Fault::Type) if T::words().is_empty() => ("has the wrong type", text.as_str()),
                Err(Fault::Type) => ("is none of the words it may be", text.as_str()),
            },
            Data::List(_) | Data::Map(_) => ("has the wrong type", ""),
        };
        let problem = Diagnostic::new(&node.place, written, message).found(node.describe()).valid(valid);
        self.findings.problems.push(problem.nearest(text, T::words().iter().copied()));
        None
    }
}
