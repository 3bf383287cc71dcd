//! The conversation, from outside: a whole service and a real socket. What there is to call is read from the service's
//! own document, so that a new method is asked everything here without a line of its own but its role.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod conversation;
mod errors;
mod frames;
mod parameters;
mod raw;
mod roles;

use serde_json::Value;
use support::{DOCUMENT, Service};

/// A service that no camera comes to.
async fn service() -> Service {
    Service::start("camera: { test_pattern: never, discovery_enabled: false }").await
}

/// The methods of the document.
fn methods() -> &'static [Value] {
    DOCUMENT["methods"].as_array().unwrap()
}

fn name(described: &Value) -> &str {
    described["name"].as_str().unwrap()
}
