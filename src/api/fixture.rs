//! A served gateway without devices, for the tests of this floor. Devices are told of by hand and never opened: their
//! paths run on demand, and nobody demands.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

#[path = "../../tests/support/schema.rs"]
mod schema;

use super::{Listeners, Settings, rpc, serve};
use crate::{
    camera::{
        Cameras, ControlPolicy, Offer, Remembered, Service, TestPattern, identity::Identities, registry::Registry,
    },
    command::{
        Clients, Contents, Credentials, Defaults, Gateway, Indexes, NOTIFICATIONS, Rates, Role, RtspAddress,
        keys::{self, Keys, Wish},
        retention::{self, Policy, PolicyType, Retention},
        token::{Secret, Tokens, make_token},
        v3,
    },
    config,
    device::{Capture, Device, DeviceEvent},
    external,
    media::{self, launch::LaunchFiles},
    mode::{Mode, Rate},
    output::{
        recorder::RecordingFormat,
        rtsp::{RtspServer, RtspSettings},
        snapshot::{SnapshotFormat, SnapshotRequest},
        storage::{NamePattern, Uses},
    },
    path::{Doors, Folders, OwnFolders, Parts, PathSettings, Paths, RecordingRequest},
    pipeline::{Encoders, Wanted},
    stream::Limits,
};

/// Nothing here takes a fraction of it; it only ends a test that would hang.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What clients may be told.
pub(super) static PUBLISHED: LazyLock<schema::Published> = LazyLock::new(|| {
    let document = rpc::document("ws://localhost").unwrap();
    schema::Published::new(&serde_json::to_value(document).unwrap())
});

/// What no test makes unless it is about this: files of more than a month ago are deleted, and soon.
const RETENTION: retention::Settings = retention::Settings {
    policy: Policy {
        policy_type: PolicyType::Age,
        max_age_days: 30,
        max_size_gb: 10.0,
        min_free_gb: 0.0,
        cameras: Vec::new(),
        enabled: true,
    },
    auto_cleanup: true,
    every: Duration::from_millis(50),
    recording_days: 0,
    snapshot_days: 0,
    snapshots: 0,
};

pub(super) struct Served {
    pub(super) gateway: Arc<Gateway>,
    pub(super) control: SocketAddr,
    pub(super) health: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) folder: tempfile::TempDir,
    secret: Secret,
    devices: mpsc::Sender<DeviceEvent>,
    serving: JoinHandle<()>,
}

impl Served {
    pub(super) async fn start(server: config::Server) -> Self {
        Self::start_with(Settings { server, ..Settings::default() }).await
    }

    pub(super) async fn start_with(settings: Settings) -> Self {
        let sockets = settings.server.max_connections;
        Self::start_for(Clients::new(sockets, sockets), settings).await
    }

    pub(super) async fn start_for(clients: Clients, settings: Settings) -> Self {
        media::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let launch = LaunchFiles::new(None);
        let rtsp_settings = RtspSettings { port: 0, ..RtspSettings::default() };
        let rtsp = Arc::new(RtspServer::start(rtsp_settings, launch.clone()).unwrap());
        let rtsp_address = RtspAddress { host: None, port: rtsp.port() };
        let folders = Folders {
            recordings: folder.path().into(),
            fallback: None,
            own: OwnFolders::default(),
            snapshots: folder.path().into(),
            pattern: NamePattern::default(),
            uses: Uses::default(),
            doors: Doors::default(),
        };
        let rtsp_host = "localhost".into();
        let parts =
            Parts { launch, encoders: Arc::new(Encoders::default()), rtsp, rtsp_host, folders: folders.clone() };
        let paths = Paths::new(parts);
        let registry = Registry::new(Identities::default(), Vec::new());
        let remembered = Remembered::load(folder.path().join("controls.json")).unwrap();
        let (devices, device_events) = mpsc::channel(16);
        let (cameras, _) = Cameras::spawn(registry, remembered, offer(folder.path()), paths.clone(), device_events);

        let offered = offer(folder.path()).default.settings;
        let own = external::OwnServer { host: None, port: rtsp_address.port };
        let memory = external::Memory::load(&folder.path().join("external.json")).unwrap();
        let settled = external::Settings { path: offered, own };
        let streams = external::Streams::start(settled, memory.clone(), paths.clone()).await;
        let stopping = CancellationToken::new();
        let (discovery, _) = external::Discovery::start(Default::default(), memory, stopping.clone());

        let secret = Secret::new("0123456789abcdef0123456789abcdef").unwrap();
        let gateway = Arc::new(Gateway {
            cameras,
            external: streams,
            discovery,
            paths,
            indexes: Indexes::new(&folders, folder.path()),
            folders,
            contents: Contents::default(),
            retention: Retention::load(&folder.path().join("retention.json"), RETENTION),
            engine: v3::Engine::new(
                v3::Served {
                    udp: true,
                    ports: v3::Ports { api: Some(":9997".into()), ..v3::Ports::default() },
                    encrypted: false,
                    rtsp: ":8554".into(),
                    rtsps: None,
                    multicast: None,
                },
                v3::Allowed::default(),
            )
            .unwrap(),
            rates: Rates::new(1_000_000),
            clients,
            credentials: Credentials::new(Tokens::new(&secret), Keys::load(&keys_in(&folder))),
            rtsp: rtsp_address,
            defaults: std::sync::Mutex::new(Defaults {
                snapshot: SnapshotRequest {
                    format: SnapshotFormat::Jpeg,
                    quality: 90,
                    max_width: None,
                    max_height: None,
                },
                recording: RecordingRequest::new(RecordingFormat::Fmp4),
                warn_percent: 100,
            }),
            document: rpc::document("ws://localhost").unwrap(),
            started: Instant::now(),
            stopping,
            all_told: CancellationToken::new(),
            subscribers: Default::default(),
            notifications: broadcast::channel(NOTIFICATIONS).0,
        });
        let mediamtx = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = mediamtx.local_addr().unwrap();
        let listeners = Listeners {
            control: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            health: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            engine: v3::Ports { api: Some(mediamtx), metrics: None, playback: None },
            rtsps: None,
        };
        let (control, health) = (listeners.control.local_addr().unwrap(), listeners.health.local_addr().unwrap());
        let serving = tokio::spawn(serve(listeners, settings, Arc::clone(&gateway)));
        Self { gateway, control, health, api, folder, secret, devices, serving }
    }

