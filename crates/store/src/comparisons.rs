//! Comparisons of every row: key ranges, and how far each is compared, so that a verification that was interrupted goes
//! on.
//!
//! A comparison is of one *state* of the target, a text that the caller makes of everything that was written. Ranges of
//! another state are worth nothing and are replaced.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};

/// A range to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewComparison {
    /// Place of its part among the parts of the collection.
    pub part: usize,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
}

/// A range as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Its ID.
    pub comparison_id: i64,
    /// Place of its part among the parts of the collection.
    pub part: usize,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Last key that is compared.
    pub cursor: Option<String>,
    /// What was found up to there, the caller's document.
    pub outcome: Option<String>,
    /// Whether it is compared to its end.
    pub done: bool,
}

/// What is recorded of comparisons.
#[async_trait]
pub trait Comparisons {
    /// The ranges of a collection that were planned for a state of the target.
    async fn comparisons(
        &self,
        job_id: &JobId,
        collection: Position,
        state: &str,
    ) -> Result<Vec<Comparison>, Error>;

    /// Records the ranges of a collection for a state of the target, in place of any others.
    async fn plan_comparisons(
        &self,
        attempt: &Attempt,
        collection: Position,
        state: String,
        ranges: Vec<NewComparison>,
    ) -> Result<Vec<Comparison>, Error>;

    /// Records how far a range is compared; without a cursor, to its end.
    async fn advance_comparison(
        &self,
        attempt: &Attempt,
        comparison_id: i64,
        cursor: Option<String>,
        outcome: String,
    ) -> Result<(), Error>;
}
