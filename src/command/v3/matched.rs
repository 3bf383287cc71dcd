//! Paths that no entry has by its name: made when somebody comes whose path a regular expression matches, and taken away
//! when nobody is left. And readers who are sent elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    apply::{self, Applied, Asked, device, is_plain},
    config::present,
    hooks,
};
use crate::{
    command::Gateway,
    mtx::{Conf, Set},
    output::rtsp::Visit,
};

/// Such paths at once. Whoever wants another is told that there is none.
const MOST: usize = 256;
/// How long such a path waits for the one it was made for.
const UNUSED: Duration = Duration::from_secs(30);

/// A path that was made for an entry that is a regular expression.
pub(super) struct Matched {
    conf_name: String,
    applied: Applied,
    /// Cancelled when the path is not this one any more. Another of its name may be made at once.
    over: CancellationToken,
}

/// Such paths by name, and the names of their entries.
pub(super) fn entries(gateway: &Gateway) -> BTreeMap<String, String> {
    lock(gateway).iter().map(|(name, matched)| (name.clone(), matched.conf_name.clone())).collect()
}

// The map is valid after every statement.
fn lock(gateway: &Gateway) -> MutexGuard<'_, BTreeMap<String, Matched>> {
    gateway.engine.matched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody wants a path that is not there, or that has no stream: to read it, with this query, or to publish to it.
pub async fn missing(gateway: &Arc<Gateway>, name: &str, reads: Option<&str>) -> Visit {
    let conf = present(gateway);
    let Ok(found) = conf.find(name) else { return Visit::Unknown };
    let Some(set) = conf.path(&found.conf_name) else { return Visit::Unknown };
    if reads.is_some() {
        let key = if set.text("source") == "redirect" { "sourceRedirect" } else { "fallback" };
        if !set.text(key).is_empty() {
            return Visit::Elsewhere(set.text(key).to_owned());
        }
    }
    let query = reads.unwrap_or_default();
    if found.conf_name != name && (reads.is_none() || set.text("source") != "publisher") {
        make(gateway, name, query).await;
    }
    if reads.is_some()
        && set.text("source") == "publisher"
        && device(&set).is_none()
        && !set.text("runOnDemand").is_empty()
    {
        if found.conf_name != name {
            make(gateway, name, query).await;
        }
        if !hooks::demand(gateway, name, query).await {
            return Visit::Unknown;
        }
    }
    Visit::Asked
}

async fn make(gateway: &Arc<Gateway>, name: &str, query: &str) {
    let _turn = gateway.engine.turn.lock().await;
    let conf = present(gateway);
    let Ok(found) = conf.find(name) else { return };
    let Some(set) = conf.path(&found.conf_name).filter(|_| found.conf_name != name) else { return };
    let may_be_made = {
        let matched = lock(gateway);
        matched.len() < MOST && !matched.contains_key(name)
    };
    let asked = Asked { groups: &found.groups, query };
    if may_be_made && let Some(applied) = apply::serve_matched(gateway, name, &set, asked).await {
        keep(gateway, name, found.conf_name, applied);
    }
}

/// Has a path that is there be one of these.
fn keep(gateway: &Arc<Gateway>, name: &str, conf_name: String, applied: Applied) {
    let over = CancellationToken::new();
    lock(gateway).insert(name.to_owned(), Matched { conf_name, applied, over: over.clone() });
    tokio::spawn(look_after(Arc::clone(gateway), name.to_owned(), over));
}

/// Takes a path away when nobody is left, or nobody came.
async fn look_after(gateway: Arc<Gateway>, name: String, over: CancellationToken) {
    let mut events = gateway.paths.events();
    let (mut was_used, made) = (false, Instant::now());
    loop {
        let used = gateway.paths.is_used(&name);
        if was_used && !used && take_away(&gateway, &name, &over).await {
            return;
        }
        was_used |= used;
        // Events of other paths are no reason to wait longer.
        let until = if was_used { Instant::now() } else { made } + UNUSED;
        match over.run_until_cancelled(timeout_at(until, events.recv())).await {
            None => return,
            Some(Err(_)) if !was_used && take_away(&gateway, &name, &over).await => return,
            Some(_) => {}
        }
    }
}

/// Takes a path away, unless somebody has come meanwhile. Whoever comes from now on has another one made.
async fn take_away(gateway: &Gateway, name: &str, over: &CancellationToken) -> bool {
    // Until all of it is down: what another one has mounted is not for this one to take away.
    let _turn = gateway.engine.turn.lock().await;
    let closing = {
        let mut matched = lock(gateway);
        if over.is_cancelled() {
            return true;
        }
        let closing = gateway.paths.remove_unused(name);
        if closing.is_none() && gateway.paths.status(name).is_ok() {
            return false;
        }
        matched.remove(name);
        gateway.paths.rtsp().limit_readers(name, None);
        closing
    };
    if let Some(closing) = closing {
        closing.await;
    }
    true
}

/// Takes away what an entry no longer stands for. What goes on as it is stays, whoever it is that says so now.
pub(super) async fn changed(gateway: &Arc<Gateway>, before: &Conf, after: &Conf) {
    let there: Vec<_> = lock(gateway).iter().map(|(name, matched)| (name.clone(), matched.applied.clone())).collect();
    for (name, applied) in there {
        match goes_on(before, after, &name) {
            Some((conf_name, _)) if conf_name == name => {
                forget(gateway, &name);
                apply::lock(gateway).insert(name, applied);
            }
            Some((conf_name, set)) => {
                let applied = apply::go_on(gateway, &name, applied, &set).await;
                if let Some(matched) = lock(gateway).get_mut(&name) {
                    (matched.conf_name, matched.applied) = (conf_name, applied);
                }
            }
            None => {
                forget(gateway, &name);
                gateway.paths.rtsp().limit_readers(&name, None);
                apply::remove(gateway, &name).await;
            }
        }
    }
    let own = before.paths().into_iter().map(|(name, _)| name).filter(|name| is_plain(name) && !before.is_given(name));
    for name in own.filter(|name| after.path(name).is_none() && gateway.paths.is_used(name)) {
        if let Some((conf_name, set)) = goes_on(before, after, &name).filter(|_| lock(gateway).len() < MOST) {
            let applied = apply::lock(gateway).remove(&name);
            if let Some(applied) = applied {
                let applied = apply::go_on(gateway, &name, applied, &set).await;
                keep(gateway, &name, conf_name, applied);
            }
        }
    }
}

/// The path is not one of these any more.
fn forget(gateway: &Gateway, name: &str) {
    if let Some(matched) = lock(gateway).remove(name) {
        matched.over.cancel();
    }
}

/// The entry that a path leads to now, and what it says, where that differs from before in what can change while the path
/// runs: the entry's name, recordings, and what does nothing here.
fn goes_on(before: &Conf, after: &Conf, name: &str) -> Option<(String, Set)> {
    let (was, is) = (before.find(name).ok()?, after.find(name).ok()?);
    let (old, new) = (before.path(&was.conf_name)?, after.path(&is.conf_name)?);
    let can_change = |key: &str| {
        let of_picture = key.starts_with("rpiCamera") && key != "rpiCameraCamID";
        ["name", "forward"].contains(&key) || key.starts_with("record") || of_picture
    };
    let lasting = |set: &Set| set.clone().without(can_change);
    let source = |set: &Set, groups: &[String]| Asked { groups, query: "" }.fill(set.text("source"), name);
    let is_alike = lasting(&old) == lasting(&new) && source(&old, &was.groups) == source(&new, &is.groups);
    (is_alike && !after.is_given(name)).then_some((is.conf_name, new))
}
