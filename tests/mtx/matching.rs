//! Publishers, redirects, and entries that stand for many paths.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{
    ask, contract, done, get,
    shape::check,
    support::{
        Camera, PATIENCE, SMALL, Service, configured,
        peers::ffprobe,
        remote::{H264, Remote},
    },
};

/// ffmpeg, publishing.
pub fn publish(url: &str) -> Child {
    let pictures = ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25"];
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25"];
    let output = ["-f", "rtsp", "-rtsp_transport", "tcp", url];
    let arguments = [&pictures[..], &coding, &output].concat();
    Command::new("ffmpeg").args(arguments).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until a path is so.
pub async fn until(service: &Service, name: &str, so: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let reply = ask(service, "GET", &format!("/paths/get/{name}"), "").await;
            let path = if reply.status == 200 { reply.json() } else { Value::Null };
            if so(&path) {
                return path;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_the_source_of_its_path_and_is_told_as_a_session() {
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    let mut publisher = publish(&service.url("studio"));
    let path = until(&service, "studio", |path| path["ready"] == true).await;
    assert_eq!((&path["source"]["type"], &path["tracks"]), (&json!("rtspSession"), &json!(["H264"])));
    let session = get(&service, &format!("/rtspsessions/get/{}", path["source"]["id"].as_str().unwrap())).await;
    check(&session, &contract::session(), "session");
    assert_eq!(
        (&session["state"], &session["path"], &session["transport"]),
        (&json!("publish"), &json!("studio"), &json!("TCP"))
    );
    assert!(session["inboundRTPPackets"].as_u64() > Some(0), "{session}");
    done(&service, "POST", &format!("/rtspsessions/kick/{}", session["id"].as_str().unwrap()), "").await;
    timeout(PATIENCE, publisher.wait()).await.expect("it is sent off").unwrap();
    let path = until(&service, "studio", |path| path["ready"] == false).await;
    assert_eq!(path["source"], Value::Null);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_an_expression_matches_is_there_while_it_is_published() {
    let service = Service::start(SMALL).await;
    let mut refused = publish(&service.url("stage/left"));
    assert!(!timeout(PATIENCE, refused.wait()).await.expect("an end").unwrap().success(), "not configured");
    done(&service, "POST", "/config/paths/add/all_others", "{}").await;
    let mut publisher = publish(&service.url("stage/left"));
    let path = until(&service, "stage/left", |path| path["ready"] == true).await;
    assert_eq!((&path["name"], &path["confName"]), (&json!("stage/left"), &json!("all_others")));
    assert_eq!(get(&service, "/paths/list").await["itemCount"], 1);
    assert_eq!(ask(&service, "GET", "/config/paths/get/stage/left", "").await.status, 404);
    publisher.kill().await.unwrap();
    until(&service, "stage/left", Value::is_null).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_change_and_entries_take_over_without_a_publisher_noticing() {
    let (folder, config) = configured(SMALL);
    let file = folder.path().join("mediamtx.yml");
    let entry = |more: &str| format!("paths: {{ '~^live/(.+)$': {{ {more} }} }}");
    fs::write(&file, entry("record: true")).unwrap();
    let yaml = fs::read_to_string(&config).unwrap();
    fs::write(&config, yaml.replace("api_port: 0", &format!("api_port: 0, config_file: {}", file.display()))).unwrap();
    let service = Service::start_in(folder, config).await;
    let mut publisher = publish(&service.url("live/y"));
    let stream = service.streaming("live/y").await.stream.unwrap();
    let is = |conf_name: &'static str, recorded: bool| {
        let (service, stream) = (&service, &stream);
        async move {
            until(service, "live/y", |path| {
                let is_recorded = service.app.paths().status("live/y").is_ok_and(|status| status.recording.is_some());
                assert!(!stream.is_closed(), "{path}");
                path["confName"] == conf_name && is_recorded == recorded
            })
            .await;
        }
    };
    let expression = "~^live/(.+)$";
    is(expression, true).await;
    let place = "/config/paths/patch/~%5Elive%2F(.%2B)$";
    done(&service, "PATCH", place, r#"{"record":false}"#).await;
    is(expression, false).await;
    let body = r#"{"recordPartDuration":"2s","rpiCameraBrightness":0.5}"#;
    done(&service, "PATCH", "/config/pathdefaults/patch", body).await;
    is(expression, false).await;
    done(&service, "POST", "/config/paths/add/live/y", r#"{"record":true}"#).await;
    is("live/y", true).await;
    done(&service, "PATCH", "/config/paths/patch/live/y", r#"{"recordPartDuration":"1s"}"#).await;
    is("live/y", true).await;
    done(&service, "DELETE", "/config/paths/delete/live/y", "").await;
    is(expression, false).await;
    done(&service, "POST", "/config/paths/add/~%5Elive", r#"{"record":true}"#).await;
    is("~^live", true).await;
    fs::write(&file, entry("recordPartDuration: 3s")).unwrap();
    is(expression, false).await;

    // It is one of the entry's again, as if it had always been: it goes with its publisher.
    publisher.kill().await.unwrap();
    until(&service, "live/y", Value::is_null).await;
    // What matters ends it: by the entry that it has, and by another.
    for (method, place, body) in [
        ("PATCH", place, r#"{"maxReaders":5}"#),
        ("POST", "/config/paths/add/live/y", r#"{"overridePublisher":false}"#),
        ("DELETE", "/config/paths/delete/live/y", ""),
    ] {
        let mut publisher = publish(&service.url("live/y"));
        let stream = service.streaming("live/y").await.stream.unwrap();
        done(&service, method, place, body).await;
        assert!(stream.is_closed(), "{method} {place}");
        timeout(PATIENCE, publisher.wait()).await.expect("it is sent off").unwrap();
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_path_that_an_expression_matches_has_its_stream_pulled() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, H264, None);
    let url = remote.url("").replace("/live", "/$G1");
    let body = json!({ "source": url, "sourceOnDemand": true, "sourceOnDemandCloseAfter": "10ms" }).to_string();
    done(&service, "POST", "/config/paths/add/~%5Efar-(.*)$", &body).await;
    let video = ffprobe(&service.url("far-live"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    until(&service, "far-live", Value::is_null).await;
    assert!(ffprobe(&service.url("near-live"), &["-rtsp_transport", "tcp"]).await.is_err());
    let body = json!({ "source": remote.url("").replace("/live", "/$MTX_QUERY"), "sourceOnDemand": true }).to_string();
    done(&service, "POST", "/config/paths/add/~%5Easked-(.*)$", &body).await;
    let video = ffprobe(&service.url("asked-x?live"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_sent_elsewhere() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    for (name, body) in [
        ("door", json!({ "source": "redirect", "sourceRedirect": "/camera0" })),
        ("yard", json!({ "source": "redirect", "sourceRedirect": service.url("camera0") })),
        ("studio", json!({ "fallback": "/camera0" })),
    ] {
        done(&service, "POST", &format!("/config/paths/add/{name}"), &body.to_string()).await;
        let video = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!(video["width"], 640, "{name}");
    }
    assert_eq!(get(&service, "/paths/get/door").await["source"], json!({ "type": "redirect", "id": "" }));
    service.stop().await;
}
