//! Looks at the registered clusters now and then, so that no request has to wait for them; and keeps the record in order.

use std::sync::Arc;
use std::time::Duration;

use vecferry_migrate::problem::ANY_CLUSTER;
use vecferry_migrate::{Code, Problem, version_of};
use vecferry_milvus::Endpoint;
use vecferry_store::Error as StoreError;
use vecferry_words::Told;

use crate::problem::document;
use crate::service::Service;
use crate::tables::{ClusterStatus, Sealed, Sight};

/// How often it is seen whether a cluster is due.
const TICK: Duration = Duration::from_secs(1);
/// Clusters that are looked at at once.
const LOOKS_PARALLEL: usize = 4;
/// A cluster answers within this time, or does not.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// How often the record is put in order.
const ORDER_INTERVAL: Duration = Duration::from_secs(60);
/// Rows that are dealt with in one step of that.
const ROWS_A_STEP: i64 = 500;

/// Looks until the service ends.
pub(crate) async fn watch(service: Arc<Service>) {
    let lookers = (0..LOOKS_PARALLEL).map(|_| look_again_and_again(Arc::clone(&service)));
    let lookers = futures_util::future::join_all(lookers);
    tokio::join!(lookers, keep_in_order(service));
}

async fn look_again_and_again(service: Arc<Service>) {
    loop {
        match look_at_next(&service).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "no cluster can be looked at"),
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = service.stopping().cancelled() => return,
        }
    }
}

/// Looks at the cluster that was not looked at for longest. Tells whether one was due.
async fn look_at_next(service: &Service) -> Result<bool, StoreError> {
    if service.stopping().is_cancelled() {
        return Ok(false);
    }
    let interval = i64::try_from(service.settings().look_interval.as_millis()).unwrap_or(i64::MAX);
    let before = service.tables().now_ms().await?.saturating_sub(interval);
    let Some(cluster) = service.tables().take_cluster_to_look_at(before).await? else { return Ok(false) };
    let seen = match service.endpoint_of(&cluster).await {
        Ok(endpoint) => look(&endpoint).await,
        Err(problem) => Err(problem),
    };
    let sight = sight_of(seen, &cluster.sight.version);
    service.tables().record_sight(&cluster.cluster_id, sight).await?;
    Ok(true)
}

/// The release of a cluster.
///
/// # Errors
/// Why it does not answer.
pub(crate) async fn look(endpoint: &Endpoint) -> Result<String, Problem> {
    in_time(version_of(endpoint)).await.map(|seen| seen.version.to_string())
}

/// What a cluster answers, if it does so in the time that a look takes.
///
/// # Errors
/// Why it does not answer.
pub(crate) async fn in_time<Seen>(
    asked: impl Future<Output = Result<Seen, Problem>>,
) -> Result<Seen, Problem> {
    within(LOOK_MAX, asked).await
}

async fn within<Seen>(
    limit: Duration,
    asked: impl Future<Output = Result<Seen, Problem>>,
) -> Result<Seen, Problem> {
    // The cluster does not answer: that is no failure of the service.
    tokio::time::timeout(limit, asked).await.map_err(|_| silent(limit))?
}

/// That a cluster did not answer in time.
pub(crate) fn silent(waited: Duration) -> Problem {
    let seconds = waited.as_secs();
    let told = Told::both(format!("no answer within {seconds} s"), format!("{seconds} 秒内无应答"));
    Problem::new(Code::NoAnswer).with("side", ANY_CLUSTER).told("detail", told)
}

/// What was seen, where a look came to this. The release stays that of the last answer.
pub(crate) fn sight_of(seen: Result<String, Problem>, known_version: &str) -> Sight {
    match seen {
        Ok(version) => Sight { status: ClusterStatus::Running, version, trouble: None },
        Err(problem) => Sight {
            status: ClusterStatus::Abnormal,
            version: known_version.to_owned(),
            trouble: Some(document(&problem).to_string()),
        },
    }
}

/// Encrypts with the current key what was encrypted with an older one, and forgets what is too old.
async fn keep_in_order(service: Arc<Service>) {
    loop {
        if let Err(error) = reseal(&service).await {
            tracing::debug!(%error, "credentials could not be encrypted anew");
        }
        if let Err(error) = forget(&service).await {
            tracing::debug!(%error, "old entries could not be removed");
        }
        tokio::select! {
            () = tokio::time::sleep(ORDER_INTERVAL) => {}
            () = service.reseal.notified() => {}
            () = service.stopping().cancelled() => return,
        }
    }
}

async fn reseal(service: &Service) -> Result<(), StoreError> {
    let tables = service.tables();
    for what in Sealed::ALL {
        let mut after = String::new();
        loop {
            let sealed = tables.sealed(what, &after, ROWS_A_STEP).await?;
            let Some((last, _)) = sealed.last() else { break };
            after.clone_from(last);
            for (id, old) in sealed {
                if let Some(new) = sealed_anew(service, &what.purpose(&id), &old) {
                    tables.reseal(what, &id, old, new).await?;
                }
            }
        }
    }
    Ok(())
}

/// The same secret, encrypted with the current key; none where it is already.
fn sealed_anew(service: &Service, purpose: &str, old: &[u8]) -> Option<Vec<u8>> {
    if service.keyring().is_current(old) {
        return None;
    }
    let again = service.open_secret(purpose, old).and_then(|secret| service.seal(purpose, &secret));
    again.map_err(|problem| tracing::warn!(%purpose, %problem, "a credential stays as it was")).ok()
}

/// Each step is short, so that nobody waits long for the store.
async fn forget(service: &Service) -> Result<(), StoreError> {
    let (tables, settings) = (service.tables(), service.settings());
    let now = tables.now_ms().await?;
    let before = |kept: Duration| now.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let stopping = service.stopping();
    while !stopping.is_cancelled() && tables.forget_audit(before(settings.audit_kept), ROWS_A_STEP).await? > 0
    {
    }
    while !stopping.is_cancelled() && tables.forget_requests(now, ROWS_A_STEP).await? > 0 {}
    while !stopping.is_cancelled() && tables.forget_drafts(now, ROWS_A_STEP).await? > 0 {}
    let Some(kept) = settings.jobs_kept else { return Ok(()) };
    while !stopping.is_cancelled() && tables.forget_ended(before(kept), ROWS_A_STEP).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_cluster_is_no_silent_database() {
        let asked = within(Duration::from_millis(1), std::future::pending::<Result<(), Problem>>());
        assert_eq!(asked.await.unwrap_err().code, vecferry_migrate::Code::NoAnswer);
    }
}
