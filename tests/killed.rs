//! A service that is killed at any moment, again and again: what it recorded plays, up to the last part.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::json;
use support::{
    PATIENCE,
    peers::{decode, length, run},
    process::{Process, after},
    rpc::Client,
};
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

/// A part is a second. The rest is what a busy machine needs to encode a frame and write it.
const MAY_BE_LOST: Duration = Duration::from_secs(3);

const EXTRA: &str = "camera: { test_pattern: always, discovery_enabled: false }
streams: { width: 320, height: 180 }
snapshots: { format: png }
";

/// One installation, over many lives of its service.
struct Installation {
    folder: TempDir,
    config: PathBuf,
}

impl Installation {
    fn new() -> Self {
        let (folder, config) = support::configured(EXTRA);
        Self { folder, config }
    }

    fn recordings(&self) -> PathBuf {
        self.folder.path().join("state/recordings")
    }

    async fn start(&self) -> (Process, Client) {
        let mut service = Process::start(&self.config, "human");
        let address = after(&service.line("ws://").await, "ws://").parse().unwrap();
        (service, Client::authenticated(address, &support::token("operator")).await)
    }

    /// Records, and kills the service when pictures show that so much of the stream has gone by. Gives the file, and when
    /// the last of those pictures was made.
    async fn cut_off(&self, format: &str, after: Duration) -> (PathBuf, SystemTime) {
        let (service, mut client) = self.start().await;
        let request = json!({ "device": "test", "format": format });
        let started = client.call("start_recording", request).await.unwrap();
        let mut first = None;
        let last = loop {
            let taken = client.call("take_snapshot", json!({ "device": "test" })).await.unwrap();
            let captured = OffsetDateTime::parse(taken["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
            if captured - *first.get_or_insert(captured) >= after {
                break captured.into();
            }
        };
        service.kill().await;
        (self.recordings().join(started["filename"].as_str().unwrap()), last)
    }

    /// Starts the service once more and waits until it has looked at what was left.
    async fn recover(&self, log: &str) {
        let mut service = Process::start(&self.config, "human");
        service.line(log).await;
        let done = async {
            while self.marks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, done).await.expect("all is repaired");
        assert!(service.terminate().await.success());
    }

    fn marks(&self) -> usize {
        let entries = std::fs::read_dir(self.recordings()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".unfinished-"))
            .count()
    }
}

/// When the first frame of a file in fragments was captured: its first `prft` box (ISO/IEC 14496-12, 8.16.5).
fn begun(file: &Path) -> SystemTime {
    let bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(4).position(|word| word == b"prft").unwrap() + 4 + 4 + 4;
    let ntp = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let seconds = (ntp >> 32) as f64 - 2_208_988_800.0 + (ntp & 0xffff_ffff) as f64 / (1u64 << 32) as f64;
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_times_killed_fifty_files_play_up_to_the_last_part() {
    // Two at a time, each with a service that finds what the one before it left.
    let lives = |offset: u64| async move {
        let installation = Installation::new();
        let (mut files, mut lost) = (Vec::new(), Vec::new());
        for life in 0..25 {
            // Within some seconds, at no moment of a second in particular.
            let length = Duration::from_millis(200 + (life * 137 + offset) % 3000);
            files.push(installation.cut_off("fmp4", length).await);
        }
        installation.recover("a recording that was cut off").await;
        for (file, last) in files {
            // What was killed within its first second has no whole part.
            let end = match file.exists() {
                true => {
                    decode(&file).await.unwrap_or_else(|complaint| panic!("{}: {complaint}", file.display()));
                    begun(&file) + Duration::from_secs_f64(length(&file).await)
                }
                false => continue,
            };
            lost.push(last.duration_since(end).unwrap_or_default());
        }
        lost
    };
    let (first, second) = tokio::join!(lives(0), lives(61));
    let mut lost = [first, second].concat();
    lost.sort();
    assert!(lost.len() >= 25, "too few recordings were long enough to say anything: {}", lost.len());
    println!("{} files; lost: median {:?}, most {:?}", lost.len(), lost[lost.len() / 2], lost[lost.len() - 1]);
    assert!(lost[lost.len() - 1] <= MAY_BE_LOST, "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_repaired_when_the_service_starts_again() {
    let installation = Installation::new();
    for format in ["mp4", "mkv", "mpegts"] {
        let (file, _) = installation.cut_off(format, Duration::from_secs(3)).await;
        assert_eq!(installation.marks(), 1, "{format}");
        installation.recover("plays up to its last whole part").await;
        decode(&file).await.unwrap_or_else(|complaint| panic!("{format}: {complaint}"));
        // What is asked of the header, not counted.
        let entry = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"];
        let told = run("ffprobe", &[&entry[..], &[file.to_str().unwrap()]].concat()).await.unwrap();
        let (told, counted) = (told.trim().parse::<f64>().unwrap(), length(&file).await);
        assert!(counted > 1.0 && (told - counted).abs() < 0.1, "{format}: {told} {counted}");
    }
}
