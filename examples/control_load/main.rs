//! Many WebSockets on the control port: how many requests are answered and how soon, how soon an event is everywhere, and
//! what a socket costs.
//!
//! `cargo build --release --bin camera-service --example control_load && target/release/examples/control_load` starts the
//! service as a process of its own, with the test pattern for a camera, and beside it, for comparison, a server that does
//! nothing but echo. `--url` measures a service that runs; its limits then have to allow for all this
//! (`server.max_connections`, `security.rate_limiting`). Results: `docs/performance.md`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use camera_service::{
    app,
    command::{
        Role,
        token::{Secret, make_token},
    },
};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    net::TcpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Utf8Bytes, client::IntoClientRequest, protocol::WebSocketConfig},
};

use client::{Asker, Socket, ask_once, listen};
use started::{SECRET, Started, echo};

mod client;
mod started;

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, AnyError>;

/// Addresses of this machine that the sockets come from in turn, as an address may only have so many and ask so much.
const ADDRESSES: usize = 50;

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Arguments {
    /// Sockets at the same time, where there are many.
    #[arg(long, default_value_t = 1000)]
    crowd: usize,
    /// Seconds each measurement of requests takes.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Requests a second, of all sockets together, where they are paced.
    #[arg(long, default_value_t = 5000)]
    pace: u32,
    /// Events.
    #[arg(long, default_value_t = 20)]
    events: usize,
    /// The camera that is asked about, and of which snapshots are taken.
    #[arg(long, default_value = "test")]
    device: String,
    /// Measure this service instead of starting one: ws://HOST:PORT/ws, HOST a number.
    #[arg(long, requires = "token")]
    url: Option<String>,
    /// An operator's token for `--url`.
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// The process that serves `--url`.
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    #[arg(long, hide = true)]
    echo: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    app::raise_file_limit();
    if arguments.echo {
        return echo().await;
    }
    let status = format!("\"method\":\"get_camera_status\",\"params\":{{\"device\":\"{}\"}}", arguments.device);
    let methods = [("ping", "\"method\":\"ping\""), ("get_camera_status", status.as_str())];
    let baseline = Started::echo()?;
    let server = Server::of("echo", &baseline.url, None, Some(baseline.id()))?;
    server.measure(&arguments, &methods[..1]).await?;
    drop(baseline);
    let (_own, server) = match (&arguments.url, &arguments.token) {
        (Some(url), Some(token)) => (None, Server::of("service", url, Some(token.clone()), arguments.pid)?),
        _ => {
            let own = Started::service()?;
            let token = make_token(&Secret::new(SECRET)?, Role::Operator, Duration::from_secs(3600), "load")?;
            let server = Server::of("service", &own.url, Some(token), Some(own.id()))?;
            (Some(own), server)
        }
    };
    server.measure(&arguments, &methods).await?;
    server.events(&arguments).await
}

/// Both servers, and the clients, read this much at once.
fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

/// How requests are made.
#[derive(Clone, Copy)]
struct Load {
    sockets: usize,
    /// Requests of a socket under way at once.
    window: usize,
    /// A socket makes one every so often, whether the last is answered or not. Else: as soon as one is answered.
    every: Option<Duration>,
}

/// What is measured.
struct Server {
    name: &'static str,
    url: String,
    address: SocketAddr,
    token: Option<String>,
    pid: Option<u32>,
    /// How a good reply begins.
    good: &'static str,
}

