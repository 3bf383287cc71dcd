//! The only place that knows every part: builds them from the configuration, runs them, takes them down in order.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{broadcast, mpsc},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    camera::{Cameras, Remembered, identity::Identities, registry::Registry},
    command::{Clients, Contents, Credentials, Gateway, Indexes, Rates, keys, retention::Retention, token, v3},
    config::{Config, Loaded, LogLevel},
    device::{DeviceEvent, monitor},
    error::{Error, Kind, Result},
    external,
    media::{self, launch::LaunchFiles},
    output::{rtsp::RtspServer, storage::Keeper},
    path::{Parts, Paths},
    pipeline::Encoders,
};

mod listening;
mod needs;
mod ports;
mod reload;
mod settings;

pub use listening::{as_served, decides};
pub use needs::{
    Listener, api_keys_file, check_certificates, check_mediamtx, encoders, has_secret, listeners, make_token,
    try_to_listen,
};

use ports::{bind, local};
pub use reload::Source;

/// Device events on their way from udev's thread. That thread waits when it is full; the kernel's own queue is behind it,
/// and an overflow there means enumerating again.
const DEVICE_EVENTS: usize = 64;

/// How long the device monitor may take to stop.
const MONITOR_STOP: Duration = Duration::from_secs(2);

/// What ending takes beyond the grace period: the process itself, with the threads that are left.
const END: Duration = Duration::from_secs(5);

/// The signals that end the service. Listened to before anything starts, so that none comes too early to be heard.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on. Error: the system does not let us.
    pub fn listen() -> Result<Self> {
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }
}

/// The running service.
pub struct App {
    cameras: Cameras,
    paths: Paths,
    rtsp: Arc<RtspServer>,
    monitor: Option<monitor::Monitor>,
    keepers: Vec<Keeper>,
    indexes: Indexes,
    camera_task: JoinHandle<()>,
    servers: JoinHandle<()>,
    gateway: Arc<Gateway>,
    stopping: CancellationToken,
    control_address: SocketAddr,
    health_address: SocketAddr,
    engine_addresses: v3::Ports<SocketAddr>,
    rtsps_address: Option<SocketAddr>,
    grace: Duration,
}

impl App {
    /// Builds everything and starts it, with the kernel's devices. Returns when clients can connect.
    /// Errors name what is in the way: a port, a folder, a plugin.
    pub async fn start(config: Config) -> Result<Self> {
        let (events, devices) = mpsc::channel(DEVICE_EVENTS);
        let watch = config.camera.discovery_enabled.then(|| settings::monitor(&config));
        let mut app = Self::start_with(config, devices).await?;
        app.monitor = watch.map(|settings| monitor::spawn(settings, events)).transpose()?;
        Ok(app)
    }

