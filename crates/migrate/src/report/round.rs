//! What a round of a job did.

use serde::{Deserialize, Serialize};
use vecferry_store::{RoundKind, RoundRecord, RoundState};

use super::collection::CaughtUp;

/// A round of a job that copies while its source may change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundReport {
    /// Its number among the rounds of the job, from 1.
    pub number: u64,
    /// What it is for.
    pub kind: RoundKind,
    /// Whether it came to its end.
    pub state: RoundState,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Seconds that it was worked on, without the time between attempts.
    #[serde(default)]
    pub seconds: f64,
    /// Rows that it wrote to the target.
    #[serde(default)]
    pub rows: u64,
    /// Bytes of these on the wire.
    #[serde(default)]
    pub bytes: u64,
    /// What the round found to differ, of all collections; absent for a warm copy, and where it did not come so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<CaughtUp>,
    /// Seconds from the begin of a cut-over to its end, in which nobody was to write to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
}

impl RoundReport {
    /// What is recorded of a round: what it did, if it came to its end.
    pub(crate) fn of_record(record: &RoundRecord) -> Self {
        let recorded = record.report.as_deref().and_then(|document| serde_json::from_str(document).ok());
        recorded.unwrap_or_else(|| Self {
            number: record.number,
            kind: record.kind,
            state: record.state,
            started_at: record.begun_at.clone(),
            ended_at: record.ended_at.clone(),
            seconds: 0.0,
            rows: 0,
            bytes: 0,
            caught_up: None,
            window_seconds: None,
        })
    }
}
