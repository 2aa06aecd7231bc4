//! How long callers waited for a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Name of the metric that counts committed transactions.
pub const COMMITS: &str = "vecferry_store_commits_total";

/// How much a store was used by this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time that callers waited, summed up over all callers.
    pub waited: Duration,
    /// Time during which at least one caller waited.
    pub busy: Duration,
    /// Transactions that were committed.
    pub commits: u64,
}

/// A moment of a commit.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Before,
    After,
}

static AT_COMMITS: OnceLock<fn(Commit)> = OnceLock::new();

/// Calls a function before and after each commit of this process, once and for all: for tests that end the process there.
#[doc(hidden)]
pub fn at_commits(call: fn(Commit)) {
    AT_COMMITS.get_or_init(|| call);
}

fn tell(commit: Commit) {
    if let Some(call) = AT_COMMITS.get() {
        call(commit);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    waited_ns: AtomicU64,
    commits: AtomicU64,
    busy: Mutex<Busy>,
}

/// Callers that wait now, and how long there has been one.
#[derive(Debug, Default)]
struct Busy {
    callers: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Busy {
    fn begin(&mut self) {
        self.callers += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        self.callers = self.callers.saturating_sub(1);
        if self.callers == 0 {
            self.total += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        }
    }

    fn total(&self) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// A caller that waits for the store, also one that stops waiting because it is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    meter: &'a Meter,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.busy().end();
        let waited = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter.waited_ns.fetch_add(waited, Ordering::Relaxed);
    }
}

impl Meter {
    /// Counts a caller's wait.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.busy().begin();
        Waiting { meter: self, since: Instant::now() }
    }

    /// Is told before a transaction is committed.
    pub(crate) fn committing() {
        tell(Commit::Before);
    }

    /// Counts a transaction that is committed.
    pub(crate) fn committed(&self) {
        tell(Commit::After);
        self.commits.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(COMMITS).increment(1);
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            waited: Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed)),
            busy: self.busy().total(),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_busy_from_the_first_caller_to_the_last_and_counts_once() {
        let meter = Meter::default();
        assert_eq!(meter.usage().busy, Duration::ZERO);
        let callers_and_since = || {
            let busy = meter.busy();
            (busy.callers, busy.since)
        };
        let (one, other) = (meter.waiting(), meter.waiting());
        let (_, since) = callers_and_since();
        drop(one);
        assert_eq!(callers_and_since(), (1, since), "the other still waits");
        drop(other);
        assert_eq!(callers_and_since(), (0, None));
        let total = meter.usage().busy;
        assert!(total > Duration::ZERO && total <= since.unwrap().elapsed());
        assert_eq!(meter.usage().busy, total, "nobody waits any more");
    }
}
