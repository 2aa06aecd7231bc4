//! Every row of a range of keys: source against target, field by field.
//!
//! The source is read page by page. What the target holds up to the last key of a page (a *window*) is read next to it,
//! while the source's next page is on its way. Columns whose bytes are the same on both sides are equal; only where
//! bytes or keys differ are single values looked at. So memory holds a page of each side and one on its way, and a
//! difference costs one window and not the rest of the range.
//!
//! A server that was away answers short for a while, without an error. So a row that is not in an answer is asked for by
//! its key before it counts as missing or extra; if it is there, the answer was short, and is read again.

use vecferry_milvus::KeyRange;

use super::pages::Pages;
use super::step::{Follow, FullOutcome};
use super::window::{Compared, Layout, Patience, Window};
use crate::read::{PageSize, ReadError};

/// Size of a page that is aimed at: several ranges with three pages each are in memory at once.
pub(super) const PAGE_BYTES_TARGET: usize = 4 << 20;

/// Compares all rows of a range of keys of one partition, or of all where partitions can't be named.
pub(crate) async fn full(
    source: &impl Pages,
    target: &impl Pages,
    layout: Layout<'_>,
    partition: Option<&str>,
    range: KeyRange,
    follow: &impl Follow,
) -> Result<FullOutcome, ReadError> {
    full_in_pages((source, target), layout, partition, range, follow, PAGE_BYTES_TARGET).await
}

