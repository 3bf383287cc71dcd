//! The MediaMTX-compatible API as its clients see it: every reply has every field, of the right type, and what is written
//! does something. `curl` asks; `ffmpeg` reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod acting;
mod alike;
mod always;
mod by_hand;
mod by_name;
mod contract;
mod counted;
mod crowd;
mod elsewhere;
mod endless;
mod every_key;
mod file;
mod given;
mod hand;
mod hooks;
mod matching;
mod metrics;
mod people;
mod playback;
mod published;
mod pulled;
mod records;
mod reports;
mod rtsps;
mod rules;
mod shape;

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;
use support::{Service, peers::run};

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What is below them.
    pub body: String,
}

impl Reply {
    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks the API with curl. `more` are more of its arguments.
pub async fn curl(api: SocketAddr, method: &str, path: &str, body: &str, more: &[&str]) -> Reply {
    curl_at(&format!("http://{api}/v3{path}"), method, body, more).await
}

/// Asks any port.
pub async fn curl_at(url: &str, method: &str, body: &str, more: &[&str]) -> Reply {
    let mut arguments = vec!["-s", "-S", "-g", "-i", "-H", "Expect:", "-X", method, url];
    if !body.is_empty() {
        arguments.extend(["--data-binary", body]);
    }
    arguments.extend(more);
    let text = run("curl", &arguments).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let fields = lines.filter_map(|line| line.split_once(": "));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Reply { status: status.expect("a status"), headers, body: body.to_owned() }
}

/// Asks a service.
pub async fn ask(service: &Service, method: &str, path: &str, body: &str) -> Reply {
    curl(service.app.engine_addresses().api.expect("it is served"), method, path, body, &[]).await
}

/// Has it done.
pub async fn done(service: &Service, method: &str, path: &str, body: &str) {
    let reply = ask(service, method, path, body).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"status":"ok"}"#), "{method} {path} {body}");
}

/// What is there.
pub async fn get(service: &Service, path: &str) -> Value {
    let reply = ask(service, "GET", path, "").await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}
