//! The configuration as a whole: what is set, what follows from it, and changing it.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Set, Value, decode, file::Parts, global, key::Successor, name, path, validate, validate_path};

/// Names that stand for every path that has no other entry.
pub(super) const ALL: [&str; 2] = ["all", "all_others"];

/// The configuration. Changes make another one, which is checked before anybody sees it.
#[derive(Clone)]
pub struct Conf {
    /// What the service says of itself.
    given: Set,
    global: Set,
    path_defaults: Set,
    paths: BTreeMap<String, Entry>,
}

/// What is set of one path.
#[derive(Clone)]
struct Entry {
    /// What the service says of it, while it is a path of its own.
    given: Option<Set>,
    /// Whether it was added. What is neither is not there, and what was set of it is kept for when it comes back.
    added: bool,
    own: Set,
}

impl Entry {
    fn is_there(&self) -> bool {
        self.added || self.given.is_some()
    }
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It breaks a rule. MediaMTX's message.
    Invalid(String),
    /// There is no such entry.
    NotFound,
}

/// The entry that a path's name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry's name.
    pub conf_name: String,
    /// What the groups of a regular expression matched, the whole first.
    pub groups: Vec<String>,
}

impl Conf {
    /// One in which only what the service says of itself is set.
    pub fn new(given: Set) -> Self {
        let (global, path_defaults) = (Set::new(global::KEYS), Set::new(path::KEYS));
        Self { given, global, path_defaults, paths: BTreeMap::new() }
    }

    /// A text that the service says of itself; empty where it says none.
    pub fn given(&self, key: &str) -> &str {
        self.given.text(key)
    }

    /// The same with nothing set.
    pub fn bare(&self) -> Self {
        Self::new(self.given.clone())
    }

    /// Every global key.
    pub fn global(&self) -> Set {
        let mut all = self.wished();
        // What is served is told by who serves it, whatever was set.
        all.take_over(&self.given.servers());
        all
    }

    /// Every global key as it was set, also where it is otherwise.
    pub fn wished(&self) -> Set {
        let mut all = Set::defaults(global::KEYS);
        all.take_over(&self.given);
        all.take_over(&self.global);
        all.translate();
        all
    }

    /// What paths are unless they say otherwise.
    pub fn path_defaults(&self) -> Set {
        let mut all = Set::defaults(path::KEYS);
        all.take_over(&self.path_defaults);
        all.put("name", Value::Text(String::new()));
        for key in global::KEYS.iter().filter(|key| matches!(key.successor, Successor::PathDefault)) {
            if let Some(value) = self.global.get(key.name) {
                all.put(key.name, value.clone());
            }
        }
        all
    }

    /// Every key of a path. `None`: there is no such entry.
    pub fn path(&self, name: &str) -> Option<Set> {
        self.entry(name).map(|entry| derived(&self.path_defaults(), name, entry))
    }

    /// What was set of a path itself. `None`: there is no such entry.
    pub fn own_of(&self, name: &str) -> Option<&Set> {
        self.entry(name).map(|entry| &entry.own)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.paths.get(name).filter(|entry| entry.is_there())
    }

    /// The names of all paths, in their order.
    pub fn names(&self) -> impl Iterator<Item = &String> + Clone {
        self.paths.iter().filter(|(_, entry)| entry.is_there()).map(|(name, _)| name)
    }

    /// All paths by name.
    pub fn paths(&self) -> Vec<(String, Set)> {
        let defaults = self.path_defaults();
        let there = self.paths.iter().filter(|(_, entry)| entry.is_there());
        there.map(|(name, entry)| (name.clone(), derived(&defaults, name, entry))).collect()
    }

    /// What was set of each path and nothing else, also of those that are not there now, such as a camera that is
    /// unplugged.
    pub fn own(&self) -> impl Iterator<Item = (&str, &Set)> {
        self.paths.iter().map(|(name, entry)| (name.as_str(), &entry.own))
    }

