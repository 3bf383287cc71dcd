//! The doctor: each check is broken on purpose and has to be seen, by its name; and what is right passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod machine;
mod running;
mod unit;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU8, Ordering},
};

use serde_json::Value;
use support::{SECRET, process::BINARY};
use tempfile::TempDir;

/// A configuration, a unit that starts the service with it, and an address of this machine that nobody else uses: the
/// ports are the real ones, and a test needs no free one.
struct Desk {
    folder: TempDir,
    address: String,
}

impl Desk {
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(100);
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let address = format!("127.{}.{high}.{}", NEXT.fetch_add(1, Ordering::Relaxed), low.max(1));
        let desk = Self { folder: tempfile::tempdir().unwrap(), address };
        desk.configure("");
        desk.start_with(&format!("{BINARY} --config {} run", desk.config().display()), "");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("camera-service.yaml")
    }

    fn unit(&self) -> PathBuf {
        self.path("camera.service")
    }

    /// Writes a configuration in which a section of `extra` stands for the one that is there else.
    fn configure(&self, extra: &str) {
        self.configure_at(&self.config(), extra);
    }

    fn configure_at(&self, file: &Path, extra: &str) {
        let (root, address) = (self.folder.path().display(), &self.address);
        let sections = [
            format!("server: {{ host: {address} }}"),
            format!("security: {{ jwt: {{ secret_key: {SECRET} }}, health: {{ bind_address: {address} }} }}"),
            format!("mediamtx: {{ api_bind_address: {address} }}"),
            format!("rtsp: {{ bind_address: {address} }}"),
            "camera: { test_pattern: always, discovery_enabled: false }".to_owned(),
            "streams: { width: 320, height: 240, fps: 15 }".to_owned(),
            // How full the disk of this machine is, is no test's business unless it says so.
            "storage: { warn_percent: 100, block_percent: 100 }".to_owned(),
            "encoder: { order: [x264enc], trial_timeout: 60s }".to_owned(),
            format!("state_directory: {root}/state"),
        ];
        let key = |section: &str| section.split(':').next().unwrap().to_owned() + ":";
        let mut yaml = extra.to_owned() + "\n";
        for section in sections.iter().filter(|section| !extra.lines().any(|line| line.starts_with(&key(section)))) {
            yaml += &format!("{section}\n");
        }
        fs::write(file, yaml).unwrap();
    }

    /// Writes a unit with this command and more settings.
    fn start_with(&self, command: &str, more: &str) {
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        let user = if more.contains("User=") { String::new() } else { format!("User={user}") };
        let text = format!(
            "[Unit]\nDescription=test\n[Service]\nExecStart={command}\nSupplementaryGroups=video\n{user}\n{more}\n"
        );
        fs::write(self.unit(), text).unwrap();
    }

    /// The doctor, of this desk's files.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("doctor").arg("--unit").arg(self.unit()).args(arguments);
        command.env_remove("CAMERA_SERVICE_CONFIG").env_remove("STATE_DIRECTORY");
        command
    }

    /// What it finds.
    fn examine(&self, arguments: &[&str]) -> Report {
        Report::of(self.command(&[&["--json"], arguments].concat()).output().unwrap())
    }
}

/// What a doctor found.
struct Report {
    code: Option<i32>,
    whole: Value,
}

impl Report {
    fn of(output: Output) -> Self {
        let whole = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        Self { code: output.status.code(), whole }
    }

    fn checks(&self) -> &[Value] {
        self.whole["checks"].as_array().unwrap()
    }

    /// How many findings a check has.
    fn count(&self, check: &str) -> usize {
        self.checks().iter().filter(|finding| finding["check"] == check).count()
    }

    /// Panics unless this check found this, with these words in it, and says what to do where something is wrong; and
    /// unless the exit code says the same.
    #[track_caller]
    fn has(&self, status: &str, check: &str, words: &str) {
        let fits = |finding: &&Value| {
            finding["check"] == check
                && finding["status"] == status
                && finding["message"].as_str().is_some_and(|message| message.contains(words))
        };
        let finding = self.checks().iter().find(fits);
        let finding = finding.unwrap_or_else(|| panic!("no {status} of {check} with \"{words}\": {:#}", self.whole));
        let has_fix = finding["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert_eq!(has_fix, matches!(status, "warn" | "fail"), "{finding}");
        let failed = self.checks().iter().any(|finding| finding["status"] == "fail");
        assert_eq!(self.code, Some(i32::from(failed)), "{:#}", self.whole);
        assert_eq!(self.whole["status"], if failed { "fail" } else { "ok" });
    }

    /// What to do about a check.
    #[track_caller]
    fn fix(&self, check: &str) -> &str {
        let finding = self.checks().iter().find(|finding| finding["check"] == check);
        finding.and_then(|finding| finding["fix"].as_str()).unwrap_or_else(|| panic!("{check}: {:#}", self.whole))
    }

    /// Panics unless nothing failed.
    #[track_caller]
    fn is_good(&self) {
        let failed: Vec<&Value> = self.checks().iter().filter(|finding| finding["status"] == "fail").collect();
        assert!(failed.is_empty() && self.code == Some(0), "{failed:#?}");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
