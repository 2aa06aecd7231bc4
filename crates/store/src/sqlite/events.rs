//! Events.

use async_trait::async_trait;
use rusqlite::{Row, params};

use super::SqliteStore;
use super::rows::{signed_size, unsigned};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::events::{EventRecord, Events};
use crate::id::JobId;

#[async_trait]
impl Events for SqliteStore {
    async fn record_event(&self, attempt: &Attempt, at: String, event: String) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "INSERT INTO events (job_id, attempt, at, event) VALUES (?1, ?2, ?3, ?4)",
                params![attempt.job_id().as_str(), attempt.number(), at, event],
            )?;
            Ok(())
        })
        .await
    }

    async fn events(
        &self,
        job_id: &JobId,
        after: Option<i64>,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT event_id, attempt, at, event FROM events WHERE job_id = ?1 AND event_id > ?2 \
                 ORDER BY event_id LIMIT ?3",
            )?;
            let of = params![id.as_str(), after.unwrap_or(0), signed_size(events_max)];
            let found = statement.query_map(of, event_of)?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn newest_events(
        &self,
        job_id: &JobId,
        skipped: usize,
        events_max: usize,
    ) -> Result<Vec<EventRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT event_id, attempt, at, event FROM events WHERE job_id = ?1 \
                 ORDER BY event_id DESC LIMIT ?2 OFFSET ?3",
            )?;
            let of = params![id.as_str(), signed_size(events_max), signed_size(skipped)];
            let found = statement.query_map(of, event_of)?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn events_total(&self, job_id: &JobId) -> Result<u64, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM events WHERE job_id = ?1";
            Ok(connection.prepare_cached(sql)?.query_row(params![id.as_str()], |row| unsigned(row, 0))?)
        })
        .await
    }
}

fn event_of(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord { event_id: row.get(0)?, attempt: row.get(1)?, at: row.get(2)?, event: row.get(3)? })
}
