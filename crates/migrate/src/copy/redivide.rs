//! Splits that turn out to hold far more rows than they were planned for: what is left of them is divided again, so that
//! several readers and writers work on it.
//!
//! Only at a page boundary, when nothing of the split is on its way: its cursor and its intent are one key then, and every
//! cut is behind it. Each cut is one transaction, from the highest to the lowest, so that after a crash between two of
//! them the ranges are a partition of the keys all the same.

use vecferry_milvus::{Key, KeyRange, WriteMode};
use vecferry_store::{Split, SplitId};

use super::copy_job::CopyJob;
use super::error::CopyError;
use super::plan::{PartCounter, PlannedRange, RangeCounter, plan};
use super::progress::Copied;
use crate::plan::splits::SplitLimits;
use crate::read::key_text;

/// A split that holds so many times the rows it was planned for is looked at.
const TIMES_PLANNED: u64 = 2;
/// Pieces that one look makes at most: enough for all readers, and a bound for the queries that find the cuts.
const PIECES_MAX: usize = 12;

/// When to count what is left of a split: when it has more rows than expected, and then at every doubling.
#[derive(Debug)]
pub(super) struct Checks {
    copied: u64,
    next_at: Option<u64>,
}

impl Checks {
    /// For the rest of a split. What is in doubt is not divided.
    pub(super) fn new(split: &Split, mode: WriteMode) -> Self {
        let copied = split.progress.rows_written;
        let mut next_at = split.rows_planned.saturating_mul(TIMES_PLANNED).max(1);
        while next_at <= copied {
            next_at = next_at.saturating_mul(2);
        }
        Self { copied, next_at: (mode == WriteMode::Insert).then_some(next_at) }
    }

    /// Rows of the split that were copied by all slices together.
    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    /// More rows were copied. Tells whether to count now.
    pub(super) fn is_due(&mut self, rows: u64) -> bool {
        self.copied += rows;
        let Some(at) = self.next_at.filter(|at| self.copied > *at) else { return false };
        self.next_at = Some(at.max(self.copied).saturating_mul(2));
        true
    }
}

/// What is left of a split, in pieces, from the lowest keys upwards.
#[derive(Debug)]
struct Division {
    pieces: Vec<PlannedRange>,
}

/// One cut: the split ends with a key, and a new one begins behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    at: Key,
    /// Rows of the split up to there, those that were copied among them.
    below: u64,
    /// Rows of the new split.
    above: u64,
}

impl Division {
    /// Divides what is left, if it is more than one split should hold.
    async fn find<Counter: RangeCounter>(
        counter: &Counter,
        left: &KeyRange,
        is_text: bool,
        limits: SplitLimits,
    ) -> Result<Self, Counter::Error> {
        let rows = counter.count(left).await?;
        let whole = PlannedRange { range: left.clone(), rows };
        let limits = SplitLimits { splits_max: limits.splits_max.min(PIECES_MAX), ..limits };
        Ok(Self { pieces: plan(counter, whole, is_text, limits).await? })
    }

    /// The cuts in the order in which they are to be made, of a split of which so many rows were copied.
    fn cuts(&self, copied: u64) -> Vec<Cut> {
        let mut below = copied + self.pieces.iter().map(|piece| piece.rows).sum::<u64>();
        let mut cuts = Vec::new();
        for piece in self.pieces.iter().rev() {
            // The lowest piece stays what the split is.
            let Some(at) = piece.range.after.clone().filter(|_| cuts.len() + 1 < self.pieces.len()) else {
                break;
            };
            below -= piece.rows;
            cuts.push(Cut { at, below, above: piece.rows });
        }
        cuts
    }
}

