//! Every key there is in MediaMTX v1.13 to v1.20, the old ones too: another value than its default is taken, kept and
//! shown, and what it cannot be is refused.

use serde_json::{Map, Value, json};

use super::{
    ask, curl_at, done, get,
    support::{SMALL, Service},
};

/// The keys with a value each, as it is shown.
const EVERY: &str = include_str!("../fixtures/mtx/every.json");

fn every(part: &str) -> Vec<(String, Value)> {
    let all: Value = serde_json::from_str(EVERY).unwrap();
    serde_json::from_value(all[part].clone()).unwrap()
}

/// What has to be said along with a key of a path.
fn beside(key: &str) -> Value {
    match key {
        "sourceOnDemand" | "sourceFingerprint" => json!({ "source": "rtsp://127.0.0.1:1/x" }),
        "sourceRedirect" => json!({ "source": "redirect" }),
        "alwaysAvailable" => json!({ "alwaysAvailableTracks": [{ "codec": "H264" }] }),
        "srtPublishPassphrase" => json!({ "source": "publisher" }),
        "publishPass" => json!({ "publishUser": "me" }),
        "publishUser" => json!({ "publishPass": "pw" }),
        "readPass" => json!({ "readUser": "me" }),
        "readUser" => json!({ "readPass": "pw" }),
        _ => json!({}),
    }
}

/// A body with this key.
fn body(key: &str, value: &Value, beside: Value) -> String {
    let Value::Object(mut body) = beside else { unreachable!() };
    body.insert(key.to_owned(), value.clone());
    Value::Object(body).to_string()
}

/// Has it refused, in the words of Go's JSON.
async fn refused(service: &Service, method: &str, place: &str, key: &str) -> Option<String> {
    let reply = ask(service, method, place, &body(key, &json!({ "x": 1 }), json!({}))).await;
    let said = reply.json()["error"].as_str().unwrap_or_default().to_owned();
    let known = said.starts_with("json: cannot unmarshal object into Go value of type ");
    (reply.status != 400 || !known).then(|| format!("{key}: {} {said}", reply.status))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_path_is_taken_kept_shown_and_checked() {
    let service = Service::start(SMALL).await;
    let (keys, mut wrong) = (every("path"), Vec::new());
    for (key, value) in &keys {
        let reply = ask(&service, "POST", &format!("/config/paths/add/{key}"), &body(key, value, beside(key))).await;
        if reply.status != 200 {
            wrong.push(format!("{key} {value}: {}", reply.body));
        }
        wrong.extend(refused(&service, "PATCH", &format!("/config/paths/patch/{key}"), key).await);
    }
    let shown = get(&service, "/config/paths/list?itemsPerPage=1000").await;
    let shown: Map<_, _> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| (path["name"].as_str().unwrap().to_owned(), path.clone()))
        .collect();
    for (key, value) in &keys {
        let found = shown.get(key).map_or(&Value::Null, |path| &path[key]);
        let expected = match key.as_str() {
            "name" => &json!("name"),
            "publishPass" | "readPass" => &json!("<redacted>"),
            _ => value,
        };
        if found != expected {
            wrong.push(format!("{key}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_global_key_is_taken_kept_shown_and_checked() {
    let mut wrong = Vec::new();
    // Users are asked elsewhere, or passwords are shown as digests: not both.
    let elsewhere = ["authHTTPExclude", "authHTTPAddress", "externalAuthenticationURL", "authMethod"];
    let (mut asked, others): (Vec<_>, Vec<_>) =
        every("global").into_iter().partition(|(key, _)| elsewhere.contains(&key.as_str()));
    asked.sort_by_key(|(key, _)| elsewhere.iter().position(|other| other == key));
    for keys in [others, asked] {
        let service = Service::start(SMALL).await;
        for (key, value) in &keys {
            let reply = ask(&service, "PATCH", "/config/global/patch", &body(key, value, json!({}))).await;
            let shown = get(&service, "/config/global/get").await;
            let expected = match key.as_str() {
                // Nobody would compare them.
                "authHTTPFingerprint" | "authJWTJWKSFingerprint" => &json!(""),
                // They say what is served.
                "apiEncryption" | "metricsEncryption" | "playbackEncryption" | "pprof" => &json!(false),
                "rtsp" => &json!(true),
                "rtspEncryption" => &json!("no"),
                _ => value,
            };
            if (reply.status == 200) == key.ends_with("Fingerprint") || shown[key] != *expected {
                wrong.push(format!("{key}: {}, not {value}: {}", shown[key], reply.body));
            }
            wrong.extend(refused(&service, "PATCH", "/config/global/patch", key).await);
        }
        service.stop().await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_for_the_server_that_is_asked_has_it_asked() {
    let service = Service::start(SMALL).await;
    let body = r#"{"externalAuthenticationURL":"http://127.0.0.1:1/ask","authHTTPExclude":[{"action":"api"}]}"#;
    done(&service, "PATCH", "/config/global/patch", body).await;
    let global = get(&service, "/config/global/get").await;
    assert_eq!((&global["authMethod"], &global["authHTTPAddress"]), (&json!("http"), &json!("http://127.0.0.1:1/ask")));
    // Nobody is there who would say yes.
    let metrics = service.app.engine_addresses().metrics.unwrap();
    assert_eq!(curl_at(&format!("http://{metrics}/metrics"), "GET", "", &["-u", "me:pw"]).await.status, 401);
    service.stop().await;
}
