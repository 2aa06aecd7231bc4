//! A schema in words, for people who review it.

use super::Schema;
use crate::proto::common::KeyValuePair;
use crate::proto::schema::{DataType, FieldSchema};

impl Schema {
    /// One line a field, as `id Int64, primary key` or `embedding FloatVector(dim=768)`; then the struct fields and the
    /// functions.
    pub fn outline(&self) -> Vec<String> {
        let decoded = self.decoded();
        let mut lines: Vec<_> = decoded.fields.iter().map(field_line).collect();
        for group in &decoded.struct_array_fields {
            let members: Vec<_> = group.fields.iter().map(field_line).collect();
            lines.push(format!("{} array of struct {{ {} }}", group.name, members.join("; ")));
        }
        for function in &decoded.functions {
            let (input, output) =
                (function.input_field_names.join(", "), function.output_field_names.join(", "));
            lines.push(format!("function {}: {input} -> {output}", function.name));
        }
        if decoded.enable_dynamic_field {
            lines.push("dynamic field".to_owned());
        }
        lines
    }
}

fn type_name(number: i32) -> String {
    DataType::try_from(number)
        .map_or_else(|_| format!("type {number}"), |data_type| data_type.as_str_name().to_owned())
}

fn field_line(field: &FieldSchema) -> String {
    let mut line = format!("{} {}", field.name, type_name(field.data_type));
    if field.element_type != 0 {
        line.push_str(&format!(" of {}", type_name(field.element_type)));
    }
    if !field.type_params.is_empty() {
        let pair = |pair: &KeyValuePair| format!("{}={}", pair.key, pair.value);
        let parameters: Vec<_> = field.type_params.iter().map(pair).collect();
        line.push_str(&format!("({})", parameters.join(", ")));
    }
    let has_default = field.default_value.as_ref().is_some_and(|value| value.data.is_some());
    for (holds, word) in [
        (field.is_primary_key, "primary key"),
        (field.auto_id, "auto id"),
        (field.is_partition_key, "partition key"),
        (field.is_clustering_key, "clustering key"),
        (field.nullable, "nullable"),
        (has_default, "default value"),
        (field.is_function_output, "function output"),
    ] {
        if holds {
            line.push_str(", ");
            line.push_str(word);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::schema::CollectionSchema;
    use crate::schema::field;

    #[test]
    fn every_field_is_a_line() {
        let schema = CollectionSchema {
            fields: vec![
                FieldSchema { is_primary_key: true, auto_id: true, ..field("id", DataType::Int64, &[]) },
                FieldSchema {
                    element_type: DataType::VarChar as i32,
                    nullable: true,
                    ..field("tags", DataType::Array, &[("max_capacity", "4"), ("max_length", "9")])
                },
            ],
            enable_dynamic_field: true,
            ..CollectionSchema::default()
        };
        let lines = Schema::of(&schema).outline();
        assert_eq!(lines[0], "id Int64, primary key, auto id");
        assert_eq!(lines[1], "tags Array of VarChar(max_capacity=4, max_length=9), nullable");
        assert_eq!(lines[2], "dynamic field");
    }
}
