//! The calls Vecferry makes, each with its answer checked.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::collection::{Collection, CollectionName, Index, LoadState, NewCollection, QuerySegment, Segment};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::finding::{Finding, Part};
use crate::proto::common::{self, KeyValuePair, Status};
use crate::proto::milvus as pb;
use crate::proto::schema::scalar_field::Data;
use crate::proto::schema::{self as schema_pb, ScalarField};
use crate::query::{PICKED_ROWS_MAX, Query, RowSelection};
use crate::schema::Schema;
use crate::transport::{Slices, Transport};
use crate::version::{Flavor, ServerVersion};
use crate::wire::insert::Rows;
use crate::wire::scan::fields;
use crate::wire::{WireError, page, pick};

/// Calls about schemas, partitions, indexes and loads.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);
/// The first calls: a person waits for the answer.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Reads and writes of a page on a server that is busy building indexes.
const DATA_TIMEOUT: Duration = Duration::from_secs(300);
/// How a server begins that is asked for the state of a load that failed (2.3.5), before it says why it did.
const FAILED_LOADS: [&str; 2] = ["show collection failed", "show partition failed"];
/// Database that exists on every server.
pub const DB_DEFAULT: &str = "default";

/// What a write does with a key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Adds the row; a second row of the same key is not noticed.
    Insert,
    /// Replaces every row of the key.
    Upsert,
}

/// What to ask about to learn that a flush has ended.
#[derive(Clone, Debug)]
pub struct FlushHandle {
    collection: CollectionName,
    segments: Vec<i64>,
    timestamp: u64,
}

impl FlushHandle {
    /// The segments that the flush sealed, or that an earlier one sealed and that are not stored yet.
    pub fn segments(&self) -> &[i64] {
        &self.segments
    }
}

/// What a server says that tells it from any other server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity(pub String);

/// A server, through several connections.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    version: ServerVersion,
}

/// An answer with a status inside, which decides whether the call succeeded.
pub(crate) trait Answer: Message + Default {
    fn status(&self) -> Option<&Status>;
}

macro_rules! answers {
    ($($name:ident)*) => { $(
        impl Answer for pb::$name {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        }
    )* };
}

answers! {
    AllocTimestampResponse DescribeDatabaseResponse DescribeIndexResponse FlushResponse GetCollectionStatisticsResponse
    GetFlushStateResponse GetLoadStateResponse GetLoadingProgressResponse GetMetricsResponse GetPersistentSegmentInfoResponse
    GetQuerySegmentInfoResponse GetReplicasResponse GetVersionResponse ListAliasesResponse ListCredUsersResponse ListDatabasesResponse
    ListPrivilegeGroupsResponse ListResourceGroupsResponse MutationResult QueryResults SelectGrantResponse
    SelectRoleResponse SelectUserResponse ShowCollectionsResponse ShowPartitionsResponse
}

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

