//! One small collection for each thing that a release can hold.

use rand::SeedableRng;
use rand::rngs::StdRng;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, FunctionSchema, FunctionType, StructArrayFieldSchema,
    ValueField, value_field,
};
use vecferry_milvus::schema::{field, parameters};

use super::Version;
use super::catalog::{PARTITION_DEFAULT, fields_of};
use super::generate::{Generated, Maker, index_of, needs_index};
use super::value::Key;

const ROWS: i64 = 30;
const TEXT: &[(&str, &str)] = &[("max_length", "64")];
const ANALYZED: &[(&str, &str)] =
    &[("max_length", "64"), ("enable_analyzer", "true"), ("enable_match", "true")];

/// The collections that show what a release can hold, each with the line of the support matrix that it shows. They are
/// in a database of their own.
pub fn pieces(version: Version, db: &str) -> Vec<(&'static str, Generated)> {
    let mut pieces = Vec::new();
    let mut show = |item: &'static str, since: Version, alter: &dyn Fn(&mut Generated)| {
        if version < since {
            return;
        }
        let mut piece = plain(db, item);
        alter(&mut piece);
        fill(&mut piece, version, pieces.len() as u64);
        pieces.push((item, piece));
    };
    let with = |made: FieldSchema| move |piece: &mut Generated| piece.schema.fields.push(made.clone());
    let scalar = |kind: DataType| field("f", kind, &[]);
    use Version::{V2_4, V2_5, V2_6, V3_0};
    show("key_int64", V2_4, &|_| {});
    show("key_varchar", V2_4, &|piece| {
        piece.schema.fields[0] = FieldSchema { is_primary_key: true, ..field("id", DataType::VarChar, TEXT) };
    });
    show("auto_id", V2_4, &|piece| piece.schema.fields[0].auto_id = true);
    for (item, kind, since) in [
        ("bool", DataType::Bool, V2_4),
        ("int8", DataType::Int8, V2_4),
        ("int16", DataType::Int16, V2_4),
        ("int32", DataType::Int32, V2_4),
        ("int64", DataType::Int64, V2_4),
        ("float", DataType::Float, V2_4),
        ("double", DataType::Double, V2_4),
        ("json", DataType::Json, V2_4),
        ("geometry", DataType::Geometry, V2_6),
        ("timestamptz", DataType::Timestamptz, V2_6),
        ("text", DataType::Text, V3_0),
        ("sparse_vector", DataType::SparseFloatVector, V2_4),
    ] {
        show(item, since, &with(scalar(kind)));
    }
    show("varchar", V2_4, &with(field("f", DataType::VarChar, TEXT)));
    for (item, kind) in [
        ("array_bool", DataType::Bool),
        ("array_int8", DataType::Int8),
        ("array_int16", DataType::Int16),
        ("array_int32", DataType::Int32),
        ("array_int64", DataType::Int64),
        ("array_float", DataType::Float),
        ("array_double", DataType::Double),
        ("array_varchar", DataType::VarChar),
    ] {
        show(item, V2_4, &with(array(kind)));
    }
    for (item, kind, since) in [
        ("float_vector", DataType::FloatVector, V2_4),
        ("float16_vector", DataType::Float16Vector, V2_4),
        ("bfloat16_vector", DataType::BFloat16Vector, V2_4),
        ("int8_vector", DataType::Int8Vector, V2_6),
        ("binary_vector", DataType::BinaryVector, V2_4),
    ] {
        show(item, since, &with(field("f", kind, &[("dim", "16")])));
    }
    show("struct_array", V2_6, &|piece| piece.schema.struct_array_fields.push(of_structs(false, false)));
    show("array_of_vector", V2_6, &|piece| piece.schema.struct_array_fields.push(of_structs(true, false)));
    show("nullable_struct", V3_0, &|piece| piece.schema.struct_array_fields.push(of_structs(false, true)));
    show("nullable_scalar", V2_5, &|piece| {
        let made = [field("n", DataType::Int32, &[]), field("t", DataType::VarChar, TEXT)];
        let made = made.into_iter().chain([field("j", DataType::Json, &[]), array(DataType::Int64)]);
        piece.schema.fields.extend(made.map(|made| FieldSchema { nullable: true, ..made }));
    });
    show("nullable_vector", V3_0, &|piece| {
        piece
            .schema
            .fields
            .push(FieldSchema { nullable: true, ..field("f", DataType::FloatVector, &[("dim", "4")]) });
    });
    show("default_value", V2_4, &|piece| {
        let default_value = Some(ValueField { data: Some(value_field::Data::LongData(7)) });
        piece.schema.fields.push(FieldSchema { default_value, ..scalar(DataType::Int64) });
    });
    show("dynamic_field", V2_4, &|piece| piece.schema.enable_dynamic_field = true);
    show("partition_key", V2_4, &|piece| {
        let tenant = field("tenant", DataType::VarChar, TEXT);
        piece.schema.fields.push(FieldSchema { is_partition_key: true, ..tenant });
        piece.key_partitions = 5;
    });
    show("clustering_key", V2_4, &|piece| {
        piece.schema.fields.push(FieldSchema { is_clustering_key: true, ..scalar(DataType::Int64) });
    });
    show("description", V2_4, &|piece| {
        piece.schema.description = "图书 \"第一\" — καλημέρα".to_owned();
        piece.schema.fields[1].description = "向量".to_owned();
    });
    show("field_property", V2_4, &|piece| {
        let made = field("f", DataType::VarChar, &[("max_length", "64"), ("mmap.enabled", "true")]);
        piece.schema.fields.push(made);
    });
    show("analyzer", V2_5, &with(field("f", DataType::VarChar, ANALYZED)));
    show("multi_analyzer", V2_5, &|piece| {
        let languages = r#"{"by_field":"lang","analyzers":{"default":{"type":"standard"}}}"#;
        let params = [ANALYZED, &[("multi_analyzer_params", languages)]].concat();
        piece
            .schema
            .fields
            .extend([field("f", DataType::VarChar, &params), field("lang", DataType::VarChar, TEXT)]);
    });
    for (item, kind, output, since) in [
        ("bm25", FunctionType::Bm25, field("out", DataType::SparseFloatVector, &[]), V2_5),
        (
            "embedding",
            FunctionType::TextEmbedding,
            field("out", DataType::FloatVector, &[("dim", "8")]),
            V2_6,
        ),
        ("minhash", FunctionType::MinHash, field("out", DataType::BinaryVector, &[("dim", "64")]), V3_0),
    ] {
        show(item, since, &|piece| add_function(piece, kind, output.clone()));
    }
    show("shards", V2_4, &|piece| piece.shards = 3);
    show("consistency", V2_4, &|piece| piece.consistency = 2);
    show("property", V2_4, &|piece| {
        piece.properties = parameters(&[("mmap.enabled", "true"), ("partitionkey.isolation", "false")]);
    });
    show("ttl", V2_4, &|piece| piece.properties = parameters(&[("collection.ttl.seconds", "864000")]));
    show("partition", V2_4, &|piece| piece.partitions = vec!["filled".to_owned(), "empty".to_owned()]);
    show("alias", V2_4, &|piece| piece.aliases = vec!["an_alias".to_owned(), "another".to_owned()]);
    show("scalar_index", V2_4, &|piece| {
        piece.schema.fields.push(scalar(DataType::Int64));
        piece.indexes.push(("f".to_owned(), parameters(&[("index_type", "INVERTED")])));
    });
    show("json_path_index", V2_5, &|piece| {
        piece.schema.fields.push(scalar(DataType::Json));
        let params = [("index_type", "INVERTED"), ("json_path", "f[\"a\"]"), ("json_cast_type", "double")];
        piece.indexes.push(("f".to_owned(), parameters(&params)));
    });
    pieces
}

