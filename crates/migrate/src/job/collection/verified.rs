//! The target stores what it took, and is compared with what the source said.

use super::{Stop, Work};
use crate::cluster::flush;
use crate::cluster::load_state::{free_memory, memory_estimate, wait_until_complete, wait_until_sorted};
use crate::cluster::release::release;
use crate::cluster::retry::{repeat, unless_canceled};
use crate::cluster::waits::shown;
use crate::copy::{CopyJob, Refusals, SettleError, settle_doubts};
use crate::event::{Awaited, Phase};
use crate::flat_index;
use crate::job::drift::{self, Holding};
use crate::job::every_row;
use crate::job::round::Round;
use crate::job::run::Job;
use crate::job::{differences, without_keys};
use crate::plan::splits::split_limits;
use crate::plan::{Keys, PlannedCollection};
use crate::problem::does_not_fit;
use crate::problem::{Code, Problem, Side, Told, Worded, words_of};
use crate::read::range_of;
use crate::read::reader;
use crate::read::{Part, Reader};
use crate::report::CountedRows;
use crate::report::new_verification;
use crate::request::VerifyLevel;
use crate::target;
use crate::verify::{Expected, Outcome};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Collection, CollectionName, Error, Flavor, LoadState};
use vecferry_store::Right;

/// The target stores the rows; collections that are ready at the same time are flushed in one call.
pub(super) async fn flush_target(job: &Job, planned: &PlannedCollection) -> Result<(), Error> {
    let (target, name, cancel) = (&job.target, &planned.target, &job.cancel);
    let call = |names: Vec<String>| async move { flush::begin_flush(target, &name.db, &names, cancel).await };
    let handle = job.flushes.flush(name, call).await?;
    flush::wait_until_flushed(target, Side::Target, name, &handle, cancel).await
}

/// Does something meanwhile, which is asked to end when the first is done.
async fn beside<T>(
    first: impl Future<Output = T>,
    meanwhile: impl Future<Output = ()>,
    end: impl FnOnce(),
) -> T {
    match select(pin!(first), pin!(meanwhile)).await {
        Either::Left((done, meanwhile)) => {
            end();
            meanwhile.await;
            done
        }
        Either::Right(((), first)) => first.await,
    }
}

impl<'a> Work<'a> {
    /// The target is compared with the source, and begins its indexes: behind the comparison where it can be loaded
    /// without them.
    pub(super) async fn prove_and_index(
        &mut self,
        made: &Collection,
        expected: &Expected,
    ) -> Result<(), Stop> {
        let job = self.job;
        if job.round.writes_go_on() {
            // What is compared now says nothing about what the source holds in the end.
            self.enter(Phase::Indexing);
            return self.create_indexes(&job.cancel).await;
        }
        let doubts = job.store.doubts(job.attempt.job_id(), self.position).await;
        let in_doubt = !doubts.map_err(|error| self.store_failed(error))?.is_empty();
        let is_proved = in_doubt || job.request.verify != VerifyLevel::None;
        if in_doubt {
            // Rows are written and taken away before they are compared.
            self.end_early().await;
        }
        if is_proved && (self.early.is_some() || self.create_flat_indexes().await?) {
            self.enter(Phase::Verifying);
            let proved = self.prove(made, expected).await;
            self.early = None;
            self.enter(Phase::Indexing);
            if proved.is_ok() && job.indexes_behind_all {
                self.remove_flat_indexes(&job.cancel).await?;
                self.is_put_off = true;
                self.tell_verified();
                return Ok(());
            }
            // Also where a difference was found: the target is not left with what was made to compare it.
            let indexed = match proved {
                Err(Stop::Canceled) => Ok(()),
                Ok(()) | Err(Stop::Problem(_) | Stop::InDoubt(_)) => self.create_indexes(&job.cancel).await,
            };
            proved?;
            indexed?;
        } else {
            self.enter(Phase::Indexing);
            self.create_indexes(&job.cancel).await?;
            self.stop_if_canceled()?;
            if is_proved {
                self.enter(Phase::Verifying);
                self.prove(made, expected).await?;
            }
        }
        self.tell_verified();
        Ok(())
    }

    fn tell_verified(&mut self) {
        if self.problems.is_empty() {
            self.report.evidence.verified = Some(self.job.request.verify);
        }
    }

