//! What an external stream may be called: a path of RTSP that is also part of a file's name.

use crate::{
    error::{Error, Result},
    id::{CameraId, TEST_PATTERN},
};

/// Characters of a name at most; that many of it stand in the names of its files.
const LONGEST: usize = 64;

/// Checks a name. Error: it has other characters than letters, digits and `-_.~`, begins with a dot or a dash, is too
/// long, or is (or looks like) that of a camera or of the test pattern.
pub(super) fn check(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let rule = match name {
        "" => "is empty".into(),
        _ if name.len() > LONGEST => format!("is longer than {LONGEST} characters"),
        _ if !name.chars().all(is_plain) => "has another character than letters, digits and - _ . ~".into(),
        _ if name.starts_with(['.', '-']) => "begins with a dot or a dash".into(),
        _ if name.to_ascii_lowercase().parse::<CameraId>().is_ok() => "is the name of a camera".into(),
        _ if name.eq_ignore_ascii_case(TEST_PATTERN) => "is the name of the test pattern".into(),
        _ => return Ok(()),
    };
    Err(Error::invalid_param("stream_name", rule, "give a plain name, such as front-gate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path_and_nobody_elses() {
        for good in ["front-gate", "a", "Skydio_1.2~x", "camera", "camera01", "cameraman", "tests", &"x".repeat(64)] {
            check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        let bad = [
            "", "a/b", "..", ".hidden", "-rf", "a b", "a\0", "ä", "a%2e", "camera0", "Camera12", "test", "TEST", "a?b",
        ];
        for bad in bad.into_iter().map(str::to_owned).chain(["x".repeat(65)]) {
            assert!(check(&bad).is_err(), "{bad}");
        }
    }
}
