//! Metrics in Prometheus' text format, in the names of MediaMTX (both generations), and this service's own behind them.
//!
//! The numbers are those of the control API: what one says the other says too.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use serde::Serialize;
use serde_json::Value;

use super::{Page, connections, own_metrics, path_states, sessions};
use crate::command::Gateway;

/// Filters of a request, and the families that they leave. Those of protocols that are not served leave nothing.
pub const FILTERS: [(&str, &[&str]); 13] = [
    ("path", &["paths", "forward_dests"]),
    ("rtsp_conn", &["rtsp_conns"]),
    ("rtsp_session", &["rtsp_sessions"]),
    ("rtsps_conn", &["rtsps_conns"]),
    ("rtsps_session", &["rtsps_sessions"]),
    ("forward_dest", &["forward_dests"]),
    ("hls_session", &[]),
    ("hls_muxer", &[]),
    ("rtmp_conn", &[]),
    ("rtmps_conn", &[]),
    ("srt_conn", &[]),
    ("webrtc_session", &[]),
    ("moq_session", &[]),
];

/// What a caller wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One family: `paths`, `rtsp_conns`, `rtsp_sessions`, or `camera_service` for our own. Empty: all.
    pub family: String,
    /// What is asked for by [`FILTERS`], by their names, where it is not empty.
    pub only: BTreeMap<&'static str, String>,
}

impl Wanted {
    /// What of a family is wanted. `None`: nothing.
    fn of(&self, family: &str) -> Option<Only<'_>> {
        if !self.family.is_empty() && self.family != family {
            return None;
        }
        if self.only.is_empty() {
            return Some(None);
        }
        let leaving = FILTERS.iter().filter(|(_, left)| left.contains(&family));
        leaving.filter_map(|(name, _)| self.only.get(name)).map(|value| Some(value.as_str())).next()
    }
}

/// The one object that is wanted of a family. `None`: all of them.
type Only<'a> = Option<&'a str>;

/// A metric: what its name ends in, and which field of the object it shows; one without a field counts the object itself.
type Named = (&'static str, &'static str);

const PATHS: &[Named] = &[
    ("", ""),
    ("_inbound_bytes", "inboundBytes"),
    ("_outbound_bytes", "outboundBytes"),
    ("_inbound_frames_in_error", "inboundFramesInError"),
];
const PATHS_OLD: &[Named] = &[("_bytes_received", "bytesReceived"), ("_bytes_sent", "bytesSent")];
const CONNS: &[Named] = &[("", ""), ("_inbound_bytes", "inboundBytes"), ("_outbound_bytes", "outboundBytes")];
const SESSIONS: &[Named] = &[
    ("", ""),
    ("_inbound_bytes", "inboundBytes"),
    ("_inbound_rtp_packets", "inboundRTPPackets"),
    ("_inbound_rtp_packets_lost", "inboundRTPPacketsLost"),
    ("_inbound_rtp_packets_in_error", "inboundRTPPacketsInError"),
    ("_inbound_rtp_packets_jitter", "inboundRTPPacketsJitter"),
    ("_inbound_rtcp_packets", "inboundRTCPPackets"),
    ("_inbound_rtcp_packets_in_error", "inboundRTCPPacketsInError"),
    ("_outbound_bytes", "outboundBytes"),
    ("_outbound_rtp_packets", "outboundRTPPackets"),
    ("_outbound_rtp_packets_reported_lost", "outboundRTPPacketsReportedLost"),
    ("_outbound_rtp_packets_discarded", "outboundRTPPacketsDiscarded"),
    ("_outbound_rtcp_packets", "outboundRTCPPackets"),
];
const SESSIONS_OLD: &[Named] = &[
    ("_bytes_received", "bytesReceived"),
    ("_bytes_sent", "bytesSent"),
    ("_rtp_packets_received", "rtpPacketsReceived"),
    ("_rtp_packets_sent", "rtpPacketsSent"),
    ("_rtp_packets_lost", "rtpPacketsLost"),
    ("_rtp_packets_in_error", "rtpPacketsInError"),
    ("_rtp_packets_jitter", "rtpPacketsJitter"),
    ("_rtcp_packets_received", "rtcpPacketsReceived"),
    ("_rtcp_packets_sent", "rtcpPacketsSent"),
    ("_rtcp_packets_in_error", "rtcpPacketsInError"),
];

/// Nothing is ever forwarded.
const FORWARDS: &[Named] = &[("", ""), ("_outbound_bytes", "")];

