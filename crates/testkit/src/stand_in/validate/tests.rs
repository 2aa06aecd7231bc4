use bytes::Bytes;
use prost::Message;
use vecferry_milvus::proto::schema::field_data::Field as Member;
use vecferry_milvus::proto::schema::{
    ArrayArray, CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, FunctionSchema, IntArray,
    JsonArray, LongArray, ScalarField, SparseFloatArray, StringArray, StructArrayField,
    StructArrayFieldSchema, TimestamptzArray, ValueField, VectorArray, VectorField, scalar_field,
    value_field, vector_field,
};
use vecferry_milvus::schema::{field, parameters};

use super::*;
use crate::stand_in::catalog::Catalog;
use crate::stand_in::status::OTHER;

fn scalars(name: &str, data: scalar_field::Data) -> FieldData {
    let field = Some(Member::Scalars(ScalarField { data: Some(data) }));
    FieldData { field_name: name.into(), field, ..FieldData::default() }
}

fn longs(name: &str, data: &[i64]) -> FieldData {
    scalars(name, scalar_field::Data::LongData(LongArray { data: data.to_vec() }))
}

fn ints(name: &str, data: &[i32]) -> FieldData {
    scalars(name, scalar_field::Data::IntData(IntArray { data: data.to_vec() }))
}

fn texts(name: &str, data: &[&str]) -> FieldData {
    let data = data.iter().map(|text| (*text).to_owned()).collect();
    scalars(name, scalar_field::Data::StringData(StringArray { data }))
}

fn json(name: &str, data: &[&str]) -> FieldData {
    let data = data.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    scalars(name, scalar_field::Data::JsonData(JsonArray { data }))
}

fn vectors(name: &str, dim: i64, data: vector_field::Data) -> FieldData {
    let field = Some(Member::Vectors(VectorField { dim, data: Some(data) }));
    FieldData { field_name: name.into(), field, ..FieldData::default() }
}

fn floats(name: &str, dim: i64, data: Vec<f32>) -> FieldData {
    vectors(name, dim, vector_field::Data::FloatVector(FloatArray { data }))
}

fn masked(column: FieldData, valid: &[bool]) -> FieldData {
    FieldData { valid_data: valid.to_vec(), ..column }
}

/// Two rows of a key and a vector.
fn base() -> Vec<FieldData> {
    vec![longs("id", &[1, 2]), floats("v", 2, vec![0.0, 1.0, 2.0, 3.0])]
}

fn key() -> FieldSchema {
    FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) }
}

fn vector() -> FieldSchema {
    field("v", DataType::FloatVector, &[("dim", "2")])
}

fn schema(more: Vec<FieldSchema>) -> CollectionSchema {
    let fields = [key(), vector()].into_iter().chain(more).collect();
    CollectionSchema { name: "c".into(), fields, ..CollectionSchema::default() }
}

fn nullable(schema: FieldSchema) -> FieldSchema {
    FieldSchema { nullable: true, ..schema }
}

struct Insert {
    schema: CollectionSchema,
    rules: Rules,
    properties: Vec<(&'static str, &'static str)>,
}

fn into(schema: CollectionSchema, version: Version) -> Insert {
    Insert {
        schema,
        rules: Rules { version, reads_nested_masks: false, replaces: false },
        properties: Vec::new(),
    }
}

impl Insert {
    fn all(&self, columns: Vec<FieldData>) -> Result<Vec<Vec<Value>>, Refusal> {
        let mut catalog = Catalog::new();
        creation(&self.schema, self.rules.version)?;
        let table = catalog.create("", self.schema.clone(), 1, 0).unwrap();
        table.properties = parameters(&self.properties);
        let incoming =
            columns.iter().map(|column| Incoming::read(&column.encode_to_vec()).unwrap()).collect();
        rows(table, incoming, 2, self.rules, &mut || 7)
    }

    /// With key and vector; the values of the third field.
    fn with(&self, column: FieldData) -> Result<Vec<Value>, Refusal> {
        Ok(self.all([base(), vec![column]].concat())?.swap_remove(2))
    }

