//! Downloads of recordings and snapshots.
//!
//! Who may have which file is `command::files`'. Here: what a request wants of it and whether it has that already (RFC 9110),
//! and how it is sent. A file is opened once, and what was looked at is what is sent; one that grows meanwhile is sent as
//! long as it was.

mod body;
mod range;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use headers::{
    AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch,
    IfUnmodifiedSince, LastModified,
};
use tokio::task::spawn_blocking;
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    path::Tail,
    reply::Response,
};

use self::{
    body::Multipart,
    range::{Wanted, wanted},
};
use super::{
    credentials,
    errors::{self, Refused},
    peer,
};
use crate::{
    command::{
        Gateway,
        access::Caller,
        files::{self, Download, Kind},
    },
    error::{Error, Kind as Failure, Result},
};

/// `GET` and `HEAD` of `/files/recordings/{name}` and `/files/snapshots/{name}`.
pub(super) fn routes(gateway: &Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    folder(Kind::Recording, gateway).or(folder(Kind::Snapshot, gateway)).unify()
}

fn folder(kind: Kind, gateway: &Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let gateway = Arc::clone(gateway);
    let place = warp::path("files").and(warp::path(kind.folder_name())).and(warp::path::tail());
    let method = warp::get().or(warp::head()).unify().and(warp::method());
    let request = place.and(method).and(warp::header::headers_cloned()).and(peer());
    request.and_then(move |name: Tail, method: Method, headers: HeaderMap, address| {
        let gateway = Arc::clone(&gateway);
        async move {
            let file = find(kind, name.as_str(), &headers, address, gateway).await.map_err(warp::reject::custom)?;
            Ok::<_, Rejection>(answer(Arc::new(file), &method, &headers))
        }
    })
}

/// The file, open, if whoever sent `headers` may have it.
async fn find(
    kind: Kind,
    name: &str,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    gateway: Arc<Gateway>,
) -> Result<Download, Refused> {
    let caller = credentials::caller(headers, address, &gateway.credentials)
        .map_err(|error| Refused { error, caller: Caller::nobody() })?;
    let refused = |error| Refused { error, caller: caller.clone() };
    gateway.rates.admit(address).map_err(refused)?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| {
        refused(Error::invalid_param("filename", "is not UTF-8", "encode the name of the list, byte by byte"))
    })?;
    let (name, asking) = (name.into_owned(), caller.clone());
    let found = spawn_blocking(move || files::download(kind, &name, &asking, &gateway)).await;
    found
        .map_err(|error| Error::with_source(Failure::Internal, "a file was not looked for", error))
        .flatten()
        .map_err(refused)
}

