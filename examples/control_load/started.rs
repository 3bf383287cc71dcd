//! The servers that are measured, each a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use futures_util::{SinkExt, TryStreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async_with_config;

use super::{AnyError, Result, small};

/// What the tokens of the service are signed with.
pub const SECRET: &str = "only the load driver knows this one";

/// A process that serves, until it is dropped.
pub struct Started {
    child: Child,
    /// Where it is.
    pub url: String,
    _folder: Option<TempDir>,
}

impl Started {
    /// One that gives back every message.
    pub fn echo() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?).arg("--echo").stderr(Stdio::piped()).spawn()?;
        let url = url_of(&mut child)?;
        Ok(Self { child, url, _folder: None })
    }

    /// The service, as built beside this example.
    pub fn service() -> Result<Self> {
        let example = std::env::current_exe()?;
        let binary = example.ancestors().nth(2).ok_or("no folder")?.join("camera-service");
        if !binary.exists() {
            return Err(format!("build {} first", binary.display()).into());
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("camera-service.yaml");
        let configuration = json!({
            "state_directory": folder.path(),
            "server": { "host": "127.0.0.1", "port": 0, "max_connections": 10_000 },
            "security": {
                "jwt": { "secret_key": SECRET },
                "rate_limiting": { "max_connections": 10_000, "requests_per_minute": 1_000_000 },
                "health": { "port": 0, "bind_address": "127.0.0.1" },
            },
            "mediamtx": {
                "rtsp_port": 0,
                "recordings_path": folder.path().join("recordings"),
                "snapshots_path": folder.path().join("snapshots"),
            },
            "rtsp": { "bind_address": "127.0.0.1" },
            // It streams for the snapshots only.
            "camera": { "discovery_enabled": false, "test_pattern": "always", "auto_start_streams": false },
            "streams": { "width": 320, "height": 240, "fps": 10 },
        });
        // JSON is YAML.
        fs::write(&file, configuration.to_string())?;
        let mut child = Command::new(binary).arg("--config").arg(&file).stderr(Stdio::piped()).spawn()?;
        let url = url_of(&mut child)?;
        Ok(Self { child, url, _folder: Some(folder) })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The first URL of a WebSocket in what a process logs. The rest is read away, or it would have to wait.
fn url_of(child: &mut Child) -> Result<String> {
    let mut lines = BufReader::new(child.stderr.take().ok_or("no log")?).lines().map_while(std::io::Result::ok);
    let mut seen = Vec::new();
    let url = lines.by_ref().find_map(|line| {
        let url = line.find("ws://").map(|at| line[at..].split_whitespace().next().unwrap_or_default().to_owned());
        seen.push(line);
        url
    });
    thread::spawn(move || lines.for_each(drop));
    url.ok_or_else(|| format!("the server does not start:\n{}", seen.join("\n")).into())
}

/// The least a server can do: gives back every message.
pub async fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("ws://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut socket = accept_async_with_config(stream, Some(small())).await?;
            while let Some(message) = socket.try_next().await? {
                socket.send(message).await?;
            }
            Ok::<_, AnyError>(())
        });
    }
}
