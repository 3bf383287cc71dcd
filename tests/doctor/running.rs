//! A service that runs, as its clients see it.

use std::{fs, net::TcpListener, path::Path};

use rcgen::{CertificateParams, KeyPair};
use support::process::Process;

use super::{Desk, Report, support};

/// Starts the service and waits until the test pattern streams.
async fn started(config: &Path) -> Process {
    let mut service = Process::start(config, "human");
    service.line("streaming at rtsp://").await;
    service
}

/// Off the runtime: the service's log is read meanwhile.
async fn examined(desk: &Desk, arguments: &[&str]) -> Report {
    let mut command = desk.command(&[&["--json"], arguments].concat());
    Report::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_healthy_service_passes_everything() {
    let desk = Desk::new();
    let service = started(&desk.config()).await;
    let report = examined(&desk, &["--running"]).await;
    report.is_good();
    let names: Vec<&str> = report.checks().iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    let mut expected = vec![
        "config.file",
        "config.keys",
        "unit.file",
        "unit.program",
        "unit.arguments",
        "unit.config",
        "unit.sandbox",
        "user.exists",
    ];
    if !super::is_root() {
        expected.extend(["user.video", "user.render"]);
    }
    expected.extend([
        "folders.state_directory",
        "folders.mediamtx.snapshots_path",
        "folders.mediamtx.recordings_path",
        "folders.state_files",
        "room.state_directory",
        "room.mediamtx.snapshots_path",
        "room.mediamtx.recordings_path",
        "ports.server.port",
        "ports.security.health.port",
        "ports.mediamtx.rtsp_port",
        "ports.mediamtx.api_port",
        "ports.mediamtx.metrics_port",
        "ports.mediamtx.playback_port",
        "certificate.files",
        "media.gstreamer",
        "media.elements",
        "media.decoder",
        "media.encoder",
        "devices.nodes",
        "devices.cameras",
        "clock.date",
        "clock.synchronised",
        "running.websocket",
        "running.authentication",
        "running.version",
        "running.health",
        "running.rtsp",
        "running.rtsp.test",
        "running.api",
        "running.metrics",
        "running.playback",
    ]);
    assert_eq!(names, expected);
    // Who runs the tests and what keeps their clock is not the service's doing. Everything else is as it should be.
    for finding in report.checks().iter().filter(|finding| finding["status"] != "ok") {
        assert!(["user.exists", "clock.synchronised"].contains(&finding["check"].as_str().unwrap()), "{finding}");
    }
    report.has("ok", "ports.server.port", "this service's own (pid ");
    report.has("ok", "running.rtsp.test", "has H264");
    let fields: Vec<&String> = report.whole.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["checks", "configuration", "counts", "status", "unit", "user", "version"]);
    let fields: Vec<&String> = report.checks()[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["check", "fix", "message", "status"]);
    let fields: Vec<&String> = report.whole["counts"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["fail", "ok", "skipped", "warn"]);
    assert_eq!(service.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_configured_and_not_served_is_seen() {
    let desk = Desk::new();
    let service = started(&desk.config()).await;
    let address = &desk.address;
    let health = |port: u16| format!("health: {{ bind_address: {address}, port: {port} }}");
    let jwt = format!("jwt: {{ secret_key: {} }}", support::SECRET);
    // As if the service had been started with another file: the port that never was bound, and all others.
    for (check, other, words) in [
        ("running.websocket", format!("server: {{ host: {address}, port: 8012 }}"), "does not answer"),
        ("running.websocket", format!("server: {{ host: {address}, websocket_path: /control }}"), "does not answer"),
        (
            "running.authentication",
            format!("security: {{ jwt: {{ secret_key: {} }}, {} }}", "y".repeat(32), health(8003)),
            "Authentication failed",
        ),
        ("running.health", format!("security: {{ {jwt}, {} }}", health(8013)), "8013 does not answer"),
        ("running.rtsp", format!("mediamtx: {{ api_bind_address: {address}, rtsp_port: 8564 }}"), "refused"),
        ("running.rtsps", format!("mediamtx: {{ api_bind_address: {address}, rtsps_enabled: true }}"), "refused"),
        ("running.api", format!("mediamtx: {{ api_bind_address: {address}, api_port: 9987 }}"), "does not answer"),
        (
            "running.metrics",
            format!("mediamtx: {{ api_bind_address: {address}, metrics_port: 9988 }}"),
            "does not answer",
        ),
        (
            "running.playback",
            format!("mediamtx: {{ api_bind_address: {address}, playback_port: 9986 }}"),
            "does not answer",
        ),
    ] {
        let file = desk.path("other.yaml");
        desk.configure_at(&file, &other);
        let report = examined(&desk, &["--only", "running", "--config", file.to_str().unwrap()]).await;
        report.has("fail", check, words);
        let failed = report.checks().iter().filter(|finding| finding["status"] == "fail").count();
        assert_eq!(failed, 1, "{other}: {:#}", report.whole);
    }
    assert_eq!(service.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_service_that_does_not_run_is_a_failure_where_it_has_to() {
    let desk = Desk::new();
    let report = desk.examine(&["--only", "running"]);
    report.has("skipped", "running.service", "nobody listens");
    report.is_good();
    desk.examine(&["--only", "running", "--running"]).has("fail", "running.service", "nobody listens");
    // Somebody else is there instead.
    let squatter = TcpListener::bind((desk.address.as_str(), 8002)).unwrap();
    let hanging_up = std::thread::spawn(move || drop(squatter.accept().unwrap()));
    desk.examine(&["--only", "running"]).has("fail", "running.websocket", "does not answer");
    hanging_up.join().unwrap();
}

#[tokio::test]
async fn inside_tls_the_same_is_asked() {
    let desk = Desk::new();
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["camera.example.org".to_owned()]).unwrap().self_signed(&pair).unwrap();
    fs::write(desk.path("cert.pem"), certificate.pem()).unwrap();
    fs::write(desk.path("key.pem"), pair.serialize_pem()).unwrap();
    let (root, address) = (desk.folder.path().display(), &desk.address);
    desk.configure(&format!(
        "security: {{ jwt: {{ secret_key: {} }}, health: {{ bind_address: {address} }}, ssl: {{ enabled: true, cert_file: \
         {root}/cert.pem, key_file: {root}/key.pem }} }}\nmediamtx: {{ rtsps_enabled: true, api_bind_address: {address} }}",
        support::SECRET
    ));
    let service = started(&desk.config()).await;
    let report = examined(&desk, &["--only", "certificate,ports,running"]).await;
    report.is_good();
    report.has("ok", "running.websocket", "wss://");
    report.has("ok", "running.rtsps.test", "has H264");
    report.has("ok", "running.api", "9997");
    report.has("ok", "certificate.dates", "good until");
    // Another certificate than the one that is shown: whoever listens there is not believed.
    let other = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["camera.example.org".to_owned()]).unwrap().self_signed(&other).unwrap();
    for (name, text) in [("other.pem", certificate.pem()), ("other.key", other.serialize_pem())] {
        fs::write(desk.path(name), text).unwrap();
    }
    let yaml =
        fs::read_to_string(desk.config()).unwrap().replace("cert.pem", "other.pem").replace("key.pem", "other.key");
    fs::write(desk.path("other.yaml"), yaml).unwrap();
    let file = desk.path("other.yaml").display().to_string();
    examined(&desk, &["--only", "running", "--config", &file]).await.has(
        "fail",
        "running.websocket",
        "does not answer",
    );
    assert_eq!(service.terminate().await.code(), Some(0));
}