    /// As [`App::start`], with devices told by somebody else: the seam for tests.
    pub async fn start_with(config: Config, devices: mpsc::Receiver<DeviceEvent>) -> Result<Self> {
        let started = Instant::now();
        let config = blocking(move || as_served(config, settings::environment())).await?;
        let control = bind(settings::control_address(&config)).await?;
        let health = bind(settings::health_address(&config)).await?;
        let engine_ports = ports::bind_engine(settings::engine_addresses(&config)).await?;
        let rtsps = match settings::rtsps_address(&config) {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let rtsps_address = rtsps.as_ref().map(local).transpose()?;
        let (control_address, health_address) = (local(&control)?, local(&health)?);
        let engine_addresses = ports::addresses(&engine_ports)?;
        let folders = settings::folders(&config)?;
        let indexes = Indexes::new(&folders, &config.state_directory);
        let keep = indexes.clone();
        let (hands, config) = blocking(move || Hands::ready(&config, &keep).map(|hands| (hands, config))).await?;

        let paths = Paths::new(Parts {
            launch: hands.launch,
            encoders: Arc::new(hands.encoders),
            rtsp: Arc::clone(&hands.rtsp),
            rtsp_host: settings::rtsp_host(&config),
            folders: folders.clone(),
        });
        paths.recover().await;
        paths.watch_room(settings::thresholds(&config)).await;
        let registry = Registry::new(hands.identities, settings::pins(&config));
        let (cameras, camera_task) =
            Cameras::spawn(registry, hands.remembered, settings::offer(&config), paths.clone(), devices);
        let stopping = CancellationToken::new();
        let served = settings::external(&config, hands.rtsp.port());
        let streams = external::Streams::start(served, hands.external.clone(), paths.clone()).await;
        let looked_for = config.external_discovery.clone();
        let (discovery, _) = external::Discovery::start(looked_for, hands.external, stopping.clone());
        let listening = settings::served(&config, &engine_addresses, hands.rtsp.port(), rtsps_address);
        let allowed = settings::allowed(&config, settings::environment());
        let engine = blocking(move || v3::Engine::new(listening, allowed)).await?;
        let gateway = Gateway {
            cameras: cameras.clone(),
            external: streams,
            discovery,
            paths: paths.clone(),
            folders,
            indexes: indexes.clone(),
            contents: Contents::default(),
            retention: hands.retention,
            engine,
            rates: Rates::new(config.security.rate_limiting.requests_per_minute),
            clients: Clients::new(config.server.max_connections, config.security.rate_limiting.max_connections),
            credentials: Credentials::new(token::Tokens::new(&hands.secret), hands.keys),
            rtsp: settings::rtsp_address(&config, hands.rtsp.port()),
            defaults: Mutex::new(settings::defaults(&config)),
            document: api::rpc::document(&settings::control_url(&config, control_address.port()))?,
            started,
            stopping: stopping.clone(),
            all_told: CancellationToken::new(),
            subscribers: Default::default(),
            notifications: broadcast::Sender::new(crate::command::NOTIFICATIONS),
        };
        let grace = config.server.shutdown_timeout;
        let (ws, http) = if hands.certificate.is_some() { ("wss", "https") } else { ("ws", "http") };
        tracing::info!("control at {ws}://{control_address}{}", config.server.websocket_path);
        tracing::info!("health at {http}://{health_address}/health");
        for (name, address) in engine_addresses.clone().named() {
            if let Some(address) = address {
                tracing::info!("MediaMTX-compatible {name} at {http}://{address}");
            }
        }
        let rtsps = rtsps.zip(hands.rtsps);
        let listeners = api::Listeners { control, health, engine: engine_ports, rtsps };
        let settings = api::Settings {
            server: config.server,
            origins: config.security.cors_origins,
            certificate: hands.certificate,
        };
        let gateway = Arc::new(gateway);
        paths.accept_publishers(Arc::new(v3::Porter::new(&gateway)));
        let servers = tokio::spawn(api::serve(listeners, settings, Arc::clone(&gateway)));
        let (rtsp, monitor) = (hands.rtsp, None);
        Ok(Self {
            cameras,
            paths,
            rtsp,
            monitor,
            keepers: hands.keepers,
            indexes,
            camera_task,
            servers,
            gateway,
            stopping,
            control_address,
            health_address,
            engine_addresses,
            rtsps_address,
            grace,
        })
    }

    /// Looks at the configuration file from now on and goes by its changes, until the service stops. `loaded` is what the
    /// service was started with; `log_level` sets the level of the log.
    pub fn follow(&self, source: Source, loaded: Loaded, log_level: impl Fn(LogLevel) + Send + Sync + 'static) {
        let reload = reload::Reload::new(source, loaded, Arc::clone(&self.gateway), Box::new(log_level));
        tokio::spawn(self.stopping.clone().run_until_cancelled_owned(reload.keep()));
    }

    /// Runs until SIGTERM or SIGINT, then drains. A second signal ends the process at once.
    pub async fn run_until_told(self, signals: Signals) -> Result<()> {
        let Signals { mut terminate, mut interrupt } = signals;
        notify(&[NotifyState::Ready]);
        let watchdog = tokio::spawn(feed_watchdog());
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let grace = self.grace;
        let drained = tokio::select! {
            drained = tokio::time::timeout(grace, self.drain()) => drained.is_ok(),
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        watchdog.abort();
        match drained {
            true => Ok(()),
            false => Err(Error::internal("the service was ended before everything was closed")),
        }
    }

    /// Takes everything down, in the order in which nothing is lost.
    pub async fn drain(mut self) {
        tracing::info!("stopping");
        // systemd's own time to stop knows nothing of the configured one, and would be the shorter one some day.
        let longest = u32::try_from((self.grace + END).as_micros()).unwrap_or(u32::MAX);
        notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest)]);
        // First what cannot be had again. Clients are still there to hear of it.
        self.paths.close_recordings().await;
        // No new callers. Sockets are told, and replies under way are finished.
        self.stopping.cancel();
        // No new devices.
        if let Some(monitor) = self.monitor.take() {
            logged("the device monitor", blocking(move || monitor.stop(MONITOR_STOP)).await);
        }
        self.camera_task.abort();
        // Readers leave and pipelines stop.
        self.paths.close().await;
        let rtsp = Arc::clone(&self.rtsp);
        logged("the RTSP server", blocking(move || rtsp.stop()).await);
        if let Err(error) = self.servers.await {
            tracing::error!(%error, "the control servers failed");
        }
        // The files are as they stay.
        let (first, more) = (self.keepers, self.indexes);
        let stop = move || first.into_iter().chain(more.keepers()).try_for_each(Keeper::stop);
        logged("an index", blocking(stop).await);
        tracing::info!("stopped");
    }

    /// The cameras.
    pub fn cameras(&self) -> &Cameras {
        &self.cameras
    }

    /// The paths.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Where the WebSocket listens.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Where health is asked.
    pub fn health_address(&self) -> SocketAddr {
        self.health_address
    }

    /// Where the MediaMTX-compatible ports are, those that are served.
    pub fn engine_addresses(&self) -> &v3::Ports<SocketAddr> {
        &self.engine_addresses
    }

    /// Where RTSP is served inside TLS, where it is.
    pub fn rtsps_address(&self) -> Option<SocketAddr> {
        self.rtsps_address
    }

    /// The port RTSP is served on.
    pub fn rtsp_port(&self) -> u16 {
        self.rtsp.port()
    }
}

