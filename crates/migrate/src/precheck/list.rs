//! The pre-check as a list: named checks, each with its outcome, so that a person sees what was looked at and not only
//! what is wrong.
//!
//! Refusals come from the pre-check itself, warnings from the modules here; both are filed under the check that they
//! belong to.

use crate::problem::{Check, CheckId, Code, Exit, Outcome, Problem, Side, Told, grouped};

/// The checks while they are being made.
#[derive(Debug, Default)]
pub(crate) struct CheckList {
    checks: Vec<Check>,
}

impl CheckList {
    fn entry(&mut self, id: CheckId) -> &mut Check {
        let at = self.checks.iter().position(|check| check.id == id).unwrap_or_else(|| {
            self.checks.push(Check { id, outcome: Outcome::Pass, facts: Vec::new(), problems: Vec::new() });
            self.checks.len() - 1
        });
        &mut self.checks[at]
    }

    /// A check was made; what was found.
    pub(crate) fn passed(&mut self, id: CheckId, facts: impl IntoIterator<Item = Told>) {
        self.entry(id).facts.extend(facts);
    }

    /// The same of one fact that reads alike in both languages: figures and names.
    pub(crate) fn passed_with(&mut self, id: CheckId, fact: impl Into<String>) {
        self.passed(id, [Told::from(fact)]);
    }

    /// Does not concern this caller.
    pub(crate) fn not_applicable(&mut self, id: CheckId) {
        self.entry(id).outcome = Outcome::NotApplicable;
    }

    /// Something is worth knowing.
    pub(crate) fn warn(&mut self, id: CheckId, problem: Problem) {
        let check = self.entry(id);
        check.outcome = check.outcome.max(Outcome::Warn);
        check.problems.push(problem);
    }

    /// The job can't start.
    pub(crate) fn fail(&mut self, problem: Problem) {
        let check = self.entry(CheckId::of(&problem));
        check.outcome = Outcome::Fail;
        check.problems.push(problem);
    }

    /// What was only a doubt is none any more.
    pub(crate) fn settle(checks: &mut [Check]) {
        for check in checks {
            let before = check.problems.len();
            check.problems.retain(|problem| problem.code != Code::TargetMayNotHold);
            if check.problems.is_empty() && before > 0 && check.outcome == Outcome::Warn {
                check.outcome = Outcome::Pass;
            }
        }
    }

    /// Everything that stands in the way.
    pub(crate) fn refusals(&self) -> Vec<Problem> {
        self.problems(|exit| exit != Exit::Done)
    }

    /// Everything that is worth knowing.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        self.problems(|exit| exit == Exit::Done)
    }

    fn problems(&self, with: impl Fn(Exit) -> bool) -> Vec<Problem> {
        let all = self.checks.iter().flat_map(|check| &check.problems);
        all.filter(|problem| with(problem.code.entry().exit)).cloned().collect()
    }

    /// All checks in their order; those that were not made are skipped.
    pub(crate) fn finish(mut self) -> Vec<Check> {
        for id in CheckId::ALL {
            if self.checks.iter().all(|check| check.id != id) {
                self.entry(id).outcome = Outcome::Skipped;
            }
        }
        self.checks.sort_by_key(|check| check.id);
        self.checks
    }
}

/// A fact about one side.
pub(super) fn fact_of(side: Side, fact: impl Into<Told>) -> Told {
    let (name, name_zh) = match side {
        Side::Source => ("source: ", "源集群："),
        Side::Target => ("target: ", "目标集群："),
    };
    fact.into().behind(name, name_zh)
}

/// How many collections.
pub(super) fn some_collections(count: usize) -> Told {
    let count = grouped(count as u64);
    let word = if count == "1" { "collection" } else { "collections" };
    Told::both(format!("{count} {word}"), format!("{count} 个 Collection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_the_worst_outcome_counts() {
        let mut list = CheckList::default();
        list.passed_with(CheckId::Versions, "2.3.5");
        list.warn(CheckId::Names, Problem::new(Code::Repaired));
        list.fail(Problem::new(Code::TargetExists).with("collection", "default.a"));
        list.fail(Problem::new(Code::NoAnswer).with("side", "target"));
        assert_eq!((list.refusals().len(), list.warnings().len()), (2, 1));
        let checks = list.finish();
        assert_eq!(checks.iter().map(|check| check.id).collect::<Vec<_>>(), CheckId::ALL);
        let outcome = |id| checks.iter().find(|check| check.id == id).map(|check| check.outcome);
        assert_eq!(outcome(CheckId::Versions), Some(Outcome::Pass));
        assert_eq!(outcome(CheckId::Names), Some(Outcome::Fail));
        assert_eq!(outcome(CheckId::TargetReachable), Some(Outcome::Fail));
        assert_eq!(outcome(CheckId::Writers), Some(Outcome::Skipped));
    }
}
