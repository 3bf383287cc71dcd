//! The path of a request and of a notification: a whole service and its clients in one process, over loopback.
//!
//! Run it with `cargo bench --bench control`. Every bench asserts that its work was done: each request was answered, and
//! each socket was told. Many sockets, and a service that is a process of its own, are `examples/control_load`'s.

// A bench asserts like a test does.
#![allow(clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, Utf8Bytes, client::IntoClientRequest},
};

mod measured;
#[path = "../tests/support/mod.rs"]
mod support;

use support::{Camera, Service};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A camera that nobody watches: nothing runs but what is measured.
const ON_DEMAND: &str = "camera: { test_pattern: never, auto_start_streams: false }";

/// Requests that are sent without waiting for the replies between them.
const PIPELINED: u64 = 64;

/// Sockets that are told.
const CROWD: usize = 100;

async fn connect(service: &Service) -> Socket {
    let mut request = format!("ws://{}/ws", service.app.control_address()).into_client_request().unwrap();
    let token = format!("Bearer {}", support::token("viewer"));
    request.headers_mut().insert("authorization", token.parse().unwrap());
    connect_async(request).await.unwrap().0
}

async fn text(socket: &mut Socket) -> Utf8Bytes {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return text,
            Message::Ping(_) => {}
            other => panic!("{other:?} instead of text"),
        }
    }
}

/// Sends a request so many times, and reads as many replies, which come in the same order.
async fn ask(socket: &mut Socket, request: &str, times: u64) {
    for id in 0..times {
        let text = format!("{{\"jsonrpc\":\"2.0\",{request},\"id\":{id}}}");
        socket.feed(Message::text(text)).await.unwrap();
    }
    socket.flush().await.unwrap();
    for id in 0..times {
        let reply = text(socket).await;
        assert!(reply.starts_with("{\"jsonrpc\":\"2.0\",\"result\":"), "{reply}");
        assert!(reply.ends_with(&format!("\"id\":{id}}}")), "{reply} instead of {id}");
    }
}

/// Waits until a socket is told that the camera has this status.
async fn told(socket: &mut Socket, status: &str) {
    let status = format!("\"status\":\"{status}\"");
    while !text(socket).await.contains(&status) {}
}

/// A request, from the client's hand to the reply in it: one at a time, and many under way.
fn requests(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let service = runtime.block_on(Service::start(ON_DEMAND));
    let mut socket = runtime.block_on(async {
        let mut socket = connect(&service).await;
        service.plug(&Camera::usb(0, "1", Some("C0FFEE"))).await;
        told(&mut socket, "CONNECTED").await;
        socket
    });
    let status = r#""method":"get_camera_status","params":{"device":"camera0"}"#;
    for (method, request) in [("ping", r#""method":"ping""#), ("get_camera_status", status)] {
        let mut group = criterion.benchmark_group(method);
        for times in [1, PIPELINED] {
            group.throughput(Throughput::Elements(times));
            group.bench_function(BenchmarkId::from_parameter(times), |bencher| {
                bencher.iter(|| runtime.block_on(ask(&mut socket, request, times)));
            });
        }
        group.finish();
    }
    drop(socket);
    runtime.block_on(service.stop());
}

/// A camera is plugged in, and out again: until the last socket was told of both.
fn told_to_all(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let service = runtime.block_on(Service::start(ON_DEMAND));
    let camera = Camera::usb(0, "1", Some("C0FFEE"));
    let mut group = criterion.benchmark_group("plugged in and out, told to");
    for sockets in [1, CROWD] {
        let mut crowd = runtime.block_on(async {
            let mut crowd = Vec::new();
            for _ in 0..sockets {
                crowd.push(connect(&service).await);
            }
            crowd
        });
        group.throughput(Throughput::Elements(2 * sockets as u64));
        group.bench_function(BenchmarkId::from_parameter(sockets), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    service.plug(&camera).await;
                    for socket in &mut crowd {
                        told(socket, "CONNECTED").await;
                    }
                    service.unplug(&camera).await;
                    for socket in &mut crowd {
                        told(socket, "DISCONNECTED").await;
                    }
                });
            });
        });
    }
    group.finish();
    runtime.block_on(service.stop());
}

criterion_group! {
    name = benches;
    config = measured::shortly();
    targets = requests, told_to_all
}
criterion_main!(benches);
