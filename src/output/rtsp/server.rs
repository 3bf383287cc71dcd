//! The server's thread, what is mounted, starting and stopping.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use gst::{glib, glib::ControlFlow};
use gst_rtsp_server::prelude::*;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::broadcast;

use super::{
    Open, Publishers, ReaderEvent, Readers, RtspSettings, client, connection::Connection, door::Door, feed::Feed, lock,
    mount::Mount, publish::Publisher, way,
};
use crate::{
    error::{Error, Kind, Result},
    frame::FRAME_AGES,
    media::launch::LaunchFiles,
};

/// How often stalled readers are looked for.
const TICK: Duration = Duration::from_millis(100);
/// How often dead sessions are.
const CLEANUP: Duration = Duration::from_secs(2);
/// Events kept for a listener that is behind. One that falls further behind is told how many it missed.
const EVENTS: usize = 256;
/// The longest body of a request, in bytes; SDPs are shorter by far.
pub(super) const BODY: u32 = 128 << 10;
/// How long `stop` waits for the thread.
const STOP: Duration = Duration::from_secs(5);

/// What the threads of the server share.
pub(super) struct State {
    pub(super) settings: RtspSettings,
    pub(super) launch: LaunchFiles,
    pub(super) feeds: Mutex<Vec<Arc<Feed>>>,
    pub(super) connections: Mutex<HashMap<u64, Connection>>,
    pub(super) context: glib::MainContext,
    pub(super) server: gst_rtsp_server::RTSPServer,
    pub(super) points: gst_rtsp_server::RTSPMountPoints,
    pub(super) sessions: gst_rtsp_server::RTSPSessionPool,
    pub(super) mounts: Mutex<HashMap<String, Arc<Mount>>>,
    /// The most readers of a path at once, by how it stands in a URL; of others there may be any number.
    limits: Mutex<HashMap<String, usize>>,
    pub(super) next_connection: AtomicU64,
    /// A connection was closed.
    pub(super) left: Condvar,
    /// Which addresses and UDP ports are free, where there are only some.
    pub(super) addresses: Option<gst_rtsp_server::RTSPAddressPool>,
    pub(super) stopping: AtomicBool,
    /// The most bytes of an RTP packet to a reader.
    pub(super) largest_packet: AtomicU32,
    /// How old frames are when they are handed to readers, in seconds.
    pub(super) handed: Histogram,
    told: broadcast::Sender<ReaderEvent>,
    pub(super) publishers: OnceLock<Arc<dyn Publishers>>,
    pub(super) publishing: Mutex<Vec<Publisher>>,
}

/// A running RTSP server.
pub struct RtspServer {
    pub(super) state: Arc<State>,
    port: u16,
    main_loop: glib::MainLoop,
    thread: Mutex<Option<(thread::JoinHandle<()>, mpsc::Receiver<()>)>>,
}

impl RtspServer {
    /// Listens and serves. Nothing is mounted yet: every name is 404. Errors: the address cannot be bound, no thread.
    pub fn start(settings: RtspSettings, launch: LaunchFiles) -> Result<Self> {
        crate::media::init()?;
        let address = SocketAddr::new(settings.address, settings.port);
        let listening = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(|listener| listener.local_addr().map(|bound| (listener, bound.port())));
        let (listener, port) = listening.map_err(|error| {
            let message = format!("RTSP cannot listen on {address}");
            Error::with_source(Kind::Dependency { dependency: "network".into() }, message, error)
        })?;

        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let state = State::new(settings, launch, context.clone());
        state.serve(listener);

        let (done, finished) = mpsc::channel();
        let running = main_loop.clone();
        let thread = thread::Builder::new()
            .name("rtsp".into())
            .spawn(move || {
                // Fails only if another thread owns the context, and nobody else has it.
                let _ = context.with_thread_default(|| running.run());
                drop(done);
            })
            .map_err(|error| Error::with_source(Kind::Internal, "no thread for the RTSP server", error))?;
        Ok(Self { state, port, main_loop, thread: Mutex::new(Some((thread, finished))) })
    }

    /// The TCP port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves `path` (`camera0`; a leading `/` may be there). Replaces what was mounted there, whose readers go on.
    pub fn mount(&self, path: &str, open: Open) {
        let (name, path) = names(path);
        let mount = Mount::new(name, open);
        let mut mounts = lock(&self.state.mounts);
        let mount = match mounts.get(&path) {
            Some(before) => mount.after(before),
            None => mount,
        };
        self.state.put(&mut mounts, mount);
    }

    /// Lets streams be published. Called once; until then ANNOUNCE is answered with 405.
    pub fn accept_publishers(&self, publishers: Arc<dyn Publishers>) {
        // Whoever came first stays.
        let _ = self.state.publishers.set(publishers);
    }

