//! Paths whose names look alike in those of files: each has its own recordings, whatever its name is.

use std::fs;

use serde_json::{Value, json};

use super::{
    Reply, ask, curl_at, done, get,
    matching::{publish, until},
    records::{begun, frames, left_behind},
    support::{
        Service,
        remote::{H264, Remote},
    },
};

const NONE: &str = "camera: { test_pattern: never }";

/// Names that earlier versions spelled like each other.
fn alike() -> [(String, Vec<String>); 2] {
    let long = "x/".repeat(40);
    let others = ["rec_plain", "rec.plain", "rec/plain_", "REC/plain"].map(str::to_owned);
    [("rec/plain".to_owned(), others.to_vec()), (format!("{long}a"), vec![format!("{long}b"), long.replace('/', "_")])]
}

async fn play(service: &Service, name: &str) -> Reply {
    let port = service.app.engine_addresses().playback.unwrap();
    curl_at(&format!("http://{port}/list?path={name}"), "GET", "", &[]).await
}

/// The starts of a path's segments.
async fn starts(service: &Service, name: &str) -> Vec<String> {
    let recording = get(service, &format!("/recordings/get/{name}")).await;
    let segments = recording["segments"].as_array().unwrap();
    segments.iter().map(|segment| segment["start"].as_str().unwrap().to_owned()).collect()
}

