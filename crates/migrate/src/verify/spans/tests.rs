use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::rc::Rc;

use proptest::prelude::*;
use tokio::sync::Notify;
use vecferry_milvus::proto::schema::DataType;
use vecferry_milvus::schema::FieldSpec;

use super::bounds::{Mark, Span, SpannedPart};
use super::marking::NewMark;
use super::merging::{PartRows, SpanRows};
use super::*;
use crate::copy::Pool;

type Rows = BTreeMap<Key, u128>;

/// A server that answers pages of any length.
#[derive(Default)]
struct Server {
    /// By partition.
    rows: BTreeMap<Option<String>, Rows>,
    /// Keys of several rows: any of them is answered.
    repeated: BTreeSet<Key>,
    /// Digest of the first of these rows.
    copies: u128,
    limits: Vec<u32>,
    turn: Cell<u32>,
    /// In these turns it answers only every other row: a segment is not loaded yet.
    short: BTreeSet<u32>,
    /// It answers rows from behind the bound.
    is_unbounded: bool,
    /// Pages that were asked for, and those that are under way now.
    asked: Cell<usize>,
    under_way: Cell<usize>,
    under_way_max: Cell<usize>,
    /// Larger ones than the usual.
    row_bytes: Option<usize>,
    /// Pages that were too large.
    refused: Cell<usize>,
    /// Nothing is answered before.
    gate: Option<Rc<Notify>>,
}

impl Server {
    fn rows(&self, partition: Option<&str>) -> Rows {
        self.rows.get(&partition.map(str::to_owned)).cloned().unwrap_or_default()
    }
}

impl Digests for Server {
    async fn digests(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<DigestPage, ReadError> {
        self.asked.set(self.asked.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        self.under_way_max.set(self.under_way_max.get().max(self.under_way.get()));
        if let Some(gate) = &self.gate {
            gate.notified().await;
            gate.notify_one();
        }
        // Others go on meanwhile.
        tokio::task::yield_now().await;
        self.under_way.set(self.under_way.get() - 1);
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        let until = range.until.as_ref().filter(|_| !self.is_unbounded);
        let is_in = |key: &Key| {
            range.after.as_ref().is_none_or(|after| key > after) && until.is_none_or(|until| key <= until)
        };
        let limit = self.limits.get(turn as usize % self.limits.len().max(1)).copied().unwrap_or(u32::MAX);
        let mut rows: Vec<_> = self.rows(partition).into_iter().filter(|(key, _)| is_in(key)).collect();
        if self.short.contains(&turn) {
            let mut is_there = false;
            rows.retain(|_| {
                is_there = !is_there;
                is_there
            });
        }
        let row_bytes = self.row_bytes.unwrap_or(ROW_BYTES);
        while rows.len().min(size.rows() as usize) * row_bytes > 16 << 20 && size.refused() {
            self.refused.set(self.refused.get() + 1);
        }
        rows.truncate(limit.min(size.rows()) as usize);
        let copy = self.copies + u128::from(turn % 2);
        let any = |key: &Key, digest| if self.repeated.contains(key) { copy } else { digest };
        Ok(DigestPage {
            bytes: rows.len() * row_bytes,
            digests: rows.iter().map(|(key, digest)| any(key, *digest)).collect(),
            keys: rows.into_iter().map(|(key, _)| key).collect(),
        })
    }

    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        let rows = self.rows(partition);
        Ok(keys.iter().filter(|key| rows.contains_key(key)).cloned().collect())
    }

    async fn unrepeated(&self, _: Option<&str>, mut keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        keys.retain(|key| !self.repeated.contains(key));
        Ok(keys)
    }
}

const ROW_BYTES: usize = 1000;
const SPAN_ROWS: usize = 8;

/// What was found of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    missing: BTreeSet<Key>,
    extra: BTreeSet<Key>,
    changed: BTreeSet<Key>,
    repeated: BTreeSet<Key>,
    moved: BTreeSet<Key>,
}

/// A span that was told of.
#[derive(Debug)]
struct ToldSpan {
    partition: Option<String>,
    range: KeyRange,
    rows: SpanRows,
    bytes: u64,
    is_equal: bool,
    is_known: bool,
}

/// Bounds that were told.
struct ToldMarks {
    partition: Option<String>,
    range: KeyRange,
    marks: Vec<NewMark>,
    is_new: bool,
}

