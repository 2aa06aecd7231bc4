//! How long a job and its collections were worked on, by all attempts together. The time between attempts is none of it,
//! and the clock of the machine may be set meanwhile: only stretches of a clock that never jumps are added up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vecferry_store::{Attempt, CollectionRecord, Error, JobRecord, Position, Store, WorkedOn};

/// How much is forgotten at most of an attempt whose process dies.
pub(super) const RECORD_INTERVAL: Duration = Duration::from_secs(5);

/// A clock that goes on from where an earlier attempt left it.
#[derive(Clone, Copy, Debug, Default)]
struct Stopwatch {
    stopped_at: Duration,
    running: Option<Instant>,
}

impl Stopwatch {
    fn read(&self) -> Duration {
        self.stopped_at + self.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn start(&mut self) {
        self.stop();
        self.running = Some(Instant::now());
    }

    fn stop(&mut self) {
        *self = Self { stopped_at: self.read(), running: None };
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct OfCollection {
    worked: Stopwatch,
    copying: Stopwatch,
}

/// The times of one job.
#[derive(Debug)]
pub(super) struct Times {
    job: Stopwatch,
    collections: Mutex<BTreeMap<Position, OfCollection>>,
    recorded: Mutex<Instant>,
}

impl Times {
    /// Begins an attempt.
    pub(super) fn begin(record: &JobRecord) -> Self {
        let mut job = Stopwatch { stopped_at: record.worked, running: None };
        job.start();
        Self { job, collections: Mutex::default(), recorded: Mutex::new(Instant::now()) }
    }

    /// All attempts together, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.job.read().as_secs_f64()
    }

    fn of<Answer>(&self, position: Position, change: impl FnOnce(&mut OfCollection) -> Answer) -> Answer {
        let mut collections = self.collections.lock().unwrap_or_else(PoisonError::into_inner);
        change(collections.entry(position).or_default())
    }

    /// Begins a collection, or goes on with it.
    pub(super) fn begin_collection(&self, position: Position, record: &CollectionRecord) {
        let at = |stopped_at| Stopwatch { stopped_at, running: None };
        self.of(position, |times| {
            *times = OfCollection { worked: at(record.worked), copying: at(record.copied_for) };
            times.worked.start();
        });
    }

    /// Goes on with a collection of this attempt.
    pub(super) fn go_on_with_collection(&self, position: Position) {
        self.of(position, |times| times.worked.start());
    }

    /// The collection is not worked on any more. Returns the seconds of all attempts.
    pub(super) fn end_collection(&self, position: Position) -> f64 {
        self.of(position, |times| {
            times.worked.stop();
            times.worked.read().as_secs_f64()
        })
    }

    /// Rows of the collection are being copied from now on.
    pub(super) fn begin_copy(&self, position: Position) {
        self.of(position, |times| times.copying.start());
    }

    /// None are. Returns the seconds of all attempts.
    pub(super) fn end_copy(&self, position: Position) -> f64 {
        self.of(position, |times| {
            times.copying.stop();
            times.copying.read().as_secs_f64()
        })
    }

    /// Records all of them, if that was long ago.
    pub(super) async fn record_now_and_then(&self, store: &dyn Store, attempt: &Attempt) {
        let is_due = {
            let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = recorded.elapsed() >= RECORD_INTERVAL;
            if is_due {
                *recorded = Instant::now();
            }
            is_due
        };
        if is_due && let Err(error) = self.record(store, attempt).await {
            // A store that can't be written ends the job where that matters.
            tracing::debug!(%error, "times were not recorded");
        }
    }

    /// Records all of them.
    pub(super) async fn record(&self, store: &dyn Store, attempt: &Attempt) -> Result<(), Error> {
        let collections: Vec<_> = {
            let collections = self.collections.lock().unwrap_or_else(PoisonError::into_inner);
            let one = |(position, times): (&Position, &OfCollection)| WorkedOn {
                position: *position,
                worked: times.worked.read(),
                copied_for: times.copying.read(),
            };
            collections.iter().map(one).collect()
        };
        store.record_worked(attempt, self.job.read(), collections).await
    }
}