    /// Serves `path` no more: 404 from now on. Its readers are disconnected, by the server's thread and soon; this
    /// does not wait for it. Nothing happens if it is not mounted.
    pub fn unmount(&self, path: &str) {
        let (name, path) = names(path);
        let mount = {
            let mut mounts = lock(&self.state.mounts);
            let Some(mount) = mounts.remove(&path) else { return };
            // Whoever has announced the next stream meanwhile sets it up with what is there.
            match self.state.is_announced(name) {
                true => self.state.put(&mut mounts, Mount::placeholder(name)),
                false => self.state.points.remove_factory(&path),
            }
            mount
        };
        let mut users = self.state.users_of(&mount.name);
        let feeds: Vec<_> = self.state.feeds().into_iter().filter(|feed| feed.mount.name == mount.name).collect();
        for feed in &feeds {
            users.extend(feed.readers().iter().map(|reader| reader.connection));
        }
        self.state.disconnect(&users);
        self.state.later(move || feeds.iter().for_each(|feed| feed.let_go()));
    }

    /// Lets no more than so many sessions play `path` at once, whether it is mounted or not; `None` lets any number. Those
    /// who play go on.
    pub fn limit_readers(&self, path: &str, most: Option<usize>) {
        let (_, path) = names(path);
        let mut limits = lock(&self.state.limits);
        match most {
            Some(most) => limits.insert(path, most),
            None => limits.remove(&path),
        };
    }

    /// Has no packet to readers be larger than this, in bytes with its RTP header, nor than the launch files say; 28 at least.
    /// Counts for what nobody reads yet.
    pub fn limit_packets(&self, largest: u32) {
        self.state.largest_packet.store(largest, Ordering::Relaxed);
    }

    /// How old frames are when they are handed to readers, in seconds from capture.
    pub fn handed(&self) -> &Histogram {
        &self.state.handed
    }

