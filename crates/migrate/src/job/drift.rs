//! Whether the source changed while it was copied: what it held before the first page, against what it holds behind the
//! last one.
//!
//! Counts see rows that came or went, and the stored segments see updates ([`super::writes`]). Where these are not to be
//! seen, the rows in the loaded segments are looked at: an update adds one and takes one away there, but compaction
//! removes what was deleted, so fewer of them say nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Client, CollectionName, Error};

use super::run::Job;
use super::writes::{LIMITED_MAX, Look, Looker};
use crate::cluster::inventory;
use crate::cluster::segments::not_to_be_seen;
use crate::plan::properties::PROPERTY_TTL;
use crate::plan::{PlannedCollection, SourceChange};
use crate::problem::{Code, Problem, Told};
use crate::report::{CollectionReport, CountedRows, DriftReport, Report, UnseenWrites, Verification, Writes};
use crate::request::VerifyLevel;

/// What a source collection held at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Rows of each part.
    pub(super) counts: Vec<u64>,
    /// Rows of the loaded segments, deleted ones too; absent where the server does not tell, or the stored ones are seen.
    pub(super) segment_rows: Option<i64>,
    /// All rows, counted without naming a partition; absent in what earlier versions recorded.
    pub(super) whole: Option<u64>,
    /// The stored segments; absent where an earlier version recorded this.
    pub(super) stored: Option<Look>,
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
        #[serde(default)]
        stored: Option<Look>,
    },
    Counts(Vec<u64>),
}

impl Holding {
    pub(super) fn read(document: &str) -> Result<Self, serde_json::Error> {
        Ok(match serde_json::from_str(document)? {
            Recorded::Holding { counts, segment_rows, whole, stored } => {
                Self { counts, segment_rows, whole, stored }
            }
            Recorded::Counts(counts) => Self { counts, ..Self::default() },
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

    /// Why updates will not be seen; none if they will.
    pub(super) fn unseen(&self) -> Option<UnseenWrites> {
        match &self.stored {
            Some(Look::Segments(_)) => None,
            Some(Look::Unseen(reason)) => Some(*reason),
            None => Some(UnseenWrites::EarlierVersion),
        }
    }
}

/// For whoever looks at a job under way: where updates of existing rows will not be seen, by what was recorded of the
/// source collections before they were copied.
pub(super) fn updates_unseen<'a>(recorded: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Problem> {
    let reason =
        |(name, document): (&str, &str)| Some((Holding::read(document).ok()?.unseen()?, name.to_owned()));
    grouped(recorded.into_iter().filter_map(reason))
}

/// How a job looks at the stored segments of its source, which is loaded as a whole or not. Where rows end by themselves,
/// fewer of them say nothing: only a flush shows that some were deleted.
pub(super) fn looker<'a>(job: &'a Job, planned: &PlannedCollection, is_loaded: bool) -> Looker<'a> {
    Looker {
        source: &job.source,
        flushes: &job.source_flushes,
        observer: job.observer.as_ref(),
        cancel: &job.cancel,
        limited_max: LIMITED_MAX,
        is_loaded: is_loaded && !expires(planned),
        flushed: &job.source_flushed,
    }
}

/// Whether somebody wrote to a source collection since what was recorded of it before the first attempt read the first
/// row. What had to be loaded for the copy may be released again by then.
pub(super) async fn writes_since(
    job: &Job,
    planned: &PlannedCollection,
    before: &Holding,
) -> Result<Writes, Error> {
    since(&looker(job, planned, !planned.needs_load), &planned.source, before).await
}

/// The same at the end of a job, for a collection that was looked at when it was complete. Where the server flushes it
/// so soon only after a wait, that look was a moment ago and counts.
pub(super) async fn writes_at_end(
    job: &Job,
    planned: &PlannedCollection,
    before: &Holding,
) -> Result<Writes, Error> {
    let looker = Looker { limited_max: Duration::ZERO, ..looker(job, planned, !planned.needs_load) };
    Ok(match since(&looker, &planned.source, before).await? {
        Writes::Unknown { reason: UnseenWrites::FlushLimited }
            if looker.has_just_flushed(&planned.source) =>
        {
            match &before.stored {
                Some(look) => looker.since_without_flush(&planned.source, look).await?,
                None => Writes::Unknown { reason: UnseenWrites::EarlierVersion },
            }
        }
        // Somebody else flushes it.
        Writes::Unknown { reason: UnseenWrites::FlushLimited } => writes_since(job, planned, before).await?,
        writes @ (Writes::None | Writes::Written { .. } | Writes::Unknown { .. }) => writes,
    })
}

async fn since(looker: &Looker<'_>, name: &CollectionName, before: &Holding) -> Result<Writes, Error> {
    match &before.stored {
        Some(look) => looker.since(name, look).await,
        None => Ok(Writes::Unknown { reason: UnseenWrites::EarlierVersion }),
    }
}

/// Adds what the stored segments say. Tells whether that is news: somebody wrote, and nothing else said so.
pub(super) fn add_writes(report: &mut DriftReport, writes: Writes) -> bool {
    let was_known = report.drifted;
    report.checks.retain(|check| check != "writes");
    if !matches!(writes, Writes::Unknown { .. }) {
        report.checks.push("writes".to_owned());
    }
    report.drifted |= matches!(writes, Writes::Written { .. });
    report.writes = Some(writes);
    report.drifted && !was_known
}

