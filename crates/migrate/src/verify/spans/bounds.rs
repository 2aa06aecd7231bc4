//! Where spans begin and end.

use std::cmp::Ordering;

use vecferry_milvus::{Key, KeyRange};

use crate::problem::{Told, Worded, zh};

/// The recorded end of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its last key; `None` where everything behind the mark before belongs to it.
    pub(crate) until: Option<Key>,
    /// Rows of the source that it held; 0 if that is not known.
    pub(crate) rows: u64,
    /// The rows of both sides, if this comparison has found the span to be equal already.
    pub(crate) equal: Option<u64>,
}

/// A partition, or everything where partitions can't be named, with marks in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpannedPart {
    pub(crate) partition: Option<String>,
    pub(crate) in_source: bool,
    pub(crate) in_target: bool,
    /// What is compared of it. Marks outside of that are passed over.
    pub(crate) range: KeyRange,
    pub(crate) marks: Vec<Mark>,
}

/// A short range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The place of its part.
    pub(crate) part: usize,
    pub(crate) range: KeyRange,
    /// See [`Mark::rows`].
    pub(crate) rows: u64,
    /// See [`Mark::equal`].
    pub(crate) equal: Option<u64>,
}

/// Marks that can't be those of one part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnfitMarks {
    #[error("two recorded key ranges end at the same key {0}")]
    Twice(String),
    #[error("two recorded key ranges have no end")]
    TwoOpen,
    #[error("the recorded key ranges end at numbers and at texts")]
    TwoKinds,
}

impl Worded for UnfitMarks {
    fn words(&self) -> Told {
        match self {
            Self::Twice(key) => zh(self, format!("记录中有两个主键范围以同一主键 {key} 结束")),
            Self::TwoOpen => zh(self, "记录中有两个主键范围没有终点".to_owned()),
            Self::TwoKinds => zh(self, "记录的主键范围既以数字又以文本结束".to_owned()),
        }
    }
}

/// The spans of all parts, which leave no key out.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    parts: Vec<SpannedPart>,
    all: Vec<Span>,
}

impl Spans {
    /// The spans between the marks. Whatever these are, the first span of a part begins, and the last one ends, where its
    /// range does.
    pub(crate) fn of(mut parts: Vec<SpannedPart>) -> Result<Self, UnfitMarks> {
        let mut all = Vec::new();
        for (at, part) in parts.iter_mut().enumerate() {
            let marks = std::mem::take(&mut part.marks);
            between(at, &part.range, marks, &mut all)?;
        }
        Ok(Self { parts, all })
    }

    pub(crate) fn part(&self, span: &Span) -> &SpannedPart {
        &self.parts[span.part]
    }

    pub(crate) fn parts(&self) -> &[SpannedPart] {
        &self.parts
    }

    pub(crate) fn all(&self) -> &[Span] {
        &self.all
    }

    #[cfg(test)]
    pub(super) fn spoil(&mut self, spoil: impl FnOnce(&mut Vec<Span>)) {
        spoil(&mut self.all);
    }
}

/// Without a bound is behind every key.
fn by_until(one: &Mark, other: &Mark) -> Ordering {
    match (&one.until, &other.until) {
        (Some(one), Some(other)) => one.cmp(other),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

fn between(
    part: usize,
    range: &KeyRange,
    mut marks: Vec<Mark>,
    all: &mut Vec<Span>,
) -> Result<(), UnfitMarks> {
    let end = Mark { until: range.until.clone(), rows: 0, equal: None };
    let is_behind_start =
        |mark: &Mark| range.after.is_none() || mark.until.is_none() || mark.until > range.after;
    marks.retain(|mark| is_behind_start(mark) && by_until(mark, &end) != Ordering::Greater);
    marks.sort_by(by_until);
    if marks.last().is_none_or(|last| last.until != end.until) {
        marks.push(end);
    }
    let mut after = range.after.clone();
    let mut is_first = true;
    for Mark { until, rows, equal } in marks {
        match (&after, &until) {
            (Some(Key::Int(_)), Some(Key::Text(_))) | (Some(Key::Text(_)), Some(Key::Int(_))) => {
                return Err(UnfitMarks::TwoKinds);
            }
            (Some(after), Some(until)) if after == until => return Err(UnfitMarks::Twice(until.to_string())),
            // Behind one without an end there is nothing.
            (None, _) if !is_first => return Err(UnfitMarks::TwoOpen),
            (Some(_), Some(_) | None) | (None, Some(_) | None) => {}
        }
        is_first = false;
        all.push(Span { part, range: KeyRange { after, until: until.clone() }, rows, equal });
        after = until;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(until: Option<Key>) -> Mark {
        Mark { until, rows: 1, equal: None }
    }

    fn of(marks: Vec<Mark>) -> Result<Vec<KeyRange>, UnfitMarks> {
        let spans = Spans::of(vec![SpannedPart { marks, ..SpannedPart::default() }])?;
        Ok(spans.all().iter().map(|span| span.range.clone()).collect())
    }

    #[test]
    fn marks_in_any_order_leave_no_key_out() {
        let int = |key| Some(Key::Int(key));
        let range = |after, until| KeyRange { after, until };
        for (marks, spans) in [
            (vec![], vec![range(None, None)]),
            (vec![mark(None)], vec![range(None, None)]),
            (
                vec![mark(int(7)), mark(int(i64::MIN))],
                vec![range(None, int(i64::MIN)), range(int(i64::MIN), int(7)), range(int(7), None)],
            ),
            (
                vec![mark(None), mark(int(i64::MAX))],
                vec![range(None, int(i64::MAX)), range(int(i64::MAX), None)],
            ),
        ] {
            assert_eq!(of(marks).unwrap(), spans);
        }
    }

    #[test]
    fn only_what_lies_within_a_range_is_cut() {
        let int = |key| Some(Key::Int(key));
        let range = |after, until| KeyRange { after, until };
        let marks = || vec![mark(int(9)), mark(int(3)), mark(None), mark(int(5)), mark(int(-4))];
        for (of, spans) in [
            (range(int(3), int(7)), vec![range(int(3), int(5)), range(int(5), int(7))]),
            (range(int(4), int(5)), vec![range(int(4), int(5))]),
            (range(int(6), int(7)), vec![range(int(6), int(7))]),
            (range(int(5), None), vec![range(int(5), int(9)), range(int(9), None)]),
            (range(int(20), None), vec![range(int(20), None)]),
            (range(None, int(-4)), vec![range(None, int(-4))]),
        ] {
            let part = SpannedPart { marks: marks(), range: of, ..SpannedPart::default() };
            let all: Vec<_> =
                Spans::of(vec![part]).unwrap().all().iter().map(|span| span.range.clone()).collect();
            assert_eq!(all, spans);
        }
    }

    #[test]
    fn marks_of_no_part_are_refused() {
        let text = Some(Key::Text("a".to_owned()));
        let int = Some(Key::Int(1));
        assert_eq!(of(vec![mark(text), mark(int.clone())]).unwrap_err(), UnfitMarks::TwoKinds);
        let twice = of(vec![mark(int.clone()), mark(int)]).unwrap_err();
        assert_eq!(twice.to_string(), "two recorded key ranges end at the same key 1");
        assert_eq!(of(vec![mark(None), mark(None)]).unwrap_err(), UnfitMarks::TwoOpen);
    }
}
