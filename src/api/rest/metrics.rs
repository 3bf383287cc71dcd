//! The metrics of MediaMTX on a port of their own.

use std::{convert::Infallible, sync::Arc};

use warp::{
    Filter, Reply,
    http::{Method, header},
    reply::Response,
};

use super::{
    Asked,
    origins::allowed_for,
    reply::{self, not_found, preflight, refused, typed},
    request::{client, credentials, without_body},
};
use crate::{
    command::{
        Gateway,
        v3::{self, FILTERS, Wanted},
    },
    mtx::Action,
};

/// Everything on this port.
pub(in crate::api) fn routes(gateway: Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    without_body().then(move |asked| answer(Arc::clone(&gateway), asked))
}

async fn answer(gateway: Arc<Gateway>, asked: Asked<()>) -> Response {
    let global = gateway.engine.acting();
    let origin = allowed_for(&asked.headers, global.texts("metricsAllowOrigins"));
    let asks_before = asked.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asked.method == Method::OPTIONS && asks_before {
        preflight("OPTIONS, GET", "Authorization")
    } else if let Some(elsewhere) = reply::without_slash(&asked.method, &asked.path, &["/metrics"], &asked.query) {
        elsewhere
    } else {
        let address = client(asked.peer, &asked.headers, global.networks("metricsTrustedProxies"));
        match v3::admit(&gateway, address, credentials(&asked.headers, &asked.query), Action::Metrics, "").await {
            Err(refusal) => refused(&refusal),
            Ok(()) if asked.method == Method::GET && asked.path == "/metrics" => {
                let filters = FILTERS.iter().map(|(name, _)| (*name, asked.query.get(name).to_owned()));
                let only = filters.filter(|(_, value)| !value.is_empty()).collect();
                let wanted = Wanted { family: asked.query.get("type").to_owned(), only };
                typed(v3::metrics(&gateway, &wanted).await.into_response(), "text/plain; charset=utf-8")
            }
            Ok(()) => not_found(),
        }
    };
    reply::finish(&mut response, origin.as_deref());
    response
}
