//! From the configuration's words to what each part is started with. Nothing is decided here.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    api::Certificate,
    camera::{self, ControlPolicy, Offer, identity::Matcher, identity::Pin},
    command::{Defaults, RtspAddress, retention, token, v3},
    config::{self, Config},
    device::monitor,
    error::{Error, Result},
    external,
    mtx::Environment,
    output::{
        rtsp::{Multicast, ReaderEvent, RtspSettings},
        snapshot::SnapshotRequest,
        storage::{NamePattern, Uses},
    },
    path::{Doors, Filling, Folders, OwnFolders, PathSettings, Publishing, RecordingRequest, Thresholds},
    pipeline::Wanted,
    stream::Limits,
};

/// Time between two looks at what has to be deleted.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(300);

pub(super) fn control_address(config: &Config) -> SocketAddr {
    (config.server.host, config.server.port).into()
}

pub(super) fn health_address(config: &Config) -> SocketAddr {
    (config.security.health.bind_address, config.security.health.port).into()
}

/// Where the media engine's ports are wanted.
pub(super) fn engine_addresses(config: &Config) -> v3::Ports<SocketAddr> {
    let media = &config.mediamtx;
    let at = |enabled: bool, own: Option<IpAddr>, port: u16| {
        enabled.then(|| (own.unwrap_or(media.api_bind_address), port).into())
    };
    v3::Ports {
        api: at(media.api_enabled, None, media.api_port),
        metrics: at(media.metrics_enabled, media.metrics_bind_address, media.metrics_port),
        playback: at(media.playback_enabled, media.playback_bind_address, media.playback_port),
    }
}

/// What the API says of the listeners: MediaMTX writes all addresses of a machine as none.
pub(super) fn served(
    config: &Config,
    engine: &v3::Ports<SocketAddr>,
    rtsp_port: u16,
    rtsps: Option<SocketAddr>,
) -> v3::Served {
    let shown = |address: IpAddr, port: u16| match address.is_unspecified() {
        true => format!(":{port}"),
        false => SocketAddr::new(address, port).to_string(),
    };
    let listener = |address: SocketAddr| shown(address.ip(), address.port());
    v3::Served {
        ports: v3::Ports {
            api: engine.api.map(listener),
            metrics: engine.metrics.map(listener),
            playback: engine.playback.map(listener),
        },
        encrypted: config.security.ssl.enabled,
        rtsp: shown(config.rtsp.bind_address, rtsp_port),
        rtsps: rtsps.map(|address| shown(address.ip(), address.port())),
        udp: config.rtsp.udp,
        multicast: config.rtsp.multicast.then(|| (config.rtsp.multicast_range.to_string(), config.rtsp.multicast_port)),
    }
}

/// The variables of this process.
pub(super) fn environment() -> Environment {
    let text = |text: OsString| text.into_string().ok();
    // What is no text stands for no key.
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    variables.filter(|(name, _)| name.starts_with("MTX_") || name.starts_with("RTSP_")).collect()
}

pub(super) fn allowed(config: &Config, environment: Environment) -> v3::Allowed {
    v3::Allowed {
        file: config.mediamtx.config_file.clone(),
        api_hooks: config.mediamtx.api_hooks,
        environment,
        record_folders: config.mediamtx.record_folders.clone(),
    }
}

pub(super) fn rtsp(config: &Config) -> RtspSettings {
    RtspSettings {
        address: config.rtsp.bind_address,
        port: config.mediamtx.rtsp_port,
        session_timeout: config.rtsp.session_timeout,
        idle_timeout: config.rtsp.idle_timeout,
        max_connections: config.rtsp.max_readers as usize,
        udp: config.rtsp.udp,
        udp_ports: config.rtsp.udp_ports,
        multicast: multicast(config),
        events: Arc::new(|event| match event {
            ReaderEvent::Joined(reader) => {
                tracing::info!(path = reader.path, remote = %reader.remote, transport = %reader.transport, "a reader came");
            }
            ReaderEvent::Connected(..) | ReaderEvent::Disconnected(..) => {}
            ReaderEvent::Left(reader) => {
                tracing::info!(path = reader.path, remote = %reader.remote, transport = %reader.transport, "a reader left");
            }
        }),
        ..RtspSettings::default()
    }
}

fn multicast(config: &Config) -> Option<Multicast> {
    let range = config.rtsp.multicast_range;
    config.rtsp.multicast.then(|| Multicast {
        first: range.network(),
        last: range.broadcast(),
        port: config.rtsp.multicast_port,
        ttl: config.rtsp.multicast_ttl,
    })
}

