//! The members of the organization.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::once::{Copied, Made, Site, once};
use super::people::People;
use super::{next_of, troubles};
use crate::access::ProjectRole;
use crate::api::members::{self as api, Invitation, Invited, Member, OrganizationRoleGiven};
use crate::api::projects::After;
use crate::api::{Answer, Body, Owner, Path, Query, Refusal};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};

/// A role in a project, with the name of that.
struct InProject {
    project_id: String,
    name: String,
    role: ProjectRole,
}

struct MemberRow {
    member: Member,
    projects: Vec<InProject>,
    /// Whether it is who looks at the page.
    is_self: bool,
}

#[derive(Template)]
#[template(path = "organization/members.html")]
struct MembersPage {
    frame: Frame,
    t: Say,
    rows: Vec<MemberRow>,
    next: Option<String>,
    /// The member whose role was to be changed, and to what.
    changed: Option<(String, String)>,
    troubles: Vec<Trouble>,
}

impl MembersPage {
    /// The role that the form of a member shows.
    fn role_of<'a>(&'a self, member: &'a Member) -> &'a str {
        match self.changed.as_ref().filter(|_| self.is_changed(member)) {
            Some((_, role)) => role,
            None => member.organization_role,
        }
    }

    /// Whether the role of a member was to be changed.
    fn is_changed(&self, member: &Member) -> bool {
        self.changed.as_ref().is_some_and(|(user_id, _)| *user_id == member.user_id)
    }
}

#[derive(Template)]
#[template(path = "organization/invite.html")]
struct InvitePage {
    frame: Frame,
    t: Say,
    email: String,
    name: String,
    is_owner_chosen: bool,
    troubles: Vec<Trouble>,
}

/// The members.
pub(super) async fn members(
    visit: Visit,
    Owner(_): Owner,
    Path(org): Path<String>,
    Query(after): Query<After>,
) -> Shown {
    visit.in_organization(&org)?;
    listed(&visit, after, None, None).await
}

