//! A collection that was copied before is brought up to date by a round: both sides are loaded and compared, and what differs
//! is made equal. In a cut-over, what was seen proves it as a copy in one go is proved: with the same facts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tracing::Instrument;
use vecferry_milvus::{Collection, Error, ErrorKind, LoadState};

use super::{Failure, RECOUNT_INTERVAL, RECOUNTS_MAX, Stop, Work, source_problem, stage, target_problem};
use crate::cluster::retry::{repeat, sleep};
use crate::event::{Event, Phase};
use crate::job::drift::{self, Holding};
use crate::job::finding::Finding;
use crate::job::next_round::Purpose;
use crate::job::rounds::{ComparedFacts, Mended, RoundPair, RoundPart, RoundStop, RoundTuning};
use crate::problem::{Code, Problem, Side, Told};
use crate::read::{ReadError, reader};
use crate::report::{
    CaughtUp, CopiedRows, CountedRows, PartitionReport, UnseenWrites, Writes, new_verification,
};
use crate::verify::mend::MendError;
use crate::verify::spans::{SpanTuning, Writers};

/// How often a source is compared of which segments were rewritten meanwhile: what was written may hide behind that.
const PASSES_MAX: u32 = 3;

impl Work<'_> {
    /// Compares the source with what was copied of it, and makes the target equal.
    pub(super) async fn bring_up(&mut self, purpose: Purpose) -> Result<(), Stop> {
        self.enter(Phase::Creating);
        let created = AtomicBool::new(false);
        let made = self.create(&created).instrument(stage("find_target")).await;
        self.report.created |= created.load(Ordering::Relaxed);
        let made = made?;
        // An attempt may have ended between the last row and the indexes.
        self.create_indexes(&self.job.cancel).await?;
        let held = self.turn_of_source().await?;
        self.stop_if_canceled()?;
        let compared = self.load_both_and_compare(&made, purpose).instrument(stage("compare")).await;
        if let Some(held) = held {
            self.release_source(held).instrument(stage("release_source")).await;
        }
        if compared.is_err() && !self.job.request.load_target {
            // What stopped it is told, not that this failed as well.
            let _ = self.release_target(&made.name).await;
        }
        compared?;
        self.enter(Phase::Indexing);
        self.complete().await
    }

    async fn load_both_and_compare(&mut self, made: &Collection, purpose: Purpose) -> Result<(), Stop> {
        if self.planned.needs_load {
            self.load_source().await?;
        }
        let turn = self.turn_to_load().await?;
        if !self.is_left_loaded(made).await? {
            self.load_target(made, self.planned.rows_estimate).instrument(stage("load_target")).await?;
        }
        self.refuse_rows_of_others(made).await?;
        self.enter(Phase::Verifying);
        for pass in 1.. {
            let began = Instant::now();
            let (before, brought) = self.look_before(purpose).await?;
            let compared = self.compare_once(made, purpose, brought).await;
            let facts = match compared {
                Ok(facts) => facts,
                Err(stop) => return Err(self.or_drift(purpose, &before, stop).await),
            };
            self.tell_caught_up(&facts).await?;
            match purpose {
                Purpose::CatchUp => break,
                Purpose::CutOver => {
                    self.writes_looked_for = Some(began);
                    let is_last = pass == PASSES_MAX;
                    if self.prove_compared(before, &facts, is_last).await? {
                        break;
                    }
                }
            }
        }
        drop(turn);
        Ok(())
    }

    /// Whether a round before left the target loaded, as it was asked for. What that round stored last need not be in memory as
    /// stored yet, and is served all the same; a server that leaves rows out is told by its counts, and waited for then.
    async fn is_left_loaded(&self, made: &Collection) -> Result<bool, Stop> {
        if !self.job.request.load_target {
            return Ok(false);
        }
        let state = repeat(&self.job.cancel, || self.job.target.load_state(&made.name, None)).await;
        Ok(state.map_err(|error| self.target_failed(error))? == LoadState::Loaded)
    }

    /// Others may have taken the target for theirs already: their rows are not removed unless somebody says so. What rounds
    /// wrote that did not come to their end is allowed for, wherever it is.
    pub(super) async fn refuse_rows_of_others(&self, made: &Collection) -> Result<(), Stop> {
        let job = self.job;
        let (job_id, store) = (job.attempt.job_id(), &job.store);
        let record =
            store.collection(job_id, self.position).await.map_err(|error| self.store_failed(error))?;
        let doubts = store.doubts(job_id, self.position).await.map_err(|error| self.store_failed(error))?;
        let left = job.course.left.get(&self.position).filter(|_| doubts.is_empty());
        let Some(left) = left.filter(|_| !job.course.options.overwrite_target) else { return Ok(()) };
        let whole = left.values().sum::<u64>() + record.round_rows;
        let too_many = |found: &CountedRows| {
            let is_more = |(name, rows): (&String, &u64)| {
                *rows > left.get(name).copied().unwrap_or_default() + record.round_rows
            };
            found.whole > whole || !left.contains_key("") && found.partitions.iter().any(is_more)
        };
        let of_target = reader(Side::Target, &job.target, made, &self.planned.described, &job.cancel);
        let mut found = CountedRows::default();
        for count in 0..=RECOUNTS_MAX {
            if count > 0 {
                sleep(RECOUNT_INTERVAL, &job.cancel).await;
            }
            let now = of_target.clone().fresh().await.map_err(|error| self.target_failed(error))?;
            found = self.count_target(&now).await?;
            if !too_many(&found) {
                return Ok(());
            }
            self.stop_if_canceled()?;
        }
        let problem = Problem::new(Code::TargetWrittenTo).with("collection", &self.planned.target);
        Err(problem.with("found", found.whole).with("expected", whole).with("job", job_id).into())
    }

    /// What the source holds before it is compared. Only where nobody is to write, its stored segments are looked at.
    async fn look_before(&self, purpose: Purpose) -> Result<(Holding, BTreeSet<i64>), Stop> {
        match purpose {
            Purpose::CatchUp => Ok(Default::default()),
            Purpose::CutOver => {
                // Before the flush: behind it, a server may take long to load what it brings, and serves it all the while.
                let of_source = self.source_reader().await?;
                let is_complete = match of_source.wait_until_complete().await {
                    Ok(()) => true,
                    // Then nothing tells what a flush brings, either.
                    Err(ReadError::Server(error)) if error.kind() == ErrorKind::PermissionDenied => false,
                    Err(ReadError::Canceled) => return Err(Stop::Canceled),
                    Err(ReadError::Store(error)) => return Err(self.store_failed(error)),
                    Err(error @ (ReadError::Server(_) | ReadError::Protocol(_) | ReadError::Repair(_))) => {
                        return Err(self.source_stopped(&error));
                    }
                };
                let (look, brought) = self.stored_now().await?;
                let of_source = of_source.fresh().await.map_err(|error| self.source_failed(error))?;
                let brought = if is_complete { brought } else { BTreeSet::new() };
                Ok((self.held(&of_source, Some(look)).await?, brought))
            }
        }
    }

    async fn source_reader(&self) -> Result<crate::read::Reader, Stop> {
        let (job, planned) = (self.job, self.planned);
        let of_source =
            reader(Side::Source, &job.source, &planned.described, &planned.described, &job.cancel);
        of_source.fresh().await.map_err(|error| self.source_failed(error))
    }

    /// Rows that the target refused are tried again.
    async fn forget_refused(&self) -> Result<(), Stop> {
        for row in self.quarantined().await? {
            let released =
                self.job.store.release_quarantined(&self.job.attempt, self.position, row, false).await;
            released.map_err(|error| self.store_failed(error))?;
        }
        Ok(())
    }

    async fn compare_once(
        &self,
        made: &Collection,
        purpose: Purpose,
        brought: BTreeSet<i64>,
    ) -> Result<ComparedFacts, Stop> {
        let (job, planned) = (self.job, self.planned);
        self.forget_refused().await?;
        let tuning = RoundTuning {
            spans: SpanTuning {
                span_bytes: SpanTuning::default().span_bytes.min(job.tuning.page_bytes_target),
                ..SpanTuning::default()
            },
            ..RoundTuning::default()
        };
        let (observer, rows_total) = (&job.observer, planned.rows_estimate);
        let progress = |rows, bytes| {
            let collection = planned.source.clone();
            observer.on_event(Event::Compared { collection, rows, bytes, rows_total });
        };
        let part = |partition| RoundPart { partition, in_source: true, in_target: true };
        let pair = RoundPair {
            of: Mended {
                store: &*job.store,
                attempt: &job.attempt,
                position: self.position,
                worker: &job.worker,
                ttl: job.tuning.writer_ttl,
                target: &job.target,
                made,
                cancel: &job.cancel,
            },
            round: job.round.number().unwrap_or_default(),
            writers: match purpose {
                Purpose::CatchUp => Writers::GoOn,
                Purpose::CutOver => Writers::Stopped,
            },
            anew: purpose == Purpose::CutOver,
            trusted: job.course.trusted.filter(|_| purpose == Purpose::CutOver),
            keys: planned.keys,
            source: self.source_reader().await?.serving(brought),
            target: reader(Side::Target, &job.target, made, &planned.described, &job.cancel),
            parts: planned.parts().into_iter().map(part).collect(),
            set_aside: BTreeSet::new(),
            pace: &job.pace,
            budget: &job.budget,
            tuning: &tuning,
            progress: &progress,
        };
        Box::pin(pair.compare_and_mend()).await.map_err(|stop| self.not_compared(stop))
    }

    fn not_compared(&self, stop: RoundStop) -> Stop {
        if self.job.cancel.is_cancelled() {
            return Stop::Canceled;
        }
        match stop {
            RoundStop::Canceled
            | RoundStop::Mend(MendError::Canceled)
            | RoundStop::Compare(ReadError::Canceled) => Stop::Canceled,
            RoundStop::Mend(MendError::Store(error)) | RoundStop::Compare(ReadError::Store(error)) => {
                self.store_failed(error)
            }
            RoundStop::Mend(MendError::Source(error)) => self.source_stopped(&error),
            RoundStop::Mend(MendError::Target(error)) => self.target_stopped(&error),
            stop @ (RoundStop::Mend(_)
            | RoundStop::Compare(_)
            | RoundStop::Marks(_)
            | RoundStop::TooManyExtra(_)
            | RoundStop::Document(_)) => self.not_verified(stop),
        }
    }

    fn source_stopped(&self, error: &impl Failure) -> Stop {
        source_problem(self.planned, self.job.attempt.job_id(), error).into()
    }

    fn target_stopped(&self, error: &impl Failure) -> Stop {
        target_problem(self.planned, error).into()
    }

    /// Why a cut-over could not compare: that somebody writes to the source, if that can be seen.
    async fn or_drift(&mut self, purpose: Purpose, before: &Holding, stop: Stop) -> Stop {
        let is_told = match (&stop, purpose) {
            (Stop::Problem(problem), Purpose::CutOver) => {
                matches!(problem.code, Code::NotVerified) && !self.job.cancel.is_cancelled()
            }
            (Stop::Problem(_) | Stop::Canceled | Stop::InDoubt(_), _) => false,
        };
        if !is_told {
            return stop;
        }
        let looked = async {
            let of_source = self.source_reader().await?;
            let mut finding = Finding::new(&self.planned.source);
            self.look_for_drift(&of_source, before, &mut finding).await?;
            let writes = drift::writes_since(self.job, self.planned, before).await;
            writes.map_err(|error: Error| self.source_failed(error))
        };
        let Ok(writes) = looked.await else { return stop };
        let Some(report) = &mut self.report.drift else { return stop };
        drift::add_writes(report, writes);
        match report.drifted {
            true => {
                let problem = drift::problem(&self.planned.source, report);
                self.problems.push(problem);
                stop
            }
            false => stop,
        }
    }

    /// What both sides were apart, of all passes together, and what the target holds now.
    async fn tell_caught_up(&mut self, facts: &ComparedFacts) -> Result<(), Stop> {
        let before = self.report.caught_up.unwrap_or_default();
        let (read, set_aside) = rows_of(facts);
        self.report.caught_up = Some(CaughtUp {
            rows_compared: read - facts.rows_trusted.min(read),
            rows_trusted: facts.rows_trusted,
            bytes_read: before.bytes_read + facts.bytes,
            rows_missing: before.rows_missing + facts.missing,
            rows_changed: before.rows_changed + facts.changed,
            rows_extra: before.rows_extra + facts.extra,
        });
        let splits = self.job.store.splits(self.job.attempt.job_id(), self.position).await;
        let splits = splits.map_err(|error| self.store_failed(error))?;
        self.report.bytes = splits.iter().map(|split| split.progress.bytes).sum();
        self.report.rows = facts.target.whole;
        self.report.quarantined = self.quarantined().await?.len() as u64;
        let part = |(partition, rows, _): &(Option<String>, u64, u64)| PartitionReport {
            partition: partition.clone().unwrap_or_default(),
            rows_read: *rows,
            rows_written: match partition {
                Some(name) => facts.target.partitions.get(name).copied().unwrap_or_default(),
                None => facts.target.whole,
            },
        };
        self.report.partitions = facts.parts.iter().map(part).collect();
        let evidence = &mut self.report.evidence;
        evidence.copied = Some(CopiedRows { splits_open: 0, read, written: read - set_aside, set_aside });
        evidence.target = Some(facts.target.clone());
        let total = self.job.store.record_rows_total(&self.job.attempt, self.position, read).await;
        total.map_err(|error| self.store_failed(error))
    }

    /// What a comparison shows of which nobody is to have written meanwhile. Tells whether it is the last one: where segments
    /// of the source were rewritten, writes may hide, and all is compared once more.
    async fn prove_compared(
        &mut self,
        before: Holding,
        facts: &ComparedFacts,
        is_last: bool,
    ) -> Result<bool, Stop> {
        let of_source = self.source_reader().await?;
        let mut finding = Finding::new(&self.planned.source);
        let after = self.look_for_drift(&of_source, &before, &mut finding).await?;
        for ((partition, returned, _), counted) in facts.parts.iter().zip(after) {
            let explained = finding.explain(&of_source, partition.as_deref(), *returned, counted).await;
            explained.map_err(|error| self.not_verified(error))?;
        }
        let writes = drift::writes_since(self.job, self.planned, &before).await;
        self.stop_if_canceled()?;
        let writes = writes.map_err(|error| self.source_failed(error))?;
        let is_rewritten = matches!(writes, Writes::Unknown { reason: UnseenWrites::Rewritten });
        if is_rewritten && !is_last && self.problems.is_empty() {
            return Ok(false);
        }
        self.report.evidence.duplicate_rows = Some(finding.surplus.duplicates);
        self.report.evidence.unreadable_rows = Some(finding.surplus.unreadable);
        self.tell_expired(finding.expired());
        let duplicates = finding.surplus.duplicates;
        let (problems, warnings) = (&mut self.problems, &mut self.warnings);
        finding.conclude(self.job.request.duplicates, false, problems, warnings);
        self.tell_not_mended(facts);
        let level = self.job.level();
        let mut verification = new_verification(level);
        let (read, _) = rows_of(facts);
        verification.source_rows = self.report.evidence.source_after.as_ref().map_or(0, |after| after.sum());
        verification.target_rows = facts.target.whole;
        verification.counts_compared = facts.parts.len() as u64;
        verification.rows_compared = read - facts.rows_trusted.min(read);
        verification.duplicate_rows = duplicates;
        verification.passed = self.problems.is_empty();
        self.report.verification = Some(verification);
        self.tell_writes(Some(writes));
        if self.problems.is_empty() && facts.mended.are_complete() {
            self.report.evidence.verified = Some(level);
        }
        self.before = Some(before);
        Ok(true)
    }

    /// Rows of which nothing shows that they are equal now.
    fn tell_not_mended(&mut self, facts: &ComparedFacts) {
        let mended = facts.mended;
        let unclear = mended.left + mended.moved;
        if unclear > 0 {
            let en = format!("{unclear} row(s) came or went while they were compared");
            let detail = Told::both(en, format!("比对期间有 {unclear} 行出现或消失"));
            let problem = Problem::new(Code::NotVerified).with("collection", &self.planned.target);
            self.problems.push(problem.told("detail", detail));
        }
        if mended.repeated > 0 {
            let place = Told::both("duplicate primary keys on the source", "源集群上的重复主键");
            let problem = Problem::new(Code::RepeatedKeysDiffer).with("collection", &self.planned.source);
            self.warnings.push(problem.with("rows", mended.repeated).told("where", place));
        }
    }
}

/// Distinct rows of the source, and those of them that the target refuses.
fn rows_of(facts: &ComparedFacts) -> (u64, u64) {
    let read = facts.parts.iter().map(|(_, rows, _)| rows).sum::<u64>();
    (read, (facts.set_aside + facts.mended.refused).min(read))
}
