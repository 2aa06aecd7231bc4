//! A job is recorded and begun.

use super::claim;
use super::clock::Clock;
use super::control;
use super::history;
use super::migration::Migration;
use super::pace;
use super::quarantine;
use super::round::{Beginning, Round};
use super::run::{Job, SOURCE_LOAD_UNITS};
use super::times::Times;
use crate::cluster::connect::refusal;
use crate::cluster::inventory;
use crate::cluster::shared_flush::SharedFlush;
use crate::copy::Pace;
use crate::event::{Event, Observer};
use crate::plan::stored::{write_plan, write_request};
use crate::plan::{PlannedCollection, SourceChange};
use crate::problem::store_problem;
use crate::problem::{Code, Problem, Side, Told, Worded, words_of};
use crate::rate::MaxRate;
use crate::report::Report;
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vecferry_store::{
    Attempt, JobId, JobKind, JobRecord, JobState, NewCollectionRecord, NewJob, Store, WorkerId,
};

/// Collections that are looked at once more before the start, at once.
const LOOKS_PARALLEL: usize = 8;

impl Migration {
    /// Records the job, which is PENDING from then on, and gives its ID. Whoever knows that can ask the store how the job
    /// is while [`Migration::run`] carries it out.
    ///
    /// # Errors
    /// The source is not any more what was planned, the target does not take what was in doubt, or the job can't be
    /// recorded: nothing was written anywhere.
    pub async fn create(
        &mut self,
        store: &dyn Store,
        cancel: &CancellationToken,
    ) -> Result<JobId, Vec<Problem>> {
        if self.record.is_none() {
            let record = self.create_record(store, cancel).await?;
            (self.record, self.is_created_now) = (Some(record), true);
        }
        Ok(self.job_id.clone())
    }

    async fn create_record(
        &mut self,
        store: &dyn Store,
        cancel: &CancellationToken,
    ) -> Result<JobRecord, Vec<Problem>> {
        self.look_before_start(cancel).await?;
        self.record_new(store).await.map_err(|problem| vec![problem])
    }

