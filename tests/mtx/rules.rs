//! What all requests have in common, and what is so before anybody has configured anything.

use serde_json::{Value, json};

use super::{
    Reply, curl_at, done, get,
    matching::{publish, until},
    support::{Camera, PATIENCE, SMALL, Service, peers::ffprobe},
};

/// Somebody elsewhere, as a proxy on this machine says.
const ELSEWHERE: &[&str] = &["-H", "X-Forwarded-For: 192.0.2.7"];

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_let_in_as_the_configuration_says_at_each_port() {
    let service = Service::start(SMALL).await;
    let ports = service.app.engine_addresses().clone();
    for (name, address, path, methods, headers, otherwise) in [
        ("api", ports.api, "/v3/info", "OPTIONS, GET, POST, PATCH, DELETE", "Authorization, Content-Type", 401),
        ("metrics", ports.metrics, "/metrics", "OPTIONS, GET", "Authorization", 401),
        ("playback", ports.playback, "/list?path=x", "OPTIONS, GET", "Authorization", 404),
    ] {
        let url = format!("http://{}{path}", address.unwrap());
        let ask = async |origin: &str| curl_at(&url, "GET", "", &["-H", &format!("Origin: {origin}")]).await;
        let allowed = |reply: &Reply| reply.header("access-control-allow-origin").to_owned();
        assert_eq!(allowed(&ask("http://a.example").await), "*", "{name}");

        let some = json!({ format!("{name}AllowOrigins"): ["http://a.example:80", "https://*.b.example"] }).to_string();
        done(&service, "PATCH", "/config/global/patch", &some).await;
        for (origin, expected) in [
            ("http://a.example", "http://a.example"),
            ("http://a.example:81", ""),
            ("https://one.b.example", "https://one.b.example"),
            ("http://one.b.example", ""),
            ("https://c.example", ""),
        ] {
            let reply = ask(origin).await;
            assert_eq!(allowed(&reply), expected, "{name}, {origin}");
            assert_eq!(reply.header("access-control-allow-credentials"), "", "{name}");
        }
        // Whoever asks beforehand is asked for nothing.
        let nobody = r#"{"authInternalUsers":[{"user":"me","pass":"pw","permissions":[{"action":"api"}]}]}"#;
        done(&service, "PATCH", "/config/global/patch", nobody).await;
        let asks = ["-H", "Origin: http://a.example", "-H", "Access-Control-Request-Method: GET"];
        let before = curl_at(&url, "OPTIONS", "", &asks).await;
        let found = ["access-control-allow-methods", "access-control-allow-headers"].map(|name| before.header(name));
        assert_eq!((before.status, found), (204, [methods, headers]), "{name}");
        assert_eq!(curl_at(&url, "OPTIONS", "", &asks[..2]).await.status, otherwise, "{name}");
        let anybody = r#"{"authInternalUsers":[{"user":"any","permissions":[{"action":"api"},{"action":"metrics"},{"action":"playback"}]}]}"#;
        let port = ports.api.unwrap();
        let url = format!("http://{port}/v3/config/global/patch");
        assert_eq!(curl_at(&url, "PATCH", anybody, &["-u", "me:pw"]).await.status, 200);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_this_machine_may_until_users_are_set() {
    let service = Service::start(SMALL).await;
    let ports = service.app.engine_addresses().clone();
    let trusted = json!({ "apiTrustedProxies": ["127.0.0.1"], "metricsTrustedProxies": ["127.0.0.1"], "playbackTrustedProxies": ["127.0.0.1"] });
    done(&service, "PATCH", "/config/global/patch", &trusted.to_string()).await;
    for (address, method, path, here, elsewhere) in [
        (ports.api, "GET", "/v3/info", 200, 401),
        (ports.api, "GET", "/v3/config/global/get", 200, 401),
        (ports.api, "PATCH", "/v3/config/global/patch", 200, 401),
        (ports.api, "POST", "/v3/auth/jwks/refresh", 200, 401),
        (ports.api, "GET", "/v3/nothing", 404, 401),
        (ports.metrics, "GET", "/metrics", 200, 401),
        // Everybody may see what everybody may read.
        (ports.playback, "GET", "/list?path=nowhere", 400, 400),
    ] {
        let url = format!("http://{}{path}", address.unwrap());
        assert_eq!(curl_at(&url, method, "{}", &[]).await.status, here, "{path}");
        assert_eq!(curl_at(&url, method, "{}", ELSEWHERE).await.status, elsewhere, "{path}, elsewhere");
    }
    let users = r#"{"authInternalUsers":[{"user":"any","ips":["127.0.0.1"],"permissions":[{"action":"api"}]},
        {"user":"far","pass":"hunter2","ips":["192.0.2.0/24"],"permissions":[{"action":"api"}]}]}"#;
    done(&service, "PATCH", "/config/global/patch", users).await;
    let url = format!("http://{}/v3/config/global/get", ports.api.unwrap());
    assert_eq!(curl_at(&url, "GET", "", ELSEWHERE).await.status, 401);
    let global = curl_at(&url, "GET", "", &[ELSEWHERE, &["-u", "far:hunter2"]].concat()).await;
    assert_eq!((global.status, global.body.contains("hunter")), (200, false), "{global:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_that_are_not_served_have_no_routes_and_lists_are_in_order() {
    let service = Service::start(SMALL).await;
    let id = "6f8e2b0c-2d3e-4a53-9a26-2f3f1d0c8a11";
    let port = service.app.engine_addresses().api.unwrap();
    let global = get(&service, "/config/global/get").await;
    for (key, things) in [
        ("rtmp", &["rtmpconns", "rtmpsconns"][..]),
        ("srt", &["srtconns"]),
        ("hls", &["hlssessions", "hlsmuxers"]),
        ("webrtc", &["webrtcsessions"]),
        ("moq", &["moqsessions"]),
        ("", &["rtspsconns", "rtspssessions"]),
    ] {
        assert!(key.is_empty() || global[key] == false, "{key}");
        for thing in things {
            for (method, rest) in [("GET", "list"), ("GET", &format!("get/{id}")), ("POST", &format!("kick/{id}"))] {
                let reply = curl_at(&format!("http://{port}/v3/{thing}/{rest}"), method, "", &[]).await;
                assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"), "{thing}/{rest}");
                assert_eq!((reply.header("content-type"), reply.header("server")), ("text/plain", "mediamtx"));
            }
        }
    }
    for name in ["b", "a/c", "Z", "a", "_"] {
        done(&service, "POST", &format!("/config/paths/add/{name}"), "{}").await;
    }
    for list in ["/config/paths/list", "/paths/list"] {
        let names = async |page: &str| {
            let list = get(&service, &format!("{list}{page}")).await;
            let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|path| path["name"].clone()).collect();
            (json!(names), list["itemCount"].clone(), list["pageCount"].clone())
        };
        assert_eq!(names("").await, (json!(["Z", "_", "a", "a/c", "b"]), json!(5), json!(1)), "{list}");
        assert_eq!(names("?itemsPerPage=2&page=1").await, (json!(["a", "a/c"]), json!(5), json!(3)), "{list}");
        assert_eq!(names("?itemsPerPage=2&page=7").await, (json!([]), json!(5), json!(3)), "{list}");
    }
    // Whoever came first is first.
    let (mut connections, mut seen) = (Vec::new(), Value::Null);
    for count in 1..=3 {
        connections.push(tokio::net::TcpStream::connect(("127.0.0.1", service.app.rtsp_port())).await.unwrap());
        while seen["itemCount"] != count {
            seen = get(&service, "/rtspconns/list").await;
        }
    }
    let found: Vec<_> = seen["items"].as_array().unwrap().iter().map(|one| one["remoteAddr"].clone()).collect();
    let made = connections.iter().map(|one| json!(one.local_addr().unwrap().to_string())).collect::<Vec<_>>();
    assert_eq!(found, made);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_stays_while_keys_change_that_are_none_of_its_business_and_is_the_first_or_the_newest() {
    let service = Service::start(SMALL).await;
    done(&service, "POST", "/config/paths/add/studio", r#"{"overridePublisher":false}"#).await;
    let _first = publish(&service.url("studio"));
    let path = until(&service, "studio", |path| path["ready"] == true).await;
    for body in [
        json!({ "maxReaders": 7 }),
        json!({ "record": true }),
        json!({ "recordSegmentDuration": "10s" }),
        json!({ "record": false }),
        json!({ "runOnRead": "true", "recordDeleteAfter": "3d", "rpiCameraBitrate": 1 }),
        json!({ "overridePublisher": false }),
    ] {
        done(&service, "PATCH", "/config/paths/patch/studio", &body.to_string()).await;
    }
    done(&service, "PATCH", "/config/pathdefaults/patch", r#"{"maxReaders":9,"recordPartDuration":"2s"}"#).await;
    done(&service, "PATCH", "/config/global/patch", r#"{"readTimeout":"9s"}"#).await;
    let mut second = publish(&service.url("studio"));
    let end = tokio::time::timeout(PATIENCE, second.wait()).await.expect("it is refused").unwrap();
    assert!(!end.success());
    let still = get(&service, "/paths/get/studio").await;
    assert_eq!((&still["source"], &still["readyTime"]), (&path["source"], &path["readyTime"]), "{still}");

    done(&service, "PATCH", "/config/paths/patch/studio", r#"{"overridePublisher":true}"#).await;
    let other = |path: &Value, than: &Value| path["ready"] == true && path["source"] != *than;
    let _third = publish(&service.url("studio"));
    let third = until(&service, "studio", |path| other(path, &still["source"])).await;
    let _fourth = publish(&service.url("studio"));
    until(&service, "studio", |path| other(path, &third["source"])).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_show_passwords_of_which_only_hashes_are_kept() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let salt = argon2::password_hash::SaltString::from_b64("c29tZSBzYWx0").unwrap();
    let hashed = argon2::PasswordHasher::hash_password(&argon, b"pw", &salt).unwrap();
    let permissions = json!([{ "action": "read", "path": "~^cam" }]);
    // echo -n me | openssl dgst -binary -sha256 | openssl base64, and the same of pw.
    let sha = |text: &str| {
        use base64::{Engine, prelude::BASE64_STANDARD};
        use sha2::Digest;
        format!("sha256:{}", BASE64_STANDARD.encode(sha2::Sha256::digest(text)))
    };
    let users = json!([
        { "user": "any", "permissions": [{ "action": "api" }] },
        { "user": sha("me"), "pass": sha("pw"), "permissions": permissions },
        { "user": "argon", "pass": format!("argon2:{hashed}"), "permissions": permissions },
        { "user": "far", "pass": "pw", "ips": ["192.0.2.0/24"], "permissions": permissions },
    ]);
    done(&service, "PATCH", "/config/global/patch", &json!({ "authInternalUsers": users }).to_string()).await;
    for (user, may) in [("me:pw", true), ("argon:pw", true), ("me:no", false), ("argon:no", false), ("far:pw", false)] {
        let url = service.url("camera0").replace("//", &format!("//{user}@"));
        let read = ffprobe(&url, &["-rtsp_transport", "tcp"]).await;
        assert_eq!(read.is_ok(), may, "{user}: {read:?}");
    }
    service.stop().await;
}
