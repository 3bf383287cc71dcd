//! HTTP, WebSocket, JSON: how commands come in and replies go out. warp lives here and nowhere else.
//!
//! A request arrives, becomes a command, returns a reply: [`listen`](self) accepts connections, the routes below tell
//! WebSockets from downloads and pictures, `rpc` does the rest. What commands do is `command`'s.

mod credentials;
mod errors;
mod files;
#[cfg(test)]
mod fixture;
mod health;
mod listen;
mod origin;
mod refusal;
mod rest;
pub mod rpc;
mod rtsps;
mod snapshot;
mod tls;
mod upgrade;

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use futures_util::future::OptionFuture;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use warp::{Filter, http::HeaderMap, reply::Response};

use crate::{
    command::{
        Clients, Gateway, announce, keys, retention,
        v3::{self, Ports},
    },
    config,
};
use listen::Door;
pub use tls::{Certificate, validity};

/// The sockets to serve on. The caller binds them, so that it can say which port was taken, and use port 0.
#[derive(Debug)]
pub struct Listeners {
    /// The WebSocket, the downloads and the pictures.
    pub control: TcpListener,
    /// The health probes.
    pub health: TcpListener,
    /// The MediaMTX-compatible ports, where they are served.
    pub engine: Ports<TcpListener>,
    /// RTSP inside TLS, where it is served, and the certificate.
    pub rtsps: Option<(TcpListener, Certificate)>,
}

/// What this floor is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The server.
    pub server: config::Server,
    /// Web pages that may open sockets, besides those of this host; `*` is any.
    pub origins: Vec<String>,
    /// Set: TLS is spoken on both ports, and nothing else.
    pub certificate: Option<Certificate>,
}

/// Serves until [`Gateway::stopping`], then tells the clients (close code 1001) and returns when the last connection has
/// ended: replies under way are still given. How long that may take is the caller's to say.
pub async fn serve(listeners: Listeners, settings: Settings, gateway: Arc<Gateway>) {
    let (tasks, stopping, certificate) = (TaskTracker::new(), gateway.stopping.clone(), settings.certificate.clone());
    let door = |places| Door {
        places,
        certificate: certificate.clone(),
        settings: settings.server.clone(),
        stopping: stopping.clone(),
        tasks: tasks.clone(),
    };
    // Probes have places of their own: they are answered when the control port has none left.
    let (control_door, health_door) = (door(gateway.clients.connections.clone()), door(Clients::connections()));
    let engine = listeners.engine;
    let rtsps = listeners.rtsps.map(|(listener, certificate)| {
        let watched = certificate.clone();
        let port = rtsps::Rtsps {
            certificate,
            places: Clients::connections(),
            gateway: Arc::clone(&gateway),
            stopping: stopping.clone(),
            tasks: tasks.clone(),
        };
        let stopping = stopping.clone();
        async move { tokio::join!(port.open(listener), watched.watch(&stopping)) }
    });
    let doors = [(); 3].map(|()| door(Clients::connections()));
    let routes = (
        rest::routes(Arc::clone(&gateway)),
        rest::metrics::routes(Arc::clone(&gateway)),
        rest::playback::routes(Arc::clone(&gateway)),
    );
    let engine = async move {
        let [api, metrics, playback] = doors;
        tokio::join!(
            OptionFuture::from(engine.api.map(|listener| api.open(listener, warp::service(routes.0)))),
            OptionFuture::from(engine.metrics.map(|listener| metrics.open(listener, warp::service(routes.1)))),
            OptionFuture::from(engine.playback.map(|listener| playback.open(listener, warp::service(routes.2)))),
        );
    };
    let control = control_routes(settings, Arc::clone(&gateway), tasks.clone());
    let health = health::routes(Arc::clone(&gateway));
    let watching = async {
        if let Some(certificate) = certificate.clone() {
            certificate.watch(&stopping).await;
        }
    };
    tokio::join!(
        control_door.open(listeners.control, warp::service(control)),
        health_door.open(listeners.health, warp::service(health)),
        engine,
        OptionFuture::from(rtsps),
        announce(Arc::clone(&gateway)),
        keys::watch(Arc::clone(&gateway)),
        v3::keep(Arc::clone(&gateway)),
        v3::follow(Arc::clone(&gateway)),
        retention::keep(gateway),
        watching,
    );
    tasks.close();
    tasks.wait().await;
}

fn control_routes(
    settings: Settings,
    gateway: Arc<Gateway>,
    connections: TaskTracker,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let files = files::routes(&gateway).or(snapshot::routes(&gateway)).unify();
    let sockets = Arc::new(rpc::socket::Sockets::new(settings, gateway, connections));
    let websocket = warp::get()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(peer())
        .and(warp::ext::optional::<hyper::upgrade::OnUpgrade>())
        .and_then(move |path: warp::path::FullPath, headers: HeaderMap, peer, on_upgrade| {
            let sockets = Arc::clone(&sockets);
            async move {
                match path.as_str() == sockets.path() {
                    true => Ok(sockets.open(&headers, peer, on_upgrade)),
                    false => Err(warp::reject::not_found()),
                }
            }
        });
    files.or(websocket).unify().recover(errors::rejected).unify()
}

/// The address the request comes from.
fn peer() -> impl Filter<Extract = (Option<IpAddr>,), Error = Infallible> + Clone {
    warp::ext::optional().map(|peer: Option<listen::Peer>| peer.map(|listen::Peer(address)| address))
}
