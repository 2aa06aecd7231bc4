//! The rows of a collection on their way: splits, writers, and rows that the target refuses.

use super::source::Looked;
use super::{PartCopied, QUARANTINED_NAMED, Stop, Work, source_problem, target_problem};
use crate::cluster::retry::DENIED_MAX;
use crate::copy::{
    CopyError, Dispatcher, InProcess, PartCounter, PlannedRange, Slice, Slices, SplitsToCopy,
    close_lost_writers, ended, plan,
};
use crate::event::{Event, Phase};
use crate::job::run::replaced;
use crate::job::{quarantine, writers};
use crate::plan::PlannedCollection;
use crate::plan::splits::{SPLITS_PARALLEL, split_limits};
use crate::problem::{Code, Problem, store_failed, words_of};
use crate::read::Reader;
use crate::read::{key_of, key_text};
use crate::report::{CopiedRows, PartitionReport};
use crate::target;
use std::collections::BTreeSet;
use std::time::Instant;
use vecferry_milvus::{Collection, CollectionName, ErrorKind, Key, KeyRange};
use vecferry_store::{JobId, NewSplit, Quarantined, SplitId, Writer};

impl<'a> Work<'a> {
    /// Rows that the target refuses make the job fail, whatever else was proved.
    pub(super) async fn tell_quarantined(&mut self) -> Result<(), Stop> {
        let refused = self.quarantined_problem(Code::RowsQuarantined).await?;
        self.problems.extend(refused);
        Ok(())
    }

    /// What is told of rows that the target refuses, if there are any.
    pub(super) async fn quarantined_problem(&self, code: Code) -> Result<Option<Problem>, Stop> {
        let rows = self.quarantined().await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let shown = rows.iter().take(QUARANTINED_NAMED).map(|row| {
            let key = key_of(&row.key).map_or_else(|_| row.key.clone(), |key| key.to_string());
            format!("{key}: {}", row.reason)
        });
        let (job_id, store) = (self.job.attempt.job_id(), &self.job.store);
        Ok(Some(
            Problem::new(code)
                .with("collection", &self.planned.source)
                .with("rows", rows.len())
                .with("first", shown.collect::<Vec<_>>().join("; "))
                .with("file", quarantine::place(&**store, job_id))
                .with("job", job_id),
        ))
    }

    pub(super) async fn quarantined(&self) -> Result<Vec<Quarantined>, Stop> {
        let rows = self.job.store.quarantined(self.job.attempt.job_id(), self.position).await;
        rows.map_err(|error| self.store_failed(error))
    }

    /// Copies all splits that are not complete. Returns what all attempts together read of each part.
    pub(super) async fn copy(&mut self, made: &Collection, looked: &Looked) -> Result<Vec<PartCopied>, Stop> {
        self.enter(Phase::Copying);
        let job = self.job;
        let started = Instant::now();
        job.times.begin_copy(self.position);
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let is_copied = record.map_err(|error| self.store_failed(error))?.copied;
        let outcome = if is_copied && self.quarantined().await?.is_empty() {
            self.close_left_writers(made).await
        } else {
            self.copy_splits(made, looked).await
        };
        self.report.copy_seconds = job.times.end_copy(self.position);
        self.job.copied_since(started);
        let copied = self.what_was_copied().await?;
        outcome?;
        let recorded = job.store.record_copied(&job.attempt, self.position).await;
        recorded.map_err(|error| self.store_failed(error))?;
        Ok(copied)
    }

