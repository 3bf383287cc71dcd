//! What commands reach.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    Clients, Contents, Credentials, Notification, Rates, access::Caller, cameras::View, discover::Document,
    events::Subscribers, files::Kind, library::on_disk, retention::Retention, v3::Engine,
};
use crate::{
    camera::{CameraStatus, Cameras, Connection},
    error::{Error, Kind as Failure, Result},
    external::{Discovery, Streams},
    output::{
        snapshot::SnapshotRequest,
        storage::{self, FileName, Index, Keeper, NamePattern},
    },
    path::{Folders, Paths, Phase, RecordingRequest},
};

/// Notifications kept for a client that is behind. One that falls further behind is dropped.
pub const NOTIFICATIONS: usize = 256;

/// Handles to everything commands work with.
pub struct Gateway {
    /// The cameras.
    pub cameras: Cameras,
    /// The streams of other machines.
    pub external: Streams,
    /// Looks for more of them.
    pub discovery: Discovery,
    /// The paths they all stream on.
    pub paths: Paths,
    /// Where files are.
    pub folders: Folders,
    /// Which files are there.
    pub indexes: Indexes,
    /// What is known of what is in them.
    pub contents: Contents,
    /// How long they are kept.
    pub retention: Retention,
    /// The configuration that the MediaMTX-compatible API shows and changes.
    pub engine: Engine,
    /// Tells good credentials from bad ones.
    pub credentials: Credentials,
    /// Tells who asks too often.
    pub rates: Rates,
    /// Who is connected.
    pub clients: Clients,
    /// Where RTSP is served.
    pub rtsp: RtspAddress,
    /// What the configuration says that may change.
    pub defaults: Mutex<Defaults>,
    /// What `rpc.discover` answers.
    pub document: Document,
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

/// Which files are in the folders.
#[derive(Clone)]
pub struct Indexes {
    /// Recordings.
    pub recordings: Index,
    /// Snapshots.
    pub snapshots: Index,
    /// Recordings that the first folder did not take.
    pub fallback: Option<Index>,
    /// Recordings of paths that have a folder of their own, as they became known. The thread of each keeps it true.
    own: Arc<Mutex<Vec<(Index, Keeper)>>>,
    /// How names of files are read.
    pattern: NamePattern,
    /// Where they are kept over a restart.
    state: PathBuf,
}

/// Where RTSP is served.
#[derive(Clone, Debug)]
pub struct RtspAddress {
    /// The configured name of this host. `None`: each caller is told the name it used itself.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// What commands go by where a caller asks for nothing in particular.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// A snapshot.
    pub snapshot: SnapshotRequest,
    /// A recording; its limit is also the longest a caller may ask for.
    pub recording: RecordingRequest,
    /// Percent of the disk in use at which it counts as nearly full.
    pub warn_percent: u8,
}

impl Indexes {
    /// Those of `folders`, kept in the folder `state`. Nothing is read yet.
    pub fn new(folders: &Folders, state: &Path) -> Self {
        let index = |kind: Kind, folder: &Path, name: &str| {
            let saved = state.join(format!("index-{name}"));
            place(kind, folder, folders.pattern.clone(), saved)
        };
        Self {
            recordings: index(Kind::Recording, &folders.recordings, "recordings"),
            snapshots: index(Kind::Snapshot, &folders.snapshots, "snapshots"),
            fallback: folders.fallback.as_ref().map(|folder| index(Kind::Recording, folder, "recordings-fallback")),
            own: Arc::default(),
            pattern: folders.pattern.clone(),
            state: state.to_owned(),
        }
    }

    /// Knows the recordings in `folder` from now on, too. Error: no thread can be made.
    pub fn take(&self, folder: &Path) -> Result<()> {
        let mut own = self.own();
        if own.iter().any(|(index, _)| index.place().folder == folder) {
            return Ok(());
        }
        let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let saved = self.state.join(format!("index-recordings-{name}"));
        let index = place(Kind::Recording, folder, self.pattern.clone(), saved);
        let keeper = index.keep()?;
        own.push((index, keeper));
        Ok(())
    }

    /// Those who keep the indexes that became known.
    pub fn keepers(&self) -> Vec<Keeper> {
        self.own().drain(..).map(|(_, keeper)| keeper).collect()
    }

    fn own(&self) -> MutexGuard<'_, Vec<(Index, Keeper)>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> Vec<Index> {
        self.own().iter().map(|(index, _)| index.clone()).collect()
    }

    /// Those with files of a kind, the one that new files go to first.
    pub fn of(&self, kind: Kind) -> Vec<Index> {
        match kind {
            Kind::Recording => {
                [&self.recordings].into_iter().chain(&self.fallback).cloned().chain(self.taken()).collect()
            }
            Kind::Snapshot => vec![self.snapshots.clone()],
        }
    }

