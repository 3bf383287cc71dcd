//! Looking for streams: one scan at a time, on request and every so often, and what the newest one found.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use tokio::{
    sync::{Mutex as Turn, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Found, Memory, Places, StreamKind,
    file::Interval,
    probe::{self, Answer},
};
use crate::{
    config::ExternalDiscovery,
    error::{Error, Kind, Result},
};

/// Errors and streams kept of a scan, and streams remembered of earlier ones. More means that what is scanned is no
/// network of cameras.
const KEPT: usize = 1000;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Look now, also where a scan has been.
    pub force: bool,
    /// Whether to look for each kind; `None`: as configured.
    pub skydio: Option<bool>,
    /// As `skydio`.
    pub generic: Option<bool>,
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Streams that answered.
    pub found: Vec<Found>,
    /// Streams that answered an earlier scan, and this one not.
    pub offline: Vec<Found>,
    /// Machines that answered strangely, and what was not looked at for want of time.
    pub errors: Vec<String>,
    /// When it ended; of several the oldest. `None`: nothing was to be looked for.
    pub at: Option<SystemTime>,
    /// How long it took; of several all together.
    pub took: Duration,
}

struct Scanned {
    report: Report,
    ended: Instant,
}

/// Looks for streams where the configuration says. Cheap to clone.
#[derive(Clone)]
pub struct Discovery(Arc<Inner>);

struct Inner {
    config: ExternalDiscovery,
    memory: Memory,
    interval: watch::Sender<Duration>,
    newest: Mutex<BTreeMap<StreamKind, Scanned>>,
    /// Everything that ever answered.
    known: Mutex<Vec<Found>>,
    turn: Turn<()>,
    stopping: CancellationToken,
}

impl Discovery {
    /// Begins to look every so often, where that is configured or was chosen, until `stopping`.
    pub fn start(config: ExternalDiscovery, memory: Memory, stopping: CancellationToken) -> (Self, JoinHandle<()>) {
        let configured = config.scan_interval;
        // A choice holds for the configuration it was made under.
        let chosen = memory.kept().interval.filter(|interval| interval.configured == configured.as_secs());
        let interval = chosen.map_or(configured, |interval| Duration::from_secs(interval.chosen));
        let discovery = Self(Arc::new(Inner {
            config,
            memory,
            interval: watch::Sender::new(interval),
            newest: Mutex::default(),
            known: Mutex::default(),
            turn: Turn::default(),
            stopping,
        }));
        let task = tokio::spawn(discovery.clone().every_so_often());
        (discovery, task)
    }

    /// What is there, as the newest scan found it; a new one is made where there has been none or one is wished for.
    /// Whoever comes while one is under way gets what that one finds.
    ///
    /// Errors: looking for streams, or for this kind, is off; the service is stopping.
    pub async fn discover(&self, wish: Wish) -> Result<Report> {
        let kinds = self.kinds(&wish)?;
        let (inner, asked) = (Arc::clone(&self.0), Instant::now());
        // A caller who hangs up does not cut off a scan that others wait for.
        let looking = tokio::spawn(async move {
            let _turn = inner.turn.lock().await;
            let fresh = |scanned: &Scanned| !wish.force || scanned.ended >= asked;
            let due: Vec<_> = {
                let newest = inner.newest();
                kinds.iter().copied().filter(|kind| !newest.get(kind).is_some_and(fresh)).collect()
            };
            tokio::select! {
                () = inner.scan(&due) => Ok(inner.report(&kinds)),
                () = inner.stopping.cancelled() => Err(Error::dependency("external_discovery", "the service is stopping")),
            }
        });
        looking.await.map_err(|error| Error::with_source(Kind::Internal, "a scan failed", error))?
    }

    /// Looks every `seconds` from now on, also after a restart; 0: on request only. Errors: discovery is off, the disk.
    pub async fn set_interval(&self, seconds: u32) -> Result<()> {
        self.require("external_discovery", self.0.config.enabled)?;
        let interval = Interval { chosen: seconds.into(), configured: self.0.config.scan_interval.as_secs() };
        self.0
            .memory
            .change(|kept| {
                kept.interval = Some(interval);
                Ok(())
            })
            .await?;
        self.0.interval.send_replace(Duration::from_secs(seconds.into()));
        Ok(())
    }

