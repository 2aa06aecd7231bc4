//! Two collections with keys of both kinds in several partitions.

use bytes::Bytes;
use prost::Message;
use vecferry_milvus::proto::common::ConsistencyLevel;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, LongArray, StringArray, scalar_field,
};
use vecferry_milvus::schema::{field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::{Client, LoadState, NewCollection, WriteMode};

use crate::Failure;
use crate::bench::{Servers, Side, collection, flush};

/// Keys that are numbers, keys that are texts.
pub(super) const COLLECTIONS: [&str; 2] = ["torture_numbers", "torture_texts"];
const PARTITIONS: [&str; 3] = ["_default", "north", "south"];
const DIM: usize = 64;
const BATCH: u32 = 2000;
const INDEX: [(&str, &str); 3] =
    [("index_type", "IVF_FLAT"), ("metric_type", "L2"), ("params", r#"{"nlist":16}"#)];

/// Fills the source. Returns how many rows it holds.
pub(super) async fn fill(servers: &Servers, rows: u32) -> Result<u64, Failure> {
    let client = servers.connect(Side::Source).await?;
    let each = rows / 2;
    for (name, is_text) in COLLECTIONS.into_iter().zip([false, true]) {
        make(&client, name, is_text).await?;
        for (turn, first) in (0..each).step_by(BATCH as usize).enumerate() {
            let page = page(first..(first + BATCH).min(each), is_text);
            let partition = PARTITIONS.get(turn % PARTITIONS.len()).copied();
            client.write(&collection(name), partition, &page, WriteMode::Insert).await?;
        }
        flush(&client, &collection(name)).await?;
        client.create_index(&collection(name), "vector", "vector_index", parameters(&INDEX)).await?;
        client.load_collection(&collection(name), 1).await?;
        while client.load_state(&collection(name), None).await? != LoadState::Loaded {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    Ok(u64::from(each) * 2)
}

async fn make(client: &Client, name: &str, is_text: bool) -> Result<(), Failure> {
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

fn page(rows: std::ops::Range<u32>, is_text: bool) -> Rows {
    let (numbers, count) = (rows.clone().map(i64::from).collect::<Vec<_>>(), rows.len());
    let keys = if is_text {
        let data = numbers.iter().map(|number| format!("渡口 \"{number:08}\"")).collect();
        scalars("id", DataType::VarChar, scalar_field::Data::StringData(StringArray { data }))
    } else {
        // Spread over the whole range, both signs.
        let data = numbers.iter().map(|number| number.wrapping_mul(0x1234_5678_9abc_def1)).collect();
        scalars("id", DataType::Int64, scalar_field::Data::LongData(LongArray { data }))
    };
    let vectors =
        rows.flat_map(|row| (0..DIM).map(move |at| (row as usize * DIM + at) as f32 / 7.0)).collect();
    let number =
        scalars("number", DataType::Int64, scalar_field::Data::LongData(LongArray { data: numbers }));
    Rows::of(&[keys, number, float_vectors("vector", DIM, vectors)], count)
}
