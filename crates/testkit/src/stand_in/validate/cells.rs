//! The values of a column: they must be in the member that belongs to the field's type.

use vecferry_milvus::proto::schema::field_data::Field as Member;
use vecferry_milvus::proto::schema::{
    DataType, FieldData, ScalarField, VectorField, scalar_field, vector_field,
};

use super::{Rules, vectors};
use crate::stand_in::Version;
use crate::stand_in::catalog::Field;
use crate::stand_in::status::Refusal;
use crate::stand_in::value::{Value, time_of};

/// The values as they came, without those of null rows.
pub(super) fn read(field: &Field, data: &FieldData, rules: Rules) -> Result<Vec<Value>, Refusal> {
    let is_new = matches!(field.data_type, DataType::SparseFloatVector | DataType::Geometry);
    if is_new && rules.version < Version::V2_4 {
        return Err(Refusal::other("%!s(<nil>) is not supported now"));
    }
    match &data.field {
        Some(Member::Scalars(scalars)) if !is_vector(field) => scalar_cells(field, scalars),
        Some(Member::Vectors(of_vectors)) if field.data_type == DataType::ArrayOfVector => {
            vector_arrays(field, of_vectors)
        }
        Some(Member::Vectors(of_vectors)) if is_vector(field) => {
            // A column in which every row is null may come without a member.
            if of_vectors.data.is_none() && field.nullable && rules.version >= Version::V3_0 {
                return Ok(Vec::new());
            }
            vectors::read(field, of_vectors)
        }
        None if is_vector(field) && field.nullable && rules.version >= Version::V3_0 => Ok(Vec::new()),
        _ => Err(mismatch(field)),
    }
}

fn is_vector(field: &Field) -> bool {
    field.is_vector() || field.data_type == DataType::ArrayOfVector
}

pub(super) fn mismatch(field: &Field) -> Refusal {
    let kind = field.data_type.as_str_name();
    Refusal::invalid(format!("{kind} field '{}' is illegal, array type mismatch", field.name))
}

fn scalar_cells(field: &Field, scalars: &ScalarField) -> Result<Vec<Value>, Refusal> {
    use scalar_field::Data;
    let data = scalars.data.as_ref();
    let data = data
        .ok_or_else(|| Refusal::invalid(format!("undefined data type:{}", field.data_type.as_str_name())))?;
    Ok(match (field.data_type, data) {
        (DataType::Array, Data::ArrayData(arrays)) => {
            return arrays.data.iter().map(|row| array(field, row)).collect();
        }
        (DataType::Json, Data::JsonData(json)) => {
            json.data.iter().map(|text| Value::Json(text.to_vec())).collect()
        }
        (DataType::Geometry, Data::GeometryWktData(texts)) => {
            texts.data.iter().cloned().map(Value::Text).collect()
        }
        (DataType::Timestamptz, Data::StringData(texts)) => {
            return texts.data.iter().map(|text| time(field, text)).collect();
        }
        (DataType::Timestamptz, _) => {
            return Err(Refusal::invalid(format!(
                "timestamptz field '{}' must be a string array",
                field.name
            )));
        }
        (data_type, data) => plain(data_type, data).ok_or_else(|| mismatch(field))?,
    })
}

fn time(field: &Field, text: &str) -> Result<Value, Refusal> {
    let invalid = || Refusal::invalid(format!("invalid timestamptz of field {}: {text}", field.name));
    time_of(text).map(Value::Time).ok_or_else(invalid)
}

/// Numbers, truth values and texts.
fn plain(data_type: DataType, data: &scalar_field::Data) -> Option<Vec<Value>> {
    use scalar_field::Data;
    Some(match (data_type, data) {
        (DataType::Bool, Data::BoolData(values)) => values.data.iter().copied().map(Value::Bool).collect(),
        (DataType::Int8 | DataType::Int16 | DataType::Int32, Data::IntData(values)) => {
            values.data.iter().copied().map(Value::Int).collect()
        }
        (DataType::Int64, Data::LongData(values)) => values.data.iter().copied().map(Value::Long).collect(),
        (DataType::Float, Data::FloatData(values)) => {
            values.data.iter().map(|value| Value::Float(value.to_bits())).collect()
        }
        (DataType::Double, Data::DoubleData(values)) => {
            values.data.iter().map(|value| Value::Double(value.to_bits())).collect()
        }
        (DataType::VarChar | DataType::Text, Data::StringData(values)) => {
            values.data.iter().cloned().map(Value::Text).collect()
        }
        _ => return None,
    })
}

fn array(field: &Field, row: &ScalarField) -> Result<Value, Refusal> {
    let refuse = |what: &str| {
        let kind = field.element_type.as_str_name();
        Refusal::invalid(format!("insert data does not match: expected={kind} array, actual={what}"))
    };
    let data = row.data.as_ref().ok_or_else(|| refuse("nil array"))?;
    plain(field.element_type, data).map(Value::Array).ok_or_else(|| refuse("another array"))
}

fn vector_arrays(field: &Field, of_vectors: &VectorField) -> Result<Vec<Value>, Refusal> {
    let Some(vector_field::Data::VectorArray(arrays)) = &of_vectors.data else { return Err(mismatch(field)) };
    if arrays.dim != i64::try_from(field.dim).unwrap_or_default() {
        return Err(vectors::wrong_dim(field, arrays.dim));
    }
    let element = Field { data_type: field.element_type, nullable: false, ..field.clone() };
    arrays.data.iter().map(|row| vectors::read(&element, row).map(Value::Array)).collect()
}
