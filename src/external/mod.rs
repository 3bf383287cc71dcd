//! Streams of other machines: those that were added, each a path of its own, and looking for more.
//!
//! [`Streams`] are what people added; they are kept in the state directory. [`Discovery`] looks for RTSP servers where the
//! configuration says, and only there. What is found is told, and becomes a path when somebody adds it.
//!
//! Not here: pulling a stream (`pipeline`), trying again (`path`), and how a caller asks (`command`).

mod discovery;
mod file;
mod memory;
mod name;
mod own;
mod probe;
mod scan;
mod streams;

pub use discovery::{Discovery, Report, Wish};
pub use memory::Memory;
pub use own::OwnServer;
pub use probe::{Answer, describe, options};
pub use scan::Found;
use scan::Places;
pub use streams::{Settings, Streams};

use crate::rtsp_url::RtspUrl;

/// A stream of another machine that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalStream {
    /// Where it is. No two have the same.
    pub url: RtspUrl,
    /// The path it is read on here. No two have the same.
    pub name: String,
    /// What it is.
    pub kind: StreamKind,
}

/// What a stream of another machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// Any.
    Generic,
    /// A Skydio drone's.
    Skydio,
}
