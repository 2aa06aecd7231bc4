//! The target is loaded while rows are copied to it, so that they can be compared as soon as the last one is written.
//!
//! A load takes seconds in which a server mostly waits for itself: a 2.3.5 took 6 s behind the copy of 312 MB, and 1.5 s of
//! CPU time. Loaded from its creation on, it was compared 1.5 s after the flush.
//!
//! A comparison with what came in from the log is taken only where it finds no fault, and where the server has as many rows
//! stored. Otherwise the collection is loaded again from what is stored, and that comparison decides.

use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use vecferry_milvus::{Collection, LoadState};

use super::{Stop, Work};
use crate::cluster::load_state::{free_memory, memory_estimate, stored_rows};
use crate::cluster::retry::{repeat, sleep};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::flat_index;
use crate::job::run::target_load_units;
use crate::problem::Side;
use crate::request::VerifyLevel;
use crate::verify::{Expected, Outcome};

/// A larger collection would take its memory for the whole of a long copy, of which a load is a small part.
const LOADED_BYTES_MAX: u64 = 2 << 30;
/// A load that began before the copy is over by its end, or is done once more.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(10);
const LOAD_POLL: Duration = Duration::from_millis(100);

/// A target that is loaded since before its first row, and the right to have it so.
pub(super) struct Early<'a> {
    _turn: SemaphorePermit<'a>,
}

impl<'a> Work<'a> {
    /// Loads the target while it is empty, where that is worth it and nobody else needs the place.
    pub(super) async fn load_early(&mut self) -> Result<(), Stop> {
        let (job, planned) = (self.job, self.planned);
        let is_compared = matches!(job.request.verify, VerifyLevel::Count | VerifyLevel::Sample);
        let needed = memory_estimate(&planned.described, planned.rows_estimate);
        if !is_compared
            || self.compares_every_row()
            || job.request.wait_index
            || planned.rows_estimate == 0
            || needed > LOADED_BYTES_MAX
        {
            return Ok(());
        }
        let Ok(turn) = job.of_target.target_loads.try_acquire_many(target_load_units(needed, job.limits))
        else {
            return Ok(());
        };
        let free = repeat(&job.cancel, || free_memory(&job.target)).await;
        if free.map_err(|error| self.target_failed(error))?.is_some_and(|free| needed > free) {
            return Ok(());
        }
        let made = flat_index::create(&job.target, planned, job.attempt.job_id(), &job.cancel).await;
        if !made.map_err(|error| self.target_failed(error))? {
            return Ok(());
        }
        self.early = Some(Early { _turn: turn });
        if let Err(error) = job.target.load_collection(&planned.target, 1).await {
            tracing::debug!(%error, "the target is loaded after the copy");
            self.end_early().await;
        }
        Ok(())
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
            let awaited = Awaited::Load { side: Side::Target };
            shown(awaited, sleep(LOAD_POLL, &self.job.cancel)).await;
        }
        let compared = match self.compare_loaded(made, expected).await {
            Ok(compared) => compared,
            Err(Stop::Canceled) => return Err(Stop::Canceled),
            Err(Stop::Problem(_) | Stop::InDoubt(_)) => return Ok(None),
        };
        let stored = repeat(&self.job.cancel, || stored_rows(target, &made.name)).await.ok().flatten();
        let is_stored = stored.is_some_and(|stored| stored >= compared.target_rows);
        Ok((is_stored && compared.problems.is_empty()).then_some(compared))
    }

    /// What was loaded early is not needed any more. Where the target can't be reached, whoever goes on with the job takes it
    /// away.
    pub(super) async fn end_early(&mut self) {
        if self.early.take().is_none() {
            return;
        }
        let job = self.job;
        let removed = flat_index::try_remove(&job.target, self.planned, job.attempt.job_id()).await;
        if let Err(error) = removed {
            tracing::debug!(%error, "the target is left loaded");
        }
    }
}
