//! Whether the credentials may write, found out by writing: a scratch collection of its own is made and removed.

use std::collections::BTreeSet;

use prost::Message;
use tokio_util::sync::CancellationToken;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::{Client, CollectionName, NewCollection};

use crate::connect::{Side, refusal};
use crate::plan::Plan;
use crate::problem::{Code, Problem};
use crate::retry::repeat;

/// Makes an empty collection with an index in each database that exists, and removes it. The name is random, so that it
/// meets nothing that is there.
pub(crate) async fn probe_write(target: &Client, plan: &Plan) -> Result<(), Problem> {
    let databases: BTreeSet<_> = plan
        .collections
        .iter()
        .map(|planned| planned.target.db.as_str())
        .filter(|db| !plan.new_databases.iter().any(|new| new == db))
        .collect();
    for db in databases {
        probe_database(target, db).await?;
    }
    Ok(())
}

async fn probe_database(target: &Client, db: &str) -> Result<(), Problem> {
    let name = CollectionName::new(db, format!("vf_probe_{:016x}", rand::random::<u64>()));
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
    let failed = |error| refusal(Side::Target, &error);
    target.create_collection(&new).await.map_err(failed)?;
    let index = parameters(&[("index_type", "AUTOINDEX"), ("metric_type", "L2")]);
    let indexed = target.create_index(&name, "vector", "vector", index).await;
    // Also after a failure: nothing of it may stay.
    let never = CancellationToken::new();
    let dropped = async {
        repeat(&never, || target.release_collection(&name)).await?;
        repeat(&never, || target.drop_collection(&name)).await
    };
    dropped
        .await
        .map_err(|error| Problem::new(Code::ProbeLeft).with("collection", &name).with("detail", error))?;
    indexed.map_err(failed)
}