impl Server {
    fn of(name: &'static str, url: &str, token: Option<String>, pid: Option<u32>) -> Result<Self> {
        let authority = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let address = authority.parse().map_err(|error| format!("{url}: {error}"))?;
        let good = if token.is_some() { r#"{"jsonrpc":"2.0","result":"# } else { r#"{"jsonrpc":"2.0","method":"# };
        Ok(Self { name, url: url.to_owned(), address, token, pid, good })
    }

    async fn connect(&self, number: usize) -> Result<Socket> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.address.ip() == Ipv4Addr::LOCALHOST {
            let last = u8::try_from(1 + number % ADDRESSES)?;
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        }
        let stream = timeout(PATIENCE, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        let mut request = self.url.as_str().into_client_request()?;
        if let Some(token) = &self.token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        Ok(client_async_with_config(request, stream, Some(small())).await?.0)
    }

    async fn crowd(&self, sockets: usize) -> Result<Vec<Socket>> {
        stream::iter(0..sockets).map(|number| self.connect(number)).buffer_unordered(16).try_collect().await
    }

    /// Resident memory of the server, kB; `None` where its process is not known.
    fn memory(&self) -> Result<Option<u64>> {
        let Some(pid) = self.pid else { return Ok(None) };
        Ok(procfs::process::Process::new(pid.try_into()?)?.status()?.vmrss)
    }

    /// Memory first, as long as nothing else has been asked of the server; then requests.
    async fn measure(&self, arguments: &Arguments, methods: &[(&str, &str)]) -> Result<()> {
        let (crowd, window) = (arguments.crowd, 1);
        let mut first = self.crowd(10).await?;
        ask_once(&mut first, methods[0].1).await?;
        let before = self.memory()?;
        let mut idle = self.crowd(crowd).await?;
        ask_once(&mut idle, methods[0].1).await?;
        if let (Some(before), Some(after)) = (before, self.memory()?) {
            let each = after.saturating_sub(before) as f64 / crowd as f64;
            println!(
                "{:8} {crowd} idle sockets  {before} kB before, {after} kB with them  {each:.1} kB each",
                self.name
            );
        }
        drop((first, idle));
        let every = Duration::from_secs(1) * u32::try_from(crowd)? / arguments.pace;
        for (method, request) in methods {
            for load in [
                Load { sockets: 1, window, every: None },
                Load { sockets: 1, window: 32, every: None },
                Load { sockets: 100, window, every: None },
                Load { sockets: crowd, window, every: None },
                Load { sockets: crowd, window: 8, every: None },
                Load { sockets: crowd, window, every: Some(every) },
            ] {
                self.load(method, request, load, Duration::from_secs(arguments.seconds)).await?;
            }
        }
        Ok(())
    }

    async fn load(&self, method: &str, request: &str, load: Load, length: Duration) -> Result<()> {
        let sockets = self.crowd(load.sockets).await?;
        let (request, good): (Arc<str>, _) = (request.into(), self.good);
        let began = Instant::now();
        let until = began + length;
        let mut asking = JoinSet::new();
        for (number, socket) in (0u32..).zip(sockets) {
            let asker = Asker::new(socket, Arc::clone(&request), good);
            asking.spawn(async move {
                match load.every {
                    // Not all at the same moment.
                    Some(every) => {
                        let first = began + every * number / u32::try_from(load.sockets)?;
                        asker.paced(first, every, until).await
                    }
                    None => asker.window(load.window, until).await,
                }
            });
        }
        let mut all = Vec::new();
        while let Some(latencies) = asking.join_next().await {
            all.extend(latencies??);
        }
        let rate = all.len() as f64 / began.elapsed().as_secs_f64();
        let Load { sockets, window, every } = load;
        let how = every.map_or_else(|| format!("{window} at once"), |_| "paced".to_owned());
        let (name, spread) = (self.name, spread(&mut all));
        println!("{name:8} {method:18} sockets {sockets:4}, {how:10} {rate:7.0} requests/s  {spread} ms");
        Ok(())
    }

    /// How long it takes from an event to the first and the last of a crowd.
    async fn events(&self, arguments: &Arguments) -> Result<()> {
        let mut crowd = self.crowd(arguments.crowd).await?;
        let subscribe = r#""method":"subscribe_events","params":{"topics":["snapshot.taken"]}"#;
        ask_once(&mut crowd, subscribe).await?;
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut listening = JoinSet::new();
        for socket in crowd {
            listening.spawn(listen(socket, tell.clone()));
        }
        let mut caller = [self.connect(0).await?];
        let take = format!("\"method\":\"take_snapshot\",\"params\":{{\"device\":\"{}\"}}", arguments.device);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for _ in 0..arguments.events {
            let reply = ask_once(&mut caller, &take).await?;
            let mut arrived: Vec<(SystemTime, Utf8Bytes)> = Vec::new();
            for _ in 0..arguments.crowd {
                arrived.push(timeout(PATIENCE, told.recv()).await.map_err(|_| "lost events")?.ok_or("nobody listens")?);
            }
            let event: Value = serde_json::from_str(&arrived[0].1)?;
            let same = arrived.iter().all(|(_, text)| *text == arrived[0].1);
            if !same || event["params"]["data"]["filename"] != reply["filename"] {
                return Err(format!("not everybody was told of {reply}").into());
            }
            let at = OffsetDateTime::parse(event["params"]["timestamp"].as_str().unwrap_or_default(), &Rfc3339)?;
            let since = |time: SystemTime| time.duration_since(at.into()).unwrap_or_default();
            first.extend(arrived.iter().map(|(time, _)| since(*time)).min());
            last.extend(arrived.iter().map(|(time, _)| since(*time)).max());
        }
        println!("{:8} {} events to {} sockets, from an event's own timestamp", self.name, last.len(), arguments.crowd);
        println!("         to the first  {} ms\n         to the last   {} ms", spread(&mut first), spread(&mut last));
        Ok(())
    }
}

/// p50, p99 and the largest, in milliseconds.
fn spread(values: &mut [Duration]) -> String {
    values.sort();
    let at = |part: f64| values.get(((values.len() as f64 - 1.0) * part) as usize).copied().unwrap_or_default();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| at(part).as_secs_f64() * 1e3);
    format!("p50 {p50:.2}  p99 {p99:.2}  max {max:.2}")
}