/// What was looked at, for people, by its names for machines.
pub(super) fn checks(names: &[String], writes: Option<Writes>) -> Told {
    let one = |name: &String| match (name.as_str(), writes) {
        ("count", _) => Told::both("row counts", "行数"),
        ("segments", _) => Told::both("loaded segments", "已加载的 Segment"),
        ("writes", Some(Writes::Written { rows })) => {
            let noun = if rows == 1 { "row" } else { "rows" };
            Told::both(
                format!("persisted segments ({rows} new {noun})"),
                format!("已持久化的 Segment（新增 {rows} 行）"),
            )
        }
        ("writes", _) => Told::both("persisted segments", "已持久化的 Segment"),
        (name, _) => name.into(),
    };
    Told::phrase(&names.iter().map(one).collect::<Vec<_>>(), ", ", "、")
}

/// That the source changed.
pub(super) fn problem(name: &CollectionName, report: &DriftReport) -> Problem {
    Problem::new(Code::Drift)
        .with("collection", name)
        .with("before", report.rows_before)
        .with("after", report.rows_after)
        .told("checks", checks(&report.checks, report.writes))
}

/// For the end of a job: where updates could not be seen and nothing else proves that there were none.
pub(super) fn unseen(report: &Report) -> Vec<Problem> {
    let reads_all =
        |verification: &Verification| verification.level == VerifyLevel::Full && verification.passed;
    let unseen = |collection: &CollectionReport| {
        let drift = collection.drift.as_ref().filter(|drift| !drift.drifted)?;
        let is_proved = collection.verification.as_ref().is_some_and(reads_all);
        match drift.writes? {
            // What a look behind the comparison did not see is not what that compared.
            // Nor does a comparison show what was written until the switch behind it.
            Writes::Unknown { reason }
                if !is_proved
                    || drift.read_ahead
                    || reason.is_of_later_look()
                    || collection.caught_up.is_some() =>
            {
                Some((reason, collection.source_name().to_string()))
            }
            Writes::Unknown { .. } | Writes::None | Writes::Written { .. } => None,
        }
    };
    let found = grouped(report.collections.iter().filter_map(unseen));
    // The plan said so before.
    let call = |of: &Problem| of.values.iter().find(|(name, _)| name == "call").map(|(_, call)| call.clone());
    let is_known = |problem: &Problem| {
        let same = |warning: &Problem| warning.code == problem.code && call(warning) == call(problem);
        problem.code == Code::UpdatesUnseen && report.warnings.iter().any(same)
    };
    found.into_iter().filter(|problem| !is_known(problem)).collect()
}

/// One problem for each reason that a person can do something about.
fn grouped(found: impl Iterator<Item = (UnseenWrites, String)>) -> Vec<Problem> {
    let mut names: BTreeMap<Option<&'static str>, Vec<String>> = BTreeMap::new();
    for (reason, name) in found {
        names.entry(reason.missing_call()).or_default().push(name);
    }
    let one = |(call, names): (Option<&'static str>, Vec<String>)| match call {
        Some(call) => not_to_be_seen(names.len(), call),
        None => Problem::new(Code::UpdatesHidden)
            .with("number", names.len())
            .told("collections", Told::names(&names)),
    };
    names.into_iter().map(one).collect()
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
) -> Result<Vec<SourceChange>, Error> {
    let Some(now) = inventory::look(source, &planned.source).await? else {
        return Ok(vec![SourceChange::Dropped]);
    };
    let mut found = planned.changes_of_source(&now.described, &now.partitions, &now.aliases);
    let is_new = |(name, rows): &(&String, &u64)| **rows > 0 && !planned.partitions.contains(*name);
    let rows: Vec<_> = counted.partitions.iter().filter(is_new).collect();
    if !rows.is_empty() {
        let total: u64 = rows.iter().map(|(_, rows)| **rows).sum();
        found.push(SourceChange::RowsInNewPartitions(total));
    }
    Ok(found)
}

/// The source is not any more what was planned.
pub(super) fn source_changed(planned: &PlannedCollection, changes: &[SourceChange]) -> Problem {
    let problem = Problem::new(Code::SourceObjectsChanged).with("collection", &planned.source);
    problem.told("detail", Told::parts(&SourceChange::all_told(changes)))
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
        writes: None,
        read_ahead: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(counts: &[u64], segment_rows: Option<i64>) -> Holding {
        Holding { counts: counts.to_vec(), segment_rows, ..Holding::default() }
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
        let of_before = r#"{"counts":[1],"segment_rows":-3}"#;
        assert_eq!(Holding::read(of_before).unwrap(), holding(&[1], Some(-3)));
        let codes =
            |document| updates_unseen([("d.c", document)]).iter().map(|one| one.code).collect::<Vec<_>>();
        assert_eq!(codes(of_before), [Code::UpdatesHidden]);
        let unseen = r#"{"counts":[1],"segment_rows":-3,"stored":{"unseen":"flush_not_allowed"}}"#;
        assert_eq!(codes(unseen), [Code::UpdatesUnseen]);
        let stored = Some(Look::Segments(Vec::new()));
        let now = Holding { stored, ..holding(&[1], None) };
        let document = serde_json::to_string(&now).unwrap();
        assert_eq!((Holding::read(&document).unwrap(), codes(&document)), (now, Vec::new()));
    }

    #[test]
    fn writes_are_news_once() {
        let before = holding(&[10], None);
        let mut report = report(&before, &before, Change::default());
        assert!(!add_writes(&mut report, Writes::Unknown { reason: UnseenWrites::Rewritten }));
        assert_eq!((&report.checks[..], report.drifted), (&["count".to_owned()][..], false));
        assert!(add_writes(&mut report, Writes::Written { rows: 3 }));
        assert_eq!((report.checks[1].as_str(), report.drifted), ("writes", true));
        assert!(!add_writes(&mut report, Writes::Written { rows: 3 }));
    }
}
