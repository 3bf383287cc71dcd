//! The binary itself: it starts, says what is wrong, and stops without losing anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    pin::pin,
    process::{Command, Stdio},
};

use serde_json::json;
use support::{
    PATIENCE,
    peers::decode,
    process::{BINARY, Process, after},
    rpc::Client,
};
use tokio::{process::Command as AsyncCommand, time::timeout};

#[tokio::test]
async fn sigterm_closes_the_recording_tells_the_client_and_exits_with_0() {
    let extra = "camera: { test_pattern: always, discovery_enabled: false }\nstreams: { width: 640, height: 360 }";
    let (folder, file) = support::configured(extra);
    let mut service = Process::start(&file, "human");
    let address = after(&service.line("ws://").await, "ws://").parse().unwrap();
    let mut client = Client::authenticated(address, &support::token("operator")).await;
    let started = client.call("start_recording", json!({ "device": "test" })).await.unwrap();
    // Two more pictures of the stream show that frames have gone by since.
    for _ in 0..2 {
        client.call("take_snapshot", json!({ "device": "test" })).await.unwrap();
    }
    let status = service.terminate().await;
    assert_eq!(status.code(), Some(0));
    let told = client.notification("recording_status_update", |told| told["status"] == "STOPPED").await;
    assert_eq!(told["filename"], started["filename"], "{told}");
    assert_eq!(client.closed().await, Some(1001));
    decode(&folder.path().join("state/recordings").join(started["filename"].as_str().unwrap())).await.unwrap();
}

#[tokio::test]
async fn systemd_is_told_of_the_start_and_of_the_time_that_stopping_may_take() {
    let (folder, file) = support::configured("camera: { test_pattern: never, discovery_enabled: false }");
    let socket = folder.path().join("notify");
    let systemd = tokio::net::UnixDatagram::bind(&socket).unwrap();
    let env = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("CAMERA_SERVICE__SERVER__SHUTDOWN_TIMEOUT", "300s")];
    let mut service = Process::start_with(&file, "human", &env);
    let hear = async || {
        let mut told = [0; 256];
        let length = timeout(PATIENCE, systemd.recv(&mut told)).await.unwrap().unwrap();
        String::from_utf8(told[..length].to_vec()).unwrap()
    };
    service.line("ws://").await;
    assert_eq!(hear().await.trim(), "READY=1");
    assert_eq!(service.terminate().await.code(), Some(0));
    // The unit's own time would end it sooner.
    let lines = hear().await;
    assert_eq!(lines.lines().collect::<Vec<_>>(), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=305000000"]);
}

#[tokio::test]
async fn log_lines_are_json_on_request() {
    let (_folder, file) = support::configured("camera: { test_pattern: never, discovery_enabled: false }");
    let mut service = Process::start(&file, "json");
    let line = service.line("ws://").await;
    assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["fields"]["message"].is_string(), "{line}");
    assert_eq!(service.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn log_lines_that_go_to_no_terminal_have_no_colours() {
    let (_folder, file) = support::configured("camera: { test_pattern: never, discovery_enabled: false }");
    let mut service = Process::start(&file, "human");
    let line = service.line("ws://").await;
    assert!(!line.contains('\u{1b}'), "{line:?}");
    assert_eq!(service.terminate().await.code(), Some(0));
}

#[test]
fn a_wrong_configuration_is_exit_code_78_with_the_place_and_the_nearest_key() {
    let (_folder, file) = support::configured("streams: { widht: 640 }");
    for arguments in [vec!["check-config", file.to_str().unwrap()], vec!["--config", file.to_str().unwrap()]] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{complaint}");
        assert!(complaint.contains("camera-service.yaml:") && complaint.contains("width"), "{complaint}");
    }
}

#[test]
fn a_taken_port_is_named_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (_folder, file) = support::configured("");
    let text =
        std::fs::read_to_string(&file).unwrap().replace("port: 0 }\nsecurity", &format!("port: {port} }}\nsecurity"));
    std::fs::write(&file, text).unwrap();
    let output = Command::new(BINARY).arg("--config").arg(&file).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains(&format!("port {port} is taken")), "{complaint}");
}

#[test]
fn a_token_from_the_command_line_is_one_the_service_takes() {
    let (_folder, file) = support::configured("");
    let output = Command::new(BINARY).args(["token", "--role", "admin", "--config"]).arg(&file).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let tokens = {
        use camera_service::command::token::{Secret, Tokens};
        Tokens::new(&Secret::new(support::SECRET).unwrap())
    };
    assert_eq!(tokens.verify(token.trim()).unwrap().role, "admin".parse().unwrap());
}

#[test]
fn cameras_are_listed_as_a_table_and_as_json() {
    // There may be cameras on the machine that runs this.
    let table = Command::new(BINARY).arg("list-cameras").output().unwrap();
    assert!(table.status.success());
    let json = Command::new(BINARY).args(["list-cameras", "--json"]).output().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap().is_array());
}

#[tokio::test]
async fn systemd_is_told_of_ready_watchdog_and_stopping() {
    let (folder, file) = support::configured("camera: { test_pattern: never, discovery_enabled: false }");
    let address = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&address).unwrap();
    let mut service = AsyncCommand::new(BINARY)
        .arg("--config")
        .arg(&file)
        .env("NOTIFY_SOCKET", &address)
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut buffer = [0; 256];
    for expected in ["READY=1", "WATCHDOG=1", "STOPPING=1"] {
        loop {
            let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("told in time").unwrap();
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.contains(expected) {
                break;
            }
            assert!(told.contains("WATCHDOG=1"), "before {expected}: {told}");
        }
        if expected == "WATCHDOG=1" {
            let pid = service.id().unwrap().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        }
    }
    // The watchdog goes on until the end, and somebody has to listen to it.
    let mut end = pin!(timeout(PATIENCE, service.wait()));
    let ended = loop {
        tokio::select! {
            ended = &mut end => break ended,
            told = socket.recv(&mut buffer) => assert!(told.is_ok(), "{told:?}"),
        }
    };
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
}
