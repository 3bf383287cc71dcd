//! From a configuration that was changed to what streams and is recorded.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use super::{
    Answer, Refusal,
    access::OURSELVES,
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
    rtsp_url::RtspUrl,
};

/// Keys of a path that do something here. What is set of others is kept and shown.
const PATH_KEYS: [&str; 19] = [
    "name",
    "source",
    "sourceOnDemand",
    "sourceOnDemandStartTimeout",
    "sourceOnDemandCloseAfter",
    "maxReaders",
    "fallback",
    "overridePublisher",
    "sourceRedirect",
    "rpiCameraCamID",
    "record",
    "recordFormat",
    "recordSegmentDuration",
    "recordDeleteAfter",
    "alwaysAvailable",
    "alwaysAvailableFile",
    "alwaysAvailableTracks",
    "recordPath",
    "recordPartDuration",
];

/// Parts of recordings: shorter ones cost more than they save, and of longer ones a crash costs as much as they have.
const SHORTEST_PART: Duration = Duration::from_millis(100);
const LONGEST_PART: Duration = Duration::from_secs(10);

/// Global keys that do something here.
const GLOBAL_KEYS: [&str; 18] = [
    "rtspAuthMethods",
    "authInternalUsers",
    "apiAllowOrigins",
    "apiTrustedProxies",
    "metricsAllowOrigins",
    "metricsTrustedProxies",
    "playbackAllowOrigins",
    "playbackTrustedProxies",
    "authMethod",
    "authHTTPAddress",
    "authHTTPExclude",
    "authJWTJWKS",
    "authJWTClaimKey",
    "authJWTExclude",
    "authJWTInHTTPQuery",
    "authJWTIssuer",
    "authJWTAudience",
    "readTimeout",
];

/// Global keys that say where the service listens, and how. They count when it starts.
const LISTENING: [&str; 12] = [
    "api",
    "apiAddress",
    "metrics",
    "metricsAddress",
    "playback",
    "playbackAddress",
    "rtspTransports",
    "rtspAddress",
    "rtspsAddress",
    "multicastIPRange",
    "multicastRTPPort",
    "multicastRTCPPort",
];

/// What a path of its own needs to stream.
#[derive(Debug, PartialEq)]
enum Served {
    /// It is pulled from somewhere.
    Pulled { url: RtspUrl, on_demand: bool, start_timeout: Duration, close_after: Duration, filling: Option<Filling> },
    /// Somebody publishes to it.
    Published(Publishing, Option<Filling>),
}

impl Served {
    /// `None`: nothing streams on this path.
    fn new(gateway: &Gateway, name: &str, path: &Set, groups: &[String]) -> Option<Self> {
        let (device, source) = (device(path), path.text("source"));
        let url = match &device {
            Some(device) => at_camera(gateway, device)?,
            None if source == "publisher" => {
                let newest = path.flag("overridePublisher");
                let publishing = if newest { Publishing::Newest } else { Publishing::First };
                return Some(Self::Published(publishing, filling(path)));
            }
            None => RtspUrl::parse(&filled(source, name, groups)).ok()?,
        };
        let times = match source {
            "publisher" => ["runOnDemandStartTimeout", "runOnDemandCloseAfter"],
            _ => ["sourceOnDemandStartTimeout", "sourceOnDemandCloseAfter"],
        };
        let [start_timeout, close_after] = times.map(|key| path.time(key).duration());
        let on_demand = path.flag("sourceOnDemand") || source == "publisher";
        Some(Self::Pulled { url, on_demand, start_timeout, close_after, filling: filling(path) })
    }
}

/// What readers see while the source is away. `None`: they end with it.
fn filling(path: &Set) -> Option<Filling> {
    let file = path.text("alwaysAvailableFile");
    path.flag("alwaysAvailable").then(|| Filling { file: (!file.is_empty()).then(|| file.into()) })
}

/// A source with the path's name for `$MTX_PATH` and what an expression's groups matched for `$G1`, `$G2` and so on.
fn filled(source: &str, name: &str, groups: &[String]) -> String {
    let numbered = groups.iter().enumerate().skip(1).rev();
    let filled = numbered.fold(source.to_owned(), |text, (at, group)| text.replace(&format!("$G{at}"), group));
    filled.replace("$MTX_PATH", name)
}

