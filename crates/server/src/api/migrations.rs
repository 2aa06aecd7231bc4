//! To create a migration job, or to see what would come of it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use vecferry_migrate::problem::{Check, CheckId, Outcome};
use vecferry_migrate::{AutoId, SourceLoad, VerifyLevel};
use vecferry_migrate::{Code, MaxRate, MigrateRequest, Migration, PlanHints, PlanSummary, PreCheck, Problem};
use vecferry_policy::Edition;
use vecferry_store::JobId;
use vecferry_words::Told;

use super::answer::{Answer, Made, Refusal, Refused, Result, answer, documents};
use super::clusters::{busy, cluster, token};
use super::extract::{Signed, read, text};
use crate::access::{Action, Caller};
use crate::jobs::{Access, Database, JobRequest, Options, Sides, edition, hints, not_too_many};
use crate::service::Service;
use crate::tables::{Along, Answered, Begun, ClusterRecord, MigrationSource, NewMigration, source_purpose};

/// Names of collections in a request.
const NAMES_MAX: usize = 10_000;
/// Characters of the name of a request.
const NAME_CHARACTERS_MAX: usize = 200;
/// A start may be so far away.
const START_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Fields that would change a schema, whatever they hold.
const SCHEMA_FIELDS: [&str; 24] = [
    "schema",
    "schemas",
    "fields",
    "field",
    "fieldMapping",
    "fieldMappings",
    "mapping",
    "mappings",
    "rename",
    "destCollectionName",
    "targetCollectionName",
    "newCollectionName",
    "dataType",
    "type",
    "elementType",
    "nullable",
    "defaultValue",
    "partitionKey",
    "primaryField",
    "dynamicField",
    "enableDynamicField",
    "shards",
    "shardsNum",
    "maxLength",
];

/// Where from: a cluster of the same organization, or one elsewhere.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Source {
    /// A registered cluster.
    #[serde(default)]
    #[schema(example = "vf-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) cluster_id: Option<String>,
    /// The address of a cluster of another organization, `http[s]://host[:port]`.
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    /// `user:password` or an API key for it. It is kept encrypted for the job, and erased at its end.
    #[serde(default)]
    #[schema(format = Password)]
    pub(crate) token: Option<String>,
    /// Certificate authorities to trust besides the usual ones, PEM.
    #[serde(default)]
    pub(crate) ca_certificate: Option<String>,
}

/// Where to.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Destination {
    /// A registered cluster.
    #[schema(example = "vf-0197b1e0c2d37c0f8a4b2f9f6f2f7c1b")]
    pub(crate) cluster_id: String,
}

/// A collection.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CollectionNamed {
    #[schema(example = "products")]
    pub(crate) collection_name: String,
}

/// Collections of one database.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DbCollections {
    /// Absent: the default database.
    #[serde(default)]
    #[schema(example = "default")]
    pub(crate) db_name: Option<String>,
    /// The database on the target; absent: of the same name.
    #[serde(default)]
    pub(crate) dest_db_name: Option<String>,
    /// Absent: all of the database.
    #[serde(default)]
    pub(crate) collections: Option<Vec<CollectionNamed>>,
}

/// How it is done; everything has a default.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MigrationOptions {
    /// `none`, `count`, `sample` or `full`; with `warm`, only `full`, which is the default then.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "full")]
    pub(crate) verify: Option<VerifyLevel>,
    /// Keys that the server makes: `refuse`, `keep` or `regenerate`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "keep")]
    pub(crate) auto_id: Option<AutoId>,
    /// Unloaded collections of the source: `temporary` or `never`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "temporary")]
    pub(crate) source_load: Option<SourceLoad>,
    /// Whether to wait until the indexes are built.
    #[serde(default)]
    pub(crate) wait_index: bool,
    /// Whether vectors get the index of the source instead of AUTOINDEX.
    #[serde(default)]
    pub(crate) keep_index_params: bool,
    /// Limit from the first row on: `20MB/s`, `500KB/s` or `1000rows/s`; absent or `none`: no limit.
    #[serde(default)]
    #[schema(example = "20MB/s")]
    pub(crate) max_rate: Option<String>,
    /// Whether it copies while the application still writes to the source. Such a job becomes `READY`, is brought up to date by
    /// `POST /v2/jobs/{jobId}/catch-up`, and ends with `POST /v2/jobs/{jobId}/cutover`.
    #[serde(default)]
    pub(crate) warm: bool,
    /// Whether such a job leaves its target collections loaded, so that the cut-over need not wait for it.
    #[serde(default)]
    pub(crate) load_target: bool,
}

