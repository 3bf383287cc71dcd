//! Cameras: physical devices with a name of their own, `camera0`, that outlives node, port and restart.
//!
//! [`identity`] knows which device is which camera and keeps it in a file; [`registry`] follows the devices as they
//! come and go. Both are pure but for reading and writing that file. [`Cameras`] is the one task that feeds them with
//! the kernel's events and gives the paths their sources. What a camera delivers is a path (`path`).

mod cameras;
mod controls;
pub mod identity;
pub mod registry;
mod watch;

pub use cameras::{CameraEvent, CameraStatus, Cameras, Connection, Offer, Service, TestPattern};
