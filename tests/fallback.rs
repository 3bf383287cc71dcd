//! The second folder of recordings while the first is not there: what was recorded there is found, told of, played back,
//! repaired and deleted like everything else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use camera_service::stream::Join;
use serde_json::{Value, json};
use support::{
    Camera, PATIENCE, SMALL, Service,
    peers::{decode, length, run},
    rpc::Client,
};
use tempfile::TempDir;
use tokio::time::timeout;

/// Two folders, of which the first cannot be made: a file is in its way.
struct Folders {
    scratch: TempDir,
    second: PathBuf,
}

impl Folders {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("in-the-way"), "no folder").unwrap();
        let second = scratch.path().join("second");
        Self { scratch, second }
    }

    fn first(&self) -> PathBuf {
        self.scratch.path().join("in-the-way/recordings")
    }

    fn config(&self, extra: &str) -> String {
        let (first, second) = (self.first(), self.second.display());
        format!(
            "{SMALL}encoder: {{ gop: 0.5s }}
storage: {{ warn_percent: 100, block_percent: 100, fallback_path: {second} }}
mediamtx: {{ host: 127.0.0.1, rtsp_port: 0, api_bind_address: 127.0.0.1, api_port: 0, metrics_port: 0, playback_port: 0, recordings_path: {} }}
{extra}",
            first.display()
        )
    }

    async fn start(&self, extra: &str) -> Service {
        let service = Service::start(&self.config(extra)).await;
        service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
        service.streaming("camera0").await;
        service
    }
}

/// Waits until a live reader has had so many frames.
async fn frames(service: &Service, count: usize) {
    let mut reader = service.streaming("camera0").await.stream.unwrap().subscribe(Join::Live);
    for _ in 0..count {
        timeout(PATIENCE, reader.next()).await.expect("a frame");
    }
}

/// Records some seconds. Gives the reply to the end.
async fn record(service: &Service, client: &mut Client) -> Value {
    let device = json!({ "device": "camera0" });
    client.call("start_recording", device.clone()).await.unwrap();
    frames(service, 60).await;
    client.call("stop_recording", device).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn marks(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".unfinished-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_first_folder_is_away_the_second_is_told_of_and_played_back() {
    let folders = Folders::new();
    let service = folders.start("").await;
    let mut client = service.client("admin").await;
    let stopped = record(&service, &mut client).await;
    let file = folders.second.join(stopped["filename"].as_str().unwrap());
    let size = fs::metadata(&file).unwrap().len();

    let list = client.call("list_recordings", json!({})).await.unwrap();
    assert_eq!((&list["total"], &list["files"][0]["filename"]), (&json!(1), &stopped["filename"]), "{list}");
    let info = client.call("get_storage_info", json!({})).await.unwrap();
    assert_eq!(info["recordings_size"], size, "{info}");
    assert!(info["total_space"].as_u64().unwrap() > 0, "{info}");
    let metrics = client.call("get_metrics", json!({})).await.unwrap();
    assert!(metrics["system_metrics"]["disk_usage"].is_number(), "{metrics}");

    let port = service.app.engine_addresses().playback.unwrap();
    let curl = async |url: &str| run("curl", &["-sSfg", url]).await.unwrap();
    let spans: Value = serde_json::from_str(&curl(&format!("http://{port}/list?path=camera0")).await).unwrap();
    let recorded = length(&file).await;
    assert!((spans[0]["duration"].as_f64().unwrap() - recorded).abs() < 0.1, "{spans} {recorded}");
    let film = folders.scratch.path().join("film.mp4");
    let url = format!("{}&format=mp4", spans[0]["url"].as_str().unwrap());
    run("curl", &["-sSfg", "-o", film.to_str().unwrap(), &url]).await.unwrap();
    decode(&film).await.unwrap();
    assert!((length(&film).await - recorded).abs() < 0.1);
    let api = service.app.engine_addresses().api.unwrap();
    let listed: Value = serde_json::from_str(&curl(&format!("http://{api}/v3/recordings/get/camera0")).await).unwrap();
    assert_eq!(listed["segments"].as_array().map(Vec::len), Some(1), "{listed}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_files_of_the_second_folder_go_and_those_that_are_written_stay() {
    let folders = Folders::new();
    let service =
        folders.start("retention_policy: { enabled: true, type: age, max_age_days: 7, auto_cleanup: false }\n").await;
    for (name, days) in [("old.mp4", 9), ("new.mp4", 1)] {
        let file = fs::File::create(folders.second.join(name)).unwrap();
        file.set_len(1000).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(86_400) * days).unwrap();
    }
    let mut client = service.client("admin").await;
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!((&cleaned["files_deleted"], &cleaned["space_freed"]), (&json!(1), &json!(1000)), "{cleaned}");
    assert!(!folders.second.join("old.mp4").exists() && folders.second.join("new.mp4").exists());
    assert!(folders.second.join(started["filename"].as_str().unwrap()).exists());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_second_folder_is_repaired_at_the_next_start() {
    let folders = Folders::new();
    let service = folders.start("").await;
    let mut client = service.client("operator").await;
    let request = json!({ "device": "camera0", "format": "mkv" });
    let started = client.call("start_recording", request).await.unwrap();
    frames(&service, 90).await;
    // As a crash would leave it: without the end of the file, and with its mark.
    let crashed = folders.scratch.path().join("crashed");
    copy(&folders.second, &crashed);
    assert_eq!(marks(&crashed), 1);
    let state = service.stop().await;
    fs::remove_dir_all(&folders.second).unwrap();
    fs::rename(&crashed, &folders.second).unwrap();

    let file = folders.second.join(started["filename"].as_str().unwrap());
    // What a header says that was written to the end.
    let told = async || {
        let entry = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file.to_str().unwrap()];
        run("ffprobe", &entry).await.unwrap().trim().parse::<f64>().ok()
    };
    assert_eq!(told().await, None);
    let service = Service::start_in(state.0, state.1).await;
    let repaired = async {
        while marks(&folders.second) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, repaired).await.expect("it is repaired");
    decode(&file).await.unwrap();
    assert!(told().await.unwrap() >= 1.0);
    service.stop().await;
}
