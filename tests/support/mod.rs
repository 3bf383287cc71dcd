//! A whole service on free ports, with devices that tests plug in. The two seams are the device events and the launch
//! files, in which `videotestsrc` stands for `v4l2src`; everything else is the real thing.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

pub mod disk;
pub mod http;
pub mod peers;
pub mod process;
pub mod remote;
pub mod rpc;
pub mod schema;

use std::{fs, path::PathBuf, sync::LazyLock, time::Duration};

use camera_service::{
    api,
    app::App,
    command::token::{Secret, make_token},
    config::Config,
    device::{Capture, Device, DeviceEvent, Usb},
    error::Error,
    mode::{FourCc, Mode, Rate},
    path::PathStatus,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

/// How long anything may take that is expected to happen. Only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A secret of the length that is asked for.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What the service says of itself.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let document = api::rpc::document("ws://localhost:8002/ws").expect("it is written");
    serde_json::to_value(document).expect("it is JSON")
});

/// The same, to hold replies against.
pub static PUBLISHED: LazyLock<schema::Published> = LazyLock::new(|| schema::Published::new(&DOCUMENT));

/// A running service and the hand that plugs cameras into it.
pub struct Service {
    pub app: App,
    pub folder: TempDir,
    devices: mpsc::Sender<DeviceEvent>,
}

/// A folder with a configuration file in it: free ports, folders of its own, small pictures, no test pattern, cameras
/// that are GStreamer's test source. `extra` is more YAML, of sections that are not used here.
pub fn configured(extra: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    // How full the disk of this machine is, is no test's business unless it says so.
    let storage = if extra.contains("storage:") { "" } else { "storage: { warn_percent: 100, block_percent: 100 }" };
    let media = if extra.contains("mediamtx:") { "" } else { MEDIA };
    let yaml = format!(
        "
state_directory: {root}/state
pipelines_directory: {root}/pipelines
server: {{ host: 127.0.0.1, port: 0 }}
security:
  jwt: {{ secret_key: {SECRET} }}
  rate_limiting: {{ requests_per_minute: 1000000 }}
  health: {{ port: 0, bind_address: 127.0.0.1 }}
{media}
rtsp: {{ bind_address: 127.0.0.1 }}
{storage}
{extra}
"
    );
    let pipelines = folder.path().join("pipelines/source");
    fs::create_dir_all(&pipelines).unwrap();
    for (name, line) in CAMERAS {
        fs::write(pipelines.join(name), line).unwrap();
    }
    let file = folder.path().join("camera-service.yaml");
    fs::write(&file, yaml).unwrap();
    (folder, file)
}

/// Where nothing is said of the media engine.
const MEDIA: &str = "mediamtx: { host: 127.0.0.1, rtsp_port: 0, api_bind_address: 127.0.0.1, rtsps_port: 0, api_port: 0, \
                     metrics_port: 0, playback_port: 0 }";

/// What stands for `v4l2src` in the three sources. `device` has no meaning for them.
const CAMERAS: [(&str, &str); 3] = [
    ("raw.launch", "videotestsrc name=source is-live=true pattern=ball ! capsfilter name=mode"),
    (
        "mjpeg.launch",
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! jpegenc name=source ! capsfilter name=mode",
    ),
    (
        "h264.launch",
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! x264enc name=source tune=zerolatency speed-preset=ultrafast key-int-max=30 ! capsfilter name=mode",
    ),
];

/// Sections most tests want.
pub const SMALL: &str = "
camera: { test_pattern: never }
streams: { width: 640, height: 360, fps: 30 }
";

impl Service {
    /// Starts one with [`configured`] and this much more of a configuration.
    pub async fn start(extra: &str) -> Self {
        let (folder, file) = configured(extra);
        Self::start_in(folder, file).await
    }

