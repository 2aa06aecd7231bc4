//! Collections of a job.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::failure::Failure;
use super::rows::{all, at, damaged, duration, get, one, position, presence, unsigned, unsigned_or_none};
use crate::attempt::Attempt;
use crate::collections::{CollectionOutline, CollectionRecord, Collections};
use crate::error::Error;
use crate::id::{JobId, Position};

const COLUMNS: &str = "position, source, target, rows_total, creation_intended, creation_timestamp, target_id, \
                       source_counts, splits_planned, copied, done, report, names, name, removal_intended, drift_seen, \
                       worked_ms, copied_ms, presence, round_rows";

/// What rounds found out about a collection goes.
const ROUND_FACTS: &str = "DELETE FROM round_facts WHERE job_id = $1 AND collection = $2";
const ROUND_REPORTS: &str = "DELETE FROM round_reports WHERE job_id = $1 AND collection = $2";

#[async_trait]
impl Collections for PostgresStore {
    async fn collections(&self, job_id: &JobId) -> Result<Vec<CollectionRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = $1 ORDER BY position");
        self.read(&sql, &[&job_id.as_str()], |rows| all(rows, collection_of)).await
    }

    async fn outline(&self, job_id: &JobId) -> Result<Vec<CollectionOutline>, Error> {
        let sql = "SELECT position, source, target, rows_total, done, worked_ms, presence FROM collections \
                   WHERE job_id = $1 ORDER BY position";
        self.read(sql, &[&job_id.as_str()], |rows| {
            all(rows, |row| {
                Ok(CollectionOutline {
                    position: position(row, 0)?,
                    source: get(row, 1)?,
                    target: get(row, 2)?,
                    rows_total: unsigned(row, 3)?,
                    done: get(row, 4)?,
                    worked: duration(row, 5)?,
                    presence: presence(row, 6)?,
                })
            })
        })
        .await
    }

    async fn collection(&self, job_id: &JobId, position: Position) -> Result<CollectionRecord, Error> {
        let sql = format!("SELECT {COLUMNS} FROM collections WHERE job_id = $1 AND position = $2");
        self.read(&sql, &[&job_id.as_str(), &at(position)], |rows| {
            let missing = || damaged(&format!("job {job_id} has no collection {position}"));
            collection_of(rows.first().ok_or_else(missing)?)
        })
        .await
    }

    async fn made_collections(&self) -> Result<Vec<(String, String, i64)>, Error> {
        let sql = "SELECT jobs.target, collections.target, collections.target_id FROM collections \
                   JOIN jobs USING (job_id) WHERE collections.target_id IS NOT NULL";
        self.read(sql, &[], |rows| all(rows, |row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?)))).await
    }

    async fn intend_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<(), Error> {
        let set =
            "creation_intended = TRUE, creation_timestamp = coalesce(creation_timestamp, $3), name = NULL";
        self.update(attempt, position, set, &timestamp.map(u64::cast_signed)).await
    }

    async fn intend_named_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        timestamp: Option<u64>,
    ) -> Result<u64, Error> {
        let (id, place, call) = (attempt.job_id().as_str(), at(position), super::call());
        let timestamp = timestamp.map(u64::cast_signed);
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            // Not if an earlier try did.
            let next = "UPDATE collections SET creation_intended = TRUE, creation_timestamp = $3, names = names + 1, \
                        name = names + 1, name_call = $4 \
                        WHERE job_id = $1 AND position = $2 AND name_call IS DISTINCT FROM $4";
            change.execute(next, &[&id, &place, &timestamp, &call]).await?;
            let number = "SELECT names FROM collections WHERE job_id = $1 AND position = $2";
            let number: i64 = one(change.row(number, &[&id, &place]).await?.as_ref())?;
            change.commit(number.cast_unsigned()).await
        })
        .await
    }

    async fn record_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        target_id: i64,
    ) -> Result<(), Error> {
        self.update(attempt, position, "target_id = $3", &target_id).await
    }

    async fn intend_removal(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        let (id, place) = (attempt.job_id().as_str(), at(position));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            change.execute("UPDATE jobs SET report = NULL WHERE job_id = $1", &[&id]).await?;
            let collection = "UPDATE collections SET removal_intended = TRUE, done = FALSE, report = NULL \
                              WHERE job_id = $1 AND position = $2";
            change.execute(collection, &[&id, &place]).await?;
            for sql in [ROUND_FACTS, ROUND_REPORTS] {
                change.execute(sql, &[&id, &place]).await?;
            }
            change.commit(()).await
        })
        .await
    }

    async fn forget_creation(
        &self,
        attempt: &Attempt,
        position: Position,
        rows_planned: u64,
    ) -> Result<(), Error> {
        let (id, place, rows) = (attempt.job_id().as_str(), at(position), rows_planned.cast_signed());
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let collection = "UPDATE collections SET creation_intended = FALSE, creation_timestamp = NULL, name = NULL, \
                              target_id = NULL, removal_intended = FALSE, source_counts = NULL, drift_seen = NULL, \
                              splits_planned = FALSE, copied = FALSE, done = FALSE, report = NULL, rows_total = $3, \
                              round_rows = 0 \
                              WHERE job_id = $1 AND position = $2";
            change.execute(collection, &[&id, &place, &rows]).await?;
            for sql in [
                "DELETE FROM splits WHERE job_id = $1 AND collection = $2",
                "DELETE FROM doubts WHERE job_id = $1 AND collection = $2",
                "DELETE FROM samples WHERE job_id = $1 AND collection = $2",
                "DELETE FROM quarantine WHERE job_id = $1 AND collection = $2",
                "DELETE FROM comparisons WHERE job_id = $1 AND collection = $2",
                "DELETE FROM marks WHERE job_id = $1 AND collection = $2",
                ROUND_FACTS,
                ROUND_REPORTS,
            ] {
                change.execute(sql, &[&id, &place]).await?;
            }
            change.commit(()).await
        })
        .await
    }

    async fn record_source_counts(
        &self,
        attempt: &Attempt,
        position: Position,
        counts: String,
    ) -> Result<String, Error> {
        let (id, place) = (attempt.job_id().as_str(), at(position));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let first = "UPDATE collections SET source_counts = coalesce(source_counts, $3) \
                         WHERE job_id = $1 AND position = $2 RETURNING source_counts";
            let stored = change.row(first, &[&id, &place, &counts]).await?;
            change.commit(one(stored.as_ref())?).await
        })
        .await
    }

    async fn record_drift_seen(
        &self,
        attempt: &Attempt,
        position: Position,
        document: String,
    ) -> Result<(), Error> {
        self.update(attempt, position, "drift_seen = coalesce(drift_seen, $3)", &document).await
    }

    async fn record_rows_total(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error> {
        self.update(attempt, position, "rows_total = $3", &rows.cast_signed()).await
    }

    async fn record_copied(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        self.update(attempt, position, "copied = $3", &true).await
    }

    async fn record_done(&self, attempt: &Attempt, position: Position, report: String) -> Result<(), Error> {
        self.update(attempt, position, "done = TRUE, removal_intended = FALSE, report = $3", &report).await
    }
}

