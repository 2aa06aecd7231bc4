//! What others want of a job: that it ends, and that nothing of it stays.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use vecferry_milvus::{Client, Endpoint, Error};
use vecferry_store::{Attempt, CollectionRecord, JobId, JobRecord, JobState, Position, RoundState, Store};

use super::claim::Claim;
use super::pace::Looked;
use super::run::Job;
use super::writers;
use crate::cluster::connect::connect;
use crate::cluster::retry::repeat;
use crate::event::{Event, Phase};
use crate::flat_index;
use crate::plan::stored::read_plan;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::{Code, Problem, Side, Told, Worded, words_of};
use crate::problem::{store_failed, store_problem};
use crate::rate::MaxRate;
use crate::report::new_report;
use crate::report::{CollectionReport, Report};
use crate::request::VerifyLevel;

/// How often a running job looks whether it is to end, and how fast it goes.
const CONTROL_INTERVAL: Duration = Duration::from_millis(500);
/// How often the end of another process is looked for.
const END_INTERVAL: Duration = Duration::from_millis(200);
/// A process that runs says every [`CONTROL_INTERVAL`] that it is ending; one that is silent so long is stopped.
const REACTION_WAIT_MAX: Duration = Duration::from_secs(20);

/// Looks after what others want of a running job, and says what it waits for.
pub(super) async fn obey(job: &Job, looked: &Looked) -> Infallible {
    loop {
        tokio::time::sleep(CONTROL_INTERVAL).await;
        // A store that can't be read ends the job where it can't be written.
        if let Ok(control) = job.store.control(job.attempt.job_id()).await {
            if control.cancel {
                job.cancel.cancel();
                if let Err(error) = job.store.record_cancel_beat(&job.attempt).await {
                    tracing::debug!(%error, "whoever canceled does not see it");
                }
            }
            // One that can't be read was written by a newer version: the former stays in force.
            if let Ok(max_rate) = MaxRate::of_stored(control.max_rate.as_deref())
                && job.pace.set_max_rate(max_rate)
            {
                job.observer.on_event(Event::MaxRate { max_rate });
            }
        }
        job.times.record_now_and_then(&*job.store, &job.attempt).await;
        looked.look(job).await;
    }
}

/// A limit of the data rate that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSet {
    /// The job's whole number.
    pub job_id: JobId,
    /// Whether a process works on it, which takes the limit over within a second.
    pub live: bool,
}

/// Limits the data rate of a job, or lifts the limit, also while another process works on it.
///
/// # Errors
/// There is no such job, or it is complete.
pub async fn set_max_rate(
    store: &dyn Store,
    job_id: &JobId,
    max_rate: Option<MaxRate>,
) -> Result<RateSet, Problem> {
    let failed = |error: vecferry_store::Error| store_problem(store, job_id.as_str(), &error);
    if store.job(job_id).await.map_err(failed)?.state == JobState::Successful {
        return Err(Problem::new(Code::JobIsComplete).with("job", job_id));
    }
    store.set_max_rate(job_id, MaxRate::stored(max_rate)).await.map_err(failed)?;
    let live = store.is_live(job_id).await.map_err(failed)?;
    Ok(RateSet { job_id: job_id.clone(), live })
}

/// What a cancellation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canceled {
    /// The job's whole number.
    pub job_id: JobId,
    /// Its state now.
    pub state: JobState,
    /// What was removed from the target; only where that was asked for.
    pub removed: Vec<Told>,
}

