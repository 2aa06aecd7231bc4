//! Registration of clusters of Zilliz Cloud by an API key. The key is never shown again, so that without scripts it is typed
//! once for the list and once for the import.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::shown::{plan, trouble_in, troubles, units};
use crate::api::import::{self as api, ClusterListed, ImportRequest, ImportableRequest};
use crate::api::{Body, Path, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, having_made, page, page_of_form, see};
use crate::console::show::{Say, Trouble};
use crate::tables::ProjectRecord;

/// A cluster to choose.
#[derive(Debug)]
struct Choice {
    id: String,
    name: String,
    plan: String,
    region: String,
    units: String,
    is_running: bool,
    /// In the words of the control plane, where it is none of the usual ones.
    status: String,
    is_registered: bool,
    is_public: bool,
    is_checked: bool,
}

impl Choice {
    fn of(listed: ClusterListed, chosen: Option<&[String]>, t: Say) -> Self {
        let is_running = listed.status.eq_ignore_ascii_case("RUNNING");
        let is_public = !listed.connect_address.is_empty();
        let can_be = is_public && !listed.is_registered;
        Self {
            is_checked: can_be
                && chosen.map_or(is_running, |chosen| chosen.contains(&listed.cloud_cluster_id)),
            plan: plan(&listed.deployment_option, t),
            units: units(listed.cu_size, &listed.cu_type, t),
            id: listed.cloud_cluster_id,
            name: listed.cluster_name,
            region: listed.region_id,
            is_running,
            status: status(listed.status, t),
            is_registered: listed.is_registered,
            is_public,
        }
    }

    fn can_be(&self) -> bool {
        self.is_public && !self.is_registered
    }
}

fn status(name: String, t: Say) -> String {
    match name.as_str() {
        "SUSPENDED" => t.say("Suspended", "已挂起").to_owned(),
        "RESUMING" => t.say("Resuming", "恢复中").to_owned(),
        "MODIFYING" => t.say("Modifying", "变更中").to_owned(),
        "ABNORMAL" => t.say("Abnormal", "异常").to_owned(),
        _ => name,
    }
}

/// What a key sees, alone.
#[derive(Template)]
#[template(path = "cluster_found.html")]
struct FoundAlone {
    t: Say,
    part: Found,
}

/// What a key sees.
#[derive(Default)]
struct Found {
    /// None until it was asked for.
    choices: Option<Vec<Choice>>,
    /// What was chosen of a list that can't be shown now.
    kept: Vec<String>,
    troubles: Vec<Trouble>,
}

#[derive(Debug)]
struct Skipped {
    name: String,
    trouble: Trouble,
}

#[derive(Template)]
#[template(path = "cluster_cloud.html")]
struct CloudPage {
    frame: Frame,
    t: Say,
    project_id: String,
    may_change: bool,
    part: Found,
    troubles: Vec<Trouble>,
    imported: Vec<(String, String)>,
    skipped: Vec<Skipped>,
    /// Whether the key was typed and is not shown again.
    was_secret: bool,
}

impl CloudPage {
    async fn of(visit: &Visit, project: &ProjectRecord) -> Result<Self, Refusal> {
        Ok(Self {
            frame: visit.frame_in(project, Place::Clusters).await?,
            t: visit.t(),
            project_id: project.project_id.clone(),
            may_change: visit.administers(&project.project_id),
            part: Found::default(),
            troubles: Vec::new(),
            imported: Vec::new(),
            skipped: Vec::new(),
            was_secret: false,
        })
    }
}

/// The form.
pub(super) async fn new(visit: Visit, Path(project): Path<String>) -> Shown {
    let project = visit.project(&project).await?;
    page(&CloudPage::of(&visit, &project).await?)
}

async fn listed(
    visit: &Visit,
    project_id: &str,
    form: &Form,
    chosen: Option<&[String]>,
) -> Result<Vec<Choice>, Refusal> {
    let request =
        ImportableRequest { project_id: project_id.to_owned(), api_key: form.text("key").to_owned() };
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let listed = Box::pin(api::importable(state, signed, Body(request))).await?.data;
    // Another key may see none of what was chosen before: then nothing was chosen yet.
    let is_there = |id: &String| listed.clusters.iter().any(|cluster| cluster.cloud_cluster_id == *id);
    let chosen = chosen.filter(|chosen| chosen.iter().any(is_there));
    Ok(listed.clusters.into_iter().map(|cluster| Choice::of(cluster, chosen, visit.t())).collect())
}

/// Lists what the key sees. A script asks for the list alone.
pub(super) async fn found(visit: Visit, Path(project): Path<String>, form: Form) -> Shown {
    let project = visit.project(&project).await?;
    let chosen: Vec<_> = form.all("cluster").map(str::to_owned).collect();
    let chosen = Some(chosen).filter(|chosen| !chosen.is_empty());
    let listed = listed(&visit, &project.project_id, &form, chosen.as_deref()).await;
    let (found, refusal) = match listed {
        Ok(choices) => (Found { choices: Some(choices), ..Found::default() }, None),
        Err(refusal) if !visit.administers(&project.project_id) => return Err(refusal),
        Err(refusal) => {
            let told = troubles(&refusal, visit.t());
            let kept = chosen.unwrap_or_default();
            (Found { troubles: told, kept, ..Found::default() }, Some(refusal))
        }
    };
    if form.has("part") {
        return page_of_form(refusal.as_ref(), &FoundAlone { t: visit.t(), part: found });
    }
    let mut shown = CloudPage::of(&visit, &project).await?;
    shown.part = found;
    shown.was_secret = form.some("key").is_some();
    page_of_form(refusal.as_ref(), &shown)
}

/// Registers what was chosen.
pub(super) async fn import(visit: Visit, Path(project): Path<String>, form: Form) -> Shown {
    let project = visit.project(&project).await?;
    let chosen: Vec<_> = form.all("cluster").map(str::to_owned).collect();
    let imported = match chosen.is_empty() {
        true => Err(Refusal::bad_told("no cluster is chosen", "未选择集群")),
        false => {
            let request = ImportRequest {
                project_id: project.project_id.clone(),
                api_key: form.text("key").to_owned(),
                cluster_ids: Some(chosen.clone()),
            };
            let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
            Box::pin(api::import(state, signed, Body(request))).await
        }
    };
    let mut shown = CloudPage::of(&visit, &project).await?;
    match imported {
        Ok(imported) if imported.data.skipped.is_empty() => {
            let count = imported.data.imported.len();
            let to = format!("/p/{}/clusters?imported={count}", project.project_id);
            having_made(see(&to), imported.made)
        }
        Ok(imported) => {
            let registered = imported.data.imported.into_iter();
            shown.imported = registered.map(|cluster| (cluster.cluster_id, cluster.cluster_name)).collect();
            let skipped = imported.data.skipped.into_iter();
            let skipped = skipped.map(|cluster| Skipped {
                name: cluster.cluster_name,
                trouble: trouble_in(&cluster.problem, visit.t()),
            });
            shown.skipped = skipped.collect();
            having_made(page(&shown), imported.made)
        }
        Err(refusal) if !visit.administers(&project.project_id) => Err(refusal),
        Err(refusal) => {
            // The list stays, with what was chosen in it.
            match listed(&visit, &project.project_id, &form, Some(&chosen)).await {
                Ok(choices) => shown.part.choices = Some(choices),
                Err(_) => shown.part.kept = chosen,
            }
            shown.troubles = troubles(&refusal, visit.t());
            shown.was_secret = form.some("key").is_some();
            page_of_form(Some(&refusal), &shown)
        }
    }
}
