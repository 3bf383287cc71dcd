//! Values of keys, and how they are shown.

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{Nanos, Set, size};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true`, `false`.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Number(f64),
    /// A text, a word.
    Text(String),
    /// A time.
    Time(Nanos),
    /// A size in bytes.
    Size(u64),
    /// Texts, words.
    Texts(Vec<String>),
    /// Networks.
    Networks(Vec<IpNet>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Objects.
    Records(Vec<Set>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => flag.serialize(serializer),
            Self::Int(number) => number.serialize(serializer),
            Self::Number(number) => Plain(*number).serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Time(time) => serializer.collect_str(time),
            Self::Size(bytes) => size::show(*bytes).serialize(serializer),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Networks(networks) => networks.serialize(serializer),
            Self::Ints(numbers) => numbers.serialize(serializer),
            Self::Numbers(numbers) => serializer.collect_seq(numbers.iter().copied().map(Plain)),
            Self::Records(records) => records.serialize(serializer),
        }
    }
}

/// A number as Go shows it: without a point where there is nothing behind it.
struct Plain(f64);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0.fract() == 0.0 && self.0.abs() < 1e15;
        if whole { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f64(self.0) }
    }
}
