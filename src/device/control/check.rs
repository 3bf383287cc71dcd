//! Judges a request to set controls by what the driver says about them. Pure: nothing is set here.

use std::collections::BTreeMap;

use super::{Control, ControlKind, ControlValue, Kept};
use crate::error::{Error, Kind, Result};

/// A control and the value it is to have, which fits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// The control as it was before anything was changed.
    pub(super) control: Control,
    /// Of the type that the control's kind has: never the name of a menu's entry.
    pub(super) value: ControlValue,
}

impl Control {
    /// The control in a refusal: `controls.brightness`.
    pub(super) fn param(&self) -> String {
        format!("controls.{}", self.name)
    }
}

/// The changes that `wishes` ask for, by name or id.
///
/// Error: `InvalidParams` or `InvalidState`, for the first wish by name that cannot be granted.
pub(super) fn check(controls: &[Control], wishes: &BTreeMap<String, ControlValue>) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    for (name, wish) in wishes {
        let control = find(controls, name)?;
        if changes.iter().any(|change| change.control.id == control.id) {
            let rule = format!("is there twice: \"{name}\" is the same control");
            return Err(Error::invalid_param(control.param(), rule, "send one value for each control"));
        }
        changes.push(allowed(control, wish)?);
    }
    for Change { control, .. } in &changes {
        if control.grabbed {
            return Err(grabbed(control));
        }
        // A switch in the same request may make it active. Whether it did is seen when that has been set.
        let switched = |change: &Change| {
            change.control.switches()
                && !change.control.inactive
                && change.control.value.as_ref() != Some(&change.value)
        };
        if control.inactive && !changes.iter().any(switched) {
            return Err(inactive(control));
        }
    }
    Ok(changes)
}

/// The change that sets a control again. Error: as [`check`], whether the control is inactive or not.
pub(super) fn again(controls: &[Control], name: &str, kept: &Kept) -> Result<Change> {
    let control = find(controls, name)?;
    let change = match kept {
        Kept::Value(value) => allowed(control, value),
        Kept::Written(text) => allowed(control, &meant(control.kind, text)),
    };
    change.and_then(|change| if control.grabbed { Err(grabbed(control)) } else { Ok(change) })
}

/// What a text of the configuration means for a control of this kind. What it cannot mean stays a text.
fn meant(kind: ControlKind, text: &str) -> ControlValue {
    let word = text.to_ascii_lowercase();
    let number = || text.trim().parse().ok().or_else(|| i64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    let meant = match kind {
        ControlKind::Text => None,
        ControlKind::Boolean | ControlKind::Button => match word.as_str() {
            "true" | "yes" | "on" | "1" => Some(ControlValue::Boolean(true)),
            "false" | "no" | "off" | "0" => Some(ControlValue::Boolean(false)),
            _ => None,
        },
        _ => number().map(ControlValue::Integer),
    };
    meant.unwrap_or_else(|| ControlValue::Text(text.to_owned()))
}

/// The change that a wish asks for, if the control ever takes it.
fn allowed(control: &Control, wish: &ControlValue) -> Result<Change> {
    if control.read_only {
        let hint = "leave it out: the driver only shows it";
        return Err(Error::invalid_param(control.param(), "is read-only", hint));
    }
    let value = fitting(control, wish)
        .map_err(|(rule, hint)| Error::invalid_param(control.param(), format!("{rule}, not {wish}"), hint))?;
    Ok(Change { control: control.clone(), value })
}

/// What sets those of `controls` that are not at their default, can be set now, and are `wanted`.
pub(super) fn to_default(controls: &[Control], wanted: impl Fn(&Control) -> bool) -> Vec<Change> {
    let settable = |control: &&Control| {
        !(control.read_only || control.write_only || control.inactive || control.grabbed) && wanted(control)
    };
    let change = |control: &Control| {
        let value = control.default.clone().filter(|default| Some(default) != control.value.as_ref())?;
        Some(Change { control: control.clone(), value })
    };
    controls.iter().filter(settable).filter_map(change).collect()
}

/// Those of the controls `before` that have another value `now`, and that somebody had set: neither the camera nor an
/// automatism rules them.
pub(super) fn changed_since<'a>(before: &'a [Control], now: &[Control]) -> Vec<&'a Control> {
    let set = |old: &&Control| !(old.read_only || old.inactive || old.grabbed || old.volatile);
    let changed = |old: &&Control| now.iter().any(|new| new.id == old.id && new.value != old.value);
    before.iter().filter(set).filter(changed).collect()
}

