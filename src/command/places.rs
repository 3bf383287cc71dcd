//! How many clients there may be at once, in all and from one address, and how many there were too many.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::error::{Error, Kind, Result};

/// HTTP connections at once that are no sockets (yet): probes, downloads, upgrades under way, and whoever says nothing.
const CONNECTIONS: u32 = 1024;

/// The same from one address, so that a single machine cannot take them all.
const CONNECTIONS_EACH: u32 = 256;

/// Everybody who is connected to the control port.
#[derive(Debug)]
pub struct Clients {
    /// WebSockets.
    pub sockets: Places,
    /// HTTP connections; one that becomes a socket is no longer one of them.
    pub connections: Places,
    /// Sockets that were dropped because they did not read.
    pub dropped_slow: AtomicU64,
}

impl Clients {
    /// Nobody yet. So many sockets may be open, and so many from one address.
    pub fn new(sockets: u32, sockets_each: u32) -> Self {
        Self {
            sockets: Places::new("sockets", sockets, sockets_each),
            connections: Self::connections(),
            dropped_slow: AtomicU64::new(0),
        }
    }

    /// Places for the HTTP connections of one port.
    pub fn connections() -> Places {
        Places::new("connections", CONNECTIONS, CONNECTIONS_EACH)
    }
}

/// A number of places, in all and for each address. Clones are the same places.
#[derive(Clone, Debug)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    in_all: u32,
    each: u32,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

/// An address stands in the map while it has a place, so the map is no larger than the number of places.
#[derive(Debug, Default)]
struct Taken {
    in_all: u32,
    by: HashMap<IpAddr, u32>,
}

impl Places {
    /// All of them free. `what` they are for is said in refusals.
    pub fn new(what: &'static str, in_all: u32, each: u32) -> Self {
        Self(Arc::new(Inner { what, in_all, each, taken: Mutex::default(), refused: AtomicU64::new(0) }))
    }

    /// A place for `address`, until it is dropped. Who comes from nowhere counts in all only.
    ///
    /// # Errors
    /// [`Kind::RateLimited`]: there is none. It is counted.
    pub fn take(&self, address: Option<IpAddr>) -> Result<Place> {
        // An IPv4 host is the same one when it is seen through an IPv6 socket.
        let address = address.map(|address| address.to_canonical());
        let Inner { what, in_all, each, .. } = *self.0;
        let mut taken = self.0.taken();
        let its = address.and_then(|address| taken.by.get(&address)).copied().unwrap_or(0);
        let refusal = match (taken.in_all < in_all, its < each) {
            (true, true) => {
                taken.in_all += 1;
                if let Some(address) = address {
                    taken.by.insert(address, its + 1);
                }
                return Ok(Place { of: Arc::clone(&self.0), address });
            }
            (true, false) => format!("this address has {each} {what}, as many as it may have"),
            (false, _) => format!("there are {in_all} {what}, as many as are allowed"),
        };
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(Kind::RateLimited { retry_after: Duration::from_secs(1) }, refusal))
    }

    /// How many are taken.
    pub fn taken(&self) -> u32 {
        self.0.taken().in_all
    }

    /// How many were refused since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Inner {
    // The numbers are right after every statement that can panic, so a panic elsewhere under the lock harms nobody.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken. Dropping it frees it.
#[derive(Debug)]
pub struct Place {
    of: Arc<Inner>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.in_all -= 1;
        if let Some(address) = self.address
            && let Some(its) = taken.by.get_mut(&address)
        {
            *its -= 1;
            if *its == 0 {
                taken.by.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_all_have_theirs_together() {
        let places = Places::new("chairs", 3, 2);
        let take = |address: &str| places.take(Some(address.parse().unwrap()));
        let (first, second) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        let refusal = take("192.0.2.1").unwrap_err();
        assert_eq!(refusal.message(), "this address has 2 chairs, as many as it may have");
        let third = take("192.0.2.2").unwrap();
        assert_eq!(take("192.0.2.3").unwrap_err().message(), "there are 3 chairs, as many as are allowed");
        assert!(places.take(None).is_err());
        assert_eq!((places.taken(), places.refused()), (3, 3));
        drop((first, third));
        let again = (take("192.0.2.1").unwrap(), places.take(None).unwrap());
        drop((again, second));
        assert_eq!(places.taken(), 0);
        assert!(places.0.taken().by.is_empty(), "an address without a place is forgotten");
    }
}
