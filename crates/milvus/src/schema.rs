//! Collection schemas: what the copy needs of them, the bytes to create the same collection elsewhere, and the exact
//! difference of two.
//!
//! A schema is kept as the bytes that the server sent. What this version's definition does not know is carried over
//! and compared all the same, by its field number.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::proto::common::KeyValuePair;
use crate::proto::schema::{CollectionSchema, DataType, FieldSchema, StructArrayFieldSchema};
use crate::wire::WireError;
use crate::wire::scan::{Payload, fields, put_bytes};

mod outline;

/// Name of the column that holds the keys of the dynamic field; never part of a schema.
pub const DYNAMIC_FIELD: &str = "$meta";

/// A field as far as its values on the wire depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub data_type: DataType,
    /// Type of the elements of an array.
    pub element_type: DataType,
    /// Whether rows may have no value.
    pub nullable: bool,
    /// Whether a missing value is replaced.
    pub has_default: bool,
    /// Dimension of a dense vector.
    pub dim: Option<u64>,
    /// The server computes the values; they are not copied.
    pub is_function_output: bool,
    /// Fields of an array of structs; each holds an array a row.
    pub fields: Vec<FieldSpec>,
}

impl FieldSpec {
    fn of(field: &FieldSchema) -> Self {
        let data_type = DataType::try_from(field.data_type).unwrap_or(DataType::None);
        Self {
            name: field.name.clone(),
            data_type,
            element_type: DataType::try_from(field.element_type).unwrap_or(DataType::None),
            nullable: field.nullable,
            has_default: field.default_value.as_ref().is_some_and(|value| value.data.is_some()),
            dim: parameter(&field.type_params, "dim").and_then(|dim| dim.parse().ok()),
            is_function_output: field.is_function_output,
            fields: Vec::new(),
        }
    }

    fn of_struct(of_struct: &StructArrayFieldSchema) -> Self {
        let field = |inner: &FieldSchema| {
            let spec = Self::of(inner);
            let name = bare_name(&spec.name).to_owned();
            Self { name, nullable: spec.nullable || of_struct.nullable, ..spec }
        };
        Self {
            name: of_struct.name.clone(),
            data_type: DataType::ArrayOfStruct,
            nullable: of_struct.nullable,
            fields: of_struct.fields.iter().map(field).collect(),
            ..Self::default()
        }
    }

    fn dynamic() -> Self {
        Self { name: DYNAMIC_FIELD.to_owned(), data_type: DataType::Json, ..Self::default() }
    }

    /// Whether the values are vectors.
    pub fn is_vector(&self) -> bool {
        matches!(family(self.data_type), Family::Dense { .. } | Family::Sparse)
    }

    /// Bytes of a dense vector on the wire; `None` for other types.
    pub fn vector_bytes(&self) -> Option<usize> {
        match family(self.data_type) {
            Family::Dense { bits } => usize::try_from(self.dim?.checked_mul(bits)? / 8).ok(),
            Family::Fixed(_)
            | Family::Text
            | Family::Json
            | Family::Array
            | Family::Sparse
            | Family::Nested => None,
        }
    }

    /// Bytes of a value on the wire where the type fixes them (numbers: at most), as an estimate for the first page;
    /// `None` where values can be of any size.
    pub fn fixed_bytes(&self) -> Option<usize> {
        match family(self.data_type) {
            Family::Fixed(bytes) => Some(bytes),
            Family::Dense { .. } => self.vector_bytes(),
            Family::Text | Family::Json | Family::Array | Family::Sparse | Family::Nested => None,
        }
    }
}

/// What the values of a type look like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A number of at most so many bytes.
    Fixed(usize),
    /// A text, or a value written as one.
    Text,
    /// A JSON document.
    Json,
    /// A list of scalars.
    Array,
    /// A vector of so many bits a dimension.
    Dense {
        /// Bits a dimension.
        bits: u64,
    },
    /// A vector of index and value pairs.
    Sparse,
    /// Structs, and lists of vectors.
    Nested,
}

