//! What is set of a path that the service has by itself: a camera.

use std::fs;

use camera_service::path::PathEvent;
use serde_json::json;
use tokio::{sync::broadcast, time::timeout};

use super::{
    ask, done,
    file::start,
    get,
    support::{Camera, PATIENCE, SMALL, Service, peers::ffprobe},
};

/// Waits until a recording of this path begins.
async fn recorded(events: &mut broadcast::Receiver<PathEvent>, path: &str) {
    let mut next = async || timeout(PATIENCE, events.recv()).await.expect("a recording in time").unwrap();
    while !matches!(next().await, PathEvent::RecordingStarted { name, .. } if name == path) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_ffmpeg_captured_on_demand_under_its_own_name_goes_on_so() {
    let text = "
paths:
  camera0:
    source: publisher
    runOnDemand: ffmpeg -f v4l2 -i /dev/video0 -c:v libx264 -f rtsp rtsp://localhost:$RTSP_PORT/$MTX_PATH
    runOnDemandRestart: yes
    runOnDemandCloseAfter: 10ms
";
    let (service, _file) = start(text).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.path("camera0", |status| status.open && status.stream.is_none()).await;
    ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    let shown = get(&service, "/config/paths/get/camera0").await;
    assert_eq!((&shown["source"], &shown["runOnDemandCloseAfter"]), (&json!("/dev/video0"), &json!("10ms")));
    assert_eq!(get(&service, "/paths/get/camera0").await["source"]["type"], "rpiCameraSource");
    // It is no reason to refuse another change, of this path or of another.
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"maxReaders":3}"#).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    service.path("camera0", |status| status.stream.is_none()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_its_own_source() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let own = "'camera0' has a source of its own here, '/dev/video0'";
    let publishers = "'runOnDemand' and 'runOnUnDemand' can be used only when source is 'publisher'";
    for (body, error) in [
        (json!({ "source": "rtsp://192.0.2.1/x" }), own),
        (json!({ "source": "/dev/video7" }), own),
        (json!({ "source": "redirect", "sourceRedirect": "/x" }), own),
        (json!({ "runOnDemand": "notify me" }), publishers),
    ] {
        for (method, change) in [("PATCH", "patch"), ("POST", "replace")] {
            let reply = ask(&service, method, &format!("/config/paths/{change}/camera0"), &body.to_string()).await;
            assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)), "{body}");
        }
    }
    for source in ["publisher", "/dev/video0", "v4l2:///dev/video0", "rpiCamera"] {
        done(&service, "PATCH", "/config/paths/patch/camera0", &json!({ "source": source }).to_string()).await;
        assert_eq!(get(&service, "/config/paths/get/camera0").await["source"], "/dev/video0", "{source}");
    }
    // What was shown may be sent back.
    let mut shown = get(&service, "/config/paths/get/camera0").await;
    shown["maxReaders"] = json!(5);
    done(&service, "PATCH", "/config/paths/patch/camera0", &shown.to_string()).await;
    ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_of_all_paths_are_those_of_cameras_too() {
    let (service, file) = start("pathDefaults: {record: yes, maxReaders: 2}").await;
    let mut events = service.app.paths().events();
    service.plug(&Camera::usb(0, "1.1", None)).await;
    recorded(&mut events, "camera0").await;
    let shown = get(&service, "/config/paths/get/camera0").await;
    assert_eq!((&shown["record"], &shown["maxReaders"]), (&json!(true), &json!(2)));
    // A camera's recordings are kept, whatever the file that MediaMTX comes with says of all paths.
    fs::write(file, "pathDefaults: {record: no, recordDeleteAfter: 1d}").unwrap();
    service.path("camera0", |status| status.stream.is_some() && status.recording.is_none()).await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["recordDeleteAfter"], "");
    done(&service, "PATCH", "/config/pathdefaults/patch", r#"{"record":true}"#).await;
    recorded(&mut events, "camera0").await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_recorded_also_when_its_camera_comes_late_and_when_it_is_made_anew() {
    let (service, _file) = start("paths: {door: {source: /dev/video0, record: yes}}").await;
    let mut events = service.app.paths().events();
    service.plug(&Camera::usb(0, "1.1", None)).await;
    recorded(&mut events, "door").await;
    done(&service, "PATCH", "/config/paths/patch/door", r#"{"source":"v4l2:///dev/video0","sourceOnDemand":true}"#)
        .await;
    done(&service, "PATCH", "/config/paths/patch/door", r#"{"sourceOnDemand":false}"#).await;
    recorded(&mut events, "door").await;
    service.stop().await;
}
