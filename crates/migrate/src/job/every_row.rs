//! Comparisons of every row of one collection while both sides are loaded, and their repair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{CollectionName, Error, ErrorKind, Key, KeyRange, RowSelection};
use vecferry_store::{Attempt, Comparison, NewComparison, Position, Store};

use super::comparison::Finding;
use super::run::Job;
use crate::cluster::inventory::Found;
use crate::event::{Event, Observer};
use crate::plan::PlannedCollection;
use crate::problem::{Code, Problem, Side, Told};
use crate::read::reader;
use crate::read::{KeySample, key_text, range_of};
use crate::read::{ReadError, Reader, scan_keys};
use crate::report::{Findings, FoundRows, RepairReport, RowName, SwappedRow};
use crate::verify::{Follow, FullOutcome, Half, Layout, Repair, Step, diagnose, full, keys_present};

/// How often it is recorded how far a range is compared.
const RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// Ranges that are compared at once.
const RANGES_PARALLEL: usize = 4;
/// A part of fewer rows is not divided: the division costs a look at all its keys.
const DIVIDED_ROWS_MIN: u64 = 100_000;
/// Keys that are sampled to find the bounds of the ranges.
const DIVIDING_KEYS: usize = 255;

/// One collection on both sides, loaded.
pub(super) struct Pair<'a> {
    /// Its name on the source.
    pub(super) name: &'a CollectionName,
    pub(super) source: Reader,
    pub(super) target: Reader,
    pub(super) parts: Vec<PartOf>,
    /// Rows that are known to be missing on the target, by partition and key.
    pub(super) set_aside: BTreeSet<(Option<String>, Key)>,
    pub(super) observer: &'a dyn Observer,
    /// Where it is recorded how far the comparison is; nowhere for one that is not part of a job.
    pub(super) memory: Option<Memory<'a>>,
}

/// The record of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    store: &'a dyn Store,
    attempt: &'a Attempt,
    position: Position,
}

/// A range, and what is known of it already.
struct Todo {
    part: usize,
    range: KeyRange,
    known: FullOutcome,
    /// Its number in the record.
    comparison_id: Option<i64>,
    is_done: bool,
}

impl Todo {
    fn new(part: usize, range: KeyRange) -> Self {
        Self { part, range, known: FullOutcome::default(), comparison_id: None, is_done: false }
    }

    fn recorded(comparison: &Comparison) -> Result<Self, ReadError> {
        let damaged = |error: &dyn std::fmt::Display| {
            ReadError::from(Error::new(ErrorKind::Malformed, "record of the comparison", error.to_string()))
        };
        let after = comparison.cursor.as_deref().or(comparison.after.as_deref());
        let range = range_of(after, comparison.until.as_deref()).map_err(|error| damaged(&error))?;
        let known = comparison.outcome.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            part: comparison.part,
            range,
            known: known.map_err(|error| damaged(&error))?.unwrap_or_default(),
            comparison_id: Some(comparison.comparison_id),
            is_done: comparison.done,
        })
    }
}

impl Memory<'_> {
    /// What was written to the target so far: a comparison holds for this state only.
    async fn state(&self) -> Result<String, ReadError> {
        let (store, job_id) = (self.store, self.attempt.job_id());
        let splits = store.splits(job_id, self.position).await?;
        let rows: u64 = splits.iter().map(|split| split.progress.rows_written).sum();
        let (doubts, refused) =
            (store.doubts_total(job_id).await?, store.quarantined(job_id, self.position).await?);
        let id = store.collection(job_id, self.position).await?.target_id.unwrap_or_default();
        Ok(format!("{id} {rows} {doubts} {}", refused.len()))
    }

    async fn recorded(&self) -> Result<Vec<Todo>, ReadError> {
        let found =
            self.store.comparisons(self.attempt.job_id(), self.position, &self.state().await?).await?;
        found.iter().map(Todo::recorded).collect()
    }

    async fn record(&self, ranges: &[(usize, KeyRange)]) -> Result<Vec<Todo>, ReadError> {
        let ranges = ranges.iter().map(|(part, range)| NewComparison {
            part: *part,
            after: range.after.as_ref().map(key_text),
            until: range.until.as_ref().map(key_text),
        });
        let state = self.state().await?;
        let planned = self.store.plan_comparisons(self.attempt, self.position, state, ranges.collect());
        planned.await?.iter().map(Todo::recorded).collect()
    }

    async fn advance(
        &self,
        comparison_id: i64,
        cursor: Option<&Key>,
        known: &FullOutcome,
    ) -> Result<(), ReadError> {
        let document = serde_json::to_string(known).unwrap_or_default();
        let cursor = cursor.map(key_text);
        Ok(self.store.advance_comparison(self.attempt, comparison_id, cursor, document).await?)
    }
}

