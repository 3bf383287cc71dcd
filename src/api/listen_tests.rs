//! What a client may draw out and what it may not, by hand over TCP. Time limits here are short where they have to pass,
//! and nothing asserts how long anything took.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::*;
use crate::{
    api::{
        Settings,
        fixture::{DEADLINE, Served, http},
    },
    command::{Clients, Role},
};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn server(read_timeout: Duration) -> Served {
    Served::start(config::Server { read_timeout, ..config::Server::default() }).await
}

/// One that allows so many connections, and so many from one address.
async fn small(in_all: u32, each: u32) -> Served {
    let clients = Clients { connections: Places::new("connections", in_all, each), ..Clients::new(10, 10) };
    Served::start_for(clients, Settings::default()).await
}

async fn connect(server: SocketAddr) -> TcpStream {
    TcpStream::connect(server).await.unwrap()
}

/// Connects from another address of this machine.
async fn connect_from(last: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

/// All that comes until the server ends the connection.
async fn rest(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let ended = timeout(DEADLINE, connection.read_to_end(&mut bytes)).await.expect("the connection is ended");
    ended.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Sends a request and reads the head of its reply; the connection stays open.
async fn asked(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(DEADLINE, connection.read_u8()).await.expect("a reply").unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn whoever_says_nothing_or_does_not_come_to_an_end_is_let_go() {
    let server = server(Duration::from_millis(50)).await;
    for address in [server.control, server.health] {
        assert_eq!(rest(connect(address).await).await, "", "says nothing");

        let mut half = connect(address).await;
        half.write_all(b"GET /health HTTP/1.1\r\nhost:").await.unwrap();
        assert_eq!(rest(half).await, "", "stops in the middle");

        // Kept alive, and nothing more is asked.
        let mut idle = connect(address).await;
        let head = asked(&mut idle, "HEAD /health HTTP/1.1\r\nhost: test\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        rest(idle).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn those_who_dribble_are_cut_off_and_others_do_not_wait_for_them() {
    let server = server(Duration::from_millis(500)).await;
    let mut dribbling = Vec::new();
    for _ in 0..100 {
        let (reader, mut writer) = connect(server.control).await.into_split();
        dribbling.push(tokio::spawn(async move {
            // Always one byte more, and never the last one: only the server can end this.
            for byte in b"GET /ws HTTP/1.1\r\nx: ".iter().copied().chain(std::iter::repeat(b'y')) {
                let is_over = timeout(Duration::from_millis(5), reader.readable()).await.is_ok();
                if is_over || writer.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }));
    }
    let mut another = connect(server.control).await;
    assert!(asked(&mut another, UPGRADE).await.starts_with("HTTP/1.1 101 "));
    for client in dribbling {
        timeout(DEADLINE, client).await.expect("it is cut off").unwrap();
    }
    drop(another);
    server.stop().await;
}

#[tokio::test]
async fn a_header_has_its_bounds() {
    let server = server(DEADLINE).await;
    let lines = |count: usize| (0..count).map(|line| format!("x-{line}: y\r\n")).collect::<String>();
    for address in [server.control, server.health] {
        // Two lines more are the fixture's.
        assert_eq!(http(address, "GET /nowhere HTTP/1.1", &lines(HEADER_LINES - 2)).await.status, 404);
        assert_eq!(http(address, "GET /nowhere HTTP/1.1", &lines(HEADER_LINES - 1)).await.status, 431);
        let long = |bytes: usize| format!("x: {}\r\n", "y".repeat(bytes));
        assert_eq!(http(address, "GET /nowhere HTTP/1.1", &long(HEADER_BYTES / 2)).await.status, 404);
        assert_eq!(http(address, "GET /nowhere HTTP/1.1", &long(HEADER_BYTES)).await.status, 431);
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_place_a_connection_is_refused_at_once_and_counted() {
    let server = small(3, 2).await;
    let (first, second) = (connect(server.control).await, connect(server.control).await);
    let refused = rest(connect(server.control).await).await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.ends_with(r#"{"error":"this address has 2 connections, as many as it may have"}"#), "{refused}");
    // It is told although it has sent what nobody reads.
    let mut asking = connect(server.control).await;
    asking.write_all(UPGRADE.as_bytes()).await.unwrap();
    assert!(rest(asking).await.starts_with("HTTP/1.1 429 "));

    let mut another = connect_from(2, server.control).await;
    let request = "GET /nowhere HTTP/1.1\r\nhost: test\r\n\r\n";
    assert!(asked(&mut another, request).await.starts_with("HTTP/1.1 404 "), "other addresses have theirs");
    let all = rest(connect_from(3, server.control).await).await;
    assert!(all.ends_with(r#"{"error":"there are 3 connections, as many as are allowed"}"#), "{all}");
    assert_eq!(http(server.health, "GET /health/live HTTP/1.1", "").await.status, 200, "probes have their own places");
    assert_eq!((server.gateway.clients.connections.taken(), server.gateway.clients.connections.refused()), (3, 3));

    // A place is free again when its connection is gone.
    drop((first, second));
    let again = async { while rest_of_a_request(server.control).await.starts_with("HTTP/1.1 429 ") {} };
    timeout(DEADLINE, again).await.expect("a place");
    drop(another);
    server.stop().await;
}

async fn rest_of_a_request(server: SocketAddr) -> String {
    let mut connection = connect(server).await;
    // Refused already, perhaps.
    let _ = connection.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    rest(connection).await
}

#[tokio::test]
async fn a_socket_is_no_connection_any_more_and_has_a_place_of_its_own() {
    let server = small(1, 1).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = connect(server.control).await;
        assert!(asked(&mut socket, UPGRADE).await.starts_with("HTTP/1.1 101 "));
        sockets.push(socket);
        let free = async {
            while server.gateway.clients.connections.taken() > 0 {
                tokio::task::yield_now().await
            }
        };
        timeout(DEADLINE, free).await.expect("the place is free again");
    }
    assert_eq!(server.gateway.clients.sockets.taken(), 5);
    drop(sockets);
    let closed = async {
        while server.gateway.clients.sockets.taken() > 0 {
            tokio::task::yield_now().await
        }
    };
    timeout(DEADLINE, closed).await.expect("the places are free again");
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_its_sockets_and_others_have_theirs() {
    let server = Served::start_for(Clients::new(3, 2), Settings::default()).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(connect(server.control).await);
        assert!(asked(open.last_mut().unwrap(), UPGRADE).await.starts_with("HTTP/1.1 101 "));
    }
    let refused = async |last| {
        let mut connection = connect_from(last, server.control).await;
        let head = asked(&mut connection, UPGRADE).await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        connection.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    };
    let (head, body) = refused(1).await;
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nretry-after: 1\r\n"), "{head}");
    assert_eq!(body, r#"{"error":"this address has 2 sockets, as many as it may have"}"#);
    open.push(connect_from(2, server.control).await);
    assert!(asked(open.last_mut().unwrap(), UPGRADE).await.starts_with("HTTP/1.1 101 "));
    let (head, body) = refused(3).await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert_eq!(body, r#"{"error":"there are 3 sockets, as many as are allowed"}"#);
    assert_eq!(server.gateway.clients.sockets.refused(), 2);
    drop(open);
    server.stop().await;
}

#[tokio::test]
async fn whoever_does_not_come_to_the_end_of_a_handshake_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let settings = Settings {
        server: config::Server { read_timeout: Duration::from_millis(50), ..config::Server::default() },
        certificate: Some(Certificate::load(&chain, &key).unwrap()),
        ..Settings::default()
    };
    let server = Served::start_with(settings).await;
    for address in [server.control, server.health] {
        assert_eq!(rest(connect(address).await).await, "", "says nothing");
        let mut half = connect(address).await;
        // The beginning of a ClientHello of 512 bytes.
        half.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        assert_eq!(rest(half).await, "", "stops in the middle");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_download_that_nobody_takes_is_given_up() {
    let settings = config::Server { write_timeout: Duration::from_millis(200), ..config::Server::default() };
    let server = Served::start(settings).await;
    // Far more than the kernel keeps on the way.
    let file = std::fs::File::create(server.folder.path().join("long.jpg")).unwrap();
    file.set_len(256 << 20).unwrap();
    let request = format!(
        "GET /files/snapshots/long.jpg HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\r\n",
        server.token(Role::Viewer)
    );
    let mut idle = connect(server.control).await;
    assert!(asked(&mut idle, &request).await.starts_with("HTTP/1.1 200 "));
    let connections = &server.gateway.clients.connections;
    let given_up = async {
        while connections.taken() > 0 {
            tokio::task::yield_now().await
        }
    };
    timeout(DEADLINE, given_up).await.expect("it is given up");
    drop(idle);
    server.stop().await;
}
