use super::*;

fn usb(serial: Option<&str>) -> Option<Usb> {
    Some(Usb { vendor: 0x046d, product: 0x08e5, serial: serial.map(str::to_owned), interface: 0 })
}

fn device(port: &str, serial: Option<&str>) -> Device {
    Device {
        node: "/dev/video0".into(),
        links: vec![format!("/dev/v4l/by-path/{port}-video-index0").into()],
        id_path: Some(port.into()),
        index: 0,
        usb: usb(serial),
        name: "Lab Webcam".into(),
    }
}

fn marks(port: &str, serial: Option<&str>) -> Marks {
    Marks::of(&device(port, serial))
}

#[test]
fn zeros_are_no_serial_number_and_sn0001_is() {
    for dummy in ["", "0", "00000000", " 0000 "] {
        assert_eq!(marks("a", Some(dummy)).serial, None, "{dummy:?}");
    }
    assert_eq!(marks("a", Some("SN0001")).serial.as_deref(), Some("046d:08e5:SN0001/0.0"));
}

#[test]
fn the_cameras_of_one_usb_device_differ() {
    let depth = Device { index: 2, ..device("a", Some("S")) };
    let mut colour = device("a", Some("S"));
    colour.usb = Some(Usb { interface: 3, ..colour.usb.unwrap() });
    let all = [Marks::of(&depth), Marks::of(&colour), marks("a", Some("S"))];
    assert_eq!(all.iter().map(|marks| &marks.serial).collect::<BTreeSet<_>>().len(), 3);
    assert_ne!(Marks::of(&Device { index: 2, ..device("a", None) }), marks("a", None));
}

#[test]
fn a_serial_number_is_recognised_in_any_port_and_a_port_only_with_the_same_model() {
    let mut known = Identities::default();
    assert!(known.settle(CameraId(0), &marks("a", Some("S")), "x"));
    assert!(known.settle(CameraId(1), &marks("b", None), "x"));
    assert_eq!(known.recognise(&marks("c", Some("S"))), Some(CameraId(0)));
    assert_eq!(known.recognise(&marks("a", Some("T"))), None);
    assert_eq!(known.recognise(&marks("b", None)), Some(CameraId(1)));
    assert_eq!(known.recognise(&marks("c", None)), None);
    let mut other = device("b", None);
    other.usb = Some(Usb { product: 1, ..other.usb.unwrap() });
    assert_eq!(known.recognise(&Marks::of(&other)), None);
    assert!(!known.settle(CameraId(0), &marks("a", Some("S")), "x"), "no news");
}

#[test]
fn a_shared_serial_number_belongs_to_the_camera_at_the_place_it_had_before() {
    let mut known = Identities::default();
    known.settle(CameraId(0), &marks("a", Some("S")), "x");
    // Another one with the same number comes first, elsewhere, and is taken for it.
    known.settle(CameraId(0), &marks("b", Some("S")), "x");
    let serial = marks("a", Some("S")).serial.unwrap();
    assert!(known.share(&serial, &["a#0", "b#0"]));
    assert_eq!(known.recognise(&marks("a", Some("S"))), Some(CameraId(0)));
    assert_eq!(known.recognise(&marks("b", Some("S"))), None);
    assert!(!known.share(&serial, &["a#0", "b#0"]), "no news");
}

#[test]
fn the_configuration_takes_a_name_from_whoever_had_it() {
    let mut known = Identities::default();
    known.settle(CameraId(0), &marks("a", Some("S")), "x");
    known.settle(CameraId(1), &marks("b", Some("T")), "y");
    known.settle(CameraId(0), &marks("b", Some("T")), "y");
    assert_eq!(known.iter().count(), 1);
    assert_eq!(known.get(CameraId(0)).unwrap().name, "y");
}

#[test]
fn all_conditions_of_a_match_must_hold_and_none_matches_nothing() {
    let device = device("a", Some("S"));
    let some = |text: &str| Some(text.to_owned());
    let matching = [
        Matcher { serial: some("S"), ..Default::default() },
        Matcher { path: some("a"), ..Default::default() },
        Matcher { path: some("/dev/v4l/by-path/a-video-index0"), ..Default::default() },
        Matcher { node: some("/dev/v4l/by-path/a-video-index0"), ..Default::default() },
        Matcher { serial: some("S"), path: some("a"), name: some("Lab Webcam"), node: some("/dev/video0") },
    ];
    assert!(matching.iter().all(|matcher| matcher.matches(&device)));
    let others = [
        Matcher::default(),
        Matcher { name: some("Lab"), ..Default::default() },
        Matcher { serial: some("S"), path: some("b"), ..Default::default() },
    ];
    assert!(!others.iter().any(|matcher| matcher.matches(&device)));
}