/// The family of a type.
pub fn family(data_type: DataType) -> Family {
    match data_type {
        DataType::Bool | DataType::Int8 => Family::Fixed(1),
        DataType::Int16 => Family::Fixed(3),
        DataType::Float => Family::Fixed(4),
        DataType::Int32 | DataType::Date => Family::Fixed(5),
        DataType::Double => Family::Fixed(8),
        DataType::Int64 | DataType::Time => Family::Fixed(10),
        DataType::None
        | DataType::String
        | DataType::VarChar
        | DataType::Text
        | DataType::Geometry
        | DataType::Timestamptz
        | DataType::Mol
        | DataType::Decimal => Family::Text,
        DataType::Json => Family::Json,
        DataType::Array => Family::Array,
        DataType::BinaryVector => Family::Dense { bits: 1 },
        DataType::Int8Vector => Family::Dense { bits: 8 },
        DataType::Float16Vector | DataType::BFloat16Vector => Family::Dense { bits: 16 },
        DataType::FloatVector => Family::Dense { bits: 32 },
        DataType::SparseFloatVector => Family::Sparse,
        DataType::ArrayOfVector | DataType::ArrayOfStruct | DataType::Struct => Family::Nested,
    }
}

/// The value of a key in a list of parameters.
pub fn parameter<'a>(parameters: &'a [KeyValuePair], key: &str) -> Option<&'a str> {
    parameters.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
}

/// A list of parameters.
pub fn parameters<Text: AsRef<str>>(pairs: &[(Text, Text)]) -> Vec<KeyValuePair> {
    let pair = |(key, value): &(Text, Text)| KeyValuePair {
        key: key.as_ref().to_owned(),
        value: value.as_ref().to_owned(),
    };
    pairs.iter().map(pair).collect()
}

/// A field of a schema made by hand.
pub fn field(name: &str, data_type: DataType, type_params: &[(&str, &str)]) -> FieldSchema {
    FieldSchema {
        name: name.to_owned(),
        data_type: data_type as i32,
        type_params: parameters(type_params),
        ..FieldSchema::default()
    }
}

/// The name of a struct's field: servers also say `struct[field]`, and take that for a name only on some ways in.
pub fn bare_name(name: &str) -> &str {
    let inner = name.strip_suffix(']').and_then(|name| name.split_once('['));
    inner.map_or(name, |(_, inner)| inner)
}

/// A collection's schema.
#[derive(Clone, Debug)]
pub struct Schema {
    raw: Bytes,
    decoded: CollectionSchema,
}

impl Schema {
    /// The schema as the bytes that the server sent.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Reads an encoded `CollectionSchema`.
    pub fn read(raw: Bytes) -> Result<Self, WireError> {
        let decoded = CollectionSchema::decode(raw.clone())
            .map_err(|_| WireError::Encoding("the collection schema can't be decoded"))?;
        Ok(Self { raw, decoded })
    }

    /// The schema that a message says.
    pub fn of(decoded: &CollectionSchema) -> Self {
        Self { raw: Bytes::from(decoded.encode_to_vec()), decoded: decoded.clone() }
    }

    /// The schema as far as this version knows its fields.
    pub fn decoded(&self) -> &CollectionSchema {
        &self.decoded
    }

    /// The field that holds the primary key.
    pub fn key_field(&self) -> Option<&FieldSchema> {
        self.decoded.fields.iter().find(|field| field.is_primary_key)
    }

    /// Whether the server makes the keys of new rows.
    pub fn is_auto_id(&self) -> bool {
        self.decoded.auto_id || self.key_field().is_some_and(|field| field.auto_id)
    }

    /// Whether rows are placed by the value of a field, so that partitions can't be named.
    pub fn has_partition_key(&self) -> bool {
        self.decoded.fields.iter().any(|field| field.is_partition_key)
    }

    /// The columns that are read and inserted: every field but function outputs, arrays of structs, and `$meta`.
    pub fn columns(&self) -> Vec<FieldSpec> {
        let mut columns: Vec<_> =
            self.decoded.fields.iter().map(FieldSpec::of).filter(|spec| !spec.is_function_output).collect();
        columns.extend(self.decoded.struct_array_fields.iter().map(FieldSpec::of_struct));
        if self.decoded.enable_dynamic_field {
            columns.push(FieldSpec::dynamic());
        }
        columns
    }

