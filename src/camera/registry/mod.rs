//! Which camera is which present device, as devices come and go. Pure.
//!
//! After every event the whole assignment is made anew from what is present, what is known ([`Identities`]) and what
//! the configuration says ([`Pin`]), in `assign`; the difference to the assignment before is what is told. So the
//! outcome does not depend on the order of events, save for the numbers of cameras never seen before. A device that
//! cannot be told apart from another is not attached: the wrong camera is worse than none.

mod assign;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::identity::{Identities, Marks, Pin};
use crate::{
    device::{Capture, Device, DeviceEvent},
    error::{Error, Result},
    id::CameraId,
};
use assign::{Marked, Provisional};

/// Something the listener has to know or do. What is detached comes before what is attached.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "changes are few and soon consumed")]
pub enum Change {
    /// The camera has a device that works. An attached camera is attached again only after it was detached.
    Attached {
        /// The camera.
        id: CameraId,
        /// The device.
        device: Device,
        /// What it offers.
        capture: Capture,
        /// The configuration entry for it ([`Pin::entry`]).
        pin: Option<usize>,
    },
    /// The camera has no device any more, or not this one, or one in trouble, which is told next.
    Detached {
        /// The camera.
        id: CameraId,
    },
    /// The camera has a device that cannot be used, or several that cannot be told apart.
    Troubled {
        /// The camera.
        id: CameraId,
        /// Why, and what to do.
        reason: Error,
    },
    /// The identities are to be saved.
    IdentitiesChanged,
}

/// How a camera is.
#[derive(Clone, Debug)]
pub enum CameraState {
    /// It has a device that works.
    Attached {
        /// The configuration entry for it ([`Pin::entry`]).
        pin: Option<usize>,
    },
    /// Its device cannot be used.
    Troubled(Error),
    /// It is known and not here.
    Absent,
}

/// A camera that is known.
#[derive(Clone, Debug)]
pub struct CameraRecord {
    /// Its name.
    pub id: CameraId,
    /// How it is.
    pub state: CameraState,
    /// What it calls itself.
    pub name: String,
    /// The device it is, or was last in this run of the service.
    pub device: Option<Device>,
    /// What it offers, or offered last in this run of the service.
    pub capture: Option<Capture>,
}

/// The cameras.
pub struct Registry {
    identities: Identities,
    pins: Vec<Pin>,
    /// Devices that were told and are not gone.
    present: BTreeMap<PathBuf, Marked>,
    /// Ids of devices that are shown as trouble and were never usable; they are not kept on disk.
    provisional: Provisional,
    assigned: BTreeMap<CameraId, Assigned>,
    last: BTreeMap<CameraId, Last>,
}

/// What a camera has.
#[derive(Clone, Debug)]
enum Assigned {
    Works { device: Device, capture: Capture, pin: Option<usize> },
    Trouble { device: Device, reason: Error },
}

/// What a camera had last.
struct Last {
    device: Device,
    capture: Option<Capture>,
}

impl Registry {
    /// No device is present yet. Of several pins that match a device the first counts.
    pub fn new(identities: Identities, pins: Vec<Pin>) -> Self {
        let (present, provisional, assigned, last) = Default::default();
        Self { identities, pins, present, provisional, assigned, last }
    }

    /// What is to be saved after [`Change::IdentitiesChanged`].
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Goes by other entries of the configuration from now on.
    pub fn set_pins(&mut self, pins: Vec<Pin>) -> Vec<Change> {
        self.pins = pins;
        self.assign()
    }

    /// The configuration entry for the device that a camera has, or had last ([`Pin::entry`]).
    pub fn pin(&self, id: CameraId) -> Option<usize> {
        let device = &self.last.get(&id)?.device;
        self.pins.iter().find(|pin| pin.matcher.matches(device)).map(|pin| pin.entry)
    }

    /// Takes in an event. Nothing comes of one that says what is known already.
    pub fn step(&mut self, event: DeviceEvent) -> Vec<Change> {
        match event {
            DeviceEvent::Ready { device, capture } => {
                self.present.insert(device.node.clone(), Marked::new(device, Ok(capture)));
            }
            DeviceEvent::Unusable { device, reason } => {
                self.present.insert(device.node.clone(), Marked::new(device, Err(reason)));
            }
            DeviceEvent::Gone { node } => {
                if self.present.remove(&node).is_none() {
                    return Vec::new();
                }
            }
        }
        self.assign()
    }

