//! Collections of a job: what was made, and how far they are.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};

/// Whether a collection is a part of its job. Its position is never used for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is copied.
    #[default]
    Here,
    /// The source does not have it any more, and it is about to be removed from the target.
    Going,
    /// It was removed from the target.
    Gone,
}

impl Presence {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Here, Self::Going, Self::Gone];

    /// The name, as it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Going => "going",
            Self::Gone => "gone",
        }
    }

    /// The presence of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|presence| presence.name() == name)
    }

    /// Whether it is copied.
    pub fn is_here(self) -> bool {
        match self {
            Self::Here => true,
            Self::Going | Self::Gone => false,
        }
    }
}

/// A collection to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCollectionRecord {
    /// Its name on the source, for lists.
    pub source: String,
    /// Its name on the target, for lists.
    pub target: String,
    /// Rows by the source's estimate.
    pub rows_total: u64,
}

/// A collection as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRecord {
    /// Its place in the job.
    pub position: Position,
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Whether it is a part of the job.
    pub presence: Presence,
    /// Rows by the source's estimate.
    pub rows_total: u64,
    /// Whether its creation was begun.
    pub creation_intended: bool,
    /// The target's time when its creation was begun, where the target has such.
    pub creation_timestamp: Option<u64>,
    /// How many names of its own the job began to make it under so far.
    pub names: u64,
    /// Number of the name under which its creation was begun last; none if that was its planned name.
    pub name: Option<u64>,
    /// Whether its removal was begun: it may be gone.
    pub removal_intended: bool,
    /// The ID that the target gave it; only then it is the job's own.
    pub target_id: Option<i64>,
    /// Rows that the source counted at the beginning, part by part; the caller's document.
    pub source_counts: Option<String>,
    /// Whether its splits are planned.
    pub splits_planned: bool,
    /// Whether all its rows are on the target.
    pub copied: bool,
    /// Whether nothing is left to do.
    pub done: bool,
    /// Its report, when it is done.
    pub report: Option<String>,
    /// That its source was seen to change since the first row was read; the caller's document.
    pub drift_seen: Option<String>,
    /// How long all attempts together worked on it, as far as they recorded that.
    pub worked: Duration,
    /// The same while its rows were copied.
    pub copied_for: Duration,
    /// Rows that rounds may have written to it, beside those of its splits, since the last one that came to its end.
    pub round_rows: u64,
}

/// What lists show of a collection: without the documents of the caller, which are long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionOutline {
    /// Its place in the job.
    pub position: Position,
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Whether it is a part of the job.
    pub presence: Presence,
    /// Rows by the source's estimate.
    pub rows_total: u64,
    /// Whether nothing is left to do.
    pub done: bool,
    /// As in [`CollectionRecord::worked`].
    pub worked: Duration,
}

/// What is recorded of the collections of a job.
#[async_trait]
pub trait Collections {
    /// The collections of a job, in order.
    async fn collections(&self, job_id: &JobId) -> Result<Vec<CollectionRecord>, Error>;

    /// The same as lists show them.
    async fn outline(&self, job_id: &JobId) -> Result<Vec<CollectionOutline>, Error>;

    /// One collection of a job.
    async fn collection(&self, job_id: &JobId, position: Position) -> Result<CollectionRecord, Error>;

    /// Every collection that a job made: the target's address, the collection's name there, its ID there.
    async fn made_collections(&self) -> Result<Vec<(String, String, i64)>, Error>;

    /// Records, before it is begun, that a collection is about to be made under its planned name, and the target's time.
    async fn intend_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<(), Error>;

    /// The same under a name that only this job can have. Returns the number of that name, which is never given again.
    async fn intend_named_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<u64, Error>;

    /// Records that a collection is the job's own.
    async fn record_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        target_id: i64,
    ) -> Result<(), Error>;

    /// Records, before it is begun, that a collection is about to be removed. What was proved of it does not count any
    /// more, and neither does the job's last report, nor what rounds found out about it.
    async fn intend_removal(&self, attempt: &Attempt, position: Position) -> Result<(), Error>;

    /// Forgets that a collection was made, and everything that was written into it and found out about it: it is gone,
    /// and starts again, with the rows that were planned. Only the numbers of its names and of its writers go on.
    async fn forget_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        rows_planned: u64,
    ) -> Result<(), Error>;

    /// Records what the source counted before the first row was read; only the first time. Returns what is recorded.
    async fn record_source_counts(
        &self,
        attempt: &Attempt,
        position: Position,
        counts: String,
    ) -> Result<String, Error>;

    /// Records that the source of a collection changed; the first time stays.
    async fn record_drift_seen(
        &self,
        attempt: &Attempt,
        position: Position,
        document: String,
    ) -> Result<(), Error>;

    /// Records the exact number of rows, once it is known.
    async fn record_rows_total(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error>;

    /// Records that all rows of a collection are on the target.
    async fn record_copied(&self, attempt: &Attempt, position: Position) -> Result<(), Error>;

    /// Records that nothing is left to do for a collection.
    async fn record_done(&self, attempt: &Attempt, position: Position, report: String) -> Result<(), Error>;
}
