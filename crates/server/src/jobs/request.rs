//! What a job is asked to do, as it is recorded: without secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vecferry_migrate::{AutoId, MigrateRequest, PlanHints, Problem, Selection, SourceLoad, VerifyLevel};
use vecferry_milvus::{Endpoint, Secret};
use vecferry_policy::{CuType, Deployment, Edition};
use vecferry_store::JobKind;

use crate::tables::ClusterRecord;

/// Collections of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    /// Its name on the source.
    pub(crate) db: String,
    /// Its name on the target.
    pub(crate) target_db: String,
    /// Which; none is all of them.
    pub(crate) collections: Option<Vec<String>>,
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) verify: VerifyLevel,
    pub(crate) auto_id: AutoId,
    pub(crate) source_load: SourceLoad,
    pub(crate) wait_index: bool,
    pub(crate) keep_index_params: bool,
    #[serde(default)]
    pub(crate) warm: bool,
    #[serde(default)]
    pub(crate) load_target: bool,
}

impl Options {
    /// How a job with them copies.
    pub(crate) fn kind(self) -> JobKind {
        if self.warm { JobKind::Warm } else { JobKind::Plain }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: VerifyLevel::Sample,
            auto_id: AutoId::Refuse,
            source_load: SourceLoad::Temporary,
            wait_index: false,
            keep_index_params: false,
            warm: false,
            load_target: false,
        }
    }
}

/// What a job is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRequest {
    /// None is everything.
    pub(crate) databases: Option<Vec<Database>>,
    pub(crate) options: Options,
    /// The limit that it begins with, as text; none is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_rate: Option<String>,
}

/// How to reach a source that is not registered. It is kept encrypted only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) ca_pem: Option<String>,
}

impl Access {
    /// The credential.
    pub(crate) fn secret(&self) -> Option<Secret> {
        (!self.token.is_empty()).then(|| Secret::new(&self.token))
    }
}

/// Both sides of a job, ready to be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    pub(crate) source: Endpoint,
    pub(crate) target: Endpoint,
    pub(crate) source_plan: PlanHints,
    pub(crate) target_plan: PlanHints,
}

/// What is known of a registered cluster's plan.
pub(crate) fn hints(cluster: &ClusterRecord) -> PlanHints {
    PlanHints {
        stated: Deployment::parse(&cluster.deployment),
        cu: cluster.cu_size.parse().ok().filter(|size: &f64| *size > 0.0),
        cu_type: CuType::parse(&cluster.cu_type),
        cloud: cluster.cloud.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

impl JobRequest {
    /// Collections that are named one by one.
    pub(crate) fn named(&self) -> usize {
        let databases = self.databases.iter().flatten();
        databases.filter_map(|database| database.collections.as_ref()).map(Vec::len).sum()
    }

    /// The request to the engine.
    ///
    /// # Errors
    /// A name that can't be one.
    pub(crate) fn to_engine(&self, sides: &Sides, policy: Edition) -> Result<MigrateRequest, Problem> {
        let mut names = Vec::new();
        let mut target_dbs = BTreeMap::new();
        for database in self.databases.iter().flatten() {
            match &database.collections {
                None => names.push(format!("{}.*", database.db)),
                Some(collections) => {
                    names.extend(collections.iter().map(|name| format!("{}.{name}", database.db)));
                }
            }
            if database.db != database.target_db {
                target_dbs.insert(database.db.clone(), database.target_db.clone());
            }
        }
        let Options { verify, auto_id, source_load, wait_index, keep_index_params, warm, load_target } =
            self.options;
        Ok(MigrateRequest {
            selection: Selection::parse(&names, &[])?,
            target_dbs,
            verify,
            auto_id,
            source_load,
            wait_index,
            keep_index_params,
            warm,
            load_target,
            policy,
            source_plan: sides.source_plan.clone(),
            target_plan: sides.target_plan.clone(),
            ..MigrateRequest::new(sides.source.clone(), sides.target.clone())
        })
    }
}
