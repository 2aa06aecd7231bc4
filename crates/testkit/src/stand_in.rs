//! A Milvus server that holds everything in memory and is as strict as a real one: a stand-in for the versions that no
//! package can be had of (2.4 to 3.0), and for 2.3, which shows that it answers as a real one does.
//!
//! It answers the calls that Vecferry makes, over gRPC on a loopback port of its own. It refuses what the proxy of the
//! chosen version refuses: columns of the wrong kind or length, masks and values that don't belong together, empty
//! arrays without their member, values out of bounds, keys that the server makes itself, function outputs, partitions
//! named where a key places the rows, messages over the limit. [`Options`] make its answers awkward in the ways that
//! real answers are. The same seed gives the same answers.
//!
//! A writing call that no real server was seen to take in its form ([`crate::seen`]) is an error to the client, and fails
//! the test when the stand-in is dropped.
//!
//! What it holds can be looked at without any call ([`StandIn::rows`]), so that a comparison shares nothing with what
//! is tested.
//!
//! It shows less than a server does: all writes are seen at once, there is one segment a partition, indexes are built
//! when they are made, and of the expression language it knows comparisons of the key and lists of keys.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what a match on a type or a member does not name is refused by its last arm, as servers do"
)]

pub mod access;
mod answer;
mod calls;
mod catalog;
mod expression;
mod gate;
pub mod generate;
mod incoming;
mod interfere;
pub mod museum;
mod permission;
mod rows;
mod server;
mod status;
mod validate;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;
use vecferry_milvus::proto::common::KeyValuePair;
use vecferry_milvus::proto::schema::{CollectionSchema, FieldSchema};

use calls::Service;
use catalog::{Catalog, Table};

pub use gate::{Gate, Stop};
pub use interfere::{Interference, Seen};
pub use value::{Key, Value};

/// The release that a stand-in behaves like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.3: one vector field; what it does not know of a schema it leaves out.
    V2_3,
    /// 2.4: no nulls, no functions.
    V2_4,
    /// 2.5: nullable scalars, default values, BM25.
    V2_5,
    /// 2.6: int8 vectors, geometry, timestamps with zone, arrays of structs; keys of one's own with auto id.
    V2_6,
    /// 3.0: texts, nullable vectors, nullable arrays of structs.
    V3_0,
}

impl Version {
    /// What `GetVersion` answers.
    pub fn text(self) -> &'static str {
        match self {
            Self::V2_4 => "v2.4.17",
            // As recorded; 2.3.5 was of a package that calls itself so.
            Self::V2_3 => "v2.3.5-lite",
            Self::V2_5 => "2.5.10",
            Self::V2_6 => "2.6.18",
            Self::V3_0 => "v3.0.0",
        }
    }
}

impl Version {
    /// The recorded releases whose evidence is good for this one: no others were recorded.
    fn recorded(self) -> &'static [&'static str] {
        match self {
            Self::V2_3 => &["2.3.5"],
            Self::V2_4 => &["2.3.5", "2.5.10"],
            Self::V2_5 => &["2.5.10"],
            Self::V2_6 | Self::V3_0 => &["2.6.18"],
        }
    }
}

/// What a server refuses of everybody before it carries it out, in the words of 2.5.10 and 2.6.18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    #[default]
    None,
    /// Writes and flushes: there were too many a moment ago.
    Rate,
    /// Writes and queries: the administrator said so.
    Denied,
}

/// Where the null mask of a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks {
    /// In the column itself; no other place is known to the server.
    Legacy,
    /// Beside the values, as servers after 3.0.0 write it. They read both.
    Nested,
    /// In both places.
    Both,
}

/// How a stand-in behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which rules hold.
    pub version: Version,
    /// What it calls itself, where that is not what its rules are: builds of vendors hold more than their number says.
    pub called: Option<&'static str>,
    /// All chance comes from this number.
    pub seed: u64,
    /// Columns come in another order with every answer.
    pub shuffled_columns: bool,
    /// A page of an iterator holds fewer rows than asked for; only the end is empty.
    pub short_pages: bool,
    /// An empty answer comes without any column.
    pub bare_empty_pages: bool,
    /// Where answers have their null masks.
    pub masks: Masks,
    /// Fields of a struct are called `struct[field]` in answers.
    pub qualified_struct_fields: bool,
    /// A larger answer to a query is an error (`maxOutputSize`).
    pub answer_bytes_max: usize,
    /// A larger request is an error of the transport (`serverMaxRecvSize`).
    pub request_bytes_max: usize,
    /// A collection is flushed once in this time, and refused otherwise; ten seconds by default since 2.5.
    pub flush_interval: Option<Duration>,
    /// Stored segments are sorted a while later, as from 2.5 on; a busy server does not get around to it.
    pub sorts: bool,
    /// Calls need a user (`root:Milvus`, or one of [`StandIn::access`]) and are carried out as far as this one may; without
    /// it everybody is as `root`. Only for 2.3, 2.5 and 2.6.
    pub authorization: bool,
    /// Writing calls are carried out also in forms that no real server was seen to take, for what replays refusals.
    pub any_form: bool,
}

