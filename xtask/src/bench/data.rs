//! The collection that is copied: the same rows every time.

use std::time::Duration;

use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use vecferry_milvus::proto::schema::{
    ArrayArray, CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField,
    StringArray, scalar_field,
};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, ErrorKind, LoadState, NewCollection, WriteMode};

use crate::Failure;

/// The key's field.
pub(crate) const KEY_FIELD: &str = "id";
/// The vector's field.
const VECTOR_FIELD: &str = "embedding";
/// Writes under way at once.
pub(crate) const WRITES_MAX: usize = 4;
/// Rows that one call deletes.
const DELETED_AT_ONCE: usize = 1000;
/// How often it is looked whether something has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a new partition may be unknown.
const NEW_PARTITION_MAX: Duration = Duration::from_secs(20);
/// Nothing to build: the index is only there because a collection without one can't be loaded.
const INDEX: [(&str, &str); 2] = [("index_type", "FLAT"), ("metric_type", "L2")];

/// A collection by its name.
pub(crate) fn collection(name: &str) -> CollectionName {
    CollectionName::new(DB_DEFAULT, name)
}

/// How large the large collection is
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Size {
    /// Rows of the large collection
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rows: u32,
    /// Dimension of its vectors
    #[arg(long, default_value_t = 768, value_parser = clap::value_parser!(u16).range(2..=32_768))]
    pub(crate) dim: u16,
}

/// Makes a collection of the benchmark's schema.
pub(crate) async fn create(client: &Client, name: &CollectionName, dim: usize) -> Result<(), Failure> {
    let schema = CollectionSchema { fields: fields(dim), ..CollectionSchema::default() };
    Ok(client.create_collection(&NewCollection::of_schema(name, schema)).await?)
}

/// Fills a collection with keys from 0 on. Returns the size of a row in bytes, rounded up; 0 without rows.
pub(crate) async fn fill(
    client: &Client,
    name: &CollectionName,
    rows: usize,
    dim: usize,
) -> Result<usize, Failure> {
    let batch = batch(dim);
    let (mut numbers, mut bytes) = (StdRng::seed_from_u64(1), 0);
    let mut writes = JoinSet::new();
    for first in (0..rows).step_by(batch) {
        let count = batch.min(rows - first);
        let page = Rows::of(&columns(&mut numbers, keys(first, count), dim), count);
        bytes += page.bytes();
        write_behind(&mut writes, client, name, page).await?;
    }
    finish(&mut writes).await?;
    Ok(bytes.div_ceil(rows.max(1)))
}

/// Rows of one write.
fn batch(dim: usize) -> usize {
    ((4 << 20) / (dim * 4)).clamp(1, 16_384)
}

/// Makes a collection, fills it and loads it. Returns the size of a row as [`fill`] does.
pub(crate) async fn make(
    client: &Client,
    name: &CollectionName,
    rows: usize,
    dim: usize,
) -> Result<usize, Failure> {
    create(client, name, dim).await?;
    let row_bytes = fill(client, name, rows, dim).await?;
    flush(client, name).await?;
    load(client, name).await?;
    Ok(row_bytes)
}

/// Writes some rows into a partition, with keys from one on.
pub(crate) async fn fill_partition(
    client: &Client,
    name: &CollectionName,
    partition: Option<&str>,
    first: usize,
    rows: usize,
    dim: usize,
) -> Result<(), Failure> {
    let page = Rows::of(&columns(&mut StdRng::seed_from_u64(1), keys(first, rows), dim), rows);
    let begin = std::time::Instant::now();
    loop {
        match client.write(name, partition, &page, WriteMode::Insert).await {
            // Its proxy may not have heard of a partition that was just made.
            Err(error)
                if error.kind() == ErrorKind::PartitionNotFound && begin.elapsed() < NEW_PARTITION_MAX =>
            {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            written => return Ok(written?),
        }
    }
}

/// What an application changes of a collection of some rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    /// Rows that the collection was filled with.
    pub(crate) rows: usize,
    /// Rows that are updated, and as many that are deleted and that are new.
    pub(crate) each: usize,
    /// How often that was done before.
    pub(crate) turn: usize,
}

impl Changes {
    /// Rows from one that changes to the next.
    pub(crate) fn apart(&self) -> usize {
        self.rows / self.each.max(1)
    }
}

