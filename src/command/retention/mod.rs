//! How long files are kept: `set_retention_policy` and `cleanup_old_files`.
//!
//! What is deleted when comes from three places: the policy ([`policy`](Policy)), which a request may change and which then
//! outlives a restart; the limits of the sections `recording` and `snapshots` of the configuration; and whether it happens
//! by itself. Which files that means is `output::storage`'s, and so is deleting them. When is [`keeper`](self)'s.

mod file;
mod keeper;
mod policy;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use keeper::{Retention, keep};
pub use policy::{CameraLimits, Policy, PolicyType};
use policy::{GIGABYTE, days};

use super::{
    Command, Gateway, NoParams, Within,
    access::{Caller, Role},
    v3::Kept,
};
use crate::{
    error::Result,
    output::storage::{Cleaned, DeviceLimits, Limits, Rules},
};

/// What the configuration says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The policy until somebody sets another.
    pub policy: Policy,
    /// Whether files are deleted by itself, or on request only.
    pub auto_cleanup: bool,
    /// How often that is.
    pub every: Duration,
    /// Days that recordings are kept, besides. 0: any.
    pub recording_days: u32,
    /// Days that snapshots are kept, besides. 0: any.
    pub snapshot_days: u32,
    /// Snapshots that are kept, besides. 0: all.
    pub snapshots: u32,
}

impl Settings {
    /// What has to go under `policy`: whatever any rule says. Recordings are the first folder, snapshots the second.
    fn rules(&self, policy: &Policy) -> Rules {
        let in_force = |wanted| policy.enabled && policy.policy_type == wanted;
        let bytes = |gigabytes: f64| (gigabytes * GIGABYTE) as u64;
        let count = usize::try_from(self.snapshots).unwrap_or(usize::MAX);
        let device = |camera: &CameraLimits| {
            let max_age = camera.max_age_days.and_then(days);
            (camera.device.clone(), DeviceLimits { max_age, max_bytes: camera.max_size_gb.map(bytes) })
        };
        Rules {
            limits: vec![
                Limits { max_age: days(self.recording_days), max_count: None },
                Limits { max_age: days(self.snapshot_days), max_count: Some(count).filter(|most| *most > 0) },
            ],
            max_age: days(policy.max_age_days).filter(|_| in_force(PolicyType::Age)),
            max_bytes: in_force(PolicyType::Size).then(|| bytes(policy.max_size_gb)),
            min_free: Some(bytes(policy.min_free_gb)).filter(|bytes| *bytes > 0),
            devices: policy.cameras.iter().map(device).collect(),
            ..Rules::default()
        }
    }

    /// Whether files are deleted without a request: a policy that leaves it to a person leaves all of it.
    fn by_itself(&self, policy: &Policy) -> bool {
        self.auto_cleanup && !(policy.enabled && policy.policy_type == PolicyType::Manual)
    }

    /// What is deleted when under `policy`, for a person.
    fn in_words(&self, policy: &Policy) -> String {
        let mut text = policy.in_words();
        for (key, limit) in [
            ("recording.cleanup_after_days", self.recording_days),
            ("snapshots.cleanup_after_days", self.snapshot_days),
            ("snapshots.max_count", self.snapshots),
        ] {
            if limit > 0 {
                text.push_str(&format!("; {key} ({limit}) holds besides"));
            }
        }
        if self.rules(policy).any() && !self.by_itself(policy) {
            text.push_str("; it is done on request only, by cleanup_old_files");
        }
        text
    }
}

/// `set_retention_policy`: what is deleted from now on.
pub struct SetPolicy;

/// The parameters of [`SetPolicy`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PolicyParams {
    /// What counts.
    policy_type: PolicyType,
    /// Days that files are kept; else as before.
    max_age_days: Option<Within<1, 36_500>>,
    /// Gigabytes that files may take together; else as before.
    #[schemars(range(min = 0.001, max = 1e6))]
    max_size_gb: Option<f64>,
    /// Gigabytes that stay free on the disks, whatever the policy is; 0: any. Else as before.
    #[schemars(range(min = 0, max = 1e6))]
    min_free_gb: Option<f64>,
    /// What is kept of single cameras, whatever the policy is. Else as before.
    cameras: Option<Vec<CameraLimits>>,
    /// Whether it is in force.
    enabled: bool,
}

