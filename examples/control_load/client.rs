//! The clients: those that ask, and those that listen.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, SinkExt, StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, interval_at, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, Utf8Bytes},
};

use super::{PATIENCE, Result};

/// A client's end of a connection.
pub type Socket = WebSocketStream<TcpStream>;

/// Tells when each event has come, and what it was.
pub async fn listen(mut socket: Socket, tell: mpsc::UnboundedSender<(SystemTime, Utf8Bytes)>) -> Result<()> {
    while let Some(message) = socket.try_next().await? {
        match message {
            Message::Text(text) if text.contains("\"snapshot.taken\"") => tell.send((SystemTime::now(), text))?,
            _ => {}
        }
    }
    Ok(())
}

/// Asks the same on every socket, and gives the last result.
pub async fn ask_once(sockets: &mut [Socket], request: &str) -> Result<Value> {
    let mut result = Value::Null;
    for socket in sockets {
        socket.send(Message::text(format!("{{\"jsonrpc\":\"2.0\",{request},\"id\":0}}"))).await?;
        loop {
            let message = timeout(PATIENCE, socket.try_next()).await??.ok_or("closed")?;
            let mut reply: Value = serde_json::from_str(message.to_text()?)?;
            if let Some(error) = reply.get("error") {
                return Err(format!("{request}: {error}").into());
            }
            if reply.get("id").is_some() {
                result = reply["result"].take();
                break;
            }
        }
    }
    Ok(result)
}

/// One socket that asks, and sees to it that each request is answered once.
pub struct Asker {
    socket: Socket,
    request: Arc<str>,
    good: &'static str,
    /// When each request was due; `None` once it is answered.
    asked: Vec<Option<Instant>>,
    latencies: Vec<Duration>,
}

impl Asker {
    /// Has not asked yet. `request` is method and parameters, `good` how a good reply begins.
    pub fn new(socket: Socket, request: Arc<str>, good: &'static str) -> Self {
        Self { socket, request, good, asked: Vec::new(), latencies: Vec::new() }
    }

    /// Keeps `window` requests under way until then. How long each took.
    pub async fn window(mut self, window: usize, until: Instant) -> Result<Vec<Duration>> {
        loop {
            while self.under_way() < window && Instant::now() < until {
                self.ask(Instant::now()).await?;
            }
            self.socket.flush().await?;
            if self.under_way() == 0 {
                return Ok(self.latencies);
            }
            let mut next = timeout(PATIENCE, self.socket.next()).await?;
            while let Some(message) = next {
                self.answered(&message?)?;
                next = self.socket.next().now_or_never().flatten();
            }
        }
    }

    /// Asks every so often until then, whether the last is answered or not. How long after its time each was answered.
    pub async fn paced(mut self, first: Instant, every: Duration, until: Instant) -> Result<Vec<Duration>> {
        let mut ticks = interval_at(first, every);
        loop {
            if Instant::now() >= until && self.under_way() == 0 {
                return Ok(self.latencies);
            }
            tokio::select! {
                due = ticks.tick(), if Instant::now() < until => {
                    self.ask(due).await?;
                    self.socket.flush().await?;
                }
                message = timeout(PATIENCE, self.socket.next()) => self.answered(&message?.ok_or("closed")??)?,
            }
        }
    }

    fn under_way(&self) -> usize {
        self.asked.len() - self.latencies.len()
    }

    async fn ask(&mut self, due: Instant) -> Result<()> {
        let text = format!("{{\"jsonrpc\":\"2.0\",{},\"id\":{}}}", self.request, self.asked.len());
        self.asked.push(Some(due));
        Ok(self.socket.feed(Message::text(text)).await?)
    }

    fn answered(&mut self, message: &Message) -> Result<()> {
        let text = message.to_text()?;
        let Some((_, id)) = text.rsplit_once(",\"id\":") else { return Ok(()) };
        let due = self.asked.get_mut(id.trim_end_matches('}').parse::<usize>()?).and_then(Option::take);
        match due {
            Some(due) if text.starts_with(self.good) => self.latencies.push(due.elapsed()),
            _ => return Err(format!("not an answer, or the second one: {text}").into()),
        }
        Ok(())
    }
}
