//! Outputs of functions, computed when rows come.

use std::collections::BTreeMap;

use vecferry_milvus::proto::schema::FunctionType;

use crate::stand_in::catalog::{Table, vector_bytes};
use crate::stand_in::value::Value;

/// Fills the columns of function outputs.
pub(super) fn compute(table: &Table, columns: &mut [Vec<Value>]) {
    let column_of = |name: &String| table.fields.iter().position(|field| field.name == *name);
    for function in &table.schema.functions {
        let input = function.input_field_names.first().and_then(column_of);
        let output = function.output_field_names.first().and_then(column_of);
        if let (Some(input), Some(output)) = (input, output) {
            let bytes = vector_bytes(table.fields[output].data_type, table.fields[output].dim);
            columns[output] =
                columns[input].iter().map(|text| of_text(text, function.r#type(), bytes)).collect();
        }
    }
}

/// What a function makes of a text; dense outputs have so many bytes.
pub(in crate::stand_in) fn of_text(text: &Value, kind: FunctionType, bytes: Option<usize>) -> Value {
    match (kind, bytes, text) {
        (FunctionType::Bm25, ..) => term_counts(text),
        (FunctionType::TextEmbedding | FunctionType::MinHash, Some(bytes), Value::Text(text)) => {
            // Small numbers, whatever the type of the output.
            let of = |at: usize| {
                text.bytes().fold(at as u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) & 0x1f
            };
            Value::Vector((0..bytes).map(of).collect())
        }
        _ => Value::Null,
    }
}

/// How often each word is in a text, by a number for the word.
fn term_counts(text: &Value) -> Value {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    if let Value::Text(text) = text {
        for word in text.split_whitespace() {
            let number =
                word.bytes().fold(17u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            *counts.entry(number % 10_000).or_default() += 1.0;
        }
    }
    let pair = |(index, count): (u32, f32)| [index.to_le_bytes(), count.to_le_bytes()].concat();
    Value::Sparse(counts.into_iter().flat_map(pair).collect())
}
