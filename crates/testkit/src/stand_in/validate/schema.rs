//! What a collection may be.

use std::collections::BTreeSet;

use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema, FunctionType};
use vecferry_milvus::schema::parameter;

use crate::stand_in::Version;
use crate::stand_in::catalog::Field;
use crate::stand_in::status::{FIELD_NAME_INVALID, KEYWORDS, Refusal};

const NAME_BYTES_MAX: usize = 255;
const VECTOR_FIELDS_MAX: usize = 4;
const FIELDS_MAX: usize = 64;
const LENGTH_MAX: usize = 65_535;
const CAPACITY_MAX: usize = 4_096;

/// Takes out the fields of the protocol that a release does not know: it makes the collection without, as 2.3.5 does.
pub(in crate::stand_in) fn known_to(schema: &mut CollectionSchema, version: Version) {
    if version < Version::V2_6 {
        schema.struct_array_fields.clear();
    }
    if version < Version::V2_5 {
        schema.functions.clear();
        for field in &mut schema.fields {
            (field.nullable, field.is_function_output) = (false, false);
        }
    }
    if version < Version::V2_4 {
        schema.fields.iter_mut().for_each(|field| field.is_clustering_key = false);
    }
}

/// Checks a schema that a collection is to be made of.
pub(in crate::stand_in) fn creation(schema: &CollectionSchema, version: Version) -> Result<(), Refusal> {
    collection_name(&schema.name, "name")?;
    let inner = schema.struct_array_fields.iter().flat_map(|of_struct| &of_struct.fields);
    let all: Vec<_> = schema.fields.iter().chain(inner.clone()).collect();
    // 2.3.5 does not take others for vectors.
    let is_vector_of_2_3 = |field: &&&FieldSchema| {
        matches!(field.data_type(), DataType::FloatVector | DataType::BinaryVector | DataType::Float16Vector)
    };
    if version < Version::V2_4 && all.iter().filter(is_vector_of_2_3).count() > 1 {
        return Err(Refusal::other("multiple vector fields is not supported"));
    }
    if all.len() > FIELDS_MAX {
        return Err(Refusal::invalid(format!("maximum field's number should be limited to {FIELDS_MAX}")));
    }
    let mut names = BTreeSet::new();
    let structs = schema.struct_array_fields.iter().map(|of_struct| &of_struct.name);
    for field_name in schema.fields.iter().map(|field| &field.name).chain(structs) {
        name(field_name)?;
        if version >= Version::V2_5 && KEYWORDS.contains(&field_name.as_str()) {
            let reason = format!("Invalid field name: {field_name}. It is a keyword");
            return Err(Refusal::new(FIELD_NAME_INVALID, reason));
        }
        if !names.insert(field_name) {
            return Err(Refusal::invalid(format!("duplicated field name {field_name}")));
        }
    }
    if schema.fields.iter().filter(|field| field.is_primary_key).count() != 1 {
        return Err(Refusal::invalid("there must be one primary key"));
    }
    if all.iter().any(|field| field.field_id != 0) {
        return Err(Refusal::invalid("user defined field id is not allowed"));
    }
    schema.fields.iter().try_for_each(|schema| field(schema, version))?;
    for function in &schema.functions {
        let since = match function.r#type() {
            FunctionType::Bm25 => Version::V2_5,
            FunctionType::TextEmbedding => Version::V2_6,
            FunctionType::MinHash => Version::V3_0,
            _ => return Err(Refusal::invalid("unknown function type")),
        };
        if version < since {
            let reason = format!("function {} of type {:?}", function.name, function.r#type());
            return Err(Refusal::invalid(format!("{reason} is not supported")));
        }
    }
    if !schema.struct_array_fields.is_empty() && version < Version::V2_6 {
        return Err(Refusal::invalid("struct array fields are not supported"));
    }
    for of_struct in &schema.struct_array_fields {
        if of_struct.nullable && version < Version::V3_0 {
            return Err(Refusal::invalid("nullable struct array fields are not supported"));
        }
        for inner in &of_struct.fields {
            name(&inner.name)?;
            if !matches!(inner.data_type(), DataType::Array | DataType::ArrayOfVector) {
                let reason = format!(
                    "Fields in StructArrayField can only be array or array of vector: {}",
                    inner.name
                );
                return Err(Refusal::invalid(reason));
            }
            limits(inner)?;
        }
    }
    let vectors = schema.fields.iter().map(Field::of).filter(Field::is_vector).count();
    let vectors = vectors + inner.filter(|inner| inner.data_type() == DataType::ArrayOfVector).count();
    if vectors == 0 || vectors > VECTOR_FIELDS_MAX {
        return Err(Refusal::invalid(format!("there must be 1 to {VECTOR_FIELDS_MAX} vector fields")));
    }
    Ok(())
}

