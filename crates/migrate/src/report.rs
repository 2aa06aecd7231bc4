//! What a job did and proved, as plain data for people and machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vecferry_milvus::{CollectionName, Key};
use vecferry_store::JobId;

use crate::duration::EstimateReport;
use crate::event::{Bottleneck, Phase};
use crate::plan::{Change, Cluster, Keys};
use crate::problem::{Exit, Problem};
use crate::rbac::RbacReport;
use crate::request::VerifyLevel;

/// Rows that are named; the others are counted.
pub(crate) const NAMED_ROWS_MAX: usize = 100;

pub use vecferry_store::JobState;

/// The whole job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Number of the job.
    pub job_id: JobId,
    /// How it ended.
    pub state: JobState,
    /// Version of this program.
    pub vecferry_version: String,
    /// Address and version of the source.
    pub source: Cluster,
    /// Address and version of the target.
    pub target: Cluster,
    /// When it began and ended, RFC 3339.
    pub started_at: String,
    /// See `started_at`.
    pub ended_at: String,
    /// Seconds that all attempts together took; the time between them is not counted.
    pub seconds: f64,
    /// Seconds of these that the last attempt took.
    #[serde(default)]
    pub last_attempt_seconds: f64,
    /// How often the job was begun: once, and once more with every `resume`.
    pub attempts: u64,
    /// Which proof was asked for.
    pub verify: VerifyLevel,
    /// `none`, `count`, `sample`, `full`: the proof that every collection passed.
    pub verified: VerifyLevel,
    /// Seed of the random sample.
    pub sample_seed: u64,
    /// Collection by collection.
    pub collections: Vec<CollectionReport>,
    /// Roles and users, where they were copied.
    #[serde(default)]
    pub rbac: Option<RbacReport>,
    /// Resource groups of the source, which are never copied: they name machines. Absent where the source does not tell
    /// this user.
    #[serde(default)]
    pub resource_groups: Option<Vec<String>>,
    /// Why it failed.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub warnings: Vec<Problem>,
    /// File that names the rows that the target refuses, one JSON object a line; absent if there are none.
    #[serde(default)]
    pub quarantine_file: Option<String>,
    /// How long the copy was to take, and how long it took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub estimate: Option<EstimateReport>,
    /// What the last attempt waited for; absent for a comparison.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pace: Option<PaceReport>,
}

/// Where the time of an attempt went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PaceReport {
    /// What was waited for, the longest first.
    pub waits: Vec<WaitReport>,
    /// Pages that the target acknowledged.
    #[serde(default)]
    pub pages: u64,
    /// How often the record of the job was brought to the disk.
    pub ledger_commits: u64,
    /// Time during which at least one of those who work side by side waited for that.
    #[serde(default)]
    pub ledger_busy_seconds: f64,
    /// Fewest inserts at once that the target took.
    pub inserts_at_once_min: usize,
    /// The limit of the data rate at the end.
    pub max_rate: Option<String>,
}

/// A part of the time waited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitReport {
    /// What was waited for.
    pub on: Bottleneck,
    /// Seconds, summed up over everything that waited at once.
    pub seconds: f64,
    /// Part of all waits, from 0 to 1.
    pub share: f64,
}

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
    /// The facts from which its success is concluded.
    #[serde(default)]
    pub evidence: Evidence,
}

/// Rows of a collection, counted at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedRows {
    /// All rows, counted without naming a partition.
    pub whole: u64,
    /// Rows of each partition that existed then; empty where partitions cannot be named.
    pub partitions: BTreeMap<String, u64>,
}

impl CountedRows {
    /// Rows of all partitions together; of the whole where partitions cannot be named.
    pub fn sum(&self) -> u64 {
        if self.partitions.is_empty() { self.whole } else { self.partitions.values().sum() }
    }
}

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

/// How a collection was loaded before the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerLoad {
    /// How much of it.
    pub extent: LoadExtent,
    /// The loaded partitions, where others were not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub partitions: Vec<String>,
    /// Copies in memory; absent where the server does not say, or where nothing is loaded.
    pub replicas: Option<u32>,
    /// Names of the resource groups that held them, without the one that every server has.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub resource_groups: Vec<String>,
}

/// How much of a collection is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadExtent {
    /// Nothing.
    Nothing,
    /// Some of its partitions.
    Part,
    /// All of it.
    Whole,
}

