//! Downloads of recordings and snapshots.
//!
//! Who may have which file is `command::files`'; how a file is sent (ranges, conditional requests) is warp's.

use std::{net::IpAddr, sync::Arc};

use tokio::task::spawn_blocking;
use warp::{
    Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, header},
    path::Peek,
    reply::Response,
};

use super::{credentials, errors::Refused, peer};
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
    let request = warp::path::peek().and(warp::header::headers_cloned()).and(peer());
    let allowed = request.and_then(move |name: Peek, headers: HeaderMap, address| {
        let gateway = Arc::clone(&gateway);
        async move { allow(kind, name.as_str(), headers, address, gateway).await.map_err(warp::reject::custom) }
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
async fn allow(
    kind: Kind,
    name: &str,
    headers: HeaderMap,
    address: Option<IpAddr>,
    gateway: Arc<Gateway>,
) -> Result<HeaderValue, Refused> {
    let caller = credentials::caller(&headers, address, &gateway.credentials)
        .map_err(|error| Refused { error, caller: Caller::nobody() })?;
    let refused = |error| Refused { error, caller: caller.clone() };
    gateway.rates.admit(address).map_err(refused)?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| {
        refused(Error::invalid_param("filename", "is not UTF-8", "encode the name of the list, byte by byte"))
    })?;
    let (name, asking) = (name.into_owned(), caller.clone());
    let found = spawn_blocking(move || files::find(kind, &name, &asking, gateway.folder(kind))).await;
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
    use std::fs;

    use super::*;
    use crate::{
        api::fixture::{Served, http},
        command::Role,
        config,
    };

    #[test]
    fn names_do_not_break_out_of_the_header() {
        assert_eq!(disposition("a-1.jpg"), "attachment; filename=\"a-1.jpg\"; filename*=UTF-8''a%2D1%2Ejpg");
        assert_eq!(
            disposition("tür\"; x=\"\\.jpg"),
            "attachment; filename=\"t_r_; x=__.jpg\"; filename*=UTF-8''t%C3%BCr%22%3B%20x%3D%22%5C%2Ejpg"
        );
    }

    #[tokio::test]
    async fn a_file_is_given_to_whoever_has_a_role() {
        let server = Served::start(config::Server::default()).await;
        fs::write(server.folder.path().join("a b.jpg"), "0123456789").unwrap();
        let bearer = format!("authorization: Bearer {}\r\n", server.token(Role::Viewer));
        let get = async |headers: &str| {
            let path = Kind::Snapshot.download_url("a b.jpg");
            http(server.control, &format!("GET {path} HTTP/1.1"), headers).await
        };
        let whole = get(&bearer).await;
        assert_eq!((whole.status, whole.body.as_str()), (200, "0123456789"));
        assert_eq!(whole.header("content-type"), "image/jpeg");
        assert_eq!(whole.header("content-length"), "10");
        assert_eq!(whole.header("accept-ranges"), "bytes");
        assert!(whole.header("content-disposition").starts_with("attachment; filename=\"a b.jpg\""));
        let part = get(&format!("{bearer}range: bytes=2-4\r\n")).await;
        assert_eq!((part.status, part.body.as_str()), (206, "234"));
        assert_eq!(part.header("content-range"), "bytes 2-4/10");
        assert_eq!(get(&format!("{bearer}range: bytes=99-\r\n")).await.status, 416);

        let stranger = get("").await;
        assert_eq!((stranger.status, stranger.header("www-authenticate")), (401, "Bearer"));
        assert_eq!(get("authorization: Bearer nonsense\r\n").await.status, 401);
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_given() {
        let server = Served::start(config::Server::default()).await;
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), server.folder.path().join("link.jpg")).unwrap();
        fs::create_dir(server.folder.path().join("sub")).unwrap();
        fs::write(server.folder.path().join("sub/secret.jpg"), "secret").unwrap();
        let bearer = format!("authorization: Bearer {}\r\n", server.token(Role::Admin));
        let long = "x".repeat(300);
        let up = format!("..%2f{}%2fsecret", outside.path().file_name().unwrap().to_str().unwrap());
        for (name, status) in [
            ("link.jpg", 400),
            (up.as_str(), 400),
            ("..", 400),
            ("%2e%2e", 400),
            ("%2e%2e%2fsecret", 400),
            ("%2fetc%2fpasswd", 400),
            ("a%00.jpg", 400),
            ("%ff.jpg", 400),
            (long.as_str(), 400),
            ("sub/secret.jpg", 400),
            ("sub%2fsecret.jpg", 400),
            ("sub", 400),
            ("", 400),
            ("absent.jpg", 404),
        ] {
            for folder in ["recordings", "snapshots"] {
                let reply = http(server.control, &format!("GET /files/{folder}/{name} HTTP/1.1"), &bearer).await;
                assert_eq!(reply.status, status, "{folder}/{name}: {}", reply.body);
                assert_ne!(reply.body, "secret");
            }
        }
    }
}
