//! What may be said: every key, its default, what it means.

use std::{path::Path, time::Duration};

use camera_service::{
    config::{BitRate, ByteSize, Config, Gop, LogFormat, LogLevel, RecordingFormat},
    frame::Codec,
    id::CameraId,
    mode::{FourCc, Rate},
};

use super::{at, config, env, parse, problems, read};

#[test]
fn an_empty_file_means_the_defaults() {
    for text in ["", "# nothing\n", "server:\ncamera:\n", "{}"] {
        assert_eq!(config(text), Config::default(), "{text:?}");
    }
}

#[test]
fn the_sample_is_the_defaults() {
    let sample = read("config/camera-service.yaml");
    let loaded = parse(&sample).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);
}

/// The full path of every key in the sample, with its depth in spaces and whether it opens a section.
fn sample_keys(sample: &str) -> Vec<(String, usize, bool)> {
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut keys = Vec::new();
    for line in sample.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim_start().split_once(':') else { continue };
        path.retain(|(above, _)| *above < depth);
        path.push((depth, key));
        let opens = value.split('#').next().is_some_and(|value| value.trim().is_empty());
        keys.push((path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("."), depth, opens));
    }
    keys
}

#[test]
fn the_sample_has_every_key() {
    // An unknown key in each section brings out the list of the keys that the code asks for there.
    let sample = read("config/camera-service.yaml");
    let keys = sample_keys(&sample);
    let mut text = String::from("no-such-key: 1\n");
    let mut lines = keys.iter();
    for line in sample.lines() {
        text += &format!("{line}\n");
        if line.is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if let Some((_, depth, true)) = lines.next() {
            text += &format!("{}no-such-key: 1\n", " ".repeat(depth + 2));
        }
    }
    let found = problems(&text);
    assert_eq!(found.len(), 1 + keys.iter().filter(|(_, _, opens)| *opens).count(), "{found:#?}");
    for problem in found {
        let section = problem.key.strip_suffix("no-such-key").unwrap();
        for key in problem.valid.unwrap().split(", ").map(|key| format!("{section}{key}")) {
            // The old place of what is in `encoder` today.
            let old = key == "mediamtx.codec";
            assert!(old || keys.iter().any(|(there, ..)| *there == key), "{key} is not in the sample");
        }
    }
}

#[test]
fn a_key_that_is_not_used_yet_warns_and_the_reference_lists_exactly_those() {
    let text = read("tests/fixtures/config/nothing-default.yaml");
    let written: Vec<_> = sample_keys(&text).into_iter().map(|(key, ..)| key).collect();
    for (key, ..) in sample_keys(&read("config/camera-service.yaml")) {
        assert!(written.contains(&key) || key == "pipelines_directory", "{key} is not in the fixture");
    }
    let warnings = parse(&text).unwrap_or_else(|problems| panic!("{problems}")).warnings;
    for warning in &warnings {
        assert!(warning.message.starts_with("is not used by this version yet: "), "{warning}");
    }
    let mut warned: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();

    let reference = read("docs/configuration.md");
    let section = reference.split("\n## ").find(|section| section.starts_with("Read and checked, and not used yet"));
    // What stands between backquotes.
    let mut listed: Vec<&str> = section.unwrap().split('`').skip(1).step_by(2).collect();
    warned.sort_unstable();
    listed.sort_unstable();
    assert_eq!(warned, listed);
}

#[test]
fn a_host_that_means_this_machine_is_not_told_to_clients() {
    for host in ["localhost", "127.0.0.1", "0.0.0.0", "\"\""] {
        assert_eq!(config(&format!("mediamtx: {{host: {host}}}")).mediamtx.host, None, "{host}");
    }
    assert_eq!(config("mediamtx: {host: 192.0.2.7}").mediamtx.host.as_deref(), Some("192.0.2.7"));
}

#[test]
fn a_file_of_an_existing_installation_loads_with_one_warning_for_each_key_without_effect() {
    let text = read("tests/fixtures/config/existing-installation.yaml");
    let secret = "0123456789abcdef0123456789abcdef";
    let loaded = Config::parse("file.yaml", &text, env(&[("CAMERA_SERVICE_JWT_SECRET", secret)]))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let keys: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    let expected = [
        "mediamtx.config_path",
        "mediamtx.codec.pixel_format",
        "mediamtx.health_check_interval",
        "mediamtx.health_failure_threshold",
        "mediamtx.health_circuit_breaker_timeout",
        "mediamtx.health_max_backoff_interval",
        "mediamtx.health_recovery_confirmation_threshold",
        "mediamtx.backoff_base_multiplier",
        "mediamtx.backoff_jitter_range",
        "mediamtx.process_termination_timeout",
        "mediamtx.process_kill_timeout",
        "mediamtx.stream_readiness",
        "cameras.polling_interval",
        "cameras.device_range",
        "cameras.enable_capability_detection",
        "cameras.capability_timeout",
        "cameras.capability_retry_interval",
        "cameras.capability_max_retries",
        "logging.format",
        "logging.file_enabled",
        "logging.file_path",
        "recording.quality",
        "storage.default_path",
    ];
    assert_eq!(keys, expected);
    let config = loaded.config;
    assert_eq!(config.security.jwt.secret_key.expose(), secret);
    assert_eq!(config.server.read_timeout, Duration::from_secs(5));
    assert_eq!(config.server.max_message_size, ByteSize(1 << 20));
    assert_eq!(config.encoder.bitrate, BitRate(600_000));
    assert_eq!(config.encoder.level.map(|level| level.0), Some(30));
    assert_eq!(config.camera.detection_timeout, Duration::from_secs(2));
    assert_eq!((config.logging.level, config.logging.format), (LogLevel::Info, LogFormat::Human));
    assert_eq!(config.logging.max_file_size, ByteSize(10_000_000));
    assert_eq!(config.recording.format, RecordingFormat::Mp4);
    assert_eq!(config.mediamtx.recordings_path, Path::new("/opt/camera-service/recordings"));
    assert_eq!(config.external_discovery.skydio.common_ports, [554, 8554]);
}