/// A collection of a key and a vector.
fn plain(db: &str, name: &str) -> Generated {
    let key = FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) };
    let vector = field("vector", DataType::FloatVector, &[("dim", "4")]);
    Generated {
        db: db.to_owned(),
        schema: CollectionSchema { name: name.to_owned(), fields: vec![key, vector], ..Default::default() },
        partitions: Vec::new(),
        key_partitions: 0,
        shards: 1,
        consistency: 1,
        indexes: Vec::new(),
        properties: Vec::new(),
        aliases: Vec::new(),
        rows: Vec::new(),
        loaded: true,
    }
}

fn array(kind: DataType) -> FieldSchema {
    let params: &[_] = match kind {
        DataType::VarChar => &[("max_capacity", "5"), ("max_length", "64")],
        _ => &[("max_capacity", "5")],
    };
    FieldSchema { element_type: kind as i32, ..field("f", DataType::Array, params) }
}

fn of_structs(with_vectors: bool, nullable: bool) -> StructArrayFieldSchema {
    let mut fields = vec![FieldSchema { nullable, ..array(DataType::Int32) }];
    if with_vectors {
        let params = [("max_capacity", "5"), ("dim", "4")];
        let vectors = field("w", DataType::ArrayOfVector, &params);
        fields.push(FieldSchema { element_type: DataType::FloatVector as i32, nullable, ..vectors });
    }
    StructArrayFieldSchema { name: "items".to_owned(), fields, nullable, ..Default::default() }
}

fn add_function(piece: &mut Generated, kind: FunctionType, output: FieldSchema) {
    piece.schema.fields.push(field("words", DataType::VarChar, ANALYZED));
    piece.schema.fields.push(FieldSchema { is_function_output: true, ..output });
    piece.schema.functions.push(FunctionSchema {
        name: "of_words".to_owned(),
        description: "一个函数".to_owned(),
        r#type: kind as i32,
        input_field_names: vec!["words".to_owned()],
        output_field_names: vec!["out".to_owned()],
        params: parameters(&[("provider", "none")]),
        ..Default::default()
    });
}

/// Rows with values of every kind, and an index on every vector.
fn fill(piece: &mut Generated, version: Version, seed: u64) {
    let fields = fields_of(&piece.schema);
    let mut maker = Maker::new(StdRng::seed_from_u64(seed), version);
    let is_text = piece.schema.fields[0].data_type() == DataType::VarChar;
    let key = |at: i64| if is_text { Key::Text(format!("键 \"{at}\"")) } else { Key::Long(at - 5) };
    let keys: Vec<_> = (0..ROWS).map(key).collect();
    let (first, second) = keys.split_at(keys.len() / 2);
    let mut add = |partition: &str, keys: &[Key]| {
        piece.rows.push((partition.to_owned(), maker.columns(&piece.schema, &fields, keys)));
    };
    add(PARTITION_DEFAULT, first);
    add(piece.partitions.first().map_or(PARTITION_DEFAULT, String::as_str), second);
    let vectors = fields.iter().filter(|field| needs_index(field));
    let indexes: Vec<_> = vectors.map(|field| (field.name.clone(), index_of(field))).collect();
    piece.indexes.extend(indexes);
}
