//! Whether the source changed while it was copied: what it held before the first page, against what it holds behind the
//! last one.
//!
//! Counts see rows that came or went. Where a server tells its loaded segments, the rows in these see updates as well,
//! which add a row and take one away; but compaction removes what was deleted, so fewer rows there say nothing, and an
//! update that is compacted in between is found only by comparing rows. Numbers of segments say nothing at all.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind};

use crate::inventory;
use crate::plan::PlannedCollection;
use crate::precheck::PROPERTY_TTL;
use crate::problem::{Code, Problem};
use crate::report::{CountedRows, DriftReport};

/// A segment that is being replaced is there twice for a moment: more rows count only if they stay.
const LOOKS_MAX: u32 = 6;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What a source collection held at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Holding {
    /// Rows of each part.
    pub(super) counts: Vec<u64>,
    /// Rows of the loaded segments, deleted ones too; absent where the server does not tell.
    pub(super) segment_rows: Option<i64>,
    /// All rows, counted without naming a partition; absent in what earlier versions recorded.
    pub(super) whole: Option<u64>,
}

/// Earlier versions recorded the counts alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    Holding {
        counts: Vec<u64>,
        segment_rows: Option<i64>,
        #[serde(default)]
        whole: Option<u64>,
    },
    Counts(Vec<u64>),
}

impl Holding {
    pub(super) fn read(document: &str) -> Result<Self, serde_json::Error> {
        Ok(match serde_json::from_str(document)? {
            Recorded::Holding { counts, segment_rows, whole } => Self { counts, segment_rows, whole },
            Recorded::Counts(counts) => Self { counts, segment_rows: None, whole: None },
        })
    }

    pub(super) fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// As a fact of the report; none if the whole was not counted.
    pub(super) fn counted(&self, parts: &[Option<String>]) -> Option<CountedRows> {
        let named = parts.iter().zip(&self.counts).filter_map(|(part, rows)| Some((part.clone()?, *rows)));
        Some(CountedRows { whole: self.whole?, partitions: named.collect() })
    }
}

/// Rows of the loaded segments, growing ones too where the server tells these (2.3.5 does not: there, new rows count from
/// when their segment is sealed); each segment once, however many replicas hold it.
pub(crate) async fn segment_rows(source: &Client, name: &CollectionName) -> Result<Option<i64>, Error> {
    let segments = match source.loaded_segments(name).await {
        Ok(segments) => segments,
        // Just started.
        Err(error) if error.kind() == ErrorKind::NotLoaded => None,
        Err(error) => return Err(error),
    };
    Ok(segments.map(|segments| {
        let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
        for segment in segments {
            let known = rows.entry(segment.id).or_default();
            *known = segment.rows.max(*known);
        }
        rows.values().sum()
    }))
}

/// The same behind the copy: more than before only if that does not pass.
pub(super) async fn segment_rows_after(
    source: &Client,
    name: &CollectionName,
    before: Option<i64>,
) -> Result<Option<i64>, Error> {
    if before.is_none() {
        return Ok(None);
    }
    let mut looks = 1;
    loop {
        let now = segment_rows(source, name).await?;
        if now <= before || looks == LOOKS_MAX {
            return Ok(now);
        }
        looks += 1;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Whether rows of a collection end by themselves.
pub(super) fn expires(planned: &PlannedCollection) -> bool {
    let ttl = planned.described.properties.iter().find(|property| property.key == PROPERTY_TTL);
    ttl.and_then(|ttl| ttl.value.parse::<i64>().ok()).is_some_and(|seconds| seconds > 0)
}

/// What of the source is not as it was planned, beside its rows. Partitions that came are named with their rows.
pub(super) async fn changes_of_source(
    source: &Client,
    planned: &PlannedCollection,
    counted: &CountedRows,
) -> Result<Vec<String>, Error> {
    let Some(now) = inventory::look(source, &planned.source).await? else {
        return Ok(vec!["it was dropped".to_owned()]);
    };
    let mut found = planned.changes_of_source(&now.described, &now.partitions, &now.aliases);
    let is_new = |(name, rows): &(&String, &u64)| **rows > 0 && !planned.partitions.contains(*name);
    let rows: Vec<_> = counted.partitions.iter().filter(is_new).collect();
    if !rows.is_empty() {
        let total: u64 = rows.iter().map(|(_, rows)| **rows).sum();
        found.push(format!("{total} row(s) are in partitions that were added"));
    }
    Ok(found)
}

/// The source is not any more what was planned.
pub(super) fn source_changed(planned: &PlannedCollection, changes: &[String]) -> Problem {
    let problem = Problem::new(Code::SourceObjectsChanged).with("collection", &planned.source);
    problem.with("detail", changes.join("; "))
}

/// What changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Somebody wrote.
    pub(super) drifted: bool,
    /// Rows whose time was over.
    pub(super) expired: u64,
}

/// Compares what was there. Where rows end by themselves, fewer of them are no change by anybody.
pub(super) fn change(before: &Holding, after: &Holding, expires: bool) -> Change {
    let mut change = Change::default();
    for (before, after) in before.counts.iter().zip(&after.counts) {
        if expires && after < before {
            change.expired += before - after;
        } else {
            change.drifted |= before != after;
        }
    }
    // A partition that was not planned shows only here.
    change.drifted |=
        !expires && before.whole.zip(after.whole).is_some_and(|(before, after)| before != after);
    change.drifted |=
        before.segment_rows.zip(after.segment_rows).is_some_and(|(before, after)| after > before);
    change
}

/// For the report.
pub(super) fn report(before: &Holding, after: &Holding, change: Change) -> DriftReport {
    let mut checks = vec!["count".to_owned()];
    if before.segment_rows.is_some() && after.segment_rows.is_some() {
        checks.push("segments".to_owned());
    }
    DriftReport {
        checks,
        rows_before: before.rows(),
        rows_after: after.rows(),
        segment_rows_before: before.segment_rows,
        segment_rows_after: after.segment_rows,
        rows_expired: change.expired,
        drifted: change.drifted,
        changes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(counts: &[u64], segment_rows: Option<i64>) -> Holding {
        Holding { counts: counts.to_vec(), segment_rows, whole: None }
    }

    #[test]
    fn writes_are_told_from_rows_that_ended_and_from_compaction() {
        let before = holding(&[10, 20], Some(40));
        for (after, expires, drifted, expired) in [
            (holding(&[10, 20], Some(40)), false, false, 0),
            (holding(&[10, 20], Some(30)), false, false, 0),
            (holding(&[10, 20], Some(41)), false, true, 0),
            (holding(&[10, 21], Some(41)), true, true, 0),
            (holding(&[9, 20], Some(40)), false, true, 0),
            (holding(&[9, 21], None), true, true, 1),
            (holding(&[3, 18], Some(40)), true, false, 9),
            (holding(&[11, 19], None), false, true, 0),
        ] {
            assert_eq!(change(&before, &after, expires), Change { drifted, expired }, "{after:?}");
        }
    }

    #[test]
    fn what_earlier_versions_recorded_is_read() {
        assert_eq!(Holding::read("[1,2]").unwrap(), holding(&[1, 2], None));
        let now = holding(&[1], Some(-3));
        assert_eq!(Holding::read(&serde_json::to_string(&now).unwrap()).unwrap(), now);
    }
}
