//! Sections `storage` and `retention_policy`: what a full disk means, and what is deleted when.

use std::path::PathBuf;

use super::{section::Section, value::words};

/// What a full disk means. The folders themselves are `mediamtx.recordings_path` and `mediamtx.snapshots_path`.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Percent of the disk in use at which a warning is given.
    pub warn_percent: u8,
    /// Percent of the disk in use at which no recording is begun.
    pub block_percent: u8,
    /// Folder of recordings when the usual one cannot be written to.
    pub fallback_path: Option<PathBuf>,
}

/// What is deleted when. A request may change it, and that outlives a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionPolicy {
    /// Whether it is in force.
    pub enabled: bool,
    /// What counts.
    pub policy: Policy,
    /// Days that files are kept, where their age counts.
    pub max_age_days: u32,
    /// Gigabytes (of 10^9 bytes) that recordings and snapshots may take together, where size counts.
    pub max_size_gb: f64,
    /// Whether files are deleted by itself, or on request only: for the policy, and for the limits of the sections
    /// `recording` and `snapshots`.
    pub auto_cleanup: bool,
}

words! {
    /// What a retention policy goes by.
    Policy {
        /// The age of files.
        Age = "age",
        /// The room they take.
        Size = "size",
        /// Nothing: a person deletes.
        Manual = "manual",
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { warn_percent: 80, block_percent: 95, fallback_path: None }
    }
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { enabled: false, policy: Policy::Age, max_age_days: 30, max_size_gb: 10.0, auto_cleanup: true }
    }
}

impl Storage {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.number("warn_percent", &mut self.warn_percent, 1..=100);
        s.number("block_percent", &mut self.block_percent, 1..=100);
        if self.warn_percent > self.block_percent {
            let message = format!("is above block_percent ({}): the warning would come too late", self.block_percent);
            s.refuse("warn_percent", message, "a percentage up to block_percent");
        }
        s.value("fallback_path", &mut self.fallback_path);
        if let Some(folder) = &self.fallback_path {
            s.writes_to("fallback_path", folder.clone());
        }
    }
}

impl RetentionPolicy {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("enabled", &mut self.enabled);
        s.value("type", &mut self.policy);
        s.number("max_age_days", &mut self.max_age_days, 1..=36_500);
        s.number("max_size_gb", &mut self.max_size_gb, 0.001..=1_000_000.0);
        s.value("auto_cleanup", &mut self.auto_cleanup);
    }
}
