//! Columns of answers, which differ from those of inserts: values stand in null rows too, empty arrays have no member,
//! names of struct fields and places of masks vary.

use bytes::{Bytes, BytesMut};
use prost::Message;
use vecferry_milvus::proto::schema::field_data::Field as Member;
use vecferry_milvus::proto::schema::{
    ArrayArray, BoolArray, DataType, DoubleArray, FieldData, FloatArray, GeometryWktArray, IntArray,
    JsonArray, LongArray, ScalarField, SparseFloatArray, StringArray, VectorArray, VectorField, scalar_field,
    vector_field,
};
use vecferry_milvus::wire::scan::put_bytes;

use super::catalog::Field;
use super::incoming::{SCALARS_MASK, VECTORS_MASK};
use super::value::{Value, time_text};
use super::{Masks, Options, Version};

const COLUMN_SCALARS: u32 = 3;
const COLUMN_VECTORS: u32 = 4;
const COLUMN_STRUCT: u32 = 8;
const STRUCT_COLUMN: u32 = 1;

/// A column of an answer, encoded.
pub(super) fn column(field: &Field, id: i64, values: &[&Value], options: &Options) -> Bytes {
    let name = match (&field.parent, options.qualified_struct_fields) {
        (Some(_), false) => field.bare_name(),
        _ => &field.name,
    };
    // Dynamic fields have one since 2.6, though none of them is null.
    let has_mask = field.nullable && options.version >= Version::V2_5
        || field.is_dynamic && options.version >= Version::V2_6;
    let mask = values.iter().filter(|_| has_mask).map(|value| **value != Value::Null).collect::<Vec<_>>();
    let legacy = if options.masks == Masks::Nested { Vec::new() } else { mask.clone() };
    let nested = if options.masks == Masks::Legacy { Vec::new() } else { mask };
    let head = FieldData {
        r#type: field.data_type as i32,
        field_name: name.to_owned(),
        field_id: id,
        is_dynamic: field.is_dynamic,
        valid_data: legacy,
        field: None,
    };
    let (number, mask_number, mut body) = match member(field, values) {
        Member::Scalars(scalars) => (COLUMN_SCALARS, SCALARS_MASK, scalars.encode_to_vec()),
        Member::Vectors(vectors) => (COLUMN_VECTORS, VECTORS_MASK, vectors.encode_to_vec()),
        Member::StructArrays(_) => unreachable!("structs are made of columns"),
    };
    if !nested.is_empty() {
        let mut mask = BytesMut::new();
        put_bytes(&mut mask, mask_number, &nested.into_iter().map(u8::from).collect::<Vec<_>>());
        body.extend_from_slice(&mask);
    }
    let mut out = BytesMut::from(&head.encode_to_vec()[..]);
    put_bytes(&mut out, number, &body);
    out.freeze()
}

/// The column of a struct, from those of its fields.
pub(super) fn of_struct(name: &str, id: i64, inner: &[Bytes]) -> Bytes {
    let head = FieldData {
        r#type: DataType::ArrayOfStruct as i32,
        field_name: name.to_owned(),
        field_id: id,
        ..FieldData::default()
    };
    let mut body = BytesMut::new();
    inner.iter().for_each(|column| put_bytes(&mut body, STRUCT_COLUMN, column));
    let mut out = BytesMut::from(&head.encode_to_vec()[..]);
    put_bytes(&mut out, COLUMN_STRUCT, &body);
    out.freeze()
}

/// The values of a column as an insert would carry them, where every row has one.
pub(super) fn member(field: &Field, values: &[&Value]) -> Member {
    if field.data_type == DataType::ArrayOfVector {
        let rows = values.iter().map(|value| vectors(field.element_type, field.dim, elements(value).iter()));
        let array =
            VectorArray { dim: dim(field), data: rows.collect(), element_type: field.element_type as i32 };
        return Member::Vectors(VectorField {
            dim: dim(field),
            data: Some(vector_field::Data::VectorArray(array)),
        });
    }
    if field.is_vector() {
        let there = values.iter().copied().filter(|value| **value != Value::Null);
        return Member::Vectors(vectors(field.data_type, field.dim, there));
    }
    if field.data_type == DataType::Array {
        // An empty array, and the placeholder of a null one, comes without a member.
        let row = |value: &&Value| match elements(value) {
            [] => ScalarField { data: None },
            some => ScalarField { data: Some(scalars(field.element_type, &some.iter().collect::<Vec<_>>())) },
        };
        let data = values.iter().map(row).collect();
        let array = ArrayArray { data, element_type: field.element_type as i32 };
        return Member::Scalars(ScalarField { data: Some(scalar_field::Data::ArrayData(array)) });
    }
    Member::Scalars(ScalarField { data: Some(scalars(field.data_type, values)) })
}

