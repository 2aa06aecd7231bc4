//! One job, from its check to its end. Everything that is decided about rows is decided by the engine.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vecferry_migrate::event::{Event, Observer};
use vecferry_migrate::problem::Check;
use vecferry_migrate::{Code, JobState, MaxRate, Migration, PlanFile, PlanHints, Problem, Report, Resumed};
use vecferry_milvus::Endpoint;
use vecferry_policy::{Deployment, Edition, limits};
use vecferry_store::{Error as StoreError, ErrorKind, JobId, JobRecord, RoundState};
use vecferry_words::Told;

use super::end::{End, end};
use super::progress::Progress;
use super::queue::Again;
use super::request::{Access, JobRequest, Sides, hints};
use crate::access::Action;
use crate::problem::of_store;
use crate::service::Service;
use crate::tables::{
    KEY_PREFIX, MigrationRecord, MigrationSource, Taken, Wanted, WantedRound, source_purpose,
};

/// A start at a time is tried for so long where a cluster can't be reached.
const START_RETRIED_MS: i64 = 10 * 60 * 1000;

/// Does what is wanted of a job.
pub(super) async fn work(service: &Arc<Service>, taken: Taken, canceled: CancellationToken) -> Again {
    let Taken { record, wanted } = taken;
    let done = match wanted {
        Wanted::Run => run(service, &record, canceled).await,
        Wanted::Cancel => cancel(service, &record).await,
        Wanted::Clean => clean(service, &record).await,
    };
    match done {
        Ok(again) => again,
        Err(error) => {
            tracing::warn!(%error, "the job waits for the store");
            Again::Soon
        }
    }
}

/// Why a job did not come to a report.
enum Stopped {
    /// The engine refuses it.
    Refused(Vec<Problem>),
    /// It can't be worked on now.
    NotNow,
    /// Somebody canceled it before anything was written.
    Canceled,
}

async fn run(
    service: &Arc<Service>,
    record: &MigrationRecord,
    canceled: CancellationToken,
) -> Result<Again, StoreError> {
    // Nobody asks at the time of the start; a job that goes on was started by whoever said so.
    let is_by_time = record.is_planned && record.started_ms.is_none();
    let lost = if is_by_time { lost_right(service, record).await? } else { None };
    if !service.tables().record_start(&record.job_id, service.process()).await? {
        // It was canceled in between.
        return Ok(Again::Soon);
    }
    if let Some(problem) = lost {
        let ended = End { state: JobState::Failed, problems: vec![problem] };
        return end(service, record, Wanted::Run, ended).await;
    }
    tracing::info!("the job is worked on");
    let mut progress = Progress::of(service, &record.job_id);
    let worked = tokio::select! {
        worked = carried_out(service, record, &canceled) => worked,
        never = progress.watch() => match never {},
    };
    progress.finish().await;
    let ended = match worked {
        Ok(report) if is_paused(&report) => return Ok(Again::Soon),
        Ok(report) => End { state: report.state, problems: report.problems },
        Err(Stopped::NotNow) => return Ok(Again::Soon),
        // What is recorded of the engine is to end with it.
        Err(Stopped::Canceled) if record.next_round.is_some() => return Ok(Again::AtOnce),
        Err(Stopped::Canceled) => End { state: JobState::Canceled, problems: Vec::new() },
        Err(Stopped::Refused(problems)) if problems.iter().any(is_passing) => return Ok(Again::Soon),
        Err(Stopped::Refused(problems)) if waits_for_cluster(service, record, &problems).await? => {
            tracing::info!("the job waits for a cluster that can't be reached");
            return Ok(Again::Soon);
        }
        Err(Stopped::Refused(problems)) => End { state: refused_state(service, record).await?, problems },
    };
    end(service, record, Wanted::Run, ended).await
}

/// Why whoever created a job may not start it any more; none where they may.
async fn lost_right(service: &Service, record: &MigrationRecord) -> Result<Option<Problem>, StoreError> {
    let who = &record.created_by;
    let lost = |english: String, chinese: String| {
        Some(Problem::new(Code::RightLost).told("detail", Told::both(english, chinese)))
    };
    let Some(rights) = service.rights_of(&record.org_id, who).await? else {
        return Ok(match who.starts_with(KEY_PREFIX) {
            true => lost(
                format!("the API key `{who}` was revoked or has expired"),
                format!("API 密钥 `{who}` 已被撤销或已过期"),
            ),
            false => lost(
                format!("`{who}` is no longer a member of the organization"),
                format!("`{who}` 已不是组织成员"),
            ),
        });
    };
    let denied = record.projects().find(|project_id| !rights.may(Action::Administer, project_id));
    Ok(denied.and_then(|project_id| {
        lost(
            format!("`{who}` is no longer Project Admin in the project `{project_id}`"),
            format!("`{who}` 已不是项目 `{project_id}` 的项目管理员"),
        )
    }))
}

