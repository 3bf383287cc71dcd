//! The JSON Schema of the configuration: it is the code's, it takes what the service takes, and refuses what it refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{fs, path::Path, process::Command};

use camera_service::config::Config;
use jsonschema::Validator;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&Config::schema()).unwrap_or_else(|error| panic!("not a schema: {error}"))
}

fn complaints(schema: &Validator, yaml: &str) -> Vec<String> {
    let value: Value = serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn configurations() -> Vec<(String, String)> {
    let files =
        ["config", "tests/fixtures/config"].into_iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    paths.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn who_stops_reading_hears_no_complaint() {
    let line = format!("{} schema | head -1", env!("CARGO_BIN_EXE_camera-service"));
    let read = Command::new("sh").args(["-c", &line]).output().unwrap();
    let (printed, complaint) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert_eq!((printed.trim(), complaint.as_ref()), ("{", ""));
}

#[test]
fn the_published_schema_is_the_codes() {
    let published = fs::read_to_string(root().join("config/camera-service.schema.json")).unwrap();
    let printed = Command::new(env!("CARGO_BIN_EXE_camera-service")).arg("schema").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let help = "run: cargo run -- schema > config/camera-service.schema.json";
    assert!(published == printed && !printed.is_empty(), "{help}");
}

#[test]
fn it_takes_every_configuration_of_ours() {
    let schema = validator();
    let files = configurations();
    assert!(files.len() >= 6, "the configurations are not where they were: {files:?}");
    for (file, yaml) in files {
        assert_eq!(complaints(&schema, &yaml), Vec::<String>::new(), "{file}");
    }
}

#[test]
fn every_example_is_one_that_the_service_takes() {
    for board in ["camera-service", "raspberry-pi", "jetson", "small-pc"] {
        let file = root().join(format!("config/{board}.yaml"));
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_camera-service"));
        command.arg("check-config").arg(&file).env("STATE_DIRECTORY", state.path());
        // The sample names the folders of an installation, which nobody but root can make.
        for (key, folder) in
            [("STATE_DIRECTORY", ""), ("MEDIAMTX__RECORDINGS_PATH", "r"), ("MEDIAMTX__SNAPSHOTS_PATH", "s")]
        {
            command.env(format!("CAMERA_SERVICE__{key}"), state.path().join(folder));
        }
        let output = command.output().unwrap();
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("valid, 0 warning(s)"), "{said}{complaint}");
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=camera-service.schema.json\n"), "{board}");
    }
}

#[test]
fn it_agrees_with_the_service_on_what_may_be_written() {
    let schema = validator();
    let good = [
        "",
        "server:\n",
        "server: { port: '8002', read_timeout: 59m30s, max_message_size: 512 KiB }",
        "server: { port: '${PORT}' }",
        "server: { host: localhost }",
        "security: { jwt: { secret_key: '' }, cors_origins: [] }",
        "encoder: { order: [x264enc], gop: 15, bitrate: 600k, profile: constrained_baseline, level: 4.1 }",
        "encoder: { gop: 500ms, level: '' }",
        "logging: { level: WARN, format: '%(message)s' }",
        "streams: { fps: 29.97, codec: MJPEG }",
        "camera: { test_pattern: never, devices: [{ match: { serial: '0042' }, id: camera3, controls: { gain: 5, label: '' } }] }",
        "cameras: { poll_interval: 1, capability_timeout: 5, auto_start_streams: off }",
        "mediamtx: { health_check_interval: 3, codec: { bitrate: 600k, preset: fast }, host: localhost }",
        "recording: { enabled: true, segment_duration: 0 }",
        "retention_policy: { cameras: [{ device: camera0, max_size_gb: 5 }], max_size_gb: 0.5 }",
        "external_discovery: { skydio: { network_ranges: [10.0.0.0/20], common_ports: [554], known_ips: ['fd00::1'] } }",
        "pipelines_directory: ~",
    ];
    let bad = [
        "servr: {}",
        "server: { prot: 8002 }",
        "server: 8002",
        "server: { port: many }",
        "server: { port: 70000 }",
        "server: { port: [1] }",
        "server: { read_timeout: 0 }",
        "server: { read_timeout: ten }",
        "server: { host: example.org }",
        "server: { max_connections: 0 }",
        "security: { cors_origins: a }",
        "recording: { format: mp5 }",
        "recording: { auto_record: maybe }",
        "snapshots: { quality: 101 }",
        "streams: { fps: 0 }",
        "streams: { ring: { size: many } }",
        "encoder: { order: [x265enc] }",
        "encoder: { bitrate: 9G }",
        "logging: { level: loud }",
        "mediamtx: { api_url: 'http://localhost:9997' }",
        "mediamtx: { codec: { bitrat: 1 } }",
        "camera: { devices: [{ match: { serial: A }, encodr: x264enc }] }",
        "camera: { devices: [{ match: { serial: A }, mode: { width: 640 } }] }",
        "camera: { devices: [camera3] }",
        "camera: { devices: { match: { serial: A } } }",
        "retention_policy: { cameras: [{ max_age_days: 3 }] }",
        "external_discovery: { skydio: { network_ranges: [10.0.0.0] } }",
    ];
    let loads = |yaml: &str| Config::parse("file.yaml", yaml, [("PORT".to_owned(), "1".to_owned())].into_iter());
    for yaml in good {
        loads(yaml).unwrap_or_else(|problems| panic!("{yaml}: {problems}"));
        assert_eq!(complaints(&schema, yaml), Vec::<String>::new(), "{yaml}");
    }
    for yaml in bad {
        assert!(loads(yaml).is_err(), "the service takes {yaml}");
        assert!(!complaints(&schema, yaml).is_empty(), "the schema takes {yaml}");
    }
}

#[test]
fn defaults_are_in_it_and_secrets_are_not() {
    let schema = Config::schema();
    assert_eq!(schema.pointer("/properties/server/properties/port/default"), Some(&8002.into()));
    assert_eq!(
        schema.pointer("/properties/camera/properties/devices/items/properties/mode/required"),
        Some(&serde_json::json!(["width", "height"]))
    );
    assert_eq!(schema.pointer("/properties/security/properties/jwt/properties/secret_key/default"), Some(&"".into()));
    assert_eq!(schema.pointer("/properties/cameras/deprecated"), Some(&true.into()));
}
