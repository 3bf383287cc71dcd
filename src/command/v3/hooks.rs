//! Hooks: which command is run when, with which environment.
//!
//! Those of the configuration file are run. Those that were set over the API are only where `mediamtx.api_hooks` says so:
//! whoever may use the API could run anything otherwise. How a command is run is `hook`'s.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{MissedTickBehavior, timeout};

use super::{config::present, path_state, sessions::session_word};
use crate::{
    command::Gateway,
    hook::{Hook, Order},
    mtx::{Found, Set},
    output::rtsp::{ReaderEvent, ReaderInfo},
    path::PathEvent,
};

/// Commands at once. What is beyond is not run.
const MOST: usize = 256;
/// How long commands may take to end when the service stops.
const ENDING: Duration = Duration::from_secs(3);
/// Time between two looks at what is to run all the time.
const LOOK: Duration = Duration::from_secs(1);

/// What runs, by what it runs for: a path's word and name, a session's, a connection's.
type Running = BTreeMap<String, Vec<Hook>>;

/// The hooks of a path.
struct Hooks<'a> {
    gateway: &'a Gateway,
    name: &'a str,
    found: Found,
    set: Set,
}

impl<'a> Hooks<'a> {
    /// `None`: the path is not configured.
    fn of(gateway: &'a Gateway, name: &'a str) -> Option<Self> {
        let conf = present(gateway);
        let found = conf.find(name).ok()?;
        let set = conf.path(&found.conf_name)?;
        Some(Self { gateway, name, found, set })
    }

    /// What is run for `key`. `None`: nothing, or it may not be.
    fn order(&self, key: &str, more: &[(&str, String)]) -> Option<Order> {
        let command = self.set.text(key);
        let from_file = || self.gateway.engine.in_file().and_then(|conf| conf.path(&self.found.conf_name));
        let restart = self.set.flag(&format!("{key}Restart"));
        let mut environment: BTreeMap<String, String> = [("MTX_PATH", self.name), ("RTSP_PATH", self.name)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        environment.insert("RTSP_PORT".into(), self.gateway.rtsp.port.to_string());
        for (at, group) in self.found.groups.iter().enumerate().skip(1) {
            environment.insert(format!("G{at}"), group.clone());
        }
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        permitted(self.gateway, key, command, from_file)?;
        Some(Order { command: command.to_owned(), restart, environment })
    }

    /// Where its stream comes from.
    fn source(&self) -> Vec<(&'static str, String)> {
        let path = path_state(self.gateway, self.name).ok();
        let (kind, id) = path.and_then(|path| path.source()).unwrap_or_default();
        vec![("MTX_QUERY", String::new()), ("MTX_SOURCE_TYPE", kind), ("MTX_SOURCE_ID", id)]
    }
}

/// Whether a command may be run: there is one, and it stands in the file, or need not.
fn permitted(gateway: &Gateway, key: &str, command: &str, in_file: impl FnOnce() -> Option<Set>) -> Option<()> {
    if command.is_empty() {
        return None;
    }
    if gateway.engine.api_hooks || in_file().is_some_and(|set| set.text(key) == command) {
        return Some(());
    }
    let mut told = gateway.engine.told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(format!("{key} is not run")) {
        tracing::warn!(key, "a command that was set over the API is not run; mediamtx.api_hooks would have it run");
    }
    None
}

/// Runs hooks until the service stops, and ends what runs then.
pub async fn follow(gateway: Arc<Gateway>) {
    let (mut paths, mut people) = (gateway.paths.events(), gateway.paths.rtsp().events());
    let mut running = Running::new();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stopping.cancelled() => break,
            event = paths.recv() => match event {
                Ok(event) => path_event(&gateway, &mut running, event),
                Err(error) => tracing::warn!(%error, "hooks fell behind"),
            },
            event = people.recv() => match event {
                Ok(event) => reader_event(&gateway, &mut running, event),
                Err(error) => tracing::warn!(%error, "hooks fell behind"),
            },
            _ = tick.tick() => initial(&gateway, &mut running),
        }
    }
    let ending = running.into_values().flatten().map(Hook::stop);
    let _ = timeout(ENDING, futures_util::future::join_all(ending)).await;
}