/// Whether a job did not end because of itself, but of the store: it goes on as soon as that is there again.
fn is_paused(report: &Report) -> bool {
    report.state == JobState::Failed && report.problems.iter().any(is_passing)
}

/// Whether something passes without anybody's doing anything about the job.
fn is_passing(problem: &Problem) -> bool {
    const PASSING: [Code; 7] = [
        Code::LedgerFailed,
        Code::StoreUnreachable,
        Code::StoreUnusable,
        Code::StateDir,
        Code::StoreFull,
        Code::ServiceUnavailable,
        Code::JobIsLive,
    ];
    PASSING.contains(&problem.code)
}

/// Whether a job that was to start at a time is still to wait for a cluster that can't be reached: nobody may be there to
/// start it again.
async fn waits_for_cluster(
    service: &Service,
    record: &MigrationRecord,
    problems: &[Problem],
) -> Result<bool, StoreError> {
    // Somebody asked for a round, and is told at once.
    let is_scheduled = record.is_planned && record.next_round.is_none();
    if !is_scheduled || !problems.iter().any(is_unreachable) {
        return Ok(false);
    }
    // It may have waited for its turn before it was tried first.
    let now = service.tables().now_ms().await?;
    let tried_since = record.started_ms.unwrap_or(now).max(record.start_ms);
    Ok(now.saturating_sub(tried_since) < START_RETRIED_MS)
}

/// Whether a cluster could not be reached, which may pass.
fn is_unreachable(problem: &Problem) -> bool {
    [Code::UnknownHost, Code::ConnectionRefused, Code::NoAnswer].contains(&problem.code)
}

/// What a job is that the engine refuses. A round that is refused before it begins leaves the job as it was.
async fn refused_state(service: &Service, record: &MigrationRecord) -> Result<JobState, StoreError> {
    if record.next_round.is_none() {
        return Ok(JobState::Failed);
    }
    let of_engine = engine_record(service, &JobId::from(record.job_id.as_str())).await?;
    Ok(match of_engine.map(|of_engine| of_engine.state) {
        Some(state @ (JobState::Ready | JobState::Canceled | JobState::Successful)) => state,
        Some(JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Failed) | None => {
            JobState::Failed
        }
    })
}

/// What the engine is to do for a job.
enum Todo {
    /// Begin the round that is wanted.
    Begin(WantedRound),
    /// Go on with what it recorded, or begin the job where it recorded nothing.
    GoOn,
    /// Nothing: the round that is wanted came to its end, and nobody recorded that here.
    Nothing,
}

/// Whether the round that is wanted of a job has begun. The newest round right before is recorded first, so that whoever
/// comes after a restart can tell.
async fn todo(service: &Service, record: &MigrationRecord) -> Result<Todo, Stopped> {
    let Some(wanted) = record.next_round else { return Ok(Todo::GoOn) };
    let newest = match service.store().round(&JobId::from(record.job_id.as_str())).await {
        Ok(newest) => newest,
        Err(error) if error.kind() == ErrorKind::UnknownJob => None,
        Err(_) => return Err(Stopped::NotNow),
    };
    let number = newest.as_ref().map_or(0, |round| round.number);
    match (wanted.behind, newest) {
        (Some(behind), Some(round)) if round.number > behind => {
            return Ok(match round.state {
                RoundState::Open => Todo::GoOn,
                RoundState::Done | RoundState::Failed => Todo::Nothing,
            });
        }
        (Some(_), _) => return Ok(Todo::Begin(wanted)),
        (None, _) => {}
    }
    let wanted = WantedRound { behind: Some(number), ..wanted };
    let recorded = service.tables().record_behind((&record.job_id, service.process()), wanted).await;
    match recorded {
        Ok(true) => Ok(Todo::Begin(wanted)),
        // It was canceled in between, or the store is away.
        Ok(false) | Err(_) => Err(Stopped::NotNow),
    }
}