    async fn copy_splits(&mut self, made: &Collection, looked: &Looked) -> Result<(), Stop> {
        let (job, source, before) = (self.job, &looked.pages, &looked.before.counts);
        let splits = self.splits(looked).await?;
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
            if job.dispatcher.is_some() {
                job.store.admit_workers(&job.attempt, self.position).await?;
            }
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
    pub(super) async fn open_writer(&self, made: &Collection) -> Result<Writer, Stop> {
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
    pub(super) async fn close_writers(
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
    pub(super) async fn close_left_writers(&self, made: &Collection) -> Result<(), Stop> {
        let job = self.job;
        let lost = job.store.lost_writers(job.attempt.job_id(), self.position).await;
        if lost.map_err(|error| self.store_failed(error))?.is_empty() {
            return Ok(());
        }
        let closed = writers::close_all(&*job.store, &job.attempt, &job.target, &made.name, self.position);
        Ok(closed.await?)
    }

    /// The splits that are not complete.
    async fn splits(&self, looked: &Looked) -> Result<Vec<SplitId>, Stop> {
        let (job, planned) = (self.job, looked.splits.clone());
        let splits = job.store.plan_splits(&job.attempt, self.position, planned).await;
        let splits = splits.map_err(|error| self.store_failed(error))?;
        let rows: u64 = splits.iter().map(|split| split.progress.rows_written).sum();
        if rows > 0 {
            let bytes = splits.iter().map(|split| split.progress.bytes).sum();
            job.observer.on_event(Event::Resumed { collection: self.planned.source.clone(), rows, bytes });
        }
        Ok(splits.into_iter().filter(|split| !split.done).map(|split| split.split_id).collect())
    }

    /// How the collection is divided; none if an earlier attempt has recorded that.
    pub(super) async fn unplanned_splits(
        &self,
        source: &Reader,
        before: &[u64],
    ) -> Result<Vec<NewSplit>, Stop> {
        let record = self.job.store.collection(self.job.attempt.job_id(), self.position).await;
        match record.map_err(|error| self.store_failed(error))?.splits_planned {
            true => Ok(Vec::new()),
            false => self.plan_splits(source, before).await,
        }
    }

    /// Divides the parts into key ranges, so that a large one is read and written by several at once.
    pub(super) async fn plan_splits(&self, source: &Reader, before: &[u64]) -> Result<Vec<NewSplit>, Stop> {
        let limits =
            split_limits(&self.planned.described, before.iter().sum(), self.job.tuning.split_bytes_min);
        let is_text = source.key_is_text();
        let mut splits = Vec::new();
        for (partition, rows) in self.planned.parts().into_iter().zip(before) {
            let counter = PartCounter { reader: source, partition: partition.as_deref() };
            let whole = PlannedRange { range: KeyRange::default(), rows: *rows };
            let ranges =
                plan(&counter, whole, is_text, limits).await.map_err(|error| self.source_failed(error))?;
            let ranges = match self.job.round.writes_go_on() {
                true => ended(&counter, ranges, is_text).await.map_err(|error| self.source_failed(error))?,
                false => ranges,
            };
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
    pub(super) async fn what_was_copied(&mut self) -> Result<Vec<PartCopied>, Stop> {
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
    pub(super) async fn set_aside(&self) -> Result<BTreeSet<(Option<String>, Key)>, Stop> {
        let mut found = BTreeSet::new();
        for row in self.quarantined().await? {
            let key = key_of(&row.key).map_err(|error| self.store_failed(error))?;
            found.insert((Some(row.partition).filter(|partition| !partition.is_empty()), key));
        }
        Ok(found)
    }

    pub(super) fn copy_problem(&self, error: CopyError) -> Stop {
        copy_problem(self.planned, self.job.attempt.job_id(), error)
    }
}

/// What a failure of the copy means for its collection.
pub(in crate::job) fn copy_problem(planned: &PlannedCollection, job_id: &JobId, error: CopyError) -> Stop {
    let (source, target) = (&planned.source, &planned.target);
    let problem = match error {
        CopyError::Canceled => return Stop::Canceled,
        CopyError::InDoubt(detail) => return Stop::InDoubt(detail),
        CopyError::Source(error) => source_problem(planned, job_id, &error),
        CopyError::Target(error) if error.kind() == ErrorKind::WritesDenied => {
            Problem::new(Code::WritesDenied)
                .with("collection", target)
                .with("minutes", DENIED_MAX.as_secs() / 60)
                .with("job", job_id)
                .told("detail", words_of(&error))
        }
        CopyError::Target(error) => target_problem(planned, &error),
        CopyError::Protocol(error) => {
            Problem::new(Code::Protocol).with("collection", source).told("detail", words_of(&error))
        }
        CopyError::Told(detail) => Problem::new(Code::CopyFailed)
            .with("collection", source)
            .with("job", job_id)
            .told("detail", detail),
        CopyError::Known(problem) => *problem,
        CopyError::Store(error) => store_failed(job_id, &error),
        CopyError::Record(error) => store_failed(job_id, &error),
        CopyError::RowsRefused { first, last, error } => Problem::new(Code::RowsRefused)
            .with("collection", target)
            .with("first", first)
            .with("last", last)
            .told("detail", words_of(&*error)),
    };
    Stop::Problem(problem)
}