/// The camera that a path under another name stands for: its node, or its name. Of a command of ffmpeg that would take a
/// camera of ours, which it could not have, the camera is taken and the command left.
pub(super) fn device(path: &Set) -> Option<String> {
    match path.text("source") {
        "rpiCamera" => Some(CameraId(u16::try_from(path.int("rpiCameraCamID")).ok()?).to_string()),
        "publisher" => {
            let words: Vec<_> = path.text("runOnDemand").split_whitespace().collect();
            let after = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1));
            after("-f").filter(|format| ["v4l2", "video4linux2"].contains(*format))?;
            after("-i").map(|device| (*device).to_owned())
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
    let mut old = std::mem::take(&mut *gateway.engine.applied.lock().unwrap_or_else(PoisonError::into_inner));
    let mut applied = BTreeMap::new();
    for (name, path) in conf.paths() {
        let given = conf.as_given(&name);
        let is_given = given.is_some();
        // Of a path of its own the service has done what it says itself.
        let was = old.remove(&name).filter(|was| was.is_given == is_given);
        let (was, place) = was.map_or((given, None), |was| (Some(was.path), was.place));
        match is_given {
            true => run(gateway, &name, was.as_ref(), &path).await,
            false => serve(gateway, &name, was.as_ref(), Some(&path)).await,
        }
        limit(gateway, &name, &path);
        let place = record(gateway, &name, was.as_ref().zip(Some(place)), &path).await;
        applied.insert(name, Applied { is_given, path, place });
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
pub(super) struct Applied {
    is_given: bool,
    path: Set,
    /// The folder that it is recorded in, where that is its own.
    place: Option<OwnFolder>,
}

fn is_pulled(gateway: &Gateway, name: &str, path: &Set) -> bool {
    matches!(Served::new(gateway, name, path, &[]), Some(Served::Pulled { .. }))
}

/// Starts, stops or exchanges what a path of its own streams. Its readers leave when it changes.
async fn serve(gateway: &Gateway, name: &str, was: Option<&Set>, is: Option<&Set>) {
    if is_plain(name) && is_reserved(name) {
        return await_camera(gateway, name, was, is).await;
    }
    if !is_plain(name) {
        return;
    }
    let served = |path| Served::new(gateway, name, path, &[]);
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

/// Starts what a path streams that a regular expression has matched.
pub(super) async fn serve_matched(gateway: &Gateway, name: &str, set: &Set, groups: &[String]) {
    if let Some(served) = Served::new(gateway, name, set, groups).filter(|_| !is_reserved(name)) {
        start(gateway, name, served).await;
        limit(gateway, name, set);
        record(gateway, name, None, set).await;
    }
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
        Served::Pulled { url, on_demand, start_timeout, close_after, filling } => {
            let always_available = filling;
            let settings =
                PathSettings { always_on: !on_demand, start_timeout, close_after, always_available, ..usual };
            gateway.paths.add(name, settings);
            let request = CaptureRequest { source: Source::Rtsp { url }, wanted: Wanted::default() };
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
async fn run(gateway: &Gateway, name: &str, was: Option<&Set>, is: &Set) {
    let wish = |path: &Set| Running {
        always_on: !path.flag("sourceOnDemand"),
        start_timeout: path.time("sourceOnDemandStartTimeout").duration(),
        close_after: path.time("sourceOnDemandCloseAfter").duration(),
        always_available: filling(path),
    };
    let is = wish(is);
    if was.map(wish).as_ref() != Some(&is)
        && let Err(error) = gateway.paths.change_running(name, is).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

/// Has a path recorded from now on, or otherwise, or not any more, and says in which folder of its own. Its readers do not
/// notice.
async fn record(gateway: &Gateway, name: &str, was: Option<(&Set, Option<OwnFolder>)>, is: &Set) -> Option<OwnFolder> {
    let is_new = was.is_none_or(|(was, _)| was.text("recordPath") != is.text("recordPath"));
    let place = record_path::place(gateway, name, is, is_new).await;
    let wish = |path: &Set, folder| path.flag("record").then(|| request(gateway, path, folder));
    let (was, is) = (was.and_then(|(was, folder)| wish(was, folder)), wish(is, place));
    if was != is
        && let Err(error) = gateway.paths.keep_recording(name, is).await
    {
        // A path that nothing streams on, so far.
        tracing::debug!(path = name, "{}", error.chain());
    }
    place
}

fn request(gateway: &Gateway, path: &Set, folder: Option<OwnFolder>) -> RecordingRequest {
    let configured = gateway.defaults.recording;
    let [segment, part] = ["recordSegmentDuration", "recordPartDuration"].map(|key| path.time(key).duration());
    RecordingRequest {
        format: if path.text("recordFormat") == "mpegts" { RecordingFormat::MpegTs } else { RecordingFormat::Fmp4 },
        limit: None,
        cut_after: (!segment.is_zero()).then_some(segment),
        part: Some(part.clamp(SHORTEST_PART, LONGEST_PART)),
        folder,
        ..configured
    }
}

/// Says once of each key that was set and does nothing. Without a `before` the service starts with what is set.
pub(super) fn tell_unused(gateway: &Gateway, before: Option<&Conf>, after: &Conf) {
    let (starts, bare) = (before.is_none(), after.bare());
    let before = before.unwrap_or(&bare);
    let mut told = gateway.engine.told.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tell = |before: &Set, after: &Set, used: &[&str]| {
        // Of what has an old name it is said by the new one, if that does nothing.
        let idle = |key: &&str| !key.starts_with("runOn") && !used.contains(key) && !after.is_former(key);
        for key in after.names().filter(idle).filter(|key| before.get(key) != after.get(key)) {
            let waits = LISTENING.contains(&key);
            if (waits && starts) || !told.insert(key.to_owned()) {
                continue;
            }
            if waits {
                tracing::warn!(key, "kept and shown; it counts when the service starts, where mediamtx.yml says it");
            } else {
                tracing::warn!(key, "it is set, kept and shown, and does nothing here");
            }
        }
    };
    tell(&before.wished(), &after.wished(), &GLOBAL_KEYS);
    tell(&before.path_defaults(), &after.path_defaults(), &PATH_KEYS);
    let defaults = after.path_defaults();
    for (name, path) in after.paths() {
        tell(&before.path(&name).unwrap_or_else(|| defaults.clone()), &path, &PATH_KEYS);
    }
}
