//! One look at ranges of all parts: each difference is told, repaired if that is wanted, and recorded.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::KeyRange;

use super::parts::PartOf;
use super::ranges::Todo;
use super::{Pair, RANGES_PARALLEL};
use crate::event::Event;
use crate::read::ReadError;
use crate::verify::{Cut, Follow, FullOutcome, Half, Layout, Repair, Step, by_spans, full};

/// How often it is recorded how far a range is compared.
const RECORD_INTERVAL: Duration = Duration::from_millis(500);

/// The smallest range that holds all differences.
#[derive(Clone, Debug, Default)]
struct Hull(Option<KeyRange>);

impl Hull {
    fn extend(&mut self, range: &KeyRange) {
        self.0 = Some(match self.0.take() {
            None => range.clone(),
            // An open bound stays open.
            Some(hull) => KeyRange {
                after: hull.after.zip(range.after.clone()).map(|(one, other)| one.min(other)),
                until: hull.until.zip(range.until.clone()).map(|(one, other)| one.max(other)),
            },
        });
    }
}

/// One look at all parts.
pub(super) struct Pass<'a> {
    pair: &'a Pair<'a>,
    repair: Option<&'a Repair<'a>>,
    /// Rows of the source that are compared in all, for the progress; `None` for a second look.
    rows_total: Option<u64>,
    /// Ranges that are compared at the same time.
    ranges: usize,
    hull: Mutex<Hull>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(pair: &'a Pair<'a>, repair: Option<&'a Repair<'a>>, rows_total: Option<u64>) -> Self {
        Self { pair, repair, rows_total, ranges: RANGES_PARALLEL, hull: Mutex::default() }
    }

    /// Where there are few ranges, each is read by several queries at the same time.
    pub(super) fn of_ranges(mut self, ranges: &[Todo]) -> Self {
        let open = ranges.iter().filter(|todo| !todo.is_done).count();
        self.ranges = open.clamp(1, RANGES_PARALLEL);
        self
    }

    /// Takes a range to hold differences.
    pub(super) fn differs(&self, range: &KeyRange) {
        self.hull.lock().unwrap_or_else(PoisonError::into_inner).extend(range);
    }

    /// The smallest range that holds all differences; none if there are none.
    pub(super) fn differing(self) -> Option<KeyRange> {
        self.hull.into_inner().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Compares one range of one part.
    async fn compare(&self, todo: Todo) -> Result<FullOutcome, ReadError> {
        if todo.is_done {
            return Ok(todo.known);
        }
        let (part, comparison_id) = (&self.pair.parts[todo.part], todo.comparison_id);
        let known = tokio::sync::Mutex::new((todo.known.clone(), Instant::now()));
        let follow = PartPass { pass: self, part, comparison_id, known };
        let mut outcome = todo.known;
        let (source, target) = (&self.pair.source, &self.pair.target);
        let set_aside = &self.pair.set_aside;
        let layout = Layout { key_field: &source.key_field, columns: &source.columns, set_aside };
        let ahead = self.pair.cuts.as_ref().map(|cuts| &cuts.ahead);
        let of_source = Half { reader: source, exists: part.in_source, ahead };
        let of_target = Half { reader: target, exists: part.in_target, ahead: None };
        let partition = part.partition.as_deref();
        outcome.add(match &self.pair.cuts {
            Some(cuts) => {
                let marks = cuts.within(partition, &todo.range);
                let readers = RANGES_PARALLEL.div_ceil(self.ranges);
                let cut = Cut { marks, readers, budget: &cuts.budget };
                let compared = by_spans(&of_source, &of_target, layout, partition, todo.range, cut, &follow);
                Box::pin(compared).await?
            }
            None => Box::pin(full(&of_source, &of_target, layout, partition, todo.range, &follow)).await?,
        });
        if let (Some(memory), Some(id)) = (&self.pair.memory, comparison_id) {
            memory.advance(id, None, &outcome).await?;
        }
        Ok(outcome)
    }

    /// Compares some ranges, several at once. Returns what each came to.
    pub(super) async fn compare_all(
        &self,
        ranges: Vec<Todo>,
    ) -> Result<Vec<(usize, FullOutcome)>, ReadError> {
        let compare = |todo: Todo| async move { Ok((todo.part, self.compare(todo).await?)) };
        let compared: Vec<_> = ranges.into_iter().map(compare).collect();
        stream::iter(compared).buffered(RANGES_PARALLEL).try_collect().await
    }
}

struct PartPass<'a> {
    pass: &'a Pass<'a>,
    part: &'a PartOf,
    comparison_id: Option<i64>,
    /// What is known by now, and when that was recorded.
    known: tokio::sync::Mutex<(FullOutcome, Instant)>,
}

impl PartPass<'_> {
    /// Records how far it is, now and then.
    async fn remember(&self, step: &Step<'_>) -> Result<(), ReadError> {
        let (Some(memory), Some(id)) = (&self.pass.pair.memory, self.comparison_id) else { return Ok(()) };
        let mut known = self.known.lock().await;
        known.0.take(step);
        if let Some(cursor) = &step.range.until
            && known.1.elapsed() >= RECORD_INTERVAL
        {
            memory.advance(id, Some(cursor), &known.0).await?;
            known.1 = Instant::now();
        }
        Ok(())
    }
}

impl Follow for PartPass<'_> {
    async fn on_step(&self, step: &Step<'_>) -> Result<(), ReadError> {
        // A second look at some rows is no progress.
        if let Some(rows_total) = self.pass.rows_total {
            let (collection, rows, bytes) = (self.pass.pair.name.clone(), step.rows_compared, step.bytes);
            self.pass.pair.observer.on_event(Event::Compared { collection, rows, bytes, rows_total });
        }
        self.remember(step).await?;
        let found = &step.differing;
        if found.missing.is_empty() && found.extra.is_empty() && found.changed.is_empty() {
            return Ok(());
        }
        tracing::debug!(partition = step.partition, range = ?step.range, "rows differ");
        self.pass.differs(&step.range);
        let Some(repair) = self.pass.repair else { return Ok(()) };
        let mended = repair.mend(step.partition, self.part.in_source, found).await;
        mended.map_err(|error| ReadError::Repair(Box::new(error)))
    }
}
