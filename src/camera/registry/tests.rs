//! Devices come and go in every order, and cameras keep their names.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    camera::identity::Matcher,
    device::Usb,
    mode::{Mode, Rate},
};

mod pinned;

/// A device of tests/fixtures/devices.
fn recorded(name: &str) -> (Device, Capture) {
    let file = format!("{}/tests/fixtures/devices/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let number = |value: &Value| value.as_u64().unwrap() as u32;
    let usb = value["usb"].as_object().map(|usb| Usb {
        vendor: number(&usb["vendor"]) as u16,
        product: number(&usb["product"]) as u16,
        serial: usb["serial"].as_str().map(str::to_owned),
        interface: 0,
    });
    let links = value["links"].as_array().unwrap().iter().map(|link| link.as_str().unwrap().into()).collect();
    let device = Device {
        node: text("node").into(),
        links,
        id_path: Some(text("id_path")),
        index: number(&value["index"]),
        usb,
        name: text("name"),
    };
    let mode = |mode: &Value| Mode {
        format: mode[0].as_str().unwrap().parse().unwrap(),
        width: number(&mode[1]),
        height: number(&mode[2]),
        rate: Rate { frames: number(&mode[3]), seconds: number(&mode[4]) },
    };
    let modes = value["modes"].as_array().unwrap().iter().map(mode).collect();
    (device, Capture { driver: text("driver"), card: text("card"), bus_info: text("bus_info"), modes })
}

/// A webcam on `/dev/videoNODE` in a port, with the modes of a recorded one.
fn webcam(node: u32, port: &str, serial: Option<&str>) -> Device {
    let (device, _) = recorded("uvc-webcam");
    let usb = device.usb.map(|usb| Usb { serial: serial.map(str::to_owned), ..usb });
    let links = vec![format!("/dev/v4l/by-path/{port}-video-index0").into()];
    Device { node: format!("/dev/video{node}").into(), links, id_path: Some(port.into()), usb, ..device }
}

fn ready(device: &Device) -> DeviceEvent {
    DeviceEvent::Ready { device: device.clone(), capture: recorded("uvc-webcam").1 }
}

fn unusable(device: &Device) -> DeviceEvent {
    DeviceEvent::Unusable { device: device.clone(), reason: Error::dependency("device", "permission denied") }
}

fn gone(device: &Device) -> DeviceEvent {
    DeviceEvent::Gone { node: device.node.clone() }
}

/// `+camera0 /dev/video0`, `-camera0`, `!camera0`; saving is left out.
fn words(changes: &[Change]) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Attached { id, device, .. } => Some(format!("+{id} {}", device.node.display())),
        Change::Detached { id } => Some(format!("-{id}")),
        Change::Troubled { id, .. } => Some(format!("!{id}")),
        Change::IdentitiesChanged => None,
    };
    changes.iter().filter_map(word).collect()
}

fn registry(pins: Vec<Pin>) -> Registry {
    Registry::new(Identities::default(), pins)
}

