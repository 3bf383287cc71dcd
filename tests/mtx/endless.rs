//! Requests that do not end: their connection does, whatever its state, and nobody else notices.

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::{
    get,
    hand::Hand,
    support::{Camera, PATIENCE, SMALL, Service},
};

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

/// Says what never ends, and takes what comes, until it is told that it is over.
async fn never_ends(who: &str, mut read: impl AsyncRead + Unpin, mut write: impl AsyncWrite + Unpin, piece: &[u8]) {
    let mut sink = tokio::io::sink();
    let over = async {
        tokio::select! {
            // Whoever only writes may not hear of it for long.
            _ = tokio::io::copy(&mut read, &mut sink) => {}
            () = async { while write.write_all(piece).await.is_ok() {} } => {}
        }
    };
    let over = timeout(PATIENCE, over).await;
    over.unwrap_or_else(|_| panic!("the connection of one {who} is not closed"));
}

/// Reads as far as this line.
async fn until(read: &mut (impl AsyncBufRead + Unpin), wanted: &str) {
    let mut line = String::new();
    while line.trim_end() != wanted {
        line.clear();
        let read = timeout(PATIENCE, read.read_line(&mut line)).await;
        assert_ne!(read.unwrap_or_else(|_| panic!("no {wanted}")).unwrap(), 0, "{wanted}");
    }
}

/// Only one is connected.
async fn is_alone(service: &Service) {
    let alone = async { while get(service, "/rtspconns/list").await["itemCount"] != 1 {} };
    timeout(PATIENCE, alone).await.expect("they go");
}

/// In whole groups of three bytes; line ends before a request are skipped.
fn sent(text: &str) -> String {
    BASE64_STANDARD.encode("\n".repeat((3 - text.len() % 3) % 3) + text)
}

/// What is read and what is written of somebody who has set up a session over HTTP.
async fn over_http(service: &Service) -> (BufReader<TcpStream>, BufReader<TcpStream>) {
    let half = async |method: &str| {
        let mut half = TcpStream::connect(("127.0.0.1", service.app.rtsp_port())).await.unwrap();
        let head = format!("{method} /camera0 HTTP/1.0\r\nX-SessionCookie: one\r\n\r\n");
        half.write_all(head.as_bytes()).await.unwrap();
        BufReader::new(half)
    };
    let mut get_half = half("GET").await;
    until(&mut get_half, "HTTP/1.0 200 OK").await;
    let mut post = half("POST").await;
    let url = service.url("camera0");
    let setup = sent(&format!("SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\n{TCP}\r\n"));
    post.write_all(setup.as_bytes()).await.unwrap();
    until(&mut get_half, "RTSP/1.0 200 OK").await;
    (get_half, post)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_ends_its_connection() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let mut reader = Hand::play(&service, "camera0").await;
    let url = service.url("camera0");
    let begin = format!("OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n");
    let headers = "X-Endless: endless\r\n".repeat(99);
    // Without a session, and with one: set up, and playing.
    for who in ["without a session", "that is set up", "that plays"] {
        let mut hand = match who {
            "that plays" => Hand::play(&service, "camera0").await,
            _ => Hand::connect(&service, "camera0").await,
        };
        if who == "that is set up" {
            assert_eq!(hand.ask("SETUP", "/trackID=0", TCP).await.status, 200);
        }
        hand.say(begin.as_bytes()).await;
        let (read, write) = hand.socket.into_inner().into_split();
        never_ends(who, read, write, headers.as_bytes()).await;
        is_alone(&service).await;
        reader.take(30).await;
    }
    // Over HTTP requests come in a connection of their own.
    let (mut get_half, mut post) = over_http(&service).await;
    post.write_all(sent(&begin).as_bytes()).await.unwrap();
    never_ends("over HTTP", &mut get_half, &mut post, sent(&headers).as_bytes()).await;
    drop((get_half, post));
    is_alone(&service).await;
    let (mut get_half, post) = over_http(&service).await;
    drop(post);
    let ended = timeout(PATIENCE, get_half.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "no other connection takes its place");
    is_alone(&service).await;
    // One that reports and reports is what it was.
    for reports in [100, 200, 300] {
        reader.say(&[&b"$\x01\x04\x00"[..], &[0; 1024]].concat().repeat(100)).await;
        let heard = async {
            while get(&service, "/rtspsessions/list").await["items"][0]["inboundRTCPPacketsInError"] != reports {}
        };
        timeout(PATIENCE, heard).await.expect("it is heard");
        reader.take(3).await;
    }
    assert_eq!(reader.ask("GET_PARAMETER", "", "").await.status, 200);
    service.stop().await;
}
