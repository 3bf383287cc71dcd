//! What the entries of the configuration make of cameras.

use super::*;

#[test]
fn a_pin_decides_the_name_and_keeps_it_for_its_camera() {
    let pins = vec![pin(Some(0), Matcher { serial: some("B"), ..Default::default() })];
    let mut registry = registry(pins);
    assert_eq!(words(&registry.step(ready(&webcam(0, "port1", Some("A"))))), ["+camera1 /dev/video0"]);
    let changes = registry.step(ready(&webcam(2, "port2", Some("B"))));
    assert_eq!(words(&changes), ["+camera0 /dev/video2"]);
    assert!(matches!(changes[0], Change::Attached { pin: Some(7), .. }));
}

#[test]
fn a_new_pin_takes_the_name_from_the_camera_that_had_it() {
    let mut before = registry(Vec::new());
    let (one, two) = (webcam(0, "port1", Some("A")), webcam(2, "port2", Some("B")));
    before.step(ready(&one));
    before.step(ready(&two));
    let pins = vec![pin(Some(0), Matcher { serial: some("B"), ..Default::default() })];
    for order in [[&one, &two], [&two, &one]] {
        let mut registry = Registry::new(before.identities().clone(), pins.clone());
        for camera in order {
            registry.step(ready(camera));
        }
        assert_eq!(registry.find("/dev/video2").unwrap(), CameraId(0));
        assert_ne!(registry.find("/dev/video0").unwrap(), CameraId(0));
    }
}

#[test]
fn a_pin_that_matches_two_cameras_attaches_none() {
    let mut registry = registry(vec![pin(Some(3), Matcher { name: some("HD Pro Webcam C920"), ..Default::default() })]);
    let (one, two) = (webcam(0, "port1", Some("A")), webcam(2, "port2", Some("B")));
    assert_eq!(words(&registry.step(ready(&one))), ["+camera3 /dev/video0"]);
    assert_eq!(words(&registry.step(ready(&two))), ["-camera3", "!camera3"]);
    assert!(trouble(&registry, 3).contains("configuration"), "{}", trouble(&registry, 3));
    assert_eq!(words(&registry.step(gone(&one))), ["+camera3 /dev/video2"]);
}

#[test]
fn a_pin_without_a_name_carries_settings_to_all_it_matches() {
    let mut registry = registry(vec![pin(None, Matcher { name: some("HD Pro Webcam C920"), ..Default::default() })]);
    for camera in [webcam(0, "port1", Some("A")), webcam(2, "port2", Some("B"))] {
        assert!(matches!(registry.step(ready(&camera))[0], Change::Attached { pin: Some(7), .. }));
    }
}

#[test]
fn an_ignored_device_is_no_camera() {
    let ignore = Pin { ignore: true, ..pin(None, Matcher { path: some("port1"), ..Default::default() }) };
    let mut registry = registry(vec![ignore]);
    let camera = webcam(0, "port1", Some("A"));
    assert!(registry.step(ready(&camera)).is_empty() && registry.step(gone(&camera)).is_empty());
    assert!(registry.list().is_empty());
}

#[test]
fn other_pins_move_only_whom_they_mean() {
    let (front, back) = (webcam(0, "front", some("FRONT1").as_deref()), webcam(2, "back", some("BACK22").as_deref()));
    let mut registry = registry(Vec::new());
    registry.step(ready(&front));
    registry.step(ready(&back));
    let by_serial = |id: Option<u16>, serial: &str| pin(id, Matcher { serial: some(serial), ..Matcher::default() });
    // An entry without a name moves nobody, and is found.
    assert!(words(&registry.set_pins(vec![by_serial(None, "BACK22")])).is_empty());
    assert_eq!([0, 1].map(|id| registry.pin(CameraId(id)).is_some()), [false, true]);
    let told = words(&registry.set_pins(vec![by_serial(Some(7), "FRONT1"), by_serial(None, "BACK22")]));
    assert_eq!(told, ["-camera0", "+camera7 /dev/video0"]);
    // One that is away has the entry of what it was last.
    registry.step(gone(&back));
    assert!(registry.pin(CameraId(1)).is_some());
    let ignored = Pin { ignore: true, ..by_serial(None, "FRONT1") };
    assert_eq!(words(&registry.set_pins(vec![ignored])), ["-camera7"]);
}