/// Collects what is told, and that it follows without a gap.
#[derive(Default)]
struct Told {
    found: RefCell<BTreeMap<Option<String>, Found>>,
    spans: RefCell<Vec<ToldSpan>>,
    marks: RefCell<Vec<ToldMarks>>,
}

fn owned(partition: Option<&str>) -> Option<String> {
    partition.map(str::to_owned)
}

impl FollowSpans for Told {
    async fn on_found(&self, found: &SpanFound<'_>) -> Result<(), ReadError> {
        let mut all = self.found.borrow_mut();
        let known = all.entry(owned(found.partition)).or_default();
        let is_in = |key: &Key| {
            found.range.after.as_ref().is_none_or(|after| key > after)
                && found.range.until.as_ref().is_none_or(|until| key <= until)
        };
        for (keys, into) in [
            (&found.missing, &mut known.missing),
            (&found.extra, &mut known.extra),
            (&found.changed, &mut known.changed),
            (&found.repeated, &mut known.repeated),
            (&found.moved, &mut known.moved),
        ] {
            assert!(keys.iter().all(is_in), "{found:?}");
            keys.iter().for_each(|key| assert!(into.insert(key.clone()), "told twice: {key}"));
        }
        Ok(())
    }

    async fn on_span(&self, span: &SpanResult<'_>) -> Result<(), ReadError> {
        let SpanResult { partition, range, rows, bytes, source_bytes: _, is_equal, is_known } = span.clone();
        let (partition, range) = (owned(partition), range.clone());
        self.spans.borrow_mut().push(ToldSpan { partition, range, rows, bytes, is_equal, is_known });
        Ok(())
    }

    async fn on_marks(&self, marked: &Marked<'_>) -> Result<(), ReadError> {
        let (partition, range) = (owned(marked.partition), marked.range.clone());
        let marks = marked.marks.to_vec();
        self.marks.borrow_mut().push(ToldMarks { partition, range, marks, is_new: marked.is_new });
        Ok(())
    }
}

fn columns() -> Vec<FieldSpec> {
    vec![FieldSpec { name: "text".to_owned(), data_type: DataType::VarChar, ..FieldSpec::default() }]
}

fn tuning() -> SpanTuning {
    SpanTuning { span_bytes: SPAN_ROWS * ROW_BYTES, readers: 3, piece_rows_max: 2 * SPAN_ROWS }
}

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

async fn compare(
    servers: (&Server, &Server),
    parts: Vec<SpannedPart>,
    writers: Writers,
    told: &Told,
) -> Result<SpansOutcome, ReadError> {
    // Less than what all readers want at once.
    let budget = Pool::new(3 * SPAN_ROWS * ROW_BYTES).budget();
    compare_with(servers, parts, writers, told, (&tuning(), &budget)).await
}

/// With memory for everything.
async fn compare_amply(
    servers: (&Server, &Server),
    parts: Vec<SpannedPart>,
    told: &Told,
) -> Result<SpansOutcome, ReadError> {
    let budget = Pool::new(100 * SPAN_ROWS * ROW_BYTES).budget();
    compare_with(servers, parts, Writers::Stopped, told, (&tuning(), &budget)).await
}

async fn compare_with(
    (source, target): (&Server, &Server),
    parts: Vec<SpannedPart>,
    writers: Writers,
    told: &Told,
    (tuning, budget): (&SpanTuning, &Budget),
) -> Result<SpansOutcome, ReadError> {
    let columns = columns();
    let set_aside =
        BTreeSet::from([(None, Key::Int(SET_ASIDE)), (Some("p".to_owned()), Key::Int(SET_ASIDE))]);
    let layout = Layout { key_field: "id", columns: &columns, set_aside: &set_aside };
    let spans = Spans::of(parts).unwrap();
    let comparison =
        SpanComparison { layout, spans: &spans, writers, differing: Differing::Told, tuning, budget };
    comparison.compare(source, target, told).await
}

/// A key whose row the target refused.
const SET_ASIDE: i64 = 13;

