//! A configuration that is changed a thousand times while streams are read: nobody is disturbed, and nothing is left over.
//!
//! A process of its own: threads and open files are counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use support::{Camera, PATIENCE, SMALL, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

/// Changes, besides those that warm everything up.
const CHANGES: usize = 1000;
/// Threads and files that may be more than before: a pool that has grown, a connection that is being closed.
const SLACK: usize = 8;

/// One connection to the API that is kept.
struct Api(TcpStream);

impl Api {
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = format!("{method} /v3{path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.write_all((head + body).as_bytes()).await.unwrap();
        let (mut reply, mut part) = (Vec::new(), [0; 16384]);
        loop {
            let read = timeout(PATIENCE, self.0.read(&mut part)).await.expect("a reply").unwrap();
            assert!(read > 0, "the connection is kept");
            reply.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&reply);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
            if body.len() == length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, serde_json::from_str(body).unwrap());
            }
        }
    }

    /// The change of this number: keys that act at once, paths that come and go, and what is refused.
    async fn change(&mut self, number: usize) {
        let (method, path, body, status) = match number % 8 {
            0 => ("PATCH", "/config/paths/patch/camera0", json!({ "maxReaders": 10 + number }), 200),
            1 => ("PATCH", "/config/paths/patch/door", json!({ "maxReaders": 10 + number }), 200),
            2 => ("POST", "/config/paths/add/passing", json!({ "source": "rtsp://127.0.0.1:1/nothing" }), 200),
            3 => (
                "PATCH",
                "/config/pathdefaults/patch",
                json!({ "recordDeleteAfter": format!("{}h", 24 + number) }),
                200,
            ),
            4 => (
                "PATCH",
                "/config/paths/patch/camera0",
                json!({ "sourceOnDemandCloseAfter": format!("{number}s") }),
                200,
            ),
            5 => ("PATCH", "/config/global/patch", json!({ "writeQueueSize": 500 }), 400),
            6 => ("DELETE", "/config/paths/delete/passing", Value::Null, 200),
            _ => ("POST", "/config/paths/replace/studio", json!({ "overridePublisher": number % 16 < 8 }), 200),
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (found, reply) = self.ask(method, path, &body).await;
        assert_eq!(found, status, "{method} {path} {body}: {reply}");
    }

    /// Every session that plays, with what went out to it.
    async fn playing(&mut self) -> Vec<(String, u64)> {
        let (_, sessions) = self.ask("GET", "/rtspsessions/list", "").await;
        let playing = sessions["items"].as_array().unwrap().iter().filter(|session| session["state"] == "read");
        let mut playing: Vec<_> = playing
            .map(|session| {
                (session["id"].as_str().unwrap().to_owned(), session["outboundRTPPackets"].as_u64().unwrap())
            })
            .collect();
        playing.sort();
        playing
    }
}

fn reader(url: &str, transport: &str) -> Child {
    Command::new("ffmpeg")
        .args(["-v", "fatal", "-rtsp_transport", transport, "-i", url, "-c", "copy", "-f", "null", "-"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Threads and open files of this process.
fn count() -> [usize; 2] {
    ["/proc/self/task", "/proc/self/fd"].map(|folder| fs::read_dir(folder).unwrap().count())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_disturbed_and_nothing_is_left_over() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let mut api = Api(TcpStream::connect(service.app.engine_addresses().api.unwrap()).await.unwrap());
    api.ask("POST", "/config/paths/add/door", r#"{"source":"/dev/video0"}"#).await;
    api.ask("POST", "/config/paths/add/studio", "{}").await;
    service.streaming("door").await;
    let mut readers: Vec<_> = ["camera0", "door"]
        .iter()
        .flat_map(|path| ["tcp", "udp"].map(|transport| reader(&service.url(path), transport)))
        .collect();
    // Theirs, and the one by which the other name is read.
    while api.playing().await.len() < readers.len() + 1 {}
    for number in 0..80 {
        api.change(number).await;
    }
    let (before, playing) = (count(), api.playing().await);
    for number in 0..CHANGES {
        api.change(number).await;
    }
    let settle = async {
        loop {
            let after = count();
            if after.iter().zip(before).all(|(after, before)| *after <= before + SLACK) {
                return;
            }
            api.ask("GET", "/info", "").await;
        }
    };
    timeout(PATIENCE, settle).await.unwrap_or_else(|_| panic!("threads and files: {before:?}, then {:?}", count()));
    let more = async {
        loop {
            let now = api.playing().await;
            let same: Vec<_> = now.iter().zip(&playing).filter(|((id, _), (before, _))| id == before).collect();
            assert_eq!(
                (same.len(), now.len()),
                (playing.len(), playing.len()),
                "the same sessions: {playing:?}, {now:?}"
            );
            if same.iter().all(|((_, sent), (_, before))| sent > before) {
                return;
            }
        }
    };
    timeout(PATIENCE, more).await.expect("everybody is sent more");
    for reader in &mut readers {
        assert!(reader.try_wait().unwrap().is_none(), "a reader has ended");
    }
    service.stop().await;
}
