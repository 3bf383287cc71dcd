//! How the service is, for probes and people.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::Gateway;
use crate::{
    camera::{CameraStatus, Connection},
    path::Room,
};

/// How a part, or the whole, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Component {
    /// How it is.
    pub status: Condition,
    /// Why, in a sentence without device nodes or paths: probes bring no credentials.
    pub details: String,
}

/// The parts, by the names existing probes know.
#[derive(Clone, Debug, Serialize, JsonSchema)]
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
    /// In numbers.
    pub counts: Counts,
}

/// The service in numbers that tell nothing about the host.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// Cameras that were ever seen.
    pub cameras: usize,
    /// Cameras that are there and work.
    pub connected: usize,
    /// Streams whose frames flow.
    pub streaming: usize,
    /// RTSP readers.
    pub readers: usize,
    /// Recordings that are being written.
    pub recordings: usize,
}

impl Health {
    /// The whole is as its worst part.
    pub fn status(&self) -> Condition {
        let Components { mediamtx, camera_monitor, service_manager } = &self.components;
        mediamtx.status.max(camera_monitor.status).max(service_manager.status)
    }
}

impl Gateway {
    /// How the service is now. Looks at what is known and asks nothing.
    pub fn health(&self) -> Health {
        let ready = !self.stopping.is_cancelled();
        let service = match (ready, self.disk_trouble()) {
            (false, _) => Component { status: Condition::Degraded, details: "stopping".into() },
            (true, None) => Component { status: Condition::Healthy, details: "running".into() },
            (true, Some(trouble)) => Component { status: Condition::Degraded, details: format!("running; {trouble}") },
        };
        Health {
            ready,
            uptime: self.started.elapsed(),
            counts: self.counts(),
            components: Components {
                mediamtx: self.media_health(),
                camera_monitor: self.camera_health(),
                service_manager: service,
            },
        }
    }

    /// What keeps recordings from being written as they should be, in words.
    fn disk_trouble(&self) -> Option<String> {
        if let (Some(trouble), true) = (self.paths.folder_trouble(), self.paths.has_fallback()) {
            return Some(format!("recordings go to storage.fallback_path: {trouble}"));
        }
        match (self.paths.room(), self.paths.folder_trouble()) {
            (Room::None, _) => return Some("the disk is too full to record".into()),
            (_, Some(trouble)) => return Some(format!("nothing is recorded: {trouble}")),
            (Room::Little, None) => return Some("the disk is nearly full".into()),
            (Room::Enough, None) => {}
        }
        self.paths.list().iter().find_map(|path| {
            let trouble = path.recording_trouble.as_ref()?;
            Some(format!("{} is not recorded: {trouble}", path.name))
        })
    }

    fn counts(&self) -> Counts {
        let (cameras, paths) = (self.cameras.list(), self.paths.list());
        let connected = |camera: &&CameraStatus| matches!(camera.connection, Connection::Connected);
        Counts {
            cameras: cameras.len(),
            connected: cameras.iter().filter(connected).count(),
            streaming: paths.iter().filter(|path| path.stream.is_some()).count(),
            readers: paths.iter().map(|path| self.paths.readers(&path.name).count).sum(),
            recordings: paths.iter().filter(|path| path.recording.is_some()).count(),
        }
    }

    fn media_health(&self) -> Component {
        let paths = self.paths.list();
        let streaming = paths.iter().filter(|path| path.stream.is_some()).count();
        let troubled = paths.iter().filter(|path| path.trouble.is_some()).count();
        let details = format!("{} paths, {streaming} streaming, {troubled} in trouble", paths.len());
        Component { status: if troubled == 0 { Condition::Healthy } else { Condition::Degraded }, details }
    }

    fn camera_health(&self) -> Component {
        let cameras = self.cameras.list();
        let count = |like: fn(&Connection) -> bool| cameras.iter().filter(|camera| like(&camera.connection)).count();
        let connected = count(|connection| matches!(connection, Connection::Connected));
        let unusable = count(|connection| matches!(connection, Connection::Error(_)));
        let details = format!("{} cameras known, {connected} connected, {unusable} unusable", cameras.len());
        Component { status: if unusable == 0 { Condition::Healthy } else { Condition::Degraded }, details }
    }
}