    #[track_caller]
    fn refuses(&self, column: FieldData, why: &str) {
        let refusal = self.with(column).unwrap_err();
        assert!(refusal.reason.contains(why), "{refusal:?}");
        assert_eq!(refusal.code, 1100);
    }
}

#[test]
fn every_field_has_one_column_and_there_are_no_others() {
    let plain = into(schema(vec![]), Version::V2_5);
    assert_eq!(plain.all(base()).unwrap()[0], [Value::Long(1), Value::Long(2)]);
    plain.refuses(longs("other", &[1, 2]), "not exist in collection schema");
    plain.refuses(longs("id", &[1, 2]), "duplicated field id");
    let reason = plain.all(base()[..1].to_vec()).unwrap_err().reason;
    assert!(reason.contains("has no corresponding fieldData"), "{reason}");
}

#[test]
fn values_stand_in_the_member_of_their_type() {
    let of = |kind| into(schema(vec![field("f", kind, &[("max_length", "4")])]), Version::V2_6);
    of(DataType::Int64).refuses(ints("f", &[1, 2]), "type mismatch");
    of(DataType::Int32).refuses(longs("f", &[1, 2]), "type mismatch");
    of(DataType::Json).refuses(texts("f", &["1", "2"]), "type mismatch");
    of(DataType::Geometry).refuses(texts("f", &["POINT (1 1)", "POINT (1 1)"]), "type mismatch");
    let numbers = scalar_field::Data::TimestamptzData(TimestamptzArray { data: vec![1, 2] });
    of(DataType::Timestamptz).refuses(scalars("f", numbers), "must be a string array");
    of(DataType::Timestamptz).refuses(texts("f", &["today", "2025-01-01T00:00:00Z"]), "invalid timestamptz");
    let times =
        of(DataType::Timestamptz).with(texts("f", &["1970-01-01T00:00:01Z", "1970-01-01T01:00:01+01:00"]));
    assert_eq!(times.unwrap(), [Value::Time(1_000_000), Value::Time(1_000_000)]);
}

#[test]
fn there_are_as_many_values_as_rows() {
    let long = into(schema(vec![field("f", DataType::Int64, &[])]), Version::V2_6);
    long.refuses(longs("f", &[1]), "is not equal to passed num_rows (2)");
    long.refuses(masked(longs("f", &[1, 2]), &[true, true]), "valid_data of field(f) is wrong");
}

#[test]
fn nulls_come_without_placeholders() {
    let long = into(schema(vec![nullable(field("f", DataType::Int64, &[]))]), Version::V2_5);
    let values = long.with(masked(longs("f", &[5]), &[false, true])).unwrap();
    assert_eq!(values, [Value::Null, Value::Long(5)]);
    assert_eq!(long.with(longs("f", &[5, 6])).unwrap(), [Value::Long(5), Value::Long(6)]);
    assert_eq!(long.all(base()).unwrap()[2], [Value::Null, Value::Null]);
    long.refuses(masked(longs("f", &[0, 5]), &[false, true]), "the length of field is wrong");
    long.refuses(masked(longs("f", &[5]), &[true]), "valid_data of field(f) is wrong");
    let bare = FieldData { field: Some(Member::Scalars(ScalarField { data: None })), ..longs("f", &[]) };
    long.refuses(masked(bare, &[false, false]), "undefined data type");
    assert!(
        into(schema(vec![nullable(field("f", DataType::Int64, &[]))]), Version::V2_4)
            .with(longs("f", &[1, 2]))
            .is_err()
    );
}

#[test]
fn a_default_needs_a_mask_and_takes_the_place_of_nulls() {
    let default = Some(ValueField { data: Some(value_field::Data::LongData(9)) });
    let mut long = into(
        schema(vec![FieldSchema { default_value: default, ..field("f", DataType::Int64, &[]) }]),
        Version::V2_5,
    );
    assert_eq!(
        long.with(masked(longs("f", &[5]), &[false, true])).unwrap(),
        [Value::Long(9), Value::Long(5)]
    );
    assert_eq!(long.all(base()).unwrap()[2], [Value::Long(9), Value::Long(9)]);
    long.refuses(longs("f", &[5, 6]), "valid_data of field(f) is wrong");
    long.rules.reads_nested_masks = true;
    assert_eq!(long.with(longs("f", &[5, 6])).unwrap(), [Value::Long(5), Value::Long(6)]);
}

