//! The service as a whole: how it is, what it is, and what it has.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Command, Gateway, NoParams,
    access::{Caller, Role},
    files::Kind,
    health::Condition,
    library::on_disk,
    streams::hundredths,
};
use crate::{
    camera::Connection,
    error::Result,
    id::CameraId,
    media,
    output::storage::{self, Space},
    path::Phase,
};

/// How a part of the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Running {
    /// It works.
    Running,
    /// It was not started, or has ended.
    Stopped,
    /// It is being ended.
    Stopping,
}

/// `get_status`: whether all is well.
pub struct GetStatus;

/// The reply of [`GetStatus`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ServiceStatus")]
pub struct Status {
    /// `HEALTHY`, `DEGRADED` or `UNHEALTHY`, as the health probes say it in small letters.
    status: String,
    /// Seconds.
    uptime: f64,
    version: &'static str,
    components: Components,
}

/// The parts, by the names clients know.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ServiceComponents")]
pub struct Components {
    websocket_server: Running,
    camera_monitor: Running,
    /// The media engine in this process.
    mediamtx: Running,
}

impl Command for GetStatus {
    const METHOD: &'static str = "get_status";
    const SUMMARY: &'static str = "Whether all is well.";
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = NoParams;
    type Reply = Status;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<Status> {
        let health = gateway.health();
        let unless_stopping = |running| match gateway.stopping.is_cancelled() {
            true => Running::Stopping,
            false => running,
        };
        let watching = if gateway.cameras.watching() { Running::Running } else { Running::Stopped };
        Ok(Status {
            status: match health.status() {
                Condition::Healthy => "HEALTHY",
                Condition::Degraded => "DEGRADED",
                Condition::Unhealthy => "UNHEALTHY",
            }
            .to_owned(),
            uptime: health.uptime.as_secs_f64(),
            version: env!("CARGO_PKG_VERSION"),
            components: Components {
                websocket_server: unless_stopping(Running::Running),
                camera_monitor: unless_stopping(watching),
                mediamtx: unless_stopping(Running::Running),
            },
        })
    }
}

/// `get_system_status`: whether the cameras that are there can be used yet.
pub struct GetSystemStatus;

/// The reply of [`GetSystemStatus`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct SystemStatus {
    status: Readiness,
    message: String,
    available_cameras: Vec<String>,
    /// Whether cameras that are plugged in are noticed.
    discovery_active: bool,
}

/// How far the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// A camera's first frame is awaited.
    Starting,
    /// A camera is there and does not work.
    Partial,
    /// All cameras that are there work.
    Ready,
}

impl Command for GetSystemStatus {
    const METHOD: &'static str = "get_system_status";
    const SUMMARY: &'static str = "Whether the cameras that are there can be used yet.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = SystemStatus;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<SystemStatus> {
        let cameras = gateway.cameras.list();
        let starting = gateway.paths.list().iter().filter(|path| matches!(path.phase, Phase::Starting(_))).count();
        let broken = cameras.iter().filter(|camera| matches!(camera.connection, Connection::Error(_))).count();
        let available: Vec<_> = cameras
            .into_iter()
            .filter(|camera| matches!(camera.connection, Connection::Connected))
            .map(|camera| camera.device)
            .collect();
        let (status, message) = match (broken, starting) {
            (0, 0) => (Readiness::Ready, format!("{} cameras can be used", available.len())),
            (0, _) => (Readiness::Starting, format!("{starting} cameras are starting")),
            _ => (Readiness::Partial, format!("{broken} cameras do not work now; they are tried again")),
        };
        Ok(SystemStatus { status, message, available_cameras: available, discovery_active: gateway.cameras.watching() })
    }
}

/// `get_server_info`: what this service is and can do.
pub struct GetServerInfo;

/// The reply of [`GetServerInfo`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerInfo {
    name: &'static str,
    version: &'static str,
    /// The day it was built, or `SOURCE_DATE_EPOCH` says it was.
    build_date: &'static str,
    architecture: &'static str,
    capabilities: [&'static str; 5],
    /// Endings of the files it writes.
    supported_formats: Vec<&'static str>,
    max_cameras: u32,
    gstreamer_version: String,
    /// Encoders that work here, the best first.
    encoders: Vec<String>,
}

impl Command for GetServerInfo {
    const METHOD: &'static str = "get_server_info";
    const SUMMARY: &'static str = "What this service is and can do.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = ServerInfo;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<ServerInfo> {
        Ok(ServerInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            build_date: env!("BUILD_DATE"),
            architecture: std::env::consts::ARCH,
            capabilities: ["hotplug", "rtsp", "recording", "snapshots", "on_demand"],
            supported_formats: vec!["fmp4", "mp4", "mkv", "mpegts", "jpeg", "png"],
            max_cameras: CameraId::COUNT,
            gstreamer_version: media::version(),
            encoders: gateway.paths.encoders().iter().map(ToString::to_string).collect(),
        })
    }
}

/// `get_storage_info`: the room there is, and what recordings and snapshots take of it.
pub struct GetStorageInfo;

/// The reply of [`GetStorageInfo`]. Sizes are bytes; those of the disk are of the one with the recordings.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StorageInfo {
    total_space: u64,
    used_space: u64,
    available_space: u64,
    /// Percent, two digits.
    usage_percentage: f64,
    recordings_size: u64,
    snapshots_size: u64,
    low_space_warning: bool,
}

impl Command for GetStorageInfo {
    const METHOD: &'static str = "get_storage_info";
    const SUMMARY: &'static str = "The room there is, and what recordings and snapshots take of it.";
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = NoParams;
    type Reply = StorageInfo;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<StorageInfo> {
        let (recordings, snapshots) = (gateway.indexes.of(Kind::Recording), gateway.indexes.of(Kind::Snapshot));
        let folder = gateway.folder(Kind::Recording).to_owned();
        let (space, recordings_size, snapshots_size) = on_disk(move || {
            Ok((storage::space(&folder)?, storage::bytes_of(&recordings)?, storage::bytes_of(&snapshots)?))
        })
        .await?;
        let Space { total, available } = space;
        Ok(StorageInfo {
            total_space: total,
            used_space: space.used(),
            available_space: available,
            usage_percentage: hundredths(space.percent_used()),
            recordings_size,
            snapshots_size,
            low_space_warning: space.percent_used() >= f64::from(gateway.defaults().warn_percent),
        })
    }
}
