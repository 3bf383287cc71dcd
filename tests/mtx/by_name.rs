//! Paths of the MediaMTX API are known to the WebSocket by their names, as cameras are.

use serde_json::{Value, json};

use super::{
    done, get,
    matching::{publish, until},
    support::{
        Service,
        peers::{decode, ffprobe},
        remote::{H264, Remote},
        rpc::Client,
    },
};

/// No camera.
const NONE: &str = "camera: { test_pattern: never }";

/// Holds that what streams under a name is streamed, pictured and recorded by it.
async fn works(service: &Service, client: &mut Client, name: &str) {
    let of = json!({ "device": name });
    let streams = client.call("get_streams", json!({})).await.unwrap();
    let listed = streams.as_array().unwrap().iter().find(|stream| stream["name"] == name).unwrap().clone();
    assert_eq!(listed["ready"], true, "{listed}");
    let url = client.call("get_stream_url", of.clone()).await.unwrap();
    assert_eq!((&url["stream_status"], &url["available"]), (&json!("READY"), &json!(true)), "{url}");
    let video = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!(video["width"], 320);
    let status = client.call("get_stream_status", of.clone()).await.unwrap();
    assert_eq!((&status["status"], &status["device"]), (&json!("ACTIVE"), &json!(name)), "{status}");
    client.call("start_streaming", of.clone()).await.unwrap();

    let taken = client.call("take_snapshot", of.clone()).await.unwrap();
    assert_eq!((&taken["device"], &taken["width"]), (&json!(name), &json!(320)), "{taken}");
    let started = client.call("start_recording", of.clone()).await.unwrap();
    assert_eq!((&started["device"], &started["status"]), (&json!(name), &json!("RECORDING")), "{started}");
    let stream = service.app.paths().status(name).unwrap().stream.unwrap();
    super::records::frames(&stream, 30).await;
    let stopped = client.call("stop_recording", of.clone()).await.unwrap();
    decode(&service.recording(&stopped["filename"])).await.unwrap();
    for (list, file) in [("list_recordings", &stopped), ("list_snapshots", &taken)] {
        let files = client.call(list, of.clone()).await.unwrap();
        let found: Vec<_> = files["files"].as_array().unwrap().iter().collect();
        assert_eq!((found.len(), &files["total"]), (1, &json!(1)), "{files}");
        assert_eq!((&found[0]["device"], &found[0]["filename"]), (&json!(name), &file["filename"]), "{files}");
    }
}

/// What a call is refused with.
async fn refused(client: &mut Client, method: &str, params: Value) -> Value {
    client.call(method, params).await.unwrap_err()["code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_streams_on_a_path_is_recorded_and_pictured_by_its_name() {
    let service = Service::start(NONE).await;
    let mut client = service.client("admin").await;
    let remote = Remote::start(0, H264, None);
    // Pulled, published, and published where an expression matches.
    let body = json!({ "source": remote.url("") }).to_string();
    done(&service, "POST", "/config/paths/add/far/gate", &body).await;
    service.streaming("far/gate").await;
    works(&service, &mut client, "far/gate").await;
    done(&service, "POST", "/config/paths/add/~%5Estage", "{}").await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    for name in ["studio", "stage-left"] {
        let mut publisher = publish(&service.url(name));
        until(&service, name, |path| path["ready"] == true).await;
        works(&service, &mut client, name).await;
        publisher.kill().await.unwrap();
        until(&service, name, |path| path["ready"] != true).await;
    }

    // Nobody publishes: it is known, and does not stream.
    let idle = client.call("get_stream_status", json!({ "device": "studio" })).await.unwrap();
    assert_eq!((&idle["ready"], &idle["device"]), (&json!(false), &json!("studio")), "{idle}");
    let controls = json!({ "device": "studio" });
    assert_eq!(refused(&mut client, "get_camera_controls", controls).await, -32030);
    for name in ["nobody", "~^stage"] {
        assert_eq!(refused(&mut client, "take_snapshot", json!({ "device": name })).await, -32010, "{name}");
    }
    let cameras = client.call("get_camera_list", json!({})).await.unwrap();
    assert_eq!(cameras["total"], 0, "a path is no camera: {cameras}");
    done(&service, "DELETE", "/config/paths/delete/studio", "").await;
    assert_eq!(refused(&mut client, "get_stream_status", json!({ "device": "studio" })).await, -32010);
    assert_eq!(get(&service, "/recordings/get/far/gate").await["segments"].as_array().map(Vec::len), Some(1));
    service.stop().await;
}
