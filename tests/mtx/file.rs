//! A configuration file of MediaMTX's: its paths act, it is read again when it changes, and a wrong one changes nothing.

use std::{fs, path::Path};

use camera_service::path::PathEvent;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    ask, curl, done, get,
    support::{
        Camera, PATIENCE, SMALL, Service, configured,
        peers::ffprobe,
        process::{Process, after},
    },
};

/// The exit code after which systemd does not try again, as of a wrong configuration of our own.
const WRONG: i32 = 78;

/// A service that reads `text` as MediaMTX's configuration, and where that is.
pub async fn start(text: &str) -> (Service, std::path::PathBuf) {
    let (folder, file) = configured(SMALL);
    let mediamtx = folder.path().join("mediamtx.yml");
    fs::write(&mediamtx, text).unwrap();
    let yaml = fs::read_to_string(&file).unwrap();
    let with = format!("api_port: 0, config_file: {}", mediamtx.display());
    fs::write(&file, yaml.replace("api_port: 0", &with)).unwrap();
    (Service::start_in(folder, file).await, mediamtx)
}

/// Waits until the configuration has this path, or has it no more.
async fn until(service: &Service, name: &str, there: bool) -> Value {
    let look = async {
        loop {
            let reply = ask(service, "GET", &format!("/config/paths/get/{name}"), "").await;
            if (reply.status == 200) == there {
                return reply.json();
            }
        }
    };
    timeout(PATIENCE, look).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn its_paths_act_also_those_of_cameras_that_come_later() {
    let text = "
# as people write it
logLevel: info
hls: yes
readTimeout: 20s
authInternalUsers:
- user: any
  pass:
  ips: []
  permissions:
  - action: api
pathDefaults:
  recordSegmentDuration: 30m
paths:
  camera0:
    record: yes
  door:
    source: /dev/video0
  all_others:
";
    let (service, file) = start(text).await;
    let mut events = service.app.paths().events();
    service.plug(&Camera::usb(0, "1.1", None)).await;
    while !matches!(timeout(PATIENCE, events.recv()).await.unwrap().unwrap(), PathEvent::RecordingStarted { name, .. } if name == "camera0")
    {
    }
    service.streaming("door").await;
    let global = get(&service, "/config/global/get").await;
    assert_eq!((&global["readTimeout"], &global["hls"]), (&json!("20s"), &json!(false)), "HLS is not served");
    for path in ["camera0", "all_others"] {
        assert_eq!(get(&service, &format!("/config/paths/get/{path}")).await["recordSegmentDuration"], "30m0s");
    }

    done(&service, "POST", "/config/paths/add/mine", "{}").await;
    fs::write(&file, "paths: {gate: {source: redirect, sourceRedirect: /camera0}}").unwrap();
    until(&service, "mine", false).await;
    until(&service, "gate", true).await;
    assert_eq!(ask(&service, "GET", "/paths/get/door", "").await.status, 404);
    // Nothing says any more that it is recorded.
    service.path("camera0", |status| status.stream.is_some() && status.recording.is_none()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_becomes_wrong_changes_nothing_and_what_comes_after_it_counts() {
    let (folder, config) = configured("camera: { test_pattern: never }");
    let mediamtx = folder.path().join("mediamtx.yml");
    fs::write(&mediamtx, "paths: {gate: {maxReaders: 3}}").unwrap();
    let with = format!("api_port: 0, config_file: {}", mediamtx.display());
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("api_port: 0", &with)).unwrap();
    let mut service = Process::start(&config, "human");
    let line = service.line("MediaMTX-compatible api at http://").await;
    let api = after(&line, "at http://").parse().unwrap();
    let shown = async |name: &str| curl(api, "GET", &format!("/config/paths/get/{name}"), "", &[]).await;

    // Wrong in one place: nothing of it counts.
    fs::write(&mediamtx, "paths: {gate: {maxReaders: 5}, other: {source: nonsense}}").unwrap();
    let told = service.line("everything stays as it was").await;
    assert!(told.contains("invalid source: 'nonsense'"), "{told}");
    assert_eq!((shown("other").await.status, shown("gate").await.json()["maxReaders"].clone()), (404, json!(3)));

    fs::write(&mediamtx, "paths: {last: }").unwrap();
    service.line("configuration read again").await;
    assert_eq!((shown("last").await.status, shown("gate").await.status), (200, 404));
    assert!(service.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_one_keeps_the_service_from_starting_and_says_why() {
    let (folder, file) = configured(SMALL);
    let mediamtx = folder.path().join("mediamtx.yml");
    fs::write(&mediamtx, "paths: {a: {maxReader: 1}}").unwrap();
    let why = run_with(&file, &mediamtx, WRONG).await;
    assert!(why.contains("mediamtx.yml: json: unknown field \"paths.a.maxReader\""), "{why}");
    for (key, words) in [
        ("apiAddress: unix:///run/api", "mediamtx.yml: 'apiAddress' is no address to listen at: 'unix:///run/api'"),
        ("rtspAddress: ':65536'", "'rtspAddress' is no address"),
        (
            "{rtspTransports: [multicast], multicastIPRange: 10.0.0.0/8}",
            "'multicastIPRange' are no multicast addresses",
        ),
        ("{rtspTransports: [multicast], multicastRTPPort: 9001}", "'multicastRTPPort' must be even"),
        ("{rtspTransports: [multicast], multicastRTPPort: 9000, multicastRTCPPort: 9002}", "must be consecutive"),
    ] {
        fs::write(&mediamtx, key).unwrap();
        let why = run_with(&file, &mediamtx, WRONG).await;
        assert!(why.contains(words), "{why}");
    }
    // It may be on a disk that is there later.
    let why = run_with(&file, &folder.path().join("none.yml"), 1).await;
    assert!(why.contains("none.yml cannot be read"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_listens_counts_in_place_of_our_own_keys() {
    let text = "
api: yes
apiAddress: localhost:0
metrics: no
playbackAddress: 127.0.0.8:0
rtspAddress: 127.0.0.7:0
protocols: [tcp, multicast]
multicastIPRange: 239.9.0.0/24
multicastRTPPort: 9000
multicastRTCPPort: 9001
";
    let (service, _) = start(text).await;
    let served = service.app.engine_addresses().clone();
    let hosts = [served.api, served.metrics, served.playback].map(|at| at.map(|at| at.ip().to_string()));
    assert_eq!(hosts, [Some("127.0.0.1".into()), None, Some("127.0.0.8".into())]);
    let global = get(&service, "/config/global/get").await;
    let shown =
        ["metrics", "playback", "rtspTransports", "multicastIPRange", "multicastRTPPort"].map(|key| &global[key]);
    let port = json!(9000);
    let there = [&json!(false), &json!(true), &json!(["multicast", "tcp"]), &json!("239.9.0.0/24"), &port];
    assert_eq!(shown, there);

    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let url = format!("rtsp://127.0.0.7:{}/camera0", service.app.rtsp_port());
    ffprobe(&url, &["-rtsp_transport", "tcp"]).await.unwrap();
    let refused = ffprobe(&url, &["-rtsp_transport", "udp"]).await.unwrap_err();
    assert!(refused.contains("461"), "{refused}");
    // It may be read for the service's own sake.
    done(&service, "POST", "/config/paths/add/door", r#"{"source": "/dev/video0"}"#).await;
    service.streaming("door").await;
    service.stop().await;
}

#[tokio::test]
async fn the_log_says_once_of_each_key_that_does_nothing() {
    let (folder, config) = configured("camera: { test_pattern: never }");
    let mediamtx = folder.path().join("mediamtx.yml");
    let text = "
logLevel: info
readBufferCount: 1024
hls: yes
api: yes
playback: no
rtspAddress: 127.0.0.1:0
readTimeout: 20s
paths:
  cam: {maxReaders: 3, rpiCameraFPS: 10}
  other: {rpiCameraFPS: 20, rtspRangeType: npt}
  far: {source: 'rtmp://me:secret@192.0.2.1/live'}
  near: {source: /dev/video7, fallback: /cam}
  camera0: {source: 'rtsp://me:secret@192.0.2.1/live'}
  camera1: {source: publisher}
";
    fs::write(&mediamtx, text).unwrap();
    let with = format!("api_port: 0, config_file: {}", mediamtx.display());
    let yaml = fs::read_to_string(&config).unwrap();
    fs::write(&config, yaml.replace("api_port: 0", &with)).unwrap();
    let mut service = Process::start(&config, "human");
    let line = service.line("MediaMTX-compatible api at http://").await;
    let api = after(&line, "at http://").parse().unwrap();
    service.line("rtspRangeType").await;
    for body in [r#"{"writeQueueSize": 2048, "dumpPackets": true}"#, r#"{"rtspAddress": ":1"}"#] {
        assert_eq!(curl(api, "PATCH", "/config/global/patch", body, &[]).await.status, 200);
    }
    let (status, log) = service.terminate_with_log().await;
    assert!(status.success());
    let told = |words: &str| {
        let lines = log.iter().filter(|line| line.contains(words));
        let keys = lines.filter_map(|line| line.split("key=\"").nth(1)?.split('"').next());
        keys.map(str::to_owned).collect::<Vec<_>>()
    };
    let idle = told("does nothing here");
    assert_eq!(idle, ["writeQueueSize", "hls", "rpiCameraFPS", "rtspRangeType", "dumpPackets"], "{log:#?}");
    assert_eq!(told("counts when the service starts"), ["rtspAddress"], "{log:#?}");
    let nothing: Vec<_> = log.iter().filter(|line| line.contains("nothing streams on this path")).collect();
    assert!(matches!(nothing[..], [line] if line.contains("path=\"far\" scheme=\"rtmp\"")), "{nothing:?}");
    let cameras: Vec<_> = log.iter().filter(|line| line.contains("its source is the camera")).collect();
    assert!(matches!(cameras[..], [line] if line.contains("path=\"camera0\"")), "{cameras:?}");
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("playback is not served: mediamtx.yml says so")), "{log:#?}");
}

/// What the service says that ends at once, with this exit code.
async fn run_with(file: &Path, mediamtx: &Path, code: i32) -> String {
    let arguments = ["--config", &file.display().to_string(), "--mediamtx-config", &mediamtx.display().to_string()]
        .map(str::to_owned);
    let child =
        tokio::process::Command::new(env!("CARGO_BIN_EXE_camera-service")).args(arguments).kill_on_drop(true).output();
    let output = timeout(PATIENCE, child).await.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn variables_of_the_environment_count_instead_of_its_keys() {
    let (folder, config) = configured("camera: { test_pattern: never }");
    let mediamtx = folder.path().join("mediamtx.yml");
    fs::write(&mediamtx, "paths: { cam: { source: 'rtsp://127.0.0.1:1/file', maxReaders: 3 } }").unwrap();
    let with = format!("api_port: 0, config_file: {}", mediamtx.display());
    let yaml = fs::read_to_string(&config).unwrap();
    fs::write(&config, yaml.replace("api_port: 0", &with)).unwrap();
    let variables = [
        ("MTX_PATHS_CAM_SOURCE", "rtsp://127.0.0.1:1/environment"),
        ("MTX_PATHS_NEW_RECORD", "yes"),
        // As hooks have them.
        ("MTX_PATH", "cam"),
        ("MTX_SOURCE_TYPE", "rtspSession"),
    ];
    let mut service = Process::start_with(&config, "human", &variables);
    let line = service.line("MediaMTX-compatible api at http://").await;
    let api = after(&line, "at http://").parse().unwrap();
    let path = async |name: &str| curl(api, "GET", &format!("/config/paths/get/{name}"), "", &[]).await.json();
    let cam = path("cam").await;
    assert_eq!((&cam["source"], &cam["maxReaders"]), (&json!("rtsp://127.0.0.1:1/environment"), &json!(3)));
    assert_eq!(path("new").await["record"], true);

    // The file is read again, and the environment counts as before.
    fs::write(&mediamtx, "paths: { cam: { source: 'rtsp://127.0.0.1:1/file', maxReaders: 5 } }").unwrap();
    service.line("configuration read again").await;
    let cam = path("cam").await;
    assert_eq!((&cam["source"], &cam["maxReaders"]), (&json!("rtsp://127.0.0.1:1/environment"), &json!(5)));
    assert!(service.terminate().await.success());

    let mut wrong = Process::start_with(&config, "human", &[("MTX_PATHS_CAM_SOURCEONDEMAND", "perhaps")]);
    wrong.line("MTX_PATHS_CAM_SOURCEONDEMAND: invalid value 'perhaps'").await;
}