/// What the log calls this host, so that a URL in it can be copied.
pub(super) fn rtsp_host(config: &Config) -> String {
    let bound = config.rtsp.bind_address;
    let address = if bound.is_unspecified() { "localhost".into() } else { bound.to_string() };
    config.mediamtx.host.clone().unwrap_or(address)
}

/// How clients are told to reach RTSP, now that its port is known.
pub(super) fn rtsp_address(config: &Config, port: u16) -> RtspAddress {
    RtspAddress { host: config.mediamtx.host.clone(), port }
}

/// What the document of the methods says the WebSocket is reached at: a name of this host, where one is configured.
pub(super) fn control_url(config: &Config, port: u16) -> String {
    let host = config.mediamtx.host.as_deref().unwrap_or("localhost");
    let scheme = if config.security.ssl.enabled { "wss" } else { "ws" };
    format!("{scheme}://{host}:{port}{}", config.server.websocket_path)
}

pub(super) fn monitor(config: &Config) -> monitor::Settings {
    monitor::Settings { probe_deadline: config.camera.detection_timeout, ..monitor::Settings::default() }
}

/// Error: the file name pattern does not parse.
pub(super) fn folders(config: &Config) -> Result<Folders> {
    Ok(Folders {
        recordings: config.mediamtx.recordings_path.clone(),
        fallback: config.storage.fallback_path.clone(),
        own: OwnFolders::default(),
        snapshots: config.mediamtx.snapshots_path.clone(),
        pattern: NamePattern::parse(&config.recording.file_name_pattern)?,
        uses: Uses::default(),
        doors: Doors::default(),
    })
}

/// The configured secret, or the one kept in the state directory. Blocks on the disk.
pub(super) fn secret(config: &Config) -> Result<token::Secret> {
    match config.security.jwt.secret_key.expose() {
        "" => token::Secret::kept_in(&secret_file(config)),
        secret => token::Secret::new(secret),
    }
}

/// Where a secret is kept that nobody configured.
pub(super) fn secret_file(config: &Config) -> PathBuf {
    config.state_directory.join("jwt-secret")
}

/// What TLS is spoken with, where it is. Blocks on the disk.
pub(super) fn certificate(config: &Config) -> Result<Option<Certificate>> {
    let ssl = &config.security.ssl;
    let files = ssl.cert_file.as_ref().zip(ssl.key_file.as_ref()).filter(|_| ssl.enabled);
    files.map(|(chain, key)| Certificate::load(chain, key)).transpose()
}

/// What RTSP inside TLS is spoken with. Blocks on the disk. Error: it is to be spoken, and there is none.
pub(super) fn rtsps_certificate(config: &Config) -> Result<Option<Certificate>> {
    if !config.mediamtx.rtsps_enabled {
        return Ok(None);
    }
    let ssl = &config.security.ssl;
    let missing = "mediamtx.rtsps_enabled needs security.ssl.cert_file and security.ssl.key_file";
    let files = ssl.cert_file.as_ref().zip(ssl.key_file.as_ref());
    let (chain, key) = files.ok_or_else(|| Error::dependency("certificate", missing))?;
    Certificate::load(chain, key).map(Some)
}

/// `None`: RTSP is not served inside TLS.
pub(super) fn rtsps_address(config: &Config) -> Option<SocketAddr> {
    config.mediamtx.rtsps_enabled.then(|| (config.rtsp.bind_address, config.mediamtx.rtsps_port).into())
}

pub(super) fn thresholds(config: &Config) -> Thresholds {
    Thresholds { warn: config.storage.warn_percent, block: config.storage.block_percent }
}

pub(super) fn pins(config: &Config) -> Vec<Pin> {
    let pin = |(entry, pin): (usize, &config::Pin)| Pin {
        matcher: Matcher {
            serial: pin.matches.serial.clone(),
            path: pin.matches.path.clone(),
            name: pin.matches.name.clone(),
            node: pin.matches.node.as_ref().map(|node| node.display().to_string()),
        },
        id: pin.id,
        ignore: pin.ignore,
        entry,
    };
    config.camera.devices.iter().enumerate().map(pin).collect()
}

