//! Settings of the organization: its name, and which plans may be migrated to which.

use askama::Template;
use axum::extract::State;
use std::sync::Arc;
use vecferry_policy::compatibility::Pair;
use vecferry_policy::{Deployment, EDITION_DEFAULT, Edition, Outcome, limits};

use super::troubles;
use crate::api::members::{OrganizationChange, change_organization};
use crate::api::{Body, Owner, Path, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};

/// The choice of a document of one's own.
const OWN: &str = "own";
const PLANS: [Deployment; 3] = [Deployment::Free, Deployment::Serverless, Deployment::Dedicated];

/// An edition as the page shows it.
struct Shape {
    id: String,
    title: &'static str,
    source: String,
    rows: Vec<(Deployment, Vec<Cell>)>,
    /// Collections that one job takes, by plan of the target.
    collections: Vec<(Deployment, Option<u64>)>,
}

/// What holds for a pair of plans.
struct Cell {
    target: Deployment,
    tone: &'static str,
    word: &'static str,
    reason: String,
}

#[derive(Template)]
#[template(path = "organization/settings.html")]
struct SettingsPage {
    frame: Frame,
    t: Say,
    name: String,
    chosen: String,
    editions: Vec<Shape>,
    /// The organization's own, where it has one.
    own: Option<Shape>,
    document: String,
    troubles: Vec<Trouble>,
}

fn shape(t: Say, id: &str, edition: &Edition) -> Shape {
    let rows = PLANS.into_iter().map(|source| {
        let cells = PLANS.into_iter().filter_map(|target| edition.pair(source, target));
        (source, cells.map(|pair| cell(t, pair)).collect())
    });
    let collections = PLANS.into_iter().map(|plan| {
        let own = edition.collections_per_job_max;
        (plan, own.or(limits(plan, None).collections_per_job_max))
    });
    Shape {
        id: id.to_owned(),
        title: title(t, id),
        source: edition.source.clone(),
        rows: rows.collect(),
        collections: collections.collect(),
    }
}

fn title(t: Say, id: &str) -> &'static str {
    match id {
        "zilliz-cn" => t.0.pick("Zilliz Cloud, China", "Zilliz Cloud 中国站"),
        "zilliz-global" => t.0.pick("Zilliz Cloud, global", "Zilliz Cloud 国际站"),
        _ => t.0.pick("Your own", "自定义"),
    }
}

fn cell(t: Say, pair: &Pair) -> Cell {
    let (tone, word) = match pair.outcome {
        Outcome::Supported => ("good", t.0.pick("Supported", "支持")),
        Outcome::Refused => ("idle", t.0.pick("Not allowed", "不支持")),
        Outcome::UpgradeInPlace => ("caution", t.0.pick("Upgrade in place", "原地升级")),
        Outcome::UpgradeToNew => ("caution", t.0.pick("Upgrade to a new cluster", "升级为新集群")),
    };
    Cell { target: pair.target, tone, word, reason: t.0.pick(pair.en.as_str(), pair.zh.as_str()).to_owned() }
}

/// The settings.
pub(super) async fn settings(visit: Visit, Owner(_): Owner, Path(org): Path<String>) -> Shown {
    visit.in_organization(&org)?;
    shown(&visit, None, None).await
}

async fn shown(visit: &Visit, form: Option<&Form>, refusal: Option<&Refusal>) -> Shown {
    let (tables, org_id, t) = (visit.service.tables(), &visit.caller.org_id, visit.t());
    let recorded = tables.edition(org_id).await?.unwrap_or_else(|| EDITION_DEFAULT.to_owned());
    let own = Edition::read(&recorded).ok();
    let document = own.as_ref().map(pretty).unwrap_or_default();
    let current = if own.is_some() { OWN.to_owned() } else { recorded };
    let typed = |field: &str, otherwise: String| form.map_or(otherwise, |form| form.text(field).to_owned());
    let name = tables.organization_name(org_id).await?.unwrap_or_default();
    let editions = Edition::names().filter_map(|id| Some(shape(t, id, &Edition::named(id)?)));
    let page = SettingsPage {
        frame: visit.frame(Place::Settings).await?,
        t,
        name: typed("name", name),
        chosen: typed("edition", current),
        editions: editions.collect(),
        own: own.map(|edition| shape(t, OWN, &edition)),
        document: typed("document", document),
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

fn pretty(edition: &Edition) -> String {
    serde_json::to_string_pretty(edition).unwrap_or_default()
}

/// Sets what was given.
pub(super) async fn save(visit: Visit, owner: Owner, Path(org): Path<String>, form: Form) -> Shown {
    visit.in_organization(&org)?;
    let edition = match form.text("edition") {
        OWN => form.text("document"),
        named => named,
    };
    let change = OrganizationChange {
        organization_name: Some(form.text("name").to_owned()),
        policy_edition: Some(edition.to_owned()),
    };
    match change_organization(State(Arc::clone(&visit.service)), owner, Body(change)).await {
        Ok(_) => see(&format!("/o/{org}/settings")),
        Err(refusal) => shown(&visit, Some(&form), Some(&refusal)).await,
    }
}
