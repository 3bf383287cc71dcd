//! The unit: whether it is there, starts a program that is there, with arguments that this program takes, and whether
//! systemd has started it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use camera_service::config;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{
    PATIENCE,
    case::Case,
    finding::Finding,
    sandbox,
    unit_file::{NAME, Unit},
    within,
};

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let unit = match (&case.unit, &case.no_unit) {
        (Some(unit), _) => unit,
        (None, Some(reason)) => return vec![Finding::fail("unit.file", reason.clone(), "name the unit's file")],
        (None, None) => {
            let message = format!("systemd has no {NAME}: nothing starts the service with the machine");
            return vec![Finding::warn("unit.file", message, "install the package; or name the unit with --unit FILE")];
        }
    };
    let with = match unit.drop_ins.len() {
        0 => String::new(),
        number => format!(", with {number} drop-in(s)"),
    };
    let mut found = vec![Finding::ok("unit.file", format!("{}{with}", unit.file.display()))];
    found.push(program(case, unit));
    found.extend(arguments(case));
    found.extend(places(unit));
    found.extend(sandbox::look(case, unit));
    if case.installed {
        found.extend(state(case));
    }
    found
}

/// Whether the program of `ExecStart=` is there and can be run.
fn program(case: &Case, unit: &Unit) -> Finding {
    const CHECK: &str = "unit.program";
    let fix = "write the path of camera-service into ExecStart=, then sudo systemctl daemon-reload";
    let Some(command) = unit.command() else {
        return Finding::fail(CHECK, "the unit has no ExecStart=", fix);
    };
    let program = command.into_iter().next().unwrap_or_default();
    if !program.starts_with('/') {
        return Finding::warn(CHECK, format!("ExecStart= begins with \"{program}\", which is no whole path"), fix);
    }
    let path = Path::new(&program).to_owned();
    let runs = case.as_service(|| {
        within(PATIENCE, move || match path.metadata() {
            Ok(metadata) if !metadata.is_file() => Err("is not a file".to_owned()),
            Ok(_) => accessat(CWD, &path, Access::EXEC_OK, AtFlags::EACCESS)
                .map_err(|error| format!("cannot be run by the service's user: {error}")),
            Err(error) => Err(format!("is not there: {error}")),
        })
    });
    match runs {
        Ok(Some(Ok(()))) => Finding::ok(CHECK, format!("{program} is there and can be run")),
        Ok(Some(Err(why))) => Finding::fail(CHECK, format!("ExecStart= names {program}, which {why}"), fix),
        Ok(None) => Finding::fail(CHECK, format!("{program} is on a disk that does not answer"), "see dmesg"),
        Err(why) => Finding::skipped(CHECK, why),
    }
}

/// Whether this program takes what the unit gives it, and whether that is what is looked at here.
fn arguments(case: &Case) -> Vec<Finding> {
    const CHECK: &str = "unit.arguments";
    let cli = match &case.started {
        None => return Vec::new(),
        Some(Ok(cli)) => cli,
        Some(Err(error)) => {
            let error = error.lines().next().unwrap_or_default();
            let fix = "correct ExecStart=; camera-service --help shows what it takes";
            return vec![Finding::fail(CHECK, format!("ExecStart= cannot be understood: {error}"), fix)];
        }
    };
    let mut found = vec![Finding::ok(CHECK, "this program understands the arguments of ExecStart=")];
    let shown = |file: Option<&Path>| file.map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    if cli.config.is_some() && cli.config != case.file {
        found.push(Finding::warn(
            "unit.config",
            format!(
                "the unit starts with {}, and this looks at {}",
                shown(cli.config.as_deref()),
                shown(case.file.as_deref())
            ),
            "leave --config out here to look at what the unit starts with",
        ));
    } else {
        found.push(Finding::ok("unit.config", format!("the unit starts with {}", shown(case.file.as_deref()))));
    }
    found
}

/// The folders and files that systemd itself wants before it starts anything.
fn places(unit: &Unit) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(folder) = unit.last("WorkingDirectory").filter(|folder| folder.starts_with('/')) {
        found.push(match Path::new(folder).is_dir() {
            true => Finding::ok("unit.directory", format!("WorkingDirectory= {folder} is there")),
            false => Finding::fail(
                "unit.directory",
                format!("WorkingDirectory= {folder} is not there, and systemd then starts nothing"),
                format!("sudo install -d {folder}, or remove WorkingDirectory="),
            ),
        });
    }
    found.extend(unit.environment().1.into_iter().map(|file| {
        Finding::fail(
            "unit.environment",
            format!("EnvironmentFile= {file} is not there, and systemd then starts nothing"),
            "make it, or write a minus sign before its name",
        )
    }));
    found
}

/// What systemd says of it.
fn state(case: &Case) -> Vec<Finding> {
    const CHECK: &str = "unit.state";
    let asked = ["show", NAME, "--property=ActiveState,SubState,Result,NRestarts,NeedDaemonReload,UnitFileState"];
    let Some(told) = output("systemctl", &asked).filter(|_| Path::new("/run/systemd/system").exists()) else {
        return vec![Finding::skipped(CHECK, "systemd does not run here, or does not answer")];
    };
    let value = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    let mut found = Vec::new();
    if value("NeedDaemonReload") == "yes" {
        let message = "its files have changed since systemd read them";
        found.push(Finding::warn("unit.reload", message, "sudo systemctl daemon-reload, then restart the service"));
    }
    if value("UnitFileState") == "disabled" {
        let message = "it does not start with the machine";
        found.push(Finding::warn("unit.enabled", message, format!("sudo systemctl enable {NAME}")));
    }
    let journal = format!("journalctl -u {NAME} -n 50 says why");
    let restarts = value("NRestarts");
    found.push(match (value("ActiveState").as_str(), restarts.as_str()) {
        ("active", "" | "0") => Finding::ok(CHECK, "active, and not restarted by systemd"),
        ("active", times) => Finding::warn(CHECK, format!("active, after {times} restart(s) by systemd"), journal),
        ("failed", _) => Finding::fail(CHECK, format!("failed: {}", value("Result")), journal),
        ("activating", times) => {
            Finding::fail(CHECK, format!("starting ({}), after {times} restart(s)", value("SubState")), journal)
        }
        (state, _) if case.has_to_run => {
            Finding::fail(CHECK, format!("it is {state}"), format!("sudo systemctl enable --now {NAME}"))
        }
        (state, _) => Finding::warn(CHECK, format!("it is {state}"), format!("sudo systemctl enable --now {NAME}")),
    });
    found
}

/// What a program of the system prints. `None`: it is not there, fails, or does not end in time.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = within(PATIENCE, move || command.output())?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folders that the service writes to, with their keys.
pub fn written(examined: &config::Examined) -> impl Iterator<Item = (&str, &Path)> {
    let all = examined.folders.iter().chain(&examined.recordings);
    all.map(|(key, folder)| (key.as_str(), folder.as_path()))
}
