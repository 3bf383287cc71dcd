//! The configuration file is changed while the service runs: what counts at once is done, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use camera_service::{
    app::Source,
    path::{PathEvent, PathStatus, Phase},
};
use serde_json::json;
use support::{Camera, PATIENCE, Service, configured, peers::run, process::Process};
use tokio::{process::Command, sync::broadcast::Receiver, time::timeout};

const STREAMS: &str = "streams: { width: 640, height: 360, fps: 30 }\n";

/// A service that goes by its file, and what is in the file but for what the tests change.
struct Changing {
    service: Service,
    file: PathBuf,
    rest: String,
}

impl Changing {
    /// With these sections besides [`STREAMS`].
    async fn start(sections: &str) -> Self {
        let (folder, file) = configured("");
        let rest = fs::read_to_string(&file).unwrap();
        write(&file, &rest, sections);
        let source = Source::new(&file, true, None);
        let loaded = source.load().unwrap_or_else(|problems| panic!("{problems}"));
        let service = Service::start_in(folder, file.clone()).await;
        service.app.follow(source, loaded, |_| {});
        Self { service, file, rest }
    }

    /// Puts other sections into the file.
    fn write(&self, sections: &str) {
        write(&self.file, &self.rest, sections);
    }

    fn now(&self, name: &str) -> PathStatus {
        self.service.app.paths().status(name).unwrap()
    }
}

fn write(file: &Path, rest: &str, sections: &str) {
    let streams = if sections.contains("streams:") { "" } else { STREAMS };
    fs::write(file, format!("{rest}{streams}{sections}")).unwrap();
}

/// Two cameras that stream.
async fn two(changing: &Changing) -> [Camera; 2] {
    let cameras = [Camera::usb(0, "1", Some("FRONT1")), Camera::usb(2, "2", Some("BACK22"))];
    for (camera, name) in cameras.iter().zip(["camera0", "camera1"]) {
        changing.service.plug(camera).await;
        changing.service.streaming(name).await;
    }
    cameras
}

fn bitrate(status: &PathStatus) -> String {
    let settings = status.plan.iter().flat_map(|plan| &plan.settings);
    settings.filter(|setting| setting.property == "bitrate").map(|setting| setting.value.clone()).collect()
}

/// Waits until it is so, for what nobody is told of.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("in time");
}

