//! Jobs from their beginning to their end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{
    Client, Collection, CollectionName, Consistency, Endpoint, Flavor, FlushHandle, KeyField,
};
use vecferry_policy::{Product, can_be_named, limits};
use vecferry_store::{
    Attempt, JobId, JobRecord, JobState, NewCollectionRecord, NewJob, Position, Store, WorkerId,
};

use crate::checks::fields::unreadable_key;
use crate::checks::{self, Check, CheckId, CheckList};
use crate::connect::{Side, cluster, connect, denied, on_one_machine, product, refusal};
use crate::copy::{Budget, Dispatcher, Pace};
use crate::duration::{self, Circumstances, DurationEstimate, EstimateReport, StepCosts};
use crate::event::{Awaited, Event, Observer, Phase};
use crate::inventory::{self, Found};
use crate::limits::{ClusterShare, Limits, Resources};
use crate::plan::file::{PlanFile, outdated};
use crate::plan::stored::{write_plan, write_request};
use crate::plan::{Plan, PlannedCollection};
use crate::precheck;
use crate::problem::{Code, Problem, Told};
use crate::proof::Reader;
use crate::rate::MaxRate;
use crate::rbac;
use crate::report::{CollectionReport, Evidence, Report, Verification};
use crate::request::{Duplicates, MigrateRequest, VerifyLevel, VerifyRequest};
use crate::retry::until_canceled;
use crate::source_load::memory_estimate;
use crate::tuning::Tuning;
use crate::visible;
use crate::waits::{self, observed, shown};

pub(crate) mod claim;
mod collection;
mod comparison;
mod conclusion;
mod control;
mod copying;
pub(crate) mod drift;
mod dry;
mod end;
mod every_row;
mod history;
mod load;
mod pace;
mod quarantine;
mod resume;
mod shared_flush;
mod times;
mod without_keys;
pub(crate) mod worker;
mod writers;
mod writes;

pub(crate) use collection::splits_expected;
use conclusion::{Asked, Shown, conclude};
pub use control::{Canceled, RateSet, cancel, set_max_rate};
use copying::Copying;
pub use drift::updates_unseen;
pub use dry::{DryCollection, DryRunReport};
pub use history::{Passed, history};
pub use load::load;
pub use resume::Resumed;
use shared_flush::SharedFlush;
use times::Times;

/// A large one counts for so many: more of these only divide the same servers among more copies.
const COLLECTION_UNITS: u32 = 4;
/// Up to this size in the memory of a server a collection is small.
const SMALL_BYTES_MAX: u64 = 16 << 20;
/// Collections that are looked at once more at the end, at once.
const LOOKS_PARALLEL: usize = 8;
/// With fewer collections, measuring their steps takes a large part of the time that the job takes.
const MEASURED_COLLECTIONS_MIN: usize = 64;

/// A migration that was checked and can start.
#[derive(Debug)]
pub struct Migration {
    request: MigrateRequest,
    source: Client,
    target: Client,
    plan: Plan,
    checks: Vec<Check>,
    job_id: JobId,
    /// As it is recorded; none before that.
    record: Option<JobRecord>,
    /// Whether it was recorded through this handle, and not begun yet.
    is_created_now: bool,
    tuning: Tuning,
    resources: Resources,
    dispatcher: Option<Arc<dyn Dispatcher>>,
    /// Another limit of the data rate than the recorded one.
    max_rate: Option<Option<MaxRate>>,
}

/// What the pre-check came to.
#[derive(Debug)]
pub struct PreCheck {
    /// Every check and its outcome.
    pub checks: Vec<Check>,
    /// Everything that stands in the way.
    pub refusals: Vec<Problem>,
    /// The migration, if nothing does.
    pub migration: Option<Migration>,
}

impl PreCheck {
    /// The migration, or everything that stands in its way.
    ///
    /// # Errors
    /// See [`PreCheck::refusals`].
    pub fn into_result(self) -> Result<Migration, Vec<Problem>> {
        self.migration.ok_or(self.refusals)
    }
}

