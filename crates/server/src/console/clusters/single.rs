//! One cluster: what is known of it, its change and its removal.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::collections::{self, Wanted};
use super::shown::{ClusterShown, of_address, troubles};
use crate::api::clusters::{self as api, ClusterChange};
use crate::api::{Body, Path, Query, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page, page_of_form, see};
use crate::console::show::{Say, Trouble};

#[derive(Template)]
#[template(path = "cluster_show.html")]
struct ClusterPage {
    frame: Frame,
    t: Say,
    project_id: String,
    may_change: bool,
    cluster: ClusterShown,
    /// What was typed, or is recorded.
    name: String,
    description: String,
    no_token: bool,
    /// Whether a credential was typed and is not shown again.
    was_secret: bool,
    troubles: Vec<Trouble>,
    /// Whether the change is what the troubles are about.
    is_changing: bool,
    /// The address of the collections alone.
    load: String,
    /// The same as a page of its own.
    whole: String,
}

/// A cluster.
pub(super) async fn show(
    visit: Visit,
    Path(address): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    page(&of(&visit, &address, &wanted).await?)
}

async fn of(visit: &Visit, address: &(String, String), wanted: &Wanted) -> Result<ClusterPage, Refusal> {
    let (project, cluster) = of_address(visit, (&address.0, &address.1)).await?;
    let base = format!("/p/{}/clusters/{}/collections", project.project_id, cluster.id);
    Ok(ClusterPage {
        frame: visit.frame_in(&project, Place::Clusters).await?,
        t: visit.t(),
        may_change: visit.administers(&project.project_id),
        project_id: project.project_id,
        name: cluster.name.clone(),
        description: cluster.description.clone(),
        no_token: false,
        was_secret: false,
        troubles: Vec::new(),
        is_changing: false,
        load: collections::address(&base, wanted, ""),
        whole: collections::address(&base, wanted, "1"),
        cluster,
    })
}

/// Changes a cluster. Another credential is tried first.
pub(super) async fn change(visit: Visit, Path(address): Path<(String, String)>, form: Form) -> Shown {
    let mut shown = of(&visit, &address, &Wanted::default()).await?;
    let token = match form.has("no_token") {
        true => Some(String::new()),
        false => form.some("token"),
    };
    let change = ClusterChange {
        cluster_name: Some(form.text("name").to_owned()),
        description: Some(form.text("description").to_owned()),
        token,
    };
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let id = shown.cluster.id.clone();
    match Box::pin(api::change(state, signed, Path(id), Body(change))).await {
        Ok(_) => see(&format!("/p/{}/clusters/{}", shown.project_id, shown.cluster.id)),
        Err(refusal) if !shown.may_change => Err(refusal),
        Err(refusal) => {
            (shown.name, shown.description) =
                (form.text("name").to_owned(), form.text("description").to_owned());
            (shown.no_token, shown.was_secret) = (form.has("no_token"), form.some("token").is_some());
            (shown.troubles, shown.is_changing) = (troubles(&refusal, visit.t()), true);
            page_of_form(Some(&refusal), &shown)
        }
    }
}

/// Forgets a cluster.
pub(super) async fn remove(visit: Visit, Path(address): Path<(String, String)>, _form: Form) -> Shown {
    let mut shown = of(&visit, &address, &Wanted::default()).await?;
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    match api::remove(state, signed, Path(shown.cluster.id.clone())).await {
        Ok(_) => see(&format!("/p/{}/clusters", shown.project_id)),
        Err(refusal) if !shown.may_change => Err(refusal),
        Err(refusal) => {
            shown.troubles = troubles(&refusal, visit.t());
            page_of_form(Some(&refusal), &shown)
        }
    }
}
