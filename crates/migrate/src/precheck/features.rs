//! What the schema, partitions and aliases of a collection need that the target's release may not support.

use std::collections::{BTreeMap, BTreeSet};

use vecferry_milvus::DB_DEFAULT;
use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FunctionType};
use vecferry_milvus::schema::{Family, family};
use vecferry_policy::{Feature, Support, Trial, support, trial};

use super::definitions::Checks;
use crate::cluster::inventory::Found;
use crate::plan::NewIndex;
use crate::problem::{CheckId, Told};

/// Partition every collection has.
const PARTITION_DEFAULT: &str = "_default";

/// Features, and the fields, partitions and aliases that need them.
#[derive(Default)]
struct Wanted(BTreeMap<Feature, BTreeSet<String>>);

impl Wanted {
    fn add(&mut self, feature: Feature, what: &str) {
        self.0.entry(feature).or_default().insert(what.to_owned());
    }

    fn add_schema(&mut self, schema: &CollectionSchema) {
        for field in &schema.fields {
            let data_type = DataType::try_from(field.data_type).ok();
            if let Some(feature) = data_type.map_or(Some(Feature::UnknownType), feature_of) {
                self.add(feature, &field.name);
            }
            if field.nullable {
                let vector = matches!(data_type.map(family), Some(Family::Dense { .. } | Family::Sparse));
                self.add(if vector { Feature::NullableVector } else { Feature::Nullable }, &field.name);
            }
            if field.default_value.as_ref().is_some_and(|value| value.data.is_some()) {
                self.add(Feature::DefaultValue, &field.name);
            }
            if field.is_partition_key {
                self.add(Feature::PartitionKey, &field.name);
            }
            if field.is_clustering_key {
                self.add(Feature::ClusteringKey, &field.name);
            }
            if field.type_params.iter().any(is_of_analyzer) {
                self.add(Feature::Analyzer, &field.name);
            }
        }
        for function in &schema.functions {
            self.add(feature_of_function(function.r#type), &function.name);
        }
        for field in &schema.struct_array_fields {
            self.add(Feature::Struct, &field.name);
            if field.nullable || field.fields.iter().any(|inner| inner.nullable) {
                self.add(Feature::NullableStruct, &field.name);
            }
        }
        if schema.enable_dynamic_field {
            self.add(Feature::Json, "$meta");
        }
    }
}

impl Checks<'_> {
    pub(super) fn features(&mut self, found: &Found, indexes: &[NewIndex]) {
        let mut wanted = Wanted::default();
        wanted.add_schema(found.described.schema.decoded());
        for partition in self.partitions(found) {
            if partition != PARTITION_DEFAULT {
                wanted.add(Feature::Partition, &partition);
            }
        }
        found.aliases.iter().for_each(|alias| wanted.add(Feature::Alias, alias));
        let db = self.request.target_db(&found.described.name.db);
        if db != DB_DEFAULT {
            wanted.add(Feature::Database, &db);
        }
        for (feature, names) in wanted.0 {
            self.unsupported(found, feature, &names, indexes);
        }
    }

    /// What the table says that the target can't hold. Where the target itself can be asked without harm, it is asked.
    pub(super) fn unsupported(
        &mut self,
        found: &Found,
        feature: Feature,
        names: &BTreeSet<String>,
        indexes: &[NewIndex],
    ) {
        // What the source holds, a target of its release or a later one can be asked for.
        let is_ours = matches!(feature, Feature::KeptAutoId | Feature::UnknownType);
        if self.follows_source && !is_ours {
            return;
        }
        let Some((why, why_zh)) = lacking(support(self.product, feature)) else { return };
        let can_be_asked = match trial(self.product, feature) {
            Trial::Definition => true,
            // A field without an index is described as any other.
            Trial::Index => names.iter().all(|name| indexes.iter().any(|index| index.field == *name)),
            Trial::Nothing => false,
        };
        let names: Vec<_> = names.iter().collect();
        let detail = Told::names(&names).within(
            |names| format!("it needs {feature} ({names}), {why}"),
            |names| format!("需要{}（{names}），{why_zh}", feature.in_chinese()),
        );
        if can_be_asked {
            self.may_not_hold(found, CheckId::Schema, detail);
        } else {
            self.cannot_hold(found, detail);
        }
    }
}

/// Why a target may lack something, in English and Chinese; none if it does not.
pub(super) fn lacking(support: Support) -> Option<(String, String)> {
    match support {
        Support::Yes => None,
        Support::Since(major, minor) => {
            Some((format!("supported since {major}.{minor}"), format!("该特性从 {major}.{minor} 开始支持")))
        }
        Support::No => Some(("not supported by this product".to_owned(), "该产品不支持该特性".to_owned())),
    }
}

fn feature_of(data_type: DataType) -> Option<Feature> {
    match data_type {
        DataType::Bool
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float
        | DataType::Double
        | DataType::String
        | DataType::VarChar
        | DataType::FloatVector => None,
        DataType::Json => Some(Feature::Json),
        DataType::Array => Some(Feature::Array),
        DataType::Geometry => Some(Feature::Geometry),
        DataType::Timestamptz => Some(Feature::Timestamptz),
        DataType::Text => Some(Feature::Text),
        DataType::BinaryVector => Some(Feature::BinaryVector),
        DataType::Float16Vector | DataType::BFloat16Vector => Some(Feature::HalfVector),
        DataType::SparseFloatVector => Some(Feature::SparseVector),
        DataType::Int8Vector => Some(Feature::Int8Vector),
        DataType::ArrayOfVector | DataType::ArrayOfStruct | DataType::Struct => Some(Feature::Struct),
        DataType::None | DataType::Mol | DataType::Date | DataType::Time | DataType::Decimal => {
            Some(Feature::UnknownType)
        }
    }
}

fn feature_of_function(kind: i32) -> Feature {
    match FunctionType::try_from(kind) {
        Ok(FunctionType::Bm25) => Feature::Function,
        Ok(FunctionType::TextEmbedding) => Feature::Embedding,
        Ok(FunctionType::MinHash) => Feature::MinHash,
        // Reranking belongs to a search, not to a collection; the others are of releases to come.
        Ok(FunctionType::Unknown | FunctionType::Rerank | FunctionType::MolFingerprint) | Err(_) => {
            Feature::UnknownFunction
        }
    }
}

/// Whether a parameter of a text field asks for words. One that says "no" may stand on any server.
fn is_of_analyzer(param: &KeyValuePair) -> bool {
    match param.key.as_str() {
        "enable_analyzer" | "enable_match" | "enable_tokenizer" => param.value == "true",
        "analyzer_params" | "multi_analyzer_params" => true,
        _ => false,
    }
}
