//! Migrations that are checked, planned and can start.

use super::clock::Clock;
use super::duplicates::refuse_duplicates;
use super::next_round::NextRound;
use crate::cluster::connect::{connect, on_one_machine, product, refusal};
use crate::cluster::inventory::as_of_now;
use crate::cluster::waits::shown;
use crate::copy::Dispatcher;
use crate::copy::{Limits, Resources};
use crate::event::Awaited;
use crate::plan::estimate::{self, Circumstances, Sampling, StepCosts};
use crate::plan::file::{PlanFile, outdated};
use crate::plan::{Plan, PlannedCollection};
use crate::precheck::{self, Check, CheckId, CheckList};
use crate::problem::{Code, Problem, Side, words_of};
use crate::rate::MaxRate;
use crate::rbac;
use crate::request::{Duplicates, MigrateRequest, VerifyLevel};
use crate::tuning::Tuning;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, CollectionName, Consistency, Endpoint};
use vecferry_policy::{Product, limits};
use vecferry_store::{JobId, JobRecord};

/// With fewer collections, measuring their steps takes a large part of the time that the job takes.
const MEASURED_COLLECTIONS_MIN: usize = 64;

/// A migration that was checked and can start.
#[derive(Debug)]
pub struct Migration {
    pub(super) request: MigrateRequest,
    pub(super) source: Client,
    pub(super) target: Client,
    pub(super) plan: Plan,
    pub(super) checks: Vec<Check>,
    pub(super) job_id: JobId,
    /// As it is recorded; none before that.
    pub(super) record: Option<JobRecord>,
    /// Whether it was recorded through this handle, and not begun yet.
    pub(super) is_created_now: bool,
    /// The round that is to begin, behind the warm copy.
    pub(super) next: Option<NextRound>,
    pub(super) tuning: Tuning,
    pub(super) resources: Resources,
    pub(super) dispatcher: Option<Arc<dyn Dispatcher>>,
    /// Another limit of the data rate than the recorded one.
    pub(super) max_rate: Option<Option<MaxRate>>,
    /// When the rows of the plan were counted, if the job's first counts are to be compared with them.
    pub(super) counted_at: Option<Instant>,
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

impl Migration {
    /// Connects to both clusters, checks everything that can be known before the start, and makes the plan. Nothing is
    /// written anywhere. `state_dir` is where the job will be recorded.
    pub async fn check(request: MigrateRequest, state_dir: Option<&Path>) -> PreCheck {
        let mut list = CheckList::default();
        let checked = async {
            let migration =
                Box::pin(Self::checked(request, state_dir, Sampling::thorough, &mut list)).await?;
            let (source, plan) = (&migration.source, &migration.plan);
            let asked = async {
                match migration.request.warm {
                    true => precheck::writers_go_on(&mut list, source, plan).await,
                    false => precheck::writers(&mut list, source, plan).await,
                }
            };
            let asked = shown(Awaited::Check { check: CheckId::Writers }, asked).await;
            asked.map_err(|error| vec![refusal(Side::Source, &error)])?;
            Ok(migration)
        };
        let checked = Box::pin(checked).await;
        Self::pre_check(checked, list)
    }

    /// [`Migration::check`] for a job that is begun at once: nobody waits to see whether rows arrive at the source. The
    /// job's own first counts are compared with those of the check, and its report warns where they differ.
    pub async fn check_and_begin(request: MigrateRequest, state_dir: Option<&Path>) -> PreCheck {
        let (began, mut list) = (Instant::now(), CheckList::default());
        let checked = async {
            let mut migration =
                Box::pin(Self::checked(request, state_dir, Sampling::brief, &mut list)).await?;
            let (source, plan) = (&migration.source, &migration.plan);
            let looked = match migration.request.warm {
                true => precheck::writers_go_on(&mut list, source, plan).await,
                false => precheck::writers_at_start(&mut list, source, plan).await,
            };
            looked.map_err(|error| vec![refusal(Side::Source, &error)])?;
            migration.counted_at = Some(began).filter(|_| !migration.request.warm);
            Ok(migration)
        };
        let checked = Box::pin(checked).await;
        Self::pre_check(checked, list)
    }

