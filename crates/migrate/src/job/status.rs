//! How far a job is, from what is recorded of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vecferry_store::{CollectionProgress, JobId, JobKind, JobSummary, Store};

use super::drift::updates_unseen;
use super::history::{Passed, history};
use crate::event::Phase;
use crate::problem::{Problem, store_problem};

/// A job, as lists of jobs show it to machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobStatus {
    /// Its ID.
    pub job_id: String,
    /// `plain`, or `warm` for a job that copies while its source may change, and is ended by a cut-over.
    pub kind: &'static str,
    /// `PENDING`, `IN_PROGRESS`, `CANCELING`, `READY`, `SUCCESSFUL`, `FAILED` or `CANCELED`.
    pub state: &'static str,
    /// Whether a process runs it now.
    pub live: bool,
    /// How often it was begun or resumed.
    pub attempts: i64,
    /// By all attempts together, without the time between them.
    pub worked_seconds: f64,
    /// Address of the source.
    pub source: String,
    /// Address of the target.
    pub target: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When its last attempt ended, RFC 3339.
    pub ended_at: Option<String>,
    /// Collections that are complete.
    pub collections_done: u64,
    /// Collections of the job.
    pub collections_total: u64,
    /// Rows that the target acknowledged.
    pub rows_done: u64,
    /// Rows that are to be copied, as far as known.
    pub rows_total: u64,
    /// The limit of the rate, as `--max-rate` takes it.
    pub max_rate: Option<String>,
    /// The name of what a live job waits for most.
    pub bound_by: Option<String>,
}

impl JobStatus {
    /// From the record.
    pub fn new(job: &JobSummary) -> Self {
        Self {
            job_id: job.job_id.to_string(),
            kind: job.kind.name(),
            state: job.state.name(),
            live: job.live,
            attempts: job.attempt,
            worked_seconds: job.worked.as_secs_f64(),
            source: job.source.clone(),
            target: job.target.clone(),
            created_at: job.created_at.clone(),
            ended_at: job.ended_at.clone(),
            collections_done: job.collections_done,
            collections_total: job.collections_total,
            rows_done: job.rows_done,
            rows_total: job.rows_total,
            max_rate: job.max_rate.clone(),
            // What a process waited for that is gone interests nobody.
            bound_by: job.bottleneck.clone().filter(|_| job.live),
        }
    }
}

/// A job with its collections.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The job.
    #[serde(flatten)]
    pub job: JobStatus,
    /// Its collections, in the order of the plan.
    pub collections: Vec<CollectionStatus>,
    /// Every step that a collection entered, oldest first.
    pub history: Vec<Passed>,
    /// Older steps that are left out of `history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_left_out: Option<u64>,
    /// Where updates of existing rows can't be detected.
    pub warnings: Vec<Problem>,
}

/// How far a collection is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectionStatus {
    /// Its name on the source, `db.name`.
    pub collection: String,
    /// Its name on the target, `db.name`.
    pub target: String,
    /// Rows that the target acknowledged.
    pub rows_done: u64,
    /// Rows that are to be copied, as far as known.
    pub rows_total: u64,
    /// Key ranges that are complete.
    pub splits_done: u64,
    /// Key ranges.
    pub splits_total: u64,
    /// Whether all rows are on the target.
    pub copied: bool,
    /// Whether nothing is left to do.
    pub done: bool,
    /// The last step that it entered.
    pub phase: Option<Phase>,
}

/// What of a job is read where all of it would be too much: it may have thousands of collections, and each resume adds
/// steps of them.
#[derive(Clone, Copy, Debug)]
pub struct StatusPart<'a> {
    /// The last step of each collection that entered one, by its name on the source.
    pub entered: &'a BTreeMap<String, Phase>,
    /// The newest steps of the history.
    pub steps_max: usize,
    /// Collections before those that are wanted.
    pub skipped: usize,
    /// Collections that are wanted.
    pub collections_max: usize,
}

/// The steps of a job, or the newest of them.
struct Steps {
    passed: Vec<Passed>,
    left_out: u64,
}

impl Status {
    /// Reads the record of a job.
    ///
    /// # Errors
    /// There is no such job, or the store can't be read.
    pub async fn of(store: &dyn Store, job_id: &JobId) -> Result<(Self, JobSummary), Problem> {
        let failed = |error| store_problem(store, job_id.as_str(), &error);
        let job = store.summary(job_id).await.map_err(failed)?;
        let passed = history(store, job_id).await.map_err(failed)?;
        // The last step of each collection: a job may have thousands of them.
        let entered = passed.iter().map(|passed| (passed.collection.clone(), passed.phase)).collect();
        let steps = Steps { passed, left_out: 0 };
        let part =
            StatusPart { entered: &entered, steps_max: usize::MAX, skipped: 0, collections_max: usize::MAX };
        let status = Self::read(store, &job, steps, part).await.map_err(failed)?;
        Ok((status, job))
    }

    /// Reads a part of the record of a job.
    ///
    /// # Errors
    /// There is no such job, or the store can't be read.
    pub async fn part(store: &dyn Store, job_id: &JobId, part: StatusPart<'_>) -> Result<Self, Problem> {
        let read = async {
            let job = store.summary(job_id).await?;
            let steps = newest(store, job_id, part.steps_max).await?;
            Self::read(store, &job, steps, part).await
        };
        read.await.map_err(|error| store_problem(store, job_id.as_str(), &error))
    }

    async fn read(
        store: &dyn Store,
        job: &JobSummary,
        Steps { passed, left_out }: Steps,
        part: StatusPart<'_>,
    ) -> Result<Self, vecferry_store::Error> {
        let recorded = store.collections(&job.job_id).await?;
        // Rounds look at their source themselves; the first one does not.
        let looked_at = recorded.iter().filter(|_| job.kind == JobKind::Plain);
        let warnings = updates_unseen(looked_at.filter_map(|collection| {
            Some((collection.source.as_str(), collection.source_counts.as_deref()?))
        }));
        let progress = store.progress(&job.job_id).await?;
        let progress: BTreeMap<_, _> = progress.into_iter().map(|of| (of.collection, of)).collect();
        let wanted = recorded.into_iter().skip(part.skipped).take(part.collections_max);
        let collections = wanted.map(|collection| {
            let progress = progress.get(&collection.position);
            let count = |of: fn(&CollectionProgress) -> u64| progress.map_or(0, of);
            CollectionStatus {
                rows_done: count(|of| of.progress.rows_written),
                rows_total: collection.rows_total,
                splits_done: count(|of| of.splits_done),
                splits_total: count(|of| of.splits),
                copied: collection.copied,
                done: collection.done,
                // What was removed again is not done any more, whatever it entered before.
                phase: part
                    .entered
                    .get(&collection.source)
                    .copied()
                    .filter(|phase| *phase != Phase::Done || collection.done),
                collection: collection.source,
                target: collection.target,
            }
        });
        let collections = collections.collect();
        let job = JobStatus::new(job);
        Ok(Self {
            job,
            collections,
            history: passed,
            history_left_out: Some(left_out).filter(|count| *count > 0),
            warnings,
        })
    }
}

/// The newest steps of a job, oldest first.
async fn newest(store: &dyn Store, job_id: &JobId, steps_max: usize) -> Result<Steps, vecferry_store::Error> {
    let newest = store.newest_events(job_id, 0, steps_max).await?;
    let total = store.events_total(job_id).await?;
    let left_out = total.saturating_sub(newest.len() as u64);
    Ok(Steps { passed: newest.into_iter().rev().filter_map(Passed::of).collect(), left_out })
}