    pub(super) fn token(&self, role: Role) -> String {
        self.token_for(role, Duration::from_secs(600))
    }

    /// A token that ends within the last second of `life`.
    pub(super) fn token_for(&self, role: Role, life: Duration) -> String {
        make_token(&self.secret, role, life, "tester").unwrap()
    }

    /// A new API key, known from now on, and its id.
    pub(super) fn key(&self, role: Role) -> (String, String) {
        let wish = Wish { role, name: Some("tester".into()), life: None };
        let (record, key) = keys::add(&keys_in(&self.folder), &wish).unwrap();
        self.gateway.credentials.keys().refresh();
        (key, record.id)
    }

    /// Revokes an API key. The service looks at the file by itself.
    pub(super) fn revoke(&self, id: &str) {
        keys::revoke(&keys_in(&self.folder), id).unwrap();
    }

    /// Tells of a webcam with modes such as `MJPG 1280x720@30`, and waits until it is a camera.
    pub(super) async fn plug(&self, node: &str, modes: &[&str]) {
        let device = Device {
            node: node.into(),
            links: Vec::new(),
            id_path: Some(format!("pci-0000:00:14.0-usb-0:{node}:1.0")),
            index: 0,
            usb: None,
            name: "Test Webcam".into(),
        };
        let (driver, card, bus_info) = ("uvcvideo".into(), "Test Webcam".into(), "usb-1".into());
        let modes = modes.iter().map(|text| mode(text)).collect();
        let mut events = self.gateway.cameras.events();
        let capture = Capture { driver, card, bus_info, modes };
        self.devices.send(DeviceEvent::Ready { device, capture }).await.unwrap();
        timeout(DEADLINE, events.recv()).await.expect("a camera").unwrap();
    }

    pub(super) async fn unplug(&self, node: &str) {
        self.devices.send(DeviceEvent::Gone { node: node.into() }).await.unwrap();
    }

    /// Stops serving and waits until every connection has ended.
    pub(super) async fn stop(self) {
        self.gateway.stopping.cancel();
        timeout(DEADLINE, self.serving).await.expect("every connection ends").unwrap();
    }
}

/// What came back over HTTP.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    /// A header's value; empty when it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or("")
    }
}

/// Sends one request, written by hand so that nothing tidies it up on the way. `headers` end with CR LF each.
pub(super) async fn http(address: SocketAddr, request_line: &str, headers: &str) -> Reply {
    let request = format!("{request_line}\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    timeout(DEADLINE, connection.read_to_string(&mut reply)).await.expect("a reply").unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

fn keys_in(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("api-keys.json")
}

fn offer(folder: &std::path::Path) -> Offer {
    let settings = PathSettings {
        always_on: false,
        close_after: Duration::from_secs(10),
        start_timeout: DEADLINE,
        frame_timeout: DEADLINE,
        stop_timeout: DEADLINE,
        ring: Limits::default(),
        publishing: crate::path::Publishing::Never,
        auto_record: None,
        always_available: None,
    };
    let controls = ControlPolicy { restore: true, fixed: Default::default() };
    Offer {
        default: Service { wanted: Wanted::default(), settings, name: None, controls },
        pinned: Vec::new(),
        test_pattern: TestPattern::Never,
        identities: folder.join("identities.json"),
    }
}

fn mode(text: &str) -> Mode {
    let (format, rest) = text.split_once(' ').unwrap();
    let (size, rate) = rest.split_once('@').unwrap();
    let (width, height) = size.split_once('x').unwrap();
    Mode {
        format: format.parse().unwrap(),
        width: width.parse().unwrap(),
        height: height.parse().unwrap(),
        rate: Rate::per_second(rate.parse().unwrap()),
    }
}