/// The reply of [`SetPolicy`]: the policy as it is stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicySet {
    policy_type: PolicyType,
    max_age_days: u32,
    max_size_gb: f64,
    min_free_gb: f64,
    cameras: Vec<CameraLimits>,
    enabled: bool,
    /// What it means, together with the configuration.
    message: String,
}

impl PolicyParams {
    /// What it makes of `policy`: a number that is left out stays.
    fn over(&self, policy: &Policy) -> Policy {
        Policy {
            policy_type: self.policy_type,
            max_age_days: self.max_age_days.map_or(policy.max_age_days, |Within(days)| days),
            max_size_gb: self.max_size_gb.unwrap_or(policy.max_size_gb),
            min_free_gb: self.min_free_gb.unwrap_or(policy.min_free_gb),
            cameras: self.cameras.clone().unwrap_or_else(|| policy.cameras.clone()),
            enabled: self.enabled,
        }
    }
}

impl Command for SetPolicy {
    const METHOD: &'static str = "set_retention_policy";
    const SUMMARY: &'static str = "Sets how long files are kept; it outlives a restart.";
    const ROLE: Option<Role> = Some(Role::Admin);
    type Params = PolicyParams;
    type Reply = PolicySet;

    async fn run(params: PolicyParams, _: &Caller, gateway: &Gateway) -> Result<PolicySet> {
        let retention = &gateway.retention;
        let policy = retention.change(move |policy| params.over(policy)).await?;
        let mut message = retention.settings().in_words(&policy);
        if Kept::new(gateway).any() {
            message.push_str("; recordDeleteAfter of paths holds besides");
        }
        tracing::info!(?policy, "the retention policy was set: {message}");
        let Policy { policy_type, max_age_days, max_size_gb, min_free_gb, cameras, enabled } = policy;
        Ok(PolicySet { policy_type, max_age_days, max_size_gb, min_free_gb, cameras, enabled, message })
    }
}

/// `cleanup_old_files`: deletes now what has to go.
pub struct CleanUp;

/// The reply of [`CleanUp`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CleanedUp {
    /// Whether there was a rule to go by.
    cleanup_executed: bool,
    files_deleted: u64,
    /// Bytes.
    space_freed: u64,
    message: String,
}

impl Command for CleanUp {
    const METHOD: &'static str = "cleanup_old_files";
    const SUMMARY: &'static str = "Deletes now the files that have to go.";
    const ROLE: Option<Role> = Some(Role::Admin);
    /// A large file takes its time to be deleted, and there may be many.
    const DEADLINE: Duration = Duration::from_secs(60);
    type Params = NoParams;
    type Reply = CleanedUp;

    async fn run(_: NoParams, _: &Caller, gateway: &Gateway) -> Result<CleanedUp> {
        let (policy, cleaned) = gateway.retention.clean(gateway, usize::MAX).await?;
        Ok(match cleaned {
            Some(cleaned) => CleanedUp {
                cleanup_executed: true,
                files_deleted: cleaned.files,
                space_freed: cleaned.bytes,
                message: in_words(&cleaned),
            },
            None => CleanedUp {
                cleanup_executed: false,
                files_deleted: 0,
                space_freed: 0,
                message: format!("{}: set one with set_retention_policy", policy.in_words()),
            },
        })
    }
}

/// What was done, for a person.
fn in_words(cleaned: &Cleaned) -> String {
    let mut text = match cleaned.files {
        0 => "no file had to go".to_owned(),
        1 => "1 file is gone".to_owned(),
        files => format!("{files} files are gone"),
    };
    if cleaned.short > 0 {
        let gigabytes = cleaned.short as f64 / GIGABYTE;
        text.push_str(&format!("; {gigabytes:.3} GB less are free than min_free_gb, and no other file may go"));
    }
    if let Some(error) = &cleaned.first_failure {
        text.push_str(&format!("; {} could not be done: {}", cleaned.failures, error.message()));
    }
    text
}

#[cfg(test)]
mod tests;
