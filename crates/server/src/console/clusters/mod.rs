//! Clusters of a project: their list, registration, and what a cluster holds. What a cluster is asked for is in parts that
//! load after their page, so that nobody waits for a slow one.

mod capacity;
mod collections;
mod import;
mod list;
mod register;
mod shown;
mod single;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::service::Service;

/// Their addresses.
pub(super) const PATHS: &[&str] = &[
    "/p/{project}/clusters",
    "/p/{project}/clusters/new",
    "/p/{project}/clusters/test",
    "/p/{project}/clusters/cloud",
    "/p/{project}/clusters/cloud/found",
    "/p/{project}/clusters/{cluster}",
    "/p/{project}/clusters/{cluster}/remove",
    "/p/{project}/clusters/{cluster}/collections",
    "/p/{project}/clusters/{cluster}/collection",
    "/p/{project}/clusters/{cluster}/capacity",
];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
        .route("/p/{project}/clusters", get(list::list))
        .route("/p/{project}/clusters/new", get(register::new).post(register::register))
        .route("/p/{project}/clusters/test", post(register::test))
        .route("/p/{project}/clusters/cloud", get(import::new).post(import::import))
        .route("/p/{project}/clusters/cloud/found", post(import::found))
        .route("/p/{project}/clusters/{cluster}", get(single::show).post(single::change))
        .route("/p/{project}/clusters/{cluster}/remove", post(single::remove))
        .route("/p/{project}/clusters/{cluster}/collections", get(collections::listed))
        .route("/p/{project}/clusters/{cluster}/collection", get(collections::single))
        .route("/p/{project}/clusters/{cluster}/capacity", get(capacity::capacity))
}