fn expected(source: &Server, target: &Server, partition: Option<&str>) -> Found {
    let mut found = Found::default();
    let (mine, theirs) = (source.rows(partition), target.rows(partition));
    for (key, digest) in &mine {
        let into = match theirs.get(key) {
            None if *key == Key::Int(SET_ASIDE) => continue,
            None => &mut found.missing,
            Some(_) if source.repeated.contains(key) => &mut found.repeated,
            // One of several rows: whatever is answered, it is not the source's.
            Some(other) if other != digest || target.repeated.contains(key) => &mut found.changed,
            Some(_) => continue,
        };
        into.insert(key.clone());
    }
    found.extra = theirs.into_keys().filter(|key| !mine.contains_key(key)).collect();
    found
}

/// Keys close together, so that edits meet, and the ends of all keys.
fn number() -> impl Strategy<Value = Key> {
    prop_oneof![8 => -40..60_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)].prop_map(Key::Int)
}

/// Texts of any characters, the empty one among them.
fn text() -> impl Strategy<Value = Key> {
    prop_oneof![4 => "[a-c]{0,3}", 1 => "[\\x00\"\\\\\u{20}𠮷渡]{0,3}"].prop_map(Key::Text)
}

#[derive(Debug)]
struct Case {
    rows: Rows,
    edits: BTreeMap<Key, Option<u128>>,
    repeated: BTreeSet<Key>,
    repeated_on_target: BTreeSet<Key>,
    /// Bounds with rows, and whether the span is known to be equal.
    marks: BTreeMap<Key, (u64, bool)>,
    limits: Vec<u32>,
    short: BTreeSet<u32>,
    source_is_short: bool,
}

fn case(key: fn() -> BoxedStrategy<Key>) -> impl Strategy<Value = Case> {
    use proptest::collection::{btree_map, btree_set, vec};
    (
        btree_map(key(), 2..6_u128, 0..90),
        btree_map(key(), proptest::option::of(2..6_u128), 0..12),
        btree_set(key(), 0..4),
        btree_set(key(), 0..4),
        btree_map(key(), (0..40_u64, prop::bool::weighted(0.1)), 0..20),
        vec(1..40_u32, 2..6),
        btree_set(0..30_u32, 0..3),
        any::<bool>(),
    )
        .prop_map(
            |(rows, edits, repeated, repeated_on_target, marks, limits, short, source_is_short)| Case {
                rows,
                edits,
                repeated,
                repeated_on_target,
                marks,
                limits,
                short,
                source_is_short,
            },
        )
}

fn any_case() -> impl Strategy<Value = Case> {
    prop_oneof![case(|| number().boxed()), case(|| text().boxed())]
}

fn servers(case: &Case, partition: Option<&str>) -> (Server, Server) {
    let mut edited = case.rows.clone();
    for (key, edit) in &case.edits {
        match edit {
            Some(digest) => drop(edited.insert(key.clone(), *digest)),
            None => drop(edited.remove(key)),
        }
    }
    let server = |rows: &Rows, is_short: bool| Server {
        rows: [(owned(partition), rows.clone())].into(),
        limits: case.limits.clone(),
        short: if is_short { case.short.clone() } else { BTreeSet::new() },
        ..Server::default()
    };
    let (mut source, mut target) =
        (server(&case.rows, case.source_is_short), server(&edited, !case.source_is_short));
    source.repeated = case.repeated.iter().filter(|key| case.rows.contains_key(key)).cloned().collect();
    target.repeated =
        case.repeated_on_target.iter().filter(|key| edited.contains_key(key)).cloned().collect();
    target.copies = 8;
    (source, target)
}

fn part(partition: Option<&str>, marks: Vec<Mark>) -> SpannedPart {
    SpannedPart {
        partition: owned(partition),
        in_source: true,
        in_target: true,
        range: KeyRange::default(),
        marks,
    }
}

/// Marks of a case. Nothing is known to be equal that is not.
fn marks(case: &Case, source: &Server, target: &Server) -> Vec<Mark> {
    let found = expected(source, target, Some("p"));
    let (mine, theirs) = (source.rows(Some("p")), target.rows(Some("p")));
    let mut after: Option<Key> = None;
    let mut marks = Vec::new();
    for (until, (rows, is_equal)) in &case.marks {
        let is_in = |key: &&Key| after.as_ref().is_none_or(|after| *key > after) && *key <= until;
        let differ = [&found.missing, &found.extra, &found.changed, &found.repeated]
            .iter()
            .any(|keys| keys.iter().any(|key| is_in(&key)));
        let is_set_aside = mine.keys().filter(is_in).count() != theirs.keys().filter(is_in).count();
        let equal = mine.keys().filter(is_in).count() as u64;
        let equal = (*is_equal && !differ && !is_set_aside).then_some(equal);
        marks.push(Mark { until: Some(until.clone()), rows: *rows, equal });
        after = Some(until.clone());
    }
    marks
}

