//! From a configuration that was changed to what streams and is recorded.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Answer, Refusal,
    access::OURSELVES,
    capture::captured,
    config::{is_reserved, present},
    matched, record_path,
};
use crate::{
    command::Gateway,
    id::CameraId,
    mtx::{Conf, ONLY_PUBLISHERS, Set},
    output::recorder::RecordingFormat,
    path::{Filling, OwnFolder, PathSettings, Publishing, RecordingRequest, Running},
    pipeline::{CaptureRequest, Source, Wanted},
    rtsp_url::{Fingerprint, RtspUrl},
};

/// Keys that say whether a path is recorded, and how.
const RECORD_KEYS: [&str; 5] = ["record", "recordFormat", "recordSegmentDuration", "recordPartDuration", "recordPath"];

/// Parts of recordings: shorter ones cost more than they save, and of longer ones a crash costs as much as they have.
const SHORTEST_PART: Duration = Duration::from_millis(100);
const LONGEST_PART: Duration = Duration::from_secs(10);

/// What a path of its own needs to stream.
#[derive(Clone, Debug, PartialEq)]
enum Served {
    /// It is pulled from somewhere.
    Pulled { source: Source, on_demand: bool, start_timeout: Duration, close_after: Duration, filling: Option<Filling> },
    /// Somebody publishes to it.
    Published(Publishing, Option<Filling>),
}

impl Served {
    /// `None`: nothing streams on this path.
    fn new(gateway: &Gateway, name: &str, path: &Set, asked: Asked<'_>) -> Option<Self> {
        let (device, source) = (device(path), path.text("source"));
        let url = match &device {
            Some(device) => at_camera(gateway, device)?,
            None if source == "publisher" => {
                let newest = path.flag("overridePublisher");
                let publishing = if newest { Publishing::Newest } else { Publishing::First };
                return Some(Self::Published(publishing, filling(path)));
            }
            None => RtspUrl::parse(&asked.fill(source, name)).ok()?,
        };
        let [start_timeout, close_after] = on_demand_times(path, source == "publisher");
        // Of a command that captures a camera all the time, its stream is there all the time.
        let hook = source == "publisher" && captured(path.text("runOnInit"), name).is_none();
        let on_demand = path.flag("sourceOnDemand") || hook;
        let fingerprint = Fingerprint::written(path.text("sourceFingerprint"));
        let source = Source::Rtsp { url, fingerprint };
        Some(Self::Pulled { source, on_demand, start_timeout, close_after, filling: filling(path) })
    }
}

/// How long a source that runs on demand may take to start, and runs on without readers. `hook`: it is a command.
fn on_demand_times(path: &Set, hook: bool) -> [Duration; 2] {
    let keys = match hook {
        true => ["runOnDemandStartTimeout", "runOnDemandCloseAfter"],
        false => ["sourceOnDemandStartTimeout", "sourceOnDemandCloseAfter"],
    };
    keys.map(|key| path.time(key).duration())
}

/// What readers see while the source is away. `None`: they end with it.
fn filling(path: &Set) -> Option<Filling> {
    let file = path.text("alwaysAvailableFile");
    path.flag("alwaysAvailable").then(|| Filling { file: (!file.is_empty()).then(|| file.into()) })
}

/// How a path was asked for that an expression stands for. Others are there before anybody asks.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// What the expression's groups matched; the first is the whole name.
    pub(super) groups: &'a [String],
    /// The query of whoever came first.
    pub(super) query: &'a str,
}

impl Asked<'_> {
    /// A source with the path's name for `$MTX_PATH`, the query for `$MTX_QUERY`, and the groups for `$G1`, `$G2` and so on.
    pub(super) fn fill(&self, source: &str, name: &str) -> String {
        let numbered = self.groups.iter().enumerate().skip(1).rev();
        let filled = numbered.fold(source.to_owned(), |text, (at, group)| text.replace(&format!("$G{at}"), group));
        filled.replace("$MTX_PATH", name).replace("$MTX_QUERY", self.query)
    }
}

