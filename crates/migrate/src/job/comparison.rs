//! Comparisons of one collection on two servers, and what their findings mean.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use vecferry_milvus::schema::differences;
use vecferry_milvus::{Client, CollectionName, Error, Flavor, RowSelection};

use super::drift::checks;
use super::run::Ended;
use super::{every_row, without_keys};
use crate::cluster::flush::flush;
use crate::cluster::inventory::Found;
use crate::cluster::retry::repeat;
use crate::event::{Event, Observer, Phase};
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::show;
use crate::plan::{Keys, Plan, PlannedCollection};
use crate::problem::{Code, Problem, Side, Told};
use crate::read::reader;
use crate::read::{KeySample, SAMPLE_ROWS_MIN};
use crate::read::{Part, ReadError, Reader, scan_keys};
use crate::report::new_verification;
use crate::report::{CollectionReport, CountedRows, DriftReport, Evidence, RepairReport};
use crate::request::{Duplicates, RepairScope, VerifyLevel};
use crate::target::flat_params;
use crate::verify::{Expected, Outcome, Surplus, compare, diagnose, expect};

/// Least number of rows compared a collection.
const SAMPLE_ROWS_PER_COLLECTION_MIN: u64 = 1000;
/// Most rows compared a collection: they are digests in memory.
const SAMPLE_ROWS_PER_COLLECTION_MAX: u64 = 100_000;

/// Rows to sample of each of some parts: together at least 1,000 and a thousandth of all, and at least 64 a part.
pub(super) fn sample_rows(rows_estimate: u64, parts: usize) -> usize {
    let wanted = (rows_estimate / 1000).clamp(SAMPLE_ROWS_PER_COLLECTION_MIN, SAMPLE_ROWS_PER_COLLECTION_MAX);
    let per_part = usize::try_from(wanted).unwrap_or(usize::MAX).div_ceil(parts.max(1));
    // A part may hold all rows while others are empty; but thousands of parts need not take a thousand each.
    if parts <= 16 { per_part.max(1000) } else { per_part.max(SAMPLE_ROWS_MIN) }
}

/// What the source's counts say beside the rows that were read.
pub(super) struct Finding<'a> {
    name: &'a CollectionName,
    before: u64,
    after: u64,
    /// Rows that the source counted when it was read.
    counted: u64,
    drifted: bool,
    /// What was looked at, for people.
    checks: Told,
    /// Rows of the source end by themselves, and some have.
    expires: bool,
    expired: u64,
    pub(super) surplus: Surplus,
}

impl<'a> Finding<'a> {
    pub(super) fn new(name: &'a CollectionName) -> Self {
        let (before, after, counted, drifted, checks) = (0, 0, 0, false, checks(&["count".to_owned()], None));
        let (expires, expired, surplus) = (false, 0, Surplus::default());
        Self { name, before, after, counted, drifted, checks, expires, expired, surplus }
    }

    /// What the source held before and after it was read.
    pub(super) fn drift(&mut self, report: &DriftReport, expires: bool) {
        (self.before, self.after) = (report.rows_before, report.rows_after);
        self.drifted |= report.drifted;
        self.checks = checks(&report.checks, report.writes);
        (self.expires, self.expired) = (expires, report.rows_expired);
    }

    /// Rows that the source answered once, and does not any more.
    pub(super) fn gone(&mut self, rows: u64) {
        if self.expires {
            self.expired = self.expired.max(rows);
        } else {
            self.drifted |= rows > 0;
        }
    }

    /// Rows that ended by themselves.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Finds out why a part counts more rows than it returned. Tells how many rows it is that repeat a key or that no query
    /// returns.
    pub(super) async fn explain(
        &mut self,
        reader: &Reader,
        partition: Option<&str>,
        returned: u64,
        counted: u64,
    ) -> Result<u64, ReadError> {
        self.counted += counted;
        self.gone(returned.saturating_sub(counted));
        if counted <= returned {
            return Ok(0);
        }
        let found = diagnose(reader, partition).await?;
        self.drifted |= found.duplicates + found.unreadable != counted - returned;
        self.surplus.duplicates += found.duplicates;
        self.surplus.unreadable += found.unreadable;
        self.surplus.keys.extend(found.keys);
        self.surplus.unreadable_at.extend(found.unreadable_at);
        Ok(found.duplicates + found.unreadable)
    }

