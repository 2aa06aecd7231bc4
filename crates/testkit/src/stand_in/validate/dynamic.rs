//! The dynamic field: JSON objects that don't repeat the schema.

use crate::stand_in::catalog::{DYNAMIC, Table};
use crate::stand_in::status::Refusal;
use crate::stand_in::value::Value;

pub(super) fn check(table: &Table, values: &[Value]) -> Result<(), Refusal> {
    for value in values {
        let Value::Json(text) = value else { continue };
        let parsed = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text);
        let Ok(object) = parsed else {
            return Err(Refusal::invalid("the dynamic field holds something else than a JSON object"));
        };
        let is_static =
            |key: &&String| *key == DYNAMIC || table.fields.iter().any(|field| field.name == **key);
        if let Some(key) = object.keys().find(is_static) {
            let reason = format!("dynamic field cannot include the static field name: {key}");
            return Err(Refusal::invalid(reason));
        }
    }
    Ok(())
}
