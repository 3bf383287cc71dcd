//! Hooks: which command is run when, with which environment.
//!
//! Those of the configuration file are run. Those that were set over the API are only where `mediamtx.api_hooks` says so:
//! whoever may use the API could run anything otherwise. How a command is run is `hook`'s.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{MissedTickBehavior, timeout};

use super::{capture::captured, config::present, path_state, sessions::session_word};
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

/// What is left of a query: all but what Go's `url.QueryEscape` leaves, too.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What runs, by what it runs for: a path's word and name, a session's, a connection's.
type Running = BTreeMap<String, Begun>;

/// What began and is not over.
#[derive(Default)]
struct Begun {
    commands: Vec<Hook>,
    /// What its end is told by should its path not be configured any more by then.
    hooks: Option<Hooks>,
    /// What was so when it began.
    more: Vec<(&'static str, String)>,
}

/// The hooks of a path.
struct Hooks {
    name: String,
    found: Found,
    set: Set,
    /// What of it is in the file.
    in_file: Option<Set>,
}

impl Hooks {
    /// `None`: the path is not configured.
    fn of(gateway: &Gateway, name: &str) -> Option<Self> {
        let conf = present(gateway);
        let found = conf.find(name).ok()?;
        let set = conf.path(&found.conf_name)?;
        let in_file = gateway.engine.in_file().and_then(|conf| conf.path(&found.conf_name));
        Some(Self { name: name.to_owned(), found, set, in_file })
    }

