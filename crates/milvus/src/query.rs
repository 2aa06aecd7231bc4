//! Queries.

use crate::collection::CollectionName;
use crate::proto::common::{ConsistencyLevel, KeyValuePair};
use crate::proto::milvus as pb;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// All that was written before the call.
    Strong,
    /// All that was written before this hybrid timestamp; much cheaper than [`Consistency::Strong`].
    At(u64),
}

/// A query.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The collection.
    pub collection: &'a CollectionName,
    /// Number the name must still stand for; 0 for any.
    pub collection_id: i64,
    /// Which rows; empty for all.
    pub expression: String,
    /// Columns of the answer.
    pub columns: &'a [String],
    /// Only in this partition.
    pub partition: Option<&'a str>,
    /// At most so many rows; `None` only together with an expression.
    pub rows_max: Option<u32>,
    /// How fresh.
    pub consistency: Consistency,
}

impl Query<'_> {
    pub(crate) fn request(&self) -> pb::QueryRequest {
        let parameter = |key: &str, value: String| KeyValuePair { key: key.to_owned(), value };
        let mut query_params = Vec::new();
        if let Some(rows_max) = self.rows_max {
            // Only an iterator's pages come in key order; `best` would answer more rows than asked for.
            query_params.push(parameter("iterator", "True".into()));
            query_params.push(parameter("reduce_stop_for_best", "False".into()));
            query_params.push(parameter("limit", rows_max.to_string()));
            query_params.push(parameter("offset", "0".into()));
            // Timestamps with zone are answered as text; in one zone for both sides.
            query_params.push(parameter("timezone", "UTC".into()));
        }
        if self.collection_id != 0 {
            query_params.push(parameter("collection_id", self.collection_id.to_string()));
        }
        let guarantee_timestamp = match self.consistency {
            Consistency::Strong => 0,
            Consistency::At(timestamp) => timestamp,
        };
        pb::QueryRequest {
            db_name: self.collection.db.clone(),
            collection_name: self.collection.name.clone(),
            expr: self.expression.clone(),
            output_fields: self.columns.to_vec(),
            partition_names: self.partition.map(str::to_owned).into_iter().collect(),
            guarantee_timestamp,
            query_params,
            consistency_level: ConsistencyLevel::Strong as i32,
            use_default_consistency: false,
            ..Default::default()
        }
    }
}
