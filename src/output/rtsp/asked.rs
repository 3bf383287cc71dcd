//! What a request asks for, as clients write it: in its URL, and in its `Transport` (RFC 2326, 12.39).

/// What a URL asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The path and, for SETUP, which of its streams: `/cam/trackID=0`.
    pub(super) path: String,
    /// The query.
    pub(super) query: String,
}

impl Asked {
    /// Clients add the name of a stream to the URL that they were given, also to one with a query
    /// (`/cam?user=x/trackID=0`); others put it in front of that. Whatever is asked of the whole may end with a slash.
    pub(super) fn new(path: &str, query: &str, sets_up: bool) -> Self {
        let is_named = path.rsplit('/').next().is_some_and(|last| last.contains('='));
        let (path, query) = match query.rsplit_once('/') {
            Some((query, "")) => (path.to_owned(), query),
            Some((query, stream)) if sets_up && !is_named => {
                (format!("{}/{stream}", path.trim_end_matches('/')), query)
            }
            _ => (path.to_owned(), query),
        };
        Self { path, query: query.to_owned() }
    }

    /// How a publisher names a stream of `path` in its URL, if this is how its SDP does (RFC 2326, C.1.1): it may be a
    /// whole URL.
    pub(super) fn stream(control: &str, path: &str) -> String {
        let Some((_, rest)) = control.split_once("://") else { return control.to_owned() };
        let rest = rest.find('/').map_or("", |slash| &rest[slash..]);
        let (of, query) = rest.split_once('?').unwrap_or((rest, ""));
        let of = Self::new(of, query, true).path;
        let own = of.trim_start_matches('/').strip_prefix(path).and_then(|own| own.strip_prefix('/'));
        own.or_else(|| of.rsplit('/').next()).unwrap_or_default().to_owned()
    }
}

/// The ways that packets may go outside of the connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Outside {
    /// To or from a port of the client's.
    pub(super) udp: bool,
    /// To a group of addresses.
    pub(super) groups: bool,
}

/// How packets are to go, as GStreamer reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) transport: String,
    /// To us.
    pub(super) records: bool,
}

impl Chosen {
    /// The first way of those offered that there is. (GStreamer 1.22 takes what it cannot read if that is the last.)
    pub(super) fn of(offered: &[String], outside: Outside) -> Option<Self> {
        offered.iter().flat_map(|offers| offers.split(',')).find_map(|offer| Self::read(offer, outside))
    }

    fn read(offer: &str, outside: Outside) -> Option<Self> {
        let offer = offer.to_ascii_lowercase();
        let mut fields = offer.split(';').map(str::trim);
        let within = match fields.next()? {
            "rtp/avp/tcp" => true,
            "rtp/avp" | "rtp/avp/udp" => false,
            _ => return None,
        };
        let (mut to_group, mut records, mut ports, mut channels) = (false, false, None, None);
        for field in fields {
            match field.split_once('=').unwrap_or((field, "")) {
                ("multicast", _) => to_group = true,
                ("client_port", value) => ports = Some(pair::<u16>(value)?),
                ("interleaved", value) => channels = Some(pair::<u8>(value)?),
                ("mode", value) => records = value.trim_matches('"').contains("record"),
                // Where to send to is not for clients to say; the rest is of no use.
                _ => {}
            }
        }
        let transport = match (within, to_group) {
            (true, false) => {
                let channels = channels.map(|(rtp, rtcp)| format!(";interleaved={rtp}-{rtcp}")).unwrap_or_default();
                format!("RTP/AVP/TCP;unicast{channels}")
            }
            (false, true) if outside.groups && !records => "RTP/AVP;multicast".into(),
            (false, false) if outside.udp => {
                let (rtp, rtcp) = ports.filter(|(rtp, _)| *rtp > 0)?;
                format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}")
            }
            _ => return None,
        };
        Some(Self { transport: transport + if records { ";mode=record" } else { "" }, records })
    }
}

