//! Over a real TCP connection, with what a service without devices has. What commands do with a camera that delivers
//! frames, and what clients may send, is `tests/rpc`'s.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::client::IntoClientRequest};

#[path = "identity_tests.rs"]
mod identity;

use super::*;
use crate::{
    api::fixture::{DEADLINE, PUBLISHED, Served, http},
    command::{NOTIFICATIONS, News, RecordingStatus, Role, notice::RecordingUpdate},
    config::ByteSize,
};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn settings() -> config::Server {
    config::Server::default()
}

async fn server(settings: config::Server) -> Served {
    Served::start(settings).await
}

impl Served {
    async fn open(&self, headers: &[(&'static str, String)]) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{}/ws", self.control).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(client, _)| client)
    }

    async fn open_as(&self, role: Role) -> Client {
        self.open(&[("authorization", format!("Bearer {}", self.token(role)))]).await.unwrap()
    }
}

async fn received(client: &mut Client) -> Option<Message> {
    timeout(DEADLINE, client.next()).await.expect("an answer").map(|message| message.unwrap())
}

async fn text(client: &mut Client) -> Value {
    let message: Value = serde_json::from_str(received(client).await.unwrap().to_text().unwrap()).unwrap();
    if message.get("method").is_some() {
        PUBLISHED.check_notification(&message);
    }
    message
}

async fn ask(client: &mut Client, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": method});
    client.send(Message::text(request.to_string())).await.unwrap();
    let response = text(client).await;
    assert_eq!(response["id"], method);
    PUBLISHED.check_response(method, &response);
    response
}

async fn closed_with(client: &mut Client, code: CloseCode) {
    match received(client).await {
        Some(Message::Close(Some(frame))) => assert_eq!(frame.code, code),
        other => panic!("{other:?} instead of {code}"),
    }
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
    server.stop().await;
}

#[tokio::test]
async fn credentials_on_the_upgrade_are_as_good_and_bad_ones_are_refused() {
    let server = server(settings()).await;
    let mut known = server.open_as(Role::Viewer).await;
    assert_eq!(ask(&mut known, "ping", json!(null)).await["result"], "pong");
    server.gateway.notifications.send(Arc::new(started("a"))).unwrap();
    assert_eq!(text(&mut known).await["params"]["filename"], "a");

    match server.open(&[("authorization", "Bearer nonsense".into())]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), StatusCode::UNAUTHORIZED),
        other => panic!("{other:?}"),
    }
}