#[test]
fn masks_in_two_places_are_equal() {
    let mut long = into(schema(vec![nullable(field("f", DataType::Int64, &[]))]), Version::V3_0);
    let table_of = |insert: &Insert, legacy: &[bool], nested: &[bool]| {
        let mut catalog = Catalog::new();
        let table = catalog.create("", insert.schema.clone(), 1, 0).unwrap();
        let mut incoming: Vec<_> =
            base().iter().map(|column| Incoming::read(&column.encode_to_vec()).unwrap()).collect();
        let data = masked(longs("f", &[5]), legacy);
        incoming.push(Incoming { data, nested_mask: nested.to_vec(), inner: Vec::new() });
        rows(table, incoming, 2, insert.rules, &mut || 7)
    };
    // Unknown to the server, and so no mask at all.
    assert!(table_of(&long, &[], &[true, false]).is_err());
    long.rules.reads_nested_masks = true;
    assert!(table_of(&long, &[], &[true, false]).is_ok());
    assert!(table_of(&long, &[true, false], &[true, false]).is_ok());
    let refusal = table_of(&long, &[false, true], &[true, false]).unwrap_err();
    assert!(refusal.reason.contains("different legacy and field-specific valid_data"));
}

#[test]
fn arrays_have_their_member_and_their_bounds() {
    let schema_of = |element: DataType| FieldSchema {
        element_type: element as i32,
        ..field("f", DataType::Array, &[("max_capacity", "2"), ("max_length", "3")])
    };
    let rows_of = |rows: Vec<ScalarField>| {
        scalars("f", scalar_field::Data::ArrayData(ArrayArray { data: rows, element_type: 0 }))
    };
    let longs_of = |data: &[i64]| ScalarField {
        data: Some(scalar_field::Data::LongData(LongArray { data: data.to_vec() })),
    };
    let of = |element| into(schema(vec![schema_of(element)]), Version::V2_4);
    let values = of(DataType::Int64).with(rows_of(vec![longs_of(&[]), longs_of(&[4, 5])])).unwrap();
    assert_eq!(values, [Value::Array(vec![]), Value::Array(vec![Value::Long(4), Value::Long(5)])]);
    of(DataType::Int64).refuses(rows_of(vec![longs_of(&[1]), ScalarField { data: None }]), "nil array");
    of(DataType::Int64).refuses(rows_of(vec![longs_of(&[1]), longs_of(&[1, 2, 3])]), "exceeds max capacity");
    of(DataType::VarChar).refuses(rows_of(vec![longs_of(&[1]), longs_of(&[1])]), "does not match");
    let text = |text: &str| ScalarField {
        data: Some(scalar_field::Data::StringData(StringArray { data: vec![text.into()] })),
    };
    of(DataType::VarChar).refuses(rows_of(vec![text("abc"), text("abcd")]), "exceeds max length");
    let bytes =
        |number| ScalarField { data: Some(scalar_field::Data::IntData(IntArray { data: vec![number] })) };
    of(DataType::Int8).refuses(rows_of(vec![bytes(127), bytes(128)]), "out of range");
}

