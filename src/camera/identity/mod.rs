//! Which physical device is which camera.
//!
//! A device is recognised by its USB vendor, product and serial number, wherever it is plugged in; without a serial
//! number by its place (`ID_PATH` and the position among the nodes there) and its model; without a place by its node.
//! A serial number that two present devices show at once is none: from then on those are told apart by place, and
//! that is remembered. A camera without a serial number that moves to another port is a new camera: the wrong
//! picture under a known name is worse than a new name. [`Pin`]s of the configuration go before all of this.
//!
//! The memory is a file (see [`mod@file`]); what is kept there is never dropped because a camera is away.

pub mod file;

use std::collections::BTreeSet;

use crate::{
    device::{Device, Usb},
    error::{Error, Result},
    id::CameraId,
};

/// A camera named by the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Which device is meant.
    pub matcher: Matcher,
    /// The camera it is. Without one the device is recognised as usual, and the entry only carries settings.
    pub id: Option<CameraId>,
    /// The device is no camera of ours.
    pub ignore: bool,
    /// Position of the entry in the configuration.
    pub entry: usize,
}

/// Conditions on a device; all that are given must hold. None at all matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// USB serial number.
    pub serial: Option<String>,
    /// `ID_PATH`, or a link in `/dev/v4l/by-path`.
    pub path: Option<String>,
    /// The device's name.
    pub name: Option<String>,
    /// The node, or any udev link to it.
    pub node: Option<String>,
}

impl Matcher {
    /// Whether the device is meant.
    pub fn matches(&self, device: &Device) -> bool {
        let linked = |wanted: &str| device.links.iter().any(|link| link.as_os_str() == wanted);
        let conditions = [
            self.serial
                .as_deref()
                .map(|serial| device.usb.as_ref().and_then(|usb| usb.serial.as_deref()) == Some(serial)),
            self.path.as_deref().map(|path| device.id_path.as_deref() == Some(path) || linked(path)),
            self.name.as_deref().map(|name| device.name == name),
            self.node.as_deref().map(|node| device.node.as_os_str() == node || linked(node)),
        ];
        let mut given = conditions.into_iter().flatten().peekable();
        given.peek().is_some() && given.all(|holds| holds)
    }
}

/// A serial number that can tell devices apart: many cheap cameras have none, or zeros.
fn usable_serial(usb: Option<&Usb>) -> Option<&str> {
    usb?.serial.as_deref().filter(|serial| serial.chars().any(|c| c != '0' && !c.is_whitespace()))
}

/// What a device shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marks {
    /// Vendor, product, serial number, interface and position: one camera has several nodes, perhaps two of them
    /// cameras. None without a usable serial number.
    pub serial: Option<String>,
    /// Where it is: `ID_PATH`, or the node, and the position among the nodes there.
    pub place: String,
    /// What kind it is: vendor and product, or the name.
    pub model: String,
}

impl Marks {
    /// The marks of a device.
    pub fn of(device: &Device) -> Self {
        let usb = device.usb.as_ref();
        let serial = usable_serial(usb).zip(usb);
        let serial = serial.map(|(serial, usb)| format!("{usb}:{serial}/{}.{}", usb.interface, device.index));
        let place = match &device.id_path {
            Some(path) => format!("{path}#{}", device.index),
            None => device.node.display().to_string(),
        };
        let model = usb.map_or_else(|| device.name.clone(), ToString::to_string);
        Self { serial, place, model }
    }
}

/// A known camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub id: CameraId,
    /// What it showed when it was last here.
    pub marks: Marks,
    /// What it calls itself, for people.
    pub name: String,
    /// The place it had before the present one, in this run of the service.
    before: Option<String>,
}

/// All known cameras. Ids are unique, and no two have the marks of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    known: Vec<Identity>,
    /// Serial marks that two devices showed at once.
    shared: BTreeSet<String>,
}

impl Identities {
    /// The cameras, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.known.iter()
    }

    /// The camera called `id`.
    pub fn get(&self, id: CameraId) -> Option<&Identity> {
        self.known.iter().find(|identity| identity.id == id)
    }

    /// The camera that shows these marks.
    pub fn recognise(&self, marks: &Marks) -> Option<CameraId> {
        self.known.iter().find(|identity| self.same(&identity.marks, marks)).map(|identity| identity.id)
    }

    /// Whether two devices, or a device at two times, are one by what they show.
    pub fn same(&self, one: &Marks, other: &Marks) -> bool {
        match (self.serial(one), self.serial(other)) {
            (None, None) => one == other,
            (one, other) => one == other,
        }
    }

    /// The serial mark, where it tells devices apart.
    fn serial<'a>(&self, marks: &'a Marks) -> Option<&'a str> {
        marks.serial.as_deref().filter(|serial| !self.shared.contains(*serial))
    }

    /// Notes that the camera `id` is the one that shows these marks. Says whether that is news.
    ///
    /// Whoever was called so before, or was these marks, is forgotten: only the configuration can cause that.
    pub fn settle(&mut self, id: CameraId, marks: &Marks, name: &str) -> bool {
        let old = self.known.iter().find(|identity| identity.id == id && self.same(&identity.marks, marks));
        let same_place = old.filter(|identity| identity.marks.place == marks.place);
        if same_place.is_some_and(|identity| identity.marks == *marks && identity.name == name) {
            return false;
        }
        let before = match (same_place, old) {
            (Some(identity), _) => identity.before.clone(),
            (None, Some(identity)) => Some(identity.marks.place.clone()),
            (None, None) => None,
        };
        let forgotten = |identity: &Identity| identity.id == id || self.same(&identity.marks, marks);
        let mut known: Vec<_> = self.known.iter().filter(|identity| !forgotten(identity)).cloned().collect();
        known.push(Identity { id, marks: marks.clone(), name: name.to_owned(), before });
        known.sort_by_key(|identity| identity.id);
        self.known = known;
        true
    }

    /// Notes that several devices show one serial mark, and where they are. Says whether that is news.
    ///
    /// From now on the camera that had it is the one at its place. If it took that place just now and another of the
    /// devices is where it used to be, it is that one.
    pub fn share(&mut self, serial: &str, places: &[&str]) -> bool {
        if !self.shared.insert(serial.to_owned()) {
            return false;
        }
        for identity in self.known.iter_mut().filter(|identity| identity.marks.serial.as_deref() == Some(serial)) {
            if let Some(before) = identity.before.take_if(|before| places.contains(&before.as_str())) {
                identity.marks.place = before;
            }
        }
        true
    }

    /// The first id that neither a known camera has nor `taken` holds.
    ///
    /// Fails when all 65536 are used up.
    pub fn free_id(&self, taken: &BTreeSet<CameraId>) -> Result<CameraId> {
        let free = |id: &CameraId| self.get(*id).is_none() && !taken.contains(id);
        (0..=u16::MAX).map(CameraId).find(free).ok_or_else(|| Error::internal("no camera name is left"))
    }
}

#[cfg(test)]
mod tests;
