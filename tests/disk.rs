//! Disks that fill, fail, vanish and hang while they are recorded to: the recording ends with its reason, what was written
//! plays, streams go on, and what records by itself goes on when it can.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use camera_service::stream::{Join, Next, Subscription};
use serde_json::{Value, json};
use support::{
    Camera, PATIENCE, SMALL, Service,
    disk::{self, Ext4, may_mount},
    peers::{decode, length, run},
    rpc::Client,
};
use tokio::{sync::watch, time::timeout};

const AUTO: &str = "recording: { auto_record: true, pre_roll: 0s }\nencoder: { gop: 1s }\n";

/// Frames wait for the reader that counts them while the machine is busy.
const PATIENT: &str = "fps: 30, ring: { gops: 20 }";

/// A service that records camera0 by itself, into `folder`/recordings.
struct Recorded {
    service: Service,
    client: Client,
    /// Frames that a live reader has had so far.
    reader: watch::Receiver<u64>,
    /// What the file is called that is written now.
    filename: String,
}

impl Recorded {
    /// Starts it. `recordings` is where it records, `extra` more of the configuration.
    async fn start(recordings: &Path, extra: &str) -> Self {
        let media = format!(
            "mediamtx: {{ host: 127.0.0.1, rtsp_port: 0, api_enabled: false, metrics_enabled: false, playback_enabled: false, recordings_path: {} }}\n",
            recordings.display()
        );
        let service = Service::start(&format!("{}{AUTO}{media}{extra}", SMALL.replace("fps: 30", PATIENT))).await;
        let mut client = service.client("operator").await;
        service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
        let started = update(&mut client, "STARTED").await;
        let stream = service.streaming("camera0").await.stream.unwrap();
        let mut recorded =
            Self { service, client, reader: read(stream.subscribe(Join::Live)), filename: name(&started) };
        recorded.frames(60).await;
        recorded
    }

    /// Waits until a live reader has so many more frames.
    async fn frames(&mut self, count: u64) {
        let until = *self.reader.borrow() + count;
        let had = timeout(PATIENCE, self.reader.wait_for(|had| *had >= until)).await;
        had.expect("the stream goes on").expect("the reader has missed nothing");
    }

    /// Waits until the recording has ended, and gives why. The stream goes on.
    async fn ended(&mut self, why: &str) {
        let update = update(&mut self.client, "ERROR").await;
        assert_eq!(update["filename"], self.filename, "{update}");
        assert!(update["error"].as_str().unwrap().contains(why), "{update}");
        self.frames(30).await;
    }

    /// Waits until the recording goes on by itself.
    async fn goes_on(&mut self) {
        self.filename = name(&update(&mut self.client, "STARTED").await);
        self.frames(60).await;
        self.degraded("").await;
    }

    /// Waits until health says this: nothing if it is "".
    async fn degraded(&mut self, why: &str) {
        loop {
            let url = format!("http://{}/health", self.service.app.health_address());
            let health: Value = serde_json::from_str(&run("curl", &["-s", &url]).await.unwrap()).unwrap();
            let component = &health["components"]["service_manager"];
            let details = component["details"].as_str().unwrap_or_default();
            let fits = if why.is_empty() { details == "running" } else { details.contains(why) };
            if fits {
                assert_eq!(
                    component["status"].as_str().unwrap().eq_ignore_ascii_case("healthy"),
                    why.is_empty(),
                    "{health}"
                );
                return;
            }
            // Which is time that goes by.
            self.frames(1).await;
        }
    }
}

/// Counts the frames of a reader, as long as none is missing.
fn read(mut frames: Subscription) -> watch::Receiver<u64> {
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        while let Next::Frame(_) = frames.next().await {
            count.send_modify(|count| *count += 1);
        }
    });
    counted
}

async fn update(client: &mut Client, status: &'static str) -> Value {
    client.notification("recording_status_update", move |update| update["status"] == status).await
}

fn name(update: &Value) -> String {
    update["filename"].as_str().unwrap().to_owned()
}

