//! How source and target compare, down to the rows and fields that differ.

use vecferry_migrate::report::{CollectionReport, Findings, FoundRows, RowName, Verification};
use vecferry_migrate::{Problem, Report, VerifyLevel};
use vecferry_report::{figures, labels};
use vecferry_words::Lang;

use super::record::Began;
use super::words;
use crate::console::show::{Say, Trouble};

/// Collections of a page; the report has all.
const LINES_MAX: usize = 200;
/// Collections whose differing rows are listed, and problems of one of them.
const DIFFERENCES_MAX: usize = 50;
const PROBLEMS_MAX: usize = 20;
/// Rows of one kind that are listed of a collection.
const ROWS_MAX: usize = 100;

/// A comparison.
#[derive(Default)]
pub(super) struct Comparison {
    /// What differs comes first.
    pub(super) lines: Vec<Compared>,
    /// Collections that are not among them.
    pub(super) more: usize,
    pub(super) differences: Vec<Difference>,
    /// Collections that were compared, of how many, and rows that differ in them.
    pub(super) compared: usize,
    pub(super) count: usize,
    pub(super) differing: u64,
}

/// A collection that is compared.
pub(super) struct Compared {
    pub(super) name: String,
    pub(super) tone: &'static str,
    pub(super) word: String,
    pub(super) source_rows: String,
    pub(super) target_rows: String,
    pub(super) rows_compared: String,
    rank: u8,
}

/// A collection that differs, and in what.
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) rows: Vec<DifferingRows>,
    pub(super) problems: Vec<Trouble>,
}

/// Rows that differ in the same way.
pub(super) struct DifferingRows {
    pub(super) title: &'static str,
    pub(super) count: String,
    pub(super) rows: Vec<String>,
    /// Rows that are not listed.
    pub(super) more: Option<String>,
}

impl Comparison {
    /// Of a report.
    pub(super) fn of_report(t: Say, report: &Report) -> Self {
        let of = |collection: &CollectionReport| {
            let name = collection.source_name().to_string();
            let problems = of_collection(&report.problems, &name);
            (name, collection.verification.clone(), problems)
        };
        Self::new(t, report.collections.iter().map(of))
    }

    /// Of what is complete so far.
    pub(super) fn so_far(t: Say, began: &Began) -> Self {
        Self::new(
            t,
            began.lines.iter().map(|line| {
                let verification = line.report.as_ref().and_then(|report| report.verification.clone());
                (line.name.clone(), verification, line.problems.clone())
            }),
        )
    }

    fn new(t: Say, collections: impl Iterator<Item = (String, Option<Verification>, Vec<Problem>)>) -> Self {
        let mut all = Self::default();
        for (name, verification, problems) in collections {
            // One that did not come to compare anything is none.
            let verification = verification.filter(|proof| {
                proof.passed
                    || proof.counts_compared > 0
                    || proof.rows_compared > 0
                    || proof.findings.is_some()
            });
            all.count += 1;
            all.compared += usize::from(verification.is_some());
            let rows = verification.as_ref().map(|proof| differing(t.0, proof)).unwrap_or_default();
            all.differing += verification.as_ref().map_or(0, differing_rows);
            all.lines.push(Compared::new(t, &name, verification.as_ref()));
            let has_any = !rows.is_empty() || !problems.is_empty();
            if has_any && all.differences.len() < DIFFERENCES_MAX {
                let problems = problems.iter().take(PROBLEMS_MAX);
                let problems = problems.map(|problem| Trouble::of(problem, t.0)).collect();
                all.differences.push(Difference { name, rows, problems });
            }
        }
        all.lines.sort_by_key(|line| line.rank);
        all.more = all.lines.len().saturating_sub(LINES_MAX);
        all.lines.truncate(LINES_MAX);
        all
    }
}

/// Problems that name a collection.
fn of_collection(problems: &[Problem], name: &str) -> Vec<Problem> {
    let names =
        |problem: &&Problem| problem.values.iter().any(|(key, value)| key == "collection" && value == name);
    problems.iter().filter(names).cloned().collect()
}

impl Compared {
    fn new(t: Say, name: &str, proof: Option<&Verification>) -> Self {
        let (tone, rank, word) = match proof {
            None => ("idle", 2, labels::not_verified(t.0).to_owned()),
            Some(proof) if !proof.passed => ("bad", 0, t.say("different", "不一致").to_owned()),
            Some(Verification { level: VerifyLevel::None, .. }) => {
                ("idle", 1, labels::verified_none(t.0).to_owned())
            }
            Some(proof) => {
                let level = words::level(t.0, proof.level);
                ("good", 3, t.with("equal ({})", "一致（{}）", level))
            }
        };
        let count = |of: fn(&Verification) -> u64| {
            proof.map_or_else(|| "–".to_owned(), |proof| figures::count(of(proof)))
        };
        Self {
            name: name.to_owned(),
            tone,
            word,
            source_rows: count(|proof| proof.source_rows),
            target_rows: count(|proof| proof.target_rows),
            rows_compared: count(|proof| proof.rows_compared),
            rank,
        }
    }
}

/// Rows that differ and must not; where no row was named, those that one side has more.
fn differing_rows(proof: &Verification) -> u64 {
    let found = proof.findings.as_ref().map_or(0, |findings| {
        [&findings.missing, &findings.extra, &findings.changed, &findings.repeated_on_target]
            .iter()
            .map(|found| found.rows)
            .sum()
    });
    match proof.passed {
        true => found,
        false => found.max(proof.source_rows.abs_diff(proof.target_rows)),
    }
}

fn differing(lang: Lang, proof: &Verification) -> Vec<DifferingRows> {
    let Some(findings) = &proof.findings else { return Vec::new() };
    let Findings { missing, extra, changed, repeated_keys, repeated_on_target, swapped } = findings;
    let mut kinds = Vec::new();
    for (title, found) in [
        (labels::missing(lang), missing),
        (labels::extra(lang), extra),
        (labels::changed(lang), changed),
        (labels::repeated_keys(lang), repeated_keys),
        (labels::repeated_on_target(lang), repeated_on_target),
    ] {
        kinds.extend(kind(lang, title, found));
    }
    if !swapped.is_empty() {
        let row = |row: &vecferry_migrate::report::SwappedRow| {
            let there = format!("{} → {}", row.source_partition, row.target_partition);
            labels::row(lang, None, &row.key.to_string(), &[there])
        };
        kinds.push(DifferingRows {
            title: labels::swapped(lang),
            count: figures::count(swapped.len() as u64),
            rows: swapped.iter().take(ROWS_MAX).map(row).collect(),
            more: None,
        });
    }
    kinds
}

fn kind(lang: Lang, title: &'static str, found: &FoundRows) -> Option<DifferingRows> {
    if found.rows == 0 {
        return None;
    }
    let row = |RowName { partition, key, fields }: &RowName| {
        labels::row(lang, partition.as_deref(), &key.to_string(), fields)
    };
    let rows: Vec<_> = found.first.iter().take(ROWS_MAX).map(row).collect();
    let more = found.rows.saturating_sub(rows.len() as u64);
    Some(DifferingRows {
        title,
        count: figures::count(found.rows),
        rows,
        more: (more > 0).then(|| labels::some_rows(lang, more)),
    })
}
