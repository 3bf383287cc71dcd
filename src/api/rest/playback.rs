//! The playback server of MediaMTX on a port of its own: lists of what was recorded, and films of it.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::task::spawn_blocking;
use warp::{
    Filter, Reply,
    http::{HeaderValue, Method, header},
    reply::Response,
};

use super::{
    Asked,
    origins::allowed_for,
    reply::{self, json, not_found, preflight, refused},
    request::{client, credentials, scheme, without_body},
};
use crate::{
    command::{
        Gateway,
        v3::{self, Answer, Container, Film, Refusal, moment},
    },
    error::Error,
    mtx::{self, Action},
};

/// Everything on this port.
pub(in crate::api) fn routes(gateway: Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    without_body().then(move |asked| answer(Arc::clone(&gateway), asked))
}

async fn answer(gateway: Arc<Gateway>, asked: Asked<()>) -> Response {
    let global = gateway.engine.acting();
    let origin = allowed_for(&asked.headers, global.texts("playbackAllowOrigins"));
    let mut response = match (&asked.method, asked.path.as_str()) {
        (&Method::OPTIONS, _) if asked.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) => {
            preflight("OPTIONS, GET", "Authorization")
        }
        (&Method::GET, "/list") => list(&gateway, &asked).await.unwrap_or_else(|refusal| refused(&refusal)),
        (&Method::GET, "/get") => get(&gateway, &asked).await.unwrap_or_else(|refusal| refused(&refusal)),
        (method, path) => {
            reply::without_slash(method, path, &["/list", "/get"], &asked.query).unwrap_or_else(not_found)
        }
    };
    reply::finish(&mut response, origin.as_deref());
    response
}

/// The path that is asked about. Errors: none can have this name, the caller may not play it back, it is not configured.
async fn path(gateway: &Arc<Gateway>, asked: &Asked<()>) -> Answer<String> {
    let path = asked.query.get("path").to_owned();
    v3::named(&path)?;
    let proxies = gateway.engine.acting();
    let address = client(asked.peer, &asked.headers, proxies.networks("playbackTrustedProxies"));
    v3::admit(gateway, address, credentials(&asked.headers, &asked.query), Action::Playback, &path).await?;
    // Only those who may are told what is configured.
    v3::playable(gateway, &path)?;
    Ok(path)
}

async fn list(gateway: &Arc<Gateway>, asked: &Asked<()>) -> Answer<Response> {
    let path = path(gateway, asked).await?;
    let bound = |name: &str| match asked.query.get(name) {
        "" => Ok(None),
        text => moment::read(text).map(Some).map_err(|error| Refusal::Invalid(format!("invalid {name}: {error}"))),
    };
    let (from, to) = (bound("start")?, bound("end")?);
    let host = asked.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost:9996");
    let global = gateway.engine.acting();
    let own = if global.flag("playbackEncryption") { "https" } else { "http" };
    let scheme = scheme(asked.peer, &asked.headers, global.networks("playbackTrustedProxies")).unwrap_or(own);
    let recorded = v3::recorded(gateway, &path, (from, to), &format!("{scheme}://{host}/get")).await?;
    Ok(json(&recorded))
}

async fn get(gateway: &Arc<Gateway>, asked: &Asked<()>) -> Answer<Response> {
    let path = path(gateway, asked).await?;
    let start = moment::read(asked.query.get("start"));
    let start = start.map_err(|error| Refusal::Invalid(format!("invalid start: {error}")))?;
    let duration = duration(asked.query.get("duration"))?;
    let container = match asked.query.get("format") {
        "" | "fmp4" => Container::Fragmented,
        "mp4" => Container::Plain,
        other => return Err(Refusal::Invalid(format!("invalid format: {other}"))),
    };
    let film = v3::film(gateway, &path, start, duration, container).await?;
    let mut response = warp::reply::stream(pieces(film, Arc::clone(gateway))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    Ok(response)
}

/// Seconds, or a duration as Go writes it.
fn duration(text: &str) -> Answer<Duration> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let go = || mtx::Nanos::parse(text).ok().map(mtx::Nanos::duration);
    let duration = seconds.or_else(go).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| Refusal::Invalid(format!("invalid duration: {text:?}")))
}

/// The film, read as the client takes it. A service that stops breaks it off, as it does with downloads.
fn pieces(film: Film, gateway: Arc<Gateway>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((film, gateway), |(mut film, gateway)| async move {
        if gateway.stopping.is_cancelled() {
            return Err(io::Error::other("the service is stopping"));
        }
        let read = spawn_blocking(move || film.piece().map(|piece| (piece, film))).await.map_err(io::Error::other)?;
        let (piece, film) = read.map_err(|error: Error| {
            tracing::warn!("a recording is not played back to its end: {}", error.chain());
            io::Error::other(error.message().to_owned())
        })?;
        Ok(piece.map(|piece| (piece, (film, gateway))))
    })
}
