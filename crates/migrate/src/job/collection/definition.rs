//! The collection on the target: created as the plan says, and still so at the end.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Stop, Work};
use crate::job::claim::Claim;
use crate::job::run::replaced;
use crate::plan::Change;
use crate::plan::change::index_on;
use crate::plan::show;
use crate::problem::{Code, Problem, Told};
use crate::target::{self, RefusedIndex};
use vecferry_milvus::Collection;
use vecferry_milvus::schema::Difference;

impl<'a> Work<'a> {
    /// Makes the collection, or finds the one that an earlier attempt made, and stops before the first row if it is not
    /// what was planned. `created` tells that there is one, also after a failure.
    pub(super) async fn create(&self, created: &AtomicBool) -> Result<Collection, Stop> {
        let job = self.job;
        let own = self.claim().make(&job.cancel).await?;
        created.store(true, Ordering::Relaxed);
        let made = target::create_partitions(&job.target, self.planned, &job.cancel).await;
        let made = made.map_err(|error| self.target_failed(error))?;
        if made.id != own.id {
            return Err(replaced(self.planned, job.attempt.job_id()).into());
        }
        self.diff(&made, Code::SchemaDiffers)?;
        Ok(made)
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        self.job.claim(self.position, self.planned)
    }

    pub(super) fn diff(&self, made: &Collection, code: Code) -> Result<(), Stop> {
        let differences = target::schema_differences(&self.job.target, self.planned, made)
            .map_err(|error| self.target_failed(error))?;
        if differences.is_empty() {
            return Ok(());
        }
        // What differs at the end is migrated again, by the source's name.
        let name = if code == Code::SchemaChanged { &self.planned.source } else { &self.planned.target };
        let problem = Problem::new(code).with("collection", name);
        Err(problem.told("detail", show(&differences)).into())
    }

    /// The full comparison of the definition, once more at the end.
    pub(super) async fn check_definition(&mut self) -> Result<(), Stop> {
        let made = self
            .job
            .target
            .describe(&self.planned.target)
            .await
            .map_err(|error| self.target_failed(error))?;
        self.diff(&made, Code::SchemaChanged)?;
        let indexes = target::indexes_made(&self.job.target, self.planned)
            .await
            .map_err(|error| self.target_failed(error))?;
        if !indexes.differences.is_empty() {
            return Err(self.changed(&indexes.differences));
        }
        self.tell_replaced(indexes.replaced);
        let (added, differences) = target::added_properties(self.planned, &made);
        if !differences.is_empty() {
            return Err(self.changed(&differences));
        }
        self.report.changes.extend(added);
        self.check_partitions().await
    }

    pub(super) fn changed(&self, differences: &[Difference]) -> Stop {
        let problem = Problem::new(Code::SchemaChanged).with("collection", &self.planned.source);
        problem.told("detail", show(differences)).into()
    }

    /// Indexes that the target refused although nothing spoke against them.
    pub(super) fn tell_replaced(&mut self, replaced: Vec<Change>) {
        for change in &replaced {
            let is_it = |refused: &&RefusedIndex| change.what == index_on(&refused.field);
            let reason = self.refused_indexes.iter().find(is_it).map(|refused| refused.reason.clone());
            self.warnings.push(
                Problem::new(Code::IndexReplaced)
                    .with("collection", &self.planned.target)
                    .told("index", change.on_source())
                    .with("instead", &change.target)
                    .told("detail", reason.unwrap_or_else(rejected_earlier)),
            );
        }
        self.report.changes.extend(replaced);
    }

    /// What was set last is there: properties that act on rows, and aliases.
    pub(super) async fn check_finish(&self) -> Result<(), Stop> {
        let differences = target::finish_differences(&self.job.target, self.planned)
            .await
            .map_err(|error| self.target_failed(error))?;
        if differences.is_empty() { Ok(()) } else { Err(self.changed(&differences)) }
    }

    pub(super) async fn check_partitions(&self) -> Result<(), Stop> {
        let differing = target::partition_differences(&self.job.target, self.planned).await;
        match differing.map_err(|error| self.target_failed(error))? {
            None => Ok(()),
            Some(detail) => {
                let problem = Problem::new(Code::SchemaChanged).with("collection", &self.planned.source);
                Err(problem.told("detail", detail).into())
            }
        }
    }
}

fn rejected_earlier() -> Told {
    Told::both("rejected in an earlier attempt", "之前的一次执行中被拒绝")
}
