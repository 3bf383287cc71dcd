//! How many requests an address may make: so many a minute, all at once or spread out.

use std::{net::IpAddr, num::NonZeroU32};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

use crate::error::{Error, Kind, Result};

/// Addresses kept in mind before those that have all their requests again are forgotten.
const ADDRESSES: usize = 4096;

/// Who asked, and how often.
#[derive(Debug)]
pub struct Rates {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    per_minute: NonZeroU32,
}

impl Rates {
    /// So many requests a minute for each address; at least one.
    pub fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self { limiter: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute)), per_minute }
    }

    /// Whether a request from `address` is answered. One that comes from nowhere is.
    ///
    /// # Errors
    /// [`Kind::RateLimited`]: not yet.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<()> {
        // An IPv4 host is the same one when it is seen through an IPv6 socket.
        let Some(address) = address.map(|address| address.to_canonical()) else { return Ok(()) };
        if self.limiter.len() > ADDRESSES {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&address).map_err(|refusal| {
            let retry_after = refusal.wait_time_from(DefaultClock::default().now());
            let message = format!("this address may make {} requests a minute", self.per_minute);
            Error::new(Kind::RateLimited { retry_after }, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_requests_and_no_more_and_others_have_theirs() {
        let rates = Rates::new(3);
        let admit = |address: &str| rates.admit(Some(address.parse().unwrap()));
        for address in ["192.0.2.1", "2001:db8::1"] {
            (0..3).for_each(|_| admit(address).unwrap());
            let refusal = admit(address).unwrap_err();
            let Kind::RateLimited { retry_after } = refusal.kind() else { panic!("{refusal:?}") };
            assert!((1..=20).contains(&retry_after.as_secs()), "{retry_after:?}");
        }
        assert!(admit("::ffff:192.0.2.1").is_err(), "the same host");
        admit("192.0.2.2").unwrap();
        (0..10).for_each(|_| rates.admit(None).unwrap());
    }
}
