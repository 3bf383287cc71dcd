//! The controls of a camera: brightness, exposure and the like, read and set by V4L2's extended control ioctls.
//!
//! `check` judges a request before anything is set, `node` makes the ioctls, `describe` understands the answers.
//! The node is opened for this once more, which V4L2 allows while pictures are taken from it. Every function here
//! blocks for as long as the driver likes: call them on a thread that may be lost ([`on_thread`]).

mod check;
mod describe;
mod node;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    thread,
};

use crate::error::{Error, Kind, Result};
use check::Change;
use node::Node;

/// What a control takes (`V4L2_CTRL_TYPE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// A whole number of 32 bits.
    Integer,
    /// On or off.
    Boolean,
    /// One entry of a list of names; its value is the entry's index.
    Menu,
    /// One entry of a list of numbers; its value is the entry's index.
    IntegerMenu,
    /// Does something when it is set. Has no value.
    Button,
    /// A whole number of 64 bits.
    Integer64,
    /// A text. `min`, `max` and `step` are about its length in bytes.
    Text,
    /// A set of bits; `max` has those that may be set.
    Bitmask,
}

/// What a control is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlValue {
    /// On or off.
    Boolean(bool),
    /// A number, the index of a menu's entry, or bits.
    Integer(i64),
    /// A text. In a request also the name of a menu's entry.
    Text(String),
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => write!(f, "\"{value}\""),
        }
    }
}

/// An entry of a menu that the driver has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MenuItem {
    /// Its index, which is the control's value while it is chosen.
    pub index: u32,
    /// What the driver calls it; of an integer menu the number it stands for.
    pub name: String,
}

/// A control as the driver describes it (`VIDIOC_QUERY_EXT_CTRL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its number, `V4L2_CID_*`.
    pub id: u32,
    /// Its name in the way of `v4l2-ctl`: `white_balance_automatic`. No two controls of a device have the same.
    pub name: String,
    /// What it takes.
    pub kind: ControlKind,
    /// What it is set to; `None` where that cannot be read.
    pub value: Option<ControlValue>,
    /// What the driver sets it to at first; `None` for buttons.
    pub default: Option<ControlValue>,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// The distance of values, counted from `min`.
    pub step: u64,
    /// The entries there are, for the two kinds of menu.
    pub menu: Vec<MenuItem>,
    /// It can never be set.
    pub read_only: bool,
    /// It can never be read.
    pub write_only: bool,
    /// It has no effect now, because of what another control is set to.
    pub inactive: bool,
    /// It cannot be set now, because of what the device does.
    pub grabbed: bool,
    /// The device changes it by itself.
    pub volatile: bool,
}

impl Control {
    /// Whether another control may depend on this one: automatic white balance is on or off, exposure has modes.
    fn switches(&self) -> bool {
        matches!(self.kind, ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu)
    }
}

/// Runs `work` on a thread of its own and gives what comes of it to `done` there.
///
/// Fails only if no thread can be had. A wedged driver keeps the thread for ever: whoever calls this counts them.
pub fn on_thread<T>(
    node: PathBuf,
    work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    done: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<()> {
    let name = node.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let spawned = thread::Builder::new().name(format!("controls-{name}")).spawn(move || done(work(&node)));
    let failed = |error| Error::with_source(Kind::Internal, format!("no thread to ask {name} for its controls"), error);
    spawned.map(drop).map_err(failed)
}

/// All controls of the device, in its own order. One without any gives an empty list.
///
/// Error: the device cannot be opened or asked.
pub fn read(node: &Path) -> Result<Vec<Control>> {
    Node::open(node)?.controls()
}

/// Sets controls, all or none, and reads them back. The keys of `wishes` are names or ids (`9963776`, `0x980900`);
/// those of the result are names. What cannot be read back is `None`.
///
/// Controls that others may depend on are set first, so that one request can turn exposure to manual and set it.
///
/// Error: `InvalidParams` and `InvalidState` name the control and the rule, the latter for one that cannot be set now;
/// else the device failed. In each case what was set already has been put back.
pub fn set(node: &Path, wishes: &BTreeMap<String, ControlValue>) -> Result<BTreeMap<String, Option<ControlValue>>> {
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
    let read_back = |change: &Change| (change.control.name.clone(), node.value(&change.control).ok().flatten());
    Ok(changes.iter().map(read_back).collect())
}

/// Sets every control that can be set to its default, all or none, and reads all controls.
///
/// What is inactive in the end keeps its value: it has no effect. Buttons are not pressed.
///
/// Error: the device failed, or refused a default.
pub fn reset(node: &Path) -> Result<Vec<Control>> {
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
    node.controls()
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
