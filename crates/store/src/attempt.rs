//! The right to write about a job.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::id::JobId;

/// The right to write about a job, until a newer attempt begins or the process ends. Clones are the same attempt.
#[derive(Clone)]
pub struct Attempt {
    job_id: JobId,
    number: i64,
    /// What tells others that the job is worked on, for as long as it lives.
    _hold: Arc<dyn Any + Send + Sync>,
}

impl Attempt {
    pub(crate) fn new(job_id: JobId, number: i64, hold: impl Any + Send + Sync) -> Self {
        Self { job_id, number, _hold: Arc::new(hold) }
    }

    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// The number of the attempt, from 1.
    pub fn number(&self) -> i64 {
        self.number
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Attempt")
            .field("job_id", &self.job_id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
