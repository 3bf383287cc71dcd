//! Hears what anybody changes about the controls of a device (`V4L2_EVENT_CTRL`), on a thread of its own.
//!
//! The kernel keeps one event for each control, the newest. So a slider that somebody drags piles nothing up, and this
//! looks only so often: what it tells is how things are then. One thread listens to one device, for to wait for a device
//! is a call into its driver too, and may take as long as that likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, write},
};
use v4l2r::{
    bindings::{self, v4l2_event},
    ioctl::{DqEventError, EventType, SubscribeEventFlags, dqevent, subscribe_event},
};

use super::{Control, ControlKind, ControlValue, node::Node};
use crate::error::{Error, Kind, Result};

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Events taken in one look: a driver may never say that there are no more.
const MOST_EVENTS: usize = 1024;

/// What is not as it was, by the names of the controls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What they are set to.
    pub values: BTreeMap<String, ControlValue>,
    /// Whether they have no effect.
    pub inactive: BTreeMap<String, bool>,
    /// Whether they cannot be set now.
    pub grabbed: BTreeMap<String, bool>,
}

impl Changes {
    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.inactive.is_empty() && self.grabbed.is_empty()
    }
}

/// A device that is listened to. Dropping it ends that soon, and what happened before is told still.
#[derive(Debug)]
pub struct Listener {
    wake: Arc<OwnedFd>,
    ended: Arc<AtomicBool>,
    ids: BTreeSet<u32>,
}

impl Listener {
    /// Whether changes of this control are told, by whomever they are made.
    pub fn hears(&self, id: u32) -> bool {
        self.ids.contains(&id) && !self.ended.load(Ordering::Acquire)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Fails only if the counter is at its end; then the thread is awake anyway.
        let _ = write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// Begins to listen, until the listener is dropped or the device is gone, and gives what it hears to `heard`, which must
/// not block. `None`: the driver tells of no change.
///
/// Error: the device cannot be opened or asked, or no thread can be had.
pub fn listen(path: &Path, heard: impl Fn(Changes) + Send + 'static) -> Result<Option<Listener>> {
    let node = Node::open(path)?;
    let mut controls = node.described()?;
    controls.retain(|control| node.subscribe(control));
    if controls.is_empty() {
        tracing::debug!(%node, "the driver tells of no change of a control");
        return Ok(None);
    }
    // Only now: what is changed from here on is told.
    node.fill_in(&mut controls)?;
    let failed = |error| Error::with_source(Kind::Internal, format!("{node} is not listened to"), error);
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let wake = Arc::new(wake.map_err(|errno| failed(io::Error::from(errno)))?);
    let ended = Arc::new(AtomicBool::new(false));
    let listener = Listener {
        wake: Arc::clone(&wake),
        ended: Arc::clone(&ended),
        ids: controls.iter().map(|control| control.id).collect(),
    };
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let spawned = thread::Builder::new().name(format!("hears-{name}"));
    let failed = move |error| Error::with_source(Kind::Internal, format!("no thread to listen to {name}"), error);
    let ear = Ear { node, controls, wake, taken: 0, told: 0 };
    let run = move || {
        ear.run(heard);
        ended.store(true, Ordering::Release);
    };
    spawned.spawn(run).map_err(failed)?;
    Ok(Some(listener))
}

impl Node {
    /// Subscribes to the changes of a control. Says whether it is told of them.
    fn subscribe(&self, control: &Control) -> bool {
        let asked = subscribe_event(&self.as_fd(), EventType::Ctrl(control.id), SubscribeEventFlags::empty());
        asked
            .inspect_err(|error| {
                tracing::debug!(node = %self, control = control.name, %error, "changes are not told");
            })
            .is_ok()
    }
}

/// What the thread has.
struct Ear {
    node: Node,
    /// As they were told last.
    controls: Vec<Control>,
    wake: Arc<OwnedFd>,
    /// Events that were taken, and the number the driver gave to the newest of them: the difference was replaced by newer
    /// ones before anybody looked.
    taken: u32,
    told: u32,
}

/// What woke the thread.
#[derive(PartialEq)]
enum Waker {
    Device,
    Listener,
    Nothing,
}

/// The device is gone, or does not work.
struct Gone;

impl Ear {
    fn run(mut self, heard: impl Fn(Changes)) {
        while let Ok(waker) = self.wait() {
            let mut changes = Changes::default();
            let taken = self.take(&mut changes);
            if !changes.is_empty() {
                heard(changes);
            }
            if taken.is_err() || waker == Waker::Listener {
                break;
            }
            self.pause();
        }
        let replaced = self.told.saturating_sub(self.taken);
        tracing::debug!(node = %self.node, taken = self.taken, replaced, "not listened to any more");
    }

    fn wait(&self) -> Result<Waker, Gone> {
        let mut fds = [PollFd::new(&self.wake, PollFlags::IN), PollFd::new(&self.node, PollFlags::PRI)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Waker::Nothing),
            Err(_) => return Err(Gone),
        }
        let [listener, device] = fds.map(|fd| fd.revents());
        if !listener.is_empty() {
            Ok(Waker::Listener)
        } else if device.contains(PollFlags::PRI) {
            Ok(Waker::Device)
        } else {
            // Nothing else was asked for: it is in trouble, and would be at once again.
            Err(Gone)
        }
    }

    /// Lets some time pass, unless the listener is dropped.
    fn pause(&self) {
        let time = Timespec::try_from(PAUSE).ok();
        // An interrupted pause is a short one.
        let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], time.as_ref());
    }

    /// Takes in what happened.
    fn take(&mut self, changes: &mut Changes) -> Result<(), Gone> {
        for _ in 0..MOST_EVENTS {
            let told: Told = match dqevent(&self.node.as_fd()) {
                Ok(told) => told,
                Err(DqEventError::NotReady) => return Ok(()),
                Err(_) => return Err(Gone),
            };
            (self.taken, self.told) = (self.taken.wrapping_add(1), told.sequence);
            let node = &self.node;
            told.apply(&mut self.controls, changes, |text| node.value(text).ok().flatten());
        }
        Ok(())
    }
}