/// What the source held before and after the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Which looks were possible: `count` (rows by partition), `writes` (stored segments, see `writes`) and, where these
    /// were not to be seen, `segments` (rows in the loaded segments).
    pub checks: Vec<String>,
    /// Rows counted before the copy.
    pub rows_before: u64,
    /// Rows counted after it.
    pub rows_after: u64,
    /// Rows of the loaded segments before the copy, deleted ones too.
    pub segment_rows_before: Option<i64>,
    /// The same after it.
    pub segment_rows_after: Option<i64>,
    /// Rows that ended meanwhile by the collection's time-to-live.
    pub rows_expired: u64,
    /// Whether somebody wrote.
    pub drifted: bool,
    /// What changed beside the rows: partitions, aliases, properties.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
    /// Whether somebody wrote by the stored segments, which show updates of existing rows; absent in older reports.
    #[serde(default)]
    pub writes: Option<Writes>,
}

/// What the stored segments say of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Writes {
    /// Nobody inserted or updated a row.
    None,
    /// Somebody wrote.
    Written {
        /// At least so many rows.
        rows: u64,
    },
    /// It can't be told.
    Unknown {
        /// Why.
        reason: UnseenWrites,
    },
}

/// Why updates of existing rows can't be told from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnseenWrites {
    /// The server does not tell its segments to this user.
    SegmentsNotTold,
    /// The server does not flush for this user.
    FlushNotAllowed,
    /// The server does not tell this user whether a flush has ended.
    FlushStateNotTold,
    /// The server limits flushes, and the limit did not lift in time.
    FlushLimited,
    /// A flush did not end in time.
    FlushSlow,
    /// Compaction or sorting gave the rows to other segments.
    Rewritten,
    /// An earlier version of Vecferry began the job without looking.
    EarlierVersion,
}

impl UnseenWrites {
    /// The call that is not to be had, where that is the reason.
    pub fn missing_call(self) -> Option<&'static str> {
        match self {
            Self::SegmentsNotTold => Some("GetPersistentSegmentInfo"),
            Self::FlushNotAllowed => Some("Flush"),
            Self::FlushStateNotTold => Some("GetFlushState"),
            Self::FlushLimited | Self::FlushSlow | Self::Rewritten | Self::EarlierVersion => None,
        }
    }
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

/// A comparison of source and target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// How thorough it was.
    pub level: VerifyLevel,
    /// Whether everything was equal.
    pub passed: bool,
    /// Rows the source counts, every copy of a repeated key among them.
    pub source_rows: u64,
    /// Rows the target counts.
    pub target_rows: u64,
    /// Partitions or key ranges whose counts were compared.
    pub counts_compared: u64,
    /// Rows compared bit for bit.
    pub rows_compared: u64,
    /// Rows of these that an earlier attempt of the job compared.
    #[serde(default)]
    pub rows_compared_before: u64,
    /// Rows of the source beyond one a key.
    pub duplicate_rows: u64,
    /// What a comparison of every row found; after a repair, what is left of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub findings: Option<Findings>,
    /// What was mended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repair: Option<RepairReport>,
}

/// Rows that differ, found by a comparison of every row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// On the source only.
    pub missing: FoundRows,
    /// On the target only.
    pub extra: FoundRows,
    /// On both sides, with different values.
    pub changed: FoundRows,
    /// Differing too, but of a key that the source repeats: which of its rows a server answers is not fixed.
    pub repeated_keys: FoundRows,
    /// Rows of the target beyond one a key.
    pub repeated_on_target: FoundRows,
    /// Those of the missing rows named above that stand in another partition of the target, where they are extra.
    pub swapped: Vec<SwappedRow>,
}

/// Some rows: their number, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRows {
    /// How many.
    pub rows: u64,
    /// The first hundred.
    pub first: Vec<RowName>,
}

/// A row by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowName {
    /// Its partition; absent where a partition key places the rows.
    pub partition: Option<String>,
    /// Its key, as text also where it is a number: not every reader of JSON keeps all digits.
    #[serde(serialize_with = "key_text", deserialize_with = "key_of_text")]
    pub key: Key,
    /// The fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
}

/// A row in another partition than on the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwappedRow {
    /// Its key, as text.
    #[serde(serialize_with = "key_text", deserialize_with = "key_of_text")]
    pub key: Key,
    /// Its partition on the source.
    pub source_partition: String,
    /// Its partition on the target.
    pub target_partition: String,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairReport {
    /// What was found before.
    pub found: Findings,
    /// Rows that were copied anew from the source.
    pub rows_written: u64,
    /// Rows that were removed from the target, because the source does not have them.
    pub rows_deleted: u64,
}

