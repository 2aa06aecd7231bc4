//! What is counted in this process, for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use vecferry_migrate::Problem;
use vecferry_server::metrics::{REQUEST_SECONDS, REQUEST_SECONDS_BUCKETS};

use crate::settings::invalid;

/// What was measured since is put into buckets this often, so that it does not pile up where nobody asks for it.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Counts from now on.
///
/// # Errors
/// Something else counts already.
pub(super) fn start() -> Result<PrometheusHandle, Problem> {
    let name = Matcher::Full(REQUEST_SECONDS.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(name, &REQUEST_SECONDS_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| invalid("metrics", error.to_string(), error.to_string()))?;
    vecferry_migrate::metrics::describe();
    vecferry_server::metrics::describe();
    let kept = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            kept.run_upkeep();
        }
    });
    Ok(handle)
}
