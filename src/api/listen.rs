//! Accepting connections and speaking HTTP/1.1 on them.
//!
//! Not `warp::serve`: it sets no time limit on a request's header, so that a handful of clients that dribble bytes
//! could hold connections forever.

use std::{convert::Infallible, io, net::IpAddr, time::Duration};

use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warp::reply::Response;

/// The address a request comes from; every request bears it as an extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Accepts connections until `shutdown` and serves each in a task of `connections`.
pub(super) async fn accept<S>(
    listener: TcpListener,
    service: S,
    header_timeout: Duration,
    shutdown: &CancellationToken,
    connections: &TaskTracker,
) where
    TowerToHyperService<S>: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(error).await;
                continue;
            }
        };
        // Replies and notifications are small and wanted now.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY not set");
        }
        let (inner, address) = (TowerToHyperService::new(service.clone()), Peer(peer.ip()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(address);
            inner.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
}

/// A connection that was reset before it was accepted is its client's affair. Anything else (no file descriptors left)
/// would fail again at once.
async fn pause_after(error: io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::error!(%error, "no connection can be accepted, trying again in a second");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
