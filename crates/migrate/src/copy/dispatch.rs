//! Who runs which slice of which split when.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use vecferry_store::{JobId, Position, SplitId};

use super::error::SliceError;

/// How often it is looked whether somebody else is done with a split.
const TAKEN_INTERVAL: Duration = Duration::from_millis(500);

/// How a slice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Its time is up; the split goes on with another slice. Splits that were divided off it are to be run as well.
    More {
        /// The new splits.
        divided: Vec<SplitId>,
    },
    /// The split is complete.
    Done,
    /// Another worker has the split.
    Taken,
    /// The job is being ended.
    Canceled,
}

/// Runs one slice of a split. Whoever calls it keeps nothing: a slice begins by reading the store, so that any process
/// may run the next one.
#[async_trait]
pub trait SliceRunner: Send + Sync {
    /// Copies a split until it is complete or the time is up.
    async fn run_slice(&self, split_id: SplitId, time: Duration) -> Result<Slice, SliceError>;
}

/// Splits of a collection that are to be copied.
#[derive(Clone, Debug)]
pub struct SplitsToCopy {
    /// The job.
    pub job_id: JobId,
    /// The collection.
    pub collection: Position,
    /// The splits that are not complete.
    pub splits: Vec<SplitId>,
    /// That the job is being ended.
    pub cancel: CancellationToken,
}

/// Brings all splits to their end, by whatever means: in this process, or by workers on many machines.
#[async_trait]
pub trait Dispatcher: fmt::Debug + Send + Sync {
    /// Has slices run until all splits are complete, those that are divided off meanwhile too. After a failure or a
    /// cancellation no new slice is begun, and the first failure is the result when those under way have ended. `runner`
    /// runs slices in this process.
    async fn dispatch(&self, work: SplitsToCopy, runner: &dyn SliceRunner) -> Result<Slice, SliceError>;
}

/// Everything in this process, some splits at once.
#[derive(Clone, Copy, Debug)]
pub struct InProcess {
    /// Splits of a collection that are copied at once.
    pub parallel: usize,
    /// Time of a slice.
    pub slice: Duration,
}

#[async_trait]
impl Dispatcher for InProcess {
    async fn dispatch(&self, work: SplitsToCopy, runner: &dyn SliceRunner) -> Result<Slice, SliceError> {
        let mut waiting = VecDeque::from(work.splits);
        let mut running = FuturesUnordered::new();
        let mut outcome = Ok(Slice::Done);
        loop {
            let goes_on = matches!(outcome, Ok(Slice::Done));
            while goes_on && running.len() < self.parallel.max(1) {
                let Some(split_id) = waiting.pop_front() else { break };
                running.push(async move { (split_id, run(runner, split_id, self.slice).await) });
            }
            let Some((split_id, ended)) = running.next().await else { return outcome };
            match ended {
                Ok(Slice::More { divided }) => {
                    waiting.push_front(split_id);
                    waiting.extend(divided);
                }
                Ok(Slice::Taken) => waiting.push_back(split_id),
                Ok(Slice::Done) => {}
                Ok(Slice::Canceled) if goes_on => outcome = Ok(Slice::Canceled),
                Ok(Slice::Canceled) => {}
                // The first failure is the cause of what follows; a cancellation may be its consequence.
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(_) => {}
            }
        }
    }
}

/// One that somebody else has is looked at again, until it is complete or its claim is over.
async fn run(runner: &dyn SliceRunner, split_id: SplitId, time: Duration) -> Result<Slice, SliceError> {
    let ended = runner.run_slice(split_id, time).await;
    if matches!(ended, Ok(Slice::Taken)) {
        tokio::time::sleep(TAKEN_INTERVAL).await;
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::copy::error::SliceFailure;

    /// Splits that need some slices each; one may fail, and one divides a new one off.
    struct Scripted {
        slices_left: Mutex<BTreeMap<SplitId, u32>>,
        fails: Option<SplitId>,
        divides: Mutex<Option<SplitId>>,
        running: AtomicUsize,
        running_max: AtomicUsize,
    }

    #[async_trait]
    impl SliceRunner for Scripted {
        async fn run_slice(&self, split_id: SplitId, _: Duration) -> Result<Slice, SliceError> {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.running_max.fetch_max(running, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::Relaxed);
            if self.fails == Some(split_id) {
                return Err(SliceError::Permanent(SliceFailure::told("no")));
            }
            let mut left = self.slices_left.lock().unwrap();
            let slices = left.get_mut(&split_id).unwrap();
            *slices -= 1;
            if *slices == 0 {
                return Ok(Slice::Done);
            }
            let divided: Vec<_> = self.divides.lock().unwrap().take().into_iter().collect();
            left.extend(divided.iter().map(|new| (*new, 2)));
            Ok(Slice::More { divided })
        }
    }

    fn scripted(fails: Option<SplitId>) -> Scripted {
        Scripted {
            slices_left: Mutex::new((1..=9).map(|split_id| (SplitId(split_id), 3)).collect()),
            fails,
            divides: Mutex::new(Some(SplitId(10))),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
        }
    }

    const DISPATCHER: InProcess = InProcess { parallel: 4, slice: Duration::from_secs(1) };

    fn nine() -> SplitsToCopy {
        SplitsToCopy {
            job_id: "j".into(),
            collection: Position(0),
            splits: (1..=9).map(SplitId).collect(),
            cancel: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn every_split_is_run_to_its_end_also_those_divided_off() {
        let splits = scripted(None);
        assert_eq!(DISPATCHER.dispatch(nine(), &splits).await.unwrap(), Slice::Done);
        let left = splits.slices_left.lock().unwrap();
        assert!(left.values().all(|left| *left == 0) && left.len() == 10);
        assert_eq!(splits.running_max.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn after_a_failure_what_runs_is_waited_for_and_nothing_begins() {
        let splits = scripted(Some(SplitId(2)));
        let error = DISPATCHER.dispatch(nine(), &splits).await.unwrap_err();
        assert!(matches!(&error, SliceError::Permanent(_)) && error.to_string() == "no", "{error:?}");
        assert_eq!(splits.running.load(Ordering::Relaxed), 0);
        assert_eq!(splits.slices_left.lock().unwrap()[&SplitId(9)], 3);
    }
}
