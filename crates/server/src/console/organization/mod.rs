//! Pages of the organization: projects, members, API keys, webhooks, audit log, settings.

mod projects;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::service::Service;

/// Their addresses.
pub(super) const PATHS: &[&str] = &["/", "/o/{org}/projects"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(projects::home))
        .route("/o/{org}/projects", get(projects::projects).post(projects::create_project))
}
