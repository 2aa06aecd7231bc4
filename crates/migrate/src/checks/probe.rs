//! Whether the credentials may write, found out by writing: a scratch collection of its own is made and removed.

use std::collections::BTreeSet;

use prost::Message;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind, NewCollection};

use crate::connect::{Side, refusal};
use crate::plan::Plan;
use crate::problem::{Code, Problem};
use crate::retry::{WaitError, repeat, unless_canceled};

/// The collections that [`probe_write`] makes: one in each database that exists. The name is the job's own, so that it
/// meets nothing that is there.
pub(crate) fn probe_names(plan: &Plan, job_id: &str) -> Vec<CollectionName> {
    let databases: BTreeSet<_> = plan
        .collections
        .iter()
        .map(|planned| planned.target.db.as_str())
        .filter(|db| !plan.new_databases.iter().any(|new| new == db))
        .collect();
    let name = format!("vf_probe_{}", job_id.replace('-', ""));
    databases.into_iter().map(|db| CollectionName::new(db, &name)).collect()
}

/// Makes empty collections with an index, and removes them. Also after a failure or a cancellation nothing of them stays.
pub(crate) async fn probe_write(
    target: &Client,
    names: &[CollectionName],
    cancel: &CancellationToken,
) -> Result<(), Problem> {
    for name in names {
        if cancel.is_cancelled() {
            break;
        }
        probe(target, name, cancel).await?;
    }
    Ok(())
}

async fn probe(target: &Client, name: &CollectionName, cancel: &CancellationToken) -> Result<(), Problem> {
    let schema = CollectionSchema {
        name: name.name.clone(),
        fields: vec![
            FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) },
            field("vector", DataType::FloatVector, &[("dim", "2")]),
        ],
        ..CollectionSchema::default()
    };
    let new = NewCollection {
        name: name.clone(),
        schema: schema.encode_to_vec().into(),
        shards: 1,
        consistency: 0,
        properties: Vec::new(),
        num_partitions: 0,
    };
    // Not dropped on the way: it would be carried out behind the removal.
    let made = target.create_collection(&new).await;
    let indexed = match &made {
        Ok(()) => {
            let index = parameters(&[("index_type", "AUTOINDEX"), ("metric_type", "L2")]);
            unless_canceled(cancel, target.create_index(name, "vector", "vector", index)).await
        }
        Err(_) => Ok(()),
    };
    // Also where the answer was lost and it may be there.
    if made.as_ref().err().is_none_or(|error| error.kind().is_ambiguous()) {
        let removed = remove(target, name).await;
        removed
            .map_err(|error| Problem::new(Code::ProbeLeft).with("collection", name).with("detail", error))?;
    }
    made.map_err(|error| refusal(Side::Target, &error))?;
    match indexed {
        Ok(()) | Err(WaitError::Canceled) => Ok(()),
        Err(WaitError::Server(error)) => Err(refusal(Side::Target, &error)),
    }
}

async fn remove(target: &Client, name: &CollectionName) -> Result<(), Error> {
    let never = CancellationToken::new();
    let unless_absent = |done: Result<(), Error>| match done {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(()),
        done => done,
    };
    unless_absent(repeat(&never, || target.release_collection(name)).await)?;
    unless_absent(repeat(&never, || target.drop_collection(name)).await)
}
