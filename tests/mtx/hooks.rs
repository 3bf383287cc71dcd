//! Commands that are run when something happens, by the words that they leave behind.

use std::{fs, path::PathBuf};

use serde_json::json;
use tokio::time::timeout;

use super::{
    ask, done,
    hand::Hand,
    matching::{publish, until},
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
    let publish = "sh -c 'echo demand $MTX_QUERY >> FILE; exec \"$@\"' sh ffmpeg -v error -re -f lavfi -i testsrc=size=320x240:rate=25 -c:v libx264 -preset ultrafast \
                   -tune zerolatency -pix_fmt yuv420p -g 25 -f rtsp -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH";
    let body = json!({
        // Which is no reader: for it nothing runs on.
        "record": true,
        "runOnDemand": publish.replace("FILE", &file.display().to_string()),
        "runOnDemandCloseAfter": "100ms",
        "runOnUnDemand": say("undemand $MTX_PATH $G1 $MTX_QUERY", &file),
        "runOnReady": say("available $MTX_PATH $MTX_SOURCE_TYPE", &file),
        "runOnNotReady": say("unavailable $MTX_PATH", &file),
        "runOnRead": say("read $MTX_PATH $MTX_READER_TYPE $MTX_QUERY", &file),
        "runOnUnread": say("unread $MTX_PATH", &file),
    });
    done(&service, "POST", "/config/paths/add/~%5Estage-(.*)$", &body.to_string()).await;
    let connected = json!({ "runOnConnect": say("connect $MTX_CONN_TYPE", &file) }).to_string();
    done(&service, "PATCH", "/config/global/patch", &connected).await;
    let video =
        ffprobe(&format!("{}?a=b_c-.~&d=%20", service.url("stage-left")), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    let lines = [
        "connect rtspConn",
        "demand a%3Db_c-.~%26d%3D%2520",
        "available stage-left rtspSession",
        "read stage-left rtspSession a%3Db_c-.~%26d%3D%2520",
        "unread stage-left",
        "undemand stage-left left a%3Db_c-.~%26d%3D%2520",
        "unavailable stage-left",
    ];
    said(&service, &file, &lines).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_with_what_began_also_of_a_path_that_is_deleted() {
    let (service, file) = start(true).await;
    let source = "$MTX_PATH $MTX_SOURCE_TYPE $MTX_SOURCE_ID";
    let body = json!({
        "record": true,
        "runOnUnavailable": say(&format!("unavailable {source}"), &file),
        "runOnOffline": say(&format!("offline {source}"), &file),
        "runOnUnread": say("unread $MTX_PATH $MTX_READER_ID", &file),
        "runOnRecordSegmentCreate": say("create $MTX_PATH", &file),
        "runOnRecordSegmentComplete": say("complete $MTX_PATH", &file),
    });
    done(&service, "POST", "/config/paths/add/stage", &body.to_string()).await;
    for delete in [false, true] {
        let _ = fs::remove_file(&file);
        let mut publisher = publish(&service.url("stage"));
        let path = until(&service, "stage", |path| path["ready"] == true).await;
        let from = path["source"]["id"].as_str().unwrap().to_owned();
        let mut reader = tokio::process::Command::new("ffmpeg")
            .args(["-v", "quiet", "-rtsp_transport", "tcp", "-i", &service.url("stage"), "-f", "null", "-"])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let path = until(&service, "stage", |path| path["readers"][0]["id"].is_string()).await;
        let to = path["readers"][0]["id"].as_str().unwrap().to_owned();
        said(&service, &file, &["create stage"]).await;
        match delete {
            false => publisher.kill().await.unwrap(),
            true => done(&service, "DELETE", "/config/paths/delete/stage", "").await,
        }
        let lines = [
            format!("unavailable stage rtspSession {from}"),
            format!("offline stage rtspSession {from}"),
            format!("unread stage {to}"),
            "complete stage".to_owned(),
        ];
        said(&service, &file, &lines.each_ref().map(String::as_str)).await;
        let _ = reader.kill().await;
    }
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
async fn a_command_is_words_for_a_program_and_not_for_a_shell_and_is_run_again_where_that_is_said() {
    let (service, file) = start(true).await;
    let folder = service.folder.path().display().to_string();
    let odd = ["a;b", "$(x)", "c|d", ">e", "f g", "`h`", "&&", "studio-i"].map(|name| format!("{folder}/{name}"));
    let touch = format!("touch {0}/a;b {0}/$(x) {0}/c|d {0}/>e '{0}/f g' {0}/`h` {0}/&& {0}/${{MTX_PATH}}-i", folder);
    done(&service, "POST", "/config/paths/add/studio", &json!({ "runOnInit": touch }).to_string()).await;
    let made = async {
        while !odd.iter().all(|name| fs::exists(name).unwrap()) {
            ask(&service, "GET", "/info", "").await;
        }
    };
    timeout(PATIENCE, made).await.unwrap_or_else(|_| panic!("{:?}", fs::read_dir(&folder)));

    let again = json!({ "runOnInit": say("init $MTX_PATH $RTSP_PATH $RTSP_PORT", &file), "runOnInitRestart": true });
    done(&service, "POST", "/config/paths/add/again", &again.to_string()).await;
    let global = json!({
        "runOnConnect": say("connect $MTX_CONN_TYPE $MTX_CONN_ID", &file),
        "runOnDisconnect": say("disconnect $MTX_CONN_TYPE $MTX_CONN_ID $RTSP_PORT", &file),
    });
    done(&service, "PATCH", "/config/global/patch", &global.to_string()).await;
    let port = service.app.rtsp_port();
    let connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let text = said(&service, &file, &["connect rtspConn "]).await;
    let id = text.lines().find_map(|line| line.strip_prefix("connect rtspConn ")).unwrap().to_owned();
    assert_eq!(super::get(&service, "/rtspconns/list").await["items"][0]["id"], id.as_str());
    drop(connection);
    said(&service, &file, &[&format!("disconnect rtspConn {id} {port}")]).await;

    let init = format!("init again again {port}");
    let twice = async {
        while fs::read_to_string(&file).unwrap().lines().filter(|line| *line == init).count() < 2 {
            ask(&service, "GET", "/info", "").await;
        }
    };
    timeout(PATIENCE, twice).await.expect("it is run again");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_would_capture_a_camera_at_the_start_is_not_run_and_its_path_has_the_camera() {
    let (service, file) = start(true).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let capture = say("captured", &file) + " -f v4l2 -i /dev/video0 -f rtsp rtsp://localhost:$RTSP_PORT/$MTX_PATH";
    let body = json!({ "runOnInit": capture, "runOnInitRestart": true }).to_string();
    done(&service, "POST", "/config/paths/add/gate", &body).await;
    // All the time, as the command would: without a reader.
    service.streaming("gate").await;
    // What publishes it elsewhere is another matter.
    let elsewhere = say("init $MTX_PATH", &file) + " -f v4l2 -i /dev/video0 -f rtsp rtsp://192.0.2.1/there";
    let body = json!({ "runOnInit": elsewhere }).to_string();
    done(&service, "POST", "/config/paths/add/later", &body).await;
    let text = said(&service, &file, &["init later"]).await;
    assert!(!text.contains("captured"), "{text}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_publisher_that_does_not_come_is_told_so() {
    let (service, file) = start(true).await;
    let body = json!({ "runOnDemand": say("demand $MTX_PATH", &file), "runOnDemandStartTimeout": "50ms" }).to_string();
    done(&service, "POST", "/config/paths/add/studio", &body).await;
    done(&service, "POST", "/config/paths/add/~%5Estage", &body).await;
    for (path, method, more) in [
        ("studio", "DESCRIBE", ""),
        ("stage", "DESCRIBE", ""),
        ("studio", "SETUP", "/trackID=0"),
        ("stage", "SETUP", ""),
    ] {
        let mut hand = Hand::connect(&service, path).await;
        let reply = hand.ask(method, more, "Transport: RTP/AVP/TCP;unicast\r\n").await;
        assert_eq!(reply.status, 400, "{method} {path}");
    }
    said(&service, &file, &["demand studio", "demand stage"]).await;
    service.stop().await;
}
