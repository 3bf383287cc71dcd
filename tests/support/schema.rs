//! The service's own document (`rpc.discover`), and whether what it says fits it.
//!
//! Clients must let fields pass that they do not know. Here nobody may: a field that is not in the document is a fault.

use std::collections::HashMap;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// A document, ready to be held against replies and notifications.
pub struct Published {
    results: HashMap<String, Validator>,
    notifications: HashMap<String, Validator>,
    /// By method: what `error` may be.
    errors: HashMap<String, Validator>,
}

impl Published {
    /// Reads a document.
    pub fn new(document: &Value) -> Self {
        let mut components = document["components"].clone();
        closed(&mut components["schemas"]);
        let validator = |schema: Value| {
            let mut schema = schema;
            schema["components"] = components.clone();
            let options = jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true);
            options.build(&schema).unwrap_or_else(|error| panic!("not a schema: {error}\n{schema}"))
        };
        let named = |list: &Value, schema: &dyn Fn(&Value) -> Value| {
            let all = list.as_array().expect("a list").iter();
            all.map(|one| (one["name"].as_str().expect("a name").to_owned(), validator(schema(one)))).collect()
        };
        Self {
            results: named(&document["methods"], &|method| method["result"]["schema"].clone()),
            notifications: named(&document["x-notifications"], &|notification| notification["schema"].clone()),
            errors: named(&document["methods"], &|method| error_schema(method, document)),
        }
    }

    /// Panics unless `response` is one that `method` may give.
    pub fn check_response(&self, method: &str, response: &Value) {
        // A method that is not there has its error from the envelope.
        let (Some(result), Some(error)) = (self.results.get(method), self.errors.get(method)) else { return };
        match (response.get("result"), response.get("error")) {
            (Some(value), None) => fits(result, value, method),
            (None, Some(value)) => fits(error, value, method),
            _ => panic!("{method}: neither a result nor an error: {response}"),
        }
    }

    /// Panics unless `message` is a notification that may come.
    pub fn check_notification(&self, message: &Value) {
        let method = message["method"].as_str().expect("a notification names its method");
        let schema = self.notifications.get(method).unwrap_or_else(|| panic!("{method} is not in the document"));
        fits(schema, &message["params"], method);
    }
}

/// What the `error` of a method's response may be.
fn error_schema(method: &Value, document: &Value) -> Value {
    let errors = method["errors"].as_array().expect("a list").iter();
    let one_of: Vec<_> = errors
        .map(|reference| {
            let pointer = reference["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
            let error = document.pointer(pointer.expect("a reference")).expect("an error of the document");
            json!({
                "properties": {
                    "code": { "const": error["code"] },
                    "message": { "const": error["message"] },
                    "data": error["data"],
                },
                "required": ["code", "message", "data"],
                "additionalProperties": false,
            })
        })
        .collect();
    json!({ "oneOf": one_of })
}

fn fits(schema: &Validator, value: &Value, what: &str) {
    let mut wrong = schema.iter_errors(value).map(|error| format!("{what}: at \"{}\": {error}", error.instance_path()));
    if let Some(first) = wrong.next() {
        let rest: Vec<_> = wrong.collect();
        panic!("not as published: {first}\n{}\n{value}", rest.join("\n"));
    }
}

/// Forbids the fields that a schema does not name, wherever it says nothing about them.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(closed);
        }
        Value::Array(list) => list.iter_mut().for_each(closed),
        _ => {}
    }
}
