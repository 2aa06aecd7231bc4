//! One collection of a job, from loading the source to the aliases of the target.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use vecferry_milvus::schema::Difference;
use vecferry_milvus::{Collection, CollectionName, Error, ErrorKind, Flavor, Key, KeyRange, LoadState};
use vecferry_store::{NewSplit, Position, Quarantined, Right, SplitId, Writer};

use super::claim::Claim;
use super::drift::{self, Holding};
use super::writes::Look;
use super::{
    Ended, Job, comparison, new_report, new_verification, quarantine, reader, replaced, store_failed,
    without_keys, writers,
};
use crate::connect::{Side, denied, of_server};
use crate::copy::{
    CopyError, CopyJob, Dispatcher, InProcess, Limits, PartCounter, PlannedRange, Refusals, SettleError,
    Slice, Slices, SplitsToCopy, close_lost_writers, key_of, key_text, plan, range_of, rows_of_split,
    settle_doubts,
};
use crate::event::{Awaited, Event, Phase};
use crate::plan::{Change, Keys, PlannedCollection};
use crate::precheck::{PROPERTY_TTL, does_not_fit, partitions_disagree};
use crate::problem::{Code, Problem};
use crate::proof::{Expected, Part, Reader};
use crate::report::{CollectionReport, CopiedRows, CountedRows, PartitionReport};
use crate::request::{Duplicates, OnBadRow, VerifyLevel};
use crate::retry::{DENIED_MAX, WaitError, repeat, sleep, unless_canceled};
use crate::source_load::{free_memory, memory_estimate, stored_rows, wait_until_complete};
use crate::target::{self, RefusedIndex};
use crate::tuning::Tuning;
use crate::waits::shown;

/// Splits of a collection that are copied at once.
pub(super) const SPLITS_PARALLEL: usize = 6;
/// Larger splits leave some readers without work at the end.
const SPLIT_BYTES_MAX: u64 = 2 << 30;
/// Splits of a partition.
const SPLITS_PER_PART_MAX: usize = 64;
/// Guess of the bytes of a value whose type does not tell.
const VARIABLE_BYTES: usize = 64;

/// Counts of a source that can't be true, or that say that it changed, are made again so often, and so far apart: a server
/// that hands rows over from the log to a segment counts them twice or not at all, for a moment.
const RECOUNTS_MAX: u32 = 4;
const RECOUNT_INTERVAL: Duration = Duration::from_millis(500);

/// Refused rows that are named with their reason; the file names all.
const QUARANTINED_NAMED: usize = 3;

/// How often a collection is copied in one attempt, where a write in doubt can't be repeated.
const COPIES_MAX: u32 = 3;

/// What a server, the store or the protocol said.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why a collection stopped.
pub(super) enum Stop {
    Problem(Problem),
    Canceled,
    /// A write may have landed and can't be repeated.
    InDoubt(String),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// What was read of one part of a collection, by all attempts together.
struct PartCopied {
    partition: Option<String>,
    rows_read: u64,
    /// Rows of these that the target refuses.
    set_aside: u64,
    /// Keys that are to be compared.
    keys: Vec<Key>,
}

/// Migrates one collection. Never leaves the source in another load state than before.
pub(super) async fn migrate(job: &Job, position: Position, planned: &PlannedCollection) -> Ended {
    let mut work = Work {
        job,
        position,
        planned,
        report: new_report(planned),
        problems: Vec::new(),
        warnings: Vec::new(),
        refused_indexes: Vec::new(),
    };
    let stop = match job.store.collection(job.attempt.job_id(), position).await {
        _ if job.cancel.is_cancelled() => Err(Stop::Canceled),
        Ok(record) => {
            job.times.begin_collection(position, &record);
            work.run().await
        }
        Err(error) => Err(work.store_failed(error)),
    };
    let phase = match stop {
        // Whether all of it amounts to a success is concluded when the job ends.
        Ok(()) if work.problems.is_empty() => Phase::Done,
        Ok(()) => Phase::Failed,
        Err(Stop::Canceled | Stop::InDoubt(_)) => Phase::Canceled,
        Err(Stop::Problem(problem)) => {
            work.problems.push(problem);
            Phase::Failed
        }
    };
    work.enter(phase);
    work.report.seconds = job.times.end_collection(position);
    Ended { report: work.report, problems: work.problems, warnings: work.warnings }
}

/// Counts the target of a collection that an earlier attempt completed: much may have happened since.
pub(super) async fn count_again(job: &Job, planned: &PlannedCollection, ended: &mut Ended) {
    if job.request.verify == VerifyLevel::None {
        return;
    }
    let report = new_report(planned);
    let mut work = Work {
        job,
        position: Position(0),
        planned,
        report,
        problems: Vec::new(),
        warnings: Vec::new(),
        refused_indexes: Vec::new(),
    };
    work.enter(Phase::Verifying);
    match work.count_again(ended.report.rows).await {
        Ok(counted) => {
            let expected = ended.report.evidence.target.take().unwrap_or_default();
            if counted != expected {
                let (code, rows) = if counted.whole < expected.whole {
                    (Code::RowsMissing, expected.whole - counted.whole)
                } else {
                    (Code::RowsExtra, counted.whole - expected.whole)
                };
                let problem = Problem::new(code).with("collection", &planned.source).with("rows", rows);
                work.problems.push(problem.with("where", "counted again by this attempt"));
            }
            ended.report.evidence.target = Some(counted);
        }
        Err(Stop::Problem(problem)) => work.problems.push(problem),
        Err(Stop::Canceled | Stop::InDoubt(_)) => {
            ended.report.phase = Phase::Canceled;
            return;
        }
    }
    if !work.problems.is_empty() {
        ended.report.phase = Phase::Failed;
        ended.problems.append(&mut work.problems);
    }
}

/// Enough splits to keep all readers busy to the end, but none that is not worth its queries.
pub(super) fn split_limits(described: &Collection, rows: u64, split_bytes_min: u64) -> Limits {
    let columns = described.schema.columns();
    let row_bytes: usize = columns.iter().map(|column| column.fixed_bytes().unwrap_or(VARIABLE_BYTES)).sum();
    let row_bytes = (row_bytes as u64).max(1);
    let bytes = rows.saturating_mul(row_bytes) / (2 * SPLITS_PARALLEL as u64);
    let rows_per_split = (bytes.clamp(split_bytes_min, SPLIT_BYTES_MAX) / row_bytes).max(1);
    Limits { rows_per_split, splits_max: SPLITS_PER_PART_MAX }
}

/// Into how many splits a collection will be divided, about.
pub(crate) fn splits_expected(planned: &PlannedCollection) -> u64 {
    let limits = split_limits(&planned.described, planned.rows_estimate, Tuning::default().split_bytes_min);
    let parts = planned.parts().len() as u64;
    let divided = planned.rows_estimate.div_ceil(limits.rows_per_split);
    divided.clamp(parts, parts * SPLITS_PER_PART_MAX as u64)
}

struct Work<'a> {
    job: &'a Job,
    position: Position,
    planned: &'a PlannedCollection,
    report: CollectionReport,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Indexes that the target refused in this attempt.
    refused_indexes: Vec<RefusedIndex>,
}

