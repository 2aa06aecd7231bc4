//! What a job did and proved, as plain data for people and machines.

mod collection;
mod drift;
mod evidence;
mod pace;
pub mod rbac;
mod round;
mod verification;

use serde::{Deserialize, Serialize};
use vecferry_milvus::CollectionName;
use vecferry_store::JobId;
pub use vecferry_store::{JobKind, JobState, RoundKind, RoundState};

pub(crate) use collection::new_report;
pub use collection::{CaughtUp, CollectionReport, IndexReport, PartitionReport};
pub use drift::{DriftReport, UnseenWrites, Writes};
pub use evidence::{CopiedRows, Evidence};
pub use pace::{PaceReport, WaitReport};
use rbac::RbacReport;
pub use round::RoundReport;
pub(crate) use verification::new_verification;
pub use verification::{Findings, FoundRows, RepairReport, RowName, SwappedRow, Verification};

use crate::cluster::Cluster;
pub use crate::cluster::load_state::{FormerLoad, LoadExtent};
use crate::event::Phase;
use crate::plan::estimate::EstimateReport;
use crate::problem::{Exit, Problem};
pub use crate::read::CountedRows;
use crate::request::VerifyLevel;

/// The whole job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Number of the job.
    pub job_id: JobId,
    /// How it copies.
    #[serde(default)]
    pub kind: JobKind,
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
    /// The rounds of a job that copies while its source may change, oldest first: the newest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<RoundReport>,
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

impl Report {
    /// How the command that made this report ends.
    pub fn exit(&self) -> Exit {
        match self.state {
            JobState::Ready | JobState::Successful => Exit::Done,
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
    use crate::problem::{Code, Surface, retell};

    fn failed_with(codes: &[Code]) -> Report {
        let cluster = || Cluster { address: String::new(), version: String::new() };
        Report {
            job_id: JobId::from(""),
            kind: JobKind::Plain,
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
            rounds: Vec::new(),
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
    fn the_service_gives_a_report_out_in_its_own_words() {
        let problem = Problem::new(Code::RowsQuarantined)
            .with("collection", "default.books")
            .with("rows", 2)
            .with("first", "too long")
            .with("file", "rows.jsonl")
            .with("job", "7");
        let report = Report { problems: vec![problem], ..failed_with(&[]) };
        let mut document = serde_json::to_value(&report).unwrap();
        let hint = |document: &serde_json::Value| document["problems"][0]["hint"].to_string();
        assert!(hint(&document).contains("`vecferry resume 7`"), "{document}");
        retell(&mut document, Surface::Service);
        assert!(hint(&document).contains("resume job 7"), "{document}");
        let read: Report = serde_json::from_value(document).unwrap();
        assert_eq!(read.problems, report.problems);
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
