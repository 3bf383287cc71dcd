//! A path on demand runs from its first reader to some time after its last.

mod support;

use camera_service::path::Phase;
use serde_json::json;
use support::{Camera, Service, peers::ffprobe};

const ON_DEMAND: &str = "
camera: { test_pattern: never, auto_start_streams: false }
streams: { width: 640, height: 360, fps: 30, close_after: 1s }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_reader_starts_it_and_it_stops_after_the_last() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle && status.open).await;
    let video = ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 640);
    let status = service.path("camera0", |status| status.phase == Phase::Idle).await;
    assert_eq!(status.runs, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_starts_it_too() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    let taken = client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!((&taken["width"], &taken["height"]), (&json!(640), &json!(360)));
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 1).await;
    service.stop().await;
}
