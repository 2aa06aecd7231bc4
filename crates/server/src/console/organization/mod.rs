//! Pages of the organization: projects, members, API keys, webhooks, audit log, settings.

mod about;
mod audit;
mod deeds;
mod keys;
mod members;
mod offered;
mod once;
mod people;
mod project_members;
mod projects;
mod settings;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::frame::Visit;
use super::show::Trouble;
use crate::api::Refusal;
use crate::service::Service;

/// Their addresses.
pub(super) const PATHS: &[&str] = &[
    "/",
    "/about",
    "/o/{org}/projects",
    "/o/{org}/members",
    "/o/{org}/members/new",
    "/o/{org}/members/{user}/role",
    "/o/{org}/members/{user}/link",
    "/o/{org}/members/{user}/remove",
    "/p/{project}/members",
    "/p/{project}/members/{user}/role",
    "/p/{project}/members/{user}/remove",
    "/o/{org}/keys",
    "/o/{org}/keys/new",
    "/o/{org}/keys/{key}/revoke",
    "/o/{org}/webhooks",
    "/o/{org}/webhooks/new",
    "/o/{org}/webhooks/{webhook}",
    "/o/{org}/webhooks/{webhook}/test",
    "/o/{org}/webhooks/{webhook}/remove",
    "/o/{org}/audit",
    "/o/{org}/settings",
];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(projects::home))
        .route("/about", get(about::about))
        .route("/o/{org}/projects", get(projects::projects).post(projects::create_project))
        .route("/o/{org}/members", get(members::members))
        .route("/o/{org}/members/new", get(members::invitation).post(members::invite))
        .route("/o/{org}/members/{user}/role", post(members::set_role))
        .route("/o/{org}/members/{user}/link", post(members::link))
        .route("/o/{org}/members/{user}/remove", post(members::remove))
        .route("/p/{project}/members", get(project_members::members).post(project_members::add))
        .route("/p/{project}/members/{user}/role", post(project_members::set_role))
        .route("/p/{project}/members/{user}/remove", post(project_members::remove))
        .route("/o/{org}/keys", get(keys::keys))
        .route("/o/{org}/keys/new", get(keys::form).post(keys::create))
        .route("/o/{org}/keys/{key}/revoke", post(keys::revoke))
        .route("/o/{org}/webhooks", get(webhooks::webhooks))
        .route("/o/{org}/webhooks/new", get(webhooks::form).post(webhooks::create))
        .route("/o/{org}/webhooks/{webhook}", get(webhooks::webhook))
        .route("/o/{org}/webhooks/{webhook}/test", post(webhooks::test))
        .route("/o/{org}/webhooks/{webhook}/remove", post(webhooks::remove))
        .route("/o/{org}/audit", get(audit::audit))
        .route("/o/{org}/settings", get(settings::settings).post(settings::save))
}

/// What a page tells of a refusal; nothing where there was none.
fn troubles(visit: &Visit, refusal: Option<&Refusal>) -> Vec<Trouble> {
    let problems = refusal.map(Refusal::problems).unwrap_or_default();
    problems.iter().map(|problem| Trouble::of(problem, visit.lang())).collect()
}

/// Where a list goes on, if the page of it is full: behind its last entry.
fn next_of<Entry>(entries: &[Entry], id: impl Fn(&Entry) -> &str) -> Option<String> {
    let is_full = i64::try_from(entries.len()).is_ok_and(|count| count >= crate::tables::PAGE_ROWS);
    entries.last().filter(|_| is_full).map(|last| id(last).to_owned())
}
