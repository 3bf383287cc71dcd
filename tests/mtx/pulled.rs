//! A path that is pulled inside TLS, from GStreamer's own server and from another one of these services.

use std::fs;

use camera_service::path::Phase;
use gst_rtsp_server::gst_rtsp::RTSPProfile;
use serde_json::{Value, json};

use super::{
    done, get, rtsps,
    support::{
        SMALL, Service, configured,
        peers::{ffprobe, run},
        process::Process,
        remote::{H264, Remote},
    },
};

/// The fingerprint of a certificate in a file, as MediaMTX's documentation has people find it.
async fn fingerprint(file: &str) -> String {
    let text = run("openssl", &["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]).await.unwrap();
    text.trim().split_once('=').unwrap().1.replace(':', "")
}

/// A certificate and its key as PEM, in one file as well. The name of the file.
fn certified(folder: &std::path::Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (pem, file) = (made.cert.pem() + &made.signing_key.serialize_pem(), folder.join("remote.pem"));
    fs::write(&file, &pem).unwrap();
    (pem, file.display().to_string())
}

async fn pull(service: &Service, name: &str, source: &str, fingerprint: &str) {
    let body = json!({ "source": source, "sourceFingerprint": fingerprint });
    done(service, "POST", &format!("/config/paths/add/{name}"), &body.to_string()).await;
}

/// What is in the way of a path.
async fn refused(service: &Service, name: &str) -> String {
    let status = service.path(name, |status| matches!(status.phase, Phase::Waiting { .. })).await;
    assert!(status.runs == 0 || status.stream.is_none_or(|stream| stream.is_closed()), "{name}");
    let path = get(service, &format!("/paths/get/{name}")).await;
    assert_eq!((&path["ready"], &path["tracks"]), (&json!(false), &json!([])), "{path}");
    status.trouble.expect("a reason").message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_inside_tls_is_known_by_its_fingerprint() {
    let service = Service::start(SMALL).await;
    let (pem, file) = certified(service.folder.path());
    let shown = fingerprint(&file).await;
    // As others serve it, and encrypted once more, as MediaMTX does by default.
    for (name, profile) in [("plain", RTSPProfile::AVP), ("secure", RTSPProfile::SAVP)] {
        let remote = Remote::inside_tls(H264, &pem, profile);
        pull(&service, name, &remote.url(""), &shown).await;
        service.streaming(name).await;
        let path = get(&service, &format!("/paths/get/{name}")).await;
        assert_eq!((&path["ready"], &path["tracks"]), (&json!(true), &json!(["H264"])), "{path}");
        assert_eq!(path["source"], json!({ "type": "rtspSource", "id": "" }), "{path}");
        let video = ffprobe(&service.url(name), &["-rtsp_transport", "tcp"]).await.unwrap();
        assert_eq!((&video["codec_name"], &video["width"]), (&json!("h264"), &json!(320)));
    }

    let remote = Remote::inside_tls(H264, &pem, RTSPProfile::AVP);
    let other = "0".repeat(64);
    pull(&service, "other", &remote.url("me:hunter2@"), &other).await;
    let said = refused(&service, "other").await;
    let small = shown.to_lowercase();
    assert!(said.contains(&format!("the fingerprint is {small}, not {other}")), "{said}");
    assert!(said.contains("rtsps://***@127.0.0.1") && !said.contains("hunter"), "{said}");
    // What it was told of is what is missing: the path runs with it, and says in capitals what was said in small letters.
    done(&service, "PATCH", "/config/paths/patch/other", &json!({ "sourceFingerprint": shown }).to_string()).await;
    service.streaming("other").await;

    pull(&service, "nobody", &remote.url(""), "").await;
    let said = refused(&service, "nobody").await;
    assert!(said.contains("is not trusted here: nobody this machine knows has signed it"), "{said}");
    assert!(said.contains(&small), "{said}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_source_on_demand_is_told_after_its_start_timeout() {
    let (folder, config) = configured(SMALL);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/source/rtsp.launch");
    let patient = fs::read_to_string(own).unwrap().replace("tcp-timeout=4000000", "tcp-timeout=600000000");
    fs::write(folder.path().join("pipelines/source/rtsp.launch"), patient).unwrap();
    let service = Service::start_in(folder, config).await;
    // Accepts connections, by the kernel, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("rtsp://{}/live", silent.local_addr().unwrap());
    let body = json!({ "source": source, "sourceOnDemand": true, "sourceOnDemandStartTimeout": "300ms" });
    done(&service, "POST", "/config/paths/add/silent", &body.to_string()).await;
    let refused = ffprobe(&service.url("silent"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
    // The connection itself would not be given up for ten minutes.
    assert!(refused.contains("503"), "{refused}");
    service.stop().await;
}

#[tokio::test]
async fn the_log_says_what_is_wrong_with_a_certificate() {
    let (folder, config) = configured(SMALL);
    let (pem, file) = certified(folder.path());
    let remote = Remote::inside_tls(H264, &pem, RTSPProfile::AVP);
    let mediamtx = folder.path().join("mediamtx.yml");
    let url = remote.url("me:hunter2@");
    let paths = json!({ "other": { "source": url, "sourceFingerprint": "ab:cd" }, "nobody": { "source": url } });
    fs::write(&mediamtx, json!({ "paths": paths }).to_string()).unwrap();
    let yaml = fs::read_to_string(&config).unwrap();
    let with = format!("api_port: 0, config_file: {}", mediamtx.display());
    fs::write(&config, yaml.replace("api_port: 0", &with)).unwrap();
    let mut service = Process::start(&config, "human");
    // Either may be first.
    let (mut seen, shown) = (Vec::new(), fingerprint(&file).await.to_lowercase());
    while seen.len() < 2 {
        let line = service.line(&shown).await;
        let path = ["path=other", "path=nobody"].into_iter().find(|path| line.contains(path));
        let path = path.unwrap_or_else(|| panic!("of no path: {line}"));
        if !seen.contains(&path) {
            seen.push(path);
        }
    }
    let (status, log) = service.terminate_with_log().await;
    assert!(status.success());
    let said = |words: &str| log.iter().any(|line| line.contains("WARN") && line.contains(words));
    assert!(said(&format!("the fingerprint is {shown}, not abcd")), "{log:#?}");
    assert!(said("is not trusted here: nobody this machine knows has signed it"), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("hunter") || line.contains("sourceFingerprint\"")), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_service_pulls_from_another_inside_tls_and_is_its_reader() {
    let far = rtsps::start().await;
    let near = Service::start(SMALL).await;
    let url = format!("rtsps://{}/camera0", far.app.rtsps_address().unwrap());
    let file = far.folder.path().join("cert.pem").display().to_string();
    pull(&near, "far", &url, &fingerprint(&file).await).await;
    near.streaming("far").await;
    let video = ffprobe(&near.url("far"), &["-rtsp_transport", "tcp"]).await.unwrap();
    assert_eq!((&video["codec_name"], &video["width"]), (&json!("h264"), &json!(640)));
    let readers = get(&far, "/rtspssessions/list").await;
    let one = |key: &str| readers["items"][0][key].clone();
    assert_eq!((&readers["itemCount"], one("state"), one("path")), (&json!(1), json!("read"), json!("camera0")));
    assert_eq!((one("transport"), one("userAgent")), (json!("TCP"), json!("camera-service")), "{readers}");
    assert_ne!(one("conns"), Value::Null);
    near.stop().await;
    far.stop().await;
}
