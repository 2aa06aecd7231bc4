//! One bound for the bytes in flight of all jobs of a process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Bytes that are counted as one.
const UNIT_BYTES: usize = 4096;
/// What is kept beside the pages of all jobs is a small part of them.
const KEPT_SHARE: usize = 4;

/// Memory that pages of all jobs may occupy between their reading and their acknowledgement.
#[derive(Debug)]
pub(crate) struct Pool {
    units: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Units of what is kept beside the pages.
    kept: usize,
    /// Units of what was read and waits for its turn.
    waiting: usize,
    /// Jobs that share it.
    jobs: usize,
}

impl Pool {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        let units = (bytes_max / UNIT_BYTES).max(1);
        Arc::new(Self {
            units,
            state: Mutex::new(State { free: units, kept: 0, waiting: 0, jobs: 0 }),
            freed: Notify::new(),
        })
    }

    /// The part of a job: all of it while there is no other. A job whose target does not take its pages keeps no other job
    /// from going on.
    pub(crate) fn budget(self: &Arc<Self>) -> Budget {
        self.state().jobs += 1;
        let of_job = OfJob { pool: Arc::clone(self), held: Mutex::new(0), turn: tokio::sync::Mutex::new(()) };
        Budget { of_job: Arc::new(of_job) }
    }

    /// Bytes of pages, and of what was read and waits.
    #[cfg(test)]
    pub(crate) fn used(&self) -> (usize, usize) {
        let state = self.state();
        ((self.units - state.free) * UNIT_BYTES, state.waiting * UNIT_BYTES)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every step, also after a panic of somebody else.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one job may occupy of a [`Pool`].
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    of_job: Arc<OfJob>,
}

#[derive(Debug)]
struct OfJob {
    pool: Arc<Pool>,
    held: Mutex<usize>,
    /// Readers get their shares in the order in which they came.
    turn: tokio::sync::Mutex<()>,
}

impl Drop for OfJob {
    fn drop(&mut self) {
        self.pool.state().jobs -= 1;
        self.pool.freed.notify_waiters();
    }
}

impl OfJob {
    fn held(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units if they are free, and if they are no more than a fair part or the first ones of the job.
    fn try_take(&self, units: usize) -> bool {
        let (mut held, mut state) = (self.held(), self.pool.state());
        let is_fair = *held == 0 || *held + units <= self.pool.units / state.jobs.max(1);
        let takes = is_fair && units <= state.free;
        if takes {
            state.free -= units;
            *held += units;
        }
        takes
    }

    fn give_back(&self, units: usize) {
        {
            let (mut held, mut state) = (self.held(), self.pool.state());
            *held -= units;
            state.free += units;
        }
        self.pool.freed.notify_waiters();
    }
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of_job: Arc<OfJob>,
    units: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of_job.give_back(self.units);
    }
}

/// Memory of what is kept beside the pages; given back when dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    of_job: Arc<OfJob>,
    units: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of_job.pool.state().kept -= self.units;
    }
}

/// Memory of what was read and waits for its turn; given back when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    of_job: Arc<OfJob>,
    units: usize,
}

impl Waiting {
    /// Counts what it really is, also if that is more than there is memory for.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let mut state = self.of_job.pool.state();
        let units = bytes.div_ceil(UNIT_BYTES);
        state.waiting = state.waiting - self.units + units;
        self.units = units;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of_job.pool.state().waiting -= self.units;
    }
}

impl Budget {
    /// Memory beside that of pages, for what is read before it can be used: so much is there at once, or nothing.
    pub(crate) fn wait_with(&self, bytes: usize) -> Option<Waiting> {
        let (pool, units) = (&self.of_job.pool, bytes.div_ceil(UNIT_BYTES));
        let mut state = pool.state();
        if state.waiting + units > pool.units / KEPT_SHARE {
            return None;
        }
        state.waiting += units;
        Some(Waiting { of_job: Arc::clone(&self.of_job), units })
    }

    /// Bytes of which a job is sure while all others go on, too. Whoever asks for more at once may wait until the job has
    /// nothing else, and lets nobody of it pass meanwhile.
    pub(crate) fn fair_bytes(&self) -> usize {
        let pool = &self.of_job.pool;
        let jobs = pool.state().jobs.max(1);
        (pool.units / jobs).max(1) * UNIT_BYTES
    }

    /// Memory beside that of pages, for what may be given up: so much is there at once, or nothing. Whoever has some waits
    /// for pages without keeping others from theirs.
    pub(crate) fn keep(&self, bytes: usize) -> Option<Kept> {
        let (pool, units) = (&self.of_job.pool, bytes.div_ceil(UNIT_BYTES));
        let mut state = pool.state();
        if state.kept + units > pool.units / KEPT_SHARE {
            return None;
        }
        state.kept += units;
        Some(Kept { of_job: Arc::clone(&self.of_job), units })
    }

    fn units(&self, bytes: usize) -> usize {
        bytes.div_ceil(UNIT_BYTES).clamp(1, self.of_job.pool.units)
    }

    /// Waits until so many bytes are free. More than the whole budget is given when nothing else is in flight.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let units = self.units(bytes);
        let _turn = self.of_job.turn.lock().await;
        loop {
            let mut freed = std::pin::pin!(self.of_job.pool.freed.notified());
            // What is freed between the look and the wait counts.
            freed.as_mut().enable();
            if self.of_job.try_take(units) {
                return Share { of_job: Arc::clone(&self.of_job), units };
            }
            freed.await;
        }
    }
}

