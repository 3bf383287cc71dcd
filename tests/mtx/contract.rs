//! Every request of the contract, and what it is answered with.

use serde_json::{Value, json};

use super::{
    ask, curl, done, get,
    shape::check,
    support::{Camera, SMALL, Service},
};

/// The keys of MediaMTX with their defaults, in its order; old keys are not among them.
const GLOBAL: &str = include_str!("../fixtures/mtx/global.json");
const PATH: &str = include_str!("../fixtures/mtx/path.json");

fn list(item: Value) -> Value {
    json!({ "itemCount": "int", "pageCount": "int", "items": [item] })
}

fn end() -> Value {
    json!({ "type": "string", "id": "string" })
}

/// A path, streaming or not.
pub fn path() -> Value {
    json!({
        "name": "string", "confName": "string",
        "ready": "bool", "readyTime": "time?", "available": "bool", "availableTime": "time?",
        "online": "bool", "onlineTime": "time?",
        "source": "object?", "tracks": ["string"],
        "tracks2": [{ "codec": "string", "codecProps": "object?" }],
        "readers": [end()],
        "inboundBytes": "int", "outboundBytes": "int", "inboundFramesInError": "int",
        "bytesReceived": "int", "bytesSent": "int",
    })
}

/// A connection of RTSP.
pub fn connection() -> Value {
    json!({
        "id": "uuid", "created": "time", "remoteAddr": "string", "session": "uuid?", "tunnel": "'none'",
        "inboundBytes": "int", "outboundBytes": "int", "bytesReceived": "int", "bytesSent": "int",
    })
}

/// A session of RTSP: its texts, and its many counters.
pub fn session() -> Value {
    let mut shape = json!({
        "id": "uuid", "created": "time", "remoteAddr": "string", "state": "string", "path": "string", "query": "string",
        "user": "string", "userAgent": "string", "transport": "string?", "profile": "string?", "conns": ["uuid"],
    });
    for counter in [
        "inboundBytes",
        "inboundRTPPackets",
        "inboundRTPPacketsLost",
        "inboundRTPPacketsInError",
        "inboundRTPPacketsJitter",
        "inboundRTCPPackets",
        "inboundRTCPPacketsInError",
        "outboundBytes",
        "outboundRTPPackets",
        "outboundRTPPacketsReportedLost",
        "outboundRTPPacketsDiscarded",
        "outboundRTCPPackets",
        "bytesReceived",
        "bytesSent",
        "rtpPacketsReceived",
        "rtpPacketsSent",
        "rtpPacketsLost",
        "rtpPacketsInError",
        "rtpPacketsJitter",
        "rtcpPacketsReceived",
        "rtcpPacketsSent",
        "rtcpPacketsInError",
    ] {
        shape[counter] = json!(if counter.ends_with("Jitter") { "number" } else { "int" });
    }
    shape
}

