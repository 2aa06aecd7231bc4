//! The members of a project, and what they are in it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

use super::troubles;
use crate::access::Action;
use crate::api::members::{self as api, ProjectMember, ProjectRoleGiven};
use crate::api::{self as rest, Body, Path, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};
use crate::tables::ProjectRecord;

#[derive(Template)]
#[template(path = "organization/project_members.html")]
struct ProjectMembersPage {
    frame: Frame,
    t: Say,
    project: ProjectRecord,
    members: Vec<ProjectMember>,
    may_change: bool,
    email: String,
    role: String,
    /// The member whose role was to be changed, and to what.
    changed: Option<(String, String)>,
    troubles: Vec<Trouble>,
}

impl ProjectMembersPage {
    /// The role that the form of a member shows.
    fn role_of<'a>(&'a self, member: &'a ProjectMember) -> &'a str {
        match self.changed.as_ref().filter(|_| self.is_changed(member)) {
            Some((_, role)) => role,
            None => member.project_role,
        }
    }

    /// Whether the role of a member was to be changed.
    fn is_changed(&self, member: &ProjectMember) -> bool {
        self.changed.as_ref().is_some_and(|(user_id, _)| *user_id == member.user_id)
    }
}

/// The members.
pub(super) async fn members(visit: Visit, Path(project_id): Path<String>) -> Shown {
    let project = visit.project(&project_id).await?;
    listed(&visit, project, (&Form::default(), None), None).await
}

async fn listed(
    visit: &Visit,
    project: ProjectRecord,
    (form, changed): (&Form, Option<String>),
    refusal: Option<&Refusal>,
) -> Shown {
    // The role of the form that gives one to somebody else is another field of the page.
    let given = |field: &str| if changed.is_none() { form.text(field).to_owned() } else { String::new() };
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let mut members = api::of_project(service, signed, Path(project.project_id.clone())).await?.data;
    members.sort_by(|one, other| (&one.name, &one.email).cmp(&(&other.name, &other.email)));
    let page = ProjectMembersPage {
        frame: visit.frame_in(&project, Place::ProjectMembers).await?,
        t: visit.t(),
        members,
        may_change: visit.administers(&project.project_id),
        email: given("email"),
        role: given("role"),
        changed: changed.map(|user_id| (user_id, form.text("role").to_owned())),
        troubles: troubles(visit, refusal),
        project,
    };
    page_of_form(refusal, &page)
}

/// Gives somebody a role by the address of their mail.
pub(super) async fn add(visit: Visit, Path(project_id): Path<String>, form: Form) -> Shown {
    let project = administered(&visit, &project_id).await?;
    match added(&visit, &project_id, &form).await {
        Ok(()) => see(&format!("/p/{project_id}/members")),
        Err(refusal) => listed(&visit, project, (&form, None), Some(&refusal)).await,
    }
}

async fn administered(visit: &Visit, project_id: &str) -> Result<ProjectRecord, Refusal> {
    rest::project(&visit.service, &visit.caller, project_id, Action::Administer).await
}

async fn added(visit: &Visit, project_id: &str, form: &Form) -> Result<(), Refusal> {
    let email = rest::extract::email("email", form.text("email"))?;
    let user = visit.service.tables().user_by_email(&email).await?;
    let no_member = || {
        Refusal::bad_told(
            format!(
                "no member of the organization has the address `{email}`; an Organization Owner can invite them"
            ),
            format!("组织中没有使用邮箱 `{email}` 的成员；可由组织管理员邀请"),
        )
    };
    let user_id = user.ok_or_else(no_member)?.user_id;
    // Who is in another organization is as unknown as who is in none.
    if visit.service.tables().membership(&visit.caller.org_id, &user_id).await?.is_none() {
        return Err(no_member());
    }
    given(visit, project_id, user_id, form.text("role")).await
}

async fn given(visit: &Visit, project_id: &str, user_id: String, role: &str) -> Result<(), Refusal> {
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let role = Body(ProjectRoleGiven { project_role: role.to_owned() });
    api::set_in_project(service, signed, Path((project_id.to_owned(), user_id)), role).await.map(drop)
}

/// Gives a member another role.
pub(super) async fn set_role(
    visit: Visit,
    Path((project_id, user_id)): Path<(String, String)>,
    form: Form,
) -> Shown {
    let project = administered(&visit, &project_id).await?;
    match given(&visit, &project_id, user_id.clone(), form.text("role")).await {
        Ok(()) => see(&format!("/p/{project_id}/members")),
        Err(refusal) if refusal.status() == StatusCode::NOT_FOUND => Err(refusal),
        Err(refusal) => listed(&visit, project, (&form, Some(user_id)), Some(&refusal)).await,
    }
}

/// Takes a member's role; whoever took the own one sees the first page.
pub(super) async fn remove(visit: Visit, Path((project_id, user_id)): Path<(String, String)>) -> Shown {
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    api::remove_from_project(service, signed, Path((project_id.clone(), user_id))).await?;
    match visit.service.is_still(&visit.caller).await {
        true => see(&format!("/p/{project_id}/members")),
        false => see("/"),
    }
}
