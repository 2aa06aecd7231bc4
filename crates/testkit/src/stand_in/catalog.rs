//! Databases, collections, partitions, aliases, indexes and load states.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema, FunctionSchema};
use vecferry_milvus::schema::parameter;

use super::generate::Generated;
use super::rows::Rows;
use super::status::{ALIAS_TAKEN, COLLECTION_NOT_FOUND, DATABASE_NOT_FOUND, PARTITION_NOT_FOUND, Refusal};
use super::value::{Key, Value};
use super::{Options, RowsByKey, Version};

/// Name of the partition that every collection has.
pub(super) const PARTITION_DEFAULT: &str = "_default";
/// Name of the column of the dynamic field.
pub(super) const DYNAMIC: &str = "$meta";
/// The database that always is.
pub(super) const DB_DEFAULT: &str = "default";
/// Partitions of a collection with a partition key that does not say how many.
const KEY_PARTITIONS_DEFAULT: i64 = 16;
/// First number that fields get; those below are the server's own.
const FIELD_ID_FIRST: i64 = 100;
/// From a partition's number to that of its first segment: no collection has so many numbers.
const GROWING_OFFSET: i64 = 1 << 40;
/// A moment in 2025, as a hybrid timestamp.
const TIMESTAMP_FIRST: u64 = 1_750_000_000_000 << 18;

/// A field as far as its values are concerned; one field of a struct counts as a field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// `struct[field]` for a field of a struct.
    pub(super) name: String,
    /// The struct it belongs to.
    pub(super) parent: Option<String>,
    pub(super) data_type: DataType,
    pub(super) element_type: DataType,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) dim: usize,
    pub(super) length_max: Option<usize>,
    pub(super) capacity_max: Option<usize>,
    pub(super) is_key: bool,
    pub(super) auto_id: bool,
    pub(super) is_partition_key: bool,
    pub(super) is_function_output: bool,
    pub(super) is_dynamic: bool,
}

impl Field {
    pub(super) fn of(schema: &FieldSchema) -> Self {
        let number = |key: &str| parameter(&schema.type_params, key).and_then(|text| text.parse().ok());
        Self {
            name: schema.name.clone(),
            parent: None,
            data_type: schema.data_type(),
            element_type: schema.element_type(),
            nullable: schema.nullable,
            default: schema.default_value.as_ref().and_then(Value::of_default),
            dim: number("dim").unwrap_or_default(),
            length_max: number("max_length"),
            capacity_max: number("max_capacity"),
            is_key: schema.is_primary_key,
            auto_id: schema.auto_id,
            is_partition_key: schema.is_partition_key,
            is_function_output: schema.is_function_output,
            is_dynamic: false,
        }
    }

    fn dynamic() -> Self {
        let schema = FieldSchema {
            name: DYNAMIC.to_owned(),
            data_type: DataType::Json as i32,
            ..FieldSchema::default()
        };
        Self { is_dynamic: true, ..Self::of(&schema) }
    }

    /// The name without the struct's.
    pub(super) fn bare_name(&self) -> &str {
        let inner = self.parent.as_ref().and_then(|parent| self.name.strip_prefix(parent.as_str()));
        inner.map_or(&self.name, |inner| inner.trim_start_matches('[').trim_end_matches(']'))
    }

    /// Whether the values are vectors of a fixed number of bytes.
    pub(super) fn is_dense(&self) -> bool {
        vector_bytes(self.data_type, 8).is_some()
    }

    /// Whether the values are vectors, one a row.
    pub(super) fn is_vector(&self) -> bool {
        self.is_dense() || self.data_type == DataType::SparseFloatVector
    }
}

/// Bytes of a dense vector; `None` for other types.
pub(super) fn vector_bytes(data_type: DataType, dim: usize) -> Option<usize> {
    match data_type {
        DataType::BinaryVector => Some(dim / 8),
        DataType::Int8Vector => Some(dim),
        DataType::Float16Vector | DataType::BFloat16Vector => Some(dim * 2),
        DataType::FloatVector => Some(dim * 4),
        _ => None,
    }
}

