//! How source and target compare, down to the rows and fields that differ.

use vecferry_migrate::report::{Findings, FoundRows, RowName, Verification};
use vecferry_migrate::{Problem, Report, VerifyLevel};
use vecferry_report::{figures, labels};
use vecferry_store::JobId;
use vecferry_words::Lang;

use super::words;
use crate::api::Refusal;
use crate::console::frame::Visit;
use crate::console::show::{Say, Trouble};
use crate::outline::{Line, StoredEnd, came_to_something, differing_rows};

/// Collections of a page.
const LINES_MAX: usize = 100;
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
    /// Numbers of the pages before and behind this one.
    pub(super) earlier: Option<usize>,
    pub(super) later: Option<usize>,
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

/// What a collection came to, as far as a list of comparisons tells.
struct Outcome<'a> {
    name: &'a str,
    verification: Option<&'a Verification>,
    differing: u64,
}

impl Comparison {
    /// Of a report.
    pub(super) fn of_report(t: Say, report: &Report, page: usize) -> Self {
        let names: Vec<_> =
            report.collections.iter().map(|collection| collection.source_name().to_string()).collect();
        let outcomes = report.collections.iter().zip(&names).map(|(collection, name)| {
            let verification = collection.verification.as_ref().filter(|proof| came_to_something(proof));
            Outcome { name, verification, differing: verification.map_or(0, differing_rows) }
        });
        let mut all = Self::new(t, outcomes, page);
        for (collection, name) in report.collections.iter().zip(&names) {
            if all.differences.len() == DIFFERENCES_MAX {
                break;
            }
            let problems = of_collection(&report.problems, name);
            let verification = collection.verification.as_ref().filter(|proof| came_to_something(proof));
            all.differences.extend(Difference::of(t, name, verification, &problems));
        }
        all
    }

    /// Of what is complete so far. The lists of rows are read only where there are any.
    pub(super) async fn so_far(
        visit: &Visit,
        (job_id, lines): (&str, &[Line]),
        page: usize,
    ) -> Result<Self, Refusal> {
        let t = visit.t();
        let mut all = Self::in_figures(t, lines, page);
        let has_details = |line: &&Line| line.done.as_ref().is_some_and(|done| done.has_details);
        for line in lines.iter().filter(has_details).take(DIFFERENCES_MAX) {
            let record = visit.service.store().collection(&JobId::from(job_id), line.position).await?;
            let Some(StoredEnd { report, problems }) = StoredEnd::of(&record) else { continue };
            let verification = report.verification.as_ref().filter(|proof| came_to_something(proof));
            all.differences.extend(Difference::of(t, &line.name, verification, &problems));
        }
        Ok(all)
    }

    /// The same without the rows that differ.
    pub(super) fn in_figures(t: Say, lines: &[Line], page: usize) -> Self {
        let outcomes = lines.iter().map(|line| {
            let done = line.done.as_ref();
            let verification = done.and_then(|done| done.verification.as_ref());
            Outcome { name: &line.name, verification, differing: done.map_or(0, |done| done.differing) }
        });
        Self::new(t, outcomes, page)
    }

    fn new<'a>(t: Say, outcomes: impl Iterator<Item = Outcome<'a>>, page: usize) -> Self {
        let mut all: Vec<_> = outcomes.collect();
        all.sort_by_key(|outcome| rank(outcome.verification));
        let pages = all.len().div_ceil(LINES_MAX).max(1);
        let page = page.min(pages - 1);
        let shown = all.iter().skip(page * LINES_MAX).take(LINES_MAX);
        Self {
            lines: shown.map(|outcome| Compared::new(t, outcome.name, outcome.verification)).collect(),
            earlier: page.checked_sub(1),
            later: (page + 1 < pages).then_some(page + 1),
            differences: Vec::new(),
            compared: all.iter().filter(|outcome| outcome.verification.is_some()).count(),
            count: all.len(),
            differing: all.iter().map(|outcome| outcome.differing).sum(),
        }
    }
}

/// What differs comes first.
fn rank(proof: Option<&Verification>) -> u8 {
    match proof {
        Some(proof) if !proof.passed => 0,
        Some(Verification { level: VerifyLevel::None, .. }) => 1,
        None => 2,
        Some(_) => 3,
    }
}

impl Difference {
    /// None where nothing differs.
    fn of(t: Say, name: &str, proof: Option<&Verification>, problems: &[Problem]) -> Option<Self> {
        let rows = proof.map(|proof| differing(t.0, proof)).unwrap_or_default();
        if rows.is_empty() && problems.is_empty() {
            return None;
        }
        let problems = problems.iter().take(PROBLEMS_MAX);
        let problems = problems.map(|problem| Trouble::of(problem, t.0)).collect();
        Some(Self { name: name.to_owned(), rows, problems })
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
        let (tone, word) = match proof {
            None => ("idle", labels::not_verified(t.0).to_owned()),
            Some(proof) if !proof.passed => ("bad", t.say("different", "不一致").to_owned()),
            Some(Verification { level: VerifyLevel::None, .. }) => {
                ("idle", labels::verified_none(t.0).to_owned())
            }
            Some(proof) => {
                let level = words::level(t.0, proof.level);
                ("good", t.with("equal ({})", "一致（{}）", level))
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
        }
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
