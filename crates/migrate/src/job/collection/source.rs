//! What a collection holds before, during and after its copy, as the source says.

use super::{Held, PartCopied, RECOUNT_INTERVAL, RECOUNTS_MAX, Stop, Work};
use crate::cluster::load_state::{free_memory, memory_estimate, stored_rows, wait_until_complete};
use crate::cluster::retry::{repeat, sleep};
use crate::cluster::segments::{segment_rows, segment_rows_after};
use crate::cluster::waits::shown;
use crate::copy::rows_of_split;
use crate::event::{Awaited, Phase};
use crate::job::drift::{self, Holding};
use crate::job::duplicates::find_duplicates;
use crate::job::finding::Finding;
use crate::job::run::source_load_units;
use crate::job::writes::Look;
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::{Keys, SourceChange};
use crate::precheck::arriving;
use crate::problem::{Code, Problem, Side, Told, words_of};
use crate::problem::{does_not_fit, partitions_disagree};
use crate::read::range_of;
use crate::read::reader;
use crate::read::{Part, Reader};
use crate::report::new_verification;
use crate::report::{CopiedRows, CountedRows, Writes};
use crate::request::{Duplicates, VerifyLevel};
use crate::verify::Expected;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use vecferry_milvus::{Collection, Error, Flavor};
use vecferry_store::NewSplit;

/// Counts of the check that are older say nothing about who writes now.
const COMPARED_MAX: Duration = Duration::from_secs(60);

/// A source that is loaded, and what it held before the first row of it was read.
pub(super) struct Looked {
    reader: Reader,
    /// Reads what was there behind the look: from 2.5 on, pages are of exactly that moment.
    pub(super) pages: Reader,
    pub(super) before: Holding,
    /// How it is divided; none if an earlier attempt has recorded that.
    pub(super) splits: Vec<NewSplit>,
}

/// A source that was copied: what it held before, and what was read of each part.
pub(super) struct Copied {
    reader: Reader,
    before: Holding,
    parts: Vec<PartCopied>,
}

impl<'a> Work<'a> {
    /// A collection that cannot be read, for want of an index, was planned because it holds no rows. It must hold none at
    /// the end either.
    pub(super) async fn look_at_unreadable(&mut self) -> Result<(), Stop> {
        if self.job.round.writes_go_on() {
            // The cut-over looks whether rows came.
            self.report.evidence.copied = Some(CopiedRows::default());
            return Ok(());
        }
        let rows = self.job.rows_of_unreadable(self.planned).await;
        let (rows, name) = (rows.map_err(|error| self.source_failed(error))?, &self.planned.source);
        let counted = || Some(CountedRows { whole: rows, ..CountedRows::default() });
        if rows > 0 {
            let problem = Problem::new(Code::RowsMissing).with("collection", name).with("rows", rows);
            let place = Told::both("it was empty when the plan was created", "生成计划时为空");
            self.problems.push(problem.told("where", place));
        }
        let evidence = &mut self.report.evidence;
        evidence.source_before = Some(CountedRows::default());
        (evidence.source_after, evidence.copied) = (counted(), Some(CopiedRows::default()));
        (evidence.duplicate_rows, evidence.unreadable_rows) = (Some(0), Some(0));
        Ok(())
    }

    /// Loads the source if need be, and copies. Puts the source back if that fails; if not, it is still needed.
    pub(super) async fn copy_source(
        &mut self,
        made: &Collection,
        looked: Option<Looked>,
    ) -> Result<(Copied, Option<Held<'a>>), Stop> {
        let held = self.turn_of_source().await?;
        self.stop_if_canceled()?;
        let result = self.load_and_copy(made, looked).await;
        match (result, held) {
            (Ok(copied), held) => Ok((copied, held)),
            (Err(stop), held) => {
                if let Some(held) = held {
                    self.release_source(held).await;
                }
                Err(stop)
            }
        }
    }

