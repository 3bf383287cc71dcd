//! The names things go by: cameras and pipeline runs.

use std::{fmt, str::FromStr};

use crate::error::Error;

/// The name of the test pattern, which is offered like a camera.
pub const TEST_PATTERN: &str = "test";

/// A physical camera, as clients name it: `camera0`, `camera1`, …
///
/// The number belongs to the device itself, not to the order of plugging or to `/dev/videoN`; `camera::identity`
/// keeps the two together. The name is also the camera's path on RTSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CameraId(pub u16);

impl CameraId {
    /// How many there can be.
    pub const COUNT: u32 = u16::MAX as u32 + 1;
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "camera{}", self.0)
    }
}

impl FromStr for CameraId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.strip_prefix("camera")
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|digits| digits.len() == 1 || !digits.starts_with('0'))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| Error::invalid_param("device", "is not a camera's name", "write camera0, camera1, …"))
    }
}

/// One attempt to run a path's pipeline. Events of an older run are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    /// The run after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camera_names_have_one_spelling() {
        assert_eq!("camera12".parse::<CameraId>().unwrap(), CameraId(12));
        for text in ["", "camera", "camera01", "camera-1", "camera+1", "Camera0", "camera99999"] {
            assert!(text.parse::<CameraId>().is_err(), "{text}");
        }
    }
}
