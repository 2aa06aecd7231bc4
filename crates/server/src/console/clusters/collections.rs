//! What a cluster holds. The cluster is asked while the part loads; its page is there already.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use vecferry_report::figures;

use super::shown::{ClusterShown, of_address, troubles};
use crate::api::contents::{self as api, CollectionSeen, CollectionsQuery, IndexSeen};
use crate::api::fields::FieldSeen;
use crate::api::{Path, Query, Refusal, Signed};
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page, page_with};
use crate::console::show::{Say, Trouble};

/// Collections of a page.
const ROWS: usize = 50;

/// Which of them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    db: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    cursor: String,
    /// A page of its own, for browsers without scripts.
    #[serde(default)]
    whole: String,
}

/// An address with what is asked for.
pub(super) fn address(base: &str, wanted: &Wanted, whole: &str) -> String {
    query(base, &[("db", &wanted.db), ("q", &wanted.q), ("cursor", &wanted.cursor), ("whole", whole)])
}

fn query(base: &str, pairs: &[(&str, &str)]) -> String {
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    match written.finish() {
        written if written.is_empty() => base.to_owned(),
        written => format!("{base}?{written}"),
    }
}

/// A collection in the list.
#[derive(Debug)]
struct Row {
    db: String,
    name: String,
    /// The address of its page.
    link: String,
    rows: u64,
    fields: usize,
    /// What vectors it holds.
    vectors: Vec<String>,
    partitions: usize,
    shards: i32,
    indexes: Vec<String>,
    state: Readiness,
}

/// Whether a collection can be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Loaded,
    Loading,
    NotLoaded,
}

impl Readiness {
    fn of(name: &str) -> Self {
        match name {
            "loaded" => Self::Loaded,
            "loading" => Self::Loading,
            _ => Self::NotLoaded,
        }
    }

    fn tone(self) -> &'static str {
        match self {
            Self::Loaded => "good",
            Self::Loading => "live",
            Self::NotLoaded => "idle",
        }
    }

    fn word(self, t: &Say) -> &'static str {
        match self {
            Self::Loaded => t.0.pick("Loaded", "已加载"),
            Self::Loading => t.0.pick("Loading", "加载中"),
            Self::NotLoaded => t.0.pick("Not loaded", "未加载"),
        }
    }
}

fn is_vector(field: &FieldSeen) -> bool {
    field.data_type.ends_with("Vector")
}

/// `embedding FloatVector(768)`
fn vector(field: &FieldSeen) -> String {
    match field.params.get("dim") {
        Some(dim) => format!("{} {}({dim})", field.field_name, field.data_type),
        None => format!("{} {}", field.field_name, field.data_type),
    }
}

/// `embedding: HNSW, COSINE`
fn index_line(index: &IndexSeen) -> String {
    let value = |name: &str| index.params.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let parts: Vec<_> = [value("index_type"), value("metric_type")].into_iter().flatten().collect();
    format!("{}: {}", index.field_name, parts.join(", "))
}

impl Row {
    fn of(seen: CollectionSeen, base: &str) -> Self {
        let pairs = [("db", seen.db_name.as_str()), ("name", seen.collection_name.as_str())];
        Self {
            link: query(&format!("{base}/collection"), &pairs),
            fields: seen.fields.len(),
            vectors: seen.fields.iter().filter(|field| is_vector(field)).map(vector).collect(),
            indexes: seen.indexes.iter().map(index_line).collect(),
            state: Readiness::of(seen.load_state),
            db: seen.db_name,
            name: seen.collection_name,
            rows: seen.rows,
            partitions: seen.partitions,
            shards: seen.shards,
        }
    }

    fn count(&self) -> String {
        figures::count(self.rows)
    }
}

/// The collections alone.
#[derive(Template)]
#[template(path = "cluster_collections.html")]
struct PartAlone {
    t: Say,
    part: Part,
}

/// The collections.
struct Part {
    /// Where the form leads to.
    action: String,
    /// Whether the form leads to a page without scripts again.
    is_whole: bool,
    db: String,
    q: String,
    databases: Vec<String>,
    rows: Vec<Row>,
    first: Option<String>,
    behind: Option<String>,
    /// To ask again.
    again: String,
    troubles: Vec<Trouble>,
}

impl Part {
    fn is_filtered(&self) -> bool {
        !self.db.is_empty() || !self.q.is_empty()
    }
}