/// `None` where the server does not have a call. That this user may not make it is a failure: what is hidden is not
/// absent.
pub(crate) fn if_offered<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` also where this user may not make the call. Only for what a person is told and nothing is decided by.
pub(crate) fn if_told<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match if_offered(result) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
        told => told,
    }
}

impl Client {
    /// Opens a connection, checks the credentials and asks for the version.
    pub async fn connect(endpoint: Endpoint, connections: usize) -> Result<Self, Error> {
        let transport = Transport::new(endpoint, connections)?;
        let mut client = Self { transport, version: ServerVersion::without_version_call() };
        let request = pb::GetVersionRequest {};
        match client.ask::<pb::GetVersionResponse>("GetVersion", "", &request, HELLO_TIMEOUT).await {
            Ok(answer) => client.version = ServerVersion::from_text(&answer.version),
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
        // Some servers answer the version to anybody; this call needs a valid credential. Who may not make it was let in.
        match client.databases().await {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
            Ok(_) | Err(_) => Ok(client),
        }
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// What the server is.
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    /// A call whose answer is checked: no other way leads from here to a server.
    async fn ask<A: Answer>(
        &self,
        call: &'static str,
        db: &str,
        request: &impl Message,
        timeout: Duration,
    ) -> Result<A, Error> {
        let answer: A = self.transport.call(call, db, request, timeout).await?;
        Error::check(call, answer.status())?;
        Ok(answer)
    }

    pub(crate) async fn control<A: Answer>(
        &self,
        call: &'static str,
        db: &str,
        request: &impl Message,
    ) -> Result<A, Error> {
        self.ask(call, db, request, CONTROL_TIMEOUT).await
    }

    /// A call whose whole answer is a status.
    pub(crate) async fn command(
        &self,
        call: &'static str,
        db: &str,
        request: &impl Message,
    ) -> Result<(), Error> {
        self.control::<Status>(call, db, request).await.map(drop)
    }

    /// Names of the databases; servers without databases have one, `default`. Servers since 2.4 name only those that this
    /// user sees, perhaps none: [`Client::sight`] tells whether these are all.
    pub async fn databases(&self) -> Result<Vec<String>, Error> {
        let request = pb::ListDatabasesRequest {};
        let answer =
            self.ask::<pb::ListDatabasesResponse>("ListDatabases", "", &request, HELLO_TIMEOUT).await;
        let names = if_offered(answer)?.map(|answer| answer.db_names);
        let may_be_empty = self.version.flavor == Flavor::Milvus;
        Ok(names
            .filter(|names| may_be_empty || !names.is_empty())
            .unwrap_or_else(|| vec![DB_DEFAULT.to_owned()]))
    }

    /// Whether the server carries out calls without any credentials: then nobody is denied anything.
    pub(crate) async fn asks_nobody(&self) -> Result<bool, Error> {
        if !self.endpoint().has_token() {
            return Ok(true);
        }
        let stranger = Self {
            transport: Transport::new(self.endpoint().clone().with_token(None), 1)?,
            version: self.version.clone(),
        };
        let request = pb::ListDatabasesRequest {};
        match stranger.ask::<pb::ListDatabasesResponse>("ListDatabases", "", &request, HELLO_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind().is_transient() => Err(error),
            // However a server words it: it does not let everybody in.
            Err(_) => Ok(false),
        }
    }

    /// Makes a database.
    pub async fn create_database(&self, db: &str, properties: Vec<KeyValuePair>) -> Result<(), Error> {
        let request = pb::CreateDatabaseRequest { db_name: db.to_owned(), properties };
        self.command("CreateDatabase", "", &request).await
    }

    /// Removes an empty database.
    pub async fn drop_database(&self, db: &str) -> Result<(), Error> {
        self.command("DropDatabase", "", &pb::DropDatabaseRequest { db_name: db.to_owned() }).await
    }

    /// Properties of a database; none where the server has no such call (before 2.4).
    pub async fn database_properties(&self, db: &str) -> Result<Vec<KeyValuePair>, Error> {
        let request = pb::DescribeDatabaseRequest { db_name: db.to_owned() };
        let answer = self.control::<pb::DescribeDatabaseResponse>("DescribeDatabase", db, &request).await;
        let answer = answer.map_err(|error| error.about(format_args!("{db}.*")));
        Ok(if_offered(answer)?.map(|answer| answer.properties).unwrap_or_default())
    }

    /// Names of a database's collections that this user sees, sorted.
    pub async fn collections(&self, db: &str) -> Result<Vec<String>, Error> {
        let request = pb::ShowCollectionsRequest { db_name: db.to_owned() };
        let answer = self.control::<pb::ShowCollectionsResponse>("ShowCollections", db, &request).await;
        let answer = answer.map_err(|error| error.about(format_args!("{db}.*")))?;
        let mut names = answer.collection_names;
        names.sort_unstable();
        Ok(names)
    }

    /// Describes a collection; [`ErrorKind::CollectionNotFound`] if there is none.
    pub async fn describe(&self, name: &CollectionName) -> Result<Collection, Error> {
        const CALL: &str = "DescribeCollection";
        let request = pb::DescribeCollectionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            ..Default::default()
        };
        let request = Slices::from(Bytes::from(request.encode_to_vec()));
        let raw = self.transport.call_bytes(CALL, &name.db, request, CONTROL_TIMEOUT).await?;
        let answer = pb::DescribeCollectionResponse::decode(raw.clone())
            .map_err(|error| Error::malformed(CALL, Finding::NotDecoded).with_source(error))?;
        Error::check(CALL, answer.status.as_ref())?;
        let broken = |error: WireError| Error::malformed(CALL, error);
        let schema = fields(&raw)
            .find_map(|field| field.ok().filter(|field| field.number == 2))
            .ok_or_else(|| Error::malformed(CALL, Finding::Lacks(Part::Schema)))?;
        // A copy, because the schema outlives the answer's buffer.
        let schema = Schema::read(Bytes::copy_from_slice(schema.bytes().map_err(broken)?)).map_err(broken)?;
        // Asked for by an alias, 2.3.5 repeats the alias as `collection_name`; the schema has the real name.
        let real_name = [&schema.decoded().name, &answer.collection_name, &name.name]
            .into_iter()
            .find(|name| !name.is_empty())
            .cloned()
            .unwrap_or_default();
        Ok(Collection {
            name: CollectionName::new(&name.db, real_name),
            id: answer.collection_id,
            created_timestamp: answer.created_timestamp,
            shards: answer.shards_num,
            consistency: answer.consistency_level,
            aliases: answer.aliases,
            properties: all_properties(answer.properties, &schema.decoded().properties),
            num_partitions: answer.num_partitions,
            schema,
        })
    }

    /// Makes a collection.
    pub async fn create_collection(&self, new: &NewCollection) -> Result<(), Error> {
        let request = pb::CreateCollectionRequest {
            db_name: new.name.db.clone(),
            collection_name: new.name.name.clone(),
            schema: new.schema.clone(),
            shards_num: new.shards,
            consistency_level: new.consistency,
            properties: new.properties.clone(),
            num_partitions: new.num_partitions,
        };
        self.command("CreateCollection", &new.name.db, &request).await
    }

    /// Removes a collection.
    pub async fn drop_collection(&self, name: &CollectionName) -> Result<(), Error> {
        let request =
            pb::DropCollectionRequest { db_name: name.db.clone(), collection_name: name.name.clone() };
        self.command("DropCollection", &name.db, &request).await
    }

    /// Gives a collection another name in its database. Refused where a collection or an alias has that name already;
    /// aliases follow.
    pub async fn rename_collection(&self, name: &CollectionName, new_name: &str) -> Result<(), Error> {
        let request = pb::RenameCollectionRequest {
            db_name: name.db.clone(),
            old_name: name.name.clone(),
            new_name: new_name.to_owned(),
            new_db_name: name.db.clone(),
        };
        self.command("RenameCollection", &name.db, &request).await
    }

    /// Sets properties of a collection.
    pub async fn alter_collection(
        &self,
        name: &CollectionName,
        properties: Vec<KeyValuePair>,
    ) -> Result<(), Error> {
        let request = pb::AlterCollectionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            properties,
            ..pb::AlterCollectionRequest::default()
        };
        self.command("AlterCollection", &name.db, &request).await
    }

    /// Takes a property away from a collection.
    pub async fn drop_property(&self, name: &CollectionName, key: &str) -> Result<(), Error> {
        let request = pb::AlterCollectionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            delete_keys: vec![key.to_owned()],
            ..pb::AlterCollectionRequest::default()
        };
        self.command("AlterCollection", &name.db, &request).await
    }

    /// Names and numbers of the partitions, by name; empty where the product has no partitions. Everywhere else a collection
    /// has at least one, and an answer without any is none.
    pub async fn partitions(&self, name: &CollectionName) -> Result<Vec<(String, i64)>, Error> {
        let request =
            pb::ShowPartitionsRequest { db_name: name.db.clone(), collection_name: name.name.clone() };
        let answer =
            match self.control::<pb::ShowPartitionsResponse>("ShowPartitions", &name.db, &request).await {
                Err(error)
                    if error.kind() == ErrorKind::Unsupported
                        && self.version.flavor == Flavor::LiteNative =>
                {
                    return Ok(Vec::new());
                }
                answer => answer.map_err(|error| error.about(name))?,
            };
        if answer.partition_names.is_empty() && self.version.flavor != Flavor::LiteNative {
            let (part, collection) = (Part::Partitions, name.to_string());
            return Err(Error::malformed("ShowPartitions", Finding::LacksOf { part, collection }));
        }
        let ids = answer.partition_i_ds.into_iter().chain(std::iter::repeat(0));
        let mut partitions: Vec<_> = answer.partition_names.into_iter().zip(ids).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Makes a partition.
    pub async fn create_partition(&self, name: &CollectionName, partition: &str) -> Result<(), Error> {
        let request = pb::CreatePartitionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_name: partition.to_owned(),
        };
        self.command("CreatePartition", &name.db, &request).await
    }

    /// Removes a partition with its rows; one that is not there is none any more. It must not be loaded.
    pub async fn drop_partition(&self, name: &CollectionName, partition: &str) -> Result<(), Error> {
        let request = pb::DropPartitionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_name: partition.to_owned(),
        };
        match self.command("DropPartition", &name.db, &request).await {
            Err(error) if error.kind() == ErrorKind::PartitionNotFound => Ok(()),
            answer => answer,
        }
    }

    /// Gives a collection another name.
    pub async fn create_alias(&self, name: &CollectionName, alias: &str) -> Result<(), Error> {
        let request = pb::CreateAliasRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            alias: alias.to_owned(),
        };
        self.command("CreateAlias", &name.db, &request).await
    }

    /// Takes a name away that is not a collection's own. That it was not there is no failure.
    pub async fn drop_alias(&self, db: &str, alias: &str) -> Result<(), Error> {
        let request = pb::DropAliasRequest { db_name: db.to_owned(), alias: alias.to_owned() };
        match self.command("DropAlias", db, &request).await {
            Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(()),
            answer => answer,
        }
    }

    /// Other names of a collection. `DescribeCollection` and `ListAliases` are both asked, because servers exist on
    /// which one of them keeps silent.
    pub async fn aliases(&self, collection: &Collection) -> Result<Vec<String>, Error> {
        let name = &collection.name;
        let request = pb::ListAliasesRequest { db_name: name.db.clone(), collection_name: name.name.clone() };
        let answer = self.control::<pb::ListAliasesResponse>("ListAliases", &name.db, &request).await;
        let answer = answer.map_err(|error| error.about(name));
        // A description of 2.6.18 tells of aliases that were dropped a while ago, so it counts only where there is no list.
        let listed = if_offered(answer)?.map(|answer| answer.aliases);
        let mut aliases = listed.unwrap_or_else(|| collection.aliases.clone());
        aliases.sort_unstable();
        aliases.dedup();
        Ok(aliases)
    }

    /// The indexes of a collection.
    pub async fn indexes(&self, name: &CollectionName) -> Result<Vec<Index>, Error> {
        let request = pb::DescribeIndexRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            ..Default::default()
        };
        let answer =
            match self.control::<pb::DescribeIndexResponse>("DescribeIndex", &name.db, &request).await {
                // A collection without any index is an error to the servers.
                Err(error) if error.kind() == ErrorKind::IndexNotFound => return Ok(Vec::new()),
                answer => answer.map_err(|error| error.about(name))?,
            };
        let mut indexes: Vec<_> = answer.index_descriptions.into_iter().map(Index::from).collect();
        indexes.sort_by(|a, b| (&a.field, &a.name).cmp(&(&b.field, &b.name)));
        Ok(indexes)
    }

    /// Starts the build of an index.
    pub async fn create_index(
        &self,
        name: &CollectionName,
        field: &str,
        index_name: &str,
        params: Vec<KeyValuePair>,
    ) -> Result<(), Error> {
        let request = pb::CreateIndexRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            field_name: field.to_owned(),
            extra_params: params,
            index_name: index_name.to_owned(),
        };
        self.command("CreateIndex", &name.db, &request).await
    }

    /// Takes an index away, by its name; one that is not there is none any more. The collection must not be loaded.
    pub async fn drop_index(
        &self,
        name: &CollectionName,
        field: &str,
        index_name: &str,
    ) -> Result<(), Error> {
        let request = pb::DropIndexRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            field_name: field.to_owned(),
            index_name: index_name.to_owned(),
        };
        match self.command("DropIndex", &name.db, &request).await {
            Err(error) if error.kind() == ErrorKind::IndexNotFound => Ok(()),
            answer => answer,
        }
    }

    /// Whether a collection, or one of its partitions, answers queries.
    pub async fn load_state(
        &self,
        name: &CollectionName,
        partition: Option<&str>,
    ) -> Result<LoadState, Error> {
        let request = pb::GetLoadStateRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_names: partition.map(str::to_owned).into_iter().collect(),
        };
        let answer = match self.control::<pb::GetLoadStateResponse>("GetLoadState", &name.db, &request).await
        {
            Err(error) if error.kind() == ErrorKind::NotLoaded => return Ok(LoadState::NotLoaded),
            // After a load that failed, 2.3.5 answers why it did until another load succeeds: "collection not found" or "segment
            // released" of collections that were there, after their server was killed.
            Err(error) if FAILED_LOADS.iter().any(|begin| error.message().contains(begin)) => {
                self.describe(name).await?;
                return Ok(LoadState::NotLoaded);
            }
            answer => answer.map_err(|error| error.about(name))?,
        };
        Ok(match answer.state() {
            common::LoadState::NotExist | common::LoadState::NotLoad => LoadState::NotLoaded,
            common::LoadState::Loading => LoadState::Loading,
            common::LoadState::Loaded => LoadState::Loaded,
        })
    }

    /// How much of a collection, or of the least loaded of some partitions, is in memory, in percent; `None` where the server
    /// has no such call. That all of it is there does not mean that it answers.
    pub async fn loading_progress(
        &self,
        name: &CollectionName,
        partitions: &[String],
    ) -> Result<Option<u8>, Error> {
        let request = pb::GetLoadingProgressRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_names: partitions.to_vec(),
        };
        let answer = self.control::<pb::GetLoadingProgressResponse>("GetLoadingProgress", &name.db, &request);
        let answer = answer.await.map_err(|error| error.about(name));
        let percent = |answer: pb::GetLoadingProgressResponse| answer.progress.clamp(0, 100);
        Ok(if_offered(answer)?.map(percent).and_then(|percent| u8::try_from(percent).ok()))
    }

    /// Starts to load a collection.
    pub async fn load_collection(&self, name: &CollectionName, replicas: i32) -> Result<(), Error> {
        let request = pb::LoadCollectionRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            replica_number: replicas,
            ..Default::default()
        };
        self.command("LoadCollection", &name.db, &request).await
    }

    /// Starts to load some partitions; 0 replicas leaves their number to the server, which knows it where others are
    /// loaded.
    pub async fn load_partitions(
        &self,
        name: &CollectionName,
        partitions: &[String],
        replicas: i32,
    ) -> Result<(), Error> {
        let request = pb::LoadPartitionsRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_names: partitions.to_vec(),
            replica_number: replicas,
            ..Default::default()
        };
        self.command("LoadPartitions", &name.db, &request).await
    }

    /// The resource group of each replica of a loaded collection; `None` where the server has no such call (lite) or
    /// the role may not make it.
    pub async fn replicas(&self, collection: &Collection) -> Result<Option<Vec<String>>, Error> {
        let name = &collection.name;
        let request = pb::GetReplicasRequest {
            // Servers up to 2.2 know only the number.
            collection_id: collection.id,
            collection_name: name.name.clone(),
            db_name: name.db.clone(),
            with_shard_nodes: false,
        };
        let answer = self.control::<pb::GetReplicasResponse>("GetReplicas", &name.db, &request).await;
        let group = |replica: pb::ReplicaInfo| replica.resource_group_name;
        Ok(if_told(answer)?.map(|answer| answer.replicas.into_iter().map(group).collect()))
    }

    /// Takes a collection out of memory.
    pub async fn release_collection(&self, name: &CollectionName) -> Result<(), Error> {
        let request =
            pb::ReleaseCollectionRequest { db_name: name.db.clone(), collection_name: name.name.clone() };
        self.command("ReleaseCollection", &name.db, &request).await
    }

    /// Takes some partitions out of memory.
    pub async fn release_partitions(
        &self,
        name: &CollectionName,
        partitions: &[String],
    ) -> Result<(), Error> {
        let request = pb::ReleasePartitionsRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_names: partitions.to_vec(),
        };
        self.command("ReleasePartitions", &name.db, &request).await
    }

    /// The stored segments; `None` where the server has no such call (lite).
    pub async fn stored_segments(&self, name: &CollectionName) -> Result<Option<Vec<Segment>>, Error> {
        if_offered(self.list_stored_segments(name).await)
    }

    /// The stored segments, or why they are not told.
    pub async fn list_stored_segments(&self, name: &CollectionName) -> Result<Vec<Segment>, Error> {
        const CALL: &str = "GetPersistentSegmentInfo";
        let request = pb::GetPersistentSegmentInfoRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
        };
        let answer: pb::GetPersistentSegmentInfoResponse =
            self.control(CALL, &name.db, &request).await.map_err(|error| error.about(name))?;
        let segment = |info: pb::PersistentSegmentInfo| Segment {
            id: info.segment_id,
            partition_id: info.partition_id,
            rows: info.num_rows,
            holds_deletes: info.level() == common::SegmentLevel::L0,
            is_sorted: info.is_sorted,
        };
        Ok(answer.infos.into_iter().map(segment).collect())
    }

    /// The loaded segments; `None` where the server has no such call (lite).
    pub async fn loaded_segments(&self, name: &CollectionName) -> Result<Option<Vec<QuerySegment>>, Error> {
        const CALL: &str = "GetQuerySegmentInfo";
        let request =
            pb::GetQuerySegmentInfoRequest { db_name: name.db.clone(), collection_name: name.name.clone() };
        let answer = self.control::<pb::GetQuerySegmentInfoResponse>(CALL, &name.db, &request).await;
        let answer = answer.map_err(|error| error.about(name));
        let segment = |info: pb::QuerySegmentInfo| QuerySegment {
            id: info.segment_id,
            partition_id: info.partition_id,
            rows: info.num_rows,
            memory_bytes: info.mem_size,
        };
        Ok(if_offered(answer)?.map(|answer| answer.infos.into_iter().map(segment).collect()))
    }

    /// Seals what was written into some collections of one database; [`Client::is_flushed`] tells when it is stored.
    pub async fn flush(&self, db: &str, names: &[String]) -> Result<Vec<FlushHandle>, Error> {
        let request = pb::FlushRequest { db_name: db.to_owned(), collection_names: names.to_vec() };
        let answer: pb::FlushResponse = self.ask("Flush", db, &request, DATA_TIMEOUT).await?;
        let handle = |name: &String| FlushHandle {
            collection: CollectionName::new(db, name),
            segments: answer.coll_seg_i_ds.get(name).map(|ids| ids.data.clone()).unwrap_or_default(),
            timestamp: answer.coll_flush_ts.get(name).copied().unwrap_or_default(),
        };
        Ok(names.iter().map(handle).collect())
    }

    /// Whether a flush has ended; servers without the call flush before they answer.
    pub async fn is_flushed(&self, handle: &FlushHandle) -> Result<bool, Error> {
        Ok(if_offered(self.flush_state(handle).await)?.unwrap_or(true))
    }

    /// Whether a flush has ended, or why this is not told.
    pub async fn flush_state(&self, handle: &FlushHandle) -> Result<bool, Error> {
        let request = pb::GetFlushStateRequest {
            segment_i_ds: handle.segments.clone(),
            flush_ts: handle.timestamp,
            db_name: handle.collection.db.clone(),
            collection_name: handle.collection.name.clone(),
        };
        let db = &handle.collection.db;
        let answer: pb::GetFlushStateResponse = self.control("GetFlushState", db, &request).await?;
        Ok(answer.flushed)
    }

    /// Rows of the stored segments by the server's statistics: cheap, without a load, but only an estimate.
    ///
    /// # Errors
    /// Also where the answer holds no number: what is unknown is not 0.
    pub async fn row_estimate(&self, name: &CollectionName) -> Result<u64, Error> {
        const CALL: &str = "GetCollectionStatistics";
        let request = pb::GetCollectionStatisticsRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
        };
        let answer = self.control::<pb::GetCollectionStatisticsResponse>(CALL, &name.db, &request).await;
        let answer = answer.map_err(|error| error.about(name))?;
        crate::schema::parameter(&answer.stats, "row_count").and_then(|rows| rows.parse().ok()).ok_or_else(
            || {
                let (part, collection) = (Part::RowCount, name.to_string());
                Error::malformed(CALL, Finding::LacksOf { part, collection })
            },
        )
    }

    /// Reads one page of rows in key order, as the bytes of the answer (for [`crate::wire::Page::read`]).
    pub async fn query(&self, query: &Query<'_>) -> Result<Bytes, Error> {
        match &query.selection {
            RowSelection::Everything | RowSelection::Where(_) => {
                self.send_query(query, query.request()).await
            }
            RowSelection::Picked { key_field, picked } => {
                // On the heap: hardly any query is one of these.
                let answer = Box::pin(self.all_rows(query, key_field)).await?;
                let answer = pick::pick(answer, key_field, picked, query.rows_max);
                let answer = answer.map_err(|error| Error::malformed("Query", error))?;
                Ok(Bytes::from(answer.encode_to_vec()))
            }
        }
    }

    /// All rows of what a query is about. Nothing but their number tells whether a server that is loading left some out.
    async fn all_rows(&self, query: &Query<'_>, key_field: &str) -> Result<pb::QueryResults, Error> {
        const CALL: &str = "Query";
        let all = Query { selection: RowSelection::Everything, ..query.clone() };
        let counted = self.count(&all).await?;
        if counted > u64::from(PICKED_ROWS_MAX) {
            let finding = Finding::NotSelectable { field: key_field.to_owned(), rows: counted };
            return Err(Error::own(ErrorKind::Rejected, CALL, finding));
        }
        let all = Query { rows_max: Some(PICKED_ROWS_MAX), ..all };
        let mut request = all.request();
        // An iterator's pages may be short, and are behind each other by an expression.
        request
            .query_params
            .retain(|pair| !["iterator", "reduce_stop_for_best"].contains(&pair.key.as_str()));
        let answer = self.send_query(&all, request).await?;
        let answer = pb::QueryResults::decode(answer);
        let answer = answer.map_err(|error| Error::malformed(CALL, error))?;
        let rows = pick::rows(&answer, key_field);
        let rows = rows.map_err(|error| Error::malformed(CALL, error))?;
        if rows as u64 == counted {
            return Ok(answer);
        }
        let finding = Finding::FewerRows { returned: rows as u64, counted };
        Err(Error::own(ErrorKind::NotLoaded, CALL, finding))
    }

    async fn send_query(&self, query: &Query<'_>, request: pb::QueryRequest) -> Result<Bytes, Error> {
        const CALL: &str = "Query";
        let message = Slices::from(Bytes::from(request.encode_to_vec()));
        let answer = self.transport.call_bytes(CALL, &query.collection.db, message, DATA_TIMEOUT).await;
        let answer = answer.map_err(|error| error.about(query.collection))?;
        let status = page::status(&answer).map_err(|error| Error::malformed(CALL, error))?;
        Error::check(CALL, Some(&status))?;
        Ok(answer)
    }

    /// Counts the rows that a query selects, every copy of a duplicate key among them.
    pub async fn count(&self, query: &Query<'_>) -> Result<u64, Error> {
        self.count_with(query, None).await
    }

    /// The same without rows of segments that still take rows. What was inserted since the last flush, and not deleted,
    /// is in the difference; on 2.5.10 for a while also what was flushed (seen on 2.3.5 and 2.5.10).
    pub async fn count_sealed(&self, query: &Query<'_>) -> Result<u64, Error> {
        let ignored = KeyValuePair { key: "ignore_growing".to_owned(), value: "true".to_owned() };
        self.count_with(query, Some(ignored)).await
    }

    async fn count_with(&self, query: &Query<'_>, parameter: Option<KeyValuePair>) -> Result<u64, Error> {
        if let RowSelection::Picked { key_field, picked } = &query.selection {
            let columns = [key_field.clone()];
            let answer =
                Box::pin(self.all_rows(&Query { columns: &columns, ..query.clone() }, key_field)).await?;
            let rows =
                pick::pick(answer, key_field, picked, None).and_then(|answer| pick::rows(&answer, key_field));
            return rows.map(|rows| rows as u64).map_err(|error| Error::malformed("Query", error));
        }
        let columns = ["count(*)".to_owned()];
        let request = Query { columns: &columns, rows_max: None, ..query.clone() }.request();
        let request = pb::QueryRequest {
            // An iterator over a count is refused by newer servers.
            query_params: request
                .query_params
                .into_iter()
                .filter(|pair| pair.key != "iterator")
                .chain(parameter)
                .collect(),
            ..request
        };
        let answer =
            self.ask::<pb::QueryResults>("Query", &query.collection.db, &request, DATA_TIMEOUT).await;
        let answer = answer.map_err(|error| error.about(query.collection))?;
        let count = answer.fields_data.first().and_then(|column| match &column.field {
            Some(schema_pb::field_data::Field::Scalars(ScalarField {
                data: Some(Data::LongData(longs)),
            })) => longs.data.first().copied(),
            _ => None,
        });
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Error::malformed("Query", Finding::Lacks(Part::Count)))
    }

    /// Writes rows; the answer must acknowledge every one of them.
    pub async fn write(
        &self,
        name: &CollectionName,
        partition: Option<&str>,
        rows: &Rows,
        mode: WriteMode,
    ) -> Result<(), Error> {
        let call = match mode {
            WriteMode::Insert => "Insert",
            WriteMode::Upsert => "Upsert",
        };
        let message = rows.message(&name.db, &name.name, partition.unwrap_or_default());
        let answer = self.transport.call_bytes(call, &name.db, message, DATA_TIMEOUT).await?;
        let acknowledgement = acknowledgement(&answer).map_err(|error| Error::malformed(call, error))?;
        Error::check(call, acknowledgement.status.as_ref())?;
        let written = match mode {
            WriteMode::Insert => acknowledgement.inserted,
            WriteMode::Upsert => acknowledgement.upserted,
        };
        if written == rows.count as u64 {
            return Ok(());
        }
        let finding = Finding::NotAcknowledged { acknowledged: written, sent: rows.count as u64 };
        Err(Error::malformed(call, finding))
    }

    /// Removes the rows that an expression selects. How many these were is not said: servers answer the number of keys
    /// in the expression, or of rows, or 0.
    pub async fn delete(
        &self,
        name: &CollectionName,
        partition: Option<&str>,
        expression: &str,
    ) -> Result<(), Error> {
        let request = pb::DeleteRequest {
            db_name: name.db.clone(),
            collection_name: name.name.clone(),
            partition_name: partition.unwrap_or_default().to_owned(),
            expr: expression.to_owned(),
        };
        self.ask::<pb::MutationResult>("Delete", &name.db, &request, DATA_TIMEOUT).await.map(drop)
    }

    /// A hybrid timestamp of the server; `None` where the server has no such call (lite).
    pub async fn timestamp(&self) -> Result<Option<u64>, Error> {
        let request = pb::AllocTimestampRequest {};
        let answer = self.control::<pb::AllocTimestampResponse>("AllocTimestamp", "", &request).await;
        Ok(if_offered(answer)?.map(|answer| answer.timestamp))
    }

    /// The server's own figures, as JSON; `None` where it has none or the role may not see them.
    pub async fn system_info(&self) -> Result<Option<serde_json::Value>, Error> {
        let request = pb::GetMetricsRequest { request: r#"{"metric_type":"system_info"}"#.to_owned() };
        let answer = match self.control::<pb::GetMetricsResponse>("GetMetrics", "", &request).await {
            // Some servers know the call and not this metric.
            Err(error) if error.kind() == ErrorKind::Rejected => return Ok(None),
            answer => if_told(answer)?,
        };
        Ok(answer.and_then(|answer| serde_json::from_str(&answer.response).ok()))
    }

    /// What tells this server from any other: the identities and start times of its nodes. `None` where the server
    /// does not say.
    pub async fn identity(&self) -> Result<Option<ServerIdentity>, Error> {
        let Some(info) = self.system_info().await? else { return Ok(None) };
        let Some(nodes) = info.get("nodes_info").and_then(serde_json::Value::as_array) else {
            return Ok(None);
        };
        let mut parts: Vec<_> = nodes
            .iter()
            .map(|node| {
                let infos = &node["infos"];
                format!("{} {} {} {}", infos["id"], infos["name"], infos["created_time"], node["identifier"])
            })
            .collect();
        parts.sort_unstable();
        Ok((!parts.is_empty()).then(|| ServerIdentity(parts.join("; "))))
    }
}

/// What a write's answer says, without its list of all keys.
#[derive(Default)]
struct Acknowledgement {
    status: Option<Status>,
    inserted: u64,
    upserted: u64,
}

/// Reads a `MutationResult`; the keys in it (a third of a small row) are stepped over.
fn acknowledgement(answer: &[u8]) -> Result<Acknowledgement, WireError> {
    let mut found = Acknowledgement::default();
    for field in fields(answer) {
        let field = field?;
        match field.number {
            1 => {
                let status = Status::decode(field.bytes()?)
                    .map_err(|_| WireError::Encoding("the status can't be decoded"))?;
                found.status = Some(status);
            }
            6 => found.inserted = field.varint()?,
            8 => found.upserted = field.varint()?,
            _ => {}
        }
    }
    Ok(found)
}

/// The properties of a collection. 2.6 says them in its schema as well, and they are one thing.
fn all_properties(mut properties: Vec<KeyValuePair>, of_schema: &[KeyValuePair]) -> Vec<KeyValuePair> {
    for property in of_schema {
        if properties.iter().all(|known| known.key != property.key) {
            properties.push(property.clone());
        }
    }
    properties
}
