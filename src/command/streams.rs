//! Streams: where they are found, how they are, and having them run.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Command, Gateway, NoParams, Timestamp,
    access::{Caller, Role},
    cameras::OneCamera,
    pipeline::State,
    recordings::whole_seconds,
};
use crate::{
    camera::Connection,
    error::Result,
    output::rtsp::Readers,
    path::{PathStatus, Phase},
    stream::Stream,
};

/// `get_stream_url`: the URL of a camera's stream, and whether a reader would be served.
pub struct GetUrl;

/// The reply of [`GetUrl`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct StreamUrl {
    device: String,
    stream_name: String,
    stream_url: String,
    available: bool,
    active_consumers: usize,
    stream_status: StreamStatus,
}

/// Whether a stream can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamStatus {
    /// Frames flow, or would for the first reader.
    Ready,
    /// The camera is away or starting.
    NotReady,
    /// Starting it has failed; it is tried again.
    Error,
}

impl Command for GetUrl {
    const METHOD: &'static str = "get_stream_url";
    const SUMMARY: &'static str = "The URL of a camera's stream, and whether a reader would be served.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = StreamUrl;

    async fn run(params: OneCamera, caller: &Caller, gateway: &Gateway) -> Result<StreamUrl> {
        let camera = gateway.source(&params.device)?;
        let device = camera.device;
        // A camera that has not been plugged in since the start has no path yet.
        let path = gateway.paths.status(&device).ok();
        let available = path.as_ref().is_some_and(|path| path.open);
        Ok(StreamUrl {
            stream_name: device.clone(),
            stream_url: gateway.rtsp_url(caller, &device),
            available,
            active_consumers: gateway.paths.readers(&device).count,
            stream_status: match camera.connection {
                Connection::Error(_) => StreamStatus::Error,
                _ if available => StreamStatus::Ready,
                _ => StreamStatus::NotReady,
            },
            device,
        })
    }
}

/// `get_stream_status`: what a stream does at the moment.
pub struct GetStatus;

/// The reply of [`GetStatus`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct StreamDetails {
    device: String,
    stream_name: String,
    status: Activity,
    ready: bool,
    mediamtx_path: MediamtxPath,
    metrics: Metrics,
    /// Since when frames flow; null when they do not.
    start_time: Option<Timestamp>,
    pipeline: Pipeline,
}

/// Whether frames flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Activity {
    /// They do.
    Active,
    /// The camera is away, or nobody wants its stream.
    Inactive,
    /// The first is awaited.
    Starting,
    /// The camera is being let go of.
    Stopping,
    /// The camera is there and its pipeline has failed; it is tried again.
    Error,
}

/// The stream as a path of a media server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MediamtxPath {
    /// A reader would be let in.
    exists: bool,
    ready: bool,
    readers: usize,
}

/// Counters of a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamMetrics")]
pub struct Metrics {
    /// Bytes of frames sent to RTSP readers.
    bytes_sent: u64,
    frames_sent: u64,
    /// Bits per second that the camera's stream has, over its newest GOPs.
    bitrate: u64,
    /// Frames per second, likewise; two digits.
    fps: f64,
}

/// The pipeline behind a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamPipeline")]
pub struct Pipeline {
    /// Null while there can be none.
    state: Option<State>,
    /// Null where the camera's own frames go out untouched.
    encoder: Option<String>,
    /// From capture to the encoded frame, of the newest frame; null when there is none.
    latency_ms: Option<f64>,
}

impl Metrics {
    /// Those of a stream, or of none.
    pub(super) fn new(readers: Readers, stream: Option<&Stream>) -> Self {
        let rates = stream.map(Stream::stats).unwrap_or_default();
        Self {
            bytes_sent: readers.bytes_sent,
            frames_sent: readers.frames_sent,
            bitrate: rates.bitrate.round() as u64,
            fps: hundredths(rates.fps),
        }
    }
}

impl Activity {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Streaming(_) => Self::Active,
            Phase::Starting(_) => Self::Starting,
            Phase::Stopping(_) => Self::Stopping,
            Phase::Waiting { .. } | Phase::Wedged(_) => Self::Error,
            Phase::Away | Phase::Idle | Phase::Closed => Self::Inactive,
        }
    }
}

