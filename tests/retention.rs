//! What is deleted when, over the socket, by itself and after a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use support::{Camera, PATIENCE, SMALL, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Makes a file of so many bytes that was last written so many days ago.
fn file(folder: &Path, name: &str, days: u32, size: u64) -> PathBuf {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    age(&path, days);
    path
}

fn age(path: &Path, days: u32) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400) * days).unwrap();
}

fn folders(service: &Service) -> (PathBuf, PathBuf) {
    let state = service.folder.path().join("state");
    (state.join("recordings"), state.join("snapshots"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_checked_stored_and_in_force_after_a_restart() {
    let service = Service::start(SMALL).await;
    let (recordings, snapshots) = folders(&service);
    let mut client = service.client("admin").await;
    for (params, param) in [
        (json!({ "enabled": true }), "policy_type"),
        (json!({ "policy_type": "age" }), "enabled"),
        (json!({ "policy_type": "colour", "enabled": true }), "policy_type"),
        (json!({ "policy_type": "age", "enabled": "yes" }), "enabled"),
        (json!({ "policy_type": "age", "enabled": true, "max_age_days": 0 }), "max_age_days"),
        (json!({ "policy_type": "age", "enabled": true, "max_age_days": 1.5 }), "max_age_days"),
        (json!({ "policy_type": "size", "enabled": true, "max_size_gb": 0 }), "max_size_gb"),
        (json!({ "policy_type": "size", "enabled": true, "max_size_gb": 1e9 }), "max_size_gb"),
        (json!({ "policy_type": "size", "enabled": true, "max_size": 1 }), "max_size"),
        (json!({ "policy_type": "size", "enabled": true, "min_free_gb": -1 }), "min_free_gb"),
        (json!({ "policy_type": "size", "enabled": true, "cameras": [{ "device": "camera0" }] }), "cameras"),
    ] {
        let refused = client.call("set_retention_policy", params.clone()).await.unwrap_err();
        assert_eq!(
            (&refused["code"], &refused["data"]["param"]),
            (&json!(-32602), &json!(param)),
            "{params}: {refused}"
        );
        assert!(refused["data"]["hint"].is_string() && refused["data"]["rule"].is_string(), "{refused}");
    }
    let idle = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!(idle["cleanup_executed"], false, "{idle}");
    for role in ["viewer", "operator"] {
        let mut other = service.client(role).await;
        let params = json!({ "policy_type": "manual", "enabled": true });
        assert_eq!(other.call("set_retention_policy", params).await.unwrap_err()["code"], -32002);
        assert_eq!(other.call("cleanup_old_files", json!({})).await.unwrap_err()["code"], -32002);
    }

    file(&recordings, "old.mp4", 9, 1000);
    file(&recordings, "new.mp4", 1, 1000);
    file(&snapshots, "old.jpg", 9, 100);
    file(&recordings, "notes.txt", 9, 100);
    let params = json!({ "policy_type": "age", "enabled": true, "max_age_days": 7 });
    let set = client.call("set_retention_policy", params).await.unwrap();
    let message = set["message"].as_str().unwrap();
    assert!(message.contains("7 days"), "{set}");
    let stored = json!({ "policy_type": "age", "max_age_days": 7, "max_size_gb": 10.0, "min_free_gb": 0.0,
        "cameras": [], "enabled": true, "message": message });
    assert_eq!(set, stored);
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    let expected = json!({ "cleanup_executed": true, "files_deleted": 2, "space_freed": 1100,
        "message": "2 files are gone" });
    assert_eq!(cleaned, expected);
    assert!(recordings.join("new.mp4").exists() && recordings.join("notes.txt").exists());

    // The next one goes by what was set, by itself, and not by the configuration.
    let (folder, config) = service.stop().await;
    file(&recordings, "older.mp4", 8, 1000);
    let service = Service::start_in(folder, config).await;
    let mut client = service.client("admin").await;
    let total = async |client: &mut support::rpc::Client, total: u64| {
        while client.call("list_recordings", json!({})).await.unwrap()["total"] != total {}
    };
    timeout(PATIENCE, total(&mut client, 1)).await.expect("it is deleted at start");
    assert!(!recordings.join("older.mp4").exists() && recordings.join("new.mp4").exists());
    // Changing the type alone keeps the numbers.
    let params = json!({ "policy_type": "manual", "enabled": true });
    let manual = client.call("set_retention_policy", params).await.unwrap();
    assert_eq!((&manual["max_age_days"], &manual["policy_type"]), (&json!(7), &json!("manual")));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_go_when_all_take_too_much_but_never_what_is_being_written() {
    let service = Service::start(&format!("{SMALL}retention_policy: {{ auto_cleanup: false }}")).await;
    let (recordings, snapshots) = folders(&service);
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("admin").await;
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    let written = service.recording(&started["filename"]);
    let names = ["a.mp4", "b.mp4", "c.mp4"];
    for (days, name) in (1..).zip(names.into_iter().rev()) {
        file(&recordings, name, days * 10, 1_000_000);
    }
    file(&snapshots, "d.jpg", 25, 1_000_000);
    let params = json!({ "policy_type": "size", "enabled": true, "max_size_gb": 0.0025 });
    let set = client.call("set_retention_policy", params).await.unwrap();
    assert!(set["message"].as_str().unwrap().contains("on request only"), "{set}");
    // As if it were the oldest of all.
    age(&written, 90);
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    let there = |name: &str| recordings.join(name).exists();
    // What is being written counts; how much that is by now, nobody knows.
    assert!(!there("a.mp4") && !snapshots.join("d.jpg").exists(), "{cleaned}");
    assert!(written.exists(), "{cleaned}");
    let params = json!({ "policy_type": "age", "enabled": true, "max_age_days": 5 });
    client.call("set_retention_policy", params).await.unwrap();
    age(&written, 90);
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert!(written.exists() && names.iter().all(|name| !there(name)));

    let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["filename"], started["filename"]);
    age(&written, 90);
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!((&cleaned["files_deleted"], &cleaned["space_freed"]), (&json!(1), &stopped["file_size"]));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_has_limits_of_its_own_and_no_room_spares_only_what_is_in_use() {
    let service = Service::start(&format!("{SMALL}retention_policy: {{ auto_cleanup: false }}")).await;
    let (recordings, snapshots) = folders(&service);
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let of = |device: &str, day: u32, ending: &str| format!("{device}_2026-01-{day:02}_00-00-00.{ending}");
    let kept = [
        file(&recordings, &of("camera8", 1, "mp4"), 40, 1000),
        file(&recordings, &of("camera9", 2, "mp4"), 3, 900_000),
        file(&recordings, &of("other", 1, "mp4"), 20, 1000),
    ];
    let gone = [
        file(&recordings, &of("camera8", 2, "mp4"), 100, 1000),
        file(&snapshots, &of("camera8", 3, "jpg"), 100, 1000),
        file(&recordings, &of("camera9", 1, "mp4"), 4, 900_000),
        file(&recordings, &of("other", 2, "mp4"), 40, 1000),
    ];
    let mut client = service.client("admin").await;
    let cameras = json!([{ "device": "camera8", "max_age_days": 90 }, { "device": "camera9", "max_size_gb": 0.001 }]);
    let params = json!({ "policy_type": "age", "enabled": true, "max_age_days": 30, "cameras": cameras });
    let set = client.call("set_retention_policy", params).await.unwrap();
    assert_eq!(set["cameras"], cameras, "{set}");
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!((&cleaned["files_deleted"], &cleaned["space_freed"]), (&json!(4), &json!(903_000)), "{cleaned}");
    assert!(kept.iter().all(|file| file.exists()) && !gone.iter().any(|file| file.exists()));

    // No disk has so much room: whatever is not in use goes.
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    let address = service.app.control_address();
    let downloaded = file(&recordings, "downloaded.mp4", 1, 50_000_000);
    let mut download = tokio::net::TcpStream::connect(address).await.unwrap();
    let token = support::token("viewer");
    let get = format!(
        "GET /files/recordings/downloaded.mp4 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    download.write_all(get.as_bytes()).await.unwrap();
    // It has begun, and is not read on.
    download.read_u8().await.unwrap();
    let params = json!({ "policy_type": "age", "enabled": false, "min_free_gb": 1_000_000 });
    let set = client.call("set_retention_policy", params).await.unwrap();
    assert_eq!(set["cameras"], cameras, "what is left out stays: {set}");
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!(cleaned["files_deleted"], 3, "{cleaned}");
    assert!(cleaned["message"].as_str().unwrap().contains("no other file may go"), "{cleaned}");
    assert!(service.recording(&started["filename"]).exists() && downloaded.exists());
    drop(download);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_the_configuration_hold_by_themselves() {
    let limits = "
recording: { cleanup_after_days: 5 }
snapshots: { cleanup_after_days: 50, max_count: 2 }
";
    let (folder, config) = support::configured(&format!("{SMALL}{limits}"));
    let state = folder.path().join("state");
    let (recordings, snapshots) = (state.join("recordings"), state.join("snapshots"));
    fs::create_dir_all(&recordings).unwrap();
    fs::create_dir_all(&snapshots).unwrap();
    file(&recordings, "old.mkv", 6, 10);
    file(&recordings, "new.mkv", 4, 10);
    for (name, days) in [("1.jpg", 60), ("2.jpg", 40), ("3.png", 30), ("4.jpeg", 20)] {
        file(&snapshots, name, days, 10);
    }
    let service = Service::start_in(folder, config).await;
    let mut client = service.client("admin").await;
    let names = |list: &Value| -> Vec<String> {
        list["files"].as_array().unwrap().iter().map(|file| file["filename"].as_str().unwrap().to_owned()).collect()
    };
    let cleaned = async {
        loop {
            let recordings = names(&client.call("list_recordings", json!({})).await.unwrap());
            let snapshots = names(&client.call("list_snapshots", json!({})).await.unwrap());
            if recordings == ["new.mkv"] && snapshots == ["4.jpeg", "3.png"] {
                return;
            }
        }
    };
    timeout(PATIENCE, cleaned).await.expect("what has to go goes, and nothing else");
    service.stop().await;
}
