//! Requests of every kind against controls of every kind.

use proptest::prelude::*;

use super::*;
use crate::device::control::MenuItem;

fn control(id: u32, name: &str, kind: ControlKind, (min, max, step): (i64, i64, u64)) -> Control {
    Control {
        id,
        name: name.into(),
        kind,
        value: Some(ControlValue::Integer(min)),
        default: Some(ControlValue::Integer(max)),
        min,
        max,
        step,
        menu: Vec::new(),
        read_only: false,
        write_only: false,
        inactive: false,
        grabbed: false,
        volatile: false,
    }
}

/// One of each kind.
fn camera() -> Vec<Control> {
    let item = |(index, name): (u32, &str)| MenuItem { index, name: name.into() };
    let exposure = control(5, "auto_exposure", ControlKind::Menu, (0, 3, 1));
    let mut iso = control(6, "iso", ControlKind::IntegerMenu, (0, 2, 1));
    iso.menu = [(0, "100"), (2, "400")].map(item).to_vec();
    vec![
        control(1, "brightness", ControlKind::Integer, (-10, 10, 5)),
        control(2, "white_balance_automatic", ControlKind::Boolean, (0, 1, 1)),
        Control { inactive: true, ..control(3, "white_balance_temperature", ControlKind::Integer, (2800, 6500, 1)) },
        Control { read_only: true, ..control(4, "frames", ControlKind::Integer, (0, 100, 1)) },
        Control { menu: [(1, "Manual Mode"), (3, "Aperture")].map(item).to_vec(), ..exposure },
        iso,
        Control { value: None, default: None, ..control(7, "pan_reset", ControlKind::Button, (0, 0, 0)) },
        control(8, "clock", ControlKind::Integer64, (0, i64::MAX, 1)),
        control(9, "text", ControlKind::Text, (2, 6, 2)),
        control(10, "bits", ControlKind::Bitmask, (0, 0x8000_0005, 0)),
        Control { grabbed: true, ..control(11, "gop_size", ControlKind::Integer, (1, 9, 1)) },
    ]
}

fn asked(wishes: &[(&str, ControlValue)]) -> Result<Vec<Change>> {
    check(&camera(), &wishes.iter().map(|(name, wish)| ((*name).to_owned(), wish.clone())).collect())
}

fn number(number: i64) -> ControlValue {
    ControlValue::Integer(number)
}

fn text(text: &str) -> ControlValue {
    ControlValue::Text(text.into())
}

const ON: ControlValue = ControlValue::Boolean(true);

#[test]
fn every_kind_takes_what_it_can_be() {
    for (name, wish, value) in [
        ("brightness", number(-5), number(-5)),
        ("1", number(10), number(10)),
        ("0x1", number(-10), number(-10)),
        ("white_balance_automatic", ON, ON),
        ("white_balance_automatic", number(0), ControlValue::Boolean(false)),
        ("auto_exposure", number(3), number(3)),
        ("auto_exposure", text("manual mode"), number(1)),
        ("iso", number(2), number(2)),
        ("pan_reset", ON, ON),
        ("clock", number(i64::MAX), number(i64::MAX)),
        ("text", text("four"), text("four")),
        ("bits", number(0x8000_0001), number(0x8000_0001)),
    ] {
        let changes = asked(&[(name, wish)]).unwrap();
        assert_eq!(changes.iter().map(|change| &change.value).collect::<Vec<_>>(), [&value], "{name}");
    }
}

