//! One collection of a job, from loading the source to the aliases of the target.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use vecferry_milvus::{Collection, CollectionName, Error, ErrorKind, Flavor, LoadState};

use super::{Ended, Job, comparison, new_report, new_verification, reader};
use crate::connect::Side;
use crate::copy::{Copied, CopyError, CopyJob, KeySample, PAGE_BYTES_TARGET, PartitionTask, copy_partition};
use crate::event::{Event, Phase};
use crate::plan::PlannedCollection;
use crate::precheck::does_not_fit;
use crate::problem::{Code, Problem};
use crate::proof::{Expected, Reader};
use crate::report::{CollectionReport, PartitionReport};
use crate::request::{Duplicates, VerifyLevel};
use crate::retry::{DENIED_MAX, repeat};
use crate::source_load::{free_memory, memory_estimate, stored_rows, wait_until_complete};
use crate::target;

/// Why a collection stopped.
pub(super) enum Stop {
    Problem(Problem),
    Canceled,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Migrates one collection. Never leaves the source in another load state than before.
pub(super) async fn migrate(job: &Job, planned: &PlannedCollection) -> Ended {
    let started = Instant::now();
    let mut work =
        Work { job, planned, report: new_report(planned), problems: Vec::new(), warnings: Vec::new() };
    let stop = if job.cancel.is_cancelled() { Err(Stop::Canceled) } else { work.run().await };
    let phase = match stop {
        Ok(()) if work.problems.is_empty() => Phase::Done,
        Ok(()) => Phase::Failed,
        Err(Stop::Canceled) => Phase::Canceled,
        Err(Stop::Problem(problem)) => {
            work.problems.push(problem);
            Phase::Failed
        }
    };
    work.enter(phase);
    work.report.seconds = started.elapsed().as_secs_f64();
    Ended { report: work.report, problems: work.problems, warnings: work.warnings }
}

struct Work<'a> {
    job: &'a Job,
    planned: &'a PlannedCollection,
    report: CollectionReport,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Work<'_> {
    fn enter(&mut self, phase: Phase) {
        self.report.phase = phase;
        self.job.observer.on_event(Event::Phase { collection: self.planned.source.clone(), phase });
    }

    fn source_failed(&self, error: impl std::fmt::Display) -> Stop {
        let problem = Problem::new(Code::SourceFailed).with("collection", &self.planned.source);
        Stop::Problem(problem.with("detail", error))
    }

    fn target_failed(&self, error: impl std::fmt::Display) -> Stop {
        let problem = Problem::new(Code::TargetFailed).with("collection", &self.planned.target);
        Stop::Problem(problem.with("detail", error))
    }