impl Share {
    /// Makes the share as large as the page that came, without waiting: a reader that waited here while others do the
    /// same would never end. A surplus that is not free now overshoots by less than one page a reader.
    pub(crate) fn resize(&mut self, bytes: usize, budget: &Budget) {
        let want = budget.units(bytes);
        if want < self.units {
            self.of_job.give_back(self.units - want);
            self.units = want;
        } else if want > self.units && self.of_job.try_take(want - self.units) {
            self.units = want;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn free(pool: &Pool) -> usize {
        pool.state().free
    }

    #[test]
    fn what_is_kept_is_a_quarter_at_most_and_keeps_no_page_from_its_share() {
        let pool = Pool::new(40 * UNIT_BYTES);
        let (one, other) = (pool.budget(), pool.budget());
        let kept = one.keep(6 * UNIT_BYTES).unwrap();
        assert!(other.keep(5 * UNIT_BYTES).is_none());
        let rest = other.keep(4 * UNIT_BYTES).unwrap();
        assert!(one.keep(1).is_none());
        assert_eq!(pool.state().free, 40);
        drop((kept, rest));
        assert!(one.keep(10 * UNIT_BYTES).is_some());
    }

    #[test]
    fn what_waits_has_a_quarter_of_its_own_and_counts_as_what_it_is() {
        let pool = Pool::new(40 * UNIT_BYTES);
        let (one, other) = (pool.budget(), pool.budget());
        let _kept = one.keep(10 * UNIT_BYTES).unwrap();
        let mut waiting = one.wait_with(9 * UNIT_BYTES).unwrap();
        assert!(other.wait_with(2 * UNIT_BYTES).is_none());
        waiting.resize(UNIT_BYTES + 1);
        let rest = other.wait_with(8 * UNIT_BYTES).unwrap();
        waiting.resize(20 * UNIT_BYTES);
        assert_eq!(pool.state().waiting, 28);
        drop((waiting, rest));
        // One look at a time.
        assert_eq!(pool.state().waiting, 0);
        assert_eq!(pool.state().free, 40);
    }

    #[tokio::test]
    async fn a_fair_part_is_given_while_other_jobs_hold_theirs() {
        let pool = Pool::new(12 * UNIT_BYTES);
        let (one, other) = (pool.budget(), pool.budget());
        assert_eq!(one.fair_bytes(), 6 * UNIT_BYTES);
        let theirs = other.take(other.fair_bytes()).await;
        assert!(one.take(one.fair_bytes() + 1).now_or_never().is_none());
        assert!(one.take(one.fair_bytes()).now_or_never().is_some());
        drop((theirs, other));
        assert_eq!(one.fair_bytes(), 12 * UNIT_BYTES);
        let many: Vec<_> = (0..20).map(|_| pool.budget()).collect();
        assert_eq!(many[0].fair_bytes(), UNIT_BYTES);
    }

    #[tokio::test]
    async fn shares_never_exceed_the_budget_and_come_back() {
        let pool = Pool::new(10 * UNIT_BYTES);
        let budget = pool.budget();
        let mut first = budget.take(8 * UNIT_BYTES).await;
        assert_eq!(free(&pool), 2);
        first.resize(3 * UNIT_BYTES, &budget);
        assert_eq!(free(&pool), 7);
        first.resize(100 * UNIT_BYTES, &budget);
        assert_eq!(free(&pool), 0);
        drop(first);
        assert_eq!(free(&pool), 10);
        drop(budget.take(usize::MAX).await);
        assert_eq!(free(&pool), 10);
    }

    #[tokio::test]
    async fn a_job_that_stands_still_leaves_the_others_their_part() {
        let pool = Pool::new(12 * UNIT_BYTES);
        let (one, other) = (pool.budget(), pool.budget());
        let held = [one.take(3 * UNIT_BYTES).await, one.take(3 * UNIT_BYTES).await];
        assert!(one.take(UNIT_BYTES).now_or_never().is_none(), "half of it is for the other job");
        let all = [other.take(3 * UNIT_BYTES).await, other.take(3 * UNIT_BYTES).await];
        assert_eq!(free(&pool), 0);
        drop(all);
        drop(other);
        let rest = one.take(6 * UNIT_BYTES).now_or_never();
        assert!(rest.is_some(), "there is no other job any more");
        drop(held);
    }

    #[tokio::test]
    async fn twenty_jobs_share_one_bound_and_all_go_on() {
        let pool = Pool::new(40 * UNIT_BYTES);
        let peak = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let jobs = (0..20).map(|_| {
            let (budget, pool, peak) = (pool.budget(), Arc::clone(&pool), Arc::clone(&peak));
            async move {
                let reader = || async {
                    for _ in 0..50 {
                        let share = budget.take(3 * UNIT_BYTES).await;
                        peak.fetch_max(40 - free(&pool), std::sync::atomic::Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        drop(share);
                    }
                };
                tokio::join!(reader(), reader(), reader());
            }
        });
        futures_util::future::join_all(jobs).await;
        assert_eq!(free(&pool), 40);
        assert!(peak.load(std::sync::atomic::Ordering::Relaxed) <= 40);
    }
}
