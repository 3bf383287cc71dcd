//! What is known about every node: whether it is being probed, what came out, what was told. Pure: time and findings
//! are given to it, and it says what to do ([`Step`]).
//!
//! The truth about presence is the last look at sysfs ([`Roster::seen`]); events only say when to look. A node is
//! the same device for as long as its [`Instance`](super::sysfs::Instance) is. At most one probe of a node is out at any time, also across
//! replugging, so a driver that never answers costs one thread.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Capture, Device, DeviceEvent, probe::Finding, sysfs::Sighting};
use crate::error::Error;

/// When a device that could not be used is tried again, in milliseconds after each failure; the last one repeats.
/// The first are close, for udev sets permissions some moments after a node appears.
const RETRIES: [u64; 10] = [100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];
/// Failures that are usual around plugging are told when they have happened this often in a row.
const SETTLED: usize = 5;

/// Something for the monitor to do.
#[derive(Debug)]
pub enum Step {
    /// Tell the listener.
    Tell(DeviceEvent),
    /// Probe the node and report the finding with this ticket.
    Probe(PathBuf, Ticket),
}

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// All nodes.
pub struct Roster {
    patience: Duration,
    nodes: BTreeMap<PathBuf, Node>,
    /// Probes that have not come back, also of devices that are gone.
    out: BTreeMap<PathBuf, Ticket>,
    tickets: u64,
}

struct Node {
    sighting: Sighting,
    state: State,
    told: Told,
    failures: usize,
}

enum State {
    /// Nothing to do.
    Settled,
    /// Waits for a finding; after `until` it is told that there is none.
    Probing { ticket: Ticket, until: Option<Instant> },
    /// Waits for the probe of an earlier device on this node to come back.
    Blocked,
    /// Is tried again.
    Again { at: Instant },
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    Ready(Capture),
    Unusable(String),
}

impl Roster {
    /// `patience`: how long a driver may take to answer.
    pub fn new(patience: Duration) -> Self {
        Self { patience, nodes: BTreeMap::new(), out: BTreeMap::new(), tickets: 0 }
    }

    /// All nodes that are there now.
    pub fn seen(&mut self, now: Instant, sightings: Vec<Sighting>) -> Vec<Step> {
        let mut steps = Vec::new();
        let same = |node: &Path, known: &Node| {
            let sighting = sightings.iter().find(|sighting| sighting.device.node == node);
            sighting.is_some_and(|sighting| sighting.instance == known.sighting.instance)
        };
        self.nodes.retain(|node, known| {
            let same = same(node, known);
            if !same && known.told != Told::Nothing {
                steps.push(Step::Tell(DeviceEvent::Gone { node: node.clone() }));
            }
            same
        });
        for sighting in sightings {
            let node = sighting.device.node.clone();
            match self.nodes.get_mut(&node) {
                None => {
                    let known = Node { sighting, state: State::Settled, told: Told::Nothing, failures: 0 };
                    self.nodes.insert(node.clone(), known);
                    steps.extend(self.probe(now, &node));
                }
                Some(known) => {
                    let sighting = sighting.of_the_same_as(&known.sighting);
                    if known.sighting == sighting {
                        continue;
                    }
                    known.sighting = sighting;
                    if let Told::Ready(capture) = &known.told {
                        let (device, capture) = (known.sighting.device.clone(), capture.clone());
                        steps.push(Step::Tell(DeviceEvent::Ready { device, capture }));
                    }
                }
            }
        }
        steps
    }

    /// udev said that something about the node changed: permissions, or what it can do.
    pub fn changed(&mut self, now: Instant, node: &Path) -> Vec<Step> {
        match self.nodes.get_mut(node) {
            Some(known) if matches!(known.state, State::Settled | State::Again { .. }) => {
                known.failures = 0;
                self.probe(now, node)
            }
            _ => Vec::new(),
        }
    }

