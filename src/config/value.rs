//! What a scalar of the configuration can be. Each type reads itself and says what it accepts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use serde_json::{Value as Json, json};

use crate::{
    frame::Codec,
    id::CameraId,
    mode::{FourCc, Rate},
};

/// Why a text is not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something else altogether.
    Type,
    /// The right kind of thing, too small or too large.
    Range,
}

/// A type that stands in the configuration as one scalar.
pub(super) trait Value: Sized + PartialEq {
    /// What is accepted, after "valid:".
    fn valid() -> String;
    fn read(text: &str) -> Result<Self, Fault>;
    /// What it is written as.
    fn written(&self) -> Json;
    /// By what it is told from others. Never shown.
    fn mark(&self) -> String {
        self.written().to_string()
    }
    /// The forms it may be written in, as JSON schemas of which one must fit.
    fn forms() -> Vec<Json>;
    /// What an empty value means, if anything.
    fn empty() -> Option<Self> {
        None
    }
    /// The accepted words, where there are only so many.
    fn words() -> &'static [&'static str] {
        &[]
    }
}

/// Declares an enum whose variants are words of the configuration, with older spellings after a bar.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal $(| $old:literal)*,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$about])* $variant,)+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $word,)+ })
            }
        }

        impl $crate::config::value::Value for $name {
            fn valid() -> String {
                [$($word),+].join(", ")
            }
            fn read(text: &str) -> Result<Self, $crate::config::value::Fault> {
                match text.to_lowercase().as_str() {
                    $($word $(| $old)* => Ok(Self::$variant),)+
                    _ => Err($crate::config::value::Fault::Type),
                }
            }
            fn words() -> &'static [&'static str] {
                &[$($word),+]
            }
            fn written(&self) -> serde_json::Value {
                self.to_string().into()
            }
            fn forms() -> Vec<serde_json::Value> {
                $crate::config::value::word_forms(&[$($word),+], &[$($word $(, $old)*),+])
            }
        }
    };
}
pub(super) use words;

/// The forms of `shown` words, which are offered, and of all words that are `taken`, in any case.
pub(super) fn word_forms(shown: &[&str], taken: &[&str]) -> Vec<Json> {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    let any_case = taken.iter().map(|word| word.chars().map(letter).collect::<String>()).collect::<Vec<_>>().join("|");
    vec![json!({ "enum": shown }), json!({ "type": "string", "pattern": format!("^({any_case})$") })]
}

/// Texts of this form.
pub(super) fn text_form(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

/// A text that is never shown: `Debug` hides it, and any text is valid, so that no message has to repeat one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(hidden)" })
    }
}

impl Value for Secret {
    fn valid() -> String {
        "a text".into()
    }
    /// Nothing: a secret is never shown.
    fn written(&self) -> Json {
        "".into()
    }
    fn mark(&self) -> String {
        self.0.clone()
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": ["string", "number"] })]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        Ok(Self(text.to_owned()))
    }
    fn empty() -> Option<Self> {
        Some(Self::default())
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => { $(
        impl Value for $type {
            fn valid() -> String {
                "a whole number".into()
            }
            fn written(&self) -> Json {
                (*self).into()
            }
            fn forms() -> Vec<Json> {
                vec![
                    json!({ "type": "integer", "minimum": <$type>::MIN, "maximum": <$type>::MAX }),
                    text_form("^ *[0-9][0-9_]* *$"),
                ]
            }
            fn read(text: &str) -> Result<Self, Fault> {
                let number: i128 = text.trim().replace('_', "").parse().map_err(|_| Fault::Type)?;
                number.try_into().map_err(|_| Fault::Range)
            }
        }
    )+ };
}
whole_numbers!(u8, u16, u32, u64);

impl Value for f64 {
    fn valid() -> String {
        "a number".into()
    }
    fn written(&self) -> Json {
        if self.fract() == 0.0 { (*self as i64).into() } else { (*self).into() }
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": "number" }), text_form("^ *-?[0-9]+([.][0-9]*)? *$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.trim().parse::<Self>().ok().filter(|number| number.is_finite()).ok_or(Fault::Type)
    }
}

impl Value for bool {
    fn valid() -> String {
        "true or false".into()
    }
    fn written(&self) -> Json {
        (*self).into()
    }
    fn forms() -> Vec<Json> {
        let words = ["true", "yes", "on", "false", "no", "off"];
        [vec![json!({ "type": "boolean" })], word_forms(&words, &words)].concat()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(Fault::Type),
        }
    }
    fn words() -> &'static [&'static str] {
        &["true", "false"]
    }
}

