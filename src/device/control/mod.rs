//! The controls of a camera: brightness, exposure and the like, read and set by V4L2's extended control ioctls.
//!
//! `check` judges a request before anything is set, `setting` carries it out or undoes it, `listen` hears what others
//! change, `node` makes the ioctls, `describe` understands the answers. The node is opened for this once more, which
//! V4L2 allows while pictures are taken from it. Every function here blocks for as long as the driver likes: call them
//! on a thread that may be lost ([`on_thread`]).

mod check;
mod describe;
mod listen;
mod node;
mod setting;

use std::{
    fmt,
    path::{Path, PathBuf},
    thread,
};

pub use listen::{Changes, Listener, listen};
pub use setting::{Kept, Restored, WasSet, reset, restore, set};

use crate::error::{Error, Kind, Result};
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
