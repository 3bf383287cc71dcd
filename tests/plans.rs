//! Every plan: recorded devices and machines, what is wanted of them, and what must come of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{fs, path::Path};

use camera_service::{
    config::{EncoderKind, PinnedMode},
    frame::Codec,
    media::launch::LaunchFiles,
    mode::{FourCc, Mode, Rate},
    pipeline::{CaptureRequest, Encoders, Source, Wanted, plan},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

const KINDS: [EncoderKind; 6] = [
    EncoderKind::Nvv4l2H264,
    EncoderKind::V4l2H264,
    EncoderKind::VaH264,
    EncoderKind::VaapiH264,
    EncoderKind::X264,
    EncoderKind::OpenH264,
];

#[derive(Deserialize)]
struct DeviceFile {
    node: String,
    driver: String,
    modes: Vec<(String, u32, u32, u32, u32)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    machine: String,
    #[serde(default)]
    wanted: WantedCase,
    plan: Option<PlanCase>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedCase {
    codec: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<u32>,
    mode: Option<PinCase>,
    encoder: Option<String>,
    #[serde(default)]
    order: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinCase {
    format: Option<String>,
    width: u32,
    height: u32,
    fps: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanCase {
    mode: Option<(String, u32, u32, u32, u32)>,
    encoder: Option<String>,
    files: Option<Vec<String>>,
    codec: Option<String>,
    on_demand: Option<bool>,
    #[serde(default)]
    why: Vec<String>,
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kind(name: &str) -> EncoderKind {
    KINDS.into_iter().find(|kind| kind.to_string() == name).unwrap_or_else(|| panic!("no encoder {name}"))
}

fn codec(name: Option<&str>) -> Codec {
    if name == Some("mjpeg") { Codec::Mjpeg } else { Codec::H264 }
}

fn mode((format, width, height, frames, seconds): &(String, u32, u32, u32, u32)) -> Mode {
    let rate = Rate { frames: *frames, seconds: *seconds };
    Mode { format: format.parse().unwrap(), width: *width, height: *height, rate }
}

fn source(device: &str) -> Source {
    if device == "test" {
        return Source::Test;
    }
    let file: DeviceFile = serde_json::from_str(&fixture(&format!("devices/{device}.json"))).unwrap();
    Source::Camera { node: file.node.into(), driver: file.driver, modes: file.modes.iter().map(mode).collect() }
}

fn machine(name: &str) -> Encoders {
    let machines: Value = serde_json::from_str(&fixture("plans/encoders.json")).unwrap();
    let machine = &machines[name];
    let usable = machine["usable"].as_array().unwrap_or_else(|| panic!("no machine {name}"));
    let refused = machine["refused"].as_object().unwrap();
    Encoders {
        usable: usable.iter().map(|name| kind(name.as_str().unwrap())).collect(),
        refused: KINDS
            .into_iter()
            .filter_map(|kind| Some((kind, refused.get(&kind.to_string())?.as_str()?.to_owned())))
            .collect(),
    }
}

fn wanted(case: &WantedCase) -> Wanted {
    let default = Wanted::default();
    Wanted {
        codec: codec(case.codec.as_deref()),
        width: case.width.unwrap_or(default.width),
        height: case.height.unwrap_or(default.height),
        rate: case.fps.map_or(default.rate, Rate::per_second),
        mode: case.mode.as_ref().map(|pin| PinnedMode {
            format: pin.format.as_ref().map(|format| format.parse().unwrap()),
            width: pin.width,
            height: pin.height,
            rate: pin.fps.map(Rate::per_second),
        }),
        encoder: case.encoder.as_deref().map(kind),
        order: case.order.iter().map(|name| kind(name)).collect(),
        ..default
    }
}

#[test]
fn every_recorded_device_gets_the_plan_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut seen = 0;
    for file in fs::read_dir(folder.join("devices")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        if let Some(device) = file.strip_suffix(".json") {
            check(device);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} devices");
    check("test");
}

fn check(device: &str) {
    let cases: Vec<Case> = serde_json::from_str(&fixture(&format!("plans/{device}.json"))).unwrap();
    let files = LaunchFiles::default();
    for (number, case) in cases.iter().enumerate() {
        let name = format!("{device}, case {number} on {}", case.machine);
        let request = CaptureRequest { source: source(device), wanted: wanted(&case.wanted) };
        match (plan(&request, &machine(&case.machine)), &case.plan, &case.error) {
            (Ok(plan), Some(expected), None) => {
                assert_eq!(plan.mode, expected.mode.as_ref().map(mode), "{name}: {:?}", plan.why);
                assert_eq!(plan.encoder, expected.encoder.as_deref().map(kind), "{name}: {:?}", plan.why);
                assert_eq!(plan.format.codec, codec(expected.codec.as_deref()), "{name}");
                assert_eq!(plan.key_frames_on_demand, expected.on_demand.unwrap_or(true), "{name}");
                if let Some(expected) = &expected.files {
                    assert_eq!(&plan.files(), expected, "{name}");
                }
                let why = plan.why.join("\n");
                for part in &expected.why {
                    assert!(why.contains(part), "{name}: \"{part}\" is not in:\n{why}");
                }
                let line = files.join(&plan.files()).unwrap();
                for setting in &plan.settings {
                    assert!(line.contains(&format!("name={}", setting.element)), "{name}: {setting:?} not in {line}");
                }
            }
            (Err(error), None, Some(part)) => {
                assert!(error.message().contains(part), "{name}: \"{part}\" is not in: {error}");
            }
            (Ok(plan), ..) => panic!("{name}: {:?} {:?}, {:?}", plan.mode, plan.encoder, plan.why),
            (Err(error), ..) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_launch_line_has_every_setting() {
    let request = CaptureRequest { source: source("uvc-webcam"), wanted: Wanted::default() };
    let plan = plan(&request, &machine("debian")).unwrap();
    let line = plan.launch_line(&LaunchFiles::default()).unwrap();
    for part in [
        "v4l2src name=source device=\"/dev/video0\" !",
        "capsfilter name=mode caps=\"image/jpeg,width=1280,height=720,framerate=30/1\" !",
        "bitrate=\"2000\"",
        "key-int-max=\"60\"",
        "appsink name=tail",
    ] {
        assert!(line.contains(part), "\"{part}\" is not in: {line}");
    }
    let json = json!(line).to_string();
    assert!(!json.contains("\\n"), "one line");
}

fn any_mode() -> impl Strategy<Value = Mode> {
    let format = prop_oneof![
        4 => prop::sample::select(vec!["YUYV", "MJPG", "H264", "NV12", "RGB3", "GREY", "JPEG", "YU12"])
            .prop_map(|text| text.parse::<FourCc>().unwrap()),
        1 => any::<[u8; 4]>().prop_map(FourCc),
    ];
    let pixels = || prop_oneof![8 => 1u32..4000, 1 => Just(0), 1 => any::<u32>()];
    let rate = (prop_oneof![8 => 1u32..120, 1 => any::<u32>()], prop_oneof![8 => 1u32..3, 1 => any::<u32>()]);
    (format, pixels(), pixels(), rate).prop_map(|(format, width, height, (frames, seconds))| Mode {
        format,
        width,
        height,
        rate: Rate { frames, seconds },
    })
}

proptest! {
    /// Whatever a device claims and whatever is wanted: a plan with one of the modes offered, or an error.
    #[test]
    fn any_modes_give_an_offered_one_or_an_error(
        modes in prop::collection::vec(any_mode(), 0..20),
        wish in any_mode(),
        (mjpeg, pin, pin_offered, pin_format, pin_rate, encoder) in any::<(bool, bool, bool, bool, bool, bool)>(),
        usable in prop::sample::subsequence(KINDS.to_vec(), 0..=6),
        driver in prop::sample::select(vec!["uvcvideo", "vivid"]),
    ) {
        let pinned = if pin_offered { modes.first().copied().unwrap_or(wish) } else { wish };
        let wanted = Wanted {
            codec: if mjpeg { Codec::Mjpeg } else { Codec::H264 },
            width: wish.width,
            height: wish.height,
            rate: wish.rate,
            mode: pin.then_some(PinnedMode {
                format: pin_format.then_some(pinned.format),
                width: pinned.width,
                height: pinned.height,
                rate: pin_rate.then_some(pinned.rate),
            }),
            encoder: encoder.then_some(EncoderKind::X264),
            ..Wanted::default()
        };
        let encoders = Encoders { usable, refused: Vec::new() };
        let source = Source::Camera { node: "/dev/video0".into(), driver: driver.into(), modes: modes.clone() };
        match plan(&CaptureRequest { source, wanted: wanted.clone() }, &encoders) {
            Ok(plan) => {
                let mode = plan.mode.expect("a camera is opened in a mode");
                prop_assert!(modes.contains(&mode));
                prop_assert_eq!(plan.format.codec, wanted.codec);
                prop_assert!(plan.encoder.is_none_or(|kind| encoders.usable.contains(&kind)));
                prop_assert!(plan.format.width <= mode.width && plan.format.height <= mode.height);
                if plan.encoder.is_some() {
                    prop_assert!(plan.format.width % 2 == 0 && plan.format.height % 2 == 0);
                }
                if pin {
                    prop_assert_eq!((mode.width, mode.height), (pinned.width, pinned.height));
                }
                prop_assert!(!plan.why.is_empty());
            }
            Err(error) => prop_assert!(!error.message().is_empty()),
        }
        let test = CaptureRequest { source: Source::Test, wanted };
        if let Ok(plan) = plan(&test, &encoders) {
            prop_assert!(plan.format.width % 2 == 0 && plan.format.height % 2 == 0 && plan.mode.is_none());
        }
    }
}