impl PostgresStore {
    async fn update(
        &self,
        attempt: &Attempt,
        position: Position,
        set: &str,
        value: &(dyn ToSql + Sync),
    ) -> Result<(), Error> {
        let sql = format!("UPDATE collections SET {set} WHERE job_id = $1 AND position = $2");
        self.write_as(attempt, &sql, &[&attempt.job_id().as_str(), &at(position), value]).await
    }
}

fn collection_of(row: &Row) -> Result<CollectionRecord, Failure> {
    Ok(CollectionRecord {
        position: position(row, 0)?,
        source: get(row, 1)?,
        target: get(row, 2)?,
        rows_total: unsigned(row, 3)?,
        creation_intended: get(row, 4)?,
        creation_timestamp: unsigned_or_none(row, 5)?,
        target_id: get(row, 6)?,
        source_counts: get(row, 7)?,
        splits_planned: get(row, 8)?,
        copied: get(row, 9)?,
        done: get(row, 10)?,
        report: get(row, 11)?,
        names: unsigned(row, 12)?,
        name: unsigned_or_none(row, 13)?,
        removal_intended: get(row, 14)?,
        drift_seen: get(row, 15)?,
        worked: duration(row, 16)?,
        copied_for: duration(row, 17)?,
        presence: presence(row, 18)?,
        round_rows: unsigned(row, 19)?,
    })
}