impl Options {
    /// A server that makes no difficulties.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            called: None,
            seed: 0,
            shuffled_columns: false,
            short_pages: false,
            bare_empty_pages: false,
            masks: Masks::Legacy,
            qualified_struct_fields: false,
            answer_bytes_max: 100 << 20,
            request_bytes_max: 64 << 20,
            flush_interval: None,
            sorts: true,
            authorization: false,
            any_form: false,
        }
    }

    /// What `GetVersion` answers.
    fn text(&self) -> &'static str {
        self.called.unwrap_or(self.version.text())
    }

    /// A server that makes every difficulty at once.
    pub fn awkward(version: Version, seed: u64) -> Self {
        Self {
            seed,
            shuffled_columns: true,
            short_pages: true,
            bare_empty_pages: seed.is_multiple_of(2),
            masks: match seed % 3 {
                0 => Masks::Legacy,
                1 if version == Version::V3_0 => Masks::Nested,
                _ if version == Version::V3_0 => Masks::Both,
                _ => Masks::Legacy,
            },
            qualified_struct_fields: seed % 4 > 1,
            ..Self::new(version)
        }
    }
}

/// What all connections share.
struct Shared {
    options: Options,
    /// Tells this server from any other.
    identity: String,
    catalog: Mutex<Catalog>,
    access: Mutex<access::Access>,
    random: Mutex<StdRng>,
    gate: Gate,
    /// Writing calls that no real server was seen to take.
    harm: Mutex<Vec<String>>,
    interfere: Mutex<Option<interfere::Interfere>>,
    limit: Mutex<Limit>,
    /// Names of the writing calls that came.
    writes: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().expect("no call panics")
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().expect("no call panics")
    }
}

/// A running stand-in. It ends, and breaks every connection, when this is dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Rows by partition and key, all copies of a key in the order they came; a row is its values by field. The fields of a
/// struct are called `struct[field]`.
pub type RowsByKey = BTreeMap<(String, Key), Vec<BTreeMap<String, Value>>>;

/// All that defines a collection, but what the server numbers itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The whole schema as it was asked for.
    pub schema: CollectionSchema,
    /// Shards.
    pub shards: i32,
    /// Consistency level.
    pub consistency: i32,
    /// Properties.
    pub properties: BTreeMap<String, String>,
    /// Names of the partitions.
    pub partitions: BTreeSet<String>,
    /// Other names.
    pub aliases: BTreeSet<String>,
    /// Parameters of the indexes, by field and name.
    pub indexes: BTreeMap<(String, String), BTreeMap<String, String>>,
}