#[test]
fn every_refusal_names_the_control_the_rule_and_the_way_out() {
    for (name, wish, rule, hint) in [
        ("brightnes", number(1), "is not a control of this camera", "did you mean \"brightness\"?"),
        ("zoom", number(1), "is not a control of this camera", "get_camera_controls lists those of this camera"),
        ("brightness", number(15), "must be from -10 to 10, not 15", "send 10"),
        ("brightness", number(3), "must be -10 and a multiple of 5, not 3", "send 0"),
        ("brightness", ON, "must be a whole number, not true", "send a number from -10 to 10"),
        ("white_balance_automatic", number(2), "must be true or false, not 2", "send true or false"),
        ("frames", number(1), "is read-only", "leave it out: the driver only shows it"),
        (
            "auto_exposure",
            number(2),
            "must be an entry of its menu, not 2",
            "send one of 1 (Manual Mode), 3 (Aperture)",
        ),
        (
            "auto_exposure",
            text("x"),
            "must be an entry of its menu, not \"x\"",
            "send one of 1 (Manual Mode), 3 (Aperture)",
        ),
        ("iso", number(1), "must be an entry of its menu, not 1", "send one of 0 (100), 2 (400)"),
        ("pan_reset", number(0), "is a button and must be true, not 0", "send true to press it"),
        ("clock", text("1"), "must be a whole number, not \"1\"", "send a number from 0 to 9223372036854775807"),
        (
            "text",
            text("odd"),
            "must be a text of 2 to 6 bytes in steps of 2 without a zero byte, not \"odd\"",
            "send a text of that length",
        ),
        ("text", number(1), "must be a text, not 1", "send a string"),
        (
            "bits",
            number(2),
            "must be bits of 0x80000005, not 2",
            "send a number that has no bits but those of 2147483653",
        ),
        (
            "bits",
            number(-1),
            "must be bits of 0x80000005, not -1",
            "send a number that has no bits but those of 2147483653",
        ),
    ] {
        let error = asked(
            &[("white_balance_automatic", ON), (name, wish.clone())]
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect::<Vec<_>>(),
        )
        .unwrap_err();
        let kind = Kind::InvalidParams { param: format!("controls.{name}"), rule: rule.into(), hint: hint.into() };
        assert_eq!(error.kind(), &kind);
    }
}

#[test]
fn what_cannot_be_set_now_is_refused_unless_a_switch_comes_along() {
    let temperature = ("white_balance_temperature", number(5000));
    let state = |wishes: &[_]| match asked(wishes).unwrap_err().kind() {
        Kind::InvalidState { state, .. } => state.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(state(std::slice::from_ref(&temperature)), "inactive");
    assert_eq!(state(&[temperature.clone(), ("brightness", number(5))]), "inactive");
    assert_eq!(state(&[("gop_size", number(2))]), "grabbed");
    assert_eq!(asked(&[temperature, ("white_balance_automatic", number(0))]).unwrap().len(), 2);
}

#[test]
fn one_control_has_one_value() {
    let error = asked(&[("brightness", number(5)), ("1", number(5))]).unwrap_err();
    assert!(matches!(error.kind(), Kind::InvalidParams { param, .. } if param == "controls.brightness"), "{error:?}");
    assert!(asked(&[]).unwrap().is_empty());
}

#[test]
fn defaults_go_to_what_can_be_set_and_differs() {
    let mut camera = camera();
    camera[0].value = camera[0].default.clone();
    let names: Vec<_> = to_default(&camera, |_| true).into_iter().map(|change| change.control.name).collect();
    assert_eq!(names, ["white_balance_automatic", "auto_exposure", "iso", "clock", "text", "bits"]);
    assert_eq!(to_default(&camera, Control::switches).len(), 3);
}

#[test]
fn what_a_switch_changed_beside_itself_is_found() {
    let before = camera();
    let mut now = before.clone();
    assert!(changed_since(&before, &now).is_empty());
    // Brightness; the temperature, which is inactive; and the frames, which the camera counts.
    for changed in [0, 2, 3] {
        now[changed].value = Some(number(7));
    }
    let names: Vec<_> = changed_since(&before, &now).into_iter().map(|control| control.name.as_str()).collect();
    assert_eq!(names, ["brightness"]);
}

#[test]
fn what_was_kept_is_asked_for_again_also_while_it_has_no_effect_yet() {
    let kept = |name: &str, kept: Kept| again(&camera(), name, &kept).map(|change| change.value);
    let written = |name: &str, words: &str| kept(name, Kept::Written(words.into()));
    assert_eq!(kept("brightness", Kept::Value(number(-5))).unwrap(), number(-5));
    // Inactive: the switch is set first.
    assert_eq!(kept("white_balance_temperature", Kept::Value(number(3000))).unwrap(), number(3000));
    for (name, words, value) in [
        ("brightness", "-5", number(-5)),
        ("white_balance_automatic", "off", ControlValue::Boolean(false)),
        ("white_balance_automatic", "1", ON),
        ("auto_exposure", "1", number(1)),
        ("auto_exposure", "Manual Mode", number(1)),
        // An entry whose name is a number is meant by its index.
        ("iso", "2", number(2)),
        ("pan_reset", "true", ON),
        // Digits are a text where a text is wanted.
        ("text", "1234", text("1234")),
        ("bits", "0x80000001", number(0x8000_0001)),
    ] {
        assert_eq!(written(name, words).unwrap(), value, "{name} {words}");
    }
    for (name, words) in [
        ("no_such_control", "1"),
        ("brightness", "high"),
        ("brightness", "-6"),
        ("white_balance_automatic", "perhaps"),
        ("auto_exposure", "2"),
        ("frames", "1"),
        ("gop_size", "2"),
        ("text", "odd"),
    ] {
        let error = written(name, words).unwrap_err();
        assert!(error.message().contains(&format!("controls.{name}")), "{name} {words}: {error}");
    }
}

fn wish() -> impl Strategy<Value = ControlValue> {
    prop_oneof![
        any::<bool>().prop_map(ControlValue::Boolean),
        any::<i64>().prop_map(ControlValue::Integer),
        (-20_i64..20).prop_map(ControlValue::Integer),
        ".{0,8}".prop_map(ControlValue::Text),
    ]
}

fn kind() -> impl Strategy<Value = ControlKind> {
    prop::sample::select(vec![
        ControlKind::Integer,
        ControlKind::Boolean,
        ControlKind::Menu,
        ControlKind::IntegerMenu,
        ControlKind::Button,
        ControlKind::Integer64,
        ControlKind::Text,
        ControlKind::Bitmask,
    ])
}

fn limit() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -20_i64..20]
}

