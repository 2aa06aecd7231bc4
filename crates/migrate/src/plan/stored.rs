//! Plans and requests as documents of the store: a job that goes on does exactly what it was begun for, whatever the
//! clusters say by then. Documents hold no credentials.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use vecferry_milvus::schema::{Schema, parameters};
use vecferry_milvus::{Collection, CollectionName, Endpoint, NewCollection};
use vecferry_policy::Edition;
use vecferry_store::Presence;

use super::{Change, Keys, NewIndex, Plan, PlannedCollection};
use crate::cluster::Cluster;
use crate::cluster::load_state::LoadedParts;
use crate::cluster::row_size::RowSize;
use crate::plan::estimate::DurationEstimate;
use crate::plan::rbac::RbacPlan;
use crate::problem::{Problem, Told, Worded, words_of, zh};
use crate::request::{
    AutoId, Duplicates, MigrateRequest, OnBadRow, PlanHints, Selection, Selector, SourceLoad, VerifyLevel,
};

/// Why a document can't be read: it was written by another version, or not by this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    #[error("a schema in it does not decode: {0}")]
    Schema(String),
}

impl Worded for DocumentError {
    fn words(&self) -> Told {
        match self {
            Self::Form(error) => words_of(error),
            Self::Schema(reason) => zh(self, format!("其中的 Schema 无法解码：{reason}")),
        }
    }
}

type Pairs = Vec<(String, String)>;

#[derive(Serialize, Deserialize)]
struct StoredPlan {
    source: Cluster,
    target: Cluster,
    collections: Vec<StoredCollection>,
    new_databases: Vec<String>,
    #[serde(default)]
    rbac: Option<RbacPlan>,
    #[serde(default)]
    resource_groups: Option<Vec<String>>,
    #[serde(default, deserialize_with = "known_estimate")]
    duration: Option<DurationEstimate>,
    warnings: Vec<Problem>,
}

#[derive(Serialize, Deserialize)]
struct StoredCollection {
    source: (String, String),
    target: (String, String),
    rows_estimate: u64,
    partitions: Vec<String>,
    aliases: Vec<String>,
    changes: Vec<Change>,
    needs_load: bool,
    readable: bool,
    described: StoredDescription,
    new: StoredNew,
    indexes: Vec<NewIndex>,
    load: LoadedParts,
    late_properties: Pairs,
    #[serde(default, skip_serializing_if = "is_here")]
    presence: Presence,
    #[serde(default)]
    keys: Keys,
    #[serde(default)]
    size: RowSize,
}

#[derive(Serialize, Deserialize)]
struct StoredDescription {
    id: i64,
    created_timestamp: u64,
    shards: i32,
    consistency: i32,
    aliases: Vec<String>,
    properties: Pairs,
    num_partitions: i64,
    schema: String,
}

#[derive(Serialize, Deserialize)]
struct StoredNew {
    schema: String,
    shards: i32,
    consistency: i32,
    properties: Pairs,
    num_partitions: i64,
}

/// Plans without collections that went read as they always did.
fn is_here(presence: &Presence) -> bool {
    presence.is_here()
}

/// An estimate, if it is one of a whole job: earlier versions estimated the copy only.
fn known_estimate<'de, D: Deserializer<'de>>(document: D) -> Result<Option<DurationEstimate>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(document)?).unwrap_or_default())
}

/// A plan as a document.
pub(crate) fn write_plan(plan: &Plan) -> Result<String, DocumentError> {
    Ok(serde_json::to_string(&StoredPlan::of(plan))?)
}

/// A plan as a part of a document.
pub(crate) fn plan_value(plan: &Plan) -> Result<Value, DocumentError> {
    Ok(serde_json::to_value(StoredPlan::of(plan))?)
}

/// A plan from its document.
pub(crate) fn read_plan(document: &str) -> Result<Plan, DocumentError> {
    read_plan_value(serde_json::from_str(document)?)
}

