//! Collections of a job: what was made, and how far they are.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use crate::error::Error;
use crate::jobs::{duration_of, signed, signed_size};
use crate::store::{Attempt, Ledger};

/// A collection to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCollectionRecord {
    /// Its name on the source, for lists.
    pub source: String,
    /// Its name on the target, for lists.
    pub target: String,
    /// Rows by the source's estimate.
    pub rows_total: u64,
}

/// A collection as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRecord {
    /// Its place in the job.
    pub position: usize,
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Rows by the source's estimate.
    pub rows_total: u64,
    /// Whether its creation was begun.
    pub creation_intended: bool,
    /// The target's time when its creation was begun, where the target has such.
    pub creation_timestamp: Option<u64>,
    /// How many names of its own the job began to make it under so far.
    pub claims: u64,
    /// Number of the name under which its creation was begun last; none if that was its planned name.
    pub claim: Option<u64>,
    /// Whether its removal was begun: it may be gone.
    pub removal_intended: bool,
    /// The number that the target gave it; only then it is the job's own.
    pub target_id: Option<i64>,
    /// Rows that the source counted at the beginning, part by part; the caller's document.
    pub source_counts: Option<String>,
    /// Whether its splits are planned.
    pub splits_planned: bool,
    /// Whether all its rows are on the target.
    pub copied: bool,
    /// Whether nothing is left to do.
    pub done: bool,
    /// Its report, when it is done.
    pub report: Option<String>,
    /// Number of the last name that was given to it to be written through; 0 if there was none.
    pub write_alias: u64,
    /// That its source was seen to change since the first row was read; the caller's document.
    pub drift_seen: Option<String>,
    /// How long all attempts together worked on it, as far as they recorded that.
    pub worked: Duration,
    /// The same while its rows were copied.
    pub copied_for: Duration,
}

const COLUMNS: &str = "position, source, target, rows_total, creation_intended, creation_timestamp, target_id, \
                       source_counts, splits_planned, copied, done, report, claims, claim, removal_intended, write_alias, \
                       drift_seen, worked_ms, copied_ms";

