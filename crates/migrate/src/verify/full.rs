//! Every row of a range of keys: source against target, field by field.
//!
//! The source is read page by page. What the target holds up to the last key of a page (a *window*) is read next to it,
//! while the source's next page is on its way. Columns whose bytes are the same on both sides are equal; only where
//! bytes or keys differ are single values looked at. So memory holds a page of each side and one on its way, and a
//! difference costs one window and not the rest of the range.
//!
//! A server that was away answers short for a while, without an error. So a row that is not in an answer is asked for by
//! its key before it counts as missing or extra; if it is there, the answer was short, and is read again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::Page;
use vecferry_milvus::wire::values::{Value, column, same_bytes};
use vecferry_milvus::{Error, ErrorKind, Key, KeyRange, Query};

use super::expect::unrepeated;
use super::repair::keys_present;
use crate::cluster::load_state::wait_until_complete;
use crate::cluster::retry::{Backoff, Verdict, sleep};
use crate::read::PageSize;
use crate::read::digest;
use crate::read::{ReadError, Reader};
use crate::report::{Findings, FoundRows, RowName};

/// Size of a page that is aimed at: several ranges with three pages each are in memory at once.
pub(super) const PAGE_BYTES_TARGET: usize = 4 << 20;
/// A larger page is asked for again, smaller.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// How often an answer may be short before that is no passing state.
const SHORT_ANSWERS_MAX: u32 = 50;

/// One side: its rows in key order.
pub(crate) trait Pages {
    /// The next rows of a range. Empty only if it has no more.
    async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError>;

    /// The keys among these that have a row, asked when the server is complete.
    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError>;

    /// The keys among these that stand for one row only.
    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError>;
}

/// Told of every step of a comparison, in key order; the comparison goes on when it returns.
pub(crate) trait Follow {
    /// Something was compared.
    async fn on_step(&self, step: &Step<'_>) -> Result<(), ReadError>;
}

/// A part of a range that was compared. All its differences are here, so that memory stays bounded.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) partition: Option<&'a str>,
    /// The keys that were compared: a comparison that is to go on later starts behind `range.until`.
    pub(crate) range: KeyRange,
    /// Rows that both sides have.
    pub(crate) rows_compared: u64,
    /// Bytes of these rows on the wire, from the source, as far as whole pages were compared.
    pub(crate) bytes: u64,
    /// Rows that are known to be missing on the target.
    pub(crate) set_aside: u64,
    pub(crate) differing: Differing,
}

/// Rows that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differing {
    /// Only on the source.
    pub(crate) missing: Vec<Key>,
    /// Only on the target.
    pub(crate) extra: Vec<Key>,
    /// On both sides, with the fields that differ.
    pub(crate) changed: Vec<(Key, Vec<String>)>,
    /// Differing too, but the source holds several rows of the key, and which one it answers is not fixed.
    pub(crate) repeated: Vec<Key>,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FullOutcome {
    /// Distinct keys of the source.
    pub(crate) source_rows: u64,
    /// Distinct keys of the target.
    pub(crate) target_rows: u64,
    /// Rows that both sides have.
    pub(crate) rows_compared: u64,
    pub(crate) findings: Findings,
}

impl FullOutcome {
    /// Adds what another range came to. Ranges are added in their order, so that the first rows are the first.
    pub(crate) fn add(&mut self, other: Self) {
        self.source_rows += other.source_rows;
        self.target_rows += other.target_rows;
        self.rows_compared += other.rows_compared;
        self.findings.add(other.findings);
    }

