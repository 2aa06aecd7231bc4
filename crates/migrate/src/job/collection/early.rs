//! The target is loaded while rows are copied to it, so that they can be compared as soon as the last one is written.
//!
//! A load takes seconds in which a server mostly waits for itself: a 2.3.5 took 6 s behind the copy of 312 MB, and 1.5 s of
//! CPU time. Loaded from its creation on, it was compared 1.5 s after the flush.
//!
//! A comparison with what came in from the log is taken only where it finds no fault, and where the server has as many rows
//! stored. Otherwise the collection is loaded again from what is stored, and that comparison decides.

use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Collection, LoadState};

use super::{Stop, Work};
use crate::cluster::load_state::{free_memory, memory_estimate, stored_rows};
use crate::cluster::retry::{repeat, sleep};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::flat_index;
use crate::plan::Keys;
use crate::problem::Side;
use crate::report::DriftReport;
use crate::request::VerifyLevel;
use crate::verify::{Expected, Outcome};

/// A larger collection would take its memory for the whole of a long copy, of which a load is a small part.
const LOADED_BYTES_MAX: u64 = 2 << 30;
/// A load that began before the copy is over by its end, or is done once more.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(10);
const LOAD_POLL: Duration = Duration::from_millis(100);
/// To take away what was made; a server that is away keeps nobody longer.
const REMOVE_MAX: Duration = Duration::from_secs(20);

/// A target that is loaded since before its first row, and the right to have it so.
pub(super) struct Early<'a> {
    _turn: SemaphorePermit<'a>,
}

impl<'a> Work<'a> {
    /// Loads the target while it is empty, where that is worth it and nobody else does so. Where it can't be, it is loaded
    /// behind the copy.
    pub(super) async fn load_early(&mut self) -> Result<(), Stop> {
        let (job, planned, job_id) = (self.job, self.planned, self.job.attempt.job_id());
        if !self.may_have_flat_indexes() {
            return Ok(());
        }
        if job.attempt.number() > 1 {
            // An earlier attempt may have left it so.
            self.flat = true;
            self.end_early().await;
            return self.stop_if_canceled();
        }
        let is_compared = match job.request.verify {
            VerifyLevel::None => false,
            VerifyLevel::Count => true,
            // Without keys the comparison takes longer than the load.
            VerifyLevel::Sample | VerifyLevel::Full => planned.keys != Keys::Regenerated,
        };
        let needed = memory_estimate(&planned.described, planned.rows_estimate);
        let is_worth_it = is_compared && planned.rows_estimate > 0 && needed <= LOADED_BYTES_MAX;
        // It must not wait for others while it is loaded, nor be copied slowly: rows that a loaded 2.5 takes cost it almost
        // as much again (100,000 x 768: 7.9 s instead of 4.4 s, and a load behind the copy takes 2 s).
        let is_quick = !job.target.version().at_least(2, 4)
            && !planned.needs_load
            && !job.request.wait_index
            && job.dispatcher.is_none()
            && job.pace.max_rate().is_none();
        if !is_worth_it || !is_quick {
            return Ok(());
        }
        let Ok(turn) = job.of_target.early_loads.try_acquire() else { return Ok(()) };
        self.flat = true;
        let loaded = async {
            let free = repeat(&job.cancel, || free_memory(&job.target)).await?;
            // Rows that are written take memory as well, and a release gives it back late.
            if free.is_some_and(|free| needed.saturating_mul(2) > free)
                || !flat_index::create(&job.target, planned, job_id, &job.cancel).await?
            {
                return Ok(false);
            }
            job.target.load_collection(&planned.target, 1).await.map(|()| true)
        };
        match loaded.await {
            Ok(true) => self.early = Some(Early { _turn: turn }),
            Ok(false) => self.end_early().await,
            Err(error) => {
                let error: vecferry_milvus::Error = error;
                tracing::debug!(%error, "the target is loaded after the copy");
                self.end_early().await;
            }
        }
        self.stop_if_canceled()
    }

    /// Compares a target that was loaded all the time. None where that does not show that everything is there.
    pub(super) async fn compare_early(
        &mut self,
        made: &Collection,
        expected: &Expected,
    ) -> Result<Option<Outcome>, Stop> {
        let target = &self.job.target;
        let began = Instant::now();
        while repeat(&self.job.cancel, || target.load_state(&made.name, None)).await.ok()
            != Some(LoadState::Loaded)
        {
            if self.job.cancel.is_cancelled() {
                return Err(Stop::Canceled);
            }
            if began.elapsed() > LOAD_WAIT_MAX {
                return Ok(None);
            }
            let awaited = Awaited::Load { side: Side::Target, percent: None };
            shown(awaited, sleep(LOAD_POLL, &self.job.cancel)).await;
        }
        let (warnings, drift) = (self.warnings.len(), self.report.drift.clone());
        let compared = match self.compare_loaded(made, expected, true).await {
            Ok(compared) => compared,
            Err(Stop::Canceled) => return Err(Stop::Canceled),
            Err(Stop::Problem(_) | Stop::InDoubt(_)) => return self.compare_later(warnings, drift),
        };
        let stored = repeat(&self.job.cancel, || stored_rows(target, &made.name)).await.ok().flatten();
        let is_stored = stored.is_some_and(|stored| stored >= compared.target_rows);
        if !is_stored || !compared.problems.is_empty() {
            return self.compare_later(warnings, drift);
        }
        Ok(Some(compared))
    }

    /// What the comparison said that does not count is said by the next one.
    fn compare_later(
        &mut self,
        warnings: usize,
        drift: Option<DriftReport>,
    ) -> Result<Option<Outcome>, Stop> {
        self.warnings.truncate(warnings);
        self.report.drift = drift;
        self.cuts = None;
        Ok(None)
    }

    /// What was made to load the target is not needed any more. Where the target can't be reached, whoever goes on with the
    /// job takes it away.
    pub(super) async fn end_early(&mut self) {
        let was_loaded = self.early.take().is_some();
        if !std::mem::take(&mut self.flat) {
            return;
        }
        let (job, never) = (self.job, CancellationToken::new());
        let remove = flat_index::remove(&job.target, self.planned, job.attempt.job_id(), &never);
        match tokio::time::timeout(REMOVE_MAX, remove).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.report.loaded |= was_loaded;
                tracing::warn!(%error, "an index of the comparison is left on the target");
            }
            Err(_) => {
                self.report.loaded |= was_loaded;
                tracing::warn!("an index of the comparison is left on the target, which does not answer");
            }
        }
    }
}