/// A partition, and on which sides there is one; or everything where partitions can't be named.
#[derive(Clone, Debug)]
pub(super) struct PartOf {
    partition: Option<String>,
    in_source: bool,
    in_target: bool,
}

/// What a comparison of every row came to.
#[derive(Default)]
pub(super) struct Compared {
    /// Rows that the sides count.
    pub(super) source_rows: u64,
    pub(super) target_rows: u64,
    pub(super) counts_compared: u64,
    pub(super) rows_compared: u64,
    /// Rows of these that an earlier attempt compared.
    pub(super) rows_compared_before: u64,
    /// What differs, after the repair if there was one.
    pub(super) findings: Findings,
    pub(super) repair: Option<RepairReport>,
    /// What went wrong beside the comparison.
    pub(super) problems: Vec<Problem>,
}

/// The partitions of both sides.
pub(super) fn parts_of(of_source: &[Option<&str>], of_target: &[Option<&str>]) -> Vec<PartOf> {
    let mut parts: BTreeMap<Option<&str>, (bool, bool)> = BTreeMap::new();
    of_source.iter().for_each(|part| parts.entry(*part).or_default().0 = true);
    of_target.iter().for_each(|part| parts.entry(*part).or_default().1 = true);
    // Where one side knows no partitions, everything is one part.
    if parts.contains_key(&None) {
        return vec![PartOf { partition: None, in_source: true, in_target: true }];
    }
    let part = |(partition, (in_source, in_target)): (Option<&str>, (bool, bool))| PartOf {
        partition: partition.map(str::to_owned),
        in_source,
        in_target,
    };
    parts.into_iter().map(part).collect()
}

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
struct Pass<'a> {
    pair: &'a Pair<'a>,
    repair: Option<&'a Repair<'a>>,
    /// Rows of the source that are compared in all, for the progress; `None` for a second look.
    rows_total: Option<u64>,
    hull: Mutex<Hull>,
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
        self.pass.hull.lock().unwrap_or_else(PoisonError::into_inner).extend(&step.range);
        let Some(repair) = self.pass.repair else { return Ok(()) };
        let mended = repair.mend(step.partition, self.part.in_source, found).await;
        mended.map_err(|error| ReadError::Repair(Box::new(error)))
    }
}

impl Pass<'_> {
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
        let of_source = Half { reader: source, exists: part.in_source };
        let of_target = Half { reader: target, exists: part.in_target };
        let partition = part.partition.as_deref();
        let compared = full(&of_source, &of_target, layout, partition, todo.range, &follow);
        outcome.add(Box::pin(compared).await?);
        if let (Some(memory), Some(id)) = (&self.pair.memory, comparison_id) {
            memory.advance(id, None, &outcome).await?;
        }
        Ok(outcome)
    }

    /// Compares some ranges, several at once. Returns what each came to.
    async fn compare_all(&self, ranges: Vec<Todo>) -> Result<Vec<(usize, FullOutcome)>, ReadError> {
        let compare = |todo: Todo| async move { Ok((todo.part, self.compare(todo).await?)) };
        let compared: Vec<_> = ranges.into_iter().map(compare).collect();
        stream::iter(compared).buffered(RANGES_PARALLEL).try_collect().await
    }
}

