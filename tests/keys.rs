//! API keys from the command line to a running service, and what never comes into its log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use support::{
    PATIENCE,
    process::{BINARY, Process, after},
    rpc::Client,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{connect_async, tungstenite::client::IntoClientRequest};

const NO_CAMERA: &str = "camera: { test_pattern: never, discovery_enabled: false }";

fn configured() -> (TempDir, PathBuf, PathBuf) {
    let (folder, file) = support::configured(NO_CAMERA);
    let keys = folder.path().join("state/api-keys.json");
    (folder, file, keys)
}

fn key(config: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).arg("key").args(arguments).arg("--config").arg(config).output().unwrap()
}

fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn list(config: &Path) -> Vec<Value> {
    serde_json::from_str(&printed(key(config, &["list", "--json"]))).unwrap()
}

#[test]
fn keys_are_made_listed_and_revoked_on_the_command_line() {
    let (_folder, config, file) = configured();
    assert!(printed(key(&config, &["list"])).contains("no API keys"));
    let door = printed(key(&config, &["add", "--role", "operator", "--name", "door", "--days", "30"]));
    let other = printed(key(&config, &["add", "--role", "viewer"]));
    assert!(door.len() >= 32 && door != other && !door.contains(char::is_whitespace), "{door}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let keys = list(&config);
    assert_eq!(
        (&keys[0]["name"], &keys[0]["role"], &keys[0]["expired"]),
        (&json!("door"), &json!("operator"), &json!(false))
    );
    assert!(keys[0]["expires"].as_str().unwrap().ends_with('Z') && keys[1]["expires"].is_null());
    let id = keys[0]["id"].as_str().unwrap();
    let fields: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["created", "expired", "expires", "id", "name", "role"], "salt and hash are nobody's business");
    let table = printed(key(&config, &["list"]));
    assert!(table.contains(id) && table.contains("door") && table.contains("never"), "{table}");
    for made in [&door, &other] {
        let secret = made.rsplit('_').next().unwrap();
        let shown = format!("{table}{keys:?}{}", fs::read_to_string(&file).unwrap());
        assert!(!shown.contains(secret), "a key is shown once");
    }

    assert!(printed(key(&config, &["revoke", id])).contains("door"));
    assert_eq!(list(&config).len(), 1);
    let again = key(&config, &["revoke", id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains(id));
    for wrong in [&["add"][..], &["add", "--role", "root"], &["add", "--role", "viewer", "--days", "0"], &[]] {
        assert_eq!(key(&config, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_configured_file_is_the_one_that_is_used() {
    let (folder, config, default) = configured();
    let file = folder.path().join("elsewhere/keys");
    let with_file = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.env("CAMERA_SERVICE__SECURITY__API_KEYS__STORAGE_FILE", &file);
        command.args(arguments).arg("--config").arg(&config).output().unwrap()
    };
    printed(with_file(&["key", "add", "--role", "viewer"]));
    assert!(file.exists() && !default.exists());
    fs::write(&file, "{").unwrap();
    let complaint = with_file(&["key", "list"]).stderr;
    assert!(String::from_utf8(complaint).unwrap().contains("elsewhere/keys"));
}

#[tokio::test]
async fn a_key_file_that_cannot_be_understood_is_named_and_left_alone_and_the_service_starts() {
    let (_folder, config, file) = configured();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["key", "list"][..], &["key", "add", "--role", "viewer"]] {
        let output = Command::new(BINARY).args(arguments).arg("--config").arg(&config).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {complaint}");
        let last = complaint.lines().last().unwrap();
        assert!(last.contains("api-keys.json") && last.contains("key add"), "{arguments:?}: {complaint}");
    }
    let mut service = Process::start(&config, "human");
    let warning = service.line("stay as they were").await;
    assert!(warning.contains("api-keys.json") && warning.contains("key add"), "{warning}");
    service.line("ws://").await;
    assert_eq!(service.terminate().await.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{");
}

#[test]
fn a_secret_that_is_too_short_does_not_start() {
    let (_folder, config, _) = configured();
    let text = fs::read_to_string(&config).unwrap().replace(support::SECRET, &support::SECRET[1..]);
    fs::write(&config, text).unwrap();
    let output = Command::new(BINARY).arg("--config").arg(&config).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(complaint.contains("security.jwt.secret_key") && !complaint.contains(&support::SECRET[1..]), "{complaint}");
}

#[tokio::test]
async fn without_a_secret_one_is_made_that_is_private_and_explained() {
    let (folder, config, _) = configured();
    let text = fs::read_to_string(&config).unwrap().replace(support::SECRET, "\"\"");
    fs::write(&config, text).unwrap();
    let mut service = Process::start(&config, "human");
    let told = service.line("jwt-secret").await;
    assert!(told.contains("security.jwt.secret_key") && told.contains("camera-service token"), "{told}");
    let address = after(&service.line("ws://").await, "ws://").parse().unwrap();
    let file = folder.path().join("state/jwt-secret");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let mut command = Command::new(BINARY);
    let made = printed(command.args(["token", "--role", "viewer", "--config"]).arg(&config).output().unwrap());
    drop(Client::authenticated(address, &made).await);
    let secret = fs::read_to_string(&file).unwrap();
    let (_, log) = service.terminate_with_log().await;
    assert!(!log.join("\n").contains(secret.trim()), "it is kept in the file alone");
}

#[tokio::test]
async fn a_running_service_follows_the_command_line_and_outlives_a_broken_file() {
    let (_folder, config, file) = configured();
    let mut service = Process::start(&config, "human");
    let address = after(&service.line("ws://").await, "ws://").parse().unwrap();
    let made = printed(key(&config, &["add", "--role", "viewer"]));
    service.line("API keys were read").await;
    let mut client = Client::authenticated(address, &made).await;
    client.call("get_camera_list", json!({})).await.unwrap();

    let good = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let warning = service.line("stay as they were").await;
    assert!(warning.contains("api-keys.json"), "{warning}");
    client.call("get_camera_list", json!({})).await.unwrap();
    fs::write(&file, good).unwrap();
    service.line("API keys were read").await;
    client.call("get_camera_list", json!({})).await.unwrap();

    printed(key(&config, &["revoke", list(&config)[0]["id"].as_str().unwrap()]));
    service.line("API keys were read").await;
    assert_eq!(client.call("get_camera_list", json!({})).await.unwrap_err()["code"], -32001);
    drop(client);
    assert_eq!(service.terminate().await.code(), Some(0));
}

/// Opens a socket and asks for a download with this header.
async fn show(address: SocketAddr, name: &'static str, value: &str) {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert(name, value.parse().unwrap());
    // Good ones are let in and bad ones are not; both have been seen.
    drop(connect_async(request).await);
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /files/snapshots/a.jpg HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{name}: {value}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut reply)).await.expect("a reply").unwrap();
}

#[tokio::test]
async fn tokens_and_keys_never_come_into_the_log() {
    let (_folder, config, _) = configured();
    let text = fs::read_to_string(&config).unwrap() + "logging: { level: trace }\n";
    fs::write(&config, text).unwrap();
    let good = [support::token("viewer"), printed(key(&config, &["add", "--role", "viewer"]))];
    let mut service = Process::start(&config, "human");
    let address = after(&service.line("ws://").await, "ws://").parse().unwrap();
    // A bad one before each good one, which sets the count of failures back. Almost good: somebody's slip is still most of
    // a secret.
    for shown in good.iter().flat_map(|good| [format!("{good}x"), good.clone()]) {
        let mut client = Client::connect(address).await;
        // What the reply is does not matter here.
        drop(client.call("authenticate", json!({ "auth_token": shown })).await);
        drop(client.call("authenticate", json!({ "auth_token": [shown] })).await);
        drop(client.call("authenticate", json!({ "auth_tokem": shown })).await);
        show(address, "x-api-key", &shown).await;
    }
    show(address, "authorization", &format!("Bearer {}", good[0])).await;
    let (_, log) = service.terminate_with_log().await;
    let log = log.join("\n");
    for proof in ["TRACE", "authenticated", "there is no such API key", "not signed with this service's secret"] {
        assert!(log.contains(proof), "{proof} is not in {log}");
    }
    let secrets = good.iter().map(|shown| shown.rsplit(['.', '_']).next().unwrap());
    for secret in secrets.chain([support::SECRET]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
