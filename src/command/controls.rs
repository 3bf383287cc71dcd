//! The controls of a camera, such as brightness: what they are, setting them, and back to the defaults.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Command, Gateway,
    access::{Caller, Role},
    cameras::OneCamera,
};
use crate::{
    camera::ControlChange,
    device::control::{Control as DeviceControl, ControlKind, ControlValue, MenuItem as DeviceMenuItem},
    error::{Error, Result},
};

/// A control on the wire.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Control {
    name: String,
    id: u32,
    #[serde(rename = "type")]
    kind: Type,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Setting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Setting>,
    min: i64,
    max: i64,
    step: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    menu: Vec<MenuItem>,
    read_only: bool,
    inactive: bool,
    grabbed: bool,
}

/// The value of a control on the wire.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// Of a boolean; true presses a button.
    Boolean(bool),
    /// A number, or the index of a menu's entry.
    Integer(i64),
    /// A text; where it is sent, also the name of a menu's entry.
    Text(String),
}

/// What a control takes, by the names that V4L2 has for it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ControlType")]
pub enum Type {
    /// A number.
    Integer,
    /// True or false.
    Boolean,
    /// The index of an entry.
    Menu,
    /// The index of an entry that is a number.
    IntegerMenu,
    /// True, to press it.
    Button,
    /// A large number.
    Integer64,
    /// A text.
    String,
    /// Bits of a number.
    Bitmask,
}

/// An entry of a menu.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MenuItem {
    index: u32,
    name: String,
}

/// The reply of [`Get`] and [`Reset`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Controls {
    device: String,
    controls: Vec<Control>,
}

/// `get_camera_controls`: every control of a camera.
pub struct Get;

impl Command for Get {
    const METHOD: &'static str = "get_camera_controls";
    const SUMMARY: &'static str = "Every control of a camera, such as brightness.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = Controls;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<Controls> {
        gateway.refuse_other(&params.device, "camera controls")?;
        gateway.cameras.controls(&params.device).await.map(Controls::of)
    }
}

/// `set_camera_control`: sets controls, all or none.
pub struct Set;

/// The parameters of [`Set`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SetParams {
    /// The camera.
    device: String,
    /// Names, or ids as text, with their values.
    #[schemars(with = "BTreeMap<String, Setting>")]
    controls: BTreeMap<String, Value>,
}

/// The reply of [`Set`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ControlsSet {
    device: String,
    /// The values they have now; null for a button.
    controls: BTreeMap<String, Option<Setting>>,
}

impl Command for Set {
    const METHOD: &'static str = "set_camera_control";
    const SUMMARY: &'static str = "Sets controls of a camera, all or none.";
    const ROLE: Option<Role> = Some(Role::Operator);
    type Params = SetParams;
    type Reply = ControlsSet;

    async fn run(params: SetParams, _: &Caller, gateway: &Gateway) -> Result<ControlsSet> {
        gateway.refuse_other(&params.device, "camera controls")?;
        let wishes = params.wishes()?;
        let (device, set) = gateway.cameras.set_controls(&params.device, wishes).await?;
        let controls = set.into_iter().map(|(name, value)| (name, value.map(Setting::from))).collect();
        Ok(ControlsSet { device, controls })
    }
}

/// `reset_camera_controls`: sets every control to its default.
pub struct Reset;

impl Command for Reset {
    const METHOD: &'static str = "reset_camera_controls";
    const SUMMARY: &'static str = "Sets every control of a camera to its default.";
    const ROLE: Option<Role> = Some(Role::Operator);
    type Params = OneCamera;
    type Reply = Controls;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<Controls> {
        gateway.refuse_other(&params.device, "camera controls")?;
        gateway.cameras.reset_controls(&params.device).await.map(Controls::of)
    }
}

impl SetParams {
    fn wishes(&self) -> Result<BTreeMap<String, ControlValue>> {
        self.controls.iter().map(|(name, value)| Ok((name.clone(), wish(name, value)?))).collect()
    }
}

