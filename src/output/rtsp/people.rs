//! Who is connected, told to others, and sending them off.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::SystemTime};

use gst_rtsp_server::prelude::*;
use uuid::Uuid;

use super::{RtspServer, Traffic, Transport, lock};

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its own, for as long as it is there.
    pub id: Uuid,
    /// When it was accepted.
    pub created: SystemTime,
    /// The other end.
    pub remote: SocketAddr,
    /// Inside TLS.
    pub secure: bool,
    /// Its newest session.
    pub session: Option<Uuid>,
    /// Bytes of RTP and RTCP packets that were written into it. What RTSP itself says is not counted.
    pub bytes_sent: u64,
    /// The same of those that came out of it.
    pub bytes_received: u64,
}

/// A session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its own; not the one that the client knows, which would let others act for it.
    pub id: Uuid,
    /// When it was set up.
    pub created: SystemTime,
    /// The connection it belongs to.
    pub connection: Uuid,
    /// The other end of that.
    pub remote: SocketAddr,
    /// Inside TLS.
    pub secure: bool,
    /// What its program calls itself.
    pub user_agent: String,
    /// The path it was set up for.
    pub path: String,
    /// The query of its URL.
    pub query: String,
    /// The name that its connection has shown; empty where it has shown none.
    pub user: String,
    /// How the frames reach it, once it has played.
    pub transport: Option<Transport>,
    /// What it does.
    pub state: SessionState,
    /// What it was sent and what came from it.
    pub traffic: Traffic,
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It was set up, and nothing flows.
    Idle,
    /// It plays.
    Reads,
    /// It records, as RTSP has it.
    Publishes,
}

impl RtspServer {
    /// Everybody who is connected, in no order.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let sessions = self.sessions();
        let connections = lock(&self.state.connections);
        let told = connections.values().map(|known| {
            let own = sessions.iter().filter(|session| session.connection == known.id);
            let in_it = own.clone().filter(|session| session.transport == Some(Transport::Tcp));
            ConnectionInfo {
                id: known.id,
                created: known.created,
                remote: known.remote,
                secure: known.secure,
                session: own.max_by_key(|session| session.created).map(|session| session.id),
                bytes_sent: in_it.clone().map(|session| session.traffic.bytes_sent).sum(),
                bytes_received: in_it.map(|session| session.traffic.bytes_received).sum(),
            }
        });
        told.collect()
    }

    /// Every session, in no order.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let readers: Vec<_> = self.state.feeds().iter().flat_map(|feed| feed.readers()).collect();
        let publishing = lock(&self.state.publishing);
        let published = publishing.iter().filter(|known| !known.publication.is_over());
        let published: HashMap<_, _> =
            published.map(|known| (known.connection, (known.publication.clone(), Arc::clone(&known.meter)))).collect();
        drop(publishing);
        let connections = lock(&self.state.connections);
        let known = connections.iter().flat_map(|(number, known)| {
            known.sessions.iter().filter_map(|own| {
                let publication = published.get(number).filter(|_| !own.path.is_empty());
                let mut traffic = own.meter.read();
                if let Some((publication, meter)) = publication {
                    traffic = meter.read();
                    traffic.lost += publication.lost();
                }
                let told = SessionInfo {
                    id: own.id,
                    created: own.created,
                    connection: known.id,
                    remote: known.remote,
                    secure: known.secure,
                    user_agent: known.user_agent.clone(),
                    path: own.path.clone(),
                    query: own.query.clone(),
                    user: known.user.clone(),
                    transport: None,
                    state: if publication.is_some() { SessionState::Publishes } else { SessionState::Idle },
                    traffic,
                };
                Some((own.session.upgrade()?, known.takes_packets, told))
            })
        });
        let known: Vec<_> = known.collect();
        drop(connections);
        let told = known.into_iter().map(|(session, takes_packets, mut told)| {
            let name = session.sessionid();
            if let Some(reader) = readers.iter().find(|reader| name.as_deref() == Some(reader.session.as_str())) {
                (told.state, told.transport) = (SessionState::Reads, Some(reader.info.transport));
            } else if told.state == SessionState::Publishes {
                told.transport = Some(if takes_packets { Transport::Tcp } else { Transport::Udp });
            }
            told
        });
        told.collect()
    }

    /// Closes the connection of a session, and with it the session, soon. False if there is none.
    pub fn kick(&self, session: Uuid) -> bool {
        let connections = lock(&self.state.connections);
        let of_it = |(id, known): (&u64, &super::connection::Connection)| {
            known.sessions.iter().any(|own| own.id == session && own.session.upgrade().is_some()).then_some(*id)
        };
        let found = connections.iter().find_map(of_it);
        drop(connections);
        if let Some(connection) = found {
            self.state.disconnect(&[connection]);
        }
        found.is_some()
    }
}