    /// Adds what a step found.
    pub(crate) fn take(&mut self, step: &Step<'_>) {
        let found = &step.differing;
        let partition = || step.partition.map(str::to_owned);
        let plain = |keys: &[Key], into: &mut FoundRows| {
            into.extend(keys.iter().map(|key| RowName::new(partition(), key, Vec::new())));
        };
        plain(&found.missing, &mut self.findings.missing);
        plain(&found.extra, &mut self.findings.extra);
        plain(&found.repeated, &mut self.findings.repeated_keys);
        let changed = found.changed.iter();
        self.findings
            .changed
            .extend(changed.map(|(key, fields)| RowName::new(partition(), key, fields.clone())));
        self.rows_compared += step.rows_compared;
        self.source_rows += step.rows_compared + step.set_aside + found.missing.len() as u64;
        self.target_rows += step.rows_compared + found.extra.len() as u64;
    }
}

/// What both sides have in common.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) key_field: &'a str,
    pub(crate) columns: &'a [FieldSpec],
    /// Rows that are known to be missing on the target, by partition and key.
    pub(crate) set_aside: &'a BTreeSet<(Option<String>, Key)>,
}

/// Compares all rows of a range of keys of one partition, or of all where partitions can't be named.
pub(crate) async fn full(
    source: &impl Pages,
    target: &impl Pages,
    layout: Layout<'_>,
    partition: Option<&str>,
    range: KeyRange,
    follow: &impl Follow,
) -> Result<FullOutcome, ReadError> {
    let mut outcome = FullOutcome::default();
    let mut of_source = PageSize::new(layout.columns, PAGE_BYTES_TARGET);
    let mut of_target = of_source.clone();
    let mut after = range.after.clone();
    let mut next = Some(source.page(partition, &range, &mut of_source).await?);
    let mut patience = Patience(SHORT_ANSWERS_MAX);
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

/// Short answers that are still put up with.
struct Patience(u32);

impl Patience {
    fn spend(&mut self) -> Result<(), ReadError> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| {
            let text = "the server returns different results for the same query";
            Error::new(ErrorKind::Malformed, "Query", text.to_owned())
        })?;
        Ok(())
    }
}

/// How far a window was compared.
enum Compared {
    Whole,
    /// The source has rows that its page lacks: it must be read again from here on.
    SourceWasShort {
        after: Option<Key>,
    },
}

/// A page of the source, and the range that it covers.
struct Window<'a> {
    layout: Layout<'a>,
    partition: Option<&'a str>,
    range: KeyRange,
    page: Page,
}

impl Window<'_> {
    async fn compare(
        &self,
        source: &impl Pages,
        target: &impl Pages,
        size: &mut PageSize,
        follow: &impl Follow,
        outcome: &mut FullOutcome,
        patience: &mut Patience,
    ) -> Result<Compared, ReadError> {
        let keys = self.page.all_keys(self.layout.key_field)?;
        let mut at = 0;
        let mut rest = self.range.clone();
        // In one page if it can be: then whole columns are compared.
        size.at_least(self.page.rows);
        loop {
            let theirs = target.page(self.partition, &rest, size).await?;
            let last = theirs.keys.as_ref().map(|(_, last)| last.clone());
            let their_keys = theirs.all_keys(self.layout.key_field)?;
            let mut merged = merge(&keys, at, &their_keys);
            let is_end = last.is_none() || last == self.range.until;
            if is_end {
                merged.missing.extend_from_slice(&keys[merged.at..]);
                merged.at = keys.len();
            }
            if !target.present(self.partition, &merged.missing).await?.is_empty() {
                patience.spend()?;
                continue;
            }
            if !source.present(self.partition, &merged.extra).await?.is_empty() {
                patience.spend()?;
                return Ok(Compared::SourceWasShort { after: rest.after });
            }
            at = merged.at;
            let changed = self.changed(&theirs, &merged.both)?;
            let (set_aside, missing): (Vec<_>, Vec<_>) =
                merged.missing.into_iter().partition(|key| self.is_set_aside(key));
            let mut differing = Differing { missing, extra: merged.extra, ..Differing::default() };
            if !changed.is_empty() {
                let suspects = changed.keys().map(|&index| keys[index].clone()).collect();
                let single: BTreeSet<_> =
                    source.unrepeated(self.partition, suspects).await?.into_iter().collect();
                for (index, fields) in changed {
                    let key = keys[index].clone();
                    if single.contains(&key) {
                        differing.changed.push((key, fields));
                    } else {
                        differing.repeated.push(key);
                    }
                }
            }
            let until = if is_end { self.range.until.clone() } else { last };
            let step = Step {
                partition: self.partition,
                range: KeyRange { after: rest.after, until: until.clone() },
                rows_compared: merged.both.len() as u64,
                bytes: if is_end { self.page.bytes as u64 } else { 0 },
                set_aside: set_aside.len() as u64,
                differing,
            };
            outcome.take(&step);
            follow.on_step(&step).await?;
            if is_end {
                return Ok(Compared::Whole);
            }
            rest = KeyRange { after: until, until: self.range.until.clone() };
        }
    }

    fn is_set_aside(&self, key: &Key) -> bool {
        let set_aside = self.layout.set_aside;
        !set_aside.is_empty() && set_aside.contains(&(self.partition.map(str::to_owned), key.clone()))
    }

    /// The rows of the source's page whose values differ, with the names of the fields that do.
    fn changed(
        &self,
        theirs: &Page,
        both: &[(usize, usize)],
    ) -> Result<BTreeMap<usize, Vec<String>>, ReadError> {
        let mut changed: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        if both.is_empty() {
            return Ok(changed);
        }
        let all_rows = both.len() == self.page.rows && both.len() == theirs.rows;
        for spec in self.layout.columns.iter().filter(|spec| spec.name != self.layout.key_field) {
            if all_rows && same_bytes(&self.page, theirs, spec)? {
                continue;
            }
            let (of_source, of_target) = (column(&self.page, spec)?, column(theirs, spec)?);
            for &(mine, other) in both {
                if !are_equal(&of_source[mine], &of_target[other]) {
                    changed.entry(mine).or_default().push(spec.name.clone());
                }
            }
        }
        Ok(changed)
    }
}

fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Json(one), Value::Json(other)) if one == other => true,
        // By content, as servers write JSON anew.
        (Value::Json(_), Value::Json(_)) => digest(one) == digest(other),
        (one, other) => one == other,
    }
}

/// Two sorted lists of keys, the second one used up.
#[derive(Debug, Default)]
struct Merged {
    /// Indexes of the keys that stand in both.
    both: Vec<(usize, usize)>,
    missing: Vec<Key>,
    extra: Vec<Key>,
    /// Keys of the first list from here on are greater than all of the second.
    at: usize,
}

/// Keys of `mine` from `at` on against `theirs`. What is behind the last of `theirs` is not judged.
fn merge(mine: &[Key], at: usize, theirs: &[Key]) -> Merged {
    let mut merged = Merged { at, ..Merged::default() };
    for (index, key) in theirs.iter().enumerate() {
        while mine.get(merged.at).is_some_and(|of_mine| of_mine < key) {
            merged.missing.push(mine[merged.at].clone());
            merged.at += 1;
        }
        match mine.get(merged.at).map(|of_mine| of_mine.cmp(key)) {
            Some(Ordering::Equal) => {
                merged.both.push((merged.at, index));
                merged.at += 1;
            }
            Some(Ordering::Less | Ordering::Greater) | None => merged.extra.push(key.clone()),
        }
    }
    merged
}

/// One side of a partition that may not exist there.
pub(crate) struct Half<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) exists: bool,
}

impl Pages for Half<'_> {
    async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError> {
        if !self.exists {
            return Ok(Page { columns: Vec::new(), rows: 0, keys: None, bytes: 0, session_ts: 0 });
        }
        self.reader.page(partition, range, size).await
    }

    async fn present(&self, partition: Option<&str>, keys: &[Key]) -> Result<BTreeSet<Key>, ReadError> {
        if !self.exists || keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.reader.wait_until_complete().await?;
        keys_present(self.reader, partition, keys).await
    }

    async fn unrepeated(&self, partition: Option<&str>, keys: Vec<Key>) -> Result<Vec<Key>, ReadError> {
        unrepeated(self.reader, partition, keys).await
    }
}

