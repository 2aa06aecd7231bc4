//! What the source holds, as boxes to check. It is asked while a part of the page loads, so that a slow cluster blocks nothing.

use std::time::Duration;

use askama::Template;
use vecferry_migrate::Problem;
use vecferry_migrate::cluster::cluster_problem;
use vecferry_milvus::Client;
use vecferry_report::{figures, labels};

use super::draft::{Chosen, Source};
use super::source::{limits, what};
use super::{At, Step, at};
use crate::access::Action;
use crate::api::clusters::{busy, cluster};
use crate::api::contents::{CollectionSeen, Wanted, page as held_page};
use crate::api::migrations::name_of;
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::Visit;
use crate::console::page::{Shown, page};
use crate::console::show::{Say, Trouble};
use crate::watch::silent;

/// Collections that are shown.
const COLLECTIONS_MAX: usize = 1000;
/// Collections that can be chosen at all; how many one job takes is said by the edition.
const CHOSEN_MAX: usize = 10_000;
/// A cluster tells within this time what it holds.
const ASK_MAX: Duration = Duration::from_secs(60);

/// A collection with a box.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub(super) full: String,
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) rows_text: String,
    pub(super) is_loaded: bool,
    pub(super) is_chosen: bool,
}

/// A database with its collections.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) db: String,
    pub(super) boxes: Vec<Offered>,
}

impl Group {
    pub(super) fn count(&self, t: &Say) -> String {
        labels::some_collections(t.0, self.boxes.len())
    }
}

/// What the source holds.
#[derive(Clone, Debug, Default)]
pub(super) struct CollectionsShown {
    pub(super) groups: Vec<Group>,
    pub(super) count: usize,
    /// Chosen before, and not there now.
    pub(super) gone: Vec<Chosen>,
    /// Whether there are more than are shown.
    pub(super) is_cut: bool,
    pub(super) limit: Option<u64>,
    pub(super) free_limit: Option<u64>,
    pub(super) troubles: Vec<Trouble>,
    /// Whether it is to be asked again soon.
    pub(super) waits: bool,
}

#[derive(Template)]
#[template(path = "wizard_collections.html")]
struct CollectionsPart {
    t: Say,
    path: String,
    shown: CollectionsShown,
}

/// The part of the page that loads afterwards.
pub(super) async fn part(visit: Visit, Path(path): Path<(String, String)>) -> Shown {
    let at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    page(&CollectionsPart { t: at.t(), path: at.path(), shown: held(&at).await? })
}

/// What the source holds now, or why it does not tell.
pub(super) async fn held(at: &At) -> Result<CollectionsShown, Refusal> {
    let (limit, free_limit) = limits(at).await?;
    let shown = match seen(at).await {
        Ok((seen, is_cut)) => grouped(at, seen, is_cut),
        Err(refusal) => {
            let waits = refusal.status() == axum::http::StatusCode::TOO_MANY_REQUESTS;
            CollectionsShown { troubles: at.troubles(Some(&refusal)), waits, ..CollectionsShown::default() }
        }
    };
    Ok(CollectionsShown { limit, free_limit: free_limit.filter(|_| free_limit != limit), ..shown })
}

async fn seen(at: &At) -> Result<(Vec<CollectionSeen>, bool), Refusal> {
    let service = &at.visit.service;
    let endpoint = match (&at.draft.source, at.access()?) {
        (Some(Source::Cluster(named)), _) => {
            let record = cluster(service, &at.visit.caller, &named.cluster_id, Action::Administer).await?;
            service.endpoint_of(&record).await?
        }
        (Some(Source::Elsewhere(_)), Some(access)) => {
            service.endpoint(&access.address, access.secret(), access.ca_pem.as_deref()).await?
        }
        (Some(Source::Elsewhere(_)) | None, _) => {
            return Err(Refusal::conflict("no source is chosen", "尚未选择源集群"));
        }
    };
    let _permit = service.checks().try_acquire().map_err(|_| busy())?;
    let asked = async {
        let client = Client::connect(endpoint, 1).await?;
        held_page(&client, &Wanted::all(None), None, COLLECTIONS_MAX).await
    };
    let told = tokio::time::timeout(ASK_MAX, Box::pin(asked)).await;
    let told = told.map_err(|_| silent(ASK_MAX))?;
    let told = told.map_err(|error| -> Problem { cluster_problem(&error) })?;
    Ok((told.collections, told.cursor.is_some()))
}

fn grouped(at: &At, seen: Vec<CollectionSeen>, is_cut: bool) -> CollectionsShown {
    let mut gone = at.draft.collections.clone();
    let mut groups: Vec<Group> = Vec::new();
    let count = seen.len();
    for collection in seen {
        let full = format!("{}.{}", collection.db_name, collection.collection_name);
        let is_chosen = gone.iter().any(|chosen| chosen.full() == full);
        gone.retain(|chosen| chosen.full() != full);
        let shown = Offered {
            name: collection.collection_name,
            rows: collection.rows,
            rows_text: figures::count(collection.rows),
            is_loaded: collection.load_state == "loaded",
            is_chosen,
            full,
        };
        match groups.last_mut() {
            Some(group) if group.db == collection.db_name => group.boxes.push(shown),
            Some(_) | None => groups.push(Group { db: collection.db_name, boxes: vec![shown] }),
        }
    }
    CollectionsShown { groups, count, gone, is_cut, ..CollectionsShown::default() }
}

/// Takes the collections whose boxes are checked.
pub(super) async fn choose(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let mut at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let taken = chosen(&form);
    let kept = match taken {
        Ok(collections) => {
            at.draft.collections = collections;
            let databases: Vec<String> = at.draft.databases().into_iter().map(str::to_owned).collect();
            at.draft.target_dbs.retain(|db, _| databases.contains(db));
            // What was checked is kept also where it is too much: the list comes later, and asks the source.
            match at.keep().await {
                Ok(()) => within(&at).await,
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    match kept {
        Ok(()) => at.to(Step::Target),
        Err(refusal) => what(&at, Some(&refusal), false).await,
    }
}

/// Whether one job takes as many, into the target that was chosen or any.
async fn within(at: &At) -> Result<(), Refusal> {
    let target = at.draft.target.as_ref();
    let plan = target.and_then(|target| vecferry_policy::Deployment::parse(&target.plan));
    let edition = crate::jobs::edition(&at.visit.service, &at.visit.caller.org_id).await?;
    Ok(crate::jobs::not_too_many(at.draft.collections.len(), plan, &edition)?)
}

/// The collections of a form: `db.name`, with the rows that the page showed.
fn chosen(form: &Form) -> Result<Vec<Chosen>, Refusal> {
    let mut collections = Vec::new();
    for value in form.all("collection").take(CHOSEN_MAX) {
        let (rows, full) = value.split_once(' ').unwrap_or(("0", value));
        let (db, name) = full.split_once('.').unwrap_or(("default", full));
        collections.push(Chosen {
            db: name_of("dbName", db)?,
            name: name_of("collectionName", name)?,
            rows: rows.parse().unwrap_or(0),
        });
    }
    if collections.is_empty() {
        return Err(Refusal::bad_told(
            "no collection is chosen; check at least one",
            "尚未选择 Collection；请至少勾选一个",
        ));
    }
    Ok(collections)
}
