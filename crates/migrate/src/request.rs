//! What a caller can ask for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vecferry_milvus::{CollectionName, Endpoint};
use vecferry_policy::{CuType, Deployment, Edition};

use crate::cluster::control_plane::CloudCluster;
use crate::cluster::load_state::FormerLoad;
pub use crate::cluster::selection::{Selection, Selector};
use crate::problem::{Code, Problem, Told};

/// How thoroughly source and target are compared after the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Not at all; rows read and rows acknowledged must still be equal.
    None,
    /// Exact counts, partition by partition.
    Count,
    /// Counts, and random rows bit for bit.
    Sample,
    /// Every row bit for bit.
    Full,
}

/// What may be done to a source collection that is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceLoad {
    /// Load it for the copy and release it again.
    Temporary,
    /// Nothing: refuse it.
    Never,
}

/// What rows mean that the target refuses. Either way the others are copied, and the job does not end successfully.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// Their collection is not finished: its aliases are not given, and its time-to-live is not set.
    #[default]
    Fail,
    /// Their collection is finished without them.
    Quarantine,
}

/// What becomes of keys that the server makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoId {
    /// Such collections are refused: somebody has to choose.
    #[default]
    Refuse,
    /// They are kept, where the target can be made to take them.
    Keep,
    /// The target makes new ones, and rows are compared without them.
    Regenerate,
}

/// What repeated keys in the source mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// A warning.
    Warn,
    /// A refusal or failure.
    Fail,
}

/// What becomes of the users where their passwords can't be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RbacUsers {
    /// They are made, each with a new password.
    Create,
    /// They are not made.
    Skip,
}

/// That roles, grants, privilege groups and users are copied too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RbacRequest {
    /// What becomes of the users.
    pub users: RbacUsers,
    /// The file for new passwords.
    pub users_file: Option<PathBuf>,
    /// Where that file is made where none is named.
    pub users_dir: PathBuf,
}

/// A migration.
#[derive(Clone, Debug)]
pub struct MigrateRequest {
    /// Where from.
    pub source: Endpoint,
    /// Where to.
    pub target: Endpoint,
    /// Which collections.
    pub selection: Selection,
    /// Whether of whole databases only what the user sees is meant.
    pub visible_only: bool,
    /// Databases that are named otherwise on the target.
    pub target_dbs: BTreeMap<String, String>,
    /// How to verify.
    pub verify: VerifyLevel,
    /// What may be done to unloaded source collections.
    pub source_load: SourceLoad,
    /// How many of them may be loaded at once; eight small ones count as one.
    pub source_load_parallel: usize,
    /// What repeated keys mean.
    pub duplicates: Duplicates,
    /// What refused rows mean.
    pub on_bad_row: OnBadRow,
    /// What becomes of keys that the server makes.
    pub auto_id: AutoId,
    /// Whether vectors get the index that they have on the source, where the target builds it, instead of AUTOINDEX.
    pub keep_index_params: bool,
    /// Whether to wait until all indexes are built.
    pub wait_index: bool,
    /// Whether the source may change meanwhile.
    pub allow_drift: bool,
    /// Whether it copies while the application still writes, and is ended by a cut-over; then every row is compared.
    pub warm: bool,
    /// Whether the target collections of such a job are left loaded, so that the cut-over need not wait for that.
    pub load_target: bool,
    /// Whether roles and users are copied too. Only the plan is made from it.
    pub rbac: Option<RbacRequest>,
    /// Which plans may be migrated to which.
    pub policy: Edition,
    /// What is known of the source's plan.
    pub source_plan: PlanHints,
    /// What is known of the target's plan.
    pub target_plan: PlanHints,
}

/// What is known of a cluster's plan beside its address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanHints {
    /// What the user says it is.
    pub stated: Option<Deployment>,
    /// Compute units that the user says it has.
    pub cu: Option<f64>,
    /// Type of them.
    pub cu_type: Option<CuType>,
    /// What the control plane says.
    pub cloud: Option<CloudCluster>,
}

impl MigrateRequest {
    /// What is compared behind the copy: nothing in a job that is ended by a cut-over, which does that.
    pub(crate) fn verify_behind_copy(&self) -> VerifyLevel {
        if self.warm { VerifyLevel::None } else { self.verify }
    }

    /// Database of the target for a database of the source.
    pub(crate) fn target_db(&self, db: &str) -> String {
        self.target_dbs.get(db).map_or(db, String::as_str).to_owned()
    }

