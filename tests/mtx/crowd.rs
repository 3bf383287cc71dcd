//! Many who change the configuration at once, and those who take their time.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    ask, done, get,
    support::{PATIENCE, SMALL, Service},
};

#[tokio::test(flavor = "multi_thread")]
async fn of_thirty_changes_at_once_none_is_lost_and_each_is_there_when_it_is_answered() {
    let service = Service::start(SMALL).await;
    let lives = (0..15).map(|number| {
        let service = &service;
        async move {
            let entry = format!("/config/paths/get/p{number}");
            done(service, "POST", &format!("/config/paths/add/p{number}"), "{}").await;
            done(service, "PATCH", &format!("/config/paths/patch/p{number}"), r#"{"maxReaders":3}"#).await;
            assert_eq!(get(service, &entry).await["maxReaders"], 3);
            done(service, "DELETE", &format!("/config/paths/delete/p{number}"), "").await;
            assert_eq!(ask(service, "GET", &entry, "").await.status, 404);
        }
    });
    let adds = join_all((0..15).map(|_| ask(&service, "POST", "/config/paths/add/one", "{}")));
    let (_, added) = tokio::join!(join_all(lives), adds);
    assert_eq!(added.iter().filter(|reply| reply.status == 200).count(), 1, "{added:?}");
    let keys = ["rpiCameraWidth", "rpiCameraHeight", "rpiCameraBitrate", "rpiCameraIDRPeriod", "rpiCameraShutter"];
    let patches = keys.map(|key| {
        let service = &service;
        async move {
            done(service, "PATCH", "/config/paths/patch/one", &format!(r#"{{"{key}":77}}"#)).await;
            assert_eq!(get(service, "/config/paths/get/one").await[key], 77, "{key}");
        }
    });
    join_all(patches).await;
    let one = get(&service, "/config/paths/get/one").await;
    assert!(keys.iter().all(|key| one[*key] == 77), "{one}");
    let left: BTreeSet<_> =
        get(&service, "/paths/list").await["items"].as_array().into_iter().flatten().map(name).collect();
    assert_eq!(left, BTreeSet::from(["one".to_owned()]));
    service.stop().await;
}

fn name(path: &Value) -> String {
    path["name"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_answered_after_the_read_timeout() {
    let service = Service::start(SMALL).await;
    done(&service, "PATCH", "/config/global/patch", r#"{"readTimeout":"100ms"}"#).await;
    let api = service.app.engine_addresses().api.unwrap();
    let mut slow = TcpStream::connect(api).await.unwrap();
    let head = "POST /v3/config/paths/add/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    timeout(PATIENCE, slow.read_to_string(&mut reply)).await.expect("an end in time").unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 ") && reply.ends_with(r#""error":"i/o timeout"}"#), "{reply}");
    service.stop().await;
}
