//! What the controls of cameras were set to through the service: `controls.json` in the state folder, versioned.
//!
//! It is kept under the name of the camera, with its serial number and model: another device under that name begins with
//! nothing. A file that cannot be understood is set aside, and nothing is remembered.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};

use super::identity::Marks;
use crate::{
    device::control::{ControlKind, ControlValue, WasSet},
    error::{Error, Result},
    id::CameraId,
    state_file,
};

/// What this code reads and writes.
const VERSION: u64 = 1;

/// The memory, and the file it is in.
pub struct Remembered {
    file: PathBuf,
    cameras: Mutex<Cameras>,
}

type Cameras = BTreeMap<CameraId, Camera>;

/// What is remembered of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Camera {
    serial: Option<String>,
    model: String,
    controls: BTreeMap<String, ControlValue>,
}

impl Remembered {
    /// Reads the file; where there is none, nothing is remembered yet. Blocks on the disk.
    ///
    /// A file that cannot be understood is set aside. Fails if the file cannot be read, or cannot be set aside.
    pub fn load(file: PathBuf) -> Result<Self> {
        let cameras = state_file::load(&file, parse, "the controls of cameras are left as they are")?;
        Ok(Self { file, cameras: Mutex::new(cameras) })
    }

    /// What the controls of a camera were set to, by their names.
    pub(super) fn of(&self, id: CameraId, marks: &Marks) -> BTreeMap<String, ControlValue> {
        let cameras = self.lock();
        let camera = cameras.get(&id).filter(|camera| camera.is(marks));
        camera.map(|camera| camera.controls.clone()).unwrap_or_default()
    }

    /// Remembers what was set, and writes the file if that is news. Blocks on the disk. Error: the file cannot be
    /// written; until the end of this process it is remembered all the same.
    pub(super) fn note(&self, id: CameraId, marks: &Marks, set: &[WasSet]) -> Result<()> {
        // A button that was pressed is not pressed again.
        let values: Vec<_> = set.iter().filter(|set| set.kind != ControlKind::Button).collect();
        self.change(|cameras| {
            if values.is_empty() {
                return;
            }
            let camera = cameras.entry(id).or_insert_with(|| Camera::new(marks));
            if !camera.is(marks) {
                *camera = Camera::new(marks);
            }
            camera.controls.extend(values.iter().map(|set| (set.name.clone(), set.wanted.clone())));
        })
    }

    /// Forgets a camera, and writes the file if that is news. Blocks on the disk. Error: as [`note`](Self::note).
    pub(super) fn forget(&self, id: CameraId) -> Result<()> {
        self.change(|cameras| drop(cameras.remove(&id)))
    }

    /// The file is written under the lock: a newer state never comes before an older one.
    fn change(&self, how: impl FnOnce(&mut Cameras)) -> Result<()> {
        let mut cameras = self.lock();
        let before = cameras.clone();
        how(&mut cameras);
        if *cameras == before {
            return Ok(());
        }
        let list: Vec<Value> = cameras.iter().map(|(id, camera)| camera.to_json(*id)).collect();
        let document = json!({ "version": VERSION, "cameras": list });
        state_file::write(&self.file, format!("{document:#}\n").as_bytes(), 0o644)
    }

    fn lock(&self) -> MutexGuard<'_, Cameras> {
        // Changed by whole values only, so a panic elsewhere leaves nothing half done.
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Camera {
    fn new(marks: &Marks) -> Self {
        Self { serial: marks.serial.clone(), model: marks.model.clone(), controls: BTreeMap::new() }
    }

    /// Whether a device that has this camera's name is the one that was meant.
    fn is(&self, marks: &Marks) -> bool {
        self.serial == marks.serial && self.model == marks.model
    }

    fn to_json(&self, id: CameraId) -> Value {
        let value = |value: &ControlValue| match value {
            ControlValue::Boolean(on) => json!(on),
            ControlValue::Integer(number) => json!(number),
            ControlValue::Text(text) => json!(text),
        };
        let controls: Map<_, _> = self.controls.iter().map(|(name, set)| (name.clone(), value(set))).collect();
        json!({ "id": id.to_string(), "serial": self.serial, "model": self.model, "controls": controls })
    }
}

/// The whole file or nothing.
fn parse(text: &[u8]) -> Result<Cameras, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document["version"].as_u64() != Some(VERSION) {
        return Err(format!("it is of version {}, not {VERSION}", document["version"]));
    }
    let list = document["cameras"].as_array().ok_or("\"cameras\" is not a list")?;
    let cameras: Cameras = list.iter().map(camera).collect::<Result<_, _>>()?;
    if cameras.len() < list.len() {
        return Err("a camera is there twice".into());
    }
    Ok(cameras)
}