#[test]
fn values_are_within_their_bounds() {
    let of = |kind| into(schema(vec![field("f", kind, &[("max_length", "4")])]), Version::V2_6);
    // Bytes, not characters.
    of(DataType::VarChar).refuses(texts("f", &["abcd", "渡船"]), "exceeds max length");
    of(DataType::Int8).refuses(ints("f", &[127, -129]), "out of range");
    of(DataType::Int16).refuses(ints("f", &[1, 32_768]), "out of range");
    of(DataType::Float).refuses(
        scalars("f", scalar_field::Data::FloatData(FloatArray { data: vec![0.0, f32::NAN] })),
        "not a number",
    );
    of(DataType::Json).refuses(json("f", &["1", "{"]), "no JSON");
    let long = format!("\"{}\"", "x".repeat(65_536));
    of(DataType::Json).refuses(json("f", &["1", &long]), "exceeds max length");
    let wkt = |texts: [&str; 2]| {
        let data = texts.iter().map(|text| (*text).to_owned()).collect();
        scalars(
            "f",
            scalar_field::Data::GeometryWktData(vecferry_milvus::proto::schema::GeometryWktArray { data }),
        )
    };
    of(DataType::Geometry).refuses(wkt(["POINT (1 1)", "HERE"]), "invalid WKT");
}

#[test]
fn vectors_have_their_dimension_and_hold_numbers() {
    let plain = into(schema(vec![]), Version::V2_6);
    let with_vector = |column: FieldData| plain.all(vec![longs("id", &[1, 2]), column]).unwrap_err().reason;
    assert!(with_vector(floats("v", 3, vec![0.0; 4])).contains("is not equal to schema dim"));
    assert!(with_vector(floats("v", 2, vec![0.0; 3])).contains("should divide the dim(2)"));
    assert!(with_vector(floats("v", 2, vec![0.0; 2])).contains("passed num_rows"));
    assert!(with_vector(floats("v", 2, vec![0.0, 0.0, 0.0, f32::INFINITY])).contains("infinity"));
    let of = |kind| into(schema(vec![field("f", kind, &[("dim", "8")])]), Version::V2_6);
    let nan16 = |exponent: [u8; 2]| Bytes::from([[0u8; 2].repeat(15), exponent.to_vec()].concat());
    let float16 = vector_field::Data::Float16Vector(nan16([0x01, 0x7c]));
    // As 2.5.10 and 2.6.18 answer it for floats.
    let refused = of(DataType::Float16Vector).with(vectors("f", 8, float16)).unwrap_err();
    assert!(refused.code == OTHER && refused.reason.contains("not a number"), "{refused:?}");
    let bfloat16 = vector_field::Data::Bfloat16Vector(nan16([0x80, 0x7f]));
    let refused = of(DataType::BFloat16Vector).with(vectors("f", 8, bfloat16)).unwrap_err();
    assert!(refused.code == OTHER && refused.reason.contains("infinity"), "{refused:?}");
    let binary =
        |bytes: &'static [u8]| vectors("f", 8, vector_field::Data::BinaryVector(Bytes::from_static(bytes)));
    of(DataType::BinaryVector).refuses(binary(&[1, 2, 3]), "passed num_rows");
    assert_eq!(
        of(DataType::BinaryVector).with(binary(&[1, 2])).unwrap(),
        [Value::Vector(vec![1]), Value::Vector(vec![2])]
    );
    of(DataType::Int8Vector).refuses(binary(&[1, 2]), "type mismatch");
    assert!(creation(&of(DataType::Int8Vector).schema, Version::V2_5).is_err());
}

#[test]
fn sparse_vectors_are_sorted_and_finite() {
    let sparse = into(schema(vec![field("f", DataType::SparseFloatVector, &[])]), Version::V2_4);
    let row = |pairs: &[(u32, f32)]| {
        Bytes::from_iter(
            pairs.iter().flat_map(|(at, value)| [at.to_le_bytes(), value.to_le_bytes()].concat()),
        )
    };
    let of = |contents: Vec<Bytes>| {
        vectors("f", 9, vector_field::Data::SparseFloatVector(SparseFloatArray { contents, dim: 77 }))
    };
    assert!(sparse.with(of(vec![row(&[]), row(&[(1, 0.5), (9, -1.0)])])).is_ok());
    sparse.refuses(of(vec![row(&[(9, 0.5), (1, 1.0)]), row(&[])]), "unsorted");
    sparse.refuses(of(vec![row(&[(1, f32::NAN)]), row(&[])]), "not a number");
    sparse.refuses(of(vec![Bytes::from_static(&[1, 2]), row(&[])]), "data length");
}

