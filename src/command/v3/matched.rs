//! Paths that no entry has by its name: made when somebody comes whose path a regular expression matches, and taken away
//! when nobody is left. And readers who are sent elsewhere.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    apply::{self, device},
    config::present,
    hooks,
};
use crate::{
    command::Gateway,
    mtx::{Conf, Found, Set},
    output::rtsp::Visit,
    path::Phase,
};

/// Such paths at once. Whoever wants another is told that there is none.
const MOST: usize = 256;
/// How long such a path waits for the one it was made for.
const UNUSED: Duration = Duration::from_secs(30);

/// Somebody wants a path that is not there, or that has no stream.
pub async fn missing(gateway: &Arc<Gateway>, name: &str, publishes: bool) -> Visit {
    let conf = present(gateway);
    let Ok(found) = conf.find(name) else { return Visit::Unknown };
    let Some(set) = conf.path(&found.conf_name) else { return Visit::Unknown };
    if !publishes {
        let key = if set.text("source") == "redirect" { "sourceRedirect" } else { "fallback" };
        if !set.text(key).is_empty() {
            return Visit::Elsewhere(set.text(key).to_owned());
        }
    }
    if found.conf_name != name && (publishes || set.text("source") != "publisher") {
        make(gateway, name, &found, &set).await;
    }
    if !publishes && set.text("source") == "publisher" && device(&set).is_none() && !set.text("runOnDemand").is_empty()
    {
        if found.conf_name != name {
            make(gateway, name, &found, &set).await;
        }
        hooks::demand(gateway, name).await;
    }
    Visit::Asked
}

async fn make(gateway: &Arc<Gateway>, name: &str, found: &Found, set: &Set) {
    {
        let mut matched = gateway.engine.matched.lock().unwrap_or_else(PoisonError::into_inner);
        if matched.len() >= MOST || matched.contains_key(name) {
            return;
        }
        matched.insert(name.to_owned(), found.conf_name.clone());
    }
    apply::serve_matched(gateway, name, set, &found.groups).await;
    tokio::spawn(look_after(Arc::clone(gateway), name.to_owned()));
}

/// Takes a path away when nobody is left, or nobody came.
async fn look_after(gateway: Arc<Gateway>, name: String) {
    let mut events = gateway.paths.events();
    let mut was_used = false;
    loop {
        let Ok(status) = gateway.paths.status(&name) else { break };
        let published = gateway.paths.publisher(&name).is_ok_and(|publisher| publisher.is_some());
        let used = published || !matches!(status.phase, Phase::Idle | Phase::Away);
        if was_used && !used {
            break;
        }
        was_used |= used;
        let heard = timeout(UNUSED, events.recv()).await;
        if heard.is_err() && !was_used {
            break;
        }
    }
    remove(&gateway, &name).await;
}

/// Takes away what an entry no longer stands for.
pub(super) async fn changed(gateway: &Gateway, before: &Conf, after: &Conf) {
    let matched = gateway.engine.matched.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (name, conf_name) in matched {
        let leads_elsewhere = after.find(&name).ok().is_none_or(|found| found.conf_name != conf_name);
        if leads_elsewhere || before.path(&conf_name) != after.path(&conf_name) {
            remove(gateway, &name).await;
        }
    }
}

async fn remove(gateway: &Gateway, name: &str) {
    let known = gateway.engine.matched.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    if known.is_some()
        && let Err(error) = gateway.paths.remove(name).await
    {
        tracing::debug!(path = name, "{}", error.chain());
    }
}
