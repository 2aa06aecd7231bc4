//! Limits on how often somebody may try: sign-ins that fail, by account and by address of the client; credentials that are
//! not good, by that address; and calls of a key.
//! All is in memory and bounded. The time comes from the caller. Nothing here knows accounts or requests.

mod credentials;
mod recent;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

pub(crate) use credentials::Credentials;
use recent::Recent;

const ENTRIES_MAX: usize = 10_000;
/// This many failures in a row begin the waits.
const FAILURES_FREE: u32 = 5;
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Without an end, the slips of all people behind one address would add up until each costs [`WAIT_MAX`].
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// Too many tries: how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: try again in {} s", self.seconds())]
pub(crate) struct RetryAfter(pub(crate) Duration);

impl RetryAfter {
    /// In whole seconds and never too few, as the header `Retry-After` takes it.
    pub(crate) fn seconds(self) -> u64 {
        self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0)).max(1)
    }
}

/// Of a fixed length, whatever somebody sends as the name of an account.
type KeyHash = [u8; 32];

/// Who has to wait after failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Account(KeyHash),
    Client(IpAddr),
}

#[derive(Clone, Copy)]
struct Failures {
    in_a_row: u32,
    last: Instant,
}

impl Failures {
    /// How long to wait from the last failure on: 1, 2, 4, … s.
    fn wait(self) -> Duration {
        match self.in_a_row.checked_sub(FAILURES_FREE) {
            None => Duration::ZERO,
            Some(beyond) => {
                let seconds = 1_u64.checked_shl(beyond).filter(|_| beyond < u64::BITS);
                seconds.map_or(WAIT_MAX, |seconds| Duration::from_secs(seconds).min(WAIT_MAX))
            }
        }
    }

    fn rest(self, now: Instant) -> Duration {
        self.wait().saturating_sub(now.saturating_duration_since(self.last))
    }

    fn is_forgotten(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

/// Waits after failed sign-ins.
pub(crate) struct SignIns {
    failures: Mutex<Recent<Party, Failures>>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIns").field("entries", &self.entries()).finish()
    }
}

impl SignIns {
    /// Nobody has to wait.
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::new(Recent::new(ENTRIES_MAX)) }
    }

    /// Whether to look at a password at all.
    pub(crate) fn check(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), RetryAfter> {
        refuse_early(&self.lock(), &parties(account, address), now)
    }

    /// Counts a failure. On an error, answer with it instead of the outcome, as for [`SignIns::succeeded`].
    pub(crate) fn failed(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), RetryAfter> {
        let mut failures = self.lock();
        let parties = parties(account, address);
        refuse_early(&failures, &parties, now)?;
        for party in parties {
            let before = failures.get(&party).filter(|found| !found.is_forgotten(now));
            let in_a_row = before.map_or(1, |found| found.in_a_row.saturating_add(1));
            failures.put(party, Failures { in_a_row, last: now });
        }
        Ok(())
    }

    /// Forgets the failures of the account, but not those of the address: whoever guesses passwords of others may have an
    /// account of their own. On an error, answer with it instead of the outcome: many passwords may be tried in parallel,
    /// each of them let through before the first has failed.
    pub(crate) fn succeeded(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), RetryAfter> {
        let mut failures = self.lock();
        let parties = parties(account, address);
        refuse_early(&failures, &parties, now)?;
        let [account, _] = parties;
        failures.remove(&account);
        Ok(())
    }

    fn entries(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Party, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse_early(
    failures: &Recent<Party, Failures>,
    parties: &[Party; 2],
    now: Instant,
) -> Result<(), RetryAfter> {
    let rest = parties.iter().filter_map(|party| failures.get(party)).map(|found| found.rest(now)).max();
    match rest {
        Some(rest) if !rest.is_zero() => Err(RetryAfter(rest)),
        Some(_) | None => Ok(()),
    }
}

fn parties(account: &str, address: IpAddr) -> [Party; 2] {
    [Party::Account(hash_of(&folded(account))), Party::Client(network_of(address))]
}

/// Letters that differ in case alone become the same, also where one of the cases has several forms.
fn folded(account: &str) -> String {
    account.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A provider gives each customer a /64 at least, from which they take addresses as they like.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn hash_of(key: &str) -> KeyHash {
    Sha256::digest(key).into()
}

/// How often a key may be used: so many times a second on average, and so many at once.
pub(crate) struct RateLimit {
    interval: Duration,
    /// How far the bucket's level may be ahead of the time.
    allowance: Duration,
    /// When the bucket of a key is full again.
    full_at: Mutex<Recent<KeyHash, Instant>>,
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, allowance, full_at: _ } = self;
        f.debug_struct("RateLimit")
            .field("interval", interval)
            .field("allowance", allowance)
            .field("entries", &self.entries())
            .finish()
    }
}