    /// Whether the target is loaded with indexes for which nothing is built. A job that copies in rounds begins the planned
    /// ones at once: others would have to be taken away while nobody writes.
    pub(super) fn may_have_flat_indexes(&self) -> bool {
        let job = self.job;
        job.round == Round::Plain && flat_index::is_wanted(&job.target, self.planned, job.attempt.job_id())
    }

    async fn remove_flat_indexes(&mut self, cancel: &CancellationToken) -> Result<(), Stop> {
        let (target, planned, job_id) = (&self.job.target, self.planned, self.job.attempt.job_id());
        if self.may_have_flat_indexes() {
            let removed = flat_index::remove(target, planned, job_id, cancel).await;
            removed.map_err(|error| self.target_failed(error))?;
        }
        self.flat = false;
        Ok(())
    }

    /// Tells whether the target can be loaded with indexes for which nothing is built. Whoever waits for the planned ones
    /// has them built as early as can be.
    async fn create_flat_indexes(&mut self) -> Result<bool, Stop> {
        let (job, planned, job_id) = (self.job, self.planned, self.job.attempt.job_id());
        if !self.may_have_flat_indexes() || job.request.wait_index || self.report.rows == 0 {
            return Ok(false);
        }
        self.flat = true;
        let made = flat_index::create(&job.target, planned, job_id, &job.cancel).await;
        self.stop_if_canceled()?;
        if matches!(made, Ok(true)) {
            return Ok(true);
        }
        tracing::debug!(?made, "the target is loaded with its own indexes");
        self.end_early().await;
        Ok(false)
    }

    pub(super) async fn create_indexes(&mut self, cancel: &CancellationToken) -> Result<(), Stop> {
        self.remove_flat_indexes(cancel).await?;
        let refused = target::create_indexes(&self.job.target, self.planned, cancel).await;
        self.refused_indexes = refused.map_err(|error| self.target_failed(error))?;
        Ok(())
    }

    pub(super) fn not_verified(&self, error: impl Worded) -> Stop {
        self.not_verified_because(words_of(&error))
    }

    fn not_verified_because(&self, detail: Told) -> Stop {
        if self.job.cancel.is_cancelled() {
            return Stop::Canceled;
        }
        let problem = Problem::new(Code::NotVerified).with("collection", &self.planned.target);
        problem.told("detail", detail).into()
    }