/// A source collection that is loaded for this job, and the right to have it so.
struct Held<'a> {
    _permits: (SemaphorePermit<'a>, SemaphorePermit<'a>),
}

impl<'a> Work<'a> {
    fn enter(&mut self, phase: Phase) {
        self.report.phase = phase;
        self.job.observer.on_event(Event::Phase { collection: self.planned.source.clone(), phase });
    }

    fn source_failed(&self, error: impl Into<Failure>) -> Stop {
        let error = error.into();
        let problem = denied(Side::Source, &*error).unwrap_or_else(|| {
            let is_not_loaded = of_server(&*error).is_some_and(|error| error.kind() == ErrorKind::NotLoaded);
            let code = if is_not_loaded { Code::SourceDoesNotServe } else { Code::SourceFailed };
            let problem = Problem::new(code).with("collection", &self.planned.source);
            problem.with("job", self.job.attempt.job_id()).with("detail", error)
        });
        Stop::Problem(problem)
    }

    fn source_not_complete(&self, error: WaitError) -> Stop {
        match error {
            WaitError::Canceled => Stop::Canceled,
            WaitError::Server(error) => self.source_failed(error),
        }
    }

    fn target_failed(&self, error: impl Into<Failure>) -> Stop {
        let error = error.into();
        let problem = denied(Side::Target, &*error).unwrap_or_else(|| {
            let problem = Problem::new(Code::TargetFailed).with("collection", &self.planned.target);
            problem.with("detail", error)
        });
        Stop::Problem(problem)
    }

    /// Begins the collection anew where a write is in doubt that can't be repeated.
    async fn run(&mut self) -> Result<(), Stop> {
        let mut times = 1;
        loop {
            let detail = match self.run_once().await {
                Err(Stop::InDoubt(detail)) if self.job.cancel.is_cancelled() => {
                    tracing::debug!(detail, "canceled while a write was in doubt");
                    return Err(Stop::Canceled);
                }
                Err(Stop::InDoubt(detail)) => detail,
                ended => return ended,
            };
            if times == COPIES_MAX {
                let problem = Problem::new(Code::CopiedAnew).with("collection", &self.planned.target);
                let problem = problem.with("times", times).with("detail", detail);
                return Err(problem.with("job", self.job.attempt.job_id()).into());
            }
            tracing::debug!(detail, "the collection is begun anew");
            let job = self.job;
            let record = job.store.collection(job.attempt.job_id(), self.position).await;
            let record = record.map_err(|error| self.store_failed(error))?;
            // Whatever may still be on its way finds neither the name that it was sent to nor the collection.
            super::control::clean_up(&self.claim(), &record, true).await?;
            self.report = new_report(self.planned);
            times += 1;
        }
    }

    async fn run_once(&mut self) -> Result<(), Stop> {
        let made = self.create().await?;
        let (expected, held) = if self.planned.readable {
            self.read_source(&made).await?
        } else {
            self.look_at_unreadable().await?;
            (Expected::default(), None)
        };
        let proved = self.store_and_prove(&made, &expected).await;
        if let Some(held) = held {
            self.release_source(held).await;
        }
        proved?;
        self.look_for_writes().await?;
        self.check_definition().await?;
        self.report.evidence.definition_compared = true;
        let is_proven = self.problems.is_empty();
        self.tell_quarantined().await?;
        if is_proven && (self.report.quarantined == 0 || self.job.request.on_bad_row == OnBadRow::Quarantine)
        {
            target::finish(&self.job.target, self.planned, &self.job.cancel)
                .await
                .map_err(|error| self.target_failed(error))?;
            self.check_finish().await?;
            self.report.evidence.finished = true;
            self.report.aliases = self.planned.aliases.clone();
        }
        if self.job.request.wait_index {
            self.enter(Phase::Indexing);
            target::wait_for_indexes(&self.job.target, &self.planned.target, &self.job.cancel)
                .await
                .map_err(|error| self.target_failed(error))?;
        }
        self.leave_unloaded().await?;
        self.report.indexes = target::index_report(&self.job.target, &self.planned.target)
            .await
            .map_err(|error| self.target_failed(error))?;
        Ok(())
    }

    /// The target stores what it took, begins its indexes, and is compared with the source.
    async fn store_and_prove(&mut self, made: &Collection, expected: &Expected) -> Result<(), Stop> {
        if self.report.rows > 0 {
            self.enter(Phase::Flushing);
            self.flush().await.map_err(|error| self.target_failed(error))?;
        }
        self.stop_if_canceled()?;
        self.enter(Phase::Indexing);
        let refused = target::create_indexes(&self.job.target, self.planned, &self.job.cancel).await;
        self.refused_indexes = refused.map_err(|error| self.target_failed(error))?;
        self.stop_if_canceled()?;
        let doubts = self.job.store.doubts(self.job.attempt.job_id(), self.position).await;
        let in_doubt = !doubts.map_err(|error| self.store_failed(error))?.is_empty();
        if in_doubt || self.job.request.verify != VerifyLevel::None {
            self.enter(Phase::Verifying);
            self.prove(made, expected).await?;
        }
        if self.problems.is_empty() {
            self.report.evidence.verified = Some(self.job.request.verify);
        }
        Ok(())
    }

    /// A collection that cannot be read, for want of an index, was planned because it holds no rows. It must hold none at
    /// the end either.
    async fn look_at_unreadable(&mut self) -> Result<(), Stop> {
        let rows = self.job.rows_of_unreadable(self.planned).await;
        let (rows, name) = (rows.map_err(|error| self.source_failed(error))?, &self.planned.source);
        let counted = || Some(CountedRows { whole: rows, ..CountedRows::default() });
        if rows > 0 {
            let problem = Problem::new(Code::RowsMissing).with("collection", name).with("rows", rows);
            self.problems.push(problem.with("where", "it was empty when the migration was planned"));
        }
        let evidence = &mut self.report.evidence;
        evidence.source_before = Some(CountedRows::default());
        (evidence.source_after, evidence.copied) = (counted(), Some(CopiedRows::default()));
        (evidence.duplicate_rows, evidence.unreadable_rows) = (Some(0), Some(0));
        Ok(())
    }

    /// The target stores the rows; collections that are ready at the same time are flushed in one call.
    async fn flush(&self) -> Result<(), Error> {
        let (target, name, cancel) = (&self.job.target, &self.planned.target, &self.job.cancel);
        let call =
            |names: Vec<String>| async move { target::begin_flush(target, &name.db, &names, cancel).await };
        let handle = self.job.flushes.flush(name, call).await?;
        target::wait_until_flushed(target, Side::Target, name, &handle, cancel).await
    }

