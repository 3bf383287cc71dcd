//! Connections: accepting, counting, dropping.
//!
//! They are accepted here and not by gst-rtsp-server, so that they can be counted, set up (`TCP_NODELAY`) and named in
//! the log; it does not tell who is at the other end. What a connection asks for is `client`.

use std::{
    collections::HashSet,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use gst::{glib, glib::ControlFlow};
use gst_rtsp_server::{gio, prelude::*};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use uuid::Uuid;

use super::{ReaderEvent, feed::Feed, intake::Intake, lock, mount::Mount, server::State, traffic::Meter};

/// How long accepting rests after it failed, for want of file descriptors most likely.
const ACCEPT_REST: Duration = Duration::from_millis(500);

/// Somebody at the other end.
pub(super) struct Connection {
    pub(super) remote: SocketAddr,
    pub(super) client: glib::WeakRef<gst_rtsp_server::RTSPClient>,
    /// The socket gst-rtsp-server reads and writes. Only to see whether it can be written, and to shut it down: the
    /// connection's own thread then takes the connection apart, as if the other end had closed it. Closing it from
    /// another thread is not safe.
    pub(super) socket: TcpStream,
    pub(super) intake: Intake,
    /// When it was last of use.
    pub(super) touched: Instant,
    /// Packets go through it, between what is said of them.
    pub(super) takes_packets: bool,
    /// It has asked for something that is not answered yet: for as long as a source needs to start, perhaps.
    pub(super) waits: bool,
    /// What it has asked about last. GStreamer keeps the media of that for its next session, and of nothing before.
    pub(super) mount: Weak<Mount>,
    /// The path that it has announced a stream on last.
    pub(super) announced: Option<String>,
    /// What it has to make a digest with.
    pub(super) nonce: String,
    /// The name that it has shown.
    pub(super) user: String,
    /// Paths that it has shown to be allowed to read or, if true, to publish to.
    pub(super) may: HashSet<(String, bool)>,
    /// The query of the URL it asked about last.
    pub(super) query: String,
    /// The path that was described last, until a session has it.
    pub(super) described: Option<String>,
    pub(super) sessions: Vec<Session>,
    /// What its next session will be called.
    pub(super) next_session: Uuid,
    pub(super) id: Uuid,
    pub(super) created: SystemTime,
    /// Inside TLS.
    pub(super) secure: bool,
    /// What its program calls itself.
    pub(super) user_agent: String,
}

/// A session of a connection, from its first SETUP on.
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) created: SystemTime,
    pub(super) session: glib::WeakRef<gst_rtsp_server::RTSPSession>,
    /// What it was set up for.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) meter: Arc<Meter>,
}

impl Connection {
    /// Whether the kernel takes nothing more for the other end.
    fn is_full(&self) -> bool {
        let mut sockets = [PollFd::new(&self.socket, PollFlags::OUT)];
        matches!(poll(&mut sockets, Some(&Timespec::default())), Ok(0))
    }
}

impl State {
    /// The connection of a client, and its other end.
    pub(super) fn connection_of(&self, client: &gst_rtsp_server::RTSPClient) -> Option<(u64, SocketAddr)> {
        let connections = lock(&self.connections);
        let (id, known) = connections.iter().find(|(_, known)| known.client.upgrade().as_ref() == Some(client))?;
        Some((*id, known.remote))
    }

