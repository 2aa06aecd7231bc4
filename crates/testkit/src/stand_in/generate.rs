//! Random collections with rows: every type that a version has, in all its shapes.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldSchema, FunctionSchema, FunctionType, StructArrayFieldSchema,
    ValueField, value_field,
};
use vecferry_milvus::schema::{field, parameters};

use super::Version;
use super::catalog::{Field, PARTITION_DEFAULT, fields_of, vector_bytes};
use super::validate::of_text;
use super::value::{Key, Value};

const TEXT_BYTES_MAX: &str = "64";
const CAPACITY_MAX: usize = 5;
/// Rows of a collection at most, copies of keys aside.
const ROWS_MAX: usize = 160;
const VECTOR_FIELDS_MAX: usize = 4;

/// A collection with all that belongs to it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its database.
    pub db: String,
    /// Its schema.
    pub schema: CollectionSchema,
    /// Partitions beside the default one.
    pub partitions: Vec<String>,
    /// Partitions of a partition key; 0 for the server's default.
    pub key_partitions: usize,
    /// Shards.
    pub shards: i32,
    /// Consistency level, as the protocol's number.
    pub consistency: i32,
    /// Parameters of an index, by field.
    pub indexes: Vec<(String, Vec<KeyValuePair>)>,
    /// Properties.
    pub properties: Vec<KeyValuePair>,
    /// Other names.
    pub aliases: Vec<String>,
    /// Rows as columns, by partition, in the order they came.
    pub rows: Vec<(String, Vec<Vec<Value>>)>,
    /// Whether it is loaded.
    pub loaded: bool,
}

/// What a collection is to be like, where chance is not to decide it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The release it is for.
    pub version: Version,
    /// All chance comes from this number.
    pub seed: u64,
    /// Whether some keys are there more than once.
    pub repeated_keys: bool,
}

/// A random collection of a name.
pub fn collection(name: &str, shape: Shape) -> Generated {
    let mut maker = Maker::new(StdRng::seed_from_u64(shape.seed), shape.version);
    let schema = maker.schema(name);
    let by_key = schema.fields.iter().any(|field| field.is_partition_key);
    let fields = fields_of(&schema);
    let extra = if by_key { 0 } else { maker.random.random_range(0..3) };
    let partitions: Vec<_> = (0..extra).map(|at| format!("part_{at}")).collect();
    let rows = maker.rows(&schema, &fields, &partitions, shape.repeated_keys);
    let indexes = fields.iter().filter(|field| needs_index(field));
    let indexes = indexes.map(|field| (field.name.clone(), index_of(field))).collect();
    Generated {
        db: "default".to_owned(),
        partitions,
        key_partitions: if by_key { maker.random.random_range(1..5) } else { 0 },
        shards: maker.random.random_range(1..4),
        consistency: 0,
        indexes,
        properties: if maker.chance(0.3) { parameters(&[("mmap.enabled", "true")]) } else { Vec::new() },
        aliases: if maker.chance(0.3) { vec![format!("{name}_alias")] } else { Vec::new() },
        rows,
        loaded: maker.chance(0.7),
        schema,
    }
}

/// A collection of two fields and some partitions, with the keys given by partition and a vector that follows the key.
pub fn plain(name: &str, text_keys: bool, partitions: &[(&str, Vec<Key>)]) -> Generated {
    let (kind, params): (_, &[(&str, &str)]) = if text_keys {
        (DataType::VarChar, &[("max_length", TEXT_BYTES_MAX)])
    } else {
        (DataType::Int64, &[])
    };
    let key_field = FieldSchema { is_primary_key: true, ..field("id", kind, params) };
    let vector = field("vector", DataType::FloatVector, &[("dim", "4")]);
    let schema = CollectionSchema {
        name: name.to_owned(),
        fields: vec![key_field, vector],
        ..CollectionSchema::default()
    };
    let row = |key: &Key| {
        let (value, number) = match key {
            Key::Long(number) => (Value::Long(*number), *number as f32),
            Key::Text(text) => (Value::Text(text.clone()), text.len() as f32),
        };
        (value, Value::Vector([number, 1.0, 2.0, 3.0].iter().flat_map(|part| part.to_le_bytes()).collect()))
    };
    let columns = |keys: &[Key]| {
        let (keys, vectors) = keys.iter().map(row).unzip();
        vec![keys, vectors]
    };
    let others = partitions.iter().map(|(partition, _)| (*partition).to_owned());
    Generated {
        db: "default".to_owned(),
        schema,
        partitions: others.filter(|partition| partition != PARTITION_DEFAULT).collect(),
        key_partitions: 0,
        shards: 1,
        consistency: 0,
        indexes: vec![(
            "vector".to_owned(),
            parameters(&[("index_type", "AUTOINDEX"), ("metric_type", "L2")]),
        )],
        properties: Vec::new(),
        aliases: Vec::new(),
        rows: partitions.iter().map(|(partition, keys)| ((*partition).to_owned(), columns(keys))).collect(),
        loaded: true,
    }
}