async fn listed(
    visit: &Visit,
    after: After,
    changed: Option<(String, String)>,
    refusal: Option<&Refusal>,
) -> Shown {
    let owner = Owner(Arc::clone(&visit.caller));
    let members = api::list(State(Arc::clone(&visit.service)), owner, Query(after)).await?.data;
    let mut roles = roles(visit, &members).await?;
    let next = next_of(&members, |member| &member.user_id);
    let actor = visit.caller.actor.to_string();
    let rows = members.into_iter().map(|member| MemberRow {
        projects: roles.remove(&member.user_id).unwrap_or_default(),
        is_self: member.user_id == actor,
        member,
    });
    let page = MembersPage {
        frame: visit.frame(Place::Members).await?,
        t: visit.t(),
        rows: rows.collect(),
        next,
        changed,
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

/// The roles of some members in projects, by user.
async fn roles(visit: &Visit, members: &[Member]) -> Result<BTreeMap<String, Vec<InProject>>, Refusal> {
    let (tables, org_id) = (visit.service.tables(), &visit.caller.org_id);
    let mut given = tables.roles_in_projects(org_id).await?;
    given.retain(|(user_id, ..)| members.iter().any(|member| member.user_id == *user_id));
    let names = tables.project_names(org_id, given.iter().map(|(_, project_id, _)| project_id.as_str()));
    let names = names.await?;
    let mut roles: BTreeMap<String, Vec<InProject>> = BTreeMap::new();
    for (user_id, project_id, role) in given {
        let name = names.get(&project_id).unwrap_or(&project_id).clone();
        roles.entry(user_id).or_default().push(InProject { project_id, name, role });
    }
    Ok(roles)
}

/// The form of an invitation.
pub(super) async fn invitation(visit: Visit, Owner(_): Owner, Path(org): Path<String>) -> Shown {
    visit.in_organization(&org)?;
    asked(&visit, &Form::default(), None).await
}

async fn asked(visit: &Visit, form: &Form, refusal: Option<&Refusal>) -> Shown {
    let page = InvitePage {
        frame: visit.frame(Place::Members).await?,
        t: visit.t(),
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        is_owner_chosen: form.text("role") == "owner",
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

/// Makes somebody a member, and shows the link.
pub(super) async fn invite(
    visit: Visit,
    owner: Owner,
    Path(org): Path<String>,
    site: Site,
    form: Form,
) -> Shown {
    visit.in_organization(&org)?;
    let invitation = Invitation {
        email: form.text("email").to_owned(),
        name: form.text("name").to_owned(),
        organization_role: form.text("role").to_owned(),
    };
    match api::invite(State(Arc::clone(&visit.service)), owner, Body(invitation)).await {
        Ok(invited) => linked(&visit, &site, invited, form.text("name").trim()).await,
        Err(refusal) => asked(&visit, &form, Some(&refusal)).await,
    }
}

/// A new link for a member.
pub(super) async fn link(
    visit: Visit,
    owner: Owner,
    Path((org, user_id)): Path<(String, String)>,
    site: Site,
) -> Shown {
    visit.in_organization(&org)?;
    let linked_user = api::link(State(Arc::clone(&visit.service)), owner, Path(user_id)).await?;
    let people = People::of(&visit, &[&linked_user.data.user_id]).await?;
    let name = people.name(&linked_user.data.user_id).to_owned();
    linked(&visit, &site, linked_user, &name).await
}

async fn linked(visit: &Visit, Site(site): &Site, answer: Answer<Invited>, name: &str) -> Shown {
    let (t, invited) = (visit.t(), answer.data);
    let made = Made {
        title: t.with("Sign-in link for {}", "{} 的登录链接", name),
        told: t
            .say(
                "Send it to them yourself: no mail is sent. It signs in once, within 24 hours, and is not shown again.",
                "请自行将链接发送给对方，系统不会发送邮件。链接在 24 小时内有效，仅可使用一次，且不会再次显示。",
            )
            .to_owned(),
        copied: vec![Copied {
            id: "link",
            label: t.say("One-time sign-in link", "一次性登录链接").to_owned(),
            text: format!("{site}/setup#{}", invited.link_token),
            hint: t
                .say(
                    "Roles in projects are given on the page of each project.",
                    "项目角色请在各项目的成员页面中授予。",
                )
                .to_owned(),
        }],
        object: answer.made,
        list: format!("/o/{}/members", visit.caller.org_id),
    };
    once(visit, Place::Members, made).await
}

/// Gives a member another role in the organization.
pub(super) async fn set_role(
    visit: Visit,
    owner: Owner,
    Path((org, user_id)): Path<(String, String)>,
    form: Form,
) -> Shown {
    visit.in_organization(&org)?;
    let role = OrganizationRoleGiven { organization_role: form.text("role").to_owned() };
    let path = Path(user_id.clone());
    let changed = api::change(State(Arc::clone(&visit.service)), owner, path, Body(role)).await;
    back(&visit, Some((user_id, form.text("role").to_owned())), changed.err()).await
}

/// Ends a membership.
pub(super) async fn remove(
    visit: Visit,
    owner: Owner,
    Path((org, user_id)): Path<(String, String)>,
) -> Shown {
    visit.in_organization(&org)?;
    let removed = api::remove(State(Arc::clone(&visit.service)), owner, Path(user_id)).await;
    back(&visit, None, removed.err()).await
}

/// The list, also where something was refused. Who is nobody's member any more, or no owner, sees the first page.
async fn back(visit: &Visit, changed: Option<(String, String)>, refusal: Option<Refusal>) -> Shown {
    match refusal {
        Some(refusal) if refusal.status() == StatusCode::NOT_FOUND => Err(refusal),
        Some(refusal) => listed(visit, After::default(), changed, Some(&refusal)).await,
        None if visit.service.is_still(&visit.caller).await => {
            see(&format!("/o/{}/members", visit.caller.org_id))
        }
        None => see("/"),
    }
}
