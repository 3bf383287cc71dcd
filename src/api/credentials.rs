//! Credentials and the host's name in the header of a request.

use std::net::IpAddr;

use warp::http::{HeaderMap, header};

use crate::{
    command::{Credentials, access::Caller},
    error::{Error, Kind, Result},
};

/// Who sent the request from `address`: `Authorization: Bearer …` or `X-API-Key: …`, each with a token or an API key.
/// Nobody, when it has neither.
///
/// # Errors
/// When there are credentials and they are no good: then the caller expects to be known, and must not go on unnoticed.
pub(super) fn caller(headers: &HeaderMap, address: Option<IpAddr>, known: &Credentials) -> Result<Caller> {
    let identity = shown(headers)?.map(|shown| known.verify(shown, address)).transpose()?;
    Ok(Caller::new(host(headers), address, identity))
}

/// The token or API key in the header.
fn shown(headers: &HeaderMap) -> Result<Option<&str>> {
    let refused = |reason: &str| Error::new(Kind::Unauthenticated, reason);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| refused("the Authorization header is not text"))?;
        return match text.split_once(' ') {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(shown.trim())),
            _ => Err(refused("write Authorization: Bearer, then the token or API key")),
        };
    }
    let key = headers.get("x-api-key").map(|value| value.to_str().map(str::trim));
    key.transpose().map_err(|_| refused("the X-API-Key header is not text"))
}

/// The name or address by which the client reached the service, so that the URLs it is given lead back here.
pub(super) fn host(headers: &HeaderMap) -> Option<String> {
    host_of(headers.get(header::HOST)?.to_str().ok()?)
}

/// The host in `host:port`.
pub(super) fn host_of(authority: &str) -> Option<String> {
    let authority: warp::http::uri::Authority = authority.parse().ok()?;
    let host = authority.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_are_found_or_refused_but_never_ignored() {
        let found = |pairs: &[(&'static str, &str)]| shown(&headers(pairs)).map(|found| found.map(str::to_owned));
        assert_eq!(found(&[]).unwrap(), None);
        for header in [
            ("authorization", "Bearer some.token"),
            ("authorization", "bearer some.token "),
            ("authorization", "BEARER  some.token"),
            ("x-api-key", "some.token"),
            ("x-api-key", " some.token "),
        ] {
            assert_eq!(found(&[header]).unwrap().as_deref(), Some("some.token"), "{header:?}");
        }
        for bad in [("authorization", "some.token"), ("authorization", "Basic dTpw"), ("x-api-key", "schlüssel")] {
            assert_eq!(found(&[bad]).unwrap_err().kind(), &Kind::Unauthenticated, "{bad:?}");
        }
    }

    #[test]
    fn only_a_host_that_fits_into_a_url_is_believed() {
        let told = |value: &str| host(&headers(&[("host", value)]));
        assert_eq!(told("pi.local:8002").as_deref(), Some("pi.local"));
        assert_eq!(told("[fe80::1]:8002").as_deref(), Some("[fe80::1]"));
        assert_eq!(told("10.0.0.7").as_deref(), Some("10.0.0.7"));
        for bad in ["", "a b", "<script>", "x/y", "x\"y"] {
            assert_eq!(told(bad), None, "{bad}");
        }
    }
}