/// All metrics that are wanted.
pub async fn metrics(gateway: &Gateway, wanted: &Wanted) -> String {
    let mut page = Text::default();
    if let Some(only) = wanted.of("paths") {
        let paths = Objects::new(path_states(gateway, Page::ALL).items, only, "name");
        page.title("Paths");
        page.family("paths", &paths, PATHS, path_labels);
        page.readers(&paths.shown);
        page.title("Paths (deprecated)");
        page.family("paths", &paths, PATHS_OLD, path_labels);
        if paths.none {
            page.line(format_args!("paths_readers 0"));
        }
    }
    if wanted.family == "forward_dests" && wanted.only.is_empty() {
        page.title("Forward destinations");
        page.family("forward_dests", &Objects { none: true, shown: Vec::new() }, FORWARDS, path_labels);
    }
    for (secure, title, conns_are, sessions_are) in
        [(false, "RTSP", "rtsp_conns", "rtsp_sessions"), (true, "RTSPS", "rtsps_conns", "rtsps_sessions")]
    {
        // Where it is not spoken MediaMTX has no such metrics.
        if secure && !gateway.engine.serves_rtsps() {
            continue;
        }
        if let Some(only) = wanted.of(conns_are) {
            let conns = Objects::new(connections(gateway, secure, Page::ALL).items, only, "id");
            page.title(&format!("{title} connections"));
            page.family(conns_are, &conns, CONNS, |conn| vec![("id", field(conn, "id"))]);
            page.title(&format!("{title} connections (deprecated)"));
            page.family(conns_are, &conns, PATHS_OLD, |conn| vec![("id", field(conn, "id"))]);
        }
        if let Some(only) = wanted.of(sessions_are) {
            let sessions = Objects::new(sessions(gateway, secure, Page::ALL).items, only, "id");
            page.title(&format!("{title} sessions"));
            page.family(sessions_are, &sessions, SESSIONS, session_labels);
            page.title(&format!("{title} sessions (deprecated)"));
            page.family(sessions_are, &sessions, SESSIONS_OLD, session_labels);
        }
    }
    page.end();
    if wanted.of("camera_service").is_some() {
        page.0.push_str(&own_metrics::text(gateway).await);
    }
    page.0
}

/// Objects as the API shows them.
struct Objects {
    /// There are none, and none were asked for by name: each metric is there once, and is 0.
    none: bool,
    shown: Vec<Value>,
}

impl Objects {
    /// All of them, or only the one whose field `by` says so.
    fn new<T: Serialize>(items: Vec<T>, only: Only<'_>, by: &str) -> Self {
        let none = items.is_empty() && only.is_none();
        let shown = items.into_iter().filter_map(|item| serde_json::to_value(item).ok());
        Self { none, shown: shown.filter(|item| only.is_none_or(|only| item[by] == only)).collect() }
    }
}

fn field(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

type Labels = Vec<(&'static str, String)>;

fn path_labels(path: &Value) -> Labels {
    let state = if path["ready"] == true { "ready" } else { "notReady" };
    vec![("name", field(path, "name")), ("state", state.into())]
}

fn session_labels(session: &Value) -> Labels {
    ["id", "path", "remoteAddr", "state"].map(|name| (name, field(session, name))).into()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn title(&mut self, title: &str) {
        self.end();
        self.line(format_args!("# {title}"));
    }

    /// The empty line after a section.
    fn end(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    fn family(&mut self, family: &str, objects: &Objects, names: &[Named], labels: fn(&Value) -> Labels) {
        for (suffix, field) in names {
            if objects.none {
                self.line(format_args!("{family}{suffix} 0"));
            }
            for object in &objects.shown {
                let value = match &object[*field] {
                    _ if field.is_empty() => "1".to_owned(),
                    // As Go writes it: 0, not 0.0.
                    value => {
                        value.as_f64().filter(|_| value.is_f64()).map_or(value.to_string(), |value| value.to_string())
                    }
                };
                self.line(format_args!("{family}{suffix}{} {value}", braces(&labels(object))));
            }
        }
    }

    /// How many of each kind read a path.
    fn readers(&mut self, paths: &[Value]) {
        for path in paths {
            let mut kinds = BTreeMap::new();
            for reader in path["readers"].as_array().into_iter().flatten() {
                *kinds.entry(field(reader, "type")).or_insert(0) += 1;
            }
            if kinds.is_empty() {
                kinds.insert(String::new(), 0);
            }
            let [name, state] = &path_labels(path)[..] else { continue };
            for (kind, count) in kinds {
                let labels = [name.clone(), ("readerType", kind), state.clone()];
                self.line(format_args!("paths_readers{} {count}", braces(&labels)));
            }
        }
    }

    fn line(&mut self, line: impl Display) {
        // A `String` takes everything.
        let _ = writeln!(self.0, "{line}");
    }
}

/// Labels in the order of their names. Names of paths and addresses have nothing in them that would need escaping.
fn braces(labels: &[(&str, String)]) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_leaves_its_family() {
        let families = ["paths", "rtsp_conns", "rtsp_sessions", "rtsps_conns", "camera_service"];
        let wants = |family: &str, only: &[(&'static str, &str)]| {
            let only = only.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let wanted = Wanted { family: family.into(), only };
            families.map(|family| wanted.of(family).map(|only| only.map(str::to_owned)))
        };
        let one = |value: &str| Some(Some(value.to_owned()));
        assert_eq!(wants("", &[]), [Some(None), Some(None), Some(None), Some(None), Some(None)]);
        assert_eq!(wants("rtsp_conns", &[]), [None, Some(None), None, None, None]);
        assert_eq!(wants("", &[("path", "camera0")]), [one("camera0"), None, None, None, None]);
        assert_eq!(wants("", &[("rtsps_conn", "1"), ("path", "a")]), [one("a"), None, None, one("1"), None]);
        assert_eq!(wants("rtsp_conns", &[("path", "camera0")]), [None, None, None, None, None]);
        assert_eq!(wants("", &[("hls_muxer", "camera0")]), [None, None, None, None, None]);
        assert_eq!(wants("hls_muxers", &[]), [None, None, None, None, None]);
    }
}
