//! Credentials and the host's name in the header of a request.

use warp::http::{HeaderMap, header};

use crate::{
    command::{
        access::{Caller, Identity},
        token::Tokens,
    },
    error::{Error, Kind, Result},
};

/// Who sent the request: `Authorization: Bearer …` or `X-API-Key: …`. Nobody, when it has neither.
///
/// # Errors
/// When there are credentials and they are no good: then the caller expects to be known, and must not go on unnoticed.
pub(super) fn caller(headers: &HeaderMap, tokens: &Tokens) -> Result<Caller> {
    Ok(Caller::new(host(headers), identity(headers, tokens)?))
}

fn identity(headers: &HeaderMap, tokens: &Tokens) -> Result<Option<Identity>> {
    let refused = |reason: &str| Error::new(Kind::Unauthenticated, reason);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| refused("the Authorization header is not text"))?;
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(refused("write Authorization: Bearer, then the token")),
        };
        return tokens.verify(token).map(Some);
    }
    match headers.get("x-api-key") {
        Some(_) => Err(refused("no API key is known; use a token")),
        None => Ok(None),
    }
}

/// The name or address by which the client reached the service, so that the URLs it is given lead back here.
fn host(headers: &HeaderMap) -> Option<String> {
    let authority: warp::http::uri::Authority = headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::{
        access::Role,
        token::{Secret, make_token},
    };

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_are_taken_or_refused_but_never_ignored() {
        let secret = Secret::new("0123456789abcdef0123456789abcdef").unwrap();
        let tokens = Tokens::new(&secret);
        let token = make_token(&secret, Role::Viewer, Duration::from_secs(60), "u").unwrap();
        let known = |pairs: &[(&'static str, &str)]| identity(&headers(pairs), &tokens).map(|who| who.is_some());
        assert!(!known(&[]).unwrap());
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert!(known(&[("authorization", &format!("{scheme} {token}"))]).unwrap());
        }
        assert!(known(&[("authorization", &token)]).is_err());
        assert!(known(&[("authorization", "Basic dTpw")]).is_err());
        assert!(known(&[("authorization", "Bearer nonsense")]).is_err());
        assert!(known(&[("x-api-key", "0123456789abcdef0123456789abcdef")]).is_err());
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