    /// Sorts the findings of a copy into problems and warnings.
    pub(super) fn conclude(
        self,
        duplicates: Duplicates,
        allow_drift: bool,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<Problem>,
    ) {
        self.tell_surplus(duplicates, problems, warnings);
        if self.drifted {
            let problem = Problem::new(Code::Drift)
                .with("collection", self.name)
                .with("before", self.before)
                .with("after", self.after)
                .told("checks", self.checks);
            if allow_drift { warnings.push(problem) } else { problems.push(problem) }
        }
    }

    /// The same of a comparison without a job. `rows_now` are those that the source counts at its end.
    fn conclude_comparison(self, rows_now: u64, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
        self.tell_surplus(Duplicates::Warn, problems, warnings);
        if self.drifted {
            problems.push(
                Problem::new(Code::DriftWhileCompared)
                    .with("collection", self.name)
                    .with("before", self.counted)
                    .with("after", rows_now),
            );
        }
    }

    fn tell_surplus(&self, duplicates: Duplicates, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
        if self.surplus.duplicates > 0 {
            let problem = duplicate_problem(self.name, &self.surplus, duplicates);
            match duplicates {
                Duplicates::Warn => warnings.push(problem),
                Duplicates::Fail => problems.push(problem),
            }
        }
        if self.surplus.unreadable > 0 {
            problems.push(
                Problem::new(Code::RowsUnreadable)
                    .with("collection", self.name)
                    .with("rows", self.surplus.unreadable)
                    .told("where", Told::parts(&self.surplus.unreadable_at)),
            );
        }
    }
}

fn duplicate_problem(name: &CollectionName, surplus: &Surplus, duplicates: Duplicates) -> Problem {
    let code = match duplicates {
        Duplicates::Warn => Code::Duplicates,
        Duplicates::Fail => Code::DuplicatesRefused,
    };
    Problem::new(code)
        .with("collection", name)
        .with("surplus", surplus.duplicates)
        .told("keys", Told::items(&surplus.keys))
}

/// Rows that differ, as a problem.
pub(super) fn changed(name: &CollectionName, outcome: &Outcome) -> Problem {
    let (key, field) =
        outcome.changed.first().map(|(_, key, field)| (key.to_string(), field.clone())).unwrap_or_default();
    Problem::new(Code::RowsChanged)
        .with("collection", name)
        .with("rows", outcome.changed.len())
        .with("compared", outcome.rows_compared)
        .with("key", key)
        .with("field", field)
}

/// Rows of the target in partitions that the source does not have, or in none that is listed. `expected` are the
/// source's partitions; empty where they cannot be named.
pub(super) fn rows_elsewhere(
    name: &CollectionName,
    expected: &[String],
    counted: &CountedRows,
) -> Vec<Problem> {
    let is_elsewhere = |(partition, rows): &(&String, &u64)| **rows > 0 && !expected.contains(*partition);
    let (names, rows): (Vec<&String>, Vec<u64>) =
        counted.partitions.iter().filter(is_elsewhere).map(|(name, rows)| (name, *rows)).unzip();
    let places = [
        (
            rows.into_iter().sum(),
            Told::names(&names)
                .behind("in partitions that the source does not have: ", "位于源集群没有的 Partition："),
        ),
        (
            counted.whole.saturating_sub(counted.sum()),
            Told::both("in no listed partition", "不在列出的任何 Partition 中"),
        ),
    ];
    let problem = |(rows, place): (u64, Told)| {
        Problem::new(Code::RowsExtra).with("collection", name).with("rows", rows).told("where", place)
    };
    places.into_iter().filter(|(rows, _)| *rows > 0).map(problem).collect()
}

