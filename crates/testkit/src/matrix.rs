//! What a cluster can hold, item by item, and which test showed that it arrives: the support matrix.
//!
//! A test looks at what its source really holds ([`held`]), migrates it, compares both sides with means of its own, and
//! states the outcome ([`Evidence::state`]). The statements of all tests are in `docs/support-matrix`; a test fails if
//! what it states is not what is written there. To write them anew, and the tables after them:
//! `VECFERRY_WRITE_DOCS=1 cargo test --workspace`.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what a match on a type does not name is the most common one, and a wrong line of the matrix is seen"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema, FunctionType};
use vecferry_milvus::schema::parameter;
use vecferry_milvus::{Client, CollectionName, DB_DEFAULT, Error, Flavor, Index};

/// One line of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name in the records.
    pub id: &'static str,
    /// Its title in English.
    pub en: &'static str,
    /// Its title in Chinese.
    pub zh: &'static str,
}

macro_rules! items {
    ($($id:literal $en:literal $zh:literal;)*) => {
        &[$(Item { id: $id, en: $en, zh: $zh }),*]
    };
}

/// All lines, in their order.
pub const ITEMS: &[Item] = items! {
    "key_int64" "Int64 primary key" "Int64 主键";
    "key_varchar" "VarChar primary key" "VarChar 主键";
    "auto_id" "auto id, keys kept" "自动生成的主键（保留原值）";
    "bool" "Bool" "Bool";
    "int8" "Int8" "Int8";
    "int16" "Int16" "Int16";
    "int32" "Int32" "Int32";
    "int64" "Int64" "Int64";
    "float" "Float" "Float";
    "double" "Double" "Double";
    "varchar" "VarChar" "VarChar";
    "text" "Text" "Text";
    "json" "JSON" "JSON";
    "geometry" "Geometry" "Geometry";
    "timestamptz" "Timestamptz" "Timestamptz";
    "array_bool" "Array of Bool" "Bool 数组";
    "array_int8" "Array of Int8" "Int8 数组";
    "array_int16" "Array of Int16" "Int16 数组";
    "array_int32" "Array of Int32" "Int32 数组";
    "array_int64" "Array of Int64" "Int64 数组";
    "array_float" "Array of Float" "Float 数组";
    "array_double" "Array of Double" "Double 数组";
    "array_varchar" "Array of VarChar" "VarChar 数组";
    "struct_array" "array of structs" "结构体数组";
    "array_of_vector" "array of vectors" "向量数组";
    "float_vector" "FloatVector" "FloatVector";
    "float16_vector" "Float16Vector" "Float16Vector";
    "bfloat16_vector" "BFloat16Vector" "BFloat16Vector";
    "int8_vector" "Int8Vector" "Int8Vector";
    "binary_vector" "BinaryVector" "BinaryVector";
    "sparse_vector" "SparseFloatVector" "SparseFloatVector";
    "nullable_scalar" "nullable scalar, array or JSON" "可为空的标量、数组、JSON";
    "nullable_vector" "nullable vector" "可为空的向量";
    "nullable_struct" "nullable array of structs" "可为空的结构体数组";
    "default_value" "default value" "默认值";
    "dynamic_field" "dynamic field" "动态字段";
    "partition_key" "partition key and its number of partitions" "Partition Key 及其分区数";
    "clustering_key" "clustering key" "Clustering Key";
    "description" "descriptions in any language" "任意语言的描述";
    "field_property" "field properties (mmap)" "字段属性（mmap）";
    "analyzer" "analyzer and match" "分词器与文本匹配";
    "multi_analyzer" "multi-language analyzer" "多语言分词器";
    "bm25" "BM25 function" "BM25 函数";
    "embedding" "embedding function" "Embedding 函数";
    "minhash" "MinHash function" "MinHash 函数";
    "shards" "more than one shard" "多个 Shard";
    "consistency" "consistency level" "一致性级别";
    "property" "collection properties" "Collection 属性";
    "ttl" "time to live" "TTL";
    "database" "database beside `default`" "`default` 以外的 Database";
    "database_property" "database properties" "Database 属性";
    "partition" "partitions, also empty ones" "Partition（含空 Partition）";
    "alias" "alias" "别名（Alias）";
    "vector_index" "vector index, as AUTOINDEX with its metric" "向量索引（以 AUTOINDEX 重建，度量类型不变）";
    "scalar_index" "scalar index" "标量索引";
    "json_path_index" "JSON path index" "JSON 路径索引";
};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived as it was.
    Arrives,
    /// It arrived with a difference that the plan lists.
    Listed,
    /// The pre-check refuses it, and names it.
    Refused,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Arrives => "arrives",
            Self::Listed => "listed",
            Self::Refused => "refused",
        }
    }
}

/// What one test showed of one pair of servers.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// `real` or `stand-in`.
    pub servers: &'static str,
    /// Product and version of the source.
    pub source: String,
    /// Product and version of the target.
    pub target: String,
    /// By item.
    pub items: BTreeMap<String, Outcome>,
}

