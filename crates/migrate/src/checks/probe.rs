//! Whether the target takes what the plan asks for, found out by asking: for each definition of the plan an empty scratch
//! collection is made, indexed, compared and removed.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::wire::WireError;
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, ErrorKind, Flavor};

use super::CheckId;
use crate::connect::{Side, refusal};
use crate::event::Awaited;
use crate::plan::{Plan, PlannedCollection};
use crate::problem::{Code, Problem, Told};
use crate::retry::{WaitError, repeat, unless_canceled};
use crate::target;
use crate::waits::shown;

/// Scratch collections that are there at once.
const SCRATCHES_PARALLEL: usize = 8;

/// A scratch collection: a planned one under a name that only this job can have.
pub(crate) struct Scratch {
    /// As which collection of the source it is made.
    source: CollectionName,
    /// The planned one, with the scratch's name on the target.
    planned: PlannedCollection,
    /// Its database is yet to be made, and `default` stands in for it.
    elsewhere: bool,
}

impl Scratch {
    /// Its name.
    pub(crate) fn name(&self) -> &CollectionName {
        &self.planned.target
    }
}

/// One scratch collection for each definition of the plan and each database. A user may have no rights in `default`, so that
/// nothing is proved by a denial there.
pub(crate) fn scratches(plan: &Plan, job_id: &str) -> Result<Vec<Scratch>, WireError> {
    let (mut known, mut scratches) = (BTreeSet::new(), Vec::new());
    for planned in &plan.collections {
        let elsewhere = plan.new_databases.contains(&planned.target.db);
        let db = if elsewhere { DB_DEFAULT } else { &planned.target.db };
        let name = format!("vf_probe_{}_{}", job_id.replace('-', ""), scratches.len());
        let target = CollectionName::new(db, name);
        // Two definitions are one if nothing but their names differs.
        let nameless = planned.new.named(&CollectionName::new(db, ""))?;
        if known.insert(format!("{nameless:?} {:?}", planned.indexes)) {
            let new = planned.new.named(&target)?;
            let planned = PlannedCollection { target, new, ..planned.clone() };
            scratches.push(Scratch { source: planned.source.clone(), planned, elsewhere });
        }
    }
    Ok(scratches)
}

/// Makes scratch collections, and removes them. Also after a failure or a cancellation nothing of them stays.
pub(crate) async fn probe_write(
    client: &Client,
    scratches: &[Scratch],
    cancel: &CancellationToken,
) -> Result<(), Problem> {
    let parallel = match client.version().flavor {
        Flavor::Milvus => SCRATCHES_PARALLEL,
        // It keeps what it knows in files that two calls at once break.
        Flavor::LiteNative | Flavor::LitePython => 1,
    };
    let one = |scratch| async move {
        if cancel.is_cancelled() { Ok(()) } else { probe(client, scratch, cancel).await }
    };
    let probed = async {
        // All of them to their end: what was begun is removed.
        let probed: Vec<_> = stream::iter(scratches).map(one).buffer_unordered(parallel).collect().await;
        stream::iter(probed).try_collect::<Vec<()>>().await
    };
    shown(Awaited::Check { check: CheckId::Schema }, probed).await.map(drop)
}

async fn probe(client: &Client, scratch: &Scratch, cancel: &CancellationToken) -> Result<(), Problem> {
    let (name, planned) = (scratch.name(), &scratch.planned);
    // Not dropped on the way: it would be carried out behind the removal.
    let made = client.create_collection(&planned.new).await;
    let looked = match &made {
        Ok(()) => unless_canceled(cancel, look(client, planned, cancel)).await,
        Err(_) => Ok(None),
    };
    // Also where the answer was lost and it may be there.
    if made.as_ref().err().is_none_or(|error| error.kind().is_ambiguous()) {
        let removed = remove(client, name).await;
        removed
            .map_err(|error| Problem::new(Code::ProbeLeft).with("collection", name).with("detail", error))?;
    }
    let cannot_hold = |detail: Told| {
        let problem = Problem::new(Code::TargetCannotHold).with("collection", &scratch.source);
        problem.with("target", client.version()).told("detail", detail)
    };
    let refused = |error: &Error| {
        let is_its_word = error.kind() == ErrorKind::Rejected;
        if is_its_word { cannot_hold(error.to_string().into()) } else { refusal(Side::Target, error) }
    };
    let is_unknown = |error: &Error| scratch.elsewhere && error.kind() == ErrorKind::PermissionDenied;
    match (made, looked) {
        (Err(error), _) | (Ok(()), Err(WaitError::Server(error))) if is_unknown(&error) => Ok(()),
        (Err(error), _) | (Ok(()), Err(WaitError::Server(error))) => Err(refused(&error)),
        (Ok(()), Ok(None) | Err(WaitError::Canceled)) => Ok(()),
        (Ok(()), Ok(Some(differing))) => Err(cannot_hold(differing)),
    }
}

/// Builds the indexes of what was made. Tells what is not as planned.
async fn look(
    client: &Client,
    planned: &PlannedCollection,
    cancel: &CancellationToken,
) -> Result<Option<Told>, Error> {
    let made = repeat(cancel, || client.describe(&planned.target)).await?;
    let differing = target::schema_differences(client, planned, &made)
        .map_err(|error| Error::new(ErrorKind::Malformed, "DescribeCollection", error.to_string()))?;
    if !differing.is_empty() {
        return Ok(Some(target::show(&differing)));
    }
    target::create_indexes(client, planned, cancel).await?;
    Ok(None)
}

/// Removes a scratch collection, if it is there.
pub(super) async fn remove(client: &Client, name: &CollectionName) -> Result<(), Error> {
    let never = CancellationToken::new();
    let unless_absent = |done: Result<(), Error>| match done {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(()),
        done => done,
    };
    unless_absent(repeat(&never, || client.release_collection(name)).await)?;
    unless_absent(repeat(&never, || client.drop_collection(name)).await)
}
