//! RTSP inside TLS, with peers that share no code with the service.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::{
    ask, contract, done, get,
    shape::check,
    support::{Camera, PATIENCE, SMALL, Service, configured, peers::ffprobe},
};

/// Puts a new certificate and its key there, each file as a whole. What it looks like.
fn certify(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())] {
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
    lines(&made.cert.pem())
}

/// The certificate that whoever connects now is shown.
async fn shown(address: SocketAddr) -> String {
    let mut peer = Command::new("openssl");
    peer.args(["s_client", "-connect", &address.to_string()]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, peer.output()).await.expect("a handshake").unwrap();
    lines(&String::from_utf8_lossy(&output.stdout))
}

/// The first certificate in a text, on one line.
fn lines(text: &str) -> String {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").expect("a certificate");
    rest.split("-----END").next().unwrap().split_whitespace().collect()
}

/// A service that speaks it, with a certificate of its own, and a camera.
pub async fn start() -> Service {
    let (folder, file) = configured(SMALL);
    let root = folder.path().display();
    certify(folder.path());
    let ssl = format!("security:\n  ssl: {{ cert_file: {root}/cert.pem, key_file: {root}/key.pem }}\n");
    let yaml = fs::read_to_string(&file).unwrap().replace("security:\n", &ssl);
    fs::write(&file, yaml.replace("rtsps_port: 0", "rtsps_enabled: true, rtsps_port: 0")).unwrap();
    let service = Service::start_in(folder, file).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_inside_tls_and_its_reader_is_told_and_sent_off() {
    let service = start().await;
    let address = service.app.rtsps_address().unwrap();
    let url = format!("rtsps://{address}/camera0");
    assert_eq!(ffprobe(&url, &["-rtsp_transport", "tcp"]).await.unwrap()["width"], 640);
    let mut reader = Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let session = loop {
        let found = get(&service, "/rtspssessions/list").await;
        let first = found["items"][0].clone();
        if first["state"] == "read" && first["outboundBytes"].as_u64() > Some(0) {
            break first;
        }
        assert!(reader.try_wait().unwrap().is_none(), "ffmpeg has ended");
    };
    check(&session, &contract::session(), "session");
    assert!(session["remoteAddr"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    assert!(session["userAgent"].as_str().unwrap().starts_with("Lavf"), "{session}");
    let id = session["id"].as_str().unwrap();
    assert_eq!(get(&service, "/paths/get/camera0").await["readers"], json!([{ "type": "rtspsSession", "id": id }]));
    check(&get(&service, "/rtspsconns/list").await["items"][0], &contract::connection(), "connection");
    for plain in ["/rtspsessions/list", "/rtspconns/list"] {
        assert_eq!(get(&service, plain).await["itemCount"], 0, "{plain}");
    }
    assert_eq!(ask(&service, "POST", &format!("/rtspsessions/kick/{id}"), "").await.status, 404);
    assert_eq!(get(&service, "/config/global/get").await["rtspEncryption"], "optional");
    done(&service, "POST", &format!("/rtspssessions/kick/{id}"), "").await;
    timeout(PATIENCE, reader.wait()).await.expect("it is sent off").unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_flows_beside_the_connection() {
    let service = start().await;
    let address = service.app.rtsps_address().unwrap();
    let mut peer = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("rtsps://{address}/camera0/trackID=0");
    let set_up = |number: u32, transport: &str| {
        format!("SETUP {url} RTSP/1.0\r\nCSeq: {number}\r\nTransport: {transport}\r\n\r\n")
    };
    let mut input = peer.stdin.take().unwrap();
    let ways = "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=0-1";
    input
        .write_all((set_up(1, "RTP/AVP/UDP;unicast;client_port=5000-5001") + &set_up(2, ways)).as_bytes())
        .await
        .unwrap();
    let mut output = tokio::io::BufReader::new(peer.stdout.take().unwrap());
    let (mut statuses, mut agreed, mut line) = (Vec::new(), Vec::new(), String::new());
    while statuses.len() < 2 || agreed.is_empty() {
        line.clear();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut output, &mut line);
        assert!(timeout(PATIENCE, read).await.expect("a reply").unwrap() > 0, "only {statuses:?}");
        statuses.extend(line.strip_prefix("RTSP/1.0 ").map(|status| status[..3].to_owned()));
        agreed.extend(line.strip_prefix("Transport: ").map(str::to_owned));
    }
    assert_eq!(statuses, ["461", "200"]);
    assert!(agreed.iter().all(|way| way.starts_with("RTP/AVP/TCP;unicast;")), "{agreed:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_those_who_come_and_who_reads_goes_on() {
    let service = start().await;
    let address = service.app.rtsps_address().unwrap();
    let mut reader = Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &format!("rtsps://{address}/camera0"), "-f", "null", "-"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let session = || async { get(&service, "/rtspssessions/list").await["items"][0].clone() };
    let sent = |session: &serde_json::Value| session["outboundRTPPackets"].as_u64().unwrap_or(0);
    let flows = async { while sent(&session().await) == 0 {} };
    timeout(PATIENCE, flows).await.expect("the reader reads");
    let id = session().await["id"].clone();

    let second = certify(service.folder.path());
    let renewed = async { while shown(address).await != second {} };
    timeout(PATIENCE, renewed).await.expect("the new certificate");

    // Files that are no use change nothing, however often somebody comes meanwhile.
    fs::write(service.folder.path().join("cert.pem"), "broken").unwrap();
    let before = sent(&session().await);
    let goes_on = async {
        while sent(&session().await) < before + 300 {
            assert_eq!(shown(address).await, second);
        }
    };
    timeout(PATIENCE, goes_on).await.expect("it goes on");
    let third = certify(service.folder.path());
    let repaired = async { while shown(address).await != third {} };
    timeout(PATIENCE, repaired).await.expect("what is good again");
    assert_eq!(session().await["id"], id, "the reader is the one that was there");
    assert!(reader.try_wait().unwrap().is_none(), "ffmpeg has ended");
    reader.kill().await.unwrap();
    service.stop().await;
}
