//! What is written does something: recordings, streams of other machines.

use camera_service::path::PathEvent;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    ask, done, get,
    support::{
        Camera, PATIENCE, SMALL, Service,
        peers::{decode, ffprobe},
        remote::{H264, Remote},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn record_true_records_and_record_false_ends_it_without_a_reader_noticing() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    let stream = service.streaming("camera0").await.stream.unwrap();
    let mut events = service.app.paths().events();
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":true}"#).await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["record"], true);
    let started = loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("a recording in time").unwrap();
        if let PathEvent::RecordingStarted { started, .. } = event {
            break started;
        }
    };
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"record":false}"#).await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["record"], false);
    assert!(service.app.paths().status("camera0").unwrap().recording.is_none());
    decode(&service.recording(&json!(started.filename))).await.unwrap();
    assert!(!stream.is_closed(), "the stream went on");

    let recordings = get(&service, "/recordings/list").await;
    assert_eq!((&recordings["itemCount"], &recordings["items"][0]["name"]), (&json!(1), &json!("camera0")));
    let start = recordings["items"][0]["segments"][0]["start"].as_str().unwrap().to_owned();
    let place = format!("/recordings/deletesegment?path=camera0&start={}", start.replace('+', "%2B"));
    done(&service, "DELETE", &place, "").await;
    assert_eq!(get(&service, "/recordings/get/camera0").await["segments"], json!([]));
    assert_eq!(ask(&service, "DELETE", &place, "").await.status, 400);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_machine_is_added_pulled_and_removed() {
    let service = Service::start(SMALL).await;
    let remote = Remote::start(0, H264, None);
    let body = |url: &str| json!({ "source": url }).to_string();
    done(&service, "POST", "/config/paths/add/far/gate", &body(&remote.url(""))).await;
    service.streaming("far/gate").await;
    let path = get(&service, "/paths/get/far/gate").await;
    assert_eq!((&path["source"], &path["ready"]), (&json!({ "type": "rtspSource", "id": "" }), &json!(true)));
    assert_eq!(path["tracks"], json!(["H264"]));
    let props = &path["tracks2"][0]["codecProps"];
    assert_eq!((&props["width"], &props["height"]), (&json!(320), &json!(240)), "{path}");
    assert!(["Baseline", "High 4:4:4 Predictive", "High"].contains(&props["profile"].as_str().unwrap()), "{path}");
    let video = ffprobe(&service.url("far/gate"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);

    // Nobody is there: the path stays, and is not ready.
    done(&service, "PATCH", "/config/paths/patch/far/gate", &body("rtsp://127.0.0.1:1/x")).await;
    let path = get(&service, "/paths/get/far/gate").await;
    assert_eq!((&path["ready"], &path["readyTime"], &path["tracks"]), (&json!(false), &Value::Null, &json!([])));
    done(&service, "DELETE", "/config/paths/delete/far/gate", "").await;
    assert_eq!(ask(&service, "GET", "/paths/get/far/gate", "").await.status, 404);
    assert!(ffprobe(&service.url("far/gate"), &[]).await.is_err());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_stream_is_listed_and_is_not_ready() {
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    done(&service, "POST", "/config/paths/add/~%5Ecam", "{}").await;
    let paths = get(&service, "/paths/list").await;
    assert_eq!((&paths["itemCount"], &paths["items"][0]["name"]), (&json!(1), &json!("studio")));
    assert_eq!((&paths["items"][0]["source"], &paths["items"][0]["readers"]), (&Value::Null, &json!([])));
    for (name, status) in [("studio", "404"), ("nobody", "400")] {
        let refusal = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap_err();
        assert!(refusal.contains(status), "{name}: {refusal}");
    }
    let configured = get(&service, "/config/paths/list").await;
    let names: Vec<_> = configured["items"].as_array().unwrap().iter().map(|path| path["name"].clone()).collect();
    assert_eq!(names, ["studio", "~^cam"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_read_under_another_name_too() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let older = "ffmpeg -f v4l2 -i /dev/video0 -c:v libx264 -f rtsp rtsp://localhost:8554/$MTX_PATH";
    for (name, body) in [
        ("door", json!({ "source": "/dev/video0" })),
        ("pi", json!({ "source": "rpiCamera", "sourceOnDemand": true })),
        ("yard", json!({ "runOnDemand": older })),
        ("gate", json!({ "runOnInit": older, "runOnInitRestart": true })),
    ] {
        done(&service, "POST", &format!("/config/paths/add/{name}"), &body.to_string()).await;
        let video = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!(video["width"], 640, "{name}");
        assert_eq!(get(&service, &format!("/paths/get/{name}")).await["source"]["type"], "rpiCameraSource", "{name}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_runs_on_demand_when_it_is_told_to() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let body = r#"{"sourceOnDemand":true,"sourceOnDemandCloseAfter":"10ms"}"#;
    done(&service, "PATCH", "/config/paths/patch/camera0", body).await;
    service.path("camera0", |status| status.stream.is_none() && status.open).await;
    let path = get(&service, "/paths/get/camera0").await;
    assert_eq!((&path["ready"], &path["source"]["type"]), (&json!(false), &json!("rpiCameraSource")));
    ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();
    done(&service, "DELETE", "/config/paths/delete/camera0", "").await;
    service.streaming("camera0").await;
    assert_eq!(get(&service, "/config/paths/get/camera0").await["sourceOnDemand"], false);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_none_are_counted_of_the_path() {
    let service = Service::start(SMALL).await;
    let source = service.folder.path().join("pipelines/source/mjpeg.launch");
    let nonsense = "fakesrc name=source is-live=true do-timestamp=true format=time sizetype=fixed sizemax=600 ! \
                    image/jpeg,width=640,height=360,framerate=30/1 ! capsfilter name=mode";
    std::fs::write(source, nonsense).unwrap();
    service.plug(&Camera::usb(0, "1.1", None).giving(*b"MJPG")).await;
    let counted =
        async { while get(&service, "/paths/get/camera0").await["inboundFramesInError"].as_u64() == Some(0) {} };
    timeout(PATIENCE, counted).await.expect("they are counted");
    service.stop().await;
}
