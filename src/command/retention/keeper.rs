//! The policy in force, and when files are deleted: on request, and by itself at start and every few minutes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{sync::Mutex, time::MissedTickBehavior};

use super::{Policy, PolicyType, Settings, file};
use crate::{
    command::{Gateway, files::Kind, library::on_disk},
    error::Result,
    output::storage::{self, Cleaned, Folder},
    path::Folders,
};

/// Files that a cleaning deletes that nobody asked for. The rest goes the next time, and the disk is free for recordings in between.
const AT_A_TIME: usize = 1000;

/// What is kept, and for how long.
pub struct Retention {
    file: PathBuf,
    settings: Settings,
    /// Held while it is written, so that the file and this are the same.
    policy: Arc<Mutex<Policy>>,
    /// Held while files are deleted: one cleaning at a time.
    cleaning: Arc<Mutex<()>>,
}

impl Retention {
    /// Reads the policy that was set by a request, if one was. Blocks on the disk.
    ///
    /// Where that cannot be understood nothing is deleted by itself until one is set anew: what is not deleted can still
    /// be deleted later.
    pub fn load(file: &Path, settings: Settings) -> Self {
        let policy = file::load(file).unwrap_or_else(|error| {
            tracing::error!("{}; nothing is deleted by itself until set_retention_policy is called", error.chain());
            Some(Policy { policy_type: PolicyType::Manual, enabled: true, ..settings.policy })
        });
        let policy = Arc::new(Mutex::new(policy.unwrap_or(settings.policy)));
        Self { file: file.to_owned(), settings, policy, cleaning: Arc::default() }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policy in force.
    pub(super) async fn policy(&self) -> Policy {
        *self.policy.lock().await
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
            file::save(&file, changed)?;
            *policy = changed;
            Ok(changed)
        })
        .await
    }

    /// Deletes what has to go, `most` files at most. Gives the policy it went by, and no cleaning where there is no rule.
    ///
    /// # Errors
    /// None that a file or a folder causes: those are in what is returned.
    pub(super) async fn clean(&self, folders: &Folders, most: usize) -> Result<(Policy, Option<Cleaned>)> {
        let cleaning = Arc::clone(&self.cleaning).lock_owned().await;
        let policy = self.policy().await;
        let mut rules = self.settings.rules(&policy);
        if !rules.any() {
            return Ok((policy, None));
        }
        // In the order of the rules.
        let mut places = [(&folders.recordings, Kind::Recording), (&folders.snapshots, Kind::Snapshot)]
            .map(|(path, kind)| Folder { path: path.clone(), extensions: kind.extensions() })
            .to_vec();
        if let Some(fallback) = &folders.fallback {
            places.push(Folder { path: fallback.clone(), extensions: Kind::Recording.extensions() });
            rules.limits.extend(rules.limits.first().cloned());
        }
        let uses = folders.uses.clone();
        let cleaned = on_disk(move || {
            let _one_at_a_time = cleaning;
            Ok(storage::clean(&places, &rules, &uses, most))
        });
        Ok((policy, Some(cleaned.await?)))
    }
}

/// Deletes by itself what has to go, now and every few minutes, until the service is stopping.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(gateway.retention.settings.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = gateway.stopping.cancelled() => return,
        }
        tokio::select! {
            () = clean_by_itself(&gateway) => {}
            () = gateway.stopping.cancelled() => return,
        }
    }
}

async fn clean_by_itself(gateway: &Gateway) {
    let retention = &gateway.retention;
    if !retention.settings.by_itself(&retention.policy().await) {
        return;
    }
    match retention.clean(&gateway.folders, AT_A_TIME).await {
        Ok((_, Some(Cleaned { files, bytes, unfinished, .. }))) if files > 0 => {
            tracing::info!(files, bytes, unfinished, "old files were deleted");
        }
        Ok(_) => {}
        Err(error) => tracing::error!("old files were not deleted: {}", error.chain()),
    }
}
