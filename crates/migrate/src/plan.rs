//! What a job will do, before it does it.

use serde::{Deserialize, Serialize};
use vecferry_milvus::{Collection, CollectionName, NewCollection};
use vecferry_store::{Position, Presence};

use crate::cluster::Cluster;
use crate::cluster::load_state::FormerLoad;
use crate::cluster::load_state::LoadedParts;
use crate::cluster::row_size::RowSize;
use crate::plan::estimate::DurationEstimate;
use crate::problem::Problem;

pub(crate) mod change;
mod difference;
pub mod estimate;
pub(crate) mod file;
pub(crate) mod properties;
pub mod rbac;
mod source_change;
pub(crate) mod splits;
pub(crate) mod stored;
mod summary;

pub(crate) use difference::show;
use rbac::RbacPlan;
pub(crate) use source_change::SourceChange;
pub use summary::{CollectionSummary, PlanSummary};

/// Everything a job will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Address and version of the source.
    pub source: Cluster,
    /// Address and version of the target.
    pub target: Cluster,
    /// Collection by collection, each at its position in the job's record, also those that are no part of it any more:
    /// `Plan::here` are those that are.
    pub collections: Vec<PlannedCollection>,
    /// Databases that are made on the target.
    pub new_databases: Vec<String>,
    /// Roles and users, where they are copied.
    pub rbac: Option<RbacPlan>,
    /// Resource groups of the source; they are never copied, because they name machines. Absent where the source does not
    /// tell this user.
    pub resource_groups: Option<Vec<String>>,
    /// How long the copy will take.
    pub duration: Option<DurationEstimate>,
    /// What is worth knowing before the start.
    pub warnings: Vec<Problem>,
}

/// A difference from the source that the target can't avoid, or that is part of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What differs, as `shards_num` or `index embedding`.
    pub what: String,
    /// On the source.
    pub source: String,
    /// On the target.
    pub target: String,
}

/// One collection of a plan.
#[derive(Clone, Debug)]
pub struct PlannedCollection {
    /// Its name on the source.
    pub source: CollectionName,
    /// Its name on the target.
    pub target: CollectionName,
    /// Rows by the source's statistics; the exact number is counted later.
    pub rows_estimate: u64,
    /// Names of its partitions.
    pub partitions: Vec<String>,
    /// Other names, given last.
    pub aliases: Vec<String>,
    /// What differs from the source.
    pub changes: Vec<Change>,
    /// Whether the source must load it, or a part of it, for the copy.
    pub needs_load: bool,
    /// As the source describes it.
    pub(crate) described: Collection,
    /// As the target is asked to make it.
    pub(crate) new: NewCollection,
    /// Whether the source can be read. Where it can't, for want of an index, it holds no rows.
    pub(crate) readable: bool,
    /// Indexes of the target.
    pub(crate) indexes: Vec<NewIndex>,
    /// The source's load state before the job.
    pub(crate) load: LoadedParts,
    /// Properties that are set when everything else is done.
    pub(crate) late_properties: Vec<(String, String)>,
    /// Whether it still is a part of the job.
    pub presence: Presence,
    /// What becomes of its keys.
    pub keys: Keys,
    /// How large its rows are.
    pub size: RowSize,
}

/// What becomes of the keys of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// They are values like any other.
    #[default]
    Copied,
    /// The source's server made them, and the target takes them as long as it is told to.
    Kept,
    /// The target's server makes new ones.
    Regenerated,
}

impl Keys {
    /// Whether a row can be written twice without being there twice: an upsert finds the first one by its key. A server
    /// that makes the keys gives even an upserted row a new one.
    pub(crate) fn can_upsert(self) -> bool {
        self == Self::Copied
    }
}

/// An index to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewIndex {
    pub(crate) name: String,
    pub(crate) field: String,
    pub(crate) params: Vec<(String, String)>,
    /// What is built where the target refuses these parameters, although it was not known that it would.
    #[serde(default)]
    pub(crate) instead: Option<Vec<(String, String)>>,
}

impl Plan {
    /// The collections that are a part of the job, each with its position.
    pub(crate) fn here(&self) -> impl DoubleEndedIterator<Item = (Position, &PlannedCollection)> + Clone {
        let all = self.collections.iter().enumerate();
        all.filter(|(_, planned)| planned.presence.is_here())
            .map(|(index, planned)| (Position::of_index(index), planned))
    }
}

impl PlannedCollection {
    /// Whether every row of it can be asked for before the job begins.
    pub(crate) fn answers(&self) -> bool {
        self.readable && self.load.answers()
    }

    /// Whether rows are placed by a field's value, so that no partition can be named.
    pub fn has_partition_key(&self) -> bool {
        self.described.schema.has_partition_key()
    }

    /// Takes the partitions and aliases that the source has by now.
    pub(crate) fn follow(&mut self, partitions: Vec<String>, aliases: Vec<String>) {
        if !self.has_partition_key() {
            self.partitions = partitions;
        }
        self.aliases = aliases;
    }

    /// How the source holds it in memory.
    pub fn source_load(&self) -> FormerLoad {
        self.load.former()
    }

    /// Parts that are read one by one: the partitions, or a single nameless one where they can't be named.
    pub(crate) fn parts(&self) -> Vec<Option<String>> {
        match self.partitions.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        }
    }

    /// Whether a vector field has no index, so that the collection can't be loaded. Only empty ones get into a plan.
    pub(crate) fn has_unindexed_vector(&self) -> bool {
        let indexed = |field: &str| self.indexes.iter().any(|index| index.field == field);
        self.described.schema.vector_fields().iter().any(|field| !indexed(&field.name))
    }
}
