//! A job that is carried out: its collections, one beside the other, and its end.

use super::claim;
use super::clock::Clock;
use super::collection;
use super::conclusion::Asked;
use super::conclusion::Shown;
use super::conclusion::conclude;
use super::copying::Copying;
use super::drift;
use super::drift::Holding;
use super::end;
use super::next_round::Purpose;
use super::round::{Course, DoneInRound, Round};
use super::times::Times;
use crate::cluster::load_state::memory_estimate;
use crate::cluster::shared_flush::SharedFlush;
use crate::cluster::waits;
use crate::copy::{Budget, Dispatcher, Pace};
use crate::copy::{ClusterShare, Limits};
use crate::event::{Event, Observer, Phase};
use crate::plan::estimate::{DurationEstimate, EstimateReport};
use crate::plan::{Plan, PlannedCollection};
use crate::problem::store_failed;
use crate::problem::{Code, Problem, Told, Worded};
use crate::rbac;
use crate::report::{CollectionReport, Report, UnseenWrites, Writes, new_report};
use crate::request::{MigrateRequest, VerifyLevel};
use crate::tuning::Tuning;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_milvus::{Client, CollectionName, Flavor, FlushHandle};
use vecferry_store::{Attempt, JobId, JobRecord, JobState, Position, Store, WorkerId};

/// A large one counts for so many: more of these only divide the same servers among more copies.
const COLLECTION_UNITS: u32 = 8;
/// So many small collections of the source may be loaded instead of a large one.
pub(super) const SOURCE_LOAD_UNITS: u32 = 8;
/// How often collections are compared once more at the end of a cut-over.
const REWRITTEN_TIMES_MAX: u32 = 2;
/// Up to this size in the memory of a server a collection is small.
const SMALL_BYTES_MAX: u64 = 16 << 20;

/// What the collections of a job share.
pub(crate) struct Job {
    pub(super) request: MigrateRequest,
    pub(super) source: Client,
    pub(super) target: Client,
    /// What the attempt is a part of.
    pub(super) round: Round,
    /// What is recorded of that.
    pub(super) course: Course,
    /// What earlier attempts of the round completed.
    pub(super) done_before: DoneInRound,
    pub(super) store: Arc<dyn Store>,
    pub(super) attempt: Attempt,
    /// What this process writes as.
    pub(super) worker: WorkerId,
    pub(super) budget: Budget,
    pub(super) pace: Arc<Pace>,
    /// What this job may hold loaded of the source at once: [`SOURCE_LOAD_UNITS`] for each collection, one for a small one.
    pub(super) source_loads: Semaphore,
    pub(super) limits: Limits,
    /// What it shares with other jobs of the same source.
    pub(super) of_source: Arc<ClusterShare>,
    /// What it shares with other jobs of the same target.
    pub(super) of_target: Arc<ClusterShare>,
    /// The planned indexes of collections that are compared without them are begun when all are compared. A 2.5.10 that built
    /// those of one collection had another one wait for its comparison for as long (2,000 rows: four minutes).
    pub(super) indexes_behind_all: bool,
    /// The target sorts what it stores, as far as was seen.
    pub(super) target_sorts: AtomicBool,
    /// Flushes of the target.
    pub(super) flushes: SharedFlush<FlushHandle>,
    /// Flushes of the source, after which its stored segments hold all rows.
    pub(super) source_flushes: SharedFlush<FlushHandle>,
    /// When collections of the source were flushed last.
    pub(super) source_flushed: Mutex<BTreeMap<CollectionName, Instant>>,
    /// When the first row was copied and when the last.
    pub(super) copying: Mutex<Option<(Instant, Instant)>>,
    /// How long it is worked on.
    pub(super) times: Times,
    pub(super) sample_seed: u64,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) cancel: CancellationToken,
    pub(super) tuning: Tuning,
    /// Who copies splits, if not this process.
    pub(super) dispatcher: Option<Arc<dyn Dispatcher>>,
    /// When the rows of the plan were counted, if that is to tell whether somebody writes.
    pub(super) counted_at: Option<Instant>,
}

