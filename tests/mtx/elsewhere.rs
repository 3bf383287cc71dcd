//! Who may, as another server says, or the signature of a token.

use std::sync::{Arc, Mutex};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    curl, done,
    hand::Hand,
    support::{
        Camera, SMALL, Service,
        peers::{ffprobe, run},
    },
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
    let allows = |question: &Value| match question["password"].as_str() {
        Some("pw") => 204,
        // To nowhere.
        Some("moved") => 302,
        _ => 403,
    };
    let (url, asked) = server(move |question| (allows(question), String::new())).await;
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
    for wrong in ["me:no", "me:moved"] {
        assert_eq!(curl(api, "GET", "/info", "", &["-u", wrong]).await.status, 401, "{wrong}");
    }
    assert_eq!(ffprobe(&of(&service, "me:pw@", ""), &["-rtsp_transport", "tcp"]).await.unwrap()["width"], 640);
    let question = asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (&question["action"], &question["path"], &question["protocol"]),
        (&json!("read"), &json!("camera0"), &json!("rtsp"))
    );
    assert!(ffprobe(&of(&service, "me:no@", ""), &["-rtsp_transport", "tcp"]).await.unwrap_err().contains("401"));

    // Once for the connection and once for the session, by which whoever is asked can have it ended.
    let mut hand = Hand::connect(&service, "camera0").await;
    let shown = format!("User-Agent: hand\r\nAuthorization: Basic {}\r\n", BASE64_STANDARD.encode("me:pw"));
    assert_eq!(hand.ask("DESCRIBE", "", &shown).await.status, 200);
    let wanted = format!("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n{shown}");
    assert_eq!(hand.ask("SETUP", "/trackID=0", &wanted).await.status, 200);
    let questions = asked.lock().unwrap().clone();
    let [described, set_up] = &questions[questions.len() - 2..] else { unreachable!("there are two") };
    let known = async |what: &str| curl(api, "GET", what, "", &["-u", "me:pw"]).await.json()["items"][0]["id"].clone();
    for (question, id) in [(described, known("/rtspconns/list").await), (set_up, known("/rtspsessions/list").await)] {
        assert_eq!((&question["action"], &question["userAgent"]), (&json!("read"), &json!("hand")));
        assert_eq!(question["id"], id);
        assert!(id.is_string());
    }
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

/// A key that signs, and the public half as a set of keys has it (RFC 7517, RFC 7518, RFC 8037).
type Signer = (EncodingKey, Value);

fn elliptic(curve: &str, kind: &'static rcgen::SignatureAlgorithm) -> Signer {
    let pair = KeyPair::generate_for(kind).unwrap();
    let point = pair.der_bytes();
    // Uncompressed: a 4, x and y (SEC 1, 2.3.3).
    let half = point.len() / 2;
    let [x, y] = [&point[1..=half], &point[half + 1..]].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let key = json!({ "kty": "EC", "kid": curve, "use": "sig", "crv": curve, "x": x, "y": y });
    (EncodingKey::from_ec_der(&pair.serialize_der()), key)
}

fn edwards() -> Signer {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair.der_bytes());
    let key = json!({ "kty": "OKP", "kid": "ed", "alg": "EdDSA", "crv": "Ed25519", "x": x });
    (EncodingKey::from_ed_der(&pair.serialize_der()), key)
}

/// Made by openssl; that and the modulus.
async fn rsa(folder: &std::path::Path) -> (Signer, Vec<u8>) {
    let [pem, der] = ["rsa.pem", "rsa.der"].map(|name| folder.join(name).display().to_string());
    run("openssl", &["genrsa", "-traditional", "-out", &pem, "2048"]).await.unwrap();
    run("openssl", &["rsa", "-in", &pem, "-traditional", "-outform", "DER", "-out", &der]).await.unwrap();
    let modulus = run("openssl", &["rsa", "-in", &pem, "-noout", "-modulus"]).await.unwrap();
    let modulus = modulus.trim().strip_prefix("Modulus=").unwrap();
    let byte = |at: usize| u8::from_str_radix(&modulus[at..at + 2], 16).unwrap();
    let modulus: Vec<u8> = (0..modulus.len()).step_by(2).map(byte).collect();
    let n = BASE64_URL_SAFE_NO_PAD.encode(&modulus);
    let key = json!({ "kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": n, "e": "AQAB" });
    ((EncodingKey::from_rsa_der(&std::fs::read(der).unwrap()), key), modulus)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_count_and_each_for_what_it_is_alone() {
    let service = Service::start(SMALL).await;
    let api = service.app.engine_addresses().api.unwrap();
    let ((rsa, rsa_key), modulus) = rsa(service.folder.path()).await;
    let (p256, p256_key) = elliptic("P-256", &PKCS_ECDSA_P256_SHA256);
    let (p384, p384_key) = elliptic("P-384", &PKCS_ECDSA_P384_SHA384);
    let (ed, ed_key) = edwards();
    let other = elliptic("P-256", &PKCS_ECDSA_P256_SHA256).0;
    let mut for_secrets = rsa_key.clone();
    (for_secrets["kid"], for_secrets["use"]) = (json!("enc"), json!("enc"));
    // Of a kind that nobody here knows; the others count all the same.
    let odd = json!({ "kty": "EC", "kid": "odd", "crv": "secp256k1", "x": "AA", "y": "AA" });
    let keys = json!({ "keys": [odd, rsa_key, for_secrets, p256_key, p384_key, ed_key] }).to_string();
    let (url, _) = server(move |_| (200, keys.clone())).await;
    let body = json!({ "authMethod": "jwt", "authJWTJWKS": url, "authJWTClaimKey": "may" });
    done(&service, "PATCH", "/config/global/patch", &body.to_string()).await;

    let public = EncodingKey::from_secret(&modulus);
    let empty = EncodingKey::from_secret(b"");
    use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256};
    for (what, algorithm, key, id, status) in [
        ("RSA", RS256, &rsa, Some("rsa"), 200),
        ("P-256", ES256, &p256, Some("P-256"), 200),
        ("P-384", ES384, &p384, Some("P-384"), 200),
        ("Ed25519", EdDSA, &ed, Some("ed"), 200),
        ("no name of a key: all are tried", EdDSA, &ed, None, 200),
        ("a key that is not in the set", ES256, &other, Some("P-256"), 401),
        ("the name of another key", ES256, &p256, Some("ed"), 401),
        ("the name of no key", ES256, &p256, Some("none"), 401),
        ("another algorithm than the key is for", PS256, &rsa, Some("rsa"), 401),
        ("a key that is not for signatures", RS256, &rsa, Some("enc"), 401),
        ("a public key as the secret", HS256, &public, Some("rsa"), 401),
        ("a public key as the secret, and no name", HS256, &public, None, 401),
        ("nothing as the secret", HS256, &empty, None, 401),
    ] {
        let header = Header { kid: id.map(Into::into), ..Header::new(algorithm) };
        let token = encode(&header, &json!({ "may": [{ "action": "api" }] }), key).unwrap();
        let bearer = format!("Authorization: Bearer {token}");
        assert_eq!(curl(api, "GET", "/info", "", &["-H", &bearer]).await.status, status, "{what}");
    }
    // A token without a signature (RFC 7519, 6).
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let bare = format!("{}.{}.", part(json!({ "alg": "none" })), part(json!({ "may": [{ "action": "api" }] })));
    let bearer = format!("Authorization: Bearer {bare}");
    assert_eq!(curl(api, "GET", "/info", "", &["-H", &bearer]).await.status, 401);
    service.stop().await;
}
