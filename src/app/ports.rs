//! Ports: bound before anything else is started, so that one that is taken stops the service with its number.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::{
    command::v3::Ports,
    error::{Error, Kind, Result},
};

/// Listens. Errors: somebody else does, it is not allowed, the address is not of this machine.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!("port {} is taken by another program", address.port()),
            std::io::ErrorKind::PermissionDenied => {
                format!("port {} needs a privilege this user lacks", address.port())
            }
            _ => format!("cannot listen on {address}"),
        };
        Error::with_source(Kind::Dependency { dependency: "port".into() }, message, error)
    })
}

/// Where it listens.
pub(super) fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::with_source(Kind::Internal, "a listener has no address", error))
}

/// Listens where the media engine of earlier versions did.
pub(super) async fn bind_engine(wanted: Ports<SocketAddr>) -> Result<Ports<TcpListener>> {
    let mut bound = Ports { api: None, metrics: None, playback: None };
    if let Some(address) = wanted.api {
        bound.api = Some(bind(address).await?);
    }
    if let Some(address) = wanted.metrics {
        bound.metrics = Some(bind(address).await?);
    }
    if let Some(address) = wanted.playback {
        bound.playback = Some(bind(address).await?);
    }
    Ok(bound)
}

/// Where they listen.
pub(super) fn addresses(bound: &Ports<TcpListener>) -> Result<Ports<SocketAddr>> {
    let of = |listener: &Option<TcpListener>| listener.as_ref().map(local).transpose();
    Ok(Ports { api: of(&bound.api)?, metrics: of(&bound.metrics)?, playback: of(&bound.playback)? })
}
