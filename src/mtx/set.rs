//! The values of some keys of one table.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{
    Nanos, Value,
    key::{Initial, Key, Kind, Successor},
};

/// What is shown of a password.
const REDACTED: &str = "<redacted>";
/// The keys that hold one, on every level.
const PASSWORDS: [&str; 3] = ["pass", "publishPass", "readPass"];

/// The values of some keys of one table. Shown in the table's order.
#[derive(Clone)]
pub struct Set {
    keys: &'static [Key],
    values: BTreeMap<usize, Value>,
}

impl Set {
    pub(super) fn new(keys: &'static [Key]) -> Self {
        Self { keys, values: BTreeMap::new() }
    }

    /// Every key at its default.
    pub(super) fn defaults(keys: &'static [Key]) -> Self {
        let values = keys.iter().enumerate().filter_map(|(at, key)| Some((at, key.initial_value()?)));
        Self { keys, values: values.collect() }
    }

    pub(super) fn keys(&self) -> &'static [Key] {
        self.keys
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.keys.iter().position(|key| key.name == name)
    }

    pub(super) fn put_at(&mut self, at: usize, value: Value) {
        self.values.insert(at, value);
    }

    /// The same with this key set. A key that is none of the table's is left out.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.put(name, value);
        self
    }

    pub(super) fn put(&mut self, name: &str, value: Value) {
        if let Some(at) = self.at(name) {
            self.values.insert(at, value);
        }
    }

    /// Takes over what `other`, of the same table, has.
    pub(super) fn take_over(&mut self, other: &Self) {
        self.values.extend(other.values.iter().map(|(at, value)| (*at, value.clone())));
    }

    /// Only what says which servers there are: its flags, and whether RTSP is inside TLS.
    pub(super) fn servers(&self) -> Self {
        self.clone().without(|key| !matches!(self.get(key), Some(Value::Flag(_))) && key != "rtspEncryption")
    }

    /// The same without the keys whose names are so.
    pub fn without(mut self, so: impl Fn(&str) -> bool) -> Self {
        let keys = self.keys;
        self.values.retain(|at, _| !keys.get(*at).is_some_and(|key| so(key.name)));
        self
    }

    /// The names of what is set, in the table's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.values.keys().filter_map(|at| self.keys.get(*at)).map(|key| key.name)
    }

    /// Whether a key is an old name of what another key says now.
    pub fn is_former(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name && !matches!(key.successor, Successor::Nothing))
    }

    /// A value, where it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(&self.at(name)?)
    }

    /// A flag; false where it is not set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Flag(true)))
    }

    /// A text; empty where it is not set.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A whole number or a size; 0 where it is not set.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Int(number)) => *number,
            Some(Value::Size(bytes)) => i64::try_from(*bytes).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    /// A time; none where it is not set.
    pub fn time(&self, name: &str) -> Nanos {
        match self.get(name) {
            Some(Value::Time(time)) => *time,
            _ => Nanos::default(),
        }
    }

    /// Texts; none where they are not set.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// Networks; none where they are not set.
    pub fn networks(&self, name: &str) -> &[IpNet] {
        match self.get(name) {
            Some(Value::Networks(networks)) => networks,
            _ => &[],
        }
    }

    /// Objects; none where they are not set.
    pub fn records(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Value::Records(records)) => records,
            _ => &[],
        }
    }

    /// Of a user, leaves only the permissions whose action is so.
    pub(super) fn retain_permissions(&mut self, so: impl Fn(&str) -> bool) {
        let kept = self.records("permissions").iter().filter(|permission| so(permission.text("action"))).cloned();
        let kept = kept.collect();
        self.put("permissions", Value::Records(kept));
    }

    /// Sets what old keys stand for, for those that are set; they stay, and are shown beside it.
    pub(super) fn translate(&mut self) {
        for (at, key) in self.keys.iter().enumerate() {
            let Some(value) = self.values.get(&at).cloned() else { continue };
            match (&key.successor, value) {
                (Successor::Same(name), value) => self.put(name, value),
                (Successor::Not(name), Value::Flag(flag)) => self.put(name, Value::Flag(!flag)),
                (Successor::Alone(name), Value::Text(text)) => self.put(name, Value::Texts(vec![text])),
                (Successor::Servers(name), Value::Texts(servers)) => self.add_servers(name, &servers),
                (Successor::Asked(name), value) => {
                    self.put(name, value);
                    self.put("authMethod", Value::Text("http".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// `stun:host:port` or `turn:user:password:host:port`, as they were written earlier.
    fn add_servers(&mut self, name: &'static str, old: &[String]) {
        let Some(Kind::Records(keys)) = self.at(name).and_then(|at| self.keys.get(at)).map(|key| &key.kind) else {
            return;
        };
        let mut servers = self.records(name).to_vec();
        for server in old {
            let parts: Vec<_> = server.split(':').collect();
            let mut record = Self::defaults(keys);
            if let [scheme, user, password, host, port] = parts[..] {
                record.put("url", Value::Text(format!("{scheme}:{host}:{port}")));
                record.put("username", Value::Text(user.to_owned()));
                record.put("password", Value::Text(password.to_owned()));
            } else {
                record.put("url", Value::Text(server.clone()));
            }
            servers.push(record);
        }
        self.put(name, Value::Records(servers));
    }

    /// The same with its passwords hidden.
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        for (at, value) in &mut shown.values {
            match value {
                Value::Records(records) => records.iter_mut().for_each(|record| *record = record.redacted()),
                Value::Text(text) if !text.is_empty() && PASSWORDS.contains(&self.keys[*at].name) => {
                    REDACTED.clone_into(text);
                }
                _ => {}
            }
        }
        shown
    }
}

impl Key {
    /// The default as a value. `None` for an old key.
    fn initial_value(&self) -> Option<Value> {
        let initial = self.initial.as_ref()?;
        Some(match (&self.kind, initial) {
            // A word that nobody has chosen is none of the words.
            (Kind::Word(_), Initial::Text(text)) => Value::Text((*text).to_owned()),
            // Each of them can be decoded: a test goes through all.
            (kind, initial) => kind.decode(&initial.json(), self.name).unwrap_or(Value::Texts(Vec::new())),
        })
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.keys, other.keys) && self.values == other.values
    }
}

impl std::fmt::Debug for Set {
    /// Without passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.redacted();
        f.debug_map().entries(shown.names().zip(shown.values.values())).finish()
    }
}

impl Serialize for Set {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names().zip(self.values.values()))
    }
}
