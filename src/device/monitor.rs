//! Watches cameras come and go, on a thread of its own, and tells [`DeviceEvent`]s.
//!
//! It listens to udev before it looks, and every event only means "look again": what counts is what sysfs shows. So
//! events that arrive twice, too late, or were lost because the socket overflowed do no harm. It also looks from time
//! to time without an event, and more often where no udevd runs (containers). libudev's handles stay on the thread.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, read, write},
    net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force},
};

use super::{
    DeviceEvent,
    probe::{self, Finding},
    roster::{Roster, Step, Ticket},
    sysfs,
};
use crate::error::{Error, Kind, Result};

/// Bytes of events the kernel keeps for us; a hub full of cameras makes hundreds of events of some kilobytes.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How often to look where udev does not tell.
const WITHOUT_UDEV: Duration = Duration::from_secs(1);
/// When to look again after an event, besides at once: the kernel tells of a removal before sysfs shows it.
const SECOND_LOOKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// Findings that wait for the monitor's thread. Full means that probes wait to be heard; they have time.
const FINDINGS: usize = 16;

/// How to watch.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a driver may take to answer before its camera counts as unusable.
    pub probe_deadline: Duration,
    /// How often to compare what is known with sysfs, without an event.
    pub reconcile: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { probe_deadline: Duration::from_secs(5), reconcile: Duration::from_secs(60) }
    }
}

/// The running monitor. Dropping it ends it soon; [`stop`](Self::stop) also waits.
pub struct Monitor {
    signal: Signal,
    /// Closed by the end of the thread.
    ended: mpsc::Receiver<()>,
}

/// Wakes the thread.
#[derive(Clone)]
struct Signal {
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
}

impl Signal {
    fn wake(&self) {
        // Fails only if the counter is at its end; then the thread is awake anyway.
        let _ = write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// Begins to watch. The devices that are there already are told first.
///
/// The thread waits when `events` is full; it ends when the receiver is dropped. Fails if no thread can be had; where
/// udev cannot be listened to, it says so in the log and looks regularly instead.
pub fn spawn(settings: Settings, events: tokio::sync::mpsc::Sender<DeviceEvent>) -> Result<Monitor> {
    let failed = |error| Error::with_source(Kind::Internal, "the device monitor does not start", error);
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let wake = eventfd(0, flags).map_err(|error| failed(io::Error::from(error)))?;
    let signal = Signal { wake: Arc::new(wake), stop: Arc::default() };
    let (alive, ended) = mpsc::channel();
    let watch = Watch::new(settings, events, signal.clone());
    let run = move || {
        watch.run();
        drop(alive);
    };
    thread::Builder::new().name("device-monitor".into()).spawn(run).map_err(failed)?;
    Ok(Monitor { signal, ended })
}

impl Monitor {
    /// Ends the monitor and waits for it, blocking, at most `within`. Probes that hang are left behind.
    ///
    /// Fails if it is still running then: nobody reads the events and nobody dropped their receiver.
    pub fn stop(self, within: Duration) -> Result<()> {
        self.ask_to_stop();
        match self.ended.recv_timeout(within) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(Error::internal(format!("the device monitor did not stop within {within:?}")))
            }
            _ => Ok(()),
        }
    }

