//! What is installed agrees with what is tested: the unit, the folders, the user and the shipped configuration against the
//! code's own defaults. Each test is named for a way in which a package once broke on somebody else's machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use camera_service::config::Config;

/// The binary, as it is packaged.
const BINARY: &str = env!("CARGO_BIN_EXE_camera-service");
/// Where the package puts it.
const INSTALLED: &str = "/usr/bin/camera-service";
/// Where the package puts the configuration.
const CONFFILE: &str = "/etc/camera-service/camera-service.yaml";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn packaged(file: &str) -> String {
    read(&format!("packaging/debian/{file}"))
}

fn unit() -> String {
    packaged("camera-service.service")
}

/// Every word of every assignment of `key` in the unit.
fn words(key: &str) -> Vec<String> {
    let unit = unit();
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(|value| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The one word of `key` in the unit.
fn word(key: &str) -> String {
    let words = words(key);
    assert_eq!(words.len(), 1, "{key}={words:?}");
    words[0].clone()
}

/// A time of the unit's.
fn time(key: &str) -> Duration {
    let value = word(key);
    let unit = value.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let number: u64 = value.strip_suffix(unit).unwrap().parse().unwrap();
    match unit {
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(60 * number),
        _ => panic!("{key}={value}"),
    }
}

/// The folders that the unit has systemd make, and lets be written to.
fn folders_of_the_unit() -> Vec<PathBuf> {
    let kinds = [("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache"), ("LogsDirectory", "/var/log")];
    kinds.iter().flat_map(|(key, base)| words(key).into_iter().map(|name| Path::new(base).join(name))).collect()
}

/// The folders that the default configuration has the service write to.
fn folders_of_the_defaults() -> Vec<PathBuf> {
    let config = Config::default();
    let recordings = config.folders_of_recordings().map(|(_, folder)| folder.to_owned()).collect::<Vec<_>>();
    let log = config.logging.file_path.parent().unwrap().to_owned();
    config.folders().into_iter().map(Path::to_owned).chain(recordings).chain([log]).collect()
}

/// Runs the binary with the unit's command line, but for the configuration.
fn started_with(configuration: &Path) -> Output {
    let line = words("ExecStart");
    let configuration = configuration.to_str().unwrap();
    let arguments = line[1..].iter().map(|word| if word == CONFFILE { configuration } else { word });
    Command::new(BINARY).args(arguments).env_remove("CAMERA_SERVICE_CONFIG").output().unwrap()
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("camera-service.service");
    fs::write(&file, unit().replace(INSTALLED, BINARY)).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
}

#[test]
fn exec_start_is_a_command_line_that_this_binary_takes() {
    let line = words("ExecStart");
    assert_eq!(line[0], INSTALLED);
    assert!(line.iter().any(|word| word == CONFFILE), "{line:?}");
    let installed = packaged("camera-service.install");
    for place in ["bin/camera-service usr/bin\n", "config/camera-service.yaml etc/camera-service\n"] {
        assert!(installed.contains(place), "{place}");
    }
    let help = Command::new(BINARY).arg("--help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains(CONFFILE), "commands read another file than the service");

    // As far as the configuration it names; a wrong command line would end with 2.
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "sever: { prot: 1 }\n").unwrap();
    let output = started_with(&broken);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    // One line for each mistake, and no second try.
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    assert_eq!(words("RestartPreventExitStatus"), ["2", "78"]);
}

#[test]
fn a_service_whose_configuration_is_gone_says_so_instead_of_running_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let output = started_with(&folder.path().join("gone.yaml"));
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("gone.yaml"));
}

