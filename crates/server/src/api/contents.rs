//! What a registered cluster holds, and what it would take to hold it elsewhere. Both are asked of the cluster while the
//! caller waits, so that not too many are at once.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use vecferry_migrate::Selection;
use vecferry_migrate::capacity::{CapacityRequest, capacity};
use vecferry_migrate::cluster::cluster_problem;
use vecferry_milvus::{Client, CollectionName, Error, ErrorKind, LoadState};

use super::answer::{Answer, Refusal, Refused, Result, answer, documents};
use super::clusters::{busy, cluster};
use super::extract::{Body, Path, Query, Signed, text};
use super::fields::{FieldSeen, FunctionSeen, fields, functions};
use crate::access::Action;
use crate::service::Service;
use crate::watch::silent;

/// Collections of an answer.
const COLLECTIONS_MAX: usize = 1000;
const COLLECTIONS_DEFAULT: usize = 100;
/// A cluster tells within this time what it holds.
const ASK_MAX: Duration = Duration::from_secs(30);
/// Collections that are asked about at once.
const PARALLEL: usize = 8;
/// Selectors of a request.
const SELECTORS_MAX: usize = 1000;

/// Which collections.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CollectionsQuery {
    /// Only of this database.
    pub(crate) db_name: Option<String>,
    /// Only the one of this name.
    pub(crate) collection_name: Option<String>,
    /// Only those whose name has this in it, whatever case its letters have.
    pub(crate) search: Option<String>,
    /// The cursor of the page before.
    pub(crate) cursor: Option<String>,
    /// Collections of a page, 1 to 1000; 100 where nothing is said.
    pub(crate) page_size: Option<usize>,
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CollectionSeen {
    #[schema(example = "default")]
    pub(crate) db_name: String,
    #[schema(example = "products")]
    pub(crate) collection_name: String,
    /// One line a field, then functions.
    #[schema(example = json!(["id Int64, primary key", "embedding FloatVector(dim=768)"]))]
    pub(crate) schema: Vec<String>,
    /// The same, field by field.
    pub(crate) fields: Vec<FieldSeen>,
    pub(crate) functions: Vec<FunctionSeen>,
    /// Whether rows may have fields that the schema does not name.
    pub(crate) enable_dynamic_field: bool,
    pub(crate) shards: i32,
    pub(crate) partitions: usize,
    pub(crate) aliases: Vec<String>,
    /// By the statistics of the cluster, which count deleted rows for a while.
    pub(crate) rows: u64,
    pub(crate) indexes: Vec<IndexSeen>,
    /// `loaded`, `loading` or `notLoaded`.
    #[schema(example = "loaded")]
    pub(crate) load_state: &'static str,
}

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexSeen {
    pub(crate) index_name: String,
    pub(crate) field_name: String,
    /// `index_type`, `metric_type` …
    pub(crate) params: std::collections::BTreeMap<String, String>,
}

/// A page of collections, by database and name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CollectionsSeen {
    /// All databases that the cluster's credential sees.
    pub(crate) databases: Vec<String>,
    pub(crate) collections: Vec<CollectionSeen>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// What a registered cluster holds; it is asked now, with its credential
#[utoipa::path(get, path = "/v2/clusters/{clusterId}/collections", tag = "Clusters", operation_id = "listCollections",
    params(("clusterId" = String, Path, description = "The cluster"), CollectionsQuery), security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<CollectionsSeen>), (status = "default", body = Refused)))]
pub(crate) async fn collections(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Path(cluster_id): Path<String>,
    Query(query): Query<CollectionsQuery>,
) -> Result<CollectionsSeen> {
    let record = cluster(&service, &caller, &cluster_id, Action::Look).await?;
    let rows = query.page_size.unwrap_or(COLLECTIONS_DEFAULT);
    if !(1..=COLLECTIONS_MAX).contains(&rows) {
        return Err(Refusal::bad_told(
            format!("`pageSize` is {rows}, not from 1 to {COLLECTIONS_MAX}"),
            format!("`pageSize` 为 {rows}，不在 1 到 {COLLECTIONS_MAX} 之间"),
        ));
    }
    let after = query.cursor.as_deref().map(cursor_of).transpose()?;
    let wanted = Wanted::of(query);
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let endpoint = service.endpoint_of(&record).await?;
    let seen = Box::pin(async {
        let client = Client::connect(endpoint, 1).await?;
        page(&client, &wanted, after, rows).await
    });
    // A cluster that answers slowly, again and again, must not keep others from asking theirs.
    let seen = tokio::time::timeout(ASK_MAX, seen).await.map_err(|_| silent(ASK_MAX))?;
    answer(seen.map_err(|error| cluster_problem(&error))?)
}

/// The last collection of a page: the first dot ends the database.
fn cursor_of(text: &str) -> std::result::Result<(String, String), Refusal> {
    let parts = text.split_once('.');
    parts
        .map(|(db, name)| (db.to_owned(), name.to_owned()))
        .ok_or_else(|| Refusal::bad_told("`cursor` is none of this list", "`cursor` 不是该列表的游标"))
}

/// Which collections are asked for.
pub(crate) struct Wanted {
    db: Option<String>,
    name: Option<String>,
    /// In small letters.
    search: String,
}

impl Wanted {
    /// All collections of one database, or of all.
    pub(crate) fn all(db: Option<&str>) -> Self {
        Self { db: db.map(str::to_owned), name: None, search: String::new() }
    }

    fn of(query: CollectionsQuery) -> Self {
        let search = query.search.unwrap_or_default().trim().to_lowercase();
        Self { db: query.db_name, name: query.collection_name, search }
    }

    fn has_db(&self, name: &str) -> bool {
        self.db.as_deref().is_none_or(|db| db == name)
    }

