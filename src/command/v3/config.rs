//! The configuration: showing it, changing it.

use std::{collections::BTreeMap, sync::Arc};

use super::{Answer, List, Page, Refusal, apply, kept, matched, unused};
use crate::{
    command::Gateway,
    id::{CameraId, TEST_PATTERN},
    mtx::{Conf, Nanos, Refused, Set, Value, h264_track, path_keys},
};

/// The message of an entry that is not there, where one is shown.
const NO_ENTRY: &str = "path configuration not found";
/// The same where one is changed.
const NO_PATH: &str = "path not found";

/// Every global key. Passwords are not shown.
pub fn global(gateway: &Gateway) -> Set {
    present(gateway).global().redacted()
}

/// The defaults of paths.
pub fn path_defaults(gateway: &Gateway) -> Set {
    present(gateway).path_defaults().redacted()
}

/// The paths that are configured, by name.
pub fn path_list(gateway: &Gateway, page: Page) -> List<Set> {
    page.of(present(gateway).paths()).map(|(_, path)| path.redacted())
}

/// A path that is configured. Error: there is none.
pub fn path(gateway: &Gateway, name: &str) -> Answer<Set> {
    present(gateway).path(name).map(|path| path.redacted()).ok_or(Refusal::NotFound(NO_ENTRY))
}

/// Changes global keys. Error: MediaMTX's message.
pub async fn patch_global(gateway: &Arc<Gateway>, body: Vec<u8>) -> Answer<()> {
    change(gateway, move |conf| conf.patch_global(&body)).await
}

/// Changes the defaults of paths. Error: MediaMTX's message.
pub async fn patch_path_defaults(gateway: &Arc<Gateway>, body: Vec<u8>) -> Answer<()> {
    change(gateway, move |conf| conf.patch_path_defaults(&body)).await
}

/// Adds a path. Error: MediaMTX's message.
pub async fn add_path(gateway: &Arc<Gateway>, name: String, body: Vec<u8>) -> Answer<()> {
    change(gateway, move |conf| conf.add(&name, &body)).await
}

/// Changes keys of a path. Error: MediaMTX's message.
pub async fn patch_path(gateway: &Arc<Gateway>, name: String, body: Vec<u8>) -> Answer<()> {
    change(gateway, move |conf| conf.patch(&name, &body)).await
}

/// Changes keys of a path as earlier programs did: a `recordPath` that is only a folder says nothing of the names of files
/// and is left out, and `recordDuration` is what is called `recordSegmentDuration` now. Error: MediaMTX's message.
pub async fn edit_path(gateway: &Arc<Gateway>, name: String, body: Vec<u8>) -> Answer<()> {
    let modern = match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(serde_json::Value::Object(mut fields)) => {
            let folder = |path: &serde_json::Value| path.as_str().is_some_and(|path| !path.contains("%path"));
            if fields.get("recordPath").is_some_and(folder) {
                fields.remove("recordPath");
            }
            if let Some(duration) = fields.remove("recordDuration") {
                fields.insert("recordSegmentDuration".into(), duration);
            }
            serde_json::Value::Object(fields).to_string().into_bytes()
        }
        _ => body,
    };
    patch_path(gateway, name, modern).await
}

/// Sets a path anew. Error: MediaMTX's message.
pub async fn replace_path(gateway: &Arc<Gateway>, name: String, body: Vec<u8>) -> Answer<()> {
    change(gateway, move |conf| conf.replace(&name, &body)).await
}

/// Removes a path. Error: there is none.
pub async fn delete_path(gateway: &Arc<Gateway>, name: String) -> Answer<()> {
    change(gateway, move |conf| conf.delete(&name)).await
}

/// The configuration with the paths there are now.
pub(super) fn present(gateway: &Gateway) -> Conf {
    let mut conf = Conf::clone(&gateway.engine.conf());
    conf.give(given(gateway));
    conf
}

