//! TLS on both ports, with clients that share no code with the service where there are some.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::{fs, net::SocketAddr, path::PathBuf, process::Output, sync::Arc};

use camera_service::{app::App, config::Config};
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use support::{PATIENCE, SMALL};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// An authority, and the folder with the files of the service it vouches for.
struct Desk {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    config: PathBuf,
}

impl Desk {
    /// With a good certificate for `localhost`.
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (folder, config) = support::configured(SMALL);
        let root = folder.path().display();
        let tls =
            format!("security:\n  ssl: {{ enabled: true, cert_file: {root}/cert.pem, key_file: {root}/key.pem }}\n");
        let yaml = fs::read_to_string(&config).unwrap().replace("security:\n", &tls);
        fs::write(&config, yaml).unwrap();
        let desk = Self { authority, folder, config };
        fs::write(desk.file("ca.pem"), desk.authority.pem()).unwrap();
        desk.certify(for_localhost());
        desk
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the pair, each file as a whole.
    fn certify(&self, params: CertificateParams) {
        let pair = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&pair, &self.authority).unwrap();
        for (name, text) in [("cert.pem", certificate.pem()), ("key.pem", pair.serialize_pem())] {
            fs::write(self.file("new"), text).unwrap();
            fs::rename(self.file("new"), self.file(name)).unwrap();
        }
    }

    async fn start(&self) -> Running {
        let loaded =
            Config::load(Some(&self.config), std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
        let (devices, events) = mpsc::channel(1);
        Running { app: App::start_with(loaded.config, events).await.unwrap(), _devices: devices }
    }

    /// Believes the authority and nobody else.
    async fn shake(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
    }

    async fn open(&self, address: SocketAddr) -> Socket {
        let url = format!("wss://localhost:{}/ws", address.port());
        client_async(url, self.shake(address).await.unwrap()).await.unwrap().0
    }

    async fn curl(&self, arguments: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        // What is only trusted for this, and no proxy in between.
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--cacert"]).arg(self.file("ca.pem")).args(arguments);
        curl.output().await.unwrap()
    }

    async fn ctl(&self, port: u16, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camera-service"));
        command.arg("--config").arg(&self.config).arg("ctl").args(arguments);
        command.env("CAMERA_SERVICE__SERVER__PORT", port.to_string()).env_remove("CAMERA_SERVICE_TOKEN");
        command.output().await.unwrap()
    }
}

struct Running {
    app: App,
    _devices: mpsc::Sender<camera_service::device::DeviceEvent>,
}

impl Running {
    async fn stop(self) {
        timeout(PATIENCE, self.app.drain()).await.expect("drained in time");
    }
}

fn for_localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

