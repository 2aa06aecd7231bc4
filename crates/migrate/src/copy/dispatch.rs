//! Who runs which slice of which split when.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use vecferry_store::SplitId;

/// How a slice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slice {
    /// Its time is up; the split goes on with another slice. Splits that were divided off it are to be run as well.
    More {
        /// Numbers of the new splits.
        divided: Vec<SplitId>,
    },
    /// The split is complete.
    Done,
    /// The job is being ended.
    Canceled,
}

/// Runs one slice of a split. Whoever calls it keeps nothing: a slice begins by reading the store, so that any process
/// may run the next one.
pub(crate) trait SliceRunner {
    /// Why a slice failed.
    type Error;

    /// Copies a split until it is complete or the time is up.
    async fn run_slice(&self, split_id: SplitId, time: Duration) -> Result<Slice, Self::Error>;
}

/// Brings all splits to their end, by whatever means: in this process, or as workers of a distributed engine.
pub(crate) trait Dispatcher {
    /// Runs slices until all splits are complete. After a failure or a cancellation no new slice is begun, and the first
    /// failure is the result when those under way have ended.
    async fn dispatch<Runner: SliceRunner>(
        &self,
        splits: Vec<SplitId>,
        runner: &Runner,
    ) -> Result<Slice, Runner::Error>;
}

/// Everything in this process, some splits at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InProcess {
    /// Splits that are copied at once.
    pub(crate) parallel: usize,
    /// Time of a slice.
    pub(crate) slice: Duration,
}

impl Dispatcher for InProcess {
    async fn dispatch<Runner: SliceRunner>(
        &self,
        splits: Vec<SplitId>,
        runner: &Runner,
    ) -> Result<Slice, Runner::Error> {
        let mut waiting = VecDeque::from(splits);
        let mut running = FuturesUnordered::new();
        let mut outcome = Ok(Slice::Done);
        loop {
            let goes_on = matches!(outcome, Ok(Slice::Done));
            while goes_on && running.len() < self.parallel.max(1) {
                let Some(split_id) = waiting.pop_front() else { break };
                running.push(async move { (split_id, runner.run_slice(split_id, self.slice).await) });
            }
            let Some((split_id, ended)) = running.next().await else { return outcome };
            match ended {
                Ok(Slice::More { divided }) => {
                    waiting.push_front(split_id);
                    waiting.extend(divided);
                }
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    /// Splits that need some slices each; one may fail, and one divides a new one off.
    struct Scripted {
        slices_left: RefCell<BTreeMap<SplitId, u32>>,
        fails: Option<SplitId>,
        divides: Cell<Option<SplitId>>,
        running: Cell<usize>,
        running_max: Cell<usize>,
    }

    impl SliceRunner for Scripted {
        type Error = SplitId;

        async fn run_slice(&self, split_id: SplitId, _: Duration) -> Result<Slice, SplitId> {
            self.running.set(self.running.get() + 1);
            self.running_max.set(self.running_max.get().max(self.running.get()));
            tokio::task::yield_now().await;
            self.running.set(self.running.get() - 1);
            if self.fails == Some(split_id) {
                return Err(split_id);
            }
            let mut left = self.slices_left.borrow_mut();
            let slices = left.get_mut(&split_id).unwrap();
            *slices -= 1;
            if *slices == 0 {
                return Ok(Slice::Done);
            }
            let divided: Vec<_> = self.divides.take().into_iter().collect();
            left.extend(divided.iter().map(|new| (*new, 2)));
            Ok(Slice::More { divided })
        }
    }

    fn scripted(fails: Option<SplitId>) -> Scripted {
        Scripted {
            slices_left: RefCell::new((1..=9).map(|split_id| (SplitId(split_id), 3)).collect()),
            fails,
            divides: Cell::new(Some(SplitId(10))),
            running: Cell::new(0),
            running_max: Cell::new(0),
        }
    }

    const DISPATCHER: InProcess = InProcess { parallel: 4, slice: Duration::from_secs(1) };

    #[tokio::test]
    async fn every_split_is_run_to_its_end_also_those_divided_off() {
        let splits = scripted(None);
        assert_eq!(DISPATCHER.dispatch((1..=9).map(SplitId).collect(), &splits).await, Ok(Slice::Done));
        assert!(splits.slices_left.borrow().values().all(|left| *left == 0));
        assert_eq!(splits.slices_left.borrow().len(), 10);
        assert_eq!(splits.running_max.get(), 4);
    }

    #[tokio::test]
    async fn after_a_failure_what_runs_is_waited_for_and_nothing_begins() {
        let splits = scripted(Some(SplitId(2)));
        assert_eq!(DISPATCHER.dispatch((1..=9).map(SplitId).collect(), &splits).await, Err(SplitId(2)));
        assert_eq!(splits.running.get(), 0);
        assert_eq!(splits.slices_left.borrow()[&SplitId(9)], 3);
    }
}
