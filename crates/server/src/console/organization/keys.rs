//! API keys.

use askama::Template;
use axum::extract::State;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::offered::{Found, Offered, offered};
use super::once::{Copied, Made, Site, once};
use super::people::People;
use super::{next_of, troubles};
use crate::access::Actor;
use crate::api::keys::{self as api, ApiKey, ApiKeyMade, ApiKeyRequest};
use crate::api::projects::After;
use crate::api::{Answer, Body, Path, Query, Refusal, Signed};
use crate::console::form::Form;
use crate::console::frame::{Frame, Place, ProjectLink, Visit};
use crate::console::page::{Shown, page_of_form, see};
use crate::console::show::{Say, Trouble};

struct KeyRow {
    key: ApiKey,
    /// Roles in projects, by the name of the project.
    roles: Vec<(String, &'static str)>,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "organization/keys.html")]
struct KeysPage {
    frame: Frame,
    t: Say,
    rows: Vec<KeyRow>,
    people: People,
    next: Option<String>,
    /// A session makes keys; a key that is nobody's person makes customized ones only.
    troubles: Vec<Trouble>,
}

/// A project in the form, with the role that was chosen.
struct Choice {
    project: ProjectLink,
    role: String,
}

#[derive(Template)]
#[template(path = "organization/key_new.html")]
struct KeyPage {
    frame: Frame,
    t: Say,
    name: String,
    kind: String,
    days: String,
    choices: Vec<Choice>,
    offered: Offered,
    troubles: Vec<Trouble>,
}

/// The keys that the caller may revoke.
pub(super) async fn keys(visit: Visit, Path(org): Path<String>, Query(after): Query<After>) -> Shown {
    visit.in_organization(&org)?;
    listed(&visit, after, None).await
}

async fn listed(visit: &Visit, after: After, refusal: Option<&Refusal>) -> Shown {
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    let keys = api::list(service, signed, Query(after)).await?.data;
    let now = visit.service.tables().now_ms().await?;
    let granted = keys.iter().flat_map(|key| key.project_roles.keys().map(String::as_str));
    let names = visit.service.tables().project_names(&visit.caller.org_id, granted).await?;
    let people = keys.iter().flat_map(|key| [Some(key.created_by.as_str()), key.user_id.as_deref()]);
    let people = People::of(visit, &people.flatten().collect::<Vec<_>>()).await?;
    let next = next_of(&keys, |key| &key.key_id);
    let rows = keys.into_iter().map(|key| KeyRow {
        roles: key
            .project_roles
            .iter()
            .map(|(project_id, role)| (names.get(project_id).unwrap_or(project_id).clone(), *role))
            .collect(),
        is_over: key
            .expire_time
            .as_deref()
            .and_then(|end| end.parse::<jiff::Timestamp>().ok())
            .is_some_and(|end| end.as_millisecond() <= now),
        key,
    });
    let page = KeysPage {
        frame: visit.frame(Place::Keys).await?,
        t: visit.t(),
        rows: rows.collect(),
        people,
        next,
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

/// The form of a key.
pub(super) async fn form(visit: Visit, Path(org): Path<String>, Query(found): Query<Found>) -> Shown {
    visit.in_organization(&org)?;
    asked(&visit, &found.search, None, None).await
}

async fn asked(visit: &Visit, search: &str, form: Option<&Form>, refusal: Option<&Refusal>) -> Shown {
    let typed = |field: &str, otherwise: &str| form.map_or(otherwise, |form| form.text(field)).to_owned();
    let chosen = form.iter().flat_map(|form| form.beginning_with(ROLE_FIELD));
    let chosen: Vec<_> = chosen.filter(|(_, role)| !role.is_empty()).map(|(id, _)| id.to_owned()).collect();
    let mut offered = offered(visit, search, &chosen).await?;
    let choices = std::mem::take(&mut offered.projects)
        .into_iter()
        .map(|project| Choice { role: typed(&format!("{ROLE_FIELD}{}", project.id), ""), project });
    let kind = match visit.caller.actor {
        Actor::User(_) => "personal",
        Actor::Key(_) => "customized",
    };
    let page = KeyPage {
        frame: visit.frame(Place::Keys).await?,
        t: visit.t(),
        name: typed("name", ""),
        kind: typed("kind", kind),
        days: typed("days", "90"),
        choices: choices.collect(),
        offered,
        troubles: troubles(visit, refusal),
    };
    page_of_form(refusal, &page)
}

/// What the field of the role in a project begins with; its ID follows.
const ROLE_FIELD: &str = "role-";

/// Makes a key, and shows it.
pub(super) async fn create(visit: Visit, Path(org): Path<String>, site: Site, form: Form) -> Shown {
    visit.in_organization(&org)?;
    match created(&visit, &form).await {
        Ok(made) => shown(&visit, &site, made, form.text("name").trim()).await,
        Err(refusal) => asked(&visit, form.text("search"), Some(&form), Some(&refusal)).await,
    }
}

async fn created(visit: &Visit, form: &Form) -> Result<Answer<ApiKeyMade>, Refusal> {
    let valid_days = form.some("days").map(|days| days.parse::<u32>()).transpose().map_err(|_| {
        Refusal::bad_told(
            format!("`{}` is no number of days", form.text("days")),
            format!("`{}` 不是天数", form.text("days")),
        )
    })?;
    let mut request = ApiKeyRequest {
        name: form.text("name").to_owned(),
        kind: form.text("kind").to_owned(),
        organization_role: None,
        project_roles: BTreeMap::new(),
        valid_days,
    };
    match form.text("kind") {
        "owner" => {
            "customized".clone_into(&mut request.kind);
            request.organization_role = Some("owner".to_owned());
        }
        "customized" => {
            // Whether the caller may give them is decided where keys are made.
            let chosen = form.beginning_with(ROLE_FIELD).filter(|(_, role)| !role.is_empty());
            request.project_roles.extend(chosen.map(|(id, role)| (id.to_owned(), role.to_owned())));
            if request.project_roles.is_empty() {
                return Err(Refusal::bad_told(
                    "a customized key takes a role in at least one project",
                    "自定义密钥须在至少一个项目中拥有角色",
                ));
            }
        }
        _ => {}
    }
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    api::create(service, signed, Body(request)).await
}

async fn shown(visit: &Visit, Site(site): &Site, answer: Answer<ApiKeyMade>, name: &str) -> Shown {
    let (t, made) = (visit.t(), answer.data);
    let try_it = format!("curl -H \"Authorization: Bearer {}\" {site}/v2/projects", made.api_key);
    let made = Made {
        title: t.with("API key {}", "API 密钥 {}", name),
        told: t
            .say(
                "Copy the key now: it is not shown again. Whoever has it may do what it allows.",
                "请立即复制密钥，它不会再次显示。持有该密钥者可执行其允许的所有操作。",
            )
            .to_owned(),
        copied: vec![
            Copied {
                id: "key",
                label: t.say("API key", "API 密钥").to_owned(),
                text: made.api_key,
                hint: t
                    .say(
                        "Programs send it as Authorization: Bearer KEY.",
                        "程序通过 Authorization: Bearer KEY 发送。",
                    )
                    .to_owned(),
            },
            Copied {
                id: "curl",
                label: t.say("Try it", "试用").to_owned(),
                text: try_it,
                hint: t
                    .say("Lists the projects that the key may see.", "列出该密钥可查看的项目。")
                    .to_owned(),
            },
        ],
        object: answer.made,
        list: format!("/o/{}/keys", visit.caller.org_id),
    };
    once(visit, Place::Keys, made).await
}

/// Ends a key.
pub(super) async fn revoke(visit: Visit, Path((org, key_id)): Path<(String, String)>) -> Shown {
    visit.in_organization(&org)?;
    let (service, signed) = (State(Arc::clone(&visit.service)), Signed(Arc::clone(&visit.caller)));
    api::revoke(service, signed, Path(key_id)).await?;
    see(&format!("/o/{org}/keys"))
}
