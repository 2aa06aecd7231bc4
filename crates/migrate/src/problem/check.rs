//! What is looked at before a job starts, and how it came out.

use serde::{Deserialize, Serialize};

use super::{Code, Lang, Problem, Side, Told};

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
    pub(crate) fn of(problem: &Problem) -> Self {
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
    (Code::WarmAutoId, CheckId::Schema),
    (Code::WarmUnsupported, CheckId::Versions),
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
#[serde(from = "StoredCheck", into = "StoredCheck")]
pub struct Check {
    /// Its name.
    pub id: CheckId,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in a few words or figures.
    pub facts: Vec<Told>,
    /// What is wrong, each with its way out.
    pub problems: Vec<Problem>,
}

impl Check {
    /// What was found, in a language.
    pub fn facts_in(&self, lang: Lang) -> impl Iterator<Item = &str> {
        self.facts.iter().map(move |fact| fact.text(lang))
    }
}

/// A check for machines and in plan files: as in a problem, the Chinese texts stand beside the English ones.
#[derive(Serialize, Deserialize)]
struct StoredCheck {
    id: CheckId,
    outcome: Outcome,
    facts: Vec<String>,
    /// In the order of `facts`; absent in plan files of earlier versions.
    #[serde(default)]
    facts_zh: Vec<String>,
    problems: Vec<Problem>,
}

impl From<Check> for StoredCheck {
    fn from(check: Check) -> Self {
        let texts = |lang| check.facts_in(lang).map(str::to_owned).collect();
        Self {
            id: check.id,
            outcome: check.outcome,
            facts: texts(Lang::En),
            facts_zh: texts(Lang::Zh),
            problems: check.problems,
        }
    }
}

impl From<StoredCheck> for Check {
    fn from(stored: StoredCheck) -> Self {
        let StoredCheck { id, outcome, facts, mut facts_zh, problems } = stored;
        if facts_zh.len() != facts.len() {
            facts_zh.clone_from(&facts);
        }
        let facts = facts.into_iter().zip(facts_zh).map(|(en, zh)| Told::both(en, zh)).collect();
        Self { id, outcome, facts, problems }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_stored_in_both_languages_and_read_from_earlier_plan_files() {
        let facts = vec![Told::both("source: loopback", "源集群：回环地址"), "2.3.5".into()];
        let (id, outcome, problems) = (CheckId::Endpoints, Outcome::Pass, Vec::new());
        let check = Check { id, outcome, facts, problems };
        let mut document = serde_json::to_value(&check).unwrap();
        assert_eq!(document["facts"], serde_json::json!(["source: loopback", "2.3.5"]));
        assert_eq!(document["facts_zh"], serde_json::json!(["源集群：回环地址", "2.3.5"]));
        assert_eq!(serde_json::from_value::<Check>(document.clone()).unwrap(), check);
        document.as_object_mut().unwrap().remove("facts_zh");
        let earlier: Check = serde_json::from_value(document).unwrap();
        for lang in [Lang::En, Lang::Zh] {
            assert_eq!(earlier.facts_in(lang).collect::<Vec<_>>(), ["source: loopback", "2.3.5"]);
        }
    }
}
