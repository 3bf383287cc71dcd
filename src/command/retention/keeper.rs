//! The policy in force, and when files are deleted: on request, and by itself at start and every few minutes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, MissedTickBehavior},
};

use super::{Policy, PolicyType, Settings, file};
use crate::{
    command::{
        Gateway,
        library::on_disk,
        v3::{Kept, Whose},
    },
    error::Result,
    output::storage::{self, Cleaned},
};

/// Files that a cleaning deletes that nobody asked for. The rest goes the next time, and the disk is free for recordings in between.
const AT_A_TIME: usize = 1000;

/// How often the disks are looked at where some of them has to stay free: at 100 Mbit/s they lose 125 MB meanwhile.
const LOOK: Duration = Duration::from_secs(10);

/// What is kept, and for how long.
pub struct Retention {
    file: PathBuf,
    settings: RwLock<Settings>,
    /// Held while it is written, so that the file and this are the same.
    policy: Arc<Mutex<Policy>>,
    /// Held while files are deleted: one cleaning at a time.
    cleaning: Arc<Mutex<()>>,
    /// Told when what is deleted may have changed.
    changed: Notify,
}

impl Retention {
    /// Reads the policy that was set by a request, if one was. Blocks on the disk.
    ///
    /// Where that cannot be understood nothing is deleted by itself until one is set anew: what is not deleted can still
    /// be deleted later.
    pub fn load(file: &Path, settings: Settings) -> Self {
        let policy = file::load(file).unwrap_or_else(|error| {
            tracing::error!("{}; nothing is deleted by itself until set_retention_policy is called", error.chain());
            Some(Policy { policy_type: PolicyType::Manual, enabled: true, ..settings.policy.clone() })
        });
        let policy = Arc::new(Mutex::new(policy.unwrap_or_else(|| settings.policy.clone())));
        let settings = RwLock::new(settings);
        Self { file: file.to_owned(), settings, policy, cleaning: Arc::default(), changed: Notify::new() }
    }

    /// Has it looked at once whether files have to go.
    pub(in crate::command) fn look(&self) {
        self.changed.notify_one();
    }

    /// Goes by another configuration from now on. A policy that was set by a request stays.
    pub async fn follow(&self, settings: Settings) {
        let (mut policy, file, configured) =
            (Arc::clone(&self.policy).lock_owned().await, self.file.clone(), settings.policy.clone());
        let follow = move || {
            // One that cannot be understood counts as at the start.
            if let Ok(None) = file::load(&file) {
                *policy = configured;
            }
            Ok(())
        };
        if let Err(error) = on_disk(follow).await {
            tracing::error!("the retention policy stays as it was: {}", error.chain());
        }
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.look();
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The policy in force.
    pub(super) async fn policy(&self) -> Policy {
        self.policy.lock().await.clone()
    }

    /// Changes the policy and stores it. The policy stays as it was where it cannot be stored.
    ///
    /// # Errors
    /// What `change` makes is out of range; the disk.
    pub(super) async fn change(&self, change: impl FnOnce(&Policy) -> Policy + Send + 'static) -> Result<Policy> {
        let (mut policy, file) = (Arc::clone(&self.policy).lock_owned().await, self.file.clone());
        // Finished even if the caller does not wait.
        on_disk(move || {
            let changed = change(&policy);
            changed.check()?;
            file::save(&file, &changed)?;
            *policy = changed.clone();
            Ok(changed)
        })
        .await
    }

    /// Deletes what has to go, `most` files at most. Gives the policy it went by, and no cleaning where there is no rule.
    ///
    /// # Errors
    /// None that a file or a folder causes: those are in what is returned.
    pub(super) async fn clean(&self, gateway: &Gateway, most: usize) -> Result<(Policy, Option<Cleaned>)> {
        let cleaning = Arc::clone(&self.cleaning).lock_owned().await;
        let policy = self.policy().await;
        let (mut rules, kept) = (self.settings().rules(&policy), Kept::new(gateway));
        if !rules.any() && !kept.any() {
            return Ok((policy, None));
        }
        let (indexes, uses) = (in_order(gateway), gateway.folders.uses.clone());
        // Those of the first folder of recordings are those of the others too.
        if let Some(first) = rules.limits.first().copied() {
            rules.limits.resize(indexes.len().max(rules.limits.len()), first);
        }
        let whose = Whose::new(gateway);
        let cleaned = on_disk(move || {
            let _one_at_a_time = cleaning;
            let devices = indexes.iter().filter_map(|index| index.devices().ok()).flatten();
            rules.names = devices.map(|device| (device.to_string(), whose.shown(&device))).collect();
            // A folder that cannot be read is told of by the cleaning.
            let films = indexes.iter().filter(|index| index.place().films);
            rules.begun = kept.of(films.filter_map(|index| index.devices().ok()).flatten());
            Ok(storage::clean(&indexes, &rules, &uses, most))
        });
        Ok((policy, Some(cleaned.await?)))
    }

    /// Whether less is free than there should be. A disk that says nothing has enough.
    async fn is_short(&self, gateway: &Gateway) -> bool {
        let rules = self.settings().rules(&self.policy().await);
        let indexes = in_order(gateway);
        rules.min_free.is_some() && on_disk(move || Ok(storage::is_short(&indexes, &rules))).await.unwrap_or(false)
    }
}

/// In the order of the rules.
fn in_order(gateway: &Gateway) -> Vec<storage::Index> {
    gateway.indexes.all().collect()
}

/// Deletes by itself what has to go, now and every few minutes, and soon when too little is free, until the service is
/// stopping.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(gateway.retention.settings().every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        let due = tokio::select! {
            _ = tick.tick() => true,
            () = gateway.retention.changed.notified() => true,
            // What is kept for a short time is looked at more often, as MediaMTX does.
            _ = look.tick() => Kept::new(&gateway).shortest().is_some_and(|kept| last.elapsed() >= kept / 2),
            () = gateway.stopping.cancelled() => return,
        };
        if due {
            last = Instant::now();
        }
        tokio::select! {
            () = clean_by_itself(&gateway, due) => {}
            () = gateway.stopping.cancelled() => return,
        }
    }
}

/// Where it is not `due`, only if too little is free.
async fn clean_by_itself(gateway: &Gateway, due: bool) {
    let retention = &gateway.retention;
    let by_itself = retention.settings().by_itself(&retention.policy().await);
    if !by_itself || !(due || retention.is_short(gateway).await) {
        return;
    }
    match retention.clean(gateway, AT_A_TIME).await {
        Ok((_, Some(Cleaned { files, bytes, unfinished, .. }))) if files > 0 => {
            tracing::info!(files, bytes, unfinished, "old files were deleted");
        }
        Ok(_) => {}
        Err(error) => tracing::error!("old files were not deleted: {}", error.chain()),
    }
}