#[test]
fn every_key_of_the_shipped_configuration_is_one_and_says_the_default() {
    let loaded = Config::parse(CONFFILE, &read("config/camera-service.yaml"), std::iter::empty());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn every_folder_that_is_written_to_is_made_and_can_be_written_to() {
    let unit = folders_of_the_unit();
    for folder in folders_of_the_defaults() {
        assert!(unit.contains(&folder), "{} is not among {unit:?}", folder.display());
    }
    // Commands that run before the service find the state directory, and its owner.
    let made = packaged("camera-service.tmpfiles");
    for folder in unit.iter().filter(|folder| folder.starts_with("/var/lib")) {
        let line =
            format!("d {} {} {} {}\n", folder.display(), word("StateDirectoryMode"), word("User"), word("Group"));
        assert!(made.contains(&line), "{line}");
    }
    // The list of plugins, which a user without a home could not keep otherwise.
    let cache =
        words("Environment").into_iter().find_map(|word| word.strip_prefix("XDG_CACHE_HOME=%C/").map(str::to_owned));
    assert_eq!(words("CacheDirectory"), [cache.unwrap()]);
}

#[test]
fn user_and_groups_that_the_unit_names_are_made() {
    let made = packaged("camera-service.sysusers");
    let is_made = |kind: &str, name: &str| {
        made.lines().any(|line| line.split_whitespace().take(2).eq([kind, name])).then_some(()).ok_or(made.clone())
    };
    is_made("u", &word("User")).unwrap();
    // systemd-sysusers makes a group of the same name with each user.
    assert_eq!(word("User"), word("Group"));
    let groups = words("SupplementaryGroups");
    groups.iter().for_each(|group| is_made("g", group).unwrap());
    // Cameras, and render nodes of graphics.
    assert_eq!(groups, ["video", "render"]);
}

#[test]
fn the_sandbox_leaves_room_for_cameras() {
    let families = words("RestrictAddressFamilies");
    for family in ["AF_NETLINK", "AF_UNIX", "AF_INET", "AF_INET6"] {
        assert!(families.iter().any(|there| there == family), "{family}: udev, control and streams need it");
    }
    // By their numbers: a driver that is loaded with the first camera has no name yet when the service starts.
    let unit = unit();
    for device in ["DeviceAllow=char-81 rw\n", "DeviceAllow=char-226 rw\n"] {
        assert!(unit.contains(device), "{device}");
    }
    for forbidden in ["PrivateDevices=yes", "PrivateNetwork=yes", "ProcSubset=pid", "MemoryDenyWriteExecute=yes"] {
        assert!(!unit.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn starting_and_stopping_have_the_time_they_take() {
    let config = Config::default();
    assert!(time("TimeoutStopSec") > config.server.shutdown_timeout + Duration::from_secs(5));
    let trials = config.encoder.trial_timeout * u32::try_from(config.encoder.order.len()).unwrap();
    assert!(time("TimeoutStartSec") > trials + Duration::from_secs(60), "every encoder may need its whole trial");
    assert!(time("WatchdogSec") >= Duration::from_secs(10));
    assert_eq!((word("Type"), word("Restart")), ("notify".into(), "on-failure".into()));
    assert_eq!(word("StartLimitIntervalSec"), "0", "a port that is taken may be free later");
}

#[test]
fn purging_takes_every_folder_that_installing_and_running_make() {
    let script = packaged("camera-service.postrm");
    let etc = [Path::new(CONFFILE).parent().unwrap().to_owned(), "/etc/systemd/system/camera-service.service.d".into()];
    for folder in folders_of_the_unit().into_iter().chain(etc) {
        let gone = folder
            .ancestors()
            .any(|folder| script.contains(&format!(" {}", folder.display())) && folder.components().count() > 2);
        assert!(gone, "{} stays", folder.display());
    }
    let user = word("User");
    assert!(script.contains(&format!("userdel {user}")) && script.contains(&format!("groupdel {user}")));
}

#[test]
fn the_package_asks_for_everything_that_the_tests_run_with() {
    let needed = read("packaging/install-deps");
    let (_, run) = needed.split_once("[run]='").unwrap();
    let (run, _) = run.split_once('\'').unwrap();
    let control = packaged("control");
    // dpkg-shlibdeps finds what is linked.
    for package in run.split_whitespace().filter(|package| !package.starts_with("lib")) {
        assert!(control.contains(package), "{package} is not in packaging/debian/control");
    }
}

#[test]
fn the_package_has_the_examples_that_the_guides_copy() {
    const EXAMPLES: &str = "/usr/share/doc/camera-service/examples/";
    assert_eq!(packaged("camera-service.examples"), "config/*.yaml\n");
    for board in ["jetson", "raspberry-pi"] {
        let guide = read(&format!("docs/first-steps-{board}.md"));
        assert!(guide.contains(&format!("sudo cp {EXAMPLES}{board}.yaml {CONFFILE}")), "{board}");
        assert!(!read(&format!("config/{board}.yaml")).is_empty());
    }
}

#[test]
fn the_package_has_the_version_of_the_binary() {
    let changelog = packaged("changelog");
    assert!(changelog.starts_with(&format!("camera-service ({}-", env!("CARGO_PKG_VERSION"))), "{changelog}");
}

#[test]
fn manual_pages_and_completions_are_made_of_the_commands_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(BINARY).arg("generate").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name)).unwrap();
    assert!(page("camera-service.1").contains("check\\-config"));
    assert!(page("camera-service-ctl-record-start.1").contains("duration"));
    let names: Vec<_> = fs::read_dir(folder.path().join("man")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().contains("help")), "{names:?}");
    // Each where the package looks for it.
    for line in packaged("camera-service.install").lines().filter_map(|line| line.strip_prefix("generated/")) {
        let (file, _) = line.split_once(' ').unwrap();
        assert!(folder.path().join(file).is_file(), "{file}");
    }
}
