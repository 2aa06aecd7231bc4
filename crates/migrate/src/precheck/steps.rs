//! What the steps of a collection cost on the target, whatever its rows: some small scratch collections are made, filled,
//! stored, indexed, loaded, counted and removed, side by side as those of a job are.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, LongArray, scalar_field::Data,
};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::{
    Client, CollectionName, Consistency, DB_DEFAULT, Error, ErrorKind, Flavor, NewCollection, WriteMode,
};
use vecferry_policy::{VectorKind, vector_index};

use super::probe::with_scratch;
use crate::cluster::connect::product;
use crate::cluster::flush;
use crate::cluster::inventory::everything;
use crate::cluster::load_state::wait_until_complete;
use crate::cluster::retry::{WaitError, repeat};
use crate::cluster::waits::shown;
use crate::event::Awaited;
use crate::plan::Plan;
use crate::plan::estimate::StepCosts;
use crate::problem::Problem;
use crate::problem::Side;
use crate::problem::{CheckId, Told, found};
use crate::request::VerifyLevel;

/// Scratch collections that are there at once: more would say no more, and cost the target more.
const SCRATCHES_MAX: usize = 8;
/// Their rows, and the dimension of the vectors: what is measured is not the rows.
const ROWS: usize = 20;
const DIM: usize = 8;
/// What a job pays of that: it removes nothing, and has several collections stored in one call, but asks the source as well (100
/// collections of a 2.3.5: 1.56 s each, 1.99 s here).
const COST_OF_JOB: f64 = 0.8;

/// Names of the scratch collections for a plan: as many as it has collections, up to a limit.
pub(crate) fn names(plan: &Plan, job_id: &str) -> Vec<CollectionName> {
    let known = |db: &&str| !plan.new_databases.iter().any(|new| new == db);
    let dbs = plan.collections.iter().map(|planned| planned.target.db.as_str());
    let db = dbs.clone().find(known).unwrap_or(DB_DEFAULT);
    let name = |number| CollectionName::new(db, format!("vf_probe_{}_s{number}", job_id.replace('-', "")));
    (0..dbs.count().min(SCRATCHES_MAX)).map(name).collect()
}

/// Measures what the steps of a collection cost; `None` where the target does not let itself be measured, which is no
/// reason not to begin. Whatever comes of it, nothing of the scratch collections stays.
///
/// # Errors
/// Some of them could not be removed.
pub(crate) async fn measure(
    target: &Client,
    names: &[CollectionName],
    verify: VerifyLevel,
    cancel: &CancellationToken,
) -> Result<Option<StepCosts>, Problem> {
    let parallel = match target.version().flavor {
        Flavor::Milvus => names.len(),
        // It keeps what it knows in files that two calls at once break.
        Flavor::LiteNative | Flavor::LitePython => 1,
    };
    let begin = Instant::now();
    let one = |name| async move {
        let steps = take_steps(target, name, verify, cancel);
        let taken = with_scratch(target, &definition(name), cancel, steps).await?;
        Ok((taken, begin.elapsed()))
    };
    let all: Vec<_> = names.iter().map(one).collect();
    let all = stream::iter(all).buffer_unordered(parallel.max(1)).collect::<Vec<_>>();
    let ended = shown(Awaited::Check { check: CheckId::Duration }, all).await;
    let mut times = Vec::new();
    let mut is_measured = true;
    for ended in ended {
        let (taken, elapsed) = ended?;
        match taken {
            Ok(()) => times.push(elapsed),
            Err(WaitError::Canceled) => is_measured = false,
            Err(WaitError::Server(error)) => {
                tracing::debug!(%error, "the steps of a collection were not measured");
                is_measured = false;
            }
        }
    }
    let assumed = StepCosts::assumed(product(target));
    Ok(costs(&times, assumed).filter(|_| is_measured))
}

/// What a further collection costs is the time of all but the first one, shared among them.
fn costs(ended_after: &[Duration], assumed: StepCosts) -> Option<StepCosts> {
    let first = ended_after.iter().min()?.as_secs_f64();
    let last = ended_after.iter().max()?.as_secs_f64();
    let number = ended_after.len() as f64;
    let each_seconds = COST_OF_JOB * last / number;
    let once_seconds = (COST_OF_JOB * first - each_seconds).max(0.0);
    // Partitions are not tried; a server that is so much slower with collections is it with these as well.
    let partition_seconds = assumed.partition_seconds * each_seconds / assumed.each_seconds;
    Some(StepCosts { once_seconds, each_seconds, partition_seconds, is_measured: true })
}

async fn take_steps(
    target: &Client,
    name: &CollectionName,
    verify: VerifyLevel,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    target.write(name, None, &rows(), WriteMode::Insert).await?;
    flush::flush(target, Side::Target, name, cancel).await?;
    let index = vector_index(product(target), VectorKind::Float);
    let params = || parameters(&[("index_type", index), ("metric_type", "L2")]);
    repeat(cancel, || target.create_index(name, "vector", "vector", params())).await?;
    if verify == VerifyLevel::None {
        return Ok(());
    }
    repeat(cancel, || target.load_collection(name, 1)).await?;
    match wait_until_complete(target, Side::Target, name, cancel).await {
        Err(WaitError::Server(error)) => return Err(error),
        Ok(()) | Err(WaitError::Canceled) => {}
    }
    let id = target.describe(name).await?.id;
    let all = everything(name, id, Consistency::Strong);
    let counted = repeat(cancel, || target.count(&all)).await?;
    if counted == ROWS as u64 {
        return Ok(());
    }
    let told = Told::both(
        format!("{counted} rows are there instead of {ROWS}"),
        format!("应有 {ROWS} 行，实际有 {counted} 行"),
    );
    Err(found(ErrorKind::Malformed, "Query", told))
}

fn definition(name: &CollectionName) -> NewCollection {
    let fields = vec![
        FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) },
        field("vector", DataType::FloatVector, &[("dim", &DIM.to_string())]),
    ];
    NewCollection::of_schema(name, CollectionSchema { fields, ..CollectionSchema::default() })
}

fn rows() -> Rows {
    let keys = (0..ROWS as i64).collect();
    let vectors = (0..ROWS * DIM).map(|number| number as f32).collect();
    let columns = [
        scalars("id", DataType::Int64, Data::LongData(LongArray { data: keys })),
        float_vectors("vector", DIM, vectors),
    ];
    Rows::of(&columns, ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_takes_longer_than_each_further_one() {
        let assumed = StepCosts { partition_seconds: 0.1, each_seconds: 1.0, ..StepCosts::default() };
        let ended = [4, 9, 12, 16].map(Duration::from_secs);
        let costs = costs(&ended, assumed).unwrap();
        let (each, once) = (4.0 * COST_OF_JOB, 0.0);
        assert!((costs.each_seconds - each).abs() < 1e-9 && (costs.once_seconds - once).abs() < 1e-9);
        assert!((costs.partition_seconds - 0.1 * each).abs() < 1e-9 && costs.is_measured);
        assert_eq!(super::costs(&[], assumed), None);
    }
}