/// Changes rows all over a collection: other ones in each turn, if there are not more turns than half the rows that are
/// apart.
pub(crate) async fn change(
    client: &Client,
    name: &CollectionName,
    dim: usize,
    changes: Changes,
) -> Result<(), Failure> {
    let Changes { rows, each, turn } = changes;
    let spread =
        |offset: usize| -> Vec<i64> { (0..each).map(|at| (at * changes.apart() + offset) as i64).collect() };
    let (updated, deleted) = (spread(2 * turn), spread(2 * turn + 1));
    let mut numbers = StdRng::seed_from_u64(2 + turn as u64);
    for (keys, mode) in [(updated, WriteMode::Upsert), (keys(rows + turn * each, each), WriteMode::Insert)] {
        for keys in keys.chunks(batch(dim)) {
            let page = Rows::of(&columns(&mut numbers, keys.to_vec(), dim), keys.len());
            client.write(name, None, &page, mode).await?;
        }
    }
    for keys in deleted.chunks(DELETED_AT_ONCE) {
        let keys: Vec<_> = keys.iter().map(i64::to_string).collect();
        client.delete(name, None, &format!("{KEY_FIELD} in [{}]", keys.join(", "))).await?;
    }
    Ok(())
}

/// Starts a write as soon as fewer than [`WRITES_MAX`] are under way.
pub(crate) async fn write_behind(
    writes: &mut JoinSet<Result<(), vecferry_milvus::Error>>,
    client: &Client,
    name: &CollectionName,
    rows: Rows,
) -> Result<(), Failure> {
    while writes.len() >= WRITES_MAX {
        if let Some(write) = writes.join_next().await {
            write??;
        }
    }
    let (client, name) = (client.clone(), name.clone());
    writes.spawn(async move { client.write(&name, None, &rows, WriteMode::Insert).await });
    Ok(())
}

/// Waits for all writes.
pub(crate) async fn finish(writes: &mut JoinSet<Result<(), vecferry_milvus::Error>>) -> Result<(), Failure> {
    while let Some(write) = writes.join_next().await {
        write??;
    }
    Ok(())
}

/// Flushes a collection and waits for it.
pub(crate) async fn flush(client: &Client, name: &CollectionName) -> Result<(), Failure> {
    flush_all(client, &name.db, &[name]).await
}

/// Flushes collections of a database in one call and waits for all of them.
pub(crate) async fn flush_all(client: &Client, db: &str, names: &[&CollectionName]) -> Result<(), Failure> {
    let names: Vec<_> = names.iter().map(|name| name.name.clone()).collect();
    for handle in client.flush(db, &names).await? {
        while !client.is_flushed(&handle).await? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

/// Has an index built; whoever needs it waits for it.
pub(crate) async fn index(client: &Client, name: &CollectionName) -> Result<(), Failure> {
    Ok(client.create_index(name, VECTOR_FIELD, "embedding_index", parameters(&INDEX)).await?)
}

/// Indexes and loads a collection.
pub(crate) async fn load(client: &Client, name: &CollectionName) -> Result<(), Failure> {
    index(client, name).await?;
    // Loaded earlier, the server would exchange segments while it is measured.
    while client.indexes(name).await?.iter().any(|index| index.indexed_rows < index.total_rows) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    client.load_collection(name, 1).await?;
    while client.load_state(name, None).await? != LoadState::Loaded {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

fn fields(dim: usize) -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field(KEY_FIELD, DataType::Int64, &[]) },
        field("title", DataType::VarChar, &[("max_length", "64")]),
        field("price", DataType::Float, &[]),
        FieldSchema {
            element_type: DataType::Int64 as i32,
            ..field("tags", DataType::Array, &[("max_capacity", "8")])
        },
        field(VECTOR_FIELD, DataType::FloatVector, &[("dim", &dim.to_string())]),
    ]
}

fn keys(first: usize, count: usize) -> Vec<i64> {
    (first..first + count).map(|row| row as i64).collect()
}

fn columns(numbers: &mut StdRng, keys: Vec<i64>, dim: usize) -> Vec<FieldData> {
    let count = keys.len();
    let titles = keys.iter().map(|key| format!("row {key} of the benchmark")).collect();
    let prices = keys.iter().map(|_| numbers.random_range(-1.0f32..1.0) * 100.0).collect();
    let tags = keys
        .iter()
        .map(|key| {
            let data = (0..key % 8).map(|tag| key * 8 + tag).collect();
            ScalarField { data: Some(scalar_field::Data::LongData(LongArray { data })) }
        })
        .collect();
    let tags = ArrayArray { data: tags, element_type: DataType::Int64 as i32 };
    let vectors = (0..count * dim).map(|_| numbers.random_range(-1.0f32..1.0)).collect();
    vec![
        scalars(KEY_FIELD, DataType::Int64, scalar_field::Data::LongData(LongArray { data: keys })),
        scalars("title", DataType::VarChar, scalar_field::Data::StringData(StringArray { data: titles })),
        scalars("price", DataType::Float, scalar_field::Data::FloatData(FloatArray { data: prices })),
        scalars("tags", DataType::Array, scalar_field::Data::ArrayData(tags)),
        float_vectors(VECTOR_FIELD, dim, vectors),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_the_same_every_time() {
        let rows = || columns(&mut StdRng::seed_from_u64(1), keys(0, 20), 8);
        assert_eq!(rows(), rows());
        assert_eq!(rows().len(), fields(8).len());
    }
}
