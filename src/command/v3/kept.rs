//! `recordDeleteAfter`: how long the recordings of each path are kept, from when they began.
//!
//! A file says whose it is by its name, so this goes by names too, also for files of an earlier run. Of a camera only
//! what was set of it counts: MediaMTX's default of a day would delete what nobody asked to be deleted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    apply::is_plain,
    config::{is_reserved, present},
    matched,
};
use crate::{
    command::Gateway,
    mtx::{Conf, Nanos, Set},
    output::storage::spelling,
};

/// How long the recordings of each path are kept.
pub struct Kept {
    conf: Conf,
    /// By the path's name as it is spelled in names of files. 0: for ever.
    by_device: BTreeMap<String, Duration>,
    /// Whether there are expressions that say it of other paths.
    has_others: bool,
}

impl Kept {
    /// As the configuration says now.
    pub fn new(gateway: &Gateway) -> Self {
        let conf = present(gateway);
        let mut by_device = BTreeMap::new();
        let mut put = |name: &str, after: Duration| {
            // What several names may have been spelled by an earlier version: who keeps longest keeps for all.
            let old = Some(spelling::old(name)).filter(|old| spelling::is_old(old));
            for spelling in old.into_iter().chain([gateway.folders.pattern.spelled(name)]) {
                let known = by_device.entry(spelling).or_insert(after);
                *known = longer(*known, after);
            }
        };
        let paths = conf.paths();
        for (name, path) in paths.iter().filter(|(name, _)| is_plain(name) && !is_reserved(name)) {
            put(name, after(path));
        }
        for (name, own) in conf.own().filter(|(name, _)| is_reserved(name)) {
            put(name, after(own));
        }
        for (name, conf_name) in matched::entries(gateway) {
            put(&name, conf.path(&conf_name).as_ref().map_or(Duration::ZERO, after));
        }
        let has_others = paths.iter().any(|(name, path)| !is_plain(name) && !after(path).is_zero());
        Self { conf, by_device, has_others }
    }

    /// Whether anything is deleted.
    pub fn any(&self) -> bool {
        self.has_others || self.by_device.values().any(|after| !after.is_zero())
    }

    /// How long something is kept that is kept shortest. `None`: all is for ever.
    pub fn shortest(&self) -> Option<Duration> {
        let others = self.conf.paths().into_iter().filter(|(name, _)| !is_plain(name)).map(|(_, path)| after(&path));
        self.by_device.values().copied().chain(others).filter(|after| !after.is_zero()).min()
    }

    /// Of each of `devices`, which are named as in names of files. Those kept for ever are left out.
    pub fn of(&self, devices: impl IntoIterator<Item = Arc<str>>) -> BTreeMap<String, Duration> {
        let kept = devices.into_iter().filter_map(|device| {
            let after = match self.by_device.get(&*device) {
                Some(known) => *known,
                None => self.by_expression(&device),
            };
            (!after.is_zero()).then(|| (device.to_string(), after))
        });
        kept.collect()
    }

    /// Of a path that has no entry of its own name. Cameras are not meant by an expression.
    fn by_expression(&self, device: &str) -> Duration {
        let name = spelling::read(device).unwrap_or_else(|| device.to_owned());
        if !self.has_others || is_reserved(&name) {
            return Duration::ZERO;
        }
        if spelling::is_digest(device) {
            // Too long to be read: it may be any expression's.
            let others = self.conf.paths().into_iter().filter(|(name, _)| !is_plain(name));
            return others.map(|(_, path)| after(&path)).reduce(longer).unwrap_or_default();
        }
        let found = self.conf.find(&name).ok().and_then(|found| self.conf.path(&found.conf_name));
        found.as_ref().map_or(Duration::ZERO, after)
    }
}

/// Of two times the longer one; 0 is for ever.
fn longer(one: Duration, other: Duration) -> Duration {
    if one.is_zero() || other.is_zero() { Duration::ZERO } else { one.max(other) }
}

/// What of a configuration this goes by: who changes it has files looked at.
pub(super) fn said(conf: &Conf) -> Vec<(String, Nanos)> {
    conf.paths().into_iter().map(|(name, path)| (name, path.time(KEY))).collect()
}

const KEY: &str = "recordDeleteAfter";

fn after(path: &Set) -> Duration {
    path.time(KEY).duration()
}
