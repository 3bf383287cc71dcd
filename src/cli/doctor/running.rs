//! The service as its clients see it, where it runs: every port that the configuration opens is asked something.

use std::{net::SocketAddr, time::Duration};

use camera_service::{
    app::{self, Listener},
    command::Role,
    config::Config,
    external::{Answer, describe, options},
    rtsp_url::RtspUrl,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{case::Case, finding::Finding, http, ports::holder};
use crate::cli::{
    ctl::client::{Client, Failure},
    dial::{self, control_url, dial, own_trust},
};

/// How long one conversation may take.
const CONVERSATION: Duration = Duration::from_secs(15);

const JOURNAL: &str = "journalctl -u camera-service -n 50 says what is in its way";

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let Some(config) = case.config() else {
        return vec![Finding::skipped("running", "the configuration cannot be read; that comes first")];
    };
    let listeners = app::listeners(config);
    let is_served = |listener: &Listener| listener.address.port() != 0 && holder(listener.address).is_some();
    let someone = listeners.iter().any(is_served);
    if !someone {
        let message = "the service does not run: nobody listens on its ports";
        return vec![match case.has_to_run {
            true => Finding::fail("running.service", message, JOURNAL),
            false => Finding::skipped("running.service", format!("{message}; --running makes that a failure")),
        }];
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Finding::skipped("running.service", format!("the runtime does not start: {error}"))],
    };
    let tls = match config.security.ssl.cert_file.as_ref().map(|_| own_trust(config).connector()).transpose() {
        Ok(tls) => tls,
        Err(reason) => return vec![Finding::fail("running.service", reason, "correct security.ssl.cert_file")],
    };
    runtime.block_on(Visit { config, listeners, tls }.everything())
}

struct Visit<'a> {
    config: &'a Config,
    listeners: Vec<Listener>,
    tls: Option<TlsConnector>,
}

