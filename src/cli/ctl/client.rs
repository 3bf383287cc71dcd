//! A JSON-RPC conversation over one WebSocket.

use std::fmt;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::super::{
    dial::{Connection, dial},
    trust::Trust,
};

/// Why it did not work, in a line for people.
#[derive(Debug)]
pub enum Failure {
    /// Nobody answers, or not any more.
    Unreachable(String),
    /// Not with these credentials.
    NotAllowed(String),
    /// The service said no.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(reason) | Self::NotAllowed(reason) | Self::Refused(reason)) = self;
        f.write_str(reason)
    }
}

/// The conversation.
pub struct Client {
    socket: WebSocketStream<Box<dyn Connection>>,
    id: u64,
}

impl Client {
    /// Opens it, over TLS where the URL says so.
    pub async fn connect(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let failed = |error: &dyn fmt::Display| {
            Failure::Unreachable(format!(
                "{url} does not answer: {error}; is the service running, and is it there (--url)?"
            ))
        };
        let wrong =
            |error: &dyn fmt::Display| Failure::Refused(format!("{url} is no URL of a control socket: {error}"));
        let request = url.into_client_request().map_err(|error| wrong(&error))?;
        let (uri, tls) = (request.uri(), request.uri().scheme_str() == Some("wss"));
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let connector = tls.then(|| trust.connector()).transpose().map_err(Failure::Refused)?;
        let connection = dial(host, port, connector.as_ref()).await.map_err(|error| failed(&error))?;
        let (socket, _) = client_async(request, connection).await.map_err(|error| failed(&error))?;
        Ok(Self { socket, id: 0 })
    }

    /// The result of a method.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        self.socket.send(Message::text(request.to_string())).await.map_err(|error| gone(&error))?;
        loop {
            let mut message = self.message().await?.ok_or_else(|| gone(&"the service has ended"))?;
            if message["id"] != self.id {
                continue;
            }
            return match message.get_mut("error") {
                None => Ok(message["result"].take()),
                Some(error) => Err(refusal(method, error)),
            };
        }
    }

    /// The parameters of the next event; `None` when the service has ended.
    pub async fn event(&mut self) -> Result<Option<Value>, Failure> {
        while let Some(mut message) = self.message().await? {
            if message["method"] == "event" {
                return Ok(Some(message["params"].take()));
            }
        }
        Ok(None)
    }

    async fn message(&mut self) -> Result<Option<Value>, Failure> {
        while let Some(frame) = self.socket.next().await {
            match frame.map_err(|error| gone(&error))? {
                Message::Text(text) => return serde_json::from_str(&text).map(Some).map_err(|error| gone(&error)),
                Message::Close(_) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn gone(reason: &dyn fmt::Display) -> Failure {
    Failure::Unreachable(format!("the conversation broke off: {reason}"))
}

/// What an error object says: its message, and whatever its data adds.
fn refusal(method: &str, error: &Value) -> Failure {
    let mut text = format!("{method}: {}", error["message"].as_str().unwrap_or("refused"));
    for (name, value) in error["data"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(value) => text.push_str(&format!("; {name}: {value}")),
            None => text.push_str(&format!("; {name}: {value}")),
        }
    }
    match error["code"].as_i64() {
        Some(-32001 | -32002) => Failure::NotAllowed(text),
        _ => Failure::Refused(text),
    }
}