/// A migration into a cluster that exists.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MigrationRequest {
    pub(crate) source: Source,
    pub(crate) destination: Destination,
    /// Absent: everything.
    #[serde(default)]
    pub(crate) db_collections: Option<Vec<DbCollections>>,
    #[serde(default)]
    pub(crate) options: MigrationOptions,
    /// When it starts, RFC 3339; absent: as soon as there is room. It is checked now and once more then, and refused if the
    /// check has changed, or if whoever created it has not the right to any more.
    #[serde(default)]
    pub(crate) start_time: Option<String>,
}

/// The job that was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobMade {
    #[schema(example = "0197b1e0-c2d3-7c0f-8a4b-2f9f6f2f7c1a")]
    pub(crate) job_id: String,
}

/// What a check came to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckOutcome {
    /// Whether the job can start.
    pub(crate) passed: bool,
    /// Every check: `id`, `outcome`, `facts` and `problems`, each with the way out.
    #[schema(value_type = Vec<Object>)]
    pub(crate) checks: Value,
    /// Everything that stands in the way.
    #[schema(value_type = Vec<Object>)]
    pub(crate) refusals: Value,
    /// What would be done, collection by collection; absent where something stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) plan: Option<Value>,
}

/// A request that was understood, with both clusters.
struct Asked {
    request: JobRequest,
    sides: Sides,
    target: ClusterRecord,
    source: AskedSource,
    edition: Edition,
}

enum AskedSource {
    Cluster(Box<ClusterRecord>),
    Elsewhere(Access),
}

impl AskedSource {
    fn address(&self) -> &str {
        match self {
            Self::Cluster(cluster) => &cluster.address,
            Self::Elsewhere(access) => &access.address,
        }
    }
}

/// Reads the body, and tells of what would change a schema why it is refused.
fn understood(body: &[u8]) -> std::result::Result<MigrationRequest, Refusal> {
    let unread = match read::<MigrationRequest>(body) {
        Ok(request) => return Ok(request),
        Err(refusal) => refusal,
    };
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Err(unread) };
    match schema_field(&value) {
        Some(field) => Err(Problem::new(Code::SchemaChange).with("field", field).into()),
        None => Err(unread),
    }
}

/// The first field that would change a schema.
fn schema_field(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if SCHEMA_FIELDS.contains(&name.as_str()) {
                return Some(name.clone());
            }
            schema_field(value)
        }),
        Value::Array(values) => values.iter().find_map(schema_field),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn databases(given: Vec<DbCollections>) -> std::result::Result<Vec<Database>, Refusal> {
    let mut databases = Vec::with_capacity(given.len());
    let mut names = 0;
    for DbCollections { db_name, dest_db_name, collections } in given {
        let db = match db_name.as_deref() {
            None | Some("") => "default".to_owned(),
            Some(name) => name_of("dbName", name)?,
        };
        let target_db = match dest_db_name.as_deref() {
            None | Some("") => db.clone(),
            Some(name) => name_of("destDbName", name)?,
        };
        let collections = match collections {
            None => None,
            Some(named) if named.is_empty() => {
                return Err(Refusal::bad_told(
                    "`collections` is empty; leave it out for all of the database",
                    "`collections` 为空；若要整个 Database，请省略它",
                ));
            }
            Some(named) => {
                names += named.len();
                let named = named.iter().map(|named| name_of("collectionName", &named.collection_name));
                Some(named.collect::<std::result::Result<Vec<_>, _>>()?)
            }
        };
        if names > NAMES_MAX || databases.len() > NAMES_MAX {
            return Err(Refusal::bad_told("too many collections are named", "指定的集合过多"));
        }
        databases.push(Database { db, target_db, collections });
    }
    Ok(databases)
}

/// A name of a database or a collection: never one that stands for several.
pub(crate) fn name_of(field: &str, given: &str) -> std::result::Result<String, Refusal> {
    let name = text(field, given, 255)?;
    if name.contains('*') || field != "collectionName" && name.contains('.') {
        return Err(Refusal::bad_told(
            format!("`{field}` is `{name}`, which is no name"),
            format!("`{field}` 为 `{name}`，不是有效的名称"),
        ));
    }
    Ok(name)
}