pub(super) fn offer(config: &Config) -> Offer {
    let controls = ControlPolicy { restore: config.camera.restore_controls, fixed: Default::default() };
    let default = camera::Service { wanted: wanted(config), settings: path(config), name: None, controls };
    let always_available = |pin: &config::Pin| pin.always_available.unwrap_or(config.camera.always_available);
    let pinned = |pin: &config::Pin| camera::Service {
        wanted: Wanted {
            codec: pin.codec.unwrap_or(default.wanted.codec),
            mode: pin.mode,
            encoder: pin.encoder,
            bitrate: pin.bitrate.map_or(default.wanted.bitrate, |rate| rate.0),
            ..default.wanted.clone()
        },
        settings: PathSettings {
            always_on: pin.auto_start.unwrap_or(config.camera.auto_start_streams) || always_available(pin),
            always_available: always_available(pin).then(Filling::default),
            publishing: Publishing::Never,
            auto_record: pin.auto_record.unwrap_or(config.recording.auto_record).then(|| auto_record(config)),
            ring: Limits { past: pin.pre_roll.unwrap_or(config.recording.pre_roll), ..default.settings.ring },
            ..default.settings.clone()
        },
        name: pin.name.clone(),
        controls: ControlPolicy {
            restore: pin.restore_controls.unwrap_or(default.controls.restore),
            fixed: pin.controls.clone(),
        },
    };
    Offer {
        pinned: config.camera.devices.iter().map(pinned).collect(),
        default: default.clone(),
        test_pattern: match config.camera.test_pattern {
            config::TestPattern::Auto => camera::TestPattern::Auto,
            config::TestPattern::Always => camera::TestPattern::Always,
            config::TestPattern::Never => camera::TestPattern::Never,
        },
        identities: config.state_directory.join("identity.json"),
    }
}

pub(super) fn external(config: &Config, rtsp_port: u16) -> external::Settings {
    let own = external::OwnServer { host: config.mediamtx.host.clone(), port: rtsp_port };
    external::Settings { path: path(config), own }
}

pub(super) fn defaults(config: &Config) -> Defaults {
    let snapshots = &config.snapshots;
    let some = |pixels: u32| (pixels > 0).then_some(pixels);
    Defaults {
        snapshot: SnapshotRequest {
            format: snapshots.format,
            quality: snapshots.quality,
            max_width: some(snapshots.max_width),
            max_height: some(snapshots.max_height),
        },
        recording: recording(config),
        warn_percent: config.storage.warn_percent,
    }
}

fn recording(config: &Config) -> RecordingRequest {
    let recording = &config.recording;
    RecordingRequest {
        limit: Some(recording.max_duration).filter(|limit| !limit.is_zero()),
        cut_after: Some(recording.segment_duration).filter(|length| !length.is_zero()),
        cut_at: Some(recording.max_segment_size.0).filter(|bytes| *bytes > 0),
        ..RecordingRequest::new(recording.format)
    }
}

/// A recording that nobody asked for has no end: its files have.
fn auto_record(config: &Config) -> RecordingRequest {
    RecordingRequest { limit: None, ..recording(config) }
}

pub(super) fn retention(config: &Config) -> retention::Settings {
    let configured = &config.retention_policy;
    retention::Settings {
        policy: retention::Policy {
            policy_type: configured.policy.into(),
            max_age_days: configured.max_age_days,
            max_size_gb: configured.max_size_gb,
            min_free_gb: configured.min_free_gb,
            cameras: configured.cameras.iter().cloned().map(Into::into).collect(),
            enabled: configured.enabled,
        },
        auto_cleanup: configured.auto_cleanup,
        every: CLEANUP_INTERVAL,
        recording_days: config.recording.cleanup_after_days,
        snapshot_days: config.snapshots.cleanup_after_days,
        snapshots: config.snapshots.max_count,
    }
}

fn wanted(config: &Config) -> Wanted {
    let (streams, encoder) = (&config.streams, &config.encoder);
    Wanted {
        codec: streams.codec,
        width: streams.width,
        height: streams.height,
        rate: streams.rate,
        mode: None,
        encoder: None,
        order: encoder.order.clone(),
        bitrate: encoder.bitrate.0,
        gop: encoder.gop,
        profile: encoder.profile,
        level: encoder.level,
        preset: encoder.preset,
    }
}

pub(super) fn path(config: &Config) -> PathSettings {
    let streams = &config.streams;
    PathSettings {
        publishing: Publishing::Never,
        always_on: config.camera.auto_start_streams || config.camera.always_available,
        close_after: streams.close_after,
        start_timeout: streams.start_timeout,
        frame_timeout: streams.frame_timeout,
        auto_record: config.recording.auto_record.then(|| auto_record(config)),
        always_available: config.camera.always_available.then(Filling::default),
        stop_timeout: Duration::from_secs(5),
        ring: Limits {
            gops: streams.ring.gops as usize,
            bytes: usize::try_from(streams.ring.size.0).unwrap_or(usize::MAX),
            frames: streams.ring.frames as usize,
            past: config.recording.pre_roll,
        },
    }
}
