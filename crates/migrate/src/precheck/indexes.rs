//! The indexes that the target is to have, and those of scalar fields that it can't build.

use vecferry_milvus::Index;
use vecferry_milvus::schema::{Family, FieldSpec, family};
use vecferry_policy::{Product, VectorKind, keeps_vector_index, scalar_index, vector_index};

use super::definitions::Checks;
use super::features::lacking;
use crate::cluster::inventory::Found;
use crate::plan::change::{index_on, side};
use crate::plan::{Change, NewIndex};
use crate::problem::{CheckId, Told};
use crate::target;

impl Checks<'_> {
    /// Indexes of scalar fields and JSON paths are carried over as they are, or not at all. A 2.3.5 refuses those that it
    /// does not know when they are made.
    pub(super) fn scalar_indexes(&mut self, found: &Found) {
        let vectors = found.described.schema.vector_fields();
        let is_scalar = |index: &&Index| vectors.iter().all(|vector| vector.name != index.field);
        for index in found.indexes.iter().filter(is_scalar) {
            let kind = index.param("index_type").unwrap_or_default();
            let on_json_path = index.param("json_path").is_some();
            if self.follows_source {
                continue;
            }
            let Some((why, why_zh)) = lacking(scalar_index(self.product, kind, on_json_path)) else {
                continue;
            };
            let (path, path_zh) =
                if on_json_path { (" on a JSON path", "，JSON 路径") } else { Default::default() };
            let (name, field) = (&index.name, &index.field);
            let detail = Told::both(
                format!("it needs the index `{name}` ({kind}{path}) on `{field}`, {why}"),
                format!("需要 `{field}` 上的索引 `{name}`（{kind}{path_zh}），{why_zh}"),
            );
            match self.product {
                Product::Milvus(_) => self.may_not_hold(found, CheckId::Schema, detail),
                // Its table is what real servers did; see `trial`.
                Product::LiteNative | Product::LitePython => self.cannot_hold(found, detail),
            }
        }
    }
}

/// AUTOINDEX on every vector field that the source has an index for, with the source's metric, or the source's own index
/// where that is asked for and the target builds it; scalar indexes as they are.
pub(super) fn indexes(
    product: Product,
    found: &Found,
    keep: bool,
    changes: &mut Vec<Change>,
) -> Vec<NewIndex> {
    let vectors = found.described.schema.vector_fields();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut indexes = Vec::new();
    for index in &found.indexes {
        let (name, field) = (index.name.clone(), index.field.clone());
        let as_on_source = || index_params(product, index);
        let Some(vector) = vectors.iter().find(|vector| vector.name == field) else {
            indexes.push(NewIndex { name, field, params: as_on_source(), instead: None });
            continue;
        };
        let by_contract = vector_index(product, vector_kind(vector));
        let of_source = index.param("index_type").unwrap_or_default();
        let metric = index.param("metric_type").map(|metric| pair("metric_type", metric));
        let params = std::iter::once(pair("index_type", by_contract)).chain(metric).collect();
        if keep && of_source != by_contract && keeps_vector_index(product, of_source) {
            indexes.push(NewIndex { name, field, params: as_on_source(), instead: Some(params) });
            continue;
        }
        if of_source != by_contract {
            let (source, target) = (of_source.to_owned(), by_contract.to_owned());
            changes.push(Change { what: index_on(&field), source, target });
        }
        indexes.push(NewIndex { name, field, params, instead: None });
    }
    // A source that reads without an index (lite) says no metric; the target needs an index to be loaded later.
    let unindexed =
        vectors.iter().filter(|vector| found.indexes.iter().all(|index| index.field != vector.name));
    for vector in unindexed.filter(|_| found.rows_estimate > 0) {
        let (index_type, metric) = (vector_index(product, vector_kind(vector)), default_metric(vector));
        changes.push(Change {
            what: index_on(&vector.name),
            source: side::NONE.to_owned(),
            target: format!("{index_type}, {metric}"),
        });
        let params = vec![pair("index_type", index_type), pair("metric_type", metric)];
        indexes.push(NewIndex { name: String::new(), field: vector.name.clone(), params, instead: None });
    }
    indexes
}

/// The parameters of an index as the target takes them: milvus-lite 3 reads those of the build from one document only.
fn index_params(product: Product, index: &Index) -> Vec<(String, String)> {
    let is_its_own = |key: &str| ["index_type", "metric_type", "params"].contains(&key);
    if product != Product::LitePython {
        return index.params.iter().map(|param| (param.key.clone(), param.value.clone())).collect();
    }
    let mut build = target::flat_params(index.params.iter().map(|param| (&*param.key, &*param.value)));
    build.retain(|key, _| !is_its_own(key));
    let number_or_text =
        |text: String| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
    let build: serde_json::Map<_, _> =
        build.into_iter().map(|(key, value)| (key, number_or_text(value))).collect();
    let named = index.params.iter().filter(|param| is_its_own(&param.key) && param.key != "params");
    let mut params: Vec<_> = named.map(|param| (param.key.clone(), param.value.clone())).collect();
    if !build.is_empty() {
        params.push(("params".to_owned(), serde_json::Value::Object(build).to_string()));
    }
    params
}

fn vector_kind(vector: &FieldSpec) -> VectorKind {
    match family(vector.data_type) {
        Family::Sparse => VectorKind::Sparse,
        Family::Dense { bits: 1 } => VectorKind::Binary,
        Family::Dense { bits: 32 } => VectorKind::Float,
        Family::Dense { .. }
        | Family::Fixed(_)
        | Family::Text
        | Family::Json
        | Family::Array
        | Family::Nested => VectorKind::OtherDense,
    }
}

/// The metric that servers assume for a type when none is given.
fn default_metric(field: &FieldSpec) -> &'static str {
    match family(field.data_type) {
        Family::Sparse if field.is_function_output => "BM25",
        Family::Sparse => "IP",
        Family::Dense { bits: 1 } => "HAMMING",
        Family::Dense { .. }
        | Family::Fixed(_)
        | Family::Text
        | Family::Json
        | Family::Array
        | Family::Nested => "COSINE",
    }
}
