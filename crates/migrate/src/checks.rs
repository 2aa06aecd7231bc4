//! The pre-check as a list: named checks, each with its outcome, so that a person sees what was looked at and not only
//! what is wrong.
//!
//! Refusals come from the pre-check itself, warnings from the modules here; both are filed under the check that they
//! belong to.

use serde::{Deserialize, Serialize};

use crate::connect::Side;
use crate::problem::{Code, Exit, Problem};

mod clock;
mod endpoint;
pub(crate) mod fields;
mod plans;
mod probe;
mod room;
pub(crate) mod steps;
mod writers;

pub(crate) use clock::clock_skew;
pub(crate) use endpoint::endpoints;
pub(crate) use plans::{clusters, compute_units, message_sizes, plan_pair, within_limits};
pub(crate) use probe::{probe_write, scratches};
pub(crate) use room::{disk, memory, state_directory};
pub(crate) use writers::writers;

/// What is looked at. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// The caller's role in the organization or project; only the service knows it.
    Role,
    /// The policy lets the plans of the two clusters be migrated.
    PlanPair,
    /// Both clusters run, as far as a control plane says so.
    ClusterStatus,
    /// DNS, TCP, TLS, HTTP/2, gRPC and credentials of the source.
    SourceReachable,
    /// The same of the target.
    TargetReachable,
    /// Where the addresses lead: to a public, private or loopback network.
    Endpoints,
    /// Releases of both servers.
    Versions,
    /// Source and target are two clusters, or the databases differ.
    SameCluster,
    /// What was asked for exists.
    Selection,
    /// The user sees all that was asked for.
    Visibility,
    /// Rights of the credentials.
    Privileges,
    /// The target can hold every field, type, function and property.
    Schema,
    /// The target allows and does not use the names.
    Names,
    /// The plan of the target has room for the collections.
    Limits,
    /// No row is larger than what servers take.
    MessageSize,
    /// The source answers for all rows, or can be made to.
    SourceLoaded,
    /// How many rows there are, and how that is known.
    RowCounts,
    /// No rows come or go while the checks run.
    Writers,
    /// Clocks of both servers and of this machine.
    ClockSkew,
    /// Memory or compute units of the target.
    Capacity,
    /// How long the copy will take.
    Duration,
    /// The directory in which jobs are recorded.
    StateDirectory,
}

impl CheckId {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 22] = [
        Self::Role,
        Self::PlanPair,
        Self::ClusterStatus,
        Self::SourceReachable,
        Self::TargetReachable,
        Self::Endpoints,
        Self::Versions,
        Self::SameCluster,
        Self::Selection,
        Self::Visibility,
        Self::Privileges,
        Self::Schema,
        Self::Names,
        Self::Limits,
        Self::MessageSize,
        Self::SourceLoaded,
        Self::RowCounts,
        Self::Writers,
        Self::ClockSkew,
        Self::Capacity,
        Self::Duration,
        Self::StateDirectory,
    ];

    /// The check that a problem belongs to. What belongs to none is a failure of asking, and stands with the side that
    /// was asked.
    fn of(problem: &Problem) -> Self {
        let on_target =
            problem.values.iter().any(|(name, value)| name == "side" && value == Side::Target.name());
        if on_target && problem.code == Code::LoadDoesNotFit {
            return Self::Capacity;
        }
        let filed = FILED.iter().find(|(code, _)| *code == problem.code).map(|(_, id)| *id);
        filed.unwrap_or(if on_target { Self::TargetReachable } else { Self::SourceReachable })
    }
}

/// Where problems are filed that are no failure of asking.
const FILED: &[(Code, CheckId)] = &[
    (Code::NotEverythingSeen, CheckId::Visibility),
    (Code::PlanPair, CheckId::PlanPair),
    (Code::PlanUpgrade, CheckId::PlanPair),
    (Code::PlanUpgradeNew, CheckId::PlanPair),
    (Code::PlanUnknown, CheckId::PlanPair),
    (Code::PlanContradicts, CheckId::PlanPair),
    (Code::Policy, CheckId::PlanPair),
    (Code::ClusterNotRunning, CheckId::ClusterStatus),
    (Code::NotPublic, CheckId::Endpoints),
    (Code::OverLimit, CheckId::Limits),
    (Code::TooFewUnits, CheckId::Capacity),
    (Code::RowTooLarge, CheckId::MessageSize),
    (Code::PermissionDenied, CheckId::Privileges),
    (Code::ProbeLeft, CheckId::Privileges),
    (Code::UnknownDatabase, CheckId::Selection),
    (Code::UnknownCollection, CheckId::Selection),
    (Code::NothingSelected, CheckId::Selection),
    (Code::Selector, CheckId::Selection),
    (Code::TargetExists, CheckId::Names),
    (Code::AliasTaken, CheckId::Names),
    (Code::ForbiddenName, CheckId::Names),
    (Code::SameCluster, CheckId::SameCluster),
    (Code::SourceTooOld, CheckId::Versions),
    (Code::SourceNotLoaded, CheckId::SourceLoaded),
    (Code::NoIndex, CheckId::SourceLoaded),
    (Code::NoVectorField, CheckId::SourceLoaded),
    (Code::PartitionsDisagree, CheckId::RowCounts),
    (Code::SourceLoading, CheckId::SourceLoaded),
    (Code::LoadDoesNotFit, CheckId::SourceLoaded),
    (Code::TargetCannotHold, CheckId::Schema),
    (Code::AutoId, CheckId::Schema),
    (Code::KeyNotNamable, CheckId::Schema),
    (Code::FieldNotCreatable, CheckId::Schema),
    (Code::DuplicatesRefused, CheckId::RowCounts),
    (Code::StateDir, CheckId::StateDirectory),
];

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing stands in the way.
    Pass,
    /// Does not concern this caller.
    NotApplicable,
    /// Could not be looked at because of another failure.
    Skipped,
    /// Worth knowing.
    Warn,
    /// The job can't start.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub id: CheckId,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in a few words or figures.
    pub facts: Vec<String>,
    /// What is wrong, each with its way out.
    pub problems: Vec<Problem>,
}

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
    pub(crate) fn passed(&mut self, id: CheckId, facts: impl IntoIterator<Item = String>) {
        self.entry(id).facts.extend(facts);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_the_worst_outcome_counts() {
        let mut list = CheckList::default();
        list.passed(CheckId::Versions, ["2.3.5".to_owned()]);
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
