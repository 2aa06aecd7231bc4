//! What is worth knowing of a job later. Events are the caller's documents.

use async_trait::async_trait;

use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;

/// An event as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Its ID; later ones are greater.
    pub event_id: i64,
    /// The attempt in which it happened.
    pub attempt: i64,
    /// When, RFC 3339.
    pub at: String,
    /// What.
    pub event: String,
}

/// What is recorded of events.
#[async_trait]
pub trait Events {
    /// Records an event.
    async fn record_event(&self, attempt: &Attempt, at: String, event: String) -> Result<(), Error>;

    /// Events of a job behind one of them, oldest first, not more than `events_max`.
    async fn events(
        &self,
        job_id: &JobId,
        after: Option<i64>,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error>;

    /// The newest events of a job, newest first, without as many as are skipped; not more than `events_max`.
    async fn newest_events(
        &self,
        job_id: &JobId,
        skipped: usize,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error>;

    /// How many events a job has.
    async fn events_total(&self, job_id: &JobId) -> Result<u64, Error>;
}