#[test]
fn nullable_vectors_are_compact_too() {
    let made = nullable(field("f", DataType::FloatVector, &[("dim", "2")]));
    let insert = into(schema(vec![made.clone()]), Version::V3_0);
    let values = insert.with(masked(floats("f", 2, vec![1.0, 2.0]), &[false, true])).unwrap();
    assert_eq!(values[0], Value::Null);
    insert.refuses(masked(floats("f", 2, vec![0.0; 4]), &[false, true]), "the length of field is wrong");
    let nothing = FieldData { field_name: "f".into(), ..FieldData::default() };
    assert_eq!(insert.with(masked(nothing, &[false, false])).unwrap(), [Value::Null, Value::Null]);
    // As 2.5.10 and 2.6.18 answered.
    assert!(creation(&schema(vec![made.clone()]), Version::V2_5).is_err());
    assert!(creation(&schema(vec![made]), Version::V2_6).is_ok());
}

#[test]
fn the_dynamic_field_holds_objects_with_other_names() {
    let open = into(CollectionSchema { enable_dynamic_field: true, ..schema(vec![]) }, Version::V2_4);
    let meta = |rows: [&str; 2]| FieldData { is_dynamic: true, ..json("any name", &rows) };
    assert_eq!(open.with(meta(["{}", "{\"a\":1}"])).unwrap()[0], Value::Json(b"{}".to_vec()));
    open.refuses(meta(["{}", "1"]), "JSON object");
    open.refuses(meta(["{}", "{\"id\":1}"]), "static field name: id");
    open.refuses(json("$meta", &["{}", "{}"]), "not exist in collection schema");
    assert_eq!(open.all(base()).unwrap()[2], vec![Value::Json(b"{}".to_vec()); 2]);
    into(schema(vec![]), Version::V2_4).refuses(meta(["{}", "{}"]), "without dynamic schema enabled");
}

#[test]
fn keys_that_the_server_makes_are_refused_unless_allowed() {
    let auto =
        CollectionSchema { fields: vec![FieldSchema { auto_id: true, ..key() }, vector()], ..schema(vec![]) };
    let mut insert = into(auto.clone(), Version::V2_6);
    assert_eq!(insert.all(base()[1..].to_vec()).unwrap()[0], [Value::Long(7), Value::Long(7)]);
    assert!(insert.all(base()).unwrap_err().reason.contains("can not assign primary field data"));
    insert.properties = vec![("allow_insert_auto_id", "true")];
    assert_eq!(insert.all(base()).unwrap()[0], [Value::Long(1), Value::Long(2)]);
    let mut older = into(auto, Version::V2_5);
    older.properties = vec![("allow_insert_auto_id", "true")];
    assert!(older.all(base()).is_err());
}

#[test]
fn outputs_of_functions_are_computed_and_not_taken() {
    let output = FieldSchema { is_function_output: true, ..field("bm25", DataType::SparseFloatVector, &[]) };
    let with_function = CollectionSchema {
        functions: vec![FunctionSchema {
            r#type: 1,
            input_field_names: vec!["f".into()],
            output_field_names: vec!["bm25".into()],
            ..FunctionSchema::default()
        }],
        ..schema(vec![field("f", DataType::VarChar, &[("max_length", "9")]), output])
    };
    let insert = into(with_function, Version::V2_5);
    let text = texts("f", &["a b a", ""]);
    let columns = insert.all([base(), vec![text.clone()]].concat()).unwrap();
    assert_eq!(columns[3][1], Value::Sparse(vec![]));
    assert_ne!(columns[3][0], Value::Sparse(vec![]));
    let contents = vec![Bytes::new(); 2];
    let given =
        vectors("bm25", 0, vector_field::Data::SparseFloatVector(SparseFloatArray { contents, dim: 0 }));
    let refusal = insert.all([base(), vec![text, given]].concat()).unwrap_err();
    assert!(refusal.reason.contains("more fieldData has pass in"));
}