    /// Closes connections. They are taken apart by their own threads, soon.
    pub(super) fn disconnect(&self, connections: &[u64]) {
        let known = lock(&self.connections);
        for connection in connections.iter().filter_map(|id| known.get(id)) {
            // Fails if the other end has closed it already.
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
    }

    /// Disconnects the TCP readers that take nothing. Those whose connection could be written are not to blame:
    /// then it is we who are slow.
    pub(super) fn drop_stalled(&self, feed: &Feed) {
        for reader in feed.stalled(self.settings.stall_timeout) {
            let full = lock(&self.connections).get(&reader.connection).is_some_and(Connection::is_full);
            if full {
                let (path, remote) = (&reader.info.path, reader.info.remote);
                tracing::warn!(path, %remote, "RTSP reader reads no more; disconnected");
                self.disconnect(&[reader.connection]);
            }
        }
    }

    /// Disconnects those who have no session and have not asked for anything for a while. Whoever waits for an answer is not
    /// idle, however long it takes.
    pub(super) fn drop_idle(&self) {
        let limit = self.settings.idle_timeout;
        let (mut idle, mut alive) = (Vec::new(), Vec::new());
        for (id, connection) in lock(&self.connections).iter_mut() {
            // References that may turn out to be the last are dropped after the lock is.
            connection.sessions.retain(|known| known.session.upgrade().map(|session| alive.push(session)).is_some());
            if connection.waits || !connection.sessions.is_empty() {
                connection.touched = Instant::now();
            } else if connection.touched.elapsed() > limit {
                idle.push(*id);
            }
        }
        drop(alive);
        self.disconnect(&idle);
    }

    /// A connection is closed, its sessions are taken off their media.
    pub(super) fn closed(&self, connection: u64) {
        for feed in self.feeds() {
            feed.leave(|reader| reader.connection == connection);
        }
        let known = lock(&self.connections).remove(&connection);
        if let Some(known) = &known {
            self.tell(ReaderEvent::Disconnected(known.id, known.secure));
        }
        // They would stay in the pool until they time out.
        for session in known.iter().flat_map(|known| &known.sessions).filter_map(|known| known.session.upgrade()) {
            let _ = self.sessions.remove(&session);
        }
        if let Some(name) = known.and_then(|known| known.announced) {
            self.forget_placeholder(&name);
        }
        self.left.notify_all();
    }

    pub(super) fn listen(self: &Arc<Self>, listener: Arc<TcpListener>) {
        let fd = listener.as_raw_fd();
        let weak = Arc::downgrade(self);
        let ready = move |_, _| {
            let Some(state) = weak.upgrade() else { return ControlFlow::Break };
            match state.accept(&listener) {
                Ok(()) => ControlFlow::Continue,
                Err(error) => {
                    tracing::warn!(%error, "RTSP cannot accept connections; trying again");
                    let listener = Arc::clone(&listener);
                    let weak = weak.clone();
                    let again = move || {
                        if let Some(state) = weak.upgrade() {
                            state.listen(Arc::clone(&listener));
                        }
                        ControlFlow::Break
                    };
                    glib::timeout_source_new(ACCEPT_REST, None, glib::Priority::DEFAULT, again)
                        .attach(Some(&state.context));
                    ControlFlow::Break
                }
            }
        };
        glib::unix_fd_source_new(fd, glib::IOCondition::IN, None, glib::Priority::DEFAULT, ready)
            .attach(Some(&self.context));
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        let (socket, remote) = match listener.accept() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            accepted => accepted?,
        };
        self.take_in(socket, remote, false)
    }

    /// Somebody who is connected, inside TLS or not. Only on the server's thread: it pairs the connection with its number.
    pub(super) fn take_in(&self, socket: TcpStream, remote: SocketAddr, secure: bool) -> io::Result<()> {
        if self.stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        if lock(&self.connections).len() >= self.settings.max_connections {
            tracing::warn!(%remote, limit = self.settings.max_connections, "RTSP connection refused: too many");
            return Ok(());
        }
        socket.set_nodelay(true)?;
        let own = socket.try_clone()?;
        let socket = gio::Socket::from_fd(OwnedFd::from(socket)).map_err(io::Error::other)?;
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed) + 1;
        let known = Connection {
            remote,
            client: glib::WeakRef::new(),
            socket: own,
            intake: Intake::default(),
            touched: Instant::now(),
            takes_packets: false,
            waits: false,
            mount: Weak::new(),
            announced: None,
            nonce: Uuid::new_v4().simple().to_string(),
            user: String::new(),
            may: HashSet::new(),
            query: String::new(),
            described: None,
            sessions: Vec::new(),
            next_session: Uuid::new_v4(),
            id: Uuid::new_v4(),
            created: SystemTime::now(),
            secure,
            user_agent: String::new(),
        };
        let event = ReaderEvent::Connected(known.id, secure);
        lock(&self.connections).insert(id, known);
        self.tell(event);
        let handed = self.server.transfer_connection(socket, &remote.ip().to_string(), i32::from(remote.port()), None);
        if let Err(error) = handed {
            self.closed(id);
            tracing::warn!(%remote, %error, "RTSP connection lost");
        }
        Ok(())
    }
}
