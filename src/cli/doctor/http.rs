//! One request over HTTP, to what the service itself serves.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::dial::dial;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The longest body that is read, in bytes.
const LONGEST: usize = 4 << 20;

/// Asks for `path`: the status and the body. Error: nobody answers, in time, as HTTP; for people.
pub async fn get(address: SocketAddr, path: &str, tls: Option<&TlsConnector>) -> Result<(u16, String), String> {
    let asking = async {
        let connection =
            dial(&address.ip().to_string(), address.port(), tls).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(connection)).await.map_err(|error| error.to_string())?;
        let request = Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let body =
                Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        // The connection is read and written by whoever polls it.
        tokio::select! {
            answered = answered => answered,
            ended = connection => Err(ended.err().map_or_else(|| "the connection ended".into(), |error| error.to_string())),
        }
    };
    timeout(ANSWER, asking).await.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER.as_secs())))
}
