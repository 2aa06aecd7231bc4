//! Any bytes whatever, and real answers with damage, through everything that reads pages: an error or a result, never a
//! panic, and never more memory than a small multiple of what came in.
//!
//! `PROPTEST_CASES` says how many; `cargo xtask fuzz` runs it for long.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use vecferry_milvus::Key;
use vecferry_milvus::proto::common::Status;
use vecferry_milvus::proto::milvus::QueryResults;
use vecferry_milvus::proto::schema::{
    ArrayArray, BoolArray, BytesArray, DataType, DoubleArray, FieldData, FloatArray, IntArray, JsonArray,
    LongArray, ScalarField, SparseFloatArray, StringArray, VectorArray, VectorField, field_data::Field,
    scalar_field::Data, vector_field,
};
use vecferry_milvus::schema::FieldSpec;
use vecferry_milvus::wire::digest::digest;
use vecferry_milvus::wire::rewrite::insertable;
use vecferry_milvus::wire::row_digests::row_digests;
use vecferry_milvus::wire::{Page, page, values};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes that may be in use for each byte that came in: a row of one bit becomes a slice, a flag and a value.
const MEMORY_PER_BYTE_MAX: usize = 64;
/// And for names, errors and the like.
const MEMORY_MORE_MAX: usize = 16 << 10;

const TYPES: [DataType; 25] = [
    DataType::None,
    DataType::Bool,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::Float,
    DataType::Double,
    DataType::String,
    DataType::VarChar,
    DataType::Array,
    DataType::Json,
    DataType::Geometry,
    DataType::Text,
    DataType::Timestamptz,
    DataType::BinaryVector,
    DataType::FloatVector,
    DataType::Float16Vector,
    DataType::BFloat16Vector,
    DataType::SparseFloatVector,
    DataType::Int8Vector,
    DataType::ArrayOfVector,
    DataType::ArrayOfStruct,
    DataType::Struct,
    DataType::Mol,
];

fn data_type() -> impl Strategy<Value = DataType> {
    prop::sample::select(TYPES.to_vec())
}

/// A field, at times an array of structs with some fields of its own.
fn spec() -> impl Strategy<Value = FieldSpec> {
    (flat_spec(), prop::collection::vec(flat_spec(), 0..3))
        .prop_map(|(spec, fields)| FieldSpec { fields, ..spec })
}

fn flat_spec() -> impl Strategy<Value = FieldSpec> {
    let dim = prop_oneof![Just(None), (0..64_u64).prop_map(Some), Just(Some(u64::MAX)), Just(Some(1 << 40))];
    ("[a-c]", data_type(), data_type(), any::<[bool; 2]>(), dim).prop_map(
        |(name, data_type, element_type, [nullable, has_default], dim)| FieldSpec {
            name,
            data_type,
            element_type,
            nullable,
            has_default,
            dim,
            is_function_output: false,
            fields: Vec::new(),
        },
    )
}

fn scalars() -> impl Strategy<Value = Data> {
    let list = || prop::collection::vec(any::<i64>(), 0..6);
    let bytes = || prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..6);
    let leaf = prop_oneof![
        list().prop_map(|data| Data::LongData(LongArray { data })),
        list().prop_map(|data| Data::IntData(IntArray {
            data: data.into_iter().map(|value| value as i32).collect()
        })),
        list().prop_map(|data| Data::BoolData(BoolArray {
            data: data.into_iter().map(|value| value > 0).collect()
        })),
        prop::collection::vec(any::<f32>(), 0..6).prop_map(|data| Data::FloatData(FloatArray { data })),
        prop::collection::vec(any::<f64>(), 0..6).prop_map(|data| Data::DoubleData(DoubleArray { data })),
        prop::collection::vec(".{0,5}", 0..6).prop_map(|data| Data::StringData(StringArray { data })),
        bytes()
            .prop_map(|data| Data::JsonData(JsonArray { data: data.into_iter().map(Into::into).collect() })),
        bytes().prop_map(|data| Data::BytesData(BytesArray {
            data: data.into_iter().map(Into::into).collect()
        })),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let row = prop::option::of(inner).prop_map(|data| ScalarField { data });
        (prop::collection::vec(row, 0..4), any::<i32>())
            .prop_map(|(data, element_type)| Data::ArrayData(ArrayArray { data, element_type }))
    })
}

