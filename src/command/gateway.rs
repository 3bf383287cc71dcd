//! What commands reach.

use std::{path::Path, sync::Arc, time::Instant};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    Clients, Credentials, Notification, Rates, access::Caller, cameras::View, events::Subscribers, files::Kind,
};
use crate::{
    camera::Cameras,
    output::snapshot::SnapshotRequest,
    path::{Folders, Paths, RecordingRequest},
};

/// Notifications kept for a client that is behind. One that falls further behind is dropped.
pub const NOTIFICATIONS: usize = 256;

/// Handles to everything commands work with.
pub struct Gateway {
    /// The cameras.
    pub cameras: Cameras,
    /// The paths they stream on.
    pub paths: Paths,
    /// Where files are.
    pub folders: Folders,
    /// Tells good credentials from bad ones.
    pub credentials: Credentials,
    /// Tells who asks too often.
    pub rates: Rates,
    /// Who is connected.
    pub clients: Clients,
    /// Where RTSP is served.
    pub rtsp: RtspAddress,
    /// What a caller gets who asks for nothing in particular.
    pub defaults: Defaults,
    /// Percent of the disk in use at which it counts as nearly full.
    pub warn_percent: u8,
    /// When the service was started.
    pub started: Instant,
    /// Cancelled when the service is stopping.
    pub stopping: CancellationToken,
    /// Cancelled some time after `stopping`: the last notification there will be is in the ring.
    pub all_told: CancellationToken,
    /// Who listens to events.
    pub subscribers: Subscribers,
    /// What goes to every authenticated client; made with [`NOTIFICATIONS`]. This ring is the only queue there is
    /// between what happens and the sockets.
    pub notifications: broadcast::Sender<Arc<Notification>>,
}

/// Where RTSP is served.
#[derive(Clone, Debug)]
pub struct RtspAddress {
    /// The configured name of this host. `None`: each caller is told the name it used itself.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// What a caller gets who asks for nothing in particular.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// A snapshot.
    pub snapshot: SnapshotRequest,
    /// A recording; its limit is also the longest a caller may ask for.
    pub recording: RecordingRequest,
}

impl Gateway {
    /// Where `caller` finds the stream called `name`.
    pub fn rtsp_url(&self, caller: &Caller, name: &str) -> String {
        let host = self.rtsp.host.as_deref().or(caller.host()).unwrap_or("localhost");
        format!("rtsp://{host}:{}/{name}", self.rtsp.port)
    }

    /// Every camera as clients see it.
    pub fn views(&self) -> Vec<View> {
        let cameras = self.cameras.list();
        cameras.iter().map(|camera| View::new(camera, self.paths.status(&camera.device).ok().as_ref())).collect()
    }

    /// Where files of a kind are.
    pub fn folder(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Recording => &self.folders.recordings,
            Kind::Snapshot => &self.folders.snapshots,
        }
    }
}
