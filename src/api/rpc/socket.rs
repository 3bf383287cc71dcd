//! One WebSocket: requests in, replies and notifications out.
//!
//! One task for each socket does both, so there is nothing between it and the connection to fill up: while a client
//! does not read, nothing more is read from it, and past the write timeout it is dropped. Notifications wait in the
//! broadcast ring that all sockets share; a socket that falls behind the ring is dropped too. Neither delays another.

use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, SinkExt, StreamExt, stream::FuturesUnordered};
use hyper::upgrade::OnUpgrade;
use tokio::{
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    self, Bytes, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::task::TaskTracker;
use warp::{
    http::{HeaderMap, StatusCode},
    reply::Response,
};

use super::{Table, envelope};
use crate::{
    api::{
        Settings, credentials, errors, origin,
        refusal::{HANG_UP, hang_up},
        upgrade::{self, WebSocket},
    },
    command::{Gateway, Notification, access::Caller},
    config,
};

/// Messages of one socket whose replies take time, at once. Further ones are not read until one of these is answered.
const MAX_IN_FLIGHT: usize = 16;

/// Messages of one socket that are answered before anything else has its turn.
const MAX_TOGETHER: usize = 64;

/// What all sockets share.
pub(in crate::api) struct Sockets {
    settings: Arc<config::Server>,
    origins: Vec<String>,
    table: Arc<Table>,
    gateway: Arc<Gateway>,
    tasks: TaskTracker,
}

impl Sockets {
    /// No sockets yet. Their tasks and those of their commands are counted in `tasks`.
    pub(in crate::api) fn new(settings: Settings, gateway: Arc<Gateway>, tasks: TaskTracker) -> Self {
        let Settings { server, origins, .. } = settings;
        Self { settings: Arc::new(server), origins, table: Arc::default(), gateway, tasks }
    }

    /// The path they are opened on.
    pub(in crate::api) fn path(&self) -> &str {
        &self.settings.websocket_path
    }

    /// Answers a request for a socket and, where the answer is yes, serves the socket in a task of its own.
    pub(in crate::api) fn open(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        on_upgrade: Option<OnUpgrade>,
    ) -> Response {
        if let Err(refusal) = origin::check(headers, &self.origins) {
            return *refusal;
        }
        let caller = match credentials::caller(headers, address, &self.gateway.credentials) {
            Ok(caller) => caller,
            Err(error) => return errors::http(&error, &Caller::nobody()),
        };
        let reply = match upgrade::accept(headers) {
            Ok(reply) => reply,
            Err(refusal) => return *refusal,
        };
        let Some(on_upgrade) = on_upgrade else {
            return errors::plain(StatusCode::BAD_REQUEST, "this connection cannot become a WebSocket");
        };
        let place = match self.gateway.clients.sockets.take(address) {
            Ok(place) => place,
            Err(error) => return errors::http(&error, &caller),
        };
        let conversation = Conversation {
            caller,
            table: Arc::clone(&self.table),
            gateway: Arc::clone(&self.gateway),
            settings: Arc::clone(&self.settings),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(async move {
            let _place = place;
            let session = conversation.caller.session_id();
            tracing::debug!(%session, "socket opened");
            match upgrade::finish(on_upgrade, conversation.settings.max_message_size.0 as usize).await {
                Ok(socket) => conversation.run(socket).await,
                Err(error) => tracing::debug!(%session, %error, "no socket came of it"),
            }
            tracing::debug!(%session, "socket closed");
        });
        reply
    }
}

/// Why a conversation is over.
#[derive(Debug)]
enum End {
    /// The client has gone: there is nobody to tell.
    Gone,
    /// The client does not read: it cannot be told.
    TooSlow,
    /// To be told with this code (RFC 6455 section 7.4) and reason.
    Tell(CloseCode, &'static str),
}

type Step = ControlFlow<End>;

struct Conversation {
    caller: Caller,
    table: Arc<Table>,
    gateway: Arc<Gateway>,
    settings: Arc<config::Server>,
    tasks: TaskTracker,
}

/// Replies that are still being worked on. Dropping it lets go of the replies; the work goes on.
type InFlight = FuturesUnordered<JoinHandle<Option<String>>>;

impl Conversation {
    async fn run(self, mut socket: WebSocket) {
        let end = self.converse(&mut socket).await;
        tracing::debug!(session = %self.caller.session_id(), ?end, "conversation over");
        if let End::TooSlow = end {
            self.gateway.clients.dropped_slow.fetch_add(1, Ordering::Relaxed);
        }
        if let End::Tell(code, reason) = end {
            let told = async {
                let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
                if socket.send(Message::Close(Some(frame))).await.is_ok() {
                    hang_up(socket.get_mut()).await;
                }
            };
            // Whoever does not take even this is let go of.
            let _ = timeout(HANG_UP, told).await;
        }
    }

    async fn converse(&self, socket: &mut WebSocket) -> End {
        let mut notifications = self.gateway.notifications.subscribe();
        let mut in_flight = InFlight::new();
        let mut pulse = Pulse::new(&self.settings);
        loop {
            let reading = in_flight.len() < MAX_IN_FLIGHT;
            let step = tokio::select! {
                () = self.gateway.all_told.cancelled() => break,
                message = socket.next(), if reading => {
                    pulse.felt();
                    self.received_together(message, socket, &mut in_flight).await
                }
                Some(reply) = in_flight.next() => self.reply(reply.ok().flatten(), socket).await,
                notification = notifications.recv() => self.notify(notification, socket).await,
                () = pulse.due() => match pulse.ask(reading) {
                    true => self.in_time(socket.send(Message::Ping(Bytes::new()))).await,
                    false => Step::Break(End::Gone),
                },
            };
            if let Step::Break(end) = step {
                return end;
            }
        }
        // The service is stopping: what was told is still sent, what was asked is still answered (every command has its
        // deadline), then goodbye.
        while let Ok(notification) = notifications.try_recv() {
            if let Step::Break(end) = self.notify(Ok(notification), socket).await {
                return end;
            }
        }
        while let Some(reply) = in_flight.next().await {
            if let Step::Break(end) = self.reply(reply.ok().flatten(), socket).await {
                return end;
            }
        }
        End::Tell(CloseCode::Away, "the service is stopping")
    }

    /// Answers a message and those that have come with it. The replies go out together: to send is what costs.
    async fn received_together(
        &self,
        first: Option<Result<Message, tungstenite::Error>>,
        socket: &mut WebSocket,
        in_flight: &mut InFlight,
    ) -> Step {
        self.received(first, socket, in_flight).await?;
        for _ in 1..MAX_TOGETHER {
            if in_flight.len() == MAX_IN_FLIGHT {
                break;
            }
            let Some(next) = socket.next().now_or_never() else { break };
            self.received(next, socket, in_flight).await?;
        }
        self.in_time(socket.flush()).await
    }

    /// Answers a message. A reply that is there at once is written down, not sent yet.
    async fn received(
        &self,
        message: Option<Result<Message, tungstenite::Error>>,
        socket: &mut WebSocket,
        in_flight: &mut InFlight,
    ) -> Step {
        match message {
            Some(Ok(Message::Text(text))) => match self.answer(text).await {
                Answer::Now(reply) => self.write(reply, socket).await,
                Answer::Later(task) => {
                    in_flight.push(task);
                    Step::Continue(())
                }
            },
            Some(Ok(Message::Binary(_))) => Step::Break(End::Tell(CloseCode::Unsupported, "only text is spoken here")),
            // Pings and close frames are answered by the layer below.
            Some(Ok(_)) => Step::Continue(()),
            Some(Err(error)) => Step::Break(end_for(&error)),
            None => Step::Break(End::Gone),
        }
    }

    /// Works on a message here as long as that takes no waiting, so that quick replies come in the order of their
    /// requests; what has to wait goes on in a task of its own.
    async fn answer(&self, text: Utf8Bytes) -> Answer {
        let (table, caller, gateway) = (Arc::clone(&self.table), self.caller.clone(), Arc::clone(&self.gateway));
        let mut work = Box::pin(async move {
            let call = |call| table.call(call, &caller, &gateway);
            envelope::answer(&text, call).await
        });
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        match first {
            Poll::Ready(reply) => Answer::Now(reply),
            Poll::Pending => Answer::Later(self.tasks.spawn(work)),
        }
    }

    async fn reply(&self, reply: Option<String>, socket: &mut WebSocket) -> Step {
        self.write(reply, socket).await?;
        self.in_time(socket.flush()).await
    }

    async fn write(&self, text: Option<String>, socket: &mut WebSocket) -> Step {
        match text {
            Some(text) => self.in_time(socket.feed(Message::text(text))).await,
            None => Step::Continue(()),
        }
    }

    async fn notify(
        &self,
        notification: Result<Arc<Notification>, broadcast::error::RecvError>,
        socket: &mut WebSocket,
    ) -> Step {
        match notification {
            Ok(notification) if self.caller.identity().is_ok() => {
                for (method, params) in notification.messages(&self.caller, &self.gateway) {
                    self.write(envelope::notification(method, &params), socket).await?;
                }
                self.in_time(socket.flush()).await
            }
            Ok(_) => Step::Continue(()),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(session = %self.caller.session_id(), missed, "dropped: it does not read its notifications");
                Step::Break(End::TooSlow)
            }
            Err(broadcast::error::RecvError::Closed) => {
                Step::Break(End::Tell(CloseCode::Away, "the service is stopping"))
            }
        }
    }

    async fn in_time(&self, sending: impl Future<Output = Result<(), tungstenite::Error>>) -> Step {
        match timeout(self.settings.write_timeout, sending).await {
            Ok(Ok(())) => Step::Continue(()),
            Ok(Err(error)) => Step::Break(end_for(&error)),
            Err(_) => {
                tracing::warn!(session = %self.caller.session_id(), "dropped: it does not read");
                Step::Break(End::TooSlow)
            }
        }
    }
}

enum Answer {
    Now(Option<String>),
    Later(JoinHandle<Option<String>>),
}

/// What a client is told about an error of its connection.
fn end_for(error: &tungstenite::Error) -> End {
    use tungstenite::Error as Failed;
    match error {
        Failed::Capacity(_) => End::Tell(CloseCode::Size, "the message is too long"),
        Failed::Utf8(_) => End::Tell(CloseCode::Invalid, "text is UTF-8"),
        Failed::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        // The connection below has the same time limit, and may be first.
        Failed::Io(error) if error.kind() == io::ErrorKind::TimedOut => End::TooSlow,
        Failed::Protocol(_) => End::Tell(CloseCode::Protocol, "this is not WebSocket"),
        _ => End::Gone,
    }
}

/// When to ask a client whether it is still there, and for how long to wait for its answer.
struct Pulse {
    interval: Duration,
    wait: Duration,
    asked: bool,
    timer: Pin<Box<Sleep>>,
}

impl Pulse {
    fn new(settings: &config::Server) -> Self {
        let (interval, wait) = (settings.ping_interval, settings.pong_wait);
        Self { interval, wait, asked: false, timer: Box::pin(sleep(interval)) }
    }

    /// Anything the client sends shows that it is there.
    fn felt(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.timer.as_mut().reset(Instant::now() + self.interval);
        }
    }

    async fn due(&mut self) {
        self.timer.as_mut().await;
    }

    /// Whether to ask (again); no when the last question went without answer while answers were being read.
    fn ask(&mut self, reading: bool) -> bool {
        let silent = std::mem::replace(&mut self.asked, true) && reading;
        self.timer.as_mut().reset(Instant::now() + self.wait);
        !silent
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