/// Whether a collection with this field can be loaded only with an index on it.
pub(super) fn needs_index(field: &Field) -> bool {
    field.is_vector() || field.data_type == DataType::ArrayOfVector
}

/// Parameters of an index on a vector field.
pub(super) fn index_of(field: &Field) -> Vec<KeyValuePair> {
    let metric = match field.data_type {
        DataType::BinaryVector if field.is_function_output => "MHJACCARD",
        DataType::BinaryVector => "HAMMING",
        DataType::SparseFloatVector if field.is_function_output => "BM25",
        DataType::SparseFloatVector => "IP",
        DataType::ArrayOfVector => "MAX_SIM_COSINE",
        _ => "L2",
    };
    parameters(&[("index_type", "AUTOINDEX"), ("metric_type", metric)])
}

/// Makes values by chance.
pub(super) struct Maker {
    random: StdRng,
    version: Version,
}

impl Maker {
    pub(super) fn new(random: StdRng, version: Version) -> Self {
        Self { random, version }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    fn schema(&mut self, name: &str) -> CollectionSchema {
        let mut fields = vec![self.key_field()];
        let scalars = self.random.random_range(1..9);
        fields.extend((0..scalars).map(|at| self.scalar_field(at)));
        if self.chance(0.2) {
            let kind = if self.chance(0.5) { DataType::Int64 } else { DataType::VarChar };
            let made = field("tenant", kind, self.params(kind, DataType::None));
            fields.push(FieldSchema { is_partition_key: true, ..made });
        }
        let vectors = self.random.random_range(1..3);
        fields.extend((0..vectors).map(|at| self.vector_field(at)));
        let mut functions = Vec::new();
        if self.version >= Version::V2_5 && self.chance(0.25) {
            let analyzed = [("max_length", TEXT_BYTES_MAX), ("enable_analyzer", "true")];
            fields.push(field("text", DataType::VarChar, &analyzed));
            let output = field("bm25", DataType::SparseFloatVector, &[]);
            fields.push(FieldSchema { is_function_output: true, ..output });
            functions.push(FunctionSchema {
                name: "words".to_owned(),
                r#type: FunctionType::Bm25 as i32,
                input_field_names: vec!["text".to_owned()],
                output_field_names: vec!["bm25".to_owned()],
                ..FunctionSchema::default()
            });
        }
        // The order of the fields is part of the schema; the key need not be first.
        fields.shuffle(&mut self.random);
        let with_struct = self.version >= Version::V2_6 && self.chance(0.5);
        let room = VECTOR_FIELDS_MAX - vectors - functions.len();
        CollectionSchema {
            name: name.to_owned(),
            description: if self.chance(0.3) { "made by chance".to_owned() } else { String::new() },
            fields,
            functions,
            struct_array_fields: if with_struct { vec![self.struct_field(room.min(2))] } else { Vec::new() },
            enable_dynamic_field: self.chance(0.5),
            ..CollectionSchema::default()
        }
    }

    fn key_field(&mut self) -> FieldSchema {
        let kind = if self.chance(0.5) { DataType::Int64 } else { DataType::VarChar };
        FieldSchema { is_primary_key: true, ..field("id", kind, self.params(kind, DataType::None)) }
    }

    #[expect(clippy::unused_self, reason = "one way to all parameters")]
    fn params(&self, kind: DataType, element: DataType) -> &'static [(&'static str, &'static str)] {
        match (kind, element) {
            (DataType::Array, DataType::VarChar) => &[("max_capacity", "5"), ("max_length", TEXT_BYTES_MAX)],
            (DataType::Array, _) => &[("max_capacity", "5")],
            (DataType::VarChar, _) => &[("max_length", TEXT_BYTES_MAX)],
            _ => &[],
        }
    }