    /// Rows that the target refuses make the job fail, whatever else was proved.
    async fn tell_quarantined(&mut self) -> Result<(), Stop> {
        let rows = self.quarantined().await?;
        if rows.is_empty() {
            return Ok(());
        }
        let shown = rows.iter().take(QUARANTINED_NAMED).map(|row| {
            let key = key_of(&row.key).map_or_else(|_| row.key.clone(), |key| key.to_string());
            format!("{key}: {}", row.reason)
        });
        let (job_id, store) = (self.job.attempt.job_id(), &self.job.store);
        self.problems.push(
            Problem::new(Code::RowsQuarantined)
                .with("collection", &self.planned.source)
                .with("rows", rows.len())
                .with("first", shown.collect::<Vec<_>>().join("; "))
                .with("file", quarantine::place(&**store, job_id))
                .with("job", job_id),
        );
        Ok(())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, Stop> {
        let rows = self.job.store.quarantined(self.job.attempt.job_id(), self.position).await;
        rows.map_err(|error| self.store_failed(error))
    }

    fn stop_if_canceled(&self) -> Result<(), Stop> {
        if self.job.cancel.is_cancelled() { Err(Stop::Canceled) } else { Ok(()) }
    }

    fn store_failed(&self, error: impl std::fmt::Display) -> Stop {
        store_failed(self.job.attempt.job_id(), error).into()
    }

    /// Makes the collection, or finds the one that an earlier attempt made, and stops before the first row if it is not
    /// what was planned.
    async fn create(&mut self) -> Result<Collection, Stop> {
        self.enter(Phase::Creating);
        let job = self.job;
        let own = self.claim().make(&job.cancel).await?;
        self.report.created = true;
        let made = target::create_partitions(&job.target, self.planned, &job.cancel).await;
        let made = made.map_err(|error| self.target_failed(error))?;
        if made.id != own.id {
            return Err(replaced(self.planned, job.attempt.job_id()).into());
        }
        self.diff(&made, Code::SchemaDiffers)?;
        Ok(made)
    }

    fn claim(&self) -> Claim<'_> {
        self.job.claim(self.position, self.planned)
    }

    fn diff(&self, made: &Collection, code: Code) -> Result<(), Stop> {
        let differences = target::schema_differences(&self.job.target, self.planned, made)
            .map_err(|error| self.target_failed(error))?;
        if differences.is_empty() {
            return Ok(());
        }
        let problem = Problem::new(code).with("collection", &self.planned.target);
        Err(problem.told("detail", target::show(&differences)).into())
    }

    /// Loads the source if need be, copies, and asks the source what the target must hold. Puts the source back, unless
    /// every row of it is to be compared: then that is left to the caller.
    async fn read_source(&mut self, made: &Collection) -> Result<(Expected, Option<Held<'a>>), Stop> {
        // Held until the source is released again: the permit is what bounds the loads.
        let permits = match self.planned.needs_load {
            true => {
                let turn = async {
                    let of_job = self.job.source_loads.acquire().await;
                    (of_job, self.job.of_source.source_loads.acquire().await)
                };
                let (of_job, of_cluster) = shown(Awaited::Turn { side: Side::Source }, turn).await;
                Some((of_job.map_err(|_| Stop::Canceled)?, of_cluster.map_err(|_| Stop::Canceled)?))
            }
            false => None,
        };
        self.stop_if_canceled()?;
        let result = self.load_and_copy(made).await;
        let held = permits.map(|permits| Held { _permits: permits });
        let is_needed = result.is_ok() && self.compares_every_row();
        match held {
            Some(held) if !is_needed => {
                self.release_source(held).await;
                result.map(|expected| (expected, None))
            }
            held => result.map(|expected| (expected, held)),
        }
    }

    /// Whether the source is read once more for the proof. Without keys no row can be picked out.
    fn compares_every_row(&self) -> bool {
        match self.job.request.verify {
            VerifyLevel::None | VerifyLevel::Count => false,
            VerifyLevel::Sample => self.planned.keys == Keys::Regenerated,
            VerifyLevel::Full => true,
        }
    }

    /// Puts the source into the load state that it had. Also after an error and after a cancellation, hence not to be
    /// canceled itself.
    async fn release_source(&mut self, held: Held<'_>) {
        let (source, name) = (&self.job.source, &self.planned.source);
        let never = tokio_util::sync::CancellationToken::new();
        let restored = repeat(&never, || self.planned.load.restore(source, name)).await;
        if let Err(error) = restored {
            self.problems.push(
                Problem::new(Code::SourceNotRestored)
                    .with("collection", name)
                    .with("detail", error)
                    .told("state", self.planned.load.describe()),
            );
        }
        drop(held);
    }

    async fn load_and_copy(&mut self, made: &Collection) -> Result<Expected, Stop> {
        let source = &self.job.source;
        if self.planned.needs_load {
            self.enter(Phase::LoadingSource);
            let name = &self.planned.source;
            let stored = repeat(&self.job.cancel, || stored_rows(source, name)).await;
            let stored = stored.map_err(|error| self.source_failed(error))?;
            let rows = stored.unwrap_or(self.planned.rows_estimate);
            let needed = memory_estimate(&self.planned.described, rows);
            let free = repeat(&self.job.cancel, || free_memory(source)).await;
            let free = free.map_err(|error| self.source_failed(error))?;
            if let Some(free) = free.filter(|free| needed > *free) {
                return Err(does_not_fit(&self.planned.source, Side::Source, needed, free).into());
            }
            let loaded = self
                .planned
                .load
                .complete(source, Side::Source, &self.planned.source, &self.job.cancel)
                .await;
            loaded.map_err(|error| self.source_not_complete(error))?;
        } else {
            let complete =
                wait_until_complete(source, Side::Source, &self.planned.source, &self.job.cancel).await;
            complete.map_err(|error| self.source_not_complete(error))?;
        }
        let reader =
            reader(Side::Source, source, &self.planned.described, &self.planned.described, &self.job.cancel);
        self.refuse_duplicates(&reader).await?;
        let now = reader.clone().fresh().await.map_err(|error| self.source_failed(error))?;
        let before = self.rows_before(&now).await?;
        self.refuse_ghosts(&before)?;
        let copied = self.copy(made, &now, &before.counts).await?;
        let reader = reader.fresh().await.map_err(|error| self.source_failed(error))?;
        self.ask_source(&reader, copied, &before).await
    }

