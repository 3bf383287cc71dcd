//! Slowing down those who guess: after some wrong credentials an address has to wait before it may try again.
//!
//! Nothing is held back meanwhile: an attempt that comes too early is refused at once and told when to come again. It is
//! not looked at, so that a guess that is right by chance is not found out early.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::error::{Error, Kind, Result};

/// Wrong credentials that cost nothing: people mistype, programs are told their new key late.
const FREE: u32 = 5;

/// The first wait. Each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait: short enough for whoever shares an address with one who guesses.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// After so long without a failure an address begins anew.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Addresses kept in mind. Beyond that the one whose failure is longest ago is forgotten first.
const ADDRESSES: usize = 4096;

/// Who failed, and how often.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(further) => FIRST_WAIT.saturating_mul(1 << further.min(16)).min(LONGEST_WAIT),
        }
    }
}

impl Attempts {
    /// Whether credentials from `address` are looked at.
    ///
    /// # Errors
    /// [`Kind::RateLimited`]: not yet.
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> Result<()> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failures) = table.get(&address.to_canonical()) else { return Ok(()) };
        let left = failures.wait().saturating_sub(now.saturating_duration_since(failures.last));
        if left.is_zero() {
            return Ok(());
        }
        let kind = Kind::RateLimited { retry_after: left };
        Err(Error::new(kind, "too many wrong credentials came from this address: wait, then try again"))
    }

    /// Credentials from `address` were wrong.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An IPv4 host is the same one when it is seen through an IPv6 socket.
        let address = address.to_canonical();
        if table.len() >= ADDRESSES && !table.contains_key(&address) {
            let oldest = table.iter().min_by_key(|(_, failures)| failures.last).map(|(address, _)| *address);
            oldest.map(|oldest| table.remove(&oldest));
        }
        let failures = table.entry(address).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= FORGOTTEN {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
        if failures.count == FREE {
            tracing::warn!(%address, failures = FREE, "wrong credentials: further attempts from this address have to wait");
        }
    }

    /// Credentials from `address` were good: it begins anew.
    pub(super) fn succeeded(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&address.to_canonical());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(attempts: &Attempts, address: &str, now: Instant) -> Duration {
        match attempts.admit(address.parse().unwrap(), now) {
            Ok(()) => Duration::ZERO,
            Err(error) => match error.kind() {
                Kind::RateLimited { retry_after } => *retry_after,
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn the_wait_grows_to_its_bound_and_success_ends_it() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut waits = Vec::new();
        for _ in 0..10 {
            attempts.failed(address, now);
            let wait = left(&attempts, "192.0.2.1", now);
            // Waiting less is not enough, and asking meanwhile makes it no longer.
            assert_eq!(left(&attempts, "192.0.2.1", now + wait / 2), wait - wait / 2);
            now += wait;
            assert_eq!(left(&attempts, "192.0.2.1", now), Duration::ZERO);
            waits.push(wait.as_millis());
        }
        assert_eq!(waits, [0, 0, 0, 0, 1000, 2000, 4000, 5000, 5000, 5000]);
        attempts.failed(address, now);
        attempts.succeeded(address);
        assert_eq!(left(&attempts, "192.0.2.1", now), Duration::ZERO);
        attempts.failed(address, now);
        assert_eq!(left(&attempts, "192.0.2.1", now), Duration::ZERO, "it began anew");
    }

    #[test]
    fn others_do_not_wait_and_time_forgives() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let fail = |address: &str| (0..FREE).for_each(|_| attempts.failed(address.parse().unwrap(), now));
        fail("::ffff:192.0.2.1");
        fail("2001:db8::1");
        for (address, waits) in
            [("192.0.2.1", true), ("192.0.2.2", false), ("2001:db8::1", true), ("2001:db8::2", false)]
        {
            assert_eq!(!left(&attempts, address, now).is_zero(), waits, "{address}");
        }
        let later = now + FORGOTTEN;
        attempts.failed("192.0.2.1".parse().unwrap(), later);
        assert_eq!(left(&attempts, "192.0.2.1", later), Duration::ZERO);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..ADDRESSES as u32 + 10 {
            attempts.failed(address(number), now + Duration::from_millis(u64::from(number)));
        }
        let table = attempts.0.lock().unwrap();
        assert_eq!(table.len(), ADDRESSES);
        assert!(!table.contains_key(&address(9)) && table.contains_key(&address(10)));
    }
}