fn options(given: &MigrationOptions) -> std::result::Result<Options, Refusal> {
    let default = Options::default();
    let verify = match (given.warm, given.verify) {
        (true, None | Some(VerifyLevel::Full)) => VerifyLevel::Full,
        (true, Some(VerifyLevel::None | VerifyLevel::Count | VerifyLevel::Sample)) => {
            return Err(Refusal::bad_told(
                "with `warm`, `verify` can only be `full`: the cut-over compares every row",
                "使用 `warm` 时，`verify` 只能为 `full`：切换时会逐行比对",
            ));
        }
        (false, given) => given.unwrap_or(default.verify),
    };
    if given.load_target && !given.warm {
        return Err(Refusal::bad_told(
            "`loadTarget` is only for jobs with `warm`",
            "`loadTarget` 只能与 `warm` 一起使用",
        ));
    }
    Ok(Options {
        verify,
        auto_id: given.auto_id.unwrap_or(default.auto_id),
        source_load: given.source_load.unwrap_or(default.source_load),
        wait_index: given.wait_index,
        keep_index_params: given.keep_index_params,
        warm: given.warm,
        load_target: given.load_target,
    })
}

/// The limit as text, if it is one.
fn max_rate(given: &MigrationOptions) -> std::result::Result<Option<String>, Refusal> {
    let parsed = given.max_rate.as_deref().map_or(Ok(None), MaxRate::parse)?;
    Ok(parsed.map(|rate| rate.to_string()))
}

/// How to reach a source that is not registered.
pub(crate) fn access(source: &Source) -> std::result::Result<Option<Access>, Refusal> {
    let Some(endpoint) = source.endpoint.as_deref() else {
        if source.token.is_some() || source.ca_certificate.is_some() {
            return Err(Refusal::bad_told(
                "`source.token` and `source.caCertificate` belong to `source.endpoint`",
                "`source.token` 与 `source.caCertificate` 须与 `source.endpoint` 一起使用",
            ));
        }
        return Ok(None);
    };
    let address = text("source.endpoint", endpoint, 512)?;
    let token = token("source.token", source.token.as_deref())?;
    let ca_pem = source.ca_certificate.clone().filter(|pem| !pem.trim().is_empty());
    let token = token.map(|token| token.reveal().to_owned()).unwrap_or_default();
    Ok(Some(Access { address, token, ca_pem }))
}

async fn asked(
    service: &Service,
    caller: &Caller,
    given: MigrationRequest,
) -> std::result::Result<Asked, Refusal> {
    let target = cluster(service, caller, &given.destination.cluster_id, Action::Administer).await?;
    let (source, (endpoint, source_plan)) = match (&given.source.cluster_id, access(&given.source)?) {
        (Some(cluster_id), None) => {
            let record = cluster(service, caller, cluster_id, Action::Administer).await?;
            let side = (service.endpoint_of(&record).await?, hints(&record));
            (AskedSource::Cluster(Box::new(record)), side)
        }
        (None, Some(mut access)) => {
            let endpoint =
                service.endpoint(&access.address, access.secret(), access.ca_pem.as_deref()).await?;
            access.address = endpoint.to_string();
            (AskedSource::Elsewhere(access), (endpoint, PlanHints::default()))
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::bad_told(
                "`source` takes either `clusterId` or `endpoint`",
                "`source` 须指定 `clusterId` 或 `endpoint` 之一",
            ));
        }
    };
    let target_side = (service.endpoint_of(&target).await?, hints(&target));
    let sides = Sides { source: endpoint, source_plan, target: target_side.0, target_plan: target_side.1 };
    let request = JobRequest {
        databases: given.db_collections.map(databases).transpose()?,
        options: options(&given.options)?,
        max_rate: max_rate(&given.options)?,
    };
    let edition = edition(service, &caller.org_id).await?;
    not_too_many(request.named(), sides.target_plan.stated, &edition)?;
    Ok(Asked { request, sides, target, source, edition })
}

async fn checked(service: &Service, asked: &Asked) -> std::result::Result<PreCheck, Refusal> {
    let request: MigrateRequest = asked.request.to_engine(&asked.sides, asked.edition.clone())?;
    let directory = service.store().directory().map(std::path::Path::to_owned);
    let mut checked = Box::pin(Migration::check(request, directory.as_deref())).await;
    if let Some(migration) = &checked.migration {
        let count = migration.plan().collections.len();
        if let Err(problem) = not_too_many(count, asked.sides.target_plan.stated, &asked.edition) {
            checked.refusals.push(problem);
            checked.migration = None;
        }
    }
    Ok(checked)
}

/// The check of the caller's role, which only the service can make.
fn with_role(mut checks: Vec<Check>, title: (&'static str, &'static str)) -> Vec<Check> {
    for check in checks.iter_mut().filter(|check| check.id == CheckId::Role) {
        check.outcome = Outcome::Pass;
        check.facts = vec![Told::both(title.0, title.1)];
    }
    checks
}

