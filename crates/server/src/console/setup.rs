//! The first minutes: a one-time link signs in, then an account gets its password, and an owner names the organization.

use askama::Template;
use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;

use vecferry_migrate::Code;

use super::form::Form;
use super::frame::{Look, Visit};
use super::page::{Shown, page_of_form, see};
use super::show::{Say, Trouble};
use super::sign_in::arrived;
use crate::access::Actor;
use crate::api::members::{OrganizationChange, change_organization};
use crate::api::session::{self, AccountChange, NewPassword, SignInByLink};
use crate::api::{Account, Body, HasSession, Owner, Peer, Refusal, Signed};
use crate::service::Service;
use crate::tables::ProjectPage;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/setup", "/setup/account"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/setup", get(page).post(begin))
        .route("/setup/account", get(account).post(save_account))
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    look: Look,
    t: Say,
    /// Somebody may be signed in in this browser: nobody else is without a word.
    has_session: bool,
    troubles: Vec<Trouble>,
}

#[derive(Template)]
#[template(path = "setup_account.html")]
struct AccountPage {
    look: Look,
    t: Say,
    csrf: String,
    email: String,
    name: String,
    has_password: bool,
    /// The name of the organization, for its owner.
    organization: Option<String>,
    troubles: Vec<Trouble>,
}

fn of_link(look: Look, has_session: bool, refusal: Option<&Refusal>) -> Shown {
    let wrong = |code| Trouble {
        code,
        what: look
            .t
            .say("the link is invalid, expired or already used", "链接无效、已过期或已被使用")
            .to_owned(),
        hint: look.t.say("ask an Organization Owner for a new one", "请组织管理员生成新的链接").to_owned(),
    };
    let problems = refusal.map(Refusal::problems).unwrap_or_default().iter();
    let troubles = problems.map(|problem| match problem.code == Code::NotSignedIn {
        true => wrong(problem.code.to_string()),
        false => Trouble::of(problem, look.lang()),
    });
    let troubles = troubles.collect();
    page_of_form(refusal, &SetupPage { t: look.t, look, has_session, troubles })
}

/// Where a one-time link leads. What stands behind its `#` never leaves the browser by itself: the script puts it into the
/// form.
pub(crate) async fn page(look: Look, Extension(HasSession(has_session)): Extension<HasSession>) -> Shown {
    of_link(look, has_session, None)
}

/// Signs in with the link.
pub(crate) async fn begin(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    look: Look,
    form: Form,
) -> Shown {
    // People paste the whole link.
    let given = form.text("token").trim();
    let token = given.rsplit_once('#').map_or(given, |(_, token)| token).to_owned();
    let link = Body(SignInByLink { token });
    let mut answered = session::sign_in_by_link(State(service), Extension(peer), link).await;
    let account = answered.extensions_mut().remove::<Account>();
    let mut response = match answered.extensions_mut().remove::<Refusal>() {
        Some(refusal) => of_link(look, true, Some(&refusal))?,
        None => arrived(answered, "/setup/account")?,
    };
    if let Some(account) = account {
        response.extensions_mut().insert(account);
    }
    Ok(response)
}

/// The account of whoever is signed in.
pub(crate) async fn account(visit: Visit) -> Shown {
    of_account(&visit, None, &Form::default()).await
}

async fn of_account(visit: &Visit, refusal: Option<&Refusal>, form: &Form) -> Shown {
    let tables = visit.service.tables();
    let user = match &visit.caller.actor {
        Actor::User(user_id) => tables.user(user_id).await?,
        Actor::Key(_) => None,
    };
    let Some(user) = user else { return see("/") };
    let organization = match visit.caller.is_owner() {
        true => tables.organization_name(&visit.caller.org_id).await?,
        false => None,
    };
    let typed = |field: &str, otherwise: String| match form.has(field) {
        true => form.text(field).to_owned(),
        false => otherwise,
    };
    let problems = refusal.map(Refusal::problems).unwrap_or_default();
    let page = AccountPage {
        look: visit.look.clone(),
        t: visit.t(),
        csrf: visit.csrf().to_owned(),
        email: typed("email", user.email),
        name: typed("name", user.name),
        has_password: user.password.is_some(),
        organization: organization.map(|name| typed("organization", name)),
        troubles: problems.iter().map(|problem| Trouble::of(problem, visit.lang())).collect(),
    };
    page_of_form(refusal, &page)
}

/// Sets what was given.
pub(crate) async fn save_account(visit: Visit, Extension(peer): Extension<Peer>, form: Form) -> Shown {
    match saved(&visit, peer, &form).await {
        Ok(()) => see(&onward(&visit).await?),
        Err(refusal) => of_account(&visit, Some(&refusal), &form).await,
    }
}

/// Where an account leads: an owner who has no cluster yet begins with those.
async fn onward(visit: &Visit) -> Result<String, Refusal> {
    if visit.caller.is_owner() {
        let (tables, org_id) = (visit.service.tables(), &visit.caller.org_id);
        let first = tables.projects(org_id, ProjectPage { rows: 1, ..ProjectPage::default() }).await?;
        let (clusters, _) = tables.clusters(org_id, None, "", (0, 1)).await?;
        if let Some(project) = first.first().filter(|_| clusters == 0) {
            return Ok(format!("/p/{}/clusters", project.project_id));
        }
    }
    Ok("/".to_owned())
}

async fn saved(visit: &Visit, peer: Peer, form: &Form) -> Result<(), Refusal> {
    if form.text("new_password") != form.text("repeated_password") {
        return Err(Refusal::bad_told("the two passwords differ", "两次输入的密码不一致"));
    }
    // What would be refused later is refused before anything is changed.
    if !form.text("new_password").is_empty() {
        session::acceptable(form.text("new_password"))?;
    }
    let service = || State(Arc::clone(&visit.service));
    let signed = || Signed(Arc::clone(&visit.caller));
    let change = AccountChange {
        name: form.some("name"),
        email: form.some("email"),
        current_password: form.text("current_password").to_owned(),
    };
    session::change(service(), signed(), Extension(peer), Body(change)).await?;
    if let Some(name) = form.some("organization").filter(|_| visit.caller.is_owner()) {
        let change = OrganizationChange { organization_name: Some(name), policy_edition: None };
        change_organization(service(), Owner(Arc::clone(&visit.caller)), Body(change)).await?;
    }
    if form.text("new_password").is_empty() {
        return Ok(());
    }
    let password = NewPassword {
        current_password: form.text("current_password").to_owned(),
        new_password: form.text("new_password").to_owned(),
    };
    session::set_password(service(), signed(), Extension(peer), Body(password)).await.map(drop)
}