    /// Starts one in a folder that an earlier one left.
    pub async fn start_in(folder: TempDir, file: PathBuf) -> Self {
        let loaded = Config::load(Some(&file), std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
        let (devices, events) = mpsc::channel(16);
        let app = App::start_with(loaded.config, events).await.unwrap();
        Self { app, folder, devices }
    }

    /// Takes it down and gives back its folder and configuration file.
    pub async fn stop(self) -> (TempDir, PathBuf) {
        timeout(PATIENCE, self.app.drain()).await.expect("drained in time");
        let file = self.folder.path().join("camera-service.yaml");
        (self.folder, file)
    }

    /// Plugs a camera in.
    pub async fn plug(&self, camera: &Camera) {
        let event = DeviceEvent::Ready { device: camera.device.clone(), capture: camera.capture.clone() };
        self.devices.send(event).await.unwrap();
    }

    /// Says of a camera that it is there and cannot be used.
    pub async fn trouble(&self, camera: &Camera, reason: Error) {
        self.devices.send(DeviceEvent::Unusable { device: camera.device.clone(), reason }).await.unwrap();
    }

    /// Pulls a camera out.
    pub async fn unplug(&self, camera: &Camera) {
        self.devices.send(DeviceEvent::Gone { node: camera.device.node.clone() }).await.unwrap();
    }

    /// Waits until a path is as wanted.
    pub async fn path(&self, name: &str, fits: impl Fn(&PathStatus) -> bool) -> PathStatus {
        let mut events = self.app.paths().events();
        let wait = async {
            loop {
                match self.app.paths().status(name) {
                    Ok(status) if fits(&status) => return status,
                    // A lagging receiver only means there is more to look at.
                    _ => drop(events.recv().await),
                }
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(status) => status,
            Err(_) => panic!("{name} is {:?}", self.app.paths().status(name).map(|s| (s.phase, s.trouble))),
        }
    }

    /// Waits until a path streams.
    pub async fn streaming(&self, name: &str) -> PathStatus {
        self.path(name, |status| status.stream.is_some()).await
    }

    /// Where a path is read.
    pub fn url(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.app.rtsp_port())
    }

    /// A recording's file.
    pub fn recording(&self, filename: &Value) -> PathBuf {
        self.folder.path().join("state/recordings").join(filename.as_str().expect("a file name"))
    }

    /// A client with this role.
    pub async fn client(&self, role: &str) -> rpc::Client {
        rpc::Client::authenticated(self.app.control_address(), &token(role)).await
    }
}

/// A token that the service takes.
pub fn token(role: &str) -> String {
    let secret = Secret::new(SECRET).unwrap();
    make_token(&secret, role.parse().unwrap(), Duration::from_secs(3600), "test").unwrap()
}

/// A camera to plug in.
#[derive(Clone)]
pub struct Camera {
    pub device: Device,
    pub capture: Capture,
}

impl Camera {
    /// A USB webcam on a port, with a serial number or without.
    pub fn usb(node: u32, port: &str, serial: Option<&str>) -> Self {
        let device = Device {
            node: format!("/dev/video{node}").into(),
            links: vec![format!("/dev/v4l/by-path/platform-usb-{port}-video-index0").into()],
            id_path: Some(format!("platform-usb-{port}")),
            index: 0,
            usb: Some(Usb { vendor: 0x46d, product: 0x82d, serial: serial.map(Into::into), interface: 0 }),
            name: "Test Webcam".into(),
        };
        let capture = Capture {
            driver: "uvcvideo".into(),
            card: "Test Webcam".into(),
            bus_info: format!("usb-{port}"),
            modes: vec![mode(*b"YUYV", 640, 360)],
        };
        Self { device, capture }
    }

    /// The same camera, offering this format.
    pub fn giving(mut self, format: [u8; 4]) -> Self {
        self.capture.modes = vec![mode(format, 640, 360)];
        self
    }
}

fn mode(format: [u8; 4], width: u32, height: u32) -> Mode {
    Mode { format: FourCc(format), width, height, rate: Rate::per_second(30) }
}