/// The collections as a page of their own.
#[derive(Template)]
#[template(path = "cluster_collections_whole.html")]
struct PartWhole {
    frame: Frame,
    t: Say,
    project_id: String,
    cluster: ClusterShown,
    part: Part,
}

/// The collections of a cluster: the part of its page, or a page of its own.
pub(super) async fn listed(
    visit: Visit,
    Path(at): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let (project, cluster) = of_address(&visit, (&at.0, &at.1)).await?;
    let base = format!("/p/{}/clusters/{}", project.project_id, cluster.id);
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let asked = CollectionsQuery {
        db_name: some(&wanted.db),
        collection_name: None,
        search: some(&wanted.q),
        cursor: some(&wanted.cursor),
        page_size: Some(ROWS),
    };
    let is_whole = !wanted.whole.is_empty();
    let action = if is_whole { format!("{base}/collections") } else { base.clone() };
    let to = |cursor: &str| {
        let pairs = [("db", &*wanted.db), ("q", &wanted.q), ("cursor", cursor), ("whole", &wanted.whole)];
        format!("{}#collections", query(&action, &pairs))
    };
    let mut part = Part {
        is_whole,
        db: wanted.db.clone(),
        q: wanted.q.clone(),
        databases: Vec::new(),
        rows: Vec::new(),
        first: some(&wanted.cursor).map(|_| to("")),
        behind: None,
        again: to(&wanted.cursor),
        troubles: Vec::new(),
        action: action.clone(),
    };
    let status = match asked_of(&visit, &cluster.id, asked).await {
        Ok(seen) => {
            part.databases = seen.databases;
            part.behind = seen.cursor.as_deref().map(to);
            part.rows = seen.collections.into_iter().map(|seen| Row::of(seen, &base)).collect();
            StatusCode::OK
        }
        Err(refusal) => {
            part.troubles = troubles(&refusal, visit.t());
            refusal.status()
        }
    };
    if !is_whole {
        // What went wrong is what the part shows.
        return page(&PartAlone { t: visit.t(), part });
    }
    let page = PartWhole {
        frame: visit.frame_in(&project, Place::Clusters).await?,
        t: visit.t(),
        project_id: project.project_id,
        cluster,
        part,
    };
    page_with(status, &page)
}

async fn asked_of(
    visit: &Visit,
    cluster_id: &str,
    asked: CollectionsQuery,
) -> Result<api::CollectionsSeen, Refusal> {
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    Ok(Box::pin(api::collections(state, signed, Path(cluster_id.to_owned()), Query(asked))).await?.data)
}

/// Which collection.
#[derive(Debug, Deserialize)]
pub(super) struct Single {
    db: String,
    name: String,
    /// The part alone.
    #[serde(default)]
    part: String,
    #[serde(default)]
    whole: String,
}

#[derive(Template)]
#[template(path = "cluster_collection.html")]
struct CollectionPage {
    frame: Frame,
    t: Say,
    project_id: String,
    cluster: ClusterShown,
    may_change: bool,
    db: String,
    name: String,
    /// The address of the collection alone.
    load: String,
    /// The same as a page of its own.
    whole: String,
    capacity: String,
    /// What the cluster says, where that is asked for with the page.
    part: Option<SchemaPart>,
}

/// A field with its indexes.
#[derive(Debug)]
struct FieldRow {
    field: FieldSeen,
    indexes: Vec<IndexRow>,
}

impl FieldRow {
    /// `FloatVector(768)`, `VarChar(256)`, `Array<Int64>(100)`
    fn kind(&self) -> String {
        let field = &self.field;
        let element = field.element_type.as_ref().map(|kind| format!("<{kind}>")).unwrap_or_default();
        let sizes: Vec<_> = SIZES.iter().filter_map(|name| field.params.get(*name)).cloned().collect();
        let sizes = if sizes.is_empty() { String::new() } else { format!("({})", sizes.join(", ")) };
        format!("{}{element}{sizes}", field.data_type)
    }

