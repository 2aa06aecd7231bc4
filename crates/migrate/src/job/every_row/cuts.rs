//! Where the keys of a collection may be cut: at the ends of pages, as its copy recorded them.

use std::collections::BTreeMap;

use vecferry_milvus::{ErrorKind, KeyRange};
use vecferry_store::Position;

use crate::copy::Budget;
use crate::job::run::Job;
use crate::problem::{found, words_of};
use crate::read::{ReadError, Reader, key_of};
use crate::verify::{Mark, ReadAhead};

/// A range of fewer marks is not worth a task of its own.
const RANGE_MARKS_MIN: usize = 2;

/// Where the keys of each part may be cut, and the memory with which they are read.
pub(in crate::job) struct Cuts {
    /// In the order of keys.
    by_part: BTreeMap<Option<String>, Vec<Mark>>,
    pub(super) budget: Budget,
    /// What was read of the source already.
    pub(super) ahead: ReadAhead,
}

impl Cuts {
    /// What the copy of a collection recorded.
    pub(in crate::job) async fn recorded(job: &Job, position: Position) -> Result<Self, ReadError> {
        let mut by_part: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for mark in job.store.marks(job.attempt.job_id(), position).await? {
            let until = mark.until.as_deref().map(key_of).transpose().map_err(|error| {
                let told = words_of(&error).behind("record of the copy: ", "复制记录：");
                ReadError::from(found(ErrorKind::Malformed, "Query", told))
            })?;
            if until.is_some() {
                by_part.entry(mark.partition).or_default().push(Mark { until, rows: mark.rows, equal: None });
            }
        }
        for marks in by_part.values_mut() {
            marks.sort_by(|one, other| one.until.cmp(&other.until));
        }
        Ok(Self { by_part, budget: job.budget.clone(), ahead: ReadAhead::default() })
    }

    /// Reads of the source what there is memory for, before the target can be read.
    pub(in crate::job) async fn read_ahead(&self, source: &Reader) {
        let parts: Vec<_> =
            self.by_part.iter().map(|(partition, marks)| (partition.clone(), marks.as_slice())).collect();
        self.ahead.fill(source, &source.columns, &parts, &self.budget).await;
    }

    /// It may be read ahead, again or for the first time.
    pub(in crate::job) fn begin_read_ahead(&self) {
        self.ahead.begin();
    }

    /// Nothing more of it is begun.
    pub(in crate::job) fn end_read_ahead(&self) {
        self.ahead.end();
    }

    fn of_part(&self, partition: Option<&str>) -> &[Mark] {
        self.by_part.get(&partition.map(str::to_owned)).map_or(&[], Vec::as_slice)
    }

    /// The marks within a range, and the one at its end.
    pub(super) fn within(&self, partition: Option<&str>, range: &KeyRange) -> &[Mark] {
        let marks = self.of_part(partition);
        let from = marks.partition_point(|mark| range.after.is_some() && mark.until <= range.after);
        let to = marks.partition_point(|mark| range.until.is_none() || mark.until <= range.until);
        marks.get(from..to).unwrap_or_default()
    }

    /// Ranges of a part that hold about the same number of rows each; none where its marks are too few to tell.
    pub(super) fn divide(&self, partition: Option<&str>, ranges_max: usize) -> Option<Vec<KeyRange>> {
        let marks = self.of_part(partition);
        let wanted = ranges_max.min(marks.len() / RANGE_MARKS_MIN) as u64;
        let rows: u64 = marks.iter().map(|mark| mark.rows).sum();
        let (mut ranges, mut after, mut passed) = (Vec::new(), None, 0);
        for mark in marks {
            let next = ranges.len() as u64 + 1;
            passed += mark.rows;
            if next < wanted && passed.saturating_mul(wanted) >= rows.saturating_mul(next) {
                ranges.push(KeyRange { after, until: mark.until.clone() });
                after = mark.until.clone();
            }
        }
        ranges.push(KeyRange { after, until: None });
        (wanted > 0).then_some(ranges)
    }
}

#[cfg(test)]
mod tests {
    use vecferry_milvus::Key;

    use super::*;
    use crate::copy::Pool;

    fn cuts(marks: &[(i64, u64)]) -> Cuts {
        let mark =
            |(until, rows): &(i64, u64)| Mark { until: Some(Key::Int(*until)), rows: *rows, equal: None };
        let by_part = [(Some("p".to_owned()), marks.iter().map(mark).collect())].into();
        Cuts { by_part, budget: Pool::new(1).budget(), ahead: ReadAhead::default() }
    }

    fn range(after: Option<i64>, until: Option<i64>) -> KeyRange {
        KeyRange { after: after.map(Key::Int), until: until.map(Key::Int) }
    }

    #[test]
    fn a_part_is_divided_at_marks_by_its_rows() {
        let even: Vec<_> = (1..=12).map(|at| (at * 10, 5)).collect();
        let of = |marks: &[(i64, u64)], ranges_max| cuts(marks).divide(Some("p"), ranges_max);
        let quarters = vec![
            range(None, Some(30)),
            range(Some(30), Some(60)),
            range(Some(60), Some(90)),
            range(Some(90), None),
        ];
        assert_eq!(of(&even, 4), Some(quarters));
        assert_eq!(of(&even[..4], 4), Some(vec![range(None, Some(20)), range(Some(20), None)]));
        assert_eq!(
            of(&[(1, 90), (2, 5), (3, 5), (4, 5)], 2),
            Some(vec![range(None, Some(1)), range(Some(1), None)])
        );
        assert_eq!(of(&even, 1), Some(vec![range(None, None)]));
        assert_eq!((of(&even[..1], 4), of(&[], 4), cuts(&even).divide(None, 4)), (None, None, None));
    }

    #[test]
    fn marks_of_a_range_are_those_behind_its_start() {
        let cuts = cuts(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        for (of, marks) in [
            (range(None, None), 4),
            (range(Some(1), Some(3)), 2),
            (range(Some(4), None), 0),
            (range(None, Some(0)), 0),
            (range(Some(9), Some(10)), 0),
        ] {
            assert_eq!(cuts.within(Some("p"), &of).len(), marks, "{of:?}");
            assert_eq!(cuts.within(None, &of).len(), 0);
        }
    }
}
