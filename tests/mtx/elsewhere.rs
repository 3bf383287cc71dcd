//! Who may, as another server says, or the signature of a token.

use std::sync::{Arc, Mutex};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    curl, done,
    support::{Camera, SMALL, Service, peers::ffprobe},
};

/// A server that answers each request with what `reply` makes of its body, and keeps the bodies.
async fn server(reply: impl Fn(&Value) -> (u16, String) + Send + 'static) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ask", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut text, mut part) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = socket.read(&mut part).await.unwrap();
                text.extend_from_slice(&part[..read]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                let fields = head.lines().filter_map(|line| line.split_once(": "));
                let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                let length = lengths.next().map_or(0, |(_, length)| length.parse().unwrap());
                if body.len() >= length || read == 0 {
                    break body.to_owned();
                }
            };
            let question = serde_json::from_str(&body).unwrap_or_default();
            let (status, answer) = reply(&question);
            kept.lock().unwrap().push(question);
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
            socket.write_all((head + &answer).as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

async fn with_camera() -> Service {
    let service = Service::start(SMALL).await;
    service.plug(&Camera::usb(0, "1.1", None)).await;
    service.streaming("camera0").await;
    service
}

fn of(service: &Service, user: &str, query: &str) -> String {
    format!("{}{query}", service.url("camera0").replace("//", &format!("//{user}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_asked() {
    let service = with_camera().await;
    let api = service.app.engine_addresses().api.unwrap();
    let (url, asked) = server(|question| (if question["password"] == "pw" { 204 } else { 403 }, String::new())).await;
    let body = json!({ "authMethod": "http", "authHTTPAddress": url, "authHTTPExclude": [{ "action": "metrics" }] });
    done(&service, "PATCH", "/config/global/patch", &body.to_string()).await;
    assert_eq!(curl(api, "GET", "/info?a=b", "", &["-u", "me:pw"]).await.status, 200);
    let question = asked.lock().unwrap().last().cloned().unwrap();
    let expected = json!({
        "ip": "127.0.0.1", "user": "me", "password": "pw", "token": "pw", "action": "api", "path": "",
        "protocol": "", "id": null, "query": "a=b", "userAgent": "",
    });
    assert_eq!(question, expected);
    let nobody = curl(api, "GET", "/info", "", &[]).await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Basic realm=\"mediamtx\""));
    assert_eq!(curl(api, "GET", "/info", "", &["-u", "me:no"]).await.status, 401);
    assert_eq!(ffprobe(&of(&service, "me:pw@", ""), &["-rtsp_transport", "tcp"]).await.unwrap()["width"], 640);
    let question = asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (&question["action"], &question["path"], &question["protocol"]),
        (&json!("read"), &json!("camera0"), &json!("rtsp"))
    );
    assert!(ffprobe(&of(&service, "me:no@", ""), &["-rtsp_transport", "tcp"]).await.unwrap_err().contains("401"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_known_key_has_signed_says_what_its_bearer_may() {
    const SECRET: &[u8] = b"a secret that is long enough for everybody";
    let service = with_camera().await;
    let api = service.app.engine_addresses().api.unwrap();
    let key = json!({ "kty": "oct", "kid": "one", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET) });
    let keys = json!({ "keys": [key] }).to_string();
    let (url, asked) = server(move |_| (200, keys.clone())).await;
    let body = json!({ "authMethod": "jwt", "authJWTJWKS": url, "authJWTIssuer": "us", "authJWTClaimKey": "may" });
    done(&service, "PATCH", "/config/global/patch", &body.to_string()).await;
    let signed = |secret: &[u8], claims: Value| {
        let header = Header { kid: Some("one".into()), ..Header::default() };
        encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let all = json!([{ "action": "api" }, { "action": "read", "path": "camera0" }]);
    let good = signed(SECRET, json!({ "iss": "us", "may": all }));
    for (token, status) in [
        (good.clone(), 200),
        (signed(SECRET, json!({ "iss": "us", "may": all.to_string(), "exp": 4_000_000_000_u64 })), 200),
        (signed(SECRET, json!({ "iss": "us", "may": all, "exp": 1_000_000_000 })), 401),
        (signed(SECRET, json!({ "iss": "them", "may": all })), 401),
        (signed(SECRET, json!({ "iss": "us", "may": [{ "action": "metrics" }] })), 401),
        (signed(SECRET, json!({ "iss": "us" })), 401),
        (signed(b"another secret, of those who would like to be us", json!({ "iss": "us", "may": all })), 401),
        ("not.a.token".into(), 401),
    ] {
        let bearer = format!("Authorization: Bearer {token}");
        assert_eq!(curl(api, "GET", "/info", "", &["-H", &bearer]).await.status, status, "{token}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "the keys are kept");
    let nobody = curl(api, "GET", &format!("/info?jwt={good}"), "", &[]).await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Basic realm=\"mediamtx\""), "not in a query");
    // RTSP has no other place than the query, or the password, of which ffprobe takes only short ones.
    let read = ffprobe(&of(&service, "", &format!("?jwt={good}")), &["-rtsp_transport", "tcp"]).await;
    assert_eq!(read.unwrap()["width"], 640);
    for (password, status) in [(good.as_str(), "RTSP/1.0 200"), ("no", "RTSP/1.0 401")] {
        let shown = BASE64_STANDARD.encode(format!("x:{password}"));
        let url = service.url("camera0");
        let request = format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic {shown}\r\n\r\n");
        let mut socket = TcpStream::connect(("127.0.0.1", service.app.rtsp_port())).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        socket.read_exact(&mut start).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&start), status);
    }
    let bearer = format!("Authorization: Bearer {good}");
    assert_eq!(curl(api, "POST", "/auth/jwks/refresh", "", &["-H", &bearer]).await.status, 200);
    assert_eq!(curl(api, "GET", "/info", "", &["-H", &bearer]).await.status, 200);
    assert_eq!(asked.lock().unwrap().len(), 2, "and forgotten when that is wanted");
    service.stop().await;
}