    /// Parameters that the type does not show, as `enable_analyzer=true`.
    fn others(&self) -> Vec<String> {
        let others = self.field.params.iter().filter(|(name, _)| !SIZES.contains(&name.as_str()));
        others.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// What it is for.
    fn marks(&self, t: &Say) -> Vec<&'static str> {
        let field = &self.field;
        let all = [
            (field.is_primary, t.0.pick("Primary key", "主键")),
            (field.auto_id, t.0.pick("Auto ID", "AutoID")),
            (field.is_partition_key, t.0.pick("Partition key", "Partition Key")),
            (field.is_clustering_key, t.0.pick("Clustering key", "聚类键")),
            (field.is_function_output, t.0.pick("Computed by a function", "由函数生成")),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect()
    }
}

/// Parameters that stand behind the type.
const SIZES: [&str; 3] = ["dim", "max_length", "max_capacity"];

/// An index.
#[derive(Debug)]
struct IndexRow {
    name: String,
    kind: String,
    params: Vec<String>,
}

impl IndexRow {
    fn of(index: &IndexSeen) -> Self {
        let shown = ["index_type", "metric_type"];
        let value = |name: &str| index.params.get(name).filter(|value| !value.is_empty()).cloned();
        let kind: Vec<_> = shown.iter().filter_map(|name| value(name)).collect();
        let params = index.params.iter().filter(|(name, _)| !shown.contains(&name.as_str()));
        Self {
            name: index.index_name.clone(),
            kind: kind.join(", "),
            params: params.map(|(name, value)| format!("{name}={value}")).collect(),
        }
    }
}

/// What the cluster says of a collection, alone.
#[derive(Template)]
#[template(path = "cluster_schema.html")]
struct SchemaAlone {
    t: Say,
    part: SchemaPart,
}

/// What the cluster says of a collection.
struct SchemaPart {
    seen: Option<CollectionSeen>,
    fields: Vec<FieldRow>,
    again: String,
    troubles: Vec<Trouble>,
}

impl SchemaPart {
    fn state(&self) -> Readiness {
        self.seen.as_ref().map_or(Readiness::NotLoaded, |seen| Readiness::of(seen.load_state))
    }

    fn rows(&self) -> String {
        figures::count(self.seen.as_ref().map_or(0, |seen| seen.rows))
    }
}

/// A collection: its page, or what the cluster says of it.
pub(super) async fn single(
    visit: Visit,
    Path(at): Path<(String, String)>,
    Query(asked): Query<Single>,
) -> Shown {
    let (project, cluster) = of_address(&visit, (&at.0, &at.1)).await?;
    let base = format!("/p/{}/clusters/{}", project.project_id, cluster.id);
    let to = |more: &[(&str, &str)]| {
        let pairs = [("db", asked.db.as_str()), ("name", asked.name.as_str())];
        query(&format!("{base}/collection"), &[&pairs, more].concat())
    };
    let title = format!("{}.{}", asked.db, asked.name);
    let mut part = match asked.part.is_empty() && asked.whole.is_empty() {
        true => None,
        false => Some(schema(&visit, &cluster.id, &asked, to(&[])).await),
    };
    if let Some(part) = part.take_if(|_| !asked.part.is_empty()) {
        return page(&SchemaAlone { t: visit.t(), part });
    }
    page(&CollectionPage {
        frame: visit.frame_in(&project, Place::Clusters).await?,
        t: visit.t(),
        may_change: visit.administers(&project.project_id),
        capacity: query(&format!("{base}/capacity"), &[("collection", &title)]),
        load: to(&[("part", "1")]),
        whole: to(&[("whole", "1")]),
        project_id: project.project_id,
        cluster,
        db: asked.db,
        name: asked.name,
        part,
    })
}

async fn schema(visit: &Visit, cluster_id: &str, asked: &Single, again: String) -> SchemaPart {
    let query = CollectionsQuery {
        db_name: Some(asked.db.clone()),
        collection_name: Some(asked.name.clone()),
        search: None,
        cursor: None,
        page_size: Some(1),
    };
    let found = asked_of(visit, cluster_id, query).await.and_then(|seen| {
        let absent = || Refusal::absent(("collection", "Collection"), &asked.name);
        seen.collections.into_iter().next().ok_or_else(absent)
    });
    let mut part = SchemaPart { seen: None, fields: Vec::new(), again, troubles: Vec::new() };
    match found {
        Ok(mut seen) => {
            let fields = std::mem::take(&mut seen.fields).into_iter();
            part.fields = fields.map(|field| with_indexes(field, &seen.indexes)).collect();
            part.seen = Some(seen);
        }
        Err(refusal) => part.troubles = troubles(&refusal, visit.t()),
    }
    part
}

fn with_indexes(field: FieldSeen, indexes: &[IndexSeen]) -> FieldRow {
    let of_field = indexes.iter().filter(|index| index.field_name == field.field_name);
    FieldRow { indexes: of_field.map(IndexRow::of).collect(), field }
}
