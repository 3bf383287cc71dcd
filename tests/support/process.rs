//! The service as a process of its own.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command as AsyncCommand},
    time::timeout,
};

use super::PATIENCE;

/// The binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_camera-service");

/// The service as a process, and the lines it logs.
pub struct Process {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    read: Vec<String>,
}

impl Process {
    /// Starts it with this configuration.
    pub fn start(config: &Path, log_format: &str) -> Self {
        Self::start_with(config, log_format, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(config: &Path, log_format: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = AsyncCommand::new(BINARY)
            .args(["--log-format", log_format, "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, read: Vec::new() }
    }

    /// Reads the log up to a line that has `text` in it.
    pub async fn line(&mut self, text: &str) -> String {
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.read.push(line.clone());
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the log ended without \"{text}\"");
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("no line with \"{text}\""))
    }

    /// A line that has `text` in it, whether it has been read already or not.
    pub async fn logged(&mut self, text: &str) -> String {
        match self.read.iter().find(|line| line.contains(text)) {
            Some(line) => line.clone(),
            None => self.line(text).await,
        }
    }

    /// Kills it, as a power cut or a fault of its own would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends SIGTERM, reads the log to its end, and waits.
    pub async fn terminate(self) -> ExitStatus {
        self.terminate_with_log().await.0
    }

    /// As [`Process::terminate`], with every line that was ever logged.
    pub async fn terminate_with_log(mut self) -> (ExitStatus, Vec<String>) {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let end = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.read.push(line);
            }
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, end).await.expect("it ends");
        (status, self.read)
    }
}

/// The word behind `mark` in a line.
pub fn after(line: &str, mark: &str) -> String {
    let rest = &line[line.find(mark).unwrap() + mark.len()..];
    rest.chars().take_while(|c| !c.is_whitespace() && *c != '/' && *c != '"').collect()
}