/// All fields of a schema, those of structs among them, and the dynamic one last.
pub(super) fn fields_of(schema: &CollectionSchema) -> Vec<Field> {
    let mut fields: Vec<_> = schema.fields.iter().map(Field::of).collect();
    for of_struct in &schema.struct_array_fields {
        fields.extend(of_struct.fields.iter().map(|inner| {
            let field = Field::of(inner);
            Field {
                name: format!("{}[{}]", of_struct.name, inner.name),
                parent: Some(of_struct.name.clone()),
                nullable: field.nullable || of_struct.nullable,
                ..field
            }
        }));
    }
    fields.extend(schema.enable_dynamic_field.then(Field::dynamic));
    fields
}

/// A partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) id: i64,
    pub(super) rows: Rows,
    /// What flushes stored: segments count deleted rows too.
    pub(super) segments: Vec<Segment>,
    /// Number of the segment that takes rows now.
    pub(super) growing_id: i64,
    /// Rows that came since the last flush.
    pub(super) growing: i64,
    pub(super) loaded: bool,
}

/// A stored segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) id: i64,
    pub(super) rows: i64,
    /// Servers since 2.5 sort what they stored, a while later and under another number.
    pub(super) sorted: bool,
    /// Whether it was told of before it was sorted.
    pub(super) told: bool,
}

/// An index.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) field: String,
    pub(super) params: Vec<KeyValuePair>,
}

/// A collection.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) id: i64,
    /// As it was asked for; numbers are added when it is described.
    pub(super) schema: CollectionSchema,
    pub(super) fields: Vec<Field>,
    pub(super) created: u64,
    pub(super) shards: i32,
    pub(super) consistency: i32,
    pub(super) properties: Vec<KeyValuePair>,
    pub(super) aliases: BTreeSet<String>,
    /// Aliases that were dropped; a description of 2.6.18 tells of them for a while.
    pub(super) dropped_aliases: BTreeSet<String>,
    pub(super) indexes: Vec<Index>,
    pub(super) partitions: Vec<Partition>,
    /// As it was asked for; 0 leaves it to the server.
    pub(super) num_partitions: i64,
    /// So many counts are by so much too high.
    pub(super) counted_twice: (u32, usize),
    /// Its load has begun and does not end.
    pub(super) loading: bool,
    /// When a call flushed it last.
    pub(super) flushed: Option<Instant>,
}

impl Table {
    /// By how much this count is too high.
    pub(super) fn rows_counted_twice(&mut self) -> usize {
        let (times, rows) = self.counted_twice;
        self.counted_twice.0 = times.saturating_sub(1);
        if times > 0 { rows } else { 0 }
    }

    pub(super) fn key_column(&self) -> usize {
        self.fields.iter().position(|field| field.is_key).expect("a primary key")
    }

    pub(super) fn key_field(&self) -> &Field {
        &self.fields[self.key_column()]
    }

    pub(super) fn has_partition_key(&self) -> bool {
        self.fields.iter().any(|field| field.is_partition_key)
    }

    pub(super) fn partition(&self, name: &str) -> Result<usize, Refusal> {
        let found = self.partitions.iter().position(|partition| partition.name == name);
        found.ok_or_else(|| {
            Refusal::new(PARTITION_NOT_FOUND, format!("partition not found[partition={name}]"))
        })
    }

