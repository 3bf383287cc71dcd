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
    /// Gigabytes that stay free on the disks of recordings and snapshots, whatever the policy is. 0: any.
    pub min_free_gb: f64,
    /// What is kept of single cameras and streams, whatever the policy is.
    pub cameras: Vec<CameraRetention>,
    /// Whether files are deleted by itself, or on request only: for the policy, and for the limits of the sections
    /// `recording` and `snapshots`.
    pub auto_cleanup: bool,
}

/// What is kept of one camera or stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraRetention {
    /// Its name, as in its files.
    pub device: String,
    /// Days that its files are kept, instead of the policy's.
    pub max_age_days: Option<u32>,
    /// Gigabytes that its files may take together.
    pub max_size_gb: Option<f64>,
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
        Self {
            enabled: false,
            policy: Policy::Age,
            max_age_days: 30,
            max_size_gb: 10.0,
            min_free_gb: 0.0,
            cameras: Vec::new(),
            auto_cleanup: true,
        }
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
            s.records_to("fallback_path", folder.clone());
        }
    }
}

impl RetentionPolicy {
    pub(super) fn read(&mut self, s: &mut Section<'_>) {
        s.value("enabled", &mut self.enabled);
        s.value("type", &mut self.policy);
        s.number("max_age_days", &mut self.max_age_days, 1..=36_500);
        s.number("max_size_gb", &mut self.max_size_gb, 0.001..=1_000_000.0);
        s.number("min_free_gb", &mut self.min_free_gb, 0.0..=1_000_000.0);
        let mut devices = Vec::new();
        self.cameras = s.sections("cameras", |s| {
            let camera = CameraRetention::read(s);
            if devices.contains(&camera.device) {
                s.refuse("device", format!("{} is written twice", camera.device), "each camera once");
            }
            devices.push(camera.device.clone());
            camera
        });
        s.value("auto_cleanup", &mut self.auto_cleanup);
    }
}

impl CameraRetention {
    fn read(s: &mut Section<'_>) -> Self {
        let mut camera = Self::default();
        s.value("device", &mut camera.device);
        s.require("device");
        let days = |days: &Option<u32>| days.is_none_or(|days| (1..=36_500).contains(&days));
        s.bounded("max_age_days", &mut camera.max_age_days, days, "whole days from 1 to 36500".into());
        let size = |size: &Option<f64>| size.is_none_or(|size| (0.001..=1_000_000.0).contains(&size));
        s.bounded("max_size_gb", &mut camera.max_size_gb, size, "gigabytes from 0.001 to 1000000".into());
        let faulty = ["max_age_days", "max_size_gb"].iter().any(|key| s.faulty(key));
        if camera.max_age_days.is_none() && camera.max_size_gb.is_none() && !faulty {
            s.refuse("device", "has no limit", "max_age_days or max_size_gb beside it");
        }
        camera
    }
}