/// The rule for names of databases and fields.
pub(in crate::stand_in) fn name(name: &str) -> Result<(), Refusal> {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if begins && goes_on && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Invalid name: {name}. It can only contain numbers, letters and underscores."
    )))
}

/// The rule for names of collections and aliases.
pub(in crate::stand_in) fn collection_name(name: &str, what: &str) -> Result<(), Refusal> {
    let refuse = |why: &str| {
        Err(Refusal::invalid(format!("Invalid collection {what}: {name}. {why}: invalid parameter")))
    };
    let name = name.trim();
    let Some(first) = name.chars().next() else {
        return Err(Refusal::invalid(format!("collection {what} should not be empty: invalid parameter")));
    };
    if name.len() > NAME_BYTES_MAX {
        return refuse(&format!("the length of a collection {what} must be less than 255 characters"));
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return refuse(&format!(
            "the first character of a collection {what} must be an underscore or letter"
        ));
    }
    match name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_') {
        true => Ok(()),
        false => refuse(&format!("collection {what} can only contain numbers, letters and underscores")),
    }
}

/// The rules for partitions are their own: digits may come first, and since 2.5 hyphens are allowed.
pub(in crate::stand_in) fn partition_name(name: &str, version: Version) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::other(format!("Invalid partition name: {name}. {why}")));
    let name = name.trim();
    let Some(first) = name.chars().next() else {
        return refuse("Partition name should not be empty.");
    };
    if name.len() > NAME_BYTES_MAX {
        return refuse("The length of a partition name must be less than 255 characters.");
    }
    if !(first.is_ascii_alphanumeric() || first == '_') {
        return refuse("The first character of a partition name must be an underscore or letter.");
    }
    let is_allowed = |character: char| {
        character.is_ascii_alphanumeric() || character == '_' || character == '-' && version >= Version::V2_5
    };
    match name.chars().all(is_allowed) {
        true => Ok(()),
        false => refuse("Partition name can only contain numbers, letters and underscores."),
    }
}

fn since(data_type: DataType) -> Option<Version> {
    Some(match data_type {
        DataType::Bool
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float
        | DataType::Double
        | DataType::VarChar
        | DataType::Json
        | DataType::Array
        | DataType::BinaryVector
        | DataType::FloatVector
        | DataType::Float16Vector
        | DataType::BFloat16Vector
        | DataType::SparseFloatVector => Version::V2_3,
        DataType::Int8Vector | DataType::Geometry | DataType::Timestamptz => Version::V2_6,
        DataType::Text => Version::V3_0,
        _ => return None,
    })
}

fn field(schema: &FieldSchema, version: Version) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid(format!("field {}: {why}", schema.name)));
    let field = Field::of(schema);
    // 2.3.5 keeps a type that it does not know, and says so when rows or an index come.
    if version >= Version::V2_4 && since(schema.data_type()).is_none_or(|since| version < since) {
        return refuse(&format!("data type {} is not supported", schema.data_type().as_str_name()));
    }
    if schema.nullable {
        let since = if field.is_vector() { Version::V2_6 } else { Version::V2_5 };
        if version < since {
            return refuse("nullable is not supported");
        }
        if schema.is_primary_key || schema.is_partition_key && version < Version::V2_6 {
            return refuse("primary and partition keys must not be nullable");
        }
    }
    let is_on = |key: &str| parameter(&schema.type_params, key) == Some("true");
    if (is_on("enable_analyzer") || is_on("enable_match")) && version == Version::V2_4 {
        return refuse("analyzers are not supported");
    }
    if schema.default_value.is_some()
        && (field.is_vector()
            || schema.is_primary_key
            || matches!(schema.data_type(), DataType::Array | DataType::Json))
    {
        return refuse("type does not support default values");
    }
    if schema.is_primary_key && !matches!(schema.data_type(), DataType::Int64 | DataType::VarChar) {
        return refuse("the data type of primary key should be Int64 or VarChar");
    }
    if schema.is_partition_key && !matches!(schema.data_type(), DataType::Int64 | DataType::VarChar) {
        return refuse("the data type of partition key should be Int64 or VarChar");
    }
    limits(schema)
}

