//! Streams of other machines: adding, removing and listing them, and looking for more.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Command, Gateway, NoParams, Timestamp, Within,
    access::{Caller, Role},
    streams::hundredths,
};
use crate::{
    config::{LONGEST_INTERVAL, LONGEST_SCAN},
    error::Result,
    external::{ExternalStream, Found, StreamKind, Wish},
    path::Phase,
    rtsp_url::RtspUrl,
};

/// What an external stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamType {
    /// Any.
    #[default]
    GenericRtsp,
    /// A Skydio drone's.
    #[serde(rename = "skydio_stanag4609", alias = "skydio")]
    Skydio,
}

impl From<StreamType> for StreamKind {
    fn from(of: StreamType) -> Self {
        match of {
            StreamType::GenericRtsp => Self::Generic,
            StreamType::Skydio => Self::Skydio,
        }
    }
}

impl From<StreamKind> for StreamType {
    fn from(of: StreamKind) -> Self {
        match of {
            StreamKind::Generic => Self::GenericRtsp,
            StreamKind::Skydio => Self::Skydio,
        }
    }
}

impl Caller {
    /// A URL as this caller may see it: with its credentials for an admin alone.
    pub(super) fn url(&self, url: &RtspUrl) -> String {
        if self.sees_host() { url.expose().to_owned() } else { url.to_string() }
    }
}

/// `add_external_stream`: makes an RTSP stream of another machine a stream of this one.
pub struct Add;

/// The parameters of [`Add`].
#[derive(Deserialize, JsonSchema)]
pub struct AddParams {
    /// `rtsp://` or `rtsps://`, with credentials where they are asked for.
    stream_url: String,
    /// What it is called here: letters, digits and `-_.~`.
    stream_name: String,
    #[serde(default)]
    stream_type: StreamType,
}

/// The reply of [`Add`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExternalStreamAdded")]
pub struct Added {
    stream_url: String,
    stream_name: String,
    stream_type: StreamType,
    #[schemars(extend("const" = "ADDED"))]
    status: &'static str,
    timestamp: Timestamp,
}

impl Command for Add {
    const METHOD: &'static str = "add_external_stream";
    const SUMMARY: &'static str = "Pulls an RTSP stream of another machine and serves it under a name of its own.";
    const ROLE: Option<Role> = Some(Role::Operator);
    type Params = AddParams;
    type Reply = Added;

    async fn run(params: AddParams, caller: &Caller, gateway: &Gateway) -> Result<Added> {
        let AddParams { stream_url, stream_name: name, stream_type } = params;
        let url = RtspUrl::parse(&stream_url)?;
        let stream_url = caller.url(&url);
        gateway.external.add(ExternalStream { url, name: name.clone(), kind: stream_type.into() }).await?;
        let timestamp = Timestamp(SystemTime::now());
        Ok(Added { stream_url, stream_name: name, stream_type, status: "ADDED", timestamp })
    }
}

/// `remove_external_stream`: takes that back.
pub struct Remove;

/// The parameters of [`Remove`].
#[derive(Deserialize, JsonSchema)]
pub struct RemoveParams {
    /// The URL it was added by, or the one that `get_external_streams` shows.
    stream_url: String,
}

/// The reply of [`Remove`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExternalStreamRemoved")]
pub struct Removed {
    stream_url: String,
    stream_name: String,
    #[schemars(extend("const" = "REMOVED"))]
    status: &'static str,
    timestamp: Timestamp,
}

impl Command for Remove {
    const METHOD: &'static str = "remove_external_stream";
    const SUMMARY: &'static str =
        "Stops pulling a stream of another machine; its recording is closed, its readers leave.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// Closing a long file takes its time.
    const DEADLINE: Duration = Duration::from_secs(30);
    type Params = RemoveParams;
    type Reply = Removed;

    async fn run(params: RemoveParams, caller: &Caller, gateway: &Gateway) -> Result<Removed> {
        let removed = gateway.external.remove(&RtspUrl::parse(&params.stream_url)?).await?;
        Ok(Removed {
            stream_url: caller.url(&removed.url),
            stream_name: removed.name,
            status: "REMOVED",
            timestamp: Timestamp(SystemTime::now()),
        })
    }
}

