//! A JSON-RPC client over a real WebSocket, for tests. Replies and notifications that are not as the service's own
//! document says fail the test.

use std::{collections::VecDeque, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::{PATIENCE, PUBLISHED};

/// A client and the notifications that came between its replies.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    notifications: VecDeque<Value>,
    next_id: u64,
}

impl Client {
    /// Connects, without credentials.
    pub async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await.expect("the WebSocket port answers");
        Self { socket, notifications: VecDeque::new(), next_id: 0 }
    }

    /// Connects and authenticates with a token.
    pub async fn authenticated(address: SocketAddr, token: &str) -> Self {
        let mut client = Self::connect(address).await;
        let reply = client.call("authenticate", json!({ "auth_token": token })).await.expect("the token is good");
        assert_eq!(reply["authenticated"], true);
        client
    }

    /// Calls a method: its result, or its error object.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()).await;
        loop {
            let mut message = self.receive().await;
            if message["id"] == id {
                PUBLISHED.check_response(method, &message);
                return match message.get_mut("result") {
                    Some(result) => Ok(result.take()),
                    None => Err(message["error"].take()),
                };
            }
            self.notifications.push_back(message);
        }
    }

    /// Waits for a notification of this method that fits.
    pub async fn notification(&mut self, method: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wanted = |message: &Value| message["method"] == method && fits(&message["params"]);
        if let Some(index) = self.notifications.iter().position(wanted) {
            return self.notifications.remove(index).unwrap()["params"].take();
        }
        loop {
            let mut message = self.receive().await;
            if wanted(&message) {
                return message["params"].take();
            }
            self.notifications.push_back(message);
        }
    }

    /// Sends a text frame as it is.
    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the socket takes a message");
    }

    /// Sends a text frame as it is and gives the answer, as it is.
    pub async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }

    /// The next text frame, as JSON.
    pub async fn receive(&mut self) -> Value {
        let message: Value = serde_json::from_str(&self.text().await).expect("JSON");
        if message.get("method").is_some() {
            PUBLISHED.check_notification(&message);
        }
        message
    }

    async fn text(&mut self) -> String {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await.expect("an answer in time");
            match frame.expect("the socket is open").expect("a good frame") {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected text, got {other:?}"),
            }
        }
    }

    /// Waits until the service closes the socket: the close code.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