impl Reader {
    /// The next page of rows, with all columns.
    pub(crate) async fn page(
        &self,
        partition: Option<&str>,
        range: &KeyRange,
        size: &mut PageSize,
    ) -> Result<Page, ReadError> {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut backoff = Backoff::new();
        loop {
            self.stop_if_canceled()?;
            let query = Query {
                collection: &self.name,
                collection_id: self.id,
                selection: self.key_field.range(range),
                columns: &names,
                partition,
                rows_max: Some(size.rows()),
                consistency: self.consistency,
            };
            let answer = tokio::select! {
                answer = self.client.query(&query) => answer,
                () = self.cancel.cancelled() => return Err(ReadError::Canceled),
            };
            let error = match answer {
                Ok(answer) if answer.len() > PAGE_BYTES_MAX && size.refused() => continue,
                Ok(answer) => {
                    let page = Page::read(&answer, &self.key_field, range.after.as_ref())?;
                    if page.rows > 0 {
                        page.check_columns(names.iter().map(String::as_str))?;
                    }
                    size.came(page.rows, page.bytes);
                    return Ok(page);
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::TooLarge && size.refused() {
                continue;
            }
            let Verdict::Wait(wait) = backoff.after(error.kind()) else { return Err(error.into()) };
            sleep(wait, &self.cancel).await;
            if error.kind() != ErrorKind::RateLimited {
                self.wait_until_complete().await?;
            }
        }
    }

    /// A server that was away answers short while it loads again, without an error: rows would look missing.
    pub(crate) async fn wait_until_complete(&self) -> Result<(), ReadError> {
        Ok(wait_until_complete(&self.client, self.side, &self.name, &self.cancel).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use bytes::Bytes;
    use proptest::prelude::*;
    use vecferry_milvus::proto::common::Status;
    use vecferry_milvus::proto::milvus::QueryResults;
    use vecferry_milvus::proto::schema::{
        DataType, FieldData, JsonArray, LongArray, StringArray, scalar_field::Data,
    };
    use vecferry_milvus::wire::insert::{float_vectors, scalars};

    use super::*;

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
            }
        }

        fn encoded(&self, rows: &[(&i64, &Row)]) -> Bytes {
            let any_null = rows.iter().any(|(_, row)| row.0.is_none());
            let texts = rows.iter().filter(|(_, row)| row.0.is_some() || !self.is_other);
            let space = if self.is_other { " " } else { "" };
            let json = |row: &Row| format!("{{\"n\":{space}{}}}", row.1).into_bytes().into();
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
            let rows: Vec<_> = self.rows.iter().filter(|(key, _)| is_in(key)).take(limit as usize).collect();
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
        let columns = columns();
        let set_aside = BTreeSet::new();
        let layout = Layout { key_field: "id", columns: &columns, set_aside: &set_aside };
        let steps = Steps { last: RefCell::new(range.after.clone()), ..Steps::default() };
        let until = range.until.clone();
        let compared = full(source, target, layout, Some("p"), range, &steps);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(compared).unwrap();
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
                let (of_range, differing) = run(&source, &target, KeyRange { after, until: until.clone() });
                outcome.add(of_range);
                found.missing.extend(differing.missing);
                found.extra.extend(differing.extra);
                found.changed.extend(differing.changed);
                found.repeated.extend(differing.repeated);
                after = until;
            }
            let both = source.rows.keys().filter(|key| target.rows.contains_key(key)).count() as u64;
            prop_assert_eq!(outcome.rows_compared, both);
            prop_assert_eq!(outcome.source_rows, source.rows.len() as u64);
            prop_assert_eq!(outcome.target_rows, target.rows.len() as u64);
            prop_assert_eq!(outcome.findings.missing.rows, found.missing.len() as u64);
            prop_assert_eq!(outcome.findings.changed.rows, found.changed.len() as u64);
            prop_assert_eq!(found, expected(&source, &target));
        }
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