#[test]
fn structs_have_all_their_fields_in_one_shape() {
    let inner = FieldSchema {
        element_type: DataType::Int64 as i32,
        ..field("a", DataType::Array, &[("max_capacity", "3")])
    };
    let of_vectors = FieldSchema {
        element_type: DataType::FloatVector as i32,
        ..field("w", DataType::ArrayOfVector, &[("max_capacity", "3"), ("dim", "2")])
    };
    let made = StructArrayFieldSchema {
        name: "s".into(),
        fields: vec![inner, of_vectors],
        ..StructArrayFieldSchema::default()
    };
    let mut insert =
        into(CollectionSchema { struct_array_fields: vec![made], ..schema(vec![]) }, Version::V2_6);
    let arrays = |name: &str, lengths: [usize; 2]| {
        let row = |length: &usize| ScalarField {
            data: Some(scalar_field::Data::LongData(LongArray { data: vec![1; *length] })),
        };
        let data = lengths.iter().map(row).collect();
        scalars(name, scalar_field::Data::ArrayData(ArrayArray { data, element_type: 0 }))
    };
    let vector_arrays = |name: &str, lengths: [usize; 2]| {
        let row = |length: &usize| VectorField {
            dim: 2,
            data: Some(vector_field::Data::FloatVector(FloatArray { data: vec![0.5; 2 * length] })),
        };
        let data = lengths.iter().map(row).collect();
        vectors(name, 2, vector_field::Data::VectorArray(VectorArray { dim: 2, data, element_type: 0 }))
    };
    let of_struct = |fields: Vec<FieldData>| FieldData {
        field_name: "s".into(),
        field: Some(Member::StructArrays(StructArrayField { fields })),
        ..FieldData::default()
    };
    let both = |one: &str, other: &str| of_struct(vec![arrays(one, [1, 0]), vector_arrays(other, [1, 0])]);
    let columns = insert.all([base(), vec![both("a", "w")]].concat()).unwrap();
    assert_eq!(columns[2][0], Value::Array(vec![Value::Long(1)]));
    assert_eq!(columns[3][1], Value::Array(vec![]));
    insert.refuses(of_struct(vec![arrays("a", [1, 0])]), "length of fields of struct field mismatch");
    insert.refuses(
        of_struct(vec![arrays("a", [1, 0]), vector_arrays("w", [1, 1])]),
        "inconsistent array length",
    );
    insert.refuses(both("s[a]", "s[w]"), "not exist in collection schema");
    insert.refuses(longs("s", &[1, 2]), "not a struct array field");
    insert.rules.version = Version::V3_0;
    assert!(insert.all([base(), vec![both("s[a]", "s[w]")]].concat()).is_ok());
    let one_masked = of_struct(vec![masked(arrays("a", [1, 0]), &[true, true]), vector_arrays("w", [1, 0])]);
    insert.refuses(one_masked, "valid_data of the fields of struct s differ");
}

#[test]
fn schemas_have_what_their_types_need() {
    let refuses = |more: Vec<FieldSchema>, version| creation(&schema(more), version).unwrap_err().reason;
    assert!(refuses(vec![field("f", DataType::VarChar, &[])], Version::V3_0).contains("maximum length"));
    assert!(refuses(vec![field("f", DataType::Array, &[])], Version::V3_0).contains("maximum capacity"));
    assert!(
        refuses(vec![field("f", DataType::BinaryVector, &[("dim", "9")])], Version::V3_0)
            .contains("dimension")
    );
    assert!(refuses(vec![field("id", DataType::Bool, &[])], Version::V3_0).contains("duplicated"));
    assert!(refuses(vec![field("a b", DataType::Bool, &[])], Version::V3_0).contains("Invalid name"));
    assert!(refuses(vec![field("f", DataType::Text, &[])], Version::V2_6).contains("not supported"));
    let numbered = FieldSchema { field_id: 100, ..field("f", DataType::Bool, &[]) };
    assert!(refuses(vec![numbered], Version::V3_0).contains("field id"));
}