    /// Where a row of a collection with a partition key goes.
    pub(super) fn placed(&self, value: &Value) -> usize {
        let mut hasher = std::hash::DefaultHasher::new();
        value.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.partitions.len() as u64).expect("a small number")
    }

    /// Fields that must have an index before the collection is loaded.
    pub(super) fn unindexed_vector(&self) -> Option<&Field> {
        let needs = |field: &&Field| field.is_vector() || field.data_type == DataType::ArrayOfVector;
        self.fields
            .iter()
            .filter(needs)
            .find(|field| self.indexes.iter().all(|index| index.field != field.name))
    }

    /// Adds rows, given as columns in the order of the fields.
    pub(super) fn append(&mut self, partition: usize, columns: Vec<Vec<Value>>, sequence: u64) {
        let placing = self.fields.iter().position(|field| field.is_partition_key);
        let Some(placing) = placing else { return self.append_at(partition, columns, sequence) };
        let places: Vec<_> = columns[placing].iter().map(|value| self.placed(value)).collect();
        for place in 0..self.partitions.len() {
            let of_place = |column: &Vec<Value>| {
                let values = column.iter().zip(&places).filter(|(_, at)| **at == place);
                values.map(|(value, _)| value.clone()).collect()
            };
            self.append_at(place, columns.iter().map(of_place).collect(), sequence);
        }
    }

    fn append_at(&mut self, partition: usize, columns: Vec<Vec<Value>>, sequence: u64) {
        let partition = &mut self.partitions[partition];
        let before = partition.rows.len();
        partition.rows.append(columns, sequence);
        partition.growing += i64::try_from(partition.rows.len() - before).expect("few rows");
    }

    /// See [`super::StandIn::update`].
    pub(super) fn update(&mut self, partition: &str, key: &Key, field: &str, value: &Value) {
        self.set(partition, key, field, value);
        let at = self.partition(partition).expect("a partition");
        self.partitions[at].growing += 1;
    }

    /// See [`super::StandIn::add_field`].
    pub(super) fn add_field(&mut self, field: FieldSchema) {
        let at = self.schema.fields.len();
        self.fields.insert(at, Field::of(&field));
        self.schema.fields.push(field);
        self.partitions.iter_mut().for_each(|partition| partition.rows.insert_column(at));
    }

    /// Where a row goes that somebody adds to a partition; a partition key says otherwise anyway.
    pub(super) fn place(&self, partition: &str) -> usize {
        if self.has_partition_key() { 0 } else { self.partition(partition).expect("a partition") }
    }

    /// Removes the rows of keys; everywhere, where a key places the rows.
    pub(super) fn remove(&mut self, partition: usize, keys: &BTreeSet<Key>) {
        let (key_column, everywhere) = (self.key_column(), self.has_partition_key());
        for (at, known) in self.partitions.iter_mut().enumerate() {
            if everywhere || at == partition {
                known.rows.remove(key_column, |value| value.key().is_some_and(|key| keys.contains(&key)));
            }
        }
    }

    /// Makes a partition, loaded if all others are. One that is there stays as it is.
    pub(super) fn add_partition(&mut self, name: &str, id: i64) {
        if self.partition(name).is_err() {
            let whole = self.partitions.iter().all(|partition| partition.loaded);
            self.partitions.push(Partition { loaded: whole, ..Partition::new(name.to_owned(), id) });
        }
    }

    /// See [`super::StandIn::rows`].
    pub(super) fn rows_by_key(&self) -> RowsByKey {
        let mut found = RowsByKey::new();
        let key_column = self.key_column();
        for partition in &self.partitions {
            for row in 0..partition.rows.len() {
                let key = partition.rows.value(key_column, row).key().expect("a key");
                let values = self.fields.iter().enumerate();
                let values =
                    values.map(|(at, field)| (field.name.clone(), partition.rows.value(at, row).clone()));
                found.entry((partition.name.clone(), key)).or_default().push(values.collect());
            }
        }
        found
    }

    /// See [`super::StandIn::set`].
    pub(super) fn set(&mut self, partition: &str, key: &Key, field: &str, value: &Value) {
        let key_column = self.key_column();
        let column = self.fields.iter().position(|known| known.name == field).expect("a field");
        let at = self.partition(partition).expect("a partition");
        let rows = &mut self.partitions[at].rows;
        for row in 0..rows.len() {
            if rows.value(key_column, row).key().as_ref() == Some(key) {
                rows.set(column, row, value.clone());
            }
        }
    }

    /// The schema with the numbers that the server gave.
    pub(super) fn described(&self, options: &Options, db: &str) -> CollectionSchema {
        let mut schema = self.schema.clone();
        // Only the field says it.
        schema.auto_id = false;
        // 2.6.18 says the properties of a collection here as well, 2.5.10 does not.
        if options.version >= Version::V2_6 {
            schema.properties.clone_from(&self.properties);
            schema.db_name = db.to_owned();
        }
        let mut next = FIELD_ID_FIRST..;
        let mut number = || next.next().expect("enough numbers");
        for field in &mut schema.fields {
            field.field_id = number();
        }
        for of_struct in &mut schema.struct_array_fields {
            of_struct.field_id = number();
            for field in &mut of_struct.fields {
                field.field_id = number();
                if options.qualified_struct_fields {
                    field.name = format!("{}[{}]", of_struct.name, field.name);
                }
            }
        }
        let ids = |names: &[String]| -> Vec<i64> {
            let id = |name: &String| schema.fields.iter().find(|field| field.name == *name);
            names.iter().filter_map(id).map(|field| field.field_id).collect()
        };
        let numbered = |(at, function): (usize, &FunctionSchema)| FunctionSchema {
            id: FIELD_ID_FIRST + i64::try_from(at).expect("few functions"),
            input_field_ids: ids(&function.input_field_names),
            output_field_ids: ids(&function.output_field_names),
            ..function.clone()
        };
        schema.functions = schema.functions.iter().enumerate().map(numbered).collect();
        schema
    }
}

