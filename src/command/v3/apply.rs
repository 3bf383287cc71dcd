//! From a configuration that was changed to what streams and is recorded.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use super::{
    Answer, Refusal,
    access::OURSELVES,
    capture::captured,
    config::{is_reserved, present},
    record_path,
};
use crate::{
    command::Gateway,
    id::CameraId,
    mtx::{Conf, Set},
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
#[derive(Debug, PartialEq)]
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
        let times = match source {
            "publisher" => ["runOnDemandStartTimeout", "runOnDemandCloseAfter"],
            _ => ["sourceOnDemandStartTimeout", "sourceOnDemandCloseAfter"],
        };
        let [start_timeout, close_after] = times.map(|key| path.time(key).duration());
        // Of a command that captures a camera all the time, its stream is there all the time.
        let hook = source == "publisher" && captured(path.text("runOnInit"), name).is_none();
        let on_demand = path.flag("sourceOnDemand") || hook;
        let fingerprint = Fingerprint::written(path.text("sourceFingerprint"));
        let source = Source::Rtsp { url, fingerprint };
        Some(Self::Pulled { source, on_demand, start_timeout, close_after, filling: filling(path) })
    }
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

/// Refuses what cannot be: a stream of another machine under the name of a camera.
pub(super) fn check(gateway: &Gateway, before: &Conf, after: &Conf) -> Answer<()> {
    for (name, path) in after.paths() {
        let is_new = before.path(&name).is_none_or(|before| before.text("source") != path.text("source"));
        if is_new && !after.is_given(&name) && is_reserved(&name) && is_pulled(gateway, &name, &path) {
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
    let mut old = std::mem::take(&mut *gateway.engine.applied.lock().unwrap_or_else(PoisonError::into_inner));
    let mut applied = BTreeMap::new();
    for (name, path) in conf.paths() {
        let given = conf.as_given(&name);
        let is_given = given.is_some();
        // Of a path of its own the service has done what it says itself.
        let was = old.remove(&name).filter(|was| was.is_given == is_given);
        let itself = gateway.paths.settings(&name).ok().filter(|_| is_given).and_then(|settings| settings.auto_record);
        let (was, place, before) = was.map_or((given, None, itself), |was| (Some(was.path), was.place, was.itself));
        match is_given {
            true => run(gateway, &name, &path).await,
            false => serve(gateway, &name, was.as_ref(), Some(&path)).await,
        }
        limit(gateway, &name, &path);
        let is_said = conf.own().any(|(own, set)| own == name && RECORD_KEYS.iter().any(|key| set.get(key).is_some()));
        let own_way = (before != itself && !is_said).then_some(itself);
        let place = record(gateway, &name, was.as_ref().zip(Some(place)), &path, own_way).await;
        applied.insert(name, Applied { is_given, path, place, itself });
    }
    for (name, was) in old {
        gateway.paths.rtsp().limit_readers(&name, None);
        if !was.is_given {
            serve(gateway, &name, Some(&was.path), None).await;
        }
    }
    *gateway.engine.applied.lock().unwrap_or_else(PoisonError::into_inner) = applied;
}

/// What was done of a path.
#[derive(Clone)]
pub(super) struct Applied {
    is_given: bool,
    path: Set,
    /// The folder that it is recorded in, where that is its own.
    place: Option<OwnFolder>,
    /// How the service would record it by itself.
    itself: Option<RecordingRequest>,
}

fn is_pulled(gateway: &Gateway, name: &str, path: &Set) -> bool {
    matches!(Served::new(gateway, name, path, Asked::default()), Some(Served::Pulled { .. }))
}

/// Starts, stops or exchanges what a path of its own streams. Its readers leave when it changes.
async fn serve(gateway: &Gateway, name: &str, was: Option<&Set>, is: Option<&Set>) {
    if is_plain(name) && is_reserved(name) {
        return await_camera(gateway, name, was, is).await;
    }
    if !is_plain(name) {
        return;
    }
    let served = |path| Served::new(gateway, name, path, Asked::default());
    // It may be that its camera was not there.
    let is_there = gateway.paths.status(name).is_ok();
    let (was, is) = (was.filter(|_| is_there).and_then(served), is.and_then(served));
    if was == is {
        return;
    }
    if was.is_some()
        && let Err(error) = gateway.paths.remove(name).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
    if let Some(served) = is {
        start(gateway, name, served).await;
    }
}

/// Starts what a path streams that a regular expression has matched. `None`: nothing does.
pub(super) async fn serve_matched(gateway: &Gateway, name: &str, path: Set, asked: Asked<'_>) -> Option<Applied> {
    let served = Served::new(gateway, name, &path, asked).filter(|_| !is_reserved(name))?;
    start(gateway, name, served).await;
    limit(gateway, name, &path);
    let place = record(gateway, name, None, &path, None).await;
    Some(Applied { is_given: false, path, place, itself: None })
}

/// Has such a path go on by what its entry, or another one, says now of its recordings. Nobody on it notices.
pub(super) async fn go_on(gateway: &Gateway, name: &str, was: Applied, path: Set) -> Applied {
    let place = record(gateway, name, Some((&was.path, was.place)), &path, None).await;
    Applied { path, place, ..was }
}

/// Has a camera's path there before the camera is, if readers shall see something meanwhile.
async fn await_camera(gateway: &Gateway, name: &str, was: Option<&Set>, is: Option<&Set>) {
    let (was, is) = (was.and_then(filling), is.and_then(filling));
    if was == is {
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
    let is = Running {
        always_on: !path.flag("sourceOnDemand"),
        start_timeout: path.time("sourceOnDemandStartTimeout").duration(),
        close_after: path.time("sourceOnDemandCloseAfter").duration(),
        always_available: filling(path),
    };
    if gateway.paths.running(name).is_ok_and(|was| was != is)
        && let Err(error) = gateway.paths.change_running(name, is).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

/// Has a path recorded from now on, or otherwise, or not any more, and says in which folder of its own. Its readers do not
/// notice. Goes by `own_way`, where there is one: the service's own configuration has changed, and nothing else is said.
async fn record(
    gateway: &Gateway,
    name: &str,
    was: Option<(&Set, Option<OwnFolder>)>,
    is: &Set,
    own_way: Option<Option<RecordingRequest>>,
) -> Option<OwnFolder> {
    let is_new = was.is_none_or(|(was, _)| was.text("recordPath") != is.text("recordPath"));
    let place = record_path::place(gateway, name, is, is_new).await;
    let wish = |path: &Set, folder| path.flag("record").then(|| request(gateway, name, path, folder));
    let (was, is) = match own_way {
        Some(itself) => (None, itself.map(|request| RecordingRequest { folder: place, ..request })),
        None => (was.and_then(|(was, folder)| wish(was, folder)), wish(is, place)),
    };
    if (was != is || own_way.is_some())
        && let Err(error) = gateway.paths.keep_recording(name, is).await
    {
        // A path that nothing streams on, so far.
        tracing::debug!(path = name, "{}", error.chain());
    }
    place
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
