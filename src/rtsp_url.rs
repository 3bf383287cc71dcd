//! The URL of an RTSP stream, and how it is shown to people.
//!
//! A URL may hold a user's name and password, also as a query. What is printed of it never does; only
//! [`RtspUrl::expose`] gives all of it.

use std::fmt;

use sha2::{Digest, Sha256};
use url::Url;

use crate::error::{Error, Result};

/// The longest URL that is taken, in bytes.
const LONGEST: usize = 2048;
/// What stands for that which is not shown.
const HIDDEN: &str = "***";

/// The URL of a stream on an RTSP server. Printed without credentials and query.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtspUrl(Url);

impl RtspUrl {
    /// Reads `rtsp://…` or `rtsps://…`. A fragment is left out.
    ///
    /// Errors, of the parameter `stream_url`: another scheme, no host, or no URL at all. They never hold the text, which
    /// may have a password in it.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |rule: String| {
            Error::invalid_param("stream_url", rule, "write it like rtsp://user:password@192.168.1.20:554/stream")
        };
        if text.len() > LONGEST {
            return Err(wrong(format!("is longer than {LONGEST} bytes")));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong("has a space or a control character".into()));
        }
        let mut url = Url::parse(text).map_err(|error| wrong(format!("is no URL: {error}")))?;
        if !["rtsp", "rtsps"].contains(&url.scheme()) {
            return Err(wrong("is neither rtsp:// nor rtsps://".into()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("has no host".into()));
        }
        if url.port() == Some(0) {
            return Err(wrong("has the port 0, where nothing can be reached".into()));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// All of it, credentials included: for those who connect, those who keep it, and administrators.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The host's name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether it is `rtsps://…`.
    pub fn is_inside_tls(&self) -> bool {
        self.0.scheme() == "rtsps"
    }

    /// The port, where none is written that of the scheme.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(if self.is_inside_tls() { 322 } else { 554 })
    }
}

/// The SHA-256 of a certificate, by which one is known that nobody else vouches for.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// As people write it: hexadecimal, in any case, with colons or without. What is none fits no certificate. None:
    /// nothing is written.
    pub fn written(text: &str) -> Option<Self> {
        let text = text.replace(':', "").to_ascii_lowercase();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Neither can fail: there is a host.
        if !shown.username().is_empty() || shown.password().is_some() {
            let _ = shown.set_password(None);
            let _ = shown.set_username(HIDDEN);
        }
        if shown.query().is_some() {
            shown.set_query(Some(HIDDEN));
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` of somebody else without the credentials of URLs in it.
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, authority) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = authority.find(|c: char| c.is_whitespace() || "/\"'<>".contains(c)).unwrap_or(authority.len());
        rest = match authority[..end].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                &authority[at..]
            }
            None => authority,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secrets() {
        for (text, shown) in [
            ("rtsp://cam/live", "rtsp://cam/live"),
            ("rtsp://me:se%40cret@10.0.0.7:8554/a/b", "rtsp://***@10.0.0.7:8554/a/b"),
            ("rtsp://me@[fe80::1]/a", "rtsp://***@[fe80::1]/a"),
            ("rtsps://:secret@cam/a?user=me&password=secret#x", "rtsps://***@cam/a?***"),
        ] {
            let url = RtspUrl::parse(text).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
        let url = RtspUrl::parse("rtsp://a:b@c@cam/x").unwrap();
        assert_eq!((url.expose(), url.host()), ("rtsp://a:b%40c@cam/x", "cam"));
    }

    #[test]
    fn only_a_url_that_leads_somewhere_is_taken() {
        for (text, rule) in [
            ("", "no URL"),
            ("cam/live", "no URL"),
            ("http://me:hunter2@cam/", "neither rtsp"),
            ("file:///etc/passwd", "neither rtsp"),
            ("rtsp:/cam", "no host"),
            ("rtsp:///live", "no host"),
            ("rtsp://me:hunter2@/live", "no"),
            ("rtsp://cam:99999/live", "no URL"),
            ("rtsp://cam:0/live", "port 0"),
            ("rtsp://cam/a b", "space"),
            ("rtsp://cam/a\r\nTEARDOWN", "space"),
            ("rtsp://cam/\" ! filesink location=/tmp/x", "space"),
        ] {
            let error = RtspUrl::parse(text).unwrap_err();
            assert!(error.message().contains(rule), "{text}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert!(RtspUrl::parse(&format!("rtsp://cam/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn a_fingerprint_is_the_same_however_it_is_written() {
        let of = Fingerprint::of(b"abc");
        assert_eq!(of.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let colons = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        assert_eq!((Fingerprint::written(colons), Fingerprint::written("")), (Some(of.clone()), None));
        assert_ne!(Fingerprint::written("ba78"), Some(of));
    }

    #[test]
    fn ports_and_hosts_are_those_that_will_be_connected_to() {
        let at = |text| RtspUrl::parse(text).map(|url| (url.host().to_owned(), url.port())).unwrap();
        assert_eq!(at("rtsp://cam/x"), ("cam".into(), 554));
        assert_eq!(at("rtsps://cam/x"), ("cam".into(), 322));
        assert_eq!(at("rtsp://[::1]:8554/x"), ("::1".into(), 8554));
    }

    #[test]
    fn texts_of_others_lose_their_credentials_and_nothing_else() {
        let shown =
            without_credentials("Connecting to rtsp://me:p/w@x@cam:1/y, \"http://u:p@h\"; a@b://c and rtsp://d");
        assert_eq!(shown, "Connecting to rtsp://me:p/w@x@cam:1/y, \"http://***@h\"; a@b://c and rtsp://d");
        assert_eq!(without_credentials("to rtsp://me:pw@cam/y"), "to rtsp://***@cam/y");
    }
}