    /// The one that has a file of this name; the one that new files go to first, where none has. Blocks on the disk.
    pub fn with(&self, kind: Kind, name: &str) -> Index {
        let has =
            |index: &Index| FileName::parse(name).is_ok() && index.place().folder.join(name).symlink_metadata().is_ok();
        let first = if kind == Kind::Snapshot { &self.snapshots } else { &self.recordings };
        match self.of(kind) {
            several if several.len() > 1 => several.into_iter().find(has),
            _ => None,
        }
        .unwrap_or_else(|| first.clone())
    }

    /// All of them: of recordings, of snapshots, and of more recordings.
    pub fn all(&self) -> impl Iterator<Item = Index> {
        let configured = [&self.recordings, &self.snapshots].into_iter().chain(&self.fallback);
        configured.cloned().chain(self.taken())
    }
}

fn place(kind: Kind, folder: &Path, pattern: NamePattern, saved: PathBuf) -> Index {
    Index::new(storage::Place {
        folder: folder.to_owned(),
        extensions: kind.extensions(),
        pattern,
        films: kind == Kind::Recording,
        saved,
    })
}

impl Gateway {
    /// What the configuration says now.
    pub fn defaults(&self) -> Defaults {
        *self.defaults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration says something else from now on.
    pub fn set_defaults(&self, defaults: Defaults) {
        *self.defaults.lock().unwrap_or_else(PoisonError::into_inner) = defaults;
    }

    /// Where `caller` finds the stream called `name`.
    pub fn rtsp_url(&self, caller: &Caller, name: &str) -> String {
        let host = self.rtsp.host.as_deref().or(caller.host()).unwrap_or("localhost");
        format!("rtsp://{host}:{}/{name}", self.rtsp.port)
    }

    /// The name of what `device` means: a camera, as [`Cameras::find`] knows it, or a path of another kind: an external
    /// stream, or one of the MediaMTX API's. Error: none of them.
    pub fn find(&self, device: &str) -> Result<String> {
        self.cameras.find(device).or_else(|unknown| match self.paths.status(device) {
            Ok(path) => Ok(path.name),
            Err(_) => Err(unknown),
        })
    }

    /// What `device` means, as a camera is described. Error: neither a camera nor a path.
    pub fn source(&self, device: &str) -> Result<CameraStatus> {
        self.cameras.status(device).or_else(|unknown| match self.paths.status(device) {
            Ok(path) => Ok(self.describe(path.name)),
            Err(_) => Err(unknown),
        })
    }

    /// Refuses what only a camera has, such as `feature`, where `device` means a path that is none.
    pub fn refuse_other(&self, device: &str, feature: &str) -> Result<()> {
        if self.cameras.find(device).is_ok() || self.paths.status(device).is_err() {
            return Ok(());
        }
        let what = match self.external.find(device) {
            Some(_) => "a stream of another machine",
            None => "a path and no camera",
        };
        let message = format!("\"{device}\" is {what}, which has no {feature} here");
        Err(Error::new(Failure::Unsupported { feature: feature.into() }, message))
    }

    fn describe(&self, name: String) -> CameraStatus {
        let path = self.paths.status(&name).ok();
        let trouble = path.filter(|path| !matches!(path.phase, Phase::Streaming(_))).and_then(|path| path.trouble);
        CameraStatus {
            device: name.clone(),
            name,
            connection: trouble.map_or(Connection::Connected, Connection::Error),
            hardware: None,
            capture: None,
        }
    }

    /// Every external stream, as a camera is seen: for those who are told when one changes.
    pub fn external_views(&self) -> Vec<View> {
        let streams = self.external.list().into_iter().map(|stream| self.describe(stream.name));
        streams.map(|stream| View::new(&stream, self.paths.status(&stream.device).ok().as_ref())).collect()
    }

    /// Every camera as clients see it.
    pub fn views(&self) -> Vec<View> {
        let cameras = self.cameras.list();
        cameras.iter().map(|camera| View::new(camera, self.paths.status(&camera.device).ok().as_ref())).collect()
    }

    /// As [`Indexes::with`], off the runtime's threads.
    ///
    /// # Errors
    /// A question to the disk that broke off.
    pub(super) async fn index_with(&self, kind: Kind, name: &str) -> Result<Index> {
        let (indexes, name) = (self.indexes.clone(), name.to_owned());
        on_disk(move || Ok(indexes.with(kind, &name))).await
    }

    /// Where new files of a kind go.
    pub fn folder(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Recording => self.paths.folder_of_recordings(),
            Kind::Snapshot => &self.folders.snapshots,
        }
    }
}