/// What is sent of the file.
fn answer(file: Arc<Download>, method: &Method, asked: &HeaderMap) -> Response {
    let stored = &file.opened.stored;
    let length = stored.size;
    let modified = LastModified::from(modified(&file));
    let Some(etag) = etag(&file) else { return errors::plain(StatusCode::INTERNAL_SERVER_ERROR, "no entity tag") };
    let wanted = match condition(asked, &etag, &file) {
        Some(status) => Err(status),
        None => Ok(wanted(asked, length, &etag, modified)),
    };
    let mut response = match wanted {
        Err(StatusCode::NOT_MODIFIED) => StatusCode::NOT_MODIFIED.into_response(),
        Err(status) => errors::plain(status, "the file is not as it was asked for"),
        Ok(Wanted::Whole) => whole(file.clone(), method),
        Ok(Wanted::Parts(ranges)) => parts(file.clone(), ranges, method),
        Ok(Wanted::Absent) => absent(length),
    };
    let headers = response.headers_mut();
    headers.typed_insert(etag);
    headers.typed_insert(modified);
    headers.typed_insert(AcceptRanges::bytes());
    if response.status().is_success() {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition("attachment", file.opened.stored.name.as_str()));
        // What was once another's name must not be shown as something it is not.
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// By which a file is told from another version of it. It changes with every byte that is written.
fn etag(file: &Download) -> Option<ETag> {
    let since = file.opened.stored.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("\"{:x}-{:x}-{:x}\"", file.opened.inode, file.opened.stored.size, since.as_nanos()).parse().ok()
}

/// When it was last written to, as HTTP can say it: not before 1970, and not in the future.
fn modified(file: &Download) -> SystemTime {
    file.opened.stored.modified.min(SystemTime::now()).max(UNIX_EPOCH)
}

/// RFC 9110, section 13.2.2: what is answered instead of the file. A condition that cannot be read is none.
fn condition(asked: &HeaderMap, etag: &ETag, file: &Download) -> Option<StatusCode> {
    let modified = modified(file);
    let same = match (asked.typed_get::<IfMatch>(), asked.typed_get::<IfUnmodifiedSince>()) {
        (Some(versions), _) => versions.precondition_passes(etag),
        (None, Some(since)) => since.precondition_passes(modified),
        (None, None) => true,
    };
    let other = match (asked.typed_get::<IfNoneMatch>(), asked.typed_get::<IfModifiedSince>()) {
        (Some(versions), _) => versions.precondition_passes(etag),
        (None, Some(since)) => since.is_modified(modified),
        (None, None) => true,
    };
    match (same, other) {
        (false, _) => Some(StatusCode::PRECONDITION_FAILED),
        (true, false) => Some(StatusCode::NOT_MODIFIED),
        (true, true) => None,
    }
}

fn whole(file: Arc<Download>, method: &Method) -> Response {
    let length = file.opened.stored.size;
    let media_type = HeaderValue::from_static(Kind::media_type(&file.opened.stored.name));
    send(StatusCode::OK, media_type, length, method, || body::part(file, 0..length))
}

fn parts(file: Arc<Download>, mut ranges: Vec<std::ops::Range<u64>>, method: &Method) -> Response {
    let (length, media_type) = (file.opened.stored.size, Kind::media_type(&file.opened.stored.name));
    if ranges.len() > 1 {
        let body = Multipart::new(ranges, length, media_type);
        let (media_type, own) = (body.media_type(), body.length());
        return send(StatusCode::PARTIAL_CONTENT, media_type, own, method, || body.into_stream(file));
    }
    let range = ranges.pop().unwrap_or(0..length);
    let media_type = HeaderValue::from_static(media_type);
    let told = ContentRange::bytes(range.clone(), length);
    let own = range.end - range.start;
    let mut response = send(StatusCode::PARTIAL_CONTENT, media_type, own, method, || body::part(file, range));
    if let Ok(told) = told {
        response.headers_mut().typed_insert(told);
    }
    response
}

fn absent(length: u64) -> Response {
    let text = format!("the file has {length} bytes, and none of those that were asked for");
    let mut response = errors::plain(StatusCode::RANGE_NOT_SATISFIABLE, &text);
    response.headers_mut().typed_insert(ContentRange::unsatisfied_bytes(length));
    response
}

/// A body of `length` bytes, or its header alone.
fn send<S>(
    status: StatusCode,
    media_type: HeaderValue,
    length: u64,
    method: &Method,
    bytes: impl FnOnce() -> S,
) -> Response
where
    S: futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + Sync + 'static,
{
    let mut response = match *method {
        Method::HEAD => warp::reply().into_response(),
        _ => warp::reply::stream(bytes()).into_response(),
    };
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().typed_insert(ContentLength(length));
    response
}

/// RFC 6266: what to do with it, and the name once for everybody, once for those who read more than ASCII.
pub(super) fn disposition(kind: &'static str, name: &str) -> HeaderValue {
    let plain: String = name.chars().map(|c| if c.is_ascii() && !"\"\\".contains(c) { c } else { '_' }).collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let value = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(kind))
}

#[cfg(test)]
mod tests;