fn started(filename: &str) -> Notification {
    let update = RecordingUpdate::new("camera0".into(), RecordingStatus::Started, filename.to_owned());
    Notification::now(News::Recording { update, error: None })
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
    let server = server(config::Server { max_message_size: ByteSize(64 * 1024), ..settings() }).await;
    let mut binary = server.open(&[]).await.unwrap();
    binary.send(Message::binary(&b"{}"[..])).await.unwrap();
    closed_with(&mut binary, CloseCode::Unsupported).await;

    let mut fits = server.open(&[]).await.unwrap();
    let ping = r#"{"jsonrpc":"2.0","method":"ping","id":1}"#;
    fits.send(Message::text(format!("{ping}{}", " ".repeat(64 * 1024 - ping.len())))).await.unwrap();
    assert_eq!(text(&mut fits).await["result"], "pong");

    // Long enough to fill every buffer on the way: the client is still sending when the server has had enough, and
    // must be able to come to the end of it and read why. By hand, because a client library stops sending half way.
    let long = 16_u64 << 20;
    let MaybeTlsStream::Plain(mut raw) = server.open(&[]).await.unwrap().into_inner() else { panic!("no TLS here") };
    let header = [&[0x81, 0xff][..], &long.to_be_bytes(), &[0; 4]].concat();
    raw.write_all(&header).await.unwrap();
    timeout(DEADLINE, raw.write_all(&vec![b' '; long as usize])).await.unwrap().expect("all of it is taken");
    let mut told = [0; 4];
    timeout(DEADLINE, raw.read_exact(&mut told)).await.unwrap().unwrap();
    assert_eq!((told[0], u16::from_be_bytes([told[2], told[3]])), (0x88, u16::from(CloseCode::Size)));
    drop((binary, fits, raw));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_let_go() {
    let (ping_interval, pong_wait) = (Duration::from_millis(20), Duration::from_secs(1));
    let server = server(config::Server { ping_interval, pong_wait, ..settings() }).await;
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
    let server = server(config::Server { write_timeout: Duration::from_millis(200), ..settings() }).await;
    let (mut reading, stalled) = (server.open_as(Role::Viewer).await, server.open_as(Role::Viewer).await);
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
    assert_eq!(server.gateway.clients.dropped_slow.load(Ordering::Relaxed), 1);
    assert_eq!(ask(&mut reading, "ping", json!({})).await["result"], "pong");
}

#[tokio::test]
async fn a_client_that_fell_behind_the_ring_is_dropped_even_if_it_reads_again() {
    let server = server(config::Server { write_timeout: DEADLINE * 10, ..settings() }).await;
    let (mut reading, mut stalled) = (server.open_as(Role::Viewer).await, server.open_as(Role::Viewer).await);
    // First more than the kernel takes, then more than the ring keeps.
    let (long, number) = ("x".repeat(100_000), 150 + NOTIFICATIONS);
    for filename in std::iter::repeat_n(long.as_str(), 150).chain(std::iter::repeat_n("x", NOTIFICATIONS)) {
        server.gateway.notifications.send(Arc::new(started(filename))).unwrap();
        assert_eq!(text(&mut reading).await["params"]["filename"], filename);
    }
    let mut got = 0;
    while let Some(Ok(_)) = timeout(DEADLINE, stalled.next()).await.expect("it is dropped") {
        got += 1;
    }
    assert!(got < number, "{got}");
    assert_eq!(server.gateway.clients.dropped_slow.load(Ordering::Relaxed), 1);
    assert_eq!(ask(&mut reading, "ping", json!({})).await["result"], "pong");
}

#[tokio::test]
async fn there_are_no_more_sockets_than_allowed() {
    let server = server(config::Server { max_connections: 1, ..settings() }).await;
    let first = server.open(&[]).await.unwrap();
    match server.open(&[]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS),
        other => panic!("{other:?}"),
    }
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn clients_are_told_when_the_service_stops() {
    let server = server(settings()).await;
    let mut client = server.open(&[]).await.unwrap();
    ask(&mut client, "ping", json!({})).await;
    server.gateway.stopping.cancel();
    closed_with(&mut client, CloseCode::Away).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn other_places_and_other_methods_are_refused() {
    let server = server(settings()).await;
    for (line, status) in
        [("GET /nowhere HTTP/1.1", 404), ("POST /ws HTTP/1.1", 405), ("GET /ws HTTP/1.1", 426), ("nonsense", 400)]
    {
        assert_eq!(http(server.control, line, "").await.status, status, "{line}");
    }
}

#[tokio::test]
async fn a_camera_is_told_of_and_described_to_each_as_they_may_see_it() {
    let server = server(settings()).await;
    let (mut viewer, mut admin) = (server.open_as(Role::Viewer).await, server.open_as(Role::Admin).await);
    let nothing = ask(&mut viewer, "get_camera_list", json!({})).await;
    assert_eq!(nothing["result"], json!({"cameras": [], "total": 0, "connected": 0}));
    ask(&mut admin, "ping", json!({})).await;

    server.plug("/dev/video7", &["YUYV 640x480@30", "MJPG 1280x720@30", "MJPG 1280x720@60"]).await;
    let port = server.gateway.rtsp.port;
    let mut camera = json!({
        "device": "camera0",
        "status": "CONNECTED",
        "name": "Test Webcam",
        "resolution": "",
        "fps": 0,
        "streams": {"rtsp": format!("rtsp://127.0.0.1:{port}/camera0"), "hls": "", "webrtc": ""},
    });
    let update = text(&mut viewer).await;
    assert_eq!((&update["method"], &update["params"]), (&json!("camera_status_update"), &camera));
    let list = ask(&mut viewer, "get_camera_list", json!({})).await;
    assert_eq!(list["result"], json!({"cameras": [camera], "total": 1, "connected": 1}));

    let capabilities = json!({"formats": ["YUYV", "MJPEG"], "resolutions": ["1280x720", "640x480"]});
    let status = ask(&mut viewer, "get_camera_status", json!({"device": "/dev/video7"})).await;
    let mut details = camera.clone();
    details["metrics"] = json!({"bytes_sent": 0, "readers": 0, "uptime": 0});
    details["capabilities"] = capabilities;
    assert_eq!(status["result"], details);

    let told = ask(&mut viewer, "get_camera_capabilities", json!({"device": "camera0"})).await;
    assert_eq!(
        told["result"],
        json!({
            "device": "camera0",
            "formats": ["YUYV", "MJPEG"],
            "resolutions": ["1280x720", "640x480"],
            "fps_options": [30, 60],
            "validation_status": "CONFIRMED",
            "modes": [
                {"format": "YUYV", "width": 640, "height": 480, "fps": [30]},
                {"format": "MJPEG", "width": 1280, "height": 720, "fps": [30, 60]},
            ],
        })
    );

    // Only an admin sees the node.
    camera["node"] = json!("/dev/video7");
    assert_eq!(text(&mut admin).await["params"], camera);
    let list = ask(&mut admin, "get_camera_list", json!({})).await;
    assert_eq!(list["result"]["cameras"][0], camera);

    server.unplug("/dev/video7").await;
    assert_eq!(text(&mut viewer).await["params"]["status"], "DISCONNECTED");
    let list = ask(&mut viewer, "get_camera_list", json!({})).await;
    assert_eq!((&list["result"]["total"], &list["result"]["connected"]), (&json!(1), &json!(0)));
    let told = ask(&mut viewer, "get_camera_capabilities", json!({"device": "camera0"})).await;
    assert_eq!(told["result"]["validation_status"], "DISCONNECTED");
    let url = ask(&mut viewer, "get_stream_url", json!({"device": "camera0"})).await;
    assert_eq!(
        url["result"],
        json!({
            "device": "camera0",
            "stream_name": "camera0",
            "stream_url": format!("rtsp://127.0.0.1:{port}/camera0"),
            "available": false,
            "active_consumers": 0,
            "stream_status": "NOT_READY",
        })
    );
    drop((viewer, admin));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_its_kind() {
    let server = server(settings()).await;
    server.plug("/dev/video7", &["MJPG 1280x720@30"]).await;
    let mut client = server.open_as(Role::Operator).await;
    for (method, params, code, data) in [
        ("get_camera_status", json!({"device": "camera9"}), -32010, json!({"resource": "camera", "id": "camera9"})),
        ("get_stream_url", json!({"device": "nonsense"}), -32010, json!({"resource": "camera", "id": "nonsense"})),
        ("stop_recording", json!({"device": "camera0"}), -32020, json!({"allowed_states": ["RECORDING"]})),
        ("take_snapshot", json!({"device": "camera0", "quality": 0}), -32602, json!({"param": "quality"})),
        ("take_snapshot", json!({"device": "camera0", "filename": "../x"}), -32602, json!({"param": "filename"})),
        ("take_snapshot", json!({"device": "camera0", "format": "gif"}), -32602, json!({"param": "format"})),
        ("start_recording", json!({"device": "camera0", "duration": 86_401}), -32602, json!({"param": "duration"})),
    ] {
        let response = ask(&mut client, method, params.clone()).await;
        assert_eq!(response["error"]["code"], code, "{method} {params}: {response}");
        for (key, value) in data.as_object().unwrap() {
            assert_eq!(&response["error"]["data"][key], value, "{method} {params}: {response}");
        }
    }
}