/// Check a migration and see the plan, also of a pair that is refused; nothing is written anywhere
#[utoipa::path(post, path = "/v2/migrations/precheck", tag = "Migrations", operation_id = "precheckMigration", request_body = MigrationRequest,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<CheckOutcome>), (status = "default", body = Refused)))]
pub(crate) async fn precheck(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    body: axum::body::Bytes,
) -> Result<CheckOutcome> {
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    answer(outcome(&service, &caller, &body).await?)
}

/// The same for a caller who has a permit for a check of clusters.
pub(crate) async fn outcome(
    service: &Service,
    caller: &Caller,
    body: &[u8],
) -> std::result::Result<CheckOutcome, Refusal> {
    let asked = asked(service, caller, understood(body)?).await?;
    let title = caller.title_in(&asked.target.project_id);
    let checked = checked(service, &asked).await?;
    let plan = checked.migration.as_ref().map(|migration| PlanSummary::of(migration.plan()));
    Ok(CheckOutcome {
        passed: checked.migration.is_some(),
        checks: documents(&with_role(checked.checks, title))?,
        refusals: documents(&checked.refusals)?,
        plan: plan.as_ref().map(documents).transpose()?,
    })
}

/// Migrate into an existing cluster; takes a Project Admin of the target's project, and of the source's where it is registered
///
/// With an `Idempotency-Key`, the same request again within 24 hours gives the same job.
#[utoipa::path(post, path = "/v2/migrations/toExisting", tag = "Migrations", operation_id = "migrateToExisting", request_body = MigrationRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "A name of the caller's own for this request")),
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<JobMade>), (status = "default", body = Refused)))]
pub(crate) async fn to_existing(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> std::result::Result<Response, Refusal> {
    let given = understood(&body)?;
    let name = match headers.get("idempotency-key") {
        None => None,
        Some(value) => {
            let value = value.to_str().map_err(|_| {
                Refusal::bad_told("`Idempotency-Key` is not ASCII", "`Idempotency-Key` 不是 ASCII 字符")
            })?;
            Some(text("Idempotency-Key", value, NAME_CHARACTERS_MAX)?)
        }
    };
    let Some(name) = name else {
        let job_id = JobId::generate();
        create(&service, &caller, given, (&job_id, Along::default())).await?;
        return made(job_id.as_str());
    };
    made(&requested(&service, &caller, given, &body, (&name, None)).await?)
}

/// The job of a draft, which is removed with its creation. Started twice it is the same job.
pub(crate) async fn of_draft(
    service: &Service,
    caller: &Caller,
    body: &[u8],
    (name, draft_id): (&str, &str),
) -> std::result::Result<Made, Refusal> {
    let job_id = requested(service, caller, understood(body)?, body, (name, Some(draft_id))).await?;
    Ok(Made { id: job_id, name: None })
}

/// The job of a request that has a name.
async fn requested(
    service: &Service,
    caller: &Caller,
    given: MigrationRequest,
    body: &[u8],
    (name, draft_id): (&str, Option<&str>),
) -> std::result::Result<String, Refusal> {
    let job_id = JobId::generate();
    let actor = caller.actor.to_string();
    let of = (caller.org_id.as_str(), actor.as_str(), name);
    let hash = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match service.tables().begin_request(of, &hash, job_id.as_str()).await? {
        Begun::First => {}
        Begun::Again(Answered::Job(job_id)) => return Ok(job_id),
        Begun::Again(Answered::Another) => {
            return Err(Problem::new(Code::IdempotencyConflict).with("key", name).into());
        }
        Begun::Again(Answered::Unfinished) => {
            return Err(Refusal::conflict(
                "a request with this `Idempotency-Key` is under way; ask again in a moment",
                "带有此 `Idempotency-Key` 的请求正在处理；请稍后再试",
            ));
        }
    }
    match create(service, caller, given, (&job_id, Along { request: Some(of), draft_id })).await {
        Ok(()) => Ok(job_id.to_string()),
        Err(refusal) => {
            // Where this fails, the name is free a few minutes later.
            if let Err(error) = service.tables().drop_request(of, job_id.as_str()).await {
                tracing::warn!(%error, "the name of a request that made nothing stays for a while");
            }
            Err(refusal)
        }
    }
}

fn made(job_id: &str) -> std::result::Result<Response, Refusal> {
    let mut response = answer(JobMade { job_id: job_id.to_owned() })?.into_response();
    response.extensions_mut().insert(Made { id: job_id.to_owned(), name: None });
    Ok(response)
}

async fn create(
    service: &Service,
    caller: &Caller,
    given: MigrationRequest,
    (job_id, along): (&JobId, Along<'_>),
) -> std::result::Result<(), Refusal> {
    let now = service.tables().now_ms().await?;
    let start_ms = match given.start_time.as_deref() {
        None => now,
        Some(text) => start(text, now)?,
    };
    let is_later = given.start_time.is_some();
    let asked = asked(service, caller, given).await?;
    let checks = match is_later {
        false => None,
        true => {
            let _permit = service.checks().try_acquire().map_err(|_| busy())?;
            let checked = checked(service, &asked).await?;
            let Some(migration) = checked.migration else { return Err(checked.refusals.into()) };
            Some(migration.plan_file()?.to_text())
        }
    };
    let source_address = asked.source.address().to_owned();
    let source = match asked.source {
        AskedSource::Cluster(cluster) => {
            MigrationSource::Cluster { cluster_id: cluster.cluster_id, project_id: cluster.project_id }
        }
        AskedSource::Elsewhere(access) => {
            let secret = Some(sealed(service, job_id.as_str(), &access)?);
            MigrationSource::Elsewhere { secret }
        }
    };
    let job = NewMigration {
        job_id: job_id.to_string(),
        org_id: caller.org_id.clone(),
        project_id: asked.target.project_id,
        source,
        source_address,
        target_cluster_id: asked.target.cluster_id,
        target_address: asked.target.address,
        kind: asked.request.options.kind(),
        request: serde_json::to_string(&asked.request).map_err(Refusal::unavailable)?,
        created_by: caller.actor.to_string(),
        start_ms,
        checks,
    };
    service.tables().add_migration(job, along).await?;
    service.wake.notify_one();
    Ok(())
}

/// Access to a source, encrypted for a job.
pub(crate) fn sealed(
    service: &Service,
    job_id: &str,
    access: &Access,
) -> std::result::Result<Vec<u8>, Refusal> {
    let text = serde_json::to_string(access).map_err(Refusal::unavailable)?;
    Ok(service.seal(&source_purpose(job_id), &vecferry_milvus::Secret::new(text))?)
}

/// When a job starts.
fn start(text: &str, now_ms: i64) -> std::result::Result<i64, Refusal> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Refusal::bad_told(
            "`startTime` is no time as `2026-12-01T02:00:00+08:00`",
            "`startTime` 不是形如 `2026-12-01T02:00:00+08:00` 的时间",
        )
    })?;
    let start_ms = time.as_millisecond();
    let wait_max_ms = i64::try_from(START_MAX.as_millis()).unwrap_or(i64::MAX);
    if start_ms < now_ms || start_ms - now_ms > wait_max_ms {
        return Err(Refusal::bad_told(
            "`startTime` is not within the next 30 days",
            "`startTime` 不在未来 30 天内",
        ));
    }
    Ok(start_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_schema_is_told_by_its_field() {
        let request = |more: &str| {
            format!(
                r#"{{"source":{{"clusterId":"a"}},"destination":{{"clusterId":"b"}},"dbCollections":[{{"collections":[{{"collectionName":"c"{more}}}]}}]}}"#
            )
        };
        assert!(understood(request("").as_bytes()).is_ok());
        for (more, field) in [
            (r#","destCollectionName":"d""#, "destCollectionName"),
            (r#","schema":{"fields":[]}"#, "schema"),
            (r#","shardsNum":2"#, "shardsNum"),
        ] {
            let refusal = understood(request(more).as_bytes()).unwrap_err();
            assert_eq!(refusal.problems()[0].code, Code::SchemaChange);
            assert!(refusal.problems()[0].to_string().contains(field), "{:?}", refusal.problems());
        }
        let refusal = understood(request(r#","colour":1"#).as_bytes()).unwrap_err();
        assert_eq!(refusal.problems()[0].code, Code::BadRequest);
        assert!(refusal.problems()[0].to_string().contains("colour"));
    }

    #[test]
    fn names_stand_for_one_thing() {
        assert!(name_of("collectionName", "a.b").is_ok());
        for (field, name) in [("collectionName", "*"), ("dbName", "a.b"), ("dbName", "*"), ("dbName", " ")] {
            assert_eq!(name_of(field, name).unwrap_err().problems()[0].code, Code::BadRequest, "{name}");
        }
    }
}
