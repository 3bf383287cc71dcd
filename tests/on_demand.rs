//! A path on demand runs from its first reader to some time after its last.

mod support;

use camera_service::path::Phase;
use serde_json::json;
use support::{
    Camera, PATIENCE, Service,
    peers::{ffprobe, run},
};
use tokio::time::timeout;

const ON_DEMAND: &str = "
camera: { test_pattern: never, auto_start_streams: false }
streams: { width: 640, height: 360, fps: 30, close_after: 1s }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_reader_starts_it_and_it_stops_after_the_last() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle && status.open).await;
    let video = ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 640);
    let status = service.path("camera0", |status| status.phase == Phase::Idle).await;
    assert_eq!(status.runs, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_from_start_streaming_to_stop_streaming() {
    // Longer than any test: if it ends, stop_streaming ended it.
    let service = Service::start(&ON_DEMAND.replace("close_after: 1s", "close_after: 1h")).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    let camera = json!({ "device": "camera0" });
    let idle = client.call("get_stream_status", camera.clone()).await.unwrap();
    assert_eq!((&idle["status"], &idle["mediamtx_path"]["exists"]), (&json!("INACTIVE"), &json!(true)), "{idle}");
    let refused = client.call("stop_streaming", camera.clone()).await.unwrap_err();
    assert_eq!(refused["code"], -32020, "{refused}");

    let started = client.call("start_streaming", camera.clone()).await.unwrap();
    assert_eq!((&started["status"], &started["auto_close_after"]), (&json!("STARTED"), &json!(3600.0)), "{started}");
    let again = client.call("start_streaming", camera.clone()).await.unwrap();
    assert_eq!(again["start_time"], started["start_time"]);
    let status = client.call("get_stream_status", camera.clone()).await.unwrap();
    assert_eq!((&status["status"], &status["pipeline"]["state"]), (&json!("ACTIVE"), &json!("STREAMING")), "{status}");
    let streams = client.call("get_streams", json!({})).await.unwrap();
    assert_eq!((&streams[0]["name"], &streams[0]["ready"]), (&json!("camera0"), &json!(true)), "{streams}");

    let stopped = client.call("stop_streaming", camera.clone()).await.unwrap();
    assert_eq!((&stopped["start_time"], &stopped["stream_continues"]), (&started["start_time"], &json!(false)));
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_after_start_streaming_stops_by_itself() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    client.call("start_streaming", json!({ "device": "camera0" })).await.unwrap();
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 1).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_counted_and_goes_on_after_stop_streaming() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    let camera = json!({ "device": "camera0" });
    client.call("start_streaming", camera.clone()).await.unwrap();
    let url = service.url("camera0");
    let output = ["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"].map(str::to_owned);
    let reading = tokio::spawn(async move { run("ffmpeg", &output.each_ref().map(String::as_str)).await });
    let enough = async {
        loop {
            let status = client.call("get_stream_status", camera.clone()).await.unwrap();
            let metrics = &status["metrics"];
            if metrics["frames_sent"].as_u64() > Some(30) && metrics["fps"].as_f64() > Some(20.0) {
                break status;
            }
        }
    };
    let status = timeout(PATIENCE, enough).await.expect("30 frames, and 20 in a second");
    assert_eq!(status["mediamtx_path"]["readers"], 1, "{status}");
    let metrics = &status["metrics"];
    assert!(metrics["bytes_sent"].as_u64() > metrics["frames_sent"].as_u64(), "{status}");
    assert!(metrics["bitrate"].as_u64() > Some(1000), "{status}");
    let stopped = client.call("stop_streaming", camera).await.unwrap();
    assert_eq!(stopped["stream_continues"], true, "{stopped}");
    service.stop().await;
    let _ = reading.await.expect("ffmpeg is waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_starts_it_too() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    let taken = client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!((&taken["width"], &taken["height"]), (&json!(640), &json!(360)));
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 1).await;
    service.stop().await;
}