/// `a-b`, or `a`, which the next belongs to.
fn pair<T: TryFrom<u32>>(value: &str) -> Option<(T, T)> {
    let (first, second) = value.split_once('-').unwrap_or((value, ""));
    let first: u32 = first.trim().parse().ok()?;
    let second = if second.is_empty() { first + 1 } else { second.trim().parse().ok()? };
    Some((first.try_into().ok()?, second.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_behind_a_query_or_before_it() {
        for (path, query, sets_up, asked) in [
            ("/cam", "", false, ("/cam", "")),
            ("/cam", "user=x", false, ("/cam", "user=x")),
            ("/cam", "user=x/", false, ("/cam", "user=x")),
            ("/cam", "file=/a/b", false, ("/cam", "file=/a/b")),
            ("/cam", "user=x/trackID=0", true, ("/cam/trackID=0", "user=x")),
            ("/cam", "file=/a/b/streamid=1", true, ("/cam/streamid=1", "file=/a/b")),
            ("/cam/trackID=0", "file=/a/b", true, ("/cam/trackID=0", "file=/a/b")),
            ("/cam/trackID=0", "", true, ("/cam/trackID=0", "")),
            ("/", "x/trackID=0", true, ("/trackID=0", "x")),
        ] {
            let read = Asked::new(path, query, sets_up);
            assert_eq!((read.path.as_str(), read.query.as_str()), asked, "{path}?{query}");
        }
    }

    #[test]
    fn a_publisher_may_name_its_streams_by_whole_urls() {
        for (control, stream) in [
            ("streamid=0", "streamid=0"),
            ("rtsp://host:1/a/b/trackID=1", "trackID=1"),
            ("rtsp://host/a/b?user=x/trackID=1", "trackID=1"),
            ("rtsp://host/a/b/video/0", "video/0"),
            ("rtsp://other/where/trackID=1", "trackID=1"),
            ("rtsp://host", ""),
        ] {
            assert_eq!(Asked::stream(control, "a/b"), stream, "{control}");
        }
    }

    #[test]
    fn the_first_way_that_there_is_is_taken() {
        let of = |offered: &str, udp, groups| Chosen::of(&[offered.to_owned()], Outside { udp, groups });
        let chosen = |offered: &str, udp, groups| of(offered, udp, groups).map(|chosen| chosen.transport);
        let (udp, tcp) = ("RTP/AVP;unicast;client_port=5000-5001", "RTP/AVP/TCP;unicast;interleaved=0-1");
        assert_eq!(chosen(&format!("{udp},{tcp}"), true, false).as_deref(), Some(udp));
        assert_eq!(chosen(&format!("{udp}, {tcp}"), false, true).as_deref(), Some(tcp));
        assert_eq!(chosen(&format!("RTP/SAVP;unicast;client_port=1-2 , {tcp}"), true, false).as_deref(), Some(tcp));
        assert_eq!(chosen("rtp/avp/udp; Unicast; client_port=5000", true, false).as_deref(), Some(udp));
        assert_eq!(chosen("RTP/AVP/TCP", true, false).as_deref(), Some("RTP/AVP/TCP;unicast"));
        let group = "RTP/AVP;multicast;destination=10.0.0.1;ttl=300";
        assert_eq!(chosen(group, false, true).as_deref(), Some("RTP/AVP;multicast"));
        assert_eq!(chosen(group, true, false), None);
        for none in
            ["", ",", "RAW/RAW/UDP", "RTP/AVP;unicast", "RTP/AVP;unicast;client_port=0-1", "RTP/AVP/TCP;multicast"]
        {
            assert_eq!(chosen(none, true, true), None, "{none}");
        }
        for none in ["client_port=1-99999", "client_port=x"] {
            assert_eq!(chosen(&format!("RTP/AVP;{none}"), true, true), None, "{none}");
        }
        for none in ["interleaved=255", "interleaved=300-301", "interleaved=-1"] {
            assert_eq!(chosen(&format!("RTP/AVP/TCP;{none}"), true, true), None, "{none}");
        }
        let record = of("RTP/AVP/TCP;unicast;interleaved=2-3;mode=\"RECORD\"", true, true).unwrap();
        assert_eq!(
            (record.transport.as_str(), record.records),
            ("RTP/AVP/TCP;unicast;interleaved=2-3;mode=record", true)
        );
        assert_eq!(of("RTP/AVP;multicast;mode=record", true, true), None);
    }
}