/// Refuses, before anything is written, loaded collections that repeat a key.
pub(super) async fn refuse_duplicates(source: &Client, plan: &Plan) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let cancel = CancellationToken::new();
    let loaded = |planned: &&PlannedCollection| planned.answers();
    for planned in plan.collections.iter().filter(loaded) {
        let reader = reader(Side::Source, source, &planned.described, &planned.described, &cancel);
        match find_duplicates(&reader, &planned.source, &planned.parts()).await {
            Ok(found) => problems.extend(found),
            Err(error) => {
                let problem = Problem::new(Code::CheckFailed).with("side", "source");
                return Err(vec![problem.with("detail", error)]);
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The refusal of a collection that repeats a key; none if it does not.
pub(super) async fn find_duplicates(
    reader: &Reader,
    name: &CollectionName,
    parts: &[Option<String>],
) -> Result<Option<Problem>, ReadError> {
    let reader = reader.clone().fresh().await?;
    let mut surplus = Surplus::default();
    for part in parts {
        let part = part.as_deref();
        let counted = reader.count_where(part, RowSelection::Everything).await?;
        let (rows, _) = scan_keys(&reader, part, KeySample::new(0, 0)).await?;
        if counted > rows {
            let found = diagnose(&reader, part).await?;
            surplus.duplicates += found.duplicates;
            surplus.keys.extend(found.keys);
        }
    }
    Ok((surplus.duplicates > 0).then(|| duplicate_problem(name, &surplus, Duplicates::Fail)))
}

/// Two servers to compare.
pub(super) struct Sides<'a> {
    pub(super) source: &'a Client,
    pub(super) target: &'a Client,
    pub(super) level: VerifyLevel,
    pub(super) repair: &'a RepairScope,
    pub(super) seed: u64,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a CancellationToken,
}

/// Compares one collection. Both sides are loaded if need be, and put back.
pub(super) async fn compare_pair(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> Ended {
    let started = std::time::Instant::now();
    let name = &of_source.described.name;
    let enter = |phase| sides.observer.on_event(Event::Phase { collection: name.clone(), phase });
    enter(Phase::Verifying);
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let (mut verification, mut evidence) = (new_verification(sides.level), Evidence::default());
    let without_keys = Box::pin(compare_without_keys(sides, of_source, of_target)).await;
    let keys = if matches!(without_keys, Ok(Some(_))) { Keys::Regenerated } else { Keys::Copied };
    let compared = match without_keys {
        Ok(Some(answer)) => {
            warnings.push(Problem::new(Code::ComparedWithoutKeys).with("collection", name));
            Ok(answer)
        }
        Ok(None) if sides.level == VerifyLevel::Full && is_readable(sides, of_source, of_target) => {
            Box::pin(compare_every_row(sides, of_source, of_target, &mut problems, &mut warnings)).await
        }
        Ok(None) => Box::pin(compare_loaded(sides, of_source, of_target, &mut problems, &mut warnings)).await,
        Err(error) => Err(error),
    };
    let definitions = compare_definitions(sides, of_source, of_target);
    let compared = compared.and_then(|answer| Ok((answer, definitions?)));
    match compared {
        Ok((Answer { source, target, outcome, duplicates, repair }, differing)) => {
            verification.source_rows = source.sum();
            verification.target_rows = outcome.target_rows;
            verification.counts_compared = outcome.counts_compared;
            verification.rows_compared = outcome.rows_compared;
            verification.duplicate_rows = duplicates;
            (verification.findings, verification.repair) = (outcome.findings.clone(), repair);
            if !outcome.changed.is_empty() {
                problems.push(changed(name, &outcome));
            }
            problems.extend(outcome.problems);
            problems.extend(rows_elsewhere(name, &every_row::partitions(of_source), &target));
            if problems.is_empty() && source.whole != target.whole + duplicates {
                let problem = Problem::new(Code::RowsDiffer).with("collection", name);
                let detail =
                    format!("{} / {} rows, {duplicates} of them duplicates", source.whole, target.whole);
                problems.push(problem.with("detail", detail));
            }
            problems.extend(differing);
            evidence.verified = problems.is_empty().then_some(sides.level);
            (evidence.source_after, evidence.target) = (Some(source), Some(target));
            evidence.duplicate_rows = Some(duplicates);
        }
        Err(_) if sides.cancel.is_cancelled() => {}
        Err(ReadError::Repair(error)) => {
            problems.push(Problem::new(Code::RepairFailed).with("collection", name).with("detail", error));
        }
        Err(error) => {
            problems.push(Problem::new(Code::NotVerified).with("collection", name).with("detail", error))
        }
    }
    // Only what was compared to its end, and found equal, passed.
    verification.passed = evidence.verified == Some(sides.level) && !sides.cancel.is_cancelled();
    let phase = match (verification.passed, problems.is_empty()) {
        (true, _) => Phase::Done,
        (false, true) => Phase::Canceled,
        (false, false) => Phase::Failed,
    };
    enter(phase);
    let report = CollectionReport {
        source_db: name.db.clone(),
        collection: name.name.clone(),
        target_db: of_target.described.name.db.clone(),
        phase,
        rows: verification.target_rows,
        bytes: 0,
        copy_seconds: 0.0,
        seconds: started.elapsed().as_secs_f64(),
        partitions: Vec::new(),
        verification: Some(verification),
        indexes: Vec::new(),
        aliases: of_target.aliases.clone(),
        changes: Vec::new(),
        loaded: of_target.load.is_complete(),
        source_load: None,
        created: false,
        quarantined: 0,
        keys,
        drift: None,
        evidence,
    };
    Ended { report, problems, warnings }
}

/// What a comparison answers beside problems and warnings.
struct Answer {
    source: CountedRows,
    target: CountedRows,
    outcome: Outcome,
    duplicates: u64,
    repair: Option<RepairReport>,
}

/// What differs in the definitions.
fn compare_definitions(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
) -> Result<Option<Problem>, ReadError> {
    let differing = differences(&of_source.described.schema, &of_target.described.schema)?;
    let mut detail: Vec<Told> = Vec::new();
    if !differing.is_empty() {
        detail.push(show(&differing));
    }
    detail.extend(partition_differences(of_source, of_target));
    // A milvus-lite 2.5 has neither; the plan of a migration names it.
    if sides.target.version().flavor != Flavor::LiteNative {
        let missing: Vec<_> =
            of_source.aliases.iter().filter(|alias| !of_target.aliases.contains(alias)).collect();
        if !missing.is_empty() {
            detail.push(Told::names(&missing).behind("missing aliases: ", "缺少别名："));
        }
        let (before, after) = (ttl(of_source), ttl(of_target));
        if before != after {
            let text = |colon: &str, became: &str, none: &str| {
                let (before, after) = (before.unwrap_or(none), after.unwrap_or(none));
                format!("properties[{PROPERTY_TTL}]{colon}{before} {became} {after}")
            };
            detail.push(Told::both(text(": ", "became", "none"), text("：", "变为", "无")));
        }
    }
    detail.extend(metric_differences(of_source, of_target));
    let problem = Problem::new(Code::SchemaChanged).with("collection", &of_source.described.name);
    Ok((!detail.is_empty()).then(|| problem.told("detail", Told::parts(&detail))))
}

/// Partitions that the target lacks. One that only it has differs by its rows, if there are any.
fn partition_differences(of_source: &Found, of_target: &Found) -> Option<Told> {
    let (source, target) = (every_row::partitions(of_source), every_row::partitions(of_target));
    let missing: Vec<_> = source.iter().filter(|name| !target.contains(name)).collect();
    (!missing.is_empty() && !target.is_empty())
        .then(|| Told::names(&missing).behind("missing partitions: ", "缺少 Partition："))
}

/// How long rows live; none where they do not end.
fn ttl(found: &Found) -> Option<&str> {
    let ttl = found.described.properties.iter().find(|property| property.key == PROPERTY_TTL)?;
    Some(&*ttl.value).filter(|seconds| seconds.parse::<i64>().is_ok_and(|seconds| seconds > 0))
}

/// Distances are those of the source: with another metric type a search answers other rows.
fn metric_differences(of_source: &Found, of_target: &Found) -> Vec<Told> {
    let metric = |found: &Found, field: &str| {
        let index = found.indexes.iter().find(|index| index.field == field)?;
        let params = flat_params(index.params.iter().map(|param| (&*param.key, &*param.value)));
        Some(params.get("metric_type").cloned().unwrap_or_default())
    };
    let vectors = of_source.described.schema.vector_fields().into_iter().map(|field| field.name);
    let one = |field: String| match (metric(of_source, &field), metric(of_target, &field)) {
        (Some(_), None) => Some(Told::both(format!("no index on `{field}`"), format!("`{field}` 没有索引"))),
        (Some(before), Some(after)) if before != after => Some(Told::both(
            format!("metric type of `{field}`: {before} on the source, {after} on the target"),
            format!("`{field}` 的度量类型：源集群 {before}，目标集群 {after}"),
        )),
        (Some(_), Some(_)) | (None, _) => None,
    };
    vectors.filter_map(one).collect()
}

fn is_readable(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> bool {
    !is_bare(sides.source, of_source) && !is_bare(sides.target, of_target)
}

/// Whether the servers make the keys, so that those of the target may be others. A repair says for itself that it can't be.
fn makes_keys(sides: &Sides<'_>, of_source: &Found, of_target: &Found) -> Result<bool, ReadError> {
    let (source, target) = (&of_source.described.schema, &of_target.described.schema);
    let reads_rows = matches!(sides.level, VerifyLevel::Sample | VerifyLevel::Full);
    let is_made = source.is_auto_id() && target.is_auto_id() && differences(source, target)?.is_empty();
    Ok(reads_rows && is_made && is_readable(sides, of_source, of_target) && !sides.repair.is_wanted())
}

/// Compares all rows without their keys, where the servers make these and those of the target are others.
async fn compare_without_keys(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
) -> Result<Option<Answer>, ReadError> {
    if !makes_keys(sides, of_source, of_target)? {
        return Ok(None);
    }
    let compared = Box::pin(while_loaded(sides, Side::Source, of_source, async |source| {
        Box::pin(while_loaded(sides, Side::Target, of_target, async |mut target| {
            target.columns.clone_from(&source.columns);
            let pair = without_keys::Pair {
                name: &of_source.described.name,
                source: &source,
                target: &target,
                parts: every_row::parts(of_source).into_iter().map(|part| part.map(str::to_owned)).collect(),
                set_aside: without_keys::SetAside::new(),
                rows_total: of_source.rows_estimate,
                observer: sides.observer,
            };
            if !pair.keys_differ().await? {
                return Ok(None);
            }
            let compared = pair.compare().await?;
            Ok(Some((compared, count_both(of_source, of_target, &source, &target).await?)))
        }))
        .await
    }))
    .await?;
    let Some((compared, (source, target))) = compared.flatten().flatten() else { return Ok(None) };
    let outcome = Outcome {
        target_rows: target.whole,
        counts_compared: 1,
        rows_compared: compared.source_rows,
        problems: compared.problem.into_iter().collect(),
        ..Outcome::default()
    };
    Ok(Some(Answer { source, target, outcome, duplicates: 0, repair: None }))
}

/// Compares every row, both sides loaded at once, and mends what differs if that is wanted.
async fn compare_every_row(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Result<Answer, ReadError> {
    let name = &of_source.described.name;
    let hindrance = if !differences(&of_source.described.schema, &of_target.described.schema)?.is_empty() {
        Some((
            Told::both("the definitions on source and target differ", "源集群和目标集群的定义不一致"),
            None,
        ))
    } else if of_target.described.schema.is_auto_id() {
        // A server would give the copied row another key, and the row would be there twice.
        let told = Told::both(
            "the target generates the IDs of this collection (auto ID)",
            "该 Collection 的 ID 由目标集群自动生成（AutoID）",
        );
        Some((told, None))
    } else if sides.repair.is_wanted()
        && !sides.repair.contains(sides.target.endpoint(), &of_target.described.name, of_target.described.id)
    {
        let told = Told::both(
            "it was not created by a job recorded here (choose others with --state-dir or --store; --repair-foreign repairs any collection)",
            "它不是由此处记录的任务创建（可用 --state-dir 或 --store 指定其他位置；--repair-foreign 可修复任意 Collection）",
        );
        let of_service =
            Told::both("it was not created by a job of this service", "它不是由本服务的任务创建");
        Some((told, Some(of_service)))
    } else {
        None
    };
    let repair = sides.repair.is_wanted() && hindrance.is_none();
    let compared = while_loaded(sides, Side::Source, of_source, async |source| {
        while_loaded(sides, Side::Target, of_target, async |mut target| {
            target.columns.clone_from(&source.columns);
            let mut pair = every_row::Pair {
                name,
                source,
                target,
                parts: every_row::parts_of(&every_row::parts(of_source), &every_row::parts(of_target)),
                set_aside: std::collections::BTreeSet::new(),
                observer: sides.observer,
                memory: None,
            };
            let mut finding = Finding::new(name);
            let compared = if repair {
                let compared = pair.compare_and_repair(&mut finding, &|_, _| true).await?;
                if compared.repair.is_some() {
                    let flushed =
                        flush(sides.target, Side::Target, &of_target.described.name, sides.cancel).await;
                    flushed.map_err(|error| ReadError::Repair(Box::new(error.into())))?;
                }
                compared
            } else {
                pair.compare(&mut finding, None).await?.0
            };
            let duplicates = finding.surplus.duplicates;
            let counted = count_both(of_source, of_target, &pair.source, &pair.target).await?;
            finding.conclude_comparison(counted.0.sum(), problems, warnings);
            every_row::conclude(name, &compared, problems, warnings);
            if let Some((hindrance, of_service)) =
                hindrance.filter(|_| sides.repair.is_wanted() && !compared.findings.is_empty())
            {
                let problem = Problem::new(Code::NotRepairable).with("collection", name);
                let problem = problem.told("detail", hindrance);
                problems.push(match of_service {
                    Some(of_service) => problem.told("detail_service", of_service),
                    None => problem,
                });
            }
            Ok((compared, counted, duplicates))
        })
        .await
    })
    .await?;
    let Some((compared, (source, target), duplicates)) = compared.flatten() else {
        return Err(not_readable(name).into());
    };
    let outcome = Outcome {
        problems: Vec::new(),
        target_rows: compared.target_rows,
        counts_compared: compared.counts_compared,
        rows_compared: compared.rows_compared,
        rows_compared_before: 0,
        changed: Vec::new(),
        findings: Some(compared.findings),
    };
    Ok(Answer { source, target, outcome, duplicates, repair: compared.repair })
}

async fn compare_loaded(
    sides: &Sides<'_>,
    of_source: &Found,
    of_target: &Found,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Result<Answer, ReadError> {
    let name = &of_source.described.name;
    let expected = while_loaded(sides, Side::Source, of_source, async |reader| {
        let mut finding = Finding::new(name);
        let mut expected = Expected::default();
        let parts: Vec<_> = every_row::parts(of_source);
        let size = if sides.level == VerifyLevel::Sample {
            sample_rows(of_source.rows_estimate, parts.len())
        } else {
            0
        };
        for part in parts {
            let counted = reader.count_where(part, RowSelection::Everything).await?;
            let (rows, sample) = scan_keys(&reader, part, KeySample::new(size, sides.seed)).await?;
            finding.explain(&reader, part, rows, counted).await?;
            let gone = expect(&reader, &mut expected, part, rows, 0, counted, sample.into_keys()).await?;
            finding.gone(gone as u64);
        }
        let duplicates = finding.surplus.duplicates;
        let counted = reader.count_all(&every_row::partitions(of_source)).await?;
        finding.conclude_comparison(counted.sum(), problems, warnings);
        Ok((expected, counted, duplicates))
    })
    .await?;
    // A source without an index holds nothing, and the target must not either.
    let nothing = || Expected { counts: vec![(Part::default(), 0)], ..Expected::default() };
    let (expected, source, duplicates) = expected.unwrap_or_else(|| (nothing(), CountedRows::default(), 0));
    let outcome = while_loaded(sides, Side::Target, of_target, async |mut reader| {
        reader.columns = of_source.described.schema.columns();
        // A partition that the target lacks was told of with the definitions, and cannot be asked for.
        let there = every_row::partitions(of_target);
        let mut expected = expected.clone();
        let missing = expected.leave_out(|partition| there.is_empty() || there.contains(partition));
        let mut outcome = compare(&reader, name, &expected).await?;
        if missing > 0 {
            let problem = Problem::new(Code::RowsMissing).with("collection", name).with("rows", missing);
            let place =
                Told::both("in partitions that the target does not have", "位于目标集群没有的 Partition");
            outcome.problems.push(problem.told("where", place));
        }
        Ok((outcome, reader.count_all(&named_partitions(of_source, of_target)).await?))
    })
    .await?;
    let (outcome, target) = match outcome {
        Some(compared) => compared,
        None => {
            let mut outcome = Outcome { counts_compared: 1, ..Outcome::default() };
            if expected.source_rows > 0 {
                let problem = Problem::new(Code::RowsMissing).with("collection", name);
                let problem = problem.with("rows", expected.source_rows);
                outcome.problems.push(problem.told("where", Told::both("in total", "总计")));
            }
            (outcome, CountedRows::default())
        }
    };
    Ok(Answer { source, target, outcome, duplicates, repair: None })
}

/// Counts both sides whole while they are loaded.
async fn count_both(
    of_source: &Found,
    of_target: &Found,
    source: &Reader,
    target: &Reader,
) -> Result<(CountedRows, CountedRows), ReadError> {
    let named = named_partitions(of_source, of_target);
    // As of now: a repair may have written a moment ago.
    let (source, target) = (source.clone().fresh().await?, target.clone().fresh().await?);
    Ok((source.count_all(&named).await?, target.count_all(&named).await?))
}

/// The partitions of both sides; none where one of them cannot name any.
fn named_partitions(of_source: &Found, of_target: &Found) -> Vec<String> {
    let (source, target) = (every_row::partitions(of_source), every_row::partitions(of_target));
    if source.is_empty() || target.is_empty() {
        return Vec::new();
    }
    source.into_iter().chain(target).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a collection holds no rows and can't be loaded.
fn is_bare(client: &Client, found: &Found) -> bool {
    client.version().flavor == Flavor::Milvus
        && found.unindexed_vector().is_some()
        && found.rows_estimate == 0
}

/// A collection that cannot be loaded, and so not be read.
fn not_readable(name: &CollectionName) -> Error {
    let text = format!("`{name}` has a vector field without an index and cannot be loaded");
    Error::new(vecferry_milvus::ErrorKind::NotLoaded, "LoadCollection", text)
}

/// Does something with a collection while it is completely loaded, and puts it back. `None` if it holds no rows and
/// can't be loaded.
async fn while_loaded<Answer>(
    sides: &Sides<'_>,
    side: Side,
    found: &Found,
    act: impl AsyncFnOnce(Reader) -> Result<Answer, ReadError>,
) -> Result<Option<Answer>, ReadError> {
    let name = &found.described.name;
    let client = match side {
        Side::Source => sides.source,
        Side::Target => sides.target,
    };
    if is_bare(client, found) {
        return Ok(None);
    }
    if client.version().flavor == Flavor::Milvus && found.unindexed_vector().is_some() {
        return Err(not_readable(name).into());
    }
    let result = async {
        found.load.complete(client, side, name, sides.cancel).await?;
        let reader = reader(side, client, &found.described, &found.described, sides.cancel).fresh().await?;
        act(reader).await
    }
    .await;
    // Also after a cancellation, hence not to be canceled itself.
    let never = CancellationToken::new();
    repeat(&never, || found.load.restore(client, name)).await?;
    result.map(Some)
}
