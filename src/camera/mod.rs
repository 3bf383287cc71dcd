//! Cameras: physical devices with a name of their own, `camera0`, that outlives node, port and restart.
//!
//! [`identity`] knows which device is which camera and keeps it in a file; [`registry`] follows the devices as they
//! come and go. Both are pure but for reading and writing that file. [`Cameras`] is the one task that feeds them with
//! the kernel's events and gives the paths their sources. It reaches the cameras' controls, hears when others change
//! them, and remembers what they were set to. What a camera delivers is a path (`path`).

mod cameras;
mod controls;
pub mod identity;
mod listening;
pub mod registry;
mod remembered;
mod watch;

pub use cameras::{CameraEvent, CameraStatus, Cameras, Connection, ControlPolicy, Offer, Service, TestPattern};
pub use listening::ControlChange;
pub use remembered::Remembered;