/// What the collections of a job share.
pub(crate) struct Job {
    request: MigrateRequest,
    source: Client,
    target: Client,
    /// Freshness of all pages, from one timestamp for the whole job.
    consistency: Consistency,
    store: Arc<dyn Store>,
    attempt: Attempt,
    /// What this process writes as.
    worker: WorkerId,
    budget: Budget,
    pace: Arc<Pace>,
    /// Source collections that this job may hold loaded at once.
    source_loads: Semaphore,
    limits: Limits,
    /// What it shares with other jobs of the same source.
    of_source: Arc<ClusterShare>,
    /// What it shares with other jobs of the same target.
    of_target: Arc<ClusterShare>,
    /// Flushes of the target.
    flushes: SharedFlush<FlushHandle>,
    /// Flushes of the source, after which its stored segments hold all rows.
    source_flushes: SharedFlush<FlushHandle>,
    /// When the first row was copied and when the last.
    copying: Mutex<Option<(Instant, Instant)>>,
    /// How long it is worked on.
    times: Times,
    sample_seed: u64,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
    tuning: Tuning,
    /// Who copies splits, if not this process.
    dispatcher: Option<Arc<dyn Dispatcher>>,
}

impl Migration {
    /// Connects to both clusters, checks everything that can be known before the start, and makes the plan. Nothing is
    /// written anywhere. `state_dir` is where the job will be recorded.
    pub async fn check(request: MigrateRequest, state_dir: Option<&Path>) -> PreCheck {
        let mut list = CheckList::default();
        let checked = async {
            let migration = Self::checked(request, state_dir, &mut list).await?;
            let asked = checks::writers(&mut list, &migration.source, &migration.plan);
            let asked = shown(Awaited::Check { check: CheckId::Writers }, asked).await;
            asked.map_err(|error| vec![refusal(Side::Source, &error)])?;
            Ok(migration)
        };
        let migration = match Box::pin(checked).await {
            Ok(migration) => Some(migration),
            Err(problems) => {
                let problems: Vec<Problem> = problems;
                problems.into_iter().for_each(|problem| list.fail(problem));
                None
            }
        };
        let refusals = list.refusals();
        let mut migration = migration.filter(|_| refusals.is_empty());
        if let Some(migration) = &mut migration {
            migration.plan.warnings.extend(list.warnings());
        }
        let checks = list.finish();
        if let Some(migration) = &mut migration {
            migration.checks.clone_from(&checks);
        }
        PreCheck { checks, refusals, migration }
    }

    /// [`Migration::check`] without what is only worth a warning and takes its time.
    ///
    /// # Errors
    /// Every reason for which the job can't start, all at once.
    pub async fn prepare(request: MigrateRequest) -> Result<Self, Vec<Problem>> {
        let mut list = CheckList::default();
        let mut migration = Box::pin(Self::checked(request, None, &mut list)).await?;
        let refusals = list.refusals();
        let kept = [Code::VisibleOnly, Code::TargetMayNotHold];
        let kept = list.warnings().into_iter().filter(|warning| kept.contains(&warning.code));
        migration.plan.warnings.extend(kept);
        if refusals.is_empty() { Ok(migration) } else { Err(refusals) }
    }

