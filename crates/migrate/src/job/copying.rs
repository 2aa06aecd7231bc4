//! What the splits of a collection are copied with, from what is recorded of the job: in the process that began it, or in
//! a worker's.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName};
use vecferry_store::{Error, JobId, Position, Store};

use crate::cluster::load_state::memory_estimate;
use crate::copy::{Budget, CopyJob, Marking, Pace, Refusals};
use crate::event::Observer;
use crate::plan::splits::{SplitLimits, split_limits};
use crate::plan::{Keys, PlannedCollection};
use crate::read::Reader;
use crate::read::{SampleRule, sample_rows};
use crate::request::VerifyLevel;
use crate::tuning::Tuning;

/// What all collections of a job are copied with.
#[derive(Clone)]
pub(super) struct Copying {
    pub(super) target: Client,
    pub(super) store: Arc<dyn Store>,
    pub(super) job_id: JobId,
    pub(super) verify: VerifyLevel,
    /// Whether the source may be written to meanwhile.
    pub(super) writes_go_on: bool,
    pub(super) sample_seed: u64,
    pub(super) budget: Budget,
    pub(super) pace: Arc<Pace>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) tuning: Tuning,
    pub(super) cancel: CancellationToken,
}

impl Copying {
    /// For the splits of a collection, whose parts held some rows before the first attempt. Its reader must be of a moment
    /// behind the first look at the source: from 2.5 on, pages are of that moment, and what was written before the look is in
    /// none of its later ones.
    pub(super) async fn of_splits(
        &self,
        position: Position,
        planned: &PlannedCollection,
        source: &Reader,
        before: &[u64],
        write_name: CollectionName,
    ) -> Result<CopyJob, Error> {
        let parts = planned.parts();
        let per_part = self.sample_rows(planned, parts.len());
        let sample =
            SampleRule::new(self.sample_seed, parts.into_iter().zip(before.iter().copied()), per_part);
        let limits = split_limits(&planned.described, before.iter().sum(), self.tuning.split_bytes_min);
        let splits = self.store.splits(&self.job_id, position).await?;
        let rows_written = splits.iter().map(|split| split.progress.rows_written).sum();
        let refused = self.store.quarantined_total(&self.job_id, position).await?;
        let refusals = Refusals::new(rows_written, refused);
        Ok(CopyJob { sample, ..self.of(position, planned, source, write_name, limits, refusals) })
    }

    /// For whatever a reader reads, without a sample.
    pub(super) fn of(
        &self,
        position: Position,
        planned: &PlannedCollection,
        reader: &Reader,
        write_name: CollectionName,
        limits: SplitLimits,
        refusals: Refusals,
    ) -> CopyJob {
        CopyJob {
            source: reader.client.clone(),
            reads: reader.side,
            target: self.target.clone(),
            store: Arc::clone(&self.store),
            job_id: self.job_id.clone(),
            position,
            source_name: reader.name.clone(),
            shown_name: planned.source.clone(),
            source_id: reader.id,
            write_name,
            key_field: reader.key_field.clone(),
            keys: planned.keys,
            names: reader.columns.iter().map(|column| column.name.clone()).collect(),
            columns: reader.columns.clone(),
            consistency: reader.consistency,
            budget: self.budget.clone(),
            pace: Arc::clone(&self.pace),
            limits,
            page_bytes_target: self.tuning.page_bytes_target,
            page_rows: AtomicUsize::new(planned.size.rows_in(self.tuning.page_bytes_target)),
            writes_go_on: self.writes_go_on,
            marking: self.marking(planned),
            sample: SampleRule::default(),
            refusals,
            observer: Arc::clone(&self.observer),
            cancel: self.cancel.child_token(),
        }
    }

    /// Where every row is compared in spans later.
    fn marking(&self, planned: &PlannedCollection) -> Marking {
        match self.verify {
            _ if self.writes_go_on => Marking::EveryPage,
            VerifyLevel::Full if planned.keys != Keys::Regenerated => {
                let bytes = memory_estimate(&planned.described, planned.rows_estimate);
                Marking::apart(self.tuning.page_bytes_target, bytes)
            }
            VerifyLevel::None | VerifyLevel::Count | VerifyLevel::Sample | VerifyLevel::Full => {
                Marking::Nothing
            }
        }
    }

    /// Rows to sample of each part: at least 1,000 and a thousandth of the collection, at least 64 a part.
    fn sample_rows(&self, planned: &PlannedCollection, parts: usize) -> usize {
        if self.verify != VerifyLevel::Sample || planned.keys == Keys::Regenerated {
            return 0;
        }
        sample_rows(planned.rows_estimate, parts)
    }
}
