//! What a run is made of: collections, options, and everything that happens to them, in a form that can be printed,
//! shrunk and written down as a test.

use proptest::collection::vec;
use proptest::prelude::*;
use vecferry_migrate::{AutoId, VerifyLevel};
use vecferry_milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use vecferry_milvus::schema::{field, parameters};
use vecferry_testkit::stand_in::generate::Generated;
use vecferry_testkit::stand_in::{Key, Stop, Value};

/// Names of the collections, in their order.
pub(crate) const NAMES: [&str; 3] = ["books", "shelves", "authors"];
/// Names of their partitions, in their order.
pub(crate) const PARTITIONS: [&str; 3] = ["_default", "north", "south"];
/// The partition that somebody adds.
pub(crate) const ADDED: &str = "added";
/// Rows of a partition have numbers from this times its place.
const NUMBERS_PER_PARTITION: u32 = 1000;
/// Rows that somebody adds have these numbers.
pub(crate) const NUMBERS_ADDED: u32 = 10_000;
/// Rows that somebody adds to the target.
pub(crate) const NUMBERS_FOREIGN: u32 = 20_000;
/// Partitions of a collection with a partition key.
const KEY_PARTITIONS: usize = 3;

/// One run, from the first look at the clusters to the last attempt.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// Chance of the servers.
    pub(crate) seed: u64,
    pub(crate) collections: Vec<Shape>,
    pub(crate) verify: VerifyLevel,
    pub(crate) auto_id: AutoId,
    pub(crate) allow_drift: bool,
    /// A slice is one page, or the whole split.
    pub(crate) short_slices: bool,
    /// At which call the first attempts are killed, one each.
    pub(crate) kills: Vec<(u64, Stop)>,
    pub(crate) elements: Vec<Element>,
}

/// A collection of the source.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) text_keys: bool,
    /// Rows of each partition, the default one first.
    pub(crate) rows: Vec<u32>,
    /// One partition field places the rows.
    pub(crate) partition_key: bool,
    /// Some keys are there twice.
    pub(crate) repeated: bool,
    pub(crate) alias: bool,
    pub(crate) loaded: bool,
}

/// Something that happens. Numbers count from one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Element {
    /// A page of the source comes without its rows.
    EmptiedPage { page: u32 },
    /// An insert or upsert lands and answers an error.
    FailedAfter { write: u32 },
    /// A page of the source, or a write, is refused for its rate.
    Limited { side: Side, nth: u32 },
    /// A call is denied, this one or all from it on.
    Denied { side: Side, method: &'static str, nth: u32, forever: bool },
    /// The stream of a call breaks, before the call is carried out or after it.
    Cut { side: Side, call: u32, after: bool },
    /// Somebody makes an equal collection of the name just before the job does.
    Raced { collection: usize, call: u32, rows: u32 },
    /// Somebody changes a collection of the source.
    OnSource { at: Moment, collection: usize, write: Write },
    /// Somebody changes the job's collection on the target.
    OnTarget { at: Moment, collection: usize, write: Tampering },
    /// What the job made is removed behind the attempt of this number.
    CancelClean { attempt: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

/// When somebody acts. All of them are before the last look at the source, so that it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// When the attempt of this number was prepared, before it runs.
    Start(u32),
    /// Before this page of the source is read.
    Page(u32),
    /// Before this insert or upsert is carried out.
    Write(u32),
}

/// What somebody does on the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Insert {
        partition: usize,
        rows: u32,
    },
    /// Rows by their place in the partition.
    Delete {
        partition: usize,
        row: u32,
    },
    Update {
        partition: usize,
        row: u32,
    },
    AddPartition {
        rows: u32,
    },
    DropPartition {
        partition: usize,
    },
    AddAlias,
}

/// What somebody does on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tampering {
    Insert {
        rows: u32,
    },
    Delete {
        partition: usize,
        row: u32,
    },
    Update {
        partition: usize,
        row: u32,
    },
    /// In a partition that the source lacks.
    AddPartition {
        rows: u32,
    },
    /// Drops the collection and makes an equal one.
    Replace {
        rows: u32,
    },
    Drop,
}

impl Schedule {
    /// Nothing happens to two plain collections.
    pub(crate) fn quiet() -> Self {
        let shape = |text_keys| Shape {
            text_keys,
            rows: vec![30, 20],
            partition_key: false,
            repeated: false,
            alias: true,
            loaded: true,
        };
        Self {
            seed: 1,
            collections: vec![shape(false), shape(true)],
            verify: VerifyLevel::Sample,
            auto_id: AutoId::Refuse,
            allow_drift: false,
            short_slices: true,
            kills: Vec::new(),
            elements: Vec::new(),
        }
    }
}