    /// Carries the plan out, and records every step in the store. Ends with a report whatever happens; the source is put
    /// back into the load state it had.
    ///
    /// # Errors
    /// As [`Migration::create`], or another job has one of the names, or another process works on this one: nothing was
    /// written anywhere.
    pub async fn run(
        mut self,
        store: &Arc<dyn Store>,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<Report, Vec<Problem>> {
        let clock = Clock::start();
        let is_new = self.record.is_none();
        let record = match self.record.clone() {
            Some(record) => {
                if record.attempt == 0 && !self.is_created_now {
                    self.look_before_start(&cancel).await?;
                }
                record
            }
            None => self.create_record(&**store, &cancel).await?,
        };
        let attempt = store
            .begin_attempt(&record.job_id)
            .await
            .map_err(|error| vec![store_problem(&**store, record.job_id.as_str(), &error)])?;
        if let Err(problem) = claim::reserve(&**store, &attempt, &self.target, &self.plan.collections).await {
            self.take_back(&**store, &attempt, record, is_new).await.map_err(|problem| vec![problem])?;
            return Err(vec![problem]);
        }
        let begun = Round::begin(&**store, &attempt, &record, self.next, clock.started_at()).await;
        let begun = match begun {
            Ok(Beginning::Round(begun)) => begun,
            Ok(Beginning::AtRest(report)) => {
                return rest(&**store, &attempt, &report, clock.now()).await.map_err(|problem| vec![problem]);
            }
            Err(problem) => {
                self.take_back(&**store, &attempt, record, is_new).await.map_err(|problem| vec![problem])?;
                return Err(vec![problem]);
            }
        };
        let max_rate = self.max_rate_in_force(&**store, &record.job_id).await;
        let max_rate = max_rate.map_err(|problem| vec![problem])?;
        observer.on_event(Event::MaxRate { max_rate });
        let looked = pace::Looked::new(&**store);
        let of_target = self.resources.cluster(self.target.endpoint());
        let (recorder, mut recording) = history::record(observer, store, &attempt);
        let job = Job {
            round: begun.round,
            course: begun.course,
            done_before: begun.done,
            store: Arc::clone(store),
            attempt,
            worker: WorkerId::generate(),
            budget: self.resources.budget(),
            pace: Arc::new(Pace::new(Arc::clone(&of_target.places), max_rate)),
            source_loads: Semaphore::new(
                self.request.source_load_parallel.max(1) * SOURCE_LOAD_UNITS as usize,
            ),
            limits: self.resources.limits(),
            of_source: self.resources.cluster(self.source.endpoint()),
            of_target,
            indexes_behind_all: self.plan.collections.len() > 1,
            target_sorts: AtomicBool::new(true),
            flushes: SharedFlush::new(),
            source_flushes: SharedFlush::new(),
            source_flushed: Mutex::default(),
            copying: Mutex::new(None),
            times: Times::begin(&record),
            sample_seed: record.sample_seed,
            observer: Arc::new(recorder),
            cancel,
            tuning: self.tuning,
            dispatcher: self.dispatcher,
            counted_at: self.counted_at,
            request: self.request,
            source: self.source,
            target: self.target,
        };
        let (job_id, number) = (&record.job_id, job.attempt.number());
        let mut report = {
            let span = tracing::info_span!("job", %job_id, attempt = number);
            let work = job.carry_out(&self.plan, &record, &clock).instrument(span);
            tokio::pin!(work);
            tokio::select! {
                report = &mut work => report,
                // Both end only with the work.
                never = control::obey(&job, &looked) => match never {},
                never = recording.go_on() => match never {},
            }
        };
        recording.finish().await;
        report.pace = Some(looked.report(&job));
        let written = match job.round.purpose() {
            Some(_) => quarantine::write_as_recorded(&**store, &record.job_id).await,
            None => quarantine::write(&**store, &record.job_id, &self.plan).await,
        };
        match written {
            Ok(file) => report.quarantine_file = file,
            // The record holds the rows as well.
            Err(problem) => report.problems.push(problem),
        }
        job.record_end(&mut report).await;
        Ok(report)
    }

    /// Looks at both sides right before the job is recorded or, if that was long ago, begun.
    async fn look_before_start(&mut self, cancel: &CancellationToken) -> Result<(), Vec<Problem>> {
        self.refuse_changed_source().await?;
        // Rows of what a server does not know may harm it: it is asked first, whoever starts the job.
        if self.plan.warnings.iter().any(|warning| warning.code == Code::TargetMayNotHold) {
            Box::pin(self.probe_write(cancel)).await?;
        }
        Ok(())
    }

    /// Whatever the plan was waiting for, a confirmation or its turn, the source may have changed meanwhile. A job that copies
    /// in rounds takes the partitions and aliases of now, or follows them in its next round if its plan is recorded already.
    async fn refuse_changed_source(&mut self) -> Result<(), Vec<Problem>> {
        let source = &self.source;
        let look = |planned: &PlannedCollection| {
            let name = planned.source.clone();
            async move { inventory::look(source, &name).await }
        };
        let looks: Vec<_> = self.plan.here().map(|(_, planned)| look(planned)).collect();
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_PARALLEL).collect().await;
        let (mut problems, mut followed) = (Vec::new(), Vec::new());
        for ((position, planned), now) in self.plan.here().zip(looks) {
            let now = now.map_err(|error| vec![refusal(Side::Source, &error)])?;
            let mut changes = match &now {
                Some(now) => planned.changes_of_source(&now.described, &now.partitions, &now.aliases),
                None => vec![SourceChange::Dropped],
            };
            if self.request.warm {
                changes.retain(|change| !change.can_be_followed());
                followed.extend(now.map(|now| (position, now)));
            }
            if !changes.is_empty() {
                let problem = Problem::new(Code::PlanOutdated).with("collection", &planned.source);
                problems.push(problem.told("detail", Told::parts(&SourceChange::all_told(&changes))));
            }
        }
        for (position, now) in followed.into_iter().filter(|_| self.record.is_none()) {
            if let Some(planned) = self.plan.collections.get_mut(position.index()) {
                planned.follow(now.partitions, now.aliases);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// A job that may not begin leaves the record as it was.
    async fn take_back(
        self,
        store: &dyn Store,
        attempt: &Attempt,
        record: JobRecord,
        is_new: bool,
    ) -> Result<(), Problem> {
        let done = match record.ended_at {
            _ if is_new => store.remove_job(attempt).await,
            Some(ended_at) => {
                let report = record.report.unwrap_or_default();
                store.end_attempt(attempt, record.state, report, ended_at).await
            }
            None if record.attempt == 0 => {
                store.end_attempt(attempt, JobState::Pending, String::new(), record.created_at).await
            }
            // It died, and still is as it was then.
            None => Ok(()),
        };
        done.map_err(|error| store_problem(store, attempt.job_id().as_str(), &error))
    }

    /// Records another limit, if one is wanted, and gives the one in force.
    async fn max_rate_in_force(&self, store: &dyn Store, job_id: &JobId) -> Result<Option<MaxRate>, Problem> {
        let failed = |error| store_problem(store, job_id.as_str(), &error);
        if let Some(max_rate) = self.max_rate {
            store.set_max_rate(job_id, MaxRate::stored(max_rate)).await.map_err(failed)?;
        }
        let control = store.control(job_id).await.map_err(failed)?;
        MaxRate::of_stored(control.max_rate.as_deref())
            .map_err(|problem| control::unreadable(store, &problem))
    }

    /// Records a new job before anything is written.
    async fn record_new(&self, store: &dyn Store) -> Result<JobRecord, Problem> {
        let job_id = self.job_id.clone();
        let failed = |error: &dyn Worded| {
            let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
            problem.told("detail", words_of(error))
        };
        let collections = self.plan.collections.iter().map(|planned| NewCollectionRecord {
            source: planned.source.to_string(),
            target: planned.target.to_string(),
            rows_total: planned.rows_estimate,
        });
        let new = NewJob {
            job_id: job_id.clone(),
            kind: if self.request.warm { JobKind::Warm } else { JobKind::Plain },
            source: self.source.endpoint().to_string(),
            target: self.target.endpoint().to_string(),
            request: write_request(&self.request).map_err(|error| failed(&error))?,
            plan: write_plan(&self.plan).map_err(|error| failed(&error))?,
            sample_seed: rand::random(),
            created_at: Clock::start().started_at(),
            databases: self.plan.new_databases.clone(),
            collections: collections.collect(),
            max_rate: MaxRate::stored(self.max_rate.flatten()),
        };
        let recorded = async {
            store.create_job(new).await?;
            store.job(&job_id).await
        };
        recorded.await.map_err(|error| store_problem(store, job_id.as_str(), &error))
    }
}

/// Leaves a job READY as it was when its last round came to its end.
async fn rest(store: &dyn Store, attempt: &Attempt, report: &str, now: String) -> Result<Report, Problem> {
    let job_id = attempt.job_id();
    let mut report: Report =
        serde_json::from_str(report).map_err(|error| control::unreadable(store, &error))?;
    report.state = JobState::Ready;
    report.problems.clear();
    let document = serde_json::to_string(&report).map_err(|error| control::unreadable(store, &error))?;
    let ended = store.end_attempt(attempt, JobState::Ready, document, now).await;
    ended.map_err(|error| store_problem(store, job_id.as_str(), &error))?;
    Ok(report)
}
