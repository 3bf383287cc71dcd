//! Downloads of recordings and snapshots.
//!
//! Who may have which file is `command::files`'; how a file is sent (ranges, conditional requests) is warp's.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, header},
    path::Peek,
    reply::Response,
};

use super::{credentials, errors::Refused};
use crate::{
    command::{
        Gateway,
        access::Caller,
        files::{self, Kind},
    },
    error::{Error, Result},
};

/// `GET` and `HEAD` of `/files/recordings/{name}` and `/files/snapshots/{name}`.
pub(super) fn routes(gateway: &Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    folder(Kind::Recording, gateway).or(folder(Kind::Snapshot, gateway)).unify()
}

fn folder(kind: Kind, gateway: &Arc<Gateway>) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let files = warp::fs::dir(gateway.folder(kind).to_owned());
    let gateway = Arc::clone(gateway);
    // Looks at the name before the folder's own filter takes it, which would also follow links.
    let allowed =
        warp::path::peek().and(warp::header::headers_cloned()).and_then(move |name: Peek, headers: HeaderMap| {
            let gateway = Arc::clone(&gateway);
            async move { allow(kind, name.as_str(), headers, gateway).await.map_err(warp::reject::custom) }
        });
    warp::path("files").and(warp::path(kind.folder_name())).and(allowed).and(files).map(
        |disposition: HeaderValue, file: warp::fs::File| {
            let mut response = file.into_response();
            response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
            response
        },
    )
}

/// The disposition of a file that whoever sent `headers` may have.
async fn allow(kind: Kind, name: &str, headers: HeaderMap, gateway: Arc<Gateway>) -> Result<HeaderValue, Refused> {
    let caller = credentials::caller(&headers, &gateway.tokens)
        .map_err(|error| Refused { error, caller: Caller::new(None, None) })?;
    let refused = |error| Refused { error, caller: caller.clone() };
    let name = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| {
        refused(Error::invalid_param("filename", "is not UTF-8", "encode the name of the list, byte by byte"))
    })?;
    let (name, asking) = (name.into_owned(), caller.clone());
    let found = spawn_blocking(move || files::find(kind, &name, &asking, &gateway)).await;
    let (name, _) = found
        .map_err(|error| Error::with_source(crate::error::Kind::Internal, "a file was not looked for", error))
        .flatten()
        .map_err(refused)?;
    Ok(disposition(name.as_str()))
}

/// RFC 6266: the name once for everybody, once for those who read more than ASCII.
fn disposition(name: &str) -> HeaderValue {
    let plain: String = name.chars().map(|c| if c.is_ascii() && !"\"\\".contains(c) { c } else { '_' }).collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_break_out_of_the_header() {
        assert_eq!(disposition("a-1.jpg"), "attachment; filename=\"a-1.jpg\"; filename*=UTF-8''a%2D1%2Ejpg");
        assert_eq!(
            disposition("tür\"; x=\"\\.jpg"),
            "attachment; filename=\"t_r_; x=__.jpg\"; filename*=UTF-8''t%C3%BCr%22%3B%20x%3D%22%5C%2Ejpg"
        );
    }
}
