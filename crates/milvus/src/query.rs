//! Queries.

use crate::collection::CollectionName;
use crate::proto::common::{ConsistencyLevel, KeyValuePair};
use crate::proto::milvus as pb;
use crate::wire::pick::Picked;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// All that was written before the call.
    Strong,
    /// All that was written before this hybrid timestamp; much cheaper than [`Consistency::Strong`].
    At(u64),
}

/// Which rows a query is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSelection {
    /// All of them.
    Everything,
    /// Those of which the server finds an expression true.
    Where(String),
    /// Those of some keys in a field that no expression can name: the server is asked for all rows, [`PICKED_ROWS_MAX`] at
    /// most, and these are picked here. Key by key: a key that is there twice is an error.
    Picked {
        /// The key field.
        key_field: String,
        /// The keys.
        picked: Picked,
    },
}

/// As many rows are answered to a query without an expression (`quotaAndLimits.limits.maxQueryResultWindow`).
pub const PICKED_ROWS_MAX: u32 = 16_384;

/// A query.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The collection.
    pub collection: &'a CollectionName,
    /// Number the name must still stand for; 0 for any.
    pub collection_id: i64,
    /// Which rows.
    pub selection: RowSelection,
    /// Columns of the answer.
    pub columns: &'a [String],
    /// Only in this partition.
    pub partition: Option<&'a str>,
    /// At most so many rows; `None` only where not everything is selected.
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
            expr: match &self.selection {
                RowSelection::Where(expression) => expression.clone(),
                RowSelection::Everything | RowSelection::Picked { .. } => String::new(),
            },
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
