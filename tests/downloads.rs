//! Downloads as a client that shares no code with the service (curl) sees them (RFC 9110), and what it never sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, io::Write, path::Path};

use serde_json::json;
use support::{
    PATIENCE, SMALL, Service,
    http::{curl, get},
    token,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Bytes in which every place can be told from every other near it.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8 ^ (place / 251) as u8).collect()
}

fn recordings(service: &Service) -> std::path::PathBuf {
    service.folder.path().join("state/recordings")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_whole_with_all_that_a_browser_wants_to_know() {
    let service = Service::start(SMALL).await;
    let data = pattern(300_000);
    for (folder, name, escaped, media_type) in [
        ("recordings", "a.mp4", "a.mp4", "video/mp4"),
        ("recordings", "tür 1.MKV", "t%C3%BCr%201.MKV", "video/x-matroska"),
        ("recordings", "a.ts", "a.ts", "video/mp2t"),
        ("snapshots", "a.jpeg", "a.jpeg", "image/jpeg"),
        ("snapshots", "日本.png", "%e6%97%a5%e6%9c%ac.png", "image/png"),
    ] {
        let folder_path = service.folder.path().join("state").join(folder);
        fs::write(folder_path.join(name), &data).unwrap();
        let path = format!("/files/{folder}/{escaped}");
        let answer = get(&service, &path, &[]).await;
        assert_eq!((answer.status, answer.body == data), (200, true), "{}", answer.head);
        let head = get(&service, &path, &["--head"]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for answer in [answer, head] {
            assert_eq!(answer.header("content-type"), media_type);
            assert_eq!(answer.header("content-length"), "300000");
            assert_eq!(answer.header("accept-ranges"), "bytes");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert!(answer.header("etag").starts_with('"'), "{}", answer.head);
            assert!(answer.header("last-modified").ends_with("GMT"), "{}", answer.head);
            let disposition = answer.header("content-disposition");
            assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
            assert!(disposition.is_ascii(), "{disposition}");
        }
    }
    let named = get(&service, "/files/snapshots/%e6%97%a5%e6%9c%ac.png", &["--head"]).await;
    let disposition = named.header("content-disposition");
    assert!(disposition.ends_with("filename*=UTF-8''%E6%97%A5%E6%9C%AC%2Epng"), "{disposition}");
    // An empty file is a file, and an old one has a date that HTTP can write.
    let old = fs::File::create(recordings(&service).join("old.mp4")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH - std::time::Duration::from_secs(86_400)).unwrap();
    let empty = get(&service, "/files/recordings/old.mp4", &[]).await;
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
    assert_eq!(empty.header("last-modified"), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(get(&service, "/files/recordings/old.mp4", &["-r", "0-0"]).await.status, 416);
    let posted = get(&service, "/files/recordings/old.mp4", &["-d", "x"]).await;
    assert_eq!(posted.status, 405);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_the_bytes_that_were_asked_for() {
    let service = Service::start(SMALL).await;
    let data = pattern(1000);
    fs::write(recordings(&service).join("a.mp4"), &data).unwrap();
    let ask = async |range: &str| get(&service, "/files/recordings/a.mp4", &["-r", range]).await;
    for (range, bytes) in [
        ("0-0", 0..1),
        ("100-199", 100..200),
        ("999-", 999..1000),
        ("990-99999", 990..1000),
        ("-1", 999..1000),
        ("-5000", 0..1000),
    ] {
        let answer = ask(range).await;
        assert_eq!((answer.status, answer.body.as_slice()), (206, &data[bytes.clone()]), "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/1000", bytes.start, bytes.end - 1));
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert_eq!(answer.header("content-type"), "video/mp4");
        let head = get(&service, "/files/recordings/a.mp4", &["--head", "-r", range]).await;
        assert_eq!((head.status, head.header("content-range")), (206, answer.header("content-range")));
    }
    for range in ["1000-", "5000-6000", "-0"] {
        let answer = ask(range).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */1000"), "{range}");
    }
    for range in ["9-0", "x", "0-999,0-999,0-999,0-999", "0-800,100-900"] {
        let answer = ask(range).await;
        assert_eq!((answer.status, answer.body == data), (200, true), "{range}");
    }
    let many: Vec<_> = (0..1000).map(|n| format!("{}-{}", n % 1000, n % 1000)).collect();
    assert_eq!(ask(&many.join(",")).await.status, 200, "too many");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_parts_come_in_one_answer() {
    let service = Service::start(SMALL).await;
    let data = pattern(500_000);
    fs::write(recordings(&service).join("a.mp4"), &data).unwrap();
    let ranges = [0..10usize, 100_000..399_999, 499_990..500_000];
    let answer = get(&service, "/files/recordings/a.mp4", &["-r", "0-9,100000-399998,-10"]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("content-range"), "");
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for range in ranges {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {}-{}/500000\r\n\r\n",
            range.start,
            range.end - 1
        );
        expected.extend(head.bytes());
        expected.extend(&data[range]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert!(answer.body == expected, "{}", answer.head);
    // What is not there is left out, and a single one left is no multipart.
    let single = get(&service, "/files/recordings/a.mp4", &["-r", "0-9,600000-"]).await;
    assert_eq!((single.status, single.header("content-range")), (206, "bytes 0-9/500000"));
    let head = get(&service, "/files/recordings/a.mp4", &["--head", "-r", "0-9,20-29"]).await;
    assert_eq!((head.status, head.body.len()), (206, 0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_file_already_is_told_so() {
    let service = Service::start(SMALL).await;
    let file = recordings(&service).join("a.mp4");
    fs::write(&file, pattern(1000)).unwrap();
    let path = "/files/recordings/a.mp4";
    let first = get(&service, path, &[]).await;
    let (etag, date) = (first.header("etag"), first.header("last-modified"));
    let (early, late) = ("Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    let other = "\"other\"";
    for (conditions, status) in [
        (vec![("If-None-Match", etag)], 304),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-None-Match", &format!("{other}, W/{etag}"))], 304),
        (vec![("If-None-Match", other)], 200),
        (vec![("If-Modified-Since", date)], 304),
        (vec![("If-Modified-Since", late)], 304),
        (vec![("If-Modified-Since", early)], 200),
        (vec![("If-Modified-Since", "yesterday")], 200),
        (vec![("If-None-Match", other), ("If-Modified-Since", date)], 200),
        (vec![("If-Match", etag)], 200),
        (vec![("If-Match", "*")], 200),
        (vec![("If-Match", other)], 412),
        (vec![("If-Unmodified-Since", date)], 200),
        (vec![("If-Unmodified-Since", early)], 412),
        (vec![("If-Match", etag), ("If-Unmodified-Since", early)], 200),
        (vec![("If-Match", other), ("If-None-Match", etag)], 412),
        (vec![("Range", "bytes=0-9"), ("If-Range", etag)], 206),
        (vec![("Range", "bytes=0-9"), ("If-Range", date)], 206),
        (vec![("Range", "bytes=0-9"), ("If-Range", other)], 200),
        (vec![("Range", "bytes=0-9"), ("If-Range", early)], 200),
        (vec![("Range", "bytes=2000-"), ("If-None-Match", etag)], 304),
    ] {
        let headers: Vec<String> = conditions.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header.as_str()]).collect();
        let answer = get(&service, path, &arguments).await;
        assert_eq!(answer.status, status, "{conditions:?}");
        assert_eq!(answer.header("etag"), etag, "{conditions:?}");
        if status == 304 {
            assert!(answer.body.is_empty());
        }
    }
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    let grown = get(&service, path, &["-H", &format!("If-None-Match: {etag}")]).await;
    assert_eq!((grown.status, grown.body.len()), (200, 1004));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_get_files_and_only_those_of_the_folder() {
    let service = Service::start(SMALL).await;
    let folder = recordings(&service);
    fs::write(folder.join("a.mp4"), "recorded").unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/a.mp4"), "CLASSIFIED").unwrap();
    fs::write(folder.join(".hidden.mp4"), "CLASSIFIED").unwrap();
    fs::write(folder.parent().unwrap().join("secret.mp4"), "CLASSIFIED").unwrap();
    fs::write(folder.parent().unwrap().join("snapshots/b.jpg"), "CLASSIFIED").unwrap();
    std::os::unix::fs::symlink(folder.parent().unwrap().join("secret.mp4"), folder.join("link.mp4")).unwrap();
    fs::hard_link(folder.join("a.mp4"), folder.join("same.mp4")).unwrap();
    assert_eq!(curl(&service, "/files/recordings/a.mp4", &[]).await.status, 401);
    assert_eq!(curl(&service, "/files/recordings/a.mp4", &["-H", "X-API-Key: nonsense"]).await.status, 401);
    for role in ["viewer", "operator", "admin"] {
        let bearer = format!("Authorization: Bearer {}", token(role));
        let answer = curl(&service, "/files/recordings/a.mp4", &["-H", &bearer]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"recorded".as_slice()));
    }
    let name = |length: usize| format!("{}.mp4", "x".repeat(length - 4));
    let (longest, long, longer) = (name(255), name(256), name(10_000));
    for (name, status) in [
        ("absent.mp4", 404),
        (&longest, 404),
        (&long, 400),
        (&longer, 400),
        ("..", 400),
        ("../secret.mp4", 400),
        ("%2e%2e", 400),
        ("%2e%2e/secret.mp4", 400),
        ("%2e%2e%2fsecret.mp4", 400),
        ("..%2Fsecret.mp4", 400),
        ("..%5Csecret.mp4", 400),
        ("%2Fetc%2Fpasswd", 400),
        ("//etc/passwd", 400),
        ("a.mp4%00", 400),
        ("%00", 400),
        ("a%0d%0aX: y.mp4", 400),
        (".hidden.mp4", 400),
        ("sub/a.mp4", 400),
        ("sub", 404),
        ("link.mp4", 400),
        ("a.mp4/", 400),
        ("./a.mp4", 400),
        ("../snapshots/b.jpg", 400),
        ("b.jpg", 404),
        // Twice encoded is a name with a percent sign.
        ("%252e%252e%252fsecret.mp4", 404),
        ("same.mp4", 200),
    ] {
        let answer = get(&service, &format!("/files/recordings/{}", name.replace(' ', "%20")), &[]).await;
        assert_eq!(answer.status, status, "{name}: {}", String::from_utf8_lossy(&answer.body));
        assert!(!answer.body.windows(10).any(|bytes| bytes == b"CLASSIFIED"), "{name}");
    }
    for path in ["/files/", "/files", "/files/other/a.mp4", "/files/recordings"] {
        let status = get(&service, path, &[]).await.status;
        assert!((400..=404).contains(&status), "{path}: {status}");
    }
    service.stop().await;
}

/// A download whose head has been read and whose body waits to be.
async fn begin(service: &Service, name: &str) -> (BufReader<TcpStream>, u64) {
    let mut socket = TcpStream::connect(service.app.control_address()).await.unwrap();
    let bearer = token("viewer");
    let request = format!(
        "GET /files/recordings/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {bearer}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut reader, mut length) = (BufReader::with_capacity(1024, socket), 0);
    loop {
        let mut line = String::new();
        timeout(PATIENCE, reader.read_line(&mut line)).await.expect("a head").unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            return (reader, length);
        }
    }
}

async fn rest(mut reader: BufReader<TcpStream>) -> Vec<u8> {
    let mut body = Vec::new();
    // A connection that is cut off is an end here, too.
    let _ = timeout(PATIENCE, reader.read_to_end(&mut body)).await.expect("an end");
    body
}

/// More than sockets hold, so that much of it is still to be read when the head has come.
const LARGE: usize = 64 << 20;

fn append(file: &Path) {
    fs::OpenOptions::new().append(true).open(file).unwrap().write_all(&pattern(1000)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_or_goes_is_sent_as_it_was_and_one_that_shrinks_is_cut_off() {
    let service = Service::start(SMALL).await;
    let (folder, data) = (recordings(&service), pattern(LARGE));
    for name in ["grows.mp4", "goes.mp4", "shrinks.mp4"] {
        fs::write(folder.join(name), &data).unwrap();
    }
    let (reader, length) = begin(&service, "grows.mp4").await;
    append(&folder.join("grows.mp4"));
    assert_eq!(length, LARGE as u64);
    assert!(rest(reader).await == data);

    let (reader, _) = begin(&service, "goes.mp4").await;
    let mut client = service.client("admin").await;
    client.call("delete_recording", json!({ "filename": "goes.mp4" })).await.unwrap();
    assert!(!folder.join("goes.mp4").exists());
    assert!(rest(reader).await == data);

    let (reader, _) = begin(&service, "shrinks.mp4").await;
    fs::OpenOptions::new().write(true).open(folder.join("shrinks.mp4")).unwrap().set_len(1000).unwrap();
    assert!(rest(reader).await.len() < LARGE, "nothing is made up");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_downloaded_is_not_cleaned_up() {
    let service = Service::start(&format!("{SMALL}recording: {{ cleanup_after_days: 5 }}")).await;
    let file = recordings(&service).join("a.mp4");
    fs::write(&file, pattern(LARGE)).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(10 * 86_400);
    let mut client = service.client("admin").await;
    let (reader, _) = begin(&service, "a.mp4").await;
    fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let cleaned = client.call("cleanup_old_files", json!({})).await.unwrap();
    assert_eq!((&cleaned["cleanup_executed"], &cleaned["files_deleted"]), (&json!(true), &json!(0)), "{cleaned}");
    assert!(file.exists());
    drop(reader);
    // The service learns of a client that went when it sends the next piece.
    let gone = async { while client.call("cleanup_old_files", json!({})).await.unwrap()["files_deleted"] == 0 {} };
    timeout(PATIENCE, gone).await.expect("it is deleted then");
    assert!(!file.exists());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_does_not_hold_up_the_end_of_the_service() {
    let service = Service::start(SMALL).await;
    const ENDLESS: u64 = 1 << 40;
    fs::File::create(recordings(&service).join("a.mp4")).unwrap().set_len(ENDLESS).unwrap();
    let (mut reader, length) = begin(&service, "a.mp4").await;
    assert_eq!(length, ENDLESS);
    let read = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    service.stop().await;
    let read = timeout(PATIENCE, read).await.expect("the connection ends").unwrap();
    assert!(read.is_err() || read.is_ok_and(|bytes| bytes < ENDLESS));
}
