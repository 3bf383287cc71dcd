//! A disk that takes nothing for some seconds and then goes on: so does the recording, and it says what is missing in it.
//! Nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use camera_service::stream::{Join, Next, Subscription};
use serde_json::{Value, json};
use support::{
    Camera, PATIENCE, SMALL, Service,
    disk::{Ext4, may_mount},
    peers::{decode, ffprobe, run},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::watch, time::timeout};

/// What a live reader had of every frame since it came: its time in the stream, and when it was captured.
type Seen = watch::Receiver<Vec<(Duration, SystemTime)>>;

/// Reads along, as long as no frame is missing.
fn read(mut frames: Subscription) -> Seen {
    let (seen, had) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Next::Frame(frame) = frames.next().await {
            seen.send_modify(|seen| seen.push((frame.pts, frame.captured)));
        }
    });
    had
}

/// Waits until a reader has had so many more frames.
async fn more(seen: &mut Seen, count: usize) {
    let until = seen.borrow().len() + count;
    let had = timeout(PATIENCE, seen.wait_for(|seen| seen.len() >= until)).await;
    had.expect("the stream goes on").expect("the reader has missed nothing");
}

/// Waits until so much more of the stream has gone by.
async fn lasts(seen: &mut Seen, length: Duration) {
    let newest = |seen: &Vec<(Duration, SystemTime)>| seen.last().map(|(pts, _)| *pts);
    let until = newest(&seen.borrow()).expect("it has seen some") + length;
    let had = timeout(PATIENCE, seen.wait_for(|seen| newest(seen) >= Some(until))).await;
    had.expect("the stream goes on").expect("the reader has missed nothing");
}

/// How many frames there were in the time that a recording tells of.
fn frames_of(stopped: &Value, seen: &Seen) -> usize {
    let time = |field: &str| OffsetDateTime::parse(stopped[field].as_str().unwrap(), &Rfc3339).unwrap();
    let seen = seen.borrow();
    // The end is when the frame after the last one would be; half a frame is far from both.
    let half = time::Duration::milliseconds(16);
    let (start, end) = (time("start_time") - half, time("end_time") - half);
    assert!(OffsetDateTime::from(seen[0].1) < start + 3 * half, "the reader was there first");
    seen.iter().filter(|(_, captured)| (start..end).contains(&OffsetDateTime::from(*captured))).count()
}

async fn packets(file: &Path) -> usize {
    let video = ffprobe(&file.display().to_string(), &["-count_packets"]).await.unwrap();
    video["nb_read_packets"].as_str().unwrap().parse().unwrap()
}

/// The longest time between two frames.
fn pause(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stalls_for_a_while_costs_what_is_told_and_disturbs_nobody() {
    if !may_mount("a_disk_that_stalls_for_a_while_costs_what_is_told_and_disturbs_nobody") {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (first, second) = (scratch.path().join("first"), scratch.path().join("second"));
    // A file is in the first folder's way, so that one camera is recorded to the second.
    fs::write(&first, "no folder").unwrap();
    let service = Service::start(&format!(
        "{SMALL}encoder: {{ gop: 1s }}
storage: {{ warn_percent: 100, block_percent: 100, fallback_path: {} }}
mediamtx: {{ host: 127.0.0.1, rtsp_port: 0, api_enabled: false, metrics_enabled: false, playback_enabled: false, recordings_path: {} }}
",
        second.display(),
        first.display()
    ))
    .await;
    let mut client = service.client("operator").await;
    let mut seen = Vec::new();
    for (node, camera) in [(0, "camera0"), (2, "camera1")] {
        service.plug(&Camera::usb(node, camera, Some(camera))).await;
        let stream = service.streaming(camera).await.stream.unwrap();
        seen.push(read(stream.subscribe(Join::Ring)));
    }
    client.call("start_recording", json!({ "device": "camera0", "pre_roll": 0 })).await.unwrap();
    fs::remove_file(&first).unwrap();
    let mut disk = Ext4::mount(&scratch.path().join("image"), &first);
    service.path("camera0", |_| service.app.paths().folder_trouble().is_none()).await;
    client.call("start_recording", json!({ "device": "camera1", "pre_roll": 0 })).await.unwrap();
    // Somebody watches the very camera.
    let (url, watched) = (service.url("camera1"), scratch.path().join("watched.mkv"));
    let target = watched.display().to_string();
    let watching = tokio::spawn(async move {
        run("ffmpeg", &["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-t", "10", "-c", "copy", &target]).await
    });
    while service.app.paths().readers("camera1").count == 0 {
        more(&mut seen[1], 1).await;
    }
    more(&mut seen[1], 45).await;

    disk.freeze();
    // Of the ten it may take.
    lasts(&mut seen[1], Duration::from_secs(5)).await;
    more(&mut seen[0], 1).await;
    disk.thaw();
    more(&mut seen[1], 90).await;
    watching.await.unwrap().unwrap();
    for (number, folder) in [(0, &second), (1, &first)] {
        let device = format!("camera{number}");
        let stopped = client.call("stop_recording", json!({ "device": device })).await.unwrap();
        let file = folder.join(stopped["filename"].as_str().unwrap());
        decode(&file).await.unwrap();
        let missed = stopped["missed_frames"].as_u64().unwrap() as usize;
        assert_eq!(stopped["files"], 1, "{device} went on in its file");
        assert_eq!(packets(&file).await + missed, frames_of(&stopped, &seen[number]), "{stopped}");
        let told = client.notification("recording_status_update", |update| update["status"] == "STOPPED").await;
        assert_eq!(told["filename"], stopped["filename"]);
        assert_eq!(told["missed_frames"].as_u64().unwrap_or_default() as usize, missed, "{told}");
        if number == 0 {
            assert_eq!(missed, 0, "its disk was never slow");
        }
    }
    let arguments = ["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", watched.to_str().unwrap()];
    let times = run("ffprobe", &arguments).await.unwrap();
    let times: Vec<f64> = times.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    assert!(times.last().unwrap() - times[0] > 5.0, "{times:?}");
    let own = seen[1].borrow().iter().map(|(pts, _)| pts.as_secs_f64()).collect();
    let (had, own) = (pause(times), pause(own));
    assert!(had <= own + 0.05, "the reader waited {had} s where the stream had {own} s between two frames");
    service.stop().await;
}
