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
use super::finding::Finding;
use super::run::Job;
use crate::event::Observer;
use crate::plan::PlannedCollection;
use crate::problem::{Problem, Side};
use crate::read::{ReadError, Reader, reader};
use crate::report::{Findings, FoundRows, RepairReport, RowName};
use crate::verify::{FullOutcome, Repair, diagnose};

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
                pass.differs(&KeyRange::default());
                if let Some(repair) = repair {
                    let copied = repair.copy(partition, &keys).await;
                    copied.map_err(|error| ReadError::Repair(Box::new(error)))?;
                }
            }
        }
        self.find_swapped(&mut compared.findings, repair.is_none()).await?;
        Ok((compared, pass.differing(), distinct))
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

/// Compares every row after a copy, while both sides are loaded. Some rows are known to be missing on the target.
pub(super) async fn after_copy(
    job: &Job,
    planned: &PlannedCollection,
    target: &Reader,
    position: Position,
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
        memory: Some(Memory { store: &*job.store, attempt: &job.attempt, position }),
        cuts,
    };
    // What the source's counts say was found out right after the copy.
    let mut finding = Finding::new(&planned.source);
    pair.compare(&mut finding, None).await.map(|(compared, _, _)| compared)
}
