//! What was done, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hit::Hit;
use crate::{Failure, output};

/// Steps in which a fault is worth something.
const STEPS: [&str; 4] = ["copying", "flushing", "indexing", "verifying"];

/// In so many rounds four of five have to hit such a step.
const ROUNDS_JUDGED: u32 = 20;

/// Rows that differ.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) changed: u64,
    pub(super) repeated: u64,
    /// Rows that differ by a write that the report could not know of, or of which it says that it can't be seen.
    pub(super) excused: u64,
    pub(super) problems: String,
}

/// Counts of everything.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hits: BTreeMap<Hit, u32>,
    in_step: u32,
    jobs: u32,
    lost: u64,
    extra: u64,
    changed: u64,
    repeated: u64,
    false_successes: u32,
    excused: u64,
    foreign_touched: u32,
    drifted: u32,
    late_refused: u32,
    late_landed: u32,
    /// Ranges that were sent again.
    pub(super) doubts: u64,
    problems: Vec<String>,
}

impl Tally {
    /// A fault hit while the collections were in these steps.
    pub(super) fn hit(&mut self, hit: Hit, steps: &[String]) {
        *self.hits.entry(hit).or_default() += 1;
        self.in_step += u32::from(steps.iter().any(|step| STEPS.contains(&step.as_str())));
    }

    pub(super) fn late_insert(&mut self, refused: bool) {
        if refused {
            self.late_refused += 1;
        } else {
            self.late_landed += 1;
        }
    }

    pub(super) fn compared(&mut self, found: &Found) {
        self.jobs += 1;
        self.lost += found.missing;
        self.extra += found.extra;
        self.changed += found.changed;
        self.repeated += found.repeated;
        self.excused += found.excused;
        if !found.problems.is_empty() {
            self.false_successes += 1;
            self.problems.push(found.problems.clone());
        }
    }

    /// A job said that it was successful, and can't have been.
    pub(super) fn false_success(&mut self, problem: String) {
        self.false_successes += 1;
        self.problems.push(problem);
    }

    pub(super) fn foreign_touched(&mut self, problem: String) {
        self.foreign_touched += 1;
        self.problems.push(problem);
    }

    /// A job ended because of what somebody else did.
    pub(super) fn drifted(&mut self) {
        self.drifted += 1;
    }

    pub(super) fn print(&self, time: Duration, seed: u64) {
        let rounds: u32 = self.hits.values().sum();
        output::result(&format!(
            "{rounds} faults in {:.0} s (seed {seed}), {} of them in copy, flush, index or verify; {} jobs complete",
            time.as_secs_f64(),
            self.in_step,
            self.jobs
        ));
        for (hit, times) in &self.hits {
            output::result(&format!("  {hit:?}: {times}"));
        }
        output::result(&format!("ranges sent again: {}", self.doubts));
        output::result(&format!(
            "late inserts of dead attempts: {} refused, {} landed",
            self.late_refused, self.late_landed
        ));
        output::result(&format!(
            "jobs that ended because of outside writes: {}; rows of such writes that no report could name: {}",
            self.drifted, self.excused
        ));
        output::result(&format!(
            "false successes: {}, foreign collections touched: {}",
            self.false_successes, self.foreign_touched
        ));
        output::result(&format!(
            "rows lost: {}, duplicated: {}, extra: {}, changed: {}",
            self.lost, self.repeated, self.extra, self.changed
        ));
    }

    /// Whether enough faults hit where it matters, and everything was as it must be.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let rounds: u32 = self.hits.values().sum();
        if rounds >= ROUNDS_JUDGED && self.in_step * 5 < rounds * 4 {
            return Err(format!("only {} of {rounds} faults hit a step that matters", self.in_step).into());
        }
        self.verdict_of_rows()
    }

    /// Whether everything was as it must be.
    pub(super) fn verdict_of_rows(&self) -> Result<(), Failure> {
        let wrong = self.lost + self.repeated + self.extra + self.changed;
        if wrong == 0 && self.problems.is_empty() && self.jobs > 0 {
            return Ok(());
        }
        let text =
            format!("{wrong} rows are wrong, {} jobs complete: {}", self.jobs, self.problems.join("\n"));
        Err(text.into())
    }
}