    fn has(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && (self.search.is_empty() || name.to_lowercase().contains(&self.search))
    }
}

/// A page of what a cluster holds.
pub(crate) async fn page(
    client: &Client,
    wanted: &Wanted,
    after: Option<(String, String)>,
    rows: usize,
) -> std::result::Result<CollectionsSeen, Error> {
    let mut databases = client.databases().await?;
    databases.sort_unstable();
    let is_behind = |db: &String| after.as_ref().is_none_or(|(after_db, _)| db >= after_db);
    let is_asked = |name: &&String| wanted.has_db(name) && is_behind(name);
    let mut names: Vec<CollectionName> = Vec::new();
    for db in databases.iter().filter(is_asked) {
        let mut of_db = client.collections(db).await?;
        of_db.sort_unstable();
        let behind = |name: &String| {
            after.as_ref().is_none_or(|(after_db, after_name)| db != after_db || name > after_name)
        };
        let of_db = of_db.into_iter().filter(behind).filter(|name| wanted.has(name));
        names.extend(of_db.map(|name| CollectionName::new(db, name)));
        // One more tells whether there is another page.
        if names.len() > rows {
            break;
        }
    }
    let is_last = names.len() <= rows;
    names.truncate(rows);
    let cursor = names.last().filter(|_| !is_last).map(|name| format!("{}.{}", name.db, name.name));
    let looks: Vec<_> = names.iter().map(|name| seen(client, name)).collect();
    let collections: Vec<_> = stream::iter(looks).buffered(PARALLEL).try_collect().await?;
    Ok(CollectionsSeen { databases, collections: collections.into_iter().flatten().collect(), cursor })
}

/// A collection; none that was dropped meanwhile.
async fn seen(client: &Client, name: &CollectionName) -> std::result::Result<Option<CollectionSeen>, Error> {
    match described(client, name).await {
        Err(error) if error.kind() == ErrorKind::CollectionNotFound => Ok(None),
        described => described.map(Some),
    }
}

async fn described(client: &Client, name: &CollectionName) -> std::result::Result<CollectionSeen, Error> {
    let described = client.describe(name).await?;
    let indexes = client.indexes(name).await?;
    let load_state = match client.load_state(name, None).await? {
        LoadState::Loaded => "loaded",
        LoadState::Loading => "loading",
        LoadState::NotLoaded => "notLoaded",
    };
    let rows = client.row_estimate(name).await?;
    let aliases = client.aliases(&described).await?;
    let partitions = client.partitions(name).await?.len();
    let schema = described.schema.decoded();
    let indexes = indexes.into_iter().map(|index| IndexSeen {
        index_name: index.name,
        field_name: index.field,
        params: index.params.into_iter().map(|pair| (pair.key, pair.value)).collect(),
    });
    Ok(CollectionSeen {
        db_name: described.name.db.clone(),
        collection_name: described.name.name.clone(),
        schema: described.schema.outline(),
        fields: fields(schema),
        functions: functions(schema),
        enable_dynamic_field: schema.enable_dynamic_field,
        partitions,
        shards: described.shards,
        aliases,
        rows,
        indexes: indexes.collect(),
        load_state,
    })
}

/// Whose collections are to be weighed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CapacityAsked {
    /// A registered cluster.
    #[schema(example = "vf-0197b1e0c2d37c0f8a4b2f9f6f2f7c1a")]
    pub(crate) cluster_id: String,
    /// `NAME`, `DB.NAME` or `DB.*`; absent: everything.
    #[serde(default)]
    #[schema(example = json!(["default.products"]))]
    pub(crate) collections: Vec<String>,
    /// What is left out, written the same.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Whether only what the cluster's credential sees is meant.
    #[serde(default)]
    pub(crate) visible_only: bool,
}

/// What collections need.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacitySeen {
    pub(crate) connect_address: String,
    pub(crate) version: String,
    /// Rows, bytes and compute units, and how long a copy takes.
    #[schema(value_type = Object)]
    pub(crate) capacity: Value,
}

/// What the collections of a registered cluster need in Zilliz Cloud, by a sample of their rows; takes a Project Admin
#[utoipa::path(post, path = "/v2/capacity", tag = "Clusters", operation_id = "estimateCapacity", request_body = CapacityAsked,
    security(("apiKey" = []), ("session" = [])),
    responses((status = 200, body = Answer<CapacitySeen>), (status = "default", body = Refused)))]
pub(crate) async fn estimate(
    State(service): State<Arc<Service>>,
    Signed(caller): Signed,
    Body(asked): Body<CapacityAsked>,
) -> Result<CapacitySeen> {
    let record = cluster(&service, &caller, &asked.cluster_id, Action::Administer).await?;
    if asked.collections.len() + asked.exclude.len() > SELECTORS_MAX {
        return Err(Refusal::bad_told("too many collections are named", "指定的集合过多"));
    }
    for name in asked.collections.iter().chain(&asked.exclude) {
        text("collections", name, 512)?;
    }
    let selection = Selection::parse(&asked.collections, &asked.exclude)?;
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let source = service.endpoint_of(&record).await?;
    let request = CapacityRequest { source, selection, visible_only: asked.visible_only };
    let (seen, report) = Box::pin(capacity(request)).await?;
    let capacity = documents(&report)?;
    answer(CapacitySeen { connect_address: seen.address, version: seen.version, capacity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_database_and_a_collection() {
        assert_eq!(cursor_of("default.a.b").unwrap(), ("default".to_owned(), "a.b".to_owned()));
        let refusal = cursor_of("default").unwrap_err();
        assert!(refusal.problems()[0].to_string().contains("`cursor`"), "{refusal:?}");
    }
}