#[test]
fn variables_are_put_into_values_and_override_keys() {
    let text = "server:\n  port: ${PORT}\n  host: 127.0.0.1\nlogging:\n  level: ${LEVEL}\n";
    let missing = Config::parse("file.yaml", text, env(&[("PORT", "9000")])).unwrap_err();
    assert_eq!((missing.0.len(), at(&missing.0[0])), (1, (5, 10)));
    assert!(missing.0[0].message.contains("LEVEL is not set"), "{missing}");

    let variables = env(&[
        ("PORT", "9000"),
        ("LEVEL", "debug"),
        ("CAMERA_SERVICE__MEDIAMTX__RTSP_PORT", "0"),
        ("CAMERA_SERVICE__SERVER__HOST", "::1"),
        ("CAMERA_SERVICE__CAMERAS__AUTO_START_STREAMS", "off"),
        ("CAMERA_SERVICE__ENCODER__ORDER", "[openh264enc]"),
        ("CAMERA_SERVICE__STATE_DIRECTORY", "/srv/state"),
    ]);
    let config = Config::parse("file.yaml", text, variables).unwrap().config;
    assert_eq!((config.server.port, config.mediamtx.rtsp_port), (9000, 0));
    assert_eq!(config.server.host.to_string(), "::1");
    assert!(!config.camera.auto_start_streams);
    assert_eq!(config.encoder.order.len(), 1);
    assert_eq!(config.mediamtx.recordings_path, Path::new("/srv/state/recordings"));

    let wrong = Config::parse("file.yaml", "", env(&[("CAMERA_SERVICE__SERVER__PROT", "1")])).unwrap_err();
    assert!(
        wrong.to_string().starts_with("environment variable CAMERA_SERVICE__SERVER__PROT: server.prot: unknown key")
    );
    assert_eq!(wrong.0[0].nearest.as_deref(), Some("port"));
}

#[test]
fn systemd_names_the_state_directory() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    let list = format!("{}:/elsewhere", state.display());
    let config = Config::load(None, env(&[("STATE_DIRECTORY", &list)])).unwrap().config;
    assert_eq!(config.state_directory, state);
    assert_eq!(config.folders(), [state.clone(), state.join("snapshots")]);
    let recordings: Vec<_> = config.folders_of_recordings().collect();
    assert_eq!(recordings, [("mediamtx.recordings_path", state.join("recordings").as_path())]);
}

#[test]
fn a_device_is_pinned() {
    let config = config(
        "camera:\n  devices:\n    - match: {serial: '0042', name: HD Webcam}\n      id: camera3\n      name: Door\n      \
         mode: {format: MJPG, width: 1920, height: 1080, fps: 29.97}\n      encoder: openh264enc\n      bitrate: 4M\n      \
         codec: mjpeg\n      auto_start: false\n      always_available: false\n      restore_controls: false\n      \
         controls: {brightness: 12, power_line_frequency: 50 Hz, label: ''}\n    - {match: {node: /dev/video9}, ignore: true}\n",
    );
    let [door, ignored] = config.camera.devices.as_slice() else { panic!("{:?}", config.camera.devices) };
    assert_eq!(door.matches.serial.as_deref(), Some("0042"));
    assert_eq!((door.id, door.name.as_deref()), (Some(CameraId(3)), Some("Door")));
    let mode = door.mode.unwrap();
    assert_eq!((mode.format, mode.rate), (Some(FourCc::MJPG), Some(Rate { frames: 30000, seconds: 1001 })));
    assert_eq!(
        (door.codec, door.bitrate, door.auto_start, door.always_available),
        (Some(Codec::Mjpeg), Some(BitRate(4_000_000)), Some(false), Some(false))
    );
    let controls = [("brightness", "12"), ("label", ""), ("power_line_frequency", "50 Hz")];
    assert_eq!(door.controls, controls.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    assert_eq!((door.restore_controls, config.camera.restore_controls), (Some(false), true));
    assert!(ignored.ignore && !door.ignore);
}

#[test]
fn a_gop_can_be_frames() {
    assert_eq!(config("encoder: {gop: 15}").encoder.gop, Gop::Frames(15));
    assert_eq!(config("encoder: {gop: 500ms}").encoder.gop, Gop::Time(Duration::from_millis(500)));
}