proptest! {
    /// Whatever a driver says of its control and whatever is asked, the answer is a refusal that names the control or
    /// a value that the control has by its own description.
    #[test]
    fn what_is_let_through_fits(
        kind in kind(), min in limit(), max in limit(), step in prop_oneof![any::<u64>(), 0_u64..5],
        items in prop::collection::btree_set(0_u32..20, 0..4), wish in wish(),
    ) {
        let mut control = control(7, "it", kind, (min, max, step));
        control.menu = items.iter().map(|index| MenuItem { index: *index, name: "Item".into() }).collect();
        match check(std::slice::from_ref(&control), &BTreeMap::from([("it".to_owned(), wish)])) {
            Err(error) => prop_assert!(error.message().contains("controls.it"), "{error}"),
            Ok(changes) => {
                let fits = match (kind, &changes[0].value) {
                    (ControlKind::Boolean, ControlValue::Boolean(_)) => true,
                    (ControlKind::Button, value) => *value == ON,
                    (ControlKind::Menu | ControlKind::IntegerMenu, ControlValue::Integer(index)) => {
                        items.iter().any(|item| i64::from(*item) == *index)
                    }
                    (ControlKind::Integer, ControlValue::Integer(value)) if i32::try_from(*value).is_err() => false,
                    (ControlKind::Integer | ControlKind::Integer64, ControlValue::Integer(value)) => {
                        let distance = i128::from(*value) - i128::from(min);
                        min <= *value && *value <= max && distance % i128::from(step.max(1)) == 0
                    }
                    (ControlKind::Bitmask, ControlValue::Integer(bits)) => bits | max == max,
                    (ControlKind::Text, ControlValue::Text(text)) => {
                        let length = i128::from(text.len() as u64);
                        let distance = length - i128::from(min);
                        i128::from(min) <= length && length <= i128::from(max) && !text.contains('\0')
                            && distance % i128::from(step.max(1)) == 0
                    }
                    _ => false,
                };
                prop_assert!(fits, "{:?} for {control:?}", changes[0].value);
            }
        }
    }
}
