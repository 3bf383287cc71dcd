//! What there is to call, told by the service itself.

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    Command, Gateway, NoParams,
    access::{Caller, Role},
};
use crate::error::Result;

/// The OpenRPC document of this service. It is written once; clones are the same text.
#[derive(Clone, Debug)]
pub struct Document(Arc<RawValue>);

impl From<Box<RawValue>> for Document {
    fn from(text: Box<RawValue>) -> Self {
        Self(text.into())
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "OpenRpcDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An OpenRPC document: https://spec.open-rpc.org",
            "type": "object",
            "required": ["openrpc", "info", "methods"],
            "additionalProperties": true,
            "properties": {
                "openrpc": { "type": "string" },
                "info": { "type": "object" },
                "methods": { "type": "array", "items": { "type": "object" } },
            },
        })
    }
}

/// `rpc.discover`: every method and notification with its parameters, replies and errors.
pub struct Discover;

impl Command for Discover {
    const METHOD: &'static str = "rpc.discover";
    const SUMMARY: &'static str = "This document.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = Document;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<Document> {
        Ok(gateway.document.clone())
    }
}