    async fn checked(
        request: MigrateRequest,
        state_dir: Option<&Path>,
        list: &mut CheckList,
    ) -> Result<Self, Vec<Problem>> {
        list.not_applicable(CheckId::Role);
        checks::endpoints(list, &request.source, &request.target).await;
        let target_plan = checks::plan_pair(list, &request);
        checks::clusters(list, &request);
        let reach = |side, check, endpoint| shown(Awaited::Check { check }, connect(side, endpoint));
        let (source, target) = match tokio::join!(
            reach(Side::Source, CheckId::SourceReachable, &request.source),
            reach(Side::Target, CheckId::TargetReachable, &request.target)
        ) {
            (Ok(source), Ok(target)) => (source, target),
            (source, target) => {
                for (id, side) in [(CheckId::SourceReachable, &source), (CheckId::TargetReachable, &target)] {
                    if let Ok(client) = side {
                        list.passed(id, [client.version().to_string()]);
                    }
                }
                return Err([source.err(), target.err()].into_iter().flatten().collect());
            }
        };
        list.passed(CheckId::SourceReachable, [source.version().to_string()]);
        list.passed(CheckId::TargetReachable, [target.version().to_string()]);
        let job_id = JobId::generate();
        let checked = precheck::check(&request, &source, &target, list).await;
        let mut plan = rbac::add(&request, &source, &target, job_id.as_str(), checked).await?;
        let asking = |side: Side| move |error: vecferry_milvus::Error| vec![refusal(side, &error)];
        checks::clock_skew(list, Side::Source, &source).await.map_err(asking(Side::Source))?;
        checks::clock_skew(list, Side::Target, &target).await.map_err(asking(Side::Target))?;
        match request.target_plan.cu() {
            Some(_) => checks::compute_units(list, &plan, &request.target_plan),
            None => {
                checks::memory(list, &target, &plan, request.verify).await.map_err(asking(Side::Target))?;
                checks::disk(list, &target, &plan).await.map_err(asking(Side::Target))?;
            }
        }
        if let Some(deployment) = target_plan {
            let hints = &request.target_plan;
            let looked = checks::within_limits(list, &target, &plan, deployment, hints).await;
            looked.map_err(asking(Side::Target))?;
        }
        checks::message_sizes(list, &plan);
        let quota = target_plan
            .and_then(|deployment| limits(deployment, request.target_plan.whole_cu()).write_bytes_per_second);
        let one_machine = on_one_machine(&request.source, &request.target).await;
        // What a cloud builds its indexes on is its own affair.
        let target_cores = match product(&target) {
            Product::Milvus(Some(_)) => duration::index_cores(&target).await.map_err(asking(Side::Target))?,
            Product::Milvus(None) | Product::LiteNative | Product::LitePython => None,
        };
        let circumstances = Circumstances {
            target: product(&target),
            target_cores,
            write_quota: quota,
            one_machine,
            verify: request.verify,
        };
        let parts = duration::parts(&plan);
        let estimate = duration::estimate(&source, &parts, circumstances);
        let estimate = shown(Awaited::Check { check: CheckId::Duration }, estimate).await;
        let estimate = estimate.map_err(asking(Side::Source))?;
        list.passed(CheckId::Duration, [estimate.fact()]);
        plan.duration = Some(estimate);
        if let Some(directory) = state_dir {
            let rows = plan.collections.iter().map(|planned| planned.rows_estimate).sum();
            checks::state_directory(list, directory, rows);
        }
        if request.duplicates == Duplicates::Fail {
            comparison::refuse_duplicates(&source, &plan).await?;
        }
        Ok(Self {
            request,
            source,
            target,
            plan,
            checks: Vec::new(),
            job_id,
            record: None,
            is_created_now: false,
            tuning: Tuning::default(),
            resources: Resources::new(Limits::default()),
            dispatcher: None,
            max_rate: None,
        })
    }

    /// Finds out whether the target may be written to and takes every definition of the plan, by making and removing the empty
    /// collections of [`Migration::probe_names`]. What was only a doubt is none any more then. A cancellation ends it early, and
    /// what it made is removed all the same.
    ///
    /// # Errors
    /// Everything that stands in the way: the target may not be written to, does not take a definition or the name of a
    /// partition, or what was made could not be removed.
    pub async fn probe_write(&mut self, cancel: &CancellationToken) -> Result<(), Vec<Problem>> {
        let scratches =
            checks::scratches(&self.target, &self.plan, self.job_id.as_str()).map_err(|error| {
                let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
                vec![problem.with("detail", error)]
            })?;
        checks::probe_write(&self.target, &scratches, cancel).await?;
        if !cancel.is_cancelled() {
            self.plan.warnings.retain(|warning| warning.code != Code::TargetMayNotHold);
            CheckList::settle(&mut self.checks);
        }
        Ok(())
    }

    /// Measures on the target what the steps of a collection cost, whatever its rows, with some small scratch collections, and
    /// estimates the job anew. Tells whether it could be measured: a target that refuses is no reason not to begin. A
    /// cancellation ends it early, and what it made is removed all the same.
    ///
    /// # Errors
    /// What was made could not be removed.
    pub async fn measure_steps(&mut self, cancel: &CancellationToken) -> Result<bool, Problem> {
        let names = checks::steps::names(&self.plan, self.job_id.as_str());
        let measured = checks::steps::measure(&self.target, &names, self.request.verify, cancel).await?;
        let Some(costs) = measured else { return Ok(false) };
        self.estimate_with(costs);
        Ok(true)
    }

    /// Whether there are so many collections that [`Migration::measure_steps`] takes little of the time it tells of.
    pub fn is_worth_measuring(&self) -> bool {
        self.plan.collections.len() >= MEASURED_COLLECTIONS_MIN
            && self.plan.duration.as_ref().is_some_and(|estimate| !estimate.steps.is_measured)
    }

    fn estimate_with(&mut self, costs: StepCosts) {
        let collections = self.plan.collections.len();
        let partitions = self.plan.collections.iter().map(|planned| planned.parts().len()).sum();
        let Some(estimate) = self.plan.duration.take() else { return };
        let estimate = estimate.with_steps(costs, collections, partitions);
        for check in self.checks.iter_mut().filter(|check| check.id == CheckId::Duration) {
            check.facts = vec![estimate.fact()];
        }
        self.plan.duration = Some(estimate);
    }