fn start(running: &mut Running, what: String, orders: impl IntoIterator<Item = Order>) {
    for order in orders {
        if running.values().map(Vec::len).sum::<usize>() >= MOST {
            tracing::error!(command = order.command, "not run: there are {MOST} commands already");
            continue;
        }
        running.entry(what.clone()).or_default().push(Hook::start(order));
    }
}

/// Runs something that ends by itself.
fn once(running: &mut Running, orders: impl IntoIterator<Item = Order>) {
    if let Some(short) = running.get_mut("once") {
        short.retain(|hook| !hook.is_over());
    }
    start(running, "once".into(), orders.into_iter().map(|order| Order { restart: false, ..order }));
}

fn path_event(gateway: &Gateway, running: &mut Running, event: PathEvent) {
    match event {
        PathEvent::Changed { name } => {
            let is_there = gateway.paths.status(&name).is_ok_and(|status| status.stream.is_some());
            let what = format!("stream {name}");
            let was_there = running.contains_key(&what);
            let hooks = Hooks::of(gateway, &name);
            let orders = |keys: [&str; 2]| {
                let hooks = hooks.as_ref();
                let source = hooks.map(Hooks::source).unwrap_or_default();
                keys.iter().filter_map(|key| hooks?.order(key, &source)).collect::<Vec<_>>()
            };
            match (was_there, is_there) {
                (false, true) => {
                    // That it is there is kept in mind also where nothing runs.
                    running.insert(what.clone(), Vec::new());
                    start(running, what, orders(["runOnAvailable", "runOnOnline"]));
                }
                (true, false) => {
                    running.remove(&what);
                    once(running, orders(["runOnUnavailable", "runOnOffline"]));
                }
                _ => {}
            }
        }
        PathEvent::RecordingStarted { name, started } => {
            let file = started.folder.join(&started.filename).display().to_string();
            let hooks = Hooks::of(gateway, &name);
            once(
                running,
                hooks.and_then(|hooks| hooks.order("runOnRecordSegmentCreate", &[("MTX_SEGMENT_PATH", file)])),
            );
        }
        PathEvent::RecordingStopped { name, stopped } => {
            let file = stopped.folder.join(&stopped.filename).display().to_string();
            let length = stopped.duration.as_secs_f64().to_string();
            let more = [("MTX_SEGMENT_PATH", file), ("MTX_SEGMENT_DURATION", length)];
            once(running, Hooks::of(gateway, &name).and_then(|hooks| hooks.order("runOnRecordSegmentComplete", &more)));
        }
        _ => {}
    }
}

fn reader_event(gateway: &Gateway, running: &mut Running, event: ReaderEvent) {
    match event {
        ReaderEvent::Joined(reader) => {
            let more = of_reader(&reader);
            let order = Hooks::of(gateway, &reader.path).and_then(|hooks| hooks.order("runOnRead", &more));
            start(running, format!("reader {}", reader.session), order);
        }
        ReaderEvent::Left(reader) => {
            running.remove(&format!("reader {}", reader.session));
            let more = of_reader(&reader);
            once(running, Hooks::of(gateway, &reader.path).and_then(|hooks| hooks.order("runOnUnread", &more)));
        }
        ReaderEvent::Connected(id, secure) => {
            start(running, format!("connection {id}"), of_all(gateway, "runOnConnect", id, secure));
        }
        ReaderEvent::Disconnected(id, secure) => {
            running.remove(&format!("connection {id}"));
            once(running, of_all(gateway, "runOnDisconnect", id, secure));
        }
    }
}

