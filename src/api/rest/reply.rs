//! How replies are written.

use serde::Serialize;
use warp::{
    Reply,
    http::{HeaderValue, Method, StatusCode, header},
    reply::{Response, with_status},
};

use super::request::Query;
use crate::command::v3::{DONE, Refusal};

/// The body of a refusal.
#[derive(Serialize)]
struct Failed<'a> {
    status: &'static str,
    error: &'a str,
}

/// A reply in JSON, in which, as Go has it, nothing looks like HTML.
pub(super) fn json(reply: &impl Serialize) -> Response {
    let text = match serde_json::to_string(reply) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    // Outside of strings JSON has none of these.
    let escaped =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
            .into_iter()
            .fold(
                text,
                |text, (letter, escape)| if text.contains(letter) { text.replace(letter, escape) } else { text },
            );
    typed(escaped.into_response(), "application/json; charset=utf-8")
}

/// It is done.
pub(super) fn done() -> Response {
    json(&DONE)
}

/// There is nothing there, whoever asks and how.
pub(super) fn not_found() -> Response {
    typed(with_status("404 page not found", StatusCode::NOT_FOUND).into_response(), "text/plain")
}

/// Why it is not done.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let (status, error) = match refusal {
        Refusal::Invalid(message) => (StatusCode::BAD_REQUEST, message.as_str()),
        Refusal::NotFound(message) => (StatusCode::NOT_FOUND, *message),
        Refusal::Failed(message) => (StatusCode::INTERNAL_SERVER_ERROR, *message),
        Refusal::Unknown { .. } => (StatusCode::UNAUTHORIZED, "authentication error"),
    };
    let mut response = with_status(json(&Failed { status: "error", error }), status).into_response();
    if matches!(refusal, Refusal::Unknown { ask: true }) {
        let ask = HeaderValue::from_static("Basic realm=\"mediamtx\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
    }
    response
}

/// What a browser asks before it asks.
pub(super) fn preflight(methods: &'static str, names: &'static str) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
    response
}

/// It is at another path.
pub(super) fn redirect(method: &Method, path: &str, query: &Query) -> Response {
    let is_get = *method == Method::GET;
    let status = if is_get { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
    let mut response = status.into_response();
    match HeaderValue::try_from(format!("{path}{}", query.whole())) {
        Ok(location) => response.headers_mut().insert(header::LOCATION, location),
        Err(_) => return not_found(),
    };
    response
}

/// Of a path that differs from one of these in a slash at its end: where it is. MediaMTX's router says so before it is
/// asked who wants to know.
pub(super) fn without_slash(method: &Method, path: &str, known: &[&str], query: &Query) -> Option<Response> {
    let shorter = path.strip_suffix('/').filter(|_| *method == Method::GET)?;
    known.contains(&shorter).then(|| redirect(method, shorter, query))
}

/// What every reply has.
pub(super) fn finish(response: &mut Response, origin: Option<&str>) {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("mediamtx"));
    if let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

pub(super) fn typed(mut response: Response, kind: &'static str) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
