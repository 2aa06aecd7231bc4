//! A job that goes on where an earlier attempt ended.

use vecferry_milvus::{Client, Endpoint};
use vecferry_store::{CollectionRecord, JobId, JobKind, JobRecord, JobState, RoundState, Store};

use super::claim::Own;
use super::control::unreadable;
use super::migration::Migration;
use super::run::replaced;
use crate::cluster::connect::connect_both;
use crate::cluster::connect::refusal;
use crate::cluster::inventory;
use crate::copy::{Limits, Resources};
use crate::plan::stored::{read_plan, read_request};
use crate::plan::{PlannedCollection, SourceChange};
use crate::problem::store_problem;
use crate::problem::{Code, Problem, Side, Told};
use crate::report::Report;
use crate::tuning::Tuning;

/// What there is to do for a job.
#[derive(Debug)]
pub enum Resumed {
    /// It goes on.
    Ready(Box<Migration>),
    /// Nothing is left to resume: it is complete already. This is its report.
    Successful(Box<Report>),
    /// Nothing is left to resume: it is ready to be ended. This is its report.
    AtRest(Box<Report>),
}

impl Migration {
    /// Reads what is recorded of a job, and checks that both clusters still are what it was planned for. Nothing is written
    /// anywhere.
    ///
    /// # Errors
    /// Every reason for which the job can't go on.
    pub async fn resume(
        store: &dyn Store,
        job_id: &JobId,
        source: Endpoint,
        target: Endpoint,
    ) -> Result<Resumed, Vec<Problem>> {
        let failed = |error: vecferry_store::Error| vec![store_problem(store, job_id.as_str(), &error)];
        let record = store.job(job_id).await.map_err(failed)?;
        let is_ready = record.state == JobState::Ready;
        if is_ready || record.state == JobState::Successful {
            let report = record.report.as_deref().unwrap_or_default();
            let report = serde_json::from_str(report).map_err(|error| vec![unreadable(store, &error)])?;
            let report = Box::new(report);
            return Ok(if is_ready { Resumed::AtRest(report) } else { Resumed::Successful(report) });
        }
        let round = store.round(&record.job_id).await.map_err(failed)?;
        let open = round.filter(|round| round.state == RoundState::Open);
        // What took over is the applications' own.
        let is_switching = open.is_some_and(|open| open.switch_intended);
        let migration = Box::pin(reopen(store, record, (source, target), !is_switching)).await?;
        Ok(Resumed::Ready(Box::new(migration)))
    }
}

/// What is recorded of a job, to go on with it. Whoever looks at what it made on the target by himself need not have it looked
/// at here.
///
/// # Errors
/// Every reason for which it can't go on.
pub(super) async fn reopen(
    store: &dyn Store,
    record: JobRecord,
    (source, target): (Endpoint, Endpoint),
    looks_at_target: bool,
) -> Result<Migration, Vec<Problem>> {
    let failed = |error: vecferry_store::Error| vec![store_problem(store, record.job_id.as_str(), &error)];
    if store.is_live(&record.job_id).await.map_err(failed)? {
        return Err(vec![Problem::new(Code::JobIsLive).with("job", &record.job_id)]);
    }
    let plan = read_plan(&record.plan).map_err(|error| vec![unreadable(store, &error)])?;
    let request = read_request(&record.request, &plan, source, target)
        .map_err(|error| vec![unreadable(store, &error)])?;
    let records = store.collections(&record.job_id).await.map_err(failed)?;
    let (source, target) = connect_both(&request.source, &request.target).await?;
    let mut problems = Vec::new();
    for (planned, of_store) in plan.collections.iter().zip(&records) {
        // A job that copies in rounds looks for itself, and follows what changed.
        if planned.presence.is_here() && !of_store.done && record.kind == JobKind::Plain {
            problems.extend(check_source(&source, planned, &record, request.allow_drift).await.err());
        }
        if looks_at_target {
            problems.extend(check_target(&target, planned, of_store, &record).await.err());
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let job_id = record.job_id.clone();
    Ok(Migration {
        request,
        source,
        target,
        plan,
        checks: Vec::new(),
        job_id,
        record: Some(record),
        is_created_now: false,
        next: None,
        tuning: Tuning::default(),
        resources: Resources::new(Limits::default()),
        dispatcher: None,
        max_rate: None,
        counted_at: None,
    })
}

/// The source collection must be the one that was planned, with the same schema.
async fn check_source(
    source: &Client,
    planned: &PlannedCollection,
    record: &JobRecord,
    allow_drift: bool,
) -> Result<(), Problem> {
    let changed = |changes: &[SourceChange]| {
        Problem::new(Code::SourceChanged)
            .with("collection", &planned.source)
            .with("job", &record.job_id)
            .told("detail", Told::parts(&SourceChange::all_told(changes)))
    };
    let now =
        inventory::look(source, &planned.source).await.map_err(|error| refusal(Side::Source, &error))?;
    let Some(now) = now else { return Err(changed(&[SourceChange::Dropped])) };
    let (described, mut partitions, mut aliases) = (now.described, now.partitions, now.aliases);
    let mut described = described;
    if allow_drift {
        // These are told of at the end.
        partitions.clone_from(&planned.partitions);
        aliases.clone_from(&planned.aliases);
        described.properties.clone_from(&planned.described.properties);
    }
    let found = planned.changes_of_source(&described, &partitions, &aliases);
    if found.is_empty() { Ok(()) } else { Err(changed(&found)) }
}

/// What the job made must still be there, also what is complete; under a name of its own it is not complete.
async fn check_target(
    target: &Client,
    planned: &PlannedCollection,
    of_store: &CollectionRecord,
    record: &JobRecord,
) -> Result<(), Problem> {
    if of_store.target_id.is_none() || of_store.removal_intended {
        return Ok(());
    }
    let (job_id, position) = (&record.job_id, of_store.position);
    let own = Own { target, job_id, planned: &planned.target, position };
    match own.find(of_store).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(replaced(planned, &record.job_id)),
        Err(error) => Err(refusal(Side::Target, &error)),
    }
}
