//! What a driver's answer to `VIDIOC_QUERY_EXT_CTRL` means. Pure.

use v4l2r::bindings::{self, v4l2_query_ext_ctrl};

use super::{super::answers::text, Control, ControlKind, ControlValue};

/// Texts that may be longer than this, in bytes, are left out.
const LONGEST_TEXT: i64 = 65_536;

/// The control, without menu and value. `None` for what has not just one value, or cannot be used at all.
pub(super) fn describe(answer: &v4l2_query_ext_ctrl) -> Option<Control> {
    let has = |flag| answer.flags & flag != 0;
    let kind = match answer.type_ {
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => ControlKind::Integer,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => ControlKind::Menu,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => ControlKind::IntegerMenu,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => ControlKind::Integer64,
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING if (0..LONGEST_TEXT).contains(&answer.maximum) => {
            ControlKind::Text
        }
        bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => ControlKind::Bitmask,
        _ => return None,
    };
    if has(bindings::V4L2_CTRL_FLAG_DISABLED) || answer.nr_of_dims != 0 {
        return None;
    }
    let bits = |value: i64| if kind == ControlKind::Bitmask { value & i64::from(u32::MAX) } else { value };
    let default = match kind {
        ControlKind::Button | ControlKind::Text => None,
        ControlKind::Boolean => Some(ControlValue::Boolean(answer.default_value != 0)),
        _ => Some(ControlValue::Integer(bits(answer.default_value))),
    };
    Some(Control {
        id: answer.id,
        name: variable(&text(&answer.name.map(|byte| byte.to_ne_bytes()[0])), answer.id),
        kind,
        value: None,
        default,
        min: answer.minimum,
        max: bits(answer.maximum),
        step: answer.step,
        menu: Vec::new(),
        read_only: has(bindings::V4L2_CTRL_FLAG_READ_ONLY),
        write_only: has(bindings::V4L2_CTRL_FLAG_WRITE_ONLY),
        inactive: has(bindings::V4L2_CTRL_FLAG_INACTIVE),
        grabbed: has(bindings::V4L2_CTRL_FLAG_GRABBED),
        volatile: has(bindings::V4L2_CTRL_FLAG_VOLATILE),
    })
}

/// `White Balance, Automatic` is `white_balance_automatic`, as `v4l2-ctl` has it.
fn variable(name: &str, id: u32) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    match words.collect::<Vec<_>>().join("_").to_ascii_lowercase() {
        empty if empty.is_empty() => format!("control_{id:x}"),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (name, expected) in [
            ("Brightness", "brightness"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Integer 32 Bits", "integer_32_bits"),
            ("S-Video  (2)", "s_video_2"),
            ("--", "control_980900"),
        ] {
            assert_eq!(variable(name, 0x0098_0900), expected);
        }
    }

    #[test]
    fn only_what_has_one_value_is_a_control() {
        let answer = |type_| v4l2_query_ext_ctrl { id: 5, type_, maximum: 10, ..Default::default() };
        let kind = |answer| describe(&answer).map(|control| control.kind);
        assert_eq!(kind(answer(bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING)), Some(ControlKind::Text));
        assert_eq!(kind(answer(bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS)), None);
        assert_eq!(kind(answer(bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_U8)), None);
        let integer = answer(bindings::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER);
        assert_eq!(kind(integer), Some(ControlKind::Integer));
        assert_eq!(kind(v4l2_query_ext_ctrl { nr_of_dims: 1, ..integer }), None);
        assert_eq!(kind(v4l2_query_ext_ctrl { flags: bindings::V4L2_CTRL_FLAG_DISABLED, ..integer }), None);
    }
}