    /// A probe came back. One of a device that is not there any more says nothing about the one that is.
    pub fn probed(&mut self, now: Instant, node: &Path, ticket: Ticket, finding: Finding) -> Vec<Step> {
        if self.out.get(node) == Some(&ticket) {
            self.out.remove(node);
        }
        let Some(known) = self.nodes.get_mut(node) else { return Vec::new() };
        match known.state {
            State::Probing { ticket: current, .. } if current == ticket => known.found(now, finding),
            State::Blocked => self.probe(now, node),
            _ => Vec::new(),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut again = Vec::new();
        for (node, known) in &mut self.nodes {
            match &mut known.state {
                State::Probing { until, .. } if until.is_some_and(|until| until <= now) => {
                    *until = None;
                    steps.extend(known.trouble(silent(node, self.patience)));
                }
                State::Again { at } if *at <= now => again.push(node.clone()),
                _ => {}
            }
        }
        for node in again {
            steps.extend(self.probe(now, &node));
        }
        steps
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_tick(&self) -> Option<Instant> {
        let due = |known: &Node| match known.state {
            State::Probing { until, .. } => until,
            State::Again { at } => Some(at),
            State::Settled | State::Blocked => None,
        };
        self.nodes.values().filter_map(due).min()
    }

    fn probe(&mut self, now: Instant, node: &Path) -> Vec<Step> {
        let Some(known) = self.nodes.get_mut(node) else { return Vec::new() };
        if self.out.contains_key(node) {
            known.state = State::Blocked;
            return known.trouble(silent(node, self.patience)).into_iter().collect();
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.out.insert(node.to_owned(), ticket);
        known.state = State::Probing { ticket, until: Some(now + self.patience) };
        vec![Step::Probe(node.to_owned(), ticket)]
    }
}

impl Node {
    fn found(&mut self, now: Instant, finding: Finding) -> Vec<Step> {
        let device = self.sighting.device.clone();
        tracing::debug!(node = %device.node.display(), %finding, "probed");
        self.state = State::Settled;
        match finding {
            Finding::Camera(capture) => {
                self.failures = 0;
                let told = Told::Ready(capture.clone());
                if self.told == told {
                    return Vec::new();
                }
                self.told = told;
                vec![Step::Tell(DeviceEvent::Ready { device, capture })]
            }
            Finding::Other(_) => self.nothing(device),
            // Most likely a metadata node that may not be opened either.
            Finding::Failed { .. } if self.sighting.captures == Some(false) => self.nothing(device),
            // It is in use, by us: some drivers let it be opened once only.
            Finding::Failed { .. } if matches!(self.told, Told::Ready(_)) => Vec::new(),
            Finding::Failed { reason, settling } => {
                let delay = RETRIES[self.failures.min(RETRIES.len() - 1)];
                self.failures += 1;
                self.state = State::Again { at: now + Duration::from_millis(delay) };
                let early = settling && self.failures < SETTLED && self.told == Told::Nothing;
                if early { Vec::new() } else { self.trouble(reason).into_iter().collect() }
            }
        }
    }

    /// It is no camera, perhaps not any more.
    fn nothing(&mut self, device: Device) -> Vec<Step> {
        match std::mem::replace(&mut self.told, Told::Nothing) {
            Told::Nothing => Vec::new(),
            _ => vec![Step::Tell(DeviceEvent::Gone { node: device.node })],
        }
    }

    fn trouble(&mut self, reason: Error) -> Option<Step> {
        let told = Told::Unusable(reason.message().to_owned());
        if self.told == told || matches!(self.told, Told::Ready(_)) || self.sighting.captures == Some(false) {
            return None;
        }
        self.told = told;
        Some(Step::Tell(DeviceEvent::Unusable { device: self.sighting.device.clone(), reason }))
    }
}

fn silent(node: &Path, patience: Duration) -> Error {
    let message = format!(
        "{}: the driver does not answer within {patience:?}; it is not asked again until it does: replug the camera, \
         or restart the machine",
        node.display()
    );
    Error::dependency("device", message)
}

#[cfg(test)]
mod tests;
