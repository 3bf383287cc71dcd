//! Who somebody is, over a real connection: what is taken as credentials, for how long, and from where.

use std::time::SystemTime;

use super::*;
use crate::command::files;

/// The error code of a call, or nothing where it was answered.
async fn code(client: &mut Client) -> Value {
    ask(client, "get_camera_list", json!({})).await["error"]["code"].clone()
}

/// Calls until the role is gone: the reason.
async fn refusal(client: &mut Client) -> Value {
    let refused = async {
        loop {
            let response = ask(client, "get_camera_list", json!({})).await;
            if response["error"].is_object() {
                assert_eq!(response["error"]["code"], -32001);
                return response["error"]["data"]["reason"].clone();
            }
        }
    };
    timeout(DEADLINE, refused).await.expect("the role ends")
}

#[tokio::test]
async fn keys_and_tokens_are_taken_in_the_same_places() {
    let server = server(settings()).await;
    let (key, _) = server.key(Role::Viewer);
    let token = server.token(Role::Viewer);
    std::fs::write(server.folder.path().join("a.jpg"), "picture").unwrap();
    let download = format!("GET {} HTTP/1.1", files::Kind::Snapshot.download_url("a.jpg"));
    for shown in [&key, &token] {
        let mut client = server.open(&[]).await.unwrap();
        let reply = ask(&mut client, "authenticate", json!({"auth_token": shown})).await;
        assert_eq!(reply["result"]["role"], "viewer", "{reply}");
        assert_eq!(code(&mut client).await, Value::Null);
        for (name, value) in [("authorization", format!("Bearer {shown}")), ("x-api-key", shown.clone())] {
            let mut client = server.open(&[(name, value.clone())]).await.unwrap();
            assert_eq!(code(&mut client).await, Value::Null, "{name}");
            let reply = http(server.control, &download, &format!("{name}: {value}\r\n")).await;
            assert_eq!((reply.status, reply.body.as_str()), (200, "picture"), "{name}");
        }
    }
    let mut client = server.open(&[]).await.unwrap();
    let reply = ask(&mut client, "authenticate", json!({"auth_token": key})).await;
    assert_eq!(reply["result"]["expires_at"], "9999-12-31T23:59:59Z");
    let wrong = format!("{}0", &key[..key.len() - 1]);
    let wrong = if wrong == key { format!("{}1", &key[..key.len() - 1]) } else { wrong };
    let reply = ask(&mut client, "authenticate", json!({"auth_token": wrong})).await;
    assert_eq!(reply["error"]["data"], json!({"reason": "there is no such API key"}));
    let reply = http(server.control, &download, &format!("x-api-key: {wrong}\r\n")).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn a_revoked_key_loses_its_open_sockets_by_itself() {
    let server = server(settings()).await;
    let ((key, id), (other, _)) = (server.key(Role::Viewer), server.key(Role::Viewer));
    let mut client = server.open(&[("x-api-key", key.clone())]).await.unwrap();
    let mut stays = server.open(&[("x-api-key", other)]).await.unwrap();
    assert_eq!(code(&mut client).await, Value::Null);
    server.revoke(&id);
    assert_eq!(refusal(&mut client).await, "the API key was revoked");
    assert_eq!(code(&mut stays).await, Value::Null);
    // Nor is it told anything any more: the answer to the next question is the next thing it hears.
    server.gateway.notifications.send(Arc::new(started("a"))).unwrap();
    assert_eq!(text(&mut stays).await["params"]["filename"], "a");
    assert_eq!(code(&mut client).await, -32001);
    let reply = http(server.control, "GET /files/snapshots/a.jpg HTTP/1.1", &format!("x-api-key: {key}\r\n")).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let server = server(settings()).await;
    let mut client = server.open(&[]).await.unwrap();
    let over = server.token_for(Role::Viewer, Duration::ZERO);
    let reply = ask(&mut client, "authenticate", json!({"auth_token": over})).await;
    assert_eq!(reply["error"]["data"], json!({"reason": "the token has expired"}));

    let began = SystemTime::now();
    let short = server.token_for(Role::Viewer, Duration::from_secs(5));
    ask(&mut client, "authenticate", json!({"auth_token": short})).await;
    assert_eq!(code(&mut client).await, Value::Null);
    assert_eq!(refusal(&mut client).await, "the credentials have expired");
    assert!(began.elapsed().unwrap() > Duration::from_secs(1), "it ended early");
}

#[tokio::test]
async fn whoever_shows_wrong_credentials_again_and_again_has_to_wait() {
    let server = server(settings()).await;
    let (mut before, good) = (server.open_as(Role::Viewer).await, server.token(Role::Viewer));
    let mut client = server.open(&[]).await.unwrap();
    // Wherever they are shown.
    for wrong in ["nonsense", "cs_00000000_00", ""] {
        let reply = ask(&mut client, "authenticate", json!({"auth_token": wrong})).await;
        assert_eq!(reply["error"]["code"], -32001);
    }
    let download =
        async || http(server.control, "GET /files/snapshots/a.jpg HTTP/1.1", "x-api-key: nonsense\r\n").await;
    assert_eq!(download().await.status, 401);
    assert!(server.open(&[("authorization", "Bearer nonsense".into())]).await.is_err());

    let early = download().await;
    assert_eq!((early.status, early.header("retry-after")), (429, "1"));
    let refused = ask(&mut client, "authenticate", json!({"auth_token": good})).await;
    assert_eq!(refused["error"]["code"], -32040, "{refused}");
    assert!((1..=1000).contains(&refused["error"]["data"]["retry_after_ms"].as_u64().unwrap()), "{refused}");
    // Those who are known already do not notice.
    assert_eq!(code(&mut before).await, Value::Null);
    assert_eq!(ask(&mut client, "ping", json!({})).await["result"], "pong");

    let taken = async {
        while ask(&mut client, "authenticate", json!({"auth_token": good})).await["error"]["code"] == -32040 {}
    };
    timeout(DEADLINE, taken).await.expect("the wait ends");
    assert_eq!(code(&mut client).await, Value::Null);
    assert_eq!(download().await.status, 401, "success makes up for the failures");
}

#[tokio::test]
async fn web_pages_of_other_hosts_are_refused_unless_they_are_listed() {
    let origins = vec!["https://listed.example".to_owned()];
    let server = Served::start_with(Settings { origins, ..Settings::default() }).await;
    for (origin, let_in) in
        [("https://listed.example", true), ("http://127.0.0.1:3000", true), ("https://other.example", false)]
    {
        assert_eq!(server.open(&[("origin", origin.into())]).await.is_ok(), let_in, "{origin}");
    }
    let refused = http(server.control, "GET /ws HTTP/1.1", "origin: https://other.example\r\n").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("https://other.example") && refused.body.contains("security.cors_origins"));
}
