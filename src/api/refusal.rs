//! Connections for which there is no place: they are told so and closed. Being refused costs us next to nothing, and
//! nobody who is refused is waited for by anybody else.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::error::Error;

/// Refusals that are told at once. Further ones are closed without a word.
const TOLD: usize = 64;

/// How long somebody may take to hang up after being told that it is over.
pub(super) const HANG_UP: Duration = Duration::from_secs(2);

/// Time between two lines in the log: whoever floods us must not flood the log too.
const LOG: Duration = Duration::from_secs(60);

/// What is told of refusals, and to how many.
pub(super) struct Refusals {
    tasks: TaskTracker,
    telling: Arc<Semaphore>,
    logged: Option<Instant>,
    since: u64,
}

impl Refusals {
    /// None yet. Their tasks are counted in `tasks`.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { tasks, telling: Arc::new(Semaphore::new(TOLD)), logged: None, since: 0 }
    }

    /// Closes a connection for which there is no place, `error` says why. Over TLS that is all: a handshake would cost
    /// more than the connection that is refused.
    pub(super) fn refuse(&mut self, mut stream: TcpStream, peer: SocketAddr, error: Error, tls: bool) {
        self.log(peer, &error);
        let Ok(turn) = Arc::clone(&self.telling).try_acquire_owned() else { return };
        if tls {
            return;
        }
        self.tasks.spawn(async move {
            let _turn = turn;
            let told = async {
                if stream.write_all(reply(&error).as_bytes()).await.is_ok() {
                    hang_up(&mut stream).await;
                }
            };
            let _ = timeout(HANG_UP, told).await;
        });
    }

    fn log(&mut self, peer: SocketAddr, error: &Error) {
        self.since += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG) {
            tracing::warn!(%peer, refused = self.since, "no connection was given: {error}");
            (self.logged, self.since) = (Some(Instant::now()), 0);
        }
    }
}

/// By hand: the request is not read, so there is nobody else to write it.
fn reply(error: &Error) -> String {
    let body = serde_json::json!({ "error": error.message() }).to_string();
    format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Ends our half of the connection and reads away what the client still sends: closing with unread bytes would reset
/// the connection, and the client might never see what it was told last. The caller sets a time limit.
pub(super) async fn hang_up(connection: &mut (impl AsyncReadExt + AsyncWrite + Unpin)) {
    if connection.shutdown().await.is_ok() {
        let mut unread = [0; 4096];
        while connection.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
    }
}
