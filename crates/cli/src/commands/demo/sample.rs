//! The sample data of the demo: the same rows every time.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vecferry_milvus::proto::schema::{
    ArrayArray, CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, JsonArray, LongArray,
    ScalarField, StringArray, scalar_field,
};
use vecferry_milvus::schema::{DYNAMIC_FIELD, field, parameters};
use vecferry_milvus::wire::insert::{Rows, float_vectors, scalars};
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, LoadState, NewCollection, WriteMode};

/// Rows of `books`, all in one of its two partitions.
const BOOKS: u64 = 12_000;
/// Rows of `sensors`.
const SENSORS: u64 = 8_000;
/// Rows an insert.
const BATCH: u64 = 2_000;
/// Dimension of the vectors of `books`.
const BOOK_DIM: usize = 128;
/// Dimension of the vectors of `sensors`.
const SENSOR_DIM: usize = 32;
/// How often it is looked whether something has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Numbers that look random and are the same every time.
pub(super) struct Numbers(StdRng);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit)
    }

    /// From -1 to 1.
    pub(super) fn float(&mut self) -> f32 {
        self.0.random_range(-1.0..1.0)
    }

    pub(super) fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64) as usize;
        choices.get(index).copied().unwrap_or_default()
    }
}

/// Fills a server with both collections: `books` loaded, `sensors` not.
pub(super) async fn fill(client: &Client) -> Result<(), Error> {
    let books = CollectionName::new(DB_DEFAULT, "books");
    create(client, &books, "Books and what they are about", book_fields()).await?;
    client.create_partition(&books, "archive").await?;
    client.create_alias(&books, "library").await?;
    let mut numbers = Numbers::new(1);
    insert(client, &books, BOOKS, |first, count| book_columns(&mut numbers, first, count)).await?;

    let sensors = CollectionName::new(DB_DEFAULT, "sensors");
    create(client, &sensors, "Readings of sensors", sensor_fields()).await?;
    let mut numbers = Numbers::new(2);
    insert(client, &sensors, SENSORS, |first, count| sensor_columns(&mut numbers, first, count)).await?;

    flush(client, DB_DEFAULT, &[books.name.clone(), sensors.name.clone()]).await?;
    let vectors = [("index_type", "IVF_FLAT"), ("metric_type", "COSINE"), ("params", r#"{"nlist":64}"#)];
    client.create_index(&books, "embedding", "embedding_index", parameters(&vectors)).await?;
    let vectors =
        [("index_type", "HNSW"), ("metric_type", "L2"), ("params", r#"{"M":8,"efConstruction":64}"#)];
    client.create_index(&sensors, "signal", "signal_index", parameters(&vectors)).await?;
    client
        .create_index(&sensors, "station", "station_index", parameters(&[("index_type", "STL_SORT")]))
        .await?;
    load(client, &books).await
}

/// Has collections of a database stored.
pub(super) async fn flush(client: &Client, database: &str, names: &[String]) -> Result<(), Error> {
    for handle in client.flush(database, names).await? {
        while !client.is_flushed(&handle).await? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

/// Loads a collection.
pub(super) async fn load(client: &Client, name: &CollectionName) -> Result<(), Error> {
    client.load_collection(name, 1).await?;
    while client.load_state(name, None).await? != LoadState::Loaded {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

pub(super) async fn create(
    client: &Client,
    name: &CollectionName,
    description: &str,
    fields: Vec<FieldSchema>,
) -> Result<(), Error> {
    let schema = CollectionSchema {
        description: description.to_owned(),
        fields,
        enable_dynamic_field: true,
        ..CollectionSchema::default()
    };
    client.create_collection(&NewCollection::of_schema(name, schema)).await
}

pub(super) async fn insert(
    client: &Client,
    name: &CollectionName,
    total: u64,
    columns: impl FnMut(u64, u64) -> Vec<FieldData>,
) -> Result<(), Error> {
    insert_into(client, (name, None), total, columns).await
}

/// Inserts rows into a partition.
pub(super) async fn insert_into(
    client: &Client,
    (name, partition): (&CollectionName, Option<&str>),
    total: u64,
    mut columns: impl FnMut(u64, u64) -> Vec<FieldData>,
) -> Result<(), Error> {
    let mut first = 0;
    while first < total {
        let count = BATCH.min(total - first);
        let rows = Rows::of(&columns(first, count), count as usize);
        client.write(name, partition, &rows, WriteMode::Insert).await?;
        first += count;
    }
    Ok(())
}

fn book_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field("isbn", DataType::VarChar, &[("max_length", "32")]) },
        field("title", DataType::VarChar, &[("max_length", "256")]),
        field("price", DataType::Float, &[]),
        field("details", DataType::Json, &[]),
        field("embedding", DataType::FloatVector, &[("dim", "128")]),
    ]
}

fn sensor_fields() -> Vec<FieldSchema> {
    vec![
        FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) },
        field("station", DataType::Int64, &[]),
        FieldSchema {
            element_type: DataType::Float as i32,
            ..field("readings", DataType::Array, &[("max_capacity", "16")])
        },
        field("signal", DataType::FloatVector, &[("dim", "32")]),
    ]
}

pub(super) fn texts(name: &str, data: Vec<String>) -> FieldData {
    scalars(name, DataType::VarChar, scalar_field::Data::StringData(StringArray { data }))
}

pub(super) fn longs(name: &str, data: Vec<i64>) -> FieldData {
    scalars(name, DataType::Int64, scalar_field::Data::LongData(LongArray { data }))
}

pub(super) fn json(name: &str, documents: &[serde_json::Value]) -> FieldData {
    let data = documents.iter().map(|document| Bytes::from(document.to_string())).collect();
    scalars(name, DataType::Json, scalar_field::Data::JsonData(JsonArray { data }))
}

/// Keys that are no fields of the schema.
pub(super) fn dynamic(documents: &[serde_json::Value]) -> FieldData {
    FieldData { is_dynamic: true, ..json(DYNAMIC_FIELD, documents) }
}

pub(super) fn vectors(name: &str, dim: usize, rows: u64, numbers: &mut Numbers) -> FieldData {
    let data = (0..rows as usize * dim).map(|_| numbers.float()).collect();
    float_vectors(name, dim, data)
}

fn book_columns(numbers: &mut Numbers, first: u64, count: u64) -> Vec<FieldData> {
    const BEGINNINGS: &[&str] =
        &["A Short History of", "Notes on", "The Secret Life of", "Letters about", "漫谈"];
    const TOPICS: &[&str] = &["Rivers", "Bridges", "Ferries", "Clocks", "Gardens", "Maps", "大海", "星空"];
    const LANGUAGES: &[&str] = &["en", "zh", "fr", "de"];
    let rows = first..first + count;
    let titles = rows
        .clone()
        .map(|row| format!("{} {}, vol. {}", numbers.one_of(BEGINNINGS), numbers.one_of(TOPICS), row % 9 + 1))
        .collect();
    let prices = rows.clone().map(|_| numbers.below(9_000) as f32 / 100.0 + 5.0).collect();
    let details: Vec<_> = rows
        .clone()
        .map(|_| {
            let pages = numbers.below(900) + 60;
            serde_json::json!({"pages": pages, "language": numbers.one_of(LANGUAGES)})
        })
        .collect();
    let extra: Vec<_> = rows
        .clone()
        .map(|row| match row % 3 {
            0 => serde_json::json!({"year": 1900 + numbers.below(125)}),
            1 => serde_json::json!({"shelf": format!("S{}", numbers.below(40)), "lent": row % 2 == 0}),
            _ => serde_json::json!({}),
        })
        .collect();
    vec![
        texts("isbn", rows.map(|row| format!("978-{row:09}")).collect()),
        texts("title", titles),
        scalars("price", DataType::Float, scalar_field::Data::FloatData(FloatArray { data: prices })),
        json("details", &details),
        vectors("embedding", BOOK_DIM, count, numbers),
        dynamic(&extra),
    ]
}

fn sensor_columns(numbers: &mut Numbers, first: u64, count: u64) -> Vec<FieldData> {
    let rows = first..first + count;
    let readings = rows
        .clone()
        .map(|_| {
            let data = (0..numbers.below(16) + 1).map(|_| numbers.float() * 40.0).collect();
            ScalarField { data: Some(scalar_field::Data::FloatData(FloatArray { data })) }
        })
        .collect();
    let arrays = ArrayArray { data: readings, element_type: DataType::Float as i32 };
    let extra: Vec<_> = rows.clone().map(|row| serde_json::json!({"batch": row / 500})).collect();
    vec![
        longs("id", rows.clone().map(|row| 1_000_000 + row as i64 * 7).collect()),
        longs("station", rows.map(|_| numbers.below(120) as i64).collect()),
        scalars("readings", DataType::Array, scalar_field::Data::ArrayData(arrays)),
        vectors("signal", SENSOR_DIM, count, numbers),
        dynamic(&extra),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_the_same_every_time() {
        let rows = || book_columns(&mut Numbers::new(1), 0, 50);
        assert_eq!(rows(), rows());
        assert_eq!(rows().len(), book_fields().len() + 1);
        assert_eq!(sensor_columns(&mut Numbers::new(2), 0, 50).len(), sensor_fields().len() + 1);
    }

    #[test]
    fn floats_stay_in_their_range() {
        let mut numbers = Numbers::new(3);
        for _ in 0..1000 {
            assert!((-1.0..=1.0).contains(&numbers.float()));
        }
    }
}
