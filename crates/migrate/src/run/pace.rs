//! What a running job waits for: told while it runs, recorded for others to see, and summed up at its end.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vecferry_store::{Store, Usage};

use super::Job;
use crate::copy::Waits;
use crate::event::{Bottleneck, Event};
use crate::rate::MaxRate;
use crate::report::{PaceReport, WaitReport};

/// The last seconds, in looks of half a second.
const LOOKS_MAX: usize = 10;
/// How often it is recorded at most.
const RECORD_INTERVAL: Duration = Duration::from_secs(3);

/// The looks of an attempt at what it waits for.
pub(super) struct Looked {
    /// The store's own account at the beginning.
    ledger_before: Usage,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    waits: VecDeque<Waits>,
    recorded: Option<Bottleneck>,
    recorded_at: Option<Instant>,
}

impl Recent {
    /// A look; what was waited for most over the last seconds.
    fn add(&mut self, waits: Waits) -> Option<Bottleneck> {
        if self.waits.is_empty() {
            self.waits.push_back(Waits::default());
        }
        self.waits.push_back(waits);
        while self.waits.len() > LOOKS_MAX + 1 {
            self.waits.pop_front();
        }
        let earliest = self.waits.front().copied().unwrap_or_default();
        waits.since(&earliest).bottleneck()
    }

    /// Whether it is worth a write, which is noted then.
    fn is_news(&mut self, bottleneck: Option<Bottleneck>, now: Instant) -> bool {
        let is_too_soon = self.recorded_at.is_some_and(|at| now.duration_since(at) < RECORD_INTERVAL);
        if bottleneck == self.recorded || is_too_soon {
            return false;
        }
        (self.recorded, self.recorded_at) = (bottleneck, Some(now));
        true
    }
}

impl Looked {
    pub(super) fn new(store: &dyn Store) -> Self {
        Self { ledger_before: store.usage(), recent: Mutex::default() }
    }

    fn waits(&self, job: &Job) -> Waits {
        let waited = job.store.usage().waited.saturating_sub(self.ledger_before.waited);
        job.pace.account().waits().with_ledger(waited)
    }

    /// Looks, tells, and records what is new.
    pub(super) async fn look(&self, job: &Job) {
        let waits = self.waits(job);
        let (bound_by, is_news) = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let bound_by = recent.add(waits);
            (bound_by, recent.is_news(bound_by, Instant::now()))
        };
        job.observer.on_event(Event::Pace { bound_by, inserts_at_once: job.pace.inserts().0 });
        if is_news {
            let name = bound_by.map(|bottleneck| bottleneck.name().to_owned());
            if let Err(error) = job.store.record_bottleneck(&job.attempt, name).await {
                // A store that can't be written ends the job elsewhere.
                tracing::debug!(%error, "what the job waits for was not recorded");
            }
        }
    }

    /// What the whole attempt waited for.
    pub(super) fn report(&self, job: &Job) -> PaceReport {
        let (before, now) = (self.ledger_before, job.store.usage());
        PaceReport {
            waits: shares(&self.waits(job)),
            pages: job.pace.pages(),
            ledger_commits: now.commits.saturating_sub(before.commits),
            ledger_busy_seconds: now.busy.saturating_sub(before.busy).as_secs_f64(),
            inserts_at_once_min: job.pace.inserts().1,
            max_rate: MaxRate::stored(job.pace.max_rate()),
        }
    }
}

fn shares(waits: &Waits) -> Vec<WaitReport> {
    let total = waits.total().as_secs_f64();
    let of = |on| {
        let seconds = waits.of(on).as_secs_f64();
        (seconds > 0.0).then(|| WaitReport { on, seconds, share: seconds / total })
    };
    let mut shares: Vec<_> = Bottleneck::ALL.into_iter().filter_map(of).collect();
    shares.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(seconds: u64) -> Waits {
        Waits::default().with_ledger(Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_last_looks_count() {
        let mut recent = Recent::default();
        for second in 1..=40 {
            recent.add(store(second));
            assert!(recent.waits.len() <= LOOKS_MAX + 1);
        }
        let oldest = recent.waits.front().copied().unwrap();
        assert_eq!(store(40).since(&oldest), store(10));
    }

    #[test]
    fn a_change_is_recorded_and_not_too_often() {
        let mut recent = Recent::default();
        let start = Instant::now();
        assert!(!recent.is_news(None, start));
        assert!(recent.is_news(Some(Bottleneck::Target), start));
        assert!(!recent.is_news(Some(Bottleneck::Target), start + RECORD_INTERVAL));
        assert!(!recent.is_news(Some(Bottleneck::Source), start + RECORD_INTERVAL / 2));
        assert!(recent.is_news(Some(Bottleneck::Source), start + RECORD_INTERVAL));
        assert!(recent.is_news(None, start + RECORD_INTERVAL * 2));
    }

    #[test]
    fn shares_are_parts_of_the_whole() {
        assert_eq!(shares(&Waits::default()), []);
        let only = shares(&store(3));
        assert_eq!(only, [WaitReport { on: Bottleneck::Ledger, seconds: 3.0, share: 1.0 }]);
    }
}
