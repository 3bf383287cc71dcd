//! What the keys of a path say of its recordings: how long they are kept, where they go, in which parts they are written.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use camera_service::{
    path::{PathEvent, Phase},
    stream::{Join, Next, Stream},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::broadcast, time::timeout};

use super::{
    curl_at, done, get,
    support::{
        Camera, PATIENCE, Service, configured, http,
        peers::{decode, ffprobe, run},
        remote::{H264, Remote},
    },
};

/// GOPs of half a second, so many of which wait for a reader that the machine keeps waiting.
const SMALL: &str = "
camera: { test_pattern: never }
streams: { width: 640, height: 360, fps: 30, ring: { gops: 20 } }
encoder: { gop: 0.5s }
";

/// The next file of a recording that is begun.
pub async fn begun(events: &mut broadcast::Receiver<PathEvent>) -> PathBuf {
    loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("a recording in time").unwrap();
        if let PathEvent::RecordingStarted { started, .. } = event {
            return started.folder.join(started.filename);
        }
    }
}

/// Waits until a reader, which shares nothing with the recorder, has had so many frames and missed none.
pub async fn frames(stream: &Arc<Stream>, frames: usize) {
    let mut reader = stream.subscribe(Join::Live);
    for _ in 0..frames {
        let next = timeout(PATIENCE, reader.next()).await.expect("a frame");
        assert!(matches!(next, Next::Frame(_)), "the reader was disturbed: {next:?}");
    }
}

/// A service whose API may have recordings go below a folder of their own, with this `mediamtx.yml`.
async fn with_folder(disk: &TempDir, file: &str, more: &str) -> Service {
    let (folder, config) = configured(&format!("{SMALL}{more}"));
    let mediamtx = folder.path().join("mediamtx.yml");
    fs::write(&mediamtx, file.replace("DISK", &disk.path().display().to_string())).unwrap();
    let more =
        format!("api_port: 0, record_folders: [{}/rec], config_file: {}", disk.path().display(), mediamtx.display());
    let yaml = fs::read_to_string(&config).unwrap();
    fs::write(&config, yaml.replace("api_port: 0", &more)).unwrap();
    Service::start_in(folder, config).await
}

/// Has `camera0` recorded in such a folder.
async fn record_in(service: &Service, folder: &Path) {
    let body = json!({ "record": true, "recordPath": format!("{}/%path/%Y-%m-%d_%H-%M-%S-%f", folder.display()) });
    done(service, "PATCH", "/config/paths/patch/camera0", &body.to_string()).await;
}

