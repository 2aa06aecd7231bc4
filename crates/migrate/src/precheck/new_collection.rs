//! The collection that the target is to have, and in what it differs from the source's.

use vecferry_milvus::proto::common::{ConsistencyLevel, KeyValuePair};
use vecferry_milvus::schema::parameters;
use vecferry_milvus::{Collection, CollectionName, NewCollection};
use vecferry_policy::{Product, shards_max};

use super::definitions::Checks;
use crate::cluster::inventory::Found;
use crate::plan::change::{AUTO_IDS, DESCRIPTIONS, property as of_property, side};
use crate::plan::properties::{PROPERTY_KEPT_KEYS, PROPERTY_TTL};
use crate::plan::{Change, Keys};
use crate::problem::{Code, Problem, Side, words_of};

/// Properties that the server keeps for itself.
const PROPERTIES_OF_THE_SERVER: [&str; 1] = ["replicate.id"];

/// Partitions of a partition-key collection on lite, which counts them together with `_default`.
const LITE_KEY_PARTITION_PREFIX: &str = "_pk_";

impl Checks<'_> {
    pub(super) fn new_collection(&mut self, found: &Found, changes: &mut Vec<Change>) -> NewCollection {
        let described = &found.described;
        let mut change = |what: &str, source: String, target: String| {
            if source != target {
                changes.push(Change { what: what.to_owned(), source, target });
            }
        };
        // lite 2.x says 0 shards.
        let shards = described.shards.clamp(1, shards_max(self.product));
        change("shards_num", described.shards.max(1).to_string(), shards.to_string());
        let lite = self.product != Product::Milvus(None) && !matches!(self.product, Product::Milvus(_));
        if lite {
            change(
                "consistency_level",
                consistency_name(described.consistency),
                consistency_name(ConsistencyLevel::Strong as i32),
            );
        }
        let num_partitions = key_partitions(found);
        if self.product == Product::LitePython && described.schema.has_partition_key() {
            change("num_partitions", num_partitions.to_string(), "16".to_owned());
        }
        if self.product == Product::LitePython && has_description(found) {
            change(DESCRIPTIONS, side::KEPT.into(), side::NOT_KEPT_BY_LITE_3.into());
        }
        let keys = self.keys(found);
        match keys {
            Keys::Copied | Keys::Kept => {}
            Keys::Regenerated => change(AUTO_IDS, side::IDS_OF_SOURCE.into(), side::IDS_NEW.into()),
        }
        if self.product == Product::LiteNative {
            for property in &described.properties {
                change(&of_property(&property.key), property.value.clone(), side::NOT_KEPT_BY_LITE_2.into());
            }
        }
        let schema = match described.schema.creation_bytes() {
            Ok(schema) => schema,
            Err(error) => {
                let (problem, name) = (Problem::new(Code::CheckFailed), &described.name);
                let detail = words_of(&error).within(
                    |error| format!("schema of `{name}`: {error}"),
                    |error| format!("`{name}` 的 Schema：{error}"),
                );
                self.problems.push(problem.with("side", Side::Source.name()).told("detail", detail));
                bytes::Bytes::new()
            }
        };
        NewCollection {
            name: CollectionName::new(self.request.target_db(&described.name.db), &described.name.name),
            schema,
            shards,
            consistency: described.consistency,
            properties: properties_at_creation(described, keys),
            num_partitions: if described.schema.has_partition_key() { num_partitions } else { 0 },
        }
    }

    /// Partitions that the target is to have; a partition key makes its own.
    pub(super) fn partitions(&self, found: &Found) -> Vec<String> {
        if found.described.schema.has_partition_key() {
            return Vec::new();
        }
        found.partitions.iter().map(|(partition, _)| partition.clone()).collect()
    }
}

/// Properties that the target's collection is created with; others are set when everything is copied.
fn properties_at_creation(described: &Collection, keys: Keys) -> Vec<KeyValuePair> {
    let mut kept: Vec<_> = described
        .properties
        .iter()
        .filter(|property| !PROPERTIES_OF_THE_SERVER.contains(&property.key.as_str()))
        .filter(|property| property.key != PROPERTY_TTL)
        .cloned()
        .collect();
    if keys == Keys::Kept {
        // Until everything is copied; then it is what the source has.
        kept.retain(|property| property.key != PROPERTY_KEPT_KEYS);
        kept.extend(parameters(&[(PROPERTY_KEPT_KEYS, "true")]));
    }
    kept
}

fn consistency_name(level: i32) -> String {
    ConsistencyLevel::try_from(level)
        .map_or_else(|_| level.to_string(), |level| level.as_str_name().to_owned())
}

/// Number of partitions that a partition key spreads rows over.
fn key_partitions(found: &Found) -> i64 {
    let of_lite =
        found.partitions.iter().filter(|(name, _)| name.starts_with(LITE_KEY_PARTITION_PREFIX)).count()
            as i64;
    match of_lite {
        0 => found.described.num_partitions,
        counted => counted,
    }
}

fn has_description(found: &Found) -> bool {
    let schema = found.described.schema.decoded();
    !schema.description.is_empty() || schema.fields.iter().any(|field| !field.description.is_empty())
}