    /// Whether the service has this path by itself.
    pub fn is_given(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| entry.given.is_some())
    }

    /// Says which paths the service has by itself, and what of them. What was set of them stays set; an entry that was
    /// added under such a name becomes the service's.
    pub fn give(&mut self, given: BTreeMap<String, Set>) {
        for entry in self.paths.values_mut() {
            entry.given = None;
        }
        for (name, set) in given {
            let absent = || Entry { given: None, added: false, own: Set::new(path::KEYS) };
            self.paths.entry(name).or_insert_with(absent).given = Some(set);
        }
    }

    /// Changes global keys.
    pub fn patch_global(&self, body: &[u8]) -> Result<Self, Refused> {
        let patch = decode::body(body, global::KEYS).map_err(Refused::Invalid)?;
        self.changed(|conf| {
            conf.global.take_over(&patch);
            Ok(())
        })
    }

    /// Changes the defaults of paths.
    pub fn patch_path_defaults(&self, body: &[u8]) -> Result<Self, Refused> {
        let patch = decode::body(body, path::KEYS).map_err(Refused::Invalid)?;
        self.changed(|conf| {
            conf.path_defaults.take_over(&patch);
            Ok(())
        })
    }

    /// Adds a path.
    pub fn add(&self, name: &str, body: &[u8]) -> Result<Self, Refused> {
        let own = decode::body(body, path::KEYS).map_err(Refused::Invalid)?;
        self.changed(|conf| {
            if conf.entry(name).is_some() {
                return Err(Refused::Invalid("path already exists".into()));
            }
            conf.paths.insert(name.to_owned(), Entry { given: None, added: true, own });
            Ok(())
        })
    }

    /// Changes keys of a path.
    pub fn patch(&self, name: &str, body: &[u8]) -> Result<Self, Refused> {
        let patch = decode::body(body, path::KEYS).map_err(Refused::Invalid)?;
        self.changed(|conf| {
            let entry = conf.paths.get_mut(name).filter(|entry| entry.is_there());
            entry.ok_or(Refused::NotFound)?.own.take_over(&patch);
            Ok(())
        })
    }

    /// Sets a path anew; one that is not there is added.
    pub fn replace(&self, name: &str, body: &[u8]) -> Result<Self, Refused> {
        let own = decode::body(body, path::KEYS).map_err(Refused::Invalid)?;
        self.changed(|conf| {
            let given = conf.paths.remove(name).and_then(|entry| entry.given);
            conf.paths.insert(name.to_owned(), Entry { added: given.is_none(), given, own });
            Ok(())
        })
    }

    /// Removes a path. Of one that the service has by itself, what was set is forgotten.
    pub fn delete(&self, name: &str) -> Result<Self, Refused> {
        self.changed(|conf| {
            conf.entry(name).ok_or(Refused::NotFound)?;
            if let Some(given) = conf.paths.remove(name).and_then(|entry| entry.given) {
                let entry = Entry { given: Some(given), added: false, own: Set::new(path::KEYS) };
                conf.paths.insert(name.to_owned(), entry);
            }
            Ok(())
        })
    }

    /// What a file sets, in place of everything that was.
    pub(super) fn with_parts(&self, parts: Parts) -> Result<Self, Refused> {
        self.changed(|conf| {
            (conf.global, conf.path_defaults) = (parts.global, parts.path_defaults);
            conf.paths.retain(|_, entry| entry.given.is_some());
            conf.paths.values_mut().for_each(|entry| entry.own = Set::new(path::KEYS));
            for (name, own) in parts.paths {
                let given = conf.paths.remove(&name).and_then(|entry| entry.given);
                conf.paths.insert(name, Entry { added: true, given, own });
            }
            Ok(())
        })
    }

    /// What a path of the service is if nothing is set, of it or of all paths. `None`: it is none.
    pub fn as_given(&self, name: &str) -> Option<Set> {
        let given = Some(self.entry(name)?.given.clone()?);
        let defaults = Set::defaults(path::KEYS);
        Some(derived(&defaults, name, &Entry { given, added: false, own: Set::new(path::KEYS) }))
    }

    fn changed(&self, change: impl FnOnce(&mut Self) -> Result<(), Refused>) -> Result<Self, Refused> {
        let mut conf = self.clone();
        change(&mut conf)?;
        conf.check().map_err(Refused::Invalid)?;
        Ok(conf)
    }

    /// All of it: an error may be about something that was set before.
    fn check(&self) -> Result<(), String> {
        let (global, paths) = (self.global(), self.paths());
        validate::check(&global)?;
        let aliases = |name: &str| ALL.contains(&name) || name == "~^.*$";
        if self.names().filter(|name| aliases(name)).count() > 1 {
            return Err("all_others, all and '~^.*$' are aliases".into());
        }
        validate::check_old_credentials(&self.path_defaults, &self.global, &paths)?;
        let defaults = self.path_defaults();
        paths.iter().try_for_each(|(name, path)| {
            validate_path::check(name, path, &global, &paths).or_else(|broken| match self.entry(name) {
                // What the service says itself comes and goes with a camera, and is no reason to refuse what was right without.
                Some(Entry { given: Some(_), added, own }) => {
                    let alone = Entry { given: None, added: *added, own: own.clone() };
                    validate_path::check(name, &derived(&defaults, name, &alone), &global, &paths).map_err(|_| broken)
                }
                _ => Err(broken),
            })
        })
    }

    /// The entry that the name of a path leads to: its own, else the first regular expression by name that matches, and
    /// what stands for all at the end. Error: the name is none, or leads nowhere; MediaMTX's message.
    pub fn find(&self, path: &str) -> Result<Found, String> {
        if self.entry(path).is_some() {
            return Ok(Found { conf_name: path.to_owned(), groups: Vec::new() });
        }
        name::check_path(path)?;
        let last = |name: &&String| ALL.contains(&name.as_str());
        let ordered = self.names().filter(|name| !last(name)).chain(self.names().filter(last));
        for conf_name in ordered {
            let found = expression(conf_name).and_then(Result::ok);
            if let Some(groups) = found.as_ref().and_then(|expression| expression.captures(path)) {
                let groups = groups.iter().map(|group| group.map_or("", |group| group.as_str()).to_owned()).collect();
                return Ok(Found { conf_name: conf_name.clone(), groups });
            }
        }
        Err(format!("path '{path}' is not configured"))
    }
}

/// The regular expression that an entry's name is. `None`: it is a plain name.
pub(super) fn expression(name: &str) -> Option<Result<Regex, regex::Error>> {
    match name.strip_prefix('~') {
        Some(expression) => Some(Regex::new(expression)),
        None => ALL.contains(&name).then(|| Regex::new("^.*$")),
    }
}

fn derived(defaults: &Set, name: &str, entry: &Entry) -> Set {
    let mut all = defaults.clone();
    if let Some(given) = &entry.given {
        all.take_over(given);
        // A default that is MediaMTX's own, as every one in the file that it comes with, says nothing of a path that has
        // settings already.
        let usual = Set::defaults(path::KEYS);
        all.take_over(&defaults.clone().without(|key| defaults.get(key) == usual.get(key)));
    }
    all.take_over(&entry.own);
    if let Some(source) = entry.given.as_ref().and_then(|given| given.get("source")) {
        // It is the one thing that cannot be otherwise.
        all.put("source", source.clone());
    }
    all.put("name", Value::Text(name.to_owned()));
    all.translate();
    all
}
