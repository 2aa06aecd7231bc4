//! Registration by an address, and a try of the connection before it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::shown::{plan, troubles};
use crate::api::clusters::{self as api, ClusterRequest, ClusterTrial, ClusterTried};
use crate::api::{Body, Path, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, having_made, page, page_of_form, see};
use crate::console::show::{Say, Trouble};
use crate::tables::ProjectRecord;

/// What a form holds that is typed again only where it is secret.
#[derive(Debug, Default)]
struct Typed {
    name: String,
    address: String,
    plan: String,
    region: String,
    cu_type: String,
    cu_size: String,
    ca: String,
    description: String,
}

impl Typed {
    fn of(form: &Form) -> Self {
        let text = |name| form.text(name).to_owned();
        Self {
            name: text("name"),
            address: text("address"),
            plan: text("plan"),
            region: text("region"),
            cu_type: text("cu_type"),
            cu_size: text("cu_size"),
            ca: text("ca"),
            description: text("description"),
        }
    }

    /// Whether something was typed that is folded away at first.
    fn has_more(&self) -> bool {
        let more = [&self.plan, &self.region, &self.cu_type, &self.cu_size, &self.ca, &self.description];
        more.into_iter().any(|text| !text.is_empty())
    }
}

/// What came of a try, alone.
#[derive(Template)]
#[template(path = "cluster_tried.html")]
struct Tried {
    t: Say,
    part: Outcome,
}

/// What came of a try.
#[derive(Default)]
struct Outcome {
    tried: Option<ClusterTried>,
    troubles: Vec<Trouble>,
}

impl Outcome {
    fn plan(&self, t: &Say) -> Option<String> {
        let told = self.tried.as_ref().and_then(|tried| tried.deployment_option.as_deref());
        told.map(|told| plan(told, *t))
    }
}

#[derive(Template)]
#[template(path = "cluster_new.html")]
struct NewPage {
    frame: Frame,
    t: Say,
    project_id: String,
    may_change: bool,
    typed: Typed,
    part: Outcome,
    troubles: Vec<Trouble>,
    /// Whether the credential was typed and is not shown again.
    was_secret: bool,
}

impl NewPage {
    async fn of(visit: &Visit, project: &ProjectRecord, typed: Typed) -> Result<Self, Refusal> {
        Ok(Self {
            frame: visit.frame_in(project, Place::Clusters).await?,
            t: visit.t(),
            project_id: project.project_id.clone(),
            may_change: visit.administers(&project.project_id),
            typed,
            part: Outcome::default(),
            troubles: Vec::new(),
            was_secret: false,
        })
    }
}

/// The form.
pub(super) async fn new(visit: Visit, Path(project): Path<String>) -> Shown {
    let project = visit.project(&project).await?;
    page(&NewPage::of(&visit, &project, Typed::default()).await?)
}

/// Registers what was typed.
pub(super) async fn register(visit: Visit, Path(project): Path<String>, form: Form) -> Shown {
    let project = visit.project(&project).await?;
    let request = request(&project.project_id, &form);
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let registered = match request {
        Ok(request) => Box::pin(api::register(state, signed, Body(request))).await,
        Err(refusal) => Err(refusal),
    };
    let refusal = match registered {
        Ok(made) => {
            let to = format!("/p/{}/clusters/{}", project.project_id, made.data.cluster_id);
            return having_made(see(&to), made.made);
        }
        Err(refusal) => refusal,
    };
    if !visit.administers(&project.project_id) {
        return Err(refusal);
    }
    let mut shown = NewPage::of(&visit, &project, Typed::of(&form)).await?;
    shown.troubles = troubles(&refusal, visit.t());
    shown.was_secret = form.some("token").is_some();
    page_of_form(Some(&refusal), &shown)
}

fn request(project_id: &str, form: &Form) -> Result<ClusterRequest, Refusal> {
    let cu_size = form.some("cu_size").map(|size| size.parse()).transpose();
    let cu_size = cu_size.map_err(|_| Refusal::bad_told("`cuSize` is no size", "`cuSize` 不是有效的大小"))?;
    Ok(ClusterRequest {
        project_id: project_id.to_owned(),
        cluster_name: form.text("name").to_owned(),
        description: form.text("description").to_owned(),
        connect_address: form.text("address").to_owned(),
        token: form.some("token"),
        ca_certificate: form.some("ca"),
        deployment_option: form.some("plan"),
        region_id: form.text("region").to_owned(),
        cu_type: form.text("cu_type").to_owned(),
        cu_size,
    })
}

/// Tries the connection. A script asks for the outcome alone, so that nothing typed is lost; otherwise it stands in the form.
pub(super) async fn test(visit: Visit, Path(project): Path<String>, form: Form) -> Shown {
    let project = visit.project(&project).await?;
    let trial = ClusterTrial {
        project_id: project.project_id.clone(),
        connect_address: form.text("address").to_owned(),
        token: form.some("token"),
        ca_certificate: form.some("ca"),
        deployment_option: form.some("plan"),
    };
    let (state, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let tried = Box::pin(api::test(state, signed, Body(trial))).await;
    let (outcome, refusal) = match tried {
        Ok(tried) => (Outcome { tried: Some(tried.data), ..Outcome::default() }, None),
        Err(refusal) if !visit.administers(&project.project_id) => return Err(refusal),
        Err(refusal) => {
            let told = troubles(&refusal, visit.t());
            (Outcome { troubles: told, ..Outcome::default() }, Some(refusal))
        }
    };
    if form.has("part") {
        return page_of_form(refusal.as_ref(), &Tried { t: visit.t(), part: outcome });
    }
    let mut shown = NewPage::of(&visit, &project, Typed::of(&form)).await?;
    shown.part = outcome;
    shown.was_secret = form.some("token").is_some();
    page_of_form(refusal.as_ref(), &shown)
}
