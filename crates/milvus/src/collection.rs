//! Collections and what belongs to them, as plain data.

use std::fmt;

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::proto::common::{ConsistencyLevel, IndexState, KeyValuePair};
use crate::proto::milvus as pb;
use crate::proto::schema::CollectionSchema;
use crate::schema::Schema;
use crate::wire::WireError;
use crate::wire::scan::{fields, put_bytes};

/// `CollectionSchema.name`.
const SCHEMA_NAME: u32 = 1;

/// A collection's name with its database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName {
    /// The database.
    pub db: String,
    /// The collection.
    pub name: String,
}

impl CollectionName {
    /// Names a collection.
    pub fn new(db: impl Into<String>, name: impl Into<String>) -> Self {
        Self { db: db.into(), name: name.into() }
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.db, self.name)
    }
}

/// A collection as its server describes it.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its real name, also where it was asked for by an alias.
    pub name: CollectionName,
    /// Number the server gave it; 0 on lite.
    pub id: i64,
    /// Hybrid timestamp of its creation; 0 where the server says none.
    pub created_timestamp: u64,
    /// Number of shards.
    pub shards: i32,
    /// Consistency of reads that ask for none, as the protocol's number.
    pub consistency: i32,
    /// Other names.
    pub aliases: Vec<String>,
    /// Collection properties.
    pub properties: Vec<KeyValuePair>,
    /// Number of partitions; only meaningful with a partition key.
    pub num_partitions: i64,
    /// Its schema.
    pub schema: Schema,
}

/// A collection to make.
#[derive(Clone, Debug)]
pub struct NewCollection {
    /// Where and under which name.
    pub name: CollectionName,
    /// Encoded `CollectionSchema`.
    pub schema: Bytes,
    /// Number of shards.
    pub shards: i32,
    /// Consistency of reads that ask for none, as the protocol's number.
    pub consistency: i32,
    /// Collection properties.
    pub properties: Vec<KeyValuePair>,
    /// Number of partitions of a collection with a partition key; 0 leaves it to the server.
    pub num_partitions: i64,
}

impl NewCollection {
    /// A collection of a schema, which gets the name: one shard, bounded staleness, no properties.
    pub fn of_schema(name: &CollectionName, schema: CollectionSchema) -> Self {
        let schema = CollectionSchema { name: name.name.clone(), ..schema };
        Self {
            name: name.clone(),
            schema: Bytes::from(schema.encode_to_vec()),
            shards: 1,
            consistency: ConsistencyLevel::Bounded as i32,
            properties: Vec::new(),
            num_partitions: 0,
        }
    }

    /// The same under another name. The name stands in the schema too, and servers refuse two different ones.
    pub fn named(&self, name: &CollectionName) -> Result<Self, WireError> {
        let mut schema = BytesMut::with_capacity(self.schema.len() + name.name.len());
        put_bytes(&mut schema, SCHEMA_NAME, name.name.as_bytes());
        for field in fields(&self.schema) {
            let field = field?;
            if field.number != SCHEMA_NAME {
                schema.extend_from_slice(field.raw);
            }
        }
        Ok(Self { name: name.clone(), schema: schema.freeze(), ..self.clone() })
    }
}

/// An index and how far its build is.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// The indexed field.
    pub field: String,
    /// index_type, metric_type, params …
    pub params: Vec<KeyValuePair>,
    /// Rows that the index covers.
    pub indexed_rows: i64,
    /// Rows that it is to cover.
    pub total_rows: i64,
    /// Whether the build failed, and why.
    pub failure: Option<String>,
}

impl Index {
    /// The value of a parameter.
    pub fn param(&self, key: &str) -> Option<&str> {
        crate::schema::parameter(&self.params, key)
    }
}

/// Whether a collection or partition answers queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// It does not.
    NotLoaded,
    /// It is on its way.
    Loading,
    /// It does; whether all its rows are there is another question.
    Loaded,
}

/// A unit of storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the segment.
    pub id: i64,
    /// Number of its partition.
    pub partition_id: i64,
    /// Rows, deleted and duplicate ones too.
    pub rows: i64,
    /// Whether it holds keys of deleted rows instead of rows (level 0, since 2.4).
    pub holds_deletes: bool,
    /// Whether its rows are sorted by key, which servers since 2.5 do after they stored it. A sorted segment has another
    /// number.
    pub is_sorted: bool,
}

/// A segment in a query node's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySegment {
    /// Number of the segment.
    pub id: i64,
    /// Number of its partition.
    pub partition_id: i64,
    /// Rows, deleted and duplicate ones too.
    pub rows: i64,
    /// Bytes it occupies, where the server says so.
    pub memory_bytes: i64,
}

impl From<pb::IndexDescription> for Index {
    fn from(index: pb::IndexDescription) -> Self {
        let failed = index.state() == IndexState::Failed;
        Self {
            failure: failed.then_some(index.index_state_fail_reason),
            name: index.index_name,
            field: index.field_name,
            params: index.params,
            indexed_rows: index.indexed_rows,
            total_rows: index.total_rows,
        }
    }
}
