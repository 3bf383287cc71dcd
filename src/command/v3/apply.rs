//! From a configuration that was changed to what streams and is recorded.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use super::{Answer, Refusal, config::is_reserved};
use crate::{
    command::Gateway,
    mtx::{Conf, Set},
    output::recorder::RecordingFormat,
    path::{PathSettings, RecordingRequest},
    pipeline::{CaptureRequest, Source, Wanted},
    rtsp_url::RtspUrl,
};

/// Keys of a path that do something here. What is set of others is kept and shown.
const PATH_KEYS: [&str; 8] = [
    "name",
    "source",
    "sourceOnDemand",
    "sourceOnDemandStartTimeout",
    "sourceOnDemandCloseAfter",
    "record",
    "recordFormat",
    "recordSegmentDuration",
];

/// Global keys that do something here.
const GLOBAL_KEYS: [&str; 3] = ["authInternalUsers", "apiAllowOrigins", "apiTrustedProxies"];

/// What a path of its own needs to stream.
#[derive(Debug, PartialEq)]
struct Served {
    url: RtspUrl,
    on_demand: bool,
    start_timeout: Duration,
    close_after: Duration,
}

impl Served {
    /// `None`: nothing is pulled for this path.
    fn new(path: &Set) -> Option<Self> {
        Some(Self {
            url: RtspUrl::parse(path.text("source")).ok()?,
            on_demand: path.flag("sourceOnDemand"),
            start_timeout: path.time("sourceOnDemandStartTimeout").duration(),
            close_after: path.time("sourceOnDemandCloseAfter").duration(),
        })
    }
}

/// Refuses what cannot be: a stream of another machine under the name of a camera.
pub(super) fn check(before: &Conf, after: &Conf) -> Answer<()> {
    for (name, path) in after.paths() {
        let is_new = before.path(&name).is_none_or(|before| before.text("source") != path.text("source"));
        if is_new && is_reserved(&name) && Served::new(&path).is_some() {
            return Err(Refusal::Invalid(format!("'{name}' is the name of a camera, which is its source")));
        }
    }
    Ok(())
}

/// Does what has to be done after a change.
pub(super) async fn differences(gateway: &Gateway, before: &Conf, after: &Conf) {
    tell_unused(gateway, before, after);
    let mut old: BTreeMap<_, _> = before.paths().into_iter().collect();
    for (name, path) in after.paths() {
        let was = old.remove(&name);
        if !after.is_given(&name) {
            serve(gateway, &name, was.as_ref(), Some(&path)).await;
        }
        record(gateway, &name, was.as_ref(), &path).await;
    }
    for (name, path) in old {
        if !before.is_given(&name) {
            serve(gateway, &name, Some(&path), None).await;
        }
    }
}

/// Starts, stops or exchanges what a path of its own streams. Its readers leave when it changes.
async fn serve(gateway: &Gateway, name: &str, was: Option<&Set>, is: Option<&Set>) {
    let (was, is) = (was.and_then(Served::new), is.and_then(Served::new));
    if was == is {
        return;
    }
    if was.is_some()
        && let Err(error) = gateway.paths.remove(name).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
    let Some(served) = is else { return };
    let settings = PathSettings {
        always_on: !served.on_demand,
        start_timeout: served.start_timeout,
        close_after: served.close_after,
        auto_record: None,
        ..gateway.external.path_settings()
    };
    gateway.paths.add(name, settings);
    let request = CaptureRequest { source: Source::Rtsp { url: served.url }, wanted: Wanted::default() };
    if let Err(error) = gateway.paths.set_source(name, Some(request)).await {
        tracing::debug!(path = name, "{}", error.chain());
    }
}

/// Has a path recorded from now on, or not any more. Its readers do not notice.
async fn record(gateway: &Gateway, name: &str, was: Option<&Set>, is: &Set) {
    let wish = |path: &Set| path.flag("record").then(|| request(gateway, path));
    let (was, is) = (was.and_then(wish), wish(is));
    if was != is
        && let Err(error) = gateway.paths.keep_recording(name, is).await
    {
        // A path that nothing streams on, so far.
        tracing::debug!(path = name, "{}", error.chain());
    }
}

fn request(gateway: &Gateway, path: &Set) -> RecordingRequest {
    let configured = gateway.defaults.recording;
    let segment = path.time("recordSegmentDuration").duration();
    RecordingRequest {
        format: RecordingFormat::Fmp4,
        limit: None,
        cut_after: (!segment.is_zero()).then_some(segment),
        ..configured
    }
}

/// Says once of each key that was set and does nothing.
fn tell_unused(gateway: &Gateway, before: &Conf, after: &Conf) {
    let mut told = gateway.engine.told.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tell = |before: &Set, after: &Set, used: &[&str]| {
        for key in after.names().filter(|key| !used.contains(key) && before.get(key) != after.get(key)) {
            if told.insert(key.to_owned()) {
                tracing::warn!(key, "set over the control API; it is kept and shown, and does nothing here");
            }
        }
    };
    tell(&before.global(), &after.global(), &GLOBAL_KEYS);
    tell(&before.path_defaults(), &after.path_defaults(), &PATH_KEYS);
    let defaults = after.path_defaults();
    for (name, path) in after.paths() {
        tell(&before.path(&name).unwrap_or_else(|| defaults.clone()), &path, &PATH_KEYS);
    }
}
