//! Collections of a job.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use super::SqliteStore;
use super::rows::{duration, position, presence, signed, unsigned, unsigned_or_none};
use crate::attempt::Attempt;
use crate::collections::{CollectionOutline, CollectionRecord, Collections};
use crate::error::Error;
use crate::id::{JobId, Position};

const COLUMNS: &str = "position, source, target, rows_total, creation_intended, creation_timestamp, target_id, \
                       source_counts, splits_planned, copied, done, report, claims, claim, removal_intended, drift_seen, \
                       worked_ms, copied_ms, presence, round_rows";

#[async_trait]
impl Collections for SqliteStore {
    async fn collections(&self, job_id: &JobId) -> Result<Vec<CollectionRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = ?1 ORDER BY position");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map(params![id.as_str()], collection_of)?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn outline(&self, job_id: &JobId) -> Result<Vec<CollectionOutline>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, source, target, rows_total, done, worked_ms, presence FROM collections \
                 WHERE job_id = ?1 ORDER BY position",
            )?;
            let found = statement.query_map(params![id.as_str()], |row| {
                Ok(CollectionOutline {
                    position: position(row, 0)?,
                    source: row.get(1)?,
                    target: row.get(2)?,
                    rows_total: unsigned(row, 3)?,
                    done: row.get(4)?,
                    worked: duration(row, 5)?,
                    presence: presence(row, 6)?,
                })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn collection(&self, job_id: &JobId, position: Position) -> Result<CollectionRecord, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = ?1 AND position = ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_row(params![id.as_str(), position.0], collection_of)?)
        })
        .await
    }

    async fn made_collections(&self) -> Result<Vec<(String, String, i64)>, Error> {
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT jobs.target, collections.target, collections.target_id FROM collections \
                 JOIN jobs USING (job_id) WHERE collections.target_id IS NOT NULL",
            )?;
            let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn intend_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<(), Error> {
        let set =
            "creation_intended = 1, creation_timestamp = coalesce(creation_timestamp, ?3), claim = NULL";
        self.update(attempt, position, set, timestamp.map(signed)).await
    }

    async fn intend_named_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<u64, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let number = connection.query_row(
                "UPDATE collections SET creation_intended = 1, creation_timestamp = ?3, claims = claims + 1, \
                 claim = claims + 1 WHERE job_id = ?1 AND position = ?2 RETURNING claims",
                params![attempt.job_id().as_str(), position.0, timestamp.map(signed)],
                |row| unsigned(row, 0),
            )?;
            Ok(number)
        })
        .await
    }

    async fn record_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        target_id: i64,
    ) -> Result<(), Error> {
        self.update(attempt, position, "target_id = ?3", target_id).await
    }

    async fn intend_removal(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id().as_str();
            connection.execute(
                "UPDATE collections SET removal_intended = 1, done = 0, report = NULL WHERE job_id = ?1 AND position = ?2",
                params![id, position.0],
            )?;
            connection.execute("UPDATE jobs SET report = NULL WHERE job_id = ?1", params![id])?;
            for table in ["round_facts", "round_reports"] {
                let sql = format!("DELETE FROM {table} WHERE job_id = ?1 AND collection = ?2");
                connection.execute(&sql, params![id, position.0])?;
            }
            Ok(())
        })
        .await
    }

    async fn forget_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        rows_planned: u64,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id().as_str();
            connection.execute(
                "UPDATE collections SET creation_intended = 0, creation_timestamp = NULL, claim = NULL, target_id = NULL, \
                 removal_intended = 0, source_counts = NULL, drift_seen = NULL, splits_planned = 0, copied = 0, done = 0, \
                 report = NULL, rows_total = ?3, round_rows = 0 WHERE job_id = ?1 AND position = ?2",
                params![id, position.0, signed(rows_planned)],
            )?;
            for table in [
                "splits",
                "doubts",
                "samples",
                "quarantine",
                "comparisons",
                "marks",
                "round_facts",
                "round_reports",
            ] {
                let sql = format!("DELETE FROM {table} WHERE job_id = ?1 AND collection = ?2");
                connection.execute(&sql, params![id, position.0])?;
            }
            Ok(())
        })
        .await
    }

    async fn record_source_counts(
        &self,
        attempt: &Attempt,
        position: Position,
        counts: String,
    ) -> Result<String, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id().as_str();
            connection.execute(
                "UPDATE collections SET source_counts = coalesce(source_counts, ?3) WHERE job_id = ?1 AND position = ?2",
                params![id, position.0, counts],
            )?;
            let stored = connection
                .query_row(
                    "SELECT source_counts FROM collections WHERE job_id = ?1 AND position = ?2",
                    params![id, position.0],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(stored.unwrap_or(counts))
        })
        .await
    }

    async fn record_drift_seen(
        &self,
        attempt: &Attempt,
        position: Position,
        document: String,
    ) -> Result<(), Error> {
        self.update(attempt, position, "drift_seen = coalesce(drift_seen, ?3)", document).await
    }

    async fn record_rows_total(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error> {
        self.update(attempt, position, "rows_total = ?3", signed(rows)).await
    }

    async fn record_copied(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        self.update(attempt, position, "copied = ?3", true).await
    }

    async fn record_done(&self, attempt: &Attempt, position: Position, report: String) -> Result<(), Error> {
        self.update(attempt, position, "done = 1, removal_intended = 0, report = ?3", report).await
    }
}

impl SqliteStore {
    async fn update(
        &self,
        attempt: &Attempt,
        position: Position,
        set: &'static str,
        value: impl rusqlite::ToSql + Send + 'static,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                &format!("UPDATE collections SET {set} WHERE job_id = ?1 AND position = ?2"),
                params![attempt.job_id().as_str(), position.0, value],
            )?;
            Ok(())
        })
        .await
    }
}

fn collection_of(row: &Row<'_>) -> rusqlite::Result<CollectionRecord> {
    Ok(CollectionRecord {
        position: position(row, 0)?,
        source: row.get(1)?,
        target: row.get(2)?,
        rows_total: unsigned(row, 3)?,
        creation_intended: row.get(4)?,
        creation_timestamp: unsigned_or_none(row, 5)?,
        target_id: row.get(6)?,
        source_counts: row.get(7)?,
        splits_planned: row.get(8)?,
        copied: row.get(9)?,
        done: row.get(10)?,
        report: row.get(11)?,
        names: unsigned(row, 12)?,
        name: unsigned_or_none(row, 13)?,
        removal_intended: row.get(14)?,
        drift_seen: row.get(15)?,
        worked: duration(row, 16)?,
        copied_for: duration(row, 17)?,
        presence: presence(row, 18)?,
        round_rows: unsigned(row, 19)?,
    })
}