/// The names in the list.
async fn listed(service: &Service) -> Vec<String> {
    let list = get(service, "/recordings/list").await;
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

async fn delete(service: &Service, name: &str, start: &str) -> Reply {
    let start: String = url::form_urlencoded::byte_serialize(start.as_bytes()).collect();
    ask(service, "DELETE", &format!("/recordings/deletesegment?path={name}&start={start}"), "").await
}

/// The files that the WebSocket lists of a path.
async fn files(service: &Service, device: &str) -> Vec<Value> {
    let mut client = service.client("viewer").await;
    let list = client.call("list_recordings", json!({ "device": device })).await.unwrap();
    let files = list["files"].as_array().unwrap().clone();
    assert!(files.iter().all(|file| file["device"] == device) && list["total"] == files.len(), "{list}");
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_expression_had_recorded_is_found_and_deleted_by_the_name_of_its_path() {
    let service = Service::start(NONE).await;
    let mut events = service.app.paths().events();
    done(&service, "POST", "/config/paths/add/all_others", r#"{"record":true}"#).await;
    let name = "live/cam.one_x";
    let mut publisher = publish(&service.url(name));
    let file = begun(&mut events).await;
    frames(&service.app.paths().status(name).unwrap().stream.unwrap(), 30).await;
    assert_eq!(listed(&service).await, [name]);
    assert_eq!(files(&service, name).await.len(), 1);
    publisher.kill().await.unwrap();
    until(&service, name, |path| path["ready"] != true).await;

    // Nobody is there, and no entry has its name.
    assert_eq!(listed(&service).await, [name]);
    let of = starts(&service, name).await;
    assert_eq!(of.len(), 1);
    assert_eq!(play(&service, name).await.json().as_array().map(Vec::len), Some(1));
    // What nothing is configured for is not listed, as it cannot be asked for.
    done(&service, "DELETE", "/config/paths/delete/all_others", "").await;
    assert!(listed(&service).await.is_empty());
    assert_eq!(ask(&service, "GET", &format!("/recordings/get/{name}"), "").await.status, 400);
    assert_eq!(delete(&service, name, &of[0]).await.status, 400);
    done(&service, "POST", "/config/paths/add/~%5Elive", "{}").await;
    assert_eq!(listed(&service).await, [name]);
    assert!(file.exists());
    assert_eq!(delete(&service, name, &of[0]).await.status, 200);
    assert!(!file.exists() && listed(&service).await.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_has_the_recordings_of_another_that_is_spelled_alike() {
    let service = Service::start(NONE).await;
    let mut events = service.app.paths().events();
    let remote = Remote::start(0, H264, None);
    for (name, others) in alike() {
        let body = json!({ "source": remote.url(""), "record": true, "recordDeleteAfter": "0s" }).to_string();
        done(&service, "POST", &format!("/config/paths/add/{name}"), &body).await;
        let stream = service.streaming(&name).await.stream.unwrap();
        let file = begun(&mut events).await;
        frames(&stream, 30).await;
        done(&service, "PATCH", &format!("/config/paths/patch/{name}"), r#"{"record":false}"#).await;
        let of = starts(&service, &name).await;
        for other in &others {
            done(&service, "POST", &format!("/config/paths/add/{other}"), "{}").await;
            assert!(starts(&service, other).await.is_empty(), "{other}");
            assert_eq!(play(&service, other).await.status, 404, "{other}");
            assert_eq!(delete(&service, other, &of[0]).await.status, 400, "{other}");
            assert!(files(&service, other).await.is_empty(), "{other}");
        }
        assert!(file.exists());
        assert_eq!(starts(&service, &name).await, of);
        assert_eq!(play(&service, &name).await.json().as_array().map(Vec::len), Some(1));
        let found = files(&service, &name).await;
        assert_eq!(found[0]["filename"], file.file_name().unwrap().to_str().unwrap());
        let mut client = service.client("viewer").await;
        let info = client.call("get_recording_info", json!({ "filename": found[0]["filename"] })).await.unwrap();
        assert_eq!(info["device"], name);
        for other in &others {
            done(&service, "DELETE", &format!("/config/paths/delete/{other}"), "").await;
        }
    }
    let [(short, _), (long, _)] = alike();
    assert_eq!(listed(&service).await, [short, long]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_an_earlier_version_is_of_the_one_path_that_it_can_be_of() {
    let service = Service::start(NONE).await;
    let file = left_behind(&service, "gate_one_2020-01-01_10-00-00.mp4");
    let forever = r#"{"recordDeleteAfter":"0s"}"#;
    let add = async |name: &str| done(&service, "POST", &format!("/config/paths/add/{name}"), forever).await;
    let remove = async |name: &str| done(&service, "DELETE", &format!("/config/paths/delete/{name}"), "").await;
    let mut client = service.client("viewer").await;
    let mut shown = async || client.call("list_recordings", json!({})).await.unwrap()["files"][0]["device"].clone();
    assert!(listed(&service).await.is_empty());
    assert_eq!(shown().await, "gate_one", "nobody's");

    for only in ["gate/one", "~%5Egate%5B.%5D"] {
        add(only).await;
        let name = if only.starts_with('~') { "gate.one" } else { only };
        assert_eq!(listed(&service).await, [name]);
        assert_eq!((starts(&service, name).await.len(), shown().await), (1, json!(name)));
        // It could be of another one as well.
        for other in ["gate_one", "all_others"] {
            add(other).await;
            assert!(listed(&service).await.is_empty(), "{other}");
            assert!(starts(&service, name).await.is_empty() && starts(&service, "gate_one").await.is_empty());
            assert_eq!(shown().await, "");
            remove(other).await;
        }
        remove(only).await;
    }
    add("gate/one").await;
    assert_eq!(files(&service, "gate/one").await.len(), 1);
    let start = starts(&service, "gate/one").await;
    // What this version makes of `gate_one` is called otherwise, so it never comes to be of `gate/one`.
    left_behind(&service, "gate_one~_2020-01-01_10-00-00.mp4");
    assert_eq!(starts(&service, "gate/one").await, start);
    assert_eq!(delete(&service, "gate/one", &start[0]).await.status, 200);
    assert!(!file.exists() && listed(&service).await.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_path_is_said_by_its_name() {
    let service = Service::start(NONE).await;
    let names = ["rec~2Fplain", "rec_plain~", "rec_plain", "ward_7~", "hall~2F7", "attic"];
    let [own, alike, old, ward, hall, attic] =
        names.map(|name| left_behind(&service, &format!("{name}_2020-01-01_10-00-00.mp4")));
    for file in [&own, &alike, &old] {
        fs::File::options().write(true).open(file).unwrap().set_len(2_000_000).unwrap();
    }
    for name in ["rec/plain", "rec_plain"] {
        done(&service, "POST", &format!("/config/paths/add/{name}"), r#"{"recordDeleteAfter":"0s"}"#).await;
    }
    done(&service, "POST", "/config/paths/add/~%5Eward_", r#"{"recordDeleteAfter":"0s"}"#).await;
    done(&service, "POST", "/config/paths/add/~%5Ehall/", r#"{"recordDeleteAfter":"30d"}"#).await;
    let limits = json!([{ "device": "rec_plain", "max_size_gb": 0.001 }]);
    let policy = json!({ "policy_type": "manual", "enabled": true, "cameras": limits });
    let mut client = service.client("admin").await;
    client.call("set_retention_policy", policy).await.unwrap();
    client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!([&own, &alike, &old].map(|file| file.exists()), [true, false, true]);
    assert_eq!([&ward, &hall, &attic].map(|file| file.exists()), [true, false, true]);
    service.stop().await;
}