impl Value for String {
    fn valid() -> String {
        "a text".into()
    }
    fn written(&self) -> Json {
        self.as_str().into()
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": ["string", "number", "boolean"] })]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        Ok(text.to_owned())
    }
    fn empty() -> Option<Self> {
        Some(Self::new())
    }
}

impl Value for PathBuf {
    fn valid() -> String {
        "a path".into()
    }
    fn written(&self) -> Json {
        self.display().to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": "string", "minLength": 1 })]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.contains('\0') { Err(Fault::Type) } else { Ok(text.into()) }
    }
}

/// An optional value: nothing and `""` are none.
impl<T: Value> Value for Option<T> {
    fn valid() -> String {
        format!("{}, or nothing", T::valid())
    }
    fn written(&self) -> Json {
        self.as_ref().map_or(Json::Null, Value::written)
    }
    fn forms() -> Vec<Json> {
        [T::forms(), vec![json!({ "const": "" })]].concat()
    }
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() { Ok(None) } else { T::read(text).map(Some) }
    }
    fn empty() -> Option<Self> {
        Some(None)
    }
    fn words() -> &'static [&'static str] {
        T::words()
    }
}

impl Value for IpAddr {
    fn valid() -> String {
        "an IP address of this machine, such as 0.0.0.0 (all), 127.0.0.1 or ::".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![text_form("^(localhost|[0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text {
            "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().map_err(|_| Fault::Type),
        }
    }
}

impl Value for FourCc {
    fn valid() -> String {
        "a V4L2 pixel format of up to four characters, such as YUYV, MJPG, H264".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![text_form("^.{1,4}$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::Type)
    }
}

impl Value for CameraId {
    fn valid() -> String {
        "camera0, camera1, …".into()
    }
    fn written(&self) -> Json {
        self.to_string().into()
    }
    fn forms() -> Vec<Json> {
        vec![text_form("^camera[0-9]+$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::Type)
    }
}

impl Value for Codec {
    fn valid() -> String {
        Self::words().join(", ")
    }
    fn written(&self) -> Json {
        self.to_string().to_lowercase().into()
    }
    fn forms() -> Vec<Json> {
        word_forms(Self::words(), Self::words())
    }
    fn read(text: &str) -> Result<Self, Fault> {
        match text.to_lowercase().as_str() {
            "h264" => Ok(Self::H264),
            "mjpeg" => Ok(Self::Mjpeg),
            _ => Err(Fault::Type),
        }
    }
    fn words() -> &'static [&'static str] {
        &["h264", "mjpeg"]
    }
}

impl Value for Rate {
    fn valid() -> String {
        "frames per second from 1 to 240, such as 30, 29.97 or 30000/1001".into()
    }
    fn written(&self) -> Json {
        match self.seconds {
            1 => self.frames.into(),
            _ => format!("{}/{}", self.frames, self.seconds).into(),
        }
    }
    fn forms() -> Vec<Json> {
        vec![json!({ "type": "number", "minimum": 1, "maximum": 240 }), text_form("^ *[0-9]+([.][0-9]+|/[0-9]+)? *$")]
    }
    fn read(text: &str) -> Result<Self, Fault> {
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| Fault::Type);
        let rate = match text.split_once('/') {
            Some((frames, seconds)) => Self { frames: number(frames)?, seconds: number(seconds)? },
            None => match text.trim() {
                "59.94" => Self { frames: 60000, seconds: 1001 },
                "29.97" => Self { frames: 30000, seconds: 1001 },
                "23.976" | "23.98" => Self { frames: 24000, seconds: 1001 },
                text => match text.parse::<f64>().map_err(|_| Fault::Type)? {
                    fps if fps.fract() == 0.0 => Self::per_second(fps as u32),
                    fps => Self { frames: (fps * 1000.0).round() as u32, seconds: 1000 },
                },
            },
        };
        if rate.seconds > 0 && (1.0..=240.0).contains(&rate.fps()) { Ok(rate) } else { Err(Fault::Range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_fractions() {
        assert_eq!(Rate::read("30"), Ok(Rate::per_second(30)));
        assert_eq!(Rate::read("29.97"), Rate::read("30000/1001"));
        assert_eq!(Rate::read("7.5"), Ok(Rate { frames: 15, seconds: 2 }));
        assert_eq!(Rate::read("0"), Err(Fault::Range));
        assert_eq!(Rate::read("30/0"), Err(Fault::Range));
        assert_eq!(Rate::read("fast"), Err(Fault::Type));
    }

    #[test]
    fn secrets_do_not_print() {
        let text = format!("{:?}", Secret("hunter2".into()));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
