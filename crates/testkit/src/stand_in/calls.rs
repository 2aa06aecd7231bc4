//! The calls, one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use prost::Message;
use rand::Rng;
use rand::seq::SliceRandom;
use vecferry_milvus::proto::common::{
    ErrorCode, IndexState, KeyValuePair, LoadState, SegmentLevel, SegmentState, ServerInfo, Status,
};
use vecferry_milvus::proto::milvus as pb;
use vecferry_milvus::proto::schema::{
    CollectionSchema, DataType, FieldData, IDs, LongArray, ScalarField, StringArray, field_data, i_ds,
    scalar_field,
};
use vecferry_milvus::schema::parameter;
use vecferry_milvus::wire::scan::put_bytes;

use super::access::Access;
use super::catalog::{
    DB_DEFAULT, Field, Index, PARTITION_DEFAULT, Partition, Segment, Table, unknown_collection,
};
use super::expression::Expression;
use super::gate::Gate;
use super::incoming::Incoming;
use super::interfere::{Interference, Seen};
use super::permission::Caller;
use super::rows::Rows;
use super::status::{
    ALIAS_NOT_FOUND, COLLECTION_NOT_FOUND, COLLECTION_NOT_LOADED, DATABASE_INVALID, FORCE_DENY,
    INDEX_NOT_FOUND, OTHER, PARTITION_NOT_LOADED, Refusal,
};
use super::validate::{self, Rules};
use super::value::{Key, Value};
use super::{Limit, Masks, Options, Shared, Version, answer, sorted};
use crate::fault_proxy::message_with;
use crate::seen;

/// The resource group that every server has.
const RESOURCE_GROUP_DEFAULT: &str = "__default_resource_group";

/// `quotaAndLimits.limits.maxQueryResultWindow`.
const QUERY_WINDOW_MAX: usize = 16_384;
/// `grpc.serverMaxSendSize`.
const SENT_BYTES_MAX: usize = 64 << 20;
/// `QueryResults.fields_data`.
const RESULT_COLUMN: u32 = 2;

/// A call that arrived.
pub(super) struct Call {
    pub(super) method: String,
    /// The database in its headers.
    pub(super) db: String,
    /// The credential in its headers, as it came.
    pub(super) authorization: String,
    pub(super) message: Bytes,
}