    /// Rows of each part before the first attempt read the first one.
    async fn rows_before(&self, reader: &Reader) -> Result<Holding, Stop> {
        let job = self.job;
        let look = self.stored_before().await?;
        let stored_rows = look.as_ref().and_then(Look::stored_rows);
        // After a flush, all rows are in the stored segments.
        let is_possible = |counted: &CountedRows| stored_rows.is_none_or(|stored| counted.whole <= stored);
        let counted = self.count_until(reader, is_possible).await;
        let counted = counted.map_err(|error| self.source_failed(error))?;
        // A flush by us moves rows into the loaded segments, so these are only looked at where there was none.
        let segment_rows = match look {
            Some(Look::Unseen(_)) => {
                let rows = repeat(&job.cancel, || drift::segment_rows(&reader.client, &reader.name)).await;
                rows.map_err(|error| self.source_failed(error))?
            }
            Some(Look::Segments(_)) | None => None,
        };
        let (counts, whole) = (self.by_part(&counted), Some(counted.whole));
        let document = serde_json::to_string(&Holding { counts, segment_rows, whole, stored: look });
        let document = document.map_err(|error| self.store_failed(error))?;
        let stored = job.store.record_source_counts(&job.attempt, self.position, document).await;
        let stored = stored.map_err(|error| self.store_failed(error))?;
        let before = Holding::read(&stored).map_err(|error| self.store_failed(error))?;
        let total = job.store.record_rows_total(&job.attempt, self.position, before.rows()).await;
        total.map_err(|error| self.store_failed(error))?;
        Ok(before)
    }

    /// Rows that only their former partition shows, in a collection that had to be loaded first; the pre-check looks at the
    /// others.
    fn refuse_ghosts(&self, before: &Holding) -> Result<(), Stop> {
        let is_lite = self.job.source.version().flavor == Flavor::LitePython;
        match before.whole.filter(|whole| is_lite && before.rows() > *whole) {
            Some(whole) => Err(partitions_disagree(&self.planned.source, whole, before.rows()).into()),
            None => Ok(()),
        }
    }

