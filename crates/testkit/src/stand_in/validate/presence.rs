//! Which columns there must be, and which there must not.

use vecferry_milvus::schema::parameter;

use super::Rules;
use crate::stand_in::Version;
use crate::stand_in::catalog::{DYNAMIC, Field, Table};
use crate::stand_in::incoming::Incoming;
use crate::stand_in::status::Refusal;

/// Property that lets a collection take keys that it would make itself.
const KEEP_KEYS: &str = "allow_insert_auto_id";

/// The column of each field; none where there is none and need not be.
pub(super) fn by_field(
    table: &Table,
    incoming: Vec<Incoming>,
    rules: Rules,
) -> Result<Vec<Option<Incoming>>, Refusal> {
    let mut found: Vec<Option<Incoming>> = table.fields.iter().map(|_| None).collect();
    for column in incoming {
        let name = if column.data.is_dynamic { DYNAMIC } else { &column.data.field_name };
        if column.data.is_dynamic && !table.schema.enable_dynamic_field {
            return Err(Refusal::invalid(
                "without dynamic schema enabled, the field name cannot be set to $meta",
            ));
        }
        let at = table.fields.iter().position(|field| field.name == name);
        let Some(at) = at.filter(|at| table.fields[*at].is_dynamic == column.data.is_dynamic) else {
            return Err(Refusal::invalid(format!("fieldName {name} not exist in collection schema")));
        };
        if table.fields[at].is_function_output {
            let reason = format!("more fieldData has pass in: {name} is the output of a function");
            return Err(Refusal::invalid(reason));
        }
        if found[at].replace(column).is_some() {
            return Err(Refusal::invalid(format!("duplicated field {}", table.fields[at].name)));
        }
    }
    for (field, column) in table.fields.iter().zip(&found) {
        // An upsert names the rows that it replaces, since 2.5.
        let names_rows = rules.replaces && rules.version >= Version::V2_5;
        if field.is_key && field.auto_id && column.is_some() && !names_rows && !keeps_keys(table, rules) {
            let reason =
                "can not assign primary field data when auto id enabled and allow_insert_auto_id is false";
            return Err(Refusal::invalid(reason));
        }
        if column.is_none() && !may_be_absent(field, rules) {
            let reason = format!("fieldSchema({}) has no corresponding fieldData pass in", field.name);
            return Err(Refusal::invalid(reason));
        }
    }
    Ok(found)
}

pub(in crate::stand_in) fn keeps_keys(table: &Table, rules: Rules) -> bool {
    rules.version >= Version::V2_6 && parameter(&table.properties, KEEP_KEYS) == Some("true")
}

fn may_be_absent(field: &Field, rules: Rules) -> bool {
    field.is_key && field.auto_id
        || field.is_function_output
        || field.is_dynamic
        || rules.version >= Version::V2_5 && field.nullable && field.parent.is_none()
        || field.default.is_some()
}