/// A plan from a part of a document.
pub(crate) fn read_plan_value(document: Value) -> Result<Plan, DocumentError> {
    let stored: StoredPlan = serde_json::from_value(document)?;
    Ok(Plan {
        source: stored.source,
        target: stored.target,
        collections: stored
            .collections
            .into_iter()
            .map(StoredCollection::planned)
            .collect::<Result<_, DocumentError>>()?,
        new_databases: stored.new_databases,
        rbac: stored.rbac,
        resource_groups: stored.resource_groups,
        duration: stored.duration,
        warnings: stored.warnings,
    })
}

fn pairs(properties: &[vecferry_milvus::proto::common::KeyValuePair]) -> Pairs {
    properties.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

fn bytes_of(text: &str) -> Result<Bytes, DocumentError> {
    BASE64.decode(text).map(Bytes::from).map_err(|error| DocumentError::Schema(error.to_string()))
}

fn name((db, name): (String, String)) -> CollectionName {
    CollectionName::new(db, name)
}

impl StoredPlan {
    fn of(plan: &Plan) -> Self {
        Self {
            source: plan.source.clone(),
            target: plan.target.clone(),
            collections: plan.collections.iter().map(StoredCollection::of).collect(),
            new_databases: plan.new_databases.clone(),
            rbac: plan.rbac.clone(),
            resource_groups: plan.resource_groups.clone(),
            duration: plan.duration.clone(),
            warnings: plan.warnings.clone(),
        }
    }
}

impl StoredCollection {
    fn of(planned: &PlannedCollection) -> Self {
        let described = &planned.described;
        let split = |name: &CollectionName| (name.db.clone(), name.name.clone());
        Self {
            source: split(&planned.source),
            target: split(&planned.target),
            rows_estimate: planned.rows_estimate,
            partitions: planned.partitions.clone(),
            aliases: planned.aliases.clone(),
            changes: planned.changes.clone(),
            needs_load: planned.needs_load,
            readable: planned.readable,
            described: StoredDescription {
                id: described.id,
                created_timestamp: described.created_timestamp,
                shards: described.shards,
                consistency: described.consistency,
                aliases: described.aliases.clone(),
                properties: pairs(&described.properties),
                num_partitions: described.num_partitions,
                schema: BASE64.encode(described.schema.raw()),
            },
            new: StoredNew {
                schema: BASE64.encode(&planned.new.schema),
                shards: planned.new.shards,
                consistency: planned.new.consistency,
                properties: pairs(&planned.new.properties),
                num_partitions: planned.new.num_partitions,
            },
            indexes: planned.indexes.clone(),
            load: planned.load.clone(),
            late_properties: planned.late_properties.clone(),
            presence: planned.presence,
            keys: planned.keys,
            size: planned.size.clone(),
        }
    }

    fn planned(self) -> Result<PlannedCollection, DocumentError> {
        let (source, target) = (name(self.source), name(self.target));
        let schema = Schema::read(bytes_of(&self.described.schema)?)
            .map_err(|error| DocumentError::Schema(error.to_string()))?;
        Ok(PlannedCollection {
            described: Collection {
                name: source.clone(),
                id: self.described.id,
                created_timestamp: self.described.created_timestamp,
                shards: self.described.shards,
                consistency: self.described.consistency,
                aliases: self.described.aliases,
                properties: parameters(&self.described.properties),
                num_partitions: self.described.num_partitions,
                schema,
            },
            new: NewCollection {
                name: target.clone(),
                schema: bytes_of(&self.new.schema)?,
                shards: self.new.shards,
                consistency: self.new.consistency,
                properties: parameters(&self.new.properties),
                num_partitions: self.new.num_partitions,
            },
            source,
            target,
            rows_estimate: self.rows_estimate,
            partitions: self.partitions,
            aliases: self.aliases,
            changes: self.changes,
            needs_load: self.needs_load,
            readable: self.readable,
            indexes: self.indexes,
            load: self.load,
            late_properties: self.late_properties,
            presence: self.presence,
            keys: self.keys,
            size: self.size,
        })
    }
}

/// Databases, each with a collection or meant as a whole.
type StoredSelectors = Vec<(String, Option<String>)>;

#[derive(Serialize, Deserialize)]
struct StoredRequest {
    /// What is meant, and what of it is left out; absent in what earlier versions recorded.
    #[serde(default)]
    selection: Option<(StoredSelectors, StoredSelectors)>,
    #[serde(default)]
    visible_only: bool,
    target_dbs: BTreeMap<String, String>,
    verify: VerifyLevel,
    source_load: SourceLoad,
    source_load_parallel: usize,
    duplicates: Duplicates,
    #[serde(default)]
    on_bad_row: OnBadRow,
    #[serde(default)]
    auto_id: AutoId,
    #[serde(default)]
    keep_index_params: bool,
    wait_index: bool,
    allow_drift: bool,
    #[serde(default)]
    warm: bool,
    #[serde(default)]
    load_target: bool,
    #[serde(default)]
    policy: Edition,
    #[serde(default)]
    source_plan: PlanHints,
    #[serde(default)]
    target_plan: PlanHints,
}

/// A request as a document, without addresses and credentials.
pub(crate) fn write_request(request: &MigrateRequest) -> Result<String, DocumentError> {
    Ok(serde_json::to_string(&StoredRequest {
        selection: Some((
            stored_selectors(request.selection.included()),
            stored_selectors(request.selection.excluded()),
        )),
        visible_only: request.visible_only,
        target_dbs: request.target_dbs.clone(),
        verify: request.verify,
        source_load: request.source_load,
        source_load_parallel: request.source_load_parallel,
        duplicates: request.duplicates,
        on_bad_row: request.on_bad_row,
        auto_id: request.auto_id,
        keep_index_params: request.keep_index_params,
        wait_index: request.wait_index,
        allow_drift: request.allow_drift,
        warm: request.warm,
        load_target: request.load_target,
        policy: request.policy.clone(),
        source_plan: request.source_plan.clone(),
        target_plan: request.target_plan.clone(),
    })?)
}

fn stored_selectors(selectors: &[Selector]) -> StoredSelectors {
    let stored = |selector: &Selector| match selector {
        Selector::Database(db) => (db.clone(), None),
        Selector::Collection(name) => (name.db.clone(), Some(name.name.clone())),
    };
    selectors.iter().map(stored).collect()
}

fn selectors_of(stored: StoredSelectors) -> Vec<Selector> {
    let selector = |(db, name): (String, Option<String>)| match name {
        None => Selector::Database(db),
        Some(name) => Selector::Collection(CollectionName::new(db, name)),
    };
    stored.into_iter().map(selector).collect()
}

/// A request from its document, and from the plan that was made for it.
pub(crate) fn read_request(
    document: &str,
    plan: &Plan,
    source: Endpoint,
    target: Endpoint,
) -> Result<MigrateRequest, DocumentError> {
    let stored: StoredRequest = serde_json::from_str(document)?;
    let selection = match stored.selection {
        Some((include, exclude)) => Selection::new(selectors_of(include), selectors_of(exclude)),
        None => Selection::of(plan.collections.iter().map(|planned| planned.source.clone())),
    };
    Ok(MigrateRequest {
        source,
        target,
        selection,
        visible_only: stored.visible_only,
        target_dbs: stored.target_dbs,
        verify: stored.verify,
        source_load: stored.source_load,
        source_load_parallel: stored.source_load_parallel,
        duplicates: stored.duplicates,
        on_bad_row: stored.on_bad_row,
        auto_id: stored.auto_id,
        keep_index_params: stored.keep_index_params,
        wait_index: stored.wait_index,
        allow_drift: stored.allow_drift,
        warm: stored.warm,
        load_target: stored.load_target,
        rbac: None,
        policy: stored.policy,
        source_plan: stored.source_plan,
        target_plan: stored.target_plan,
    })
}
