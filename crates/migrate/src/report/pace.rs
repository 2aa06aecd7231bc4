//! Where the time of an attempt went.

use serde::{Deserialize, Serialize};

use crate::event::Bottleneck;

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