/// The value that a caller wants a control to have.
fn wish(name: &str, value: &Value) -> Result<ControlValue> {
    let whole = |number: &serde_json::Number| {
        // Some languages write every number with a fraction: 5.0 is 5. Above 2^53 such a number is a guess.
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0);
        number.as_i64().or(float.map(|float| float as i64))
    };
    let read = match value {
        Value::Bool(on) => Some(ControlValue::Boolean(*on)),
        Value::Number(number) => whole(number).map(ControlValue::Integer),
        Value::String(text) => Some(ControlValue::Text(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    read.ok_or_else(|| {
        let rule = "must be a whole number of 64 bits, true or false, or a string";
        Error::invalid_param(format!("controls.{name}"), rule, "get_camera_controls says which of them")
    })
}

/// What is told when controls are not as they were: `camera.control_change`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ControlsChanged {
    device: String,
    /// The values they have now, by name.
    controls: BTreeMap<String, Setting>,
    /// Those that have an effect now and had none, or the other way round, with what they are now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    inactive: BTreeMap<String, bool>,
    /// Those that can be set now and could not, or the other way round, with what they are now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    grabbed: BTreeMap<String, bool>,
}

impl From<ControlChange> for ControlsChanged {
    fn from(ControlChange { device, changes }: ControlChange) -> Self {
        let controls = changes.values.into_iter().map(|(name, value)| (name, value.into())).collect();
        Self { device, controls, inactive: changes.inactive, grabbed: changes.grabbed }
    }
}

impl From<ControlValue> for Setting {
    fn from(value: ControlValue) -> Self {
        match value {
            ControlValue::Boolean(on) => Self::Boolean(on),
            ControlValue::Integer(number) => Self::Integer(number),
            ControlValue::Text(text) => Self::Text(text),
        }
    }
}

impl Controls {
    fn of((device, controls): (String, Vec<DeviceControl>)) -> Self {
        Self { device, controls: controls.into_iter().map(Control::of).collect() }
    }
}

impl Control {
    fn of(control: DeviceControl) -> Self {
        Self {
            name: control.name,
            id: control.id,
            kind: match control.kind {
                ControlKind::Integer => Type::Integer,
                ControlKind::Boolean => Type::Boolean,
                ControlKind::Menu => Type::Menu,
                ControlKind::IntegerMenu => Type::IntegerMenu,
                ControlKind::Button => Type::Button,
                ControlKind::Integer64 => Type::Integer64,
                ControlKind::Text => Type::String,
                ControlKind::Bitmask => Type::Bitmask,
            },
            value: control.value.map(Setting::from),
            default: control.default.map(Setting::from),
            min: control.min,
            max: control.max,
            step: control.step,
            menu: control.menu.into_iter().map(|DeviceMenuItem { index, name }| MenuItem { index, name }).collect(),
            read_only: control.read_only,
            inactive: control.inactive,
            grabbed: control.grabbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_control_is_written_with_what_it_has() {
        let control = DeviceControl {
            id: 9_963_800,
            name: "power_line_frequency".into(),
            kind: ControlKind::Menu,
            value: Some(ControlValue::Integer(1)),
            default: Some(ControlValue::Integer(2)),
            min: 0,
            max: 2,
            step: 1,
            menu: vec![DeviceMenuItem { index: 2, name: "60 Hz".into() }],
            read_only: false,
            write_only: false,
            inactive: false,
            grabbed: false,
            volatile: false,
        };
        let button = DeviceControl {
            kind: ControlKind::Button,
            value: None,
            default: None,
            menu: Vec::new(),
            ..control.clone()
        };
        assert_eq!(
            serde_json::to_value(Control::of(control)).unwrap(),
            json!({"name": "power_line_frequency", "id": 9_963_800, "type": "menu", "value": 1, "default": 2, "min": 0,
                   "max": 2, "step": 1, "menu": [{"index": 2, "name": "60 Hz"}],
                   "read_only": false, "inactive": false, "grabbed": false})
        );
        assert_eq!(
            serde_json::to_value(Control::of(button)).unwrap(),
            json!({"name": "power_line_frequency", "id": 9_963_800, "type": "button", "min": 0, "max": 2, "step": 1,
                   "read_only": false, "inactive": false, "grabbed": false})
        );
    }

    #[test]
    fn values_are_read_in_every_way_clients_write_them() {
        assert_eq!(wish("x", &json!(5.0)).unwrap(), ControlValue::Integer(5));
        assert_eq!(wish("x", &json!(i64::MAX)).unwrap(), ControlValue::Integer(i64::MAX));
        assert_eq!(wish("x", &json!(false)).unwrap(), ControlValue::Boolean(false));
        assert_eq!(wish("x", &json!("50 Hz")).unwrap(), ControlValue::Text("50 Hz".into()));
        for bad in [json!(null), json!([1]), json!({}), json!(1.5), json!(u64::MAX), json!(1e300)] {
            let error = wish("brightness", &bad).unwrap_err();
            assert!(error.message().starts_with("parameter \"controls.brightness\" must be"), "{bad}: {error}");
        }
    }
}