impl Evidence {
    /// States it: writes it down if that is asked for, and checks that it is what is written.
    ///
    /// # Panics
    /// It is not.
    pub fn state(&self) {
        for id in self.items.keys() {
            assert!(ITEMS.iter().any(|item| item.id == id), "`{id}` is no line of the matrix");
        }
        let items: BTreeMap<_, _> = self.items.iter().map(|(id, outcome)| (id, outcome.name())).collect();
        let stated = json!({
            "servers": self.servers, "source": self.source, "target": self.target, "items": items,
        });
        let text = format!("{}\n", serde_json::to_string_pretty(&stated).expect("plain data"));
        let name = format!("{}-{}-to-{}.json", self.servers, self.source, self.target);
        let file = directory().join(name.replace(' ', "-"));
        if std::env::var_os("VECFERRY_WRITE_DOCS").is_some() {
            fs::create_dir_all(directory()).expect("docs can be written");
            fs::write(&file, &text).expect("docs can be written");
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == text,
            "{} does not say what was shown now:\n{text}\nsee crates/testkit/src/matrix.rs",
            file.display()
        );
    }
}

/// Where statements and tables are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/support-matrix")
}

/// All statements that are written down, in the order of their files.
pub fn statements() -> Vec<Value> {
    let files = fs::read_dir(directory()).expect("docs/support-matrix is there");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a readable file");
        serde_json::from_str(&text).expect("a statement")
    };
    files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")).map(read).collect()
}

/// The lines of the matrix that some collections of a server are examples of.
pub async fn held(client: &Client, names: &[CollectionName]) -> Result<BTreeSet<&'static str>, Error> {
    let mut held = BTreeSet::new();
    for name in names {
        if name.db != DB_DEFAULT {
            held.insert("database");
            if !client.database_properties(&name.db).await?.is_empty() {
                held.insert("database_property");
            }
        }
        let described = client.describe(name).await?;
        of_schema(described.schema.decoded(), &mut held);
        if described.schema.is_auto_id() {
            held.insert("auto_id");
        }
        held.extend((described.shards > 1).then_some("shards"));
        // Lite has one level, and 1 is what servers assume.
        let has_levels = client.version().flavor == Flavor::Milvus;
        held.extend((has_levels && described.consistency != 1).then_some("consistency"));
        for property in &described.properties {
            held.insert(if property.key == "collection.ttl.seconds" { "ttl" } else { "property" });
        }
        if !described.schema.has_partition_key() && client.partitions(name).await?.len() > 1 {
            held.insert("partition");
        }
        held.extend((!client.aliases(&described).await?.is_empty()).then_some("alias"));
        let vectors: Vec<_> = described.schema.vector_fields().into_iter().map(|field| field.name).collect();
        held.extend(client.indexes(name).await?.iter().map(|index| of_index(index, &vectors)));
    }
    Ok(held)
}

fn of_index(index: &Index, vectors: &[String]) -> &'static str {
    if index.param("json_path").is_some() {
        "json_path_index"
    } else if vectors.contains(&index.field) {
        "vector_index"
    } else {
        "scalar_index"
    }
}

fn of_schema(schema: &CollectionSchema, held: &mut BTreeSet<&'static str>) {
    held.extend((!schema.description.is_empty()).then_some("description"));
    held.extend(schema.enable_dynamic_field.then_some("dynamic_field"));
    for field in &schema.fields {
        of_field(field, held);
    }
    for of_struct in &schema.struct_array_fields {
        held.insert("struct_array");
        held.extend(of_struct.nullable.then_some("nullable_struct"));
        let has_vectors = of_struct.fields.iter().any(|field| field.data_type() == DataType::ArrayOfVector);
        held.extend(has_vectors.then_some("array_of_vector"));
    }
    for function in &schema.functions {
        held.insert(match function.r#type() {
            FunctionType::TextEmbedding => "embedding",
            FunctionType::MinHash => "minhash",
            _ => "bm25",
        });
    }
}

fn of_field(field: &FieldSchema, held: &mut BTreeSet<&'static str>) {
    if field.is_primary_key {
        held.insert(if field.data_type() == DataType::VarChar { "key_varchar" } else { "key_int64" });
        return;
    }
    let kind = of_type(field);
    held.insert(kind);
    let is_vector = kind.ends_with("vector");
    if field.nullable {
        held.insert(if is_vector { "nullable_vector" } else { "nullable_scalar" });
    }
    let has_default = field.default_value.as_ref().is_some_and(|value| value.data.is_some());
    let param = |key: &str| parameter(&field.type_params, key);
    for (holds, item) in [
        (has_default, "default_value"),
        (field.is_partition_key, "partition_key"),
        (field.is_clustering_key, "clustering_key"),
        (!field.description.is_empty(), "description"),
        (param("mmap.enabled").is_some(), "field_property"),
        (param("enable_analyzer") == Some("true"), "analyzer"),
        (param("multi_analyzer_params").is_some(), "multi_analyzer"),
    ] {
        held.extend(holds.then_some(item));
    }
}

fn of_type(field: &FieldSchema) -> &'static str {
    match field.data_type() {
        DataType::Bool => "bool",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float => "float",
        DataType::Double => "double",
        DataType::Text => "text",
        DataType::Json => "json",
        DataType::Geometry => "geometry",
        DataType::Timestamptz => "timestamptz",
        DataType::Array => match field.element_type() {
            DataType::Bool => "array_bool",
            DataType::Int8 => "array_int8",
            DataType::Int16 => "array_int16",
            DataType::Int32 => "array_int32",
            DataType::Int64 => "array_int64",
            DataType::Float => "array_float",
            DataType::Double => "array_double",
            _ => "array_varchar",
        },
        DataType::FloatVector => "float_vector",
        DataType::Float16Vector => "float16_vector",
        DataType::BFloat16Vector => "bfloat16_vector",
        DataType::Int8Vector => "int8_vector",
        DataType::BinaryVector => "binary_vector",
        DataType::SparseFloatVector => "sparse_vector",
        _ => "varchar",
    }
}
