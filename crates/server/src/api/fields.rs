//! The schema of a collection, field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, FunctionSchema, FunctionType, ValueField, value_field::Data,
};

/// Characters of a default value that are shown.
const DEFAULT_CHARACTERS_MAX: usize = 200;

/// A field.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldSeen {
    /// Those of a struct have its name before them: `paragraphs[text]`.
    #[schema(example = "embedding")]
    pub(crate) field_name: String,
    pub(crate) description: String,
    #[schema(example = "FloatVector")]
    pub(crate) data_type: String,
    /// Of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) element_type: Option<String>,
    /// `dim`, `max_length`, `max_capacity`, settings of the analyzer …
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) is_primary: bool,
    pub(crate) auto_id: bool,
    pub(crate) is_partition_key: bool,
    pub(crate) is_clustering_key: bool,
    pub(crate) nullable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_value: Option<String>,
    /// Whether a function computes it.
    pub(crate) is_function_output: bool,
}

/// A function.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionSeen {
    pub(crate) function_name: String,
    #[schema(example = "BM25")]
    pub(crate) function_type: String,
    pub(crate) input_fields: Vec<String>,
    pub(crate) output_fields: Vec<String>,
}

/// All fields, with those of structs.
pub(crate) fn fields(schema: &CollectionSchema) -> Vec<FieldSeen> {
    let mut seen: Vec<_> = schema.fields.iter().map(field).collect();
    for group in &schema.struct_array_fields {
        let of_group = |member: &FieldSchema| {
            let seen = field(member);
            FieldSeen { field_name: format!("{}[{}]", group.name, seen.field_name), ..seen }
        };
        seen.extend(group.fields.iter().map(of_group));
    }
    seen
}

fn field(field: &FieldSchema) -> FieldSeen {
    FieldSeen {
        field_name: field.name.clone(),
        description: field.description.clone(),
        data_type: type_name(field.data_type),
        element_type: (field.element_type != 0).then(|| type_name(field.element_type)),
        params: pairs(&field.type_params),
        is_primary: field.is_primary_key,
        auto_id: field.auto_id,
        is_partition_key: field.is_partition_key,
        is_clustering_key: field.is_clustering_key,
        nullable: field.nullable,
        default_value: field.default_value.as_ref().and_then(default_value),
        is_function_output: field.is_function_output,
    }
}

fn pairs(pairs: &[KeyValuePair]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

fn type_name(number: i32) -> String {
    DataType::try_from(number)
        .map_or_else(|_| format!("type {number}"), |data_type| data_type.as_str_name().to_owned())
}

fn default_value(value: &ValueField) -> Option<String> {
    let text = match value.data.as_ref()? {
        Data::BoolData(value) => value.to_string(),
        Data::IntData(value) => value.to_string(),
        Data::LongData(value) | Data::TimestamptzData(value) => value.to_string(),
        Data::FloatData(value) => value.to_string(),
        Data::DoubleData(value) => value.to_string(),
        Data::StringData(value) => value.chars().take(DEFAULT_CHARACTERS_MAX).collect(),
        // JSON is stored as bytes.
        Data::BytesData(value) => {
            String::from_utf8_lossy(value).chars().take(DEFAULT_CHARACTERS_MAX).collect()
        }
    };
    Some(text)
}

/// All functions. Their parameters are left out: some name credentials of other services.
pub(crate) fn functions(schema: &CollectionSchema) -> Vec<FunctionSeen> {
    let function = |function: &FunctionSchema| FunctionSeen {
        function_name: function.name.clone(),
        function_type: FunctionType::try_from(function.r#type)
            .map_or_else(|_| format!("type {}", function.r#type), |kind| kind.as_str_name().to_owned()),
        input_fields: function.input_field_names.clone(),
        output_fields: function.output_field_names.clone(),
    };
    schema.functions.iter().map(function).collect()
}
