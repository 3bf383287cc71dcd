//! What a request says: its query, its credentials, its client, its body.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, StreamExt};
use ipnet::IpNet;
use tokio::time::timeout;
use warp::{
    Buf, Filter,
    http::{HeaderMap, header},
    path::FullPath,
};

use super::Asked;
use crate::{
    api::peer,
    command::v3::{Answer, Refusal, Shown},
};

/// The longest body that is taken, in bytes.
const LONGEST_BODY: usize = 10 * 1024 * 1024;

/// The query of a URL. Of a name that comes twice the first counts.
pub(super) struct Query {
    text: String,
    fields: HashMap<String, String>,
}

impl Query {
    /// Reads what stands after the question mark.
    pub(super) fn read(text: &str) -> Self {
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self { text: text.to_owned(), fields }
    }

    /// A field; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// With its question mark, where there is anything behind it.
    pub(super) fn whole(&self) -> String {
        if self.text.is_empty() { String::new() } else { format!("?{}", self.text) }
    }
}

/// A request of which nobody wants the body.
pub(super) fn without_body() -> impl Filter<Extract = (Asked<()>,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let request = warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned()).and(peer());
    request.map(|method, path: FullPath, query: String, headers, peer| Asked {
        method,
        path: path.as_str().to_owned(),
        query: Query::read(&query),
        headers,
        peer,
        body: (),
    })
}

/// What a request shows: the name and password of `Bearer name:password`, a token of any other `Bearer`, else the name and
/// password of `Basic`.
pub(super) fn credentials(headers: &HeaderMap, query: &Query) -> Shown {
    let nothing = Shown { query: query.text.clone(), ..Shown::default() };
    let mut basic = nothing.clone();
    for value in headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok()) {
        if let Some(shown) = value.strip_prefix("Bearer ") {
            return match shown.split_once(':').filter(|(_, pass)| !pass.contains(':')) {
                Some((user, pass)) => Shown { user: user.into(), pass: pass.into(), ..nothing },
                None => Shown { token: shown.into(), ..nothing },
            };
        }
        let scheme = value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "));
        let decoded = value.get(6..).filter(|_| scheme).and_then(|shown| BASE64_STANDARD.decode(shown).ok());
        let text = decoded.and_then(|text| String::from_utf8(text).ok());
        if let Some((user, pass)) = text.as_deref().and_then(|text| text.split_once(':'))
            && basic == nothing
        {
            basic = Shown { user: user.into(), pass: pass.into(), ..nothing.clone() };
        }
    }
    basic
}

/// Who sent the request: whoever connected, or whom a proxy that is trusted names.
pub(super) fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()).to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text("x-forwarded-for").and_then(|list| {
        let addresses: Option<Vec<IpAddr>> = list.split(',').map(|address| address.trim().parse().ok()).collect();
        let addresses = addresses?;
        // From the last on: what is before an address that is not trusted may be made up.
        addresses.iter().rev().find(|address| !is_trusted(address)).or(addresses.first()).copied()
    });
    let real = || text("x-real-ip").and_then(|address| address.trim().parse().ok());
    forwarded.or_else(real).unwrap_or(peer)
}

/// What a proxy that is trusted was asked by: `http` or `https`.
pub(super) fn scheme<'a>(peer: Option<IpAddr>, headers: &'a HeaderMap, trusted: &[IpNet]) -> Option<&'a str> {
    let peer = peer?.to_canonical();
    let named = headers.get("x-forwarded-proto")?.to_str().ok();
    named.filter(|name| ["http", "https"].contains(name) && trusted.iter().any(|network| network.contains(&peer)))
}

/// The body, which has so long to come. Error: it is too long or too slow, or breaks off.
pub(super) async fn body<B: Buf, E>(stream: impl Stream<Item = Result<B, E>>, limit: Duration) -> Answer<Vec<u8>> {
    let read = timeout(limit, whole(stream)).await;
    read.unwrap_or_else(|_| Err(Refusal::Invalid("i/o timeout".into())))
}

