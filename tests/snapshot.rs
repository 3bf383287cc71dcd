//! Snapshots as clients have them: handed out over HTTP, ten at once, of cameras that run and of those that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, future::poll_fn, task::Poll};

use camera_service::{
    mode::Rate,
    output::snapshot::{Caption, SnapshotFormat, SnapshotRequest},
    path::Phase,
};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use support::{
    Camera, SMALL, Service,
    http::{Answer, curl, get},
    peers::{ffprobe, run},
};

/// Codec, width and height of the picture that came back, which ffprobe has to be able to read.
async fn picture(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{} {}", answer.head, String::from_utf8_lossy(&answer.body));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &answer.body).unwrap();
    let video = ffprobe(file.path().to_str().unwrap(), &[]).await.unwrap();
    format!("{} {}x{}", video["codec_name"].as_str().unwrap(), video["width"], video["height"])
}

/// Why nothing came back.
fn error(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_handed_out_to_who_may_see_the_stream() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut operator = service.client("operator").await;
    let subscribed = json!({ "topics": ["snapshot.*"] });
    operator.call("subscribe_events", subscribed).await.unwrap();

    let before = time::OffsetDateTime::now_utc();
    let answer = get(&service, "/snapshot/camera0", &[]).await;
    assert_eq!(picture(&answer).await, "mjpeg 640x360");
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("last-modified").ends_with("GMT"), "{}", answer.head);
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("inline; filename=\"camera0_") && disposition.contains(".jpg\""), "{disposition}");
    let captured = answer.header("x-captured");
    let captured =
        time::OffsetDateTime::parse(captured, &time::format_description::well_known::Rfc3339).expect("a time");
    // Stamped when its capture began, an interval before it is there; more on a busy machine.
    assert!(captured > before - time::Duration::seconds(10), "{captured} was before {before}");

    for (query, right, media_type) in [
        ("?width=320", "mjpeg 320x180", "image/jpeg"),
        ("?height=90&format=png", "png 160x90", "image/png"),
        ("?width=320&height=90", "mjpeg 160x90", "image/jpeg"),
        ("?width=4000&format=jpg&quality=100", "mjpeg 640x360", "image/jpeg"),
    ] {
        let answer = get(&service, &format!("/snapshot/camera0{query}"), &[]).await;
        assert_eq!((picture(&answer).await.as_str(), answer.header("content-type")), (right, media_type), "{query}");
    }
    let coarse = get(&service, "/snapshot/camera0?quality=1", &[]).await;
    assert!(coarse.body.len() < answer.body.len());

    let head = get(&service, "/snapshot/camera0", &["--head"]).await;
    assert_eq!((head.status, head.body.len(), head.header("content-type")), (200, 0, "image/jpeg"));
    assert!(head.header("content-length").parse::<usize>().unwrap() > 1000, "{}", head.head);
    // No file was made, and nobody was told.
    assert_eq!(fs::read_dir(service.folder.path().join("state/snapshots")).unwrap().count(), 0);
    let taken = operator.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    let event = operator.notification("event", |_| true).await;
    assert_eq!(event["data"]["filename"], taken["filename"], "the first of its kind");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handed_out_says_why() {
    let service = Service::start(SMALL).await;
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    service.streaming("camera0").await;
    let nobody = curl(&service, "/snapshot/camera0", &[]).await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(curl(&service, "/snapshot/camera0", &["-H", "X-API-Key: nonsense"]).await.status, 401);
    assert_eq!(get(&service, "/snapshot/camera0", &["-d", "x"]).await.status, 405);
    for (path, status, word) in [
        ("/snapshot/camera7", 404, "camera7"),
        ("/snapshot/camera0/x", 404, "camera0/x"),
        ("/snapshot/", 404, "camera"),
        ("/snapshot/%ff", 400, "device"),
        ("/snapshot/camera0?width=0", 400, "width"),
        ("/snapshot/camera0?width=large", 400, "width"),
        ("/snapshot/camera0?height=99999", 400, "height"),
        ("/snapshot/camera0?quality=0", 400, "quality"),
        ("/snapshot/camera0?format=gif", 400, "format"),
        ("/snapshot/camera0?size=3", 400, "size"),
    ] {
        let answer = get(&service, path, &[]).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.head);
        assert!(error(&answer).contains(word), "{path}: {}", error(&answer));
    }
    service.unplug(&camera).await;
    service.path("camera0", |status| status.phase == Phase::Away).await;
    let away = get(&service, "/snapshot/camera0", &[]).await;
    assert_eq!((away.status, error(&away).contains("not connected")), (503, true), "{}", error(&away));
    service.stop().await;
}