    /// What [`Migration::probe_write`] makes, and leaves if its process is killed.
    pub fn probe_names(&self) -> Vec<CollectionName> {
        let scratches = checks::scratches(&self.target, &self.plan, self.job_id.as_str()).unwrap_or_default();
        scratches.iter().map(|scratch| scratch.name().clone()).collect()
    }

    /// What [`Migration::measure_steps`] makes, and leaves if its process is killed.
    pub fn measured_names(&self) -> Vec<CollectionName> {
        checks::steps::names(&self.plan, self.job_id.as_str())
    }

    /// With other sizes of its steps. They are not recorded: a job that is resumed has the default ones.
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// With somebody else who has its splits copied.
    #[must_use]
    pub fn with_dispatcher(self, dispatcher: Arc<dyn Dispatcher>) -> Self {
        Self { dispatcher: Some(dispatcher), ..self }
    }

    /// With what it shares with other jobs of the process; otherwise it has all of it for itself.
    #[must_use]
    pub fn with_resources(self, resources: Resources) -> Self {
        Self { resources, ..self }
    }

    /// The checks that were made.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// A migration as a plan file says, checked once more: it is carried out exactly as planned, or refused.
    ///
    /// # Errors
    /// Every reason for which the job can't start, and everything that is not any more what it was planned for.
    pub async fn prepare_planned(
        file: PlanFile,
        source: Endpoint,
        target: Endpoint,
        row_tolerance_percent: f64,
        state_dir: Option<&Path>,
    ) -> Result<Self, Vec<Problem>> {
        let request = file.request(source, target).map_err(|error| {
            let problem = Problem::new(Code::PlanFile).with("file", file.hash());
            vec![problem.with("detail", error)]
        })?;
        let mut migration = Box::pin(Self::check(request, state_dir)).await.into_result()?;
        let mut problems = outdated(file.plan(), &migration.plan, row_tolerance_percent);
        problems.extend(rbac::outdated(file.plan()));
        if !problems.is_empty() {
            return Err(problems);
        }
        // The plan names every collection; that it left some out was known when it was made.
        let left_out = file.plan().warnings.iter().filter(|warning| warning.code == Code::VisibleOnly);
        migration.plan.warnings.extend(left_out.cloned());
        // Roles and users as reviewed; what is there by now is left as it is.
        migration.plan.rbac.clone_from(&file.plan().rbac);
        // What was measured on the target then tells more than what is assumed now.
        let measured = file.plan().duration.as_ref().map(|estimate| estimate.steps);
        if let Some(costs) = measured.filter(|costs| costs.is_measured) {
            migration.estimate_with(costs);
        }
        // What is loaded now is what counts: it is put back so.
        for planned in &mut migration.plan.collections {
            if let Some(reviewed) =
                file.plan().collections.iter().find(|of_file| of_file.source == planned.source)
            {
                *planned = PlannedCollection {
                    load: planned.load.clone(),
                    needs_load: planned.needs_load,
                    ..reviewed.clone()
                };
            }
        }
        Ok(migration)
    }

    /// The plan as a file to be reviewed.
    ///
    /// # Errors
    /// The plan can't be written down.
    pub fn plan_file(&self) -> Result<PlanFile, Problem> {
        let written = PlanFile::of(&self.request, &self.plan, &self.checks, Clock::start().started_at());
        written.map_err(|error| {
            let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
            problem.with("detail", error)
        })
    }

