//! Migrations of a project: their list, and one of them.

mod list;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &["/p/{project}/migrations", "/p/{project}/migrations/live"];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/p/{project}/migrations", get(list::page))
        .route("/p/{project}/migrations/live", get(list::live))
}
