//! Accepting connections and speaking HTTP/1.1 on them, with or without TLS.
//!
//! Not `warp::serve`: it sets no limits on a request's header, so that a handful of clients that dribble bytes could
//! hold connections forever. Everything a client may draw out happens in its connection's own task, under a time limit.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

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
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::timeout,
};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warp::reply::Response;

use super::{
    refusal::{HANG_UP, Refusals, hang_up},
    tls::Certificate,
};
use crate::{command::Places, config};

/// Lines a request's header may have, and bytes. More is answered with 431.
const HEADER_LINES: usize = 64;
const HEADER_BYTES: usize = 16 * 1024;

/// The address a request comes from; every request bears it as an extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// A port's door: who may come in, and on which terms.
pub(super) struct Door {
    /// Connections there may be at once.
    pub(super) places: Places,
    /// Set: TLS is spoken.
    pub(super) certificate: Option<Certificate>,
    /// Time limits.
    pub(super) settings: config::Server,
    /// Cancelled when nobody is to be let in any more.
    pub(super) stopping: CancellationToken,
    /// Where the tasks of connections are counted.
    pub(super) tasks: TaskTracker,
}

impl Door {
    /// Accepts connections until told to stop and serves each in a task of its own.
    pub(super) async fn open<S>(self, listener: TcpListener, service: S)
    where
        TowerToHyperService<S>: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
        S: Clone + Send + 'static,
    {
        let mut refusals = Refusals::new(self.tasks.clone());
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(error).await;
                    continue;
                }
            };
            let place = match self.places.take(Some(peer.ip())) {
                Ok(place) => place,
                Err(error) => {
                    refusals.refuse(stream, peer, error, self.certificate.is_some());
                    continue;
                }
            };
            // Replies and notifications are small and wanted now.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, %error, "TCP_NODELAY not set");
            }
            // Whoever takes nothing for so long is let go of, also in the middle of a download.
            let mut stream = TimeoutWriter::new(stream);
            stream.set_timeout(Some(self.settings.write_timeout));
            let stream = Box::pin(stream);
            let guest = Guest { peer, limit: self.settings.read_timeout, stopping: self.stopping.clone() };
            let (tls, service) = (self.certificate.as_ref().map(Certificate::acceptor), service.clone());
            self.tasks.spawn(async move {
                let _place = place;
                match tls {
                    Some(tls) => guest.greet(stream, tls, service).await,
                    None => guest.serve(stream, service).await,
                }
            });
        }
    }
}

/// Who was let in.
struct Guest {
    peer: SocketAddr,
    /// How long the handshake may take, each request's header, and the silence before it.
    limit: Duration,
    stopping: CancellationToken,
}

impl Guest {
    /// TLS first, then the rest.
    async fn greet<S>(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, tls: TlsAcceptor, service: S)
    where
        TowerToHyperService<S>: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
        S: Clone + Send + 'static,
    {
        let peer = self.peer;
        let shaken = tokio::select! {
            shaken = timeout(self.limit, tls.accept(stream).into_fallible()) => shaken,
            () = self.stopping.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, service).await,
            Ok(Err((error, mut stream))) => {
                tracing::debug!(%peer, %error, "no TLS came of it");
                // Whoever goes on sending is let go of.
                let _ = timeout(HANG_UP, hang_up(&mut stream)).await;
            }
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
    where
        TowerToHyperService<S>: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
        S: Clone + Send + 'static,
    {
        let (inner, address) = (TowerToHyperService::new(service), Peer(self.peer.ip()));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(address);
            inner.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limit)
            .max_headers(HEADER_LINES)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, %error, "connection ended");
        }
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

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
