//! A key: its name, its kind, what it is unless somebody says otherwise.

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default. `None`: an old key, shown only when it is set.
    pub initial: Option<Initial>,
    /// What an old key stands for today.
    pub successor: Successor,
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    /// `true`, `false`.
    Flag,
    /// A whole number, with the type Go's messages name: `int`, or `uint`, which is never negative.
    Int(&'static str),
    /// Any number.
    Number,
    /// A text.
    Text,
    /// A user's name or password, plain or hashed.
    Credential,
    /// A text such as `"10s"`.
    Time,
    /// A text such as `"50M"`.
    Size,
    /// One of some words.
    Word(&'static Words),
    /// Some of them.
    Words(&'static Words),
    /// Texts.
    Texts,
    /// Addresses and networks.
    Networks,
    /// Whole numbers, not negative.
    Counts,
    /// Numbers.
    Numbers,
    /// Objects with these keys.
    Records(&'static [Key]),
}

/// Words, and what is said of another one.
#[derive(Debug)]
pub struct Words {
    /// The words.
    pub words: &'static [&'static str],
    /// MediaMTX's message; `{}` stands for the word.
    pub wrong: &'static str,
    /// Whether several are a set, shown sorted.
    pub sorted: bool,
}

/// A default, as it would be written.
#[derive(Debug)]
pub enum Initial {
    Flag(bool),
    Int(i64),
    Number(f64),
    Text(&'static str),
    Texts(&'static [&'static str]),
    Counts(&'static [i64]),
    Numbers(&'static [f64]),
    /// An empty list.
    Empty,
    /// JSON.
    Json(&'static str),
}

/// What an old key stands for today.
#[derive(Debug)]
pub enum Successor {
    /// Nothing: it is kept and shown.
    Nothing,
    /// The key of the same value.
    Same(&'static str),
    /// The key of the opposite value.
    Not(&'static str),
    /// The list of which it is the only one.
    Alone(&'static str),
    /// The list of ICE servers to which these are added.
    Servers(&'static str),
    /// The key of the address of a server that is asked who may, from then on (`authMethod`).
    Asked(&'static str),
    /// The key of its name in the defaults of paths.
    PathDefault,
}

const fn key(name: &'static str, kind: Kind, initial: Initial) -> Key {
    Key { name, kind, initial: Some(initial), successor: Successor::Nothing }
}

pub(super) const fn flag(name: &'static str, initial: bool) -> Key {
    key(name, Kind::Flag, Initial::Flag(initial))
}

pub(super) const fn int(name: &'static str, initial: i64) -> Key {
    key(name, Kind::Int("int"), Initial::Int(initial))
}

pub(super) const fn count(name: &'static str, initial: i64) -> Key {
    key(name, Kind::Int("uint"), Initial::Int(initial))
}

pub(super) const fn number(name: &'static str, initial: f64) -> Key {
    key(name, Kind::Number, Initial::Number(initial))
}

pub(super) const fn text(name: &'static str, initial: &'static str) -> Key {
    key(name, Kind::Text, Initial::Text(initial))
}

pub(super) const fn credential(name: &'static str) -> Key {
    key(name, Kind::Credential, Initial::Text(""))
}

pub(super) const fn time(name: &'static str, initial: &'static str) -> Key {
    key(name, Kind::Time, Initial::Text(initial))
}

pub(super) const fn size(name: &'static str, initial: &'static str) -> Key {
    key(name, Kind::Size, Initial::Text(initial))
}

pub(super) const fn word(name: &'static str, words: &'static Words, initial: &'static str) -> Key {
    key(name, Kind::Word(words), Initial::Text(initial))
}

pub(super) const fn words(name: &'static str, words: &'static Words, initial: &'static [&'static str]) -> Key {
    key(name, Kind::Words(words), Initial::Texts(initial))
}

pub(super) const fn texts(name: &'static str, initial: &'static [&'static str]) -> Key {
    key(name, Kind::Texts, Initial::Texts(initial))
}

pub(super) const fn counts(name: &'static str, initial: &'static [i64]) -> Key {
    key(name, Kind::Counts, Initial::Counts(initial))
}

pub(super) const fn numbers(name: &'static str, initial: &'static [f64]) -> Key {
    key(name, Kind::Numbers, Initial::Numbers(initial))
}

/// A list that is empty at first.
pub(super) const fn list(name: &'static str, kind: Kind) -> Key {
    key(name, kind, Initial::Empty)
}

/// A list with a default of its own.
pub(super) const fn records(name: &'static str, keys: &'static [Key], json: &'static str) -> Key {
    key(name, Kind::Records(keys), Initial::Json(json))
}

/// A key of earlier versions.
pub(super) const fn old(name: &'static str, kind: Kind, successor: Successor) -> Key {
    Key { name, kind, initial: None, successor }
}

impl Initial {
    /// As JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Int(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => (*text).into(),
            Self::Texts(texts) => (*texts).into(),
            Self::Counts(counts) => (*counts).into(),
            Self::Numbers(numbers) => (*numbers).into(),
            Self::Empty => serde_json::Value::Array(Vec::new()),
            Self::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }
}