/// `get_external_streams`: those that were added.
pub struct List;

/// The reply of [`List`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExternalStreams")]
pub struct Listed {
    /// All of them.
    external_streams: Vec<External>,
    /// Those of drones.
    skydio_streams: Vec<External>,
    /// The others.
    generic_streams: Vec<External>,
    total_count: usize,
    timestamp: Timestamp,
}

/// A stream that was added.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExternalStream")]
pub struct External {
    stream_url: String,
    stream_name: String,
    stream_type: StreamType,
    status: Status,
    ready: bool,
    /// Where it is read here.
    rtsp_url: String,
    readers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "ExternalStatus")]
pub enum Status {
    /// Its frames flow.
    Online,
    /// Nobody wants it, so nobody has looked.
    Idle,
    /// It is being connected to.
    Connecting,
    /// It does not come; that is tried again.
    Error,
    /// It answered an earlier scan, and not the newest.
    Offline,
    /// It answered, and asks for credentials.
    AuthRequired,
}

impl Status {
    fn of(phase: Phase, troubled: bool) -> Self {
        match phase {
            Phase::Streaming(_) => Self::Online,
            // What has failed is being taken down, or tried again.
            Phase::Starting(_) | Phase::Stopping(_) if troubled => Self::Error,
            Phase::Starting(_) => Self::Connecting,
            Phase::Waiting { .. } | Phase::Wedged(_) => Self::Error,
            Phase::Away | Phase::Idle | Phase::Stopping(_) | Phase::Closed => Self::Idle,
        }
    }
}

impl Command for List {
    const METHOD: &'static str = "get_external_streams";
    const SUMMARY: &'static str = "Lists the streams of other machines that were added, and how they are.";
    const ROLE: Option<Role> = Some(Role::Viewer);
    type Params = NoParams;
    type Reply = Listed;

    async fn run(_: NoParams, caller: &Caller, gateway: &Gateway) -> Result<Listed> {
        let shown = |stream: ExternalStream| {
            let path = gateway.paths.status(&stream.name).ok();
            let trouble = path.as_ref().and_then(|path| path.trouble.as_ref());
            External {
                stream_url: caller.url(&stream.url),
                stream_type: stream.kind.into(),
                status: Status::of(path.as_ref().map_or(Phase::Away, |path| path.phase), trouble.is_some()),
                ready: path.as_ref().is_some_and(|path| path.stream.is_some()),
                rtsp_url: gateway.rtsp_url(caller, &stream.name),
                readers: gateway.paths.readers(&stream.name).count,
                reason: trouble.map(|trouble| caller.may_read(trouble.message())),
                stream_name: stream.name,
            }
        };
        let all: Vec<External> = gateway.external.list().into_iter().map(shown).collect();
        let of = |of: StreamType| all.iter().filter(|stream| stream.stream_type == of).cloned().collect();
        Ok(Listed {
            skydio_streams: of(StreamType::Skydio),
            generic_streams: of(StreamType::GenericRtsp),
            total_count: all.len(),
            external_streams: all,
            timestamp: Timestamp(SystemTime::now()),
        })
    }
}

/// `discover_external_streams`: looks for streams where the configuration says.
pub struct Discover;

/// The parameters of [`Discover`], and what they were taken as.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "DiscoveryOptions")]
pub struct Options {
    /// Look now, also where the result of a scan is there.
    force_rescan: Option<bool>,
    /// With those that answered an earlier scan, and the newest one not.
    include_offline: Option<bool>,
    /// Whether to look for drones; else as configured.
    skydio_enabled: Option<bool>,
    /// Whether to look for others; else as configured.
    generic_enabled: Option<bool>,
}

/// The reply of [`Discover`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Discovered {
    /// All of them.
    discovered_streams: Vec<DiscoveredStream>,
    skydio_streams: Vec<DiscoveredStream>,
    generic_streams: Vec<DiscoveredStream>,
    /// When the scan ended; null where there was nothing to look for.
    scan_timestamp: Option<Timestamp>,
    total_found: usize,
    /// As they were asked for.
    discovery_options: Options,
    /// Seconds that the scan took.
    scan_duration: f64,
    /// Machines that answered strangely, and what there was no time for.
    errors: Vec<String>,
}