impl RateLimit {
    /// A bucket of `burst` tokens for each key, filled at `per_second`.
    pub(crate) fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.get(), burst)
    }

    /// The same, filled with a token in each interval.
    pub(crate) fn every(interval: Duration, burst: NonZeroU32) -> Self {
        let allowance = interval.saturating_mul(burst.get() - 1);
        Self { interval, allowance, full_at: Mutex::new(Recent::new(ENTRIES_MAX)) }
    }

    /// Takes a token of a key.
    pub(crate) fn take(&self, key: &str, now: Instant) -> Result<(), RetryAfter> {
        let key = hash_of(key);
        let mut full_at = self.lock();
        let full = self.full(&full_at, &key, now)?;
        full_at.put(key, full + self.interval);
        Ok(())
    }

    /// Whether a key has a token, which it keeps.
    fn check(&self, key: &str, now: Instant) -> Result<(), RetryAfter> {
        self.full(&self.lock(), &hash_of(key), now).map(drop)
    }

    /// Takes a token of a key that may have none left: it lacks more then.
    fn spend(&self, key: &str, now: Instant) {
        let key = hash_of(key);
        let mut full_at = self.lock();
        let full = full_at.get(&key).copied().unwrap_or(now).max(now);
        full_at.put(key, full + self.interval);
    }

    /// When the bucket of a key that has a token is full again.
    fn full(
        &self,
        full_at: &Recent<KeyHash, Instant>,
        key: &KeyHash,
        now: Instant,
    ) -> Result<Instant, RetryAfter> {
        let full = full_at.get(key).copied().unwrap_or(now).max(now);
        let lacking = full.saturating_duration_since(now).saturating_sub(self.allowance);
        if lacking.is_zero() { Ok(full) } else { Err(RetryAfter(lacking)) }
    }

    fn entries(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Recent<KeyHash, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "203.0.113.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// As many failures as are free, so that both have to wait for a second.
    fn failed_five_times(account: &str, address: &str, now: Instant) -> SignIns {
        let sign_ins = SignIns::new();
        for _ in 0..5 {
            sign_ins.failed(account, ip(address), now).unwrap();
        }
        sign_ins
    }

    #[test]
    fn waits_double_from_the_fifth_failure_to_300_seconds() {
        let sign_ins = SignIns::new();
        let mut now = Instant::now();
        for _ in 0..5 {
            assert_eq!(sign_ins.check("ann", ip(HOME), now), Ok(()));
            sign_ins.failed("ann", ip(HOME), now).unwrap();
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            let wait = second(seconds);
            assert_eq!(sign_ins.check("ann", ip(HOME), now), Err(RetryAfter(wait)));
            let early = now + wait - Duration::from_millis(1);
            assert_eq!(sign_ins.check("ann", ip(HOME), early), Err(RetryAfter(Duration::from_millis(1))));
            now += wait;
            assert_eq!(sign_ins.check("ann", ip(HOME), now), Ok(()));
            sign_ins.failed("ann", ip(HOME), now).unwrap();
        }
    }

    #[test]
    fn many_failures_wait_no_longer() {
        for in_a_row in [14, 68, 69, 70, 200, u32::MAX] {
            assert_eq!(Failures { in_a_row, last: Instant::now() }.wait(), WAIT_MAX, "{in_a_row}");
        }
    }

    #[test]
    fn an_account_waits_at_every_address_and_an_address_for_every_account() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", HOME, now);
        assert!(sign_ins.check("ann", ip("198.51.100.7"), now).is_err());
        assert!(sign_ins.check("bob", ip(HOME), now).is_err());
        assert_eq!(sign_ins.check("bob", ip("198.51.100.7"), now), Ok(()));
    }

    #[test]
    fn success_clears_the_account_and_not_the_address() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", HOME, now);
        let later = now + second(1);
        sign_ins.succeeded("ann", ip(HOME), later).unwrap();
        sign_ins.failed("ann", ip(HOME), later).unwrap();
        assert_eq!(sign_ins.check("ann", ip("198.51.100.7"), later), Ok(()), "the account begins again");
        assert_eq!(sign_ins.check("bob", ip(HOME), later), Err(RetryAfter(second(2))), "the address goes on");
    }

    #[test]
    fn parallel_tries_tell_nothing_after_the_fifth_failure() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", HOME, now);
        // These were let through before.
        let wait = Err(RetryAfter(second(1)));
        assert_eq!(sign_ins.failed("ann", ip(HOME), now), wait);
        assert_eq!(sign_ins.succeeded("ann", ip(HOME), now), wait);
        assert_eq!(sign_ins.check("ann", ip(HOME), now), wait, "neither lengthens nor ends the wait");
    }

    #[test]
    fn failures_are_forgotten_after_an_hour() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", HOME, now);
        let later = now + FORGOTTEN_AFTER;
        sign_ins.failed("ann", ip(HOME), later).unwrap();
        assert_eq!(sign_ins.check("ann", ip(HOME), later), Ok(()));
    }

    #[test]
    fn accounts_are_the_same_in_any_case() {
        let now = Instant::now();
        for (one, other) in [("ann@example.com", "ANN@Example.com"), ("straße", "STRASSE"), ("ΟΔΟΣ", "οδος")]
        {
            let sign_ins = failed_five_times(one, HOME, now);
            assert!(sign_ins.check(other, ip("198.51.100.7"), now).is_err(), "{one} {other}");
        }
    }

    #[test]
    fn ipv6_addresses_count_by_64_bits() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", "2001:db8:0:1::1", now);
        assert!(sign_ins.check("bob", ip("2001:db8:0:1:ffff::2"), now).is_err());
        assert_eq!(sign_ins.check("bob", ip("2001:db8:0:2::1"), now), Ok(()));
        let sign_ins = failed_five_times("ann", "::ffff:203.0.113.1", now);
        assert!(sign_ins.check("bob", ip(HOME), now).is_err());
        assert_eq!(sign_ins.check("bob", ip("::ffff:203.0.113.2"), now), Ok(()));
    }

    #[test]
    fn sign_ins_are_bounded_and_the_oldest_leave() {
        let now = Instant::now();
        let sign_ins = failed_five_times("ann", HOME, now);
        for n in 0..20_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            sign_ins.failed(&format!("user{n}"), address.into(), now).unwrap();
        }
        assert_eq!(sign_ins.entries(), ENTRIES_MAX);
        assert_eq!(sign_ins.check("ann", ip(HOME), now), Ok(()));
        assert_eq!(format!("{sign_ins:?}"), "SignIns { entries: 10000 }");
    }

    #[test]
    fn seconds_are_never_too_few() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (300_000, 300)] {
            assert_eq!(RetryAfter(Duration::from_millis(millis)).seconds(), seconds, "{millis}");
        }
        assert_eq!(RetryAfter(second(2)).to_string(), "too many attempts: try again in 2 s");
    }

    fn limit(per_second: u32, burst: u32) -> RateLimit {
        RateLimit::new(per_second.try_into().unwrap(), burst.try_into().unwrap())
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (limit, now) = (limit(10, 3), Instant::now());
        for _ in 0..3 {
            assert_eq!(limit.take("key", now), Ok(()));
        }
        assert_eq!(limit.take("key", now), Err(RetryAfter(Duration::from_millis(100))));
        let later = now + Duration::from_millis(60);
        assert_eq!(limit.take("key", later), Err(RetryAfter(Duration::from_millis(40))));
        let later = now + Duration::from_millis(100);
        assert_eq!(limit.take("key", later), Ok(()));
        assert!(limit.take("key", later).is_err());
        assert_eq!(limit.take("other", later), Ok(()), "each key has its own bucket");
    }

    #[test]
    fn a_bucket_holds_no_more_than_its_burst() {
        let (limit, now) = (limit(10, 3), Instant::now());
        limit.take("key", now).unwrap();
        let later = now + second(3600);
        let taken = (0..10).filter(|_| limit.take("key", later).is_ok()).count();
        assert_eq!(taken, 3);
        // A time before the last one is no error.
        assert_eq!(limit.take("key", now), Err(RetryAfter(second(3600) + Duration::from_millis(100))));
    }

    #[test]
    fn buckets_are_bounded() {
        let (limit, now) = (limit(1, 1), Instant::now());
        for n in 0..10_001 {
            limit.take(&n.to_string(), now).unwrap();
        }
        assert_eq!(limit.entries(), ENTRIES_MAX);
        assert_eq!(limit.take("0", now), Ok(()), "the oldest left");
        assert!(limit.take("10000", now).is_err());
    }
}
