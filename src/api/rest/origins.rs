//! From which web pages a request may come, as MediaMTX decides it.

use regex::Regex;
use url::Url;
use warp::http::{HeaderMap, header};

/// What a request with these headers is told.
pub(super) fn allowed_for(headers: &HeaderMap, list: &[String]) -> Option<String> {
    allowed(headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()), list)
}

/// What `Access-Control-Allow-Origin` says. `None`: nothing.
fn allowed(origin: Option<&str>, allowed: &[String]) -> Option<String> {
    if let Some(origin) = origin {
        let asking = Url::parse(origin).ok()?;
        if allowed.iter().any(|entry| is_same(entry, &asking)) {
            return Some(origin.to_owned());
        }
    }
    // Only if nothing else fits: with it, browsers send no cookies.
    allowed.iter().any(|entry| entry == "*").then(|| "*".to_owned())
}

/// Scheme, host and port are the same; a `*` in the host stands for anything.
fn is_same(entry: &str, asking: &Url) -> bool {
    let Some((scheme, authority)) = entry.split_once("://").filter(|_| entry.contains('*')) else {
        let same = |entry: Url| entry.origin() == asking.origin() && entry.origin().is_tuple();
        return Url::parse(entry).is_ok_and(same);
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, Url::parse(&format!("{scheme}://x")).ok().and_then(|url| url.port_or_known_default())),
    };
    let pattern = regex::escape(host).replace(r"\*\.", r"(.*\.)?").replace(r"\*", ".*");
    let fits = |host: &str| Regex::new(&format!("^{pattern}$")).is_ok_and(|pattern| pattern.is_match(host));
    scheme == asking.scheme() && port == asking.port_or_known_default() && asking.host_str().is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_echoed_if_it_is_listed_and_the_star_is_the_last_resort() {
        let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        for (origin, entries, expected) in [
            (None, list(&["*"]), some("*")),
            (None, list(&["http://a"]), None),
            (Some("http://a:80"), list(&["http://a"]), some("http://a:80")),
            (Some("https://a"), list(&["http://a"]), None),
            (Some("http://a"), list(&["*", "http://a"]), some("http://a")),
            (Some("http://b"), list(&["*", "http://a"]), some("*")),
            (Some("https://x.example.org"), list(&["https://*.example.org"]), some("https://x.example.org")),
            (Some("https://example.org"), list(&["https://*.example.org"]), some("https://example.org")),
            (Some("https://x.example.org:8443"), list(&["https://*.example.org"]), None),
            (Some("https://xexample.org"), list(&["https://*.example.org"]), None),
            (Some("null"), list(&["*"]), None),
            (Some("http://a"), list(&[]), None),
        ] {
            assert_eq!(allowed(origin, &entries), expected, "{origin:?} {entries:?}");
        }
    }
}