async fn whole<B: Buf, E>(stream: impl Stream<Item = Result<B, E>>) -> Answer<Vec<u8>> {
    let mut stream = pin!(stream);
    let mut body = Vec::new();
    while let Some(part) = stream.next().await {
        let mut part = part.map_err(|_| Refusal::Invalid("unexpected EOF".into()))?;
        if body.len() + part.remaining() > LONGEST_BODY {
            return Err(Refusal::Invalid("size exceeds maximum allowed".into()));
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            body.extend_from_slice(chunk);
            let taken = chunk.len();
            part.advance(taken);
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_are_read_as_mediamtx_reads_them() {
        let shown = |pairs: &[(&'static str, &str)]| {
            let Shown { user, pass, token, .. } = credentials(&headers(pairs), &Query::read(""));
            (user + &token, pass)
        };
        let pair = |user: &str, pass: &str| (user.to_owned(), pass.to_owned());
        let basic = ("authorization", "Basic bWU6cDp3");
        assert_eq!(shown(&[]), pair("", ""));
        assert_eq!(shown(&[basic]), pair("me", "p:w"));
        assert_eq!(shown(&[("authorization", "Bearer you:pw")]), pair("you", "pw"));
        assert_eq!(shown(&[("authorization", "Bearer a:b:c")]), pair("a:b:c", ""));
        assert_eq!(shown(&[("authorization", "Bearer token")]), pair("token", ""));
        assert_eq!(shown(&[("authorization", "Basic %%%")]), pair("", ""));
        let mut both = headers(&[basic]);
        both.append("authorization", "Bearer you:pw".parse().unwrap());
        let shown = credentials(&both, &Query::read("a=b"));
        assert_eq!((shown.user.as_str(), shown.pass.as_str(), shown.query.as_str()), ("you", "pw", "a=b"));
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let at = |peer: &str, pairs: &[(&'static str, &str)]| {
            client(Some(peer.parse().unwrap()), &headers(pairs), &trusted).to_string()
        };
        let forwarded = [("x-forwarded-for", "192.0.2.1, 198.51.100.2, 10.0.0.9")];
        assert_eq!(at("203.0.113.1", &forwarded), "203.0.113.1");
        assert_eq!(at("10.0.0.1", &forwarded), "198.51.100.2");
        assert_eq!(at("10.0.0.1", &[("x-real-ip", "192.0.2.7")]), "192.0.2.7");
        assert_eq!(at("10.0.0.1", &[("x-forwarded-for", "who, knows")]), "10.0.0.1");
        assert_eq!(at("::ffff:10.0.0.1", &[]), "10.0.0.1");
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        let parts = |count: usize| {
            let part = || Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; 1024 * 1024]));
            futures_util::stream::iter((0..count).map(move |_| part()))
        };
        let taken = async |parts| body(parts, Duration::from_secs(30)).await;
        assert_eq!(taken(parts(10)).await.unwrap().len(), LONGEST_BODY);
        assert_eq!(taken(parts(11)).await, Err(Refusal::Invalid("size exceeds maximum allowed".into())));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let part = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"{"))]);
        let dribble = part.chain(futures_util::stream::pending());
        assert_eq!(body(dribble, Duration::from_millis(10)).await, Err(Refusal::Invalid("i/o timeout".into())));
    }

    #[test]
    fn only_a_trusted_proxy_says_what_it_was_asked_by() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let said = |peer: &str, word| {
            let headers = headers(&[("x-forwarded-proto", word)]);
            scheme(Some(peer.parse().unwrap()), &headers, &trusted).map(str::to_owned)
        };
        assert_eq!(said("10.0.0.1", "https").as_deref(), Some("https"));
        assert_eq!(said("10.0.0.1", "javascript"), None);
        assert_eq!(said("192.0.2.1", "https"), None);
    }
}