    fn pre_check(checked: Result<Self, Vec<Problem>>, mut list: CheckList) -> PreCheck {
        let migration = match checked {
            Ok(migration) => Some(migration),
            Err(problems) => {
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
        let mut migration = Box::pin(Self::checked(request, None, Sampling::brief, &mut list)).await?;
        let refusals = list.refusals();
        let kept = [Code::VisibleOnly, Code::TargetMayNotHold];
        let kept = list.warnings().into_iter().filter(|warning| kept.contains(&warning.code));
        migration.plan.warnings.extend(kept);
        if refusals.is_empty() { Ok(migration) } else { Err(refusals) }
    }

    async fn checked(
        mut request: MigrateRequest,
        state_dir: Option<&Path>,
        sampling: fn(Consistency) -> Sampling,
        list: &mut CheckList,
    ) -> Result<Self, Vec<Problem>> {
        if request.warm {
            // The cut-over compares every row, and drift is what it copies.
            (request.verify, request.allow_drift) = (VerifyLevel::Full, false);
        }
        list.not_applicable(CheckId::Role);
        precheck::endpoints(list, &request.source, &request.target).await;
        let target_plan = precheck::plan_pair(list, &request);
        precheck::clusters(list, &request);
        let reach = |side, check, endpoint| shown(Awaited::Check { check }, connect(side, endpoint));
        let (source, target) = match tokio::join!(
            reach(Side::Source, CheckId::SourceReachable, &request.source),
            reach(Side::Target, CheckId::TargetReachable, &request.target)
        ) {
            (Ok(source), Ok(target)) => (source, target),
            (source, target) => {
                for (id, side) in [(CheckId::SourceReachable, &source), (CheckId::TargetReachable, &target)] {
                    if let Ok(client) = side {
                        list.passed_with(id, client.version().to_string());
                    }
                }
                return Err([source.err(), target.err()].into_iter().flatten().collect());
            }
        };
        list.passed_with(CheckId::SourceReachable, source.version().to_string());
        list.passed_with(CheckId::TargetReachable, target.version().to_string());
        let job_id = JobId::generate();
        let asking = |side: Side| move |error: vecferry_milvus::Error| vec![refusal(side, &error)];
        let now = as_of_now(&source).await.map_err(asking(Side::Source))?;
        let checked = precheck::check(&request, &source, &target, now, list).await;
        let mut plan = rbac::add(&request, &source, &target, job_id.as_str(), checked).await?;
        precheck::clock_skew(list, Side::Source, &source).await.map_err(asking(Side::Source))?;
        precheck::clock_skew(list, Side::Target, &target).await.map_err(asking(Side::Target))?;
        match request.target_plan.cu() {
            Some(_) => precheck::compute_units(list, &plan, &request.target_plan),
            None => {
                precheck::memory(list, &target, &plan, request.verify).await.map_err(asking(Side::Target))?;
                precheck::disk(list, &target, &plan).await.map_err(asking(Side::Target))?;
            }
        }
        if let Some(deployment) = target_plan {
            let hints = &request.target_plan;
            let looked = precheck::within_limits(list, &target, &plan, deployment, hints).await;
            looked.map_err(asking(Side::Target))?;
        }
        precheck::message_sizes(list, &plan);
        let quota = target_plan
            .and_then(|deployment| limits(deployment, request.target_plan.whole_cu()).write_bytes_per_second);
        let one_machine = on_one_machine(&request.source, &request.target).await;
        // What a cloud builds its indexes on is its own affair.
        let target_cores = match product(&target) {
            Product::Milvus(Some(_)) => estimate::index_cores(&target).await.map_err(asking(Side::Target))?,
            Product::Milvus(None) | Product::LiteNative | Product::LitePython => None,
        };
        let circumstances = Circumstances {
            target: product(&target),
            target_cores,
            write_quota: quota,
            one_machine,
            verify: request.verify_behind_copy(),
        };
        let parts = estimate::parts(&plan);
        let estimate = estimate::estimate(&source, &parts, circumstances, sampling(now));
        let estimate = shown(Awaited::Check { check: CheckId::Duration }, estimate).await;
        let estimate = estimate.map_err(asking(Side::Source))?;
        list.passed(CheckId::Duration, [estimate.fact()]);
        plan.duration = Some(estimate);
        if let Some(directory) = state_dir {
            let rows = plan.here().map(|(_, planned)| planned.rows_estimate).sum();
            precheck::state_directory(list, directory, rows);
        }
        if request.duplicates == Duplicates::Fail {
            refuse_duplicates(&source, &plan).await?;
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
            next: None,
            tuning: Tuning::default(),
            resources: Resources::new(Limits::default()),
            dispatcher: None,
            max_rate: None,
            counted_at: None,
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
            precheck::scratches(&self.target, &self.plan, self.job_id.as_str()).map_err(|error| {
                let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
                vec![problem.told("detail", words_of(&error))]
            })?;
        precheck::probe_write(&self.target, &scratches, cancel).await?;
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
        let names = precheck::steps::names(&self.plan, self.job_id.as_str());
        let level = self.request.verify_behind_copy();
        let measured = precheck::steps::measure(&self.target, &names, level, cancel).await?;
        let Some(costs) = measured else { return Ok(false) };
        self.estimate_with(costs);
        Ok(true)
    }

    /// Whether there are so many collections that [`Migration::measure_steps`] takes little of the time it tells of.
    pub fn is_worth_measuring(&self) -> bool {
        self.plan.here().count() >= MEASURED_COLLECTIONS_MIN
            && self.plan.duration.as_ref().is_some_and(|estimate| !estimate.steps.is_measured)
    }

    fn estimate_with(&mut self, costs: StepCosts) {
        let collections = self.plan.here().count();
        let partitions = self.plan.here().map(|(_, planned)| planned.parts().len()).sum();
        let Some(estimate) = self.plan.duration.take() else { return };
        let estimate = estimate.with_steps(costs, collections, partitions);
        for check in self.checks.iter_mut().filter(|check| check.id == CheckId::Duration) {
            check.facts = vec![estimate.fact()];
        }
        self.plan.duration = Some(estimate);
    }

    /// What [`Migration::probe_write`] makes, and leaves if its process is killed.
    pub fn probe_names(&self) -> Vec<CollectionName> {
        let scratches =
            precheck::scratches(&self.target, &self.plan, self.job_id.as_str()).unwrap_or_default();
        scratches.iter().map(|scratch| scratch.name().clone()).collect()
    }

    /// What [`Migration::measure_steps`] makes, and leaves if its process is killed.
    pub fn measured_names(&self) -> Vec<CollectionName> {
        precheck::steps::names(&self.plan, self.job_id.as_str())
    }

    /// With other sizes of its steps. They are not recorded: a job that is resumed has the default ones.
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// With this job ID instead of a new one, for a caller that recorded the ID before there was a plan. A job that is
    /// recorded already keeps its ID.
    #[must_use]
    pub fn with_job_id(mut self, job_id: JobId) -> Self {
        if self.record.is_none() {
            let former = std::mem::replace(&mut self.job_id, job_id);
            rbac::rename_users_file(&self.request, &mut self.plan, &former, &self.job_id);
        }
        self
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
        let checked = Self::check_planned(file, source, target, row_tolerance_percent, state_dir);
        Box::pin(checked).await.into_result()
    }

    /// The same, with what was looked at. What has changed since the plan was made is a refusal and no check.
    pub async fn check_planned(
        file: PlanFile,
        source: Endpoint,
        target: Endpoint,
        row_tolerance_percent: f64,
        state_dir: Option<&Path>,
    ) -> PreCheck {
        let request = match file.request(source, target) {
            Ok(request) => request,
            Err(error) => {
                let problem = Problem::new(Code::PlanFile).with("file", file.hash());
                let refusals = vec![problem.told("detail", words_of(&error))];
                return PreCheck { checks: Vec::new(), refusals, migration: None };
            }
        };
        let mut checked = Box::pin(Self::check(request, state_dir)).await;
        let Some(mut migration) = checked.migration.take() else { return checked };
        let follows = migration.request.warm;
        let mut problems = outdated(file.plan(), &migration.plan, row_tolerance_percent, follows);
        problems.extend(rbac::outdated(file.plan()));
        if !problems.is_empty() {
            return PreCheck { refusals: problems, ..checked };
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
        for planned in migration.plan.collections.iter_mut().filter(|_| !follows) {
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
        PreCheck { migration: Some(migration), ..checked }
    }

    /// The plan as a file to be reviewed.
    ///
    /// # Errors
    /// The plan can't be written down.
    pub fn plan_file(&self) -> Result<PlanFile, Problem> {
        let written = PlanFile::of(&self.request, &self.plan, &self.checks, Clock::start().started_at());
        written.map_err(|error| {
            let problem = Problem::new(Code::CheckFailed).with("side", Side::Source.name());
            problem.told("detail", words_of(&error))
        })
    }

    /// What [`Migration::run`] will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether it copies while the application still writes, and ends READY for a cut-over.
    pub fn is_warm(&self) -> bool {
        self.request.warm
    }

    /// Limits the data rate of the job, or lifts the limit that is recorded. Recorded when the job runs.
    pub fn set_max_rate(&mut self, max_rate: Option<MaxRate>) {
        self.max_rate = Some(max_rate);
    }
}