fn sorted(pairs: &[KeyValuePair]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

impl StandIn {
    /// Starts an empty server.
    pub fn start(options: Options) -> Self {
        Self::start_behind(options, Gate::new())
    }

    /// Starts an empty server whose calls pass a gate, which several servers may share.
    ///
    /// # Panics
    /// Users are asked for of a release whose answers to them are not known.
    pub fn start_behind(options: Options, gate: Gate) -> Self {
        assert!(
            !options.authorization || permission::is_known(options.version),
            "what {:?} answers users is not known",
            options.version
        );
        let random = StdRng::seed_from_u64(options.seed);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its number");
        let shared = Arc::new(Shared {
            identity: address.to_string(),
            catalog: Mutex::new(Catalog::new()),
            access: Mutex::default(),
            random: Mutex::new(random),
            options,
            gate,
            harm: Mutex::default(),
            interfere: Mutex::default(),
            limit: Mutex::default(),
            writes: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let service = Service::new(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("stand-in".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(server::run(listener, service, stopped));
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread.expect("a thread")) }
    }

    /// The address to give to a client.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a collection with its rows, without a call and without a check.
    pub fn add(&self, collection: &generate::Generated) {
        let mut collection = collection.clone();
        collection.properties =
            calls::with_own_properties(collection.properties, self.shared.options.version);
        self.shared.catalog().add(&collection);
    }

    /// Users, roles, grants and groups.
    ///
    /// # Panics
    /// A call panicked.
    pub fn access(&self) -> access::Access {
        self.shared.access.lock().expect("no call panics").clone()
    }

    /// Sets them.
    ///
    /// # Panics
    /// A call panicked.
    pub fn set_access(&self, access: access::Access) {
        *self.shared.access.lock().expect("no call panics") = access;
    }

    /// Has calls refused from now on.
    ///
    /// # Panics
    /// A call panicked.
    pub fn limit(&self, limit: Limit) {
        *self.shared.limit.lock().expect("no call panics") = limit;
    }

    /// Takes note of the writing calls that came in a form that no real server was seen to take, and forgets them. Whoever
    /// does not ask for them fails when the server is dropped.
    ///
    /// # Panics
    /// A call panicked.
    pub fn take_harm(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.harm.lock().expect("no call panics"))
    }

    /// Has a test decide what becomes of each call that passes the gate. It may look at this server and change it.
    ///
    /// # Panics
    /// What decided so far has panicked.
    pub fn interfere(&self, decide: impl FnMut(Seen<'_>) -> Interference + Send + 'static) {
        *self.shared.interfere.lock().expect("nobody panics with it") = Some(Box::new(decide));
    }

    /// Calls are answered as ever again. What decided so far is dropped when this returns.
    ///
    /// # Panics
    /// What decided so far has panicked.
    pub fn interfere_no_more(&self) {
        *self.shared.interfere.lock().expect("nobody panics with it") = None;
    }

    /// Names of the writing calls that came so far.
    ///
    /// # Panics
    /// A call panicked.
    pub fn writes(&self) -> BTreeSet<String> {
        self.shared.writes.lock().expect("no call panics").clone()
    }

    /// All names of a database: collections, then aliases.
    pub fn names(&self, db: &str) -> (Vec<String>, Vec<String>) {
        let catalog = self.shared.catalog();
        let Some(database) = catalog.databases.get(db) else { return (Vec::new(), Vec::new()) };
        let tables = database.tables.values();
        let aliases = tables.flat_map(|table| table.aliases.iter().cloned()).collect();
        (database.tables.keys().cloned().collect(), aliases)
    }

    /// All rows of a collection.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn rows(&self, db: &str, name: &str) -> RowsByKey {
        self.table(db, name, Table::rows_by_key)
    }

    /// Changes a value behind everybody's back.
    ///
    /// # Panics
    /// There is no such collection, partition or field.
    pub fn set(&self, collection: (&str, &str), row: (&str, &Key), field: &str, value: &Value) {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(collection.0, collection.1).expect("the collection is there");
        table.set(row.0, row.1, field, value);
    }

    /// Updates a row as an upsert does: the old one is deleted, and a new one comes.
    ///
    /// # Panics
    /// There is no such collection, partition or field.
    pub fn update(&self, collection: (&str, &str), row: (&str, &Key), field: &str, value: &Value) {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(collection.0, collection.1).expect("the collection is there");
        table.update(row.0, row.1, field, value);
    }

    /// Stores what came into a collection, as a flush does.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn seal(&self, db: &str, name: &str) {
        self.shared.catalog().seal(db, name).expect("the collection is there");
    }

    /// Merges the stored segments of each partition into one without the deleted rows.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn compact(&self, db: &str, name: &str) {
        self.shared.catalog().compact(db, name);
    }

    /// Takes a collection away behind everybody's back.
    ///
    /// # Panics
    /// There is no such database.
    pub fn remove(&self, db: &str, name: &str) {
        let mut catalog = self.shared.catalog();
        catalog.databases.get_mut(db).expect("the database is there").tables.remove(name);
    }

    /// Adds rows behind everybody's back, given as columns in the order of the fields.
    ///
    /// # Panics
    /// There is no such collection or partition.
    pub fn insert(&self, collection: (&str, &str), partition: &str, columns: Vec<Vec<Value>>) {
        self.change(collection, |table, sequence, _| {
            let at = table.place(partition);
            table.append(at, columns, sequence);
        });
    }

    /// Replaces rows behind everybody's back, as an upsert does.
    ///
    /// # Panics
    /// There is no such collection or partition.
    pub fn upsert(&self, collection: (&str, &str), partition: &str, columns: Vec<Vec<Value>>) {
        self.change(collection, |table, sequence, _| {
            let keys = columns[table.key_column()].iter().filter_map(Value::key).collect();
            let at = table.place(partition);
            table.remove(at, &keys);
            table.append(at, columns, sequence);
        });
    }

    /// Removes rows behind everybody's back. Segments count them still, as on a real server before a compaction.
    ///
    /// # Panics
    /// There is no such collection or partition.
    pub fn delete(&self, collection: (&str, &str), partition: &str, keys: &BTreeSet<Key>) {
        self.change(collection, |table, _, _| table.remove(table.place(partition), keys));
    }

    /// Makes a partition behind everybody's back, loaded if all others are.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn add_partition(&self, collection: (&str, &str), partition: &str) {
        self.change(collection, |table, _, id| table.add_partition(partition, id));
    }

    /// Takes a partition away behind everybody's back.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn drop_partition(&self, collection: (&str, &str), partition: &str) {
        self.change(collection, |table, _, _| table.partitions.retain(|known| known.name != partition));
    }

    /// Gives a collection another name behind everybody's back.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn add_alias(&self, collection: (&str, &str), alias: &str) {
        self.change(collection, |table, _, _| {
            table.aliases.insert(alias.to_owned());
        });
    }

    /// Adds a nullable field to a collection; rows that are there have no value in it.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn add_field(&self, collection: (&str, &str), field: FieldSchema) {
        self.change(collection, |table, _, _| table.add_field(field));
    }

    /// Sorts what was stored, as a server does a while later.
    pub fn sort(&self, db: &str, name: &str) {
        for _ in 0..2 {
            // Of a collection that is not there, the next call says so.
            let _ = self.shared.catalog().sort(db, name);
        }
    }

    /// Gives an alias to another collection of its database.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn move_alias(&self, collection: (&str, &str), alias: &str) {
        for table in
            self.shared.catalog().databases.entry(collection.0.to_owned()).or_default().tables.values_mut()
        {
            table.aliases.remove(alias);
        }
        self.add_alias(collection, alias);
    }

    /// Counts rows twice for a while, as a 2.3.5 does that hands them over from its log to a segment.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn count_twice(&self, collection: (&str, &str), times: u32, rows: usize) {
        self.change(collection, |table, _, _| table.counted_twice = (times, rows));
    }

    /// Begins a load that somebody else asked for and that does not end, or ends it.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn set_loading(&self, collection: (&str, &str), loading: bool) {
        self.change(collection, |table, _, _| table.loading = loading);
    }

    /// The number of a collection; none where there is none.
    pub fn collection_id(&self, db: &str, name: &str) -> Option<i64> {
        self.shared.catalog().table(db, name).ok().map(|table| table.id)
    }

    /// A change with a timestamp and a number that nothing else has.
    fn change(&self, collection: (&str, &str), change: impl FnOnce(&mut Table, u64, i64)) {
        let mut catalog = self.shared.catalog();
        let (now, number) = (catalog.now(), catalog.number());
        let table = catalog.table_mut(collection.0, collection.1).expect("the collection is there");
        change(table, now, number);
    }

    /// Whether any partition of a collection is loaded.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn is_loaded(&self, db: &str, name: &str) -> bool {
        self.table(db, name, |table| table.partitions.iter().any(|partition| partition.loaded))
    }

    /// A property of a collection; none if it has no such property.
    pub fn property(&self, db: &str, name: &str, key: &str) -> Option<String> {
        let catalog = self.shared.catalog();
        let table = catalog.table(db, name).ok()?;
        table.properties.iter().find(|property| property.key == key).map(|property| property.value.clone())
    }

    /// Whether a field of a collection takes nulls.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn is_nullable(&self, db: &str, name: &str, field: &str) -> bool {
        self.table(db, name, |table| table.fields.iter().any(|known| known.name == field && known.nullable))
    }

    /// Names of the partitions of a collection.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn partitions(&self, db: &str, name: &str) -> Vec<String> {
        self.table(db, name, |table| table.partitions.iter().map(|part| part.name.clone()).collect())
    }

    /// Sets the properties of a database, which is made if it is not there.
    pub fn set_database_properties(&self, db: &str, properties: &[KeyValuePair]) {
        let mut catalog = self.shared.catalog();
        catalog.databases.entry(db.to_owned()).or_default().properties = properties.to_vec();
    }

    /// The properties of a database; none if it is not there.
    pub fn database_properties(&self, db: &str) -> BTreeMap<String, String> {
        let catalog = self.shared.catalog();
        let properties = catalog.databases.get(db).map(|database| sorted(&database.properties));
        properties.unwrap_or_default()
    }

    /// All that defines a collection.
    ///
    /// # Panics
    /// There is no such collection.
    pub fn definition(&self, db: &str, name: &str) -> Definition {
        self.table(db, name, |table| Definition {
            schema: table.schema.clone(),
            shards: table.shards,
            consistency: table.consistency,
            properties: sorted(&table.properties),
            partitions: table.partitions.iter().map(|partition| partition.name.clone()).collect(),
            aliases: table.aliases.clone(),
            indexes: table
                .indexes
                .iter()
                .map(|index| ((index.field.clone(), index.name.clone()), sorted(&index.params)))
                .collect(),
        })
    }

    fn table<Answer>(&self, db: &str, name: &str, look: impl FnOnce(&Table) -> Answer) -> Answer {
        let catalog = self.shared.catalog();
        look(catalog.table(db, name).expect("the collection is there"))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // A server whose thread panicked has nothing left to stop.
        drop(self.stop.take());
        let thread = self.thread.take();
        // What interferes may have held the last reference: then its own thread is not waited for.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
        let harm = self.take_harm();
        assert!(harm.is_empty() || std::thread::panicking(), "harm was done to a server: {harm:#?}");
    }
}
