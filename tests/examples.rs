//! The programs in the documentation, run as they are printed there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, path::Path, process::Stdio};

use support::{Camera, PATIENCE, SMALL, Service};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

/// Languages, and what runs them. Debian's own, and not what happens to come first in somebody's PATH.
const PROGRAMS: [(&str, &str); 2] = [("python", "/usr/bin/python3"), ("js", "/usr/bin/node")];

/// The blocks of this language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A service with one camera, and the only program of a language in a document.
struct Example {
    service: Service,
    program: &'static str,
}

impl Example {
    async fn new(document: &str, language: &str) -> Self {
        let service = Service::start(SMALL).await;
        service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
        service.streaming("camera0").await;
        let code = blocks(document, language);
        assert_eq!(code.len(), 1, "{document} has one example in {language}");
        fs::write(service.folder.path().join("example"), &code[0]).unwrap();
        let (_, program) = PROGRAMS.into_iter().find(|(name, _)| *name == language).unwrap();
        assert!(Path::new(program).exists(), "there is no {program}: packaging/install-deps test installs it");
        Self { service, program }
    }

    fn command(&self, token: &str) -> Command {
        let mut command = Command::new(self.program);
        command.arg("example").arg(format!("ws://{}/ws", self.service.app.control_address()));
        command.current_dir(self.service.folder.path()).env("CAMERA_SERVICE_TOKEN", token);
        // Lines come as they are printed; and a Node that is not Debian's finds Debian's modules.
        command.env("PYTHONUNBUFFERED", "1").env("NODE_PATH", "/usr/share/nodejs");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What it says of the camera and of the picture, which is on disk then.
    async fn camera_and_snapshot(&self, lines: &mut Output) {
        let camera = lines.find("camera: ").await;
        assert!(camera.contains("camera0 CONNECTED"), "{camera}");
        let snapshot = lines.find("snapshot: ").await;
        let file = self.service.folder.path().join("state/snapshots").join(snapshot.trim_start_matches("snapshot: "));
        assert!(fs::read(&file).unwrap().starts_with(&[0xff, 0xd8]), "{snapshot} is a JPEG");
    }

    async fn is_told_what_is_wrong(&self) {
        let output = timeout(PATIENCE, self.command("nonsense").output()).await.expect("it ends").unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains("authenticate: ") && complaint.contains("this is not a token"), "{complaint}");
    }
}

/// What a program prints.
struct Output {
    lines: Lines<BufReader<ChildStdout>>,
    read: Vec<String>,
}

impl Output {
    fn new(stdout: ChildStdout) -> Self {
        Self { lines: BufReader::new(stdout).lines(), read: Vec::new() }
    }

    /// The first line that has `text` in it, also of those that were read.
    async fn find(&mut self, text: &str) -> String {
        loop {
            if let Some(line) = self.read.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no \"{text}\" in {:?}", self.read)).unwrap();
            let ended = || panic!("it ended without \"{text}\": {:?}; packaging/install-deps test?", self.read);
            self.read.push(line.unwrap_or_else(ended));
        }
    }
}

async fn the_page_about_control(language: &str) {
    let example = Example::new("docs/rpc.md", language).await;
    let mut running = example.command(&support::token("operator")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Output::new(running.stdout.take().unwrap());
    example.camera_and_snapshot(&mut lines).await;
    let told = lines.find("snapshot.taken").await;
    assert!(told.starts_with("notification: ") && told.contains("camera0"), "{told}");
    // It stays until it is interrupted.
    running.kill().await.unwrap();
    example.is_told_what_is_wrong().await;
    example.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_on_the_page_about_control() {
    the_page_about_control("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_on_the_page_about_control() {
    the_page_about_control("js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_on_the_first_page() {
    let example = Example::new("README.md", "python").await;
    let mut running = example.command(&support::token("operator")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Output::new(running.stdout.take().unwrap());
    example.camera_and_snapshot(&mut lines).await;
    assert!(timeout(PATIENCE, running.wait()).await.expect("it ends").unwrap().success());
    example.is_told_what_is_wrong().await;
    example.service.stop().await;
}
