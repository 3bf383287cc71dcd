//! From JSON to values, with the messages that Go's decoder and MediaMTX give.

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{
    Nanos, Set, Value,
    key::{Key, Kind},
    size,
};

/// Characters of a plain credential, besides letters and digits.
const CREDENTIAL: &str = "!$()*+.;<=>[]^_-{}@#&";

/// Reads the body of a request: an object with some keys of a table. Error: what MediaMTX would say.
pub(super) fn body(text: &[u8], keys: &'static [Key]) -> Result<Set, String> {
    let json: Json = serde_json::from_slice(text).map_err(|error| syntax(text, &error))?;
    object(&json, keys, "")
}

/// Some keys of a table. `null` is as good as nothing, for a key and for all. Error: what MediaMTX would say of `place`.
pub(super) fn object(json: &Json, keys: &'static [Key], place: &str) -> Result<Set, String> {
    let mut set = Set::new(keys);
    for (at, value) in fields(json, keys, place)? {
        if !value.is_null() {
            set.put_at(at, keys[at].kind.decode(value, keys[at].name)?);
        }
    }
    Ok(set)
}

/// What the standard library of Go says of a text that is no JSON.
fn syntax(text: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let line_start = match error.line() {
        0 | 1 => 0,
        line => text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line - 2).map_or(0, |(at, _)| at + 1),
    };
    let at = (line_start + error.column()).saturating_sub(1);
    let found = text.get(at).copied().map_or('\0', char::from);
    let after = if error.to_string().starts_with("trailing") {
        "after top-level value"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character {found:?} {after}")
}

/// The fields of an object with their places in the table. Error: it is none, or has one that is not in the table.
fn fields<'a>(json: &'a Json, keys: &[Key], place: &str) -> Result<Vec<(usize, &'a Json)>, String> {
    let object = match json {
        Json::Null => return Ok(Vec::new()),
        Json::Object(object) => object,
        other => return Err(mismatch(other, "map[string]json.RawMessage")),
    };
    let dot = if place.is_empty() { "" } else { "." };
    let find = |name: &String| {
        keys.iter()
            .position(|key| key.name == name)
            .ok_or_else(|| format!("json: unknown field {:?}", format!("{place}{dot}{name}")))
    };
    object.iter().map(|(name, value)| Ok((find(name)?, value))).collect()
}

/// The message of a value of the wrong kind.
fn mismatch(found: &Json, wanted: &str) -> String {
    let kind = match found {
        Json::Null => "null".into(),
        Json::Bool(_) => "bool".into(),
        Json::Number(number) if ["int", "uint"].contains(&wanted) => format!("number {number}"),
        Json::Number(_) => "number".to_owned(),
        Json::String(_) => "string".into(),
        Json::Array(_) => "array".into(),
        Json::Object(_) => "object".into(),
    };
    format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
}

impl Kind {
    /// The value that `json` means for the key at `place`.
    pub(super) fn decode(&self, json: &Json, place: &str) -> Result<Value, String> {
        let text = || string(json);
        Ok(match self {
            Self::Flag => Value::Flag(match json {
                Json::Null => false,
                Json::Bool(flag) => *flag,
                other => return Err(mismatch(other, "bool")),
            }),
            Self::Int(name) => Value::Int(whole(json, name)?),
            Self::Number => Value::Number(number(json)?),
            Self::Text => Value::Text(text()?),
            Self::Credential => Value::Text(credential(text()?)?),
            Self::Time => Value::Time(Nanos::parse(&text()?)?),
            Self::Size => Value::Size(size::parse(&text()?)?),
            Self::Word(words) => {
                let word = text()?;
                if !words.words.contains(&word.as_str()) {
                    return Err(words.wrong.replace("{}", &word));
                }
                Value::Text(word)
            }
            Self::Words(words) => {
                let mut found = elements(json, place, "[]string", |element, _| string(element))?;
                if let Some(wrong) = found.iter().find(|word| !words.words.contains(&word.as_str())) {
                    return Err(words.wrong.replace("{}", wrong));
                }
                if words.sorted {
                    found.sort();
                    found.dedup();
                }
                Value::Texts(found)
            }
            Self::Texts => Value::Texts(elements(json, place, "[]string", |element, _| string(element))?),
            Self::Networks => {
                Value::Networks(elements(json, place, "[]json.RawMessage", |element, _| network(&string(element)?))?)
            }
            Self::Counts => Value::Ints(elements(json, place, "[]uint", |element, _| whole(element, "uint"))?),
            Self::Numbers => Value::Numbers(elements(json, place, "[]float64", |element, _| number(element))?),
            Self::Records(keys) => Value::Records(elements(json, place, "[]json.RawMessage", |element, place| {
                record(element, keys, place)
            })?),
        })
    }
}

fn elements<T>(
    json: &Json,
    place: &str,
    go: &str,
    mut read: impl FnMut(&Json, &str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match json {
        Json::Null => Err(format!("cannot set slice {place:?} to nil")),
        Json::Array(array) => {
            array.iter().enumerate().map(|(at, element)| read(element, &format!("{place}[{at}]"))).collect()
        }
        other => Err(mismatch(other, go)),
    }
}

/// An object inside a list: what is not in it is at its default.
fn record(json: &Json, keys: &'static [Key], place: &str) -> Result<Set, String> {
    let mut set = Set::defaults(keys);
    for (at, value) in fields(json, keys, place)? {
        set.put_at(at, keys[at].kind.decode(value, &format!("{place}.{}", keys[at].name))?);
    }
    Ok(set)
}

fn string(json: &Json) -> Result<String, String> {
    match json {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text.clone()),
        other => Err(mismatch(other, "string")),
    }
}

fn whole(json: &Json, go: &str) -> Result<i64, String> {
    match json {
        Json::Null => Ok(0),
        Json::Number(number) => {
            number.as_i64().filter(|number| go == "int" || *number >= 0).ok_or_else(|| mismatch(json, go))
        }
        other => Err(mismatch(other, go)),
    }
}

fn number(json: &Json) -> Result<f64, String> {
    match json {
        Json::Null => Ok(0.0),
        Json::Number(number) => number.as_f64().ok_or_else(|| mismatch(json, "float64")),
        other => Err(mismatch(other, "float64")),
    }
}

/// An address is a network of one.
fn network(text: &str) -> Result<IpNet, String> {
    let read =
        text.parse::<IpNet>().or_else(|error| text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| error));
    read.map(|network| network.trunc()).map_err(|_| format!("unable to parse IP/CIDR '{text}'"))
}

fn credential(text: String) -> Result<String, String> {
    let hashed = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let plain = |c: char| c.is_ascii_alphanumeric() || CREDENTIAL.contains(c);
    if let Some(hash) = text.strip_prefix("sha256:") {
        if hash.is_empty() || !hash.chars().all(hashed) {
            return Err("credential contains unsupported characters, sha256 hash must be base64 encoded".into());
        }
    } else if let Some(hash) = text.strip_prefix("argon2:") {
        argon2::PasswordHash::new(hash).map_err(|error| format!("invalid argon2 hash: {error}"))?;
    } else if !text.chars().all(plain) {
        let supported = "A-Z,0-9,!,$,(,),*,+,.,;,<,=,>,[,],^,_,-,\",\",@,#,&";
        return Err(format!("credential contains unsupported characters. Supported are: {supported}"));
    }
    Ok(text)
}