/// An event of the driver's.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    id: u32,
    sequence: u32,
    changes: u32,
    flags: u32,
    narrow: i32,
    wide: i64,
}

impl From<v4l2_event> for Told {
    #[allow(unsafe_code, reason = "the kernel gives it in unions")]
    fn from(event: v4l2_event) -> Self {
        // SAFETY: the event was zeroed before it was asked for, and these are numbers of any value.
        let (ctrl, narrow, wide) = unsafe {
            let ctrl = event.u.ctrl;
            (ctrl, ctrl.__bindgen_anon_1.value, ctrl.__bindgen_anon_1.value64)
        };
        Self { id: event.id, sequence: event.sequence, changes: ctrl.changes, flags: ctrl.flags, narrow, wide }
    }
}

impl Told {
    /// Brings the control up to date, and notes what is not as it was. A text is not in the event: `read` reads it.
    fn apply(
        self,
        controls: &mut [Control],
        changes: &mut Changes,
        read: impl FnOnce(&Control) -> Option<ControlValue>,
    ) {
        let Some(control) = controls.iter_mut().find(|control| control.id == self.id) else { return };
        if self.changes & bindings::V4L2_EVENT_CTRL_CH_VALUE != 0 {
            let value = match control.kind {
                ControlKind::Button => None,
                ControlKind::Text => read(control),
                ControlKind::Boolean => Some(ControlValue::Boolean(self.narrow != 0)),
                ControlKind::Integer64 => Some(ControlValue::Integer(self.wide)),
                // All 32 bits are bits.
                ControlKind::Bitmask => Some(ControlValue::Integer(self.narrow.cast_unsigned().into())),
                _ => Some(ControlValue::Integer(self.narrow.into())),
            };
            if let Some(value) = value.filter(|value| !control.write_only && control.value.as_ref() != Some(value)) {
                changes.values.insert(control.name.clone(), value.clone());
                control.value = Some(value);
            }
        }
        if self.changes & bindings::V4L2_EVENT_CTRL_CH_FLAGS != 0 {
            let has = |flag| self.flags & flag != 0;
            for (state, now, changed) in [
                (&mut control.inactive, has(bindings::V4L2_CTRL_FLAG_INACTIVE), &mut changes.inactive),
                (&mut control.grabbed, has(bindings::V4L2_CTRL_FLAG_GRABBED), &mut changes.grabbed),
            ] {
                if *state != now {
                    *state = now;
                    changed.insert(control.name.clone(), now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::fs;

    use super::*;

    /// Long enough for any machine; only a hang takes it.
    const DEADLINE: Duration = Duration::from_secs(60);
    const VALUE: u32 = bindings::V4L2_EVENT_CTRL_CH_VALUE;
    const FLAGS: u32 = bindings::V4L2_EVENT_CTRL_CH_FLAGS;

    fn control(id: u32, name: &str, kind: ControlKind, value: Option<ControlValue>) -> Control {
        Control {
            id,
            name: name.into(),
            kind,
            value,
            default: None,
            min: 0,
            max: 100,
            step: 1,
            menu: Vec::new(),
            read_only: false,
            write_only: false,
            inactive: false,
            grabbed: false,
            volatile: false,
        }
    }

    fn number(number: i64) -> ControlValue {
        ControlValue::Integer(number)
    }

    #[test]
    fn only_what_is_not_as_it_was_is_told_and_the_latest_of_it() {
        let mut controls = vec![
            control(1, "brightness", ControlKind::Integer, Some(number(5))),
            control(2, "automatic", ControlKind::Boolean, Some(ControlValue::Boolean(true))),
            control(3, "clock", ControlKind::Integer64, Some(number(0))),
            control(4, "bits", ControlKind::Bitmask, Some(number(0))),
            control(5, "label", ControlKind::Text, Some(ControlValue::Text("old".into()))),
            control(6, "press", ControlKind::Button, None),
            Control { write_only: true, ..control(7, "secret", ControlKind::Integer, None) },
        ];
        let mut changes = Changes::default();
        let told = |id, changes, narrow| Told { id, changes, narrow, ..Told::default() };
        for event in [
            told(1, VALUE, 5),
            told(1, VALUE, 6),
            told(1, VALUE, 7),
            // What the event says besides what has changed says nothing.
            Told { flags: bindings::V4L2_CTRL_FLAG_INACTIVE, ..told(1, VALUE, 7) },
            told(2, VALUE, 0),
            Told { wide: i64::MAX, ..told(3, VALUE, -1) },
            told(4, VALUE, i32::MIN),
            told(5, VALUE, 0),
            told(6, VALUE, 1),
            told(7, VALUE, 1),
            told(8, VALUE, 1),
            Told { flags: bindings::V4L2_CTRL_FLAG_GRABBED, ..told(2, FLAGS, 1) },
        ] {
            event.apply(&mut controls, &mut changes, |_| Some(ControlValue::Text("new".into())));
        }
        let values = [
            ("automatic", ControlValue::Boolean(false)),
            ("bits", number(0x8000_0000)),
            ("brightness", number(7)),
            ("clock", number(i64::MAX)),
            ("label", ControlValue::Text("new".into())),
        ];
        let expected = Changes {
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
            inactive: BTreeMap::new(),
            grabbed: [("automatic".to_owned(), true)].into(),
        };
        assert_eq!(changes, expected);

        let mut again = Changes::default();
        told(1, VALUE | FLAGS, 7).apply(&mut controls, &mut again, |_| None);
        told(5, VALUE, 0).apply(&mut controls, &mut again, |_| None);
        assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn a_device_that_tells_of_nothing_is_not_listened_to() {
        assert!(listen(Path::new("/dev/null"), |_| {}).unwrap().is_none());
    }

    /// A pipe on which nothing happens stands for the device.
    #[test]
    fn dropping_the_listener_ends_the_thread() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        fs::mknodat(fs::CWD, &fifo, fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let listener = Listener { wake: Arc::clone(&wake), ended: Arc::default(), ids: [7].into() };
        assert!(listener.hears(7) && !listener.hears(8));
        let ear = Ear { node: Node::open(&fifo).unwrap(), controls: Vec::new(), wake, taken: 0, told: 0 };
        let (alive, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            ear.run(|changes| panic!("{changes:?}"));
            drop(alive);
        });
        assert_eq!(ended.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(listener);
        assert_eq!(ended.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
