//! What a code means and what to do: the pages that codes link to.

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

/// Its addresses.
pub(super) const PATHS: &[&str] = &[];

pub(super) fn ways() -> Router<Arc<Service>> {
    Router::new()
}