fn expired() -> CertificateParams {
    let mut params = for_localhost();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn ping(socket: &mut Socket) {
    socket.send(Message::text(r#"{"jsonrpc":"2.0","method":"ping","id":1}"#)).await.unwrap();
    let answer = timeout(PATIENCE, socket.next()).await.expect("an answer").unwrap().unwrap();
    assert_eq!(answer.to_text().unwrap(), r#"{"jsonrpc":"2.0","result":"pong","id":1}"#);
}

/// The certificate that the other side has shown.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_downloads_and_probes_are_encrypted() {
    let desk = Desk::new();
    let service = desk.start().await;
    let (control, health) = (service.app.control_address(), service.app.health_address());
    let mut socket = desk.open(control).await;
    ping(&mut socket).await;

    let alive = desk.curl(&[&format!("https://localhost:{}/health/live", health.port())]).await;
    assert!(String::from_utf8_lossy(&alive.stdout).contains("\"alive\":true"), "{alive:?}");
    fs::write(desk.file("state/snapshots/one.jpg"), vec![7; 300_000]).unwrap();
    let bearer = format!("authorization: Bearer {}", support::token("viewer"));
    let picture = format!("https://localhost:{}/files/snapshots/one.jpg", control.port());
    let picture = desk.curl(&["--header", &bearer, &picture]).await;
    assert!(picture.status.success() && picture.stdout == vec![7; 300_000], "{:?}", picture.status);

    drop(socket);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_no_tls_is_let_go_and_nobody_else_minds() {
    let desk = Desk::new();
    let service = desk.start().await;
    let control = service.app.control_address();
    let mut silent = TcpStream::connect(control).await.unwrap();
    for address in [control, service.app.health_address()] {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET /ws HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // Not reset: it is closed as connections are.
        timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    ping(&mut desk.open(control).await).await;
    service.stop().await;
    timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("closed with the service").ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections() {
    let desk = Desk::new();
    let service = desk.start().await;
    let control = service.app.control_address();
    let mut running = desk.open(control).await;
    let first = shown(running.get_ref());
    desk.certify(for_localhost());
    let renewed = async {
        while shown(&desk.shake(control).await.unwrap()) == first {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("the new certificate");
    let wanted = CertificateDer::from_pem_file(desk.file("cert.pem")).unwrap();
    assert_eq!(shown(&desk.shake(service.app.health_address()).await.unwrap()), wanted, "on both ports");
    // The one that was there goes on.
    ping(&mut running).await;
    ping(&mut desk.open(control).await).await;
    drop(running);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_refuse_what_is_expired_of_another_name_or_of_nobody_known() {
    let desk = Desk::new();
    let other = CertificateParams::new(["other.example".to_owned()]).unwrap();
    for (params, why) in [(expired(), "Expired"), (other, "not valid for name")] {
        desk.certify(params);
        let service = desk.start().await;
        let port = service.app.control_address().port();
        let refusal = desk.shake(service.app.control_address()).await.unwrap_err().to_string();
        assert!(refusal.to_lowercase().contains(&why.to_lowercase()), "{refusal}, not {why}");
        let health = format!("https://localhost:{}/health/live", service.app.health_address().port());
        let refused = desk.curl(&[&health]).await;
        let complaint = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(60), "{complaint}");
        assert!(complaint.contains("has expired") || complaint.contains("no alternative certificate"), "{complaint}");
        let url = format!("wss://localhost:{port}/ws");
        let ca = desk.file("ca.pem").display().to_string();
        let output = desk.ctl(port, &["--url", &url, "--ca", &ca, "list"]).await;
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        // The service on this machine is the one that shows the configured file.
        let output = desk.ctl(port, &["list"]).await;
        assert!(output.status.success(), "{output:?}");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_in_the_box_believes_whom_it_is_told_to() {
    let desk = Desk::new();
    let service = desk.start().await;
    let port = service.app.control_address().port();
    let url = format!("wss://localhost:{port}/ws");
    let (ca, own) = (desk.file("ca.pem").display().to_string(), desk.file("cert.pem").display().to_string());
    for arguments in [vec!["list"], vec!["--url", &url, "--ca", &ca, "list"], vec!["--ca", &own, "list"]] {
        let output = desk.ctl(port, &arguments).await;
        let expected = if arguments[0] == "--ca" { Some(69) } else { Some(0) };
        assert_eq!(output.status.code(), expected, "{arguments:?}: {output:?}");
    }
    let stranger = desk.ctl(port, &["--url", &url, "list"]).await;
    assert_eq!(stranger.status.code(), Some(69), "{stranger:?}");
    let nothing = desk.ctl(port, &["--url", &url, "--ca", "/dev/null", "list"]).await;
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no certificate in it"), "{nothing:?}");
    service.stop().await;

    // As `openssl req -x509` makes it: an authority that vouches for itself.
    let pair = KeyPair::generate().unwrap();
    let mut params = for_localhost();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(desk.file("cert.pem"), params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(desk.file("key.pem"), pair.serialize_pem()).unwrap();
    let service = desk.start().await;
    let port = service.app.control_address().port();
    let (url, by_address) = (format!("wss://localhost:{port}/ws"), format!("wss://127.0.0.1:{port}/ws"));
    let output = desk.ctl(port, &["--url", &url, "--ca", &own, "list"]).await;
    assert!(output.status.success(), "{output:?}");
    let output = desk.ctl(port, &["--url", &by_address, "--ca", &own, "list"]).await;
    assert_eq!(output.status.code(), Some(69), "the name is looked at: {output:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_pair_that_does_not_belong_together_stops_the_start() {
    let desk = Desk::new();
    fs::write(desk.file("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let config = Config::load(Some(&desk.config), std::iter::empty()).unwrap().config;
    let (_devices, events) = mpsc::channel(1);
    let Err(error) = App::start_with(config, events).await else { panic!("it has started") };
    assert!(error.message().contains("key.pem is not the key of the first certificate in"), "{error}");
}
