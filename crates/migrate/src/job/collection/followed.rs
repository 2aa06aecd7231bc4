//! A collection whose source may change while it is copied. What is read need not agree with anything: a later round compares
//! it. Only that each row that was read is on the target is seen to here.

use super::verified::flush_target;
use super::{Held, Stop, Work, stage};
use crate::cluster::inventory;
use crate::copy::Refusals;
use crate::event::Phase;
use crate::plan::SourceChange;
use crate::plan::splits::split_limits;
use crate::problem::{Code, Problem, Side, Told};
use crate::read::reader;
use crate::report::Evidence;
use tracing::Instrument;
use vecferry_milvus::{Collection, Flavor, LoadState};

impl Work<'_> {
    /// The source is put back, and the target stores the rows.
    pub(super) async fn store_copied(&mut self, held: Option<Held<'_>>) -> Result<(), Stop> {
        let (job, planned) = (self.job, self.planned);
        if let Some(held) = held {
            self.release_source(held).instrument(stage("release_source")).await;
        }
        if self.report.rows > 0 {
            self.enter(Phase::Flushing);
            let stored = flush_target(job, planned).instrument(stage("flush")).await;
            stored.map_err(|error| self.target_failed(error))?;
        }
        self.stop_if_canceled()
    }

    /// Leaves a collection to the next round that is not any more what was planned, and that could not be copied for that. Any
    /// other failure stays one.
    pub(super) async fn leave_to_next(&mut self, problem: Problem) -> Result<(), Stop> {
        if self.job.cancel.is_cancelled() || !is_of_source(problem.code) {
            return Err(problem.into());
        }
        let planned = self.planned;
        let changes = match inventory::look(&self.job.source, &planned.source).await {
            Ok(Some(now)) => planned.changes_of_source(&now.described, &now.partitions, &now.aliases),
            Ok(None) => vec![SourceChange::Dropped],
            Err(error) => {
                tracing::debug!(%error, "whether the source changed is not known");
                return Err(problem.into());
            }
        };
        let changes: Vec<_> = changes.into_iter().filter(is_in_the_way).collect();
        if changes.is_empty() {
            return Err(problem.into());
        }
        tracing::debug!(%problem, "a collection is left to the next round");
        if changes.iter().any(|change| matches!(change, SourceChange::Dropped | SourceChange::Recreated)) {
            // What is not there any more has no load state to be put back into.
            self.problems.retain(|problem| problem.code != Code::SourceNotRestored);
        }
        self.warnings.push(
            Problem::new(Code::SourceFollowedLater)
                .with("collection", &planned.source)
                .with("job", self.job.attempt.job_id())
                .told("detail", Told::parts(&SourceChange::all_told(&changes))),
        );
        self.report.evidence = Evidence { followed_later: true, ..Evidence::default() };
        Ok(())
    }

    /// Rows that the target refuses keep no round from its end but the last one.
    pub(super) async fn tell_rejected_so_far(&mut self) -> Result<(), Stop> {
        let rejected = self.quarantined_problem(Code::RowsRejectedSoFar).await?;
        self.warnings.extend(rejected);
        Ok(())
    }

    /// Loads the target for good, so that the cut-over need not wait for that. Where it can't be loaded, that is told: the
    /// cut-over tries it again.
    pub(super) async fn leave_loaded(&mut self) -> Result<(), Stop> {
        let (job, planned) = (self.job, self.planned);
        if planned.has_unindexed_vector() && job.target.version().flavor == Flavor::Milvus {
            return self.leave_unloaded().await;
        }
        let state = job.target.load_state(&planned.target, None).await;
        if job.round.purpose().is_some()
            && state.map_err(|error| self.target_failed(error))? == LoadState::Loaded
        {
            // It was loaded to be compared, and nothing of it is in doubt: what was stored since comes by itself.
            self.report.loaded = true;
            return Ok(());
        }
        let made = job.target.describe(&planned.target).await.map_err(|error| self.target_failed(error))?;
        match self.load_and_settle(&made).await {
            Ok(()) => {
                self.report.loaded = true;
                Ok(())
            }
            Err(Stop::Problem(problem)) => {
                self.warnings.push(problem);
                self.leave_unloaded().await
            }
            Err(stop @ (Stop::Canceled | Stop::InDoubt(_))) => Err(stop),
        }
    }

    async fn load_and_settle(&mut self, made: &Collection) -> Result<(), Stop> {
        let (job, planned) = (self.job, self.planned);
        {
            let _turn = self.turn_to_load().await?;
            self.load_target(made, self.report.rows).await?;
        }
        let doubts = job.store.doubts(job.attempt.job_id(), self.position).await;
        if doubts.map_err(|error| self.store_failed(error))?.is_empty() {
            return Ok(());
        }
        let of_target =
            reader(Side::Target, &job.target, made, &planned.described, &job.cancel).fresh().await;
        let of_target = of_target.map_err(|error| self.target_failed(error))?;
        let limits = split_limits(&planned.described, self.report.rows, job.tuning.split_bytes_min);
        let (copying, refusals) = (job.copying(), Refusals::new(self.report.rows, 0));
        let copy = copying.of(self.position, planned, &of_target, made.name.clone(), limits, refusals);
        self.settle(&copy, &of_target, made).await
    }
}

/// Whether a source that is not any more what was planned may be the reason.
fn is_of_source(code: Code) -> bool {
    matches!(code, Code::SourceFailed | Code::SourceDoesNotServe | Code::Protocol | Code::NotVerified)
}

/// Whether a change makes the rest of a collection impossible to read as planned.
fn is_in_the_way(change: &SourceChange) -> bool {
    match change {
        SourceChange::Partitions(names) => !names.removed.is_empty(),
        SourceChange::Dropped
        | SourceChange::Recreated
        | SourceChange::Schema(_)
        | SourceChange::SchemaUnknown(_) => true,
        SourceChange::Aliases(_) | SourceChange::Properties { .. } | SourceChange::RowsInNewPartitions(_) => {
            false
        }
    }
}