/// Ends a job: one that runs in another process is asked to end, and waited for; of one whose process died the source is
/// put back into the load state it had, where its address can be reached with what is given. With `clean`, everything is
/// removed from the target that the job's own record says it made, and nothing else.
///
/// # Errors
/// There is no such job, the process that works on it does not react, a server that is needed can't be reached, or
/// something can't be removed.
pub async fn cancel(
    store: &dyn Store,
    job_id: &JobId,
    source: Option<Endpoint>,
    target: Option<Endpoint>,
    clean: bool,
) -> Result<Canceled, Vec<Problem>> {
    let failed = |error: vecferry_store::Error| vec![store_problem(store, job_id.as_str(), &error)];
    let record = store.job(job_id).await.map_err(failed)?;
    let plan = read_plan(&record.plan).map_err(|error| vec![unreadable(store, &error)])?;
    if store.is_live(job_id).await.map_err(failed)? {
        store.request_cancel(job_id).await.map_err(failed)?;
        wait_for_end(store, job_id).await?;
    }
    let record = store.job(job_id).await.map_err(failed)?;
    // Applications may use it by now.
    let round = store.round(job_id).await.map_err(failed)?.filter(|round| round.state == RoundState::Open);
    if clean && round.is_some_and(|round| round.switch_intended) {
        return Err(vec![Problem::new(Code::SwitchBegun).with("job", job_id)]);
    }
    if record.attempt == 0 {
        return never_begun(store, job_id).await.map_err(failed);
    }
    // Its process died: what its own end would have done is left to do.
    let is_cut_off = record.state.is_open();
    let is_ready = record.state == JobState::Ready;
    let mut removed = Vec::new();
    if is_cut_off || is_ready || clean {
        // One that came to rest left nothing to close.
        let target = match target.filter(|_| is_cut_off || clean) {
            Some(endpoint) => Some(connect(Side::Target, &endpoint).await),
            None => None,
        };
        let target = match target.transpose() {
            // Nothing was begun: what is recorded stays true.
            Err(problem) if !is_cut_off => return Err(vec![problem]),
            target => target,
        };
        let before = store.collections(job_id).await.map_err(failed)?;
        let attempt = store.begin_attempt(job_id).await.map_err(failed)?;
        // One that came to rest has put its source back.
        let source = source.filter(|_| !is_ready);
        let problems = end(store, &attempt, &plan, source, target, clean, &mut removed).await;
        let after = store.collections(job_id).await.map_err(failed)?;
        let is_changed = before != after || !removed.is_empty();
        let now = format!("{:.3}", jiff::Timestamp::now());
        let (state, report, at) = if !is_cut_off && !is_changed && !problems.is_empty() {
            (record.state, record.report.clone(), record.ended_at.clone().unwrap_or(now))
        } else if clean {
            let report = cleaned(&record, &plan, &after, &removed, &now);
            let report = serde_json::to_string(&report).map_err(|error| vec![unreadable(store, &error)])?;
            (JobState::Canceled, Some(report), now)
        } else if is_ready {
            (JobState::Canceled, record.report.as_deref().map(canceled), now)
        } else {
            (JobState::Canceled, record.report.clone(), now)
        };
        store.end_attempt(&attempt, state, report.unwrap_or_default(), at).await.map_err(failed)?;
        if !problems.is_empty() {
            return Err(problems);
        }
    }
    let JobRecord { job_id, state, .. } = store.job(job_id).await.map_err(failed)?;
    Ok(Canceled { job_id, state, removed })
}

/// A job that was recorded and never begun ends without a server.
async fn never_begun(store: &dyn Store, job_id: &JobId) -> Result<Canceled, vecferry_store::Error> {
    let attempt = store.begin_attempt(job_id).await?;
    let now = format!("{:.3}", jiff::Timestamp::now());
    store.end_attempt(&attempt, JobState::Canceled, String::new(), now).await?;
    Ok(Canceled { job_id: job_id.clone(), state: JobState::Canceled, removed: Vec::new() })
}

/// The report of a job that was ready, and is canceled: what it copied stays, and it is not to be switched to.
fn canceled(report: &str) -> String {
    let Ok(mut read) = serde_json::from_str::<Report>(report) else { return report.to_owned() };
    read.state = JobState::Canceled;
    serde_json::to_string(&read).unwrap_or_else(|_| report.to_owned())
}

