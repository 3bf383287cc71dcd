//! The client in the box against a running service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, path::PathBuf, process::Output};

use serde_json::{Value, json};
use support::{Camera, PATIENCE, SMALL, Service, rpc::Client};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

/// A service, and the command line that reaches it.
struct Desk {
    service: Service,
    config: PathBuf,
    url: String,
}

impl Desk {
    async fn new() -> Self {
        let service = Service::start(SMALL).await;
        service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
        service.streaming("camera0").await;
        let url = format!("ws://{}/ws", service.app.control_address());
        let config = service.folder.path().join("camera-service.yaml");
        Self { service, config, url }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_at(&self.url, arguments)
    }

    fn command_at(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camera-service"));
        command.arg("--config").arg(&self.config).args(["ctl", "--url", url]).args(arguments);
        command.env_remove("CAMERA_SERVICE_TOKEN").kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a person reads.
    async fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn complains(output: Output, code: i32, words: &str) {
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(complaint.contains(words), "{complaint}");
    assert!(code == 2 || complaint.lines().count() == 1, "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_pictures_recordings_and_files() {
    let desk = Desk::new().await;
    let table = String::from_utf8(desk.run(&["list"]).await.stdout).unwrap();
    assert!(table.starts_with("DEVICE ") && table.contains("camera0") && table.contains("CONNECTED"), "{table}");
    assert_eq!(desk.json(&["status", "camera0"]).await["status"], "CONNECTED");
    assert_eq!(desk.json(&["status"]).await["status"], "HEALTHY");
    let taken = desk.json(&["snapshot", "camera0", "--filename", "one.png"]).await;
    assert_eq!((&taken["filename"], &taken["width"]), (&json!("one.png"), &json!(640)));
    let started = desk.json(&["record", "start", "camera0", "--format", "mkv", "--duration", "60"]).await;
    let stopped = desk.json(&["record", "stop", "camera0"]).await;
    assert_eq!((&stopped["filename"], &stopped["format"]), (&started["filename"], &json!("mkv")));
    assert_eq!(desk.json(&["files", "recordings", "--device", "camera0"]).await["total"], 1);
    desk.json(&["delete", "snapshots", "one.png"]).await;
    let none = String::from_utf8(desk.run(&["files", "snapshots"]).await.stdout).unwrap();
    assert_eq!(none, "none\n");
    assert_eq!(desk.json(&["call", "ping"]).await, "pong");
    desk.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_tables_and_a_field_a_line() {
    let desk = Desk::new().await;
    let has = |text: &str, lines: &[&str]| {
        for line in lines {
            assert!(text.lines().any(|there| there.starts_with(line)), "no \"{line}\" in {text}");
        }
    };
    has(&desk.text(&["status"]).await, &["status: HEALTHY"]);
    has(&desk.text(&["status", "camera0"]).await, &["device: camera0", "status: CONNECTED"]);
    has(&desk.text(&["snapshot", "camera0", "--filename", "one.jpg"]).await, &["filename: one.jpg", "width: 640"]);
    has(&desk.text(&["record", "start", "camera0"]).await, &["device: camera0", "filename: camera0_"]);
    has(&desk.text(&["record", "stop", "camera0"]).await, &["device: camera0", "filename: camera0_"]);
    let files = desk.text(&["files", "snapshots", "--limit", "1"]).await;
    assert!(files.lines().count() == 2 && files.contains("FILENAME") && files.contains("one.jpg"), "{files}");
    assert_eq!(desk.text(&["files", "snapshots", "--offset", "1"]).await, "none\n");
    has(&desk.text(&["delete", "snapshots", "one.jpg"]).await, &["filename: one.jpg"]);
    assert_eq!(desk.text(&["call", "ping"]).await, "pong\n");
    // A list is in it, and is not all of it.
    let policy = r#"{"policy_type": "manual", "enabled": false}"#;
    has(&desk.text(&["call", "set_retention_policy", policy]).await, &["policy_type: manual", "cameras: "]);
    desk.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn external_streams_are_added_listed_and_removed() {
    let desk = Desk::new().await;
    // Nobody is there: that is told in the list, and is no reason not to add it.
    let url = "rtsp://127.0.0.1:1/live";
    assert_eq!(desk.text(&["streams"]).await, "none\n");
    let added = desk.json(&["add", url, "gate"]).await;
    assert_eq!((&added["stream_name"], &added["status"]), (&json!("gate"), &json!("ADDED")));
    assert_eq!(desk.json(&["streams"]).await["external_streams"][0]["stream_url"], url);
    let table = desk.text(&["streams"]).await;
    assert!(table.contains("STREAM_NAME") && table.contains("gate"), "{table}");
    complains(desk.run(&["add", url, "door"]).await, 1, "add_external_stream: ");
    assert!(desk.text(&["remove", url]).await.contains("status: REMOVED"));
    complains(desk.run(&["remove", url]).await, 1, "remove_external_stream: ");
    desk.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_what_went_wrong() {
    let desk = Desk::new().await;
    for (arguments, code, words) in [
        (vec!["status", "camera9"], 1, "get_camera_status: Not found"),
        (vec!["call", "ping", "nonsense"], 1, "not JSON"),
        (vec!["--token", "nonsense", "list"], 77, "authenticate: Authentication failed"),
        (vec!["controls", "camera0", "brightness"], 1, "is not NAME=VALUE"),
        (vec!["controls", "camera0", "--reset"], 1, "reset_camera_controls: Dependency failed"),
        (vec!["lits"], 2, "list"),
    ] {
        complains(desk.run(&arguments).await, code, words);
    }
    let viewer = support::token("viewer");
    complains(desk.run(&["--token", &viewer, "snapshot", "camera0"]).await, 77, "take_snapshot: ");
    let nowhere = desk.command_at("ws://127.0.0.1:1/ws", &["list"]).output().await.unwrap();
    complains(nowhere, 69, "does not answer");
    // A secret that the caller may not use.
    fs::write(desk.service.folder.path().join("state/jwt-secret"), support::SECRET).unwrap();
    let text = fs::read_to_string(&desk.config).unwrap().replace(support::SECRET, "\"\"");
    fs::write(&desk.config, text).unwrap();
    complains(desk.run(&["list"]).await, 77, "--token");
    desk.service.stop().await;
}

/// Waits until so many clients have subscribed to something.
async fn subscribed(client: &mut Client, count: u64) {
    let counted = async {
        while client.call("get_subscription_stats", json!({})).await.unwrap()["global_stats"]["active_clients"] != count
        {
        }
    };
    timeout(PATIENCE, counted).await.expect("subscribed in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_printed_as_they_come() {
    let desk = Desk::new().await;
    let mut watching = desk
        .command(&["--json", "watch", "snapshot.*", "--count", "2"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    // It has subscribed when the service says so.
    let mut client = desk.service.client("operator").await;
    subscribed(&mut client, 1).await;
    for name in ["one.jpg", "two.jpg"] {
        client.call("take_snapshot", json!({ "device": "camera0", "filename": name })).await.unwrap();
        let event: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!((&event["topic"], &event["data"]["filename"]), (&json!("snapshot.taken"), &json!(name)));
    }
    assert!(watching.wait().await.unwrap().success());
    // The one that has ended is still counted for a moment, and is not to be taken for the next.
    subscribed(&mut client, 0).await;

    let watching = desk.command(&["watch", "snapshot.*", "--count", "1"]).stdout(std::process::Stdio::piped()).spawn();
    subscribed(&mut client, 1).await;
    client.call("take_snapshot", json!({ "device": "camera0", "filename": "three.jpg" })).await.unwrap();
    let output = timeout(PATIENCE, watching.unwrap().wait_with_output()).await.expect("it ends").unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.contains("Z snapshot.taken {") && line.contains("three.jpg"), "{line}");
    desk.service.stop().await;
}
