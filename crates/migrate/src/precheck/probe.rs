//! Whether the target takes what the plan asks for, found out by asking: for each definition of the plan an empty scratch
//! collection is made, compared, indexed and removed. Names of partitions that the target may not allow are tried in it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::wire::WireError;
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, ErrorKind, Flavor, NewCollection};
use vecferry_policy::{NameKind, check_name};

use super::names::forbidden_name;
use crate::cluster::connect::{product, refusal};
use crate::cluster::release::release;
use crate::cluster::retry::{WaitError, repeat, unless_canceled};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::plan::show;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::CheckId;
use crate::problem::{Code, Problem, Side, Told, message_of, words_of};
use crate::target;

/// Scratch collections that are there at once.
const SCRATCHES_PARALLEL: usize = 8;

/// A scratch collection: a planned one under a name that only this job can have.
pub(crate) struct Scratch {
    /// As which collections of the source it is made.
    sources: Vec<CollectionName>,
    /// Partitions of these that the target may not allow.
    partitions: Vec<(CollectionName, String)>,
    /// The planned one, with the scratch's name on the target.
    planned: PlannedCollection,
    /// A denial proves nothing: its database is yet to be made, and `default` stands in for it. Where there is a doubt, the
    /// target must be asked all the same.
    may_be_denied: bool,
}

impl Scratch {
    /// Its name.
    pub(crate) fn name(&self) -> &CollectionName {
        &self.planned.target
    }

    fn cannot_hold(&self, client: &Client, detail: &Told) -> Vec<Problem> {
        let one = |source| {
            let problem = Problem::new(Code::TargetCannotHold).with("collection", source);
            problem.with("target", client.version()).told("detail", detail.clone())
        };
        self.sources.iter().map(one).collect()
    }
}

/// One scratch collection for each definition of the plan and each database. A user may have no rights in `default`, so that
/// nothing is proved by a denial there.
pub(crate) fn scratches(target: &Client, plan: &Plan, job_id: &str) -> Result<Vec<Scratch>, WireError> {
    let (mut known, mut scratches) = (BTreeMap::new(), Vec::<Scratch>::new());
    for planned in &plan.collections {
        let elsewhere = plan.new_databases.contains(&planned.target.db);
        let db = if elsewhere { DB_DEFAULT } else { &planned.target.db };
        let may_be_denied = elsewhere && !is_in_doubt(plan, &planned.source);
        // Two definitions are one if nothing but their names differs.
        let nameless = planned.new.named(&CollectionName::new(db, ""))?;
        let next = scratches.len();
        let at = *known.entry(format!("{nameless:?} {:?}", planned.indexes)).or_insert(next);
        if at == next {
            let name = CollectionName::new(db, format!("vf_probe_{}_{next}", job_id.replace('-', "")));
            let new = planned.new.named(&name)?;
            let planned = PlannedCollection { target: name, new, ..planned.clone() };
            scratches.push(Scratch { sources: Vec::new(), partitions: Vec::new(), planned, may_be_denied });
        }
        scratches[at].may_be_denied &= may_be_denied;
        let is_doubtful = |name: &&String| check_name(product(target), NameKind::Partition, name).is_err();
        let in_doubt = planned.partitions.iter().filter(is_doubtful);
        scratches[at].partitions.extend(in_doubt.map(|name| (planned.source.clone(), name.clone())));
        scratches[at].sources.push(planned.source.clone());
    }
    Ok(scratches)
}

fn is_in_doubt(plan: &Plan, source: &CollectionName) -> bool {
    let name = source.to_string();
    let names_it =
        |problem: &Problem| problem.values.iter().any(|(key, value)| key == "collection" && *value == name);
    plan.warnings.iter().any(|warning| warning.code == Code::TargetMayNotHold && names_it(warning))
}