    /// Loads the target, compares it with what the source said, and releases it again.
    pub(super) async fn prove(&mut self, made: &Collection, expected: &Expected) -> Result<(), Stop> {
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
                let place = Told::both("in total", "总计");
                self.problems.push(problem.with("rows", rows).told("where", place));
            }
            verification.target_rows = rows;
            verification.passed = self.problems.is_empty();
            verification.counts_compared = 1;
            self.report.verification = Some(verification);
            return Ok(());
        }
        let units = crate::job::run::target_load_units(
            memory_estimate(&self.planned.described, self.report.rows),
            self.job.limits,
        );
        let early = if self.early.is_some() { self.compare_early(made, expected).await } else { Ok(None) };
        let outcome = match early {
            Ok(None) => {
                if self.early.is_some() {
                    self.release_target(&made.name).await?;
                    self.early = None;
                }
                let _turn = self.turn_of_target(units).await?;
                self.stop_if_canceled()?;
                self.load_and_compare(made, expected).await
            }
            Ok(Some(outcome)) => Ok(outcome),
            Err(stop) => Err(stop),
        };
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

    async fn load_and_compare(&mut self, made: &Collection, expected: &Expected) -> Result<Outcome, Stop> {
        self.find_cuts().await?;
        self.with_source_read(self.load_target(made, self.report.rows)).await?;
        self.compare_loaded(made, expected, false).await
    }

    /// Waits for the target, and reads the source meanwhile: a server that stores or loads mostly waits for itself.
    pub(super) async fn with_source_read<T>(&self, waits: impl Future<Output = T>) -> T {
        let is_allowed = self.report.drift.as_ref().is_some_and(|drift| drift.read_ahead);
        match &self.cuts {
            Some(cuts) if is_allowed => {
                cuts.begin_read_ahead();
                let reading = every_row::read_ahead(self.job, self.planned, cuts);
                beside(waits, reading, || cuts.end_read_ahead()).await
            }
            Some(_) | None => waits.await,
        }
    }

    /// Finds out where the keys may be cut, if every row is compared by its key.
    pub(super) async fn find_cuts(&mut self) -> Result<(), Stop> {
        let is_wanted = self.compares_by_key() && self.cuts.is_none() && self.planned.readable;
        if is_wanted {
            let cuts = every_row::Cuts::recorded(self.job, self.position).await;
            self.cuts = Some(cuts.map_err(|error| self.not_verified(error))?);
        }
        Ok(())
    }

    /// Whether the source may be read before the comparison: a look behind that tells what was written until then, or that
    /// it can't be told.
    pub(super) fn may_read_ahead(&self, before: &Holding) -> bool {
        // An earlier attempt may have compared some of it.
        let is_first = self.job.attempt.number() == 1;
        is_first && self.compares_by_key() && !self.planned.needs_load && before.unseen().is_none()
    }

    /// Whether every row is compared with the one of its key.
    pub(super) fn compares_by_key(&self) -> bool {
        self.job.request.verify == VerifyLevel::Full && self.planned.keys != Keys::Regenerated
    }

    /// Compares the target, which is loaded. With `is_early` nothing is done about differences: a server that brings rows
    /// from its log to segments counts them twice or not at all, for a moment.
    pub(super) async fn compare_loaded(
        &mut self,
        made: &Collection,
        expected: &Expected,
        is_early: bool,
    ) -> Result<Outcome, Stop> {
        let target = &self.job.target;
        let of_target =
            reader(Side::Target, target, made, &self.planned.described, &self.job.cancel).fresh().await;
        let of_target = of_target.map_err(|error| self.not_verified(error))?;
        let limits = split_limits(&self.planned.described, self.report.rows, self.job.tuning.split_bytes_min);
        let refusals = Refusals::new(self.report.rows, 0);
        let copying = self.job.copying();
        let copy = copying.of(self.position, self.planned, &of_target, made.name.clone(), limits, refusals);
        self.settle(&copy, &of_target, made).await?;
        if self.job.request.verify == VerifyLevel::None {
            return Ok(Outcome::default());
        }
        let mut of_target = of_target.fresh().await.map_err(|error| self.not_verified(error))?;
        let mut outcome = crate::verify::compare(&of_target, &self.planned.source, expected)
            .await
            .map_err(|error| self.not_verified(error))?;
        if is_early && !outcome.problems.is_empty() {
            return Ok(outcome);
        }
        let has_extra = outcome.problems.iter().any(|problem| problem.code == Code::RowsExtra);
        if has_extra && self.doubt_what_is_too_much(&of_target).await? {
            self.settle(&copy, &of_target, made).await?;
            of_target = of_target.fresh().await.map_err(|error| self.not_verified(error))?;
            outcome = crate::verify::compare(&of_target, &self.planned.source, expected)
                .await
                .map_err(|error| self.not_verified(error))?;
        }
        let counted = self.count_target(&of_target).await?;
        outcome.problems.extend(differences::rows_elsewhere(
            &self.planned.source,
            &self.planned.partitions,
            &counted,
        ));
        self.report.evidence.target = Some(counted);
        // Differing rows are the finding; which copy of a repeated key a server answers is not fixed.
        if !outcome.changed.is_empty() {
            outcome.problems.push(differences::changed(&self.planned.source, &outcome));
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
            let cuts = self.cuts.take();
            // What was compared while the target was not all stored counts only as a whole.
            let recorded_for = (!is_early).then_some(self.position);
            let every_row =
                every_row::after_copy(self.job, self.planned, &of_target, recorded_for, set_aside, cuts);
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
            differences::of_every_row(&self.planned.source, &compared, problems, warnings);
            (outcome.rows_compared, outcome.findings) = (compared.rows_compared, Some(compared.findings));
            outcome.rows_compared_before = compared.rows_compared_before;
        }
        Ok(outcome)
    }

    /// The right to have the target loaded, by how large it is.
    pub(super) async fn turn_to_load(&self) -> Result<tokio::sync::SemaphorePermit<'a>, Stop> {
        let bytes = memory_estimate(&self.planned.described, self.report.rows);
        self.turn_of_target(crate::job::run::target_load_units(bytes, self.job.limits)).await
    }

    /// The right to have the target loaded with it.
    pub(super) async fn turn_of_target(&self, units: u32) -> Result<tokio::sync::SemaphorePermit<'a>, Stop> {
        let turn =
            shown(Awaited::Turn { side: Side::Target }, self.job.of_target.target_loads.acquire_many(units));
        tokio::select! {
            turn = turn => turn.map_err(|_| Stop::Canceled),
            () = self.job.cancel.cancelled() => Err(Stop::Canceled),
        }
    }

    /// Leaves one row of each key in the ranges that are in doubt.
    pub(super) async fn settle(
        &self,
        copy: &CopyJob,
        of_target: &Reader,
        made: &Collection,
    ) -> Result<(), Stop> {
        let removed = match settle_doubts(copy, of_target, &self.job.attempt).await {
            Err(error @ SettleError::Unequal { .. }) => return Err(Stop::InDoubt(words_of(&error))),
            removed => removed.map_err(|error| self.not_verified(error))?,
        };
        if removed > 0 {
            let flushed = flush::flush(&self.job.target, Side::Target, &made.name, &self.job.cancel).await;
            flushed.map_err(|error| self.target_failed(error))?;
        }
        Ok(())
    }

    /// Puts the splits in doubt of which the target counts more rows than it acknowledged by the job's record. A record
    /// that was restored from an older copy knows nothing of what was written after it, and writes it again. Tells whether
    /// there are any.
    pub(super) async fn doubt_what_is_too_much(&self, of_target: &Reader) -> Result<bool, Stop> {
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
    pub(super) async fn count_again(&self, rows: u64) -> Result<CountedRows, Stop> {
        let (job, target, name) = (self.job, &self.job.target, &self.planned.target);
        self.stop_if_canceled()?;
        if self.planned.has_unindexed_vector() && target.version().flavor == Flavor::Milvus {
            let rows = target.row_estimate(name).await.map_err(|error| self.not_verified(error))?;
            return Ok(CountedRows { whole: rows, ..CountedRows::default() });
        }
        let units = crate::job::run::target_load_units(
            memory_estimate(&self.planned.described, rows),
            self.job.limits,
        );
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
    pub(super) async fn load_target(&self, made: &Collection, rows: u64) -> Result<(), Stop> {
        let target = &self.job.target;
        let needed = memory_estimate(&self.planned.described, rows);
        let free = repeat(&self.job.cancel, || free_memory(target)).await;
        let free = free.map_err(|error| self.not_verified(error))?;
        if let Some(free) = free.filter(|free| needed > *free) {
            let problem = does_not_fit(&made.name, Side::Target, needed, free);
            let [en, zh] = [crate::Lang::En, crate::Lang::Zh].map(|lang| problem.what(lang));
            return Err(self.not_verified_because(Told::both(en, zh)));
        }
        let cancel = &self.job.cancel;
        if self.job.target_sorts.load(Ordering::Relaxed) {
            let sorted = wait_until_sorted(target, Side::Target, &made.name, cancel).await;
            // A target that does not get around to it is not waited for again and again.
            self.job.target_sorts.store(sorted.map_err(|error| self.not_verified(error))?, Ordering::Relaxed);
        }
        let load = repeat(cancel, || target.load_collection(&made.name, 1));
        unless_canceled(cancel, load).await.map_err(|error| self.not_verified(error))?;
        let complete = wait_until_complete(target, Side::Target, &made.name, cancel).await;
        complete.map_err(|error| self.not_verified(error))
    }

    /// Counts the target whole, with all partitions that it has now.
    pub(super) async fn count_target(&self, of_target: &Reader) -> Result<CountedRows, Stop> {
        let counted = of_target.count_all(&self.planned.partitions).await;
        counted.map_err(|error| self.not_verified(error))
    }

    /// The target ends not loaded; lite loads a collection when it is made, and lite 2 knows no other state.
    pub(super) async fn leave_unloaded(&mut self) -> Result<(), Stop> {
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

    pub(super) async fn release_target(&self, name: &CollectionName) -> Result<(), Stop> {
        let never = tokio_util::sync::CancellationToken::new();
        let released = repeat(&never, || release(&self.job.target, name)).await;
        released.map_err(|error| self.target_failed(error))
    }
}
