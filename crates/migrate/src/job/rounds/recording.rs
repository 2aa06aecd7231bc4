//! What a comparison by spans says of a collection's marks, recorded while it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use vecferry_milvus::{Key, KeyRange};
use vecferry_store::{Attempt, EqualSpan, Mark as RecordedMark, Position, Store};

use crate::read::{ReadError, key_of, key_text};
use crate::verify::mend::{MendError, ToMend};
use crate::verify::spans::{FollowSpans, Mark, Marked, SpanFound, SpanResult};

/// Where the marks of a collection are recorded.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) attempt: &'a Attempt,
    pub(super) position: Position,
    /// The round that is open.
    pub(super) round: u64,
}

/// Marks by partition.
pub(super) type MarksOf = BTreeMap<Option<String>, Vec<Mark>>;

impl Marks<'_> {
    /// What is recorded. Spans are equal that this round has found to be.
    pub(super) async fn read(&self) -> Result<MarksOf, MendError> {
        let mut marks = MarksOf::new();
        for recorded in self.store.marks(self.attempt.job_id(), self.position).await? {
            let RecordedMark { partition, until, rows, equal } = recorded;
            let until = until.as_deref().map(key_of).transpose()?;
            let equal = equal.filter(|(round, _)| *round == self.round).map(|(_, rows)| rows);
            marks.entry(partition).or_default().push(Mark { until, rows, equal });
        }
        Ok(marks)
    }
}

/// More marks of a collection, or more bytes of their keys, are joined: each of them is in memory several times.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarksMax {
    pub(super) marks: usize,
    pub(super) key_bytes: usize,
}

impl Default for MarksMax {
    fn default() -> Self {
        Self { marks: 65_536, key_bytes: 16 << 20 }
    }
}

/// Marks that are changed together.
const JOINED_TOGETHER: usize = 4096;

impl MarksMax {
    fn are_exceeded(self, marks: &MarksOf) -> bool {
        let all = || marks.values().flatten();
        let key_bytes = |mark: &Mark| match &mark.until {
            Some(Key::Text(text)) => text.len(),
            Some(Key::Int(_)) | None => 0,
        };
        all().count() > self.marks || all().map(key_bytes).sum::<usize>() > self.key_bytes
    }
}

impl Marks<'_> {
    /// Joins neighbours in pairs until there are no more marks than are kept.
    pub(super) async fn join_if_many(&self, most: MarksMax) -> Result<(), MendError> {
        let mut marks = self.read().await?;
        while most.are_exceeded(&marks) {
            let mut are_fewer = false;
            for (partition, marks) in &mut marks {
                are_fewer |= marks.len() > 1;
                self.join(partition.as_ref(), marks).await?;
            }
            if !are_fewer {
                break;
            }
        }
        Ok(())
    }

    async fn join(&self, partition: Option<&String>, marks: &mut Vec<Mark>) -> Result<(), MendError> {
        // Without a key is behind every key.
        marks.sort_by(|one, other| {
            let place = |mark: &Mark| (mark.until.is_none(), mark.until.clone());
            place(one).cmp(&place(other))
        });
        let mut joined = Vec::with_capacity(marks.len().div_ceil(2));
        for some in marks.chunks(JOINED_TOGETHER) {
            let (mut removed, mut set) = (Vec::new(), Vec::new());
            for pair in some.chunks(2) {
                let [first, second] = pair else {
                    joined.extend_from_slice(pair);
                    continue;
                };
                removed.push(first.until.as_ref().map(key_text));
                let equal = first.equal.zip(second.equal).map(|(one, other)| one + other);
                let mark = Mark { until: second.until.clone(), rows: first.rows + second.rows, equal };
                set.push(RecordedMark {
                    partition: partition.cloned(),
                    until: mark.until.as_ref().map(key_text),
                    rows: mark.rows,
                    equal: mark.equal.map(|rows| (self.round, rows)),
                });
                joined.push(mark);
            }
            let Marks { store, attempt, position, .. } = *self;
            store.set_marks(attempt, position, partition.cloned(), removed, set).await?;
        }
        *marks = joined;
        Ok(())
    }
}

/// The ends of a part's spans. Without a key it is the end of everything, which lies behind all others.
#[derive(Debug, Default)]
struct Ends {
    keys: BTreeSet<Key>,
    has_last: bool,
}

impl Ends {
    fn take(&mut self, range: &KeyRange) -> Vec<Option<Key>> {
        let is_in = |key: &Key| {
            range.after.as_ref().is_none_or(|after| key > after)
                && range.until.as_ref().is_none_or(|until| key <= until)
        };
        let (inside, outside) = std::mem::take(&mut self.keys).into_iter().partition(is_in);
        self.keys = outside;
        let inside: BTreeSet<Key> = inside;
        let mut taken: Vec<_> = inside.into_iter().map(Some).collect();
        if self.has_last && range.until.is_none() {
            self.has_last = false;
            taken.push(None);
        }
        taken
    }
}

