//! What the copy waits for, in plain counters.
//!
//! Summed up over everything that waits at once: the sum of a second of six inserts is six seconds. Only the proportions
//! matter. Waits that are still going on count too, so that a long one is seen while it lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::Bottleneck;

/// Less than this over the last seconds is no reason for anything.
const NOTABLE_MIN: Duration = Duration::from_millis(50);

/// One kind of wait.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    ended: Duration,
    /// Waits that go on, and the sum of the moments at which they began.
    under_way: u32,
    begun: Duration,
}

impl Counter {
    fn begin(&mut self, now: Duration) {
        self.under_way += 1;
        self.begun += now;
    }

    /// Takes back what [`Counter::begin`] counted.
    fn end(&mut self, begun: Duration) {
        self.under_way = self.under_way.saturating_sub(1);
        self.begun = self.begun.saturating_sub(begun);
    }

    fn total(&self, now: Duration) -> Duration {
        self.ended + (now * self.under_way).saturating_sub(self.begun)
    }
}

/// The counters of a job.
#[derive(Debug)]
pub(crate) struct Account {
    zero: Instant,
    counters: Mutex<[Counter; Bottleneck::ALL.len()]>,
}

/// A wait that goes on; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    account: &'a Account,
    on: Bottleneck,
    /// What it is counted as in the end.
    ends_as: Bottleneck,
    begun: Duration,
}

impl Account {
    pub(super) fn new() -> Self {
        Self { zero: Instant::now(), counters: Mutex::default() }
    }

    fn change<Answer>(&self, change: impl FnOnce(&mut [Counter; Bottleneck::ALL.len()]) -> Answer) -> Answer {
        // Numbers are whole after every step, also after a panic of somebody else.
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to wait.
    pub(crate) fn begin(&self, on: Bottleneck) -> Waiting<'_> {
        let begun = self.zero.elapsed();
        self.change(|counters| counters[on as usize].begin(begun));
        Waiting { account: self, on, ends_as: on, begun }
    }

    /// All waits up to now, without those for the store, which keeps its own account.
    pub(crate) fn waits(&self) -> Waits {
        let now = self.zero.elapsed();
        Waits(self.change(|counters| counters.map(|counter| counter.total(now))))
    }
}

impl Waiting<'_> {
    /// It turned out to be a wait for something else.
    pub(crate) fn end_as(mut self, on: Bottleneck) {
        self.ends_as = on;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.account.zero.elapsed();
        crate::metrics::waited(self.ends_as, now.saturating_sub(self.begun));
        self.account.change(|counters| {
            counters[self.on as usize].end(self.begun);
            counters[self.ends_as as usize].ended += now.saturating_sub(self.begun);
        });
    }
}

/// Times waited, by what was waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits([Duration; Bottleneck::ALL.len()]);

impl Waits {
    #[must_use]
    pub(crate) fn with_ledger(mut self, waited: Duration) -> Self {
        self.0[Bottleneck::Ledger as usize] = waited;
        self
    }

    pub(crate) fn of(&self, on: Bottleneck) -> Duration {
        self.0[on as usize]
    }

    /// What was waited since an earlier look.
    #[must_use]
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut waits = *self;
        for (wait, earlier) in waits.0.iter_mut().zip(earlier.0) {
            // A wait that was counted as another one than it turned out to be makes a sum smaller.
            *wait = wait.saturating_sub(earlier);
        }
        waits
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// What was waited for most; nothing while nothing is copied, when only the store is looked at.
    pub(crate) fn bottleneck(&self) -> Option<Bottleneck> {
        let of_servers = self.total().saturating_sub(self.of(Bottleneck::Ledger));
        if of_servers < NOTABLE_MIN {
            return None;
        }
        Bottleneck::ALL.into_iter().max_by_key(|on| self.of(*on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_while_it_lasts_and_the_same_afterwards() {
        let second = Duration::from_secs;
        let mut counter = Counter::default();
        counter.begin(second(10));
        counter.begin(second(12));
        assert_eq!(counter.total(second(15)), second(8));
        counter.end(second(10));
        counter.ended += second(20 - 10);
        assert_eq!(counter.total(second(20)), second(18));
        counter.end(second(12));
        counter.ended += second(20 - 12);
        assert_eq!(counter.total(second(99)), second(18));
    }

    #[test]
    fn a_wait_is_counted_as_what_it_was() {
        let account = Account::new();
        let wait = account.begin(Bottleneck::Target);
        while account.waits().of(Bottleneck::Target).is_zero() {
            std::hint::spin_loop();
        }
        wait.end_as(Bottleneck::TargetLimit);
        let waits = account.waits();
        assert!(waits.of(Bottleneck::Target).is_zero() && !waits.of(Bottleneck::TargetLimit).is_zero());
    }

    #[test]
    fn the_longest_wait_is_the_bottleneck_unless_nothing_is_copied() {
        let mut waits = Waits::default().with_ledger(Duration::from_secs(3));
        assert_eq!(waits.bottleneck(), None);
        waits.0[Bottleneck::Source as usize] = Duration::from_secs(1);
        assert_eq!(waits.bottleneck(), Some(Bottleneck::Ledger));
        waits.0[Bottleneck::MaxRate as usize] = Duration::from_secs(4);
        assert_eq!(waits.bottleneck(), Some(Bottleneck::MaxRate));
        let later = Waits(waits.0.map(|wait| wait + Duration::from_secs(1)));
        assert_eq!(later.since(&waits).total(), Duration::from_secs(6));
    }
}
