//! What became of one collection.

use serde::{Deserialize, Serialize};
use vecferry_milvus::CollectionName;

use super::drift::DriftReport;
use super::evidence::Evidence;
use super::verification::Verification;
use crate::cluster::load_state::FormerLoad;
use crate::event::Phase;
use crate::plan::{Change, Keys, PlannedCollection};

/// One collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollectionReport {
    /// Its database and name on the source.
    pub source_db: String,
    /// Its name, the same on both sides.
    pub collection: String,
    /// Its database on the target.
    pub target_db: String,
    /// The step it ended in.
    pub phase: Phase,
    /// Rows that were acknowledged by the target.
    pub rows: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
    /// Seconds the rows took, in all attempts together.
    pub copy_seconds: f64,
    /// Seconds from the first to the last step, in all attempts together.
    pub seconds: f64,
    /// Partition by partition.
    pub partitions: Vec<PartitionReport>,
    /// The comparison, if it took place.
    pub verification: Option<Verification>,
    /// Indexes of the target and how far their builds are.
    pub indexes: Vec<IndexReport>,
    /// Aliases that point to it.
    pub aliases: Vec<String>,
    /// Listed differences from the source that the target can't avoid.
    pub changes: Vec<Change>,
    /// Whether the target collection is loaded.
    pub loaded: bool,
    /// How the source held it in memory before the job.
    #[serde(default)]
    pub source_load: Option<FormerLoad>,
    /// Whether this job made the collection on the target.
    pub created: bool,
    /// Rows that the target refuses; which ones is in the quarantine file.
    #[serde(default)]
    pub quarantined: u64,
    /// What became of its keys.
    #[serde(default)]
    pub keys: Keys,
    /// Whether the source changed meanwhile, as far as could be looked at.
    #[serde(default)]
    pub drift: Option<DriftReport>,
    /// What the last round behind the warm copy found to differ, and made equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<CaughtUp>,
    /// The facts from which its success is concluded.
    #[serde(default)]
    pub evidence: Evidence,
}

impl CollectionReport {
    /// Its name on the source.
    pub fn source_name(&self) -> CollectionName {
        CollectionName::new(&self.source_db, &self.collection)
    }

    /// Its name on the target.
    pub fn target_name(&self) -> CollectionName {
        CollectionName::new(&self.target_db, &self.collection)
    }
}

/// How far source and target were apart when a round compared them. All of it was made equal, but for what a problem names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaughtUp {
    /// Rows of the source that were compared.
    pub rows_compared: u64,
    /// Rows of which only the keys were compared, and some values at random, because the round before found them equal.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows_trusted: u64,
    /// Bytes that were read of both sides for that.
    pub bytes_read: u64,
    /// Rows that the target lacked.
    pub rows_missing: u64,
    /// Rows that had other values there.
    pub rows_changed: u64,
    /// Rows that only the target had.
    pub rows_extra: u64,
}

fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

impl CaughtUp {
    /// Rows that were written or removed.
    pub fn rows_differing(&self) -> u64 {
        self.rows_missing + self.rows_changed + self.rows_extra
    }
}

/// Rows of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionReport {
    /// Its name; empty where a partition key places the rows.
    pub partition: String,
    /// Rows read from the source.
    pub rows_read: u64,
    /// Rows acknowledged by the target.
    pub rows_written: u64,
}

/// An index of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexReport {
    /// Its name.
    pub index: String,
    /// The field.
    pub field: String,
    /// Its type.
    pub index_type: String,
    /// Its metric, for vectors.
    pub metric_type: String,
    /// Rows it covers by now, as the target counts them: deleted ones that are still stored, and copies of rows in
    /// segments that were just merged, are among them.
    pub built_rows: u64,
    /// Rows it is to cover, counted in the same way: not the rows of the collection.
    pub total_rows: u64,
    /// Seconds that the job had been worked on, in all attempts together, when it was seen to be built; none if it was not
    /// at the end of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_after_seconds: Option<f64>,
}

impl IndexReport {
    /// How far it is built, in whole percents: 100 only if it is.
    pub fn built_percent(&self) -> u64 {
        if self.built_rows >= self.total_rows {
            return 100;
        }
        u64::try_from(u128::from(self.built_rows) * 100 / u128::from(self.total_rows)).unwrap_or(0)
    }
}

/// An empty report of a planned collection.
pub(crate) fn new_report(planned: &PlannedCollection) -> CollectionReport {
    CollectionReport {
        source_db: planned.source.db.clone(),
        collection: planned.source.name.clone(),
        target_db: planned.target.db.clone(),
        phase: Phase::Waiting,
        rows: 0,
        bytes: 0,
        copy_seconds: 0.0,
        seconds: 0.0,
        partitions: Vec::new(),
        verification: None,
        indexes: Vec::new(),
        aliases: Vec::new(),
        changes: planned.changes.clone(),
        loaded: false,
        source_load: Some(planned.load.former()),
        created: false,
        quarantined: 0,
        keys: planned.keys,
        drift: None,
        caught_up: None,
        evidence: Evidence::default(),
    }
}