/// A database.
#[derive(Debug, Default)]
pub(super) struct Database {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) properties: Vec<KeyValuePair>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) databases: BTreeMap<String, Database>,
    timestamp: u64,
    id: i64,
}

impl Catalog {
    pub(super) fn new() -> Self {
        let databases = BTreeMap::from([(DB_DEFAULT.to_owned(), Database::default())]);
        Self { databases, timestamp: TIMESTAMP_FIRST, id: 450_000_000_000_000_000 }
    }

    /// A timestamp later than all before.
    pub(super) fn now(&mut self) -> u64 {
        self.timestamp += 1 << 18;
        self.timestamp
    }

    /// A number that nothing has.
    pub(super) fn number(&mut self) -> i64 {
        self.id += 1;
        self.id
    }

    pub(super) fn database(&self, db: &str) -> Result<&Database, Refusal> {
        let db = if db.is_empty() { DB_DEFAULT } else { db };
        self.databases.get(db).ok_or_else(|| unknown_database(db))
    }

    pub(super) fn database_mut(&mut self, db: &str) -> Result<&mut Database, Refusal> {
        let db = if db.is_empty() { DB_DEFAULT } else { db };
        self.databases.get_mut(db).ok_or_else(|| unknown_database(db))
    }

    /// The collection of a name or alias.
    pub(super) fn table(&self, db: &str, name: &str) -> Result<&Table, Refusal> {
        let database = self.database(db)?;
        let real = database.real_name(name).ok_or_else(|| unknown_collection(db, name))?;
        Ok(&database.tables[&real])
    }

    pub(super) fn table_mut(&mut self, db: &str, name: &str) -> Result<&mut Table, Refusal> {
        let database = self.database_mut(db)?;
        let real = database.real_name(name);
        let table = real.and_then(|real| database.tables.get_mut(&real));
        table.ok_or_else(|| unknown_collection(db, name))
    }

