//! Null masks: what came is compact, and as long as the mask says.

use super::Rules;
use crate::stand_in::Version;
use crate::stand_in::catalog::Field;
use crate::stand_in::incoming::Incoming;
use crate::stand_in::status::Refusal;
use crate::stand_in::value::Value;

/// The values of all rows.
pub(super) fn expand(
    field: &Field,
    cells: Vec<Value>,
    column: &Incoming,
    rows: usize,
    rules: Rules,
) -> Result<Vec<Value>, Refusal> {
    let mut mask = mask(field, column, rules)?;
    // Servers after 3.0.0 do the same for fields with a default.
    let fills = field.nullable || field.default.is_some() && rules.reads_nested_masks;
    if mask.is_empty() && fills && rules.version >= Version::V2_5 {
        mask = vec![true; rows];
    }
    let masked = rules.version >= Version::V2_5 && (field.nullable || field.default.is_some());
    // 2.6.18 answers dynamic fields with a mask, and takes it.
    let may_be_masked = field.is_dynamic && rules.version >= Version::V2_6 && mask.iter().all(|valid| *valid);
    let expected = if masked || may_be_masked && !mask.is_empty() { rows } else { 0 };
    if mask.len() != expected {
        let reason = format!("the length of valid_data of field({}) is wrong", field.name);
        return Err(Refusal::invalid(format!("{reason}: expected={expected}, actual={}", mask.len())));
    }
    if !masked {
        return if cells.len() == rows { Ok(cells) } else { Err(wrong_rows(field, cells.len(), rows)) };
    }
    let valid = mask.iter().filter(|valid| **valid).count();
    if cells.len() != valid {
        let reason = format!("the length of field is wrong: expected={valid}, actual={}", cells.len());
        return Err(Refusal::invalid(format!("{reason} ({})", field.name)));
    }
    let instead = field.default.clone().unwrap_or(Value::Null);
    let mut cells = cells.into_iter();
    let mut value = |valid: bool| if valid { cells.next().expect("counted") } else { instead.clone() };
    Ok(mask.into_iter().map(&mut value).collect())
}

fn mask(field: &Field, column: &Incoming, rules: Rules) -> Result<Vec<bool>, Refusal> {
    let legacy = column.data.valid_data.clone();
    if rules.version < Version::V2_5 {
        return Ok(Vec::new());
    }
    let nested = if rules.reads_nested_masks { column.nested_mask.clone() } else { Vec::new() };
    match (legacy.is_empty(), nested.is_empty()) {
        (_, true) => Ok(legacy),
        (true, false) => Ok(nested),
        (false, false) if legacy == nested => Ok(legacy),
        (false, false) => {
            let reason = format!("field {} has different legacy and field-specific valid_data", field.name);
            Err(Refusal::invalid(reason))
        }
    }
}

fn wrong_rows(field: &Field, found: usize, rows: usize) -> Refusal {
    let name = &field.name;
    Refusal::invalid(format!(
        "the num_rows ({found}) of field ({name}) is not equal to passed num_rows ({rows})"
    ))
}

/// The values of a field whose column is not there.
pub(super) fn absent(
    field: &Field,
    rows: usize,
    new_key: &mut dyn FnMut() -> i64,
) -> Result<Vec<Value>, Refusal> {
    if field.is_key {
        let keys = (0..rows).map(|_| new_key());
        return Ok(match field.length_max {
            Some(_) => keys.map(|key| Value::Text(key.to_string())).collect(),
            None => keys.map(Value::Long).collect(),
        });
    }
    let value = match &field.default {
        Some(default) => default.clone(),
        None if field.is_dynamic => Value::Json(b"{}".to_vec()),
        None => Value::Null,
    };
    Ok(vec![value; rows])
}
