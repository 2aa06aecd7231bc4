//! What a job will do, before it does it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vecferry_milvus::schema::differences;
use vecferry_milvus::{Collection, CollectionName, NewCollection};

use crate::cluster::Cluster;
use crate::cluster::load_state::FormerLoad;
use crate::cluster::load_state::LoadedParts;
use crate::cluster::row_size::RowSize;
use crate::plan::estimate::DurationEstimate;
use crate::problem::{Problem, Told};

pub(crate) mod change;
mod difference;
pub mod estimate;
pub(crate) mod file;
pub(crate) mod properties;
pub mod rbac;
pub(crate) mod splits;
pub(crate) mod stored;
mod summary;

pub(crate) use difference::show;
use rbac::RbacPlan;
pub use summary::{CollectionSummary, PlanSummary};

/// Everything a job will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Address and version of the source.
    pub source: Cluster,
    /// Address and version of the target.
    pub target: Cluster,
    /// Collection by collection.
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

impl PlannedCollection {
    /// Whether every row of it can be asked for before the job begins.
    pub(crate) fn answers(&self) -> bool {
        self.readable && self.load.answers()
    }

    /// Whether rows are placed by a field's value, so that no partition can be named.
    pub fn has_partition_key(&self) -> bool {
        self.described.schema.has_partition_key()
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

    /// What is not any more as it was when the plan was made, beside rows and indexes: identity, schema, partitions,
    /// aliases, properties.
    pub(crate) fn changes_of_source(
        &self,
        now: &Collection,
        partitions: &[String],
        aliases: &[String],
    ) -> Vec<Told> {
        let mut found: Vec<Told> = Vec::new();
        if self.described.id != now.id {
            found.push(Told::both("dropped and recreated on the source", "已在源集群上删除并重建"));
        }
        match differences(&self.described.schema, &now.schema) {
            Ok(differing) if differing.is_empty() => {}
            Ok(differing) => found.push(show(&differing)),
            Err(error) => found.push(error.to_string().into()),
        }
        // Where a field's value places the rows, partitions are no part of a plan.
        let partitions = if self.has_partition_key() { &[] } else { partitions };
        for (what, what_zh, then, now) in [
            ("partitions", " Partition", &self.partitions[..], partitions),
            ("aliases", "别名", &self.aliases[..], aliases),
        ] {
            for (names, verb, verb_zh) in [
                (now.iter().filter(|name| !then.contains(name)).collect::<Vec<_>>(), "added", "新增"),
                (then.iter().filter(|name| !now.contains(name)).collect(), "removed", "移除"),
            ] {
                if !names.is_empty() {
                    let (en, zh) = (format!("{what} {verb}: "), format!("{verb_zh}{what_zh}："));
                    found.push(Told::names(&names).behind(&en, &zh));
                }
            }
        }
        let of = |collection: &Collection| {
            let pairs = collection.properties.iter();
            pairs.map(|pair| (pair.key.clone(), pair.value.clone())).collect::<BTreeSet<_>>()
        };
        if of(&self.described) != of(now) {
            found.push(Told::both("properties changed", "属性已变化"));
        }
        found
    }

    /// Whether a vector field has no index, so that the collection can't be loaded. Only empty ones get into a plan.
    pub(crate) fn has_unindexed_vector(&self) -> bool {
        let indexed = |field: &str| self.indexes.iter().any(|index| index.field == field);
        self.described.schema.vector_fields().iter().any(|field| !indexed(&field.name))
    }
}
