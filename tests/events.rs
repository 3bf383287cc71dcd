//! Who subscribes is told what happens, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use serde_json::{Value, json};
use support::{Camera, SMALL, Service};

/// The events of a client up to and including one of this topic.
async fn until(client: &mut support::rpc::Client, topic: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let event = client.notification("event", |_| true).await;
        let is_last = event["topic"] == topic;
        seen.push(event);
        if is_last {
            return seen;
        }
    }
}

fn topics(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["topic"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_happens_to_a_camera_is_told_in_order() {
    let service = Service::start(SMALL).await;
    let (mut all, mut files) = (service.client("operator").await, service.client("viewer").await);
    all.call("subscribe_events", json!({ "topics": ["*"] })).await.unwrap();
    files.call("subscribe_events", json!({ "topics": ["snapshot.taken", "recording.*"] })).await.unwrap();
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    service.plug(&camera).await;
    service.streaming("camera0").await;
    let taken = all.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    let started = all.call("start_recording", json!({ "device": "camera0" })).await.unwrap();
    all.call("stop_recording", json!({ "device": "camera0" })).await.unwrap();
    service.unplug(&camera).await;
    let seen = until(&mut all, "camera.disconnected").await;
    let expected = [
        "camera.connected",
        "camera.status_change",
        "snapshot.taken",
        "recording.start",
        "recording.stop",
        "camera.disconnected",
    ];
    assert_eq!(topics(&seen), expected);
    assert!(seen.iter().all(|event| event["device"] == "camera0" && event["timestamp"].is_string()), "{seen:?}");
    assert_eq!(seen[0]["data"]["status"], "CONNECTED");
    assert_eq!(seen[2]["data"]["filename"], taken["filename"]);
    assert_eq!(seen[3]["data"]["filename"], started["filename"]);
    let seen = until(&mut files, "recording.stop").await;
    assert_eq!(topics(&seen), &expected[2..5]);
    service.stop().await;
    assert_eq!(until(&mut all, "system.shutdown").await.len(), 2, "the change of status, and the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_unsubscribing_and_statistics_hold() {
    let service = Service::start(SMALL).await;
    let (front, back) = (Camera::usb(0, "1", Some("FRONT1")), Camera::usb(2, "2", Some("BACK22")));
    for (camera, name) in [(&front, "camera0"), (&back, "camera1")] {
        service.plug(camera).await;
        service.streaming(name).await;
    }
    let (mut client, mut other) = (service.client("viewer").await, service.client("viewer").await);
    let filters = json!({ "device": "/dev/video2" });
    let subscribed = client
        .call("subscribe_events", json!({ "topics": ["camera.disconnected"], "filters": filters }))
        .await
        .unwrap();
    assert_eq!(subscribed["filters"], json!({ "device": "camera1" }));
    other.call("subscribe_events", json!({ "topics": ["*", "camera.*"] })).await.unwrap();
    let stats = client.call("get_subscription_stats", json!({})).await.unwrap();
    assert_eq!(
        stats["global_stats"],
        json!({ "total_subscriptions": 3, "active_clients": 2,
                "topic_counts": { "*": 1, "camera.*": 1, "camera.disconnected": 1 } })
    );
    assert_eq!(stats["client_topics"], json!(["camera.disconnected"]));
    let left = other.call("unsubscribe_events", json!({})).await.unwrap();
    assert_eq!(left["topics"], json!(["*", "camera.*"]));

    service.unplug(&front).await;
    other.notification("camera_status_update", |camera| camera["status"] == "DISCONNECTED").await;
    service.unplug(&back).await;
    let seen = until(&mut client, "camera.disconnected").await;
    assert_eq!((seen.len(), &seen[0]["device"]), (1, &json!("camera1")), "{seen:?}");
    for (params, param) in [
        (json!({ "topics": ["camera.exploded"] }), "topics"),
        (json!({ "topics": ["*"], "filters": { "devize": "camera0" } }), "filters"),
    ] {
        let refused = client.call("subscribe_events", params).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["data"]["param"]), (&json!(-32602), &json!(param)), "{refused}");
    }
    drop(other);
    loop {
        let stats = client.call("get_subscription_stats", json!({})).await.unwrap();
        if stats["global_stats"]["active_clients"] == 1 {
            break;
        }
    }
    service.stop().await;
}