/// The same in pages of a size.
pub(super) async fn full_in_pages(
    (source, target): (&impl Pages, &impl Pages),
    layout: Layout<'_>,
    partition: Option<&str>,
    range: KeyRange,
    follow: &impl Follow,
    page_bytes: usize,
) -> Result<FullOutcome, ReadError> {
    let mut outcome = FullOutcome::default();
    let mut of_source = PageSize::new(layout.columns, page_bytes);
    let mut of_target = of_source.clone();
    let mut after = range.after.clone();
    let mut next = Some(source.page(partition, &range, &mut of_source).await?);
    let mut patience = Patience::new();
    while let Some(page) = next.take() {
        let last = page.keys.as_ref().map(|(_, last)| last.clone());
        // Behind the source's last row the target may still have some.
        let until = last.clone().or_else(|| range.until.clone());
        let window = Window { layout, partition, range: KeyRange { after, until: until.clone() }, page };
        let ahead = async {
            match &last {
                Some(last) if range.until.as_ref() != Some(last) => {
                    let rest = KeyRange { after: Some(last.clone()), until: range.until.clone() };
                    source.page(partition, &rest, &mut of_source).await.map(Some)
                }
                Some(_) | None => Ok(None),
            }
        };
        let compared = window.compare(source, target, &mut of_target, follow, &mut outcome, &mut patience);
        let (read, compared) = tokio::join!(ahead, compared);
        match compared? {
            Compared::Whole => {
                next = read?;
                after = until;
            }
            Compared::SourceWasShort { after: again } => {
                let rest = KeyRange { after: again.clone(), until: range.until.clone() };
                next = Some(source.page(partition, &rest, &mut of_source).await?);
                after = again;
            }
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;
    use proptest::prelude::*;
    use vecferry_milvus::Key;
    use vecferry_milvus::proto::common::Status;
    use vecferry_milvus::proto::milvus::QueryResults;
    use vecferry_milvus::proto::schema::{
        DataType, FieldData, JsonArray, LongArray, StringArray, scalar_field::Data,
    };
    use vecferry_milvus::schema::FieldSpec;
    use vecferry_milvus::wire::Page;
    use vecferry_milvus::wire::insert::{float_vectors, scalars};

    use vecferry_milvus::wire::row_digests::row_digests;

    use super::*;
    use crate::copy::Pool;
    use crate::read::DigestPage;
    use crate::verify::by_spans::{Cut, by_spans};
    use crate::verify::spans::{Digests, Mark};
    use crate::verify::step::{Differing, Step};

    /// Arrays around the object in each document.
    const LEVELS: usize = 130;

    /// A row: a text that may be null, a number inside of JSON, and the bits of a vector.
    type Row = (Option<String>, i64, u32);
    type Rows = BTreeMap<i64, Row>;

    /// A server that answers pages of any length, and encodes in ways of its own.
    struct Server {
        rows: Rows,
        repeated: BTreeSet<i64>,
        /// Writes JSON with spaces, null rows without placeholders, and columns in another order.
        is_other: bool,
        turn: Cell<u32>,
        limits: Vec<u32>,
        /// In these turns it answers only rows of even keys: a segment is not loaded yet.
        short: BTreeSet<u32>,
        /// Rows of all pages, and what these were asked for.
        rows_read: Cell<usize>,
        asked: RefCell<Vec<KeyRange>>,
    }

    fn spec(name: &str, data_type: DataType, dim: Option<u64>) -> FieldSpec {
        FieldSpec { name: name.into(), data_type, nullable: true, dim, ..FieldSpec::default() }
    }

    fn columns() -> Vec<FieldSpec> {
        vec![
            spec("id", DataType::Int64, None),
            spec("text", DataType::VarChar, None),
            spec("json", DataType::Json, None),
            spec("vector", DataType::FloatVector, Some(1)),
        ]
    }

    impl Server {
        fn new(rows: &Rows, is_other: bool, limits: Vec<u32>) -> Self {
            Self {
                rows: rows.clone(),
                repeated: BTreeSet::new(),
                is_other,
                turn: Cell::new(0),
                limits,
                short: BTreeSet::new(),
                rows_read: Cell::new(0),
                asked: RefCell::default(),
            }
        }

        fn encoded(&self, rows: &[(&i64, &Row)]) -> Bytes {
            let any_null = rows.iter().any(|(_, row)| row.0.is_none());
            let texts = rows.iter().filter(|(_, row)| row.0.is_some() || !self.is_other);
            let space = if self.is_other { " " } else { "" };
            // So deep that no plain parser reads it.
            let (open, close) = (format!("[{space}").repeat(LEVELS), "]".repeat(LEVELS));
            let json = |row: &Row| format!("{open}{{\"n\":{space}{}}}{close}", row.1).into_bytes().into();
            let mut fields = vec![
                scalars(
                    "id",
                    DataType::Int64,
                    Data::LongData(LongArray { data: rows.iter().map(|(key, _)| **key).collect() }),
                ),
                FieldData {
                    valid_data: if any_null {
                        rows.iter().map(|(_, row)| row.0.is_some()).collect()
                    } else {
                        Vec::new()
                    },
                    ..scalars(
                        "text",
                        DataType::VarChar,
                        Data::StringData(StringArray {
                            data: texts.map(|(_, row)| row.0.clone().unwrap_or_default()).collect(),
                        }),
                    )
                },
                scalars(
                    "json",
                    DataType::Json,
                    Data::JsonData(JsonArray { data: rows.iter().map(|(_, row)| json(row)).collect() }),
                ),
                float_vectors("vector", 1, rows.iter().map(|(_, row)| f32::from_bits(row.2)).collect()),
            ];
            if self.is_other {
                fields.rotate_left(self.turn.get() as usize % 4);
                fields.iter_mut().for_each(|field| field.field_id = 7);
            }
            let fields_data = if rows.is_empty() { Vec::new() } else { fields };
            let results = QueryResults { status: Some(Status::default()), fields_data, ..Default::default() };
            prost_bytes(&results)
        }
    }

    fn prost_bytes(results: &QueryResults) -> Bytes {
        use prost::Message;
        results.encode_to_vec().into()
    }

    impl Pages for Server {
        async fn page(
            &self,
            _partition: Option<&str>,
            range: &KeyRange,
            size: &mut PageSize,
        ) -> Result<Page, ReadError> {
            self.turn.set(self.turn.get() + 1);
            let limit = self.limits[self.turn.get() as usize % self.limits.len()].min(size.rows());
            let is_in = |key: &i64| {
                let key = Key::Int(*key);
                range.after.as_ref().is_none_or(|after| key > *after)
                    && range.until.as_ref().is_none_or(|until| key <= *until)
            };
            let mut rows: Vec<_> = self.rows.iter().filter(|(key, _)| is_in(key)).collect();
            let is_loaded = |(key, _): &(&i64, &Row)| **key % 2 == 0;
            // It is never empty where there are rows: these are counted before that is believed.
            if self.short.contains(&self.turn.get()) && rows.iter().any(is_loaded) {
                rows.retain(is_loaded);
            }
            rows.truncate(limit as usize);
            self.rows_read.set(self.rows_read.get() + rows.len());
            self.asked.borrow_mut().push(range.clone());
            Ok(Page::read(&self.encoded(&rows), "id", range.after.as_ref())?)
        }

        async fn present(&self, _: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
            let is_there = |key: &&Key| matches!(key, Key::Int(key) if self.rows.contains_key(key));
            Ok(keys.iter().filter(is_there).cloned().collect())
        }

        async fn unrepeated(&self, _: Option<&str>, mut keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
            keys.retain(|key| matches!(key, Key::Int(key) if !self.repeated.contains(key)));
            Ok(keys)
        }
    }

    impl Digests for Server {
        async fn digests(
            &self,
            partition: Option<&str>,
            range: &KeyRange,
            size: &mut PageSize,
        ) -> Result<DigestPage, ReadError> {
            let page = self.page(partition, range, size).await?;
            if page.rows == 0 {
                return Ok(DigestPage::default());
            }
            let digests = row_digests(&page, &columns()[1..])?;
            Ok(DigestPage { keys: page.all_keys("id")?, digests, bytes: page.bytes })
        }

        async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
            Pages::present(self, partition, keys).await
        }

        async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
            Pages::unrepeated(self, partition, keys).await
        }
    }

    /// Collects the steps, and that they follow each other without a gap.
    #[derive(Default)]
    struct Steps {
        all: RefCell<Differing>,
        last: RefCell<Option<Key>>,
    }

    impl Follow for Steps {
        async fn on_step(&self, step: &Step<'_>) -> Result<(), ReadError> {
            assert_eq!(self.last.replace(step.range.until.clone()), step.range.after);
            let mut all = self.all.borrow_mut();
            let found = step.differing.clone();
            all.missing.extend(found.missing);
            all.extra.extend(found.extra);
            all.changed.extend(found.changed);
            all.repeated.extend(found.repeated);
            Ok(())
        }
    }

    fn run(source: &Server, target: &Server, range: KeyRange) -> (FullOutcome, Differing) {
        compared(source, target, range, None)
    }

    /// Page by page, or in spans that end at some keys.
    fn compared(
        source: &Server,
        target: &Server,
        range: KeyRange,
        marks: Option<&BTreeMap<i64, u64>>,
    ) -> (FullOutcome, Differing) {
        let columns = columns();
        let set_aside = BTreeSet::new();
        let layout = Layout { key_field: "id", columns: &columns, set_aside: &set_aside };
        let steps = Steps { last: RefCell::new(range.after.clone()), ..Steps::default() };
        let until = range.until.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(async {
            let Some(marks) = marks else {
                return full(source, target, layout, Some("p"), range, &steps).await;
            };
            let mark =
                |(key, rows): (&i64, &u64)| Mark { until: Some(Key::Int(*key)), rows: *rows, equal: None };
            let marks: Vec<_> = marks.iter().map(mark).collect();
            let pool = Pool::new(1 << 20);
            let (budget, other) = (pool.budget(), pool.budget());
            // Another job holds its part all the time.
            let _theirs = other.take(other.fair_bytes()).await;
            let cut = Cut { marks: &marks, readers: 3, budget: &budget };
            by_spans(source, target, layout, Some("p"), range, cut, &steps).await
        });
        let outcome = outcome.unwrap();
        assert_eq!(*steps.last.borrow(), until, "the whole range was compared");
        (outcome, steps.all.into_inner())
    }

    fn expected(source: &Server, target: &Server) -> Differing {
        let mut differing = Differing::default();
        for (key, row) in &source.rows {
            let Some(other) = target.rows.get(key) else {
                differing.missing.push(Key::Int(*key));
                continue;
            };
            let fields =
                [("text", row.0 != other.0), ("json", row.1 != other.1), ("vector", row.2 != other.2)];
            let fields: Vec<_> =
                fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
            if fields.is_empty() {
                continue;
            }
            if source.repeated.contains(key) {
                differing.repeated.push(Key::Int(*key));
            } else {
                differing.changed.push((Key::Int(*key), fields));
            }
        }
        let extra = target.rows.keys().filter(|key| !source.rows.contains_key(key));
        differing.extra = extra.map(|key| Key::Int(*key)).collect();
        differing
    }

    /// Keys close together, so that edits meet, and the ends of all keys.
    fn key() -> impl Strategy<Value = i64> {
        prop_oneof![8 => -40..60_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
    }

    fn row() -> impl Strategy<Value = Row> {
        (proptest::option::of("[ab]{0,2}"), 0..4_i64, 0..4_u32)
    }

    proptest! {
        #[test]
        fn random_edits_are_found_exactly(
            rows in proptest::collection::btree_map(key(), row(), 0..80),
            edits in proptest::collection::btree_map(key(), proptest::option::of(row()), 0..12),
            repeated in proptest::collection::btree_set(key(), 0..20),
            limits in proptest::collection::vec(1..40_u32, 2..6),
            is_other in any::<bool>(),
            short in proptest::collection::btree_set(0..12_u32, 0..4),
            bounds in proptest::collection::btree_set(key(), 0..4),
            marks in proptest::option::of(proptest::collection::btree_map(key(), 0..30_u64, 0..20)),
        ) {
            let mut source = Server::new(&rows, false, limits.clone());
            source.repeated = repeated;
            source.short = short.iter().map(|turn| turn + 3).collect();
            let mut edited = rows;
            for (key, edit) in edits {
                match edit {
                    Some(row) => edited.insert(key, row),
                    None => edited.remove(&key),
                };
            }
            let mut target = Server::new(&edited, is_other, limits.into_iter().rev().collect());
            target.short = short;
            // In several ranges, as a resumed or divided comparison does it.
            let (mut outcome, mut found, mut after) = (FullOutcome::default(), Differing::default(), None);
            for until in bounds.into_iter().map(|bound| Some(Key::Int(bound))).chain([None]) {
                let range = KeyRange { after, until: until.clone() };
                let (of_range, differing) = compared(&source, &target, range, marks.as_ref());
                outcome.add(of_range);
                found.missing.extend(differing.missing);
                found.extra.extend(differing.extra);
                found.changed.extend(differing.changed);
                found.repeated.extend(differing.repeated);
                after = until;
            }
            let both = source.rows.keys().filter(|key| target.rows.contains_key(key)).count() as u64;
            let expected = expected(&source, &target);
            if !target.short.is_empty() {
                // A short answer hides rows, which the counts show, and never makes up a difference.
                prop_assert!(found.missing.iter().all(|key| expected.missing.contains(key)));
                prop_assert!(found.extra.iter().all(|key| expected.extra.contains(key)));
                prop_assert!(found.changed.iter().all(|row| expected.changed.contains(row)));
                prop_assert!(found.repeated.iter().all(|key| expected.repeated.contains(key)));
                prop_assert!(outcome.rows_compared <= both);
                return Ok(());
            }
            prop_assert_eq!(outcome.rows_compared, both);
            prop_assert_eq!(outcome.source_rows, source.rows.len() as u64);
            prop_assert_eq!(outcome.target_rows, target.rows.len() as u64);
            prop_assert_eq!(outcome.findings.missing.rows, found.missing.len() as u64);
            prop_assert_eq!(outcome.findings.changed.rows, found.changed.len() as u64);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn only_a_span_that_differs_is_read_again() {
        let rows: Rows = (0..100).map(|key| (key, (None, key, 0))).collect();
        let marks: BTreeMap<_, _> = (1..10).map(|mark| (mark * 10 - 1, 10)).collect();
        let source = Server::new(&rows, false, vec![1000]);
        let mut target = Server::new(&rows, true, vec![1000]);
        let (outcome, found) = compared(&source, &target, KeyRange::default(), Some(&marks));
        assert_eq!((outcome.rows_compared, outcome.source_rows, outcome.target_rows), (100, 100, 100));
        assert_eq!(found, Differing::default());
        for server in [&source, &target] {
            assert_eq!(server.rows_read.get(), 100);
            let asked = server.asked.borrow();
            let both_bounds = |range: &&KeyRange| range.after.is_some() && range.until.is_some();
            // The first one has no beginning, the last one no end, and behind its last row is a second page.
            assert_eq!((asked.len(), asked.iter().filter(both_bounds).count()), (11, 8), "{asked:?}");
        }
        // One bit of a vector, a row that is missing and one that is too much, in the middle of spans.
        target.rows.get_mut(&55).unwrap().2 = 1;
        target.rows.remove(&74);
        target.rows.insert(1000, (None, 7, 0));
        source.rows_read.set(0);
        let (outcome, found) = compared(&source, &target, KeyRange::default(), Some(&marks));
        assert_eq!((outcome.rows_compared, outcome.source_rows, outcome.target_rows), (99, 100, 100));
        let expected = Differing {
            missing: vec![Key::Int(74)],
            extra: vec![Key::Int(1000)],
            changed: vec![(Key::Int(55), vec!["vector".to_owned()])],
            repeated: Vec::new(),
        };
        assert_eq!((found, source.rows_read.get()), (expected, 130));
    }

    #[test]
    fn the_first_hundred_are_named_and_all_are_counted() {
        let rows: Rows = (0..1000).map(|key| (key, (None, key, 0))).collect();
        let (outcome, found) = run(
            &Server::new(&rows, false, vec![70, 30]),
            &Server::new(&Rows::new(), true, vec![9]),
            KeyRange::default(),
        );
        assert_eq!(outcome.findings.missing.rows, 1000);
        assert_eq!(found.missing.len(), 1000);
        let named: Vec<_> = outcome.findings.missing.first.iter().map(|row| row.key.clone()).collect();
        assert_eq!(named, (0..100).map(Key::Int).collect::<Vec<_>>());
        let json = serde_json::to_value(&outcome.findings.missing.first[7]).unwrap();
        assert_eq!(json, serde_json::json!({"partition": "p", "key": "7"}));
    }
}
