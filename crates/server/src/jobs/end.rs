//! The end of a job, as it is recorded.

use serde_json::Value;
use vecferry_migrate::{JobState, Problem};
use vecferry_store::{Error as StoreError, ErrorKind, JobId};

use super::queue::Again;
use crate::problem::document;
use crate::service::Service;
use crate::tables::{MigrationRecord, Wanted};

/// How a job ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) state: JobState,
    pub(super) problems: Vec<Problem>,
}

/// Records how a job ended.
pub(super) async fn end(
    service: &Service,
    record: &MigrationRecord,
    tried: Wanted,
    ended: End,
) -> Result<Again, StoreError> {
    let End { state, problems } = ended;
    let problems: Vec<Value> = problems.iter().map(document).collect();
    let reason = (!problems.is_empty()).then(|| Value::Array(problems).to_string());
    let progress = match state {
        JobState::Successful => 100,
        JobState::Pending
        | JobState::InProgress
        | JobState::Canceling
        | JobState::Ready
        | JobState::Failed
        | JobState::Canceled => percent(service, &JobId::from(record.job_id.as_str())).await?.unwrap_or(0),
    };
    let (job_id, process) = (&record.job_id, service.process());
    let recorded = service.tables().record_end((job_id, process), tried, state, (progress, reason));
    if !recorded.await? {
        tracing::info!(
            "the end is not recorded: what the job made is to be removed, or another process has it"
        );
        return Ok(Again::AtOnce);
    }
    tracing::info!(state = state.name(), "the job ended");
    metrics::counter!("vecferry_jobs_ended_total", "state" => state.name()).increment(1);
    Ok(Again::Never)
}

/// How much of a job is done, in percent of its rows: not all before it is successful. None before it began.
pub(super) async fn percent(service: &Service, job_id: &JobId) -> Result<Option<i64>, StoreError> {
    match service.store().summary(job_id).await {
        Ok(summary) => {
            let percent = vecferry_report::figures::percent(summary.rows_done, summary.rows_total.max(1));
            Ok(Some(i64::try_from(percent.min(99)).unwrap_or(99)))
        }
        Err(error) if error.kind() == ErrorKind::UnknownJob => Ok(None),
        Err(error) => Err(error),
    }
}
