//! How much room the disk has for recordings. It is watched, so that a recording ends cleanly before the disk is full, and
//! nobody has to ask the disk when one begins.

use std::{path::Path, sync::PoisonError, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{OwnFolder, PathEvent, Paths, folders::Which};
use crate::{
    error::{Error, Kind, Result},
    output::storage,
};

/// How often the disk is looked at. At 100 Mbit/s a disk takes 25 MB meanwhile.
const LOOK: Duration = Duration::from_secs(2);

/// What has to be free again, in percent of the disk, before a threshold counts as left: files that come and go at the
/// threshold would otherwise start and stop recordings.
const BACK: f64 = 1.0;

/// Percent of the disk in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// What was found when the folders of recordings were looked at last.
#[derive(Clone, Debug, Default)]
pub(super) struct Disks {
    /// The room there is.
    pub rooms: Rooms,
    /// Why nothing goes to the first folder.
    pub trouble: Option<Error>,
}

/// The room in each folder of recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rooms {
    first: Room,
    /// `None`: there is no such folder, or it cannot be used.
    fallback: Option<Room>,
    /// Of the folders of single paths, by their numbers.
    own: Vec<Room>,
}

impl Rooms {
    pub fn of(&self, which: Which) -> Room {
        match which {
            // Of one that is new nothing is known yet.
            Which::Own(own) => self.own.get(own.number()).copied().unwrap_or_default(),
            Which::First => self.first,
            Which::Fallback => self.fallback.unwrap_or_default(),
        }
    }

    /// Of the folder that the next file goes to.
    fn next(&self, first_works: bool) -> Room {
        match self.fallback {
            Some(room) if !first_works || self.first == Room::None => room,
            _ => self.first,
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

/// Waits until there is no room in this folder.
pub(super) async fn out_of_room(mut disks: watch::Receiver<Disks>, which: Which) {
    if disks.wait_for(|disks| disks.rooms.of(which) == Room::None).await.is_err() {
        // Nobody watches any more: the service ends.
        std::future::pending::<()>().await;
    }
}

impl Paths {
    /// The room there is for the recordings that begin now.
    pub fn room(&self) -> Room {
        let disks = self.0.disks.borrow();
        disks.rooms.next(disks.trouble.is_none())
    }

    /// The same for those that go to a folder of their own while it takes them.
    pub(super) fn room_in(&self, folder: Option<OwnFolder>) -> Room {
        let own = folder.map(|own| self.0.disks.borrow().rooms.of(Which::Own(own)));
        own.filter(|room| *room != Room::None).unwrap_or_else(|| self.room())
    }

    /// Where the recordings go that begin now.
    pub fn folder_of_recordings(&self) -> &Path {
        let folders = &self.0.parts.folders;
        let fallback = folders.fallback.as_deref().filter(|_| self.folder_trouble().is_some() && self.has_fallback());
        fallback.unwrap_or(&folders.recordings)
    }

    /// Why recordings do not go to their folder: it is missing, cannot be written, is too full, or hangs.
    pub fn folder_trouble(&self) -> Option<Error> {
        self.0.disks.borrow().trouble.clone()
    }

    /// Whether they go to another one meanwhile.
    pub fn has_fallback(&self) -> bool {
        self.0.disks.borrow().rooms.fallback.is_some_and(|room| room != Room::None)
    }

    /// Looks at the disks now, and from now on every two seconds until no more recordings are begun.
    pub async fn watch_room(&self, thresholds: Thresholds) {
        self.set_thresholds(thresholds);
        self.look().await;
        let (paths, closing) = (self.clone(), self.closing());
        tokio::spawn(closing.run_until_cancelled_owned(async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                paths.look().await;
            }
        }));
    }

    /// The disks are full at other percentages from the next look on.
    pub fn set_thresholds(&self, thresholds: Thresholds) {
        *self.0.thresholds.lock().unwrap_or_else(PoisonError::into_inner) = thresholds;
    }

    async fn look(&self) {
        let thresholds = *self.0.thresholds.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.disks.borrow().clone();
        let has_fallback = self.0.parts.folders.fallback.is_some();
        let fallback = async {
            if has_fallback { self.examine(Which::Fallback, &before.rooms, thresholds).await.ok() } else { None }
        };
        let own = self.own_folders().into_iter().map(|own| self.examine(own, &before.rooms, thresholds));
        let (first, fallback, own) =
            tokio::join!(self.examine(Which::First, &before.rooms, thresholds), fallback, join_all(own));
        let rooms = own.into_iter().enumerate();
        let own = rooms
            .map(|(number, room)| room.unwrap_or_else(|_| before.rooms.own.get(number).copied().unwrap_or_default()));
        let own = own.collect();
        let (room, trouble) = match first {
            Ok(Room::None) => (Room::None, Some(no_room())),
            Ok(room) => (room, None),
            // Nothing new is known of its room.
            Err(error) => (before.rooms.first, Some(error)),
        };
        let now = Disks { rooms: Rooms { first: room, fallback, own }, trouble };
        let message = |disks: &Disks| disks.trouble.as_ref().map(|error| error.message().to_owned());
        if now.rooms == before.rooms && message(&now) == message(&before) {
            return;
        }
        match (&now.trouble, room) {
            (Some(error), _) if fallback.is_some() => {
                tracing::error!("recordings go to storage.fallback_path: {}", error.chain());
            }
            (Some(error), _) => tracing::error!("nothing is recorded: {}", error.chain()),
            (None, Room::Little) => tracing::warn!("the disk of recordings is nearly full (storage.warn_percent)"),
            (None, _) => tracing::info!("the disk of recordings has room"),
        }
        self.0.disks.send_replace(now);
        let _ = self.0.events.send(PathEvent::RoomChanged);
    }

    /// The room in a folder. Error: files cannot be made there.
    async fn examine(&self, which: Which, before: &Rooms, thresholds: Thresholds) -> Result<Room> {
        let space = self.0.parts.folders.ask(which, storage::examine, drop).await?;
        Ok(before.of(which).next(space.percent_used(), thresholds))
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
