//! Takes jobs that are to be worked on, as many at once as may be, and holds them while they are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::run::work;
use crate::service::Service;
use crate::tables::{QueueLimits, Taken, Wanted};

/// How often it is seen whether there is something to do, where nobody says so.
const TICK: Duration = Duration::from_millis(500);
/// A job is another process's to take when its holder was silent for so long.
const HELD: Duration = Duration::from_secs(15);
/// How often a holder says that it is there, and sees what is wanted.
const HOLD_INTERVAL: Duration = Duration::from_millis(500);
/// A job that this process has, and takes once more, is held for so long by that.
const AT_ITS_END: Duration = Duration::from_secs(1);
/// A holder that can't reach the store for so long gives the job up, before another process may take it.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// What could not be worked on is tried again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Works until the service ends. Jobs that are under way then are given back, for whichever process comes next.
pub(crate) async fn work_off(service: Arc<Service>) {
    let mut working = JoinSet::new();
    // Jobs of this process: when the clock is set forward, a claim may look as if its time were over.
    let mut own = HashMap::new();
    let jobs_max = service.settings().jobs.per_process_max;
    while !service.stopping().is_cancelled() {
        let taken = if working.len() < jobs_max { take(&service).await } else { None };
        if let Some(taken) = taken {
            let job_id = taken.record.job_id.clone();
            if own.values().any(|known| *known == job_id) {
                // Should its work have ended just now, it is taken again soon.
                let held = service.tables().hold(&job_id, service.process(), milliseconds(AT_ITS_END)).await;
                tracing::debug!(%job_id, is_held = held.is_ok(), "the job is this process's own");
                continue;
            }
            let span = tracing::info_span!("service_job", %job_id);
            let task = working.spawn(held(Arc::clone(&service), taken).instrument(span));
            own.insert(task.id(), job_id);
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = service.wake.notified() => {}
            Some(ended) = working.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                own.remove(&id);
            }
            () = service.stopping().cancelled() => {}
        }
    }
    while working.join_next().await.is_some() {}
}

async fn take(service: &Service) -> Option<Taken> {
    let jobs = service.settings().jobs;
    let limits = QueueLimits {
        jobs_max: jobs.total_max.into(),
        per_organization_max: jobs.per_organization_max.into(),
        per_target_max: jobs.per_target_max.into(),
        per_source_max: jobs.per_source_max.into(),
    };
    let taken = service.tables().take_migration(service.process(), milliseconds(HELD), limits).await;
    taken.unwrap_or_else(|error| {
        tracing::debug!(%error, "no job can be taken");
        None
    })
}

/// Works on a job for as long as this process has it.
async fn held(service: Arc<Service>, taken: Taken) {
    let job_id = taken.record.job_id.clone();
    let canceled = CancellationToken::new();
    let done = tokio::select! {
        done = work(&service, taken, canceled.clone()) => done,
        () = hold(&service, &job_id, &canceled) => {
            tracing::warn!("the job was given up: this process could not hold it any longer");
            return;
        }
        () = service.stopping().cancelled() => Again::Soon,
    };
    match done {
        Again::Never => {}
        Again::AtOnce => release(&service, &job_id, Duration::ZERO).await,
        Again::Soon => {
            let after = if service.stopping().is_cancelled() { Duration::ZERO } else { AGAIN_AFTER };
            release(&service, &job_id, after).await;
        }
    }
    service.wake.notify_one();
}

async fn release(service: &Service, job_id: &str, after: Duration) {
    if let Err(error) = service.tables().release(job_id, service.process(), milliseconds(after)).await {
        tracing::debug!(%error, "the job is free when its time is over");
    }
}

/// Whether a job is to be taken once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is at its end.
    Never,
    /// Something else is wanted of it meanwhile.
    AtOnce,
    /// It could not be worked on now.
    Soon,
}

/// Says again and again that this process has a job, until it has not.
async fn hold(service: &Service, job_id: &str, canceled: &CancellationToken) {
    let mut said = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(HOLD_INTERVAL).await;
        let held = service.tables().hold(job_id, service.process(), milliseconds(HELD));
        match tokio::time::timeout_at(said + SILENT_MAX, held).await {
            Ok(Ok(Some(wanted))) => {
                said = tokio::time::Instant::now();
                match wanted {
                    Some(Wanted::Cancel | Wanted::Clean) => canceled.cancel(),
                    Some(Wanted::Run) | None => {}
                }
            }
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the store does not answer");
                if said.elapsed() > SILENT_MAX {
                    return;
                }
            }
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
