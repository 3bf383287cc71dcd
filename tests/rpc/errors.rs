//! Every error of the document, made to happen.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::service;
use crate::support::{Camera, DOCUMENT, SMALL, Service, configured, rpc::Client};

/// What cannot be made to happen from outside: a fault of the service itself.
const OURS: i64 = -32603;

/// Sends a text, and gives the code of the error that comes back.
async fn code_of(client: &mut Client, text: &str) -> i64 {
    client.send(text).await;
    let response = client.receive().await;
    assert_eq!(response["jsonrpc"], "2.0");
    response["error"]["code"].as_i64().unwrap_or_else(|| panic!("{text} was answered with {response}"))
}

fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_given_for_its_reason() {
    let service = Service::start(&format!("{SMALL}\nrecording: {{ format: fmp4 }}")).await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let camera = json!({ "device": "camera0" });
    let mut seen = BTreeSet::from([OURS]);
    let mut nobody = Client::connect(service.app.control_address()).await;
    let mut operator = service.client("operator").await;
    operator.call("get_camera_list", json!({})).await.unwrap();

    for (code, text) in [
        (-32700, "nonsense".to_owned()),
        (-32600, r#"{"method":"ping","id":1}"#.to_owned()),
        (-32601, request("pings", &json!({}))),
        (-32602, request("ping", &json!({ "nonsense": 1 }))),
        (-32001, request("get_camera_list", &json!({}))),
    ] {
        assert_eq!(code_of(&mut nobody, &text).await, code, "{text}");
        seen.insert(code);
    }
    for (code, method, params) in [
        (-32002, "get_status", json!({})),
        (-32010, "get_camera_status", json!({ "device": "camera9" })),
        (-32020, "stop_recording", camera.clone()),
        (-32030, "discover_external_streams", json!({})),
    ] {
        assert_eq!(operator.call(method, params).await.unwrap_err()["code"], code, "{method}");
        seen.insert(code);
    }

    // A disk that is not there any more.
    let snapshots = service.folder.path().join("state/snapshots");
    fs::remove_dir_all(&snapshots).unwrap();
    fs::write(&snapshots, "in the way").unwrap();
    assert_eq!(operator.call("list_snapshots", json!({})).await.unwrap_err()["code"], -32050);
    seen.insert(-32050);

    // Guessing is slowed down. The socket that has its role does not notice.
    let guess = request("authenticate", &json!({ "auth_token": "nonsense" }));
    while code_of(&mut nobody, &guess).await != -32040 {}
    seen.insert(-32040);
    operator.call("get_camera_status", camera).await.unwrap();

    let errors = DOCUMENT["components"]["errors"].as_object().unwrap().values();
    assert_eq!(seen, errors.map(|error| error["code"].as_i64().unwrap()).collect());
    service.stop().await;
}

/// Every member of a batch is a request, and is counted as one.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_no_way_around_the_limit_of_requests() {
    let (folder, file) = configured("camera: { test_pattern: never, discovery_enabled: false }");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("requests_per_minute: 1000000", "requests_per_minute: 20")).unwrap();
    let service = Service::start_in(folder, file).await;
    let mut client = Client::connect(service.app.control_address()).await;
    let members: Vec<_> = (0..50).map(|id| json!({ "jsonrpc": "2.0", "method": "ping", "id": id })).collect();
    client.send(&json!(members).to_string()).await;
    let responses = client.receive().await;
    let refused = responses.as_array().unwrap().iter().filter(|response| response["error"]["code"] == -32040);
    assert!(refused.count() >= 20, "{responses}");
    assert_eq!(responses[0]["result"], "pong");
    assert_eq!(responses.as_array().unwrap().len(), 50);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_answered_as_it_is_and_names_where_it_came_from() {
    let service = service().await;
    let mut viewer = service.client("viewer").await;
    let mut document = viewer.call("rpc.discover", json!({})).await.unwrap();
    let url = document["servers"][0]["url"].take();
    assert_eq!(url, format!("ws://localhost:{}/ws", service.app.control_address().port()));
    let mut expected = DOCUMENT.clone();
    expected["servers"][0]["url"].take();
    assert_eq!(document, expected);
    service.stop().await;
}