/// What a collection's part of a job came to.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Ended {
    pub(crate) report: CollectionReport,
    /// What the source held before a cut-over compared it; absent where it was copied in one go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Holding>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    /// When its source was begun to be looked at for the last time; none if that was an earlier attempt, or rows of it
    /// were read after that.
    #[serde(skip)]
    pub(crate) looked_at: Option<Instant>,
    /// It was compared, and is to be gone on with when all others were compared as well. That is not recorded: another
    /// attempt compares it again.
    #[serde(skip)]
    pub(crate) is_put_off: bool,
}

impl Job {
    pub(super) async fn carry_out(&self, plan: &Plan, record: &JobRecord, clock: &Clock) -> Report {
        if self.course.is_switching {
            return self.carry_on_switch(plan, record, clock).await;
        }
        let mut problems = Vec::new();
        if let Err(problem) = self.create_databases().await {
            problems.push(problem);
        }
        let followed = match self.round.purpose() {
            Some(_) if problems.is_empty() => {
                let followed = Box::pin(self.follow_source(plan)).await;
                followed.map_err(|found| problems.extend(found)).ok()
            }
            Some(_) | None => None,
        };
        // Whatever a call said that nobody waited for.
        if followed.is_none() && self.round.purpose().is_some() && self.cancel.is_cancelled() {
            return self.canceled_before_all(plan, record, clock);
        }
        let (followed, mut not_followed) = followed.unzip();
        let plan = followed.as_ref().unwrap_or(plan);
        let (mut ended, mut came) = (Vec::new(), Vec::new());
        let mut rbac = None;
        if problems.is_empty() {
            if !self.round.writes_go_on() {
                rbac = rbac::carry_out(&self.rbac_work(), plan.rbac.as_ref(), &mut problems).await;
            }
            ended = self.collections(plan).await;
            if self.round.purpose() == Some(Purpose::CutOver) {
                came = self.came_to_source(plan).await;
                problems.extend(self.aliases_of_others(plan).await);
            }
            // The last thing in front of a switch.
            self.look_at_end(plan, &mut ended).await;
            if self.round.purpose() == Some(Purpose::CutOver) {
                self.compare_rewritten(plan, &mut ended).await;
            }
            self.record_drift(plan, &mut ended).await;
            if self.round.purpose() != Some(Purpose::CutOver) {
                came = self.came_to_source(plan).await;
            }
            self.forget_canceled_look(&mut ended);
        }
        let mut report = self.report_of(plan, record, clock);
        report.warnings = rbac::warnings(plan, rbac.as_ref());
        report.warnings.extend(not_followed.take().unwrap_or_default());
        (report.rbac, report.problems) = (rbac, problems);
        for outcome in ended {
            report.problems.extend(outcome.problems);
            report.warnings.extend(outcome.warnings);
            report.collections.push(outcome.report);
        }
        let is_let_pass =
            self.request.allow_drift || came.iter().all(|came| came.code == Code::CollectionsCame);
        let of_came = if is_let_pass { &mut report.warnings } else { &mut report.problems };
        of_came.append(&mut came);
        let unseen = drift::unseen(&report);
        report.warnings.extend(unseen);
        if !self.round.writes_go_on() {
            report.warnings.extend(end::deletes_unseen(plan, &report, self.round));
        }
        let asked: Vec<_> = plan.here().map(|(_, planned)| self.asked(planned)).collect();
        if self.may_switch(&report, &asked) {
            self.switch(plan, &mut report).await;
        }
        self.tell_writes_of_cut_over(&mut report);
        self.tell_times(&mut report, clock);
        let shown = match self.round.writes_go_on() {
            true => Shown::Ready(plan.here().count()),
            false => Shown::Job(asked),
        };
        conclude(&mut report, shown, self.cancel.is_cancelled());
        if report.state == JobState::Ready {
            report.warnings.insert(0, Problem::new(Code::NotProven).with("job", &report.job_id));
        }
        report
    }

    /// The report of a round that was canceled before it came to any collection.
    fn canceled_before_all(&self, plan: &Plan, record: &JobRecord, clock: &Clock) -> Report {
        let mut report = self.report_of(plan, record, clock);
        report.collections.extend(
            plan.here()
                .map(|(_, planned)| CollectionReport { phase: Phase::Canceled, ..new_report(planned) }),
        );
        conclude(&mut report, Shown::Ready(plan.here().count()), true);
        report
    }