    async fn run(&mut self) -> Result<(), Stop> {
        let made = self.create().await?;
        let expected =
            if self.planned.readable { self.read_source(&made).await? } else { Expected::default() };
        if self.report.rows > 0 {
            self.enter(Phase::Flushing);
            let flushed = target::flush(&self.job.target, &self.planned.target, &self.job.cancel).await;
            flushed.map_err(|error| self.target_failed(error))?;
        }
        self.stop_if_canceled()?;
        self.enter(Phase::Indexing);
        target::create_indexes(&self.job.target, self.planned, &self.job.cancel)
            .await
            .map_err(|error| self.target_failed(error))?;
        self.stop_if_canceled()?;
        if self.job.request.verify != VerifyLevel::None {
            self.enter(Phase::Verifying);
            self.prove(&made, &expected).await?;
        }
        self.check_definition().await?;
        if self.problems.is_empty() {
            target::finish(&self.job.target, self.planned, &self.job.cancel)
                .await
                .map_err(|error| self.target_failed(error))?;
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

    fn stop_if_canceled(&self) -> Result<(), Stop> {
        if self.job.cancel.is_cancelled() { Err(Stop::Canceled) } else { Ok(()) }
    }

    /// Makes the collection, and stops before the first row if it is not what was planned.
    async fn create(&mut self) -> Result<Collection, Stop> {
        self.enter(Phase::Creating);
        let made = match target::create(&self.job.target, self.planned, &self.job.cancel).await {
            Ok(made) => made,
            // Somebody made it after the pre-check; it is not ours and stays as it is.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Problem::new(Code::TargetExists).with("collection", &self.planned.target).into());
            }
            Err(error) => return Err(self.target_failed(error)),
        };
        self.report.created = true;
        self.diff(&made, Code::SchemaDiffers)?;
        Ok(made)
    }

    fn diff(&self, made: &Collection, code: Code) -> Result<(), Stop> {
        let differences = target::schema_differences(&self.job.target, self.planned, made)
            .map_err(|error| self.target_failed(error))?;
        if differences.is_empty() {
            return Ok(());
        }
        let problem = Problem::new(code).with("collection", &self.planned.target);
        Err(problem.with("detail", target::show(&differences)).into())
    }

    /// Loads the source if need be, copies, asks the source what the target must hold, and puts the source back.
    async fn read_source(&mut self, made: &Collection) -> Result<Expected, Stop> {
        let (source, name) = (&self.job.source, self.planned.source.clone());
        // Held until the source is released again: the permit is what bounds the loads.
        let permit = match self.planned.needs_load {
            true => Some(self.job.source_loads.acquire().await.map_err(|_| Stop::Canceled)?),
            false => None,
        };
        self.stop_if_canceled()?;
        let result = self.load_and_copy(made).await;
        if self.planned.needs_load {
            // Also after an error and after a cancellation, hence not to be canceled itself.
            let never = tokio_util::sync::CancellationToken::new();
            let restored = repeat(&never, || self.planned.load.restore(source, &name)).await;
            if let Err(error) = restored {
                self.problems.push(
                    Problem::new(Code::SourceNotRestored)
                        .with("collection", &name)
                        .with("detail", error)
                        .with("state", self.planned.load.describe()),
                );
            }
        }
        drop(permit);
        result
    }

    async fn load_and_copy(&mut self, made: &Collection) -> Result<Expected, Stop> {
        let source = &self.job.source;
        if self.planned.needs_load {
            self.enter(Phase::LoadingSource);
            let rows = stored_rows(source, &self.planned.source).await.unwrap_or(None).unwrap_or_default();
            let needed = memory_estimate(&self.planned.described, rows);
            let free = free_memory(source).await.unwrap_or(None);
            if let Some(free) = free.filter(|free| needed > *free) {
                return Err(does_not_fit(&self.planned.source, Side::Source, needed, free).into());
            }
            let load = self.planned.load.complete(source, &self.planned.source);
            tokio::select! {
                loaded = load => loaded.map_err(|error| self.source_failed(error))?,
                () = self.job.cancel.cancelled() => return Err(Stop::Canceled),
            }
        } else {
            wait_until_complete(source, &self.planned.source)
                .await
                .map_err(|error| self.source_failed(error))?;
        }
        let reader = reader(source, &self.planned.described, &self.planned.described, &self.job.cancel);
        let proof = self.job.request.verify != VerifyLevel::None;
        self.refuse_duplicates(&reader).await?;
        let before = if proof {
            let now = reader.clone().fresh().await.map_err(|error| self.source_failed(error))?;
            self.count_partitions(&now).await.map_err(|error| self.source_failed(error))?
        } else {
            Vec::new()
        };
        let copied = self.copy(made).await?;
        if !proof {
            return Ok(Expected::default());
        }
        let reader = reader.fresh().await.map_err(|error| self.source_failed(error))?;
        self.ask_source(&reader, copied, &before).await
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

    async fn count_partitions(&self, reader: &Reader) -> Result<Vec<u64>, Error> {
        let mut counts = Vec::new();
        for part in self.planned.parts() {
            counts.push(reader.count_where(part.as_deref(), String::new()).await?);
        }
        Ok(counts)
    }

    async fn copy(&mut self, made: &Collection) -> Result<Vec<Copied>, Stop> {
        self.enter(Phase::Copying);
        let started = Instant::now();
        let columns = self.planned.described.schema.columns();
        let source =
            reader(&self.job.source, &self.planned.described, &self.planned.described, &self.job.cancel);
        let copy = Arc::new(CopyJob {
            source: self.job.source.clone(),
            target: self.job.target.clone(),
            source_name: self.planned.source.clone(),
            source_id: source.id,
            target_name: made.name.clone(),
            key_field: source.key_field,
            names: columns.iter().map(|column| column.name.clone()).collect(),
            columns,
            consistency: self.job.consistency,
            budget: self.job.budget.clone(),
            writers: Arc::clone(&self.job.writers),
            page_bytes_target: PAGE_BYTES_TARGET,
            observer: Arc::clone(&self.job.observer),
            cancel: self.job.cancel.child_token(),
        });
        let parts = self.planned.parts();
        let per_part = self.sample_rows(parts.len());
        let tasks = parts.into_iter().enumerate().map(|(index, partition)| {
            let seed = self.job.sample_seed.wrapping_add(index as u64);
            let task = PartitionTask { partition, sample: KeySample::new(per_part, seed) };
            let (copy, readers) = (Arc::clone(&copy), Arc::clone(&self.job.readers));
            async move {
                let _turn = readers.acquire_owned().await;
                let (copied, result) = copy_partition(Arc::clone(&copy), task).await;
                if result.is_err() {
                    // The other partitions of this collection need not go on.
                    copy.cancel.cancel();
                }
                (copied, result)
            }
        });
        let ended: Vec<_> = stream::iter(tasks).buffered(super::READERS_PARALLEL).collect().await;
        self.report.copy_seconds = started.elapsed().as_secs_f64();
        let mut failure = None;
        let mut all = Vec::new();
        for (copied, result) in ended {
            self.report.rows += copied.rows_written;
            self.report.bytes += copied.bytes;
            self.report.partitions.push(PartitionReport {
                partition: copied.partition.clone().unwrap_or_default(),
                rows_read: copied.rows_read,
                rows_written: copied.rows_written,
            });
            if let Err(error) = result {
                // The first error is the cause; the cancellations after it are its consequence.
                failure = match failure {
                    None | Some(CopyError::Canceled) => Some(error),
                    earlier => earlier,
                };
            } else if copied.rows_read != copied.rows_written {
                let text =
                    format!("{} rows were read and {} acknowledged", copied.rows_read, copied.rows_written);
                return Err(self.target_failed(text));
            }
            all.push(copied);
        }
        match failure {
            None => Ok(all),
            Some(error) => Err(self.copy_problem(error)),
        }
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
            CopyError::RowsRefused { first, last, error } => Problem::new(Code::RowsRefused)
                .with("collection", target)
                .with("first", first)
                .with("last", last)
                .with("detail", error)
                .into(),
        }
    }

    /// Rows to sample of each part: at least 1,000 and a thousandth of the collection, at least 64 a part.
    fn sample_rows(&self, parts: usize) -> usize {
        if self.job.request.verify != VerifyLevel::Sample {
            return 0;
        }
        comparison::sample_rows(self.planned.rows_estimate, parts)
    }

    /// Asks the source, while it is still loaded, what the target must hold, and finds out why it may count more rows
    /// than it returned.
    async fn ask_source(
        &mut self,
        reader: &Reader,
        copied: Vec<Copied>,
        before: &[u64],
    ) -> Result<Expected, Stop> {
        let after = self.count_partitions(reader).await.map_err(|error| self.not_verified(error))?;
        let mut finding = comparison::Finding::new(&self.planned.source);
        let mut expected = Expected::default();
        for ((copied, counted), before) in copied.into_iter().zip(after).zip(before) {
            finding.drift(*before, counted);
            let partition = copied.partition.clone();
            finding
                .explain(reader, partition.as_deref(), copied.rows_read, counted)
                .await
                .map_err(|error| self.not_verified(error))?;
            let keys = copied.sample.into_keys();
            let (read, part) = (copied.rows_read, partition.as_deref());
            let gone = crate::proof::expect(reader, &mut expected, part, read, counted, keys)
                .await
                .map_err(|error| self.not_verified(error))?;
            finding.gone(gone);
        }
        let duplicates = finding.surplus.duplicates;
        finding.conclude(
            self.job.request.duplicates,
            self.job.request.allow_drift,
            &mut self.problems,
            &mut self.warnings,
        );
        let mut verification = new_verification(self.job.request.verify);
        verification.duplicate_rows = duplicates;
        self.report.verification = Some(verification);
        Ok(expected)
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
        if expected.counts.is_empty()
            || self.planned.has_unindexed_vector() && job.target.version().flavor == Flavor::Milvus
        {
            // Nothing was read because nothing is there; a target without an index can't be loaded, but counts as well.
            verification.target_rows =
                job.target.row_estimate(&made.name).await.map_err(|error| self.not_verified(error))?;
            verification.passed = verification.target_rows == 0 && self.problems.is_empty();
            verification.counts_compared = 1;
            self.report.verification = Some(verification);
            return Ok(());
        }
        let _turn = job.target_load.lock().await;
        self.stop_if_canceled()?;
        let outcome = self.load_and_compare(made, expected).await;
        let release = self.release_target(&made.name).await;
        let mut outcome = outcome?;
        release?;
        verification.target_rows = outcome.target_rows;
        verification.counts_compared = outcome.counts_compared;
        verification.rows_compared = outcome.rows_compared;
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
        let needed = memory_estimate(&self.planned.described, self.report.rows);
        if let Some(free) = free_memory(target).await.unwrap_or(None).filter(|free| needed > *free) {
            return Err(
                self.not_verified(does_not_fit(&made.name, Side::Target, needed, free).what(crate::Lang::En))
            );
        }
        let load = async {
            repeat(&self.job.cancel, || target.load_collection(&made.name, 1)).await?;
            wait_until_complete(target, &made.name).await
        };
        tokio::select! {
            loaded = load => loaded.map_err(|error| self.not_verified(error))?,
            () = self.job.cancel.cancelled() => return Err(Stop::Canceled),
        }
        let of_target = reader(target, made, &self.planned.described, &self.job.cancel).fresh().await;
        let of_target = of_target.map_err(|error| self.not_verified(error))?;
        let mut outcome = crate::proof::compare(&of_target, &self.planned.source, expected)
            .await
            .map_err(|error| self.not_verified(error))?;
        // Differing rows are the finding; which copy of a repeated key a server answers is not fixed.
        if !outcome.changed.is_empty() {
            outcome.problems.push(comparison::changed(&self.planned.source, &outcome));
        }
        if self.job.request.verify == VerifyLevel::Full {
            let every_row = super::every_row::after_copy(self.job, self.planned, &of_target);
            let compared = Box::pin(every_row).await.map_err(|error| self.not_verified(error))?;
            let (problems, warnings) = (&mut outcome.problems, &mut self.warnings);
            super::every_row::conclude(&self.planned.source, &compared, problems, warnings);
            (outcome.rows_compared, outcome.findings) = (compared.rows_compared, Some(compared.findings));
        }
        Ok(outcome)
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
        let indexes = target::index_differences(&self.job.target, self.planned)
            .await
            .map_err(|error| self.target_failed(error))?;
        if !indexes.is_empty() {
            let problem = Problem::new(Code::SchemaChanged).with("collection", &self.planned.target);
            return Err(problem.with("detail", target::show(&indexes)).into());
        }
        self.check_partitions().await
    }

    async fn check_partitions(&mut self) -> Result<(), Stop> {
        let made = self
            .job
            .target
            .partitions(&self.planned.target)
            .await
            .map_err(|error| self.target_failed(error))?;
        let missing: Vec<_> = self
            .planned
            .partitions
            .iter()
            .filter(|partition| made.iter().all(|(known, _)| known != *partition))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let detail = format!("partitions are missing: {}", missing.join(", "));
        Err(Problem::new(Code::SchemaChanged)
            .with("collection", &self.planned.target)
            .with("detail", detail)
            .into())
    }
}