/// Spans that differ, by partition, with the rows that the source has.
#[derive(Debug, Default)]
struct Differing {
    spans: Vec<EqualSpan>,
    /// Those that are not equal once they are mended, or not for certain.
    not_mended: Vec<(Option<String>, KeyRange)>,
}

/// Passes what a comparison finds to the mender, and what it says of spans to the record.
pub(super) struct Recorder<'a> {
    marks: Marks<'a>,
    to_mend: ToMend,
    ends: tokio::sync::Mutex<BTreeMap<Option<String>, Ends>>,
    differing: Mutex<Differing>,
    progress: &'a (dyn Fn(u64, u64) + Send + Sync),
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        marks: Marks<'a>,
        known: &MarksOf,
        to_mend: ToMend,
        progress: &'a (dyn Fn(u64, u64) + Send + Sync),
    ) -> Self {
        let ends = known.iter().map(|(partition, marks)| {
            let keys = marks.iter().filter_map(|mark| mark.until.clone()).collect();
            let has_last = marks.iter().any(|mark| mark.until.is_none());
            (partition.clone(), Ends { keys, has_last })
        });
        let (ends, differing) = (tokio::sync::Mutex::new(ends.collect()), Mutex::default());
        Self { marks, to_mend, ends, differing, progress }
    }

    /// The spans that are equal when everything was mended.
    pub(super) fn into_mended(self) -> Vec<EqualSpan> {
        let Differing { mut spans, not_mended } =
            self.differing.into_inner().unwrap_or_else(PoisonError::into_inner);
        spans.retain(|span| {
            let until = span.until.as_deref().and_then(|text| key_of(text).ok());
            !not_mended
                .iter()
                .any(|(partition, range)| *partition == span.partition && is_within(until.as_ref(), range))
        });
        spans
    }

    fn differing(&self, change: impl FnOnce(&mut Differing)) {
        change(&mut self.differing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whether a span that ends there is a part of a range.
pub(super) fn is_within(until: Option<&Key>, range: &KeyRange) -> bool {
    match (until, &range.until) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(until), last) => {
            range.after.as_ref().is_none_or(|after| until > after)
                && last.as_ref().is_none_or(|last| until <= last)
        }
    }
}

impl FollowSpans for Recorder<'_> {
    async fn on_found(&self, found: &SpanFound<'_>) -> Result<(), ReadError> {
        self.to_mend.found(found).await
    }

    async fn on_span(&self, span: &SpanResult<'_>) -> Result<(), ReadError> {
        let rows = &span.rows;
        (self.progress)(rows.source, span.source_bytes);
        if rows.moved + rows.repeated + rows.set_aside > 0 {
            let range = (span.partition.map(str::to_owned), span.range.clone());
            self.differing(|differing| differing.not_mended.push(range));
        }
        Ok(())
    }

    async fn on_marks(&self, marked: &Marked<'_>) -> Result<(), ReadError> {
        let partition = marked.partition.map(str::to_owned);
        let Marks { store, attempt, position, round } = self.marks;
        let new: Vec<_> = marked.marks.iter().map(|mark| mark.until.clone()).collect();
        let recorded = marked.marks.iter().map(|mark| RecordedMark {
            partition: partition.clone(),
            until: mark.until.as_ref().map(key_text),
            rows: mark.rows,
            equal: mark.is_equal.then_some((round, mark.rows)),
        });
        let recorded: Vec<_> = recorded.collect();
        let differing = marked.marks.iter().zip(&recorded).filter(|(mark, _)| !mark.is_equal);
        let differing: Vec<_> = differing
            .map(|(_, mark)| EqualSpan {
                partition: partition.clone(),
                until: mark.until.clone(),
                rows: mark.rows,
            })
            .collect();
        self.differing(|all| all.spans.extend(differing));
        let mut ends = self.ends.lock().await;
        let ends = ends.entry(partition.clone()).or_default();
        let mut removed = ends.take(marked.range);
        removed.retain(|end| !new.contains(end));
        ends.keys.extend(new.iter().flatten().cloned());
        ends.has_last |= new.contains(&None);
        let removed = removed.into_iter().map(|end| end.as_ref().map(key_text)).collect();
        let mut recorded = recorded;
        // What lies before the range is another span from now on, and nothing is known of it.
        if let Some(after) = marked.range.after.as_ref().filter(|after| !ends.keys.contains(after)) {
            ends.keys.insert(after.clone());
            let until = Some(key_text(after));
            recorded.push(RecordedMark { partition: partition.clone(), until, rows: 0, equal: None });
        }
        Ok(store.set_marks(attempt, position, partition, removed, recorded).await?)
    }
}