/// Ranges that follow each other from the first key to the last.
fn follow<'a>(ranges: impl Iterator<Item = &'a KeyRange>) -> bool {
    let mut covered = Some(None);
    for range in ranges {
        if covered.as_ref() != Some(&range.after) {
            return false;
        }
        covered = if range.until.is_none() { None } else { Some(range.until.clone()) };
    }
    covered.is_none()
}

proptest! {
    #[test]
    fn random_edits_are_found_exactly(mut case in any_case()) {
        case.short.clear();
        let (source, target) = servers(&case, Some("p"));
        let told = Told::default();
        let marks = marks(&case, &source, &target);
        let compared = compare((&source, &target), vec![part(Some("p"), marks)], Writers::Stopped, &told);
        let outcome = blocking(compared).unwrap();
        let expected = expected(&source, &target, Some("p"));
        let found = told.found.take().remove(&owned(Some("p"))).unwrap_or_default();
        prop_assert_eq!(&found, &expected);

        let (mine, theirs) = (source.rows(Some("p")), target.rows(Some("p")));
        let both = mine.keys().filter(|key| theirs.contains_key(key)).count() as u64;
        let rows = outcome.rows;
        prop_assert_eq!((rows.source, rows.target), (mine.len() as u64, theirs.len() as u64));
        prop_assert_eq!(rows.both, both);
        prop_assert_eq!(&outcome.parts, &[PartRows { source: rows.source, target: rows.target, set_aside: rows.set_aside }]);
        prop_assert_eq!(rows.missing, expected.missing.len() as u64);
        prop_assert_eq!(rows.extra, expected.extra.len() as u64);
        prop_assert_eq!(rows.changed, expected.changed.len() as u64);
        prop_assert_eq!(rows.missing + rows.set_aside, mine.len() as u64 - both);

        let spans = told.spans.take();
        prop_assert!(follow(spans.iter().map(|span| &span.range)));
        prop_assert!(spans.iter().all(|span| !span.is_known || span.is_equal && span.bytes == 0));
        let known = spans.iter().filter(|span| span.is_known).count() as u64;
        prop_assert_eq!((outcome.spans, outcome.spans_known), (spans.len() as u64, known));
        let differs = |range: &KeyRange| {
            let keys = [&expected.missing, &expected.extra, &expected.changed, &expected.repeated];
            let is_in = |key: &Key| range.after.as_ref().is_none_or(|after| key > after)
                && range.until.as_ref().is_none_or(|until| key <= until);
            let refused = Key::Int(SET_ASIDE);
            let is_refused = mine.contains_key(&refused) && !theirs.contains_key(&refused);
            keys.iter().any(|keys| keys.iter().any(is_in)) || is_refused && is_in(&refused)
        };
        for span in &spans {
            prop_assert_eq!(span.is_equal, !differs(&span.range));
        }
        for ToldMarks { range, marks, .. } in told.marks.take() {
            prop_assert_eq!(&marks.last().unwrap().until, &range.until);
            let mut after = range.after;
            for mark in marks {
                let of_mark = KeyRange { after, until: mark.until.clone() };
                prop_assert!(!mark.is_equal || !differs(&of_mark), "{:?}", of_mark);
                after = mark.until;
            }
        }
    }

    #[test]
    fn a_short_answer_hides_only_what_one_side_alone_has(case in any_case()) {
        let (source, target) = servers(&case, Some("p"));
        let told = Told::default();
        let marks = marks(&case, &source, &target);
        let compared = compare((&source, &target), vec![part(Some("p"), marks)], Writers::Stopped, &told);
        blocking(compared).unwrap();
        let mut expected = expected(&source, &target, Some("p"));
        let found = told.found.take().remove(&owned(Some("p"))).unwrap_or_default();
        let (hidden, all) = if case.source_is_short {
            (&found.missing, &mut expected.missing)
        } else {
            (&found.extra, &mut expected.extra)
        };
        prop_assert!(hidden.is_subset(all));
        all.clone_from(hidden);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn while_writers_go_on_rows_that_are_there_now_have_moved(case in any_case()) {
        let (source, target) = servers(&case, Some("p"));
        let told = Told::default();
        let marks = marks(&case, &source, &target);
        let compared = compare((&source, &target), vec![part(Some("p"), marks)], Writers::GoOn, &told);
        blocking(compared).unwrap();
        let expected = expected(&source, &target, Some("p"));
        let found = told.found.take().remove(&owned(Some("p"))).unwrap_or_default();
        // A short answer hides rows, and never makes up a difference.
        prop_assert!(found.missing.is_subset(&expected.missing), "{:?}", found.missing);
        prop_assert!(found.extra.is_subset(&expected.extra));
        prop_assert!(found.changed.is_subset(&expected.changed));
        if case.short.is_empty() {
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn marks_of_one_comparison_fit_the_next(case in any_case()) {
        let (source, _) = servers(&case, Some("p"));
        let same = Server { rows: source.rows.clone(), limits: vec![7], ..Server::default() };
        let told = Told::default();
        let first = compare_amply((&same, &same), vec![part(Some("p"), Vec::new())], &told);
        blocking(first).unwrap();
        let marks: Vec<_> = told.marks.take().into_iter().flat_map(|told| told.marks).collect();
        prop_assert_eq!(&marks.last().unwrap().until, &None);
        prop_assert_eq!(marks.iter().map(|mark| mark.rows).sum::<u64>(), case.rows.len() as u64);
        let is_long = |mark: &NewMark| mark.rows as usize > 3 * SPAN_ROWS;
        prop_assert!(!marks.iter().any(is_long), "{:?}", marks);
        let marks = marks.into_iter();
        let marks = marks.map(|mark| Mark { until: mark.until, rows: mark.rows, equal: None }).collect();
        let again = Server { rows: source.rows.clone(), ..Server::default() };
        let second = compare_amply((&again, &again), vec![part(Some("p"), marks)], &told);
        let outcome = blocking(second).unwrap();
        // One query a span and side, but for the empty page behind the last row.
        let behind = u64::from(told.spans.take().last().unwrap().rows.source > 0);
        prop_assert_eq!(again.asked.get() as u64, 2 * (outcome.spans + behind));
    }
}

/// Many rows in order.
fn many(rows: i64) -> Rows {
    (0..rows).map(|key| (Key::Int(key), 7)).collect()
}

fn every(step: i64, rows: i64) -> Vec<Mark> {
    let untils = (1..=rows / step).map(|at| at * step - 1);
    untils
        .map(|until| Mark { until: Some(Key::Int(until)), rows: step.unsigned_abs(), equal: None })
        .collect()
}

#[test]
fn spans_that_fit_are_one_query_a_side() {
    let server = || Server { rows: [(None, many(800))].into(), ..Server::default() };
    let (source, target) = (server(), server());
    let told = Told::default();
    let parts = vec![part(None, every(8, 800))];
    let outcome = blocking(compare_amply((&source, &target), parts, &told)).unwrap();
    assert_eq!(outcome.spans, 101);
    assert_eq!((source.asked.get(), target.asked.get()), (101, 101));
    assert_eq!(outcome.rows, SpanRows { source: 800, target: 800, both: 800, ..SpanRows::default() });
    assert_eq!(outcome.bytes, 2 * 800 * ROW_BYTES as u64);
    assert!(told.marks.borrow().iter().all(|marks| !marks.is_new));
    assert!((2..=3).contains(&source.under_way_max.get()), "{}", source.under_way_max.get());
}

/// Pages of a side that are read while the other one does not answer.
fn read_ahead_of(budget: &Budget) -> usize {
    let gate = Rc::new(Notify::new());
    let source = Server { rows: [(None, many(800))].into(), ..Server::default() };
    let target = Server { gate: Some(Rc::clone(&gate)), rows: source.rows.clone(), ..Server::default() };
    let (told, tuning) = (Told::default(), tuning());
    let parts = vec![part(None, every(8, 800))];
    let with = (&tuning, budget);
    let compared = compare_with((&source, &target), parts, Writers::Stopped, &told, with);
    let opened = async {
        let mut before = usize::MAX;
        while before != source.asked.get() {
            before = source.asked.get();
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(told.spans.borrow().len(), 0);
        gate.notify_one();
        before
    };
    let (outcome, before) = blocking(async { tokio::join!(compared, opened) });
    assert_eq!(outcome.unwrap().rows.both, 800);
    before
}

#[test]
fn a_side_is_read_a_few_spans_ahead_and_no_more() {
    assert_eq!(read_ahead_of(&Pool::new(100 * SPAN_ROWS * ROW_BYTES).budget()), AHEAD);
}

#[test]
fn what_waits_has_its_memory_and_without_it_all_goes_on() {
    let pool_bytes = 100 * SPAN_ROWS * ROW_BYTES;
    let pool = Pool::new(pool_bytes);
    let (budget, other) = (pool.budget(), pool.budget());
    let used = other.wait_with(pool_bytes / 5).unwrap();
    let some = read_ahead_of(&budget);
    assert!((1..=AHEAD).contains(&some), "{some}");
    drop(used);
    assert!(budget.wait_with(pool_bytes / 5).is_some(), "all of it came back");
    let quarter = pool_bytes / 4 / 4096 * 4096;
    let _used = other.wait_with(quarter).unwrap();
    let few = read_ahead_of(&budget);
    assert!((1..=tuning().readers).contains(&few), "{few}");
}

#[test]
fn spans_that_are_no_page_are_read_in_pages_and_not_twice() {
    let server = || {
        let rows = [(None, many(40_000))].into();
        Server { rows, row_bytes: Some(10_000), ..Server::default() }
    };
    let (source, target, told) = (server(), server(), Told::default());
    let (budget, tuning) = (Pool::new(60 << 20).budget(), SpanTuning::default());
    let parts = vec![part(None, every(2000, 40_000))];
    let with = (&tuning, &budget);
    let compared = compare_with((&source, &target), parts, Writers::Stopped, &told, with);
    assert_eq!(blocking(compared).unwrap().rows.both, 40_000);
    // Those with which it began, before anything was known.
    assert!(source.refused.get() <= READERS, "{}", source.refused.get());
    assert!(source.asked.get() <= 20 * 5, "{}", source.asked.get());
}

#[test]
fn a_comparison_goes_on_while_another_job_holds_its_part() {
    let server = || {
        let rows = [(None, many(10_000))].into();
        Server { rows, row_bytes: Some(10_000), ..Server::default() }
    };
    let (source, target, told) = (server(), server(), Told::default());
    let pool = Pool::new(16 << 20);
    let (budget, other) = (pool.budget(), pool.budget());
    let tuning = SpanTuning::default();
    let outcome = blocking(async {
        let _theirs = other.take(other.fair_bytes()).await;
        // Each span is more than a fair part.
        let parts = vec![part(None, every(1000, 10_000))];
        let with = (&tuning, &budget);
        let compared = compare_with((&source, &target), parts, Writers::Stopped, &told, with);
        tokio::time::timeout(std::time::Duration::from_secs(60), compared).await
    });
    assert_eq!(outcome.unwrap().unwrap().rows.both, 10_000);
}

#[test]
fn rows_of_a_stale_span_are_read_in_pieces() {
    // All of them came behind the last mark, and none is on the target.
    let source = Server { rows: [(None, many(5000))].into(), limits: vec![9], ..Server::default() };
    let target = Server { rows: [(None, many(8))].into(), ..Server::default() };
    let told = Told::default();
    let parts = vec![part(None, every(8, 8))];
    let outcome = blocking(compare((&source, &target), parts, Writers::Stopped, &told)).unwrap();
    assert_eq!((outcome.rows.missing, outcome.rows.set_aside, outcome.rows.both), (4991, 1, 8));
    let spans = told.spans.take();
    assert_eq!(spans.iter().map(|span| span.is_equal).collect::<Vec<_>>(), [true, false]);
    let marks: Vec<_> = told.marks.take().into_iter().flat_map(|told| told.marks).collect();
    assert!(marks.len() > 500, "it is cut for the next time: {}", marks.len());
    assert!(marks[1..].iter().all(|mark| !mark.is_equal && mark.rows <= 9));
}

#[test]
fn partitions_of_one_side_are_missing_or_extra_as_a_whole() {
    let rows = |names: &[&str]| names.iter().map(|name| (owned(Some(name)), many(20))).collect();
    let source = Server { rows: rows(&["a", "b"]), ..Server::default() };
    let target = Server { rows: rows(&["b", "c"]), ..Server::default() };
    let parts = ["a", "b", "c"].map(|name| SpannedPart {
        in_source: name != "c",
        in_target: name != "a",
        ..part(Some(name), every(4, 20))
    });
    let told = Told::default();
    let outcome = blocking(compare((&source, &target), parts.into(), Writers::Stopped, &told)).unwrap();
    let rows = |source, target| PartRows { source, target, set_aside: 0 };
    assert_eq!(outcome.parts, [rows(20, 0), rows(20, 20), rows(0, 20)]);
    let (spans, marks) = (told.spans.take(), told.marks.take());
    for name in ["a", "b", "c"].map(|name| owned(Some(name))) {
        assert!(follow(spans.iter().filter(|span| span.partition == name).map(|span| &span.range)));
        assert!(follow(marks.iter().filter(|told| told.partition == name).map(|told| &told.range)));
    }
    // SET_ASIDE is known in `p` alone.
    assert_eq!((outcome.rows.missing, outcome.rows.extra, outcome.rows.set_aside), (20, 20, 0));
}

#[test]
fn what_was_set_aside_is_no_difference() {
    let source = Server { rows: [(None, many(20))].into(), ..Server::default() };
    let mut target = Server { rows: source.rows.clone(), ..Server::default() };
    target.rows.get_mut(&None).unwrap().remove(&Key::Int(SET_ASIDE));
    let told = Told::default();
    let outcome =
        blocking(compare((&source, &target), vec![part(None, Vec::new())], Writers::Stopped, &told));
    let rows = outcome.unwrap().rows;
    assert_eq!((rows.set_aside, rows.missing), (1, 0));
    assert!(told.found.take().is_empty());
    assert!(!told.spans.take()[0].is_equal, "the next attempt counts it again");
}

#[test]
fn nothing_is_concluded_where_rows_contradict_themselves() {
    let rows: BTreeMap<_, _> = [(None, many(20))].into();
    let source = Server { rows: rows.clone(), ..Server::default() };
    // Asked for by key a row is there, and in the range it never is.
    let target = Server { rows: rows.clone(), short: (0..100).collect(), ..Server::default() };
    let run = |source, target| {
        let told = Told::default();
        let parts = vec![part(None, every(10, 20))];
        blocking(compare((source, target), parts, Writers::Stopped, &told)).unwrap_err().to_string()
    };
    assert!(run(&source, &target).contains("different results for the same query"));
    // Rows of another span would be counted twice, or be taken for those of this one.
    let target = Server { rows, is_unbounded: true, ..Server::default() };
    assert!(run(&source, &target).contains("leave a gap or overlap"));
}

#[test]
fn a_gap_between_spans_is_an_error() {
    let source = Server { rows: [(None, many(30))].into(), ..Server::default() };
    let (columns, tuning, set_aside) = (columns(), tuning(), BTreeSet::new());
    let layout = Layout { key_field: "id", columns: &columns, set_aside: &set_aside };
    let budget = Pool::new(1 << 20).budget();
    let all = || Spans::of(vec![part(None, every(10, 30)), part(Some("q"), Vec::new())]).unwrap();
    let run = |spans: &Spans| {
        let told = Told::default();
        let comparison = SpanComparison {
            layout,
            spans,
            writers: Writers::Stopped,
            differing: Differing::Told,
            tuning: &tuning,
            budget: &budget,
        };
        blocking(comparison.compare(&source, &source, &told)).map(drop)
    };
    run(&all()).unwrap();
    let spoils: [fn(&mut Vec<Span>); 8] = [
        |spans| drop(spans.remove(0)),
        |spans| drop(spans.remove(1)),
        |spans| drop(spans.remove(3)),
        |spans| drop(spans.remove(4)),
        |spans| spans[1].range.after = Some(Key::Int(4)),
        |spans| spans.insert(1, spans[0].clone()),
        |spans| spans.push(spans[0].clone()),
        |spans| spans.clear(),
    ];
    for spoil in spoils {
        let mut spans = all();
        spans.spoil(spoil);
        let error = run(&spans).unwrap_err().to_string();
        assert!(error.contains("leave a gap or overlap"), "{error}");
    }
}
