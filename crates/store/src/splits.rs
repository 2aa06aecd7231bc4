//! Splits: key ranges, and how far each is copied.
//!
//! Before a page is sent, its last key is recorded as *intent*; some time after the target acknowledged it, the *cursor*
//! moves there. So every row of which nobody knows, after a crash, whether it landed is between cursor and intent. These
//! are two or three pages: one was acknowledged and not recorded, one was on its way, and one may have been about to be
//! sent. Ranges are never merged or moved, only divided.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position, SplitId};
use crate::right::{Claim, Right};

/// A split to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSplit {
    /// Its partition; none where partitions can't be named.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Rows it is thought to hold.
    pub rows_planned: u64,
}

/// A split as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its ID.
    pub split_id: SplitId,
    /// Place of its collection in the job.
    pub collection: Position,
    /// Its partition.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Rows it is thought to hold.
    pub rows_planned: u64,
    /// Last key that is on the target.
    pub cursor: Option<String>,
    /// Last key that may be on the target.
    pub intent: Option<String>,
    /// What was done.
    pub progress: Progress,
    /// Whether it is complete.
    pub done: bool,
    /// What the source counted at its end; only where it is complete.
    pub count: Option<RangeCount>,
    /// How often in a row it was opened again at its end, because the source had answered too few rows.
    pub reopened: u64,
}

/// What the source held in the range of a split when all its rows seemed to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeCount {
    /// Rows, every copy of a repeated key among them.
    pub counted: u64,
    /// Keys that it answers; asked for only where more rows are counted than were read.
    pub distinct_keys: Option<u64>,
}

/// Rows and bytes of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read from the source.
    pub rows_read: u64,
    /// Rows acknowledged by the target.
    pub rows_written: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
}

impl std::ops::AddAssign for Progress {
    fn add_assign(&mut self, other: Self) {
        self.rows_read += other.rows_read;
        self.rows_written += other.rows_written;
        self.bytes += other.bytes;
    }
}

/// What was done of a collection, by all its splits together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionProgress {
    /// Its place in the job.
    pub collection: Position,
    /// Rows and bytes of all its splits.
    pub progress: Progress,
    /// Its splits.
    pub splits: u64,
    /// Those that are complete.
    pub splits_done: u64,
}

/// A step of a split, from what is known of it to what is to be known next. It is taken only if the split is where the
/// caller thinks; taken twice, it counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The cursor before the step.
    pub cursor: Option<String>,
    /// The intent before the step.
    pub intent: Option<String>,
    /// The target holds everything up to this key; none while no page was acknowledged since the last step.
    pub to_cursor: Option<String>,
    /// Everything up to this key may be sent from now on, and nothing beyond; none leaves it as it is.
    pub to_intent: Option<String>,
    /// Rows and bytes since the last step.
    pub progress: Progress,
    /// Keys of the acknowledged rows that are to be compared later.
    pub samples: Vec<String>,
    /// Last key and rows of the acknowledged pages, as marks of the collection; of jobs with rounds.
    pub marks: Vec<(String, u64)>,
}

impl Step {
    /// The step that begins where a split is.
    pub fn from(split: &Split) -> Self {
        Self { cursor: split.cursor.clone(), intent: split.intent.clone(), ..Self::default() }
    }

    /// Whether it moves anything by which it could be told that it was taken.
    pub fn moves(&self) -> bool {
        let moves = |from: &Option<String>, to: &Option<String>| to.is_some() && to != from;
        moves(&self.cursor, &self.to_cursor) || moves(&self.intent, &self.to_intent)
    }

    /// Whether a split is where the step ends.
    pub(crate) fn is_taken(&self, split: &Split) -> bool {
        let ends = |from: &Option<String>, to: &Option<String>| to.clone().or_else(|| from.clone());
        split.cursor == ends(&self.cursor, &self.to_cursor)
            && split.intent == ends(&self.intent, &self.to_intent)
    }
}

/// A range whose rows may be on the target more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its ID.
    pub doubt_id: i64,
    /// Its partition.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
}

/// A row that the target refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its partition; empty where partitions can't be named.
    pub partition: String,
    /// Its key.
    pub key: String,
    /// What the target said.
    pub reason: String,
    /// Whether it is being tried again by a write that can't be repeated, whose end is not recorded.
    pub in_doubt: bool,
}

