//! Over a real TCP connection. Nothing here needs a camera.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::client::IntoClientRequest};

use super::*;
use crate::{
    api::{Listeners, serve},
    command::{
        RecordingStatus,
        access::Role,
        health::{Component, Components, Condition, Health},
        token::{Secret, Tokens, make_token},
    },
};

/// Nothing here takes a fraction of it; it only ends a test that would hang.
const DEADLINE: Duration = Duration::from_secs(20);

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    url: String,
    gateway: Gateway,
    secret: Secret,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

fn settings() -> Settings {
    Settings {
        websocket_path: "/ws".into(),
        max_sockets: 8,
        max_message_size: 64 * 1024,
        read_timeout: DEADLINE,
        write_timeout: DEADLINE,
        ping_interval: DEADLINE,
        pong_wait: DEADLINE,
    }
}

fn gateway(secret: &Secret) -> Gateway {
    let part = || Component { status: Condition::Healthy, details: String::new() };
    let health = move || Health {
        ready: true,
        uptime: Duration::ZERO,
        components: Components { mediamtx: part(), camera_monitor: part(), service_manager: part() },
    };
    Gateway { tokens: Arc::new(Tokens::new(secret)), notifications: broadcast::channel(4).0, health: Arc::new(health) }
}

async fn server(settings: Settings) -> Server {
    let listeners = Listeners {
        control: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        health: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let url = format!("ws://{}/ws", listeners.control.local_addr().unwrap());
    let secret = Secret::new("0123456789abcdef0123456789abcdef").unwrap();
    let (gateway, shutdown) = (gateway(&secret), CancellationToken::new());
    let serving = tokio::spawn(serve(listeners, settings, gateway.clone(), shutdown.clone()));
    Server { url, gateway, secret, shutdown, serving }
}

impl Server {
    fn token(&self, role: Role) -> String {
        make_token(&self.secret, role, Duration::from_secs(600), "tester").unwrap()
    }

    async fn open(&self, headers: &[(&'static str, String)]) -> Result<Client, tungstenite::Error> {
        let mut request = self.url.as_str().into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(client, _)| client)
    }
}

async fn received(client: &mut Client) -> Option<Message> {
    timeout(DEADLINE, client.next()).await.expect("an answer").map(|message| message.unwrap())
}

async fn text(client: &mut Client) -> Value {
    serde_json::from_str(received(client).await.unwrap().to_text().unwrap()).unwrap()
}

async fn ask(client: &mut Client, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": method});
    client.send(Message::text(request.to_string())).await.unwrap();
    let response = text(client).await;
    assert_eq!(response["id"], method);
    response
}

async fn closed_with(client: &mut Client, code: CloseCode) {
    match received(client).await {
        Some(Message::Close(Some(frame))) => assert_eq!(frame.code, code),
        other => panic!("{other:?} instead of {code}"),
    }
}

/// Waits until the server has let go of all its sockets.
async fn all_gone(server: Server) {
    server.shutdown.cancel();
    timeout(DEADLINE, server.serving).await.expect("every connection ends").unwrap();
}

#[tokio::test]
async fn anybody_may_ping_and_say_who_they_are() {
    let server = server(settings()).await;
    let mut client = server.open(&[]).await.unwrap();
    assert_eq!(ask(&mut client, "ping", json!({})).await["result"], "pong");

    let refused = ask(&mut client, "authenticate", json!({"auth_token": "nonsense"})).await;
    assert_eq!(refused["error"]["code"], -32001);
    assert_eq!(refused["error"]["data"], json!({"reason": "this is not a token"}));

    let token = server.token(Role::Operator);
    let reply = ask(&mut client, "authenticate", json!({"auth_token": token})).await;
    let result = reply["result"].as_object().unwrap();
    assert_eq!((&result["authenticated"], &result["role"]), (&json!(true), &json!("operator")));
    assert_eq!(result["permissions"], json!(["view", "control"]));
    assert!(result["expires_at"].as_str().unwrap().ends_with('Z') && result["session_id"].is_string());
    assert_eq!(result.len(), 5);

    let unknown = ask(&mut client, "pimg", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);
    assert_eq!(unknown["error"]["data"]["hint"], "did you mean \"ping\"?");
    let wrong = ask(&mut client, "authenticate", json!({"auth_tokem": token})).await;
    assert_eq!(wrong["error"]["code"], -32602);
    assert_eq!(wrong["error"]["data"]["hint"], "did you mean \"auth_token\"?");
    drop(client);
    all_gone(server).await;
}

#[tokio::test]
async fn credentials_on_the_upgrade_are_as_good_and_bad_ones_are_refused() {
    let server = server(settings()).await;
    let token = server.token(Role::Viewer);
    let mut known = server.open(&[("authorization", format!("Bearer {token}"))]).await.unwrap();
    assert_eq!(ask(&mut known, "ping", json!(null)).await["result"], "pong");
    server.gateway.notifications.send(Arc::new(started("a"))).unwrap();
    assert_eq!(text(&mut known).await["params"]["filename"], "a");

    match server.open(&[("authorization", "Bearer nonsense".into())]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), StatusCode::UNAUTHORIZED),
        other => panic!("{other:?}"),
    }
}

