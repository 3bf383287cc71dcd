//! A crowd: everybody is told everything in its order, and whoever does not read is cut off and keeps nobody waiting.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use camera_service::app;
use serde_json::{Value, json};
use support::{Camera, PATIENCE, SMALL, Service, rpc::Client};
use tokio::time::timeout;

const CROWD: usize = 1000;
const EVENTS: usize = 10;

/// Room for the crowd, and little patience with those who do not read.
async fn spacious() -> Service {
    // Both ends of every socket are in this process.
    app::raise_file_limit();
    let (folder, file) = support::configured(SMALL);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(
        "port: 0 }\nsecurity",
        "port: 0, max_connections: 2000, write_timeout: 2s, ping_interval: 10m }\nsecurity",
    );
    let text = text.replace("requests_per_minute", "max_connections: 2000, requests_per_minute");
    std::fs::write(&file, text).unwrap();
    Service::start_in(folder, file).await
}

/// A client that has asked for more than the kernel keeps for it, and never reads.
async fn stalled(service: &Service) -> Client {
    let mut client = service.client("viewer").await;
    client.call("subscribe_events", json!({ "topics": ["*"] })).await.unwrap();
    for id in 0..400 {
        client.send(&json!({ "jsonrpc": "2.0", "method": "rpc.discover", "id": id }).to_string()).await;
    }
    client
}

/// Waits until the numbers about clients are such.
async fn clients(admin: &mut Client, fits: impl Fn(&Value) -> bool) {
    let wait = async {
        loop {
            let metrics = admin.call("get_metrics", json!({})).await.unwrap();
            if fits(&metrics["client_metrics"]) {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the clients are as they should be");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sockets_are_told_everything_while_one_does_not_read() {
    let service = spacious().await;
    service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
    service.streaming("camera0").await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut client = service.client("viewer").await;
        client.call("subscribe_events", json!({ "topics": ["snapshot.taken"] })).await.unwrap();
        crowd.push(client);
    }
    let mut admin = service.client("admin").await;
    let stalled = stalled(&service).await;

    let mut taken = Vec::new();
    for _ in 0..EVENTS {
        let snapshot = admin.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
        taken.push(snapshot["filename"].clone());
    }
    for client in &mut crowd {
        for filename in &taken {
            let event = client.notification("event", |_| true).await;
            assert_eq!((&event["topic"], &event["data"]["filename"]), (&json!("snapshot.taken"), filename));
        }
    }
    let without_it = CROWD + 1;
    clients(&mut admin, |are| are["dropped_slow_sockets"] == 1 && are["open_sockets"] == without_it).await;

    // What comes afterwards is as it was before.
    let last = admin.call("take_snapshot", json!({ "device": "camera0" })).await.unwrap();
    for client in &mut crowd {
        assert_eq!(client.notification("event", |_| true).await["data"]["filename"], last["filename"]);
    }
    drop((stalled, crowd));
    clients(&mut admin, |are| are["dropped_slow_sockets"] == 1 && are["open_sockets"] == 1).await;
    service.stop().await;
}
