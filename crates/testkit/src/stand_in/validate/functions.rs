//! Outputs of functions, computed when rows come.

use std::collections::BTreeMap;

use vecferry_milvus::proto::schema::FunctionType;

use crate::stand_in::catalog::Table;
use crate::stand_in::value::Value;

/// Fills the columns of function outputs.
pub(super) fn compute(table: &Table, columns: &mut [Vec<Value>]) {
    let column_of = |name: &String| table.fields.iter().position(|field| field.name == *name);
    for function in table.schema.functions.iter().filter(|function| function.r#type() == FunctionType::Bm25) {
        let input = function.input_field_names.first().and_then(column_of);
        let output = function.output_field_names.first().and_then(column_of);
        if let (Some(input), Some(output)) = (input, output) {
            columns[output] = columns[input].iter().map(term_counts).collect();
        }
    }
}

/// How often each word is in a text, by a number for the word.
pub(in crate::stand_in) fn term_counts(text: &Value) -> Value {
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