impl Visit<'_> {
    async fn everything(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let streams = match timeout(CONVERSATION, self.control(&mut found)).await {
            Ok(streams) => streams,
            Err(_) => {
                found.push(Finding::fail("running.websocket", "the conversation does not come to an end", JOURNAL));
                None
            }
        };
        found.push(self.health().await);
        found.extend(self.rtsp("running.rtsp", "rtsp", "mediamtx.rtsp_port", streams.as_deref()).await);
        found.extend(self.rtsp("running.rtsps", "rtsps", "mediamtx.rtsps_port", streams.as_deref()).await);
        for (check, key, path) in [
            ("running.api", "mediamtx.api_port", "/v3/info"),
            ("running.metrics", "mediamtx.metrics_port", "/metrics?type=camera_service"),
            ("running.playback", "mediamtx.playback_port", "/list?path=none"),
        ] {
            found.extend(self.engine(check, key, path).await);
        }
        found
    }

    /// Where a port is reached from here, where it is served and its number is known.
    fn address(&self, key: &str) -> Option<SocketAddr> {
        let listener = self.listeners.iter().find(|listener| listener.key == key)?;
        (listener.address.port() != 0).then(|| dial::here(listener.address))
    }

    fn http_tls(&self) -> Option<&TlsConnector> {
        self.tls.as_ref().filter(|_| self.config.security.ssl.enabled)
    }

    /// The WebSocket: whether it answers, knows who may, and what it serves. `None`: that was not told.
    async fn control(&self, found: &mut Vec<Finding>) -> Option<Vec<String>> {
        self.address("server.port")?;
        let url = control_url(self.config);
        let mut client = match Client::connect(&url, &own_trust(self.config)).await {
            Ok(client) => client,
            Err(failure) => {
                found.push(Finding::fail("running.websocket", failure.to_string(), JOURNAL));
                return None;
            }
        };
        found.push(match client.call("ping", json!({})).await {
            Ok(answer) if answer == "pong" => Finding::ok("running.websocket", format!("{url} answers ping")),
            Ok(answer) => Finding::fail("running.websocket", format!("{url} answers ping with {answer}"), JOURNAL),
            Err(failure) => Finding::fail("running.websocket", failure.to_string(), JOURNAL),
        });
        const CHECK: &str = "running.authentication";
        if !matches!(client.call("get_streams", json!({})).await, Err(Failure::NotAllowed(_))) {
            let message = "a method that needs credentials answers without";
            found.push(Finding::fail(CHECK, message, "is it this service that listens there?"));
            return None;
        }
        if !app::has_secret(self.config) {
            let why = "there is no secret to make a token with, or it cannot be seen: run as root";
            found.push(Finding::skipped(CHECK, why));
            return None;
        }
        let token = match app::make_token(self.config, Role::Admin, "doctor", Some(1)) {
            Ok(token) => token,
            Err(error) => {
                found.push(Finding::skipped(CHECK, format!("run as root: {}", error.chain())));
                return None;
            }
        };
        match client.call("authenticate", json!({ "auth_token": token })).await {
            Ok(_) => found.push(Finding::ok(CHECK, "refuses nobody known, and takes a token of this configuration")),
            Err(failure) => {
                let fix = "the service was started with another configuration or state directory: restart it";
                found.push(Finding::fail(CHECK, failure.to_string(), fix));
                return None;
            }
        }
        found.extend(version(&mut client).await);
        let streams = client.call("get_streams", json!({})).await.ok()?;
        let ready = streams.as_array()?.iter().filter(|stream| stream["ready"] == true);
        Some(ready.filter_map(|stream| Some(stream["name"].as_str()?.to_owned())).collect())
    }

    async fn health(&self) -> Finding {
        const CHECK: &str = "running.health";
        let Some(address) = self.address("security.health.port") else {
            return Finding::skipped(CHECK, "the port is any free one");
        };
        let (status, body) = match http::get(address, "/health", self.http_tls()).await {
            Ok(answer) => answer,
            Err(reason) => return Finding::fail(CHECK, format!("{address} does not answer: {reason}"), JOURNAL),
        };
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let parts = body["components"].as_object().into_iter().flatten();
        let ill = parts.filter(|(_, part)| part["status"] != "healthy");
        let ill = ill.map(|(name, part)| format!("{name}: {}", part["details"].as_str().unwrap_or_default()));
        let ill = ill.collect::<Vec<_>>().join("; ");
        let fix = "see troubleshooting.md for these words";
        match (status, body["status"].as_str()) {
            (200, Some("healthy")) => Finding::ok(CHECK, format!("http://{address}/health: healthy")),
            (200, Some(word)) => Finding::warn(CHECK, format!("{word}: {ill}"), fix),
            (_, Some(word)) => Finding::fail(CHECK, format!("{word}: {ill}"), fix),
            (status, None) => Finding::fail(CHECK, format!("{address} answers {status}, not as this service"), JOURNAL),
        }
    }

    /// An RTSP server, and every path that streams.
    async fn rtsp(&self, check: &str, scheme: &str, key: &str, streams: Option<&[String]>) -> Vec<Finding> {
        let Some(address) = self.address(key) else { return Vec::new() };
        let tls = self.tls.as_ref().filter(|_| scheme == "rtsps");
        let mut found = Vec::new();
        let asked = async {
            let url = RtspUrl::parse(&format!("{scheme}://{address}/")).map_err(|error| error.to_string())?;
            let connection = dial(&address.ip().to_string(), address.port(), tls).await;
            options(&mut connection.map_err(|error| error.to_string())?, &url).await
        };
        match timeout(CONVERSATION, asked).await.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(_) => found.push(Finding::ok(check, format!("{scheme}://{address} answers OPTIONS"))),
            Err(reason) => {
                return vec![Finding::fail(check, format!("{scheme}://{address}: {reason}"), JOURNAL)];
            }
        }
        for name in streams.into_iter().flatten() {
            let (check, text) = (format!("{check}.{name}"), format!("{scheme}://{address}/{name}"));
            found.push(match timeout(CONVERSATION, self.stream(&text, address, tls)).await {
                Ok(Answer::Stream(codec)) => {
                    Finding::ok(check, format!("{text} has {}", codec.as_deref().unwrap_or("no video that is known")))
                }
                Ok(Answer::Locked) => Finding::ok(check, format!("{text} asks for a name and a password")),
                Ok(Answer::Odd(reason)) => Finding::fail(check, format!("{text} {reason}"), JOURNAL),
                Ok(Answer::NoStream | Answer::Nobody) => {
                    Finding::fail(check, format!("{text} is not served, although it streams"), JOURNAL)
                }
                Err(_) => Finding::fail(check, format!("{text} does not answer in time"), JOURNAL),
            });
        }
        found
    }

    async fn stream(&self, text: &str, address: SocketAddr, tls: Option<&TlsConnector>) -> Answer {
        let url = match RtspUrl::parse(text) {
            Ok(url) => url,
            Err(error) => return Answer::Odd(error.to_string()),
        };
        match dial(&address.ip().to_string(), address.port(), tls).await {
            Ok(mut connection) => describe(&mut connection, &url).await,
            Err(_) => Answer::Nobody,
        }
    }

    /// One of the ports of the media engine that speak HTTP. Whom it lets in is its own affair.
    async fn engine(&self, check: &str, key: &str, path: &str) -> Option<Finding> {
        let address = self.address(key)?;
        Some(match http::get(address, path, self.http_tls()).await {
            Ok((401 | 403, _)) => Finding::ok(check, format!("{address} asks for credentials")),
            Ok((status, _)) if status < 500 => Finding::ok(check, format!("{address} answers")),
            Ok((status, _)) => Finding::fail(check, format!("{address}{path} answers {status}"), JOURNAL),
            Err(reason) => Finding::fail(check, format!("{address} does not answer: {reason}"), JOURNAL),
        })
    }
}

/// Whether what runs is what is installed.
async fn version(client: &mut Client) -> Option<Finding> {
    let status = client.call("get_status", json!({})).await.ok()?;
    let (runs, here) = (status["version"].as_str()?, env!("CARGO_PKG_VERSION"));
    Some(match runs == here {
        true => Finding::ok("running.version", format!("version {runs}, as this program")),
        false => Finding::warn(
            "running.version",
            format!("version {runs} runs, and this program is {here}"),
            "sudo systemctl restart camera-service",
        ),
    })
}
