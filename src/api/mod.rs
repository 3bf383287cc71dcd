//! HTTP, WebSocket, JSON: how commands come in and replies go out. warp lives here and nowhere else.
//!
//! A request arrives, becomes a command, returns a reply: [`listen`](self) accepts connections, the routes below tell
//! WebSockets from downloads, `rpc` does the rest. What commands do is `command`'s.

mod credentials;
mod errors;
mod health;
mod listen;
pub mod rpc;
mod upgrade;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warp::{Filter, http::HeaderMap, reply::Response};

use crate::command::Gateway;

/// What the servers are told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path of the WebSocket, with the leading slash.
    pub websocket_path: String,
    /// Most sockets at a time.
    pub max_sockets: usize,
    /// Longest message taken from a client, in bytes.
    pub max_message_size: usize,
    /// How long a client may take to send the header of a request.
    pub read_timeout: Duration,
    /// How long a client may take to read a message.
    pub write_timeout: Duration,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping.
    pub pong_wait: Duration,
}

/// The sockets to serve on. The caller binds them, so that it can say which port was taken, and use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// The WebSocket and the downloads.
    pub control: TcpListener,
    /// The health probes.
    pub health: TcpListener,
}

/// Serves until `shutdown`, then tells the clients (close code 1001) and returns when the last connection has ended.
/// Every connection ends within [`Settings::write_timeout`] of that, apart from downloads: the caller brings the deadline.
pub async fn serve(listeners: Listeners, settings: Settings, gateway: Gateway, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let header_timeout = settings.read_timeout;
    let control = control_routes(Arc::new(settings), gateway.clone(), shutdown.clone(), connections.clone());
    let health = health::routes(Arc::clone(&gateway.health));
    tokio::join!(
        listen::accept(listeners.control, warp::service(control), header_timeout, &shutdown, &connections),
        listen::accept(listeners.health, warp::service(health), header_timeout, &shutdown, &connections),
    );
    connections.close();
    connections.wait().await;
}

fn control_routes(
    settings: Arc<Settings>,
    gateway: Gateway,
    shutdown: CancellationToken,
    connections: TaskTracker,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let sockets = Arc::new(rpc::socket::Sockets::new(settings, gateway, shutdown, connections));
    let websocket = warp::get()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<hyper::upgrade::OnUpgrade>())
        .and_then(move |path: warp::path::FullPath, headers: HeaderMap, on_upgrade| {
            let sockets = Arc::clone(&sockets);
            async move {
                match path.as_str() == sockets.path() {
                    true => Ok(sockets.open(&headers, on_upgrade)),
                    false => Err(warp::reject::not_found()),
                }
            }
        });
    websocket.recover(errors::rejected).unify()
}