/// The fields of an object, in the order in which they were sent.
fn order(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut rest) = (0, text);
    while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
        let (mark, after) = (&rest[at..=at], &rest[at + 1..]);
        rest = after;
        match mark {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {
                let (word, after) = after.split_once('"').expect("an end");
                if depth == 1 && after.trim_start().starts_with(':') {
                    names.push(word.to_owned());
                }
                rest = after;
            }
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_has_every_field_and_no_other() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    for (place, shape) in [
        ("/info", json!({ "version": "string", "started": "time" })),
        ("/paths/list", list(path())),
        ("/paths/get/camera0", path()),
        ("/paths/camera0", path()),
        ("/paths/forward/list?path=camera0", list(json!("object"))),
        ("/rtspconns/list", list(connection())),
        ("/rtspsessions/list", list(session())),
        ("/recordings/list", list(json!({ "name": "string", "segments": [{ "start": "time" }] }))),
        ("/recordings/get/camera0", json!({ "name": "string", "segments": [{ "start": "time" }] })),
        ("/config/paths/list", list(json!("object"))),
    ] {
        let reply = ask(&service, "GET", place, "").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json; charset=utf-8"), "{place}");
        assert_eq!((reply.header("server"), reply.header("access-control-allow-origin")), ("mediamtx", "*"), "{place}");
        check(&reply.json(), &shape, place);
    }
    let names = order(&ask(&service, "GET", "/paths/get/camera0", "").await.body);
    assert_eq!(names[..4], ["name", "confName", "ready", "readyTime"]);
    assert_eq!(names[12..], ["inboundBytes", "outboundBytes", "inboundFramesInError", "bytesReceived", "bytesSent"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_with_mediamtx_keys_defaults_and_order() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let defaults = ask(&service, "GET", "/config/pathdefaults/get", "").await;
    assert_eq!((defaults.json(), order(&defaults.body)), (serde_json::from_str(PATH).unwrap(), order(PATH)));

    let global = ask(&service, "GET", "/config/global/get", "").await;
    assert_eq!(order(&global.body), order(GLOBAL));
    let mut expected: Value = serde_json::from_str(GLOBAL).unwrap();
    for (key, value) in [
        ("rtspAddress", json!(format!("127.0.0.1:{}", service.app.rtsp_port()))),
        ("rtspTransports", json!(["tcp", "udp"])),
    ] {
        expected[key] = value;
    }
    for (name, address) in service.app.engine_addresses().clone().named() {
        expected[name] = json!(true);
        expected[format!("{name}Address")] = json!(address.unwrap().to_string());
    }
    for protocol in ["rtmp", "hls", "webrtc", "srt", "moq"] {
        expected[protocol] = json!(false);
    }
    assert_eq!(global.json(), expected);

    let camera = ask(&service, "GET", "/config/paths/get/camera0", "").await;
    assert_eq!(order(&camera.body), order(PATH));
    let camera = camera.json();
    assert_eq!((&camera["name"], &camera["source"]), (&json!("camera0"), &json!("/dev/video0")));
    service.stop().await;
}

/// Method, path, body, status, the whole reply.
const ANSWERS: &[(&str, &str, &str, u16, &str)] = &[
    ("POST", "/config/paths/add/a", "{}", 200, r#"{"status":"ok"}"#),
    ("POST", "/config/paths/add/a", "{}", 400, "path already exists"),
    ("POST", "/config/paths/add/camera0", "{}", 400, "path already exists"),
    ("POST", "/config/paths/add/", "{}", 400, "invalid name"),
    ("POST", "/config/paths/add/b", "", 400, "unexpected end of JSON input"),
    ("POST", "/config/paths/add/b", r#"{"Source":"publisher"}"#, 400, r#"json: unknown field \"Source\""#),
    (
        "POST",
        "/config/paths/add/b",
        r#"{"record":"yes"}"#,
        400,
        "json: cannot unmarshal string into Go value of type bool",
    ),
    ("POST", "/config/paths/add/b", r#"{"source":"ftp://x"}"#, 400, "invalid source: 'ftp://x'"),
    (
        "POST",
        "/config/paths/add/b%20c",
        "{}",
        400,
        "invalid path name 'b c': can contain only alphanumeric characters, underscore, dot, minus, slash",
    ),
    (
        "POST",
        "/config/paths/add/camera7",
        r#"{"source":"rtsp://127.0.0.1:1/x"}"#,
        400,
        "'camera7' is the name of a camera, which is its source",
    ),
    ("PATCH", "/config/paths/patch/a", r#"{"maxReaders":3}"#, 200, r#"{"status":"ok"}"#),
    ("PATCH", "/config/paths/patch/nobody", "{}", 404, "path not found"),
    ("PATCH", "/config/paths/patch/nobody", "{", 400, "unexpected end of JSON input"),
    ("POST", "/config/paths/replace/new/er", "null", 200, r#"{"status":"ok"}"#),
    ("DELETE", "/config/paths/delete/new/er", "", 200, r#"{"status":"ok"}"#),
    ("DELETE", "/config/paths/delete/new/er", "", 404, "path not found"),
    ("GET", "/config/paths/get/new/er", "", 404, "path configuration not found"),
    ("GET", "/config/paths/get/", "", 400, "invalid name"),
    ("GET", "/paths/get/nobody", "", 404, "path not found"),
    ("GET", "/paths/list?itemsPerPage=0", "", 400, "invalid items per page"),
    ("GET", "/paths/list?page=x", "", 400, r#"strconv.ParseUint: parsing \"x\": invalid syntax"#),
    ("GET", "/paths/list?itemsPerPage=1&page=9", "", 200, r#"{"itemCount":2,"pageCount":2,"items":[]}"#),
    ("GET", "/paths/forward/list", "", 400, "invalid path"),
    ("GET", "/paths/forward/get?path=camera0&id=x", "", 400, "invalid UUID length: 1"),
    ("GET", "/rtspconns/get/x", "", 400, "invalid UUID length: 1"),
    ("GET", "/rtspconns/get/6f8e2b0c-2d3e-4a53-9a26-2f3f1d0c8a11", "", 404, "connection not found"),
    ("GET", "/rtspsessions/get/6f8e2b0c-2d3e-4a53-9a26-2f3f1d0c8a11", "", 404, "session not found"),
    ("POST", "/rtspsessions/kick/6f8e2b0c-2d3e-4a53-9a26-2f3f1d0c8a11", "", 404, "session not found"),
    ("GET", "/recordings/get/nobody", "", 400, "path 'nobody' is not configured"),
    ("GET", "/recordings/get/a", "", 200, r#"{"name":"a","segments":[]}"#),
    (
        "DELETE",
        "/recordings/deletesegment?path=a&start=2026-08-22T10:00:05Z",
        "",
        400,
        "remove a 2026-08-22T10:00:05Z: no such file or directory",
    ),
    ("PATCH", "/config/global/patch", r#"{"writeQueueSize":500}"#, 400, "'writeQueueSize' must be a power of two"),
    ("PATCH", "/config/global/patch", r#"{"logLevel":"debug"}"#, 200, r#"{"status":"ok"}"#),
    ("PATCH", "/config/pathdefaults/patch", r#"{"recordPath":"x"}"#, 400, "'recordPath' must contain %path"),
    ("PATCH", "/config/pathdefaults/patch", r#"{"maxReaders":5}"#, 200, r#"{"status":"ok"}"#),
    ("PATCH", "/config/global/patch", r#"{"authMethod":"http"}"#, 400, "'authHTTPAddress' is empty"),
    (
        "PATCH",
        "/config/global/patch",
        r#"{"rtspEncryption":"strict"}"#,
        400,
        "'rtspEncryption' cannot be 'strict' here",
    ),
    ("POST", "/auth/jwks/refresh", "", 200, r#"{"status":"ok"}"#),
    (
        "POST",
        "/config/paths/edit/a",
        r#"{"recordPath":"/recordings","recordDuration":"1h"}"#,
        200,
        r#"{"status":"ok"}"#,
    ),
    ("POST", "/paths/camera0/stop", "", 200, r#"{"status":"ok"}"#),
    ("POST", "/config/paths/delete/a", "", 200, r#"{"status":"ok"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_in_mediamtx_words() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    for (method, path, body, status, expected) in ANSWERS {
        let reply = ask(&service, method, path, body).await;
        let whole = match expected.starts_with('{') {
            true => (*expected).to_owned(),
            false => format!(r#"{{"status":"error","error":"{expected}"}}"#),
        };
        assert_eq!((reply.status, reply.body), (*status, whole), "{method} {path} {body}");
    }
    // What is not there for a method is not there; protocols that are not spoken have no routes.
    for (method, path) in [
        ("POST", "/paths/list"),
        ("HEAD", "/info"),
        ("PUT", "/info"),
        ("GET", "/hlsmuxers/list"),
        ("GET", "/webrtcsessions/list"),
        ("GET", "/rtspsconns/list"),
        ("GET", "/rtmpconns/list"),
        ("GET", "/nothing"),
    ] {
        let more: &[&str] = if method == "HEAD" { &["--head"] } else { &[] };
        let reply = curl(service.app.engine_addresses().api.unwrap(), method, path, "", more).await;
        assert_eq!((reply.status, reply.header("content-type")), (404, "text/plain"), "{method} {path}");
    }
    let large = format!("@{}", service.folder.path().join("large").display());
    std::fs::write(&large[1..], vec![b' '; 10 * 1024 * 1024 + 1]).unwrap();
    let reply = ask(&service, "PATCH", "/config/global/patch", &large).await;
    assert_eq!((reply.status, &reply.json()["error"]), (400, &json!("size exceeds maximum allowed")));
    let reply = get(&service, "/config/pathdefaults/get").await;
    assert_eq!(reply["maxReaders"], 5);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_too_many_leads_to_where_things_are_before_anybody_is_asked_who_he_is() {
    let service = Service::start(SMALL).await;
    done(&service, "PATCH", "/config/global/patch", r#"{"authInternalUsers":[]}"#).await;
    for (method, place, status, target) in [
        ("GET", "/paths/list/?page=0", 301, "/v3/paths/list?page=0"),
        ("POST", "/auth/jwks/refresh/", 307, "/v3/auth/jwks/refresh"),
        ("PATCH", "/config/global/patch/", 307, "/v3/config/global/patch"),
    ] {
        let reply = ask(&service, method, place, "").await;
        assert_eq!((reply.status, reply.header("location")), (status, target), "{method} {place}");
    }
    assert_eq!(ask(&service, "GET", "/paths/list", "").await.status, 401);
    service.stop().await;
}