    fn ask_to_stop(&self) {
        self.signal.stop.store(true, Ordering::Release);
        self.signal.wake();
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// The receiver of the events is gone.
struct Unheard;

struct Watch {
    settings: Settings,
    events: tokio::sync::mpsc::Sender<DeviceEvent>,
    signal: Signal,
    roster: Roster,
    findings: (mpsc::SyncSender<Probed>, mpsc::Receiver<Probed>),
}

type Probed = (PathBuf, Ticket, Finding);

impl Watch {
    fn new(settings: Settings, events: tokio::sync::mpsc::Sender<DeviceEvent>, signal: Signal) -> Self {
        let roster = Roster::new(settings.probe_deadline);
        Self { settings, events, signal, roster, findings: mpsc::sync_channel(FINDINGS) }
    }

    fn run(mut self) {
        let socket = listen();
        let mut period = self.settings.reconcile;
        if socket.is_none() || !sysfs::udev_runs() {
            period = period.min(WITHOUT_UDEV);
            tracing::warn!(?period, "udev is not running here: looking for cameras regularly instead");
        }
        let mut looks = vec![Instant::now()];
        while !self.signal.stop.load(Ordering::Acquire) {
            if self.turn(period, &mut looks).is_err() {
                return;
            }
            let heard = self.wait(socket.as_ref(), &looks);
            if heard.any {
                let now = Instant::now();
                looks = SECOND_LOOKS.into_iter().map(|later| now + later).chain([now, now + period]).collect();
            }
            for node in heard.changed {
                let steps = self.roster.changed(Instant::now(), &node);
                if self.perform(steps).is_err() {
                    return;
                }
            }
        }
    }

    /// Looks if it is time to, and takes in findings and deadlines.
    fn turn(&mut self, period: Duration, looks: &mut Vec<Instant>) -> Result<(), Unheard> {
        let now = Instant::now();
        let waiting = looks.len();
        looks.retain(|look| *look > now);
        if looks.len() < waiting {
            match sysfs::scan() {
                Ok(sightings) => {
                    let steps = self.roster.seen(now, sightings);
                    self.perform(steps)?;
                }
                Err(error) => tracing::warn!(error = error.chain(), "cameras not enumerated"),
            }
        }
        if looks.is_empty() {
            looks.push(now + period);
        }
        while let Ok((node, ticket, finding)) = self.findings.1.try_recv() {
            let steps = self.roster.probed(now, &node, ticket, finding);
            self.perform(steps)?;
        }
        let steps = self.roster.tick(now);
        self.perform(steps)
    }

    fn perform(&mut self, steps: Vec<Step>) -> Result<(), Unheard> {
        for step in steps {
            match step {
                Step::Tell(event) => self.events.blocking_send(event).map_err(|_| Unheard)?,
                Step::Probe(node, ticket) => self.probe(node, ticket)?,
            }
        }
        Ok(())
    }

    fn probe(&mut self, node: PathBuf, ticket: Ticket) -> Result<(), Unheard> {
        let (findings, signal, probed) = (self.findings.0.clone(), self.signal.clone(), node.clone());
        let done = move |finding| {
            // Nobody listens any more when the monitor has ended.
            if findings.send((probed, ticket, finding)).is_ok() {
                signal.wake();
            }
        };
        let Err(reason) = probe::on_thread(node.clone(), done) else { return Ok(()) };
        let finding = Finding::Failed { reason, settling: false };
        let steps = self.roster.probed(Instant::now(), &node, ticket, finding);
        self.perform(steps)
    }

    /// Sleeps until there is something to do.
    fn wait(&self, socket: Option<&udev::MonitorSocket>, looks: &[Instant]) -> Heard {
        let next = looks.iter().copied().chain(self.roster.next_tick()).min();
        let timeout = next.map(|next| next.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = vec![PollFd::new(&self.signal.wake, PollFlags::IN)];
        fds.extend(socket.map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)));
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, timeout.as_ref());
        let readable = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let mut counter = [0; 8];
        let _ = read(&self.signal.wake, &mut counter);
        match socket {
            Some(socket) if readable => hear(socket),
            _ => Heard::default(),
        }
    }
}

#[derive(Default)]
struct Heard {
    any: bool,
    changed: Vec<PathBuf>,
}

/// Begins to listen to what udev says when it is done with an event.
fn listen() -> Option<udev::MonitorSocket> {
    let socket = udev::MonitorBuilder::new()
        .and_then(|builder| builder.match_subsystem(sysfs::SUBSYSTEM))
        .and_then(udev::MonitorBuilder::listen)
        .inspect_err(|error| tracing::warn!(%error, "udev cannot be listened to"))
        .ok()?;
    // More than the system's limit needs a privilege; without it we get as much as is allowed.
    let _ = set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        .or_else(|_| set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER));
    Some(socket)
}

/// Takes in what the socket holds. It counts as an event also if nothing can be read: then events were lost.
fn hear(socket: &udev::MonitorSocket) -> Heard {
    let mut changed = Vec::new();
    let mut events = socket.iter();
    for event in &mut events {
        tracing::debug!(action = %event.event_type(), device = %event.sysname().to_string_lossy(), "udev");
        if event.event_type() == udev::EventType::Change {
            changed.extend(event.devnode().map(PathBuf::from));
        }
    }
    // The iterator ends alike on "no more" and on an overflow; libudev leaves the difference in errno.
    if Errno::from_io_error(&io::Error::last_os_error()) == Some(Errno::NOBUFS) {
        tracing::warn!("udev told more than could be taken in: looking at all devices again");
    }
    Heard { any: true, changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for any machine; only a hang takes it.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn stopping_wakes_the_thread_and_waits_for_it() {
        let (events, mut told) = tokio::sync::mpsc::channel(1000);
        let monitor = spawn(Settings { reconcile: DEADLINE * 60, ..Settings::default() }, events).unwrap();
        monitor.stop(DEADLINE).unwrap();
        // The thread held the only sender.
        while told.try_recv().is_ok() {}
        assert!(told.is_closed());
    }

    #[test]
    fn dropping_it_ends_the_thread_too() {
        let (events, mut told) = tokio::sync::mpsc::channel(1000);
        drop(spawn(Settings::default(), events).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let end = async { while told.recv().await.is_some() {} };
            tokio::time::timeout(DEADLINE, end).await.unwrap();
        });
    }
}