    /// The right to have the source loaded for this job, where that is needed. Held until it is released again.
    pub(super) async fn turn_of_source(&self) -> Result<Option<Held<'a>>, Stop> {
        if !self.planned.needs_load {
            return Ok(None);
        }
        let units = source_load_units(memory_estimate(&self.planned.described, self.planned.rows_estimate));
        let turn = async {
            let of_job = self.job.source_loads.acquire_many(units).await;
            (of_job, self.job.of_source.source_loads.acquire().await)
        };
        let turn = shown(Awaited::Turn { side: Side::Source }, turn);
        let (of_job, of_cluster) = tokio::select! {
            turn = turn => turn,
            () = self.job.cancel.cancelled() => return Err(Stop::Canceled),
        };
        let permits = (of_job.map_err(|_| Stop::Canceled)?, of_cluster.map_err(|_| Stop::Canceled)?);
        Ok(Some(Held { _permits: permits }))
    }

    /// Asks the source what the target must hold. Puts it back, unless every row of it is to be compared: then that is left
    /// to the caller.
    pub(super) async fn ask_and_release(
        &mut self,
        copied: Copied,
        held: Option<Held<'a>>,
    ) -> Result<(Expected, Option<Held<'a>>), Stop> {
        let began = Instant::now();
        let result = self.ask_source(copied).await;
        let is_needed = result.is_ok() && self.compares_every_row();
        let kept = match held {
            Some(held) if !is_needed => {
                self.release_source(held).await;
                None
            }
            held => held,
        };
        let expected = result?;
        if self.job.request.verify == VerifyLevel::None {
            // Nobody reads it again, and what is left to be done takes a moment.
            let writes = self.writes_since_copy().await?;
            self.tell_writes(writes);
            self.writes_looked_for = Some(began);
        }
        Ok((expected, kept))
    }

    /// Whether the source is read once more for the proof. Without keys no row can be picked out.
    pub(super) fn compares_every_row(&self) -> bool {
        match self.job.request.verify {
            VerifyLevel::None | VerifyLevel::Count => false,
            VerifyLevel::Sample => self.planned.keys == Keys::Regenerated,
            VerifyLevel::Full => true,
        }
    }

    /// Puts the source into the load state that it had. Also after an error and after a cancellation, hence not to be
    /// canceled itself.
    pub(super) async fn release_source(&mut self, held: Held<'_>) {
        let (source, name) = (&self.job.source, &self.planned.source);
        let never = tokio_util::sync::CancellationToken::new();
        let restored = repeat(&never, || self.planned.load.restore(source, name)).await;
        if let Err(error) = restored {
            self.problems.push(
                Problem::new(Code::SourceNotRestored)
                    .with("collection", name)
                    .told("detail", words_of(&error))
                    .told("state", self.planned.load.describe()),
            );
        }
        drop(held);
    }

    async fn load_and_copy(&mut self, made: &Collection, looked: Option<Looked>) -> Result<Copied, Stop> {
        let looked = match looked {
            Some(looked) => looked,
            None => {
                if self.planned.needs_load {
                    self.load_source().await?;
                }
                self.look_at_loaded().await?
            }
        };
        let looked = Looked { before: self.record_before(&looked.before).await?, ..looked };
        match self.refuse_ghosts(&looked.before) {
            // There is time until the cut-over, which refuses them.
            Err(Stop::Problem(ghosts)) if self.job.round.writes_go_on() => self.warnings.push(ghosts),
            refused => refused?,
        }
        self.tell_writes_arriving(&looked.before);
        let parts = self.copy(made, &looked).await?;
        let Looked { reader, before, .. } = looked;
        Ok(Copied { reader, before, parts })
    }

    /// Loads the source.
    pub(super) async fn load_source(&mut self) -> Result<(), Stop> {
        let source = &self.job.source;
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
        let loaded =
            self.planned.load.complete(source, Side::Source, &self.planned.source, &self.job.cancel).await;
        loaded.map_err(|error| self.source_not_complete(error))
    }

    /// What the loaded source holds before the first row of it is read.
    pub(super) async fn look_at_loaded(&self) -> Result<Looked, Stop> {
        let source = &self.job.source;
        if !self.planned.needs_load {
            let complete =
                wait_until_complete(source, Side::Source, &self.planned.source, &self.job.cancel).await;
            complete.map_err(|error| self.source_not_complete(error))?;
        }
        let reader =
            reader(Side::Source, source, &self.planned.described, &self.planned.described, &self.job.cancel);
        self.refuse_duplicates(&reader).await?;
        let now = reader.clone().fresh().await.map_err(|error| self.source_failed(error))?;
        let before = self.rows_before(&now).await?;
        // What was written until the look is told by none of the later ones, so that pages must hold it.
        let pages = reader.clone().fresh().await.map_err(|error| self.source_failed(error))?;
        let splits = self.unplanned_splits(&now, &before.counts).await?;
        Ok(Looked { reader, pages, before, splits })
    }

    /// Rows that came between the check and the copy are copied; but whoever wrote them may go on.
    fn tell_writes_arriving(&mut self, before: &Holding) {
        let Some(apart) = self.job.counted_at.map(|counted| counted.elapsed()) else { return };
        let is_known = self.warnings.iter().any(|warning| warning.code == Code::WritesArriving);
        let (Some(whole), counted) = (before.whole, self.planned.rows_estimate) else { return };
        let has_changed = if drift::expires(self.planned) { whole > counted } else { whole != counted };
        if has_changed && self.planned.answers() && apart <= COMPARED_MAX && !is_known {
            self.warnings.push(arriving(&self.planned.source, counted, whole, apart));
        }
    }

    /// Rows of each part now, and the stored segments where no earlier attempt looked at them.
    async fn rows_before(&self, reader: &Reader) -> Result<Holding, Stop> {
        let job = self.job;
        if job.round.writes_go_on() {
            // To divide it, and to show how far the copy is; nothing is concluded from it.
            let counted = self.count_source(reader).await.map_err(|error| self.source_failed(error))?;
            let (counts, whole) = (self.by_part(&counted), Some(counted.whole));
            return Ok(Holding { counts, whole, ..Holding::default() });
        }
        let look = self.stored_before().await?;
        self.held(reader, look).await
    }

    /// Rows of each part now, beside the stored segments as they were seen a moment ago.
    pub(super) async fn held(&self, reader: &Reader, look: Option<Look>) -> Result<Holding, Stop> {
        let job = self.job;
        let stored_rows = look.as_ref().and_then(Look::stored_rows);
        // After a flush, all rows are in the stored segments.
        let is_possible = |counted: &CountedRows| stored_rows.is_none_or(|stored| counted.whole <= stored);
        let counted = self.count_until(reader, is_possible).await;
        let counted = counted.map_err(|error| self.source_failed(error))?;
        // A flush by us moves rows into the loaded segments, so these are only looked at where there was none.
        let segment_rows = match look {
            Some(Look::Unseen(_)) => {
                let rows = repeat(&job.cancel, || segment_rows(&reader.client, &reader.name)).await;
                rows.map_err(|error| self.source_failed(error))?
            }
            Some(Look::Segments(_)) | None => None,
        };
        let (counts, whole) = (self.by_part(&counted), Some(counted.whole));
        Ok(Holding { counts, segment_rows, whole, stored: look })
    }

    /// Records what the source held before the first attempt read the first row, and gives what is recorded: that of an
    /// earlier attempt, if one did.
    async fn record_before(&self, before: &Holding) -> Result<Holding, Stop> {
        let job = self.job;
        let document = serde_json::to_string(before).map_err(|error| self.store_failed(error))?;
        let stored = job.store.record_source_counts(&job.attempt, self.position, document).await;
        let stored = stored.map_err(|error| self.store_failed(error))?;
        let before = Holding::read(&stored).map_err(|error| self.store_failed(error))?;
        let total = job.store.record_rows_total(&job.attempt, self.position, before.rows()).await;
        total.map_err(|error| self.store_failed(error))?;
        Ok(before)
    }

    /// Rows that only their former partition shows, in a collection that had to be loaded first; the pre-check looks at the
    /// others.
    pub(super) fn refuse_ghosts(&self, before: &Holding) -> Result<(), Stop> {
        let is_lite = self.job.source.version().flavor == Flavor::LitePython;
        match before.whole.filter(|whole| is_lite && before.rows() > *whole) {
            Some(whole) => Err(partitions_disagree(&self.planned.source, whole, before.rows()).into()),
            None => Ok(()),
        }
    }

    /// The source's stored segments before the first row is read; none where an earlier attempt looked at them.
    pub(super) async fn stored_before(&self) -> Result<Option<Look>, Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        if record.map_err(|error| self.store_failed(error))?.source_counts.is_some() {
            return Ok(None);
        }
        Ok(Some(self.stored_now().await?.0))
    }

    /// The source's stored segments, which hold all rows that were written before, and those that a flush brought just now.
    pub(super) async fn stored_now(&self) -> Result<(Look, BTreeSet<i64>), Stop> {
        let look = drift::looker(self.job, self.planned, true).before(&self.planned.source).await;
        self.stop_if_canceled()?;
        look.map_err(|error| self.source_failed(error))
    }

    /// Looks whether rows of the source were written since before the copy; none where that can't be told from a record.
    pub(super) async fn writes_since_copy(&self) -> Result<Option<Writes>, Stop> {
        let job = self.job;
        let record = job.store.collection(job.attempt.job_id(), self.position).await;
        let recorded = record.map_err(|error| self.store_failed(error))?.source_counts;
        let (Some(recorded), true) = (recorded, self.report.drift.is_some()) else { return Ok(None) };
        let before = Holding::read(&recorded).map_err(|error| self.store_failed(error))?;
        let writes = drift::writes_since(job, self.planned, &before).await;
        self.stop_if_canceled()?;
        writes.map(Some).map_err(|error| self.source_failed(error))
    }

    /// What was found of that.
    pub(super) fn tell_writes(&mut self, writes: Option<Writes>) {
        let (Some(writes), Some(report)) = (writes, &mut self.report.drift) else { return };
        if !drift::add_writes(report, writes) {
            return;
        }
        let problem = drift::problem(&self.planned.source, report);
        if self.job.request.allow_drift {
            self.warnings.push(problem);
        } else {
            self.problems.push(problem);
            if let Some(verification) = &mut self.report.verification {
                verification.passed = false;
            }
        }
    }

    /// Repeated keys of a collection that had to be loaded first; the pre-check looks at the others.
    pub(super) async fn refuse_duplicates(&self, reader: &Reader) -> Result<(), Stop> {
        if !self.planned.needs_load || self.job.request.duplicates != Duplicates::Fail {
            return Ok(());
        }
        let found = find_duplicates(reader, &self.planned.source, &self.planned.parts()).await;
        match found.map_err(|error| self.not_verified(error))? {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    /// Counts the source whole, with all partitions that it has now.
    pub(super) async fn count_source(&self, reader: &Reader) -> Result<CountedRows, Error> {
        reader.count_all(&self.planned.partitions).await
    }

    /// Counts the source whole, several times if need be until the counts are as they should be.
    pub(super) async fn count_until(
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
    pub(super) fn by_part(&self, counted: &CountedRows) -> Vec<u64> {
        let rows = |part: Option<String>| {
            part.map_or(counted.whole, |part| counted.partitions.get(&part).copied().unwrap_or_default())
        };
        self.planned.parts().into_iter().map(rows).collect()
    }

    /// Asks the source, while it is still loaded, what the target must hold, and finds out why it may count more rows
    /// than it returned.
    async fn ask_source(&mut self, copied: Copied) -> Result<Expected, Stop> {
        let Copied { reader, before, parts } = copied;
        let reader = &reader.fresh().await.map_err(|error| self.source_failed(error))?;
        let mut finding = Finding::new(&self.planned.source);
        let after = self.look_for_drift(reader, &before, &mut finding).await?;
        let may_read_ahead = self.may_read_ahead(&before);
        if let Some(drift) = &mut self.report.drift {
            drift.read_ahead = may_read_ahead;
        }
        let mut expected = Expected::default();
        let is_proved = self.job.request.verify != VerifyLevel::None;
        for ((copied, counted), before) in parts.into_iter().zip(after).zip(&before.counts) {
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
            let gone = crate::verify::expect(reader, &mut expected, part, read, set_aside, counted, keys)
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
    pub(super) async fn read_again(
        &mut self,
        reader: &Reader,
        partition: Option<&str>,
        rows: u64,
    ) -> Result<(), Stop> {
        let job = self.job;
        if !self.planned.keys.can_upsert() {
            return Err(Stop::InDoubt(Told::both(
                format!("the source did not return {rows} rows when it was read"),
                format!("读取时源集群有 {rows} 行没有返回"),
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
        let place = match partition {
            Some(name) => Told::both(format!("partition `{name}`"), format!("Partition `{name}`")),
            None => Told::both("in total", "总计"),
        };
        let place = place.within(
            |place| {
                format!(
                    "{place}; the source did not return them, and job {job_id} reads them again when it is resumed"
                )
            },
            |place| format!("{place}；源集群未返回这些行，继续任务 {job_id} 时会重新读取"),
        );
        let problem = Problem::new(Code::RowsMissing).with("collection", &self.planned.source);
        self.problems.push(problem.with("rows", rows).told("where", place));
        Ok(())
    }

    /// Looks whether the source changed since before the copy. Returns the rows of its parts now.
    pub(super) async fn look_for_drift(
        &mut self,
        reader: &Reader,
        before: &Holding,
        finding: &mut Finding<'_>,
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
            segment_rows_after(&reader.client, &reader.name, before.segment_rows, &self.job.cancel)
        });
        let segment_rows = segment_rows.await.map_err(|error| self.not_verified(error))?;
        let (counts, whole) = (self.by_part(&counted), Some(counted.whole));
        let after = Holding { counts, segment_rows, whole, stored: None };
        let expires = drift::expires(self.planned);
        let mut report = drift::report(before, &after, drift::change(before, &after, expires));
        let changes = drift::changes_of_source(&self.job.source, self.planned, &counted)
            .await
            .map_err(|error| self.not_verified(error))?;
        report.changes =
            SourceChange::all_told(&changes).iter().map(|change| change.all().to_owned()).collect();
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
    pub(super) fn tell_expired(&mut self, rows: u64) {
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
}
