//! The facts from which the success of a collection is concluded.

use serde::{Deserialize, Serialize};

use crate::read::CountedRows;
use crate::request::VerifyLevel;

/// What was established about a collection, fact by fact. A fact that is absent was not established: a job is only
/// SUCCESSFUL if all facts are there and agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The source before the first attempt read its first row.
    pub source_before: Option<CountedRows>,
    /// The source after the last row was read.
    pub source_after: Option<CountedRows>,
    /// What the splits of the copy came to.
    pub copied: Option<CopiedRows>,
    /// Rows of the source that repeat a primary key: they are counted, and the newest of each key arrives.
    pub duplicate_rows: Option<u64>,
    /// Rows that the source counts, and returns to no query.
    pub unreadable_rows: Option<u64>,
    /// The target after everything was stored: all partitions that it has, also those that the source lacks.
    pub target: Option<CountedRows>,
    /// The verification that passed; `none` if none was asked for.
    pub verified: Option<VerifyLevel>,
    /// Whether schema, partitions and indexes of the target were compared with the plan at the end, and were equal.
    pub definition_compared: bool,
    /// Whether aliases and late properties were set, and seen afterwards.
    pub finished: bool,
    /// Whether the target still had the collection under its recorded ID when the job ended.
    pub there_at_end: bool,
    /// Whether the source was not any more what was planned, so that the rest is left to the next round of the job.
    pub followed_later: bool,
    /// Whether the source was looked at once more when the job ended, and had not changed since `source_after`.
    pub source_looked_at_end: bool,
}

/// Rows of all splits of a collection, by all attempts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedRows {
    /// Splits that are not complete.
    pub splits_open: u64,
    /// Rows read from the source.
    pub read: u64,
    /// Rows that the target acknowledged.
    pub written: u64,
    /// Rows that the target rejected; each is named in the quarantine file.
    pub set_aside: u64,
}
