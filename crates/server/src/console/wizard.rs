//! A new migration: source, target, check, review.

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &[];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
}
