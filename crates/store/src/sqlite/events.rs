//! Events.

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteStore;
use super::rows::signed_size;
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
            let found = statement.query_map(of, |row| {
                Ok(EventRecord {
                    event_id: row.get(0)?,
                    attempt: row.get(1)?,
                    at: row.get(2)?,
                    event: row.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }
}