/// The report of a job after a clean-up: nothing that an earlier one proved counts any more.
fn cleaned(
    record: &JobRecord,
    plan: &Plan,
    collections: &[CollectionRecord],
    removed: &[Told],
    now: &str,
) -> Report {
    let former: Option<Report> = record.report.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let names = if removed.is_empty() { "–".into() } else { Told::parts(removed) };
    let is_created = |position: Position| {
        collections.get(position.index()).is_some_and(|of_store| of_store.target_id.is_some())
    };
    let one = |(position, planned): (Position, &PlannedCollection)| CollectionReport {
        phase: Phase::Canceled,
        created: is_created(position),
        ..new_report(planned)
    };
    Report {
        job_id: record.job_id.clone(),
        kind: record.kind,
        state: JobState::Canceled,
        vecferry_version: env!("CARGO_PKG_VERSION").to_owned(),
        source: plan.source.clone(),
        target: plan.target.clone(),
        started_at: record.created_at.clone(),
        ended_at: now.to_owned(),
        seconds: record.worked.as_secs_f64(),
        last_attempt_seconds: 0.0,
        attempts: record.attempt.unsigned_abs() + 1,
        verify: former.map_or(VerifyLevel::None, |former| former.verify),
        verified: VerifyLevel::None,
        sample_seed: record.sample_seed,
        rounds: Vec::new(),
        collections: plan.here().map(one).collect(),
        rbac: None,
        resource_groups: plan.resource_groups.clone(),
        problems: vec![Problem::new(Code::Cleaned).with("job", &record.job_id).told("removed", names)],
        warnings: Vec::new(),
        estimate: None,
        pace: None,
        quarantine_file: None,
    }
}

/// Waits until the process ended that works on a job. It may have much to bring to its end, but it says all the time that it
/// is about it.
async fn wait_for_end(store: &dyn Store, job_id: &JobId) -> Result<(), Vec<Problem>> {
    let failed = |error: vecferry_store::Error| vec![store_problem(store, job_id.as_str(), &error)];
    let (mut beats, mut since) = (store.cancel_beats(job_id).await.map_err(failed)?, Instant::now());
    while store.is_live(job_id).await.map_err(failed)? {
        tokio::time::sleep(END_INTERVAL).await;
        let now = store.cancel_beats(job_id).await.map_err(failed)?;
        if now != beats {
            (beats, since) = (now, Instant::now());
        } else if since.elapsed() > REACTION_WAIT_MAX {
            let problem = match store.holder(job_id).await {
                Some(process) => Problem::new(Code::JobDoesNotReact).with("process", process),
                None => Problem::new(Code::JobDoesNotReactElsewhere),
            };
            return Err(vec![problem.with("job", job_id).with("seconds", REACTION_WAIT_MAX.as_secs())]);
        }
    }
    Ok(())
}

/// A document of the store that this version can't read.
pub(super) fn unreadable(store: &dyn Store, error: &dyn Worded) -> Problem {
    let problem = Problem::new(Code::LedgerCorrupt).with("dir", store.place());
    problem.told("detail", words_of(error))
}

