//! What a proxy checks before it takes rows: from the columns of a request to values, or a refusal.

mod bounds;
mod cells;
mod dynamic;
mod functions;
mod nulls;
mod presence;
mod schema;
mod structs;
mod vectors;

use super::Version;
use super::catalog::Table;
use super::incoming::Incoming;
use super::status::Refusal;
use super::value::Value;

pub(super) use functions::of_text;
pub(super) use presence::keeps_keys;
pub(super) use schema::{collection_name, creation, index, known_to, name, partition_name};

/// Which of the checks hold that differ from version to version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) version: Version,
    /// Masks beside the values are known.
    pub(super) reads_nested_masks: bool,
    /// It is an upsert.
    pub(super) replaces: bool,
}

/// The rows of a request as columns, one a field of the table.
pub(super) fn rows(
    table: &Table,
    incoming: Vec<Incoming>,
    rows: usize,
    rules: Rules,
    new_key: &mut dyn FnMut() -> i64,
) -> Result<Vec<Vec<Value>>, Refusal> {
    if rows == 0 {
        return Err(Refusal::invalid("the num_rows should be greater than 0"));
    }
    let incoming = structs::flatten(table, incoming, rules)?;
    let found = presence::by_field(table, incoming, rules)?;
    let mut columns = Vec::with_capacity(found.len());
    for (field, column) in table.fields.iter().zip(found) {
        columns.push(match column {
            Some(column) => {
                let cells = cells::read(field, &column.data, rules)?;
                bounds::check(field, &cells, rules)?;
                let values = nulls::expand(field, cells, &column, rows, rules)?;
                if field.is_dynamic {
                    dynamic::check(table, &values)?;
                }
                values
            }
            None => nulls::absent(field, rows, new_key)?,
        });
    }
    structs::check_lengths(table, &columns)?;
    functions::compute(table, &mut columns);
    Ok(columns)
}

#[cfg(test)]
mod tests;