impl Ledger {
    /// The collections of a job, in order.
    pub async fn collections(&self, job_id: &str) -> Result<Vec<CollectionRecord>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = ?1 ORDER BY position");
            let mut statement = connection.prepare(&sql)?;
            Ok(statement.query_map(params![id], collection_of)?.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// One collection of a job.
    pub async fn collection(&self, job_id: &str, position: usize) -> Result<CollectionRecord, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = ?1 AND position = ?2");
            Ok(connection.query_row(&sql, params![id, signed_size(position)], collection_of)?)
        })
        .await
    }

    /// Every collection that a job made: the target's address, the collection's name there, its number there.
    pub async fn made_collections(&self) -> Result<Vec<(String, String, i64)>, Error> {
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

    async fn update(
        &self,
        attempt: &Attempt,
        position: usize,
        set: &'static str,
        value: impl rusqlite::ToSql + Send + 'static,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                &format!("UPDATE collections SET {set} WHERE job_id = ?1 AND position = ?2"),
                params![attempt.job_id(), signed_size(position), value],
            )?;
            Ok(())
        })
        .await
    }

    /// Records, before it is begun, that a collection is about to be made under its planned name, and the target's time.
    pub async fn intend_creation(
        &self,
        attempt: &Attempt,
        position: usize,
        timestamp: Option<u64>,
    ) -> Result<(), Error> {
        let set =
            "creation_intended = 1, creation_timestamp = coalesce(creation_timestamp, ?3), claim = NULL";
        self.update(attempt, position, set, timestamp.map(signed)).await
    }

    /// The same under a name that only this job can have. Returns the number of that name, which is never given again.
    pub async fn intend_claim(
        &self,
        attempt: &Attempt,
        position: usize,
        timestamp: Option<u64>,
    ) -> Result<u64, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let number: i64 = connection.query_row(
                "UPDATE collections SET creation_intended = 1, creation_timestamp = ?3, claims = claims + 1, \
                 claim = claims + 1 WHERE job_id = ?1 AND position = ?2 RETURNING claims",
                params![attempt.job_id(), signed_size(position), timestamp.map(signed)],
                |row| row.get(0),
            )?;
            Ok(number.cast_unsigned())
        })
        .await
    }

    /// Records that a collection is the job's own.
    pub async fn record_creation(
        &self,
        attempt: &Attempt,
        position: usize,
        target_id: i64,
    ) -> Result<(), Error> {
        self.update(attempt, position, "target_id = ?3", target_id).await
    }

    /// Records, before it is begun, that a collection is about to be removed. What was proved of it does not count any
    /// more, and neither does the job's last report.
    pub async fn intend_removal(&self, attempt: &Attempt, position: usize) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE collections SET removal_intended = 1, done = 0, report = NULL WHERE job_id = ?1 AND position = ?2",
                params![attempt.job_id(), signed_size(position)],
            )?;
            connection.execute("UPDATE jobs SET report = NULL WHERE job_id = ?1", params![attempt.job_id()])?;
            Ok(())
        })
        .await
    }

    /// Forgets that a collection was made, and everything that was written into it and found out about it: it is gone,
    /// and starts again, with the rows that were planned. Only the numbers of its names go on.
    pub async fn forget_creation(
        &self,
        attempt: &Attempt,
        position: usize,
        rows_planned: u64,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let at = params![attempt.job_id(), signed_size(position)];
            connection.execute(
                "UPDATE collections SET creation_intended = 0, creation_timestamp = NULL, claim = NULL, target_id = NULL, \
                 removal_intended = 0, source_counts = NULL, drift_seen = NULL, splits_planned = 0, copied = 0, done = 0, report = NULL, \
                 rows_total = ?3 WHERE job_id = ?1 AND position = ?2",
                params![attempt.job_id(), signed_size(position), signed(rows_planned)],
            )?;
            for table in ["splits", "doubts", "samples", "quarantine", "comparisons"] {
                connection.execute(&format!("DELETE FROM {table} WHERE job_id = ?1 AND collection = ?2"), at)?;
            }
            Ok(())
        })
        .await
    }

    /// The number of the next name that a collection is written through: never one that was given out before, also
    /// where the collection was made again meanwhile.
    pub async fn next_write_alias(&self, attempt: &Attempt, position: usize) -> Result<u64, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let number: i64 = connection.query_row(
                "UPDATE collections SET write_alias = write_alias + 1 WHERE job_id = ?1 AND position = ?2 \
                 RETURNING write_alias",
                params![attempt.job_id(), signed_size(position)],
                |row| row.get(0),
            )?;
            Ok(number.cast_unsigned())
        })
        .await
    }

    /// Records what the source counted before the first row was read; only the first time.
    pub async fn record_source_counts(
        &self,
        attempt: &Attempt,
        position: usize,
        counts: String,
    ) -> Result<String, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let at = params![attempt.job_id(), signed_size(position), counts];
            connection.execute(
                "UPDATE collections SET source_counts = coalesce(source_counts, ?3) WHERE job_id = ?1 AND position = ?2",
                at,
            )?;
            let stored = connection
                .query_row(
                    "SELECT source_counts FROM collections WHERE job_id = ?1 AND position = ?2",
                    params![attempt.job_id(), signed_size(position)],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(stored.unwrap_or(counts))
        })
        .await
    }

    /// Records that the source of a collection changed; the first time stays.
    pub async fn record_drift_seen(
        &self,
        attempt: &Attempt,
        position: usize,
        document: String,
    ) -> Result<(), Error> {
        self.update(attempt, position, "drift_seen = coalesce(drift_seen, ?3)", document).await
    }

    /// Records the exact number of rows, once it is known.
    pub async fn record_rows_total(
        &self,
        attempt: &Attempt,
        position: usize,
        rows: u64,
    ) -> Result<(), Error> {
        self.update(attempt, position, "rows_total = ?3", signed(rows)).await
    }

    /// Records that all rows of a collection are on the target.
    pub async fn record_copied(&self, attempt: &Attempt, position: usize) -> Result<(), Error> {
        self.update(attempt, position, "copied = ?3", true).await
    }

    /// Records that nothing is left to do for a collection.
    pub async fn record_done(&self, attempt: &Attempt, position: usize, report: String) -> Result<(), Error> {
        self.update(attempt, position, "done = 1, removal_intended = 0, report = ?3", report).await
    }
}

fn collection_of(row: &Row<'_>) -> rusqlite::Result<CollectionRecord> {
    Ok(CollectionRecord {
        position: usize::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        source: row.get(1)?,
        target: row.get(2)?,
        rows_total: row.get::<_, i64>(3)?.cast_unsigned(),
        creation_intended: row.get(4)?,
        creation_timestamp: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        target_id: row.get(6)?,
        source_counts: row.get(7)?,
        splits_planned: row.get(8)?,
        copied: row.get(9)?,
        done: row.get(10)?,
        report: row.get(11)?,
        claims: row.get::<_, i64>(12)?.cast_unsigned(),
        claim: row.get::<_, Option<i64>>(13)?.map(i64::cast_unsigned),
        removal_intended: row.get(14)?,
        write_alias: row.get::<_, i64>(15)?.cast_unsigned(),
        drift_seen: row.get(16)?,
        worked: duration_of(row, 17)?,
        copied_for: duration_of(row, 18)?,
    })
}
