//! A camera comes, goes, comes back, and everybody hears of it.

mod support;

use camera_service::{error::Error, mode::Mode, path::Phase};
use serde_json::json;
use support::{
    Camera, SMALL, Service,
    peers::{ffprobe, is_unknown},
};

fn status_of(device: &'static str, status: &'static str) -> impl Fn(&serde_json::Value) -> bool {
    move |update| update["device"] == device && update["status"] == status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_on_the_air_when_plugged_in_off_when_unplugged_and_on_again() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("viewer").await;
    let list = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!((&list["total"], &list["connected"]), (&json!(0), &json!(0)));

    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    let update = client.notification("camera_status_update", status_of("camera0", "CONNECTED")).await;
    assert_eq!(update["name"], "Test Webcam");
    service.streaming("camera0").await;
    for transport in ["tcp", "udp"] {
        let video = ffprobe(&service.url("camera0"), &["-rtsp_transport", transport]).await.unwrap();
        assert_eq!(video["codec_name"], "h264", "{transport}");
        assert_eq!((&video["width"], &video["height"]), (&json!(640), &json!(360)), "{transport}");
    }
    let list = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!(list["connected"], 1);
    assert_eq!(list["cameras"][0]["streams"]["rtsp"], service.url("camera0"));

    service.unplug(&camera).await;
    client.notification("camera_status_update", status_of("camera0", "DISCONNECTED")).await;
    service.path("camera0", |status| status.phase == Phase::Away).await;
    is_unknown(&service.url("camera0")).await;
    let list = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!((&list["total"], &list["cameras"][0]["status"]), (&json!(1), &json!("DISCONNECTED")));

    // The same serial in another port, with another node, is the same camera.
    service.plug(&Camera::usb(4, "2.3", Some("C0FFEE"))).await;
    client.notification("camera_status_update", status_of("camera0", "CONNECTED")).await;
    service.streaming("camera0").await;
    ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_keep_their_ids_in_another_order_and_across_a_restart() {
    let (front, back) = (Camera::usb(0, "1", Some("FRONT1")), Camera::usb(2, "2", Some("BACK22")));
    let service = Service::start(SMALL).await;
    service.plug(&front).await;
    service.streaming("camera0").await;
    service.plug(&back).await;
    service.streaming("camera1").await;
    service.unplug(&front).await;
    service.unplug(&back).await;
    service.path("camera0", |status| status.phase == Phase::Away).await;
    service.path("camera1", |status| status.phase == Phase::Away).await;
    // Each now has the other's node.
    let (front, back) = (Camera::usb(2, "5", Some("FRONT1")), Camera::usb(0, "6", Some("BACK22")));
    service.plug(&back).await;
    service.streaming("camera1").await;
    let (folder, file) = service.stop().await;

    let service = Service::start_in(folder, file).await;
    let mut client = service.client("admin").await;
    service.plug(&back).await;
    service.streaming("camera1").await;
    service.plug(&front).await;
    service.streaming("camera0").await;
    for (device, node) in [("camera0", "/dev/video2"), ("camera1", "/dev/video0")] {
        let found = client.call("get_camera_status", json!({ "device": node })).await.unwrap();
        assert_eq!(found["device"], device);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_cannot_be_used_says_why_and_comes_when_it_can() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("viewer").await;
    let (camera, other) = (Camera::usb(0, "1", Some("SHYONE")), Camera::usb(2, "2", Some("OTHER1")));
    service.plug(&other).await;
    service.streaming("camera0").await;
    service.trouble(&camera, Error::dependency("device", "/dev/video0: permission denied")).await;
    client.notification("camera_status_update", status_of("camera1", "ERROR")).await;
    service.plug(&camera).await;
    client.notification("camera_status_update", status_of("camera1", "CONNECTED")).await;
    service.streaming("camera1").await;
    assert_eq!(service.app.paths().status("camera0").unwrap().runs, 1, "the other camera was left alone");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_the_pipeline_does_and_why() {
    let service = Service::start(&format!("{SMALL}encoder: {{ order: [nvv4l2h264enc, x264enc] }}\n")).await;
    let mut client = service.client("viewer").await;
    service.plug(&Camera::usb(0, "1", Some("PLAIN1"))).await;
    service.streaming("camera0").await;
    let status = client.call("get_camera_status", json!({ "device": "camera0" })).await.unwrap();
    let pipeline = &status["pipeline"];
    assert_eq!((&pipeline["state"], &pipeline["codec"]), (&json!("STREAMING"), &json!("H264")), "{status}");
    assert_eq!((&pipeline["encoder"], &pipeline["runs"]), (&json!("x264enc"), &json!(1)), "{status}");
    let because = pipeline["reasons"].to_string();
    assert!(because.contains("nvv4l2h264enc: not installed"), "{because}");
    assert_eq!(pipeline["dropped"]["broken"], 0, "{status}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_says_of_a_camera_is_done() {
    let pins = "
camera:
  test_pattern: never
  devices:
    - match: { path: platform-usb-1 }
      id: camera7
      name: Front door
      mode: { format: YUYV, width: 640, height: 360, fps: 30 }
      encoder: openh264enc
      bitrate: 700k
      controls: { brightness: 1 } # of a node that is none: what cannot be set keeps no camera off the air
    - match: { serial: HIDDEN }
      ignore: true
";
    let service = Service::start(pins).await;
    let mut client = service.client("admin").await;
    // The mode is offered among others, and the default size is not it.
    let mut door = Camera::usb(0, "1", None);
    let offered = door.capture.modes[0];
    for (width, height) in [(1280, 720), (320, 180)] {
        door.capture.modes.push(Mode { width, height, ..offered });
    }
    service.plug(&Camera::usb(2, "2", Some("HIDDEN"))).await;
    service.plug(&door).await;
    let status = service.streaming("camera7").await;
    let told = client.call("get_camera_status", json!({ "device": "camera7" })).await.unwrap();
    assert_eq!((&told["name"], &told["resolution"]), (&json!("Front door"), &json!("640x360")), "{told}");
    let pipeline = &told["pipeline"];
    assert_eq!((&pipeline["encoder"], &pipeline["mode"]), (&json!("openh264enc"), &json!("YUYV 640x360@30")), "{told}");
    let settings = &status.plan.unwrap().settings;
    let bitrate = settings.iter().find(|setting| setting.property == "bitrate").unwrap();
    assert_eq!((bitrate.element, bitrate.value.as_str()), ("encoder", "700000"));
    let list = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!(list["total"], 1, "the other one is ignored: {list}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_pipeline_fails_is_in_error_and_tried_again() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("viewer").await;
    let file = service.folder.path().join("pipelines/source/raw.launch");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "videotestsrc name=source num-buffers=3 ! capsfilter name=mode").unwrap();
    service.plug(&Camera::usb(0, "1", Some("FLAKY1"))).await;
    client.notification("camera_status_update", status_of("camera0", "ERROR")).await;
    std::fs::write(&file, good).unwrap();
    client.notification("camera_status_update", status_of("camera0", "CONNECTED")).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_pattern_is_there_until_a_camera_is() {
    let service = Service::start("camera: { test_pattern: auto }\nstreams: { width: 640, height: 360, fps: 30 }").await;
    let mut client = service.client("viewer").await;
    service.streaming("test").await;
    let list = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!((&list["cameras"][0]["device"], &list["cameras"][0]["name"]), (&json!("test"), &json!("Test pattern")));
    ffprobe(&service.url("test"), &["-rtsp_transport", "tcp"]).await.unwrap();
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    service.streaming("camera0").await;
    service.path("test", |status| status.phase == Phase::Away).await;
    service.unplug(&camera).await;
    service.streaming("test").await;
    service.stop().await;
}
