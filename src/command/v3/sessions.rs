//! RTSP connections and sessions.

use serde::Serialize;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{Answer, List, Moment, Page, Refusal};
use crate::{
    command::Gateway,
    output::rtsp::{ConnectionInfo, SessionInfo, SessionState, Transport},
};

/// A connection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    id: Uuid,
    created: Moment,
    remote_addr: String,
    session: Option<Uuid>,
    tunnel: &'static str,
    inbound_bytes: u64,
    outbound_bytes: u64,
    bytes_received: u64,
    bytes_sent: u64,
}

impl From<ConnectionInfo> for Connection {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            id: info.id,
            created: Moment(info.created),
            remote_addr: info.remote.to_string(),
            session: info.session,
            tunnel: "none",
            inbound_bytes: info.bytes_received,
            outbound_bytes: info.bytes_sent,
            bytes_received: info.bytes_received,
            bytes_sent: info.bytes_sent,
        }
    }
}

/// A session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    id: Uuid,
    created: Moment,
    remote_addr: String,
    state: &'static str,
    path: String,
    query: String,
    user: String,
    user_agent: String,
    transport: Option<&'static str>,
    profile: Option<&'static str>,
    conns: [Uuid; 1],
    inbound_bytes: u64,
    #[serde(rename = "inboundRTPPackets")]
    inbound_rtp_packets: u64,
    #[serde(rename = "inboundRTPPacketsLost")]
    inbound_rtp_packets_lost: u64,
    #[serde(rename = "inboundRTPPacketsInError")]
    inbound_rtp_packets_in_error: u64,
    #[serde(rename = "inboundRTPPacketsJitter")]
    inbound_rtp_packets_jitter: f64,
    #[serde(rename = "inboundRTCPPackets")]
    inbound_rtcp_packets: u64,
    #[serde(rename = "inboundRTCPPacketsInError")]
    inbound_rtcp_packets_in_error: u64,
    outbound_bytes: u64,
    #[serde(rename = "outboundRTPPackets")]
    outbound_rtp_packets: u64,
    #[serde(rename = "outboundRTPPacketsReportedLost")]
    outbound_rtp_packets_reported_lost: u64,
    #[serde(rename = "outboundRTPPacketsDiscarded")]
    outbound_rtp_packets_discarded: u64,
    #[serde(rename = "outboundRTCPPackets")]
    outbound_rtcp_packets: u64,
    bytes_received: u64,
    bytes_sent: u64,
    rtp_packets_received: u64,
    rtp_packets_sent: u64,
    rtp_packets_lost: u64,
    rtp_packets_in_error: u64,
    rtp_packets_jitter: f64,
    rtcp_packets_received: u64,
    rtcp_packets_sent: u64,
    rtcp_packets_in_error: u64,
}

impl From<SessionInfo> for Session {
    fn from(info: SessionInfo) -> Self {
        let traffic = info.traffic;
        Self {
            id: info.id,
            created: Moment(info.created),
            remote_addr: info.remote.to_string(),
            state: match info.state {
                SessionState::Idle => "idle",
                SessionState::Reads => "read",
                SessionState::Publishes => "publish",
            },
            path: info.path,
            query: info.query,
            user: info.user,
            user_agent: info.user_agent,
            transport: info.transport.map(|transport| match transport {
                Transport::Tcp => "TCP",
                Transport::Udp => "UDP",
                Transport::Multicast => "UDP-multicast",
            }),
            profile: info.transport.map(|_| "AVP"),
            conns: [info.connection],
            inbound_bytes: traffic.bytes_received,
            inbound_rtp_packets: traffic.packets_received,
            inbound_rtp_packets_lost: traffic.lost,
            inbound_rtp_packets_in_error: traffic.in_error,
            inbound_rtp_packets_jitter: traffic.jitter,
            inbound_rtcp_packets: traffic.reports_received,
            inbound_rtcp_packets_in_error: traffic.reports_in_error,
            outbound_bytes: traffic.bytes_sent,
            outbound_rtp_packets: traffic.packets_sent,
            outbound_rtp_packets_reported_lost: traffic.reported_lost,
            outbound_rtp_packets_discarded: traffic.discarded,
            outbound_rtcp_packets: traffic.reports_sent,
            bytes_received: traffic.bytes_received,
            bytes_sent: traffic.bytes_sent,
            rtp_packets_received: traffic.packets_received,
            rtp_packets_sent: traffic.packets_sent,
            rtp_packets_lost: traffic.lost,
            rtp_packets_in_error: traffic.in_error,
            rtp_packets_jitter: traffic.jitter,
            rtcp_packets_received: traffic.reports_received,
            rtcp_packets_sent: traffic.reports_sent,
            rtcp_packets_in_error: traffic.reports_in_error,
        }
    }
}

/// What a session is called.
pub(super) fn session_word(secure: bool) -> &'static str {
    if secure { "rtspsSession" } else { "rtspSession" }
}

/// The RTSP connections inside TLS, or the others, the oldest first.
pub fn connections(gateway: &Gateway, secure: bool, page: Page) -> List<Connection> {
    let mut all = gateway.paths.rtsp().connections();
    all.retain(|info| info.secure == secure);
    all.sort_by_key(|info| info.created);
    page.of(all).map(Into::into)
}

/// One of them. Error: there is none.
pub fn connection(gateway: &Gateway, secure: bool, id: Uuid) -> Answer<Connection> {
    let found = gateway.paths.rtsp().connections().into_iter().find(|info| info.id == id && info.secure == secure);
    found.map(Into::into).ok_or(Refusal::NotFound("connection not found"))
}

/// The RTSP sessions inside TLS, or the others, the oldest first.
pub fn sessions(gateway: &Gateway, secure: bool, page: Page) -> List<Session> {
    let mut all = gateway.paths.rtsp().sessions();
    all.retain(|info| info.secure == secure);
    all.sort_by_key(|info| info.created);
    page.of(all).map(Into::into)
}

/// One of them. Error: there is none.
pub fn session(gateway: &Gateway, secure: bool, id: Uuid) -> Answer<Session> {
    let found = gateway.paths.rtsp().sessions().into_iter().find(|info| info.id == id && info.secure == secure);
    found.map(Into::into).ok_or(Refusal::NotFound("session not found"))
}

/// Ends a session and closes its connection. Error: there is none.
pub async fn kick(gateway: &Gateway, secure: bool, id: Uuid) -> Answer<()> {
    session(gateway, secure, id)?;
    let rtsp = gateway.paths.rtsp();
    let kicked = spawn_blocking(move || rtsp.kick(id)).await.unwrap_or(false);
    if kicked { Ok(()) } else { Err(Refusal::NotFound("session not found")) }
}