impl Shape {
    pub(crate) fn generated(&self, name: &str, auto_id: AutoId) -> Generated {
        let (kind, params): (_, &[(&str, &str)]) = match self.text_keys {
            true => (DataType::VarChar, &[("max_length", "64")]),
            false => (DataType::Int64, &[]),
        };
        let is_made = auto_id != AutoId::Refuse;
        let key = FieldSchema { is_primary_key: true, auto_id: is_made, ..field("id", kind, params) };
        let tenant = FieldSchema { is_partition_key: true, ..field("tenant", DataType::Int64, &[]) };
        let vector = field("vector", DataType::FloatVector, &[("dim", "4")]);
        let mut fields = vec![key, vector];
        fields.extend(self.partition_key.then_some(tenant));
        let schema = CollectionSchema { name: name.to_owned(), fields, ..CollectionSchema::default() };
        let used = &self.rows[..if self.partition_key { 1 } else { self.rows.len() }];
        let mut rows = Vec::new();
        for (at, count) in used.iter().enumerate() {
            let columns = |count, generation| self.columns((0..count).map(|row| number(at, row)), generation);
            rows.push((PARTITIONS[at].to_owned(), columns(*count, 0)));
            if self.repeated {
                rows.push((PARTITIONS[at].to_owned(), columns(count.min(&3).to_owned(), 1)));
            }
        }
        Generated {
            db: "default".to_owned(),
            schema,
            partitions: PARTITIONS[1..used.len()].iter().map(|&name| name.to_owned()).collect(),
            key_partitions: if self.partition_key { KEY_PARTITIONS } else { 0 },
            shards: 1,
            consistency: 0,
            indexes: vec![(
                "vector".to_owned(),
                parameters(&[("index_type", "AUTOINDEX"), ("metric_type", "L2")]),
            )],
            properties: Vec::new(),
            aliases: if self.alias { vec![format!("{name}_alias")] } else { Vec::new() },
            rows: rows.into_iter().filter(|(_, columns)| !columns[0].is_empty()).collect(),
            loaded: self.loaded,
        }
    }

    /// Rows as columns.
    pub(crate) fn columns(
        &self,
        numbers: impl Iterator<Item = u32> + Clone,
        generation: u32,
    ) -> Vec<Vec<Value>> {
        let key = |number| match self.key(number) {
            Key::Long(key) => Value::Long(key),
            Key::Text(key) => Value::Text(key),
        };
        let vector = |number| vector(number, generation);
        let mut columns = vec![numbers.clone().map(key).collect(), numbers.clone().map(vector).collect()];
        if self.partition_key {
            columns.push(numbers.map(|number| Value::Long(i64::from(number % 5))).collect());
        }
        columns
    }

    /// The key of a row: neighbors by number are far from each other, so that rows that are added lie anywhere.
    pub(crate) fn key(&self, number: u32) -> Key {
        let spread = i64::from(number).wrapping_mul(0x1234_5678_9abc_def1);
        if self.text_keys {
            Key::Text(format!("{:016x}-渡", spread.cast_unsigned()))
        } else {
            Key::Long(spread)
        }
    }
}

/// The number of a row.
pub(crate) fn number(partition: usize, row: u32) -> u32 {
    u32::try_from(partition).unwrap() * NUMBERS_PER_PARTITION + row
}

fn vector(number: u32, generation: u32) -> Value {
    let parts = [number as f32, generation as f32, 2.0, 3.0];
    Value::Vector(parts.iter().flat_map(|part| part.to_le_bytes()).collect())
}

/// The number of a row, by its vector.
pub(crate) fn number_of(vector: &Value) -> u32 {
    let Value::Vector(bytes) = vector else { panic!("{vector:?} is no vector") };
    f32::from_le_bytes(bytes[..4].try_into().unwrap()) as u32
}

/// Methods that can be denied, by side.
const DENIED: [(Side, &[&str]); 2] = [
    (
        Side::Source,
        &[
            "ShowPartitions",
            "GetLoadState",
            "Query",
            "GetCollectionStatistics",
            "LoadCollection",
            "DescribeDatabase",
            "Flush",
        ],
    ),
    (
        Side::Target,
        &[
            "Insert",
            "Upsert",
            "Flush",
            "CreateIndex",
            "CreateAlias",
            "DropAlias",
            "CreatePartition",
            "LoadCollection",
            "Query",
            "GetLoadState",
            "AlterCollection",
            "RenameCollection",
            "ShowPartitions",
            "DropCollection",
            "GetCollectionStatistics",
        ],
    ),
];