impl Command for GetStatus {
    const METHOD: &'static str = "get_stream_status";
    const SUMMARY: &'static str = "What a stream does at the moment.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = OneCamera;
    type Reply = StreamDetails;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<StreamDetails> {
        let device = gateway.find(&params.device)?;
        // A camera that has not been plugged in since the start has no path yet.
        let path = gateway.paths.status(&device).ok();
        let readers = gateway.paths.readers(&device);
        let stats = path.as_ref().and_then(|path| path.stream.as_ref()).map(|stream| stream.stats());
        let phase = path.as_ref().map_or(Phase::Away, |path| path.phase);
        let plan = path.as_ref().and_then(|path| path.plan.as_ref());
        Ok(StreamDetails {
            stream_name: device.clone(),
            device,
            status: Activity::of(phase),
            ready: stats.is_some(),
            mediamtx_path: MediamtxPath {
                exists: path.as_ref().is_some_and(|path| path.open),
                ready: stats.is_some(),
                readers: readers.count,
            },
            metrics: Metrics::new(readers, path.as_ref().and_then(|path| path.stream.as_deref())),
            start_time: path.as_ref().and_then(|path| path.streaming_since).map(Timestamp),
            pipeline: Pipeline {
                state: State::of(phase),
                encoder: plan.and_then(|plan| plan.encoder).map(|encoder| encoder.to_string()),
                latency_ms: stats.map(|stats| hundredths(stats.delay.as_secs_f64() * 1e3)),
            },
        })
    }
}

/// `get_streams`: all streams there are, by name.
pub struct List;

/// One of the reply of [`List`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedStream")]
pub struct Listed {
    name: String,
    /// The camera's name; for an admin its node.
    source: String,
    ready: bool,
    readers: usize,
    bytes_sent: u64,
}

impl Command for List {
    const METHOD: &'static str = "get_streams";
    const SUMMARY: &'static str = "All streams there are, by name.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = Vec<Listed>;

    async fn run(_: NoParams, caller: &Caller, gateway: &Gateway) -> Result<Vec<Listed>> {
        let listed = |path: PathStatus| {
            let readers = gateway.paths.readers(&path.name);
            let node = path.plan.as_ref().and_then(|plan| plan.node.as_ref()).filter(|_| caller.sees_host());
            let remote = path.plan.as_ref().and_then(|plan| plan.remote.as_ref());
            let source = match (node, remote) {
                (Some(node), _) => node.display().to_string(),
                (None, Some(url)) => caller.url(url),
                (None, None) => gateway.cameras.status(&path.name).map(|camera| camera.name).unwrap_or_default(),
            };
            Listed {
                name: path.name,
                source,
                ready: path.stream.is_some(),
                readers: readers.count,
                bytes_sent: readers.bytes_sent,
            }
        };
        Ok(gateway.paths.list().into_iter().map(listed).collect())
    }
}

/// `start_streaming`: has a camera stream before somebody reads it.
pub struct Start;

/// The reply of [`Start`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamingStarted")]
pub struct Started {
    device: String,
    stream_name: String,
    stream_url: String,
    #[schemars(extend("const" = "STARTED"))]
    status: &'static str,
    start_time: Timestamp,
    /// Seconds after the last reader when it stops by itself; null: it runs as long as the camera is there.
    auto_close_after: Option<f64>,
}

impl Command for Start {
    const METHOD: &'static str = "start_streaming";
    const SUMMARY: &'static str = "Has a camera stream before somebody reads it.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// The camera has to start first.
    const DEADLINE: Duration = Duration::from_secs(30);
    type Params = OneCamera;
    type Reply = Started;

    async fn run(params: OneCamera, caller: &Caller, gateway: &Gateway) -> Result<Started> {
        let device = gateway.find(&params.device)?;
        let started = gateway.paths.start_streaming(&device).await?;
        Ok(Started {
            stream_name: device.clone(),
            stream_url: gateway.rtsp_url(caller, &device),
            device,
            status: "STARTED",
            start_time: Timestamp(started.since),
            auto_close_after: started.closes_after.map(|after| after.as_secs_f64()),
        })
    }
}

/// `stop_streaming`: takes `start_streaming` back. Readers and recordings go on.
pub struct Stop;

/// The reply of [`Stop`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamingStopped")]
pub struct Stopped {
    device: String,
    stream_name: String,
    #[schemars(extend("const" = "STOPPED"))]
    status: &'static str,
    start_time: Timestamp,
    end_time: Timestamp,
    /// Whole seconds.
    duration: u64,
    /// It is read or recorded, or always on.
    stream_continues: bool,
}

impl Command for Stop {
    const METHOD: &'static str = "stop_streaming";
    const SUMMARY: &'static str = "Takes start_streaming back; readers and recordings go on.";
    const ROLE: Option<Role> = Some(Role::Operator);
    type Params = OneCamera;
    type Reply = Stopped;

    async fn run(params: OneCamera, _: &Caller, gateway: &Gateway) -> Result<Stopped> {
        let device = gateway.find(&params.device)?;
        let stopped = gateway.paths.stop_streaming(&device).await?;
        let now = SystemTime::now();
        Ok(Stopped {
            stream_name: device.clone(),
            device,
            status: "STOPPED",
            start_time: Timestamp(stopped.since),
            end_time: Timestamp(now),
            duration: whole_seconds(now.duration_since(stopped.since).unwrap_or_default()),
            stream_continues: stopped.goes_on,
        })
    }
}

/// Two digits behind the point.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
