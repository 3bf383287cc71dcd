//! What is set and does nothing here: it is kept and shown, and said once in the log.

use std::sync::PoisonError;

use super::{apply::device, capture::captured, config::is_reserved};
use crate::{
    command::Gateway,
    mtx::{Conf, Set},
};

/// Keys of a path that do something here. What is set of others is kept and shown.
const PATH_KEYS: [&str; 20] = [
    "name",
    "source",
    "sourceFingerprint",
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

/// Global keys that do something here.
const GLOBAL_KEYS: [&str; 19] = [
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
    "udpMaxPayloadSize",
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
    for (name, path) in after.paths() {
        let hooks = ["runOnInit", "runOnDemand"].into_iter();
        for (hook, device) in hooks.filter_map(|hook| Some((hook, captured(path.text(hook), &name)?))) {
            if !told.insert(format!("{hook} of {name}: {device}")) {
                continue;
            }
            match gateway.cameras.find(&device) {
                Ok(camera) => {
                    tracing::info!(path = name, hook, camera, "the path has this camera; its command is not run")
                }
                Err(_) => tracing::warn!(
                    path = name,
                    hook,
                    device,
                    "the command is not run: the path has this camera as soon as it is plugged in"
                ),
            }
        }
        // A camera's is the camera, also while it is away.
        let own = after.own_of(&name).map_or("", |own| own.text("source"));
        let is_other = !["", "publisher"].contains(&own) && after.own_of(&name).and_then(device).is_none();
        if is_reserved(&name) && is_other && told.insert(format!("source of {name}")) {
            tracing::warn!(path = name, "its source is the camera of this name; the one that is set does nothing");
        }
        let source = path.text("source");
        let scheme = source.split_once("://").map_or(source, |(scheme, _)| scheme);
        let is_served = ["publisher", "redirect", "rtsp", "rtsps"].contains(&scheme) || device(&path).is_some();
        if !is_served && !after.is_given(&name) && told.insert(format!("source of {name}: {scheme}")) {
            // Not the whole of it, which may have a password.
            tracing::warn!(
                path = name,
                scheme,
                "nothing streams on this path: sources of this kind are not served here"
            );
        }
    }
}
