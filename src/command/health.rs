//! How the service is, for probes and people.

use std::time::Duration;

use serde::Serialize;

/// How a part, or the whole, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Healthy,
    /// Working, and somebody should look.
    Degraded,
    /// Not working.
    Unhealthy,
}

/// One part of the service.
#[derive(Clone, Debug, Serialize)]
pub struct Component {
    /// How it is.
    pub status: Condition,
    /// Why, in a sentence without device nodes or paths: probes bring no credentials.
    pub details: String,
}

/// The parts, by the names existing probes know.
#[derive(Clone, Debug, Serialize)]
pub struct Components {
    /// The media engine in this process.
    pub mediamtx: Component,
    /// What listens for devices and keeps the cameras.
    pub camera_monitor: Component,
    /// The service around them.
    pub service_manager: Component,
}

/// How the service is at one moment.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether it takes work: started, and not stopping.
    pub ready: bool,
    /// Time since its start.
    pub uptime: Duration,
    /// Its parts.
    pub components: Components,
}

impl Health {
    /// The whole is as its worst part.
    pub fn status(&self) -> Condition {
        let Components { mediamtx, camera_monitor, service_manager } = &self.components;
        mediamtx.status.max(camera_monitor.status).max(service_manager.status)
    }
}