/// A file of an earlier run, which was written to just now and is not looked into.
pub fn left_behind(service: &Service, name: &str) -> PathBuf {
    let path = service.recording(&json!(name));
    fs::write(&path, "not read").unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_go_when_they_began_longer_ago_than_their_path_keeps_them() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["recordDeleteAfter"], "");
    let [of_camera, of_path, of_expression] =
        ["camera0", "studio", "ward7"].map(|name| left_behind(&service, &format!("{name}_2020-01-01_00-00-00.mp4")));
    // Nobody says of these that they go: a camera that is not there, a path that keeps all, one that is not configured.
    let kept =
        ["camera1", "attic", "nobody"].map(|name| left_behind(&service, &format!("{name}_2020-01-01_00-00-00.mp4")));
    let mut client = service.client("admin").await;
    let idle = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!(idle["cleanup_executed"], false, "{idle}");

    // MediaMTX's default is a day, and the service goes by it without being asked.
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    done(&service, "POST", "/config/paths/add/attic", r#"{"recordDeleteAfter":"0s"}"#).await;
    done(&service, "POST", "/config/paths/add/~%5Eward", r#"{"recordDeleteAfter":"30d"}"#).await;
    let gone = async |files: &[&PathBuf]| {
        let mut client = service.client("viewer").await;
        while files.iter().any(|file| file.exists()) {
            client.call("ping", json!({})).await.unwrap();
        }
    };
    timeout(PATIENCE, gone(&[&of_path, &of_expression])).await.expect("they are deleted");
    assert!(of_camera.exists());

    // What is being written stays, however short it is kept.
    let mut events = service.app.paths().events();
    let soon = r#"{"record":true,"recordSegmentDuration":"0s","recordDeleteAfter":"1ms"}"#;
    done(&service, "PATCH", "/config/paths/patch/camera0", soon).await;
    timeout(PATIENCE, gone(&[&of_camera])).await.expect("it is deleted");
    let written = begun(&mut events).await;
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert!(written.exists());
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert!(!written.exists());
    assert!(kept.iter().all(|file| file.exists()));
    let policy = json!({ "policy_type": "manual", "enabled": true });
    let set = client.call("set_retention_policy", policy).await.unwrap();
    assert!(set["message"].as_str().unwrap().ends_with("recordDeleteAfter of paths holds besides"), "{set}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_recorded_in_the_folder_it_says_and_all_folders_are_one_library() {
    let disk = tempfile::tempdir().unwrap();
    let service = with_folder(&disk, "{}", "").await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut events = service.app.paths().events();
    record_in(&service, &disk.path().join("rec")).await;
    let own = begun(&mut events).await;
    assert_eq!(own.parent(), Some(disk.path().join("rec/camera0").as_path()));
    frames(&stream, 40).await;

    // Elsewhere from now on: another file, and whoever reads does not notice.
    let (reading, usual) = tokio::join!(frames(&stream, 40), async {
        let usual = r#"{"recordPath":"./recordings/%path/%Y-%m-%d_%H-%M-%S-%f"}"#;
        done(&service, "PATCH", "/config/paths/patch/camera0", usual).await;
        begun(&mut events).await
    });
    let () = reading;
    assert_eq!(usual, service.recording(&json!(usual.file_name().unwrap().to_str())));
    // A folder that nobody allowed is not made.
    frames(&stream, 40).await;
    record_in(&service, &disk.path().join("other")).await;
    assert!(!disk.path().join("other").exists());
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    assert!(!stream.is_closed());

    let mut client = service.client("admin").await;
    let list = client.call("list_recordings", json!({ "device": "camera0" })).await.unwrap();
    let listed: Vec<_> = list["files"].as_array().unwrap().iter().map(|file| file["filename"].clone()).collect();
    let names = [&usual, &own].map(|file| json!(file.file_name().unwrap().to_str()));
    assert_eq!(listed, names, "{list}");
    let recordings = get(&service, "/recordings/get/camera0").await;
    assert_eq!(recordings["segments"].as_array().map(Vec::len), Some(2), "{recordings}");
    let port = service.app.engine_addresses().playback.unwrap();
    let played = curl_at(&format!("http://{port}/list?path=camera0"), "GET", "", &[]).await.json();
    let seconds: f64 = played.as_array().unwrap().iter().map(|time| time["duration"].as_f64().unwrap()).sum();
    for file in [&own, &usual] {
        decode(file).await.unwrap();
    }
    let info = async |client: &mut super::support::rpc::Client, name: &Value| {
        client.call("get_recording_info", json!({ "filename": name })).await.unwrap()
    };
    let whole = info(&mut client, &names[0]).await["duration"].as_f64().unwrap()
        + info(&mut client, &names[1]).await["duration"].as_f64().unwrap();
    assert!((seconds - whole).abs() <= 2.0 && seconds > 1.0, "{seconds} of {whole}");
    let download = http::get(&service, &format!("/files/recordings/{}", names[1].as_str().unwrap()), &[]).await;
    assert_eq!((download.status, download.body), (200, fs::read(&own).unwrap()));
    client.call("delete_recording", json!({ "filename": names[1] })).await.unwrap();
    assert!(!own.exists() && usual.exists());

    // Whoever asks for a recording gets it there, too.
    record_in(&service, &disk.path().join("rec")).await;
    begun(&mut events).await;
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    client.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(begun(&mut events).await.parent(), own.parent());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_file_is_known_from_the_start_and_what_is_in_it_goes_in_time() {
    let text = "
pathDefaults:
  recordPath: DISK/%path/%Y-%m-%d_%H-%M-%S-%f
paths:
  studio:
    recordDeleteAfter: 30d
";
    let disk = tempfile::tempdir().unwrap();
    let file = disk.path().join("studio/studio_2020-01-01_00-00-00.mp4");
    fs::create_dir(disk.path().join("studio")).unwrap();
    fs::write(&file, "not read").unwrap();
    let more = "recording: { auto_record: true }\nretention_policy: { auto_cleanup: false }";
    let service = with_folder(&disk, text, more).await;
    let mut client = service.client("admin").await;
    // What an earlier run left there is listed soon after the start, though nothing is recorded.
    let listed = async { while client.call("list_recordings", json!({})).await.unwrap()["total"] != 1 {} };
    timeout(PATIENCE, listed).await.expect("a file");
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!(cleaned["files_deleted"], 1, "{cleaned}");
    assert!(!file.exists());

    // So it is of a camera that is recorded by itself.
    let mut events = service.app.paths().events();
    service.plug(&Camera::usb(0, "1.1", None)).await;
    while begun(&mut events).await.parent() != Some(&disk.path().join("camera0")) {}
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_written_in_parts_of_the_length_it_says() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut events = service.app.paths().events();
    let mut parts = Vec::new();
    for length in ["1s", "200ms"] {
        let body = json!({ "record": true, "recordPartDuration": length }).to_string();
        done(&service, "PATCH", "/config/paths/patch/camera0", &body).await;
        let file = begun(&mut events).await;
        frames(&stream, 75).await;
        parts.push(file);
    }
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    let parts = parts.iter().map(|file| fs::read(file).unwrap().windows(4).filter(|box_| box_ == b"moof").count());
    let parts: Vec<_> = parts.collect();
    assert!(parts[0] > 0 && parts[1] > 2 * parts[0], "{parts:?}");
    service.stop().await;
}

/// What ffprobe takes a file for, and the pictures in it, the first of which is a key frame.
async fn probed(file: &Path) -> (String, usize) {
    let entries = ["-v", "error", "-show_entries", "format=format_name:frame=key_frame", "-of", "default=nw=1"];
    let told = run("ffprobe", &[&entries[..], &[file.to_str().unwrap()]].concat()).await.unwrap();
    let frames: Vec<_> = told.lines().filter(|line| line.starts_with("key_frame=")).collect();
    assert_eq!(frames[0], "key_frame=1", "{}", file.display());
    let name = told.lines().find_map(|line| line.strip_prefix("format_name=")).unwrap();
    (name.to_owned(), frames.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_goes_on_as_mpegts_and_back_and_no_reader_notices() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut events = service.app.paths().events();
    let mut files = Vec::new();
    for format in ["fmp4", "mpegts", "fmp4"] {
        let body = json!({ "record": true, "recordFormat": format }).to_string();
        let (_, file) = tokio::join!(frames(&stream, 75), async {
            done(&service, "PATCH", "/config/paths/patch/camera0", &body).await;
            begun(&mut events).await
        });
        frames(&stream, 60).await;
        files.push(file);
    }
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    assert!(!stream.is_closed());
    for (file, (ending, name)) in
        files.iter().zip([("mp4", "mov,mp4,m4a,3gp,3g2,mj2"), ("ts", "mpegts"), ("mp4", "mov,mp4,m4a,3gp,3g2,mj2")])
    {
        assert_eq!(file.extension().unwrap(), ending);
        decode(file).await.unwrap();
        let (told, frames) = probed(file).await;
        assert!(told == name && frames >= 60, "{}: {told} {frames}", file.display());
    }
    // It is a segment like others, and as with MediaMTX nothing that is played back.
    let recordings = get(&service, "/recordings/get/camera0").await;
    assert_eq!(recordings["segments"].as_array().map(Vec::len), Some(3), "{recordings}");
    let port = service.app.engine_addresses().playback.unwrap();
    let played = curl_at(&format!("http://{port}/list?path=camera0"), "GET", "", &[]).await.json();
    assert_eq!(played.as_array().map(Vec::len), Some(2), "a gap is where the file is: {played}");
    let start = recordings["segments"][0]["start"].as_str().unwrap();
    let start: String = url::form_urlencoded::byte_serialize(start.as_bytes()).collect();
    done(&service, "DELETE", &format!("/recordings/deletesegment?path=camera0&start={start}"), "").await;
    assert!(!files[0].exists() && files[1].exists());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_on_demand_is_recorded_while_somebody_reads_it() {
    let service = Service::start(SMALL).await;
    let mut events = service.app.paths().events();
    let remote = Remote::start(0, H264, None);
    let body = json!({
        "source": remote.url(""), "sourceOnDemand": true, "sourceOnDemandCloseAfter": "10ms", "record": true
    });
    done(&service, "POST", "/config/paths/add/far", &body.to_string()).await;
    let mut files = Vec::new();
    for runs in 1..=2 {
        let url = service.url("far");
        let (read, file) = tokio::join!(ffprobe(&url, &["-rtsp_transport", "tcp"]), begun(&mut events));
        read.unwrap();
        let stopped = async { while !matches!(events.recv().await.unwrap(), PathEvent::RecordingStopped { .. }) {} };
        timeout(PATIENCE, stopped).await.expect("it ends with the stream");
        let path = service.path("far", |status| status.phase == Phase::Idle).await;
        assert_eq!((path.runs, path.recording_trouble.is_none()), (runs, true));
        decode(&file).await.unwrap();
        files.push(file);
    }
    assert_ne!(files[0], files[1]);
    // Who asks for a recording has the stream run for it.
    let mut client = service.client("operator").await;
    client.call("start_recording", json!({ "device": "far" })).await.unwrap();
    assert_eq!(service.streaming("far").await.runs, 3);
    client.call("stop_recording", json!({ "device": "far" })).await.unwrap();
    service.stop().await;
}
