//! The configuration model of MediaMTX, which its control API shows and changes: keys, values, paths, rules.
//!
//! Pure: text goes in, text and values come out. One table of keys (`global` and `path`) drives decoding, defaults
//! and rendering. Names, defaults, texts of errors and the order of keys are MediaMTX's (v1.20), because its clients read
//! them. What a key does here is not decided here (`command::v3`); `docs/mediamtx.md` says which do something.

mod conf;
mod decode;
mod duration;
mod env;
mod file;
mod global;
mod key;
mod name;
mod path;
mod set;
mod size;
#[cfg(test)]
mod tests;
mod users;
#[cfg(test)]
mod users_tests;
mod validate;
mod validate_path;
mod value;

pub use conf::{Conf, Found, Refused};
pub use duration::Nanos;
pub use env::{Environment, says_something, variable};
pub use file::said;
pub use name::check_path;
pub use set::Set;
pub use users::{Action, Asking, DigestProof, Users, permissions, permit};
pub use validate_path::ONLY_PUBLISHERS;
pub use value::Value;

/// The keys of a path, for those who give some.
pub fn path_keys() -> Set {
    Set::new(path::KEYS)
}

/// What `alwaysAvailableTracks` says of a stream of H.264 alone.
pub fn h264_track() -> Set {
    Set::defaults(path::TRACK).with("codec", Value::Text("H264".into()))
}

/// The global keys, likewise.
pub fn global_keys() -> Set {
    Set::new(global::KEYS)
}
