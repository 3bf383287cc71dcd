//! The retention policy on disk: `retention.json` in the state directory, versioned.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::{
    error::{Error, Kind, Result},
    state_file,
};

/// What this code reads and writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    policy: Policy,
}

/// The policy in `file`; `None` where nobody has set one yet. Blocks on the disk.
///
/// # Errors
/// When the file cannot be read or understood.
pub(super) fn load(file: &Path) -> Result<Option<Policy>> {
    let Some(text) = state_file::read(file)? else { return Ok(None) };
    let document: Result<Document, _> = serde_json::from_slice(&text);
    let problem = match document {
        Ok(Document { version: VERSION, policy }) => match policy.check() {
            Ok(()) => return Ok(Some(policy)),
            Err(error) => error.message().to_owned(),
        },
        Ok(Document { version, .. }) => format!("it is of version {version}, not {VERSION}"),
        Err(error) => error.to_string(),
    };
    Err(Error::dependency("disk", format!("{} cannot be understood: {problem}", file.display())))
}

/// Writes the policy. Blocks on the disk.
///
/// # Errors
/// When the folder cannot be written; the old file is whole then.
pub(super) fn save(file: &Path, policy: &Policy) -> Result<()> {
    let text = serde_json::to_string_pretty(&Document { version: VERSION, policy: policy.clone() })
        .map_err(|error| Error::with_source(Kind::Internal, "the retention policy cannot be written", error))?;
    state_file::write(file, format!("{text}\n").as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::{
        super::{CameraLimits, PolicyType},
        *,
    };

    fn some() -> Policy {
        let camera = CameraLimits { device: "camera0".into(), max_age_days: Some(90), max_size_gb: None };
        Policy {
            policy_type: PolicyType::Size,
            max_age_days: 30,
            max_size_gb: 2.5,
            min_free_gb: 0.0,
            cameras: vec![camera],
            enabled: true,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("retention.json");
        assert_eq!(load(&file).unwrap(), None);
        save(&file, &Policy { enabled: false, ..some() }).unwrap();
        save(&file, &some()).unwrap();
        assert_eq!(load(&file).unwrap(), Some(some()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_before_there_were_cameras_in_it_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("retention.json");
        let policy = r#"{ "policy_type": "size", "max_age_days": 30, "max_size_gb": 2.5, "enabled": true }"#;
        fs::write(&file, format!(r#"{{ "version": 1, "policy": {policy} }}"#)).unwrap();
        assert_eq!(load(&file).unwrap(), Some(Policy { cameras: Vec::new(), ..some() }));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("retention.json");
        save(&file, &some()).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        for (bad, why) in [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "EOF"),
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good.replace("size\"", "colour\""), "colour"),
            (good.replace("30", "0"), "max_age_days"),
            (good.replace("90", "0"), "max_age_days"),
            (good.replace("2.5", "-2.5"), "max_size_gb"),
            (good.replace("enabled", "enable"), "enable"),
        ] {
            fs::write(&file, &bad).unwrap();
            let error = load(&file).unwrap_err();
            assert!(error.message().contains("retention.json") && error.message().contains(why), "{error}, not {why}");
        }
        assert!(save(&folder.path().join("gone/retention.json"), &some()).is_err());
    }
}