/// Nothing would stop a camera for an hour.
const ON_DEMAND: &str = "
camera: { test_pattern: never, auto_start_streams: false }
streams: { width: 640, height: 360, fps: 30, close_after: 1h }
";

/// A camera that makes H.264 itself, a frame every two seconds, in a service that takes long to encode a picture: whoever asks
/// at the same time does meet, and the newest frame stays it for a while.
async fn slow(service: &Service) {
    let folder = service.folder.path().join("pipelines");
    fs::create_dir_all(folder.join("output")).unwrap();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/output/snapshot-encode-jpeg.launch");
    let encode = fs::read_to_string(own).unwrap().replace("videoscale !", "identity sleep-time=300000 ! videoscale !");
    fs::write(folder.join("output/snapshot-encode-jpeg.launch"), encode).unwrap();
    let source = folder.join("source/h264.launch");
    let camera = fs::read_to_string(&source).unwrap().replace("framerate=30/1", "framerate=1/2");
    fs::write(source, camera).unwrap();
    let mut camera = Camera::usb(0, "1", Some("C0FFEE")).giving(*b"H264");
    camera.capture.modes[0].rate = Rate { frames: 1, seconds: 2 };
    service.plug(&camera).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_at_once_start_one_camera_and_get_ten_pictures_of_one_decode() {
    let service = Service::start(ON_DEMAND).await;
    slow(&service).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(service.client("operator").await);
    }
    let files = clients.iter_mut().map(async |client| {
        let taken = client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
        assert_eq!((&taken["width"], &taken["height"]), (&json!(640), &json!(360)));
        taken["timestamp"].as_str().unwrap().to_owned()
    });
    let handed_out = (0..5).map(async |_| {
        let answer = get(&service, "/snapshot/camera0", &[]).await;
        assert_eq!(picture(&answer).await, "mjpeg 640x360");
        answer.header("x-captured").to_owned()
    });
    let (files, handed_out) = join(join_all(files), join_all(handed_out)).await;
    let captured = [files, handed_out].concat();
    assert!(captured.len() == 10 && captured.iter().all(|moment| *moment == captured[0]), "{captured:?}");
    let metrics = service.client("admin").await.call("get_metrics", json!({})).await.unwrap();
    let one = json!({ "given": 10, "caught": 0, "decoded": 1, "encoded": 1, "refused": 0 });
    assert_eq!(metrics["snapshot_metrics"], one);
    // What was started for pictures alone stops with the last of them.
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 1).await;
    assert_eq!(fs::read_dir(service.folder.path().join("state/snapshots")).unwrap().count(), 5);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_does_not_stop_what_somebody_else_started() {
    let service = Service::start(ON_DEMAND).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;
    client.call("start_streaming", json!({ "device": "camera0" })).await.unwrap();
    let stream = service.streaming("camera0").await.stream.unwrap();
    for _ in 0..2 {
        client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    }
    // Whoever stops it is answered behind all that was wanted before.
    assert!(!stream.is_closed());
    let stopped = client.call("stop_streaming", json!({ "device": "camera0" })).await.unwrap();
    assert_eq!(stopped["status"], "STOPPED");
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 1).await;
    // Forgotten: for a picture alone it stops again.
    client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    service.path("camera0", |status| status.phase == Phase::Idle && status.runs == 2).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encoded_here_is_not_decoded_for_a_picture_and_files_have_a_caption() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.plug(&Camera::usb(2, "2", Some("BEEF")).giving(*b"MJPG")).await;
    service.plug(&Camera::usb(4, "3", Some("F00D")).giving(*b"H264")).await;
    let mut client = service.client("operator").await;
    let mut admin = service.client("admin").await;
    let mut counted = async || {
        let metrics = admin.call("get_metrics", json!({})).await.unwrap();
        ["given", "caught", "decoded", "encoded"].map(|name| metrics["snapshot_metrics"][name].as_u64().unwrap())
    };
    for (camera, counts) in [("camera0", [1, 1, 0, 1]), ("camera1", [1, 1, 0, 0]), ("camera2", [1, 0, 1, 1])] {
        service.streaming(camera).await;
        let mut attempts = 0..;
        let taken = loop {
            let before = counted().await;
            let name = format!("{camera}-{}", attempts.next().unwrap());
            let taken = client.call("take_snapshot", json!({ "device": camera, "filename": name })).await.unwrap();
            let after = counted().await;
            let now: [u64; 4] = std::array::from_fn(|at| after[at] - before[at]);
            if now == counts {
                break taken;
            }
            // No picture passes within a quarter of a second on a machine that is busy for a moment.
            assert!(now == [1, 0, 1, 1] && attempts.start < 20, "{camera}: {now:?}");
        };
        assert_eq!((&taken["width"], &taken["height"]), (&json!(640), &json!(360)));
        let file = service.folder.path().join("state/snapshots").join(taken["filename"].as_str().unwrap());
        let exif = run("exiv2", &["-q", "-Pkt", "pr", file.to_str().unwrap()]).await.unwrap();
        let said = |key: &str| {
            let line = exif.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}: {exif}"));
            line.trim().to_owned()
        };
        assert_eq!(
            (said("Exif.Image.ImageDescription"), said("Exif.Image.Model")),
            (camera.into(), "Test Webcam".into())
        );
        // The same moment as in the reply, down to the millisecond.
        let date = said("Exif.Photo.DateTimeOriginal").replacen(':', "-", 2).replace(' ', "T");
        let fraction = said("Exif.Photo.SubSecTimeOriginal");
        let told = format!("{date}.{fraction}").trim_end_matches('0').trim_end_matches('.').to_owned() + "Z";
        assert_eq!(json!(told), taken["timestamp"]);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_than_there_are_places_for_is_refused_until_one_is_free() {
    let service = Service::start(&ON_DEMAND.replace("close_after: 1h", "start_timeout: 2m")).await;
    // Cameras of MJPEG deliver nothing here, and are waited for.
    let source = service.folder.path().join("pipelines/source/mjpeg.launch");
    let camera = fs::read_to_string(&source).unwrap().replace("capsfilter", "valve drop=true ! capsfilter");
    fs::write(source, camera).unwrap();
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    service.plug(&Camera::usb(2, "2", Some("BEEF")).giving(*b"MJPG")).await;
    service.path("camera1", |status| status.phase == Phase::Idle).await;
    let mut client = service.client("operator").await;

    let paths = service.app.paths();
    let request = SnapshotRequest { format: SnapshotFormat::Jpeg, quality: 90, max_width: None, max_height: None };
    let caption = || Caption { camera: "camera1".into(), model: None };
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(paths.picture("camera1", request, caption()))).collect();
    for one in &mut waiting {
        let begun = poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await;
        assert!(begun.is_pending(), "it waits for the camera");
    }
    // Whichever camera is asked for.
    let refused = get(&service, "/snapshot/camera0", &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.head);
    assert!(error(&refused).contains("64 snapshots are under way"), "{}", error(&refused));
    let refused = client.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap_err();
    assert_eq!((&refused["code"], &refused["data"]["retry_after_ms"]), (&json!(-32040), &json!(1000)), "{refused}");
    let metrics = service.client("admin").await.call("get_metrics", json!({})).await.unwrap();
    assert_eq!(metrics["snapshot_metrics"]["refused"], 2, "{metrics}");
    // Who gives up makes room.
    drop(waiting.pop());
    assert_eq!(picture(&get(&service, "/snapshot/camera0", &[]).await).await, "mjpeg 640x360");
    drop(waiting);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_does_not_start_is_waited_for_and_then_told_of() {
    let service = Service::start(&ON_DEMAND.replace("close_after: 1h", "start_timeout: 1s")).await;
    let source = service.folder.path().join("pipelines/source/raw.launch");
    let camera = fs::read_to_string(&source).unwrap().replace("capsfilter", "valve drop=true ! capsfilter");
    fs::write(source, camera).unwrap();
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.path("camera0", |status| status.phase == Phase::Idle).await;
    let answer = get(&service, "/snapshot/camera0", &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.head);
    // Whoever waits and whoever starts it have the same patience, and either may be the first to say so.
    let reasons = ["camera0 did not start in time", "the camera was started and delivers no frame"];
    assert!(reasons.contains(&error(&answer).as_str()), "{}", error(&answer));
    service.stop().await;
}
