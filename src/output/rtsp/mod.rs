//! The RTSP server (RFC 2326): the frames of a `Stream` at `rtsp://host:port/path`, over UDP and interleaved in TCP.
//!
//! The protocol is gst-rtsp-server's; what is ours is everything around it, because its defaults let one reader harm
//! the others:
//!
//! - `server`: the thread, what is mounted, starting and stopping;
//! - `connection`: accepting connections, limits, dropping those that are idle or have stopped reading;
//! - `intake`: requests that do not end;
//! - `door`: what is asked before a request is handled; `asked`: what its URL and its Transport say;
//! - `reply`: what is changed in replies, and which are the last; `message`: what the bindings lack for that;
//! - `client`: what one connection asks for, told by signals;
//! - `mount`: a path, and the factory that makes its media;
//! - `feed`: one media, its readers and its life; `feeder`: the thread that gives it frames from the `Stream`;
//! - `gate`: lets a `reader` begin at a key frame; `packets`: what goes through it, frame by frame; `outlet`: to whom;
//! - `people`: who is connected, told to others, and sending them off;
//! - `places`: what is mounted where;
//! - `publish`: what is sent to us;
//! - `traffic`: what goes to a session and comes from it, counted; `way`: how it reaches a reader;
//! - `tune`: what is changed in the pipelines gst-rtsp-server builds.
//!
//! Not here: where a `Stream` comes from and when it ends (`path`); a mount asks for it through [`Open`].
//!
//! Locks: no two are held together, and none but `Reader::gone` while GStreamer is called; but that of the mounts is held
//! while its table of mounts is changed and while the connections are looked through (`places`). Nothing that happens when a
//! factory and its media are let go takes it. Those of what a meter counts (`traffic`) are the last. Signals of
//! gst-rtsp-server come from its threads, often under locks of its own, and closures hold weak references only.

mod arrivals;
mod asked;
mod client;
mod connection;
mod door;
mod feed;
mod feeder;
mod gate;
mod guest;
mod intake;
mod message;
mod mount;
mod outlet;
mod packets;
mod people;
mod places;
mod publish;
mod reader;
mod reply;
mod server;
mod traffic;
mod tune;
mod way;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use crate::{error::Result, stream::Stream};

pub use guest::{Admission, Guest, Proof, Publishers, Visit};
pub use people::{ConnectionInfo, SessionInfo, SessionState};
pub use server::RtspServer;
pub use traffic::Traffic;

/// How the server listens and what it puts up with.
#[derive(Clone)]
pub struct RtspSettings {
    /// The address to listen on.
    pub address: IpAddr,
    /// The TCP port to listen on; 0 takes a free one.
    pub port: u16,
    /// A session whose reader gives no sign of life (RTCP, a request, accepted data) for this long ends. Whole
    /// seconds; readers are told (RFC 2326, 12.37).
    pub session_timeout: Duration,
    /// A connection that has no session and asks for nothing for this long is closed.
    pub idle_timeout: Duration,
    /// A TCP reader that takes nothing for this long, while the kernel's buffers are full and there are frames for
    /// it, is disconnected.
    pub stall_timeout: Duration,
    /// Connections at a time; more are closed at once. Each has a thread, so this bounds the threads too.
    pub max_connections: usize,
    /// Whether RTP may go over UDP to or from a single address.
    pub udp: bool,
    /// The first and the last UDP port of ours for RTP and RTCP. `None`: the system chooses.
    pub udp_ports: Option<(u16, u16)>,
    /// Where RTP goes that many get at once. `None`: nowhere.
    pub multicast: Option<Multicast>,
    /// Told when somebody comes and goes. Called on the server's threads: it must be quick and not
    /// panic.
    pub events: Arc<dyn Fn(ReaderEvent) + Send + Sync>,
}

impl Default for RtspSettings {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8554,
            session_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_millis(800),
            max_connections: 512,
            udp: true,
            udp_ports: None,
            multicast: None,
            events: Arc::new(|_| {}),
        }
    }
}

/// Groups of addresses that packets go to once for all who listen (RFC 1112).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The first group. Each media that is read so has one of its own.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
    /// The port of RTP, an even one; RTCP has the next.
    pub port: u16,
    /// Routers that packets may pass, from 1 on.
    pub ttl: u8,
}

/// Gives a mount its frames when a reader asks for them. May block for as long as a source needs to start; other
/// readers are not kept waiting. An error becomes 404 (`Kind::NotFound`) or 503 (all others).
pub type Open = Arc<dyn Fn() -> Result<Opened> + Send + Sync>;

/// What a mount serves until its last reader leaves.
pub struct Opened {
    /// The frames.
    pub stream: Arc<Stream>,
    /// Whether the source makes a key frame when it is asked to. If so, all readers share one media, and one that
    /// joins asks for a key frame; if not, each has its own, which begins with the newest key frame of the ring.
    pub key_frames_on_demand: bool,
    /// Kept while there is a reader and dropped soon after the last one has left: at once if readers do not share,
    /// about 3 s later if they do.
    pub demand: Box<dyn Send + Sync>,
}

/// The readers of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// RTSP sessions that play.
    pub count: usize,
    /// Bytes of frames handed out since the path was mounted, all readers together; RTP headers not counted.
    pub bytes_sent: u64,
    /// Frames handed out, counted likewise.
    pub frames_sent: u64,
    /// Bytes of RTP packets that went out, headers of RTP included.
    pub packet_bytes_sent: u64,
}

/// How the frames reach a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In the RTSP connection (RFC 2326, 10.12).
    Tcp,
    /// In RTP packets of their own.
    Udp,
    /// In RTP packets that others get too.
    Multicast,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Multicast => "UDP-multicast",
        })
    }
}

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// The path, as it was given to [`RtspServer::mount`].
    pub path: String,
    /// The other end of the RTSP connection.
    pub remote: SocketAddr,
    /// How the frames reach it.
    pub transport: Transport,
    /// Its session, as [`SessionInfo`] has it.
    pub session: Uuid,
    /// The query of its URL.
    pub query: String,
    /// Inside TLS.
    pub secure: bool,
}

/// Somebody came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// A reader plays.
    Joined(ReaderInfo),
    /// It plays no more.
    Left(ReaderInfo),
    /// A connection was accepted; its [`ConnectionInfo::id`], and whether it is inside TLS.
    Connected(Uuid, bool),
    /// It is closed.
    Disconnected(Uuid, bool),
}

/// Locks plain data that is valid after every statement, so that a panic elsewhere under the lock harms nobody.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