fn started(filename: &str) -> Notification {
    let filename = filename.to_owned();
    Notification::Recording { device: "camera0".into(), status: RecordingStatus::Started, filename, duration: 0 }
}

#[tokio::test]
async fn notifications_go_to_those_who_said_who_they_are() {
    let server = server(settings()).await;
    let (mut known, mut unknown) = (server.open(&[]).await.unwrap(), server.open(&[]).await.unwrap());
    ask(&mut known, "authenticate", json!({"auth_token": server.token(Role::Viewer)})).await;
    ask(&mut unknown, "ping", json!({})).await;
    server.gateway.notifications.send(Arc::new(started("first"))).unwrap();
    assert_eq!(
        text(&mut known).await,
        json!({
            "jsonrpc": "2.0",
            "method": "recording_status_update",
            "params": {"device": "camera0", "status": "STARTED", "filename": "first", "duration": 0},
        })
    );
    // Had the stranger been sent it too, it would come before this answer.
    ask(&mut unknown, "ping", json!({})).await;
}

#[tokio::test]
async fn requests_are_answered_in_their_order_without_waiting_for_replies() {
    let server = server(settings()).await;
    let mut client = server.open(&[]).await.unwrap();
    for id in 0..100 {
        let request = json!({"jsonrpc": "2.0", "method": "ping", "id": id});
        client.feed(Message::text(request.to_string())).await.unwrap();
        client.feed(Message::text(r#"{"jsonrpc":"2.0","method":"ping"}"#)).await.unwrap();
    }
    client.flush().await.unwrap();
    for id in 0..100 {
        assert_eq!(text(&mut client).await["id"], id);
    }
    let batch = r#"[{"jsonrpc":"2.0","method":"ping","id":1},7]"#;
    client.send(Message::text(batch)).await.unwrap();
    let responses = text(&mut client).await;
    assert_eq!((&responses[0]["result"], &responses[1]["error"]["code"]), (&json!("pong"), &json!(-32600)));
}

#[tokio::test]
async fn what_is_not_text_or_too_long_ends_the_conversation_with_its_code() {
    let server = server(settings()).await;
    let mut binary = server.open(&[]).await.unwrap();
    binary.send(Message::binary(&b"{}"[..])).await.unwrap();
    closed_with(&mut binary, CloseCode::Unsupported).await;

    let mut fits = server.open(&[]).await.unwrap();
    let ping = r#"{"jsonrpc":"2.0","method":"ping","id":1}"#;
    fits.send(Message::text(format!("{ping}{}", " ".repeat(64 * 1024 - ping.len())))).await.unwrap();
    assert_eq!(text(&mut fits).await["result"], "pong");

    // Long enough to fill every buffer on the way: the client is still sending when the server has had enough.
    let mut long = server.open(&[]).await.unwrap();
    let (mut sink, mut stream) = long.split();
    let sending = tokio::spawn(async move { sink.send(Message::text(" ".repeat(16 << 20))).await });
    match timeout(DEADLINE, stream.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Size),
        other => panic!("{other:?}"),
    }
    sending.abort();
    drop((binary, fits, stream));
    all_gone(server).await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_let_go() {
    let (ping_interval, pong_wait) = (Duration::from_millis(20), Duration::from_secs(1));
    let server = server(Settings { ping_interval, pong_wait, ..settings() }).await;
    let (mut answering, silent) = (server.open(&[]).await.unwrap(), server.open(&[]).await.unwrap());
    // A WebSocket client that is not polled answers nothing; its connection below still shows that the server left.
    let MaybeTlsStream::Plain(mut connection) = silent.into_inner() else { panic!("no TLS here") };
    let mut rest = Vec::new();
    let ended = timeout(DEADLINE, async {
        tokio::select! {
            ended = connection.read_to_end(&mut rest) => ended,
            () = async { while received(&mut answering).await.is_some() {} } => panic!("dropped the wrong one"),
        }
    });
    ended.await.expect("it is let go").ok();
    assert_eq!(ask_past_pings(&mut answering).await, "pong");
}

async fn ask_past_pings(client: &mut Client) -> Value {
    client.send(Message::text(r#"{"jsonrpc":"2.0","method":"ping","id":1}"#)).await.unwrap();
    loop {
        if let Some(Message::Text(text)) = received(client).await {
            return serde_json::from_str::<Value>(&text).unwrap()["result"].clone();
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_nobody_else_waits() {
    let server = server(Settings { write_timeout: Duration::from_millis(200), ..settings() }).await;
    let bearer = [("authorization", format!("Bearer {}", server.token(Role::Viewer)))];
    let (mut reading, stalled) = (server.open(&bearer).await.unwrap(), server.open(&bearer).await.unwrap());
    let long = "x".repeat(100_000);
    // The kernel takes a few megabytes for the stalled one, then nothing more.
    for _ in 0..200 {
        server.gateway.notifications.send(Arc::new(started(&long))).unwrap();
        assert_eq!(text(&mut reading).await["params"]["filename"], long);
    }
    let MaybeTlsStream::Plain(mut connection) = stalled.into_inner() else { panic!("no TLS here") };
    let mut rest = Vec::new();
    timeout(DEADLINE, connection.read_to_end(&mut rest)).await.expect("it is dropped").ok();
    assert!(rest.len() < 200 * long.len());
    assert_eq!(ask(&mut reading, "ping", json!({})).await["result"], "pong");
}

#[tokio::test]
async fn there_are_no_more_sockets_than_allowed() {
    let server = server(Settings { max_sockets: 1, ..settings() }).await;
    let first = server.open(&[]).await.unwrap();
    match server.open(&[]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS),
        other => panic!("{other:?}"),
    }
    drop(first);
    all_gone(server).await;
}

#[tokio::test]
async fn clients_are_told_when_the_service_stops() {
    let server = server(settings()).await;
    let mut client = server.open(&[]).await.unwrap();
    ask(&mut client, "ping", json!({})).await;
    server.shutdown.cancel();
    closed_with(&mut client, CloseCode::Away).await;
    drop(client);
    all_gone(server).await;
}

#[tokio::test]
async fn other_places_and_other_methods_are_refused() {
    let server = server(settings()).await;
    let address = server.url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap();
    for (line, status) in [
        ("GET /nowhere HTTP/1.1", "404"),
        ("POST /ws HTTP/1.1", "405"),
        ("GET /ws HTTP/1.1", "426"),
        ("nonsense", "400"),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut reply = String::new();
        timeout(DEADLINE, connection.read_to_string(&mut reply)).await.unwrap().unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {reply}");
    }
}
