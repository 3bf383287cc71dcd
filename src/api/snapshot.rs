//! The newest picture of a camera, handed out.
//!
//! What it is, and who may see it, is `command::snapshots`'. Here: how it is asked for, and what a browser is told.

use std::{net::IpAddr, sync::Arc};

use headers::{CacheControl, ContentLength, HeaderMapExt, LastModified};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::form_urlencoded;
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, Method, header},
    path::Tail,
    reply::Response,
};

use super::{credentials, errors::Refused, files, peer};
use crate::{
    command::{
        Gateway, Within,
        access::Caller,
        files::Kind,
        snapshots::{self, Format, Look, LookParams},
    },
    error::{Error, Result},
};

/// When the picture was captured, to the millisecond, which `Last-Modified` cannot say.
const CAPTURED: &str = "x-captured";

/// `GET` and `HEAD` of `/snapshot/{device}`. For `HEAD` the same is done, and the picture is left out.
pub(super) fn routes(gateway: &Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let gateway = Arc::clone(gateway);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let place = warp::path("snapshot").and(warp::path::tail()).and(query);
    let method = warp::get().or(warp::head()).unify().and(warp::method());
    let request = place.and(method).and(warp::header::headers_cloned()).and(peer());
    request.and_then(move |device: Tail, query: String, method: Method, headers: HeaderMap, address| {
        let gateway = Arc::clone(&gateway);
        async move {
            let look =
                look(device.as_str(), &query, &headers, address, &gateway).await.map_err(warp::reject::custom)?;
            Ok::<_, Rejection>(answer(look, &method))
        }
    })
}

async fn look(
    device: &str,
    query: &str,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    gateway: &Gateway,
) -> Result<Look, Refused> {
    let caller = credentials::caller(headers, address, &gateway.credentials)
        .map_err(|error| Refused { error, caller: Caller::nobody() })?;
    let seen = async {
        gateway.rates.admit(address)?;
        let device = percent_encoding::percent_decode_str(device)
            .decode_utf8()
            .map_err(|_| Error::invalid_param("device", "is not UTF-8", "encode the name of the list, byte by byte"))?;
        snapshots::look(&device, asked(query)?, &caller, gateway).await
    };
    let seen = seen.await;
    seen.map_err(|error| Refused { error, caller })
}

/// What the query asks for. Error: a parameter that is unknown or out of range, by its name.
fn asked(query: &str) -> Result<LookParams> {
    let mut params = LookParams::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "width" => params.width = Some(number("width", &value)?),
            "height" => params.height = Some(number("height", &value)?),
            "quality" => params.quality = Some(number("quality", &value)?),
            "format" => {
                params.format = Some(match value.as_ref() {
                    "jpeg" | "jpg" => Format::Jpeg,
                    "png" => Format::Png,
                    _ => return Err(Error::invalid_param("format", "is neither jpeg nor png", "write format=jpeg")),
                });
            }
            other => {
                let rule = "is unknown here; there are width, height, format and quality";
                return Err(Error::invalid_param(other, rule, "leave it out"));
            }
        }
    }
    Ok(params)
}

fn number<const MIN: u32, const MAX: u32>(name: &str, value: &str) -> Result<Within<MIN, MAX>> {
    let within = value.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    within.map(Within).ok_or_else(|| {
        Error::invalid_param(name, format!("is not a whole number from {MIN} to {MAX}"), format!("write {name}={MAX}"))
    })
}

fn answer(Look { filename, picture }: Look, method: &Method) -> Response {
    let length = picture.data.len() as u64;
    let mut response = match *method {
        Method::HEAD => warp::reply().into_response(),
        _ => warp::reply::Response::new(picture.data.into()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Kind::media_type(&filename)));
    headers.typed_insert(ContentLength(length));
    headers.typed_insert(LastModified::from(picture.captured));
    headers.typed_insert(CacheControl::new().with_no_store());
    headers.insert(header::CONTENT_DISPOSITION, files::disposition("inline", filename.as_str()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let captured = OffsetDateTime::from(picture.captured);
    let captured = captured.replace_millisecond(captured.millisecond()).unwrap_or(captured).format(&Rfc3339);
    if let Some(captured) = captured.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(CAPTURED, captured);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind as Failure;

    #[test]
    fn a_query_is_read_whole_or_refused_by_name() {
        let params = asked("width=640&format=jpg&quality=100&height=1").unwrap();
        assert_eq!((params.width, params.height), (Some(Within(640)), Some(Within(1))));
        assert_eq!((params.format, params.quality), (Some(Format::Jpeg), Some(Within(100))));
        assert!(asked("").unwrap().width.is_none() && asked("").unwrap().format.is_none());
        for (query, name) in [
            ("width=0", "width"),
            ("width=16385", "width"),
            ("width=", "width"),
            ("width", "width"),
            ("height=-1", "height"),
            ("height=1.5", "height"),
            ("quality=101", "quality"),
            ("quality=99999999999999999999", "quality"),
            ("format=gif", "format"),
            ("size=3", "size"),
            ("width=3&Width=3", "Width"),
        ] {
            let error = asked(query).unwrap_err();
            assert!(
                matches!(error.kind(), Failure::InvalidParams { param, .. } if param == name),
                "{query}: {error:?}"
            );
        }
    }
}