/// Any schedule.
pub(crate) fn any_schedule() -> impl Strategy<Value = Schedule> {
    let options = (
        any::<u64>(),
        prop_oneof![
            Just(VerifyLevel::None),
            Just(VerifyLevel::Count),
            Just(VerifyLevel::Sample),
            Just(VerifyLevel::Full)
        ],
        prop_oneof![8 => Just(AutoId::Refuse), 1 => Just(AutoId::Keep), 1 => Just(AutoId::Regenerate)],
        prop::bool::weighted(0.35),
        any::<bool>(),
    );
    (options, vec(any_shape(), 1..=3), vec(any_kill(), 0..3), vec(any_element(), 0..5)).prop_map(
        |((seed, verify, auto_id, allow_drift, short_slices), collections, kills, elements)| {
            let mut schedule =
                Schedule { seed, collections, verify, auto_id, allow_drift, short_slices, kills, elements };
            schedule.make_possible();
            schedule
        },
    )
}

impl Schedule {
    /// Only whole numbers are made by a server, and each once.
    fn make_possible(&mut self) {
        if self.auto_id != AutoId::Refuse {
            for shape in &mut self.collections {
                (shape.text_keys, shape.repeated) = (false, false);
            }
        }
    }
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (vec(0_u32..50, 1..=3), any::<[bool; 3]>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2))
        .prop_map(|(rows, [text_keys, alias, loaded], partition_key, repeated)| Shape {
            text_keys,
            rows,
            partition_key,
            repeated,
            alias,
            loaded,
        })
}

fn any_kill() -> impl Strategy<Value = (u64, Stop)> {
    let stop = prop_oneof![
        3 => Just(Stop::Before),
        3 => Just(Stop::After),
        1 => (1_u64..60).prop_map(Stop::LateWrite),
    ];
    (20_u64..160, stop).prop_map(|(call, stop)| match stop {
        // Only writes are counted here.
        Stop::LateWrite(_) => (call % 20 + 1, stop),
        Stop::Before | Stop::After | Stop::Late(_) => (call, stop),
    })
}

fn any_element() -> impl Strategy<Value = Element> {
    let side = || prop_oneof![Just(Side::Source), Just(Side::Target)];
    let denied = prop::sample::select(DENIED.to_vec()).prop_flat_map(|(side, methods)| {
        (Just(side), prop::sample::select(methods.to_vec()), 1_u32..6, any::<bool>())
    });
    prop_oneof![
        4 => (1_u32..30).prop_map(|page| Element::EmptiedPage { page }),
        4 => (1_u32..20).prop_map(|write| Element::FailedAfter { write }),
        1 => (side(), 1_u32..20).prop_map(|(side, nth)| Element::Limited { side, nth }),
        2 => denied.prop_map(|(side, method, nth, forever)| Element::Denied { side, method, nth, forever }),
        3 => (side(), 1_u32..150, any::<bool>()).prop_map(|(side, call, after)| Element::Cut { side, call, after }),
        2 => (0_usize..3, 1_u32..3, 0_u32..6)
            .prop_map(|(collection, call, rows)| Element::Raced { collection, call, rows }),
        7 => (any_moment(), 0_usize..3, any_write())
            .prop_map(|(at, collection, write)| Element::OnSource { at, collection, write }),
        3 => (any_moment(), 0_usize..3, any_tampering())
            .prop_map(|(at, collection, write)| Element::OnTarget { at, collection, write }),
        1 => (1_u32..4).prop_map(|attempt| Element::CancelClean { attempt }),
    ]
}

fn any_moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        2 => (1_u32..4).prop_map(Moment::Start),
        3 => (1_u32..30).prop_map(Moment::Page),
        3 => (1_u32..20).prop_map(Moment::Write),
    ]
}

fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (0_usize..3, 1_u32..6).prop_map(|(partition, rows)| Write::Insert { partition, rows }),
        3 => (0_usize..3, 0_u32..50).prop_map(|(partition, row)| Write::Delete { partition, row }),
        3 => (0_usize..3, 0_u32..50).prop_map(|(partition, row)| Write::Update { partition, row }),
        2 => (0_u32..6).prop_map(|rows| Write::AddPartition { rows }),
        1 => (1_usize..3).prop_map(|partition| Write::DropPartition { partition }),
        1 => Just(Write::AddAlias),
    ]
}

fn any_tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        2 => (1_u32..6).prop_map(|rows| Tampering::Insert { rows }),
        2 => (0_usize..3, 0_u32..50).prop_map(|(partition, row)| Tampering::Delete { partition, row }),
        2 => (0_usize..3, 0_u32..50).prop_map(|(partition, row)| Tampering::Update { partition, row }),
        2 => (0_u32..6).prop_map(|rows| Tampering::AddPartition { rows }),
        2 => (0_u32..6).prop_map(|rows| Tampering::Replace { rows }),
        1 => Just(Tampering::Drop),
    ]
}