/// Makes a change and what follows from it, in a task of its own: whoever hangs up half way leaves no half of it.
pub(super) async fn change(
    gateway: &Arc<Gateway>,
    how: impl FnOnce(&Conf) -> Result<Conf, Refused> + Send + 'static,
) -> Answer<()> {
    change_by(gateway, how, By::Request).await
}

/// Who changes the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Request,
    /// The file: what is in it may do more.
    File,
}

/// The same by somebody.
pub(super) async fn change_by(
    gateway: &Arc<Gateway>,
    how: impl FnOnce(&Conf) -> Result<Conf, Refused> + Send + 'static,
    by: By,
) -> Answer<()> {
    let gateway = Arc::clone(gateway);
    let work = tokio::spawn(async move {
        let _turn = gateway.engine.turn.lock().await;
        let before = present(&gateway);
        let after = how(&before).map_err(|refused| match refused {
            Refused::Invalid(message) => Refusal::Invalid(message),
            Refused::NotFound => Refusal::NotFound(NO_PATH),
        })?;
        supported(&after).map_err(Refusal::Invalid)?;
        apply::check(&gateway, &before, &after)?;
        if by == By::File {
            // Before anybody asks whether what is new may be done.
            gateway.engine.put_in_file(after.clone());
        }
        gateway.engine.put(after.clone());
        unused::tell_unused(&gateway, Some(&before), &after);
        matched::changed(&gateway, &before, &after).await;
        apply::reconcile(&gateway).await;
        if kept::said(&before) != kept::said(&after) {
            gateway.retention.look();
        }
        Ok(())
    });
    work.await.unwrap_or_else(|_| Err(Refusal::Invalid("terminated".into())))
}

/// Refuses what would leave more open than it says: encryption that is another than there is, and certificates that nobody compares.
pub(super) fn supported(conf: &Conf) -> Result<(), String> {
    let global = conf.wished();
    for (key, taken) in
        [("rtspEncryption", &["no", "optional"][..]), ("authHTTPFingerprint", &[""]), ("authJWTJWKSFingerprint", &[""])]
    {
        let value = global.text(key);
        if !taken.contains(&value) {
            return Err(format!("'{key}' cannot be '{value}' here"));
        }
    }
    Ok(())
}

/// The service's own paths: cameras, the test pattern, streams of other machines that were added elsewhere.
fn given(gateway: &Gateway) -> BTreeMap<String, Set> {
    let cameras = gateway.cameras.list().into_iter().filter_map(|camera| {
        let source = match camera.hardware {
            Some(hardware) => hardware.node.display().to_string(),
            None if camera.device == TEST_PATTERN => TEST_PATTERN.to_owned(),
            None => return None,
        };
        Some((camera.device, source))
    });
    let streams = gateway.external.list().into_iter().map(|stream| (stream.name, stream.url.expose().to_owned()));
    let described = cameras.chain(streams).filter_map(|(name, source)| {
        let settings = gateway.paths.settings(&name).ok()?;
        let time = |time: std::time::Duration| Value::Time(Nanos(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)));
        let segment = gateway.defaults().recording.cut_after.unwrap_or_default();
        let set = path_keys()
            .with("source", Value::Text(source))
            .with("alwaysAvailable", Value::Flag(settings.always_available.is_some()))
            .with(
                "alwaysAvailableTracks",
                Value::Records(settings.always_available.iter().map(|_| h264_track()).collect()),
            )
            .with("sourceOnDemand", Value::Flag(!settings.always_on))
            .with("sourceOnDemandStartTimeout", time(settings.start_timeout))
            .with("sourceOnDemandCloseAfter", time(settings.close_after))
            .with("record", Value::Flag(settings.auto_record.is_some()))
            .with("recordSegmentDuration", time(segment.min(std::time::Duration::from_secs(86_400))))
            .with("recordDeleteAfter", Value::Time(Nanos(0)));
        Some((name, set))
    });
    described.collect()
}

/// Whether only a camera or the test pattern may stream under this name.
pub(super) fn is_reserved(name: &str) -> bool {
    name == TEST_PATTERN || name.parse::<CameraId>().is_ok()
}