/// Makes scratch collections, and removes them. Also after a failure or a cancellation nothing of them stays.
///
/// # Errors
/// Everything that stands in the way.
pub(crate) async fn probe_write(
    client: &Client,
    scratches: &[Scratch],
    cancel: &CancellationToken,
) -> Result<(), Vec<Problem>> {
    let parallel = match client.version().flavor {
        Flavor::Milvus => SCRATCHES_PARALLEL,
        // It keeps what it knows in files that two calls at once break.
        Flavor::LiteNative | Flavor::LitePython => 1,
    };
    let one = |scratch| async move {
        if cancel.is_cancelled() { Vec::new() } else { probe(client, scratch, cancel).await }
    };
    // All of them to their end: what was begun is removed.
    let probed: Vec<_> = scratches.iter().map(one).collect();
    let probed = stream::iter(probed).buffered(parallel).collect::<Vec<_>>();
    let mut problems: Vec<Problem> = Vec::new();
    for problem in shown(Awaited::Check { check: CheckId::Schema }, probed).await.into_iter().flatten() {
        // A target that fails does so for every definition.
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

async fn probe(client: &Client, scratch: &Scratch, cancel: &CancellationToken) -> Vec<Problem> {
    let look = look(client, scratch, cancel);
    match with_scratch(client, &scratch.planned.new, cancel, look).await {
        Err(left) => vec![left],
        Ok(Ok(problems)) => problems,
        Ok(Err(WaitError::Canceled)) => Vec::new(),
        Ok(Err(WaitError::Server(error))) => match error.kind() == ErrorKind::Rejected {
            _ if scratch.may_be_denied && error.kind() == ErrorKind::PermissionDenied => Vec::new(),
            true => scratch.cannot_hold(client, &words_of(&error)),
            false => vec![refusal(Side::Target, &error)],
        },
    }
}

/// Makes a scratch collection, works with it unless canceled, and removes it whatever came of that.
///
/// # Errors
/// It could not be removed.
pub(super) async fn with_scratch<Answer>(
    client: &Client,
    new: &NewCollection,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<Answer, Error>>,
) -> Result<Result<Answer, WaitError>, Problem> {
    // Not dropped on the way: it would be carried out behind the removal.
    let made = client.create_collection(new).await;
    // Also where the answer was lost and it may be there.
    let may_be_there = made.as_ref().err().is_none_or(|error| error.kind().is_ambiguous());
    let done = match made {
        Ok(()) => unless_canceled(cancel, work).await,
        Err(error) => Err(WaitError::Server(error)),
    };
    if may_be_there && let Err(error) = remove(client, &new.name).await {
        return Err(Problem::new(Code::ProbeLeft)
            .with("collection", &new.name)
            .told("detail", words_of(&error)));
    }
    Ok(done)
}

/// Compares what was made with the plan, and makes partitions and indexes. Tells what is not as planned.
async fn look(client: &Client, scratch: &Scratch, cancel: &CancellationToken) -> Result<Vec<Problem>, Error> {
    let planned = &scratch.planned;
    let made = repeat(cancel, || client.describe(&planned.target)).await?;
    let differing = target::schema_differences(client, planned, &made)
        .map_err(|error| Error::own(ErrorKind::Malformed, "DescribeCollection", error))?;
    if !differing.is_empty() {
        return Ok(scratch.cannot_hold(client, &show(&differing)));
    }
    let mut problems = Vec::new();
    for (source, partition) in &scratch.partitions {
        match repeat(cancel, || client.create_partition(&planned.target, partition)).await {
            Err(error) if error.refuses_name() => {
                problems.push(forbidden_name(NameKind::Partition, source, partition, message_of(&error)));
            }
            // Two collections of one definition may have it, and a repeated call finds what the first one made.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    target::create_indexes(client, planned, cancel).await?;
    let differing = target::indexes_made(client, planned).await?.differences;
    if !differing.is_empty() {
        problems.extend(scratch.cannot_hold(client, &show(&differing)));
    }
    Ok(problems)
}

async fn remove(client: &Client, name: &CollectionName) -> Result<(), Error> {
    let never = CancellationToken::new();
    let unless_absent = |done: Result<(), Error>| match done {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(()),
        done => done,
    };
    unless_absent(repeat(&never, || release(client, name)).await)?;
    unless_absent(repeat(&never, || client.drop_collection(name)).await)
}