/// What it came to.
pub(super) enum Outcome {
    /// A message, which may say that the call is refused.
    Answer(Vec<u8>),
    /// An error of the transport.
    Failed { grpc_status: &'static str, text: String },
}

/// Carries calls out. Clones are one service.
#[derive(Clone)]
pub(super) struct Service {
    shared: Arc<Shared>,
    held: Arc<Mutex<Vec<Call>>>,
}

type Answered<Answer> = Result<Answer, Refusal>;

/// An answer that can say that the call is refused.
trait Refusable: Message + Default {
    fn with_status(self, status: Status) -> Self;
}

macro_rules! refusable {
    ($($name:ident)*) => { $(
        impl Refusable for pb::$name {
            fn with_status(mut self, status: Status) -> Self {
                self.status = Some(status);
                self
            }
        }
    )* };
}

refusable! {
    AllocTimestampResponse CheckHealthResponse ConnectResponse DescribeAliasResponse DescribeCollectionResponse
    DescribeDatabaseResponse DescribeIndexResponse FlushResponse GetCollectionStatisticsResponse GetFlushStateResponse
    GetLoadStateResponse GetLoadingProgressResponse GetMetricsResponse GetPersistentSegmentInfoResponse
    GetQuerySegmentInfoResponse GetVersionResponse ListAliasesResponse ListCredUsersResponse ListDatabasesResponse
    GetReplicasResponse ListPrivilegeGroupsResponse ListResourceGroupsResponse MutationResult QueryResults SelectGrantResponse SelectRoleResponse SelectUserResponse
    ShowCollectionsResponse ShowPartitionsResponse
}

impl Refusable for Status {
    fn with_status(self, status: Status) -> Self {
        status
    }
}

/// The whole answer to a call.
fn answered<Answer: Refusable>(answer: Answered<Answer>) -> Vec<u8> {
    let answer = match answer {
        Ok(answer) => answer.with_status(Status::default()),
        Err(refusal) => Answer::default().with_status(refusal.status()),
    };
    answer.encode_to_vec()
}

/// A call whose whole answer is a status.
fn done(outcome: Answered<()>) -> Vec<u8> {
    answered(outcome.map(|()| Status::default()))
}

fn pair(key: &str, value: impl ToString) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.to_string() }
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, held: Arc::default() }
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    pub(super) fn access(&self) -> MutexGuard<'_, Access> {
        self.shared.access.lock().expect("no call panics")
    }

    pub(super) fn asks_for_users(&self) -> bool {
        self.options().authorization
    }

    pub(super) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Keeps a call that is held up on its way.
    pub(super) fn hold(&self, call: Call) {
        self.held.lock().expect("nobody panics with it").push(call);
    }

    /// Carries out what was held up, if it is time.
    pub(super) fn let_late_ones_go(&self) {
        let held = || std::mem::take(&mut *self.held.lock().expect("nobody panics with it"));
        if !self.held.lock().expect("nobody panics with it").is_empty() && self.gate().lets_late_ones_go() {
            // Nobody waits for their answers.
            held().iter().for_each(|call| drop(self.carry_out(call)));
        }
    }

    /// What comes between.
    pub(super) fn interference(&self, call: &Call) -> Interference {
        let mut interfere = self.shared.interfere.lock().expect("nobody panics with it");
        let seen = Seen { method: &call.method, message: &call.message };
        interfere.as_mut().map_or(Interference::None, |decide| decide(seen))
    }

    /// Carries a call out.
    pub(super) fn carry_out(&self, call: &Call) -> Outcome {
        let most = self.options().request_bytes_max;
        if call.message.len() > most {
            let text = format!("grpc: received message larger than max ({} vs. {most})", call.message.len());
            return Outcome::Failed { grpc_status: "8", text };
        }
        let caller = match self.caller(call) {
            Ok(caller) => caller,
            Err(failed) => return failed,
        };
        if let Err(denied) = self.allowed(&caller, call) {
            return denied;
        }
        if let Err(why) = self.is_harmless(call) {
            self.shared.harm.lock().expect("nobody panics with it").push(why.clone());
            let text = format!("no real server was seen to take this: {why}");
            return Outcome::Failed { grpc_status: "13", text };
        }
        if let Some(refusal) = self.limited(&call.method) {
            return Outcome::Answer(message_with(refusal.status(), &call.method));
        }
        match self.dispatch(call, &caller) {
            Ok(Some(message)) if self.is_too_large(&message) => {
                let text = format!(
                    "grpc: trying to send message larger than max ({} vs. {SENT_BYTES_MAX})",
                    message.len()
                );
                Outcome::Failed { grpc_status: "8", text }
            }
            Ok(Some(message)) => Outcome::Answer(message),
            Ok(None) => {
                let text =
                    format!("unknown method {} for service milvus.proto.milvus.MilvusService", call.method);
                Outcome::Failed { grpc_status: "12", text }
            }
            Err(error) => Outcome::Failed {
                grpc_status: "13",
                text: format!("grpc: error unmarshalling request: {error}"),
            },
        }
    }

    /// Whether an answer is larger than 2.3.5 can send; later releases send any.
    fn is_too_large(&self, message: &[u8]) -> bool {
        self.options().version < Version::V2_4 && message.len() > SENT_BYTES_MAX
    }

    /// What is refused before it is carried out.
    fn limited(&self, method: &str) -> Option<Refusal> {
        let limit = *self.shared.limit.lock().expect("no call panics");
        let is_write = matches!(method, "Insert" | "Upsert" | "Delete");
        match limit {
            Limit::Rate if is_write || method == "Flush" => {
                Some(Refusal::rate_limited(self.options().version))
            }
            Limit::Denied if is_write || method == "Query" => {
                let reason = "quota exceeded[reason=access has been disabled by the administrator]";
                Some(Refusal::new(FORCE_DENY, reason))
            }
            Limit::None | Limit::Rate | Limit::Denied => None,
        }
    }

    /// Whether a call changes nothing, or was seen to be taken in this form by a real server of this release.
    fn is_harmless(&self, call: &Call) -> Result<(), String> {
        if !seen::is_writing(&call.method) || self.options().any_form {
            return Ok(());
        }
        self.shared.writes.lock().expect("nobody panics with it").insert(call.method.clone());
        let releases = self.options().version.recorded();
        let is_missing = |release: &&str| !seen::forms(&call.method, release, "unimplemented").is_empty();
        if releases.iter().all(is_missing) {
            return Ok(());
        }
        seen::judge(&call.method, releases, &call.message)
    }

    /// Whether the release has a call that others have.
    pub(super) fn has_method(&self, method: &str) -> bool {
        method != "DescribeDatabase" || self.options().version >= Version::V2_4
    }

    /// The answer; none where there is no such call.
    fn dispatch(&self, call: &Call, caller: &Caller) -> Result<Option<Vec<u8>>, prost::DecodeError> {
        fn read<Request: Message + Default>(call: &Call) -> Result<Request, prost::DecodeError> {
            Request::decode(call.message.clone())
        }
        Ok(Some(match call.method.as_str() {
            "Connect" => answered(Ok(self.connect())),
            "GetVersion" => answered(Ok(pb::GetVersionResponse {
                version: self.options().text().to_owned(),
                ..Default::default()
            })),
            "CheckHealth" => answered(Ok(pb::CheckHealthResponse { is_healthy: true, ..Default::default() })),
            "GetMetrics" => answered(Ok(self.metrics())),
            "AllocTimestamp" => {
                let timestamp = self.shared.catalog().now();
                answered(Ok(pb::AllocTimestampResponse { timestamp, ..Default::default() }))
            }
            "ListDatabases" => answered(Ok(self.list_databases(caller))),
            "CreateDatabase" => done(self.create_database(read(call)?)),
            "DropDatabase" => done(self.drop_database(&read(call)?)),
            "DescribeDatabase" if self.has_method(&call.method) => {
                answered(self.describe_database(&read(call)?))
            }
            "CreateCollection" => done(self.create_collection(read(call)?)),
            "DropCollection" => done(self.drop_collection(&read(call)?)),
            "ShowCollections" => answered(self.show_collections(&read(call)?, caller)),
            "DescribeCollection" => {
                let request = read(call)?;
                self.describe_collection(&request).map_or_else(
                    |refusal| {
                        let db = if request.db_name.is_empty() { DB_DEFAULT } else { &request.db_name };
                        let named = pb::DescribeCollectionResponse {
                            collection_name: request.collection_name.clone(),
                            db_name: db.to_owned(),
                            ..Default::default()
                        };
                        named.with_status(refusal.status()).encode_to_vec()
                    },
                    |answer| answered(Ok(answer)),
                )
            }
            "RenameCollection" => done(self.rename_collection(&read(call)?)),
            "AlterCollection" => done(self.alter_collection(read(call)?)),
            "CreatePartition" => done(self.create_partition(&read(call)?)),
            "DropPartition" => done(self.drop_partition(&read(call)?)),
            "ShowPartitions" => answered(self.show_partitions(&read(call)?)),
            "CreateAlias" => done(self.create_alias(&read(call)?)),
            "DropAlias" => done(self.drop_alias(&read(call)?)),
            "DescribeAlias" => answered(self.describe_alias(read(call)?)),
            "ListAliases" => answered(self.list_aliases(&read(call)?, &call.db)),
            "CreateIndex" => done(self.create_index(read(call)?)),
            "DropIndex" => done(self.drop_index(&read(call)?)),
            "DescribeIndex" => answered(self.describe_index(&read(call)?)),
            "LoadCollection" => {
                let request: pb::LoadCollectionRequest = read(call)?;
                done(self.set_loaded(&request.db_name, &request.collection_name, None, true))
            }
            "ReleaseCollection" => {
                let request: pb::ReleaseCollectionRequest = read(call)?;
                done(self.set_loaded(&request.db_name, &request.collection_name, None, false))
            }
            "LoadPartitions" => {
                let request: pb::LoadPartitionsRequest = read(call)?;
                let names = Some(&request.partition_names[..]);
                done(self.set_loaded(&request.db_name, &request.collection_name, names, true))
            }
            "ReleasePartitions" => {
                let request: pb::ReleasePartitionsRequest = read(call)?;
                let names = Some(&request.partition_names[..]);
                done(self.set_loaded(&request.db_name, &request.collection_name, names, false))
            }
            "GetLoadState" => answered(self.load_state(&read(call)?)),
            "GetLoadingProgress" => answered(self.loading_progress(&read(call)?)),
            "GetPersistentSegmentInfo" => answered(self.stored_segments(&read(call)?)),
            "GetQuerySegmentInfo" => answered(self.loaded_segments(&read(call)?)),
            "GetCollectionStatistics" => answered(self.statistics(&read(call)?)),
            "Flush" => answered(self.flush(&read(call)?)),
            "GetFlushState" => {
                answered(Ok(pb::GetFlushStateResponse { flushed: true, ..Default::default() }))
            }
            "ListResourceGroups" => answered(Ok(pb::ListResourceGroupsResponse {
                resource_groups: vec![RESOURCE_GROUP_DEFAULT.to_owned()],
                ..Default::default()
            })),
            "GetReplicas" => answered(self.replicas(&read(call)?)),
            "SelectRole" => answered(Ok(self.select_role(&read(call)?))),
            "ListCredUsers" => answered(Ok(self.list_users())),
            "SelectUser" => answered(Ok(self.select_user(&read(call)?))),
            "SelectGrant" => answered(self.select_grant(&read(call)?)),
            "CreateRole" => done(self.create_role(&read(call)?)),
            "DropRole" => done(self.drop_role(&read(call)?)),
            "CreateCredential" => done(self.create_user(&read(call)?)),
            "DeleteCredential" => done(self.delete_user(&read(call)?)),
            "OperateUserRole" => done(self.operate_user_role(&read(call)?)),
            "OperatePrivilege" => done(self.operate_privilege(&read(call)?)),
            "ListPrivilegeGroups" if self.has_privilege_groups() => {
                answered(Ok(self.list_privilege_groups()))
            }
            "CreatePrivilegeGroup" if self.has_privilege_groups() => {
                done(self.create_privilege_group(&read(call)?))
            }
            "OperatePrivilegeGroup" if self.has_privilege_groups() => {
                done(self.operate_privilege_group(&read(call)?))
            }
            "DropPrivilegeGroup" if self.has_privilege_groups() => {
                done(self.drop_privilege_group(&read(call)?))
            }
            "OperatePrivilegeV2" if self.has_privilege_groups() => {
                done(self.operate_privilege_v2(&read(call)?))
            }
            "Insert" => self.written(&read(call)?, &call.message, false),
            // The same message as far as it is read.
            "Upsert" => self.written(&read(call)?, &call.message, true),
            "Delete" => answered(self.delete(&read(call)?)),
            "Query" => match self.query(&read(call)?) {
                Ok(answer) => answer,
                Err(refusal) => answered::<pb::QueryResults>(Err(refusal)),
            },
            _ => return Ok(None),
        }))
    }

    fn connect(&self) -> pb::ConnectResponse {
        let server_info = Some(ServerInfo {
            build_tags: self.options().text().to_owned(),
            deploy_mode: "STANDALONE".to_owned(),
            ..ServerInfo::default()
        });
        pb::ConnectResponse { server_info, identifier: 1, ..Default::default() }
    }

    fn metrics(&self) -> pb::GetMetricsResponse {
        let identity = &self.shared.identity;
        let infos = serde_json::json!({"id": 1, "name": identity, "type": "standalone", "created_time": "2025-06-15"});
        let response = serde_json::json!({"nodes_info": [{"identifier": 1, "infos": infos}]}).to_string();
        pb::GetMetricsResponse { response, component_name: "proxy".to_owned(), ..Default::default() }
    }

    fn list_databases(&self, caller: &Caller) -> pb::ListDatabasesResponse {
        let catalog = self.shared.catalog();
        let seen = catalog.databases.keys().filter(|db| self.sees_database(caller, db));
        let db_names = seen.cloned().collect();
        pb::ListDatabasesResponse { db_names, ..Default::default() }
    }

    fn create_database(&self, request: pb::CreateDatabaseRequest) -> Answered<()> {
        validate::name(&request.db_name)?;
        let mut catalog = self.shared.catalog();
        if catalog.databases.contains_key(&request.db_name) {
            return Err(Refusal::other(format!("database already exist: {}", request.db_name)));
        }
        let database = catalog.databases.entry(request.db_name).or_default();
        database.properties = request.properties;
        Ok(())
    }

    fn drop_database(&self, request: &pb::DropDatabaseRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        if request.db_name == DB_DEFAULT {
            return Err(Refusal::new(DATABASE_INVALID, "can not drop default database"));
        }
        let database = catalog.database(&request.db_name)?;
        if !database.tables.is_empty() {
            return Err(Refusal::other(format!(
                "database:{} not empty, must drop all collections before",
                request.db_name
            )));
        }
        catalog.databases.remove(&request.db_name);
        Ok(())
    }

    fn describe_database(
        &self,
        request: &pb::DescribeDatabaseRequest,
    ) -> Answered<pb::DescribeDatabaseResponse> {
        let catalog = self.shared.catalog();
        let properties = catalog.database(&request.db_name)?.properties.clone();
        Ok(pb::DescribeDatabaseResponse {
            db_name: request.db_name.clone(),
            properties,
            ..Default::default()
        })
    }

    fn create_collection(&self, request: pb::CreateCollectionRequest) -> Answered<()> {
        let mut schema = CollectionSchema::decode(request.schema.clone())
            .map_err(|error| Refusal::invalid(format!("schema does not decode: {error}")))?;
        if schema.name != request.collection_name {
            return Err(Refusal::invalid(format!(
                "collection name = {}, schema.Name={}: invalid parameter[expected=collection name matches schema name]\
                 [actual=don't match]",
                request.collection_name, schema.name
            )));
        }
        // Of a new collection the server sets these itself.
        schema.db_name = String::new();
        validate::known_to(&mut schema, self.options().version);
        validate::creation(&schema, self.options().version)?;
        let properties = with_own_properties(request.properties, self.options().version);
        let mut catalog = self.shared.catalog();
        let database = catalog.database(&request.db_name)?;
        if let Some(existing) = database.tables.get(&request.collection_name) {
            // Asked for again as it is, it is no error.
            let made = if existing.has_partition_key() { existing.partitions.len() } else { 1 };
            // Not after partitions were added to it.
            let same = existing.schema == schema
                && existing.partitions.len() == made
                && existing.shards == request.shards_num.max(1)
                && existing.consistency == request.consistency_level
                && existing.num_partitions == request.num_partitions
                && sorted(&existing.properties) == sorted(&properties);
            let reason = "create duplicate collection with different parameters, collection: ";
            return if same {
                Ok(())
            } else {
                Err(Refusal::other(format!("{reason}{}", request.collection_name)))
            };
        }
        if database.real_name(&request.collection_name).is_some() {
            let reason =
                format!("collection name [{}] conflicts with an existing alias", request.collection_name);
            return Err(Refusal::other(format!("{reason}: already exist")));
        }
        if request.num_partitions > 0 && !schema.fields.iter().any(|field| field.is_partition_key) {
            return Err(Refusal::invalid("num_partitions should only be specified with partition key field"));
        }
        let table = catalog.create(&request.db_name, schema, request.shards_num, request.num_partitions)?;
        (table.consistency, table.properties) = (request.consistency_level, properties);
        table.num_partitions = request.num_partitions;
        Ok(())
    }

    fn drop_collection(&self, request: &pb::DropCollectionRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let name = &request.collection_name;
        let database = catalog.database_mut(&request.db_name)?;
        let Some(table) = database.tables.get(name) else {
            if database.real_name(name).is_some() {
                return Err(Refusal::other(format!("cannot drop the collection via alias = {name}")));
            }
            return Ok(());
        };
        // 2.3.5 drops it all the same.
        if !table.aliases.is_empty() && self.options().version >= Version::V2_4 {
            let reason = format!("unable to drop the collection [{name}] because it has associated aliases");
            return Err(Refusal::other(format!(
                "{reason} {:?}, please remove all aliases before",
                table.aliases
            )));
        }
        database.tables.remove(name);
        Ok(())
    }

    fn rename_collection(&self, request: &pb::RenameCollectionRequest) -> Answered<()> {
        let (old, new) = (&request.old_name, &request.new_name);
        validate::collection_name(new, "name")?;
        let real = |db: &str| if db.is_empty() { DB_DEFAULT.to_owned() } else { db.to_owned() };
        let db = real(&request.db_name);
        let new_db = if request.new_db_name.is_empty() { db.clone() } else { request.new_db_name.clone() };
        if old == new && db == new_db && matches!(self.options().version, Version::V2_6 | Version::V3_0) {
            let reason = "collection name or database name should be different: invalid parameter";
            return Err(Refusal::invalid(reason));
        }
        let mut catalog = self.shared.catalog();
        let database = catalog.database_mut(&new_db)?;
        if database.tables.contains_key(new) {
            return Err(Refusal::other(format!(
                "duplicated new collection name {new_db}:{new} with other collection name or alias"
            )));
        }
        if database.real_name(new).is_some() {
            return Err(Refusal::other(format!("cannot rename collection to an existing alias: {new}")));
        }
        let database = catalog.database_mut(&db)?;
        if database.real_name(old).is_some_and(|name| name != *old) {
            return Err(Refusal::other(
                "the stand-in does not know what servers say to a rename of an alias",
            ));
        }
        let mut table = database.tables.remove(old).ok_or_else(|| unknown_collection(&db, old))?;
        // Its number, aliases, partitions and rows stay.
        table.schema.name.clone_from(new);
        catalog.database_mut(&new_db)?.tables.insert(new.clone(), table);
        Ok(())
    }

    fn show_collections(
        &self,
        request: &pb::ShowCollectionsRequest,
        caller: &Caller,
    ) -> Answered<pb::ShowCollectionsResponse> {
        let catalog = self.shared.catalog();
        let all = &catalog.database(&request.db_name)?.tables;
        let tables: Vec<_> =
            all.iter().filter(|(name, _)| self.sees_collection(caller, &request.db_name, name)).collect();
        Ok(pb::ShowCollectionsResponse {
            collection_names: tables.iter().map(|(name, _)| (*name).clone()).collect(),
            collection_ids: tables.iter().map(|(_, table)| table.id).collect(),
            created_timestamps: tables.iter().map(|(_, table)| table.created).collect(),
            ..Default::default()
        })
    }

    fn describe_collection(
        &self,
        request: &pb::DescribeCollectionRequest,
    ) -> Answered<pb::DescribeCollectionResponse> {
        validate::collection_name(&request.collection_name, "name")?;
        let catalog = self.shared.catalog();
        let table = catalog.table(&request.db_name, &request.collection_name);
        let table = table.map_err(|refusal| self.not_described(refusal, request))?;
        let db = if request.db_name.is_empty() { DB_DEFAULT } else { &request.db_name };
        Ok(pb::DescribeCollectionResponse {
            schema: Some(table.described(self.options(), db)),
            collection_id: table.id,
            created_timestamp: table.created,
            created_utc_timestamp: table.created >> 18,
            shards_num: table.shards,
            aliases: self.told_aliases(table),
            consistency_level: table.consistency,
            // Also where that is an alias; the schema has the name.
            collection_name: request.collection_name.clone(),
            properties: table.properties.clone(),
            db_name: db.to_owned(),
            num_partitions: i64::try_from(table.partitions.len()).expect("few partitions"),
            update_timestamp: table.created,
            ..Default::default()
        })
    }

    fn told_aliases(&self, table: &Table) -> Vec<String> {
        let mut told = table.aliases.clone();
        if self.options().version >= Version::V2_6 {
            told.extend(table.dropped_aliases.iter().cloned());
        }
        told.into_iter().collect()
    }

    /// 2.6.18 says so by the older number alone, the others by both.
    fn not_described(&self, refusal: Refusal, request: &pb::DescribeCollectionRequest) -> Refusal {
        if refusal.code != COLLECTION_NOT_FOUND {
            return refusal;
        }
        let db = if request.db_name.is_empty() { DB_DEFAULT } else { &request.db_name };
        let reason = format!("can't find collection[database={db}][collection={}]", request.collection_name);
        match self.options().version {
            Version::V2_3 | Version::V2_4 | Version::V2_5 => {
                Refusal::new(COLLECTION_NOT_FOUND, reason).with_legacy(ErrorCode::UnexpectedError as i32)
            }
            Version::V2_6 | Version::V3_0 => {
                Refusal::new(0, reason).with_legacy(ErrorCode::CollectionNotExists as i32)
            }
        }
    }

    fn alter_collection(&self, request: pb::AlterCollectionRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        if request.properties.is_empty() && self.options().version < Version::V2_4 {
            let reason = "only support alter collection properties, but collection properties is empty";
            return Err(Refusal::other(reason));
        }
        for property in request.properties {
            table.properties.retain(|known| known.key != property.key);
            table.properties.push(property);
        }
        table.properties.retain(|known| !request.delete_keys.contains(&known.key));
        Ok(())
    }

    fn create_partition(&self, request: &pb::CreatePartitionRequest) -> Answered<()> {
        validate::partition_name(&request.partition_name, self.options().version)?;
        let mut catalog = self.shared.catalog();
        let id = catalog.number();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        if table.has_partition_key() {
            return Err(Refusal::other("disable create partition if partition key mode is used"));
        }
        // One that is there is no error.
        table.add_partition(&request.partition_name, id);
        Ok(())
    }

    fn drop_partition(&self, request: &pb::DropPartitionRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        let name = &request.partition_name;
        // One that is not there is no error.
        let Some(at) = table.partitions.iter().position(|partition| partition.name == *name) else {
            return Ok(());
        };
        if table.partitions[at].loaded {
            return Err(Refusal::other(
                "partition cannot be dropped, partition is loaded, please release it first",
            ));
        }
        if table.has_partition_key() || name == PARTITION_DEFAULT {
            return Err(Refusal::other(format!(
                "the stand-in does not know what servers say to a drop of the partition {name}"
            )));
        }
        table.partitions.remove(at);
        Ok(())
    }

    fn show_partitions(&self, request: &pb::ShowPartitionsRequest) -> Answered<pb::ShowPartitionsResponse> {
        let catalog = self.shared.catalog();
        let partitions = &catalog.table(&request.db_name, &request.collection_name)?.partitions;
        Ok(pb::ShowPartitionsResponse {
            partition_names: partitions.iter().map(|partition| partition.name.clone()).collect(),
            partition_i_ds: partitions.iter().map(|partition| partition.id).collect(),
            ..Default::default()
        })
    }

    fn create_alias(&self, request: &pb::CreateAliasRequest) -> Answered<()> {
        validate::collection_name(&request.alias, "alias")?;
        let mut catalog = self.shared.catalog();
        catalog.database_mut(&request.db_name)?.add_alias(&request.collection_name, &request.alias)
    }

    fn drop_alias(&self, request: &pb::DropAliasRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        // Also where there is none of that name.
        for table in catalog.database_mut(&request.db_name)?.tables.values_mut() {
            if table.aliases.remove(&request.alias) {
                table.dropped_aliases.insert(request.alias.clone());
            }
        }
        Ok(())
    }

    fn describe_alias(&self, request: pb::DescribeAliasRequest) -> Answered<pb::DescribeAliasResponse> {
        let catalog = self.shared.catalog();
        let tables = &catalog.database(&request.db_name)?.tables;
        let owner = tables.iter().find(|(_, table)| table.aliases.contains(&request.alias));
        let (collection, _) = owner.ok_or_else(|| unknown_alias(&request.alias))?;
        Ok(pb::DescribeAliasResponse {
            collection: collection.clone(),
            alias: request.alias,
            ..Default::default()
        })
    }

    fn list_aliases(&self, request: &pb::ListAliasesRequest, db: &str) -> Answered<pb::ListAliasesResponse> {
        let catalog = self.shared.catalog();
        let db = if request.db_name.is_empty() { db } else { &request.db_name };
        let database = catalog.database(db)?;
        let is_missing =
            !request.collection_name.is_empty() && database.real_name(&request.collection_name).is_none();
        if is_missing && self.options().version < Version::V2_4 {
            return Err(unknown_collection(db, &request.collection_name));
        }
        let tables = database.tables.values();
        let wanted = |table: &&Table| {
            request.collection_name.is_empty() || table.schema.name == request.collection_name
        };
        let aliases = tables.filter(wanted).flat_map(|table| table.aliases.iter().cloned()).collect();
        Ok(pb::ListAliasesResponse { aliases, ..Default::default() })
    }

    fn create_index(&self, request: pb::CreateIndexRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let id = catalog.number();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        let field = table.fields.iter().find(|field| field.name == request.field_name);
        let field = field.ok_or_else(|| {
            Refusal::invalid(format!("cannot create index on non-exist field: {}", request.field_name))
        })?;
        let is_vector = field.is_vector() || field.data_type == DataType::ArrayOfVector;
        if is_vector && parameter(&request.extra_params, "metric_type").is_none() {
            return Err(Refusal::invalid(format!("metric type not set for vector index of {}", field.name)));
        }
        validate::index(field, &request.extra_params, self.options().version)?;
        let name =
            if request.index_name.is_empty() { request.field_name.clone() } else { request.index_name };
        let wanted = Index { id, name, field: request.field_name, params: request.extra_params };
        // A JSON field can have an index on each of its paths.
        let of_path = |index: &Index| parameter(&index.params, "json_path").map(str::to_owned);
        let same = |index: &&Index| index.field == wanted.field && of_path(index) == of_path(&wanted);
        match table.indexes.iter().find(same) {
            Some(known) if known.name == wanted.name && known.params == wanted.params => Ok(()),
            Some(_) => Err(Refusal::other(format!(
                "at most one distinct index is allowed per field: {}",
                wanted.field
            ))),
            None => {
                table.indexes.push(wanted);
                Ok(())
            }
        }
    }

    fn drop_index(&self, request: &pb::DropIndexRequest) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        if table.partitions.iter().any(|partition| partition.loaded) {
            return Err(Refusal::other(
                "index cannot be dropped, collection is loaded, please release it first",
            ));
        }
        table.indexes.retain(|index| index.name != request.index_name);
        Ok(())
    }

    fn describe_index(&self, request: &pb::DescribeIndexRequest) -> Answered<pb::DescribeIndexResponse> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        let rows = table.partitions.iter().map(Partition::stored).sum();
        let describe = |index: &Index| pb::IndexDescription {
            index_name: index.name.clone(),
            index_id: index.id,
            params: index.params.clone(),
            field_name: index.field.clone(),
            indexed_rows: rows,
            total_rows: rows,
            state: IndexState::Finished as i32,
            ..Default::default()
        };
        let wanted = |index: &&Index| {
            (request.field_name.is_empty() || index.field == request.field_name)
                && (request.index_name.is_empty() || index.name == request.index_name)
        };
        let found: Vec<_> = table.indexes.iter().filter(wanted).map(describe).collect();
        if found.is_empty() {
            let reason = format!("index not found[collection={}]", request.collection_name);
            return Err(Refusal::new(INDEX_NOT_FOUND, reason));
        }
        Ok(pb::DescribeIndexResponse { index_descriptions: found, ..Default::default() })
    }

    fn set_loaded(&self, db: &str, name: &str, partitions: Option<&[String]>, loaded: bool) -> Answered<()> {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(db, name)?;
        if partitions.is_some() && table.has_partition_key() {
            return Err(Refusal::other(
                "not support manually loading the partitions if partition key mode is used",
            ));
        }
        if loaded && table.indexes.is_empty() {
            return Err(Refusal::new(INDEX_NOT_FOUND, format!("index not found[collection={name}]")));
        }
        if let Some(field) = table.unindexed_vector().filter(|_| loaded) {
            let reason =
                format!("there is no vector index on field: [{}], please create index firstly", field.name);
            return Err(Refusal::other(reason));
        }
        for partition in partitions.unwrap_or_default() {
            table.partition(partition)?;
        }
        for partition in &mut table.partitions {
            if partitions.is_none_or(|names| names.contains(&partition.name)) {
                partition.loaded = loaded;
            }
        }
        Ok(())
    }

    fn load_state(&self, request: &pb::GetLoadStateRequest) -> Answered<pb::GetLoadStateResponse> {
        let catalog = self.shared.catalog();
        let table = match catalog.table(&request.db_name, &request.collection_name) {
            // 2.3.5 has a state for it.
            Err(refusal)
                if refusal.code == COLLECTION_NOT_FOUND && self.options().version < Version::V2_4 =>
            {
                return Ok(pb::GetLoadStateResponse::default());
            }
            table => table?,
        };
        let loaded = is_loaded(table, &request.partition_names)?;
        let state = match loaded {
            true if table.loading => LoadState::Loading,
            true => LoadState::Loaded,
            false => LoadState::NotLoad,
        };
        Ok(pb::GetLoadStateResponse { state: state as i32, ..Default::default() })
    }

    fn loading_progress(
        &self,
        request: &pb::GetLoadingProgressRequest,
    ) -> Answered<pb::GetLoadingProgressResponse> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        if !is_loaded(table, &request.partition_names)? {
            return Err(not_loaded(&request.collection_name));
        }
        let progress = if table.loading { 0 } else { 100 };
        Ok(pb::GetLoadingProgressResponse { progress, ..Default::default() })
    }

    fn replicas(&self, request: &pb::GetReplicasRequest) -> Answered<pb::GetReplicasResponse> {
        let mut catalog = self.shared.catalog();
        let replica_id = catalog.number();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        if !is_loaded(table, &[])? {
            return Err(not_loaded(&request.collection_name));
        }
        let resource_group_name = RESOURCE_GROUP_DEFAULT.to_owned();
        let replicas = vec![pb::ReplicaInfo { replica_id, resource_group_name }];
        Ok(pb::GetReplicasResponse { replicas, ..Default::default() })
    }

    fn stored_segments(
        &self,
        request: &pb::GetPersistentSegmentInfoRequest,
    ) -> Answered<pb::GetPersistentSegmentInfoResponse> {
        let mut catalog = self.shared.catalog();
        if self.options().version >= Version::V2_5 && self.options().sorts {
            catalog.sort(&request.db_name, &request.collection_name)?;
        }
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        let infos = table.partitions.iter().flat_map(|partition| {
            partition.segments.iter().map(|segment| pb::PersistentSegmentInfo {
                segment_id: segment.id,
                collection_id: table.id,
                partition_id: partition.id,
                num_rows: segment.rows,
                state: SegmentState::Flushed as i32,
                level: SegmentLevel::L1 as i32,
                is_sorted: segment.sorted && self.options().version >= Version::V2_5,
            })
        });
        Ok(pb::GetPersistentSegmentInfoResponse { infos: infos.collect(), ..Default::default() })
    }

    fn loaded_segments(
        &self,
        request: &pb::GetQuerySegmentInfoRequest,
    ) -> Answered<pb::GetQuerySegmentInfoResponse> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        if !is_loaded(table, &[])? || table.loading {
            return Err(not_loaded(&request.collection_name));
        }
        // 2.6 serves what is stored and not sorted yet from elsewhere, and does not tell it here.
        let tells = |segment: &&Segment| segment.sorted || self.options().version < Version::V2_6;
        let loaded = table.partitions.iter().filter(|partition| partition.loaded);
        let infos = loaded.flat_map(|partition| {
            let sealed = SegmentState::Sealed as i32;
            let stored = partition.segments.iter().filter(tells);
            let stored = stored.map(move |segment| (segment.id, segment.rows, sealed));
            let growing = (partition.growing > 0).then_some((
                partition.growing_id,
                partition.growing,
                SegmentState::Growing as i32,
            ));
            stored.chain(growing).map(|(segment_id, num_rows, state)| pb::QuerySegmentInfo {
                state,
                segment_id,
                collection_id: table.id,
                partition_id: partition.id,
                num_rows,
                ..Default::default()
            })
        });
        Ok(pb::GetQuerySegmentInfoResponse { infos: infos.collect(), ..Default::default() })
    }

    fn statistics(
        &self,
        request: &pb::GetCollectionStatisticsRequest,
    ) -> Answered<pb::GetCollectionStatisticsResponse> {
        let catalog = self.shared.catalog();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        let rows: i64 = table.partitions.iter().map(Partition::stored).sum();
        Ok(pb::GetCollectionStatisticsResponse { stats: vec![pair("row_count", rows)], ..Default::default() })
    }

    fn flush(&self, request: &pb::FlushRequest) -> Answered<pb::FlushResponse> {
        let mut catalog = self.shared.catalog();
        let now = catalog.now();
        let db = if request.db_name.is_empty() { DB_DEFAULT } else { &request.db_name };
        let mut answer = pb::FlushResponse { db_name: db.to_owned(), ..Default::default() };
        // Before anything of it is carried out.
        for name in &request.collection_names {
            let flushed = catalog.table(&request.db_name, name)?.flushed;
            let limit = self.options().flush_interval;
            if flushed.zip(limit).is_some_and(|(flushed, limit)| flushed.elapsed() < limit) {
                return Err(Refusal::rate_limited(self.options().version));
            }
        }
        for name in &request.collection_names {
            catalog.table_mut(&request.db_name, name)?.flushed = Some(Instant::now());
            let (sealed, stored) = catalog.seal(&request.db_name, name)?;
            answer.coll_seg_i_ds.insert(name.clone(), LongArray { data: sealed });
            answer.flush_coll_seg_i_ds.insert(name.clone(), LongArray { data: stored });
            answer.coll_flush_ts.insert(name.clone(), now);
        }
        Ok(answer)
    }

    /// Of a refused write, every row is named as one that was not taken.
    fn written(&self, request: &pb::InsertRequest, message: &Bytes, replace: bool) -> Vec<u8> {
        match self.write(request, message, replace) {
            Ok(answer) => answered(Ok(answer)),
            Err(refusal) => {
                // Where there is no collection, only an insert looks at the rows first.
                let is_looked_at = !replace || refusal.code != COLLECTION_NOT_FOUND;
                let err_index = (0..request.num_rows).filter(|_| is_looked_at).collect();
                let status = Some(refusal.status());
                pb::MutationResult { status, err_index, ..Default::default() }.encode_to_vec()
            }
        }
    }

    fn write(
        &self,
        request: &pb::InsertRequest,
        message: &Bytes,
        replace: bool,
    ) -> Answered<pb::MutationResult> {
        let rows = usize::try_from(request.num_rows).expect("32 bits");
        let mut catalog = self.shared.catalog();
        let timestamp = catalog.now();
        let sequence = timestamp;
        let new_keys: Vec<_> = (0..rows).map(|_| catalog.number()).collect();
        let rules = Rules {
            version: self.options().version,
            reads_nested_masks: self.options().masks != Masks::Legacy,
            replaces: replace,
        };
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        if let Some(field) = table.fields.iter().find(|field| self.is_harmful(field)) {
            let why = format!("rows with a {} do harm to a 2.3.5", field.data_type.as_str_name());
            self.shared.harm.lock().expect("nobody panics with it").push(why.clone());
            return Err(Refusal::other(why));
        }
        let at = named_partition(table, &request.partition_name, self.options().version)?;
        let incoming = Incoming::all(message)?;
        let mut new_keys = new_keys.into_iter();
        let mut new_key = || new_keys.next().expect("one a row");
        let mut columns = validate::rows(table, incoming, rows, rules, &mut new_key)?;
        let key_column = table.key_column();
        let mut keys = columns[key_column].clone();
        if replace {
            let replaced: BTreeSet<_> = keys.iter().filter_map(Value::key).collect();
            if replaced.len() != keys.len() {
                return Err(Refusal::invalid("duplicate primary keys are not allowed in the same batch"));
            }
            table.remove(at, &replaced);
            // The row of a key that the server made comes back under another one.
            if table.key_field().auto_id && !validate::keeps_keys(table, rules) {
                keys = (0..rows).map(|_| Value::Long(new_key())).collect();
                columns[key_column].clone_from(&keys);
            }
        }
        table.append(at, columns, sequence);
        let count = i64::from(request.num_rows);
        Ok(pb::MutationResult {
            i_ds: Some(ids(&keys)),
            insert_cnt: count,
            upsert_cnt: if replace { count } else { 0 },
            delete_cnt: if replace { count } else { 0 },
            timestamp,
            ..Default::default()
        })
    }

    /// A 2.3.5 takes rows of a text or a time, and dies when it loads them; it takes those of a float16, and tries for ever to
    /// build their index. Other types that it does not know were never tried with rows.
    fn is_harmful(&self, field: &Field) -> bool {
        let is_unknown = matches!(
            field.data_type,
            DataType::Text
                | DataType::Timestamptz
                | DataType::Float16Vector
                | DataType::BFloat16Vector
                | DataType::Int8Vector
                | DataType::None
        );
        is_unknown && self.options().version < Version::V2_4
    }

    fn delete(&self, request: &pb::DeleteRequest) -> Answered<pb::MutationResult> {
        let mut catalog = self.shared.catalog();
        let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
        if request.expr.trim().is_empty() {
            return Err(Refusal::invalid("delete plan can't be empty or always true"));
        }
        let expression = Expression::parse(&request.expr, table, self.options().version)?;
        let at = match request.partition_name.as_str() {
            "" => None,
            name => Some(named_partition(table, name, self.options().version)?),
        };
        let key_column = table.key_column();
        let mut removed = 0;
        for (place, partition) in table.partitions.iter_mut().enumerate() {
            if at.is_none_or(|at| at == place) {
                let before = partition.rows.len();
                partition
                    .rows
                    .remove(key_column, |value| value.key().is_some_and(|key| expression.selects(&key)));
                removed += before - partition.rows.len();
            }
        }
        // Rows of keys that are named are not looked for: each counts.
        let delete_cnt = i64::try_from(expression.keys().unwrap_or(removed)).expect("few rows");
        Ok(pb::MutationResult { delete_cnt, ..Default::default() })
    }

    fn query(&self, request: &pb::QueryRequest) -> Answered<Vec<u8>> {
        let mut catalog = self.shared.catalog();
        let session_ts = catalog.now();
        let table = catalog.table(&request.db_name, &request.collection_name)?;
        let param = |key: &str| parameter(&request.query_params, key);
        if let Some(id) = param("collection_id")
            && id != table.id.to_string()
        {
            return Err(Refusal::other(format!(
                "alias or database may have been changed: collection_id {id}"
            )));
        }
        let places = places(table, &request.partition_names, self.options().version)?;
        let expression = Expression::parse(&request.expr, table, self.options().version)?;
        let head = pb::QueryResults {
            status: Some(Status::default()),
            collection_name: request.collection_name.clone(),
            output_fields: expanded(table, &request.output_fields),
            session_ts,
            primary_field_name: match self.options().version {
                Version::V2_3 => String::new(),
                Version::V2_4 | Version::V2_5 | Version::V2_6 | Version::V3_0 => {
                    table.key_field().name.clone()
                }
            },
            ..Default::default()
        };
        if request.output_fields == ["count(*)"] {
            if param("iterator").is_some() {
                return Err(Refusal::invalid("count entities with pagination is not allowed"));
            }
            let mut count = selected(table, &places, &expression).len();
            if param("ignore_growing").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                let version = self.options().version;
                if request.expr.is_empty() && matches!(version, Version::V2_3 | Version::V2_5) {
                    let ignored = places.iter().map(|at| table.partitions[*at].not_sealed(version));
                    count = count.saturating_sub(usize::try_from(ignored.sum::<i64>()).expect("few rows"));
                } else {
                    return Err(Refusal::other(format!(
                        "ignore_growing was never recorded so on {version:?}"
                    )));
                }
            }
            let table = catalog.table_mut(&request.db_name, &request.collection_name)?;
            let count = count + table.rows_counted_twice();
            let head = if self.options().version < Version::V2_4 {
                pb::QueryResults { status: head.status, session_ts, ..Default::default() }
            } else {
                head
            };
            return Ok(pb::QueryResults { fields_data: vec![count_column(count)], ..head }.encode_to_vec());
        }
        let limit = self.limit(request)?;
        let mut newest: BTreeMap<Key, (&Rows, usize)> = BTreeMap::new();
        for (key, rows, row) in selected(table, &places, &expression) {
            let kept = newest.entry(key).or_insert((rows, row));
            if rows.sequence(row) > kept.0.sequence(kept.1) {
                *kept = (rows, row);
            }
        }
        let mut found: Vec<_> = newest.into_values().collect();
        found.truncate(limit);
        if self.options().short_pages && param("iterator").is_some() && found.len() > 1 {
            let shorter = self.shared.random().random_range(1..=found.len());
            found.truncate(shorter);
        }
        let mut columns = self.columns(table, &request.output_fields, &found)?;
        if found.is_empty() && self.options().bare_empty_pages {
            columns.clear();
        }
        if self.options().shuffled_columns {
            columns.shuffle(&mut *self.shared.random());
        }
        let mut out = BytesMut::from(&head.encode_to_vec()[..]);
        columns.iter().for_each(|column| put_bytes(&mut out, RESULT_COLUMN, column));
        let most = self.options().answer_bytes_max;
        if out.len() > most {
            return Err(Refusal::other(format!("query results exceed the maxOutputSize Limit {most}")));
        }
        Ok(out.to_vec())
    }

    fn limit(&self, request: &pb::QueryRequest) -> Answered<usize> {
        let number = |key: &str| -> Answered<Option<usize>> {
            let Some(text) = parameter(&request.query_params, key) else { return Ok(None) };
            let parsed = text.parse();
            parsed.map(Some).map_err(|_| Refusal::invalid(format!("{key} [{text}] is invalid")))
        };
        let (limit, offset) = (number("limit")?, number("offset")?.unwrap_or_default());
        let Some(limit) = limit else {
            if request.expr.trim().is_empty() {
                return Err(Refusal::invalid("empty expression should be used with limit"));
            }
            return Ok(usize::MAX);
        };
        if limit == 0 || limit + offset > QUERY_WINDOW_MAX {
            let reason = format!(
                "invalid max query result window, (offset+limit) should be in range [1, {QUERY_WINDOW_MAX}]"
            );
            return Err(Refusal::new(OTHER, format!("{reason}, but got {}", limit + offset)));
        }
        if offset > 0 {
            return Err(Refusal::invalid("the stand-in knows no offset"));
        }
        Ok(limit)
    }

    /// The columns asked for, and the key's.
    fn columns(&self, table: &Table, names: &[String], rows: &[(&Rows, usize)]) -> Answered<Vec<Bytes>> {
        let id = |at: usize| 100 + i64::try_from(at).expect("few fields");
        let values = |at: usize| rows.iter().map(|(rows, row)| rows.value(at, *row)).collect::<Vec<_>>();
        let encoded = |at: usize| answer::column(&table.fields[at], id(at), &values(at), self.options());
        let names = expanded(table, names);
        let mut names: BTreeSet<_> = names.iter().map(String::as_str).collect();
        names.insert(&table.key_field().name);
        let mut columns = Vec::new();
        for name in names {
            let in_struct = |at: &usize| table.fields[*at].parent.as_deref() == Some(name);
            let inner: Vec<_> = (0..table.fields.len()).filter(in_struct).collect();
            if !inner.is_empty() {
                let inner: Vec<_> = inner.into_iter().map(encoded).collect();
                columns.push(answer::of_struct(name, id(table.fields.len()), &inner));
                continue;
            }
            let at = table.fields.iter().position(|field| field.name == name && field.parent.is_none());
            let at = at.ok_or_else(|| Refusal::invalid(format!("field {name} not exist")))?;
            if table.fields[at].is_function_output {
                return Err(Refusal::other(format!("not allowed to retrieve raw data of field {name}")));
            }
            columns.push(encoded(at));
        }
        Ok(columns)
    }
}

