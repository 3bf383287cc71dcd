//! Names that patterns make are told apart, read back, and stay in their folder.

use std::{
    path::{Component, Path},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

fn first(pattern: &str, device: &str, seconds: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    NamePattern::parse(pattern).unwrap().names(device, at, "mp4").next().unwrap().to_string()
}

#[test]
fn patterns_name_device_and_time() {
    let default = "{device}_{YYYY-MM-DD_HH-MM-SS}";
    assert_eq!(NamePattern::parse(default).unwrap(), NamePattern::default());
    assert_eq!(first(default, "camera0", 1_700_000_003), "camera0_2023-11-14_22-13-23.mp4");
    assert_eq!(first("tür {YYYYMMDDTHHMMSS}-{device}", "camera12", 0), "tür 19700101T000000-camera12.mp4");
    assert_eq!(first("{device}", "../a/b", 0), "~2E~2E~2Fa~2Fb.mp4");
}

#[test]
fn a_time_is_read_where_there_is_a_whole_date() {
    let time = |pattern: &str, name: &str| NamePattern::parse(pattern).unwrap().time(name);
    let midnight = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_006_400));
    assert_eq!(time("{YYYYMMDD} {device}", "20231115 camera0.mkv"), midnight);
    assert_eq!(time("{device}_{HH-MM-SS}", "camera0_00-00-00.mkv"), None);
    assert_eq!(time("{YYYYMMDD} {device}", "20231315 camera0.mkv"), None);
    assert_eq!(time("{YYYYMMDD} {device}", "front door.mkv"), None);
}

#[test]
fn wrong_patterns_say_what_is_wrong() {
    for (pattern, rule) in [
        ("{YYYY-MM-DD}", "has no {device}"),
        ("{device}_{time}", "unknown field {time}"),
        ("{device}_{}", "unknown field {}"),
        ("{device", "{ without a }"),
        ("device}", "} without a {"),
        ("rec/{device}", "path separator"),
        (".{device}", "begins with a dot"),
        ("{device}{device}{device}{device}", "longer than 255"),
    ] {
        let error = NamePattern::parse(pattern).unwrap_err();
        assert!(error.message().contains("file_name_pattern"), "{error}");
        assert!(error.message().contains(rule), "{pattern}: {error}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = "x".repeat(256);
    for name in ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\\b", ".hidden", "a\0.jpg", "a\n", "a\u{85}", &long] {
        assert!(FileName::parse(name).is_err(), "{name:?}");
    }
    for name in ["a", "front door.jpg", "a..b.jpg", "-rf", "%2e%2e%2f", "日本.mp4", &"x".repeat(255)] {
        assert!(FileName::parse(name).is_ok(), "{name:?}");
    }
}

#[test]
fn extensions_are_kept_added_or_refused() {
    let name = |text: &str, extensions: &[&str]| FileName::parse(text).unwrap().with_extension(extensions);
    let jpeg = ["jpg", "jpeg"];
    assert_eq!(name("a", &jpeg).unwrap().as_str(), "a.jpg");
    assert_eq!(name("a.JPEG", &jpeg).unwrap().as_str(), "a.JPEG");
    assert_eq!(name("v1.2", &["mp4"]).unwrap().as_str(), "v1.2.mp4");
    assert!(name("a.png", &jpeg).unwrap_err().message().contains("ends in .png"));
    assert!(name(&"x".repeat(255), &jpeg).is_err());
}

proptest! {
    /// No accepted name leaves the folder, is the folder, or is hidden in it.
    #[test]
    fn accepted_names_stay_in_the_folder(text in "[a./\\\\\u{0}-\u{20}é]{0,12}|\\PC{0,300}|(\\.\\./){1,3}a") {
        if let Ok(name) = FileName::parse(&text) {
            let folder = Path::new("/srv/recordings");
            let path = folder.join(name.as_str());
            prop_assert_eq!(path.parent(), Some(folder));
            prop_assert_eq!(path.components().count(), folder.components().count() + 1);
            prop_assert!(matches!(Path::new(name.as_str()).components().next(), Some(Component::Normal(_))));
            prop_assert!(!name.as_str().starts_with('.') && name.as_str().len() <= 255);
            prop_assert!(!name.as_str().contains('\0'));
        }
    }

    /// The device is found again in every name a pattern makes.
    #[test]
    fn made_names_tell_their_device(before in "[a-z_ 0-9]{0,9}", after in "[a-z-]{0,9}", number in 0u16.., nth in 0usize..999) {
        let pattern = NamePattern::parse(&format!("x{before}{{YYYY}}{{device}}_{{YYYY-MM-DD_HH-MM-SS}}{after}")).unwrap();
        let device = format!("camera{number}");
        let name = pattern.names(&device, SystemTime::UNIX_EPOCH, "mkv").nth(nth).unwrap();
        prop_assert_eq!(pattern.device(name.as_str()), Some(device.as_str()));
        let other = format!("y{name}");
        prop_assert_eq!(pattern.device(&other), None);
        prop_assert_eq!(pattern.time(&other), None);
    }

    /// Also where a number could be taken for a part of the name.
    #[test]
    fn made_names_tell_whose_they_are(place in 0usize..6, device in "[a_0-9/]{1,9}|[a_/]{60,300}", nth in 0usize..999) {
        let patterns =
            ["{device}", "{YYYY} {device}", "{device}_{HH}", "{device}{YYYY}", "{device}+{HH}", "{device}_{YYYY-MM-DD_HH-MM-SS}"];
        let pattern = NamePattern::parse(patterns[place]).unwrap();
        let name = pattern.names(&device, SystemTime::UNIX_EPOCH, "mkv").nth(nth).unwrap();
        prop_assert_eq!(pattern.device(name.as_str()).map(str::to_owned), Some(pattern.spelled(&device)));
        prop_assert!(name.as_str().len() + MARK <= LONGEST);
    }

    /// So is the time, to the second.
    #[test]
    fn made_names_tell_their_time(seconds in 0u64..253_402_300_799, nth in 0usize..999) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let name = NamePattern::default().names("camera0", at, "mp4").nth(nth).unwrap();
        prop_assert_eq!(NamePattern::default().time(name.as_str()), Some(at));
    }

    /// Every name a pattern makes is one a client could have given, whatever the device is called.
    #[test]
    fn made_names_are_file_names(
        before in "\\PC{0,40}", after in "\\PC{0,40}", device in "\\PC{0,100}", seconds: u64,
    ) {
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Ok(pattern) = NamePattern::parse(&format!("{before}{{device}}{{YYYY-MM-DD_HH-MM-SS}}{after}")) {
            for name in pattern.names(&device, at, "mkv") {
                prop_assert_eq!(&FileName::parse(name.as_str()).unwrap(), &name);
            }
        }
    }
}
