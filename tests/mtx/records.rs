//! What the keys of a path say of its recordings: how long they are kept.

use std::{fs, path::PathBuf};

use camera_service::path::PathEvent;
use serde_json::json;
use tokio::time::timeout;

use super::{
    done, get,
    support::{Camera, PATIENCE, SMALL, Service},
};

/// The next file of a recording that is begun.
async fn begun(events: &mut tokio::sync::broadcast::Receiver<PathEvent>) -> String {
    loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("a recording in time").unwrap();
        if let PathEvent::RecordingStarted { started, .. } = event {
            return started.filename;
        }
    }
}

/// A file of an earlier run, which was written to just now.
fn left_behind(service: &Service, name: &str) -> PathBuf {
    let path = service.recording(&json!(name));
    fs::write(&path, "not read").unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_go_when_they_began_longer_ago_than_their_path_keeps_them() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["recordDeleteAfter"], "");
    let [of_camera, of_path, of_expression] =
        ["camera0", "studio", "ward7"].map(|name| left_behind(&service, &format!("{name}_2020-01-01_00-00-00.mp4")));
    // Nobody says of these that they go: a camera that is not there, a path that keeps all, one that is not configured.
    let kept =
        ["camera1", "attic", "nobody"].map(|name| left_behind(&service, &format!("{name}_2020-01-01_00-00-00.mp4")));
    let mut client = service.client("admin").await;
    let idle = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!(idle["cleanup_executed"], false, "{idle}");

    // MediaMTX's default is a day, and the service goes by it without being asked.
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    done(&service, "POST", "/config/paths/add/attic", r#"{"recordDeleteAfter":"0s"}"#).await;
    done(&service, "POST", "/config/paths/add/~%5Eward", r#"{"recordDeleteAfter":"30d"}"#).await;
    let gone = async |files: &[&PathBuf]| {
        let mut client = service.client("viewer").await;
        while files.iter().any(|file| file.exists()) {
            client.call("ping", json!({})).await.unwrap();
        }
    };
    timeout(PATIENCE, gone(&[&of_path, &of_expression])).await.expect("they are deleted");
    assert!(of_camera.exists());

    // What is being written stays, however short it is kept.
    let mut events = service.app.paths().events();
    let soon = r#"{"record":true,"recordSegmentDuration":"0s","recordDeleteAfter":"1ms"}"#;
    done(&service, "PATCH", "/config/paths/patch/camera0", soon).await;
    timeout(PATIENCE, gone(&[&of_camera])).await.expect("it is deleted");
    let written = service.recording(&json!(begun(&mut events).await));
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert!(written.exists());
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert!(!written.exists());
    assert!(kept.iter().all(|file| file.exists()));
    let policy = json!({ "policy_type": "manual", "enabled": true });
    let set = client.call("set_retention_policy", policy).await.unwrap();
    assert!(set["message"].as_str().unwrap().ends_with("recordDeleteAfter of paths holds besides"), "{set}");
    service.stop().await;
}
