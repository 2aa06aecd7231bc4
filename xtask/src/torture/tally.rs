//! What was done, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hit::Hit;
use super::job::Found;
use crate::{Failure, output};

/// Steps in which a fault is worth something.
const STEPS: [&str; 4] = ["copying", "flushing", "indexing", "verifying"];

/// In so many rounds four of five have to hit such a step.
const ROUNDS_JUDGED: u32 = 20;

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
    miscounted: u32,
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

    pub(super) fn compared(&mut self, found: &Found, rows: u64) {
        self.jobs += 1;
        self.lost += found.missing;
        self.extra += found.extra;
        self.changed += found.changed;
        self.repeated += found.repeated;
        self.miscounted += u32::from(found.rows != rows);
        if !found.problems.is_empty() {
            self.problems.push(found.problems.clone());
        }
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
            "rows lost: {}, duplicated: {}, extra: {}, changed: {}",
            self.lost, self.repeated, self.extra, self.changed
        ));
    }

    /// Whether everything was as it must be.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let wrong = self.lost + self.repeated + self.extra + self.changed;
        let rounds: u32 = self.hits.values().sum();
        if rounds >= ROUNDS_JUDGED && self.in_step * 5 < rounds * 4 {
            return Err(format!("only {} of {rounds} faults hit a step that matters", self.in_step).into());
        }
        if wrong == 0 && self.miscounted == 0 && self.problems.is_empty() && self.jobs > 0 {
            return Ok(());
        }
        let text =
            format!("{wrong} rows are wrong, {} jobs complete: {}", self.jobs, self.problems.join("\n"));
        Err(text.into())
    }
}
