//! The ranges of keys that are compared in parallel: those of an earlier attempt that did not end, or new ones.

use vecferry_milvus::KeyRange;

use super::parts::PartOf;
use super::{Pair, RANGES_PARALLEL};
use crate::read::{KeySample, ReadError, scan_keys};
use crate::verify::FullOutcome;

/// A part of fewer rows is not divided: the division costs a look at all its keys.
const DIVIDED_ROWS_MIN: u64 = 100_000;

/// Keys that are sampled to find the bounds of the ranges.
const DIVIDING_KEYS: usize = 255;

/// A range, and what is known of it already.
pub(super) struct Todo {
    pub(super) part: usize,
    pub(super) range: KeyRange,
    pub(super) known: FullOutcome,
    /// Its number in the record.
    pub(super) comparison_id: Option<i64>,
    pub(super) is_done: bool,
}

impl Todo {
    pub(super) fn new(part: usize, range: KeyRange) -> Self {
        Self { part, range, known: FullOutcome::default(), comparison_id: None, is_done: false }
    }
}

impl Pair<'_> {
    /// The ranges to be compared: those of an earlier attempt, as far as they are, or new ones.
    pub(super) async fn ranges(&self, counts: &[(u64, u64)]) -> Result<Vec<Todo>, ReadError> {
        if let Some(memory) = &self.memory {
            let recorded = memory.recorded().await?;
            // One that came to its end is no proof of what is there now.
            if recorded.iter().any(|todo| !todo.is_done) {
                return Ok(recorded);
            }
        }
        let mut ranges = Vec::new();
        // Where both sides count nothing there is nothing to read; milvus-lite 2.5.1 fails at it.
        let filled = |(_, (_, counts)): &(usize, (&PartOf, &(u64, u64)))| *counts != &(0, 0);
        for (index, (part, (counted, _))) in self.parts.iter().zip(counts).enumerate().filter(filled) {
            ranges.extend(self.divide(part, *counted).await?.into_iter().map(|range| (index, range)));
        }
        match &self.memory {
            Some(memory) => memory.record(&ranges).await,
            None => Ok(ranges.into_iter().map(|(part, range)| Todo::new(part, range)).collect()),
        }
    }

    /// Ranges of a part of about the same number of rows, so that one large part is not compared by one task alone.
    async fn divide(&self, part: &PartOf, counted: u64) -> Result<Vec<KeyRange>, ReadError> {
        let wanted = RANGES_PARALLEL.div_ceil(self.parts.len());
        let by_marks = self.cuts.as_ref().and_then(|cuts| cuts.divide(part.partition.as_deref(), wanted));
        if let Some(ranges) = by_marks {
            return Ok(ranges);
        }
        if wanted < 2 || counted < DIVIDED_ROWS_MIN {
            return Ok(vec![KeyRange::default()]);
        }
        let sample = KeySample::new(DIVIDING_KEYS, counted);
        let (_, sample) = scan_keys(&self.source, part.partition.as_deref(), sample).await?;
        let keys = sample.into_keys();
        let mut ranges = Vec::new();
        let mut after = None;
        for bound in 1..wanted {
            let until = keys.get(keys.len() * bound / wanted).cloned();
            if until.is_some() && until != after {
                ranges.push(KeyRange { after: after.clone(), until: until.clone() });
                after = until;
            }
        }
        ranges.push(KeyRange { after, until: None });
        Ok(ranges)
    }
}
