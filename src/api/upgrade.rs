//! From an HTTP request to a WebSocket (RFC 6455 section 4.2).
//!
//! Not `warp::ws`: it reserves 128 kB to read into for every socket, and hides the connection below, which has to be
//! read empty before a client that sent too much can be told so (see `rpc::socket`).

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use warp::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};

use super::errors;

/// A socket over an upgraded HTTP connection.
pub(super) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// What a socket reads at once, in bytes. Most messages are smaller; larger ones are read in pieces.
const READ_BUFFER: usize = 4096;

/// What is written before it is sent, in bytes, if nobody sends it earlier.
const WRITE_BUFFER: usize = 16 * 1024;

/// The reply that accepts the upgrade, or the one that says what is missing.
pub(super) fn accept(headers: &HeaderMap) -> Result<Response, Box<Response>> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        let mut refusal = errors::plain(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
        refusal.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(refusal));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        let mut refusal = errors::plain(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken here");
        refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(refusal));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let accept = key.and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok());
    let accept =
        accept.ok_or_else(|| Box::new(errors::plain(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing")))?;
    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = reply.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(reply)
}

/// The socket, once the reply of [`accept`] has gone out. Messages may have up to `max_message` bytes.
pub(super) async fn finish(on_upgrade: OnUpgrade, max_message: usize) -> Result<WebSocket, hyper::Error> {
    let upgraded = TokioIo::new(on_upgrade.await?);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
}
