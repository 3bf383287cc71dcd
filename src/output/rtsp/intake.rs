//! Requests that do not end. gst-rtsp-server keeps all of their headers until they are whole, however many come.
//!
//! How much it has read, the kernel tells, and that a request was whole, its answer.

use std::{io, mem, net::TcpStream, os::fd::AsRawFd, time::Instant};

use gst_rtsp_server::RTSPClient;
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    connection::Connection,
    lock, message,
    server::{BODY, State},
};

/// The longest request, in bytes: its head and its body. (The heads of MediaMTX's clients have less than 1 KiB.)
const REQUEST: u64 = (64 << 10) + BODY as u64;

/// How far a connection was read.
#[derive(Default)]
pub(super) struct Intake {
    /// What it is read from, if that is a connection of its own (RTSP over HTTP).
    apart: Option<TcpStream>,
    /// Bytes that were read when something was last seen to be whole.
    whole: u64,
    /// Reports that had come by then.
    reports: u64,
}

impl Intake {
    /// Whether there is a connection of its own that the other end has closed.
    fn is_over(&self) -> bool {
        self.apart.as_ref().is_some_and(|apart| {
            let mut sockets = [PollFd::new(apart, PollFlags::RDHUP)];
            matches!(poll(&mut sockets, Some(&Timespec::default())), Ok(1..))
        })
    }
}

impl Connection {
    /// Bytes that were read by now. 0 if the kernel does not tell.
    fn read(&self) -> u64 {
        read(self.intake.apart.as_ref().unwrap_or(&self.socket)).unwrap_or_default()
    }

    /// What is read from now on belongs to something else.
    fn begin(&mut self) {
        self.intake.whole = self.read();
        self.intake.reports = self.reports();
    }

    fn reports(&self) -> u64 {
        self.sessions.iter().map(|own| own.meter.reports()).sum()
    }
}

impl State {
    /// A request is answered. On the thread that reads the connection.
    pub(super) fn answered(&self, connection: u64, client: &RTSPClient) {
        let apart = message::read_apart(client);
        if let Some(known) = lock(&self.connections).get_mut(&connection) {
            (known.touched, known.waits) = (Instant::now(), false);
            known.intake.apart = apart;
            known.begin();
        }
    }

    /// Disconnects those whose request does not end, and those who asked over HTTP and have closed the connection for it:
    /// what comes in another one would not be seen.
    pub(super) fn drop_endless(&self) {
        let connections = lock(&self.connections);
        let half: Vec<_> = connections.iter().filter(|(_, known)| known.intake.is_over()).map(|(id, _)| *id).collect();
        let long: Vec<_> = connections
            .iter()
            .filter(|(_, known)| known.read().saturating_sub(known.intake.whole) > REQUEST)
            .map(|(id, known)| (*id, known.remote, known.takes_packets))
            .collect();
        drop(connections);
        self.disconnect(&half);
        for (id, remote, takes_packets) in long {
            let publishes = lock(&self.publishing).iter().any(|known| known.connection == id);
            let mut connections = lock(&self.connections);
            let Some(known) = connections.get_mut(&id) else { continue };
            // A publisher whose packets do not come is disconnected for that.
            if takes_packets && (publishes || known.reports() != known.intake.reports) {
                known.begin();
                continue;
            }
            drop(connections);
            tracing::warn!(%remote, limit = REQUEST, "RTSP request does not end; disconnected");
            self.disconnect(&[id]);
        }
    }
}

/// Bytes that were taken out of a socket: what came, but for what waits.
#[allow(unsafe_code, reason = "the kernel's structure; no crate at hand reads it")]
fn read(socket: &TcpStream) -> io::Result<u64> {
    // SAFETY: numbers, all of which may be zero.
    let mut told: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&told)).map_err(io::Error::other)?;
    // SAFETY: both outlive the call, and the length is that of what is filled.
    let done = unsafe {
        let told = (&raw mut told).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, told, &raw mut length)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(told.tcpi_bytes_received.saturating_sub(rustix::io::ioctl_fionread(socket)?))
}