/// A stream that was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DiscoveredStream {
    stream_url: String,
    /// A name it can be added by.
    stream_name: String,
    stream_type: StreamType,
    status: Status,
    ready: bool,
    /// The encoding of its video, e.g. `H264`; null where that is not known.
    codec: Option<String>,
    /// When it answered last.
    last_seen: Timestamp,
}

impl DiscoveredStream {
    fn new(found: &Found, status: Status) -> Self {
        Self {
            // Whoever found it knew of no credentials.
            stream_url: found.url.expose().to_owned(),
            stream_name: found.name.clone(),
            stream_type: found.kind.into(),
            status,
            ready: status == Status::Online,
            codec: found.codec.clone(),
            last_seen: Timestamp(found.seen),
        }
    }
}

impl Command for Discover {
    const METHOD: &'static str = "discover_external_streams";
    const SUMMARY: &'static str = "Looks for RTSP streams in the configured networks.";
    const ROLE: Option<Role> = Some(Role::Operator);
    /// One scan that is under way, and one more.
    const DEADLINE: Duration = Duration::from_secs(2 * LONGEST_SCAN + 60);
    type Params = Options;
    type Reply = Discovered;

    async fn run(params: Options, _: &Caller, gateway: &Gateway) -> Result<Discovered> {
        let wish = Wish {
            force: params.force_rescan.unwrap_or_default(),
            skydio: params.skydio_enabled,
            generic: params.generic_enabled,
        };
        let report = gateway.discovery.discover(wish).await?;
        let answered = report.found.iter().map(|found| {
            DiscoveredStream::new(found, if found.locked { Status::AuthRequired } else { Status::Online })
        });
        let offline = report.offline.iter().filter(|_| params.include_offline.unwrap_or_default());
        let all: Vec<_> = answered.chain(offline.map(|found| DiscoveredStream::new(found, Status::Offline))).collect();
        let of = |of: StreamType| all.iter().filter(|stream| stream.stream_type == of).cloned().collect();
        Ok(Discovered {
            skydio_streams: of(StreamType::Skydio),
            generic_streams: of(StreamType::GenericRtsp),
            total_found: all.len(),
            discovered_streams: all,
            scan_timestamp: report.at.map(Timestamp),
            discovery_options: params,
            scan_duration: hundredths(report.took.as_secs_f64()),
            errors: report.errors,
        })
    }
}

/// `set_discovery_interval`: how often to look without being asked.
pub struct SetInterval;

/// The parameters of [`SetInterval`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct IntervalParams {
    /// Seconds between two scans; 0: on request only.
    scan_interval: Within<0, LONGEST_INTERVAL>,
}

/// The reply of [`SetInterval`].
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DiscoveryIntervalSet")]
pub struct IntervalSet {
    scan_interval: u32,
    #[schemars(extend("const" = "UPDATED"))]
    status: &'static str,
    message: Cow<'static, str>,
    timestamp: Timestamp,
}

impl Command for SetInterval {
    const METHOD: &'static str = "set_discovery_interval";
    const SUMMARY: &'static str = "Sets how often to look for external streams without being asked.";
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = IntervalParams;
    type Reply = IntervalSet;

    async fn run(params: IntervalParams, _: &Caller, gateway: &Gateway) -> Result<IntervalSet> {
        let Within(seconds) = params.scan_interval;
        gateway.discovery.set_interval(seconds).await?;
        let message = match seconds {
            0 => "streams are looked for on request only".into(),
            seconds => format!("streams are looked for every {seconds} s").into(),
        };
        Ok(IntervalSet { scan_interval: seconds, status: "UPDATED", message, timestamp: Timestamp(SystemTime::now()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RunId;

    #[test]
    fn what_has_failed_is_in_error_until_it_comes() {
        let run = RunId::default();
        for phase in [Phase::Stopping(run), Phase::Waiting { attempt: 1 }, Phase::Starting(run), Phase::Wedged(run)] {
            assert_eq!(Status::of(phase, true), Status::Error, "{phase:?}");
        }
        assert_eq!(Status::of(Phase::Starting(run), false), Status::Connecting);
        assert_eq!(Status::of(Phase::Stopping(run), false), Status::Idle, "nobody wants it any more");
    }
}