fn dim(field: &Field) -> i64 {
    i64::try_from(field.dim).expect("a small number")
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        _ => &[],
    }
}

/// Values of a scalar type; a null is what its type has for nothing.
pub(super) fn scalars(data_type: DataType, values: &[&Value]) -> scalar_field::Data {
    use scalar_field::Data;
    fn all<T>(values: &[&Value], one: impl Fn(&Value) -> T) -> Vec<T> {
        values.iter().map(|value| one(value)).collect()
    }
    match data_type {
        DataType::Bool => {
            Data::BoolData(BoolArray { data: all(values, |value| *value == Value::Bool(true)) })
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Data::IntData(IntArray {
            data: all(values, |value| if let Value::Int(number) = value { *number } else { 0 }),
        }),
        DataType::Int64 => Data::LongData(LongArray {
            data: all(values, |value| if let Value::Long(number) = value { *number } else { 0 }),
        }),
        DataType::Float => Data::FloatData(FloatArray {
            data: all(
                values,
                |value| if let Value::Float(bits) = value { f32::from_bits(*bits) } else { 0.0 },
            ),
        }),
        DataType::Double => Data::DoubleData(DoubleArray {
            data: all(
                values,
                |value| if let Value::Double(bits) = value { f64::from_bits(*bits) } else { 0.0 },
            ),
        }),
        DataType::Json => Data::JsonData(JsonArray {
            data: all(values, |value| {
                if let Value::Json(text) = value { Bytes::from(text.clone()) } else { Bytes::new() }
            }),
        }),
        DataType::Geometry => Data::GeometryWktData(GeometryWktArray { data: all(values, text) }),
        _ => Data::StringData(StringArray { data: all(values, text) }),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Time(microseconds) => time_text(*microseconds),
        _ => String::new(),
    }
}

fn vectors<'a>(data_type: DataType, dim: usize, values: impl Iterator<Item = &'a Value>) -> VectorField {
    use vector_field::Data;
    let of_schema = i64::try_from(dim).expect("a small number");
    if data_type == DataType::SparseFloatVector {
        let row = |value: &Value| {
            if let Value::Sparse(row) = value { Bytes::from(row.clone()) } else { Bytes::new() }
        };
        let contents: Vec<_> = values.map(row).collect();
        let last = |row: &Bytes| {
            let at = row.len().checked_sub(8)?;
            Some(i64::from(u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])) + 1)
        };
        // The largest of this answer, so another with every page.
        let dim = contents.iter().filter_map(last).max().unwrap_or_default();
        // The column itself has none, on 2.5.10 and 2.6.18.
        return VectorField {
            dim: 0,
            data: Some(Data::SparseFloatVector(SparseFloatArray { contents, dim })),
        };
    }
    let mut packed = Vec::new();
    for value in values {
        if let Value::Vector(bytes) = value {
            packed.extend_from_slice(bytes);
        }
    }
    let floats = |packed: &[u8]| {
        let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        packed.chunks_exact(4).map(number).collect()
    };
    let data = match data_type {
        DataType::BinaryVector => Data::BinaryVector(packed.into()),
        DataType::Float16Vector => Data::Float16Vector(packed.into()),
        DataType::BFloat16Vector => Data::Bfloat16Vector(packed.into()),
        DataType::Int8Vector => Data::Int8Vector(packed.into()),
        _ => Data::FloatVector(FloatArray { data: floats(&packed) }),
    };
    VectorField { dim: of_schema, data: Some(data) }
}
