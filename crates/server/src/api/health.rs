//! Whether the service is well.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Refusal, Refused, Result, answer};
use crate::access::Caller;
use crate::service::Service;

/// A service whose store needs longer is not ready. Load balancers wait for few seconds only.
const READY_WAIT_MAX: Duration = Duration::from_secs(2);

/// That it runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub(crate) status: &'static str,
    /// Its release.
    pub(crate) version: &'static str,
}

fn health() -> Health {
    Health { status: "ok", version: env!("CARGO_PKG_VERSION") }
}

/// The process runs
#[utoipa::path(get, path = "/healthz", tag = "Service", operation_id = "healthz",
    responses((status = 200, body = Answer<Health>), (status = "default", body = Refused)))]
pub(crate) async fn healthz() -> Result<Health> {
    answer(health())
}

/// The service can do its work: its store answers, and it is not about to end
#[utoipa::path(get, path = "/readyz", tag = "Service", operation_id = "readyz",
    responses((status = 200, body = Answer<Health>), (status = 503, body = Refused), (status = "default", body = Refused)))]
pub(crate) async fn readyz(State(service): State<Arc<Service>>) -> Result<Health> {
    if service.stopping().is_cancelled() {
        return Err(Refusal::unavailable("it is about to end"));
    }
    let looked = tokio::time::timeout(READY_WAIT_MAX, service.tables().first_organization()).await;
    looked.map_err(|_| super::request::store_is_silent(READY_WAIT_MAX))??;
    answer(health())
}

/// Figures in the text format of Prometheus.
pub(crate) async fn metrics(
    State(service): State<Arc<Service>>,
    caller: Option<Extension<Arc<Caller>>>,
) -> std::result::Result<Response, Refusal> {
    if !service.settings().are_metrics_open && caller.is_none() {
        return Err(vecferry_migrate::Problem::new(vecferry_migrate::Code::NotSignedIn).into());
    }
    let Some(metrics) = service.metrics() else {
        return Err(Refusal::unavailable("metrics are not collected"));
    };
    let (waiting, held) = service.tables().queue_lengths().await?;
    metrics::gauge!("vecferry_jobs_waiting").set(waiting as f64);
    metrics::gauge!("vecferry_jobs_running").set(held as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, metrics.render()).into_response())
}
