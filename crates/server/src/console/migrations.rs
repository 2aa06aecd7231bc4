//! Migrations of a project: their list, and one of them.

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &[];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
}