/// The names of fields that are asked for; `*` is all that can be read.
fn expanded(table: &Table, names: &[String]) -> Vec<String> {
    if !names.iter().any(|name| name == "*") {
        return names.to_vec();
    }
    let is_readable = |field: &&Field| field.parent.is_none() && !field.is_function_output;
    let readable = table.fields.iter().filter(is_readable).map(|field| field.name.clone());
    let structs = table.fields.iter().filter_map(|field| field.parent.clone());
    readable.chain(structs.collect::<BTreeSet<_>>()).collect()
}

/// 2.6.18 gives every collection a time zone that has none.
pub(super) fn with_own_properties(mut properties: Vec<KeyValuePair>, version: Version) -> Vec<KeyValuePair> {
    let is_zone = |property: &KeyValuePair| property.key == "timezone";
    if version >= Version::V2_6 && !properties.iter().any(is_zone) {
        properties.push(KeyValuePair { key: "timezone".to_owned(), value: "UTC".to_owned() });
    }
    properties
}

fn unknown_alias(alias: &str) -> Refusal {
    Refusal::new(ALIAS_NOT_FOUND, format!("alias not found[alias={alias}]"))
}

fn not_loaded(name: &str) -> Refusal {
    Refusal::new(COLLECTION_NOT_LOADED, format!("collection not loaded[collection={name}]"))
}

