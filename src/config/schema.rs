//! The configuration as a JSON Schema, for editors and for programs that write configurations.
//!
//! It comes from the sections' own `read`: each key that one asks for says what it takes and what it is by default. There is no
//! second list.

use serde_json::{Map, Value as Json, json};

use super::{
    Config,
    document::{Data, Node},
    legacy,
    problem::Place,
    section::{Findings, Section},
    value::{Value, text_form},
};

/// What stands for the value of an environment variable.
const VARIABLE: &str = "[$][{]";

/// The keys of a section and what may stand there.
#[derive(Default)]
pub(super) struct Outline {
    properties: Map<String, Json>,
    required: Vec<&'static str>,
}

impl Outline {
    /// Adds a key.
    pub fn add(&mut self, key: &str, schema: Json) {
        self.properties.insert(key.to_owned(), schema);
    }

    /// Says that a key has to be written.
    pub fn require(&mut self, key: &'static str) {
        self.required.push(key);
    }

    /// Bounds the forms of a key that are numbers.
    pub fn limit(&mut self, key: &str, least: &Json, most: &Json) {
        let forms = self.properties.get_mut(key).and_then(|schema| schema["anyOf"].as_array_mut());
        let is_number = |form: &&mut Json| form["type"] == "integer" || form["type"] == "number";
        for form in forms.into_iter().flatten().filter(is_number).filter(|_| least.is_number()) {
            (form["minimum"], form["maximum"]) = (least.clone(), most.clone());
        }
    }

    /// Takes texts with `mark` in them too.
    pub fn or_text_with(&mut self, key: &str, mark: &str) {
        let literal: String = mark.chars().map(|c| format!("[{c}]")).collect();
        if let Some(forms) = self.properties.get_mut(key).and_then(|schema| schema["anyOf"].as_array_mut()) {
            forms.push(text_form(&literal));
        }
    }

    /// The schema of the section.
    pub fn section(self) -> Json {
        let mut schema = json!({
            "type": ["object", "null"], "properties": self.properties, "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        schema
    }

    /// The schema of a list of such sections.
    pub fn list(self) -> Json {
        json!({ "type": ["array", "null"], "items": self.section(), "default": [] })
    }
}

/// The schema of a scalar.
pub(super) fn scalar<T: Value>(default: &T, valid: &str) -> Json {
    json!({ "description": valid, "default": default.written(), "anyOf": forms::<T>() })
}

/// The schema of a list of scalars.
pub(super) fn list<T: Value>(default: &[T]) -> Json {
    let default: Vec<Json> = default.iter().map(Value::written).collect();
    let items = json!({ "description": T::valid(), "anyOf": forms::<T>() });
    json!({ "type": ["array", "null"], "items": items, "default": default })
}

/// The schema of texts under any names.
pub(super) fn texts() -> Json {
    json!({ "type": ["object", "null"], "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

fn forms<T: Value>() -> Vec<Json> {
    let mut forms = T::forms();
    if T::empty().is_some() {
        forms.push(json!({ "type": "null" }));
    }
    forms.push(text_form(VARIABLE));
    forms
}

impl Config {
    /// The JSON Schema (draft 2020-12) of a configuration file. What spans several keys it does not know, such as two ports
    /// with the same number.
    pub fn schema() -> Json {
        let mut findings = Findings { describing: true, ..Findings::default() };
        let nothing = Node { place: Place::Default, data: Data::Null };
        let mut config = Self::default();
        let mut schema = Section::walk(&nothing, ("", ""), &mut findings, |section| config.fill(section)).section();
        legacy::describe(&mut schema);
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = "The configuration of camera-service".into();
        schema
    }
}