    /// What is run for `key`. `None`: nothing, or it may not be.
    fn order(&self, gateway: &Gateway, key: &str, more: &[(&str, String)]) -> Option<Order> {
        let command = self.set.text(key);
        let restart = self.set.flag(&format!("{key}Restart"));
        let mut environment: BTreeMap<String, String> = [("MTX_PATH", &self.name), ("RTSP_PATH", &self.name)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        environment.insert("RTSP_PORT".into(), gateway.rtsp.port.to_string());
        for (at, group) in self.found.groups.iter().enumerate().skip(1) {
            environment.insert(format!("G{at}"), group.clone());
        }
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        permitted(gateway, key, command, || self.in_file.as_ref().is_some_and(|set| set.text(key) == command))?;
        Some(Order { command: command.to_owned(), restart, environment })
    }
}

/// What its end is told by: the hooks that a path has now, or had when something began there.
fn at_its_end(gateway: &Gateway, name: &str, then: Option<Hooks>) -> Option<Hooks> {
    Hooks::of(gateway, name).or(then)
}

/// Where a path's stream comes from, and the query that its publisher came with.
fn source(gateway: &Gateway, name: &str) -> Vec<(&'static str, String)> {
    let (kind, id) = path_state(gateway, name).ok().and_then(|path| path.source()).unwrap_or_default();
    let sessions = gateway.paths.rtsp().sessions();
    let publisher = sessions.into_iter().find(|session| session.id.to_string() == id);
    let query = publisher.map(|session| escaped(&session.query)).unwrap_or_default();
    vec![("MTX_QUERY", query), ("MTX_SOURCE_TYPE", kind), ("MTX_SOURCE_ID", id)]
}

/// Go's `url.QueryEscape`.
fn escaped(query: &str) -> String {
    utf8_percent_encode(query, QUERY).to_string().replace("%20", "+")
}

/// Whether a command may be run: there is one, and it stands in the file, or need not.
fn permitted(gateway: &Gateway, key: &str, command: &str, is_in_file: impl FnOnce() -> bool) -> Option<()> {
    if command.is_empty() {
        return None;
    }
    if gateway.engine.api_hooks || is_in_file() {
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
    let ending = running.into_values().flat_map(|begun| begun.commands).map(Hook::stop);
    let _ = timeout(ENDING, futures_util::future::join_all(ending)).await;
}

fn start(running: &mut Running, what: String, orders: impl IntoIterator<Item = Order>) {
    for order in orders {
        if running.values().map(|begun| begun.commands.len()).sum::<usize>() >= MOST {
            tracing::error!(command = order.command, "not run: there are {MOST} commands already");
            continue;
        }
        running.entry(what.clone()).or_default().commands.push(Hook::start(order));
    }
}

/// Runs something that ends by itself.
fn once(running: &mut Running, orders: impl IntoIterator<Item = Order>) {
    if let Some(short) = running.get_mut("once") {
        short.commands.retain(|hook| !hook.is_over());
    }
    start(running, "once".into(), orders.into_iter().map(|order| Order { restart: false, ..order }));
}

fn path_event(gateway: &Gateway, running: &mut Running, event: PathEvent) {
    match event {
        PathEvent::Changed { name } => {
            let status = gateway.paths.status(&name).ok();
            let is_available = status.as_ref().is_some_and(|status| status.available().is_some());
            let is_online = status.is_some_and(|status| status.stream.is_some() && status.filler.is_none());
            let mut states = [
                ("available", is_available, ["runOnAvailable", "runOnUnavailable"]),
                ("online", is_online, ["runOnOnline", "runOnOffline"]),
            ];
            if !is_available {
                // What began last ends first.
                states.reverse();
            }
            for (state, is_so, [begins, ends]) in states {
                let what = format!("{state} {name}");
                match (running.contains_key(&what), is_so) {
                    (false, true) => {
                        let (hooks, more) = (Hooks::of(gateway, &name), source(gateway, &name));
                        let order = hooks.as_ref().and_then(|hooks| hooks.order(gateway, begins, &more));
                        // That it is so is kept in mind also where nothing runs.
                        running.insert(what.clone(), Begun { hooks, more, ..Begun::default() });
                        start(running, what, order);
                    }
                    (true, false) => {
                        let Begun { hooks, more, .. } = running.remove(&what).unwrap_or_default();
                        let hooks = at_its_end(gateway, &name, hooks);
                        once(running, hooks.and_then(|hooks| hooks.order(gateway, ends, &more)));
                    }
                    _ => {}
                }
            }
        }
        PathEvent::RecordingStarted { name, started } => {
            let file = started.folder.join(&started.filename).display().to_string();
            let hooks = Hooks::of(gateway, &name);
            let more = [("MTX_SEGMENT_PATH", file)];
            let order = hooks.as_ref().and_then(|hooks| hooks.order(gateway, "runOnRecordSegmentCreate", &more));
            running.insert(format!("recording {}", started.filename), Begun { hooks, ..Begun::default() });
            once(running, order);
        }
        PathEvent::RecordingStopped { name, stopped } => {
            let file = stopped.folder.join(&stopped.filename).display().to_string();
            let length = stopped.duration.as_secs_f64().to_string();
            let more = [("MTX_SEGMENT_PATH", file), ("MTX_SEGMENT_DURATION", length)];
            let begun = running.remove(&format!("recording {}", stopped.filename)).unwrap_or_default();
            let hooks = at_its_end(gateway, &name, begun.hooks);
            once(running, hooks.and_then(|hooks| hooks.order(gateway, "runOnRecordSegmentComplete", &more)));
        }
        PathEvent::RecordingFailed { filename, .. } => drop(running.remove(&format!("recording {filename}"))),
        _ => {}
    }
}

fn reader_event(gateway: &Gateway, running: &mut Running, event: ReaderEvent) {
    match event {
        ReaderEvent::Joined(reader) => {
            let (hooks, what) = (Hooks::of(gateway, &reader.path), format!("reader {}", reader.session));
            let order = hooks.as_ref().and_then(|hooks| hooks.order(gateway, "runOnRead", &of_reader(&reader)));
            running.insert(what.clone(), Begun { hooks, ..Begun::default() });
            start(running, what, order);
        }
        ReaderEvent::Left(reader) => {
            let begun = running.remove(&format!("reader {}", reader.session)).unwrap_or_default();
            let hooks = at_its_end(gateway, &reader.path, begun.hooks);
            once(running, hooks.and_then(|hooks| hooks.order(gateway, "runOnUnread", &of_reader(&reader))));
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
        ("MTX_QUERY", escaped(&reader.query)),
        ("MTX_READER_TYPE", session_word(reader.secure).into()),
        ("MTX_READER_ID", reader.session.to_string()),
    ]
}

/// A hook of the global configuration.
fn of_all(gateway: &Gateway, key: &str, id: uuid::Uuid, secure: bool) -> Option<Order> {
    let global = gateway.engine.acting();
    let command = global.text(key).to_owned();
    let in_file = || gateway.engine.in_file().is_some_and(|conf| conf.global().text(key) == command);
    permitted(gateway, key, &command, in_file)?;
    let environment = [
        ("RTSP_PORT", gateway.rtsp.port.to_string()),
        ("MTX_CONN_TYPE", if secure { "rtspsConn" } else { "rtspConn" }.to_owned()),
        ("MTX_CONN_ID", id.to_string()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    Some(Order { command, restart: global.flag(&format!("{key}Restart")), environment })
}

/// `runOnInit`: as long as the path is there. Not what would take a camera, which is there already (`apply`).
fn initial(gateway: &Gateway, running: &mut Running) {
    let conf = present(gateway);
    let due = conf.paths().into_iter().filter(|(name, set)| {
        let command = set.text("runOnInit");
        !command.is_empty() && captured(command, name).is_none()
    });
    let due: BTreeMap<_, _> = due.map(|(name, set)| (format!("init {name} {}", set.text("runOnInit")), name)).collect();
    running.retain(|what, _| !what.starts_with("init ") || due.contains_key(what));
    for (what, name) in due {
        if !running.contains_key(&what) {
            let order = Hooks::of(gateway, &name).and_then(|hooks| hooks.order(gateway, "runOnInit", &[]));
            running.insert(what.clone(), Begun::default());
            start(running, what, order);
        }
    }
}

/// `runOnDemand`: somebody wants to read a path that nobody publishes to, with this query. Returns when somebody does; false:
/// nobody did in time.
pub(super) async fn demand(gateway: &Arc<Gateway>, name: &str, query: &str) -> bool {
    let asked = [("MTX_QUERY", escaped(query))];
    let Some((hooks, order)) = Hooks::of(gateway, name).and_then(|hooks| {
        let order = hooks.order(gateway, "runOnDemand", &asked)?;
        Some((hooks, order))
    }) else {
        return true;
    };
    let [start_timeout, close_after] =
        ["runOnDemandStartTimeout", "runOnDemandCloseAfter"].map(|key| hooks.set.time(key).duration());
    let end = hooks.order(gateway, "runOnUnDemand", &asked);
    let mut events = gateway.paths.events();
    {
        let mut demanded = gateway.engine.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        if demanded.len() < MOST && demanded.insert(name.to_owned()) {
            tokio::spawn(while_wanted(Arc::clone(gateway), name.to_owned(), order, end, (start_timeout, close_after)));
        }
    }
    let published = async {
        while gateway.paths.status(name).is_ok_and(|status| status.stream.is_none()) {
            let _ = events.recv().await;
        }
    };
    timeout(start_timeout, published).await.is_ok()
}

/// `end` is run at last; `times` are how long the first reader is waited for besides, and others after the last.
async fn while_wanted(
    gateway: Arc<Gateway>,
    name: String,
    order: Order,
    end: Option<Order>,
    times: (Duration, Duration),
) {
    let (first, close_after) = times;
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
    if let Some(order) = end {
        Hook::start(Order { restart: false, ..order }).ended().await;
    }
}