fn vectors() -> impl Strategy<Value = VectorField> {
    use vector_field::Data;
    let raw = || prop::collection::vec(any::<u8>(), 0..40);
    let rows = || prop::collection::vec(raw(), 0..4);
    let leaf = prop_oneof![
        prop::collection::vec(any::<f32>(), 0..12).prop_map(|data| Data::FloatVector(FloatArray { data })),
        raw().prop_map(|data| Data::BinaryVector(data.into())),
        raw().prop_map(|data| Data::Float16Vector(data.into())),
        raw().prop_map(|data| Data::Bfloat16Vector(data.into())),
        raw().prop_map(|data| Data::Int8Vector(data.into())),
        rows().prop_map(|contents| Data::SparseFloatVector(SparseFloatArray {
            contents: contents.into_iter().map(Into::into).collect(),
            dim: 9
        })),
    ];
    let field = |data: Option<Data>, dim| VectorField { dim, data };
    let flat = (prop::option::of(leaf), -2..9_i64).prop_map(move |(data, dim)| field(data, dim));
    let nested = prop::collection::vec(flat.clone(), 0..4).prop_map(|data| VectorField {
        dim: 4,
        data: Some(Data::VectorArray(VectorArray {
            dim: 4,
            data,
            element_type: DataType::FloatVector as i32,
        })),
    });
    prop_oneof![4 => flat, 1 => nested]
}

fn column() -> impl Strategy<Value = FieldData> {
    let content = prop_oneof![
        3 => prop::option::of(scalars()).prop_map(|data| Field::Scalars(ScalarField { data })),
        2 => vectors().prop_map(Field::Vectors),
    ];
    (
        "[a-c]",
        data_type(),
        prop::option::of(content),
        prop::collection::vec(any::<bool>(), 0..6),
        any::<bool>(),
    )
        .prop_map(|(field_name, data_type, field, valid_data, is_dynamic)| FieldData {
            r#type: data_type as i32,
            field_name,
            field,
            valid_data,
            is_dynamic,
            ..FieldData::default()
        })
}

fn keys() -> impl Strategy<Value = FieldData> {
    prop::collection::btree_set(any::<i64>(), 0..6).prop_map(|keys| FieldData {
        r#type: DataType::Int64 as i32,
        field_name: "key".into(),
        field: Some(Field::Scalars(ScalarField {
            data: Some(Data::LongData(LongArray { data: keys.into_iter().collect() })),
        })),
        ..FieldData::default()
    })
}

/// An answer that a server could give, and what may happen to its bytes.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let whole = (keys(), prop::collection::vec(column(), 0..4)).prop_map(|(keys, mut columns)| {
        columns.push(keys);
        QueryResults { status: Some(Status::default()), fields_data: columns, ..QueryResults::default() }
            .encode_to_vec()
    });
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
    let damaged = (whole, damage).prop_map(|(mut bytes, damage)| {
        for (at, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    });
    prop_oneof![4 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

/// Everything that looks at the bytes of an answer.
fn read(answer: &Bytes, specs: &[FieldSpec], after: Option<&Key>) {
    let _ = page::status(answer);
    for key_field in ["key", "a"] {
        let Ok(page) = Page::read(answer, key_field, after) else { continue };
        let _ = page.all_keys(key_field);
        let _ = page.check_columns(["key", "a", "b"]);
        // Equal digests of two rows are equal digests of all their values.
        match (row_digests(&page, specs), values::rows(&page, specs)) {
            (Ok(digests), Ok(rows)) => {
                for (two, of_rows) in digests.windows(2).zip(rows.windows(2)) {
                    let same =
                        of_rows[0].iter().zip(&of_rows[1]).all(|(one, other)| digest(one) == digest(other));
                    assert_eq!(two[0] == two[1], same, "{of_rows:?}");
                }
            }
            (digests, rows) => assert_eq!(digests.is_err(), rows.is_err()),
        }
        for spec in specs {
            let _ = values::column(&page, spec);
            let _ = values::same_bytes(&page, &page, spec);
            for column in &page.columns {
                let _ = insertable(column, spec, page.rows);
            }
        }
    }
}

#[test]
fn any_answer_is_read_or_refused_within_bounds() {
    let input =
        (answer(), prop::collection::vec(spec(), 0..4), prop::option::of(any::<i64>().prop_map(Key::Int)));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&input, |(answer, specs, after)| {
            let answer = Bytes::from(answer);
            let before = ALLOCATED.current_usage();
            ALLOCATED.reset_peak_usage();
            read(&answer, &specs, after.as_ref());
            let used = ALLOCATED.peak_usage().saturating_sub(before);
            let most = answer.len() * MEMORY_PER_BYTE_MAX + MEMORY_MORE_MAX;
            prop_assert!(used <= most, "{used} bytes for an answer of {}", answer.len());
            Ok(())
        })
        .unwrap();
}
