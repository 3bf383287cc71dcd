//! The policy: what a request may change, and what `retention.json` has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config,
    error::{Error, Result},
};

/// Bytes in a gigabyte.
pub(super) const GIGABYTE: f64 = 1e9;

/// Cameras that may have limits of their own.
const CAMERAS: usize = 1000;

/// What is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What counts.
    pub policy_type: PolicyType,
    /// Days that files are kept, where age counts.
    pub max_age_days: u32,
    /// Gigabytes that files may take together, where size counts.
    pub max_size_gb: f64,
    /// Gigabytes that stay free on the disks of the folders, also while the policy is not in force. 0: any.
    #[serde(default)]
    pub min_free_gb: f64,
    /// What is kept of single cameras, also while the policy is not in force.
    #[serde(default)]
    pub cameras: Vec<CameraLimits>,
    /// Whether it is in force.
    pub enabled: bool,
}

/// What a policy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyType {
    /// The age of files.
    Age,
    /// The room they take.
    Size,
    /// Nothing: a person deletes.
    Manual,
}

/// What is kept of one camera or external stream. At least one limit is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraLimits {
    /// Its name, as in the names of its files. It need not be there now.
    pub device: String,
    /// Days that its files are kept, instead of the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub max_age_days: Option<u32>,
    /// Gigabytes that its files may take together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1e6))]
    pub max_size_gb: Option<f64>,
}

impl From<config::Policy> for PolicyType {
    fn from(policy: config::Policy) -> Self {
        match policy {
            config::Policy::Age => Self::Age,
            config::Policy::Size => Self::Size,
            config::Policy::Manual => Self::Manual,
        }
    }
}

impl From<config::CameraRetention> for CameraLimits {
    fn from(configured: config::CameraRetention) -> Self {
        let config::CameraRetention { device, max_age_days, max_size_gb } = configured;
        Self { device, max_age_days, max_size_gb }
    }
}

/// So many days; `None` for 0.
pub(super) fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

fn check_age(param: &'static str, days: u32) -> Result<()> {
    match days {
        1..=36_500 => Ok(()),
        _ => Err(Error::invalid_param(param, "max_age_days is not from 1 to 36500", "send whole days")),
    }
}

fn check_size(param: &'static str, gigabytes: f64) -> Result<()> {
    match (0.001..=1e6).contains(&gigabytes) {
        true => Ok(()),
        false => {
            let hint = "send gigabytes, such as 20 or 0.5";
            Err(Error::invalid_param(param, "max_size_gb is not from 0.001 to 1000000", hint))
        }
    }
}

impl Policy {
    /// # Errors
    /// A number that is out of range; a camera that is there twice, or has no limit.
    pub(super) fn check(&self) -> Result<()> {
        check_age("max_age_days", self.max_age_days)?;
        check_size("max_size_gb", self.max_size_gb)?;
        if !(0.0..=1e6).contains(&self.min_free_gb) {
            let hint = "send gigabytes, such as 5; 0 for any";
            return Err(Error::invalid_param("min_free_gb", "is not from 0 to 1000000", hint));
        }
        let wrong = |rule: String| Err(Error::invalid_param("cameras", rule, "name each camera once, with a limit"));
        if self.cameras.len() > CAMERAS {
            return wrong(format!("has more than {CAMERAS} cameras"));
        }
        for (place, CameraLimits { device, max_age_days, max_size_gb }) in self.cameras.iter().enumerate() {
            if device.is_empty() || (max_age_days.is_none() && max_size_gb.is_none()) {
                return wrong(format!("\"{device}\" has no name or no limit"));
            }
            if self.cameras[..place].iter().any(|before| before.device == *device) {
                return wrong(format!("\"{device}\" is there twice"));
            }
            max_age_days.map_or(Ok(()), |days| check_age("cameras", days))?;
            max_size_gb.map_or(Ok(()), |size| check_size("cameras", size))?;
        }
        Ok(())
    }

    /// What is deleted by it, for a person.
    pub(super) fn in_words(&self) -> String {
        let mut text = match self {
            Self { enabled: false, .. } => "the policy is off: it deletes nothing".to_owned(),
            Self { policy_type: PolicyType::Age, max_age_days, .. } => {
                format!("files older than {max_age_days} days are deleted")
            }
            Self { policy_type: PolicyType::Size, max_size_gb, .. } => {
                format!("the oldest files are deleted when all together take more than {max_size_gb} GB")
            }
            Self { policy_type: PolicyType::Manual, .. } => "nothing is deleted by itself".to_owned(),
        };
        if self.min_free_gb > 0.0 {
            text.push_str(&format!("; the oldest files are deleted when less than {} GB are free", self.min_free_gb));
        }
        for CameraLimits { device, max_age_days, max_size_gb } in &self.cameras {
            let age = max_age_days.map(|days| format!("{days} days"));
            let size = max_size_gb.map(|size| format!("{size} GB"));
            let limits: Vec<_> = age.into_iter().chain(size).collect();
            text.push_str(&format!("; {} are kept of {device}", limits.join(" and ")));
        }
        text
    }
}
