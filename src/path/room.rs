//! How much room the disk has for recordings. It is watched, so that a recording ends cleanly before the disk is full, and
//! nobody has to ask the disk when one begins.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{PathEvent, Paths};
use crate::{
    error::{Error, Kind},
    output::storage,
};

/// How often the disk is looked at. At 100 Mbit/s a disk takes 25 MB meanwhile.
const LOOK: Duration = Duration::from_secs(2);

/// What has to be free again, in percent of the disk, before a threshold counts as left: files that come and go at the
/// threshold would otherwise start and stop recordings.
const BACK: f64 = 1.0;

/// Percent of the disk in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// From here on somebody should look.
    pub warn: u8,
    /// From here on nothing is recorded.
    pub block: u8,
}

/// The room there is for recordings, the most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    #[default]
    Enough,
    /// Little: above the threshold for a warning.
    Little,
    /// None: above the threshold at which nothing is recorded.
    None,
}

impl Room {
    /// The room when so many percent of the disk are in use, after it was like this.
    fn next(self, percent: f64, thresholds: Thresholds) -> Self {
        let above = |threshold: u8, now: Self| {
            let threshold = f64::from(threshold);
            percent >= if self >= now { threshold - BACK } else { threshold }
        };
        if above(thresholds.block, Self::None) {
            Self::None
        } else if above(thresholds.warn, Self::Little) {
            Self::Little
        } else {
            Self::Enough
        }
    }
}

/// The error of a recording that there is no room for.
pub(super) fn no_room() -> Error {
    let kind = Kind::Dependency { dependency: "disk".into() };
    Error::new(
        kind,
        "the disk is too full to record (storage.block_percent): delete files, or let the retention policy do it",
    )
}

/// Waits until there is no room.
pub(super) async fn out_of_room(mut room: watch::Receiver<Room>) {
    if room.wait_for(|room| *room == Room::None).await.is_err() {
        // Nobody watches any more: the service ends.
        std::future::pending::<()>().await;
    }
}

impl Paths {
    /// The room there is for recordings.
    pub fn room(&self) -> Room {
        *self.0.room.borrow()
    }

    /// Looks at the disk now, and from now on every two seconds until no more recordings are begun.
    pub async fn watch_room(&self, thresholds: Thresholds) {
        self.look(thresholds).await;
        let (paths, closing) = (self.clone(), self.closing());
        tokio::spawn(closing.run_until_cancelled_owned(async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                paths.look(thresholds).await;
            }
        }));
    }

    async fn look(&self, thresholds: Thresholds) {
        let folder = self.0.parts.folders.recordings.clone();
        // A disk that hangs holds this one thread, and says nothing new.
        let space = spawn_blocking(move || storage::space(&folder)).await;
        let Ok(Ok(space)) = space else { return };
        let (percent, before) = (space.percent_used(), self.room());
        let now = before.next(percent, thresholds);
        if now == before {
            return;
        }
        self.0.room.send_replace(now);
        match now {
            Room::None => {
                tracing::error!("the disk is {percent:.1} % full: nothing is recorded (storage.block_percent)")
            }
            Room::Little => tracing::warn!("the disk is {percent:.1} % full (storage.warn_percent)"),
            Room::Enough => tracing::info!("the disk is {percent:.1} % full: there is room again"),
        }
        let _ = self.0.events.send(PathEvent::RoomChanged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_left_one_percent_below_it() {
        let thresholds = Thresholds { warn: 80, block: 95 };
        let mut room = Room::Enough;
        for (percent, expected) in [
            (79.9, Room::Enough),
            (80.0, Room::Little),
            (79.1, Room::Little),
            (78.9, Room::Enough),
            (95.0, Room::None),
            (94.1, Room::None),
            (93.9, Room::Little),
            (95.0, Room::None),
            (10.0, Room::Enough),
        ] {
            room = room.next(percent, thresholds);
            assert_eq!(room, expected, "{percent}");
        }
    }
}