/// The partition that a write names.
fn named_partition(table: &Table, name: &str, version: Version) -> Answered<usize> {
    if table.has_partition_key() {
        return if name.is_empty() { Ok(0) } else { Err(placed_by_key(version)) };
    }
    table.partition(if name.is_empty() { PARTITION_DEFAULT } else { name })
}

fn placed_by_key(version: Version) -> Refusal {
    let reason = "not support manually specifying the partition names if partition key mode is used";
    if version < Version::V2_5 { Refusal::other(reason) } else { Refusal::invalid(reason) }
}

/// A collection counts as loaded when a part of it is.
fn is_loaded(table: &Table, names: &[String]) -> Answered<bool> {
    if names.is_empty() {
        return Ok(table.partitions.iter().any(|partition| partition.loaded));
    }
    let mut all = true;
    for name in names {
        all &= table.partitions[table.partition(name)?].loaded;
    }
    Ok(all)
}

/// The partitions that a query looks at: what is not loaded is left out, unless it was named.
fn places(table: &Table, names: &[String], version: Version) -> Answered<Vec<usize>> {
    if !names.is_empty() && table.has_partition_key() {
        return Err(placed_by_key(version));
    }
    if !is_loaded(table, &[])? || table.loading {
        return Err(not_loaded(&table.schema.name));
    }
    let mut places = Vec::new();
    for name in names {
        let place = table.partition(name)?;
        if !table.partitions[place].loaded {
            // 2.3.5 has no number for it.
            let code = if version < Version::V2_4 { OTHER } else { PARTITION_NOT_LOADED };
            return Err(Refusal::new(code, format!("partition not loaded[partition={name}]")));
        }
        places.push(place);
    }
    if names.is_empty() {
        places = (0..table.partitions.len()).filter(|place| table.partitions[*place].loaded).collect();
    }
    Ok(places)
}

