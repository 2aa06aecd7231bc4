//! Arrays of structs: taken apart into one column a field, all of one shape.

use super::Rules;
use crate::stand_in::Version;
use crate::stand_in::catalog::Table;
use crate::stand_in::incoming::Incoming;
use crate::stand_in::status::Refusal;
use crate::stand_in::value::Value;

/// Replaces the columns of structs by those of their fields.
pub(super) fn flatten(
    table: &Table,
    incoming: Vec<Incoming>,
    rules: Rules,
) -> Result<Vec<Incoming>, Refusal> {
    let mut columns = Vec::new();
    for column in incoming {
        let name = column.data.field_name.clone();
        let of_struct = table.schema.struct_array_fields.iter().find(|of_struct| of_struct.name == name);
        let Some(of_struct) = of_struct else {
            if column.is_struct() {
                return Err(Refusal::invalid(format!("fieldName {name} not exist in collection schema")));
            }
            columns.push(column);
            continue;
        };
        if !column.is_struct() {
            return Err(Refusal::invalid(format!("field {name} is not a struct array field")));
        }
        if column.inner.len() != of_struct.fields.len() {
            let reason = format!(
                "length of fields of struct field mismatch, expect {}, got {}",
                of_struct.fields.len(),
                column.inner.len()
            );
            return Err(Refusal::invalid(reason));
        }
        let masks: Vec<_> =
            column.inner.iter().map(|inner| (&inner.data.valid_data, &inner.nested_mask)).collect();
        if masks.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Refusal::invalid(format!("valid_data of the fields of struct {name} differ")));
        }
        for mut inner in column.inner {
            inner.data.field_name = full_name(&name, &inner.data.field_name, rules);
            columns.push(inner);
        }
    }
    Ok(columns)
}

/// Servers since 3.0 take the field's name with the struct's too.
fn full_name(of_struct: &str, inner: &str, rules: Rules) -> String {
    let qualified = inner.strip_prefix(of_struct).is_some_and(|rest| rest.starts_with('['));
    if qualified && rules.version >= Version::V3_0 {
        inner.to_owned()
    } else {
        format!("{of_struct}[{inner}]")
    }
}

/// In every row the arrays of a struct's fields have one length.
pub(super) fn check_lengths(table: &Table, columns: &[Vec<Value>]) -> Result<(), Refusal> {
    for of_struct in &table.schema.struct_array_fields {
        let is_inner = |parent: &Option<String>| parent.as_ref() == Some(&of_struct.name);
        let inner: Vec<_> = table
            .fields
            .iter()
            .zip(columns)
            .filter(|(field, _)| is_inner(&field.parent))
            .map(|(_, column)| column.iter().map(length).collect::<Vec<_>>())
            .collect();
        if inner.windows(2).any(|pair| pair[0] != pair[1]) {
            let reason = format!("inconsistent array length in struct array field {}", of_struct.name);
            return Err(Refusal::invalid(reason));
        }
    }
    Ok(())
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(elements) => Some(elements.len()),
        _ => None,
    }
}
