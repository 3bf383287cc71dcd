//! The ports: free, or this service's own. Listening is tried as the service does it, as its user.

use std::net::{SocketAddr, UdpSocket};

use camera_service::{
    app::{self, Listener},
    config::Config,
    error::Result,
};
use procfs::{
    net::{TcpState, tcp, tcp6},
    process::{FDTarget, all_processes},
};

use super::{case::Case, finding::Finding};

/// The name of our own processes.
const OURS: &str = "camera-service";

/// The setting of a unit that gives privileges, and the one that ports below 1024 need (capabilities(7)).
const AMBIENT: &str = "AmbientCapabilities";
const PRIVILEGE: &str = "CAP_NET_BIND_SERVICE";

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    match case.config() {
        Some(config) => {
            let listeners = app::listeners(config);
            let ports = listeners.iter().map(|listener| port(case, listener));
            ports.chain(udp(case, config)).collect()
        }
        None => vec![Finding::skipped("ports", "the configuration cannot be read; that comes first")],
    }
}

fn port(case: &Case, listener: &Listener) -> Finding {
    let Listener { key, address } = listener;
    let check = format!("ports.{key}");
    if address.port() == 0 {
        return Finding::ok(check, format!("any free port of {}", address.ip()));
    }
    let error = match case.as_service(|| try_to_listen(*address)) {
        Err(why) => return Finding::skipped(check, why),
        Ok(Ok(())) => return Finding::ok(check, format!("{address} is free")),
        Ok(Err(error)) => error,
    };
    let decides = || match case.config() {
        // As the service's user reads it.
        Some(config) => case.as_service(|| app::decides(key, config, case.environment())),
        None => Ok((*key).to_owned()),
    };
    let key = decides().unwrap_or_else(|_| (*key).to_owned());
    match holder(*address) {
        Some(Some(holder)) if holder.name == OURS => {
            Finding::ok(check, format!("{address} is this service's own (pid {})", holder.pid))
        }
        Some(Some(holder)) => Finding::fail(
            check,
            format!("{address} is taken by {} (pid {})", holder.name, holder.pid),
            format!("stop {}, or set {key}", holder.name),
        ),
        Some(None) => Finding::warn(
            check,
            format!("{address} is taken, by whom only root can see"),
            format!("run as root; if it is not this service: stop it, or set {key}"),
        ),
        // The address is this machine's, so it is the port that needs a privilege.
        None if is_given(case) && try_to_listen((address.ip(), 0).into()).is_ok() => {
            Finding::ok(check, format!("{address} is free, and the unit gives {PRIVILEGE}"))
        }
        // Nobody listens: the address is not of this machine, or the port needs a privilege.
        None => Finding::fail(
            check,
            error.chain(),
            format!("set {key} to a port from 1024 on, and its address to one of this machine"),
        ),
    }
}

/// The UDP ports that are set aside for RTSP, where some are.
fn udp(case: &Case, config: &Config) -> Option<Finding> {
    const CHECK: &str = "ports.rtsp.udp_first_port";
    let (first, last) = config.rtsp.udp_ports?;
    let taken = || -> Vec<u16> {
        (first..=last).filter(|&port| UdpSocket::bind((config.rtsp.bind_address, port)).is_err()).collect()
    };
    let rtsp = SocketAddr::from((config.rtsp.bind_address, config.mediamtx.rtsp_port));
    let is_ours = |holder: Holder| holder.name == OURS;
    Some(match case.as_service(taken) {
        Err(why) => Finding::skipped(CHECK, why),
        Ok(taken) if taken.is_empty() => Finding::ok(CHECK, format!("UDP {first} to {last} are free")),
        Ok(_) if holder(rtsp).flatten().is_some_and(is_ours) => {
            Finding::ok(CHECK, format!("some of UDP {first} to {last} are in use while the service runs"))
        }
        Ok(taken) => {
            let taken = taken.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let fix = "stop who has them (ss -ulnp), or set rtsp.udp_first_port and udp_last_port";
            Finding::fail(CHECK, format!("UDP ports {taken} are taken"), fix)
        }
    })
}

/// Whether the unit gives the privilege that the first ports need.
fn is_given(case: &Case) -> bool {
    case.unit.as_ref().is_some_and(|unit| unit.list(AMBIENT).iter().any(|it| it == PRIVILEGE))
}

fn try_to_listen(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| camera_service::error::Error::internal(error.to_string()))?;
    runtime.block_on(app::try_to_listen(address))
}

/// Who has a socket.
pub struct Holder {
    /// The process.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

/// Who listens at an address: nobody; or somebody, as far as /proc shows it.
pub fn holder(address: SocketAddr) -> Option<Option<Holder>> {
    let clashes = |other: SocketAddr| {
        let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
        other.port() == address.port() && (everywhere || other.ip().to_canonical() == address.ip().to_canonical())
    };
    let sockets: Vec<u64> = [tcp(), tcp6()]
        .into_iter()
        .flatten()
        .flatten()
        .filter(|socket| socket.state == TcpState::Listen && clashes(socket.local_address))
        .map(|socket| socket.inode)
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let holds = |process: &procfs::process::Process| {
        let files = process.fd().into_iter().flatten().flatten();
        files.into_iter().any(|file| matches!(file.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
    };
    let process = all_processes().into_iter().flatten().flatten().find(holds);
    Some(process.and_then(|process| Some(Holder { pid: process.pid, name: process.stat().ok()?.comm })))
}