    /// The vector fields, function outputs among them: those that need an index before they can be loaded. Those of
    /// structs have the name that their index goes by, `struct[field]`.
    pub fn vector_fields(&self) -> Vec<FieldSpec> {
        let mut vectors: Vec<_> =
            self.decoded.fields.iter().map(FieldSpec::of).filter(FieldSpec::is_vector).collect();
        for of_struct in self.decoded.struct_array_fields.iter().map(FieldSpec::of_struct) {
            let name = |inner: &str| format!("{}[{inner}]", of_struct.name);
            let inner = of_struct.fields.iter().filter(|field| field.data_type == DataType::ArrayOfVector);
            vectors.extend(inner.map(|field| FieldSpec { name: name(&field.name), ..field.clone() }));
        }
        vectors
    }

    /// The bytes to create the same collection on another server: what a server assigns itself is left out.
    pub fn creation_bytes(&self) -> Result<Bytes, WireError> {
        let mut out = BytesMut::with_capacity(self.raw.len());
        strip(&self.raw, &COLLECTION, &mut out)?;
        Ok(out.freeze())
    }

    /// All that the schema says, as paths and values; without what a server assigns itself.
    fn facts(&self) -> Result<BTreeMap<String, String>, WireError> {
        let mut facts = BTreeMap::new();
        flatten(&self.raw, &COLLECTION, "", &mut facts)?;
        Ok(facts)
    }
}

/// One difference of two schemas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where, as `fields[id].type_params[max_length]`.
    pub path: String,
    /// What the source says; empty if it says nothing.
    pub source: String,
    /// What the target says; empty if it says nothing.
    pub target: String,
}

/// Every difference of two schemas but numbers and times that servers assign themselves.
pub fn differences(source: &Schema, target: &Schema) -> Result<Vec<Difference>, WireError> {
    let (source, target) = (source.facts()?, target.facts()?);
    let paths: std::collections::BTreeSet<_> = source.keys().chain(target.keys()).collect();
    let text = |facts: &BTreeMap<String, String>, path: &String| facts.get(path).cloned().unwrap_or_default();
    Ok(paths
        .into_iter()
        .filter(|path| source.get(*path) != target.get(*path))
        .map(|path| Difference {
            path: path.clone(),
            source: text(&source, path),
            target: text(&target, path),
        })
        .collect())
}

/// What a field of a schema message means for copying and comparing.
enum Meaning {
    /// Given by the server; not copied, not compared.
    Assigned,
    /// A number, shown as it is; 0 is the same as absent.
    Number,
    /// A text.
    Text,
    /// The name of this message among its siblings.
    Name,
    /// The same of a field of a struct, with or without the struct's name.
    NameInStruct,
    /// A list of texts, in order.
    TextList,
    /// A list of key/value pairs, in any order.
    Parameters,
    /// A message, one or many, told apart by name where it has one.
    Message(&'static Shape),
    /// A message whose every field counts, also one that holds 0.
    Value,
}

/// The known fields of a message: number, name, meaning. See proto/schema.proto.
struct Shape(&'static [(u32, &'static str, Meaning)]);

static COLLECTION: Shape = Shape(&[
    (1, "name", Meaning::Text),
    (2, "description", Meaning::Text),
    (3, "autoID", Meaning::Number),
    (4, "fields", Meaning::Message(&FIELD)),
    (5, "enable_dynamic_field", Meaning::Number),
    // Those of the collection, said once more by 2.6; a creation has them beside the schema.
    (6, "properties", Meaning::Assigned),
    (7, "functions", Meaning::Message(&FUNCTION)),
    (8, "dbName", Meaning::Assigned),
    (9, "struct_array_fields", Meaning::Message(&STRUCT_FIELD)),
    // Counts the changes of a schema since its creation.
    (10, "version", Meaning::Assigned),
]);

macro_rules! field_shape {
    ($name:expr) => {
        Shape(&[
            (1, "fieldID", Meaning::Assigned),
            (2, "name", $name),
            (3, "is_primary_key", Meaning::Number),
            (4, "description", Meaning::Text),
            (5, "data_type", Meaning::Number),
            (6, "type_params", Meaning::Parameters),
            (7, "index_params", Meaning::Parameters),
            (8, "autoID", Meaning::Number),
            (9, "state", Meaning::Assigned),
            (10, "element_type", Meaning::Number),
            (11, "default_value", Meaning::Value),
            (12, "is_dynamic", Meaning::Number),
            (13, "is_partition_key", Meaning::Number),
            (14, "is_clustering_key", Meaning::Number),
            (15, "nullable", Meaning::Number),
            (16, "is_function_output", Meaning::Number),
        ])
    };
}

