//! Which web pages may open a socket.
//!
//! A browser lets any page open a WebSocket to anywhere, and says in `Origin` (RFC 6454) which page it was. It is the
//! server that has to refuse. Whoever is no browser sends no `Origin`, and needs none.

use warp::{
    http::{HeaderMap, StatusCode, header},
    reply::Response,
};

use super::{credentials, errors};

/// Lets pages of the host that the request was sent to in, and those in `allowed`, `*` being any.
///
/// # Errors
/// The reply to everybody else: 403 and what to configure.
pub(super) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Box<Response>> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let refusal = |text: &str| Box::new(errors::plain(StatusCode::FORBIDDEN, text));
    let origin = origin.to_str().map_err(|_| refusal("the Origin header is not text"))?;
    let listed = |entry: &String| entry == "*" || plain(entry) == plain(origin);
    if own(headers, origin) || allowed.iter().any(listed) {
        return Ok(());
    }
    tracing::debug!(origin, "a web page was refused");
    Err(refusal(&format!("web pages of {origin} are not let in: add \"{origin}\" to security.cors_origins")))
}

/// Whether the page comes from the host the request was sent to, whatever its port: a control page is often served by
/// another program on the same machine.
fn own(headers: &HeaderMap, origin: &str) -> bool {
    let page = origin.split_once("://").and_then(|(_, authority)| credentials::host_of(authority));
    page.zip(credentials::host(headers)).is_some_and(|(page, host)| page.eq_ignore_ascii_case(&host))
}

/// An origin as browsers write it: small letters, no slash at the end, no port where it is the scheme's own.
fn plain(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(&origin).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_let_in_by_host_or_by_list() {
        let allowed = |origin: Option<&str>, list: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "Pi.local:8002".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            let list: Vec<String> = list.iter().map(|entry| (*entry).to_owned()).collect();
            check(&headers, &list).is_ok()
        };
        assert!(allowed(None, &[]), "not a browser");
        for own in ["http://pi.local", "https://PI.local:8443", "http://pi.local:8002"] {
            assert!(allowed(Some(own), &[]) && allowed(Some(own), &["https://example.org"]), "{own}");
        }
        let other = ["https://example.org", "http://pi.local.example.org", "http://xpi.local", "null", "", "pi.local"];
        for other in other {
            assert!(!allowed(Some(other), &[]), "{other}");
            assert!(allowed(Some(other), &["http://a", "*"]), "{other}");
        }
        let list = ["https://Example.org/", "http://a:80", "http://b:8080"];
        for listed in ["https://example.org", "http://a", "http://b:8080"] {
            assert!(allowed(Some(listed), &list), "{listed}");
        }
        for not in ["http://example.org", "https://example.org:444", "https://sub.example.org", "https://a", "http://b"]
        {
            assert!(!allowed(Some(not), &list), "{not}");
        }
    }
}
