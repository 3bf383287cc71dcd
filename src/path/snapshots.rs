//! Pictures of paths, stored or handed out: how many at once, and what an on-demand path does for one.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{PathEvent, Paths, streaming::streaming};
use crate::{
    error::{Error, Kind, Result},
    output::{
        snapshot::{Caption, Counters, Counts, Picture, SnapshotRequest},
        storage::FileName,
    },
};

/// Requests under way at the same time, over all paths, those that wait for a camera included. One more is refused.
const PLACES: usize = 64;
/// Pictures that are worked on at the same time: decoding and encoding must not take the processor from the streams.
const HANDS: usize = 2;
/// When it is worth coming again for who was refused.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// A snapshot that was taken and stored.
#[derive(Clone, Debug)]
pub struct SnapshotTaken {
    /// The file.
    pub file: PathBuf,
    /// The picture.
    pub picture: Picture,
}

impl SnapshotTaken {
    /// The file's name in its folder.
    pub fn filename(&self) -> &str {
        self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// What all snapshots share.
pub(super) struct Shots {
    pub counters: Arc<Counters>,
    places: Arc<Semaphore>,
    hands: Arc<Semaphore>,
    took: Histogram,
}

impl Default for Shots {
    fn default() -> Self {
        let (places, hands) = (Arc::new(Semaphore::new(PLACES)), Arc::new(Semaphore::new(HANDS)));
        let took = Histogram::new([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]);
        Self { counters: Arc::default(), places, hands, took }
    }
}

impl Paths {
    /// Takes a picture of the path as it is now and stores it. A path that does not run is started for it, and stopped
    /// again when nobody else wants it. Errors: no such path, not streaming, nothing to decode with, the disk, too many
    /// under way.
    pub async fn snapshot(
        &self,
        name: &str,
        request: SnapshotRequest,
        caption: Caption,
        filename: Option<FileName>,
    ) -> Result<SnapshotTaken> {
        let (folders, device) = (self.0.parts.folders.clone(), name.to_owned());
        let store = move |picture: Picture| {
            let file = folders.store_snapshot(&device, filename, &picture)?;
            Ok(SnapshotTaken { file, picture })
        };
        let taken = self.shoot(name, request, caption, store).await?;
        let (name, filename) = (name.to_owned(), taken.filename().to_owned());
        // Nobody listening is fine.
        let _ = self.0.events.send(PathEvent::SnapshotTaken { name, filename });
        Ok(taken)
    }

    /// As [`snapshot`](Self::snapshot), but nothing is stored and nobody else is told.
    pub async fn picture(&self, name: &str, request: SnapshotRequest, caption: Caption) -> Result<Picture> {
        self.shoot(name, request, caption, Ok).await
    }

    /// What snapshots have cost so far.
    pub fn snapshot_counts(&self) -> Counts {
        self.0.shots.counters.now()
    }

    /// How long they took, from the request to the picture, in seconds; the start of a path that did not run included.
    pub fn snapshot_times(&self) -> &Histogram {
        &self.0.shots.took
    }

    async fn shoot<T: Send + 'static>(
        &self,
        name: &str,
        request: SnapshotRequest,
        caption: Caption,
        then: impl FnOnce(Picture) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (demands, mut status, deadline) =
            self.with(name, |entry| (entry.demands.clone(), entry.status.clone(), entry.settings.start_timeout))?;
        let shots = &self.0.shots;
        let Ok(place) = Arc::clone(&shots.places).try_acquire_owned() else {
            shots.counters.refuse();
            let message = format!("{PLACES} snapshots are under way");
            return Err(Error::new(Kind::RateLimited { retry_after: COME_AGAIN }, message));
        };
        let began = Instant::now();
        let demand = demands.look();
        let pictures = streaming(&mut status, deadline).await?.pictures;
        // Before it has its turn: those who ask at the same time look together.
        let look = pictures.ok_or_else(|| Error::not_found("stream", name))?.look();
        let hand = Arc::clone(&shots.hands).acquire_owned().await;
        let taken = spawn_blocking(move || {
            // Kept until it is done, also when nobody waits for it any more.
            let _kept = (place, hand, demand);
            then(look.picture(request, &caption)?)
        });
        let taken = taken.await.map_err(|error| Error::with_source(Kind::Internal, "a snapshot failed", error))?;
        shots.took.observe(began.elapsed().as_secs_f64());
        taken
    }
}