/// The camera that a path under another name stands for: its node, or its name. Of a command of ffmpeg that would take a
/// camera of ours, which it could not have, the camera is taken and the command left.
pub(super) fn device(path: &Set) -> Option<String> {
    match path.text("source") {
        "rpiCamera" => Some(CameraId(u16::try_from(path.int("rpiCameraCamID")).ok()?).to_string()),
        "publisher" => {
            let mut hooks = ["runOnDemand", "runOnInit"].into_iter();
            hooks.find_map(|hook| captured(path.text(hook), path.text("name")))
        }
        source => {
            let device = source.strip_prefix("v4l2://").unwrap_or(source);
            device.starts_with("/dev/").then(|| device.to_owned())
        }
    }
}

/// Where a camera is read, from here. `None`: there is no such camera.
fn at_camera(gateway: &Gateway, device: &str) -> Option<RtspUrl> {
    let name = gateway.cameras.find(device).ok()?;
    let address = &gateway.engine.rtsp;
    let host = if address.starts_with(':') { "127.0.0.1" } else { "" };
    RtspUrl::parse(&format!("rtsp://{OURSELVES}:{}@{host}{address}/{name}", gateway.engine.own_pass)).ok()
}

/// Refuses what cannot be: another source for a path that the service has by itself, or a stream of another machine under the
/// name of a camera.
pub(super) fn check(gateway: &Gateway, before: &Conf, after: &Conf) -> Answer<()> {
    for (name, path) in after.paths() {
        let Some(own) = after.own_of(&name) else { continue };
        let was = |key: &str| before.own_of(&name).map_or("", |own| own.text(key));
        let is_new = |key: &str| own.text(key) != was(key);
        if after.is_given(&name) {
            let (source, hook) = (own.text("source"), own.text("runOnDemand"));
            // A client sends back what it was shown, or what it has always said of a camera that ffmpeg captures.
            let is_its_own = ["", "publisher", path.text("source")].contains(&source)
                || device(own).is_some_and(|device| gateway.cameras.find(&device).is_ok_and(|camera| camera == name));
            if is_new("source") && !is_its_own {
                let message = format!("'{name}' has a source of its own here, '{}'", path.text("source"));
                return Err(Refusal::Invalid(message));
            }
            if is_new("runOnDemand") && !hook.is_empty() && captured(hook, &name).is_none() {
                return Err(Refusal::Invalid(ONLY_PUBLISHERS.into()));
            }
        } else if is_new("source") && is_reserved(&name) && is_pulled(gateway, &name, &path) {
            return Err(Refusal::Invalid(format!("'{name}' is the name of a camera, which is its source")));
        }
    }
    Ok(())
}

/// Makes what streams and is recorded what the configuration says now. What is so already is left alone, so this may be
/// done at any time; whoever does it has the turn.
pub(super) async fn reconcile(gateway: &Gateway) {
    let conf = present(gateway);
    let largest = conf.global().int("udpMaxPayloadSize");
    gateway.paths.rtsp().limit_packets(u32::try_from(largest).unwrap_or(0));
    let mut old = std::mem::take(&mut *lock(gateway));
    let mut applied = BTreeMap::new();
    for (name, path) in conf.paths() {
        let given = conf.as_given(&name);
        let is_given = given.is_some();
        // What was done of another path of that name is over.
        let number = gateway.paths.number(&name).ok();
        let was = old.remove(&name).filter(|was| was.is_given == is_given && was.number == number);
        let served = match is_given {
            true => {
                run(gateway, &name, &path).await;
                None
            }
            false => serve(gateway, &name, was.as_ref(), &path).await,
        };
        limit(gateway, &name, &path);
        let is_new = was.is_none_or(|was| was.record_path != path.text("recordPath"));
        record(gateway, &name, &path, given.as_ref(), is_new).await;
        applied.insert(name.clone(), Applied::new(gateway, &name, &path, is_given, served));
    }
    for (name, was) in old {
        gateway.paths.rtsp().limit_readers(&name, None);
        if !was.is_given {
            withdraw(gateway, &name, was).await;
        }
    }
    *lock(gateway) = applied;
    for (name, conf_name) in matched::entries(gateway) {
        if let Some(path) = conf.path(&conf_name) {
            record(gateway, &name, &path, None, false).await;
        }
    }
}