    /// The source's stored segments before the first row is read; none where an earlier attempt looked at them.
    async fn stored_before(&self) -> Result<Option<Look>, Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        if record.map_err(|error| self.store_failed(error))?.source_counts.is_some() {
            return Ok(None);
        }
        let look = drift::looker(job).before(&self.planned.source).await;
        self.stop_if_canceled()?;
        look.map(Some).map_err(|error| self.source_failed(error))
    }

    /// Looks, when everything else is done, whether rows of the source were written since before the copy.
    async fn look_for_writes(&mut self) -> Result<(), Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let recorded = record.map_err(|error| self.store_failed(error))?.source_counts;
        let (Some(recorded), true) = (recorded, self.report.drift.is_some()) else { return Ok(()) };
        let before = Holding::read(&recorded).map_err(|error| self.store_failed(error))?;
        let writes = drift::writes_since(job, &self.planned.source, &before).await;
        self.stop_if_canceled()?;
        let writes = writes.map_err(|error| self.source_failed(error))?;
        let Some(report) = &mut self.report.drift else { return Ok(()) };
        if !drift::add_writes(report, writes) {
            return Ok(());
        }
        let problem = drift::problem(&self.planned.source, report);
        if job.request.allow_drift {
            self.warnings.push(problem);
        } else {
            self.problems.push(problem);
            if let Some(verification) = &mut self.report.verification {
                verification.passed = false;
            }
        }
        Ok(())
    }

    /// Repeated keys of a collection that had to be loaded first; the pre-check looks at the others.
    async fn refuse_duplicates(&self, reader: &Reader) -> Result<(), Stop> {
        if !self.planned.needs_load || self.job.request.duplicates != Duplicates::Fail {
            return Ok(());
        }
        let found = comparison::find_duplicates(reader, &self.planned.source, &self.planned.parts()).await;
        match found.map_err(|error| self.not_verified(error))? {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    /// Counts the source whole, with all partitions that it has now.
    async fn count_source(&self, reader: &Reader) -> Result<CountedRows, Error> {
        reader.count_all(&self.planned.partitions).await
    }

    /// Counts the source whole, several times if need be until the counts are as they should be.
    async fn count_until(
        &self,
        reader: &Reader,
        is_expected: impl Fn(&CountedRows) -> bool,
    ) -> Result<CountedRows, Error> {
        let mut counted = self.count_source(reader).await?;
        for _ in 0..RECOUNTS_MAX {
            if is_expected(&counted) || self.job.cancel.is_cancelled() {
                break;
            }
            sleep(RECOUNT_INTERVAL, &self.job.cancel).await;
            counted = self.count_source(reader).await?;
        }
        Ok(counted)
    }

    /// Rows of the planned parts; a partition that is gone has none.
    fn by_part(&self, counted: &CountedRows) -> Vec<u64> {
        let rows = |part: Option<String>| {
            part.map_or(counted.whole, |part| counted.partitions.get(&part).copied().unwrap_or_default())
        };
        self.planned.parts().into_iter().map(rows).collect()
    }

    /// Copies all splits that are not complete. Returns what all attempts together read of each part.
    async fn copy(
        &mut self,
        made: &Collection,
        source: &Reader,
        before: &[u64],
    ) -> Result<Vec<PartCopied>, Stop> {
        self.enter(Phase::Copying);
        let job = self.job;
        let started = Instant::now();
        job.times.begin_copy(self.position);
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let is_copied = record.map_err(|error| self.store_failed(error))?.copied;
        let outcome = if is_copied && self.quarantined().await?.is_empty() {
            self.close_left_writers(made).await
        } else {
            self.copy_splits(made, source, before).await
        };
        self.report.copy_seconds = job.times.end_copy(self.position);
        self.job.copied_since(started);
        let copied = self.what_was_copied().await?;
        outcome?;
        let recorded = job.store.record_copied(&job.attempt, self.position).await;
        recorded.map_err(|error| self.store_failed(error))?;
        Ok(copied)
    }

    async fn copy_splits(&mut self, made: &Collection, source: &Reader, before: &[u64]) -> Result<(), Stop> {
        let job = self.job;
        let splits = self.splits(source, before).await?;
        let writer = self.open_writer(made).await?;
        let opened = target::open_write_alias(&job.target, made, &writer, &job.cancel);
        let opened = opened.await.map_err(|error| self.target_failed(error))?;
        let write_name = opened.ok_or_else(|| replaced(self.planned, job.attempt.job_id()))?;
        let copying = job.copying();
        let copy = copying.of_splits(self.position, self.planned, source, before, write_name.clone()).await;
        let copy = copy.map_err(|error| self.store_failed(error))?;
        let in_process = InProcess { parallel: SPLITS_PARALLEL, slice: job.tuning.slice_time };
        let dispatcher: &dyn Dispatcher = job.dispatcher.as_deref().unwrap_or(&in_process);
        let to_copy = SplitsToCopy {
            job_id: job.attempt.job_id().clone(),
            collection: self.position,
            splits,
            cancel: copy.cancel.clone(),
        };
        let slices = Slices { copy: &copy, writer: writer.clone(), target_name: &made.name };
        let work = async {
            copy.retry_quarantined(&job.attempt).await?;
            Ok(dispatcher.dispatch(to_copy, &slices).await?)
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            error = writers::renew(&*job.store, &writer, job.tuning.writer_ttl) => Err(CopyError::Store(error)),
        };
        let closed = self.close_writers(made, &write_name, matches!(outcome, Ok(Slice::Done))).await;
        match outcome {
            Ok(Slice::Done) => closed,
            Ok(Slice::Canceled | Slice::Taken | Slice::More { .. }) => Err(Stop::Canceled),
            Err(error) => Err(self.copy_problem(error)),
        }
    }

    /// Opens the writer of this attempt, after whoever wrote before can write no more.
    async fn open_writer(&self, made: &Collection) -> Result<Writer, Stop> {
        let (job, position) = (self.job, self.position);
        let lost = job.store.lose_writers(&job.attempt, position).await;
        lost.map_err(|error| self.store_failed(error))?;
        let opened =
            job.store.open_writer(job.attempt.job_id(), position, &job.worker, job.tuning.writer_ttl).await;
        let writer = opened.map_err(|error| self.store_failed(error))?;
        let closed = close_lost_writers(&*job.store, &job.target, &made.name, &writer).await;
        closed.map_err(|error| self.copy_problem(error))?;
        Ok(writer)
    }

    /// Whatever may still be on its way finds no collection from now on. After a failure, which may be that the target is
    /// gone, that is only tried once: the next attempt does it again.
    async fn close_writers(
        &self,
        made: &Collection,
        write_name: &CollectionName,
        is_done: bool,
    ) -> Result<(), Stop> {
        let job = self.job;
        if is_done {
            // Also a name that a dead attempt asked for and that was made only now.
            let closed =
                writers::close_all(&*job.store, &job.attempt, &job.target, &made.name, self.position);
            return Ok(closed.await?);
        }
        let lost = job.store.lose_writers(&job.attempt, self.position).await;
        lost.map_err(|error| self.store_failed(error))?;
        let closed = target::try_close_write_alias(&job.target, &made.name, write_name).await;
        closed.map_err(|error| self.target_failed(error))
    }

    /// Takes away the name of a writer that recorded all its rows and died before it could do so itself.
    async fn close_left_writers(&self, made: &Collection) -> Result<(), Stop> {
        let job = self.job;
        let lost = job.store.lost_writers(job.attempt.job_id(), self.position).await;
        if lost.map_err(|error| self.store_failed(error))?.is_empty() {
            return Ok(());
        }
        let closed = writers::close_all(&*job.store, &job.attempt, &job.target, &made.name, self.position);
        Ok(closed.await?)
    }

    /// The splits that are not complete; planned now if no attempt has done so yet.
    async fn splits(&self, source: &Reader, before: &[u64]) -> Result<Vec<SplitId>, Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let planned = if record.map_err(|error| self.store_failed(error))?.splits_planned {
            Vec::new()
        } else {
            self.plan_splits(source, before).await?
        };
        let splits = job.store.plan_splits(&job.attempt, self.position, planned).await;
        let splits = splits.map_err(|error| self.store_failed(error))?;
        let rows: u64 = splits.iter().map(|split| split.progress.rows_written).sum();
        if rows > 0 {
            let bytes = splits.iter().map(|split| split.progress.bytes).sum();
            job.observer.on_event(Event::Resumed { collection: self.planned.source.clone(), rows, bytes });
        }
        Ok(splits.into_iter().filter(|split| !split.done).map(|split| split.split_id).collect())
    }

    /// Divides the parts into key ranges, so that a large one is read and written by several at once.
    async fn plan_splits(&self, source: &Reader, before: &[u64]) -> Result<Vec<NewSplit>, Stop> {
        let limits =
            split_limits(&self.planned.described, before.iter().sum(), self.job.tuning.split_bytes_min);
        let is_text = source.key_is_text();
        let mut splits = Vec::new();
        for (partition, rows) in self.planned.parts().into_iter().zip(before) {
            let counter = PartCounter { reader: source, partition: partition.as_deref() };
            let whole = PlannedRange { range: KeyRange::default(), rows: *rows };
            let ranges =
                plan(&counter, whole, is_text, limits).await.map_err(|error| self.source_failed(error))?;
            splits.extend(ranges.into_iter().map(|planned| NewSplit {
                partition: partition.clone(),
                after: planned.range.after.as_ref().map(key_text),
                until: planned.range.until.as_ref().map(key_text),
                rows_planned: planned.rows,
            }));
        }
        Ok(splits)
    }

    /// What the store knows of the rows, part by part.
    async fn what_was_copied(&mut self) -> Result<Vec<PartCopied>, Stop> {
        let (store, job_id) = (&self.job.store, self.job.attempt.job_id());
        let splits = store.splits(job_id, self.position).await.map_err(|error| self.store_failed(error))?;
        let set_aside = self.set_aside().await?;
        self.report.quarantined = set_aside.len() as u64;
        let mut parts = Vec::new();
        for partition in self.planned.parts() {
            let of_part = || splits.iter().filter(|split| split.partition == partition);
            let rows_read = of_part().map(|split| split.progress.rows_read).sum();
            let rows_written: u64 = of_part().map(|split| split.progress.rows_written).sum();
            self.report.rows += rows_written;
            self.report.bytes += of_part().map(|split| split.progress.bytes).sum::<u64>();
            self.report.partitions.push(PartitionReport {
                partition: partition.clone().unwrap_or_default(),
                rows_read,
                rows_written,
            });
            let keys = store.samples(job_id, self.position, partition.as_deref()).await;
            let keys = keys.map_err(|error| self.store_failed(error))?;
            let keys = keys.iter().map(|text| key_of(text)).collect::<Result<Vec<_>, _>>();
            let mut keys = keys.map_err(|error| self.store_failed(error))?;
            let is_refused = |key: &Key| set_aside.contains(&(partition.clone(), key.clone()));
            keys.retain(|key| !is_refused(key));
            keys.sort_unstable();
            let set_aside = set_aside.iter().filter(|(of, _)| *of == partition).count() as u64;
            parts.push(PartCopied { partition, rows_read, set_aside, keys });
        }
        self.report.evidence.copied = Some(CopiedRows {
            splits_open: splits.iter().filter(|split| !split.done).count() as u64,
            read: parts.iter().map(|part| part.rows_read).sum(),
            written: self.report.rows,
            set_aside: self.report.quarantined,
        });
        Ok(parts)
    }

    /// Rows that the target refuses, by partition and key.
    async fn set_aside(&self) -> Result<BTreeSet<(Option<String>, Key)>, Stop> {
        let mut found = BTreeSet::new();
        for row in self.quarantined().await? {
            let key = key_of(&row.key).map_err(|error| self.store_failed(error))?;
            found.insert((Some(row.partition).filter(|partition| !partition.is_empty()), key));
        }
        Ok(found)
    }

    fn copy_problem(&self, error: CopyError) -> Stop {
        let (source, target) = (&self.planned.source, &self.planned.target);
        match error {
            CopyError::Canceled => Stop::Canceled,
            CopyError::Source(error) => self.source_failed(error),
            CopyError::Target(error) if error.kind() == ErrorKind::WritesDenied => {
                Problem::new(Code::WritesDenied)
                    .with("collection", target)
                    .with("minutes", DENIED_MAX.as_secs() / 60)
                    .with("detail", error)
                    .into()
            }
            CopyError::Target(error) => self.target_failed(error),
            CopyError::Protocol(error) => {
                Problem::new(Code::Protocol).with("collection", source).with("detail", error).into()
            }
            CopyError::InDoubt(detail) => Stop::InDoubt(detail),
            CopyError::Told(detail) => {
                let problem = Problem::new(Code::CopyFailed).with("collection", source);
                problem.with("job", self.job.attempt.job_id()).with("detail", detail).into()
            }
            CopyError::Store(error) => self.store_failed(error),
            CopyError::Record(error) => self.store_failed(error),
            CopyError::RowsRefused { first, last, error } => Problem::new(Code::RowsRefused)
                .with("collection", target)
                .with("first", first)
                .with("last", last)
                .with("detail", error)
                .into(),
        }
    }

    /// Asks the source, while it is still loaded, what the target must hold, and finds out why it may count more rows
    /// than it returned.
    async fn ask_source(
        &mut self,
        reader: &Reader,
        copied: Vec<PartCopied>,
        before: &Holding,
    ) -> Result<Expected, Stop> {
        let mut finding = comparison::Finding::new(&self.planned.source);
        let after = self.look_for_drift(reader, before, &mut finding).await?;
        let mut expected = Expected::default();
        let is_proved = self.job.request.verify != VerifyLevel::None;
        for ((copied, counted), before) in copied.into_iter().zip(after).zip(&before.counts) {
            let partition = copied.partition.clone();
            let explained = finding
                .explain(reader, partition.as_deref(), copied.rows_read, counted)
                .await
                .map_err(|error| self.not_verified(error))?;
            let missing = counted.min(*before).saturating_sub(copied.rows_read + explained);
            if missing > 0 {
                self.read_again(reader, partition.as_deref(), missing).await?;
            }
            if !is_proved {
                continue;
            }
            let (keys, read, part) = (copied.keys, copied.rows_read, partition.as_deref());
            let set_aside = copied.set_aside;
            let gone = crate::proof::expect(reader, &mut expected, part, read, set_aside, counted, keys)
                .await
                .map_err(|error| self.not_verified(error))?;
            finding.gone(gone as u64);
        }
        let duplicates = finding.surplus.duplicates;
        self.report.evidence.duplicate_rows = Some(duplicates);
        self.report.evidence.unreadable_rows = Some(finding.surplus.unreadable);
        self.tell_expired(finding.expired());
        finding.conclude(
            self.job.request.duplicates,
            self.job.request.allow_drift,
            &mut self.problems,
            &mut self.warnings,
        );
        if !is_proved {
            return Ok(expected);
        }
        let mut verification = new_verification(self.job.request.verify);
        verification.duplicate_rows = duplicates;
        self.report.verification = Some(verification);
        Ok(expected)
    }

    /// Rows that were there all the time, and that the source did not answer when it was read: the splits that lack them
    /// are opened again, for the next attempt.
    async fn read_again(&mut self, reader: &Reader, partition: Option<&str>, rows: u64) -> Result<(), Stop> {
        let job = self.job;
        if !self.planned.keys.can_upsert() {
            return Err(Stop::InDoubt(format!(
                "{rows} rows of the source were not answered when it was read"
            )));
        }
        let splits = job.store.splits(job.attempt.job_id(), self.position).await;
        let mut splits = splits.map_err(|error| self.store_failed(error))?;
        splits.retain(|split| split.partition.as_deref() == partition);
        let mut short = BTreeSet::new();
        for split in &splits {
            let range = range_of(split.after.as_deref(), split.until.as_deref());
            let range = range.map_err(|error| self.store_failed(error))?;
            let part = Part { partition: split.partition.clone(), range };
            let counted = reader.count(&part).await.map_err(|error| self.not_verified(error))?;
            if counted > split.progress.rows_read {
                short.insert(split.split_id);
            }
        }
        splits.retain(|split| short.is_empty() || short.contains(&split.split_id));
        let (of_collection, mut refused) = (self.quarantined().await?, Vec::new());
        for split in &splits {
            let of_split = rows_of_split(split, of_collection.clone());
            refused.extend(of_split.map_err(|error| self.store_failed(error))?);
        }
        if let Some(copied) = &mut self.report.evidence.copied {
            copied.splits_open += splits.len() as u64;
        }
        let splits = splits.into_iter().map(|split| split.split_id).collect();
        let opened = job.store.reopen_splits(&job.attempt, self.position, splits, refused).await;
        opened.map_err(|error| self.store_failed(error))?;
        let job_id = job.attempt.job_id();
        let place = partition.map_or_else(|| "in all".to_owned(), |name| format!("partition `{name}`"));
        let place_zh = partition.map_or_else(|| "总计".to_owned(), |name| format!("Partition `{name}`"));
        let place =
            format!("{place}; the source did not return them, `vecferry resume {job_id}` reads them again");
        let place_zh = format!("{place_zh}；源未返回这些行，`vecferry resume {job_id}` 会重新读取");
        let problem = Problem::new(Code::RowsMissing).with("collection", &self.planned.source);
        self.problems.push(problem.with("rows", rows).with("where", place).with("where_zh", place_zh));
        Ok(())
    }

    /// Looks whether the source changed since before the copy. Returns the rows of its parts now.
    async fn look_for_drift(
        &mut self,
        reader: &Reader,
        before: &Holding,
        finding: &mut comparison::Finding<'_>,
    ) -> Result<Vec<u64>, Stop> {
        let is_as_before = |counted: &CountedRows| self.by_part(counted) == before.counts;
        let counted = self.count_until(reader, is_as_before).await;
        let mut counted = counted.map_err(|error| self.not_verified(error))?;
        if self.by_part(&counted).iter().zip(&before.counts).any(|(after, before)| after < before) {
            // A server that is loading counts too few as well.
            let complete =
                wait_until_complete(&reader.client, reader.side, &reader.name, &self.job.cancel).await;
            complete.map_err(|error| self.source_not_complete(error))?;
            counted = self.count_source(reader).await.map_err(|error| self.not_verified(error))?;
        }
        let segment_rows = repeat(&self.job.cancel, || {
            drift::segment_rows_after(&reader.client, &reader.name, before.segment_rows, &self.job.cancel)
        });
        let segment_rows = segment_rows.await.map_err(|error| self.not_verified(error))?;
        let (counts, whole) = (self.by_part(&counted), Some(counted.whole));
        let after = Holding { counts, segment_rows, whole, stored: None };
        let expires = drift::expires(self.planned);
        let mut report = drift::report(before, &after, drift::change(before, &after, expires));
        let changes = drift::changes_of_source(&self.job.source, self.planned, &counted)
            .await
            .map_err(|error| self.not_verified(error))?;
        report.changes = changes.iter().map(|change| change.all().to_owned()).collect();
        finding.drift(&report, expires);
        if !changes.is_empty() {
            let problem = drift::source_changed(self.planned, &changes);
            let is_let_pass = self.job.request.allow_drift;
            if is_let_pass { self.warnings.push(problem) } else { self.problems.push(problem) }
        }
        let parts = self.planned.parts();
        self.report.evidence.source_before = before.counted(&parts);
        self.report.evidence.source_after = Some(counted);
        self.report.drift = Some(report);
        Ok(after.counts)
    }

    /// Rows that ended by themselves are no fault of anybody.
    fn tell_expired(&mut self, rows: u64) {
        if rows == 0 {
            return;
        }
        if let Some(report) = &mut self.report.drift {
            report.rows_expired = report.rows_expired.max(rows);
        }
        let ttl = self.planned.described.properties.iter().find(|property| property.key == PROPERTY_TTL);
        self.warnings.push(
            Problem::new(Code::RowsExpired)
                .with("collection", &self.planned.source)
                .with("rows", rows)
                .with("ttl", ttl.map(|ttl| ttl.value.as_str()).unwrap_or_default()),
        );
    }

    fn not_verified(&self, error: impl std::fmt::Display) -> Stop {
        if self.job.cancel.is_cancelled() {
            return Stop::Canceled;
        }
        let problem = Problem::new(Code::NotVerified).with("collection", &self.planned.target);
        problem.with("detail", error).into()
    }

    /// Loads the target, compares it with what the source said, and releases it again.
    async fn prove(&mut self, made: &Collection, expected: &Expected) -> Result<(), Stop> {
        let job = self.job;
        let mut verification =
            self.report.verification.take().unwrap_or_else(|| new_verification(job.request.verify));
        verification.source_rows = expected.source_rows;
        if expected.counts.is_empty() && job.request.verify != VerifyLevel::None
            || self.planned.has_unindexed_vector() && job.target.version().flavor == Flavor::Milvus
        {
            // Nothing was read because nothing is there; a target without an index can't be loaded, but counts as well.
            let rows = job.target.row_estimate(&made.name).await.map_err(|error| self.not_verified(error))?;
            self.report.evidence.target = Some(CountedRows { whole: rows, ..CountedRows::default() });
            if rows > 0 {
                let problem = Problem::new(Code::RowsExtra).with("collection", &self.planned.source);
                self.problems.push(problem.with("rows", rows).with("where", "in all"));
            }
            verification.target_rows = rows;
            verification.passed = self.problems.is_empty();
            verification.counts_compared = 1;
            self.report.verification = Some(verification);
            return Ok(());
        }
        let units = super::target_load_units(
            memory_estimate(&self.planned.described, self.report.rows),
            self.job.limits,
        );
        let _turn = self.turn_of_target(units).await?;
        self.stop_if_canceled()?;
        let outcome = self.load_and_compare(made, expected).await;
        let release = self.release_target(&made.name).await;
        let mut outcome = outcome?;
        release?;
        if job.request.verify == VerifyLevel::None {
            return Ok(());
        }
        verification.target_rows = outcome.target_rows;
        verification.counts_compared = outcome.counts_compared;
        verification.rows_compared = outcome.rows_compared;
        verification.rows_compared_before = outcome.rows_compared_before;
        verification.findings = outcome.findings;
        self.problems.append(&mut outcome.problems);
        verification.passed = self.problems.is_empty();
        self.report.verification = Some(verification);
        Ok(())
    }

    async fn load_and_compare(
        &mut self,
        made: &Collection,
        expected: &Expected,
    ) -> Result<crate::proof::Outcome, Stop> {
        let target = &self.job.target;
        self.load_target(made, self.report.rows).await?;
        let of_target =
            reader(Side::Target, target, made, &self.planned.described, &self.job.cancel).fresh().await;
        let of_target = of_target.map_err(|error| self.not_verified(error))?;
        let limits = split_limits(&self.planned.described, self.report.rows, self.job.tuning.split_bytes_min);
        let refusals = Refusals::new(self.report.rows, 0);
        let copying = self.job.copying();
        let copy = copying.of(self.position, self.planned, &of_target, made.name.clone(), limits, refusals);
        self.settle(&copy, &of_target, made).await?;
        if self.job.request.verify == VerifyLevel::None {
            return Ok(crate::proof::Outcome::default());
        }
        let mut of_target = of_target.fresh().await.map_err(|error| self.not_verified(error))?;
        let mut outcome = crate::proof::compare(&of_target, &self.planned.source, expected)
            .await
            .map_err(|error| self.not_verified(error))?;
        let has_extra = outcome.problems.iter().any(|problem| problem.code == Code::RowsExtra);
        if has_extra && self.doubt_what_is_too_much(&of_target).await? {
            self.settle(&copy, &of_target, made).await?;
            of_target = of_target.fresh().await.map_err(|error| self.not_verified(error))?;
            outcome = crate::proof::compare(&of_target, &self.planned.source, expected)
                .await
                .map_err(|error| self.not_verified(error))?;
        }
        let counted = self.count_target(&of_target).await?;
        outcome.problems.extend(comparison::rows_elsewhere(
            &self.planned.source,
            &self.planned.partitions,
            &counted,
        ));
        self.report.evidence.target = Some(counted);
        // Differing rows are the finding; which copy of a repeated key a server answers is not fixed.
        if !outcome.changed.is_empty() {
            outcome.problems.push(comparison::changed(&self.planned.source, &outcome));
        }
        if self.planned.keys == Keys::Regenerated {
            if self.compares_every_row() {
                let set_aside = self.set_aside().await?;
                let compared = without_keys::after_copy(self.job, self.planned, &of_target, set_aside);
                let compared = Box::pin(compared).await.map_err(|error| self.not_verified(error))?;
                outcome.rows_compared = compared.source_rows;
                outcome.problems.extend(compared.problem);
            }
        } else if self.job.request.verify == VerifyLevel::Full {
            let set_aside = self.set_aside().await?;
            let every_row =
                super::every_row::after_copy(self.job, self.planned, &of_target, self.position, set_aside);
            let mut compared = Box::pin(every_row).await.map_err(|error| self.not_verified(error))?;
            let gone = self.report.rows.saturating_sub(compared.source_rows);
            if drift::expires(self.planned) && (1..=gone).contains(&compared.findings.extra.rows) {
                // They were copied, and have ended on the source since.
                compared.findings.extra = Default::default();
                if self.report.drift.as_ref().is_none_or(|drift| drift.rows_expired == 0) {
                    self.tell_expired(gone);
                }
            }
            let (problems, warnings) = (&mut outcome.problems, &mut self.warnings);
            super::every_row::conclude(&self.planned.source, &compared, problems, warnings);
            (outcome.rows_compared, outcome.findings) = (compared.rows_compared, Some(compared.findings));
            outcome.rows_compared_before = compared.rows_compared_before;
        }
        Ok(outcome)
    }

    /// The right to have the target loaded with it.
    async fn turn_of_target(&self, units: u32) -> Result<tokio::sync::SemaphorePermit<'a>, Stop> {
        let turn =
            shown(Awaited::Turn { side: Side::Target }, self.job.of_target.target_loads.acquire_many(units));
        turn.await.map_err(|_| Stop::Canceled)
    }

    /// Leaves one row of each key in the ranges that are in doubt.
    async fn settle(&self, copy: &CopyJob, of_target: &Reader, made: &Collection) -> Result<(), Stop> {
        let removed = match settle_doubts(copy, of_target, &self.job.attempt).await {
            Err(error @ SettleError::Unequal { .. }) => return Err(Stop::InDoubt(error.to_string())),
            removed => removed.map_err(|error| self.not_verified(error))?,
        };
        if removed > 0 {
            let flushed = target::flush(&self.job.target, Side::Target, &made.name, &self.job.cancel).await;
            flushed.map_err(|error| self.target_failed(error))?;
        }
        Ok(())
    }

    /// Puts the splits in doubt of which the target counts more rows than it acknowledged by the job's record. A record
    /// that was restored from an older copy knows nothing of what was written after it, and writes it again. Tells whether
    /// there are any.
    async fn doubt_what_is_too_much(&self, of_target: &Reader) -> Result<bool, Stop> {
        if !self.planned.keys.can_upsert() {
            return Ok(false);
        }
        let (store, attempt) = (&self.job.store, &self.job.attempt);
        let splits = store.splits(attempt.job_id(), self.position).await;
        let mut found = false;
        for split in splits.map_err(|error| self.store_failed(error))? {
            let range = range_of(split.after.as_deref(), split.until.as_deref());
            let range = range.map_err(|error| self.store_failed(error))?;
            let part = Part { partition: split.partition.clone(), range };
            let counted = of_target.count(&part).await.map_err(|error| self.not_verified(error))?;
            if counted > split.progress.rows_written {
                let (partition, after, until) = (split.partition, split.after, split.until);
                let right = Right::Attempt(attempt, self.position);
                let doubted = store.record_doubt(right, partition, after, until).await;
                doubted.map_err(|error| self.store_failed(error))?;
                found = true;
            }
        }
        Ok(found)
    }

    /// Loads the target, counts it, and releases it unless it was loaded before.
    async fn count_again(&self, rows: u64) -> Result<CountedRows, Stop> {
        let (job, target, name) = (self.job, &self.job.target, &self.planned.target);
        self.stop_if_canceled()?;
        if self.planned.has_unindexed_vector() && target.version().flavor == Flavor::Milvus {
            let rows = target.row_estimate(name).await.map_err(|error| self.not_verified(error))?;
            return Ok(CountedRows { whole: rows, ..CountedRows::default() });
        }
        let units = super::target_load_units(memory_estimate(&self.planned.described, rows), self.job.limits);
        let _turn = self.turn_of_target(units).await?;
        let made = repeat(&job.cancel, || target.describe(name)).await;
        let made = made.map_err(|error| self.not_verified(error))?;
        let state = repeat(&job.cancel, || target.load_state(name, None)).await;
        let was_loaded = state.map_err(|error| self.not_verified(error))? != LoadState::NotLoaded;
        let counted = async {
            self.load_target(&made, rows).await?;
            let of_target =
                reader(Side::Target, target, &made, &self.planned.described, &job.cancel).fresh().await;
            self.count_target(&of_target.map_err(|error| self.not_verified(error))?).await
        };
        let counted = counted.await;
        if !was_loaded {
            self.release_target(name).await?;
        }
        counted
    }

    /// Loads the target if its memory suffices, and waits until it is complete.
    async fn load_target(&self, made: &Collection, rows: u64) -> Result<(), Stop> {
        let target = &self.job.target;
        let needed = memory_estimate(&self.planned.described, rows);
        let free = repeat(&self.job.cancel, || free_memory(target)).await;
        let free = free.map_err(|error| self.not_verified(error))?;
        if let Some(free) = free.filter(|free| needed > *free) {
            return Err(
                self.not_verified(does_not_fit(&made.name, Side::Target, needed, free).what(crate::Lang::En))
            );
        }
        let cancel = &self.job.cancel;
        let load = repeat(cancel, || target.load_collection(&made.name, 1));
        unless_canceled(cancel, load).await.map_err(|error| self.not_verified(error))?;
        let complete = wait_until_complete(target, Side::Target, &made.name, cancel).await;
        complete.map_err(|error| self.not_verified(error))
    }

    /// Counts the target whole, with all partitions that it has now.
    async fn count_target(&self, of_target: &Reader) -> Result<CountedRows, Stop> {
        let counted = of_target.count_all(&self.planned.partitions).await;
        counted.map_err(|error| self.not_verified(error))
    }

    /// The target ends not loaded; lite loads a collection when it is made, and lite 2 knows no other state.
    async fn leave_unloaded(&mut self) -> Result<(), Stop> {
        let (target, name) = (&self.job.target, &self.planned.target);
        let is_loaded = async || Ok(target.load_state(name, None).await? != LoadState::NotLoaded);
        let failed = |error: Error| self.target_failed(error);
        let mut loaded = is_loaded().await.map_err(failed)?;
        if loaded {
            self.release_target(name).await?;
            loaded = is_loaded().await.map_err(failed)?;
        }
        self.report.loaded = loaded;
        Ok(())
    }

    async fn release_target(&self, name: &CollectionName) -> Result<(), Stop> {
        let never = tokio_util::sync::CancellationToken::new();
        repeat(&never, || self.job.target.release_collection(name))
            .await
            .map_err(|error| self.target_failed(error))
    }

    /// The full comparison of the definition, once more at the end.
    async fn check_definition(&mut self) -> Result<(), Stop> {
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

    fn changed(&self, differences: &[Difference]) -> Stop {
        let problem = Problem::new(Code::SchemaChanged).with("collection", &self.planned.target);
        problem.told("detail", target::show(differences)).into()
    }

    /// Indexes that the target refused although nothing spoke against them.
    fn tell_replaced(&mut self, replaced: Vec<Change>) {
        for change in &replaced {
            let is_it = |refused: &&RefusedIndex| change.what == format!("index on {}", refused.field);
            let reason = self.refused_indexes.iter().find(is_it).map(|refused| refused.reason.clone());
            self.warnings.push(
                Problem::new(Code::IndexReplaced)
                    .with("collection", &self.planned.target)
                    .with("index", format!("{} ({})", change.source, change.what))
                    .with("instead", &change.target)
                    .with("detail", reason.unwrap_or_else(|| "refused in an earlier attempt".to_owned())),
            );
        }
        self.report.changes.extend(replaced);
    }

    /// What was set last is there: properties that act on rows, and aliases.
    async fn check_finish(&self) -> Result<(), Stop> {
        let differences = target::finish_differences(&self.job.target, self.planned)
            .await
            .map_err(|error| self.target_failed(error))?;
        if differences.is_empty() { Ok(()) } else { Err(self.changed(&differences)) }
    }

    async fn check_partitions(&self) -> Result<(), Stop> {
        let differing = target::partition_differences(&self.job.target, self.planned).await;
        match differing.map_err(|error| self.target_failed(error))? {
            None => Ok(()),
            Some(detail) => {
                let problem = Problem::new(Code::SchemaChanged).with("collection", &self.planned.target);
                Err(problem.told("detail", detail).into())
            }
        }
    }
}
