//! The record of a comparison in the store, from which a later attempt goes on.

use vecferry_milvus::{ErrorKind, Key, KeyRange};
use vecferry_store::{Attempt, Comparison, NewComparison, Position, Store};

use super::ranges::Todo;
use crate::problem::{Worded, found, words_of};
use crate::read::{ReadError, key_text, range_of};
use crate::verify::FullOutcome;

/// The record of a comparison.
#[derive(Clone, Copy)]
pub(in crate::job) struct Memory<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) attempt: &'a Attempt,
    pub(super) position: Position,
}

impl Todo {
    fn recorded(comparison: &Comparison) -> Result<Self, ReadError> {
        let damaged = |error: &dyn Worded| {
            let told = words_of(error).behind("record of the comparison: ", "比对记录：");
            ReadError::from(found(ErrorKind::Malformed, "Query", told))
        };
        let after = comparison.cursor.as_deref().or(comparison.after.as_deref());
        let range = range_of(after, comparison.until.as_deref()).map_err(|error| damaged(&error))?;
        let known = comparison.outcome.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            part: comparison.part,
            range,
            known: known.map_err(|error| damaged(&error))?.unwrap_or_default(),
            comparison_id: Some(comparison.comparison_id),
            is_done: comparison.done,
        })
    }
}

impl Memory<'_> {
    /// What was written to the target so far: a comparison holds for this state only.
    async fn state(&self) -> Result<String, ReadError> {
        let (store, job_id) = (self.store, self.attempt.job_id());
        let splits = store.splits(job_id, self.position).await?;
        let rows: u64 = splits.iter().map(|split| split.progress.rows_written).sum();
        let (doubts, refused) =
            (store.doubts_total(job_id).await?, store.quarantined(job_id, self.position).await?);
        let id = store.collection(job_id, self.position).await?.target_id.unwrap_or_default();
        Ok(format!("{id} {rows} {doubts} {}", refused.len()))
    }

    pub(super) async fn recorded(&self) -> Result<Vec<Todo>, ReadError> {
        let found =
            self.store.comparisons(self.attempt.job_id(), self.position, &self.state().await?).await?;
        found.iter().map(Todo::recorded).collect()
    }

    pub(super) async fn record(&self, ranges: &[(usize, KeyRange)]) -> Result<Vec<Todo>, ReadError> {
        let ranges = ranges.iter().map(|(part, range)| NewComparison {
            part: *part,
            after: range.after.as_ref().map(key_text),
            until: range.until.as_ref().map(key_text),
        });
        let state = self.state().await?;
        let planned = self.store.plan_comparisons(self.attempt, self.position, state, ranges.collect());
        planned.await?.iter().map(Todo::recorded).collect()
    }

    pub(super) async fn advance(
        &self,
        comparison_id: i64,
        cursor: Option<&Key>,
        known: &FullOutcome,
    ) -> Result<(), ReadError> {
        let document = serde_json::to_string(known).unwrap_or_default();
        let cursor = cursor.map(key_text);
        Ok(self.store.advance_comparison(self.attempt, comparison_id, cursor, document).await?)
    }
}