/// The report that the engine recorded of a job that is not worked on.
fn recorded_report(of_engine: Option<&JobRecord>) -> Option<Report> {
    let of_engine = of_engine.filter(|of_engine| !of_engine.state.is_open())?;
    serde_json::from_str(of_engine.report.as_deref()?).ok()
}

async fn carried_out(
    service: &Arc<Service>,
    record: &MigrationRecord,
    canceled: &CancellationToken,
) -> Result<Report, Stopped> {
    let job_id = JobId::from(record.job_id.as_str());
    let of_engine = engine_record(service, &job_id).await.map_err(|_| Stopped::NotNow)?;
    let todo = todo(service, record).await?;
    if matches!(todo, Todo::Nothing)
        && let Some(report) = recorded_report(of_engine.as_ref())
    {
        return Ok(report);
    }
    let sides = sides(service, record).await.map_err(|problem| Stopped::Refused(vec![problem]))?;
    let prepared = async {
        match (todo, of_engine) {
            (Todo::Begin(round), _) => {
                let Sides { source, target, .. } = sides;
                let next = round.to_engine();
                Migration::next_round(&**service.store(), &job_id, source, target, next).await
            }
            (Todo::GoOn | Todo::Nothing, Some(_)) => {
                let Sides { source, target, .. } = sides;
                Migration::resume(&**service.store(), &job_id, source, target).await
            }
            (Todo::GoOn | Todo::Nothing, None) => {
                let mut migration = checked(service, record, &sides).await?;
                if let Some(max_rate) = max_rate(record).map_err(|problem| vec![problem])? {
                    migration.set_max_rate(Some(max_rate));
                }
                Ok(Resumed::Ready(Box::new(migration.with_job_id(job_id))))
            }
        }
    };
    let prepared = tokio::select! {
        prepared = Box::pin(prepared) => prepared.map_err(Stopped::Refused)?,
        // Nothing was written yet.
        () = canceled.cancelled() => return Err(Stopped::Canceled),
    };
    let mut migration = match prepared {
        Resumed::Successful(report) | Resumed::AtRest(report) => return Ok(*report),
        Resumed::Ready(migration) => migration.with_resources(service.resources()),
    };
    // The target has taken what a further round writes, which is not to take longer than it must.
    if record.next_round.is_none() {
        migration.probe_write(canceled).await.map_err(Stopped::Refused)?;
    }
    if canceled.is_cancelled() {
        return Err(Stopped::Canceled);
    }
    let observer = Arc::new(Unobserved);
    let ran = Box::pin(migration.run(service.store(), observer, canceled.clone()));
    ran.await.map_err(Stopped::Refused)
}

/// What was asked for.
fn request(record: &MigrationRecord) -> Result<JobRequest, Problem> {
    serde_json::from_str(&record.request)
        .map_err(|error| Problem::new(Code::ServiceUnavailable).with("detail", error))
}

/// The limit that a job begins with.
fn max_rate(record: &MigrationRecord) -> Result<Option<MaxRate>, Problem> {
    request(record)?.max_rate.as_deref().map_or(Ok(None), MaxRate::parse)
}

/// A new job, checked. One that was checked before has to come to the same.
async fn checked(
    service: &Arc<Service>,
    record: &MigrationRecord,
    sides: &Sides,
) -> Result<Migration, Vec<Problem>> {
    let one = |problem| vec![problem];
    let request = request(record).map_err(one)?;
    let edition = edition(service, &record.org_id).await.map_err(one)?;
    if record.is_planned {
        let planned = service.tables().plan_of(&record.job_id).await;
        let planned = planned.map_err(|error| one(of_store(&error)))?.unwrap_or_default();
        return planned_before(service, record, &planned, sides).await;
    }
    let to_engine = request.to_engine(sides, edition.clone()).map_err(one)?;
    let directory = service.store().directory().map(std::path::Path::to_owned);
    let checked = Box::pin(Migration::check(to_engine, directory.as_deref())).await;
    note_checks(service, record, &checked.checks).await;
    let migration = checked.into_result()?;
    not_too_many(migration.plan().collections.len(), sides.target_plan.stated, &edition).map_err(one)?;
    Ok(migration)
}