    /// Goes on with a switch that an earlier attempt began: what was proved before stays, and nothing else is looked at.
    async fn carry_on_switch(&self, plan: &Plan, record: &JobRecord, clock: &Clock) -> Report {
        let mut report = self.report_of(plan, record, clock);
        match self.proved().await {
            Ok(proved) => {
                let Report { collections, warnings, rbac, .. } = proved;
                (report.collections, report.warnings, report.rbac) = (collections, warnings, rbac);
                self.finish_switch(plan, &mut report).await;
            }
            Err(problem) => report.problems.push(problem),
        }
        self.tell_times(&mut report, clock);
        let asked = plan.here().map(|(_, planned)| self.asked(planned)).collect();
        conclude(&mut report, Shown::Job(asked), self.cancel.is_cancelled());
        report
    }

    /// Says of a cut-over in which the source was seen to change that it switched nothing.
    fn tell_writes_of_cut_over(&self, report: &mut Report) {
        let is_write = |problem: &Problem| matches!(problem.code, Code::Drift | Code::SourceObjectsChanged);
        if self.round.purpose() == Some(Purpose::CutOver) && report.problems.iter().any(is_write) {
            let problem = Problem::new(Code::CutOverDrift).with("job", &report.job_id);
            report.problems.insert(0, problem);
            // The job is as it was before.
            report.warnings.insert(0, Problem::new(Code::NotProven).with("job", &report.job_id));
        }
    }

    fn tell_times(&self, report: &mut Report, clock: &Clock) {
        report.ended_at = clock.now();
        (report.seconds, report.last_attempt_seconds) = (self.times.seconds(), clock.seconds());
    }

    /// The report of an attempt that has not come to anything yet.
    fn report_of(&self, plan: &Plan, record: &JobRecord, clock: &Clock) -> Report {
        Report {
            job_id: record.job_id.clone(),
            kind: self.round.job_kind(),
            // Until the facts show otherwise.
            state: JobState::Failed,
            vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
            source: plan.source.clone(),
            target: plan.target.clone(),
            started_at: record.created_at.clone(),
            ended_at: clock.now(),
            seconds: self.times.seconds(),
            last_attempt_seconds: clock.seconds(),
            attempts: self.attempt.number().unsigned_abs(),
            verify: self.level(),
            verified: self.level(),
            sample_seed: self.sample_seed,
            rounds: Vec::new(),
            collections: Vec::new(),
            warnings: Vec::new(),
            rbac: None,
            resource_groups: plan.resource_groups.clone(),
            problems: Vec::new(),
            estimate: plan.duration.as_ref().map(|estimate| self.estimate_report(estimate)),
            pace: None,
            quarantine_file: None,
        }
    }

    pub(super) fn asked(&self, planned: &PlannedCollection) -> Asked {
        Asked {
            verify: self.level(),
            allow_drift: self.request.allow_drift,
            expires: drift::expires(planned),
        }
    }

    pub(super) fn estimate_report(&self, estimate: &DurationEstimate) -> EstimateReport {
        let window = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = window.map(|(begin, end)| (end - begin).as_secs_f64());
        EstimateReport {
            seconds_estimated: Some(estimate.seconds),
            copy_seconds_estimated: estimate.copy_seconds,
            index_seconds_estimated: estimate.index_seconds,
            // What an earlier attempt copied took its time then.
            copy_seconds: seconds.filter(|_| self.attempt.number() == 1),
        }
    }

    /// Rows were copied from a moment until now.
    pub(super) fn copied_since(&self, begin: Instant) {
        let mut window = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let first = window.map_or(begin, |(first, _)| first.min(begin));
        *window = Some((first, Instant::now()));
    }

