//! Who is who, from what is present, known and configured. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::Assigned;
use crate::{
    camera::identity::{Identities, Marks, Pin},
    device::{Capture, Device},
    error::{Error, Result},
    id::CameraId,
};

/// A present device, what it shows of itself, and what came of probing it.
pub struct Marked {
    pub device: Device,
    marks: Marks,
    capture: Result<Capture>,
}

impl Marked {
    pub fn new(device: Device, capture: Result<Capture>) -> Self {
        Self { marks: Marks::of(&device), device, capture }
    }
}

/// Ids of devices that are shown without being known.
pub type Provisional = BTreeMap<Marks, CameraId>;

/// Devices that would be one camera, and the configuration entries they match.
type Claims<'a> = Vec<(&'a Marked, Option<&'a Pin>)>;

/// Gives every present device that is not ignored an id, at most one device to an id, and notes in `identities` who
/// was recognised.
pub fn assign(
    present: &BTreeMap<PathBuf, Marked>,
    identities: &mut Identities,
    pins: &[Pin],
    provisional: &mut Provisional,
) -> BTreeMap<CameraId, Assigned> {
    note_shared_serials(present, identities);
    provisional.retain(|marks, _| present.values().any(|device| device.marks == *marks));
    let reserved: BTreeSet<CameraId> = pins.iter().filter(|pin| !pin.ignore).filter_map(|pin| pin.id).collect();
    let mut assigned = BTreeMap::new();

    let mut pinned: BTreeMap<CameraId, Claims> = BTreeMap::new();
    let mut free = Vec::new();
    for marked in present.values() {
        match pins.iter().find(|pin| pin.matcher.matches(&marked.device)) {
            Some(pin) if pin.ignore => {}
            Some(pin) => match pin.id {
                Some(id) => pinned.entry(id).or_default().push((marked, Some(pin))),
                None => free.push((marked, Some(pin))),
            },
            None => free.push((marked, None)),
        }
    }
    for (id, claims) in pinned {
        let ambiguous = "the configuration's entry matches all of them: give its match a path or a serial";
        assigned.insert(id, settle(id, &claims, ambiguous, identities));
    }

    // Devices that show the same marks cannot be told apart, so they come together here.
    let mut alike: BTreeMap<&Marks, Claims> = BTreeMap::new();
    for (marked, pin) in free {
        alike.entry(&marked.marks).or_default().push((marked, pin));
    }
    let mut unknown = Vec::new();
    for (marks, claims) in alike {
        match identities.recognise(marks).filter(|id| !reserved.contains(id)) {
            Some(id) => {
                let ambiguous = "they show the same serial number and place";
                assigned.insert(id, settle(id, &claims, ambiguous, identities));
            }
            None => unknown.push((marks, claims)),
        }
    }
    // After the known ones, so that a new camera gets a number nobody has.
    for (marks, claims) in unknown {
        let taken: BTreeSet<_> = reserved.iter().chain(assigned.keys()).chain(provisional.values()).copied().collect();
        let id = match provisional.get(marks) {
            Some(id) => *id,
            None => match identities.free_id(&taken) {
                Ok(id) => id,
                Err(error) => {
                    tracing::error!(place = marks.place, %error, "a camera is left out");
                    continue;
                }
            },
        };
        let outcome = settle(id, &claims, "they show the same serial number and place", identities);
        match outcome {
            Assigned::Works { .. } => drop(provisional.remove(marks)),
            Assigned::Trouble { .. } => drop(provisional.insert(marks.clone(), id)),
        }
        assigned.insert(id, outcome);
    }
    assigned
}

/// A serial number that two devices show tells nobody apart.
fn note_shared_serials(present: &BTreeMap<PathBuf, Marked>, identities: &mut Identities) {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for marked in present.values() {
        if let Some(serial) = &marked.marks.serial {
            places.entry(serial).or_default().push(&marked.marks.place);
        }
    }
    for (serial, places) in places.iter().filter(|(_, places)| places.len() > 1) {
        if identities.share(serial, places) {
            tracing::warn!(serial, ?places, "several cameras have one serial number: they are told apart by port");
        }
    }
}

/// The one device becomes the camera; several become trouble.
fn settle(id: CameraId, claims: &Claims, ambiguous: &str, identities: &mut Identities) -> Assigned {
    match claims[..] {
        [(marked, pin)] => match &marked.capture {
            Ok(capture) => {
                if identities.settle(id, &marked.marks, &marked.device.name) {
                    tracing::info!(camera = %id, place = marked.marks.place, name = marked.device.name, "recognised");
                }
                let (device, capture, pin) = (marked.device.clone(), capture.clone(), pin.map(|pin| pin.entry));
                Assigned::Works { device, capture, pin }
            }
            Err(reason) => Assigned::Trouble { device: marked.device.clone(), reason: reason.clone() },
        },
        _ => trouble(claims, format!("ambiguous: {} could be {id}, and {ambiguous}", nodes(claims))),
    }
}

fn trouble(claims: &Claims, message: String) -> Assigned {
    let device = claims[0].0.device.clone();
    Assigned::Trouble { device, reason: Error::dependency("device", message) }
}

fn nodes(claims: &Claims) -> String {
    let nodes: Vec<_> = claims.iter().map(|(marked, _)| marked.device.node.display().to_string()).collect();
    nodes.join(" and ")
}