async fn count(reader: &Reader, part: &PartOf, exists: bool) -> Result<u64, ReadError> {
    if !exists {
        return Ok(0);
    }
    Ok(reader.count_where(part.partition.as_deref(), RowSelection::Everything).await?)
}

impl Pair<'_> {
    /// Compares all rows. `finding` learns what the source's counts say beside the rows.
    pub(super) async fn compare(
        &self,
        finding: &mut Finding<'_>,
        repair: Option<&Repair<'_>>,
    ) -> Result<(Compared, Option<KeyRange>, Vec<u64>), ReadError> {
        let count_both = |part| async move {
            let part: &PartOf = part;
            let of_source = count(&self.source, part, part.in_source).await?;
            Ok::<_, ReadError>((of_source, count(&self.target, part, part.in_target).await?))
        };
        let counts: Vec<_> = self.parts.iter().map(count_both).collect();
        let counts: Vec<_> = stream::iter(counts).buffered(RANGES_PARALLEL).try_collect().await?;
        let ranges = self.ranges(&counts).await?;
        let rows_compared_before = ranges.iter().map(|todo| todo.known.rows_compared).sum();
        let rows_total = Some(counts.iter().map(|(of_source, _)| of_source).sum());
        let pass = Pass { pair: self, repair, rows_total, hull: Mutex::default() };
        let mut by_part = vec![FullOutcome::default(); self.parts.len()];
        for (index, outcome) in pass.compare_all(ranges).await? {
            by_part[index].add(outcome);
        }
        let mut compared = Compared { rows_compared_before, ..Compared::default() };
        let mut distinct = Vec::new();
        for ((part, (of_source, of_target)), outcome) in self.parts.iter().zip(counts).zip(by_part) {
            let partition = part.partition.as_deref();
            finding.explain(&self.source, partition, outcome.source_rows, of_source).await?;
            compared.source_rows += of_source;
            compared.target_rows += of_target;
            compared.counts_compared += 1;
            compared.rows_compared += outcome.rows_compared;
            distinct.push(outcome.source_rows);
            let rows_of_target = outcome.target_rows;
            compared.findings.add(outcome.findings);
            if of_target > rows_of_target {
                let keys = self.surplus_of_target(part, &mut compared.findings).await?;
                pass.hull.lock().unwrap_or_else(PoisonError::into_inner).extend(&KeyRange::default());
                if let Some(repair) = repair {
                    let copied = repair.copy(partition, &keys).await;
                    copied.map_err(|error| ReadError::Repair(Box::new(error)))?;
                }
            }
        }
        self.find_swapped(&mut compared.findings, repair.is_none()).await?;
        let hull = pass.hull.into_inner().unwrap_or_else(PoisonError::into_inner).0;
        Ok((compared, hull, distinct))
    }

    /// The ranges to be compared: those of an earlier attempt, as far as they are, or new ones.
    async fn ranges(&self, counts: &[(u64, u64)]) -> Result<Vec<Todo>, ReadError> {
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

    /// Rows of the target beyond one a key. Returns their keys.
    async fn surplus_of_target(&self, part: &PartOf, findings: &mut Findings) -> Result<Vec<Key>, ReadError> {
        let surplus = diagnose(&self.target, part.partition.as_deref()).await?;
        let name = |key: &Key| RowName::new(part.partition.clone(), key, Vec::new());
        let first = surplus.keys.iter().map(name).collect();
        findings.add(Findings {
            repeated_on_target: FoundRows { rows: surplus.duplicates, first },
            extra: FoundRows { rows: surplus.unreadable, first: Vec::new() },
            ..Findings::default()
        });
        Ok(surplus.keys)
    }

    /// Finds, for the missing rows that are named, whether they stand in another partition of the target. After a repair
    /// only what is named as extra can tell; else the servers are asked.
    async fn find_swapped(&self, findings: &mut Findings, ask: bool) -> Result<(), ReadError> {
        if findings.missing.rows == 0 || findings.extra.rows == 0 || self.parts.len() < 2 {
            return Ok(());
        }
        let extra: BTreeMap<_, _> =
            findings.extra.first.iter().map(|row| (row.key.clone(), row.partition.clone())).collect();
        let mut swapped: BTreeMap<Key, Option<String>> = BTreeMap::new();
        for row in &findings.missing.first {
            if let Some(place) = extra.get(&row.key).filter(|place| **place != row.partition) {
                swapped.insert(row.key.clone(), place.clone());
            }
        }
        // Where all extra rows are named, all was said.
        let ask = ask && findings.extra.rows > findings.extra.first.len() as u64;
        for part in self.parts.iter().filter(|part| ask && part.in_target) {
            let rest = findings.missing.first.iter();
            let rest = rest.filter(|row| row.partition != part.partition && !swapped.contains_key(&row.key));
            let keys: Vec<_> = rest.map(|row| row.key.clone()).collect();
            let mut present = keys_present(&self.target, part.partition.as_deref(), &keys).await?;
            if part.in_source && !present.is_empty() {
                let keys: Vec<_> = present.iter().cloned().collect();
                let legal = keys_present(&self.source, part.partition.as_deref(), &keys).await?;
                present.retain(|key| !legal.contains(key));
            }
            swapped.extend(present.into_iter().map(|key| (key, part.partition.clone())));
        }
        findings.swapped.extend(findings.missing.first.iter().filter_map(|row| {
            Some(SwappedRow {
                target_partition: swapped.get(&row.key)?.clone().unwrap_or_default(),
                key: row.key.clone(),
                source_partition: row.partition.clone().unwrap_or_default(),
            })
        }));
        Ok(())
    }

    /// Compares all rows, mends what differs, and compares what was mended again.
    pub(super) async fn compare_and_repair(
        &mut self,
        finding: &mut Finding<'_>,
        allow: &(dyn Fn(Option<&str>, &Key) -> bool + Send + Sync),
    ) -> Result<Compared, ReadError> {
        let (mut compared, hull, distinct, mut done) = {
            let repair = Repair::new(&self.source, &self.target, allow);
            let (compared, hull, distinct) = self.compare(finding, Some(&repair)).await?;
            (compared, hull, distinct, repair.done())
        };
        let Some(hull) = hull.filter(|_| !compared.findings.is_empty()) else { return Ok(compared) };
        let found = std::mem::take(&mut compared.findings);
        // Where a key stands in several partitions, or a server does not tell these apart, mending one row can undo
        // another: what is found now is mended once more.
        for attempt in 0..2 {
            self.source = self.source.clone().fresh().await?;
            self.target = self.target.clone().fresh().await?;
            let repair = Repair::new(&self.source, &self.target, allow);
            let mending = (attempt == 0).then_some(&repair);
            let pass = Pass { pair: self, repair: mending, rows_total: None, hull: Mutex::default() };
            let ranges = (0..self.parts.len()).map(|part| Todo::new(part, hull.clone())).collect();
            let mut again = FullOutcome::default();
            for (_, outcome) in pass.compare_all(ranges).await? {
                again.add(outcome);
            }
            compared.findings = again.findings;
            let (written, deleted) = repair.done();
            done = (done.0 + written, done.1 + deleted);
            if compared.findings.is_empty() {
                break;
            }
        }
        compared.findings.repeated_keys = found.repeated_keys.clone();
        if compared.findings.is_empty() {
            // Those that were missing at first were compared by now.
            compared.rows_compared = distinct.iter().sum();
        }
        compared.target_rows = 0;
        for (part, distinct) in self.parts.iter().zip(distinct) {
            let counted = count(&self.target, part, part.in_target).await?;
            compared.target_rows += counted;
            // Where rows are still named as differing, the counts say nothing new.
            if compared.findings.is_empty() && counted > distinct {
                self.surplus_of_target(part, &mut compared.findings).await?;
            } else if compared.findings.is_empty() && counted < distinct {
                compared.findings.missing.rows += distinct - counted;
            }
        }
        self.find_swapped(&mut compared.findings, true).await?;
        compared.repair = Some(RepairReport { found, rows_written: done.0, rows_deleted: done.1 });
        Ok(compared)
    }
}