fn camera(entry: &Value) -> Result<(CameraId, Camera), String> {
    let text = |key: &str| entry[key].as_str().map(str::to_owned).ok_or(format!("\"{key}\" is missing in {entry}"));
    let id: CameraId = text("id")?.parse().map_err(|error: Error| error.message().to_owned())?;
    let serial = if entry["serial"].is_null() { None } else { Some(text("serial")?) };
    let controls = entry["controls"].as_object().ok_or(format!("\"controls\" is missing in {entry}"))?;
    let value = |(name, value): (&String, &Value)| {
        let read = match value {
            Value::Bool(on) => Some(ControlValue::Boolean(*on)),
            Value::Number(number) => number.as_i64().map(ControlValue::Integer),
            Value::String(text) => Some(ControlValue::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        read.map(|read| (name.clone(), read)).ok_or(format!("{name} is set to {value}"))
    };
    let controls = controls.iter().map(value).collect::<Result<_, _>>()?;
    Ok((id, Camera { serial, model: text("model")?, controls }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: CameraId = CameraId(3);

    fn marks(serial: Option<&str>, model: &str) -> Marks {
        Marks { serial: serial.map(str::to_owned), place: "port#0".into(), model: model.into() }
    }

    fn set(name: &str, kind: ControlKind, value: ControlValue) -> WasSet {
        WasSet { id: 1, name: name.into(), kind, before: None, wanted: value.clone(), now: Some(value) }
    }

    fn number(name: &str, number: i64) -> WasSet {
        set(name, ControlKind::Integer, ControlValue::Integer(number))
    }

    #[test]
    fn what_was_set_is_there_after_a_restart_and_buttons_are_not_pressed_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("controls.json");
        let (webcam, values) = (marks(Some("1:2:A/0.0"), "1:2"), |file: &PathBuf, marks: &Marks| {
            Remembered::load(file.clone()).unwrap().of(ID, marks)
        });
        assert!(values(&file, &webcam).is_empty());
        let remembered = Remembered::load(file.clone()).unwrap();
        let button = set("pan_reset", ControlKind::Button, ControlValue::Boolean(true));
        remembered.note(ID, &webcam, std::slice::from_ref(&button)).unwrap();
        assert!(!file.exists(), "nothing to remember");
        remembered.note(ID, &webcam, &[number("brightness", -7), number("wide", i64::MIN), button]).unwrap();
        let on = set("automatic", ControlKind::Boolean, ControlValue::Boolean(true));
        let text = set("label", ControlKind::Text, ControlValue::Text("Tür \"2\"".into()));
        remembered.note(ID, &webcam, &[number("brightness", 9), on, text]).unwrap();
        let expected = BTreeMap::from([
            ("automatic".to_owned(), ControlValue::Boolean(true)),
            ("brightness".to_owned(), ControlValue::Integer(9)),
            ("label".to_owned(), ControlValue::Text("Tür \"2\"".into())),
            ("wide".to_owned(), ControlValue::Integer(i64::MIN)),
        ]);
        assert_eq!(remembered.of(ID, &webcam), expected);
        assert_eq!(values(&file, &webcam), expected);
        remembered.forget(ID).unwrap();
        assert!(remembered.of(ID, &webcam).is_empty() && values(&file, &webcam).is_empty());
    }

    #[test]
    fn another_device_under_the_name_begins_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::load(folder.path().join("controls.json")).unwrap();
        let (one, other) = (marks(Some("1:2:A/0.0"), "1:2"), marks(Some("1:2:B/0.0"), "1:2"));
        remembered.note(ID, &one, &[number("brightness", 1)]).unwrap();
        for stranger in [&other, &marks(None, "1:2"), &marks(Some("1:2:A/0.0"), "1:3")] {
            assert!(remembered.of(ID, stranger).is_empty(), "{stranger:?}");
        }
        assert!(remembered.of(CameraId(4), &one).is_empty());
        let elsewhere = Marks { place: "port#7".into(), ..one.clone() };
        assert_eq!(remembered.of(ID, &elsewhere).len(), 1);
        remembered.note(ID, &other, &[number("contrast", 1)]).unwrap();
        assert_eq!(remembered.of(ID, &other).into_keys().collect::<Vec<_>>(), ["contrast"]);
        assert!(remembered.of(ID, &one).is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_kept_aside() {
        let whole = json!({ "version": 1, "cameras": [
            { "id": "camera0", "serial": null, "model": "1:2", "controls": { "brightness": 1 } }] });
        assert_eq!(parse(whole.to_string().as_bytes()).unwrap().len(), 1);
        let whole = whole.to_string();
        for text in [
            "",
            "\0\0\0",
            &whole[..whole.len() / 2],
            &whole.replace("\"version\":1", "\"version\":2"),
            &whole.replace(":1}", ":[1]}"),
            &whole.replace("camera0", "lens0"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("controls.json");
            fs::write(&file, text).unwrap();
            assert!(Remembered::load(file.clone()).unwrap().lock().is_empty(), "{text}");
            assert!(!file.exists(), "{text}");
            let aside = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
            assert!(aside.file_name().to_str().unwrap().starts_with("controls.json.bad-"), "{aside:?}");
            assert_eq!(fs::read_to_string(aside.path()).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_and_the_memory_stays() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::load(folder.path().join("no-such-folder/controls.json")).unwrap();
        let webcam = marks(None, "1:2");
        let error = remembered.note(ID, &webcam, &[number("brightness", 1)]).unwrap_err();
        assert!(error.message().contains("no-such-folder/controls.json"), "{error}");
        assert_eq!(remembered.of(ID, &webcam).len(), 1);
    }
}