    /// A migration of everything with the defaults.
    pub fn new(source: Endpoint, target: Endpoint) -> Self {
        Self {
            source,
            target,
            selection: Selection::default(),
            visible_only: false,
            target_dbs: BTreeMap::new(),
            verify: VerifyLevel::Sample,
            source_load: SourceLoad::Temporary,
            source_load_parallel: 1,
            duplicates: Duplicates::Warn,
            on_bad_row: OnBadRow::Fail,
            auto_id: AutoId::Refuse,
            keep_index_params: false,
            wait_index: false,
            allow_drift: false,
            warm: false,
            load_target: false,
            rbac: None,
            policy: Edition::default(),
            source_plan: PlanHints::default(),
            target_plan: PlanHints::default(),
        }
    }
}

/// Reads `--target-db SOURCE=TARGET`.
pub fn parse_target_db(text: &str) -> Result<(String, String), Problem> {
    match text.split_once('=') {
        Some((source, target)) if !source.is_empty() && !target.is_empty() && !target.contains('=') => {
            Ok((source.to_owned(), target.to_owned()))
        }
        _ => Err(Problem::new(Code::Selector)
            .with("selector", text)
            .told("detail", Told::both("it is not SOURCE_DB=TARGET_DB", "格式不是 SOURCE_DB=TARGET_DB"))),
    }
}

/// A comparison without a copy.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// One side.
    pub source: Endpoint,
    /// The other side.
    pub target: Endpoint,
    /// Which collections.
    pub selection: Selection,
    /// Whether of whole databases only what the user sees is meant.
    pub visible_only: bool,
    /// Databases that are named otherwise on the target.
    pub target_dbs: BTreeMap<String, String>,
    /// How thoroughly.
    pub level: VerifyLevel,
    /// Where rows that differ are mended; takes [`VerifyLevel::Full`].
    pub repair: RepairScope,
}

/// Which collections of a target may be mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RepairScope {
    /// None.
    #[default]
    Nothing,
    /// Those that jobs made: by the target's address, the name there, and the number there.
    Made(Vec<(String, String, i64)>),
    /// Any.
    Everything,
}

impl RepairScope {
    /// Whether anything is to be mended.
    pub fn is_wanted(&self) -> bool {
        *self != Self::Nothing
    }

    pub(crate) fn contains(&self, target: &Endpoint, collection: &CollectionName, id: i64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Made(made) => {
                let wanted = (target.to_string(), collection.to_string(), id);
                made.contains(&wanted)
            }
            Self::Everything => true,
        }
    }
}

/// A request to load collections of a target.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// The cluster.
    pub target: Endpoint,
    /// Which collections.
    pub what: LoadWhat,
    /// Copies in memory; where it is absent as many as on the source, or else one.
    pub replicas: Option<u32>,
}

/// What to load.
#[derive(Clone, Debug)]
pub enum LoadWhat {
    /// Whole collections.
    Selected(Selection),
    /// What a job copied and its source had loaded, by the names on the target: see [`crate::Report::former_loads`].
    AsOnSource(Vec<(CollectionName, FormerLoad)>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_name_a_collection_or_a_database() {
        for (text, selector) in [
            ("books", Selector::Collection(CollectionName::new("default", "books"))),
            ("shop.books", Selector::Collection(CollectionName::new("shop", "books"))),
            ("shop.*", Selector::Database("shop".into())),
            ("shop.books.2026", Selector::Collection(CollectionName::new("shop", "books.2026"))),
            ("*", Selector::Database("default".into())),
        ] {
            assert_eq!(Selector::parse(text).unwrap(), selector);
        }
        for (text, why) in [("", "empty"), (".a", "empty"), ("a.", "empty"), ("a.b*", "`*`")] {
            let problem = Selector::parse(text).unwrap_err();
            assert_eq!(problem.code, Code::Selector);
            assert!(problem.to_string().contains(why), "{problem}");
        }
    }

    #[test]
    fn target_databases_need_both_names() {
        assert_eq!(parse_target_db("a=b").unwrap(), ("a".into(), "b".into()));
        for text in ["a", "a=", "=b", "a=b=c"] {
            assert_eq!(parse_target_db(text).unwrap_err().code, Code::Selector);
        }
    }

    #[test]
    fn exclusion_wins() {
        let selection = Selection::parse(&["a.*"], &["a.x"]).unwrap();
        assert!(selection.excludes(&CollectionName::new("a", "x")));
        assert!(!selection.excludes(&CollectionName::new("a", "y")));
    }
}
