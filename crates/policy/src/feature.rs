//! Which server holds what.
//!
//! From the protocol notes: milvus-proto's branches 2.2 to 3.0, and measurements on 2.3.5 and on milvus-lite 2.5.1 and
//! 3.2.2. A table here only raises a
//! doubt where [`trial`] says that the server itself can be asked.

use std::fmt;

/// A server product, with its release where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Milvus or Zilliz Cloud; the release is unknown where the server does not say a number.
    Milvus(Option<(u32, u32)>),
    /// milvus-lite 2.x, the C++ engine.
    LiteNative,
    /// milvus-lite 3.x, the Python engine.
    LitePython,
}

/// Something that a collection may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// JSON fields, and the dynamic field, which is one.
    Json,
    /// Array fields.
    Array,
    /// Binary vectors.
    BinaryVector,
    /// float16 and bfloat16 vectors.
    HalfVector,
    /// Sparse vectors.
    SparseVector,
    /// int8 vectors.
    Int8Vector,
    /// Geometry fields.
    Geometry,
    /// Timestamps with time zone.
    Timestamptz,
    /// Text fields without a length.
    Text,
    /// Arrays of structs and arrays of vectors.
    Struct,
    /// Such arrays that may be null.
    NullableStruct,
    /// A type that no release knows that this table was made for.
    UnknownType,
    /// Scalars that may be null.
    Nullable,
    /// Vectors that may be null.
    NullableVector,
    /// Default values.
    DefaultValue,
    /// BM25.
    Function,
    /// Functions that ask a model for vectors.
    Embedding,
    /// MinHash signatures.
    MinHash,
    /// A function that no release knows that this table was made for.
    UnknownFunction,
    /// Texts that are taken apart into words: analyzers, and matches by word.
    Analyzer,
    /// Partitions that users make.
    Partition,
    /// Partitions by the value of a field.
    PartitionKey,
    /// Clustering key.
    ClusteringKey,
    /// Aliases.
    Alias,
    /// Databases beside `default`.
    Database,
    /// Keys of the source's in a collection whose keys the server makes (`allow_insert_auto_id`).
    KeptAutoId,
}

/// Whether a server holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Yes,
    /// This product does, from a later release on.
    Since(u32, u32),
    /// This product does not.
    No,
}

/// What an empty collection that is made for trial shows of a feature that its server may not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The server refuses the collection, or describes it without the feature.
    Definition,
    /// The server refuses an index on the field.
    Index,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON or dynamic fields",
            Self::Array => "array fields",
            Self::BinaryVector => "binary vectors",
            Self::HalfVector => "float16 and bfloat16 vectors",
            Self::SparseVector => "sparse vectors",
            Self::Int8Vector => "int8 vectors",
            Self::Geometry => "geometry fields",
            Self::Timestamptz => "timestamps with time zone",
            Self::Text => "text fields",
            Self::Struct => "arrays of structs or vectors",
            Self::NullableStruct => "nullable arrays of structs",
            Self::UnknownType => "fields of this type",
            Self::Nullable => "nullable fields",
            Self::NullableVector => "nullable vectors",
            Self::DefaultValue => "default values",
            Self::Function => "BM25 functions",
            Self::Embedding => "embedding functions",
            Self::MinHash => "MinHash functions",
            Self::UnknownFunction => "functions of this kind",
            Self::Analyzer => "analyzers",
            Self::Partition => "partitions",
            Self::PartitionKey => "partition keys",
            Self::ClusteringKey => "clustering keys",
            Self::Alias => "aliases",
            Self::Database => "databases beside `default`",
            Self::KeptAutoId => "kept auto-id keys",
        })
    }
}

impl Feature {
    /// Its name in Chinese.
    pub fn in_chinese(self) -> &'static str {
        match self {
            Self::Json => "JSON 或动态字段",
            Self::Array => "数组字段",
            Self::BinaryVector => "二进制向量",
            Self::HalfVector => "float16 和 bfloat16 向量",
            Self::SparseVector => "稀疏向量",
            Self::Int8Vector => "int8 向量",
            Self::Geometry => "Geometry 字段",
            Self::Timestamptz => "带时区的时间戳",
            Self::Text => "Text 字段",
            Self::Struct => "结构体数组或向量数组",
            Self::NullableStruct => "可为空的结构体数组",
            Self::UnknownType => "该类型的字段",
            Self::Nullable => "可为空的字段",
            Self::NullableVector => "可为空的向量",
            Self::DefaultValue => "默认值",
            Self::Function => "BM25 函数",
            Self::Embedding => "Embedding 函数",
            Self::MinHash => "MinHash 函数",
            Self::UnknownFunction => "该类型的函数",
            Self::Analyzer => "分词器",
            Self::Partition => "Partition",
            Self::PartitionKey => "Partition Key",
            Self::ClusteringKey => "Clustering Key",
            Self::Alias => "别名",
            Self::Database => "`default` 以外的 Database",
            Self::KeptAutoId => "保留自动生成的主键",
        }
    }
}

/// Whether a product holds a feature.
pub fn support(product: Product, feature: Feature) -> Support {
    match product {
        Product::Milvus(release) => match (release, milvus_since(feature)) {
            (_, None) => Support::No,
            // A server that says no number is Zilliz Cloud, which runs the newest release.
            (None, Some(_)) => Support::Yes,
            (Some(release), Some(since)) if release >= since => Support::Yes,
            (Some(_), Some((major, minor))) => Support::Since(major, minor),
        },
        Product::LiteNative => yes(LITE_NATIVE.contains(&feature)),
        Product::LitePython => yes(LITE_PYTHON.contains(&feature)),
    }
}