    /// Makes a collection.
    pub(super) fn create(
        &mut self,
        db: &str,
        schema: CollectionSchema,
        shards: i32,
        num_partitions: i64,
    ) -> Result<&mut Table, Refusal> {
        let (id, created) = (self.number(), self.now());
        let fields = fields_of(&schema);
        let by_key = fields.iter().any(|field| field.is_partition_key);
        let count = if num_partitions > 0 { num_partitions } else { KEY_PARTITIONS_DEFAULT };
        let names = match by_key {
            true => (0..count).map(|at| format!("{PARTITION_DEFAULT}_{at}")).collect(),
            false => vec![PARTITION_DEFAULT.to_owned()],
        };
        let partitions = names.into_iter().map(|name| Partition::new(name, self.number())).collect();
        let name = schema.name.clone();
        let table = Table {
            id,
            fields,
            created,
            shards: shards.max(1),
            consistency: 0,
            properties: Vec::new(),
            aliases: BTreeSet::new(),
            dropped_aliases: BTreeSet::new(),
            indexes: Vec::new(),
            partitions,
            num_partitions,
            counted_twice: (0, 0),
            loading: false,
            flushed: None,
            schema,
        };
        let database = self.database_mut(db)?;
        database.tables.insert(name.clone(), table);
        Ok(database.tables.get_mut(&name).expect("just made"))
    }

    /// See [`super::StandIn::add`].
    pub(super) fn add(&mut self, generated: &Generated) {
        self.databases.entry(generated.db.clone()).or_default();
        let count = i64::try_from(generated.key_partitions).expect("few partitions");
        let made = self.create(&generated.db, generated.schema.clone(), generated.shards, count);
        made.expect("its database was made");
        let name = &generated.schema.name;
        for partition in &generated.partitions {
            let id = self.number();
            let table = self.table_mut(&generated.db, name).expect("just made");
            table.partitions.push(Partition::new(partition.clone(), id));
        }
        for (field, params) in &generated.indexes {
            let id = self.number();
            let table = self.table_mut(&generated.db, name).expect("just made");
            table.indexes.push(Index {
                id,
                name: field.clone(),
                field: field.clone(),
                params: params.clone(),
            });
        }
        for (partition, columns) in &generated.rows {
            let sequence = self.now();
            let table = self.table_mut(&generated.db, name).expect("just made");
            let at = table.partition(partition).unwrap_or_default();
            table.append(at, columns.clone(), sequence);
        }
        self.seal(&generated.db, name).expect("just made");
        let table = self.table_mut(&generated.db, name).expect("just made");
        table.consistency = generated.consistency;
        table.properties.clone_from(&generated.properties);
        table.aliases.extend(generated.aliases.iter().cloned());
        for partition in &mut table.partitions {
            partition.loaded = generated.loaded;
            partition.segments.iter_mut().for_each(|segment| segment.sorted = true);
        }
    }

    /// Stores what came since the last time, each partition's rows as one new segment. Answers the new ones, and those
    /// that were there.
    pub(super) fn seal(&mut self, db: &str, name: &str) -> Result<(Vec<i64>, Vec<i64>), Refusal> {
        let count = self.table(db, name)?.partitions.len();
        let mut next: Vec<_> = (0..count).map(|_| self.number()).collect();
        let (mut sealed, mut stored) = (Vec::new(), Vec::new());
        for partition in &mut self.table_mut(db, name)?.partitions {
            stored.extend(partition.segments.iter().map(|segment| segment.id));
            let next = next.pop().expect("one a partition");
            if partition.growing > 0 {
                let (id, rows) = (partition.growing_id, partition.growing);
                partition.segments.push(Segment { id, rows, sorted: false, told: false });
                (partition.growing_id, partition.growing) = (next, 0);
                sealed.push(id);
            }
        }
        Ok((sealed, stored))
    }