    fn element_type(&mut self) -> DataType {
        const ELEMENTS: [DataType; 8] = [
            DataType::Bool,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float,
            DataType::Double,
            DataType::VarChar,
        ];
        *ELEMENTS.choose(&mut self.random).expect("some")
    }

    fn scalar_field(&mut self, at: usize) -> FieldSchema {
        const OLD: [DataType; 12] = [
            DataType::Bool,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float,
            DataType::Double,
            DataType::VarChar,
            DataType::Json,
            // Arrays are many types.
            DataType::Array,
            DataType::Array,
            DataType::Array,
        ];
        let mut kinds = OLD.to_vec();
        if self.version >= Version::V2_6 {
            kinds.extend([DataType::Geometry, DataType::Timestamptz]);
        }
        if self.version >= Version::V3_0 {
            kinds.push(DataType::Text);
        }
        let kind = *kinds.choose(&mut self.random).expect("some");
        let element = if kind == DataType::Array { self.element_type() } else { DataType::None };
        let mut made = field(&format!("s{at}"), kind, self.params(kind, element));
        made.element_type = element as i32;
        made.nullable = self.version >= Version::V2_5 && self.chance(0.5);
        let takes_default =
            !matches!(kind, DataType::Array | DataType::Json | DataType::Geometry | DataType::Text);
        if takes_default && self.chance(0.3) {
            made.default_value = Some(ValueField { data: Some(self.default_value(kind)) });
        }
        made
    }

