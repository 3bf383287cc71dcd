//! Recordings and snapshots as clients ask for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use camera_service::{
    path::Phase,
    stream::{Join, Next},
};
use futures_util::future::join;
use serde_json::{Value, json};
use support::{
    Camera, PATIENCE, SMALL, Service, http,
    peers::{decode, ffprobe, length, run},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_plays_after_the_camera_went_and_goes_on_when_it_is_back() {
    let service = Service::start(SMALL).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!((&started["status"], &started["format"]), (&json!("RECORDING"), &json!("fmp4")));
    let twice = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!(twice["code"], -32020);
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut reader = stream.subscribe(Join::Live);
    for _ in 0..45 {
        reader.next().await;
    }

    service.unplug(&camera).await;
    let of = |status: &'static str| move |update: &serde_json::Value| update["status"] == status;
    let first = client.notification("recording_status_update", of("STOPPED")).await;
    assert_eq!(first["filename"], started["filename"]);
    service.path("camera0", |status| status.phase == Phase::Away && status.recording.is_some()).await;
    // What takes a while, so that there is a gap to be told of.
    decode(&service.recording(&first["filename"])).await.unwrap();
    service.plug(&camera).await;
    let second = client
        .notification("recording_status_update", |update| {
            update["status"] == "STARTED" && update["filename"] != started["filename"]
        })
        .await;
    let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["session_id"], started["session_id"]);
    assert_eq!(stopped["filename"], second["filename"]);
    assert_eq!((&second["session_id"], &stopped["files"]), (&started["session_id"], &json!(2)));
    assert!(second["gap"].as_f64().unwrap() > 0.0, "{second}");
    for filename in [&started["filename"], &stopped["filename"]] {
        let file = service.recording(filename);
        decode(&file).await.unwrap();
        let video = ffprobe(&file.display().to_string(), &["-count_packets"]).await.unwrap();
        assert_eq!(video["codec_name"], "h264");
    }
    let none = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!(none["code"], -32020);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_as_mpegts_plays_and_is_listed_downloaded_and_deleted() {
    let service = Service::start(&format!("{SMALL}recording: {{ format: ts }}\n")).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("admin").await;
    // As configured, and as asked for by both names.
    for asked in [json!({}), json!({ "format": "ts" }), json!({ "format": "mpegts" })] {
        let mut params = asked;
        params["device"] = "camera0".into();
        let started = client.call("start_recording", params).await.unwrap();
        assert_eq!(started["format"], "mpegts");
        frames(&service, 45).await;
        let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
        assert_eq!((&stopped["filename"], &stopped["format"]), (&started["filename"], &json!("mpegts")));
        let file = service.recording(&stopped["filename"]);
        assert_eq!(file.extension().unwrap(), "ts");
        decode(&file).await.unwrap();
        let entries = ["-v", "error", "-show_entries", "format=format_name", "-of", "csv=p=0", file.to_str().unwrap()];
        assert_eq!(run("ffprobe", &entries).await.unwrap().trim(), "mpegts");
        let packets = ["-v", "error", "-show_entries", "packet=flags", "-of", "csv=p=0", file.to_str().unwrap()];
        let packets = run("ffprobe", &packets).await.unwrap();
        assert!(packets.starts_with('K') && packets.lines().filter(|line| !line.is_empty()).count() >= 45, "{packets}");
        let seconds = (time(&stopped["end_time"]) - time(&stopped["start_time"])).as_seconds_f64();
        assert!((length(&file).await - seconds).abs() < 0.05, "{stopped}");

        let name = json!({ "filename": stopped["filename"] });
        let info = client.call("get_recording_info", name.clone()).await.unwrap();
        assert_eq!((&info["format"], &info["duration"]), (&json!("mpegts"), &stopped["duration"]), "{info}");
        assert_eq!(info["created_time"], started["start_time"]);
        let listed = client.call("list_recordings", json!({ "device": "camera0" })).await.unwrap();
        assert_eq!((&listed["total"], &listed["files"][0]["duration"]), (&json!(1), &stopped["duration"]), "{listed}");
        let download = http::get(&service, listed["files"][0]["download_url"].as_str().unwrap(), &[]).await;
        assert_eq!((download.status, download.header("content-type")), (200, "video/mp2t"), "{}", download.head);
        assert!(download.body == std::fs::read(&file).unwrap());
        client.call("delete_recording", name).await.unwrap();
        assert!(!file.exists());
    }
    service.stop().await;
}

/// Reads a path's stream until `seconds` of it have come since the first frame.
async fn watch(service: &Service, seconds: u64) {
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut reader = stream.subscribe(Join::Past(Duration::MAX));
    let mut first = None;
    loop {
        match reader.next().await {
            Next::Frame(frame) if frame.pts >= *first.get_or_insert(frame.pts) + Duration::from_secs(seconds) => return,
            Next::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_begins_before_it_was_asked_for() {
    let service = Service::start(&format!("{SMALL}encoder: {{ gop: 0.5s }}\nrecording: {{ pre_roll: 3s }}\n")).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    watch(&service, 5).await;
    let mut client = service.client("operator").await;
    let mut longest = f64::MAX;
    for (asked, least) in [(json!({}), 3.0), (json!({"pre_roll": 1}), 1.0), (json!({"pre_roll": 0}), 0.0)] {
        let mut params = asked.clone();
        params["device"] = "camera0".into();
        let started = client.call("start_recording", params).await.unwrap();
        let begun_at = OffsetDateTime::now_utc();
        let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
        let pre_roll = started["pre_roll"].as_f64().unwrap();
        assert!((least..longest).contains(&pre_roll), "{asked}: {started}");
        longest = pre_roll;
        assert_eq!(started["start_time"], stopped["start_time"]);
        // What the reply says is in the file.
        let before = (begun_at - time(&started["start_time"])).as_seconds_f64();
        assert!(before >= least, "{asked}: {before}");
        let file = service.recording(&stopped["filename"]);
        decode(&file).await.unwrap();
        let seconds = length(&file).await;
        assert!(seconds >= least, "{asked}: {seconds}");
        let told = (time(&stopped["end_time"]) - time(&stopped["start_time"])).as_seconds_f64();
        assert!((seconds - told).abs() < 0.05, "{asked}: {seconds} {told}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_recording_is_in_files_that_follow_each_other() {
    let service = Service::start(&format!("{SMALL}recording: {{ segment_duration: 1s }}\n")).await;
    // Its GOPs are a second, however busy the machine is.
    service.plug(&Camera::usb(0, "1", Some("C0FFEE")).giving(*b"H264")).await;
    service.streaming("camera0").await;
    let (mut client, mut other) = (service.client("operator").await, service.client("viewer").await);
    let started = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    let mut names = vec![started["filename"].clone()];
    for _ in 0..2 {
        let next = other
            .notification("recording_status_update", |update| {
                update["status"] == "STARTED" && !names.contains(&update["filename"])
            })
            .await;
        assert_eq!((&next["session_id"], &next["gap"]), (&started["session_id"], &Value::Null));
        let before = names.last().unwrap().clone();
        let closed = other.notification("recording_status_update", |update| update["status"] == "STOPPED").await;
        assert_eq!(closed["filename"], before);
        names.push(next["filename"].clone());
    }
    let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["session_id"], started["session_id"]);
    let position = names.iter().position(|name| *name == stopped["filename"]);
    assert!(position.is_none_or(|at| at + 1 == names.len()), "{names:?} {stopped}");
    for name in &names[..2] {
        let file = service.recording(name);
        decode(&file).await.unwrap();
        let video = ffprobe(&file.display().to_string(), &["-count_packets"]).await.unwrap();
        let frames: u32 = video["nb_read_packets"].as_str().unwrap().parse().unwrap();
        assert_eq!(frames, 30, "{name}: a whole GOP");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_recorded_whenever_it_is_there() {
    let service = Service::start(&format!("{SMALL}recording: {{ auto_record: true }}\n")).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    let mut client = service.client("operator").await;
    let begun = |update: &Value| update["status"] == "STARTED";
    service.plug(&camera).await;
    let first = client.notification("recording_status_update", begun).await;
    // A request can end it; it stays so until the camera is plugged in again.
    let stopped = client.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["filename"], first["filename"]);
    service.path("camera0", |status| status.recording.is_none()).await;
    service.unplug(&camera).await;
    service.path("camera0", |status| status.phase == Phase::Away).await;
    service.plug(&camera).await;
    let second = client.notification("recording_status_update", begun).await;
    assert_ne!(second["session_id"], first["session_id"]);
    service.stop().await;
}

/// As full a disk as any is to this configuration.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_is_too_full_nothing_is_recorded_and_the_rest_goes_on() {
    let service = Service::start(&format!("{SMALL}storage: {{ warn_percent: 1, block_percent: 1 }}\n")).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    let refused = client.call("start_recording", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["dependency"]), (&json!(-32050), &json!("disk")), "{refused}");
    assert!(refused["data"]["detail"].as_str().unwrap().contains("storage.block_percent"), "{refused}");
    client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    let health = run("curl", &["-s", &format!("http://{}/health", service.app.health_address())]).await.unwrap();
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "degraded");
    assert!(health["components"]["service_manager"]["details"].as_str().unwrap().contains("too full"), "{health}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_picture_of_the_stream_that_can_be_downloaded() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    let request = json!({ "device": "camera0", "filename": "front.jpg", "quality": 90 });
    let taken = client.call("take_snapshot", request.clone()).await.unwrap();
    assert_eq!((&taken["status"], &taken["filename"]), (&json!("SUCCESS"), &json!("front.jpg")));
    assert!(taken.get("file_path").is_none(), "paths of the host are for the admin");
    let file = service.folder.path().join("state/snapshots/front.jpg");
    let picture = ffprobe(&file.display().to_string(), &[]).await.unwrap();
    assert_eq!((&picture["width"], &picture["height"]), (&json!(640), &json!(360)));
    let url = format!("http://{}/files/snapshots/front.jpg", service.app.control_address());
    let bearer = format!("Authorization: Bearer {}", support::token("viewer"));
    let copy = service.folder.path().join("copy.jpg");
    support::peers::run("curl", &["-sSf", "-H", &bearer, "-o", copy.to_str().unwrap(), &url]).await.unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&file).unwrap());
    let taken_name = client.call("take_snapshot", request).await.unwrap_err();
    assert_eq!((&taken_name["code"], &taken_name["data"]["param"]), (&json!(-32602), &json!("filename")));
    let away = client.call("take_snapshot", json!({ "device": "camera0", "filename": "../x.jpg" })).await.unwrap_err();
    assert_eq!(away["code"], -32602);
    service.stop().await;
}

fn begun(update: &Value) -> bool {
    update["status"] == "STARTED"
}

fn stopped(update: &Value) -> bool {
    update["status"] == "STOPPED"
}

/// Waits until a live reader has had so many frames.
async fn frames(service: &Service, count: usize) {
    let mut reader = service.streaming("camera0").await.stream.unwrap().subscribe(Join::Live);
    for _ in 0..count {
        timeout(PATIENCE, reader.next()).await.expect("a frame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_at_once_one_is_done_and_the_other_is_refused() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let (mut one, mut two) = (service.client("operator").await, service.client("operator").await);
    let mut observer = service.client("viewer").await;
    let device = json!({ "device": "camera0" });
    let mut both = async |method: &str| {
        let answers = join(one.call(method, device.clone()), two.call(method, device.clone())).await;
        match answers {
            (Ok(done), Err(refused)) | (Err(refused), Ok(done)) => (done, refused),
            other => panic!("{method}: {other:?}"),
        }
    };
    let nothing = refusal(&service.client("operator").await.call("stop_recording", device.clone()).await);
    assert_eq!(nothing, (json!(-32020), json!("STOPPED")));
    let mut last = Value::Null;
    for _ in 0..3 {
        let (started, refused) = both("start_recording").await;
        assert_eq!(refusal(&Err(refused)), (json!(-32020), json!("RECORDING")));
        // One file for both, and nobody hears of another.
        let told = observer.notification("recording_status_update", begun).await;
        assert_eq!(told["filename"], started["filename"]);
        frames(&service, 30).await;
        let (ended, refused) = both("stop_recording").await;
        assert_eq!(refusal(&Err(refused)), (json!(-32020), json!("STOPPED")));
        assert_eq!((&ended["session_id"], &ended["files"]), (&started["session_id"], &json!(1)));
        assert_ne!(ended["session_id"], last);
        let told = observer.notification("recording_status_update", stopped).await;
        assert_eq!(told["filename"], ended["filename"]);
        decode(&service.recording(&ended["filename"])).await.unwrap();
        last = ended["session_id"].clone();
    }
    let mut client = service.client("operator").await;
    let unknown = client.call("stop_recording", json!({ "device": "camera7" })).await.unwrap_err();
    assert_eq!((&unknown["code"], &unknown["data"]["resource"]), (&json!(-32010), &json!("camera")), "{unknown}");
    service.stop().await;
}

/// The code of a refusal, and the state it tells of.
fn refusal(answer: &Result<Value, Value>) -> (Value, Value) {
    let refused = answer.as_ref().expect_err("it is refused");
    (refused["code"].clone(), refused["data"]["state"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_unplugged_while_its_recording_is_stopped_changes_nothing() {
    let service = Service::start(SMALL).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    let (mut client, mut observer) = (service.client("operator").await, service.client("viewer").await);
    let device = json!({ "device": "camera0" });
    for round in 0..6 {
        service.plug(&camera).await;
        frames(&service, 1).await;
        assert!(service.app.paths().status("camera0").unwrap().recording.is_none(), "what was stopped stays so");
        let started = client.call("start_recording", device.clone()).await.unwrap();
        frames(&service, 30).await;
        let stop = client.call("stop_recording", device.clone());
        let ended = match round {
            0 | 1 => join(stop, service.unplug(&camera)).await.0,
            2 | 3 => join(service.unplug(&camera), stop).await.1,
            // Gone for good, and the recording waits.
            _ => {
                service.unplug(&camera).await;
                service.path("camera0", |status| status.phase == Phase::Away && status.recording.is_some()).await;
                stop.await
            }
        };
        let ended = ended.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!((&ended["filename"], &ended["files"]), (&started["filename"], &json!(1)), "round {round}");
        service.path("camera0", |status| status.phase == Phase::Away && status.recording.is_none()).await;
        // Closed once: one more message would be found in the next round.
        let told = observer.notification("recording_status_update", stopped).await;
        assert_eq!(told["filename"], ended["filename"], "round {round}");
        assert!(ended["duration"].as_u64().unwrap() >= 1, "{ended}");
        decode(&service.recording(&ended["filename"])).await.unwrap();
        let again = client.call("stop_recording", device.clone()).await;
        assert_eq!(refusal(&again), (json!(-32020), json!("STOPPED")));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_failed_says_why_in_its_event_and_to_who_stops_it() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut client = service.client("operator").await;
    client.call("subscribe_events", json!({ "topics": ["recording.error"] })).await.unwrap();
    let device = json!({ "device": "camera0" });
    let started = client.call("start_recording", device.clone()).await.unwrap();
    frames(&service, 30).await;
    let recordings = service.folder.path().join("state/recordings");
    let moved = service.folder.path().join("moved");
    std::fs::rename(&recordings, &moved).unwrap();
    let failed = client.notification("recording_status_update", |update| update["status"] == "ERROR").await;
    assert_eq!(failed["filename"], started["filename"]);
    let reason = failed["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("is not where it was"), "{failed}");
    let event = client.notification("event", |event| event["topic"] == "recording.error").await;
    assert_eq!(event["data"]["error"], reason, "{event}");
    let refused = client.call("stop_recording", device.clone()).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["state"]), (&json!(-32020), &json!("STOPPED")));
    assert!(refused["data"]["detail"].as_str().unwrap().contains(&reason), "{refused}");
    // Of what ended as it should there is nothing to say.
    std::fs::rename(&moved, &recordings).unwrap();
    client.call("start_recording", device.clone()).await.unwrap();
    client.call("stop_recording", device.clone()).await.unwrap();
    let refused = client.call("stop_recording", device).await.unwrap_err();
    assert_eq!(refused["data"]["detail"], "camera0 is not being recorded");
    service.stop().await;
}