/// The whole of a file decodes, and it has some seconds.
async fn plays(file: &Path) {
    decode(file).await.unwrap_or_else(|complaint| panic!("{}: {complaint}", file.display()));
    let seconds = length(file).await;
    assert!(seconds >= 1.0, "{}: {seconds}", file.display());
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let recordings = scratch.path().join("recordings");
    (scratch, recordings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_ends_a_recording_and_it_goes_on_when_there_is_room() {
    if !may_mount("a_disk_that_is_full_ends_a_recording_and_it_goes_on_when_there_is_room") {
        return;
    }
    let (_scratch, folder) = scratch();
    disk::memory(&folder, 16);
    // Only the disk itself says that it is full.
    let extra = "storage: { warn_percent: 100, block_percent: 100 }\n";
    let mut recorded = Recorded::start(&folder, extra).await;
    let file = folder.join(&recorded.filename);
    // All that is left, to the last page.
    let others = folder.join("of-somebody-else");
    disk::fill(&others);
    recorded.ended("full").await;
    recorded.degraded("full").await;
    plays(&file).await;
    fs::remove_file(others).unwrap();
    recorded.goes_on().await;
    recorded.service.stop().await;
    plays(&folder.join(recorded.filename)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_read_only_ends_a_recording() {
    if !may_mount("a_disk_that_becomes_read_only_ends_a_recording") {
        return;
    }
    let (scratch, folder) = scratch();
    let disk = Ext4::mount(&scratch.path().join("image"), &folder);
    let mut recorded = Recorded::start(&folder, "").await;
    let file = folder.join(&recorded.filename);
    disk.fail();
    recorded.ended("cannot be written").await;
    recorded.degraded("recorded: ").await;
    plays(&file).await;
    recorded.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_taken_away_ends_a_recording_and_it_goes_on_in_the_one_that_comes() {
    let (scratch, folder) = scratch();
    let mut recorded = Recorded::start(&folder, "").await;
    let moved = scratch.path().join("moved");
    // Moved away, and another put in its place at once.
    fs::rename(&folder, &moved).unwrap();
    fs::create_dir(&folder).unwrap();
    let file = moved.join(&recorded.filename);
    recorded.ended("not where it was").await;
    recorded.goes_on().await;
    plays(&file).await;
    // Deleted, with all that is in it.
    fs::remove_dir_all(&folder).unwrap();
    recorded.ended("not where it was").await;
    recorded.degraded("nothing is recorded").await;
    let refused = recorded.client.call("start_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["dependency"]), (&json!(-32050), &json!("disk")));
    fs::create_dir(&folder).unwrap();
    recorded.goes_on().await;
    recorded.service.stop().await;
    plays(&folder.join(recorded.filename)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_unmounted_ends_a_recording() {
    if !may_mount("a_disk_that_is_unmounted_ends_a_recording") {
        return;
    }
    let (_scratch, folder) = scratch();
    disk::memory(&folder, 64);
    let mut recorded = Recorded::start(&folder, "").await;
    disk::run("umount", &["--lazy", folder.to_str().unwrap()]);
    recorded.ended("not where it was").await;
    // What is below the mount point is a folder as any other.
    recorded.goes_on().await;
    recorded.service.stop().await;
    plays(&folder.join(recorded.filename)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_holds_nobody() {
    if !may_mount("a_disk_that_hangs_holds_nobody") {
        return;
    }
    let (scratch, folder) = scratch();
    let mut disk = Ext4::mount(&scratch.path().join("image"), &folder);
    let mut recorded = Recorded::start(&folder, "").await;
    let file = folder.join(&recorded.filename);
    disk.freeze();
    // Ten seconds later, and the reader has every frame of them.
    recorded.ended("the disk hangs").await;
    recorded.degraded("the disk hangs").await;
    let refused = recorded.client.call("start_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert!(refused["data"]["detail"].as_str().unwrap().contains("the disk hangs"), "{refused}");
    disk.thaw();
    recorded.goes_on().await;
    plays(&file).await;
    // And when it hangs at the end, that comes all the same.
    disk.freeze();
    recorded.frames(30).await;
    recorded.service.stop().await;
    disk.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_go_to_the_second_folder_while_the_first_does_not_work() {
    let (scratch, first) = scratch();
    let second = scratch.path().join("second");
    let extra = format!("storage: {{ warn_percent: 100, block_percent: 100, fallback_path: {} }}\n", second.display());
    let mut recorded = Recorded::start(&first, &extra).await;
    let before = recorded.filename.clone();
    let moved = scratch.path().join("moved");
    fs::rename(&first, &moved).unwrap();
    recorded.ended("not where it was").await;
    recorded.filename = name(&update(&mut recorded.client, "STARTED").await);
    recorded.frames(60).await;
    recorded.degraded("storage.fallback_path").await;
    let fallen = recorded.filename.clone();
    assert!(second.join(&fallen).exists());
    // The first folder is there again: the next file goes there.
    fs::rename(&moved, &first).unwrap();
    recorded.degraded("").await;
    let device = json!({ "device": "camera0" });
    recorded.client.call("stop_recording", device.clone()).await.unwrap();
    let started = recorded.client.call("start_recording", device.clone()).await.unwrap();
    let back = name(&started);
    assert!(first.join(&back).exists());
    recorded.frames(60).await;
    recorded.client.call("stop_recording", device).await.unwrap();
    // Both are one library.
    let mut admin = recorded.service.client("admin").await;
    let list = admin.call("list_recordings", json!({})).await.unwrap();
    let mut names: Vec<_> = list["files"].as_array().unwrap().iter().map(name).collect();
    names.sort();
    let mut all = [before, fallen.clone(), back];
    all.sort();
    assert_eq!(names, all);
    let info = admin.call("get_recording_info", json!({ "filename": fallen })).await.unwrap();
    assert!(info["duration"].as_u64().unwrap() >= 1, "{info}");
    let url = format!("http://{}/files/recordings/{fallen}", recorded.service.app.control_address());
    let header = format!("Authorization: Bearer {}", support::token("viewer"));
    let copy = scratch.path().join("copy.mp4");
    let curl = ["-sf", "-H", &header, "-o", copy.to_str().unwrap(), &url];
    run("curl", &curl).await.unwrap();
    plays(&copy).await;
    admin.call("delete_recording", json!({ "filename": fallen })).await.unwrap();
    assert!(!second.join(&fallen).exists());
    recorded.service.stop().await;
}

/// Where the service starts although its first folder does not work, it records to the second, says so, and goes back when
/// `repair` has made the first one work.
async fn starts_without(first: &Path, second: &Path, repair: impl FnOnce()) {
    let extra = format!("storage: {{ warn_percent: 100, block_percent: 100, fallback_path: {} }}\n", second.display());
    let mut recorded = Recorded::start(first, &extra).await;
    let fallen = second.join(&recorded.filename);
    assert!(fallen.exists());
    recorded.degraded("recordings go to storage.fallback_path").await;
    repair();
    recorded.degraded("").await;
    let device = json!({ "device": "camera0" });
    recorded.client.call("stop_recording", device.clone()).await.unwrap();
    plays(&fallen).await;
    let back = name(&recorded.client.call("start_recording", device).await.unwrap());
    recorded.frames(60).await;
    recorded.service.stop().await;
    plays(&first.join(back)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_folder_that_cannot_be_made_does_not_keep_the_service_from_starting() {
    let (scratch, _) = scratch();
    let in_the_way = scratch.path().join("in-the-way");
    fs::write(&in_the_way, "no folder").unwrap();
    let first = in_the_way.join("recordings");
    starts_without(&first, &scratch.path().join("second"), || {
        fs::remove_file(&in_the_way).unwrap();
        fs::create_dir_all(&first).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_folder_that_cannot_be_written_does_not_keep_the_service_from_starting() {
    if !may_mount("a_first_folder_that_cannot_be_written_does_not_keep_the_service_from_starting") {
        return;
    }
    let (scratch, first) = scratch();
    disk::memory(&first, 64);
    let remount = |how| disk::run("mount", &["-o", how, first.to_str().unwrap()]);
    remount("remount,ro");
    starts_without(&first, &scratch.path().join("second"), || remount("remount,rw")).await;
}