static FIELD: Shape = field_shape!(Meaning::Name);
static FIELD_OF_STRUCT: Shape = field_shape!(Meaning::NameInStruct);

static FUNCTION: Shape = Shape(&[
    (1, "name", Meaning::Name),
    (2, "id", Meaning::Assigned),
    (3, "description", Meaning::Text),
    (4, "type", Meaning::Number),
    (5, "input_field_names", Meaning::TextList),
    (6, "input_field_ids", Meaning::Assigned),
    (7, "output_field_names", Meaning::TextList),
    (8, "output_field_ids", Meaning::Assigned),
    (9, "params", Meaning::Parameters),
]);

static STRUCT_FIELD: Shape = Shape(&[
    (1, "fieldID", Meaning::Assigned),
    (2, "name", Meaning::Name),
    (3, "description", Meaning::Text),
    (4, "fields", Meaning::Message(&FIELD_OF_STRUCT)),
    (5, "type_params", Meaning::Parameters),
    (6, "nullable", Meaning::Number),
]);

impl Shape {
    fn find(&self, number: u32) -> Option<&'static (u32, &'static str, Meaning)> {
        self.0.iter().find(|known| known.0 == number)
    }
}

/// Copies a message without what servers assign themselves.
fn strip(message: &[u8], shape: &Shape, out: &mut BytesMut) -> Result<(), WireError> {
    for field in fields(message) {
        let field = field?;
        match shape.find(field.number) {
            Some((_, _, Meaning::Assigned)) => {}
            Some((number, _, Meaning::Message(inner))) => {
                let mut stripped = BytesMut::new();
                strip(field.bytes()?, inner, &mut stripped)?;
                put_bytes(out, *number, &stripped);
            }
            Some((number, _, Meaning::NameInStruct)) => {
                put_bytes(out, *number, bare_name(&text(field.bytes()?)).as_bytes());
            }
            _ => out.put_slice(field.raw),
        }
    }
    Ok(())
}

fn flatten(
    message: &[u8],
    shape: &Shape,
    prefix: &str,
    facts: &mut BTreeMap<String, String>,
) -> Result<(), WireError> {
    for field in fields(message) {
        let field = field?;
        let Some((_, name, meaning)) = shape.find(field.number) else {
            append(facts, format!("{prefix}#{}", field.number), show(field.payload));
            continue;
        };
        let path = format!("{prefix}{name}");
        match meaning {
            Meaning::Assigned => {}
            Meaning::Number => {
                let value = field.varint()?;
                if value != 0 {
                    facts.insert(path, value.to_string());
                }
            }
            Meaning::Text | Meaning::Name => {
                facts.insert(path, text(field.bytes()?));
            }
            Meaning::NameInStruct => {
                facts.insert(path, bare_name(&text(field.bytes()?)).to_owned());
            }
            Meaning::TextList => append(facts, path, show(field.payload)),
            Meaning::Parameters => {
                let pair = KeyValuePair::decode(field.bytes()?)
                    .map_err(|_| WireError::Encoding("a parameter can't be decoded"))?;
                let value = in_any_order(&pair.key, pair.value);
                facts.insert(format!("{path}[{}]", pair.key), value);
            }
            Meaning::Message(inner) => {
                let bytes = field.bytes()?;
                let name = name_of(bytes, inner)?;
                // The order of the fields is part of the schema.
                append(facts, format!("{path} in order"), name.clone());
                flatten(bytes, inner, &format!("{path}[{name}]."), facts)?;
            }
            Meaning::Value => append(facts, path, show(field.payload)),
        }
    }
    Ok(())
}

fn name_of(message: &[u8], shape: &Shape) -> Result<String, WireError> {
    for field in fields(message) {
        let field = field?;
        match shape.find(field.number) {
            Some((_, _, Meaning::Name)) => return Ok(text(field.bytes()?)),
            Some((_, _, Meaning::NameInStruct)) => return Ok(bare_name(&text(field.bytes()?)).to_owned()),
            _ => {}
        }
    }
    Ok(String::new())
}

