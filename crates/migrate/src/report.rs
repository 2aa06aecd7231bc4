//! What a job did and proved, as plain data for people and machines.

use serde::{Deserialize, Serialize};
use vecferry_milvus::CollectionName;

use crate::event::Phase;
use crate::plan::{Change, Cluster};
use crate::problem::{Exit, Problem};
use crate::request::VerifyLevel;

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// Recorded, and not begun.
    Pending,
    /// Begun and not ended; without a process that works on it, it was interrupted and can be resumed.
    InProgress,
    /// Everything arrived and, unless verification was switched off, that was proved.
    Successful,
    /// Something did not.
    Failed,
    /// The user stopped it.
    Canceled,
}

impl JobState {
    /// Its name in records and for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }
}

/// The whole job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Number of the job.
    pub job_id: String,
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
    /// Seconds from beginning to end.
    pub seconds: f64,
    /// How often the job was begun: once, and once more with every `resume`.
    pub attempts: u64,
    /// Which proof was asked for.
    pub verify: VerifyLevel,
    /// `none`, `count`, `sample`: the proof that every collection passed.
    pub verified: VerifyLevel,
    /// Seed of the random sample.
    pub sample_seed: u64,
    /// Collection by collection.
    pub collections: Vec<CollectionReport>,
    /// Why it failed.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub warnings: Vec<Problem>,
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
    /// Seconds the rows took.
    pub copy_seconds: f64,
    /// Seconds from the first to the last step.
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
    /// Whether this job made the collection on the target.
    pub created: bool,
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
    /// Rows of the source beyond one a key.
    pub duplicate_rows: u64,
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
    /// Rows it covers by now.
    pub built_rows: u64,
    /// Rows it is to cover.
    pub total_rows: u64,
}

impl Report {
    /// How the command that made this report ends.
    pub fn exit(&self) -> Exit {
        match self.state {
            JobState::Successful => Exit::Done,
            JobState::Canceled => Exit::Canceled,
            JobState::Pending | JobState::InProgress | JobState::Failed => {
                let mut exits = self.problems.iter().map(|problem| problem.code.entry().exit);
                // Differences are the finding. Whatever else ended a job came after its first write, also what would
                // have been a refusal before it.
                if exits.all(|exit| exit == Exit::Different) { Exit::Different } else { Exit::Failed }
            }
        }
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
            job_id: String::new(),
            state: JobState::Failed,
            vecferry_version: String::new(),
            source: cluster(),
            target: cluster(),
            started_at: String::new(),
            ended_at: String::new(),
            seconds: 0.0,
            attempts: 1,
            verify: VerifyLevel::Sample,
            verified: VerifyLevel::None,
            sample_seed: 0,
            collections: Vec::new(),
            problems: codes.iter().copied().map(Problem::new).collect(),
            warnings: Vec::new(),
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
