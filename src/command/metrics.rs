//! Numbers for graphs.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use procfs::{Current, CurrentSI, KernelStats, Meminfo};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Clients, Command, Gateway, NoParams, Timestamp,
    access::{Caller, Role},
    cameras::Status,
    files,
    library::on_disk,
    streams::{Metrics as StreamMetrics, hundredths},
};
use crate::{
    error::{Error, Kind, Result},
    output::{snapshot::Counts, storage},
};

/// The time over which the processor is looked at.
const WINDOW: Duration = Duration::from_millis(250);

/// `get_metrics`: the machine, the cameras and their streams in numbers.
pub struct Get;

/// The reply of [`Get`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Metrics {
    timestamp: Timestamp,
    system_metrics: System,
    camera_metrics: Cameras,
    recording_metrics: Recordings,
    stream_metrics: Streams,
    snapshot_metrics: Snapshots,
    client_metrics: ClientMetrics,
}

/// The machine, in percent with two digits.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SystemMetrics")]
pub struct System {
    /// Of all processors, over the last quarter of a second.
    cpu_usage: f64,
    memory_usage: f64,
    /// Of the disk with the recordings.
    disk_usage: f64,
}

/// The cameras.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CamerasInNumbers")]
pub struct Cameras {
    connected_cameras: usize,
    cameras: BTreeMap<String, Camera>,
}

/// A camera.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CameraInNumbers")]
pub struct Camera {
    status: Status,
    readers: usize,
    #[serde(flatten)]
    stream: StreamMetrics,
}

/// The recordings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecordingsInNumbers")]
pub struct Recordings {
    active_recordings: usize,
}

/// The streams.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamsInNumbers")]
pub struct Streams {
    /// Frames flow.
    active_streams: usize,
    total_streams: usize,
    total_viewers: usize,
}

/// The snapshots since the start, those that are only handed out included.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SnapshotsInNumbers")]
pub struct Snapshots {
    /// Requests that were given a picture.
    given: u64,
    /// Pictures that were had for them without decoding: raw, or as the JPEG that the camera made.
    caught: u64,
    /// Pictures that were decoded for them.
    decoded: u64,
    /// Files that were encoded for them.
    encoded: u64,
    /// Requests that were refused because too many were under way.
    refused: u64,
}

impl From<Counts> for Snapshots {
    fn from(Counts { caught, decoded, encoded, given, refused }: Counts) -> Self {
        Self { given, caught, decoded, encoded, refused }
    }
}

/// The clients of the control port.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClientMetrics {
    /// WebSockets that are open.
    open_sockets: u32,
    /// Those that were refused because there were too many, since the start.
    refused_sockets: u64,
    /// Those that were dropped because they did not read.
    dropped_slow_sockets: u64,
    /// HTTP connections that are open and no sockets.
    open_connections: u32,
    /// Those that were refused because there were too many.
    refused_connections: u64,
}

impl ClientMetrics {
    fn of(clients: &Clients) -> Self {
        Self {
            open_sockets: clients.sockets.taken(),
            refused_sockets: clients.sockets.refused(),
            dropped_slow_sockets: clients.dropped_slow.load(Ordering::Relaxed),
            open_connections: clients.connections.taken(),
            refused_connections: clients.connections.refused(),
        }
    }
}

impl Command for Get {
    const METHOD: &'static str = "get_metrics";
    const SUMMARY: &'static str = "The machine, the cameras and their streams in numbers.";
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = NoParams;
    type Reply = Metrics;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<Metrics> {
        let before = on_disk(Processor::look).await?;
        tokio::time::sleep(WINDOW).await;
        let folder = gateway.folder(files::Kind::Recording).to_owned();
        let system_metrics = on_disk(move || System::look(&before, &folder)).await?;
        let paths = gateway.paths.list();
        let cameras: BTreeMap<_, _> = gateway
            .views()
            .iter()
            .map(|view| {
                let readers = gateway.paths.readers(&view.device);
                let path = paths.iter().find(|path| path.name == view.device);
                let stream = StreamMetrics::new(readers, path.and_then(|path| path.stream.as_deref()));
                (view.device.clone(), Camera { status: view.status, readers: readers.count, stream })
            })
            .collect();
        let is_connected = |camera: &&Camera| camera.status == Status::Connected;
        Ok(Metrics {
            timestamp: Timestamp(SystemTime::now()),
            system_metrics,
            stream_metrics: Streams {
                active_streams: paths.iter().filter(|path| path.stream.is_some()).count(),
                total_streams: paths.len(),
                total_viewers: paths.iter().map(|path| gateway.paths.readers(&path.name).count).sum(),
            },
            recording_metrics: Recordings {
                active_recordings: paths.iter().filter(|path| path.recording.is_some()).count(),
            },
            snapshot_metrics: gateway.paths.snapshot_counts().into(),
            client_metrics: ClientMetrics::of(&gateway.clients),
            camera_metrics: Cameras { connected_cameras: cameras.values().filter(is_connected).count(), cameras },
        })
    }
}

impl System {
    /// The machine now, its processors since `before`.
    fn look(before: &Processor, recordings: &Path) -> Result<Self> {
        let memory = Meminfo::current().map_err(|error| unreadable("/proc/meminfo", error))?;
        let free = memory.mem_available.unwrap_or(memory.mem_free) as f64;
        Ok(Self {
            cpu_usage: hundredths(Processor::look()?.busy_since(before)),
            memory_usage: hundredths(100.0 - free * 100.0 / memory.mem_total.max(1) as f64),
            disk_usage: hundredths(storage::space(recordings)?.percent_used()),
        })
    }
}

/// What all processors together have done since the machine was started, in ticks (proc(5), `/proc/stat`).
struct Processor {
    busy: u64,
    all: u64,
}

impl Processor {
    fn look() -> Result<Self> {
        let total = KernelStats::current().map_err(|error| unreadable("/proc/stat", error))?.total;
        let waiting = total.idle + total.iowait.unwrap_or(0);
        let others = [total.irq, total.softirq, total.steal].into_iter().flatten().sum::<u64>();
        let busy = total.user + total.nice + total.system + others;
        Ok(Self { busy, all: busy + waiting })
    }

    /// Percent.
    fn busy_since(&self, before: &Self) -> f64 {
        let (busy, all) = (self.busy.saturating_sub(before.busy), self.all.saturating_sub(before.all));
        busy as f64 * 100.0 / all.max(1) as f64
    }
}

fn unreadable(file: &str, error: procfs::ProcError) -> Error {
    Error::with_source(Kind::Dependency { dependency: "proc".into() }, format!("{file} cannot be read"), error)
}