/// Whether what the configuration says of the path that has this name now was done.
pub(super) fn is_settled(gateway: &Gateway, name: &str) -> bool {
    lock(gateway).get(name).is_some_and(|was| was.number == gateway.paths.number(name).ok())
}

// The map is valid after every statement.
pub(super) fn lock(gateway: &Gateway) -> MutexGuard<'_, BTreeMap<String, Applied>> {
    gateway.engine.applied.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was done of a path.
#[derive(Clone)]
pub(super) struct Applied {
    is_given: bool,
    /// Which of all paths that had its name. `None`: there is none, as of a camera that is not there yet.
    number: Option<u64>,
    /// What streams on it, where that is not the service's own doing.
    served: Option<Served>,
    /// What readers see while the source is away.
    filling: Option<Filling>,
    record_path: String,
}

impl Applied {
    fn new(gateway: &Gateway, name: &str, path: &Set, is_given: bool, served: Option<Served>) -> Self {
        let number = gateway.paths.number(name).ok();
        Self { is_given, number, served, filling: filling(path), record_path: path.text("recordPath").to_owned() }
    }
}

fn is_pulled(gateway: &Gateway, name: &str, path: &Set) -> bool {
    matches!(Served::new(gateway, name, path, Asked::default()), Some(Served::Pulled { .. }))
}

/// Starts or exchanges what a path of its own streams, and says what that is. Its readers leave when it changes.
async fn serve(gateway: &Gateway, name: &str, was: Option<&Applied>, path: &Set) -> Option<Served> {
    if !is_plain(name) {
        return None;
    }
    if is_reserved(name) {
        await_camera(gateway, name, was, filling(path)).await;
        return None;
    }
    let was = was.and_then(|was| was.served.as_ref());
    let is = Served::new(gateway, name, path, Asked::default());
    if was != is.as_ref() {
        if was.is_some() {
            remove(gateway, name).await;
        }
        if let Some(served) = &is {
            start(gateway, name, served.clone()).await;
        }
    }
    is
}

/// Takes away what streams on a path that has no entry any more.
async fn withdraw(gateway: &Gateway, name: &str, was: Applied) {
    if is_reserved(name) {
        await_camera(gateway, name, Some(&was), None).await;
    } else if was.served.is_some() && was.number == gateway.paths.number(name).ok() {
        remove(gateway, name).await;
    }
}