/// The parameters that a type must have.
fn limits(schema: &FieldSchema) -> Result<(), Refusal> {
    let field = Field::of(schema);
    let refuse = |why: &str| Err(Refusal::invalid(format!("field {}: {why}", schema.name)));
    let is_text = schema.data_type() == DataType::VarChar || schema.element_type() == DataType::VarChar;
    if is_text && field.length_max.is_none_or(|most| most == 0 || most > LENGTH_MAX) {
        return refuse("the maximum length specified for the field is missing or invalid");
    }
    let is_array = matches!(schema.data_type(), DataType::Array | DataType::ArrayOfVector);
    if is_array && field.capacity_max.is_none_or(|most| most == 0 || most > CAPACITY_MAX) {
        return refuse("the maximum capacity specified for an array is missing or invalid");
    }
    if field.is_dense() || schema.data_type() == DataType::ArrayOfVector {
        let is_binary =
            DataType::BinaryVector == schema.data_type() || DataType::BinaryVector == schema.element_type();
        if field.dim == 0 || field.dim > 32_768 || is_binary && !field.dim.is_multiple_of(8) {
            return refuse("invalid dimension");
        }
    }
    if schema.data_type() == DataType::SparseFloatVector && parameter(&schema.type_params, "dim").is_some() {
        return refuse("dimension should not be specified");
    }
    Ok(())
}

/// Checks the parameters of an index that is to be built. There is no graphics processor.
pub(in crate::stand_in) fn index(
    field: &Field,
    params: &[KeyValuePair],
    version: Version,
) -> Result<(), Refusal> {
    let kind = parameter(params, "index_type").unwrap_or_default();
    if version < Version::V2_4 {
        return index_of_2_3(field, kind);
    }
    let since = match kind {
        "" | "AUTOINDEX" | "FLAT" | "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ" | "HNSW" | "DISKANN" | "SCANN"
        | "BIN_FLAT" | "BIN_IVF_FLAT" | "STL_SORT" | "Trie" => Version::V2_3,
        "SPARSE_INVERTED_INDEX" | "SPARSE_WAND" | "INVERTED" => Version::V2_4,
        "HNSW_SQ" | "HNSW_PQ" | "HNSW_PRQ" | "BITMAP" => Version::V2_5,
        "IVF_RABITQ" | "NGRAM" | "RTREE" => Version::V2_6,
        _ => return Err(Refusal::invalid(format!("invalid index type: {kind}"))),
    };
    if version < since {
        return Err(Refusal::invalid(format!("invalid index type: {kind}")));
    }
    if parameter(params, "json_path").is_some() && version < Version::V2_5 {
        return Err(Refusal::invalid("create index on json field is not supported"));
    }
    Ok(())
}

/// Which field gets which index from 2.3.5.
fn index_of_2_3(field: &Field, kind: &str) -> Result<(), Refusal> {
    let kinds: &[&str] = match field.data_type {
        DataType::FloatVector | DataType::Float16Vector => {
            &["", "AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "DISKANN", "SCANN"]
        }
        DataType::BinaryVector => &["", "AUTOINDEX", "BIN_FLAT", "BIN_IVF_FLAT"],
        DataType::Bool
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float
        | DataType::Double => &["", "STL_SORT"],
        DataType::VarChar => &["", "Trie"],
        other => {
            return Err(Refusal::invalid(format!(
                "create index on {} field is not supported: invalid parameter",
                other.as_str_name()
            )));
        }
    };
    match kinds.contains(&kind) {
        true => Ok(()),
        false => Err(Refusal::invalid(format!("index type not match: invalid parameter[actual={kind}]"))),
    }
}
