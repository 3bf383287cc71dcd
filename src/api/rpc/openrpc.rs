//! The OpenRPC document (<https://spec.open-rpc.org>), made from the types of commands and notifications.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json, value::to_raw_value};

use super::Table;
use crate::{
    api::errors::{self, Listed},
    command::{
        Command, Role,
        cameras::Camera,
        discover::Document,
        notice::{Event, Notice, RecordingUpdate},
        session::Authenticate,
    },
    error::{Error, Kind, Result},
};

/// The version of the OpenRPC specification that the document keeps to.
const OPENRPC: &str = "1.3.2";

/// The schemas that the document refers to, while it is being written.
pub(super) struct Schemas {
    /// Of what is read. Parameters are few and small: they are written where they stand.
    params: SchemaGenerator,
    /// Of what is written.
    replies: SchemaGenerator,
}

/// The document of the methods in the table, for a service that is reached at `url`.
///
/// # Errors
/// A fault of ours: a schema that is no JSON.
pub fn document(url: &str) -> Result<Document> {
    let text = to_raw_value(&described(&Table::default(), url));
    text.map(Document::from).map_err(|error| Error::with_source(Kind::Internal, "the document is not JSON", error))
}

fn described(table: &Table, url: &str) -> Value {
    let mut schemas = Schemas::new();
    let methods: Vec<_> = table.descriptions().map(|describe| describe(&mut schemas)).collect();
    let notifications = [
        notification::<Camera>(&mut schemas),
        notification::<RecordingUpdate>(&mut schemas),
        notification::<Event<'static>>(&mut schemas),
    ];
    let listed = errors::OF_NO_METHOD.iter().chain(&errors::OF_METHODS);
    let errors: Map<_, _> = listed.map(|listed| (name_of(listed), error(listed))).collect();
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": env!("CARGO_PKG_NAME"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "name": "control", "url": url }],
        "methods": methods,
        "components": { "schemas": schemas.replies.take_definitions(true), "errors": errors },
        "x-notifications": notifications,
    })
}

/// A command as a method of the document.
pub(super) fn method<C: Command>(schemas: &mut Schemas) -> Value {
    json!({
        "name": C::METHOD,
        "summary": C::SUMMARY,
        "paramStructure": "by-name",
        "params": schemas.params::<C::Params>(),
        "result": { "name": "result", "schema": schemas.reply::<C::Reply>() },
        "errors": errors_of(C::METHOD, C::ROLE),
        "x-role": C::ROLE.map_or("none", Role::name),
        "x-deadline-seconds": C::DEADLINE.as_secs(),
    })
}

fn notification<N: Notice>(schemas: &mut Schemas) -> Value {
    json!({ "name": N::METHOD, "summary": N::SUMMARY, "schema": schemas.reply::<N>() })
}

/// References to the errors a method can answer with.
fn errors_of(method: &str, role: Option<Role>) -> Vec<Value> {
    let can = |listed: &&Listed| match listed.code {
        -32001 => role.is_some() || method == Authenticate::METHOD,
        -32002 => role.is_some(),
        _ => true,
    };
    let reference = |listed| json!({ "$ref": format!("#/components/errors/{}", name_of(listed)) });
    errors::OF_METHODS.iter().filter(can).map(reference).collect()
}

/// An error of the document, with the shape of its `data`.
fn error(Listed { code, message, data }: &Listed) -> Value {
    json!({ "code": code, "message": message, "data": { "type": "object", "required": data } })
}

/// What an error is called in the document: `InvalidParams`.
fn name_of(listed: &Listed) -> String {
    listed.message.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

impl Schemas {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.transforms.push(Box::new(RecursiveTransform(for_clients)));
        });
        let replies = settings.clone().for_serialize().with_transform(RecursiveTransform(left_out_not_null));
        settings.inline_subschemas = true;
        Self { params: settings.for_deserialize().into_generator(), replies: replies.into_generator() }
    }

    /// Each field of `P`, as a parameter.
    fn params<P: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = self.params.root_schema_for::<P>().to_value();
        let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let fields = schema["properties"].as_object().into_iter().flatten();
        let parameter = |(name, schema): (&String, &Value)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({
                "name": name,
                "description": description.unwrap_or_else(|| "".into()),
                "required": required(name),
                "schema": schema,
            })
        };
        fields.map(parameter).collect()
    }

    fn reply<R: JsonSchema>(&mut self) -> Schema {
        self.replies.subschema_for::<R>()
    }
}

/// Takes out what is written for readers of the code: descriptions that link into it.
fn for_clients(schema: &mut Schema) {
    let links = |description: &Value| description.as_str().is_some_and(|text| text.contains("[`"));
    if schema.get("description").is_some_and(links) {
        schema.remove("description");
    }
}

/// A field that may be left out is never null: an `Option` is skipped, or it is always there.
fn left_out_not_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let always = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, field) in fields.into_iter().flatten().filter(|(name, _)| !always(name)) {
        for (key, null) in [("type", json!("null")), ("anyOf", json!({ "type": "null" }))] {
            if let Some(choices) = field.get_mut(key).and_then(Value::as_array_mut) {
                choices.retain(|choice| *choice != null);
            }
        }
    }
}

#[cfg(test)]
#[path = "openrpc_tests.rs"]
mod tests;
