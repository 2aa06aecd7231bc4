//! Keys and sessions that are not good, by address of the client: each costs a look into the store, which is refused to
//! an address that shows too many. Those that were good lately are looked for all the same, so that nobody locks out the
//! others behind one address.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{ENTRIES_MAX, KeyHash, RateLimit, Recent, RetryAfter, hash_of, network_of};

/// Waits of addresses whose credentials are not good.
pub(crate) struct Credentials {
    refused: RateLimit,
    good: Mutex<Recent<KeyHash, ()>>,
}

impl Credentials {
    /// So many that are not good from an address in a second on average, and so many at once.
    pub(crate) fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { refused: RateLimit::new(per_second, burst), good: Mutex::new(Recent::new(ENTRIES_MAX)) }
    }

    /// Whether to look for a credential at all.
    pub(crate) fn check(&self, credential: &str, address: IpAddr, now: Instant) -> Result<(), RetryAfter> {
        if self.good().get(&hash_of(credential)).is_some() {
            return Ok(());
        }
        self.refused.check(&key_of(address), now)
    }

    /// It is good.
    pub(crate) fn accepted(&self, credential: &str) {
        let (credential, mut good) = (hash_of(credential), self.good());
        if good.get(&credential).is_none() {
            good.put(credential, ());
        }
    }

    /// It is not good.
    pub(crate) fn refused(&self, credential: &str, address: IpAddr, now: Instant) {
        self.good().remove(&hash_of(credential));
        self.refused.spend(&key_of(address), now);
    }

    fn good(&self) -> MutexGuard<'_, Recent<KeyHash, ()>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(address: IpAddr) -> String {
    network_of(address).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn credentials() -> Credentials {
        Credentials::new(NonZeroU32::new(10).unwrap(), NonZeroU32::new(3).unwrap())
    }

    #[test]
    fn an_address_waits_after_credentials_that_are_not_good() {
        let (credentials, now) = (credentials(), Instant::now());
        let (here, there) = (ip("203.0.113.1"), ip("203.0.113.2"));
        for number in 0..3 {
            let credential = number.to_string();
            assert_eq!(credentials.check(&credential, here, now), Ok(()));
            credentials.refused(&credential, here, now);
        }
        let wait = RetryAfter(Duration::from_millis(100));
        assert_eq!(credentials.check("another", here, now), Err(wait));
        assert_eq!(credentials.check("another", there, now), Ok(()));
        assert_eq!(credentials.check("another", here, now + wait.0), Ok(()));
    }

    #[test]
    fn what_is_looked_for_at_the_same_time_counts_in_full() {
        let (credentials, now) = (credentials(), Instant::now());
        let here = ip("2001:db8::1");
        for _ in 0..103 {
            credentials.refused("same", here, now);
        }
        let wait = RetryAfter(Duration::from_millis(10_100));
        assert_eq!(credentials.check("another", ip("2001:db8::2"), now), Err(wait), "of the same network");
    }

    #[test]
    fn good_ones_do_not_wait_for_others() {
        let (credentials, now) = (credentials(), Instant::now());
        let here = ip("203.0.113.1");
        credentials.accepted("good");
        for _ in 0..9 {
            credentials.refused("bad", here, now);
        }
        assert_eq!(credentials.check("good", here, now), Ok(()));
        assert!(credentials.check("new", here, now).is_err());
        credentials.refused("good", here, now);
        assert!(credentials.check("good", here, now).is_err(), "it was revoked");
    }
}
