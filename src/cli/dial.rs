//! Connections to a service: to the one on this machine, and to another one that the command line names.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use camera_service::config::Config;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::trust::Trust;

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Connects, inside TLS where there is something to connect with. Errors: nobody is there, or not who should be.
pub async fn dial(host: &str, port: u16, tls: Option<&TlsConnector>) -> io::Result<Box<dyn Connection>> {
    let stream = TcpStream::connect((host, port)).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(Box::new(tls.connect(name, stream).await?))
}

/// Where this machine reaches what listens at `address`.
pub fn here(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => (IpAddr::from(Ipv4Addr::LOCALHOST), address.port()).into(),
        false => address,
    }
}

/// The control socket of the service on this machine.
pub fn control_url(config: &Config) -> String {
    let server = &config.server;
    let scheme = if config.security.ssl.enabled { "wss" } else { "ws" };
    format!("{scheme}://{}{}", here((server.host, server.port).into()), server.websocket_path)
}

/// Whom to believe that it is the service on this machine.
pub fn own_trust(config: &Config) -> Trust {
    config.security.ssl.cert_file.clone().map_or(Trust::System, Trust::Own)
}