/// The error for a control that cannot be set now.
fn grabbed(control: &Control) -> Error {
    let kind = Kind::InvalidState { state: "grabbed".into(), allowed: vec!["free"] };
    let message =
        format!("{} cannot be set while the camera is in use as it is: stop what uses the camera", control.param());
    Error::new(kind, message)
}

/// The error for a control that has no effect now.
pub(super) fn inactive(control: &Control) -> Error {
    let message = format!(
        "{} is inactive: another control, often one with \"auto\" in its name, decides in its place; change that one \
         too, in the same request or before",
        control.param()
    );
    Error::new(Kind::InvalidState { state: "inactive".into(), allowed: vec!["active"] }, message)
}

fn find<'a>(controls: &'a [Control], name: &str) -> Result<&'a Control> {
    let id = match name.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    };
    let found = controls.iter().find(|control| control.name == name || Some(control.id) == id);
    found.ok_or_else(|| {
        let likeness = |control: &Control| strsim::jaro_winkler(&name.to_ascii_lowercase(), &control.name);
        let nearest = controls.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match nearest.filter(|control| likeness(control) > 0.8) {
            Some(control) => format!("did you mean \"{}\"?", control.name),
            None if controls.is_empty() => "this camera has no controls".to_owned(),
            None => "get_camera_controls lists those of this camera".to_owned(),
        };
        Error::invalid_param(format!("controls.{name}"), "is not a control of this camera", hint)
    })
}

/// The value as the control takes it, or the rule that it breaks and a way out.
fn fitting(control: &Control, wish: &ControlValue) -> Result<ControlValue, (String, String)> {
    let (min, max, step) = (control.min, control.max, control.step);
    let must = |rule: String, hint: String| Err((rule, hint));
    match (control.kind, wish) {
        (ControlKind::Boolean, ControlValue::Boolean(_)) => Ok(wish.clone()),
        (ControlKind::Boolean, ControlValue::Integer(number @ (0 | 1))) => Ok(ControlValue::Boolean(*number == 1)),
        (ControlKind::Boolean, _) => must("must be true or false".into(), "send true or false".into()),
        (ControlKind::Button, ControlValue::Boolean(true) | ControlValue::Integer(1)) => {
            Ok(ControlValue::Boolean(true))
        }
        (ControlKind::Button, _) => must("is a button and must be true".into(), "send true to press it".into()),
        (ControlKind::Integer | ControlKind::Integer64, ControlValue::Integer(number)) => {
            let distance = i128::from(*number) - i128::from(min);
            let narrow = control.kind == ControlKind::Integer && i32::try_from(*number).is_err();
            if !(min..=max).contains(number) || narrow {
                must(format!("must be from {min} to {max}"), format!("send {}", number.clamp(&min, &max.max(min))))
            } else if step > 1 && distance % i128::from(step) != 0 {
                let nearest = i128::from(*number) - distance % i128::from(step);
                must(format!("must be {min} and a multiple of {step}"), format!("send {nearest}"))
            } else {
                Ok(wish.clone())
            }
        }
        (ControlKind::Integer | ControlKind::Integer64, _) => {
            must("must be a whole number".into(), format!("send a number from {min} to {max}"))
        }
        (ControlKind::Bitmask, ControlValue::Integer(bits)) if bits & !max == 0 => Ok(wish.clone()),
        (ControlKind::Bitmask, _) => {
            must(format!("must be bits of {max:#x}"), format!("send a number that has no bits but those of {max}"))
        }
        (ControlKind::Menu | ControlKind::IntegerMenu, _) => {
            let chosen = control.menu.iter().find(|item| match wish {
                ControlValue::Integer(index) => i64::from(item.index) == *index,
                ControlValue::Text(name) => item.name.eq_ignore_ascii_case(name),
                ControlValue::Boolean(_) => false,
            });
            chosen.map(|item| ControlValue::Integer(item.index.into())).ok_or_else(|| {
                let entry = |item: &super::MenuItem| format!("{} ({})", item.index, item.name);
                let entries = control.menu.iter().map(entry).collect::<Vec<_>>().join(", ");
                ("must be an entry of its menu".to_owned(), format!("send one of {entries}"))
            })
        }
        (ControlKind::Text, ControlValue::Text(text)) => {
            let length = text.len() as i64;
            let off = step > 1 && (i128::from(length) - i128::from(min)) % i128::from(step) != 0;
            if text.contains('\0') || !(min..=max).contains(&length) || off {
                let steps = if step > 1 { format!(" in steps of {step}") } else { String::new() };
                let rule = format!("must be a text of {min} to {max} bytes{steps} without a zero byte");
                must(rule, "send a text of that length".into())
            } else {
                Ok(wish.clone())
            }
        }
        (ControlKind::Text, _) => must("must be a text".into(), "send a string".into()),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