async fn recording(events: &mut Receiver<PathEvent>, name: &str, is: bool) -> String {
    let wait = async {
        loop {
            match events.recv().await.unwrap() {
                PathEvent::RecordingStarted { name: of, started } if is && of == name => return started.filename,
                PathEvent::RecordingStopped { name: of, stopped } if !is && of == name => return stopped.filename,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_what_the_file_says_now_and_the_other_one_is_left_alone() {
    let changing = Changing::start("camera: { test_pattern: never }").await;
    let service = &changing.service;
    let cameras = two(&changing).await;
    let mut client = service.client("admin").await;
    let before = changing.now("camera0").stream.unwrap();
    let mut events = service.app.paths().events();
    let asked_for = client.call("start_recording", json!({ "device": "camera1" })).await.unwrap();

    let pin = "camera: { test_pattern: never, devices: [{ match: { serial: BACK22 }, name: Gate, bitrate: 700k }] }";
    changing.write(pin);
    let status = service.path("camera1", |status| status.runs == 2 && status.stream.is_some()).await;
    assert!(bitrate(&status).starts_with("700"), "{}", bitrate(&status));
    client.notification("camera_status_update", |update| update["name"] == "Gate").await;
    let told = client.call("get_camera_status", json!({ "device": "camera1" })).await.unwrap();
    assert_eq!(told["name"], "Gate");
    assert_eq!(recording(&mut events, "camera1", false).await, asked_for["filename"].as_str().unwrap());
    assert_ne!(recording(&mut events, "camera1", true).await, asked_for["filename"].as_str().unwrap(), "it goes on");

    // An entry before the other one changes nothing for that one, though it is another by number.
    let ignored = "camera: { test_pattern: never, devices: [{ match: { serial: FRONT1 }, id: camera7 }, \
                   { match: { serial: BACK22 }, name: Gate, bitrate: 700k }] }";
    changing.write(ignored);
    service.streaming("camera7").await;
    // No camera has that name.
    until(|| service.app.paths().status("camera0").is_err()).await;
    assert!(!Arc::ptr_eq(&before, &changing.now("camera7").stream.unwrap()));
    assert_eq!(changing.now("camera1").runs, 2);
    let told = client.call("get_camera_status", json!({ "device": "camera1" })).await.unwrap();
    assert_eq!(told["name"], "Gate");

    // What is away is told, too.
    service.unplug(&cameras[1]).await;
    service.path("camera1", |status| status.phase == Phase::Away).await;
    changing.write("camera: { test_pattern: always, devices: [{ match: { serial: BACK22 }, bitrate: 900k }] }");
    service.streaming("test").await;
    assert_eq!(changing.now("camera7").runs, 1, "the name that a camera was given stays");
    service.plug(&cameras[1]).await;
    assert!(bitrate(&service.streaming("camera1").await).starts_with("900"));
    changing.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_restart_of_a_path_restarts_none() {
    let changing = Changing::start("camera: { test_pattern: never }").await;
    let service = &changing.service;
    // One camera that encodes itself: no bit rate of ours is anything to it.
    let camera = Camera::usb(0, "1", Some("FRONT1")).giving(*b"H264");
    service.plug(&camera).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut events = service.app.paths().events();
    let mut reader = Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &service.url("camera0"), "-f", "null", "-"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let readers = || service.app.paths().readers("camera0");
    until(|| readers().packet_bytes_sent > 0).await;

    changing.write(
        "camera: { test_pattern: never, always_available: true }\nencoder: { bitrate: 900k }\n\
         recording: { auto_record: true, format: mkv }\nsnapshots: { format: png }",
    );
    assert!(recording(&mut events, "camera0", true).await.ends_with(".mkv"));
    service.path("camera0", |status| status.outgoing.is_some()).await;
    let sent = readers().packet_bytes_sent;
    until(|| readers().count == 1 && readers().packet_bytes_sent > sent + 100_000).await;
    let mut client = service.client("operator").await;
    let taken = client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    assert!(taken["filename"].as_str().unwrap().ends_with(".png"), "{taken}");

    // Otherwise recorded: the file ends, and another begins.
    changing.write("camera: { test_pattern: never }\nrecording: { auto_record: true }");
    assert!(recording(&mut events, "camera0", false).await.ends_with(".mkv"));
    assert!(recording(&mut events, "camera0", true).await.ends_with(".mp4"));
    changing.write("camera: { test_pattern: never }");
    assert!(recording(&mut events, "camera0", false).await.ends_with(".mp4"));
    let now = changing.now("camera0");
    assert!(now.outgoing.is_none() && now.recording.is_none());
    assert!(now.runs == 1 && Arc::ptr_eq(&stream, &now.stream.unwrap()));

    let sent = readers().packet_bytes_sent;
    until(|| readers().count == 1 && readers().packet_bytes_sent > sent).await;
    assert!(reader.try_wait().unwrap().is_none(), "it reads on");
    reader.kill().await.unwrap();

    // Nobody reads it: it ends when it need not run.
    let on_demand = "camera: { test_pattern: never, auto_start_streams: false }\n\
                     streams: { width: 640, height: 360, fps: 30, close_after: 0s }";
    changing.write(on_demand);
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    changing.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_set_over_the_api_stays() {
    let changing = Changing::start("camera: { test_pattern: never }").await;
    let service = &changing.service;
    two(&changing).await;
    let mut events = service.app.paths().events();
    let api = service.app.engine_addresses().api.unwrap();
    for (path, body) in [
        ("camera0", r#"{"sourceOnDemand": true, "sourceOnDemandCloseAfter": "0s"}"#),
        ("camera1", r#"{"record": true}"#),
    ] {
        let url = format!("http://{api}/v3/config/paths/patch/{path}");
        run("curl", &["-sS", "-f", "-X", "PATCH", "--data-binary", body, &url]).await.unwrap();
    }
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    recording(&mut events, "camera1", true).await;

    // Each time something is another that both were made with.
    changing.write("camera: { test_pattern: never, auto_start_streams: false }\nrecording: { auto_record: true }");
    recording(&mut events, "camera0", true).await;
    changing.write("camera: { test_pattern: never }");
    recording(&mut events, "camera0", false).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    assert!(changing.now("camera1").recording.is_some(), "somebody wants that");
    assert_eq!(changing.now("camera1").runs, 1);

    // Not for a moment does it run that nobody wants to run.
    changing.write("camera: { test_pattern: never }\nstreams: { width: 640, height: 360, fps: 30, frame_timeout: 9s }");
    until(|| service.app.paths().settings("camera0").unwrap().frame_timeout.as_secs() == 9).await;
    changing.write("camera: { test_pattern: never }\nrecording: { auto_record: true }");
    recording(&mut events, "camera0", true).await;
    assert_eq!(changing.now("camera0").runs, 3, "plugged in, recorded, recorded");
    changing.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_changes_nothing_and_what_waits_is_named() {
    let (_folder, file) = configured("camera: { test_pattern: always }");
    let good = fs::read_to_string(&file).unwrap();
    let mut process = Process::start(&file, "human");
    process.line("streaming at rtsp://").await;

    fs::write(&file, format!("{good}streams: {{ width: 640, hieght: 360 }}\n")).unwrap();
    let lines = good.lines().count() + 1;
    let told = process.line("unknown key").await;
    assert!(told.contains(&format!("{}:{lines}:", file.display())) && told.contains("streams.hieght"), "{told}");
    process.line("everything stays as it was").await;

    fs::remove_file(&file).unwrap();
    process.line("cannot be read").await;
    process.line("everything stays as it was").await;

    let more =
        "streams: { width: 320, height: 180 }\nlogging: { level: debug }\nexternal_discovery: { enabled: true }\n";
    fs::write(&file, format!("{good}{more}")).unwrap();
    let again = process.line("320x180").await;
    assert!(again.contains("streaming at rtsp://"), "{again}");
    let read = process.logged("configuration read again").await;
    assert!(read.contains("changed=\"logging.level, streams.height, streams.width\""), "{read}");
    let waits = process.logged("count when the service is started again").await;
    assert!(waits.contains("external_discovery.enabled"), "{waits}");
    process.logged("DEBUG").await;
    let (status, lines) = process.terminate_with_log().await;
    assert!(status.success());
    let runs = lines.iter().filter(|line| line.contains("streaming at rtsp://")).count();
    assert_eq!(runs, 2, "once at the start, once with another size");
}
