//! Migrations of a project: their list, and one of them.

mod actions;
mod chart;
mod checks;
mod cut_over;
mod job;
mod list;
mod part;
mod record;
mod rounds;
mod stages;
mod verification;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &[
    "/p/{project}/migrations",
    "/p/{project}/migrations/live",
    "/p/{project}/migrations/{job}",
    "/p/{project}/migrations/{job}/live",
    "/p/{project}/migrations/{job}/cancel",
    "/p/{project}/migrations/{job}/resume",
    "/p/{project}/migrations/{job}/catch-up",
    "/p/{project}/migrations/{job}/cut-over",
    "/p/{project}/migrations/{job}/rate",
    "/p/{project}/migrations/{job}/load",
    "/p/{project}/migrations/{job}/verify",
];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/p/{project}/migrations", get(list::page))
        .route("/p/{project}/migrations/live", get(list::live))
        .route("/p/{project}/migrations/{job}", get(job::page))
        .route("/p/{project}/migrations/{job}/live", get(job::live))
        .route("/p/{project}/migrations/{job}/cancel", post(actions::cancel))
        .route("/p/{project}/migrations/{job}/resume", post(actions::resume))
        .route("/p/{project}/migrations/{job}/catch-up", post(actions::catch_up))
        .route("/p/{project}/migrations/{job}/cut-over", get(cut_over::page).post(cut_over::start))
        .route("/p/{project}/migrations/{job}/rate", post(actions::limit))
        .route("/p/{project}/migrations/{job}/load", post(actions::load))
        .route("/p/{project}/migrations/{job}/verify", post(actions::verify))
}