fn key_text<S: serde::Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    match key {
        Key::Int(value) => serializer.collect_str(value),
        Key::Text(text) => serializer.serialize_str(text),
    }
}

/// A key of a stored report, which is only shown again: a text of digits is taken for the number.
fn key_of_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.parse().map_or(Key::Text(text), Key::Int))
}

impl Findings {
    /// Whether nothing differs that must not.
    pub fn is_empty(&self) -> bool {
        [&self.missing, &self.extra, &self.changed, &self.repeated_on_target]
            .iter()
            .all(|found| found.rows == 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self { missing, extra, changed, repeated_keys, repeated_on_target, swapped } = other;
        for (found, more) in [
            (&mut self.missing, missing),
            (&mut self.extra, extra),
            (&mut self.changed, changed),
            (&mut self.repeated_keys, repeated_keys),
            (&mut self.repeated_on_target, repeated_on_target),
        ] {
            found.rows += more.rows;
            let room = NAMED_ROWS_MAX.saturating_sub(found.first.len());
            found.first.extend(more.first.into_iter().take(room));
        }
        self.swapped.extend(swapped);
    }
}

impl FoundRows {
    pub(crate) fn extend(&mut self, rows: impl ExactSizeIterator<Item = RowName>) {
        self.rows += rows.len() as u64;
        let room = NAMED_ROWS_MAX.saturating_sub(self.first.len());
        self.first.extend(rows.take(room));
    }
}

impl RowName {
    pub(crate) fn new(partition: Option<String>, key: &Key, fields: Vec<String>) -> Self {
        Self { partition, key: key.clone(), fields }
    }
}

/// For people: `key 7 in partition `p``.
impl std::fmt::Display for RowName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.key)?;
        match &self.partition {
            Some(partition) => write!(f, " in partition `{partition}`"),
            None => Ok(()),
        }
    }
}

/// An index of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Report {
    /// How the command that made this report ends.
    pub fn exit(&self) -> Exit {
        match self.state {
            JobState::Successful => Exit::Done,
            JobState::Canceled => Exit::Canceled,
            JobState::Pending | JobState::InProgress | JobState::Canceling | JobState::Failed => {
                let mut exits = self.problems.iter().map(|problem| problem.code.entry().exit);
                // Differences are the finding. Whatever else ended a job came after its first write, also what would
                // have been a refusal before it.
                if exits.all(|exit| exit == Exit::Different) { Exit::Different } else { Exit::Failed }
            }
        }
    }

    /// How the source held the collections that are complete on the target, by their names there.
    pub fn former_loads(&self) -> Vec<(CollectionName, FormerLoad)> {
        let complete = self.collections.iter().filter(|collection| collection.phase == Phase::Done);
        complete
            .filter_map(|collection| Some((collection.target_name(), collection.source_load.clone()?)))
            .collect()
    }

    /// Rows of all collections.
    pub fn rows(&self) -> u64 {
        self.collections.iter().map(|collection| collection.rows).sum()
    }

    /// Bytes of all collections.
    pub fn bytes(&self) -> u64 {
        self.collections.iter().map(|collection| collection.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn failed_with(codes: &[Code]) -> Report {
        let cluster = || Cluster { address: String::new(), version: String::new() };
        Report {
            job_id: JobId::from(""),
            state: JobState::Failed,
            vecferry_version: String::new(),
            source: cluster(),
            target: cluster(),
            started_at: String::new(),
            ended_at: String::new(),
            seconds: 0.0,
            last_attempt_seconds: 0.0,
            attempts: 1,
            verify: VerifyLevel::Sample,
            verified: VerifyLevel::None,
            sample_seed: 0,
            collections: Vec::new(),
            rbac: None,
            resource_groups: Some(Vec::new()),
            problems: codes.iter().copied().map(Problem::new).collect(),
            warnings: Vec::new(),
            estimate: None,
            pace: None,
            quarantine_file: None,
        }
    }

    #[test]
    fn a_job_that_began_never_ends_as_if_nothing_was_written() {
        for (codes, exit) in [
            (&[Code::RowsMissing, Code::Drift][..], Exit::Different),
            (&[Code::RowsMissing, Code::TargetFailed], Exit::Failed),
            (&[Code::LoadDoesNotFit], Exit::Failed),
            (&[Code::DuplicatesRefused, Code::RowsMissing], Exit::Failed),
        ] {
            assert_eq!(failed_with(codes).exit(), exit, "{codes:?}");
        }
    }
}
