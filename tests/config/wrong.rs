//! What is said about a file that is wrong.

use std::{fs, path::Path};

use camera_service::config::{Config, Diagnostic};
use proptest::prelude::*;

use super::{at, config, no_env, problem, problems, read};

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
    assert_eq!(word.valid.as_deref(), Some("fmp4, mp4, mkv, mpegts"));
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