/// What an empty collection with a feature shows on a server that may not hold it.
///
/// Tried on a real 2.3.5. It makes a collection of what it does not know:
/// - What is a field of the protocol of its own (nulls, functions, structs, clustering keys) is left out, and the description
///   shows that. A 2.5.10 refused a nullable vector.
/// - Sparse and int8 vectors get no index. So it is with bfloat16; an index on float16 is taken, but from some thousand rows on
///   its build fails in the server's log, again and again, and the description says that it is finished and covers no row.
/// - Other types and the parameters of an analyzer are kept and described as if they were known. Rows of a geometry are
///   refused; rows of a text or a timestamp with time zone are taken, and the whole server dies when it loads them. So a
///   server that does not hold these is never asked. Releases up to 2.5 look at types in the same way.
/// - A primary key that a server makes itself shows only with rows; databases, partitions and aliases are of every release
///   that is written to.
///
/// milvus-lite is not asked at all. It has no release that follows another one; the tables are what 2.5.1 and 3.2.2 did. A
/// 2.5.1 keeps clustering and partition keys without their meaning, and a default of 0 leaves a collection that it can't
/// describe any more; a 3.2.2 makes nullable vectors, and answers something else for their nulls.
pub fn trial(product: Product, feature: Feature) -> Trial {
    match product {
        Product::Milvus(_) => {}
        Product::LiteNative | Product::LitePython => return Trial::Nothing,
    }
    match feature {
        Feature::Struct
        | Feature::NullableStruct
        | Feature::Nullable
        | Feature::NullableVector
        | Feature::DefaultValue
        | Feature::Function
        | Feature::Embedding
        | Feature::MinHash
        | Feature::UnknownFunction
        | Feature::PartitionKey
        | Feature::ClusteringKey => Trial::Definition,
        Feature::BinaryVector | Feature::SparseVector | Feature::Int8Vector => Trial::Index,
        Feature::HalfVector
        | Feature::Json
        | Feature::Array
        | Feature::Geometry
        | Feature::Timestamptz
        | Feature::Text
        | Feature::UnknownType
        | Feature::Analyzer
        | Feature::Partition
        | Feature::Alias
        | Feature::Database
        | Feature::KeptAutoId => Trial::Nothing,
    }
}

fn yes(holds: bool) -> Support {
    if holds { Support::Yes } else { Support::No }
}

/// First release of Milvus with a feature; `None` if there is none yet.
fn milvus_since(feature: Feature) -> Option<(u32, u32)> {
    match feature {
        Feature::BinaryVector | Feature::Partition | Feature::Alias => Some((2, 0)),
        Feature::Json | Feature::PartitionKey | Feature::Database => Some((2, 2)),
        Feature::Array | Feature::DefaultValue => Some((2, 3)),
        Feature::HalfVector | Feature::SparseVector | Feature::ClusteringKey => Some((2, 4)),
        Feature::Nullable | Feature::Function | Feature::Analyzer => Some((2, 5)),
        Feature::Int8Vector
        | Feature::Geometry
        | Feature::Timestamptz
        | Feature::Struct
        | Feature::Embedding
        // Seen on 2.6.18.
        | Feature::NullableVector
        | Feature::KeptAutoId => Some((2, 6)),
        Feature::Text | Feature::NullableStruct | Feature::MinHash => Some((3, 0)),
        Feature::UnknownType | Feature::UnknownFunction => None,
    }
}

const LITE_NATIVE: &[Feature] =
    &[Feature::Json, Feature::Array, Feature::BinaryVector, Feature::HalfVector, Feature::SparseVector];

const LITE_PYTHON: &[Feature] = &[
    Feature::Json,
    Feature::Array,
    Feature::SparseVector,
    Feature::Geometry,
    Feature::Timestamptz,
    Feature::Nullable,
    Feature::DefaultValue,
    Feature::Function,
    Feature::Analyzer,
    Feature::Partition,
    Feature::PartitionKey,
    Feature::Alias,
    Feature::Database,
];

/// Most shards a collection can have (`proxy.maxShardNum`; lite has one).
pub fn shards_max(product: Product) -> i32 {
    match product {
        Product::Milvus(_) => 16,
        Product::LiteNative | Product::LitePython => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_come_with_their_release() {
        let at = |major, minor| Product::Milvus(Some((major, minor)));
        assert_eq!(support(at(2, 3), Feature::Nullable), Support::Since(2, 5));
        assert_eq!(support(at(2, 5), Feature::Nullable), Support::Yes);
        assert_eq!(support(at(2, 6), Feature::Text), Support::Since(3, 0));
        assert_eq!(support(Product::Milvus(None), Feature::Text), Support::Yes);
        assert_eq!(support(at(9, 0), Feature::UnknownType), Support::No);
        assert_eq!(support(Product::LitePython, Feature::BinaryVector), Support::No);
        assert_eq!(support(Product::LiteNative, Feature::Alias), Support::No);
    }

    #[test]
    fn what_a_server_keeps_without_a_word_is_not_left_to_a_trial() {
        let old = Product::Milvus(Some((2, 3)));
        for (product, feature, shown) in [
            (old, Feature::Nullable, Trial::Definition),
            (old, Feature::SparseVector, Trial::Index),
            (old, Feature::HalfVector, Trial::Nothing),
            (old, Feature::Timestamptz, Trial::Nothing),
            (old, Feature::Text, Trial::Nothing),
            (old, Feature::UnknownType, Trial::Nothing),
            (Product::LiteNative, Feature::Nullable, Trial::Nothing),
            (Product::LitePython, Feature::Struct, Trial::Nothing),
        ] {
            assert_eq!(trial(product, feature), shown, "{product:?} {feature:?}");
        }
    }
}