/// Records what was looked at, for whoever asks later. The job does not depend on it.
async fn note_checks(service: &Service, record: &MigrationRecord, checks: &[Check]) {
    let Ok(checks) = serde_json::to_string(checks) else { return };
    if let Err(error) = service.tables().record_checks(&record.job_id, checks).await {
        tracing::debug!(%error, "the checks are not recorded");
    }
}

/// The plan of the check at the time of creation, if it still holds.
async fn planned_before(
    service: &Service,
    record: &MigrationRecord,
    planned: &str,
    sides: &Sides,
) -> Result<Migration, Vec<Problem>> {
    let file = PlanFile::read(std::path::Path::new("plan"), planned).map_err(|problem| vec![problem])?;
    // Rows may come and go until the window begins; everything else may not.
    let tolerance_percent = f64::INFINITY;
    let (source, target) = (sides.source.clone(), sides.target.clone());
    let checked = Migration::check_planned(file, source, target, tolerance_percent, None);
    let checked = Box::pin(checked).await;
    note_checks(service, record, &checked.checks).await;
    checked.into_result().map_err(|mut problems| {
        // Then nothing was checked that could have changed.
        if problems.iter().all(is_unreachable) {
            return problems;
        }
        let changed = Problem::new(Code::PrecheckChanged);
        let detail = problems.iter().map(|problem| problem.code.to_string()).collect::<Vec<_>>().join(", ");
        problems.insert(0, changed.with("detail", detail));
        problems
    })
}

/// Collections that one job takes; none is no limit.
pub(crate) fn collections_max(target: Option<Deployment>, edition: &Edition) -> Option<u64> {
    let plan = target.unwrap_or(Deployment::SelfHosted);
    let of_plan = limits(plan.in_tables(), None).collections_per_job_max;
    edition.collections_per_job_max.or(of_plan)
}

/// Whether as many collections go in one job.
pub(crate) fn not_too_many(
    count: usize,
    target: Option<Deployment>,
    edition: &Edition,
) -> Result<(), Problem> {
    let plan = target.unwrap_or(Deployment::SelfHosted);
    match collections_max(target, edition) {
        Some(max) if count as u64 > max => Err(Problem::new(Code::TooManyCollections)
            .with("count", count)
            .with("max", max)
            .with("plan", plan)),
        Some(_) | None => Ok(()),
    }
}

/// The policy edition of an organization.
pub(crate) async fn edition(service: &Service, org_id: &str) -> Result<Edition, Problem> {
    let unknown = |detail: &str| Problem::new(Code::ServiceUnavailable).with("detail", detail);
    let named = service.tables().edition(org_id).await;
    let named = named.map_err(|error| of_store(&error))?;
    let named = named.ok_or_else(|| unknown("the organization is gone"))?;
    Edition::named(&named)
        .or_else(|| Edition::read(&named).ok())
        .ok_or_else(|| unknown("the policy edition can't be read"))
}

/// What the engine recorded of a job; none before it began.
async fn engine_record(service: &Service, job_id: &JobId) -> Result<Option<JobRecord>, StoreError> {
    match service.store().job(job_id).await {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(None),
        Err(error) => Err(error),
    }
}

/// Both sides of a job, with what is needed to be let in.
pub(crate) async fn sides(service: &Service, record: &MigrationRecord) -> Result<Sides, Problem> {
    let (source, source_plan) = match &record.source {
        MigrationSource::Cluster { cluster_id, .. } => {
            cluster_side(service, &record.org_id, cluster_id).await?
        }
        MigrationSource::Elsewhere { secret: Some(sealed) } => {
            let opened = service.open_secret(&source_purpose(&record.job_id), sealed)?;
            let access: Access = serde_json::from_str(opened.reveal())
                .map_err(|_| Problem::new(Code::ServiceUnavailable).with("detail", "the source's access"))?;
            let endpoint =
                service.endpoint(&access.address, access.secret(), access.ca_pem.as_deref()).await?;
            (endpoint, PlanHints::default())
        }
        MigrationSource::Elsewhere { secret: None } => {
            let problem = Problem::new(Code::Conflict);
            let problem = problem.with("detail", "the credential of the source was erased; give it again");
            return Err(problem.with("detail_zh", "源集群的凭证已删除；请重新提供"));
        }
    };
    let (target, target_plan) = cluster_side(service, &record.org_id, &record.target_cluster_id).await?;
    Ok(Sides { source, target, source_plan, target_plan })
}

