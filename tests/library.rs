//! What control clients are told about files, the service and the machine is so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::{Duration, SystemTime};

use serde_json::json;
use support::{Camera, SMALL, Service, peers::run};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_by_page_camera_and_age_and_deleted() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("admin").await;
    let empty = client.call("list_snapshots", json!({})).await.unwrap();
    assert_eq!(empty, json!({ "files": [], "total": 0, "limit": 50, "offset": 0 }));
    let mut taken = Vec::new();
    for name in ["one.jpg", "two.jpg"] {
        client.call("take_snapshot", json!({ "device": "camera0", "filename": name })).await.unwrap();
    }
    taken.push(client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap());
    let all = client.call("list_snapshots", json!({})).await.unwrap();
    let names = |list: &serde_json::Value| -> Vec<String> {
        list["files"].as_array().unwrap().iter().map(|file| file["filename"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), [taken[0]["filename"].as_str().unwrap(), "two.jpg", "one.jpg"]);
    let newest = &all["files"][0];
    assert_eq!((&newest["device"], &newest["file_size"]), (&json!("camera0"), &taken[0]["file_size"]));
    assert_eq!(newest["download_url"], taken[0]["download_url"]);
    let page = client.call("list_snapshots", json!({ "limit": 1, "offset": 1, "order": "oldest" })).await.unwrap();
    assert_eq!((names(&page), &page["total"]), (vec!["two.jpg".to_owned()], &json!(3)));
    let named = client.call("list_snapshots", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(named["total"], 1, "{named}");

    let deleted = client.call("delete_snapshot", json!({ "filename": "one.jpg" })).await.unwrap();
    assert_eq!((&deleted["filename"], &deleted["deleted"]), (&json!("one.jpg"), &json!(true)));
    for (filename, code) in [("one.jpg", -32010), ("../camera-service.yaml", -32602)] {
        let refused = client.call("delete_snapshot", json!({ "filename": filename })).await.unwrap_err();
        assert_eq!(refused["code"], code, "{refused}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_deleted_when_it_is_over_and_not_before() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("admin").await;
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    let file = json!({ "filename": started["filename"] });
    let refused = client.call("delete_recording", file.clone()).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["state"]), (&json!(-32020), &json!("RECORDING")));
    assert_eq!(
        client.call("get_metrics", json!({})).await.unwrap()["recording_metrics"],
        json!({ "active_recordings": 1 })
    );
    client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    let listed = client.call("list_recordings", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(listed["files"][0]["filename"], started["filename"]);
    let storage = client.call("get_storage_info", json!({})).await.unwrap();
    assert_eq!(storage["recordings_size"], listed["files"][0]["file_size"], "{storage}");
    assert!(storage["used_space"].as_u64() < storage["total_space"].as_u64(), "{storage}");
    client.call("delete_recording", file).await.unwrap();
    assert_eq!(client.call("list_recordings", json!({})).await.unwrap()["total"], 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_says_how_long_it_is_and_when_it_began() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut client = service.client("admin").await;
    for format in ["fmp4", "mp4", "mkv", "mpegts"] {
        let before = SystemTime::now();
        let wanted = json!({ "device": "camera0", "format": format });
        let started = client.call("start_recording", wanted).await.unwrap();
        let file = json!({ "filename": started["filename"] });
        let mut reader = stream.subscribe(camera_service::stream::Join::Live);
        for _ in 0..75 {
            reader.next().await;
        }
        let growing = client.call("get_recording_info", file.clone()).await.unwrap();
        assert_eq!((&growing["recording"], &growing["device"]), (&json!(true), &json!("camera0")), "{growing}");
        let most = before.elapsed().unwrap().as_secs() + 2;
        assert!(growing["duration"].as_u64() <= Some(most), "not over {most}: {growing}");
        let newest = client.call("list_recordings", json!({ "limit": 1 })).await.unwrap();
        assert_eq!(
            (&newest["files"][0]["filename"], &newest["files"][0]["recording"]),
            (&started["filename"], &json!(true))
        );

        let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
        let path = service.recording(&started["filename"]).display().to_string();
        let entries = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &path];
        let seconds: f64 = run("ffprobe", &entries).await.unwrap().trim().parse().unwrap();
        let info = client.call("get_recording_info", file).await.unwrap();
        let told = info["duration"].as_f64().unwrap();
        assert!((told - seconds).abs() < 0.52 && told >= 2.0, "{format}: {told} s, not {seconds} s");
        assert_eq!((&info["duration"], &info["file_size"]), (&stopped["duration"], &stopped["file_size"]), "{info}");
        assert_eq!((&info["format"], &info["recording"]), (&json!(format), &json!(false)), "{info}");
        assert_eq!(info["download_url"], stopped["download_url"]);
        let created = OffsetDateTime::parse(info["created_time"].as_str().unwrap(), &Rfc3339).unwrap();
        let distance = (created - OffsetDateTime::from(before)).abs();
        assert!(distance < Duration::from_secs(20), "{info}");
        let listed = client.call("list_recordings", json!({ "limit": 1 })).await.unwrap();
        assert_eq!(
            (&listed["files"][0]["duration"], &listed["files"][0]["recording"]),
            (&info["duration"], &json!(false))
        );
    }
    // A file that says nothing, and one that is not there.
    let nameless = service.recording(&json!("front door.mkv"));
    std::fs::write(&nameless, "not a film").unwrap();
    let info = client.call("get_recording_info", json!({ "filename": "front door.mkv" })).await.unwrap();
    assert_eq!(
        (&info["duration"], &info["format"], &info["device"]),
        (&json!(null), &json!("mkv"), &json!("")),
        "{info}"
    );
    let listed = client.call("list_recordings", json!({})).await.unwrap();
    assert_eq!((&listed["total"], listed["files"][0].get("duration")), (&json!(5), None), "{listed}");
    for (filename, code) in [("absent.mp4", -32010), ("../state/identity.json", -32602), ("jwt-secret", -32010)] {
        let refused = client.call("get_recording_info", json!({ "filename": filename })).await.unwrap_err();
        assert_eq!(refused["code"], code, "{refused}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_says_how_large_it_is_and_when_it_was_taken() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    for format in ["jpeg", "png"] {
        let taken = client.call("take_snapshot", json!({ "device": "camera0", "format": format })).await.unwrap();
        let info = client.call("get_snapshot_info", json!({ "filename": taken["filename"] })).await.unwrap();
        for same in ["filename", "device", "file_size", "width", "height", "download_url"] {
            assert_eq!(info[same], taken[same], "{same}");
        }
        // The name has the second.
        let second = |time: &serde_json::Value| time.as_str().unwrap()[..19].to_owned();
        assert_eq!(second(&info["created_time"]), second(&taken["timestamp"]));
    }
    let broken = service.folder.path().join("state/snapshots/broken.png");
    std::fs::write(broken, "not a picture").unwrap();
    let info = client.call("get_snapshot_info", json!({ "filename": "broken.png" })).await.unwrap();
    assert_eq!((&info["width"], &info["height"]), (&json!(null), &json!(null)), "{info}");
    let refused = client.call("get_snapshot_info", json!({ "filename": "absent.png" })).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["resource"]), (&json!(-32010), &json!("snapshot")), "{refused}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_what_it_is_and_how_it_is() {
    let service = Service::start(SMALL).await;
    let mut client = service.client("admin").await;
    let none = client.call("get_system_status", json!({})).await.unwrap();
    assert_eq!((&none["status"], &none["available_cameras"]), (&json!("ready"), &json!([])), "{none}");
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let status = client.call("get_system_status", json!({})).await.unwrap();
    assert_eq!((&status["available_cameras"], &status["discovery_active"]), (&json!(["camera0"]), &json!(true)));
    let trouble = camera_service::error::Error::dependency("device", "/dev/video2: permission denied");
    service.trouble(&Camera::usb(2, "2", Some("SHY")), trouble).await;
    client.notification("camera_status_update", |camera| camera["status"] == "ERROR").await;
    let partial = client.call("get_system_status", json!({})).await.unwrap();
    assert_eq!(partial["status"], "partial", "{partial}");

    let whole = client.call("get_status", json!({})).await.unwrap();
    assert_eq!(whole["status"], "DEGRADED", "{whole}");
    let running = json!({ "websocket_server": "RUNNING", "camera_monitor": "RUNNING", "mediamtx": "RUNNING" });
    assert_eq!(whole["components"], running);
    assert!(whole["uptime"].as_f64() > Some(0.0), "{whole}");

    let info = client.call("get_server_info", json!({})).await.unwrap();
    assert_eq!((&info["name"], &info["version"]), (&json!("camera-service"), &whole["version"]));
    assert!(info["encoders"].as_array().unwrap().contains(&json!("x264enc")), "{info}");
    assert!(info["build_date"].as_str().unwrap().starts_with("20"), "{info}");

    let metrics = client.call("get_metrics", json!({})).await.unwrap();
    assert_eq!(metrics["camera_metrics"]["connected_cameras"], 1, "{metrics}");
    let streams = json!({ "active_streams": 1, "total_streams": 1, "total_viewers": 0 });
    assert_eq!(metrics["stream_metrics"], streams, "{metrics}");
    for usage in ["cpu_usage", "memory_usage", "disk_usage"] {
        let percent = metrics["system_metrics"][usage].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{metrics}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_when_to_come_again() {
    let (folder, file) = support::configured(SMALL);
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("requests_per_minute: 1000000", "requests_per_minute: 5")).unwrap();
    let service = Service::start_in(folder, file).await;
    // Who the client is, is the first request.
    let mut client = service.client("viewer").await;
    for _ in 0..4 {
        client.call("ping", json!({})).await.unwrap();
    }
    let refused = client.call("ping", json!({})).await.unwrap_err();
    assert_eq!(refused["code"], -32040, "{refused}");
    let after = refused["data"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=12_000).contains(&after), "{refused}");
    let mut other = support::rpc::Client::connect(service.app.control_address()).await;
    assert_eq!(other.call("ping", json!({})).await.unwrap_err()["code"], -32040, "it is the same address");
    service.stop().await;
}