/// The parameters of an analyzer are an object. milvus-lite 3.2.2 sorts its keys the first time that it reads a collection
/// from its files.
fn in_any_order(key: &str, value: String) -> String {
    match key {
        "analyzer_params" | "multi_analyzer_params" => {
            // Maps of serde_json are sorted.
            serde_json::from_str::<serde_json::Value>(&value).map_or(value, |object| object.to_string())
        }
        _ => value,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn append(facts: &mut BTreeMap<String, String>, path: String, value: String) {
    facts.entry(path).and_modify(|all| all.push_str(&format!(", {value}"))).or_insert(value);
}

fn show(payload: Payload<'_>) -> String {
    match payload {
        Payload::Varint(value) => value.to_string(),
        Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        },
        Payload::Fixed32(bytes) | Payload::Fixed64(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::schema::{ValueField, value_field};

    fn pair(key: &str, value: &str) -> KeyValuePair {
        KeyValuePair { key: key.into(), value: value.into() }
    }

    fn field(name: &str, id: i64) -> FieldSchema {
        FieldSchema {
            field_id: id,
            name: name.into(),
            data_type: DataType::VarChar as i32,
            type_params: vec![pair("max_length", "64"), pair("mmap.enabled", "true")],
            ..FieldSchema::default()
        }
    }

    fn schema(fields: Vec<FieldSchema>) -> CollectionSchema {
        CollectionSchema { name: "c".into(), fields, ..CollectionSchema::default() }
    }

    fn read(schema: &CollectionSchema) -> Schema {
        Schema::of(schema)
    }

    /// A field number that no definition has today, inside a field and at the top.
    fn with_unknown(schema: &CollectionSchema) -> Schema {
        let mut field = BytesMut::from(&schema.fields[0].encode_to_vec()[..]);
        put_bytes(&mut field, 1900, b"new");
        let mut raw = BytesMut::from(&schema_without_fields(schema)[..]);
        put_bytes(&mut raw, 4, &field);
        put_bytes(&mut raw, 1901, b"newer");
        Schema::read(raw.freeze()).unwrap()
    }

    fn schema_without_fields(schema: &CollectionSchema) -> Vec<u8> {
        CollectionSchema { fields: vec![], ..schema.clone() }.encode_to_vec()
    }

    #[test]
    fn what_servers_assign_is_not_copied_and_what_is_unknown_is() {
        let source = with_unknown(&schema(vec![field("a", 100)]));
        let copy = Schema::read(source.creation_bytes().unwrap()).unwrap();
        assert_eq!(copy.decoded().fields[0].field_id, 0);
        assert_eq!(copy.decoded().fields[0].type_params.len(), 2);
        assert_eq!(differences(&source, &copy).unwrap(), []);
        let without = read(&schema(vec![field("a", 100)]));
        let paths: Vec<_> =
            differences(&source, &without).unwrap().into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["#1901", "fields[a].#1900"]);
    }

    /// An older server makes a collection without what it does not know, and only its description tells.
    #[test]
    fn whatever_a_server_leaves_out_is_a_difference() {
        use crate::proto::schema::FunctionSchema;
        let plain = || schema(vec![field("a", 1)]);
        type Change = fn(&mut CollectionSchema);
        let changes: [(&str, Change); 11] = [
            ("fields[a].nullable", |made| made.fields[0].nullable = true),
            ("fields[a].default_value", |made| {
                let data = Some(value_field::Data::LongData(0));
                made.fields[0].default_value = Some(ValueField { data });
            }),
            ("fields[a].is_partition_key", |made| made.fields[0].is_partition_key = true),
            ("fields[a].is_clustering_key", |made| made.fields[0].is_clustering_key = true),
            ("fields[a].is_function_output", |made| made.fields[0].is_function_output = true),
            ("fields[a].type_params[analyzer_params]", |made| {
                made.fields[0].type_params.push(pair("analyzer_params", "{}"));
            }),
            ("fields[a].type_params[multi_analyzer_params]", |made| {
                made.fields[0].type_params.push(pair("multi_analyzer_params", "{}"));
            }),
            ("enable_dynamic_field", |made| made.enable_dynamic_field = true),
            ("functions", |made| {
                made.functions.push(FunctionSchema { name: "f".into(), ..Default::default() })
            }),
            ("struct_array_fields", |made| {
                let made_of = StructArrayFieldSchema {
                    name: "s".into(),
                    fields: vec![field("b", 2)],
                    ..Default::default()
                };
                made.struct_array_fields.push(made_of);
            }),
            ("struct_array_fields[s].nullable", |made| {
                made.struct_array_fields.push(StructArrayFieldSchema {
                    name: "s".into(),
                    nullable: true,
                    ..Default::default()
                });
            }),
        ];
        for (path, change) in changes {
            let mut made = plain();
            change(&mut made);
            let mut without = plain();
            if path.starts_with("struct_array_fields[") {
                without.struct_array_fields =
                    vec![StructArrayFieldSchema { name: "s".into(), ..Default::default() }];
            }
            let found = differences(&read(&made), &read(&without)).unwrap();
            assert!(found.iter().any(|difference| difference.path.starts_with(path)), "{path}: {found:?}");
        }
    }

    #[test]
    fn keys_of_analyzer_parameters_may_come_in_any_order_and_values_may_not() {
        let analyzed = |value: &str| {
            let parameters = vec![pair("analyzer_params", value)];
            read(&schema(vec![FieldSchema { type_params: parameters, ..field("text", 7) }]))
        };
        let one = analyzed(r#"{"tokenizer": "standard", "filter": ["lowercase", {"type": "stop", "b": 1}]}"#);
        let other = analyzed(r#"{"filter":["lowercase",{"b":1,"type":"stop"}],"tokenizer":"standard"}"#);
        assert_eq!(differences(&one, &other).unwrap(), []);
        let other = analyzed(r#"{"filter":[{"b":1,"type":"stop"},"lowercase"],"tokenizer":"standard"}"#);
        assert_eq!(differences(&one, &other).unwrap().len(), 1);
        assert_eq!(differences(&analyzed("{"), &analyzed("{ ")).unwrap().len(), 1);
    }

    #[test]
    fn parameters_may_come_in_any_order_and_fields_may_not() {
        let mut other = field("a", 7);
        other.type_params.reverse();
        let one = read(&schema(vec![field("a", 100), field("b", 101)]));
        assert_eq!(differences(&one, &read(&schema(vec![other.clone(), field("b", 8)]))).unwrap(), []);
        let swapped = differences(&one, &read(&schema(vec![field("b", 8), other]))).unwrap();
        assert_eq!(swapped.len(), 1);
        assert_eq!((swapped[0].path.as_str(), swapped[0].target.as_str()), ("fields in order", "b, a"));
    }

    #[test]
    fn every_attribute_counts() {
        let base = field("a", 1);
        let changed = [
            FieldSchema { description: "x".into(), ..base.clone() },
            FieldSchema { nullable: true, ..base.clone() },
            FieldSchema { is_clustering_key: true, ..base.clone() },
            FieldSchema { type_params: vec![pair("max_length", "65")], ..base.clone() },
            FieldSchema {
                default_value: Some(ValueField { data: Some(value_field::Data::LongData(0)) }),
                ..base.clone()
            },
        ];
        for field in changed {
            let found = differences(&read(&schema(vec![base.clone()])), &read(&schema(vec![field.clone()])));
            assert!(!found.unwrap().is_empty(), "{field:?}");
        }
    }

    fn with_struct(name_of_field: &str) -> Schema {
        let inner = FieldSchema { data_type: DataType::ArrayOfVector as i32, ..field(name_of_field, 102) };
        let of_struct = StructArrayFieldSchema {
            field_id: 101,
            name: "items".into(),
            fields: vec![inner],
            ..StructArrayFieldSchema::default()
        };
        Schema::of(&CollectionSchema {
            struct_array_fields: vec![of_struct],
            ..schema(vec![field("id", 100)])
        })
    }

    #[test]
    fn fields_of_structs_are_one_with_and_without_the_name_of_the_struct() {
        let (bare, qualified) = (with_struct("vector"), with_struct("items[vector]"));
        assert_eq!(differences(&bare, &qualified).unwrap(), []);
        assert_eq!(qualified.creation_bytes().unwrap(), bare.creation_bytes().unwrap());
        assert_eq!(bare.columns(), qualified.columns());
        assert_eq!(bare.columns()[1].fields[0].name, "vector");
        assert_eq!(qualified.vector_fields()[0].name, "items[vector]");
        assert!(!differences(&bare, &with_struct("other")).unwrap().is_empty());
    }

    #[test]
    fn columns_leave_function_outputs_out_and_add_the_dynamic_field() {
        let mut all = schema(vec![
            FieldSchema { is_primary_key: true, ..field("id", 100) },
            FieldSchema { is_function_output: true, ..field("bm25", 101) },
        ]);
        all.enable_dynamic_field = true;
        let names: Vec<_> = read(&all).columns().into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["id", "$meta"]);
    }
}