    /// Sorts the stored segments that were told of.
    pub(super) fn sort(&mut self, db: &str, name: &str) -> Result<(), Refusal> {
        let unsorted = |table: &Table| {
            let segments = table.partitions.iter().flat_map(|partition| &partition.segments);
            segments.filter(|segment| !segment.sorted).count()
        };
        let count = unsorted(self.table(db, name)?);
        let mut next: Vec<_> = (0..count).map(|_| self.number()).collect();
        let partitions = &mut self.table_mut(db, name)?.partitions;
        let segments = partitions.iter_mut().flat_map(|partition| &mut partition.segments);
        for segment in segments.filter(|segment| !segment.sorted) {
            let id = next.pop().expect("one a segment");
            if segment.told {
                (segment.id, segment.sorted) = (id, true);
            }
            segment.told = true;
        }
        Ok(())
    }

    /// See [`super::StandIn::compact`].
    pub(super) fn compact(&mut self, db: &str, name: &str) {
        let count = self.table(db, name).expect("a collection").partitions.len();
        let mut next: Vec<_> = (0..count).map(|_| self.number()).collect();
        for partition in &mut self.table_mut(db, name).expect("a collection").partitions {
            let id = next.pop().expect("one a partition");
            let rows = i64::try_from(partition.rows.len()).expect("few rows") - partition.growing;
            if !partition.segments.is_empty() {
                partition.segments = vec![Segment { id, rows, sorted: true, told: true }];
            }
        }
    }
}

impl Database {
    /// The collection behind a name or alias.
    pub(super) fn real_name(&self, name: &str) -> Option<String> {
        if self.tables.contains_key(name) {
            return Some(name.to_owned());
        }
        let found = self.tables.iter().find(|(_, table)| table.aliases.contains(name));
        found.map(|(real, _)| real.clone())
    }

    /// Gives a collection another name.
    pub(super) fn add_alias(&mut self, name: &str, alias: &str) -> Result<(), Refusal> {
        if self.tables.contains_key(alias) {
            let reason = format!("collection name [{alias}] already exists, it can't be an alias");
            return Err(Refusal::new(ALIAS_TAKEN - 1, reason));
        }
        let real = self.tables.contains_key(name).then(|| name.to_owned());
        let real = real.ok_or_else(|| unknown_collection("", name))?;
        match self.real_name(alias) {
            // Said again of the same collection it is no error.
            Some(owner) if owner == real => Ok(()),
            Some(owner) => {
                let reason = format!("{alias} is alias to another collection: {owner}: alias already exist");
                Err(Refusal::new(ALIAS_TAKEN, reason))
            }
            None => {
                self.tables.get_mut(&real).expect("just found").aliases.insert(alias.to_owned());
                Ok(())
            }
        }
    }
}

impl Partition {
    pub(super) fn new(name: String, id: i64) -> Self {
        let (segments, growing_id) = (Vec::new(), id + GROWING_OFFSET);
        Self { name, id, rows: Rows::default(), segments, growing_id, growing: 0, loaded: false }
    }

    /// Rows that a count without growing segments leaves out. Rows of 2.5.10 were left out after they were flushed and
    /// loaded again, as long as their segment was not sorted.
    pub(super) fn not_sealed(&self, version: Version) -> i64 {
        let unsorted = self.segments.iter().filter(|segment| version >= Version::V2_5 && !segment.sorted);
        self.growing + unsorted.map(|segment| segment.rows).sum::<i64>()
    }

    /// Rows of the stored segments.
    pub(super) fn stored(&self) -> i64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }
}

impl Key {
    /// Whether a table's keys are texts.
    pub(super) fn is_text(table: &Table) -> bool {
        table.key_field().data_type == DataType::VarChar
    }
}

fn unknown_database(db: &str) -> Refusal {
    Refusal::new(DATABASE_NOT_FOUND, format!("database not found[database={db}]"))
}

pub(super) fn unknown_collection(db: &str, name: &str) -> Refusal {
    let db = if db.is_empty() { DB_DEFAULT } else { db };
    Refusal::new(COLLECTION_NOT_FOUND, format!("collection not found[database={db}][collection={name}]"))
}