impl CopyJob {
    /// Divides what is left of a split, if that is more than a split should hold. Returns the new splits.
    pub(super) async fn divide_if_too_large(
        &self,
        copied: &Copied<'_>,
        range: &KeyRange,
        rows_copied: u64,
    ) -> Result<Vec<SplitId>, CopyError> {
        let split = copied.split;
        let reader = self.source_reader();
        let splits = self.store.splits(&self.job_id, split.collection).await?;
        let of_part = splits.iter().filter(|other| other.partition == split.partition).count();
        let limits =
            SplitLimits { splits_max: self.limits.splits_max.saturating_sub(of_part) + 1, ..self.limits };
        let counter = PartCounter { reader: &reader, partition: split.partition.as_deref() };
        let division = match Division::find(&counter, range, reader.key_is_text(), limits).await {
            Ok(division) => division,
            Err(_) if self.cancel.is_cancelled() => return Ok(Vec::new()),
            Err(error) => {
                // The split is copied as well in one piece; what is wrong with the source its pages will tell.
                tracing::debug!(%error, split = %split.split_id, "what is left of a split was not counted");
                return Ok(Vec::new());
            }
        };
        let mut divided = Vec::new();
        for cut in division.cuts(rows_copied) {
            let at = key_text(&cut.at);
            let upper = self.store.divide(copied.claim, at, (cut.below, cut.above)).await?;
            divided.push(upper.split_id);
        }
        Ok(divided)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use vecferry_store::{Position, Progress};

    use super::*;

    fn split(rows_planned: u64, rows_written: u64) -> Split {
        Split {
            split_id: SplitId(1),
            collection: Position(0),
            partition: None,
            after: None,
            until: None,
            rows_planned,
            cursor: None,
            intent: None,
            progress: Progress { rows_written, ..Progress::default() },
            done: false,
            count: None,
            reopened: 0,
        }
    }

    /// The numbers of rows at which a split is looked at that is copied in pages of equal size.
    fn looks(split: &Split, page: u64, pages: u64) -> Vec<u64> {
        let mut checks = Checks::new(split, WriteMode::Insert);
        let mut looks = Vec::new();
        for _ in 0..pages {
            if checks.is_due(page) {
                looks.push(checks.copied());
            }
        }
        looks
    }

    #[test]
    fn a_split_is_looked_at_when_it_is_twice_as_large_and_then_ever_more_rarely() {
        assert_eq!(looks(&split(1000, 0), 100, 20), [] as [u64; 0]);
        assert_eq!(looks(&split(1000, 0), 100, 200), [2100, 4300, 8700, 17_500]);
        // Another slice goes on where the rows are.
        assert_eq!(looks(&split(1000, 3000), 100, 30), [4100]);
        assert_eq!(looks(&split(0, 0), 100, 10), [100, 300, 700]);
        let mut in_doubt = Checks::new(&split(0, 0), WriteMode::Upsert);
        assert!(!in_doubt.is_due(1_000_000));
    }

    struct Keys(Vec<i64>);

    fn holds(range: &KeyRange, key: i64) -> bool {
        let key = Key::Int(key);
        range.after.as_ref().is_none_or(|after| key > *after)
            && range.until.as_ref().is_none_or(|until| key <= *until)
    }

    impl RangeCounter for Keys {
        type Error = Infallible;

        async fn count(&self, range: &KeyRange) -> Result<u64, Infallible> {
            Ok(self.0.iter().filter(|key| holds(range, **key)).count() as u64)
        }

        async fn first_key(&self, range: &KeyRange) -> Result<Option<Key>, Infallible> {
            Ok(self.0.iter().filter(|key| holds(range, **key)).min().copied().map(Key::Int))
        }
    }

    fn cuts(keys: Vec<i64>, left: &KeyRange, copied: u64, limits: SplitLimits) -> Vec<Cut> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(division) = runtime.block_on(Division::find(&Keys(keys), left, false, limits));
        division.cuts(copied)
    }

    #[test]
    fn what_is_small_enough_is_left_alone() {
        let limits = SplitLimits { rows_per_split: 100, splits_max: 8 };
        assert_eq!(cuts((0..100).collect(), &KeyRange::default(), 5, limits), []);
        let full = SplitLimits { splits_max: 1, ..limits };
        assert_eq!(cuts((0..1000).collect(), &KeyRange::default(), 5, full), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Applies the cuts one by one, as the store does: after each of them the ranges are a partition of the key space,
        /// and no range ends before the cursor.
        #[test]
        fn after_every_cut_the_ranges_are_a_partition_and_the_cursor_is_inside(
            keys in prop::collection::btree_set(-2000i64..2000, 0..300),
            cursor in -2100i64..2100,
            until in prop::option::of(-2000i64..2200),
            rows_per_split in 1u64..80,
            splits_max in 1usize..20,
        ) {
            let cursor = Key::Int(cursor);
            let until = until.map(Key::Int).filter(|until| *until > cursor);
            let left = KeyRange { after: Some(cursor.clone()), until: until.clone() };
            let limits = SplitLimits { rows_per_split, splits_max };
            let keys: Vec<_> = keys.into_iter().collect();
            let total = keys.iter().filter(|key| holds(&left, **key)).count() as u64;
            let mut lower = until.clone();
            let (mut rows, mut made) = (total + 7, Vec::new());
            for cut in cuts(keys.clone(), &left, 7, limits) {
                prop_assert!(cut.at > cursor, "{cut:?}");
                prop_assert!(lower.as_ref().is_none_or(|until| cut.at < *until), "{cut:?}");
                prop_assert_eq!(cut.below + cut.above, rows);
                made.push(KeyRange { after: Some(cut.at.clone()), until: lower });
                (lower, rows) = (Some(cut.at), cut.below);
                let first = KeyRange { after: Some(cursor.clone()), until: lower.clone() };
                for key in keys.iter().filter(|key| holds(&left, **key)) {
                    let holding = made.iter().chain([&first]).filter(|range| holds(range, *key)).count();
                    prop_assert_eq!(holding, 1);
                }
            }
            prop_assert!(made.len() < splits_max.clamp(1, PIECES_MAX));
            if total > rows_per_split && splits_max > 1 {
                prop_assert!(!made.is_empty(), "{total} rows stay together");
            }
        }
    }
}