    /// What [`Migration::run`] will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Limits the data rate of the job, or lifts the limit that is recorded. Recorded when the job runs.
    pub fn set_max_rate(&mut self, max_rate: Option<MaxRate>) {
        self.max_rate = Some(max_rate);
    }

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
        let read_timestamp = match self.read_timestamp(&**store, &attempt).await {
            Ok(read_timestamp) => read_timestamp,
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
            consistency: read_timestamp.map_or(Consistency::Strong, Consistency::At),
            store: Arc::clone(store),
            attempt,
            worker: WorkerId::generate(),
            budget: self.resources.budget(),
            pace: Arc::new(Pace::new(Arc::clone(&of_target.places), max_rate)),
            source_loads: Semaphore::new(self.request.source_load_parallel.max(1)),
            limits: self.resources.limits(),
            of_source: self.resources.cluster(self.source.endpoint()),
            of_target,
            flushes: SharedFlush::new(),
            source_flushes: SharedFlush::new(),
            copying: Mutex::new(None),
            times: Times::begin(&record),
            sample_seed: record.sample_seed,
            observer: Arc::new(recorder),
            cancel,
            tuning: self.tuning,
            dispatcher: self.dispatcher,
            request: self.request,
            source: self.source,
            target: self.target,
        };
        let mut report = {
            let work = job.carry_out(&self.plan, &record, &clock);
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
        match quarantine::write(&**store, &record.job_id, &self.plan).await {
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

    /// Whatever the plan was waiting for, a confirmation or its turn, the source may have changed meanwhile.
    async fn refuse_changed_source(&self) -> Result<(), Vec<Problem>> {
        let look = |planned: &PlannedCollection| {
            let name = planned.source.clone();
            async move { inventory::look(&self.source, &name).await }
        };
        let looks: Vec<_> = self.plan.collections.iter().map(look).collect();
        let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_PARALLEL).collect().await;
        let mut problems = Vec::new();
        for (planned, now) in self.plan.collections.iter().zip(looks) {
            let changes = match now.map_err(|error| vec![refusal(Side::Source, &error)])? {
                Some(now) => planned.changes_of_source(&now.described, &now.partitions, &now.aliases),
                None => vec!["it was dropped".into()],
            };
            if !changes.is_empty() {
                let problem = Problem::new(Code::PlanOutdated).with("collection", &planned.source);
                problems.push(problem.told("detail", Told::parts(&changes)));
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

    /// The timestamp of all reads: that of the first attempt, so that whatever was written before it is read.
    async fn read_timestamp(&self, store: &dyn Store, attempt: &Attempt) -> Result<Option<u64>, Problem> {
        let now = self.source.timestamp().await.map_err(|error| refusal(Side::Source, &error))?;
        let recorded = store.record_read_timestamp(attempt, now).await;
        recorded.map_err(|error| store_problem(store, attempt.job_id().as_str(), &error))
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
        let failed = |error: &dyn std::fmt::Display| {
            let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
            problem.with("detail", error)
        };
        let collections = self.plan.collections.iter().map(|planned| NewCollectionRecord {
            source: planned.source.to_string(),
            target: planned.target.to_string(),
            rows_total: planned.rows_estimate,
        });
        let new = NewJob {
            job_id: job_id.clone(),
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

impl Job {
    async fn carry_out(&self, plan: &Plan, record: &JobRecord, clock: &Clock) -> Report {
        let mut problems = Vec::new();
        if let Err(problem) = self.create_databases().await {
            problems.push(problem);
        }
        let (mut ended, mut came) = (Vec::new(), Vec::new());
        let mut rbac = None;
        if problems.is_empty() {
            rbac = rbac::carry_out(&self.rbac_work(), plan.rbac.as_ref(), &mut problems).await;
            ended = self.collections(plan).await;
            self.look_at_end(plan, &mut ended).await;
            self.record_drift(&mut ended).await;
            came = self.came_to_source(plan).await;
        }
        let mut report = Report {
            job_id: record.job_id.clone(),
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
            verify: self.request.verify,
            verified: self.request.verify,
            sample_seed: self.sample_seed,
            collections: Vec::new(),
            warnings: rbac::warnings(plan, rbac.as_ref()),
            rbac,
            resource_groups: plan.resource_groups.clone(),
            problems,
            estimate: plan.duration.as_ref().map(|estimate| self.estimate_report(estimate)),
            pace: None,
            quarantine_file: None,
        };
        for outcome in ended {
            report.problems.extend(outcome.problems);
            report.warnings.extend(outcome.warnings);
            report.collections.push(outcome.report);
        }
        let of_came = if self.request.allow_drift { &mut report.warnings } else { &mut report.problems };
        of_came.append(&mut came);
        let unseen = drift::unseen(&report);
        report.warnings.extend(unseen);
        report.warnings.extend(end::deletes_unseen(plan, &report));
        let facts = plan.collections.iter().map(|planned| self.asked(planned)).collect();
        conclude(&mut report, Shown::Job(facts), self.cancel.is_cancelled());
        report
    }

    fn asked(&self, planned: &PlannedCollection) -> Asked {
        Asked {
            verify: self.request.verify,
            allow_drift: self.request.allow_drift,
            expires: drift::expires(planned),
        }
    }

    fn estimate_report(&self, estimate: &DurationEstimate) -> EstimateReport {
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
    fn copied_since(&self, begin: Instant) {
        let mut window = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let first = window.map_or(begin, |(first, _)| first.min(begin));
        *window = Some((first, Instant::now()));
    }

    fn claim<'a>(&'a self, position: Position, planned: &'a PlannedCollection) -> claim::Claim<'a> {
        let (store, attempt, target) = (&*self.store, &self.attempt, &self.target);
        claim::Claim { store, attempt, target, planned, position }
    }

    fn copying(&self) -> Copying {
        Copying {
            target: self.target.clone(),
            store: Arc::clone(&self.store),
            job_id: self.attempt.job_id().clone(),
            consistency: self.consistency,
            verify: self.request.verify,
            sample_seed: self.sample_seed,
            budget: self.budget.clone(),
            pace: Arc::clone(&self.pace),
            observer: Arc::clone(&self.observer),
            tuning: self.tuning,
            cancel: self.cancel.clone(),
        }
    }

    fn rbac_work(&self) -> rbac::Work<'_> {
        rbac::Work { target: &self.target, store: &*self.store, attempt: &self.attempt, cancel: &self.cancel }
    }

    /// All collections, begun in their order.
    async fn collections(&self, plan: &Plan) -> Vec<Ended> {
        let mut waiting = plan.collections.iter().enumerate();
        let (mut running, mut ended) = (FuturesUnordered::new(), Vec::new());
        loop {
            while running.len() < self.limits.collections_max.max(1) as usize
                && let Some((index, planned)) = waiting.next()
            {
                running.push(Box::pin(self.in_turn(index, planned)));
            }
            match running.next().await {
                Some(one) => ended.push(one),
                None => break,
            }
        }
        ended.sort_unstable_by_key(|(index, _)| *index);
        ended.into_iter().map(|(_, ended)| ended).collect()
    }

    /// One collection, when there is room for it.
    async fn in_turn(&self, index: usize, planned: &PlannedCollection) -> (usize, Ended) {
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
        (index, self.collection(Position::of_index(index), planned).await)
    }

    /// Works on a collection; what that waits for is told of it.
    async fn watched<Answer>(
        &self,
        planned: &PlannedCollection,
        work: impl Future<Output = Answer>,
    ) -> Answer {
        let observer = Arc::clone(&self.observer);
        waits::of_collection(observer, &planned.source, self.tuning, work).await
    }

    /// One collection. What an earlier attempt completed is counted again, and only copied if that attempt did not record
    /// what its success is concluded from.
    async fn collection(&self, position: Position, planned: &PlannedCollection) -> Ended {
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
        let work = collection::migrate(self, position, planned);
        let mut ended = Box::pin(self.watched(planned, work)).await;
        if ended.report.phase == Phase::Done
            && let Err(problem) = self.record_done(position, &ended).await
        {
            ended.problems.push(problem);
        }
        ended
    }

    async fn record_done(&self, position: Position, ended: &Ended) -> Result<(), Problem> {
        let failed = |error: &dyn std::fmt::Display| store_failed(self.attempt.job_id(), error);
        let document = serde_json::to_string(ended).map_err(|error| failed(&error))?;
        self.store.record_done(&self.attempt, position, document).await.map_err(|error| failed(&error))
    }

    /// The job is not over before its end is recorded.
    async fn record_end(&self, report: &mut Report) {
        let recorded = async {
            let document = serde_json::to_string(&*report).map_err(|error| error.to_string())?;
            let (state, ended_at) = (report.state, report.ended_at.clone());
            let timed = self.times.record(&*self.store, &self.attempt).await;
            timed.map_err(|error| error.to_string())?;
            let ended = self.store.end_attempt(&self.attempt, state, document, ended_at).await;
            ended.map_err(|error| error.to_string())
        };
        if let Err(error) = recorded.await {
            report.problems.push(store_failed(self.attempt.job_id(), error));
            report.state = JobState::Failed;
            report.verified = VerifyLevel::None;
        }
    }

    /// Makes the databases that no earlier attempt made.
    async fn create_databases(&self) -> Result<(), Problem> {
        let failed = |error| store_failed(self.attempt.job_id(), error);
        for (db, made) in self.store.databases(self.attempt.job_id()).await.map_err(failed)? {
            if !made && self.create_database(&db).await? {
                self.store.record_database(&self.attempt, &db).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Databases are made with the source's properties, before anything else. Tells whether this call made it: an earlier
    /// attempt may have, or somebody else since the plan, and then it is not the job's to remove.
    async fn create_database(&self, db: &str) -> Result<bool, Problem> {
        let failed = |error| {
            Problem::new(Code::TargetFailed).with("collection", format!("{db}.*")).with("detail", error)
        };
        let source_db =
            self.request.target_dbs.iter().find(|(_, target)| *target == db).map_or(db, |(source, _)| source);
        let properties = self.source.database_properties(source_db).await.map_err(|error| {
            denied(Side::Source, &error).unwrap_or_else(|| {
                Problem::new(Code::SourceFailed)
                    .with("collection", format!("{source_db}.*"))
                    .with("detail", error)
            })
        })?;
        // Some servers may answer success for one that is there.
        if self.target.databases().await.map_err(failed)?.iter().any(|known| known == db) {
            return Ok(false);
        }
        match self.target.create_database(db, properties).await {
            Ok(()) => Ok(true),
            Err(_)
                if self.target.databases().await.is_ok_and(|known| known.iter().any(|name| name == db)) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// What a collection takes of [`Limits::target_loads_max`] while it is loaded.
fn target_load_units(memory_bytes: u64, limits: Limits) -> u32 {
    if memory_bytes <= SMALL_BYTES_MAX { 1 } else { limits.target_loads_max.max(1) }
}

/// What the job made under a name is gone, or another collection has the name.
fn replaced(planned: &PlannedCollection, job_id: &JobId) -> Problem {
    Problem::new(Code::TargetReplaced)
        .with("collection", &planned.target)
        .with("job", job_id)
        .with("detail", "it was dropped or replaced")
}

/// The record of a job can't be written while it runs.
pub(crate) fn store_failed(job_id: &JobId, error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::LedgerFailed).with("job", job_id).with("detail", error)
}

/// What a failure of the store means before anything was written.
pub fn store_problem(store: &dyn Store, job_id: &str, error: &vecferry_store::Error) -> Problem {
    state_problem(&store.place(), job_id, error)
}

/// The same of a store that could not be opened.
pub fn state_problem(place: &str, job_id: &str, error: &vecferry_store::Error) -> Problem {
    use vecferry_store::ErrorKind;
    let code = match error.kind() {
        ErrorKind::Unusable
        | ErrorKind::Unreachable
        | ErrorKind::Denied
        | ErrorKind::ReadOnly
        | ErrorKind::Full
        | ErrorKind::Locked => Code::StateDir,
        ErrorKind::Exposed => Code::StateDirExposed,
        ErrorKind::Foreign => Code::StateDirForeign,
        ErrorKind::Network => Code::StateDirOfNetwork,
        ErrorKind::Corrupt => Code::LedgerCorrupt,
        ErrorKind::Newer => Code::LedgerNewer,
        ErrorKind::UnknownJob | ErrorKind::AmbiguousJob => Code::UnknownJob,
        ErrorKind::JobIsLive => Code::JobIsLive,
        ErrorKind::Superseded
        | ErrorKind::NotOpen
        | ErrorKind::IsClaimed
        | ErrorKind::Fenced
        | ErrorKind::Moved => Code::LedgerFailed,
    };
    let problem = Problem::new(code).with("dir", place).with("job", job_id);
    problem.with("detail", error)
}

async fn connect_both(
    source: &vecferry_milvus::Endpoint,
    target: &vecferry_milvus::Endpoint,
) -> Result<(Client, Client), Vec<Problem>> {
    match tokio::join!(connect(Side::Source, source), connect(Side::Target, target)) {
        (Ok(source), Ok(target)) => Ok((source, target)),
        (one, other) => Err([one.err(), other.err()].into_iter().flatten().collect()),
    }
}

/// Two clusters that are compared.
struct Compared {
    source: Client,
    target: Client,
    /// What the user of the source is shown to see.
    visible: visible::Visible,
    pairs: Vec<(Found, Found)>,
}

/// Both sides, and the collections that are to be compared.
async fn pairs(request: &VerifyRequest) -> Result<Compared, Vec<Problem>> {
    let (source, target) = connect_both(&request.source, &request.target).await?;
    let visible = visible::check(&source, Side::Source, &request.selection, request.visible_only).await?;
    let names = inventory::select(&source, Side::Source, &request.selection).await?;
    let found =
        inventory::read(&source, &names).await.map_err(|error| vec![refusal(Side::Source, &error)])?;
    let target_name = |name: &CollectionName| {
        let db = request.target_dbs.get(&name.db).unwrap_or(&name.db);
        CollectionName::new(db, &name.name)
    };
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for found in found {
        let name = target_name(&found.described.name);
        match inventory::find(&target, Side::Target, &name).await {
            Ok(of_target) => {
                problems.extend(unreadable_key(Side::Source, &source, &found));
                problems.extend(unreadable_key(Side::Target, &target, &of_target));
                pairs.push((found, of_target));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Compared { source, target, visible, pairs }) } else { Err(problems) }
}

/// Compares two clusters without copying anything. Collections are loaded where that is needed, and released again.
///
/// # Errors
/// Every reason for which the comparison can't start.
pub async fn verify(
    request: VerifyRequest,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
) -> Result<Report, Vec<Problem>> {
    let clock = Clock::start();
    let looked = until_canceled(&cancel, observed(Arc::clone(&observer), Box::pin(pairs(&request)))).await;
    let Compared { source, target, visible, pairs } =
        looked.unwrap_or_else(|| Err(vec![Problem::new(Code::VerifyCanceled)]))?;
    let mut report = Report {
        job_id: JobId::generate(),
        state: JobState::Failed,
        vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
        source: cluster(&source),
        target: cluster(&target),
        started_at: clock.started_at(),
        ended_at: String::new(),
        seconds: 0.0,
        last_attempt_seconds: 0.0,
        attempts: 1,
        verify: request.level,
        verified: request.level,
        sample_seed: rand::random(),
        collections: Vec::new(),
        rbac: None,
        resource_groups: Some(Vec::new()),
        problems: Vec::new(),
        warnings: visible.sentence().into_iter().collect(),
        estimate: None,
        pace: None,
        quarantine_file: None,
    };
    for (of_source, of_target) in &pairs {
        let sides = comparison::Sides {
            source: &source,
            target: &target,
            level: request.level,
            repair: &request.repair,
            seed: report.sample_seed,
            observer: &*observer,
            cancel: &cancel,
        };
        let compared = comparison::compare_pair(&sides, of_source, of_target);
        let (name, tuning) = (&of_source.described.name, Tuning::default());
        let outcome = waits::of_collection(Arc::clone(&observer), name, tuning, compared).await;
        report.problems.extend(outcome.problems);
        report.warnings.extend(outcome.warnings);
        report.collections.push(outcome.report);
        if cancel.is_cancelled() {
            break;
        }
    }
    conclude(&mut report, Shown::Comparison(pairs.len()), cancel.is_cancelled());
    if report.state == JobState::Canceled {
        report.problems = vec![Problem::new(Code::VerifyCanceled)];
    }
    (report.ended_at, report.seconds) = (clock.now(), clock.seconds());
    report.last_attempt_seconds = report.seconds;
    Ok(report)
}

/// What a collection's part of a job came to.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Ended {
    pub(crate) report: CollectionReport,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

/// A reader for the proof of one side. The columns are the source's on both sides: they are what must be there.
pub(crate) fn reader(
    side: Side,
    client: &Client,
    collection: &Collection,
    columns_of: &Collection,
    cancel: &CancellationToken,
) -> Reader {
    let key_name = columns_of.schema.key_field().map(|field| field.name.clone()).unwrap_or_default();
    Reader {
        client: client.clone(),
        side,
        name: collection.name.clone(),
        id: if client.version().flavor == Flavor::Milvus { collection.id } else { 0 },
        key_field: KeyField::new(&key_name, client.version().flavor)
            .that_can_be_named(can_be_named(product(client), &key_name)),
        columns: columns_of.schema.columns(),
        consistency: Consistency::Strong,
        cancel: cancel.clone(),
    }
}

/// An empty report of a planned collection.
pub(crate) fn new_report(planned: &PlannedCollection) -> CollectionReport {
    CollectionReport {
        source_db: planned.source.db.clone(),
        collection: planned.source.name.clone(),
        target_db: planned.target.db.clone(),
        phase: crate::event::Phase::Waiting,
        rows: 0,
        bytes: 0,
        copy_seconds: 0.0,
        seconds: 0.0,
        partitions: Vec::new(),
        verification: None,
        indexes: Vec::new(),
        aliases: Vec::new(),
        changes: planned.changes.clone(),
        loaded: false,
        source_load: Some(planned.load.former()),
        created: false,
        quarantined: 0,
        keys: planned.keys,
        drift: None,
        evidence: Evidence::default(),
    }
}

/// An empty comparison.
pub(crate) fn new_verification(level: VerifyLevel) -> Verification {
    Verification {
        level,
        passed: false,
        source_rows: 0,
        target_rows: 0,
        counts_compared: 0,
        rows_compared: 0,
        rows_compared_before: 0,
        duplicate_rows: 0,
        findings: None,
        repair: None,
    }
}

/// Wall-clock times for reports; durations come from the clock that does not jump.
struct Clock {
    started: jiff::Timestamp,
    instant: std::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Self { started: jiff::Timestamp::now(), instant: std::time::Instant::now() }
    }

    fn started_at(&self) -> String {
        format!("{:.3}", self.started)
    }

    fn now(&self) -> String {
        format!("{:.3}", jiff::Timestamp::now())
    }

    fn seconds(&self) -> f64 {
        self.instant.elapsed().as_secs_f64()
    }
}
