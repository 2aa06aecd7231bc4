//! Bounds of single values.

use vecferry_milvus::proto::schema::DataType;

use super::Rules;
use crate::stand_in::Version;
use crate::stand_in::catalog::Field;
use crate::stand_in::status::{IO_FAILED, Refusal};
use crate::stand_in::value::Value;

/// Longest JSON document (`common.JSONMaxLength`).
const JSON_BYTES_MAX: usize = 65_536;

/// Checks every value of a column.
pub(super) fn check(field: &Field, cells: &[Value], rules: Rules) -> Result<(), Refusal> {
    let is_object = |value: &Value| !matches!(value, Value::Json(text) if !text.starts_with(b"{"));
    if rules.version < Version::V2_4 && !cells.iter().all(is_object) {
        let reason = "IO failed: json: cannot unmarshal array into Go value of type map[string]interface {}";
        return Err(Refusal::new(IO_FAILED, reason));
    }
    cells.iter().enumerate().try_for_each(|(row, value)| one(field, field.data_type, row, value))
}

fn one(field: &Field, data_type: DataType, row: usize, value: &Value) -> Result<(), Refusal> {
    let name = &field.name;
    match value {
        Value::Array(elements) => {
            if field.capacity_max.is_some_and(|most| elements.len() > most) {
                let reason = format!("the length ({}) of {row}th array exceeds max capacity", elements.len());
                return Err(Refusal::invalid(format!("{reason} of field {name}")));
            }
            elements.iter().try_for_each(|element| one(field, field.element_type, row, element))
        }
        Value::Text(text) if data_type == DataType::VarChar => {
            let Some(most) = field.length_max.filter(|most| text.len() > *most) else { return Ok(()) };
            let reason = format!("length of varchar field {name} exceeds max length, row number: {row}");
            Err(Refusal::invalid(format!("{reason}, length: {}, max length: {most}", text.len())))
        }
        Value::Text(text) if data_type == DataType::Geometry => geometry(name, text),
        Value::Int(number) => {
            let range = match data_type {
                DataType::Int8 => i32::from(i8::MIN)..=i32::from(i8::MAX),
                DataType::Int16 => i32::from(i16::MIN)..=i32::from(i16::MAX),
                _ => i32::MIN..=i32::MAX,
            };
            if range.contains(number) {
                return Ok(());
            }
            Err(Refusal::invalid(format!("the {row}th element ({number}) of {name} out of range: {range:?}")))
        }
        Value::Float(bits) if !f32::from_bits(*bits).is_finite() => Err(no_number(name)),
        Value::Double(bits) if !f64::from_bits(*bits).is_finite() => Err(no_number(name)),
        Value::Json(text) if text.len() > JSON_BYTES_MAX => Err(Refusal::invalid(format!(
            "the length ({}) of json field ({name}) exceeds max length",
            text.len()
        ))),
        Value::Json(text) if serde_json::from_slice::<serde_json::Value>(text).is_err() => {
            Err(Refusal::invalid(format!("the json field ({name}) holds no JSON")))
        }
        _ => Ok(()),
    }
}

fn no_number(name: &str) -> Refusal {
    Refusal::invalid(format!("value of field {name} is not a number or infinity"))
}

/// The beginnings of well-known texts; a real server parses them to their end.
fn geometry(name: &str, text: &str) -> Result<(), Refusal> {
    const KINDS: [&str; 7] = [
        "POINT",
        "LINESTRING",
        "POLYGON",
        "MULTIPOINT",
        "MULTILINESTRING",
        "MULTIPOLYGON",
        "GEOMETRYCOLLECTION",
    ];
    let is_known = KINDS.iter().any(|kind| {
        let rest = text.strip_prefix(kind).map(str::trim_start);
        rest.is_some_and(|rest| rest == "EMPTY" || rest.starts_with('(') && rest.ends_with(')'))
    });
    if is_known { Ok(()) } else { Err(Refusal::invalid(format!("invalid WKT of field {name}: {text}"))) }
}