/// Every row that is selected, every copy of a key among them.
fn selected<'a>(table: &'a Table, places: &[usize], expression: &Expression) -> Vec<(Key, &'a Rows, usize)> {
    let key_column = table.key_column();
    let of_place = |place: &usize| {
        let rows = &table.partitions[*place].rows;
        (0..rows.len()).filter_map(move |row| Some((rows.value(key_column, row).key()?, rows, row)))
    };
    places.iter().flat_map(of_place).filter(|(key, _, _)| expression.selects(key)).collect()
}

fn count_column(count: usize) -> FieldData {
    let data = vec![i64::try_from(count).expect("few rows")];
    FieldData {
        r#type: DataType::Int64 as i32,
        field_name: "count(*)".to_owned(),
        field: Some(field_data::Field::Scalars(ScalarField {
            data: Some(scalar_field::Data::LongData(LongArray { data })),
        })),
        ..FieldData::default()
    }
}

fn ids(keys: &[Value]) -> IDs {
    let texts: Vec<_> = keys
        .iter()
        .filter_map(|key| if let Value::Text(text) = key { Some(text.clone()) } else { None })
        .collect();
    let numbers: Vec<_> = keys
        .iter()
        .filter_map(|key| if let Value::Long(number) = key { Some(*number) } else { None })
        .collect();
    let field = if texts.is_empty() {
        i_ds::IdField::IntId(LongArray { data: numbers })
    } else {
        i_ds::IdField::StrId(StringArray { data: texts })
    };
    IDs { id_field: Some(field) }
}