/// A registered cluster, as one side of a job.
pub(crate) async fn cluster_side(
    service: &Service,
    org_id: &str,
    cluster_id: &str,
) -> Result<(vecferry_milvus::Endpoint, PlanHints), Problem> {
    let cluster = service.tables().cluster(org_id, cluster_id).await;
    let cluster = cluster.map_err(|error| of_store(&error))?;
    let Some(cluster) = cluster else {
        let problem = Problem::new(Code::NoSuchObject).with("kind", "cluster").with("kind_zh", "集群");
        return Err(problem.with("id", cluster_id));
    };
    Ok((service.endpoint_of(&cluster).await?, hints(&cluster)))
}

/// Ends a job that nobody works on.
async fn cancel(service: &Arc<Service>, record: &MigrationRecord) -> Result<Again, StoreError> {
    let job_id = JobId::from(record.job_id.as_str());
    let Some(of_engine) = engine_record(service, &job_id).await? else {
        return end(service, record, Wanted::Cancel, End { state: JobState::Canceled, problems: Vec::new() })
            .await;
    };
    // What is complete stays so.
    if of_engine.state == JobState::Successful {
        return end(
            service,
            record,
            Wanted::Cancel,
            End { state: JobState::Successful, problems: Vec::new() },
        )
        .await;
    }
    let (source, target) = match sides(service, record).await {
        Ok(sides) => (Some(sides.source), Some(sides.target)),
        // Without its clusters it ends as well; what is left of it is told.
        Err(problem) => {
            tracing::warn!(%problem, "the job is canceled without its clusters");
            (None, None)
        }
    };
    let canceled = vecferry_migrate::cancel(&**service.store(), &job_id, source, target, false).await;
    let (state, problems) = match canceled {
        Ok(canceled) => (canceled.state, Vec::new()),
        Err(problems) if problems.iter().any(is_passing) => return Ok(Again::Soon),
        Err(problems) => (JobState::Canceled, problems),
    };
    end(service, record, Wanted::Cancel, End { state, problems }).await
}

/// Removes from the target what a job made there, which ends it. As the command line does, it removes nothing before the
/// target answers, and goes without the source of a job whose access to it was erased: that had been put back at the end.
async fn clean(service: &Arc<Service>, record: &MigrationRecord) -> Result<Again, StoreError> {
    let job_id = JobId::from(record.job_id.as_str());
    let ended = |state, problems| end(service, record, Wanted::Clean, End { state, problems });
    if engine_record(service, &job_id).await?.is_none() {
        return ended(JobState::Canceled, Vec::new()).await;
    }
    let cleaned = match clean_sides(service, record).await {
        Ok((source, target)) => {
            let cleaned = vecferry_migrate::cancel(&**service.store(), &job_id, source, Some(target), true);
            Box::pin(cleaned).await.map(drop)
        }
        Err(problem) => Err(vec![problem]),
    };
    if let Err(problems) = &cleaned
        && problems.iter().any(is_passing)
    {
        return Ok(Again::Soon);
    }
    // What is recorded now is true, however far it came.
    let Some(of_engine) = engine_record(service, &job_id).await? else {
        return ended(JobState::Canceled, Vec::new()).await;
    };
    let state = if of_engine.state.is_open() { JobState::Canceled } else { of_engine.state };
    let problems = match cleaned {
        Ok(()) => reported(&of_engine),
        Err(problems) => problems,
    };
    ended(state, problems).await
}

/// What the report of a job tells: after a clean-up, what was removed.
fn reported(of_engine: &JobRecord) -> Vec<Problem> {
    let report = of_engine.report.as_deref().and_then(|text| serde_json::from_str::<Report>(text).ok());
    report.map(|report| report.problems).unwrap_or_default()
}

async fn clean_sides(
    service: &Service,
    record: &MigrationRecord,
) -> Result<(Option<Endpoint>, Endpoint), Problem> {
    match &record.source {
        MigrationSource::Cluster { .. } | MigrationSource::Elsewhere { secret: Some(_) } => {
            let Sides { source, target, .. } = sides(service, record).await?;
            Ok((Some(source), target))
        }
        MigrationSource::Elsewhere { secret: None } => {
            let target = cluster_side(service, &record.org_id, &record.target_cluster_id).await?;
            Ok((None, target.0))
        }
    }
}

/// Everything that listeners are told comes from the record, which all processes share.
struct Unobserved;

impl Observer for Unobserved {
    fn on_event(&self, _: Event) {}
}
