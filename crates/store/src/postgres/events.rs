//! Events.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::connection::Of;
use super::failure::Failure;
use super::rows::{all, get, one, signed_size};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::events::{EventRecord, Events};
use crate::id::JobId;

#[async_trait]
impl Events for PostgresStore {
    async fn record_event(&self, attempt: &Attempt, at: String, event: String) -> Result<(), Error> {
        // One job's events get their IDs under the lock on the job, so that whoever reads behind one misses none.
        let sql = "INSERT INTO events (job_id, attempt, at, event, call) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (call) DO NOTHING";
        let (id, number, call) = (attempt.job_id().as_str(), attempt.number(), super::call());
        self.write_as(attempt, sql, &[&id, &number, &at, &event, &call]).await
    }

    async fn events(
        &self,
        job_id: &JobId,
        after: Option<i64>,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error> {
        let sql = "SELECT event_id, attempt, at, event FROM events WHERE job_id = $1 AND event_id > $2 \
                   ORDER BY event_id LIMIT $3";
        let (after, events_max) = (after.unwrap_or(0), signed_size(events_max));
        self.read(sql, &[&job_id.as_str(), &after, &events_max], |rows| all(rows, event_of)).await
    }

    async fn newest_events(
        &self,
        job_id: &JobId,
        skipped: usize,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error> {
        let sql = "SELECT event_id, attempt, at, event FROM events WHERE job_id = $1 \
                   ORDER BY event_id DESC LIMIT $2 OFFSET $3";
        let (events_max, skipped) = (signed_size(events_max), signed_size(skipped));
        let of: Of<'_> = &[&job_id.as_str(), &events_max, &skipped];
        self.read(sql, of, |rows| all(rows, event_of)).await
    }

    async fn events_total(&self, job_id: &JobId) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM events WHERE job_id = $1";
        self.read(sql, &[&job_id.as_str()], |rows| Ok(one::<i64>(rows.first())?.cast_unsigned())).await
    }
}

fn event_of(row: &Row) -> Result<EventRecord, Failure> {
    Ok(EventRecord { event_id: get(row, 0)?, attempt: get(row, 1)?, at: get(row, 2)?, event: get(row, 3)? })
}
