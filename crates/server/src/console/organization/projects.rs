//! The projects of the organization, and the first page.

use askama::Template;
use axum::extract::State;
use std::sync::Arc;

use super::next_of;
use crate::access::Actor;
use crate::api::projects::{self as api, Project, ProjectName, ProjectsQuery};
use crate::api::{Body, Owner, Path, Query, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, having_made, page_of_form, see};
use crate::console::show::{Say, Trouble};

/// The first page: whoever came by a link sets a password first.
pub(super) async fn home(visit: Visit) -> Shown {
    if let Actor::User(user_id) = &visit.caller.actor
        && let Some(user) = visit.service.tables().user(user_id).await?
        && user.password.is_none()
        && visit.service.oidc().is_none()
    {
        return see("/setup/account");
    }
    see(&format!("/o/{}/projects", visit.caller.org_id))
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    t: Say,
    projects: Vec<Project>,
    search: String,
    /// Whether it is not the first page.
    is_behind: bool,
    next: Option<String>,
    typed: String,
    troubles: Vec<Trouble>,
}

/// So many projects are found at a glance.
const GLANCED: usize = 8;

impl ProjectsPage {
    /// The query of the page behind a project.
    fn behind(&self, project_id: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("search", &self.search);
        }
        query.append_pair("after", project_id).finish()
    }

    /// Whether only some of the projects are shown.
    fn is_part(&self) -> bool {
        !self.search.is_empty() || self.is_behind
    }

    fn has_search(&self) -> bool {
        self.is_part() || self.projects.len() > GLANCED
    }
}

/// The projects that the caller sees.
pub(super) async fn projects(
    visit: Visit,
    Path(org): Path<String>,
    Query(wanted): Query<ProjectsQuery>,
) -> Shown {
    visit.in_organization(&org)?;
    listed(&visit, wanted, None, "").await
}

async fn listed(visit: &Visit, wanted: ProjectsQuery, refusal: Option<&Refusal>, typed: &str) -> Shown {
    let signed = Signed(Arc::clone(&visit.caller));
    let (search, is_behind) = (wanted.search.clone(), !wanted.after.is_empty());
    let projects = api::list(State(Arc::clone(&visit.service)), signed, Query(wanted)).await?.data;
    let problems = refusal.map(Refusal::problems).unwrap_or_default();
    let page = ProjectsPage {
        frame: visit.frame(Place::Projects).await?,
        t: visit.t(),
        next: next_of(&projects, |project| &project.project_id),
        projects,
        search,
        is_behind,
        typed: typed.to_owned(),
        troubles: problems.iter().map(|problem| Trouble::of(problem, visit.lang())).collect(),
    };
    page_of_form(refusal, &page)
}

/// Makes a project.
pub(super) async fn create_project(visit: Visit, owner: Owner, Path(org): Path<String>, form: Form) -> Shown {
    visit.in_organization(&org)?;
    let name = form.text("name").to_owned();
    let body = Body(ProjectName { project_name: name.clone() });
    match api::create(State(Arc::clone(&visit.service)), owner, body).await {
        Ok(made) => having_made(see(&format!("/p/{}/clusters", made.data.project_id)), made.made),
        Err(refusal) => listed(&visit, ProjectsQuery::default(), Some(&refusal), &name).await,
    }
}