/// What is started with blocking calls, before anything runs.
struct Hands {
    launch: LaunchFiles,
    encoders: Encoders,
    rtsp: Arc<RtspServer>,
    identities: Identities,
    external: external::Memory,
    remembered: Remembered,
    secret: token::Secret,
    keys: keys::Keys,
    retention: Retention,
    certificate: Option<api::Certificate>,
    /// That of RTSP inside TLS.
    rtsps: Option<api::Certificate>,
    keepers: Vec<Keeper>,
}

impl Hands {
    fn ready(config: &Config, indexes: &Indexes) -> Result<Self> {
        // First what a person may have got wrong.
        let certificate = settings::certificate(config)?;
        let rtsps = settings::rtsps_certificate(config)?;
        media::init()?;
        for folder in config.folders() {
            make_folder(folder)?;
        }
        make_folders_of_recordings(config)?;
        // They read their folders while the encoders are tried.
        let keepers = indexes.all().map(|index| index.keep()).collect::<Result<_>>()?;
        let launch = LaunchFiles::new(config.pipelines_directory.clone());
        Ok(Self {
            encoders: encoders(config, &launch),
            rtsp: Arc::new(RtspServer::start(settings::rtsp(config), launch.clone())?),
            identities: Identities::load(&config.state_directory.join("identity.json"))?,
            external: external::Memory::load(&config.state_directory.join("external.json"))?,
            remembered: Remembered::load(config.state_directory.join("controls.json"))?,
            secret: settings::secret(config)?,
            keys: keys::Keys::load(&api_keys_file(config)),
            retention: Retention::load(&config.state_directory.join("retention.json"), settings::retention(config)),
            certificate,
            rtsps,
            keepers,
            launch,
        })
    }
}

/// Lets this process have as many files open as the system allows it. Linux starts everybody with 1024, for the sake of
/// programs that call select(2), which none of our libraries does; every socket and every reader is at least one.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// Makes the folders of recordings. Of one that cannot be made the log tells. Error: there is none.
fn make_folders_of_recordings(config: &Config) -> Result<()> {
    let (mut made, mut failure) = (false, None);
    for (key, folder) in config.folders_of_recordings() {
        match make_folder(folder) {
            Ok(()) => made = true,
            Err(error) => {
                tracing::error!("{key}: {}", error.chain());
                failure.get_or_insert(error);
            }
        }
    }
    if made { Ok(()) } else { failure.map_or(Ok(()), Err) }
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!("folder {} cannot be made", folder.display());
        Error::with_source(Kind::Dependency { dependency: "disk".into() }, message, error)
    })
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| Error::with_source(Kind::Internal, "signals cannot be listened to", error))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| Error::with_source(Kind::Internal, "a part did not start", error))?
}

fn logged(what: &str, result: Result<()>) {
    if let Err(error) = result {
        tracing::error!("{what} did not stop: {}", error.chain());
    }
}

/// Tells systemd, where it listens. A failure is worth a line, not the service.
fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told");
    }
}

/// Feeds systemd's watchdog at half its time. It runs on the same runtime as the paths: a runtime that hangs feeds nothing.
async fn feed_watchdog() {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval(timeout / 2);
    loop {
        tick.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}
