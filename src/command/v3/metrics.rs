//! Metrics in Prometheus' text format, in the names of MediaMTX (both generations), and this service's own behind them.
//!
//! The numbers are those of the control API: what one says the other says too.

use std::fmt::{Display, Write};

use serde::Serialize;
use serde_json::Value;

use super::{Page, connections, own_metrics, path_states, sessions};
use crate::command::Gateway;

/// What a caller wants; empty is everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One family: `paths`, `rtsp_conns`, `rtsp_sessions`, or `camera_service` for our own.
    pub family: String,
    /// Only this path.
    pub path: String,
    /// Only this RTSP connection.
    pub rtsp_conn: String,
    /// Only this RTSP session.
    pub rtsp_session: String,
}

impl Wanted {
    fn wants(&self, family: &str) -> bool {
        let filtered = [("paths", &self.path), ("rtsp_conns", &self.rtsp_conn), ("rtsp_sessions", &self.rtsp_session)];
        let by_filter = filtered.iter().filter(|(_, filter)| !filter.is_empty());
        match (self.family.as_str(), by_filter.clone().count()) {
            ("", 0) => true,
            ("", _) => by_filter.into_iter().any(|(of, _)| *of == family),
            (wanted, _) => wanted == family,
        }
    }
}

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

/// All metrics that are wanted.
pub async fn metrics(gateway: &Gateway, wanted: &Wanted) -> String {
    let mut page = Text::default();
    if wanted.wants("paths") {
        let paths = objects(path_states(gateway, Page::ALL).items, &wanted.path, "name");
        page.title("Paths");
        page.family("paths", &paths, PATHS, path_labels);
        page.readers(&paths);
        page.title("Paths (deprecated)");
        page.family("paths", &paths, PATHS_OLD, path_labels);
    }
    for (secure, title, conns_are, sessions_are) in
        [(false, "RTSP", "rtsp_conns", "rtsp_sessions"), (true, "RTSPS", "rtsps_conns", "rtsps_sessions")]
    {
        // Where it is not spoken MediaMTX has no such metrics.
        if secure && !gateway.engine.serves_rtsps() {
            continue;
        }
        if wanted.wants(conns_are) {
            let conns = objects(connections(gateway, secure, Page::ALL).items, &wanted.rtsp_conn, "id");
            page.title(&format!("{title} connections"));
            page.family(conns_are, &conns, CONNS, |conn| vec![("id", field(conn, "id"))]);
            page.title(&format!("{title} connections (deprecated)"));
            page.family(conns_are, &conns, PATHS_OLD, |conn| vec![("id", field(conn, "id"))]);
        }
        if wanted.wants(sessions_are) {
            let sessions = objects(sessions(gateway, secure, Page::ALL).items, &wanted.rtsp_session, "id");
            page.title(&format!("{title} sessions"));
            page.family(sessions_are, &sessions, SESSIONS, session_labels);
            page.title(&format!("{title} sessions (deprecated)"));
            page.family(sessions_are, &sessions, SESSIONS_OLD, session_labels);
        }
    }
    if wanted.wants("camera_service") {
        page.0.push_str(&own_metrics::text(gateway).await);
    }
    page.0
}

/// As the API shows them.
fn objects<T: Serialize>(items: Vec<T>, only: &str, by: &str) -> Vec<Value> {
    let shown = items.into_iter().filter_map(|item| serde_json::to_value(item).ok());
    shown.filter(|item| only.is_empty() || item[by] == only).collect()
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
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(format_args!("# {title}"));
    }

    fn family(&mut self, family: &str, objects: &[Value], names: &[Named], labels: fn(&Value) -> Labels) {
        for (suffix, field) in names {
            if objects.is_empty() {
                self.line(format_args!("{family}{suffix} 0"));
            }
            for object in objects {
                let value = if field.is_empty() { Value::from(1) } else { object[*field].clone() };
                self.line(format_args!("{family}{suffix}{} {value}", braces(&labels(object))));
            }
        }
    }

    /// How many of each kind read a path.
    fn readers(&mut self, paths: &[Value]) {
        if paths.is_empty() {
            self.line(format_args!("paths_readers 0"));
        }
        for path in paths {
            let mut kinds = std::collections::BTreeMap::new();
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
        let wants = |wanted: &Wanted| {
            ["paths", "rtsp_conns", "rtsp_sessions", "camera_service"].map(|family| wanted.wants(family))
        };
        assert_eq!(wants(&Wanted::default()), [true; 4]);
        assert_eq!(wants(&Wanted { family: "rtsp_conns".into(), ..Wanted::default() }), [false, true, false, false]);
        assert_eq!(wants(&Wanted { path: "camera0".into(), ..Wanted::default() }), [true, false, false, false]);
        assert_eq!(wants(&Wanted { family: "hls_muxers".into(), ..Wanted::default() }), [false; 4]);
    }
}
