//! Cameras: physical devices with a name of their own, `camera0`, that outlives node, port and restart.
//!
//! [`identity`] knows which device is which camera and keeps it in a file; [`registry`] follows the devices as they
//! come and go. Both are pure but for reading and writing that file. What a camera delivers is a path (`path`).

pub mod identity;
pub mod registry;
