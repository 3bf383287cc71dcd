//! The rules that all requests have in common, over a real connection.

use super::super::fixture::{Reply, Served, http};
use crate::config;

async fn ask(served: &Served, line: &str, headers: &str) -> Reply {
    http(served.api, &format!("{line} HTTP/1.1"), headers).await
}

async fn send(served: &Served, line: &str, body: &str) -> Reply {
    let request = format!("{line} HTTP/1.1");
    http(served.api, &request, &format!("content-length: {}\r\n\r\n{body}", body.len())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_written_as_mediamtx_writes_them() {
    let served = Served::start(config::Server::default()).await;
    let info = ask(&served, "GET /v3/info", "").await;
    assert_eq!((info.status, info.header("server")), (200, "mediamtx"));
    assert_eq!(info.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(info.header("access-control-allow-origin"), "*");
    assert!(info.body.starts_with(r#"{"version":"v1."#), "{}", info.body);
    for line in
        ["GET /v3/hlsmuxers/list", "POST /v3/info", "HEAD /v3/info", "GET /", "OPTIONS /v3/info", "PUT /v3/info"]
    {
        let reply = ask(&served, line, "").await;
        let body = if line.starts_with("HEAD") { "" } else { "404 page not found" };
        assert_eq!(
            (reply.status, reply.header("content-type"), reply.body.as_str()),
            (404, "text/plain", body),
            "{line}"
        );
    }
    let reply = ask(&served, "GET /v3/config/paths/get/%3Cx%3E", "").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (404, r#"{"status":"error","error":"path configuration not found"}"#)
    );
    let reply = send(&served, "POST /v3/config/paths/add/a", r#"{"<b>": 1}"#).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (400, r#"{"status":"error","error":"json: unknown field \"\u003cb\u003e\""}"#)
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_too_many_or_too_few_is_redirected_without_asking_who_it_is() {
    let served = Served::start(config::Server::default()).await;
    let body = r#"{"authInternalUsers": [{"user": "me", "pass": "pw", "permissions": [{"action": "api"}]}]}"#;
    assert_eq!(send(&served, "PATCH /v3/config/global/patch", body).await.body, r#"{"status":"ok"}"#);
    for (line, status, location) in [
        ("GET /v3/paths/list/?page=2", 301, "/v3/paths/list?page=2"),
        ("GET /v3/paths/get", 301, "/v3/paths/get/"),
        ("POST /v3/config/paths/add", 307, "/v3/config/paths/add/"),
    ] {
        let reply = ask(&served, line, "").await;
        assert_eq!((reply.status, reply.header("location"), reply.header("server")), (status, location, "mediamtx"));
    }
    let preflight =
        ask(&served, "OPTIONS /v3/anything", "origin: http://a\r\naccess-control-request-method: GET\r\n").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "*"));
    assert_eq!(preflight.header("access-control-allow-methods"), "OPTIONS, GET, POST, PATCH, DELETE");
    assert_eq!(preflight.header("access-control-allow-headers"), "Authorization, Content-Type");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_nobody_is_asked_and_who_is_wrong_is_not() {
    let served = Served::start(config::Server::default()).await;
    let body = r#"{"authInternalUsers": [{"user": "me", "pass": "pw", "permissions": [{"action": "api"}]}]}"#;
    send(&served, "PATCH /v3/config/global/patch", body).await;
    let refused = r#"{"status":"error","error":"authentication error"}"#;
    for line in ["GET /v3/info", "GET /v3/nothing", "OPTIONS /v3/info"] {
        let reply = ask(&served, line, "").await;
        assert_eq!((reply.status, reply.body.as_str()), (401, refused), "{line}");
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"mediamtx\"");
    }
    let wrong = ask(&served, "GET /v3/info", "authorization: Bearer me:no\r\n").await;
    assert_eq!((wrong.status, wrong.header("www-authenticate"), wrong.body.as_str()), (401, "", refused));
    for good in ["authorization: Bearer me:pw\r\n", "authorization: Basic bWU6cHc=\r\n"] {
        assert_eq!(ask(&served, "GET /v3/info", good).await.status, 200);
        let global = ask(&served, "GET /v3/config/global/get", good).await;
        assert!(global.body.contains(r#""pass":"\u003credacted\u003e""#), "{}", global.body);
    }
    served.stop().await;
}
