//! The control API of MediaMTX on a port of its own: requests in, replies out.
//!
//! What is asked and answered is `command::v3`'s. Here is what all requests have in common: who asks, from where, and how
//! a reply is written. Which request means what is `table`; from which web pages it may come is `origins`. Its two other
//! ports are `playback` and `metrics`.

pub(super) mod metrics;
mod origins;
pub(super) mod playback;
mod reply;
mod request;
mod table;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use futures_util::Stream;
use uuid::Uuid;
use warp::{
    Buf, Filter,
    http::{HeaderMap, Method, header},
    path::FullPath,
    reply::Response,
};

use self::{
    reply::{done, json, not_found, preflight, redirect, refused},
    request::{Query, body, client, credentials},
    table::{Endpoint, Route, Tls, route},
};
use super::peer;
use crate::{
    command::{
        Gateway,
        v3::{self, Answer, DONE, List, Page, Refusal},
    },
    mtx::Action,
};

/// A request, as far as it is read at first.
struct Asked<B> {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    peer: Option<IpAddr>,
    body: B,
}

/// Everything on this port.
pub(super) fn routes(gateway: Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let request = warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned());
    let answered = request.and(peer()).and(warp::body::stream()).then(
        move |method, path: FullPath, query: String, headers, peer, body| {
            let gateway = Arc::clone(&gateway);
            let asked =
                Asked { method, path: path.as_str().to_owned(), query: Query::read(&query), headers, peer, body };
            answer(gateway, asked)
        },
    );
    // None of the filters refuses anything.
    answered.recover(|_| async { Ok::<_, Infallible>(not_found()) }).unify()
}

async fn answer<B, E>(gateway: Arc<Gateway>, asked: Asked<impl Stream<Item = Result<B, E>> + Send>) -> Response
where
    B: Buf,
{
    let global = gateway.engine.acting();
    let allowed = origins::allowed_for(&asked.headers, global.texts("apiAllowOrigins"));
    let asks_before = asked.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let found = match route(&asked.method, &asked.path) {
        Route::Found(endpoint, _) if endpoint.is_inside_tls() && !gateway.engine.serves_rtsps() => Route::Nowhere,
        found => found,
    };
    let mut response = match found {
        _ if asked.method == Method::OPTIONS && asks_before => {
            preflight("OPTIONS, GET, POST, PATCH, DELETE", "Authorization, Content-Type")
        }
        // Without asking who it is, as MediaMTX's router does.
        Route::Elsewhere(path) => redirect(&asked.method, &path, &asked.query),
        found => {
            let address = client(asked.peer, &asked.headers, global.networks("apiTrustedProxies"));
            match v3::admit(&gateway, address, credentials(&asked.headers, &asked.query), Action::Api, "").await {
                Err(refusal) => refused(&refusal),
                Ok(()) => match found {
                    Route::Found(endpoint, argument) => {
                        serve(&gateway, endpoint, argument, asked).await.unwrap_or_else(|refusal| refused(&refusal))
                    }
                    _ => not_found(),
                },
            }
        }
    };
    reply::finish(&mut response, allowed.as_deref());
    response
}

async fn serve<B, E>(
    gateway: &Arc<Gateway>,
    endpoint: Endpoint,
    argument: String,
    asked: Asked<impl Stream<Item = Result<B, E>> + Send>,
) -> Answer<Response>
where
    B: Buf,
{
    use Endpoint as E;
    if endpoint.takes_name() && argument.is_empty() {
        return Err(Refusal::Invalid("invalid name".into()));
    }
    let (query, limit) = (asked.query, gateway.engine.acting().time("readTimeout").duration());
    let page = || Page::read(query.get("itemsPerPage"), query.get("page"));
    Ok(match endpoint {
        E::Info => json(&gateway.engine.info()),
        E::Refresh => {
            gateway.engine.forget_keys();
            done()
        }
        E::Global => json(&v3::global(gateway)),
        E::PathDefaults => json(&v3::path_defaults(gateway)),
        E::ConfPaths => json(&v3::path_list(gateway, page()?)),
        E::ConfPath => json(&v3::path(gateway, &argument)?),
        E::PatchGlobal => {
            v3::patch_global(gateway, body(asked.body, limit).await?).await?;
            done()
        }
        E::PatchPathDefaults => {
            v3::patch_path_defaults(gateway, body(asked.body, limit).await?).await?;
            done()
        }
        E::AddPath => {
            v3::add_path(gateway, argument, body(asked.body, limit).await?).await?;
            done()
        }
        E::PatchPath => {
            v3::patch_path(gateway, argument, body(asked.body, limit).await?).await?;
            done()
        }
        E::EditPath => {
            v3::edit_path(gateway, argument, body(asked.body, limit).await?).await?;
            done()
        }
        E::ReplacePath => {
            v3::replace_path(gateway, argument, body(asked.body, limit).await?).await?;
            done()
        }
        E::DeletePath => {
            v3::delete_path(gateway, argument).await?;
            done()
        }
        E::Paths => json(&v3::path_states(gateway, page()?)),
        E::Path => json(&v3::path_state(gateway, &argument)?),
        E::StopPath => {
            v3::stop_path(gateway, &argument).await?;
            done()
        }
        E::Forwards => {
            let path = forwarded(&query)?;
            v3::path_state(gateway, path)?;
            let none: List<()> = page()?.of(Vec::new());
            json(&none)
        }
        E::Forward => {
            id(query.get("id"))?;
            v3::path_state(gateway, forwarded(&query)?)?;
            return Err(Refusal::NotFound("destination not found"));
        }
        E::Connections(tls) => json(&v3::connections(gateway, tls == Tls::Inside, page()?)),
        E::Connection(tls) => json(&v3::connection(gateway, tls == Tls::Inside, id(&argument)?)?),
        E::Sessions(tls) => json(&v3::sessions(gateway, tls == Tls::Inside, page()?)),
        E::Session(tls) => json(&v3::session(gateway, tls == Tls::Inside, id(&argument)?)?),
        E::Kick(tls) => {
            v3::kick(gateway, tls == Tls::Inside, id(&argument)?).await?;
            done()
        }
        E::Recordings => json(&v3::recordings(gateway, page()?).await?),
        E::Recording => json(&v3::recording(gateway, &argument).await?),
        E::DeleteSegment => {
            v3::delete_segment(gateway, query.get("path"), query.get("start")).await?;
            json(&DONE)
        }
    })
}

/// The path whose destinations are asked for.
fn forwarded(query: &Query) -> Answer<&str> {
    match query.get("path") {
        "" => Err(Refusal::Invalid("invalid path".into())),
        path => Ok(path),
    }
}

fn id(text: &str) -> Answer<Uuid> {
    let wrong = || match text.len() {
        32 | 36 | 38 | 45 => "invalid UUID format".to_owned(),
        length => format!("invalid UUID length: {length}"),
    };
    text.parse().map_err(|_| Refusal::Invalid(wrong()))
}
