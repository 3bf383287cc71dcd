//! Setting controls: all or none on request, what can be set where they are restored.

use std::{collections::BTreeMap, path::Path};

use super::{
    Control, ControlKind, ControlValue,
    check::{self, Change},
    node::Node,
};
use crate::error::{Error, Result};

/// A control that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasSet {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: ControlKind,
    /// What it was set to before, where that can be read.
    pub before: Option<ControlValue>,
    /// What it was to be set to.
    pub wanted: ControlValue,
    /// What it says it is set to: the device may have rounded. `None` where that cannot be read.
    pub now: Option<ControlValue>,
}

impl WasSet {
    fn new(Change { control, value }: Change, now: Option<ControlValue>) -> Self {
        Self { id: control.id, name: control.name, kind: control.kind, before: control.value, wanted: value, now }
    }

    /// Whether it says something else than before.
    pub fn differs(&self) -> bool {
        self.now.is_some() && self.now != self.before
    }
}

/// A value that a control is to have again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What it had.
    Value(ControlValue),
    /// As a person has written it. What it means depends on the control.
    Written(String),
}

/// What came of [`restore`].
#[derive(Debug, Default)]
pub struct Restored {
    /// What was set.
    pub set: Vec<WasSet>,
    /// The keys of what was left out, and why.
    pub refused: Vec<(String, Error)>,
}

/// Sets controls, all or none, and reads them back. The keys of `wishes` are names or ids (`9963776`, `0x980900`).
///
/// Controls that others may depend on are set first, so that one request can turn exposure to manual and set it.
///
/// Error: `InvalidParams` and `InvalidState` name the control and the rule, the latter for one that cannot be set now;
/// else the device failed. In each case what was set already has been put back.
pub fn set(node: &Path, wishes: &BTreeMap<String, ControlValue>) -> Result<Vec<WasSet>> {
    let node = Node::open(node)?;
    let before = node.controls()?;
    let changes = check::check(&before, wishes)?;
    let now: Vec<_> = changes.iter().filter(|change| !change.control.inactive).cloned().collect();
    node.test(&now)?;
    let (first, rest) =
        changes.iter().cloned().partition(|change| change.control.switches() && !change.control.inactive);
    let mut setting = Setting::new(&node, before);
    setting.round(first)?;
    setting.round(rest)?;
    Ok(changes.into_iter().map(|change| node.read_back(change)).collect())
}

/// Sets every control that can be set to its default, all or none, and reads all controls. Gives them, and those whose
/// value is another one now.
///
/// What is inactive in the end keeps its value: it has no effect. Buttons are not pressed.
///
/// Error: the device failed, or refused a default.
pub fn reset(node: &Path) -> Result<(Vec<Control>, Vec<WasSet>)> {
    let node = Node::open(node)?;
    let mut setting = Setting::new(&node, node.controls()?);
    // What is active now first, for a switch that goes back to automatic makes it inactive; and again what the
    // switches have made active.
    for round in [Round::Dependent, Round::Switches, Round::Dependent] {
        let due = check::to_default(&node.controls()?, |control| {
            control.switches() == (round == Round::Switches) && !setting.touched(control.id)
        });
        setting.round(due)?;
    }
    let now = node.controls()?;
    let changed = now.iter().filter_map(|control| {
        let before = setting.before.iter().find(|before| before.id == control.id)?.clone();
        let was_set = WasSet::new(Change { value: control.value.clone()?, control: before }, control.value.clone());
        was_set.differs().then_some(was_set)
    });
    let changed = changed.collect();
    Ok((now, changed))
}

/// Sets what can be set of `values`, whose keys are names or ids, and leaves out what cannot. What has its value
/// already is not touched. Those that others may depend on are set first.
///
/// Error: the device cannot be opened or asked.
pub fn restore(node: &Path, values: &BTreeMap<String, Kept>) -> Result<Restored> {
    let node = Node::open(node)?;
    let before = node.controls()?;
    let mut restored = Restored::default();
    let mut changes = Vec::new();
    for (name, kept) in values {
        match check::again(&before, name, kept) {
            Ok(change) => changes.push((name, change)),
            Err(error) => restored.refused.push((name.clone(), error)),
        }
    }
    changes.sort_by_key(|(_, change)| !change.control.switches());
    for (name, mut change) in changes {
        // A switch that was set just now may have changed it.
        change.control.value = node.value(&change.control)?;
        if change.control.value.as_ref() == Some(&change.value) {
            continue;
        }
        let one = std::slice::from_ref(&change);
        match node.still_settable(one).and_then(|()| node.set(one)) {
            Ok(()) => restored.set.push(node.read_back(change)),
            Err(error) => restored.refused.push((name.clone(), error)),
        }
    }
    Ok(restored)
}

impl Node {
    /// What a control that was set says now.
    fn read_back(&self, change: Change) -> WasSet {
        let now = self.value(&change.control).ok().flatten();
        WasSet::new(change, now)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Round {
    Switches,
    Dependent,
}

/// Changes under way, and how to undo them.
struct Setting<'a> {
    node: &'a Node,
    /// All controls as they were before.
    before: Vec<Control>,
    /// What was changed; the latest last.
    done: Vec<u32>,
}

impl<'a> Setting<'a> {
    fn new(node: &'a Node, before: Vec<Control>) -> Self {
        Self { node, before, done: Vec::new() }
    }

    fn touched(&self, id: u32) -> bool {
        self.done.contains(&id)
    }

    /// Makes these changes, or undoes everything.
    fn round(&mut self, changes: Vec<Change>) -> Result<()> {
        let made = self.node.still_settable(&changes).and_then(|()| {
            // From here on some may be set and others not.
            self.done.extend(changes.iter().map(|change| change.control.id));
            self.node.set(&changes)
        });
        made.inspect_err(|error| {
            tracing::info!(node = %self.node, %error, "controls were not set");
            self.undo();
        })
    }

    /// Puts the old values back.
    fn undo(&self) {
        // The latest first: a dependent control while what it depends on still lets it be set.
        for id in self.done.iter().rev() {
            self.put_back(self.before.iter().filter(|control| control.id == *id));
        }
        // Drivers change dependent controls when a switch is set: one that leaves automatic gain takes over the gain of
        // that moment.
        match self.node.controls() {
            Ok(now) => self.put_back(check::changed_since(&self.before, &now).into_iter()),
            Err(error) => tracing::warn!(node = %self.node, %error, "controls may not be as they were"),
        }
    }

    fn put_back<'b>(&self, controls: impl Iterator<Item = &'b Control>) {
        for control in controls {
            let Some(value) = control.value.clone() else { continue };
            let back = Change { control: control.clone(), value };
            if let Err(error) = self.node.set(std::slice::from_ref(&back)) {
                tracing::warn!(node = %self.node, control = control.name, %error, "a control was not put back");
            }
        }
    }
}
