//! The identities on disk: `identity.json` in the state folder, versioned.
//!
//! A power cut leaves the old file or the new one. A file that cannot be understood is set aside under a new name, never
//! overwritten: it can be repaired and put back while the service is stopped. Until then cameras get names as if they
//! were new, which the log says as an error.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use super::{Identities, Identity, Marks};
use crate::{
    error::{Error, Result},
    id::CameraId,
    state_file,
};

/// What this code reads and writes.
const VERSION: u64 = 1;

impl Identities {
    /// Reads the file; where there is none, no camera is known yet. Blocks on the disk.
    ///
    /// A file that cannot be understood is set aside. Fails if the file cannot be read, or cannot be set aside.
    pub fn load(path: &Path) -> Result<Self> {
        state_file::load(path, parse, "cameras are named anew")
    }

    /// Writes the file. Blocks on the disk. Fails if the folder cannot be written; the old file is whole then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let cameras: Vec<Value> = self.known.iter().map(to_json).collect();
        let document = json!({ "version": VERSION, "cameras": cameras, "shared_serials": self.shared });
        state_file::write(path, format!("{document:#}\n").as_bytes(), 0o644)
    }
}

fn to_json(identity: &Identity) -> Value {
    let Marks { serial, place, model } = &identity.marks;
    json!({ "id": identity.id.to_string(), "serial": serial, "place": place, "model": model, "name": identity.name })
}

/// The whole file or nothing: half a memory would name cameras wrongly.
fn parse(text: &[u8]) -> Result<Identities, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document["version"].as_u64() != Some(VERSION) {
        return Err(format!("it is of version {}, not {VERSION}", document["version"]));
    }
    let list = |name: &str| document[name].as_array().ok_or(format!("\"{name}\" is not a list"));
    let known: Vec<_> = list("cameras")?.iter().map(from_json).collect::<Result<_, _>>()?;
    let shared = list("shared_serials")?.iter().map(|serial| Some(serial.as_str()?.to_owned()));
    let shared = shared.collect::<Option<BTreeSet<_>>>().ok_or("a shared serial is not a string")?;
    let mut identities = Identities { known, shared };
    identities.known.sort_by_key(|identity| identity.id);
    for (index, one) in identities.known.iter().enumerate() {
        for other in &identities.known[index + 1..] {
            if one.id == other.id || identities.same(&one.marks, &other.marks) {
                return Err(format!("{} and {} are the same", one.id, other.id));
            }
        }
    }
    Ok(identities)
}

fn from_json(camera: &Value) -> Result<Identity, String> {
    let text = |key: &str| camera[key].as_str().map(str::to_owned).ok_or(format!("\"{key}\" is missing in {camera}"));
    let id: CameraId = text("id")?.parse().map_err(|error: Error| error.message().to_owned())?;
    let serial = if camera["serial"].is_null() { None } else { Some(text("serial")?) };
    let marks = Marks { serial, place: text("place")?, model: text("model")? };
    Ok(Identity { id, marks, name: text("name")?, before: None })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn some() -> Identities {
        let marks = |serial: Option<&str>, place: &str| Marks {
            serial: serial.map(str::to_owned),
            place: place.into(),
            model: "046d:08e5".into(),
        };
        let mut identities = Identities::default();
        identities.settle(CameraId(0), &marks(Some("046d:08e5:A/0.0"), "port1#0"), "C920");
        identities.settle(CameraId(4), &marks(None, "port2#0"), "Käm \"2\"");
        identities.share("046d:08e5:B/0.0", &[]);
        identities
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        assert_eq!(Identities::load(&path).unwrap(), Identities::default());
        Identities::default().save(&path).unwrap();
        some().save(&path).unwrap();
        assert_eq!(Identities::load(&path).unwrap(), some());
        assert_eq!(names(folder.path()), ["identity.json"]);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_kept_aside() {
        let whole =
            { format!("{:#}", json!({ "version": 1, "cameras": [to_json(&some().known[0])], "shared_serials": [] })) };
        assert!(parse(whole.as_bytes()).is_ok());
        let twice = json!({ "version": 1, "cameras": [to_json(&some().known[0]), to_json(&some().known[0])], "shared_serials": [] });
        for text in [
            "",
            "\0\0\0\0",
            &whole[..whole.len() / 2],
            &whole.replace("\"version\": 1", "\"version\": 2"),
            "[]",
            &twice.to_string(),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("identity.json");
            for _ in 0..2 {
                fs::write(&path, text).unwrap();
                assert_eq!(Identities::load(&path).unwrap(), Identities::default());
            }
            let names = names(folder.path());
            assert_eq!(names.len(), 2, "{names:?}");
            for name in names {
                assert!(name.starts_with("identity.json.bad-"), "{name}");
                assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no-such-folder/identity.json");
        let error = some().save(&path).unwrap_err();
        assert!(error.message().contains("no-such-folder/identity.json"), "{error}");
    }
}