    fn kinds(&self, wish: &Wish) -> Result<Vec<StreamKind>> {
        let config = &self.0.config;
        self.require("external_discovery", config.enabled)?;
        let mut kinds = Vec::new();
        for (kind, wanted, feature, on) in [
            (StreamKind::Skydio, wish.skydio, "external_discovery.skydio", config.skydio.enabled),
            (StreamKind::Generic, wish.generic, "external_discovery.generic_uav", config.generic_uav.enabled),
        ] {
            if wanted.unwrap_or(on) {
                self.require(feature, on)?;
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }

    fn require(&self, feature: &str, on: bool) -> Result<()> {
        let off = || {
            let message = format!("looking for streams is off; set {feature}.enabled in the configuration");
            Error::new(Kind::Unsupported { feature: feature.into() }, message)
        };
        if on { Ok(()) } else { Err(off()) }
    }

    async fn every_so_often(self) {
        let mut interval = self.0.interval.subscribe();
        let stopping = self.0.stopping.clone();
        while self.0.config.enabled && !stopping.is_cancelled() {
            let time = *interval.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep(time), if !time.is_zero() => {
                    match self.discover(Wish { force: true, skydio: None, generic: None }).await {
                        Ok(report) => tracing::info!(found = report.found.len(), "looked for external streams"),
                        Err(error) => tracing::warn!("{}", error.chain()),
                    }
                }
                // Fails only when there is nobody who could change it.
                _ = interval.changed() => {}
                () = stopping.cancelled() => {}
            }
        }
    }
}

impl Inner {
    /// Looks for these kinds, for at most the configured time all together.
    async fn scan(&self, kinds: &[StreamKind]) {
        let deadline = tokio::time::Instant::now() + self.config.scan_timeout;
        for &kind in kinds {
            let targets = match kind {
                StreamKind::Skydio => self.config.skydio.clone(),
                StreamKind::Generic => self.config.generic_uav.clone(),
            };
            let report = self.look(&Places { kind, targets }, deadline).await;
            self.remember(&report.found);
            self.newest().insert(kind, Scanned { report, ended: Instant::now() });
        }
    }

    async fn look(&self, places: &Places, deadline: tokio::time::Instant) -> Report {
        let started = Instant::now();
        let (mut report, mut looked) = (Report::default(), 0);
        let at_once = self.config.max_concurrent_scans as usize;
        let probes = places.sockets().map(|socket| probe_socket(places, socket));
        let mut probes = futures_util::stream::iter(probes).buffer_unordered(at_once);
        let in_time = tokio::time::timeout_at(deadline, async {
            while let Some((found, errors)) = probes.next().await {
                looked += 1;
                report.found.extend(found.into_iter().take(KEPT - report.found.len()));
                report.errors.extend(errors.into_iter().take(KEPT - report.errors.len()));
            }
        });
        let in_time = in_time.await.is_ok();
        drop(probes);
        if !in_time {
            let seconds = self.config.scan_timeout.as_secs();
            let all = places.sockets().count();
            report.errors.push(format!("after {seconds} s {looked} of {all} addresses had been looked at"));
        }
        report.found.sort_by(|a, b| a.url.cmp(&b.url));
        (report.at, report.took) = (Some(SystemTime::now()), started.elapsed());
        report
    }

    /// The newest of each kind as one, with what is known and did not answer.
    fn report(&self, kinds: &[StreamKind]) -> Report {
        let newest = self.newest();
        let mut whole = Report::default();
        for report in kinds.iter().filter_map(|kind| newest.get(kind)).map(|scanned| &scanned.report) {
            whole.found.extend_from_slice(&report.found);
            whole.errors.extend_from_slice(&report.errors);
            whole.at = [whole.at, report.at].into_iter().flatten().min();
            whole.took += report.took;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let away = |known: &&Found| {
            kinds.contains(&known.kind)
                && whole.found.iter().all(|found| (&found.url, found.kind) != (&known.url, known.kind))
        };
        whole.offline = known.iter().filter(away).cloned().collect();
        whole
    }

    fn remember(&self, found: &[Found]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| found.iter().all(|found| (&found.url, found.kind) != (&known.url, known.kind)));
        known.extend_from_slice(found);
        let over = known.len().saturating_sub(KEPT);
        known.drain(..over);
    }

    // The map is valid after every statement, so a panic elsewhere under the lock harms nobody.
    fn newest(&self) -> MutexGuard<'_, BTreeMap<StreamKind, Scanned>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at one address and port: the streams there, and what was strange.
async fn probe_socket(places: &Places, socket: std::net::SocketAddr) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for url in places.urls(socket) {
        let (locked, codec) = match probe::ask(socket, &url).await {
            Answer::Stream(codec) => (false, codec),
            Answer::Locked => (true, None),
            Answer::NoStream => continue,
            // The other paths there would fare no better.
            Answer::Nobody => break,
            Answer::Odd(how) => {
                errors.push(format!("{socket} {how}"));
                break;
            }
        };
        let name = places.name(&url);
        found.push(Found { url, kind: places.kind, name, locked, codec, seen: SystemTime::now() });
    }
    (found, errors)
}
