//! What was recorded is listed and played back.

use serde_json::Value;
use tokio::time::timeout;

use super::{
    Reply, ask, curl_at, done,
    support::{
        Camera, PATIENCE, SMALL, Service,
        peers::{decode, ffprobe, run},
    },
};

/// Files of one second.
const SHORT: &str = "
camera: { test_pattern: never }
streams: { width: 640, height: 360, fps: 30 }
encoder: { gop: 0.5s }
recording: { segment_duration: 1s }
";

async fn play(service: &Service, path: &str) -> Reply {
    let port = service.app.engine_addresses().playback.expect("it is served");
    curl_at(&format!("http://{port}{path}"), "GET", "", &[]).await
}

/// Records this many frames of `camera0` through the API.
async fn record(service: &Service, frames: usize) {
    let stream = service.streaming("camera0").await.stream.unwrap();
    done(service, "PATCH", "/config/paths/patch/camera0", r#"{"record":true}"#).await;
    let mut reader = stream.subscribe(camera_service::stream::Join::Live);
    for _ in 0..frames {
        timeout(PATIENCE, reader.next()).await.expect("a frame");
    }
    done(service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
}

/// A film at this URL, as a file.
async fn film(service: &Service, url: &str) -> std::path::PathBuf {
    let file = service.folder.path().join("film.mp4");
    run("curl", &["-s", "-S", "-f", "-g", "-o", &file.display().to_string(), url]).await.unwrap();
    file
}

/// How long a file plays, in seconds.
async fn length(file: &std::path::Path) -> f64 {
    let file = file.display().to_string();
    let text = run("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &file]).await;
    text.unwrap().trim().parse().unwrap()
}

/// Frames that a decoder makes of a file.
async fn frames(file: &std::path::Path) -> usize {
    let arguments =
        ["-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"];
    let text = run("ffprobe", &[&arguments[..], &["-of", "csv=p=0", &file.display().to_string()]].concat()).await;
    text.unwrap().trim().trim_end_matches(',').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_several_files_is_one_time_and_one_film() {
    let service = Service::start(SHORT).await;
    // No frame of it is left out on a busy machine.
    service.plug(&Camera::usb(0, "1.1", None).giving(*b"H264")).await;
    record(&service, 120).await;
    let (mut recorded, mut files, mut seconds) = (0, 0, 0.0);
    for file in std::fs::read_dir(service.folder.path().join("state/recordings")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "mp4") {
            recorded += frames(&file).await;
            seconds += length(&file).await;
            files += 1;
        }
    }
    assert!(files >= 3, "{files}");
    let list = play(&service, "/list?path=camera0").await;
    assert_eq!((list.status, list.header("content-type")), (200, "application/json; charset=utf-8"), "{list:?}");
    assert_eq!(list.header("server"), "mediamtx");
    let list = list.json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    let duration = list[0]["duration"].as_f64().unwrap();
    assert!((duration - seconds).abs() < 0.2, "{duration} of {seconds}");

    let url = list[0]["url"].as_str().unwrap();
    for container in ["fmp4", "mp4"] {
        let film = film(&service, &format!("{url}&format={container}")).await;
        decode(&film).await.unwrap();
        assert_eq!(frames(&film).await, recorded, "{container}");
        let video = ffprobe(&film.display().to_string(), &[]).await.unwrap();
        assert_eq!((&video["codec_name"], &video["width"]), (&"h264".into(), &640.into()), "{video}");
    }
    // Of a proxy that is trusted it counts what it was asked by.
    let port = service.app.engine_addresses().playback.unwrap();
    for (trusted, scheme) in [("[]", "http"), (r#"["127.0.0.0/8"]"#, "https")] {
        let body = format!(r#"{{"playbackTrustedProxies":{trusted}}}"#);
        done(&service, "PATCH", "/config/global/patch", &body).await;
        let place = format!("http://{port}/list?path=camera0");
        let list = curl_at(&place, "GET", "", &["-H", "X-Forwarded-Proto: https"]).await.json();
        assert!(list[0]["url"].as_str().unwrap().starts_with(&format!("{scheme}://{port}/get?")), "{list}");
    }
    // A part of it, and Go's way to say how long.
    let start = list[0]["start"].as_str().unwrap().replace('+', "%2B");
    for duration in ["1.5", "1500ms"] {
        let port = service.app.engine_addresses().playback.unwrap();
        let url = format!("http://{port}/get?path=camera0&start={start}&duration={duration}&format=mp4");
        let length = length(&film(&service, &url).await).await;
        assert!((length - 1.5).abs() < 0.05, "{duration}: {length}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_played_back_is_refused_as_mediamtx_does() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let start = "start=2026-11-24T10:00:00Z";
    for (path, status, error) in [
        ("/list?path=camera0".to_owned(), 404, "no recording segments found"),
        (format!("/get?path=camera0&{start}&duration=5"), 404, "no recording segments found"),
        ("/list?path=nowhere".into(), 400, "path 'nowhere' is not configured"),
        ("/list".into(), 400, "invalid path name"),
        ("/list?path=camera0&start=x".into(), 400, "invalid start"),
        ("/get?path=camera0&duration=5".into(), 400, "invalid start"),
        (format!("/get?path=camera0&{start}"), 400, "invalid duration"),
        (format!("/get?path=camera0&{start}&duration=-1"), 400, "invalid duration"),
        (format!("/get?path=camera0&{start}&duration=1&format=avi"), 400, "invalid format: avi"),
    ] {
        let reply = play(&service, &path).await;
        let json = reply.json();
        assert_eq!((reply.status, &json["status"]), (status, &Value::from("error")), "{path}: {reply:?}");
        assert!(json["error"].as_str().unwrap().starts_with(error), "{path}: {json}");
    }
    let unknown = play(&service, "/other").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (404, "404 page not found"));
    for path in ["/list", "/get"] {
        let there = play(&service, &format!("{path}/?path=camera0&start=x")).await;
        let place = format!("{path}?path=camera0&start=x");
        assert_eq!((there.status, there.header("location")), (301, place.as_str()), "{there:?}");
        let port = service.app.engine_addresses().playback.unwrap();
        assert_eq!(curl_at(&format!("http://{port}{path}/"), "POST", "", &[]).await.status, 404);
    }
    // Who may read it back is configured like everything else.
    let users = r#"{"authInternalUsers":[{"user":"any","permissions":[{"action":"api"}]},
        {"user":"me","pass":"pw","permissions":[{"action":"playback","path":"camera0"}]}]}"#;
    assert_eq!(ask(&service, "PATCH", "/config/global/patch", users).await.status, 200);
    let refused = play(&service, "/list?path=camera0").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Basic realm=\"mediamtx\""));
    assert_eq!(play(&service, "/list?path=nowhere").await.status, 401, "what is configured is not told");
    assert_eq!(play(&service, "/list?path=..").await.status, 400);
    let port = service.app.engine_addresses().playback.unwrap();
    let known = curl_at(&format!("http://{port}/list?path=camera0"), "GET", "", &["-u", "me:pw"]).await;
    assert_eq!(known.status, 404, "{known:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_transport_streams_it_is_said_that_they_are_not_played_back() {
    let service = Service::start(SHORT).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"recordFormat":"mpegts"}"#).await;
    assert_eq!(play(&service, "/list?path=camera0").await.status, 404, "nothing was recorded so far");
    record(&service, 45).await;
    let error = r#"{"status":"error","error":"MPEG-TS format is not supported yet"}"#;
    let list = play(&service, "/list?path=camera0").await;
    assert_eq!((list.status, list.body.as_str()), (500, error));
    let get = play(&service, "/get?path=camera0&start=2026-11-24T10:00:00Z&duration=5").await;
    assert_eq!((get.status, get.body.as_str()), (400, error));
    service.stop().await;
}
