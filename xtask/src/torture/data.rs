//! Two collections with keys of both kinds in several partitions.

use bytes::Bytes;
use prost::Message;
use vecferry_milvus::proto::common::ConsistencyLevel;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, LongArray, StringArray, scalar_field,
};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::{Client, CollectionName, LoadState, NewCollection, WriteMode};

use super::whole::Key;
use crate::Failure;
use crate::bench::{Servers, Side, collection, flush};

/// Keys that are numbers, keys that are texts.
pub(super) const COLLECTIONS: [&str; 2] = ["torture_numbers", "torture_texts"];
pub(super) const PARTITIONS: [&str; 3] = ["_default", "north", "south"];
const DIM: usize = 64;
const BATCH: u32 = 2000;
const INDEX: [(&str, &str); 3] =
    [("index_type", "IVF_FLAT"), ("metric_type", "L2"), ("params", r#"{"nlist":16}"#)];

/// Fills the source. Returns how many rows it holds.
pub(super) async fn fill(servers: &Servers, rows: u32) -> Result<u64, Failure> {
    let client = servers.connect(Side::Source).await?;
    let each = rows / 2;
    for name in COLLECTIONS {
        let is_text = is_text(name);
        make(&client, name, is_text).await?;
        for first in (0..each).step_by(BATCH as usize) {
            let page = page(first..(first + BATCH).min(each), is_text, 0);
            let partition = Some(partition_of(first));
            client.write(&collection(name), partition, &page, WriteMode::Insert).await?;
        }
        flush(&client, &collection(name)).await?;
        index(&client, &collection(name)).await?;
        load(&client, &collection(name)).await?;
    }
    Ok(u64::from(each) * 2)
}

async fn load(client: &Client, name: &CollectionName) -> Result<(), Failure> {
    client.load_collection(name, 1).await?;
    while client.load_state(name, None).await? != LoadState::Loaded {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Loads all partitions of the source. A server calls a collection loaded of which single partitions are not.
pub(super) async fn reload(client: &Client) -> Result<(), Failure> {
    for name in COLLECTIONS.map(collection) {
        client.release_collection(&name).await?;
        load(client, &name).await?;
    }
    Ok(())
}

pub(super) async fn make(client: &Client, name: &str, is_text: bool) -> Result<(), Failure> {
    let (kind, parameters): (_, &[_]) =
        if is_text { (DataType::VarChar, &[("max_length", "64")]) } else { (DataType::Int64, &[]) };
    let schema = CollectionSchema {
        name: name.to_owned(),
        fields: vec![
            FieldSchema { is_primary_key: true, ..field("id", kind, parameters) },
            field("number", DataType::Int64, &[]),
            field("vector", DataType::FloatVector, &[("dim", &DIM.to_string())]),
        ],
        ..CollectionSchema::default()
    };
    let new = NewCollection {
        name: collection(name),
        schema: Bytes::from(schema.encode_to_vec()),
        shards: 2,
        consistency: ConsistencyLevel::Bounded as i32,
        properties: Vec::new(),
        num_partitions: 0,
    };
    client.create_collection(&new).await?;
    for partition in &PARTITIONS[1..] {
        client.create_partition(&collection(name), partition).await?;
    }
    Ok(())
}

/// Whether the keys of a collection are texts.
pub(super) fn is_text(name: &str) -> bool {
    name == COLLECTIONS[1]
}

/// The partition that a row of the beginning is in.
pub(super) fn partition_of(number: u32) -> &'static str {
    PARTITIONS[(number / BATCH) as usize % PARTITIONS.len()]
}

/// The key of a row.
pub(super) fn key(number: u32, is_text: bool) -> Key {
    // Spread over the whole range, both signs.
    if is_text {
        Key::Text(format!("渡口 \"{number:08}\""))
    } else {
        Key::Number(i64::from(number).wrapping_mul(0x1234_5678_9abc_def1))
    }
}

/// Makes the index without which a collection can't be loaded.
pub(super) async fn index(client: &Client, name: &CollectionName) -> Result<(), Failure> {
    Ok(client.create_index(name, "vector", "vector_index", parameters(&INDEX)).await?)
}

/// Rows; those of another generation have the same keys and other vectors.
pub(super) fn page(rows: std::ops::Range<u32>, is_text: bool, generation: u32) -> Rows {
    let (numbers, count) = (rows.clone().map(i64::from).collect::<Vec<_>>(), rows.len());
    let (mut longs, mut texts) = (Vec::new(), Vec::new());
    for key in rows.clone().map(|number| key(number, is_text)) {
        match key {
            Key::Number(number) => longs.push(number),
            Key::Text(text) => texts.push(text),
        }
    }
    let keys = if is_text {
        scalars("id", DataType::VarChar, scalar_field::Data::StringData(StringArray { data: texts }))
    } else {
        scalars("id", DataType::Int64, scalar_field::Data::LongData(LongArray { data: longs }))
    };
    let vectors = rows
        .flat_map(|row| (0..DIM).map(move |at| (row as usize * DIM + at) as f32 / 7.0 - generation as f32))
        .collect();
    let number =
        scalars("number", DataType::Int64, scalar_field::Data::LongData(LongArray { data: numbers }));
    Rows::of(&[keys, number, float_vectors("vector", DIM, vectors)], count)
}