fn pin(id: Option<u16>, matcher: Matcher) -> Pin {
    Pin { matcher, id: id.map(CameraId), ignore: false, entry: 7 }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn trouble(registry: &Registry, id: u16) -> String {
    match registry.record(CameraId(id)).state {
        CameraState::Troubled(reason) => reason.message().to_owned(),
        state => panic!("camera{id} is {state:?}"),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn every_recorded_camera_gets_an_id_of_its_own_and_keeps_it() {
    let names = ["uvc-webcam", "uvc-cheap", "uvc-h264", "pi-mmal", "pi-unicam", "jetson-csi", "vivid", "hdmi-capture"];
    let cameras: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let (device, capture) = recorded(name);
            DeviceEvent::Ready { device: Device { node: format!("/dev/video{number}").into(), ..device }, capture }
        })
        .collect();
    let mut first = registry(Vec::new());
    for (number, camera) in cameras.iter().enumerate() {
        let changes = first.step(camera.clone());
        assert_eq!(words(&changes), [format!("+camera{number} /dev/video{number}")]);
        assert!(matches!(changes.last(), Some(Change::IdentitiesChanged)));
    }
    let mut second = Registry::new(first.identities().clone(), Vec::new());
    for (number, camera) in cameras.iter().enumerate().rev() {
        let changes = second.step(camera.clone());
        assert_eq!(words(&changes), [format!("+camera{number} /dev/video{number}")]);
        assert_eq!(changes.len(), 1, "nothing to save");
    }
}

#[test]
fn a_replugged_camera_is_the_same_in_any_port_if_it_has_a_serial_number() {
    let mut registry = registry(Vec::new());
    let camera = webcam(0, "port1", some("A").as_deref());
    assert_eq!(words(&registry.step(ready(&camera))), ["+camera0 /dev/video0"]);
    assert_eq!(words(&registry.step(gone(&camera))), ["-camera0"]);
    let record = &registry.list()[0];
    assert!(matches!(record.state, CameraState::Absent) && record.capture.is_some() && !record.name.is_empty());
    let moved = webcam(3, "port2", some("A").as_deref());
    assert_eq!(words(&registry.step(ready(&moved))), ["+camera0 /dev/video3"]);
    assert_eq!(words(&registry.step(gone(&camera))), NOTHING, "an old node is not its node");
}

#[test]
fn a_camera_is_told_again_only_if_its_modes_changed() {
    let mut registry = registry(Vec::new());
    let camera = webcam(0, "port1", None);
    registry.step(ready(&camera));
    assert!(registry.step(ready(&camera)).is_empty());
    let relinked = Device { links: vec!["/dev/cam".into()], ..camera.clone() };
    assert!(registry.step(ready(&relinked)).is_empty());
    assert_eq!(registry.find("/dev/cam").unwrap(), CameraId(0));
    let mut capture = recorded("uvc-webcam").1;
    capture.modes.truncate(1);
    let changes = registry.step(DeviceEvent::Ready { device: camera, capture });
    assert_eq!(words(&changes), ["-camera0", "+camera0 /dev/video0"]);
}

#[test]
fn another_camera_on_the_same_node_is_another_camera() {
    let mut registry = registry(Vec::new());
    registry.step(ready(&webcam(0, "port1", Some("A"))));
    let changes = registry.step(ready(&webcam(0, "port1", Some("B"))));
    assert_eq!(words(&changes), ["-camera0", "+camera1 /dev/video0"]);
}

#[test]
fn two_alike_without_serial_numbers_are_told_apart_by_port() {
    let mut first = registry(Vec::new());
    let (one, two) = (webcam(0, "port1", None), webcam(2, "port2", Some("0000")));
    assert_eq!(words(&first.step(ready(&one))), ["+camera0 /dev/video0"]);
    assert_eq!(words(&first.step(ready(&two))), ["+camera1 /dev/video2"]);
    let mut second = Registry::new(first.identities().clone(), Vec::new());
    // The other order, and so the other nodes.
    let (one, two) = (webcam(2, "port1", None), webcam(0, "port2", Some("0000")));
    assert_eq!(words(&second.step(ready(&two))), ["+camera1 /dev/video0"]);
    assert_eq!(words(&second.step(ready(&one))), ["+camera0 /dev/video2"]);
}

#[test]
fn in_a_new_port_a_camera_without_a_serial_number_is_new() {
    let mut registry = registry(Vec::new());
    let camera = webcam(0, "port1", None);
    registry.step(ready(&camera));
    registry.step(gone(&camera));
    assert_eq!(words(&registry.step(ready(&webcam(0, "port2", None)))), ["+camera1 /dev/video0"]);
}

#[test]
fn a_camera_without_a_serial_number_works_in_every_port_it_is_tried_in() {
    let mut registry = registry(Vec::new());
    for (number, port) in ["port1", "port2", "port3"].into_iter().enumerate() {
        let camera = webcam(0, port, None);
        assert_eq!(words(&registry.step(ready(&camera))), [format!("+camera{number} /dev/video0")]);
        registry.step(gone(&camera));
    }
    assert_eq!(words(&registry.step(ready(&webcam(4, "port1", None)))), ["+camera0 /dev/video4"]);
}

#[test]
fn what_shows_the_same_serial_number_and_place_is_not_attached() {
    let mut registry = registry(Vec::new());
    let one = webcam(0, "port1", None);
    registry.step(ready(&one));
    let two = webcam(2, "port1", None);
    assert_eq!(words(&registry.step(ready(&two))), ["-camera0", "!camera0"]);
    let reason = trouble(&registry, 0);
    assert!(reason.contains("ambiguous: /dev/video0 and /dev/video2"), "{reason}");
    assert_eq!(words(&registry.step(gone(&one))), ["+camera0 /dev/video2"]);
}

#[test]
fn one_serial_number_on_two_cameras_is_none() {
    let mut first = registry(Vec::new());
    let (one, two) = (webcam(0, "port1", Some("S")), webcam(2, "port2", Some("S")));
    first.step(ready(&one));
    assert_eq!(words(&first.step(ready(&two))), ["+camera1 /dev/video2"]);
    // After a restart, the second alone: still the second, though it shows the first one's number.
    let mut second = Registry::new(first.identities().clone(), Vec::new());
    assert_eq!(words(&second.step(ready(&two))), ["+camera1 /dev/video2"]);
}

#[test]
fn a_stranger_with_a_known_serial_number_is_found_out_when_the_known_camera_appears() {
    let mut first = registry(Vec::new());
    first.step(ready(&webcam(0, "port1", Some("S"))));
    let mut second = Registry::new(first.identities().clone(), Vec::new());
    let stranger = webcam(0, "port2", Some("S"));
    assert_eq!(words(&second.step(ready(&stranger))), ["+camera0 /dev/video0"]);
    let known = webcam(2, "port1", Some("S"));
    let changes = second.step(ready(&known));
    assert_eq!(words(&changes), ["-camera0", "+camera0 /dev/video2", "+camera1 /dev/video0"]);
}

#[test]
fn trouble_has_a_name_that_stays_when_it_is_over() {
    let mut registry = registry(Vec::new());
    let camera = webcam(0, "port1", Some("A"));
    let changes = registry.step(unusable(&camera));
    assert_eq!(words(&changes), ["!camera0"]);
    assert_eq!(changes.len(), 1, "who was never usable is not remembered on disk");
    assert_eq!(words(&registry.step(ready(&webcam(2, "port2", Some("B"))))), ["+camera1 /dev/video2"]);
    assert_eq!(words(&registry.step(ready(&camera))), ["+camera0 /dev/video0"]);
    assert_eq!(words(&registry.step(unusable(&camera))), ["-camera0", "!camera0"]);
    assert!(registry.record(CameraId(0)).capture.is_some());
    assert!(registry.step(unusable(&camera)).is_empty());
    assert_eq!(words(&registry.step(gone(&camera))), ["-camera0"]);
    let never = webcam(4, "port4", None);
    assert_eq!(words(&registry.step(unusable(&never))), ["!camera2"]);
    assert_eq!(words(&registry.step(gone(&never))), ["-camera2"]);
    assert_eq!(registry.list().len(), 2);
}

#[test]
fn a_camera_is_found_by_name_node_and_link() {
    let mut registry = registry(Vec::new());
    let camera = webcam(0, "port1", Some("A"));
    registry.step(ready(&camera));
    let names = ["camera0", "/dev/video0", "/dev/v4l/by-path/port1-video-index0"];
    for name in names {
        assert_eq!(registry.find(name).unwrap(), CameraId(0), "{name}");
    }
    registry.step(gone(&camera));
    for name in names {
        assert_eq!(registry.find(name).unwrap(), CameraId(0), "{name} is remembered");
    }
    let other = webcam(0, "port9", Some("B"));
    registry.step(ready(&other));
    assert_eq!(registry.find("/dev/video0").unwrap(), CameraId(1), "whoever has it now goes first");
    for name in ["camera2", "/dev/video7", "", "../etc/passwd"] {
        assert!(registry.find(name).is_err(), "{name}");
    }
}

/// Eight cameras: with serial numbers of their own, one shared by two, and none; each in one port or another.
fn plugged() -> impl Strategy<Value = (Device, u8)> {
    (0..8usize, 0..6u32, 0..3u8, 0..2u8).prop_map(|(camera, node, what, port)| {
        let serial = [Some("A"), Some("B"), Some("S"), Some("S"), Some("0"), None, None, Some("C")][camera];
        (webcam(node, &format!("port{camera}.{}", if camera < 4 { port } else { 0 }), serial), what)
    })
}

proptest! {
    #[test]
    fn in_any_order_of_events_one_camera_is_one_device(
        events in prop::collection::vec(plugged(), 0..40),
        pinned in any::<bool>(),
    ) {
        let pins = vec![pin(Some(1), Matcher { serial: some("C"), ..Default::default() })];
        let mut registry = registry(if pinned { pins } else { Vec::new() });
        let mut shown: BTreeMap<CameraId, PathBuf> = BTreeMap::new();
        let mut names: BTreeMap<String, CameraId> = BTreeMap::new();
        let mut shared: BTreeSet<String> = BTreeSet::new();
        for (device, what) in events {
            let event = match what { 0 => gone(&device), 1 => unusable(&device), _ => ready(&device) };
            let changes = registry.step(event);
            let mut there = BTreeSet::new();
            let serials = registry.present.values().filter_map(|marked| Marks::of(&marked.device).serial);
            shared.extend(serials.filter(|serial| !there.insert(serial.clone())));
            for change in changes {
                match change {
                    Change::Attached { id, device, .. } => {
                        prop_assert_eq!(shown.insert(id, device.node.clone()), None, "{} twice", id);
                        // A serial number that nobody else ever showed is one name, for ever.
                        if let Some(serial) = Marks::of(&device).serial.filter(|serial| !shared.contains(serial)) {
                            let name = *names.entry(serial).or_insert(id);
                            prop_assert_eq!(name, id);
                        }
                    }
                    Change::Detached { id } => drop(shown.remove(&id)),
                    Change::Troubled { id, .. } => prop_assert!(!shown.contains_key(&id)),
                    Change::IdentitiesChanged => {}
                }
            }
            let nodes: BTreeSet<_> = shown.values().collect();
            prop_assert_eq!(nodes.len(), shown.len(), "one device is two cameras: {:?}", shown);
            prop_assert!(shown.values().all(|node| registry.present.contains_key(node)), "an absent device is attached");
            for (id, node) in &shown {
                prop_assert_eq!(registry.find(&node.to_string_lossy()).unwrap(), *id);
            }
            let ids: BTreeSet<_> = registry.list().iter().map(|record| record.id).collect();
            prop_assert_eq!(ids.len(), registry.list().len());
        }
    }

    #[test]
    fn known_cameras_get_their_names_in_any_order(order in Just((0..6u32).collect::<Vec<_>>()).prop_shuffle()) {
        let camera = |number: u32, node: u32| {
            let serial = [Some("A"), Some("S"), Some("S"), Some("0"), None, None][number as usize];
            webcam(node, &format!("port{number}"), serial)
        };
        let mut first = registry(Vec::new());
        for number in 0..6 {
            first.step(ready(&camera(number, number)));
        }
        let mut second = Registry::new(first.identities().clone(), Vec::new());
        for (node, number) in order.iter().enumerate() {
            second.step(ready(&camera(*number, node as u32)));
        }
        for (node, number) in order.iter().enumerate() {
            prop_assert_eq!(second.find(&format!("/dev/video{node}")).unwrap(), CameraId(*number as u16));
        }
        prop_assert_eq!(first.identities(), second.identities());
    }
}