    /// Who reads `path`, and how much was handed out. All zero if it is not mounted.
    pub fn readers(&self, path: &str) -> Readers {
        let Some(mount) = self.state.mount_of(&names(path).1) else {
            return Readers::default();
        };
        Readers {
            count: self.state.readers_of(&mount),
            bytes_sent: mount.sent.bytes.load(Ordering::Relaxed),
            frames_sent: mount.sent.frames.load(Ordering::Relaxed),
            packet_bytes_sent: mount.sent.packet_bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes over a connection that came inside TLS from `remote`, in a while. Nothing flows beside it.
    pub fn adopt(&self, socket: TcpStream, remote: SocketAddr) {
        let state = Arc::clone(&self.state);
        self.state.later(move || {
            if let Err(error) = state.take_in(socket, remote, true) {
                tracing::warn!(%remote, %error, "RTSPS connection lost");
            }
        });
    }

    /// Who comes and goes from now on.
    pub fn events(&self) -> broadcast::Receiver<ReaderEvent> {
        self.state.told.subscribe()
    }

    /// Accepts nobody any more, disconnects everybody and ends the thread. Blocks until that is done, 5 s at most.
    /// Error: it is not done; a reader waits for a source to open, most likely.
    pub fn stop(&self) -> Result<()> {
        let Some((thread, finished)) = lock(&self.thread).take() else {
            return Ok(());
        };
        let deadline = Instant::now() + STOP;
        self.state.stopping.store(true, Ordering::Release);
        let everybody: Vec<_> = lock(&self.state.connections).keys().copied().collect();
        self.state.disconnect(&everybody);
        let (connections, _) = self
            .state
            .left
            .wait_timeout_while(lock(&self.state.connections), STOP, |connections| !connections.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let remaining = connections.len();
        drop(connections);
        let (feeds, main_loop) = (self.state.feeds(), self.main_loop.clone());
        self.state.later(move || {
            feeds.iter().for_each(|feed| feed.let_go());
            main_loop.quit();
        });
        match finished.recv_timeout(deadline.saturating_duration_since(Instant::now()).max(TICK)) {
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(Error::internal("the RTSP server does not stop")),
            _ => thread.join().map_err(|_| Error::internal("the RTSP server's thread panicked"))?,
        }
        match remaining {
            0 => Ok(()),
            _ => Err(Error::internal(format!("{remaining} RTSP connections do not close"))),
        }
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.main_loop.quit();
    }
}

impl State {
    fn new(settings: RtspSettings, launch: LaunchFiles, context: glib::MainContext) -> Arc<Self> {
        let server = gst_rtsp_server::RTSPServer::new();
        let points = gst_rtsp_server::RTSPMountPoints::new();
        let sessions = gst_rtsp_server::RTSPSessionPool::new();
        let threads = gst_rtsp_server::RTSPThreadPool::new();
        // A thread for each connection. Fewer are cheaper by little (docs/performance.md) and would let one reader
        // that waits for a source to start keep the requests of others waiting.
        threads.set_max_threads(-1);
        sessions.set_max_sessions(u32::try_from(settings.max_connections).unwrap_or(u32::MAX));
        server.set_mount_points(Some(&points));
        server.set_session_pool(Some(&sessions));
        RTSPServerExt::set_content_length_limit(&server, BODY);
        server.set_thread_pool(Some(&threads));
        let addresses = way::addresses(&settings);
        let state = Arc::new(Self {
            settings,
            launch,
            feeds: Mutex::new(Vec::new()),
            connections: Mutex::new(HashMap::new()),
            context,
            server,
            points,
            sessions,
            mounts: Mutex::new(HashMap::new()),
            limits: Mutex::new(HashMap::new()),
            next_connection: AtomicU64::new(0),
            left: Condvar::new(),
            addresses,
            stopping: AtomicBool::new(false),
            largest_packet: AtomicU32::new(u32::MAX),
            handed: Histogram::new(FRAME_AGES),
            told: broadcast::Sender::new(EVENTS),
            publishers: OnceLock::new(),
            publishing: Mutex::new(Vec::new()),
        });
        state.server.set_auth(Some(&Door::new(&state)));
        let weak = Arc::downgrade(&state);
        state.sessions.connect_session_removed(move |_, session| {
            if let (Some(state), Some(id)) = (weak.upgrade(), session.sessionid()) {
                for feed in state.feeds() {
                    feed.leave(|reader| reader.session == *id);
                }
            }
        });
        // Called within `accept`, which has just entered the connection.
        let weak = Arc::downgrade(&state);
        state.server.connect_client_connected(move |_, client| {
            if let Some(state) = weak.upgrade() {
                let id = state.next_connection.load(Ordering::Relaxed);
                client::follow(&state, id, client);
            }
        });
        state
    }

    pub(super) fn tell(&self, event: ReaderEvent) {
        (self.settings.events)(event.clone());
        // Nobody listening is fine.
        let _ = self.told.send(event);
    }

    pub(super) fn feeds(&self) -> Vec<Arc<Feed>> {
        lock(&self.feeds).clone()
    }

    pub(super) fn feed_of(&self, media: &gst_rtsp_server::RTSPMedia) -> Option<Arc<Feed>> {
        self.feeds().into_iter().find(|feed| feed.is_of(media))
    }

    /// Sessions that play the path that is mounted there, also what was in its place before.
    pub(super) fn readers_of(&self, mount: &Arc<Mount>) -> usize {
        let feeds = self.feeds();
        feeds.iter().filter(|feed| feed.mount.name == mount.name).map(|feed| feed.readers().len()).sum()
    }

    /// Whether as many play it as may.
    pub(super) fn is_full(&self, mount: &Arc<Mount>) -> bool {
        let (_, path) = names(&mount.name);
        let most = lock(&self.limits).get(&path).copied();
        most.is_some_and(|most| self.readers_of(mount) >= most)
    }

    /// Does something on the server's thread, in the order of the calls, never in this one.
    pub(super) fn later(&self, job: impl FnOnce() + Send + 'static) {
        let mut job = Some(job);
        let once = move || {
            if let Some(job) = job.take() {
                job();
            }
            ControlFlow::Break
        };
        glib::idle_source_new(None, glib::Priority::DEFAULT, once).attach(Some(&self.context));
    }

    /// Puts everything that recurs into the loop.
    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let weak = Arc::downgrade(self);
        self.every(TICK, move || {
            let Some(state) = weak.upgrade() else { return };
            state.look_after_publishers();
            state.drop_endless();
            for feed in state.feeds() {
                feed.look_after();
                state.drop_stalled(&feed);
            }
        });
        let weak = Arc::downgrade(self);
        self.every(CLEANUP, move || {
            let Some(state) = weak.upgrade() else { return };
            state.sessions.cleanup();
            state.drop_idle();
            let mounts: Vec<_> = lock(&state.mounts).values().cloned().collect();
            mounts.iter().for_each(|mount| mount.forget_unclaimed());
        });
        self.listen(Arc::new(listener));
    }

    fn every(&self, interval: Duration, mut job: impl FnMut() + Send + 'static) {
        let again = move || {
            job();
            ControlFlow::Continue
        };
        glib::timeout_source_new(interval, None, glib::Priority::DEFAULT, again).attach(Some(&self.context));
    }
}

/// A path's name and how it stands in a URL: `camera0` and `/camera0`.
pub(super) fn names(path: &str) -> (&str, String) {
    let name = path.trim_start_matches('/');
    (name, format!("/{name}"))
}
