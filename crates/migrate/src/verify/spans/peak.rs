//! What is in memory at once, of a collection that is cut into very many spans.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use vecferry_milvus::proto::schema::DataType;
use vecferry_milvus::schema::FieldSpec;

use super::bounds::{Mark, SpannedPart};
use super::*;
use crate::copy::Pool;
use crate::verify::read_ahead::ReadAhead;

const SPANS: i64 = 200_000;
const ROWS_A_SPAN: i64 = 2;
const ROW_BYTES: usize = 4096;
const POOL_BYTES: usize = 16 << 20;

/// Holds each key from 1 on; every other answer comes later.
struct Numbers {
    pool: Arc<Pool>,
    asked: Cell<usize>,
    under_way: Cell<usize>,
    under_way_max: Cell<usize>,
    taken_max: Cell<usize>,
    waiting_max: Cell<usize>,
}

impl Numbers {
    fn new(pool: &Arc<Pool>) -> Self {
        let none = || Cell::new(0);
        Self {
            pool: Arc::clone(pool),
            asked: none(),
            under_way: none(),
            under_way_max: none(),
            taken_max: none(),
            waiting_max: none(),
        }
    }
}

impl Digests for Numbers {
    async fn digests(
        &self,
        _: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError> {
        let number = |key: &Option<Key>, otherwise| match key {
            Some(Key::Int(key)) => *key,
            Some(Key::Text(_)) | None => otherwise,
        };
        let most = |seen: &Cell<usize>, now: usize| seen.set(seen.get().max(now));
        self.under_way.set(self.under_way.get() + 1);
        most(&self.under_way_max, self.under_way.get());
        if self.asked.get() % 2 == 1 {
            tokio::task::yield_now().await;
        }
        self.asked.set(self.asked.get() + 1);
        self.under_way.set(self.under_way.get() - 1);
        let (taken, waiting) = self.pool.used();
        most(&self.taken_max, taken);
        most(&self.waiting_max, waiting);
        let (after, until) = (number(&range.after, 0), number(&range.until, SPANS * ROWS_A_SPAN));
        let keys: Vec<_> = (after + 1..=until).take(size.rows() as usize).map(Key::Int).collect();
        size.came(keys.len(), keys.len() * ROW_BYTES);
        let digests = keys.iter().map(|_| 7).collect();
        Ok(DigestPage { bytes: keys.len() * ROW_BYTES, digests, keys })
    }

    async fn present(&self, _: Option<&str>, _: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        Ok(BTreeSet::new())
    }

    async fn unrepeated(&self, _: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        Ok(keys)
    }
}

struct Nobody;

impl FollowSpans for Nobody {
    async fn on_found(&self, _: &SpanFound<'_>) -> Result<(), ReadError> {
        Ok(())
    }

    async fn on_span(&self, _: &SpanResult<'_>) -> Result<(), ReadError> {
        Ok(())
    }

    async fn on_marks(&self, _: &Marked<'_>) -> Result<(), ReadError> {
        Ok(())
    }
}

fn marks() -> Vec<Mark> {
    let until = (1..=SPANS).map(|at| Some(Key::Int(at * ROWS_A_SPAN)));
    until.map(|until| Mark { until, rows: ROWS_A_SPAN.unsigned_abs(), equal: None }).collect()
}

fn columns() -> [FieldSpec; 1] {
    [FieldSpec { name: "text".to_owned(), data_type: DataType::VarChar, ..FieldSpec::default() }]
}

#[tokio::test]
async fn a_comparison_holds_a_few_of_very_many_spans() {
    let pool = Pool::new(POOL_BYTES);
    let (source, target) = (Numbers::new(&pool), Numbers::new(&pool));
    let part = SpannedPart { in_source: true, in_target: true, marks: marks(), ..SpannedPart::default() };
    let (columns, set_aside, tuning) = (columns(), BTreeSet::new(), SpanTuning::default());
    let comparison = SpanComparison {
        layout: Layout { key_field: "id", columns: &columns, set_aside: &set_aside },
        spans: &Spans::of(vec![part]).unwrap(),
        writers: Writers::Stopped,
        differing: Differing::Told,
        tuning: &tuning,
        budget: &pool.budget(),
    };
    let outcome = comparison.compare(&source, &target, &Nobody).await.unwrap();
    let rows = SPANS.unsigned_abs() * ROWS_A_SPAN.unsigned_abs();
    assert_eq!((outcome.rows.both, outcome.spans), (rows, SPANS.unsigned_abs() + 1));
    for side in [&source, &target] {
        assert!(side.under_way_max.get() <= READERS, "{}", side.under_way_max.get());
        assert!(side.taken_max.get() <= POOL_BYTES, "{}", side.taken_max.get());
        // Measured after the answer of another page: what was read is no more than was asked for.
        assert!((1..=POOL_BYTES / 4).contains(&side.waiting_max.get()), "{}", side.waiting_max.get());
    }
    assert_eq!(pool.used(), (0, 0));
}

#[tokio::test]
async fn what_is_read_ahead_is_begun_span_by_span_and_ends_where_memory_does() {
    let pool = Pool::new(POOL_BYTES);
    let (source, ahead, marks) = (Numbers::new(&pool), ReadAhead::default(), marks());
    ahead.fill(&source, &columns(), &[(None, &marks)], &pool.budget()).await;
    assert!(source.under_way_max.get() <= READERS, "{}", source.under_way_max.get());
    // Each takes a unit of a quarter of the pool.
    let room = POOL_BYTES / 4 / 4096;
    assert!((room..=room + READERS).contains(&source.asked.get()), "{}", source.asked.get());
    let first = KeyRange { after: None, until: Some(Key::Int(ROWS_A_SPAN)) };
    assert!(ahead.take(None, &first).is_some());
}
