//! The configuration file while the service runs: what was changed in it is checked, and what of it counts at once is done.
//!
//! A file that is wrong, or is not there, is told of and changes nothing: half of what somebody meant is not what they
//! meant. Which keys count at once is `config`'s to say; that MediaMTX's own file is read again is `command::v3`'s.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::settings;
use crate::{
    command::{
        Gateway, v3,
        watched::{LOOK, Watched},
    },
    config::{Changes, Config, Loaded, LogLevel, Problems},
};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    file: Watched,
    /// Whether it has to be there.
    named: bool,
    /// MediaMTX's file, in place of the one that is configured.
    mediamtx: Option<PathBuf>,
}

impl Source {
    /// The configuration in `file`, and that of the environment. One that nobody has `named` need not be there: then all is as
    /// by default. Blocks on the disk.
    pub fn new(file: &Path, named: bool, mediamtx: Option<PathBuf>) -> Self {
        Self { file: Watched::new(file), named, mediamtx }
    }

    /// Reads and checks it, as [`Config::load`] does. Blocks on the disk.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let file = self.file.file();
        let file = (self.named || file.exists()).then_some(file);
        let mut loaded = Config::load(file, std::env::vars())?;
        let configured = loaded.config.mediamtx.config_file.take();
        loaded.config.mediamtx.config_file = self.mediamtx.clone().or(configured);
        Ok(loaded)
    }
}

/// Sets the level of the log.
type SetLogLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

/// What it takes to go by a file that was changed.
pub(super) struct Reload {
    source: Source,
    /// What the service goes by.
    running: Loaded,
    gateway: Arc<Gateway>,
    log_level: SetLogLevel,
}

impl Reload {
    pub fn new(source: Source, running: Loaded, gateway: Arc<Gateway>, log_level: SetLogLevel) -> Self {
        // A file that was read has to be there from now on: one that is gone says nothing.
        let source = Source { named: true, ..source };
        Self { source, running, gateway, log_level }
    }

    /// Looks at the file for ever.
    pub async fn keep(mut self) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.source.file.has_changed().await {
                self.reload().await;
            }
        }
    }

    async fn reload(&mut self) {
        let (source, file) = (self.source.clone(), self.source.file.file().display().to_string());
        let read = match spawn_blocking(move || source.load()).await {
            Ok(Ok(read)) => read,
            Ok(Err(problems)) => {
                for problem in problems.0 {
                    tracing::error!("{problem}");
                }
                return tracing::error!(file, "the configuration is wrong; everything stays as it was");
            }
            Err(error) => return tracing::error!(%error, file, "not read"),
        };
        for warning in &read.warnings {
            tracing::warn!("{warning}");
        }
        let Changes { at_once, waiting } = self.running.follow(&read);
        if !at_once.is_empty() {
            self.apply().await;
        }
        let listed = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        tracing::info!(file, changed = listed(&at_once), "configuration read again");
        if !waiting.is_empty() {
            tracing::warn!(file, keys = listed(&waiting), "these count when the service is started again");
        }
    }

    /// Makes everything what the configuration says; what is so already is left alone.
    async fn apply(&self) {
        let (config, gateway) = (&self.running.config, &self.gateway);
        (self.log_level)(config.logging.level);
        gateway.set_defaults(settings::defaults(config));
        gateway.paths.set_thresholds(settings::thresholds(config));
        gateway.retention.follow(settings::retention(config)).await;
        gateway.cameras.follow(settings::offer(config), settings::pins(config)).await;
        gateway.external.follow(settings::path(config)).await;
        v3::settle(gateway).await;
    }
}
