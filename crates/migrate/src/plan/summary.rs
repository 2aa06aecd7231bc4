//! A plan as people review it and machines read it: without what only the engine needs.

use serde::{Deserialize, Serialize};

use super::estimate::DurationEstimate;
use super::rbac::RbacPlan;
use super::{Change, Plan};
use crate::cluster::load_state::FormerLoad;
use crate::problem::Problem;

/// What a job will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Databases that will be created on the target.
    pub new_databases: Vec<String>,
    /// Collection by collection.
    pub collections: Vec<CollectionSummary>,
    /// Roles and users, where they are copied.
    pub rbac: Option<RbacPlan>,
    /// Resource groups of the source, which are never copied; absent where the source does not list them.
    pub resource_groups: Option<Vec<String>>,
    /// How long the copy will take.
    pub duration: Option<DurationEstimate>,
    /// What is worth knowing before the start.
    pub warnings: Vec<Problem>,
}

/// What a job will do with a collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CollectionSummary {
    /// Its name on the source, `db.name`.
    pub collection: String,
    /// Its name on the target, `db.name`.
    pub target: String,
    /// Rows by the source's statistics.
    pub rows_estimate: u64,
    /// Names of its partitions.
    pub partitions: Vec<String>,
    /// Names of its aliases.
    pub aliases: Vec<String>,
    /// What differs from the source.
    pub changes: Vec<Change>,
    /// Whether the source has to load it, or a part of it, for the copy.
    pub needs_load: bool,
    /// How the source had loaded it.
    pub source_load: FormerLoad,
}

impl PlanSummary {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        let collections = plan.here().map(|(_, planned)| CollectionSummary {
            collection: planned.source.to_string(),
            target: planned.target.to_string(),
            rows_estimate: planned.rows_estimate,
            partitions: planned.partitions.clone(),
            aliases: planned.aliases.clone(),
            changes: planned.changes.clone(),
            needs_load: planned.needs_load,
            source_load: planned.source_load(),
        });
        Self {
            new_databases: plan.new_databases.clone(),
            collections: collections.collect(),
            rbac: plan.rbac.clone(),
            resource_groups: plan.resource_groups.clone(),
            duration: plan.duration.clone(),
            warnings: plan.warnings.clone(),
        }
    }
}