    fn default_value(&mut self, kind: DataType) -> value_field::Data {
        use value_field::Data;
        match kind {
            DataType::Bool => Data::BoolData(true),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                Data::IntData(self.random.random_range(-9..9))
            }
            DataType::Int64 => Data::LongData(self.random.random()),
            DataType::Float => Data::FloatData(1.5),
            DataType::Double => Data::DoubleData(-2.5),
            DataType::Timestamptz => Data::TimestamptzData(1_700_000_000_000_000),
            _ => Data::StringData("by default".to_owned()),
        }
    }

    fn vector_kind(&mut self) -> DataType {
        let mut kinds = vec![
            DataType::FloatVector,
            DataType::BinaryVector,
            DataType::Float16Vector,
            DataType::BFloat16Vector,
        ];
        if self.version >= Version::V2_6 {
            kinds.push(DataType::Int8Vector);
        }
        *kinds.choose(&mut self.random).expect("some")
    }

    fn dim(&mut self) -> &'static str {
        ["8", "16", "24"].choose(&mut self.random).expect("some")
    }

    fn vector_field(&mut self, at: usize) -> FieldSchema {
        let mut made = if self.chance(0.25) {
            field(&format!("v{at}"), DataType::SparseFloatVector, &[])
        } else {
            let (kind, dim) = (self.vector_kind(), self.dim());
            field(&format!("v{at}"), kind, &[("dim", dim)])
        };
        made.nullable = self.version >= Version::V3_0 && self.chance(0.5);
        made
    }

    fn struct_field(&mut self, vectors: usize) -> StructArrayFieldSchema {
        let nullable = self.version >= Version::V3_0 && self.chance(0.4);
        let scalars = self.random.random_range(1..3);
        let mut fields = Vec::new();
        for at in 0..scalars {
            let element = self.element_type();
            let made = field(&format!("a{at}"), DataType::Array, self.params(DataType::Array, element));
            fields.push(FieldSchema { element_type: element as i32, nullable, ..made });
        }
        for at in 0..vectors {
            let (element, dim) = (self.vector_kind(), self.dim());
            let made =
                field(&format!("w{at}"), DataType::ArrayOfVector, &[("max_capacity", "5"), ("dim", dim)]);
            fields.push(FieldSchema { element_type: element as i32, nullable, ..made });
        }
        StructArrayFieldSchema {
            name: "items".to_owned(),
            fields,
            nullable,
            ..StructArrayFieldSchema::default()
        }
    }

    fn rows(
        &mut self,
        schema: &CollectionSchema,
        fields: &[Field],
        partitions: &[String],
        repeated: bool,
    ) -> Vec<(String, Vec<Vec<Value>>)> {
        let mut batches = Vec::new();
        let mut all = BTreeSet::new();
        let names = std::iter::once(PARTITION_DEFAULT).chain(partitions.iter().map(String::as_str));
        for partition in names.collect::<Vec<_>>() {
            let count = if self.chance(0.1) { 0 } else { self.random.random_range(1..ROWS_MAX) };
            let is_text = fields.iter().any(|field| field.is_key && field.data_type == DataType::VarChar);
            let mut keys: Vec<_> = (0..count).map(|_| self.key(is_text)).collect();
            // Keys come in any order.
            keys.sort();
            keys.dedup();
            keys.retain(|key| all.insert(key.clone()));
            keys.shuffle(&mut self.random);
            if keys.is_empty() {
                continue;
            }
            batches.push((partition.to_owned(), self.columns(schema, fields, &keys)));
            if repeated && self.chance(0.7) {
                let again: Vec<_> = keys.iter().filter(|_| self.random.random_bool(0.1)).cloned().collect();
                if !again.is_empty() {
                    // The partition key decides where a row is; a copy elsewhere is another matter.
                    let mut columns = self.columns(schema, fields, &again);
                    self.keep_place(fields, &keys, &batches[batches.len() - 1].1, &again, &mut columns);
                    batches.push((partition.to_owned(), columns));
                }
            }
        }
        batches
    }

    #[expect(clippy::unused_self, reason = "beside the methods it belongs to")]
    fn keep_place(
        &self,
        fields: &[Field],
        keys: &[Key],
        first: &[Vec<Value>],
        again: &[Key],
        columns: &mut [Vec<Value>],
    ) {
        let Some(place) = fields.iter().position(|field| field.is_partition_key) else { return };
        for (row, key) in again.iter().enumerate() {
            let of_first = keys.iter().position(|known| known == key).expect("one of them");
            columns[place][row] = first[place][of_first].clone();
        }
    }

    fn key(&mut self, is_text: bool) -> Key {
        if is_text {
            const ODD: [&str; 8] = ["", " ", "\"", "\\", "a\nb", "渡船", "🚢", "z\u{7f}"];
            let odd = self.chance(0.1).then(|| ODD.choose(&mut self.random).expect("some"));
            return Key::Text(odd.map_or_else(
                || format!("key-{:03}", self.random.random_range(0..400)),
                |odd| (*odd).to_owned(),
            ));
        }
        let odd = self.chance(0.05).then_some([i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1]);
        let odd = odd.map(|odd| *odd.choose(&mut self.random).expect("some"));
        Key::Long(odd.unwrap_or_else(|| self.random.random_range(-300..500)))
    }

    pub(super) fn columns(
        &mut self,
        schema: &CollectionSchema,
        fields: &[Field],
        keys: &[Key],
    ) -> Vec<Vec<Value>> {
        // The arrays of a struct have one length in each row, and are null together.
        let struct_nullable = schema.struct_array_fields.iter().any(|of_struct| of_struct.nullable);
        let lengths: Vec<_> = keys
            .iter()
            .map(|_| {
                let length = self.random.random_range(0..=CAPACITY_MAX);
                (!(struct_nullable && self.chance(0.3))).then_some(length)
            })
            .collect();
        let mut columns: Vec<_> = fields.iter().map(|field| self.column(field, keys, &lengths)).collect();
        for function in &schema.functions {
            let at = |name: &String| fields.iter().position(|field| field.name == *name).expect("its field");
            let (input, output) = (at(&function.input_field_names[0]), at(&function.output_field_names[0]));
            let bytes = vector_bytes(fields[output].data_type, fields[output].dim);
            columns[output] =
                columns[input].iter().map(|text| of_text(text, function.r#type(), bytes)).collect();
        }
        columns
    }

    fn column(&mut self, field: &Field, keys: &[Key], lengths: &[Option<usize>]) -> Vec<Value> {
        if field.is_key {
            let value = |key: &Key| match key {
                Key::Long(number) => Value::Long(*number),
                Key::Text(text) => Value::Text(text.clone()),
            };
            return keys.iter().map(value).collect();
        }
        if field.parent.is_some() {
            let value =
                |length: &Option<usize>| length.map_or(Value::Null, |length| self.array(field, length));
            return lengths.iter().map(value).collect();
        }
        // A null in a field with a default can't be: inserts put the default there.
        let nulls = match self.random.random_range(0..4) {
            _ if !field.nullable || field.default.is_some() => 0.0,
            0 => 0.0,
            1 => 1.0,
            _ => 0.4,
        };
        keys.iter().map(|_| if self.chance(nulls) { Value::Null } else { self.value(field) }).collect()
    }

    fn value(&mut self, field: &Field) -> Value {
        match field.data_type {
            DataType::Array => {
                let length = self.random.random_range(0..=CAPACITY_MAX);
                self.array(field, length)
            }
            kind => self.value_of(kind, field),
        }
    }

    fn array(&mut self, field: &Field, length: usize) -> Value {
        Value::Array((0..length).map(|_| self.value_of(field.element_type, field)).collect())
    }

    fn value_of(&mut self, kind: DataType, field: &Field) -> Value {
        const TEXTS: [&str; 7] = ["", "x", "渡船 🚢", "two words", "\"quoted\"\n", "ÿ\u{0}", "by default"];
        const JSON: [&str; 7] =
            ["null", "1", "\"text\"", "[]", "{}", r#"{"a":[1,{"b":null}]}"#, r#"{"渡":true}"#];
        const DYNAMIC: [&str; 3] = ["{}", r#"{"extra":1}"#, r#"{"deep":{"id":[1,2]},"n":null}"#];
        const SHAPES: [&str; 4] =
            ["POINT (1 2)", "LINESTRING (0 0, 1 1)", "POLYGON ((0 0, 1 0, 1 1, 0 0))", "POINT EMPTY"];
        let random = &mut self.random;
        match kind {
            DataType::Bool => Value::Bool(random.random()),
            DataType::Int8 => Value::Int(random.random::<i8>().into()),
            DataType::Int16 => Value::Int(random.random::<i16>().into()),
            DataType::Int32 => Value::Int(random.random()),
            DataType::Int64 => Value::Long(random.random()),
            DataType::Float => Value::Float(finite_bits(random)),
            DataType::Double => Value::Double(
                [0, 1 << 63, 1, f64::MAX.to_bits(), 0.1f64.to_bits()][random.random_range(0..5)],
            ),
            DataType::Json if field.is_dynamic => {
                Value::Json(DYNAMIC.choose(random).expect("some").as_bytes().to_vec())
            }
            DataType::Json => Value::Json(JSON.choose(random).expect("some").as_bytes().to_vec()),
            DataType::Geometry => Value::Text((*SHAPES.choose(random).expect("some")).to_owned()),
            DataType::Timestamptz => {
                Value::Time(random.random_range(-1_000_000_000_000_000..4_000_000_000_000_000))
            }
            DataType::SparseFloatVector => {
                let indices: BTreeSet<u32> =
                    (0..random.random_range(0..6)).map(|_| random.random_range(0..1000)).collect();
                let pair = |index: u32| [index.to_le_bytes(), finite_bits(random).to_le_bytes()].concat();
                Value::Sparse(indices.into_iter().flat_map(pair).collect())
            }
            _ => match vector_bytes(kind, field.dim) {
                Some(bytes) => Value::Vector(dense(random, kind, bytes)),
                None => Value::Text((*TEXTS.choose(random).expect("some")).to_owned()),
            },
        }
    }
}

/// Bits of a float that is a number: small ones, zeros of both signs, and the largest.
fn finite_bits(random: &mut StdRng) -> u32 {
    let bits: u32 = random.random();
    if f32::from_bits(bits).is_finite() { bits } else { bits & 0x807f_ffff }
}

fn dense(random: &mut StdRng, kind: DataType, bytes: usize) -> Vec<u8> {
    match kind {
        DataType::FloatVector => (0..bytes / 4).flat_map(|_| finite_bits(random).to_le_bytes()).collect(),
        // Half-size numbers whose exponent is not the one of infinities.
        DataType::Float16Vector => {
            (0..bytes / 2).flat_map(|_| (random.random::<u16>() & 0xbbff).to_le_bytes()).collect()
        }
        DataType::BFloat16Vector => {
            (0..bytes / 2).flat_map(|_| (random.random::<u16>() & 0xbfff).to_le_bytes()).collect()
        }
        _ => (0..bytes).map(|_| random.random()).collect(),
    }
}
