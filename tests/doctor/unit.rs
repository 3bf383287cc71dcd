//! The unit: what the incident's machine had wrong, and systemd would have found out in production.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{Desk, support::process::BINARY};

#[test]
fn a_unit_that_is_right_passes() {
    let desk = Desk::new();
    let report = desk.examine(&["--only", "unit"]);
    report.is_good();
    report.has("ok", "unit.program", BINARY);
    report.has("ok", "unit.arguments", "understands");
    report.has("ok", "unit.config", "camera-service.yaml");
    report.has("ok", "unit.sandbox", "every folder");
    fs::remove_file(desk.unit()).unwrap();
    desk.examine(&["--only", "unit"]).has("fail", "unit.file", "cannot be read");
}

#[test]
fn exec_start_names_what_is_not_there_or_cannot_be_run() {
    let desk = Desk::new();
    let program = desk.path("camera-service");
    desk.start_with(&format!("{} run", program.display()), "");
    desk.examine(&["--only", "unit"]).has("fail", "unit.program", "which is not there");
    fs::write(&program, "").unwrap();
    desk.examine(&["--only", "unit"]).has("fail", "unit.program", "cannot be run");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    desk.examine(&["--only", "unit"]).has("ok", "unit.program", "can be run");
    desk.start_with("", "");
    desk.examine(&["--only", "unit"]).has("fail", "unit.program", "no ExecStart=");
    desk.start_with("camera-service run", "");
    desk.examine(&["--only", "unit"]).has("warn", "unit.program", "no whole path");
}

#[test]
fn exec_start_has_arguments_that_this_program_does_not_take() {
    let desk = Desk::new();
    desk.start_with(&format!("{BINARY} --confg /etc/x.yaml run"), "");
    desk.examine(&["--only", "unit"]).has("fail", "unit.arguments", "--confg");
    // A command that ends is no service.
    desk.start_with(&format!("{BINARY} list-cameras"), "");
    desk.examine(&["--only", "unit"]).has("fail", "unit.arguments", "subcommand other than run");
    desk.start_with(&format!("{BINARY} run"), "");
    fs::create_dir(desk.path("camera.service.d")).unwrap();
    let drop_in = desk.path("camera.service.d/local.conf");
    fs::write(&drop_in, "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -m camera_service.main\n").unwrap();
    let report = desk.examine(&["--only", "unit"]);
    report.has("ok", "unit.file", "1 drop-in");
    report.has("fail", "unit.arguments", "ExecStart= cannot be understood");
}

#[test]
fn the_unit_starts_with_another_configuration_than_is_looked_at() {
    let desk = Desk::new();
    let other = desk.path("other.yaml");
    desk.configure_at(&other, "");
    let other = other.display().to_string();
    desk.examine(&["--only", "unit", "--config", &other]).has("warn", "unit.config", "other.yaml");
    // Without a word, what the unit starts with is what counts; variables of the unit too.
    desk.start_with(&format!("{BINARY} --config ${{CONFIG}}"), &format!("Environment=CONFIG={other}"));
    let report = desk.examine(&["--only", "unit"]);
    report.has("ok", "unit.config", "other.yaml");
    assert_eq!(report.whole["configuration"], other.as_str());
    desk.start_with(&format!("{BINARY} --config {other}"), "Environment=CAMERA_SERVICE__SERVER__PROT=1");
    desk.examine(&["--only", "config"]).has("fail", "config.keys", "CAMERA_SERVICE__SERVER__PROT");
}

#[test]
fn what_systemd_wants_first_is_missing() {
    let desk = Desk::new();
    let command = format!("{BINARY} run --config {}", desk.config().display());
    let missing = desk.path("missing").display().to_string();
    desk.start_with(&command, &format!("WorkingDirectory={missing}\nEnvironmentFile={missing}"));
    let report = desk.examine(&["--only", "unit"]);
    report.has("fail", "unit.directory", "is not there");
    report.has("fail", "unit.environment", "is not there");
    desk.start_with(&command, &format!("EnvironmentFile=-{missing}"));
    desk.examine(&["--only", "unit"]).is_good();
}

#[test]
fn the_unit_keeps_the_service_from_its_folders() {
    let desk = Desk::new();
    let command = format!("{BINARY} run --config {}", desk.config().display());
    let recordings = format!("mediamtx: {{ recordings_path: /data/recordings, api_bind_address: {} }}", desk.address);
    desk.configure(&recordings);
    let walls = |more: &str| {
        desk.start_with(&command, &format!("ProtectSystem=strict\nStateDirectory=camera-service\n{more}"));
        desk.examine(&["--only", "unit"])
    };
    let report = walls("");
    report.has("fail", "unit.sandbox", "mediamtx.recordings_path: ProtectSystem=");
    report.has("fail", "unit.sandbox", "state_directory: ProtectSystem=");
    let root = desk.folder.path().display();
    walls(&format!("ReadWritePaths=-/data {root}")).has("ok", "unit.sandbox", "every folder");
    desk.configure(&format!("{recordings}\nstate_directory: /home/camera/state"));
    walls("ProtectHome=yes\nReadWritePaths=/data").has("fail", "unit.sandbox", "state_directory: ProtectHome=");
    desk.configure("state_directory: /var/lib/camera-service");
    walls("").has("ok", "unit.sandbox", "every folder");
}
