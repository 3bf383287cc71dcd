//! Recordings and snapshots as clients ask for them.

mod support;

use camera_service::path::Phase;
use serde_json::json;
use support::{
    Camera, SMALL, Service,
    peers::{decode, ffprobe},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_plays_after_the_camera_went_and_goes_on_when_it_is_back() {
    let service = Service::start(SMALL).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!((&started["status"], &started["format"]), (&json!("RECORDING"), &json!("fmp4")));
    let twice = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!(twice["code"], -32020);
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut reader = stream.subscribe(camera_service::stream::Join::Live);
    for _ in 0..45 {
        reader.next().await;
    }

    service.unplug(&camera).await;
    let of = |status: &'static str| move |update: &serde_json::Value| update["status"] == status;
    let first = client.notification("recording_status_update", of("STOPPED")).await;
    assert_eq!(first["filename"], started["filename"]);
    service.path("camera0", |status| status.phase == Phase::Away && status.recording.is_some()).await;
    service.plug(&camera).await;
    let second = client
        .notification("recording_status_update", |update| {
            update["status"] == "STARTED" && update["filename"] != started["filename"]
        })
        .await;
    let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["session_id"], started["session_id"]);
    assert_eq!(stopped["filename"], second["filename"]);
    for filename in [&started["filename"], &stopped["filename"]] {
        let file = service.recording(filename);
        decode(&file).await.unwrap();
        let video = ffprobe(&file.display().to_string(), &["-count_packets"]).await.unwrap();
        assert_eq!(video["codec_name"], "h264");
    }
    let none = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!(none["code"], -32020);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_picture_of_the_stream_that_can_be_downloaded() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    let request = json!({ "device": "camera0", "filename": "front.jpg", "quality": 90 });
    let taken = client.call("take_snapshot", request.clone()).await.unwrap();
    assert_eq!((&taken["status"], &taken["filename"]), (&json!("SUCCESS"), &json!("front.jpg")));
    assert!(taken.get("file_path").is_none(), "paths of the host are for the admin");
    let file = service.folder.path().join("state/snapshots/front.jpg");
    let picture = ffprobe(&file.display().to_string(), &[]).await.unwrap();
    assert_eq!((&picture["width"], &picture["height"]), (&json!(640), &json!(360)));
    let url = format!("http://{}/files/snapshots/front.jpg", service.app.control_address());
    let bearer = format!("Authorization: Bearer {}", support::token("viewer"));
    let copy = service.folder.path().join("copy.jpg");
    support::peers::run("curl", &["-sSf", "-H", &bearer, "-o", copy.to_str().unwrap(), &url]).await.unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&file).unwrap());
    let taken_name = client.call("take_snapshot", request).await.unwrap_err();
    assert_eq!((&taken_name["code"], &taken_name["data"]["param"]), (&json!(-32602), &json!("filename")));
    let away = client.call("take_snapshot", json!({ "device": "camera0", "filename": "../x.jpg" })).await.unwrap_err();
    assert_eq!(away["code"], -32602);
    service.stop().await;
}