    fn assign(&mut self) -> Vec<Change> {
        let before = self.identities.clone();
        let assigned = assign::assign(&self.present, &mut self.identities, &self.pins, &mut self.provisional);
        let mut changes = self.replace(assigned);
        if self.identities != before {
            changes.push(Change::IdentitiesChanged);
        }
        changes
    }

    /// Puts the new assignment in the place of the old one and tells the difference.
    fn replace(&mut self, assigned: BTreeMap<CameraId, Assigned>) -> Vec<Change> {
        let mut changes = Vec::new();
        let before = std::mem::replace(&mut self.assigned, assigned);
        for (id, old) in &before {
            let goes_on = self.assigned.get(id).is_some_and(|new| match (old, new) {
                (Assigned::Trouble { .. }, _) => true,
                (old, new) => old.is_as(new),
            });
            if !goes_on {
                changes.push(Change::Detached { id: *id });
            }
        }
        for (id, new) in &self.assigned {
            let capture = match new {
                Assigned::Works { capture, .. } => Some(capture.clone()),
                Assigned::Trouble { device, .. } => {
                    let same = |last: &Last| Marks::of(&last.device) == Marks::of(device);
                    self.last.remove(id).filter(same).and_then(|last| last.capture)
                }
            };
            self.last.insert(*id, Last { device: new.device().clone(), capture });
            if !before.get(id).is_some_and(|old| old.is_as(new)) {
                changes.push(new.told(*id));
            }
        }
        // Trouble that is over, of a device that was never recognised, leaves no camera behind.
        self.last.retain(|id, _| self.assigned.contains_key(id) || self.identities.get(*id).is_some());
        changes
    }

    /// All cameras that are known, ordered by id.
    pub fn list(&self) -> Vec<CameraRecord> {
        let mut ids: Vec<_> = self.identities.iter().map(|identity| identity.id).collect();
        ids.extend(self.assigned.keys());
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| self.record(id)).collect()
    }

    fn record(&self, id: CameraId) -> CameraRecord {
        let state = match self.assigned.get(&id) {
            Some(Assigned::Works { pin, .. }) => CameraState::Attached { pin: *pin },
            Some(Assigned::Trouble { reason, .. }) => CameraState::Troubled(reason.clone()),
            None => CameraState::Absent,
        };
        let last = self.last.get(&id);
        let name = last.map(|last| last.device.name.clone()).or_else(|| Some(self.identities.get(id)?.name.clone()));
        CameraRecord {
            id,
            state,
            name: name.unwrap_or_default(),
            device: last.map(|last| last.device.clone()),
            capture: last.and_then(|last| last.capture.clone()),
        }
    }

    /// The camera called `name`: its id, or the node of its device or a udev link to it. A camera that is away is
    /// found by what it had last, if no present one has it now.
    ///
    /// Fails with `NotFound`, also for a name that none of these could be.
    pub fn find(&self, name: &str) -> Result<CameraId> {
        let unknown = || Error::not_found("camera", name);
        if let Ok(id) = name.parse::<CameraId>() {
            let known = self.identities.get(id).is_some() || self.assigned.contains_key(&id);
            return if known { Ok(id) } else { Err(unknown()) };
        }
        let path = Path::new(name);
        let has = |device: &Device| device.node == path || device.links.iter().any(|link| link == path);
        if let Some((id, _)) = self.assigned.iter().find(|(_, assigned)| has(assigned.device())) {
            return Ok(*id);
        }
        let mut away = self.last.iter().filter(|(id, last)| !self.assigned.contains_key(id) && has(&last.device));
        match (away.next(), away.next()) {
            (Some((id, _)), None) => Ok(*id),
            _ => Err(unknown()),
        }
    }
}

impl Assigned {
    fn device(&self) -> &Device {
        match self {
            Self::Works { device, .. } | Self::Trouble { device, .. } => device,
        }
    }

    /// Whether the listener need not hear of the difference. Links and names may change while a camera runs, and so may the
    /// configuration entry for it.
    fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Works { device, capture, .. }, Self::Works { device: d, capture: c, .. }) => {
                device.node == d.node && device.id_path == d.id_path && device.usb == d.usb && capture == c
            }
            (Self::Trouble { reason, .. }, Self::Trouble { reason: r, .. }) => reason.message() == r.message(),
            _ => false,
        }
    }

    fn told(&self, id: CameraId) -> Change {
        match self.clone() {
            Self::Works { device, capture, pin } => Change::Attached { id, device, capture, pin },
            Self::Trouble { reason, .. } => Change::Troubled { id, reason },
        }
    }
}

#[cfg(test)]
mod tests;
