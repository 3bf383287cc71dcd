//! Who may ask, and who reads.

use serde_json::json;

use super::{
    ask, contract, curl, done, get,
    shape::check,
    support::{
        Camera, PATIENCE, SMALL, Service,
        peers::{ffprobe, run},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn users_are_who_the_configuration_says() {
    let service = Service::start(SMALL).await;
    let api = service.app.engine_addresses().api.unwrap();
    let users =
        r#"{"authInternalUsers":[{"user":"me","pass":"pw","ips":["127.0.0.0/8"],"permissions":[{"action":"api"}]}]}"#;
    done(&service, "PATCH", "/config/global/patch", users).await;
    let nobody = ask(&service, "GET", "/info", "").await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Basic realm=\"mediamtx\""));
    assert_eq!(nobody.body, r#"{"status":"error","error":"authentication error"}"#);
    let wrong = curl(api, "GET", "/info", "", &["-u", "me:no"]).await;
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, ""));
    for good in [["-u", "me:pw"], ["-H", "Authorization: Bearer me:pw"]] {
        assert_eq!(curl(api, "GET", "/info", "", &good).await.status, 200, "{good:?}");
    }
    let shown = curl(api, "GET", "/config/global/get", "", &["-u", "me:pw"]).await.json();
    assert_eq!(shown["authInternalUsers"][0]["pass"], "<redacted>");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_and_sent_off() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    let url = format!("{}?who=me", service.url("camera0"));
    let mut reader = tokio::process::Command::new("ffmpeg")
        .args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-f", "null", "-"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let session = loop {
        let found = get(&service, "/rtspsessions/list").await;
        let first = found["items"][0].clone();
        if first["state"] == "read" && first["outboundRTPPackets"].as_u64().unwrap() > 10 {
            break first;
        }
        assert!(reader.try_wait().unwrap().is_none(), "ffmpeg has ended");
    };
    check(&session, &contract::session(), "session");
    assert_eq!((&session["path"], &session["transport"]), (&json!("camera0"), &json!("TCP")));
    assert_eq!((&session["query"], &session["profile"]), (&json!("who=me"), &json!("AVP")));
    let id = session["id"].as_str().unwrap();
    let connection = get(&service, &format!("/rtspconns/get/{}", session["conns"][0].as_str().unwrap())).await;
    check(&connection, &contract::connection(), "connection");
    assert_eq!((&connection["session"], &connection["remoteAddr"]), (&session["id"], &session["remoteAddr"]));
    let path = get(&service, "/paths/get/camera0").await;
    assert_eq!(path["readers"], json!([{ "type": "rtspSession", "id": id }]));
    assert!(path["outboundBytes"].as_u64() > Some(0) && path["inboundBytes"].as_u64() > Some(0), "{path}");

    // A limit refuses those who come; whoever reads goes on.
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"maxReaders":1}"#).await;
    let refused = ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
    assert!(refused.contains("400"), "{refused}");
    done(&service, "PATCH", "/config/paths/patch/camera0", r#"{"maxReaders":2}"#).await;
    ffprobe(&service.url("camera0"), &["-rtsp_transport", "tcp"]).await.unwrap();

    done(&service, "POST", &format!("/rtspsessions/kick/{id}"), "").await;
    tokio::time::timeout(PATIENCE, reader.wait()).await.expect("it is sent off").unwrap();
    while get(&service, "/rtspsessions/list").await["itemCount"] != 0 {}
    assert_eq!(ask(&service, "GET", &format!("/rtspsessions/get/{id}"), "").await.status, 404);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rtsp_is_read_and_published_by_those_who_may() {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    done(&service, "POST", "/config/paths/add/door", r#"{"source":"/dev/video0"}"#).await;
    done(&service, "POST", "/config/paths/add/studio", "{}").await;
    let users = r#"{"authInternalUsers":[{"user":"any","permissions":[{"action":"api"}]},
        {"user":"me","pass":"pw","permissions":[{"action":"read","path":"~^(camera0|door)$"},{"action":"publish","path":"studio"}]}]}"#;
    done(&service, "PATCH", "/config/global/patch", users).await;
    let of = |user: &str, path: &str| service.url(path).replace("//", &format!("//{user}"));
    for transport in ["tcp", "udp"] {
        for path in ["camera0", "door"] {
            let video = ffprobe(&of("me:pw@", path), &["-rtsp_transport", transport]).await.unwrap();
            assert_eq!(video["width"], 640, "{path}");
        }
    }
    for user in ["", "me:no@"] {
        let refused = ffprobe(&of(user, "camera0"), &["-rtsp_transport", "tcp"]).await.unwrap_err();
        assert!(refused.contains("401"), "{refused}");
    }
    done(&service, "PATCH", "/config/global/patch", r#"{"rtspAuthMethods":["digest"]}"#).await;
    for (url, may) in [(of("me:pw@", "camera0"), true), (of("me:no@", "camera0"), false)] {
        let read = ffprobe(&url, &["-rtsp_transport", "tcp"]).await;
        assert_eq!(read.is_ok(), may, "{read:?}");
    }
    done(&service, "PATCH", "/config/global/patch", r#"{"rtspAuthMethods":["basic","digest"]}"#).await;
    let publish = |url: String| {
        let pictures = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-frames:v", "10"];
        let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
        let arguments = [&pictures[..], &coding, &["-f", "rtsp", "-rtsp_transport", "tcp", &url]].concat();
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for (url, may) in [(of("me:pw@", "studio"), true), (of("me:pw@", "camera0"), false), (of("", "studio"), false)] {
        let arguments = publish(url.clone());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        assert_eq!(run("ffmpeg", &arguments).await.is_ok(), may, "{url}");
    }
    service.stop().await;
}