    pub(super) fn claim<'a>(
        &'a self,
        position: Position,
        planned: &'a PlannedCollection,
    ) -> claim::Claim<'a> {
        let (store, attempt, target) = (&*self.store, &self.attempt, &self.target);
        claim::Claim { store, attempt, target, planned, position }
    }

    pub(super) fn copying(&self) -> Copying {
        Copying {
            target: self.target.clone(),
            store: Arc::clone(&self.store),
            job_id: self.attempt.job_id().clone(),
            verify: self.request.verify,
            writes_go_on: self.round.writes_go_on(),
            sample_seed: self.sample_seed,
            budget: self.budget.clone(),
            pace: Arc::clone(&self.pace),
            observer: Arc::clone(&self.observer),
            tuning: self.tuning,
            cancel: self.cancel.clone(),
        }
    }

    pub(super) fn rbac_work(&self) -> rbac::Work<'_> {
        rbac::Work { target: &self.target, store: &*self.store, attempt: &self.attempt, cancel: &self.cancel }
    }

    /// All collections, begun in their order.
    pub(super) async fn collections(&self, plan: &Plan) -> Vec<Ended> {
        let mut waiting = plan.here();
        let (mut running, mut ended) = (FuturesUnordered::new(), Vec::new());
        loop {
            while running.len() < self.limits.collections_max.max(1) as usize
                && let Some((position, planned)) = waiting.next()
            {
                running.push(Box::pin(self.in_turn(position, planned)));
            }
            match running.next().await {
                Some(one) => ended.push(one),
                None => break,
            }
        }
        ended.sort_unstable_by_key(|(position, _)| *position);
        let ended = ended.into_iter().map(|(_, ended)| ended).collect();
        self.complete_put_off(plan, ended).await
    }

    /// Compares the collections once more whose segments the source rewrote while others were compared: writes may hide
    /// behind that.
    async fn compare_rewritten(&self, plan: &Plan, ended: &mut [Ended]) {
        let is_rewritten = |ended: &Ended| {
            let writes = ended.report.drift.as_ref().and_then(|drift| drift.writes);
            let unknown = Some(Writes::Unknown { reason: UnseenWrites::Rewritten });
            ended.report.phase == Phase::Done && writes == unknown
        };
        for _ in 0..REWRITTEN_TIMES_MAX {
            let again = ended.iter_mut().zip(plan.here()).filter(|(ended, _)| is_rewritten(ended));
            let again: Vec<_> = again
                .map(|(ended, (position, planned))| async move {
                    *ended = self.in_turn(position, planned).await.1;
                })
                .collect();
            if again.is_empty() || self.cancel.is_cancelled() {
                return;
            }
            stream::iter(again)
                .buffer_unordered(self.limits.collections_max.max(1) as usize)
                .collect::<Vec<()>>()
                .await;
            self.look_at_end(plan, ended).await;
        }
        for (ended, (_, planned)) in
            ended.iter_mut().zip(plan.here()).filter(|(ended, _)| is_rewritten(ended))
        {
            let en = "the source kept rewriting its segments, so that writes may hide behind that";
            let detail = Told::both(en, "源集群一直在重写 Segment，其间的写入可能无法发现");
            let problem = Problem::new(Code::NotVerified).with("collection", &planned.source);
            ended.problems.push(problem.told("detail", detail));
        }
    }

    /// Goes on with the collections that waited for all others to be compared.
    async fn complete_put_off(&self, plan: &Plan, ended: Vec<Ended>) -> Vec<Ended> {
        let each: Vec<_> = ended
            .into_iter()
            .zip(plan.here())
            .map(|(ended, (position, planned))| self.complete(position, planned, ended))
            .collect();
        stream::iter(each).buffered(self.limits.collections_max.max(1) as usize).collect().await
    }

    async fn complete(&self, position: Position, planned: &PlannedCollection, ended: Ended) -> Ended {
        if !ended.is_put_off {
            return ended;
        }
        let span = tracing::info_span!("collection", name = %planned.source);
        let work = collection::complete(self, position, planned, ended).instrument(span);
        let ended = Box::pin(self.watched(planned, work)).await;
        self.record_if_done(position, ended).await
    }

    /// One collection, when there is room for it.
    pub(super) async fn in_turn(&self, position: Position, planned: &PlannedCollection) -> (Position, Ended) {
        let is_small = memory_estimate(&planned.described, planned.rows_estimate) <= SMALL_BYTES_MAX;
        let units = match self.target.version().flavor {
            Flavor::Milvus if is_small => 1,
            Flavor::Milvus => COLLECTION_UNITS.min(self.limits.collections_max.max(1)),
            // It keeps aliases and databases in files that two calls at once break (measured on milvus-lite 3.2.2), and
            // its steps take no time that others could use.
            Flavor::LiteNative | Flavor::LitePython => self.limits.collections_max.max(1),
        };
        // Never closed; if it were, the collection would only be less bounded.
        let _units = self.of_target.under_way.acquire_many(units).await;
        (position, self.collection(position, planned).await)
    }

    /// Works on a collection; what that waits for is told of it.
    pub(super) async fn watched<Answer>(
        &self,
        planned: &PlannedCollection,
        work: impl Future<Output = Answer>,
    ) -> Answer {
        let observer = Arc::clone(&self.observer);
        waits::of_collection(observer, &planned.source, self.tuning, work).await
    }

    /// One collection. What an earlier attempt completed is counted again, and only copied if that attempt did not record
    /// what its success is concluded from.
    pub(super) async fn collection(&self, position: Position, planned: &PlannedCollection) -> Ended {
        if let Some(ended) = self.done_in_round(position) {
            let (collection, phase) = (planned.source.clone(), ended.report.phase);
            let (rows, bytes) = (ended.report.rows, ended.report.bytes);
            self.observer.on_event(Event::Resumed { collection: collection.clone(), rows, bytes });
            self.observer.on_event(Event::Phase { collection, phase });
            return ended;
        }
        let record = self.store.collection(self.attempt.job_id(), position).await;
        if let Ok(record) = &record
            && let Some(document) = record.report.as_ref().filter(|_| record.done)
            && let Ok(mut complete) = serde_json::from_str::<Ended>(document)
            && complete.report.evidence.verified == Some(self.request.verify)
        {
            let (collection, rows) = (planned.source.clone(), complete.report.rows);
            self.observer.on_event(Event::Resumed {
                collection: collection.clone(),
                rows,
                bytes: complete.report.bytes,
            });
            let work = collection::count_again(self, planned, &mut complete);
            Box::pin(self.watched(planned, work)).await;
            self.observer.on_event(Event::Phase { collection, phase: complete.report.phase });
            return complete;
        }
        let span = tracing::info_span!("collection", name = %planned.source);
        let work = collection::migrate(self, position, planned).instrument(span);
        let ended = Box::pin(self.watched(planned, work)).await;
        self.record_if_done(position, ended).await
    }

    async fn record_if_done(&self, position: Position, mut ended: Ended) -> Ended {
        if ended.report.phase == Phase::Done
            && let Err(problem) = self.record_done(position, &ended).await
        {
            ended.problems.push(problem);
        }
        ended
    }

    pub(super) async fn record_done(&self, position: Position, ended: &Ended) -> Result<(), Problem> {
        let failed = |error: &dyn Worded| store_failed(self.attempt.job_id(), error);
        let document = serde_json::to_string(ended).map_err(|error| failed(&error))?;
        let recorded = match self.round {
            Round::Plain => self.store.record_done(&self.attempt, position, document).await,
            Round::Numbered { .. } => self.store.record_round_done(&self.attempt, position, document).await,
        };
        recorded.map_err(|error| failed(&error))
    }

    /// The job is not over before its end is recorded.
    pub(super) async fn record_end(&self, report: &mut Report) {
        let recorded = async {
            let failed = |error: &dyn Worded| store_failed(self.attempt.job_id(), error);
            report.rounds = self.rounds(report).await?;
            let document = serde_json::to_string(&*report).map_err(|error| failed(&error))?;
            let timed = self.times.record(&*self.store, &self.attempt).await;
            timed.map_err(|error| failed(&error))?;
            self.end_attempt(report, document).await.map_err(|error| failed(&error))
        };
        if let Err(problem) = recorded.await {
            report.problems.push(problem);
            report.rounds.clear();
            report.state = JobState::Failed;
            report.verified = VerifyLevel::None;
        }
    }
}

/// What a collection takes of [`Job::source_loads`] while it is loaded.
pub(super) fn source_load_units(memory_bytes: u64) -> u32 {
    if memory_bytes <= SMALL_BYTES_MAX { 1 } else { SOURCE_LOAD_UNITS }
}

/// What a collection takes of [`Limits::target_loads_max`] while it is loaded.
pub(super) fn target_load_units(memory_bytes: u64, limits: Limits) -> u32 {
    if memory_bytes <= SMALL_BYTES_MAX { 1 } else { limits.target_loads_max.max(1) }
}

/// What the job made under a name is gone, or another collection has the name.
pub(super) fn replaced(planned: &PlannedCollection, job_id: &JobId) -> Problem {
    Problem::new(Code::TargetReplaced)
        .with("collection", &planned.target)
        .with("job", job_id)
        .told("detail", Told::both("it was dropped or replaced", "它已被删除或替换"))
}
