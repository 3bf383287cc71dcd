//! Commands that are run when something happens, by the words that they leave behind.

use std::{fs, path::PathBuf};

use serde_json::json;
use tokio::time::timeout;

use super::{
    ask, done,
    support::{Camera, PATIENCE, SMALL, Service, configured, peers::ffprobe},
};

/// A service that runs, or does not run, what is set over the API; and where commands leave their words.
async fn start(api_hooks: bool) -> (Service, PathBuf) {
    let (folder, file) = configured(SMALL);
    let yaml = fs::read_to_string(&file).unwrap();
    fs::write(&file, yaml.replace("api_port: 0", &format!("api_port: 0, api_hooks: {api_hooks}"))).unwrap();
    let words = folder.path().join("words");
    (Service::start_in(folder, file).await, words)
}

/// A command that adds these words, variables filled in, to the file.
fn say(words: &str, file: &std::path::Path) -> String {
    format!("sh -c 'echo \"$@\" >> {}' sh {words}", file.display())
}

/// Waits until the file has all of these lines, in any order.
async fn said(service: &Service, file: &std::path::Path, lines: &[&str]) -> String {
    let look = async {
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            if lines.iter().all(|line| text.lines().any(|said| said.starts_with(line))) {
                return text;
            }
            ask(service, "GET", "/info", "").await;
        }
    };
    let waited = timeout(PATIENCE, look).await;
    waited.unwrap_or_else(|_| panic!("{lines:?}, only {:?}", fs::read_to_string(file)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_has_a_publisher_started_and_everything_is_told() {
    let (service, file) = start(true).await;
    let publish = "ffmpeg -v error -re -f lavfi -i testsrc=size=320x240:rate=25 -c:v libx264 -preset ultrafast \
                   -tune zerolatency -pix_fmt yuv420p -g 25 -f rtsp -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH";
    let body = json!({
        "runOnDemand": publish,
        "runOnDemandCloseAfter": "100ms",
        "runOnUnDemand": say("undemand $MTX_PATH $G1", &file),
        "runOnReady": say("available $MTX_PATH $MTX_SOURCE_TYPE", &file),
        "runOnNotReady": say("unavailable $MTX_PATH", &file),
        "runOnRead": say("read $MTX_PATH $MTX_READER_TYPE $MTX_QUERY", &file),
        "runOnUnread": say("unread $MTX_PATH", &file),
    });
    done(&service, "POST", "/config/paths/add/~%5Estage-(.*)$", &body.to_string()).await;
    let connected = json!({ "runOnConnect": say("connect $MTX_CONN_TYPE", &file) }).to_string();
    done(&service, "PATCH", "/config/global/patch", &connected).await;
    let video = ffprobe(&format!("{}?a=b", service.url("stage-left")), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    let lines = [
        "connect rtspConn",
        "available stage-left rtspSession",
        "read stage-left rtspSession a%3Db",
        "unread stage-left",
        "undemand stage-left left",
        "unavailable stage-left",
    ];
    said(&service, &file, &lines).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_and_paths_have_theirs() {
    let (service, file) = start(true).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let mut frames = service.streaming("camera0").await.stream.unwrap().subscribe(camera_service::stream::Join::Live);
    let body = json!({
        "record": true,
        "runOnInit": say("init $MTX_PATH", &file),
        "runOnRecordSegmentCreate": say("create $MTX_SEGMENT_PATH", &file),
        "runOnRecordSegmentComplete": say("complete $MTX_SEGMENT_PATH $MTX_SEGMENT_DURATION", &file),
    });
    done(&service, "PATCH", "/config/paths/patch/camera0", &body.to_string()).await;
    let folder = service.folder.path().join("state/recordings/camera0_");
    let create = format!("create {}", folder.display());
    said(&service, &file, &["init camera0", &create]).await;
    for _ in 0..30 {
        frames.next().await;
    }
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    let complete = format!("complete {}", folder.display());
    let text = said(&service, &file, &[&complete]).await;
    let length: f64 =
        text.lines().find(|line| line.starts_with("complete")).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(length > 0.5, "{text}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_over_the_api_is_not_run_unless_that_is_allowed() {
    let (service, file) = start(false).await;
    let allowed = say("init $MTX_PATH", &file);
    let body = json!({ "runOnInit": allowed, "runOnDemand": say("demand", &file), "runOnDemandStartTimeout": "10ms" });
    done(&service, "POST", "/config/paths/add/studio", &body.to_string()).await;
    ffprobe(&service.url("studio"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
    assert!(!file.exists());
    service.stop().await;
}
