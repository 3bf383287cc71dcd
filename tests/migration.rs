//! An installation of an earlier version is taken over: what its configuration says still counts, its recordings stay where
//! they are, and nothing that a person wrote is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use camera_service::config::{ByteSize, Config, Fate, Gop, Takeover};

const BINARY: &str = env!("CARGO_BIN_EXE_camera-service");
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(name)).unwrap()
}

fn take_over(text: &str) -> Takeover {
    let env = [("CAMERA_SERVICE_JWT_SECRET".to_owned(), SECRET.to_owned())].into_iter();
    Config::take_over("old.yaml", text, env, Path::new("/opt/camera-service")).unwrap_or_else(|error| panic!("{error}"))
}

fn fate(takeover: &Takeover, key: &str) -> Fate {
    let found = takeover.fates.iter().find(|(there, _)| there == key);
    found.unwrap_or_else(|| panic!("{key} is not told of")).1.clone()
}

fn parse(text: &str) -> Config {
    let loaded = Config::parse("new.yaml", text, std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

#[test]
fn each_key_of_an_earlier_file_is_taken_or_said_why_not() {
    let takeover = take_over(&fixture("existing-installation.yaml"));
    let taken = |key: &str, today: &str, value: &str| {
        assert_eq!(fate(&takeover, key), Fate::Taken(today.into(), value.into()), "{key}");
    };
    taken("server.read_timeout", "server.read_timeout", "5s");
    taken("mediamtx.codec.bitrate", "encoder.bitrate", "600k");
    taken("cameras.detection_timeout", "camera.detection_timeout", "2.0");
    taken("mediamtx.recordings_path", "mediamtx.recordings_path", "/opt/camera-service/recordings");
    taken("external_discovery.skydio.common_ports", "external_discovery.skydio.common_ports", "[554, 8554]");
    taken("security.jwt.secret_key", "security.jwt.secret_key", "(not shown)");
    assert_eq!(fate(&takeover, "server.port"), Fate::Default);
    assert_eq!(fate(&takeover, "security.ssl.cert_file"), Fate::Default);
    for key in
        ["cameras.polling_interval", "mediamtx.health_check_interval", "logging.file_path", "storage.default_path"]
    {
        assert!(matches!(fate(&takeover, key), Fate::WithoutEffect(_)), "{key}: {}", fate(&takeover, key));
    }
    for key in ["security.api_keys.storage_file", "storage.fallback_path"] {
        assert!(matches!(fate(&takeover, key), Fate::LeftOut(_)), "{key}: {}", fate(&takeover, key));
    }
    let config = parse(&takeover.text);
    assert_eq!(config, takeover.config);
    assert_eq!(config.server.max_message_size, ByteSize(1 << 20));
    assert_eq!(config.security.jwt.secret_key.expose(), SECRET);
}

#[test]
fn every_key_there_is_survives_being_written_again() {
    let text = fixture("nothing-default.yaml");
    let old =
        Config::parse("old.yaml", &text, std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}")).config;
    let takeover = take_over(&text);
    let mut expected = old;
    // What is told of as left out, or as of no effect.
    expected.security.api_keys.storage_file = None;
    expected.logging = parse(&takeover.text).logging;
    expected.recording.quality = Config::default().recording.quality;
    expected.mediamtx.webrtc_port = Config::default().mediamtx.webrtc_port;
    expected.mediamtx.hls_port = Config::default().mediamtx.hls_port;
    // Such a file can name a folder for its state; one of an earlier version cannot.
    assert_eq!(parse(&takeover.text), expected, "{}", takeover.text);
}

#[test]
fn a_key_that_is_wrong_costs_itself_and_not_the_start() {
    let takeover = take_over(
        "server: { port: 9002, prot: 1, read_timeout: soon }\nmediamtx:\n  api_url: http://localhost:9997\n  api_port: 9002\n  codec: \
         { video_profile: high422, bitrate: 3M }\nsecurity: { jwt: { secret_key: '${NOT_SET}' } }\nencoder: { gop: 60 }\nmonitoring: { a: 1 }\n",
    );
    let wrong =
        ["server.prot", "server.read_timeout", "mediamtx.api_url", "mediamtx.api_port", "mediamtx.codec.video_profile"];
    for key in wrong.into_iter().chain(["security.jwt.secret_key", "monitoring.a"]) {
        assert!(matches!(fate(&takeover, key), Fate::LeftOut(_)), "{key}: {}", fate(&takeover, key));
    }
    let config = parse(&takeover.text);
    assert_eq!((config.server.port, config.mediamtx.api_port), (9002, 9997));
    assert_eq!(config.encoder.gop, Gop::Frames(60));
}

#[test]
fn relative_paths_begin_where_the_earlier_service_ran() {
    let takeover = take_over("mediamtx: { recordings_path: data/recordings }\nsecurity: { ssl: { cert_file: '' } }\n");
    assert_eq!(takeover.config.mediamtx.recordings_path, Path::new("/opt/camera-service/data/recordings"));
    assert_eq!(takeover.config.security.ssl.cert_file, None);
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let refused = Config::take_over("old.yaml", "server: [\n", std::iter::empty(), Path::new("/opt")).unwrap_err();
    assert!(refused.to_string().starts_with("old.yaml:"), "{refused}");
}

/// An earlier installation and the place of a new one.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// With a file of an earlier version that names this machine's folders, or none where `named` is false.
    fn new(named: bool) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["opt/config", "opt/recordings", "opt/snapshots", "etc"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let text = fixture("existing-installation.yaml");
        let text = match named {
            true => text.replace("/opt/camera-service", machine.path("opt").to_str().unwrap()),
            false => text.lines().filter(|line| !line.contains("/opt/")).map(|line| format!("{line}\n")).collect(),
        };
        fs::write(machine.path("opt/config/camera-service.yaml"), text).unwrap();
        fs::write(
            machine.path("opt/.env"),
            format!("# made at installation\nexport CAMERA_SERVICE_JWT_SECRET=\"{SECRET}\"\n"),
        )
        .unwrap();
        fs::write(machine.path("opt/recordings/camera0_2025-01-01_10-00-00.mp4"), "film").unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn migrate(&self, more: &[&str]) -> String {
        let (from, to, drop_in) =
            (self.path("opt"), self.path("etc/camera-service.yaml"), self.path("drop-in/folders.conf"));
        let output = Command::new(BINARY)
            .args(["migrate".as_ref(), "--from".as_ref(), from.as_os_str(), "--to".as_ref(), to.as_os_str()])
            .args(["--drop-in".as_ref(), drop_in.as_os_str()])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn written(&self) -> String {
        fs::read_to_string(self.path("etc/camera-service.yaml")).unwrap()
    }
}

#[test]
fn the_configuration_is_written_once_and_what_was_there_is_kept() {
    let machine = Machine::new(true);
    let file = machine.path("etc/camera-service.yaml");
    fs::write(&file, "server: { port: 1234 }\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

    assert!(machine.migrate(&["--dry-run"]).ends_with("Nothing was changed.\n"));
    assert_eq!(machine.written(), "server: { port: 1234 }\n");

    let variable = "CAMERA_SERVICE__RETENTION_POLICY__AUTO_CLEANUP=false\n";
    fs::write(machine.path("more.env"), variable).unwrap();
    let kept = machine.migrate(&["--dry-run", "--env-file", machine.path("more.env").to_str().unwrap()]);
    assert!(!kept.contains("will delete"), "{kept}");

    let said = machine.migrate(&[]);
    for line in ["server.read_timeout: taken as", "server.port: default anyway", "storage.fallback_path: left out"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("will delete old files"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let config = parse(&machine.written());
    assert_eq!(config.security.jwt.secret_key.expose(), SECRET);
    assert_eq!(config.mediamtx.recordings_path, machine.path("opt/recordings"));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    let backup = machine.path("etc/camera-service.yaml.before-migration");
    assert_eq!(fs::read_to_string(&backup).unwrap(), "server: { port: 1234 }\n");

    // What a person changes later stays.
    let changed = machine.written() + "\nsnapshots: { quality: 50 }\n";
    fs::write(&file, &changed).unwrap();
    assert!(machine.migrate(&[]).contains("taken over already"));
    assert_eq!(machine.written(), changed);
    assert_eq!(fs::read_dir(machine.path("etc")).unwrap().count(), 2);
}

#[test]
fn recordings_and_snapshots_stay_and_can_be_written_to() {
    for named in [true, false] {
        let machine = Machine::new(named);
        let said = machine.migrate(&[]);
        let config = parse(&machine.written());
        let folders = [config.mediamtx.recordings_path, config.mediamtx.snapshots_path];
        assert_eq!(folders, [machine.path("opt/recordings"), machine.path("opt/snapshots")], "{said}");
        let drop_in = fs::read_to_string(machine.path("drop-in/folders.conf")).unwrap();
        for folder in folders {
            assert!(folder.is_dir() && drop_in.contains(&format!("\"-{}\"", folder.display())), "{drop_in}");
        }
        assert!(machine.path("opt/recordings/camera0_2025-01-01_10-00-00.mp4").is_file());
    }
}

#[test]
fn folders_of_another_user_become_those_of_the_service() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::new(true);
    let state = machine.path("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(1234), Some(1235)).unwrap();
    let env = machine.path("more.env");
    fs::write(&env, format!("CAMERA_SERVICE__STATE_DIRECTORY={}\n", state.display())).unwrap();
    let outside = machine.path("outside");
    fs::write(&outside, "").unwrap();
    std::os::unix::fs::symlink(&outside, machine.path("opt/recordings/link.mp4")).unwrap();
    machine.migrate(&["--env-file", env.to_str().unwrap()]);
    let owner = |path: &str| fs::metadata(machine.path(path)).map(|it| (it.uid(), it.gid())).unwrap();
    for path in ["opt/recordings", "opt/snapshots", "opt/recordings/camera0_2025-01-01_10-00-00.mp4"] {
        assert_eq!(owner(path), (1234, 1235), "{path}");
    }
    assert_ne!(owner("outside").0, 1234, "a link is followed");
}

#[test]
fn where_nothing_is_nothing_is_done() {
    let machine = Machine::new(true);
    fs::remove_dir_all(machine.path("opt/config")).unwrap();
    assert!(machine.migrate(&[]).starts_with("Nothing to take over"));
    assert!(!machine.path("etc/camera-service.yaml").exists());
}
