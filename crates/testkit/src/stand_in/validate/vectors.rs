//! Vectors: their dimension, their length, and that they hold numbers.

use vecferry_milvus::proto::schema::{DataType, VectorField, vector_field::Data};

use super::cells::mismatch;
use crate::stand_in::catalog::{Field, vector_bytes};
use crate::stand_in::status::Refusal;
use crate::stand_in::value::Value;

pub(super) fn wrong_dim(field: &Field, dim: i64) -> Refusal {
    let (name, of_schema) = (&field.name, field.dim);
    Refusal::invalid(format!(
        "the dim ({dim}) of field data({name}) is not equal to schema dim ({of_schema})"
    ))
}

/// The vectors of a column, one a row that has one.
pub(super) fn read(field: &Field, vectors: &VectorField) -> Result<Vec<Value>, Refusal> {
    let floats;
    let bytes: &[u8] = match (field.data_type, vectors.data.as_ref().ok_or_else(|| mismatch(field))?) {
        (DataType::SparseFloatVector, Data::SparseFloatVector(sparse)) => {
            return sparse.contents.iter().map(|row| sparse_row(field, row)).collect();
        }
        (DataType::FloatVector, Data::FloatVector(array)) => {
            // Many in a test of large answers: a plain loop is the fastest without optimisation.
            let mut bytes = Vec::with_capacity(array.data.len() * 4);
            for value in &array.data {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            floats = bytes;
            &floats
        }
        (DataType::BinaryVector, Data::BinaryVector(bytes))
        | (DataType::Float16Vector, Data::Float16Vector(bytes))
        | (DataType::BFloat16Vector, Data::Bfloat16Vector(bytes))
        | (DataType::Int8Vector, Data::Int8Vector(bytes)) => bytes,
        _ => return Err(mismatch(field)),
    };
    let width = vector_bytes(field.data_type, field.dim).filter(|width| *width > 0);
    let width = width.ok_or_else(|| mismatch(field))?;
    if field.data_type == DataType::FloatVector && !bytes.len().is_multiple_of(width) {
        let (length, dim) = (bytes.len() / 4, field.dim);
        return Err(Refusal::other(format!(
            "the length({length}) of float data should divide the dim({dim})"
        )));
    }
    if vectors.dim != i64::try_from(field.dim).unwrap_or_default() {
        return Err(wrong_dim(field, vectors.dim));
    }
    if !bytes.len().is_multiple_of(width) {
        let reason =
            format!("the length({}) of vector data of {} is no multiple of {width}", bytes.len(), field.name);
        return Err(Refusal::invalid(reason));
    }
    check_numbers(field, bytes)?;
    Ok(bytes.chunks_exact(width).map(|vector| Value::Vector(vector.to_vec())).collect())
}

/// Neither infinite nor no number at all.
fn check_numbers(field: &Field, bytes: &[u8]) -> Result<(), Refusal> {
    let is_finite = |exponent: u16| {
        bytes.chunks_exact(2).all(|half| u16::from_le_bytes([half[0], half[1]]) & exponent != exponent)
    };
    let finite = match field.data_type {
        DataType::FloatVector => bytes
            .chunks_exact(4)
            .all(|number| f32::from_le_bytes([number[0], number[1], number[2], number[3]]).is_finite()),
        DataType::Float16Vector => is_finite(0x7c00),
        DataType::BFloat16Vector => is_finite(0x7f80),
        _ => true,
    };
    if finite {
        Ok(())
    } else {
        // Seen with NaN.
        Err(Refusal::other(format!("value of field {} is not a number or infinity", field.name)))
    }
}

fn sparse_row(field: &Field, row: &[u8]) -> Result<Value, Refusal> {
    let refuse =
        |why: &str| Refusal::invalid(format!("invalid sparse vector of field {}: {why}", field.name));
    if !row.len().is_multiple_of(8) {
        return Err(refuse("invalid data length"));
    }
    let number = |at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
    let indices: Vec<_> = (0..row.len()).step_by(8).map(number).collect();
    if indices.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(refuse("unsorted or same indices"));
    }
    if indices.last() == Some(&u32::MAX) {
        return Err(refuse("index out of range"));
    }
    let mut values = (4..row.len()).step_by(8).map(|at| f32::from_bits(number(at)));
    if values.any(|value| !value.is_finite()) {
        return Err(refuse("value is not a number or infinity"));
    }
    Ok(Value::Sparse(row.to_vec()))
}
