//! The second step: which cluster of the project, and which databases there.

use std::collections::BTreeMap;

use askama::Template;
use vecferry_migrate::precheck::pair_problem;
use vecferry_migrate::problem::Side;
use vecferry_migrate::{Code, Problem};
use vecferry_policy::Edition;

use super::cluster::{Choice, Offered, administered, away, choice, named, plan};
use super::draft::Source;
use super::{At, Head, Step, at, check};
use crate::access::Action;
use crate::api::clusters::cluster;
use crate::api::migrations::name_of;
use crate::api::{Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Visit};
use crate::console::page::{Shown, page_of_form};
use crate::console::show::{Say, Trouble};
use crate::jobs::{edition, not_too_many};
use crate::tables::ClusterRecord;

/// A database of the source and its name on the target.
#[derive(Clone, Debug)]
struct Renamed {
    db: String,
    target_db: String,
}

#[derive(Template)]
#[template(path = "wizard_target.html")]
struct TargetPage {
    frame: Frame,
    t: Say,
    head: Head,
    troubles: Vec<Trouble>,
    offered: Offered,
    /// Where clusters are searched for.
    fields: Vec<(&'static str, &'static str)>,
    databases: Vec<Renamed>,
    is_renamed: bool,
}

/// The step; after a refusal with what was typed.
pub(super) async fn shown(at: &At, find: &str, refusal: Option<&Refusal>, form: Option<&Form>) -> Shown {
    let offered = offered(at, find.trim(), form).await?;
    let target_db = |db: &str| match form {
        Some(form) => form.text(&field(db)).to_owned(),
        None => at.draft.target_dbs.get(db).cloned().unwrap_or_default(),
    };
    let databases = at.draft.databases();
    let databases: Vec<_> =
        databases.into_iter().map(|db| Renamed { db: db.to_owned(), target_db: target_db(db) }).collect();
    let page = TargetPage {
        frame: at.frame().await?,
        t: at.t(),
        head: at.head(Step::Target),
        troubles: at.troubles(refusal),
        offered,
        fields: vec![("step", "target")],
        is_renamed: match form {
            Some(form) => form.text("databases") == "rename",
            None => databases.iter().any(|renamed| !renamed.target_db.is_empty()),
        },
        databases,
    };
    page_of_form(refusal, &page)
}

/// The field of a database.
fn field(db: &str) -> String {
    format!("database {db}")
}

async fn offered(at: &At, find: &str, form: Option<&Form>) -> Result<Offered, Refusal> {
    let (service, visit) = (&at.visit.service, &at.visit);
    let edition = edition(service, &visit.caller.org_id).await?;
    let source_address = source_address(at).await?;
    let chosen = match form {
        Some(form) => Some(form.text("cluster")),
        None => at.draft.target.as_ref().map(|target| target.cluster_id.as_str()),
    };
    let (count, records) = administered(service, &visit.caller, Some(&at.project.project_id), find).await?;
    let choices = records.into_iter().map(|record| {
        let is_source = record.address == source_address;
        let problem = refused(at, &record, &edition);
        let choice = choice(record, String::new(), chosen, problem.as_ref(), visit.lang());
        let note = is_source.then(|| renames_only(visit.t())).or(choice.note);
        Choice { note, ..choice }
    });
    let mut choices: Vec<_> = choices.collect();
    choices.sort_by_key(|choice| choice.trouble.is_some());
    Ok(Offered { choices, find: find.to_owned(), count })
}

async fn source_address(at: &At) -> Result<String, Refusal> {
    match &at.draft.source {
        Some(Source::Elsewhere(found)) => Ok(found.address.clone()),
        Some(Source::Cluster(named)) => {
            let tables = at.visit.service.tables();
            let record = tables.cluster(&at.visit.caller.org_id, &named.cluster_id).await?;
            Ok(record.map(|record| record.address).unwrap_or_default())
        }
        None => Ok(String::new()),
    }
}

/// What is to be known of the source as the target.
fn renames_only(t: Say) -> &'static str {
    t.0.pick(
        "This is the source itself: choose it only to copy into databases with other names.",
        "该集群就是源集群：仅可复制到其他名称的 Database。",
    )
}

/// Why a cluster can't take what was chosen. Only what is known without asking it: the pre-check asks.
fn refused(at: &At, record: &ClusterRecord, edition: &Edition) -> Option<Problem> {
    let plan = plan(record);
    let of_pair = || pair_problem(edition, at.draft.source_plan()?, plan?);
    let of_number = || not_too_many(at.draft.collections.len(), plan, edition).err();
    of_pair().or_else(|| away(record, Side::Target)).or_else(of_number)
}

/// Takes a target, and begins to check.
pub(super) async fn choose(visit: Visit, Path(path): Path<(String, String)>, form: Form) -> Shown {
    let mut at = match at(visit, path).await? {
        Ok(at) => at,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if at.draft.collections.is_empty() {
        return at.to(Step::Source);
    }
    match chosen(&mut at, &form).await {
        Ok(()) => check::begun(&at).await,
        Err(refusal) => shown(&at, form.text("find"), Some(&refusal), Some(&form)).await,
    }
}

async fn chosen(at: &mut At, form: &Form) -> Result<(), Refusal> {
    let cluster_id = form.text("cluster");
    if cluster_id.is_empty() {
        return Err(Refusal::bad_told("no target cluster is chosen", "尚未选择目标集群"));
    }
    let visit = &at.visit;
    let record = cluster(&visit.service, &visit.caller, cluster_id, Action::Administer).await?;
    if record.project_id != at.project.project_id {
        return Err(Refusal::absent(crate::api::clusters::KIND, cluster_id));
    }
    let edition = edition(&visit.service, &visit.caller.org_id).await?;
    if let Some(problem) = refused(at, &record, &edition) {
        return Err(problem.into());
    }
    let mut target_dbs = BTreeMap::new();
    if form.text("databases") == "rename" {
        for db in at.draft.databases() {
            let Some(given) = form.some(&field(db)) else { continue };
            let target_db = name_of("destDbName", &given)?;
            if target_db != db {
                target_dbs.insert(db.to_owned(), target_db);
            }
        }
    }
    // As the pre-check does; that also knows a server by what it says of itself.
    let keeps_a_name = at.draft.databases().into_iter().any(|db| !target_dbs.contains_key(db));
    if keeps_a_name && record.address == source_address(at).await? {
        return Err(Problem::new(Code::SameCluster).with("detail", &record.address).into());
    }
    at.draft.target = Some(named(&record));
    at.draft.target_dbs = target_dbs;
    at.keep().await
}