/// What is recorded of the splits of a collection.
#[async_trait]
pub trait Splits {
    /// Records the splits of a collection, once. Returns those that are recorded, which after a crash may be others.
    async fn plan_splits(
        &self,
        attempt: &Attempt,
        collection: Position,
        splits: Vec<NewSplit>,
    ) -> Result<Vec<Split>, Error>;

    /// The splits of a collection, by ID.
    async fn splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<Split>, Error>;

    /// How far each collection of a job is that has splits, in order.
    async fn progress(&self, job_id: &JobId) -> Result<Vec<CollectionProgress>, Error>;

    /// One split.
    async fn split(&self, split_id: SplitId) -> Result<Split, Error>;

    /// Moves a split forward.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Fenced`] if the claim is lost; [`crate::ErrorKind::Moved`] if the split is elsewhere than the
    /// step begins.
    async fn advance(&self, claim: &Claim, step: Step) -> Result<(), Error>;

    /// Records the last step of a split, and that it is complete: the source was counted. The claim ends with it.
    ///
    /// # Errors
    /// As [`Splits::advance`].
    async fn finish_split(&self, claim: &Claim, step: Step, count: RangeCount) -> Result<(), Error>;

    /// Opens a split again, under its claim, because the source answered fewer rows than it counts. Everything up to its
    /// intent is in doubt from now on, as after a crash, and what lies behind it was never sent; refused rows of the split,
    /// which the caller names, are read again like all others. The claim ends with it.
    async fn reopen_split(&self, claim: &Claim, times: u64, refused: Vec<Quarantined>) -> Result<(), Error>;

    /// The same of splits that nobody has claimed. The collection is not copied any more, and no comparison of it holds, nor
    /// what rounds found equal.
    async fn reopen_splits(
        &self,
        attempt: &Attempt,
        collection: Position,
        splits: Vec<SplitId>,
        refused: Vec<Quarantined>,
    ) -> Result<(), Error>;

    /// Divides a split behind a key that it has not come to, neither by its cursor nor by its intent (the caller's
    /// duty: only it can compare keys). Returns the new split, which is the upper part; if there is a split that starts
    /// behind that key, it returns that one and changes nothing. `rows_planned` is of the lower and of the upper part; rows of
    /// the lower part that were copied already count.
    async fn divide(&self, claim: &Claim, at: String, rows_planned: (u64, u64)) -> Result<Split, Error>;

    /// Records that the rows of a range may be on the target more than once; without ends, that any row of the collection
    /// may.
    async fn record_doubt(
        &self,
        right: Right<'_>,
        partition: Option<String>,
        after: Option<String>,
        until: Option<String>,
    ) -> Result<(), Error>;

    /// The ranges of a collection that are still in doubt.
    async fn doubts(&self, job_id: &JobId, collection: Position) -> Result<Vec<Doubt>, Error>;

    /// How many ranges of a job were ever in doubt.
    async fn doubts_total(&self, job_id: &JobId) -> Result<u64, Error>;

    /// Records that the rows of a range are on the target exactly once.
    async fn settle_doubt(&self, attempt: &Attempt, doubt_id: i64) -> Result<(), Error>;

    /// The keys of a part that are to be compared.
    async fn samples(
        &self,
        job_id: &JobId,
        collection: Position,
        partition: Option<&str>,
    ) -> Result<Vec<String>, Error>;

    /// Records a row that the target refuses.
    async fn record_quarantined(&self, right: Right<'_>, row: Quarantined) -> Result<(), Error>;

    /// How many rows of a collection the target refuses.
    async fn quarantined_total(&self, job_id: &JobId, collection: Position) -> Result<u64, Error>;

    /// The rows of a collection that the target refuses.
    async fn quarantined(&self, job_id: &JobId, collection: Position) -> Result<Vec<Quarantined>, Error>;

    /// Records, before it is done, that a refused row is tried again by a write that can't be repeated.
    async fn intend_retry(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
    ) -> Result<(), Error>;

    /// Records what became of a row that the target had refused: by now the target took it, or the source holds it no more.
    async fn release_quarantined(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
        is_written: bool,
    ) -> Result<(), Error>;
}
