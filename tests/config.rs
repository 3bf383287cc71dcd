//! What a configuration file may say, and what is said about one that is wrong.

use std::{fs, path::Path, time::Duration};

use camera_service::{
    config::{
        BitRate, ByteSize, Config, Diagnostic, Gop, Loaded, LogFormat, LogLevel, Place, Problems, RecordingFormat,
    },
    frame::Codec,
    id::CameraId,
    mode::{FourCc, Rate},
};
use proptest::prelude::*;
use serde_json::Value;

fn no_env() -> std::iter::Empty<(String, String)> {
    std::iter::empty()
}

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    let owned: Vec<_> = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    owned.into_iter()
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    Config::parse("file.yaml", text, no_env())
}

fn problems(text: &str) -> Vec<Diagnostic> {
    match parse(text) {
        Ok(loaded) => panic!("accepted: {loaded:?}\n{text}"),
        Err(problems) => problems.0,
    }
}

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// The one problem of `text`, as line and column, found, valid, nearest.
fn problem(text: &str) -> Diagnostic {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

fn at(problem: &Diagnostic) -> (usize, usize) {
    match &problem.place {
        Place::Spot { file, line, column } => {
            assert_eq!(&**file, "file.yaml");
            (*line, *column)
        }
        place => panic!("{place:?}"),
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

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

/// Every key of today, with the part of the schema that is about it.
fn keys_of(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        if inner["deprecated"] == true {
            continue;
        }
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys_of(inner, &path, found);
        keys_of(&inner["items"], &format!("{path}[]"), found);
        found.push((path, inner.clone()));
    }
}

/// A default as the reference writes it.
fn written(default: &Value) -> String {
    match default {
        Value::Null => "none".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::Array(list) if list.is_empty() => "`[]`".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Where the reference says a default in words.
const IN_WORDS: &[(&str, &str)] = &[
    ("mediamtx.recordings_path", "`recordings` in the state directory"),
    ("mediamtx.snapshots_path", "`snapshots` in the state directory"),
    ("encoder.order", "all, in this order"),
    ("retention_policy.cameras", "empty"),
    ("retention_policy.cameras[].device", "required"),
];

#[test]
fn the_reference_has_every_key_with_its_default() {
    let reference = read("docs/configuration.md");
    let mut keys = Vec::new();
    keys_of(&Config::schema(), "", &mut keys);
    assert!(keys.len() > 100, "{keys:?}");
    let mut wrong = Vec::new();
    for (key, schema) in keys {
        // The entries of this list are a table of their own, without defaults: each is none.
        if let Some(key) = key.strip_prefix("camera.devices[].") {
            let listed = key.split_once('.').map_or(key, |(_, inner)| inner);
            if !reference.contains(&format!("`{listed}`")) && !reference.contains(&format!("{listed},")) {
                wrong.push(format!("{key} of camera.devices is not there"));
            }
            continue;
        }
        let is_of = |line: &&str| line.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{key}`")));
        let Some(row) = reference.lines().find(is_of) else {
            // A section may be a heading alone.
            let heading = schema["properties"].is_object() && reference.contains(&format!("## `{key}`\n"));
            if !heading {
                wrong.push(format!("`{key}` is not there"));
            }
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let in_words = IN_WORDS.iter().find(|(there, _)| *there == key).map(|(_, words)| (*words).to_owned());
        let default = schema.get("default").map(written).unwrap_or_default();
        let expected = in_words.unwrap_or(default);
        if cells[3] != expected {
            wrong.push(format!("`{key}`: the default is {expected}, and there stands {}", cells[3]));
        }
        if schema.get("default").is_some() && cells[2].is_empty() {
            wrong.push(format!("`{key}` has no type"));
        }
    }
    assert!(wrong.is_empty(), "docs/configuration.md:\n{}", wrong.join("\n"));
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
fn a_network_that_is_searched_is_small_and_a_path_is_one() {
    let section = |what: &str| format!("external_discovery:\n  skydio:\n    {what}\n");
    for network in ["10.0.0.0/19", "fd00::/64", "0.0.0.0/0"] {
        let problem = problem(&section(&format!("network_ranges: [10.0.0.0/20, \"{network}\"]")));
        assert_eq!(problem.key, "external_discovery.skydio.network_ranges[1]", "{problem}");
        assert!(problem.valid.as_deref().unwrap().contains("at most 4096 addresses"), "{problem}");
    }
    let problem = problem(&section("stream_paths: [\"/a b\"]"));
    assert_eq!(problem.key, "external_discovery.skydio.stream_paths", "{problem}");
    let config = config(&section("network_ranges: [10.0.0.0/20, \"fd00::/116\"]"));
    assert_eq!(config.external_discovery.skydio.network_ranges.len(), 2);
}

#[test]
fn an_unknown_key_has_its_place_the_valid_keys_and_the_nearest() {
    let problem = problem("server:\n  host: 127.0.0.1\n  prot: 8002\n");
    assert_eq!(at(&problem), (3, 3));
    assert_eq!(problem.key, "server.prot");
    assert_eq!(problem.found.as_deref(), Some("\"prot\""));
    assert!(problem.valid.as_deref().unwrap().contains("port, websocket_path"));
    assert_eq!(problem.nearest.as_deref(), Some("port"));
    assert!(problem.to_string().starts_with("file.yaml:3:3: server.prot: unknown key"), "{problem}");
}

#[test]
fn an_unknown_section_and_a_key_in_a_list_are_found_too() {
    let found = problems("recordings: {}\ncamera:\n  devices:\n    - match: {serial: A}\n      encodr: x264enc\n");
    assert_eq!((at(&found[0]), found[0].nearest.as_deref()), ((1, 1), Some("recording")));
    assert_eq!((at(&found[1]), found[1].nearest.as_deref()), ((5, 7), Some("encoder")));
    assert_eq!(found[1].key, "camera.devices[0].encodr");
}

#[test]
fn a_wrong_type_says_what_was_found_and_what_is_valid() {
    let number = problem("server:\n  port: many\n");
    assert_eq!((at(&number), number.found.as_deref()), ((2, 9), Some("\"many\"")));
    assert!(number.valid.unwrap().contains("0 to 65535"));
    let word = problem("recording:\n  format: mp5\n");
    assert_eq!((at(&word), word.nearest.as_deref()), ((2, 11), Some("mp4")));
    assert_eq!(word.valid.as_deref(), Some("fmp4, mp4, mkv"));
    assert_eq!(problem("server: 8002\n").found.as_deref(), Some("\"8002\""));
    assert_eq!(problem("server:\n  port: [1]\n").found.as_deref(), Some("a list"));
    assert_eq!(at(&problem("encoder:\n  order: [x264enc, x265enc]\n")), (2, 20));
    assert_eq!(problem("security: {cors_origins: a}\n").valid.as_deref(), Some("a list"));
}

#[test]
fn out_of_range_says_the_range() {
    let low = problem("server:\n  port: 70000\n");
    assert_eq!((at(&low), low.message.as_str()), ((2, 9), "is out of range"));
    let high = problem("snapshots:\n  quality: 101\n");
    assert!(high.valid.unwrap().ends_with("from 1 to 100"));
    assert_eq!(at(&problem("streams: {fps: 0}\n")), (1, 16));
    assert_eq!(at(&problem("server:\n  shutdown_timeout: -1s\n")), (2, 21));
    assert_eq!(problem("storage: {warn_percent: 96}\n").key, "storage.warn_percent");
}

#[test]
fn a_port_used_twice_is_refused_where_it_is_written() {
    let both = problem("server:\n  port: 9000\nmediamtx:\n  rtsp_port: 9000\n");
    assert_eq!((at(&both), both.key.as_str()), ((4, 14), "mediamtx.rtsp_port"));
    assert!(both.valid.unwrap().contains("server.port (file.yaml:2:9)"));
    let default = problem("server:\n  port: 8554\n");
    assert_eq!(at(&default), (2, 9));
    assert!(default.valid.unwrap().contains("mediamtx.rtsp_port (default)"));
    config("server: {port: 0}\nmediamtx: {rtsp_port: 0, hls_port: 0}\nsecurity: {health: {port: 0}}\n");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let (file, state) = (base.path().join("a-file"), base.path().join("state"));
    fs::write(&file, "").unwrap();
    let path = base.path().join("config.yaml");
    let text = format!(
        "state_directory: {}\nmediamtx:\n  recordings_path: {}/recordings\n  snapshots_path: {}\n",
        state.display(),
        file.display(),
        file.display()
    );
    fs::write(&path, text).unwrap();
    let found = Config::load(Some(&path), no_env()).unwrap_err();
    let lines: Vec<_> = found.0.iter().map(|problem| problem.to_string()).collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(lines[0].contains("config.yaml:3:20: mediamtx.recordings_path: cannot be made"), "{found}");
    assert!(lines[1].contains("config.yaml:4:19: mediamtx.snapshots_path: is not a folder"), "{found}");
    assert!(lines[1].contains("sudo install -d"), "{found}");
    assert!(!state.exists(), "loading makes no folder");
}

#[test]
fn of_two_folders_of_recordings_one_is_enough() {
    let base = tempfile::tempdir().unwrap();
    let (file, path) = (base.path().join("a-file"), base.path().join("config.yaml"));
    fs::write(&file, "").unwrap();
    let load = |recordings: &str, fallback: Option<&str>| {
        let root = base.path().display();
        let fallback =
            fallback.map_or(String::new(), |folder| format!("storage: {{ fallback_path: {root}/{folder} }}\n"));
        let recordings = format!("mediamtx: {{ recordings_path: {root}/{recordings}, snapshots_path: {root}/s }}\n");
        fs::write(&path, format!("state_directory: {root}/state\n{recordings}{fallback}")).unwrap();
        Config::load(Some(&path), no_env())
    };
    let said = |found: &[Diagnostic]| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    // Alone it has to work, and what helps is said.
    let refused = said(&load("a-file/recordings", None).unwrap_err().0);
    assert!(refused.contains("mediamtx.recordings_path: cannot be made"), "{refused}");
    assert!(refused.contains("sudo install -d") && refused.contains("storage.fallback_path"), "{refused}");
    for (recordings, fallback, key) in [
        ("a-file/recordings", "fallback", "mediamtx.recordings_path"),
        ("recordings", "a-file/fallback", "storage.fallback_path"),
    ] {
        let loaded = load(recordings, Some(fallback)).unwrap();
        let warned = said(&loaded.warnings);
        assert!(loaded.warnings.len() == 1 && warned.contains(&format!("{key}: cannot be made")), "{warned}");
    }
    let neither = load("a-file/recordings", Some("a-file/fallback")).unwrap_err();
    assert_eq!(neither.0.len(), 2, "{neither}");
    assert!(load("recordings", Some("fallback")).unwrap().warnings.is_empty());
}

#[test]
fn all_problems_are_shown_in_the_order_of_the_file() {
    let text = "storage: {warn: 1}\nserver:\n  port: x\nmediamtx:\n  api_url: http://a\n  rtsp_port: 8003\nstreams: {fps: 0}\nlogging: {level: loud}\nserver: {}\n";
    let lines: Vec<usize> = problems(text).iter().map(|problem| at(problem).0).collect();
    assert_eq!(lines, [1, 3, 5, 6, 7, 8, 9]);
}

#[test]
fn removed_keys_say_what_to_write_instead() {
    let found = problems("mediamtx:\n  api_url: http://localhost:9997\n  api_timeout: 5\n");
    for (problem, line) in found.iter().zip([2, 3]) {
        assert_eq!(at(problem), (line, 3));
        assert!(problem.message.contains("mediamtx.host and mediamtx.api_port"), "{problem}");
    }
    assert_eq!(found.len(), 2);
}

#[test]
fn tls_without_its_files_is_refused() {
    let missing = problems("security: {ssl: {enabled: true, key_file: /srv/key.pem}}");
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].key, "security.ssl.cert_file");
    assert!(missing[0].message.contains("TLS is enabled"), "{}", missing[0]);

    let folder = tempfile::tempdir().unwrap();
    let (file, there) = (folder.path().join("config.yaml"), folder.path().join("cert.pem"));
    let load = |enabled: bool| {
        let (there, root) = (there.display(), folder.path().display());
        let text = format!(
            "state_directory: {root}\nsecurity: {{ssl: {{enabled: {enabled}, cert_file: {there}, key_file: {root}}}}}"
        );
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), std::iter::empty())
    };
    let found = load(true).unwrap_err().0;
    let said: Vec<_> = found.iter().map(|problem| (problem.key.as_str(), problem.message.as_str())).collect();
    assert_eq!(
        said,
        [("security.ssl.cert_file", "cannot be read (entity not found)"), ("security.ssl.key_file", "is not a file")]
    );
    load(false).expect("what is not used is not looked at");
}

#[test]
fn a_short_secret_is_refused_and_never_shown() {
    let text = "security:\n  jwt:\n    secret_key: hunter2\n";
    let short = problem(text);
    assert_eq!(at(&short), (3, 17));
    assert!(short.message.contains("7 bytes") && !format!("{short:?}").contains("hunter2"), "{short:?}");
    config("security: {jwt: {secret_key: 0123456789012345678901234567890123456789}}");
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
         codec: mjpeg\n      auto_start: false\n      restore_controls: false\n      \
         controls: {brightness: 12, power_line_frequency: 50 Hz, label: ''}\n    - {match: {node: /dev/video9}, ignore: true}\n",
    );
    let [door, ignored] = config.camera.devices.as_slice() else { panic!("{:?}", config.camera.devices) };
    assert_eq!(door.matches.serial.as_deref(), Some("0042"));
    assert_eq!((door.id, door.name.as_deref()), (Some(CameraId(3)), Some("Door")));
    let mode = door.mode.unwrap();
    assert_eq!((mode.format, mode.rate), (Some(FourCc::MJPG), Some(Rate { frames: 30000, seconds: 1001 })));
    assert_eq!(
        (door.codec, door.bitrate, door.auto_start),
        (Some(Codec::Mjpeg), Some(BitRate(4_000_000)), Some(false))
    );
    let controls = [("brightness", "12"), ("label", ""), ("power_line_frequency", "50 Hz")];
    assert_eq!(door.controls, controls.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    assert_eq!((door.restore_controls, config.camera.restore_controls), (Some(false), true));
    assert!(ignored.ignore && !door.ignore);
}

#[test]
fn a_pin_that_cannot_be_meant_is_refused() {
    let text = "camera:\n  devices:\n    - id: camera1\n    - {match: {}, id: camera2}\n    \
                - {match: {serial: A}, id: camera2}\n    - {match: {serial: B}, mode: {width: 640}}\n    - camera3\n    \
                - match: {serial: C}\n      controls: {brightness: , contrast: [1], gain: 5}\n";
    let found = problems(text);
    let lines: Vec<_> = found.iter().map(|problem| (at(problem).0, problem.key.as_str())).collect();
    let expected = [
        (3, "camera.devices[0].match"),
        (4, "camera.devices[1].match"),
        (5, "camera.devices[2].id"),
        (6, "camera.devices[3].mode.height"),
        (7, "camera.devices[4]"),
        (9, "camera.devices[5].controls.brightness"),
        (9, "camera.devices[5].controls.contrast"),
    ];
    assert_eq!(lines, expected, "{found:#?}");
}

#[test]
fn a_gop_can_be_frames() {
    assert_eq!(config("encoder: {gop: 15}").encoder.gop, Gop::Frames(15));
    assert_eq!(config("encoder: {gop: 500ms}").encoder.gop, Gop::Time(Duration::from_millis(500)));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Config::load(Some(Path::new("/no/such/file.yaml")), no_env()).unwrap_err();
    assert!(missing.to_string().starts_with("/no/such/file.yaml: cannot be read"), "{missing}");
    let broken = problem("server:\n  port: 1\n host: 2\n");
    assert!(broken.message.starts_with("not YAML"), "{broken}");
    assert_eq!(at(&broken).0, 3);
}

/// Pieces of YAML that mean something to the loader, so that random files reach deep.
fn piece() -> impl Strategy<Value = String> {
    let keys = "server|port|camera|cameras|devices|match|mode|mediamtx|codec|bitrate|encoder|order|recording|enabled";
    prop_oneof![
        keys.prop_map(|key: String| format!("{key}: ")),
        "(- |\\[|\\]|\\{|\\}|, |\n|\n  |\n    |&a |\\*a |<<: |\\? |\\$\\{A\\}|\\$\\{|~|'|\"|\\||>|!!str |# |---\n|\t)",
        "[0-9a-zµ.:/-]{0,9}",
    ]
}

proptest! {
    #[test]
    fn no_input_crashes_the_loader(text in prop_oneof![
        proptest::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ], value in any::<String>()) {
        let variables = [("A".to_owned(), value.clone()), ("CAMERA_SERVICE__CAMERA__DEVICES".to_owned(), value)];
        match Config::parse("file.yaml", &text, variables.into_iter()) {
            Ok(_) => {}
            Err(problems) => prop_assert!(!problems.0.is_empty() && !problems.to_string().is_empty()),
        }
    }

    #[test]
    fn no_change_of_the_sample_crashes_the_loader(line in 0usize..160, with in piece()) {
        let sample = read("config/camera-service.yaml");
        let lines: Vec<String> = sample.lines().enumerate()
            .map(|(index, text)| if index == line { format!("{text}{with}") } else { text.to_owned() }).collect();
        let _ = Config::parse("file.yaml", &lines.join("\n"), no_env());
    }
}