/// Findings as problems and warnings.
pub(super) fn conclude(
    name: &CollectionName,
    compared: &Compared,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    problems.extend(compared.problems.iter().cloned());
    let Findings { missing, extra, changed, repeated_keys, repeated_on_target, swapped } = &compared.findings;
    let rows = |code, rows: u64, place: Told| {
        Problem::new(code).with("collection", name).with("rows", rows).told("where", place)
    };
    if missing.rows > 0 {
        problems.push(rows(Code::RowsMissing, missing.rows, listed(missing)));
    }
    if extra.rows > 0 {
        problems.push(rows(Code::RowsExtra, extra.rows, listed(extra)));
    }
    if repeated_on_target.rows > 0 {
        let place = listed(repeated_on_target).behind("duplicate primary keys: ", "重复主键：");
        problems.push(rows(Code::RowsExtra, repeated_on_target.rows, place));
    }
    if changed.rows > 0 {
        let first = changed.first.first();
        let key = first.map(|row| row.to_string().trim_start_matches("key ").to_owned()).unwrap_or_default();
        let fields = first.map(|row| row.fields.join("`, `")).unwrap_or_default();
        problems.push(
            Problem::new(Code::RowsChanged)
                .with("collection", name)
                .with("rows", changed.rows)
                .with("compared", compared.rows_compared)
                .with("key", key)
                .with("field", fields),
        );
    }
    if !swapped.is_empty() {
        let one = |row: &SwappedRow| {
            format!("key {}: `{}` → `{}`", row.key, row.source_partition, row.target_partition)
        };
        let place = Told::items(&swapped.iter().map(one).collect::<Vec<_>>());
        problems.push(rows(Code::RowsSwapped, swapped.len() as u64, place));
    }
    if repeated_keys.rows > 0 {
        warnings.push(rows(Code::RepeatedKeysDiffer, repeated_keys.rows, listed(repeated_keys)));
    }
    if let Some(repair) = &compared.repair {
        warnings.push(
            Problem::new(Code::Repaired)
                .with("collection", name)
                .with("written", repair.rows_written)
                .with("deleted", repair.rows_deleted),
        );
    }
}