fn of_reader(reader: &ReaderInfo) -> [(&'static str, String); 3] {
    [
        ("MTX_QUERY", utf8_percent_encode(&reader.query, NON_ALPHANUMERIC).to_string()),
        ("MTX_READER_TYPE", session_word(reader.secure).into()),
        ("MTX_READER_ID", reader.session.to_string()),
    ]
}

/// A hook of the global configuration.
fn of_all(gateway: &Gateway, key: &str, id: uuid::Uuid, secure: bool) -> Option<Order> {
    let global = gateway.engine.acting();
    let command = global.text(key).to_owned();
    permitted(gateway, key, &command, || gateway.engine.in_file().map(|conf| conf.global()))?;
    let environment = [
        ("RTSP_PORT", gateway.rtsp.port.to_string()),
        ("MTX_CONN_TYPE", if secure { "rtspsConn" } else { "rtspConn" }.to_owned()),
        ("MTX_CONN_ID", id.to_string()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    Some(Order { command, restart: global.flag(&format!("{key}Restart")), environment })
}

/// `runOnInit`: as long as the path is there.
fn initial(gateway: &Gateway, running: &mut Running) {
    let conf = present(gateway);
    let due = conf.paths().into_iter().filter(|(_, set)| !set.text("runOnInit").is_empty());
    let due: BTreeMap<_, _> = due.map(|(name, set)| (format!("init {name} {}", set.text("runOnInit")), name)).collect();
    running.retain(|what, _| !what.starts_with("init ") || due.contains_key(what));
    for (what, name) in due {
        if !running.contains_key(&what) {
            let order = Hooks::of(gateway, &name).and_then(|hooks| hooks.order("runOnInit", &[]));
            running.insert(what.clone(), Vec::new());
            start(running, what, order);
        }
    }
}

/// `runOnDemand`: somebody wants to read a path that nobody publishes to. Returns when somebody does, or nobody did in
/// time.
pub(super) async fn demand(gateway: &Arc<Gateway>, name: &str) {
    let Some((order, start_timeout, close_after)) = Hooks::of(gateway, name).and_then(|hooks| {
        let order = hooks.order("runOnDemand", &[("MTX_QUERY", String::new())])?;
        let time = |key| hooks.set.time(key).duration();
        Some((order, time("runOnDemandStartTimeout"), time("runOnDemandCloseAfter")))
    }) else {
        return;
    };
    let mut events = gateway.paths.events();
    {
        let mut demanded = gateway.engine.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        if demanded.len() < MOST && demanded.insert(name.to_owned()) {
            tokio::spawn(while_wanted(Arc::clone(gateway), name.to_owned(), order, start_timeout, close_after));
        }
    }
    let published = async {
        while gateway.paths.status(name).is_ok_and(|status| status.stream.is_none()) {
            let _ = events.recv().await;
        }
    };
    let _ = timeout(start_timeout, published).await;
}

async fn while_wanted(gateway: Arc<Gateway>, name: String, order: Order, first: Duration, close_after: Duration) {
    let hook = Hook::start(order);
    if let Ok(mut wanted) = gateway.paths.wanted(&name) {
        // Until the first reader is there.
        let came = timeout(first + close_after, wanted.wait_for(|wish| wish.holders > 0)).await.is_ok();
        while came && wanted.wait_for(|wish| wish.holders == 0).await.is_ok() {
            let again = tokio::select! {
                again = timeout(close_after, wanted.wait_for(|wish| wish.holders > 0)) => again.is_ok_and(|again| again.is_ok()),
                () = gateway.stopping.cancelled() => false,
            };
            if !again {
                break;
            }
        }
    }
    hook.stop().await;
    gateway.engine.demanded.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    if let Some(order) = Hooks::of(&gateway, &name).and_then(|hooks| hooks.order("runOnUnDemand", &[])) {
        Hook::start(Order { restart: false, ..order }).ended().await;
    }
}
