//! Comparisons of every row of one collection while both sides are loaded, and their repair.

mod cuts;
mod parts;
mod pass;
mod ranges;
mod record;
mod repair;
mod swapped;

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use vecferry_milvus::{CollectionName, Key, KeyRange, RowSelection};
use vecferry_store::Position;

pub(super) use self::cuts::Cuts;
use self::parts::PartOf;
pub(super) use self::parts::{partitions, parts, parts_of};
use self::pass::Pass;
use self::record::Memory;
use super::drift::expires;
use super::finding::Finding;
use super::run::Job;
use crate::event::Observer;
use crate::plan::PlannedCollection;
use crate::problem::{Code, Problem, Side, Told};
use crate::read::{ReadError, Reader, reader};
use crate::report::{Findings, FoundRows, RepairReport, RowName};
use crate::verify::{FullOutcome, Repair, Surplus, diagnose};

/// Ranges that are compared at once.
const RANGES_PARALLEL: usize = 4;

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
    /// Where the keys may be cut; none where nobody knows.
    pub(super) cuts: Option<Cuts>,
}

/// Rows of a part of one side, as it counts and as it answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    side: Side,
    partition: Option<String>,
    counted: u64,
    /// Distinct keys that were compared, or found on this side alone.
    read: u64,
    /// Rows beyond these that repeat a key, or that no query returns.
    beyond: u64,
}

impl Account {
    fn adds_up(&self) -> bool {
        self.counted == self.read + self.beyond
    }
}

/// What a comparison of every row came to.
#[derive(Default)]
pub(super) struct Compared {
    /// Of every part and side, in the order of the parts.
    pub(super) accounts: Vec<Account>,
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
        let pass = Pass::new(self, repair, rows_total).of_ranges(&ranges);
        let mut by_part = vec![FullOutcome::default(); self.parts.len()];
        for (index, outcome) in pass.compare_all(ranges).await? {
            by_part[index].add(outcome);
        }
        let mut compared = Compared { rows_compared_before, ..Compared::default() };
        let mut distinct = Vec::new();
        for ((part, (of_source, of_target)), outcome) in self.parts.iter().zip(counts).zip(by_part) {
            let partition = part.partition.as_deref();
            let beyond = finding.explain(&self.source, partition, outcome.source_rows, of_source).await?;
            let account = |side, counted, read, beyond| Account {
                side,
                partition: part.partition.clone(),
                counted,
                read,
                beyond,
            };
            compared.accounts.push(account(Side::Source, of_source, outcome.source_rows, beyond));
            compared.source_rows += of_source;
            compared.target_rows += of_target;
            compared.counts_compared += 1;
            compared.rows_compared += outcome.rows_compared;
            distinct.push(outcome.source_rows);
            let rows_of_target = outcome.target_rows;
            compared.findings.add(outcome.findings);
            let mut beyond = 0;
            if of_target > rows_of_target {
                let surplus = self.surplus_of_target(part, &mut compared.findings).await?;
                beyond = surplus.duplicates + surplus.unreadable;
                let keys = surplus.keys;
                pass.differs(&KeyRange::default());
                if let Some(repair) = repair {
                    let copied = repair.copy(partition, &keys).await;
                    copied.map_err(|error| ReadError::Repair(Box::new(error)))?;
                }
            }
            compared.accounts.push(account(Side::Target, of_target, rows_of_target, beyond));
        }
        self.find_swapped(&mut compared.findings, repair.is_none()).await?;
        Ok((compared, pass.differing(), distinct))
    }

    /// Rows of the target beyond one a key.
    async fn surplus_of_target(&self, part: &PartOf, findings: &mut Findings) -> Result<Surplus, ReadError> {
        let surplus = diagnose(&self.target, part.partition.as_deref()).await?;
        let name = |key: &Key| RowName::new(part.partition.clone(), key, Vec::new());
        let first = surplus.keys.iter().map(name).collect();
        findings.add(Findings {
            repeated_on_target: FoundRows { rows: surplus.duplicates, first },
            extra: FoundRows { rows: surplus.unreadable, first: Vec::new() },
            ..Findings::default()
        });
        Ok(surplus)
    }

    /// What a side counts and does not answer, or answers and does not count, was not compared: both sides may have left
    /// out the same rows, and rows may have come or gone meanwhile. A server that counts wrong for a moment is asked again.
    async fn unaccounted(&self, accounts: &[Account]) -> Result<Option<Problem>, ReadError> {
        let mut told = Vec::new();
        for account in accounts.iter().filter(|account| !account.adds_up()) {
            let of_side = match account.side {
                Side::Source => &self.source,
                Side::Target => &self.target,
            };
            let partition = account.partition.as_deref();
            let counted = of_side.clone().fresh().await?;
            let counted = counted.count_where(partition, RowSelection::Everything).await?;
            let again = Account { counted, ..account.clone() };
            if !again.adds_up() {
                told.push(again.told());
            }
        }
        let problem = || {
            let problem = Problem::new(Code::NotVerified).with("collection", self.name);
            problem.told("detail", Told::first_of_both(&told, told.len() as u64))
        };
        Ok((!told.is_empty()).then(problem))
    }
}

impl Account {
    fn told(&self) -> (String, String) {
        let Self { side, partition, counted, read, beyond } = self;
        let (en, zh) = match side {
            Side::Source => ("source", "源集群"),
            Side::Target => ("target", "目标集群"),
        };
        let place = partition.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let answered = read + beyond;
        (
            format!("{en}{place}: counts {counted} rows, answered {answered}"),
            format!("{zh}{place}：计数 {counted} 行，返回 {answered} 行"),
        )
    }
}

/// Reads the source as of now.
async fn source_of(job: &Job, planned: &PlannedCollection) -> Result<Reader, ReadError> {
    let reader = reader(Side::Source, &job.source, &planned.described, &planned.described, &job.cancel);
    Ok(reader.fresh().await?)
}

/// Reads of the source what there is memory for, before the target can be read. What fails is left to the comparison.
pub(super) async fn read_ahead(job: &Job, planned: &PlannedCollection, cuts: &Cuts) {
    match source_of(job, planned).await {
        Ok(source) => cuts.read_ahead(&source).await,
        Err(error) => tracing::debug!(%error, "the source is not read ahead"),
    }
}

/// Compares every row after a copy, while both sides are loaded. Some rows are known to be missing on the target. With a
/// position it is recorded how far it is, from which a later attempt goes on.
pub(super) async fn after_copy(
    job: &Job,
    planned: &PlannedCollection,
    target: &Reader,
    recorded_for: Option<Position>,
    set_aside: BTreeSet<(Option<String>, Key)>,
    cuts: Option<Cuts>,
) -> Result<Compared, ReadError> {
    if !planned.readable {
        return Ok(Compared::default());
    }
    let source = source_of(job, planned).await?;
    let parts = planned.parts();
    let parts: Vec<_> = parts.iter().map(Option::as_deref).collect();
    let pair = Pair {
        name: &planned.source,
        source,
        target: target.clone(),
        parts: parts_of(&parts, &parts),
        set_aside,
        observer: &*job.observer,
        memory: recorded_for.map(|position| Memory { store: &*job.store, attempt: &job.attempt, position }),
        cuts,
    };
    // What the source's counts say was found out right after the copy.
    let mut finding = Finding::new(&planned.source);
    let (mut compared, _, _) = pair.compare(&mut finding, None).await?;
    // Where rows end by themselves they may do so between a count and an answer.
    if !expires(planned) {
        compared.problems.extend(pair.unaccounted(&compared.accounts).await?);
    }
    Ok(compared)
}