fn listed(found: &FoundRows) -> Told {
    Told::first_of(&found.first, found.rows)
}

/// Compares every row after a copy, while both sides are loaded. Some rows are known to be missing on the target.
pub(super) async fn after_copy(
    job: &Job,
    planned: &PlannedCollection,
    target: &Reader,
    position: Position,
    set_aside: BTreeSet<(Option<String>, Key)>,
) -> Result<Compared, ReadError> {
    if !planned.readable {
        return Ok(Compared::default());
    }
    let source = reader(Side::Source, &job.source, &planned.described, &planned.described, &job.cancel)
        .fresh()
        .await?;
    let parts = planned.parts();
    let parts: Vec<_> = parts.iter().map(Option::as_deref).collect();
    let pair = Pair {
        name: &planned.source,
        source,
        target: target.clone(),
        parts: parts_of(&parts, &parts),
        set_aside,
        observer: &*job.observer,
        memory: Some(Memory { store: &*job.store, attempt: &job.attempt, position }),
    };
    // What the source's counts say was found out right after the copy.
    let mut finding = Finding::new(&planned.source);
    pair.compare(&mut finding, None).await.map(|(compared, _, _)| compared)
}

/// The partitions of a collection that can be named in queries.
pub(super) fn partitions(found: &Found) -> Vec<String> {
    parts(found).into_iter().flatten().map(str::to_owned).collect()
}

/// The parts of a collection: its partitions where these can be named.
pub(super) fn parts(found: &Found) -> Vec<Option<&str>> {
    if found.described.schema.has_partition_key() || found.partitions.is_empty() {
        return vec![None];
    }
    found.partitions.iter().map(|(name, _)| Some(name.as_str())).collect()
}