pub(super) async fn remove(gateway: &Gateway, name: &str) {
    if let Err(error) = gateway.paths.remove(name).await {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

/// Starts what a path streams that a regular expression has matched. `None`: nothing does.
pub(super) async fn serve_matched(gateway: &Gateway, name: &str, path: &Set, asked: Asked<'_>) -> Option<Applied> {
    let served = Served::new(gateway, name, path, asked).filter(|_| !is_reserved(name))?;
    start(gateway, name, served.clone()).await;
    limit(gateway, name, path);
    record(gateway, name, path, None, true).await;
    Some(Applied::new(gateway, name, path, false, Some(served)))
}

/// Has such a path go on by what its entry, or another one, says now of its recordings. Nobody on it notices.
pub(super) async fn go_on(gateway: &Gateway, name: &str, was: Applied, path: &Set) -> Applied {
    record(gateway, name, path, None, was.record_path != path.text("recordPath")).await;
    Applied { record_path: path.text("recordPath").to_owned(), ..was }
}

/// Has a camera's path there before the camera is, if readers shall see something meanwhile.
async fn await_camera(gateway: &Gateway, name: &str, was: Option<&Applied>, is: Option<Filling>) {
    if was.and_then(|was| was.filling.as_ref()) == is.as_ref() {
        return;
    }
    let usual = PathSettings { auto_record: None, ..gateway.external.path_settings() };
    let PathSettings { always_on, close_after, start_timeout, .. } = usual;
    match gateway.paths.status(name) {
        // Never taken away: the camera may have come just now.
        Ok(_) => {
            let running = Running { always_on, close_after, start_timeout, always_available: is };
            if let Err(error) = gateway.paths.change_running(name, running).await {
                tracing::debug!(path = name, "{}", error.chain());
            }
        }
        Err(_) if is.is_some() => gateway.paths.add(name, PathSettings { always_available: is, ..usual }),
        Err(_) => {}
    }
}

async fn start(gateway: &Gateway, name: &str, served: Served) {
    let usual = PathSettings { auto_record: None, ..gateway.external.path_settings() };
    match served {
        Served::Published(publishing, always_available) => {
            gateway.paths.add(name, PathSettings { always_on: true, publishing, always_available, ..usual });
        }
        Served::Pulled { source, on_demand, start_timeout, close_after, filling } => {
            let always_available = filling;
            let settings =
                PathSettings { always_on: !on_demand, start_timeout, close_after, always_available, ..usual };
            gateway.paths.add(name, settings);
            let request = CaptureRequest { source, wanted: Wanted::default() };
            if let Err(error) = gateway.paths.set_source(name, Some(request)).await {
                tracing::debug!(path = name, "{}", error.chain());
            }
        }
    }
}

/// Whether an entry is a path, and no expression that stands for many.
pub(super) fn is_plain(name: &str) -> bool {
    !name.starts_with('~') && !["all", "all_others"].contains(&name)
}

fn limit(gateway: &Gateway, name: &str, path: &Set) {
    if let Ok(most) = usize::try_from(path.int("maxReaders")) {
        gateway.paths.rtsp().limit_readers(name, (most > 0).then_some(most));
    }
}

/// Has a path of the service's own run always, or on demand. Its readers do not notice.
async fn run(gateway: &Gateway, name: &str, path: &Set) {
    // A command that captures the camera for the path's readers says when it is to run.
    let hook = captured(path.text("runOnDemand"), name).is_some();
    let [start_timeout, close_after] = on_demand_times(path, hook);
    let is = Running {
        always_on: !hook && !path.flag("sourceOnDemand"),
        start_timeout,
        close_after,
        always_available: filling(path),
    };
    if gateway.paths.running(name).is_ok_and(|was| was != is)
        && let Err(error) = gateway.paths.change_running(name, is).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

/// Has a path recorded from now on as it says, or not any more; of one of the service's own, of which nothing else is said than
/// what is `given`, as the service does by itself. Its readers do not notice. `is_new`: it may be recorded somewhere else now.
async fn record(gateway: &Gateway, name: &str, path: &Set, given: Option<&Set>, is_new: bool) {
    let place = record_path::place(gateway, name, path, is_new).await;
    let said = path.flag("record").then(|| request(gateway, name, path, place));
    let is_said = given.is_none_or(|given| RECORD_KEYS.iter().any(|key| path.get(key) != given.get(key)));
    let Ok(kept) = gateway.paths.kept_recording(name) else { return };
    let wish = match gateway.paths.settings(name) {
        // What was begun as somebody said goes on so, also when the service would do as much by itself.
        Ok(settings) if !is_said && (kept.is_none() || kept != said) => {
            settings.auto_record.map(|itself| RecordingRequest { folder: place, ..itself })
        }
        _ => said,
    };
    if kept != wish
        && let Err(error) = gateway.paths.keep_recording(name, wish).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

fn request(gateway: &Gateway, name: &str, path: &Set, folder: Option<OwnFolder>) -> RecordingRequest {
    let configured = gateway.defaults().recording;
    let itself = gateway.paths.settings(name).is_ok_and(|settings| settings.auto_record.is_some());
    let [segment, part] = ["recordSegmentDuration", "recordPartDuration"].map(|key| path.time(key).duration());
    RecordingRequest {
        format: if path.text("recordFormat") == "mpegts" { RecordingFormat::MpegTs } else { RecordingFormat::Fmp4 },
        limit: None,
        cut_after: (!segment.is_zero()).then_some(segment),
        part: Some(part.clamp(SHORTEST_PART, LONGEST_PART)),
        folder,
        // A recording is no reader: for it alone nothing runs on demand, but what the service records by itself.
        only_while_streaming: !itself && (path.flag("sourceOnDemand") || !path.text("runOnDemand").is_empty()),
        ..configured
    }
}