/// Does what the process of the job would have done at its end. Returns everything that stood in the way.
async fn end(
    store: &dyn Store,
    attempt: &Attempt,
    plan: &Plan,
    source: Option<Endpoint>,
    target: Result<Option<Client>, Problem>,
    clean: bool,
    removed: &mut Vec<Told>,
) -> Vec<Problem> {
    let records = match store.collections(attempt.job_id()).await {
        Ok(records) => records,
        Err(error) => return vec![store_failed(attempt.job_id(), &error)],
    };
    let mut problems = Vec::new();
    if let Some(endpoint) = source {
        match connect(Side::Source, &endpoint).await {
            Ok(client) => problems.extend(restore_source(&client, plan, &records).await),
            Err(problem) => problems.push(problem),
        }
    }
    let client = match target {
        Ok(Some(client)) => client,
        Ok(None) => return problems,
        Err(problem) => {
            problems.push(problem);
            return problems;
        }
    };
    for (planned, record) in plan.collections.iter().zip(&records) {
        let claim = Claim { store, attempt, target: &client, planned, position: record.position };
        match clean_up(&claim, record, clean).await {
            Ok(name) => removed.extend(name.map(Told::from)),
            // A resumed job would copy again what is to go.
            Err(Problem { code: Code::TargetFailed, values }) if clean => {
                let problem = Problem { code: Code::CleanFailed, values }.with("object", &planned.target);
                problems.push(problem.with("job", attempt.job_id()));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if clean {
        crate::rbac::remove(store, attempt, &client, plan.rbac.as_ref(), removed, &mut problems).await;
        remove_databases(store, attempt, &client, removed, &mut problems).await;
    }
    problems
}

async fn restore_source(source: &Client, plan: &Plan, records: &[CollectionRecord]) -> Vec<Problem> {
    let never = CancellationToken::new();
    let mut problems = Vec::new();
    let begun = |position: Position| {
        records.get(position.index()).is_some_and(|record| record.creation_intended && !record.done)
    };
    for (_, planned) in plan.here().filter(|(position, planned)| planned.needs_load && begun(*position)) {
        if let Err(error) = repeat(&never, || planned.load.restore(source, &planned.source)).await {
            problems.push(
                Problem::new(Code::SourceNotRestored)
                    .with("collection", &planned.source)
                    .told("detail", words_of(&error))
                    .told("state", planned.load.describe()),
            );
        }
    }
    problems
}

/// Takes the names away that rows were written through, and with `clean` the collection itself, whose name is returned.
pub(super) async fn clean_up(
    claim: &Claim<'_>,
    record: &CollectionRecord,
    clean: bool,
) -> Result<Option<String>, Problem> {
    let Claim { target, planned, attempt, store, .. } = *claim;
    let failed = |error: Error| {
        Problem::new(Code::TargetFailed).with("collection", &planned.target).told("detail", words_of(&error))
    };
    let own = claim.own().find(record).await.map_err(failed)?;
    if let Some(own) = &own {
        writers::close_all(store, attempt, target, &own.name, record.position).await?;
        if own.name == planned.target && !record.done {
            let never = CancellationToken::new();
            let removed = flat_index::remove(target, planned, attempt.job_id(), &never).await;
            removed.map_err(failed)?;
        }
    }
    if !clean {
        return Ok(None);
    }
    if claim.is_unclear(record).await.map_err(failed)? {
        let problem = Problem::new(Code::TargetTaken).with("collection", &planned.target);
        return Err(problem.with("job", attempt.job_id()));
    }
    if record.creation_intended {
        let intended = store.intend_removal(attempt, record.position).await;
        intended.map_err(|error| store_failed(attempt.job_id(), &error))?;
    }
    if let Some(own) = &own {
        for alias in target.aliases(own).await.map_err(failed)? {
            // Others' aliases hold the collection: the server refuses to drop it then, and says so.
            if planned.aliases.contains(&alias) {
                target.drop_alias(&own.name.db, &alias).await.map_err(failed)?;
            }
        }
        claim.drop(&own.name).await?;
    }
    claim.sweep().await?;
    if record.creation_intended {
        claim.forget().await?;
    }
    Ok(own.map(|own| own.name.to_string()))
}

/// Databases that the job made go if nobody put anything into them.
async fn remove_databases(
    store: &dyn Store,
    attempt: &Attempt,
    target: &Client,
    removed: &mut Vec<Told>,
    problems: &mut Vec<Problem>,
) {
    let databases = match store.databases(attempt.job_id()).await {
        Ok(databases) => databases,
        Err(error) => return problems.push(store_failed(attempt.job_id(), &error)),
    };
    for (db, _) in databases.into_iter().filter(|(_, made)| *made) {
        let gone = async {
            if !target.databases().await?.contains(&db) || !target.collections(&db).await?.is_empty() {
                return Ok(false);
            }
            target.drop_database(&db).await.map(|()| true)
        };
        match gone.await {
            Ok(true) => {
                removed.push(format!("{db}.*").into());
                // A job that is resumed makes it anew.
                if let Err(error) = store.forget_database(attempt, &db).await {
                    problems.push(store_failed(attempt.job_id(), &error));
                }
            }
            Ok(false) => {}
            Err(error) => {
                let error: vecferry_milvus::Error = error;
                let problem = Problem::new(Code::CleanFailed).with("object", format!("{db}.*"));
                problems.push(problem.with("job", attempt.job_id()).told("detail", words_of(&error)));
            }
        }
    }
}
