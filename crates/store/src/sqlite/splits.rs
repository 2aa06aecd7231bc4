//! Splits.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::rows::{position, signed, unsigned, unsigned_or_none};
use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position, SplitId};
use crate::right::{Claim, Right};
use crate::splits::{
    CollectionProgress, Doubt, NewSplit, Progress, Quarantined, RangeCount, Split, Splits, Step,
};

const COLUMNS: &str = "split_id, collection, partition, after_key, until_key, rows_planned, cursor, intent, rows_read, \
                       rows_written, bytes, done, counted, distinct_keys, reopened";

#[async_trait]
impl Splits for SqliteStore {
    async fn plan_splits(
        &self,
        attempt: &Attempt,
        collection: Position,
        splits: Vec<NewSplit>,
    ) -> Result<Vec<Split>, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let at = params![attempt.job_id().as_str(), collection.0];
            let planned: bool = connection.query_row(
                "SELECT splits_planned FROM collections WHERE job_id = ?1 AND position = ?2",
                at,
                |row| row.get(0),
            )?;
            if !planned {
                for split in &splits {
                    insert(connection, attempt.job_id(), collection, split)?;
                }
                connection.execute(
                    "UPDATE collections SET splits_planned = 1 WHERE job_id = ?1 AND position = ?2",
                    at,
                )?;
            }
            splits_of(connection, attempt.job_id(), collection)
        })
        .await
    }

    async fn splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<Split>, Error> {
        let id = job_id.clone();
        self.read(move |connection| splits_of(connection, &id, collection)).await
    }

    async fn progress(&self, job_id: &JobId) -> Result<Vec<CollectionProgress>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT collection, sum(rows_read), sum(rows_written), sum(bytes), count(*), sum(done) FROM splits \
                 WHERE job_id = ?1 GROUP BY collection ORDER BY collection",
            )?;
            let found = statement.query_map(params![id.as_str()], |row| {
                let progress = Progress {
                    rows_read: unsigned(row, 1)?,
                    rows_written: unsigned(row, 2)?,
                    bytes: unsigned(row, 3)?,
                };
                let (splits, splits_done) = (unsigned(row, 4)?, unsigned(row, 5)?);
                Ok(CollectionProgress { collection: position(row, 0)?, progress, splits, splits_done })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn split(&self, split_id: SplitId) -> Result<Split, Error> {
        self.read(move |connection| one(connection, split_id)).await
    }

    async fn advance(&self, claim: &Claim, step: Step) -> Result<(), Error> {
        self.write_under(claim, move |connection, claim| take(connection, claim.split_id(), &step)).await
    }

    async fn finish_split(&self, claim: &Claim, step: Step, count: RangeCount) -> Result<(), Error> {
        let claim = claim.clone();
        self.write(move |connection| {
            if is_finished(connection, &claim)? {
                return Ok(());
            }
            super::check_claim(connection, &claim)?;
            take(connection, claim.split_id(), &step)?;
            connection.execute(
                "UPDATE splits SET done = 1, writer = NULL, counted = ?2, distinct_keys = ?3 WHERE split_id = ?1",
                params![claim.split_id().0, signed(count.counted), count.distinct_keys.map(signed)],
            )?;
            Ok(())
        })
        .await
    }

    async fn reopen_split(&self, claim: &Claim, times: u64, refused: Vec<Quarantined>) -> Result<(), Error> {
        let claim = claim.clone();
        self.write(move |connection| {
            if is_reopened(connection, &claim, times)? {
                return Ok(());
            }
            super::check_claim(connection, &claim)?;
            let writer = claim.writer();
            reopen(connection, claim.split_id(), times)?;
            forget_refused(connection, writer.job_id(), writer.collection(), &refused)
        })
        .await
    }

    async fn reopen_splits(
        &self,
        attempt: &Attempt,
        collection: Position,
        splits: Vec<SplitId>,
        refused: Vec<Quarantined>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            for split_id in &splits {
                reopen(connection, *split_id, 0)?;
            }
            let at = params![attempt.job_id().as_str(), collection.0];
            connection
                .execute("UPDATE collections SET copied = 0 WHERE job_id = ?1 AND position = ?2", at)?;
            connection.execute("DELETE FROM comparisons WHERE job_id = ?1 AND collection = ?2", at)?;
            connection.execute(
                "UPDATE marks SET equal_round = NULL, equal_rows = NULL WHERE job_id = ?1 AND collection = ?2",
                at,
            )?;
            forget_refused(connection, attempt.job_id(), collection, &refused)
        })
        .await
    }

    async fn divide(&self, claim: &Claim, at: String, rows_planned: (u64, u64)) -> Result<Split, Error> {
        self.write_under(claim, move |connection, claim| {
            let lower = one(connection, claim.split_id())?;
            if let Some(upper) = behind(connection, claim.writer().job_id(), &lower, &at)? {
                return Ok(upper);
            }
            if lower.done {
                let text = format!("split {} is complete", lower.split_id);
                return Err(Error::new(ErrorKind::Moved, text));
            }
            connection.execute(
                "UPDATE splits SET until_key = ?2, rows_planned = ?3 WHERE split_id = ?1",
                params![lower.split_id.0, at, signed(rows_planned.0)],
            )?;
            let upper = NewSplit {
                partition: lower.partition,
                after: Some(at),
                until: lower.until,
                rows_planned: rows_planned.1,
            };
            let upper = insert(connection, claim.writer().job_id(), lower.collection, &upper)?;
            one(connection, upper)
        })
        .await
    }

    async fn record_doubt(
        &self,
        right: Right<'_>,
        partition: Option<String>,
        after: Option<String>,
        until: Option<String>,
    ) -> Result<(), Error> {
        let (id, collection) = (right.job_id().clone(), right.collection());
        self.write_with(right, move |connection| {
            connection.execute(
                "INSERT INTO doubts (job_id, collection, partition, after_key, until_key, attempt) \
                 SELECT job_id, ?2, ?3, ?4, ?5, attempt FROM jobs WHERE job_id = ?1 AND NOT EXISTS \
                 (SELECT 1 FROM doubts WHERE job_id = ?1 AND collection = ?2 \
                 AND partition IS ?3 AND after_key IS ?4 AND until_key IS ?5 AND NOT settled)",
                params![id.as_str(), collection.0, partition, after, until],
            )?;
            Ok(())
        })
        .await
    }

    async fn doubts(&self, job_id: &JobId, collection: Position) -> Result<Vec<Doubt>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT doubt_id, partition, after_key, until_key FROM doubts \
                 WHERE job_id = ?1 AND collection = ?2 AND NOT settled ORDER BY doubt_id",
            )?;
            let found = statement.query_map(params![id.as_str(), collection.0], |row| {
                Ok(Doubt {
                    doubt_id: row.get(0)?,
                    partition: row.get(1)?,
                    after: row.get(2)?,
                    until: row.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn doubts_total(&self, job_id: &JobId) -> Result<u64, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM doubts WHERE job_id = ?1";
            Ok(connection.query_row(sql, params![id.as_str()], |row| unsigned(row, 0))?)
        })
        .await
    }

    async fn settle_doubt(&self, attempt: &Attempt, doubt_id: i64) -> Result<(), Error> {
        self.write_as(attempt, move |connection, _| {
            connection.execute("UPDATE doubts SET settled = 1 WHERE doubt_id = ?1", params![doubt_id])?;
            Ok(())
        })
        .await
    }

    async fn samples(
        &self,
        job_id: &JobId,
        collection: Position,
        partition: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let (id, partition) = (job_id.clone(), partition.unwrap_or_default().to_owned());
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT key FROM samples WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 ORDER BY key",
            )?;
            let of = params![id.as_str(), collection.0, partition];
            let found = statement.query_map(of, |row| row.get(0))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn record_quarantined(&self, right: Right<'_>, row: Quarantined) -> Result<(), Error> {
        let (id, collection) = (right.job_id().clone(), right.collection());
        self.write_with(right, move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO quarantine (job_id, collection, partition, key, reason, in_doubt) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id.as_str(), collection.0, row.partition, row.key, row.reason, row.in_doubt],
            )?;
            Ok(())
        })
        .await
    }

    async fn quarantined_total(&self, job_id: &JobId, collection: Position) -> Result<u64, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM quarantine WHERE job_id = ?1 AND collection = ?2";
            Ok(connection.query_row(sql, params![id.as_str(), collection.0], |row| unsigned(row, 0))?)
        })
        .await
    }

    async fn quarantined(&self, job_id: &JobId, collection: Position) -> Result<Vec<Quarantined>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT partition, key, reason, in_doubt FROM quarantine WHERE job_id = ?1 AND collection = ?2 \
                 ORDER BY partition, key",
            )?;
            let found = statement.query_map(params![id.as_str(), collection.0], |row| {
                Ok(Quarantined {
                    partition: row.get(0)?,
                    key: row.get(1)?,
                    reason: row.get(2)?,
                    in_doubt: row.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn intend_retry(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE quarantine SET in_doubt = 1 \
                 WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
                params![attempt.job_id().as_str(), collection.0, row.partition, row.key],
            )?;
            Ok(())
        })
        .await
    }

    async fn release_quarantined(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
        is_written: bool,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id().as_str();
            let found = connection.execute(
                "DELETE FROM quarantine WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
                params![id, collection.0, row.partition, row.key],
            )?;
            if found == 1 {
                // The sums of a partition are what counts; which of its splits carries the row does not matter.
                let change =
                    if is_written { "rows_written = rows_written + 1" } else { "rows_read = rows_read - 1" };
                connection.execute(
                    &format!(
                        "UPDATE splits SET {change} WHERE split_id = (SELECT min(split_id) FROM splits WHERE job_id = ?1 \
                         AND collection = ?2 AND coalesce(partition, '') = ?3 AND rows_read > rows_written)"
                    ),
                    params![id, collection.0, row.partition],
                )?;
            }
            Ok(())
        })
        .await
    }
}

fn insert(
    connection: &Connection,
    job_id: &JobId,
    collection: Position,
    split: &NewSplit,
) -> Result<SplitId, Error> {
    connection
        .prepare_cached(
            "INSERT INTO splits (job_id, collection, partition, after_key, until_key, rows_planned) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            job_id.as_str(),
            collection.0,
            split.partition,
            split.after,
            split.until,
            signed(split.rows_planned)
        ])?;
    Ok(SplitId(connection.last_insert_rowid()))
}

/// Takes a step, once.
fn take(connection: &Connection, split_id: SplitId, step: &Step) -> Result<(), Error> {
    if !step.moves() {
        return match step.progress == Progress::default() {
            true => keep(connection, split_id, step),
            false => {
                Err(Error::new(ErrorKind::Moved, format!("rows of split {split_id} count without a key")))
            }
        };
    }
    let moved = connection
        .prepare_cached(
            "UPDATE splits SET cursor = coalesce(?4, cursor), intent = coalesce(?5, intent), rows_read = rows_read + ?6, \
             rows_written = rows_written + ?7, bytes = bytes + ?8 \
             WHERE split_id = ?1 AND cursor IS ?2 AND intent IS ?3",
        )?
        .execute(params![
            split_id.0,
            step.cursor,
            step.intent,
            step.to_cursor,
            step.to_intent,
            signed(step.progress.rows_read),
            signed(step.progress.rows_written),
            signed(step.progress.bytes)
        ])?;
    if moved == 0 && !step.is_taken(&one(connection, split_id)?) {
        let text = format!("split {split_id} has changed since it was read");
        return Err(Error::new(ErrorKind::Moved, text));
    }
    keep(connection, split_id, step)
}

/// Keeps what a step says of the rows that were written.
fn keep(connection: &Connection, split_id: SplitId, step: &Step) -> Result<(), Error> {
    keep_samples(connection, split_id, &step.samples)?;
    keep_marks(connection, split_id, &step.marks)
}

fn keep_samples(connection: &Connection, split_id: SplitId, samples: &[String]) -> Result<(), Error> {
    if samples.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO samples (job_id, collection, partition, key) \
         SELECT job_id, collection, coalesce(partition, ''), ?2 FROM splits WHERE split_id = ?1",
    )?;
    for key in samples {
        statement.execute(params![split_id.0, key])?;
    }
    Ok(())
}

/// A span into which something was written is equal no more, whatever was found before.
fn keep_marks(connection: &Connection, split_id: SplitId, marks: &[(String, u64)]) -> Result<(), Error> {
    if marks.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO marks (job_id, collection, partition, until_key, rows) \
         SELECT job_id, collection, coalesce(partition, ''), ?2, ?3 FROM splits WHERE split_id = ?1 \
         ON CONFLICT (job_id, collection, partition, until_key) \
         DO UPDATE SET rows = excluded.rows, equal_round = NULL, equal_rows = NULL",
    )?;
    for (until, rows) in marks {
        statement.execute(params![split_id.0, until, signed(*rows)])?;
    }
    Ok(())
}

/// Whether a split was finished under a claim: its end was committed, and nobody told the caller.
fn is_finished(connection: &Connection, claim: &Claim) -> Result<bool, Error> {
    let found = connection
        .prepare_cached("SELECT done AND writer IS NULL FROM splits WHERE split_id = ?1 AND epoch = ?2")?
        .query_row(params![claim.split_id().0, claim.epoch()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// Whether a split was opened again under a claim, and nobody told the caller.
fn is_reopened(connection: &Connection, claim: &Claim, times: u64) -> Result<bool, Error> {
    let found = connection
        .prepare_cached(
            "SELECT NOT done AND writer IS NULL AND cursor IS NULL AND rows_read = 0 AND reopened = ?3 \
             FROM splits WHERE split_id = ?1 AND epoch = ?2 + 1",
        )?
        .query_row(params![claim.split_id().0, claim.epoch(), signed(times)], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// A split starts again; everything that it may have sent is in doubt.
fn reopen(connection: &Connection, split_id: SplitId, times: u64) -> Result<(), Error> {
    connection.execute(
        "UPDATE splits SET intent = coalesce(intent, cursor), cursor = NULL, rows_read = 0, rows_written = 0, bytes = 0, \
         done = 0, counted = NULL, distinct_keys = NULL, reopened = ?2, epoch = epoch + 1, writer = NULL \
         WHERE split_id = ?1",
        params![split_id.0, signed(times)],
    )?;
    Ok(())
}

fn forget_refused(
    connection: &Connection,
    job_id: &JobId,
    collection: Position,
    refused: &[Quarantined],
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM quarantine WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
    )?;
    for row in refused {
        statement.execute(params![job_id.as_str(), collection.0, row.partition, row.key])?;
    }
    Ok(())
}

/// Records the ranges between cursor and intent of some splits as in doubt. The attempt is the first parameter.
pub(super) fn mark_unrecorded_as_doubts(
    connection: &Connection,
    which: &str,
    of: impl Params,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO doubts (job_id, collection, partition, after_key, until_key, attempt) \
         SELECT job_id, collection, partition, coalesce(cursor, after_key), intent, ?1 FROM splits s \
         WHERE {which} AND intent IS NOT NULL AND intent IS NOT cursor AND NOT EXISTS \
         (SELECT 1 FROM doubts d WHERE d.job_id = s.job_id AND d.collection = s.collection \
         AND d.partition IS s.partition AND d.after_key IS coalesce(s.cursor, s.after_key) AND d.until_key IS s.intent \
         AND NOT d.settled)"
    );
    connection.prepare_cached(&sql)?.execute(of)?;
    Ok(())
}

pub(super) fn one(connection: &Connection, split_id: SplitId) -> Result<Split, Error> {
    let sql = format!("SELECT {COLUMNS} FROM splits WHERE split_id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row(params![split_id.0], split_of)?)
}

/// The split that starts behind a key in the part of another one: by ID the last, though there is only one.
fn behind(connection: &Connection, job_id: &JobId, lower: &Split, key: &str) -> Result<Option<Split>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM splits WHERE job_id = ?1 AND collection = ?2 AND partition IS ?3 AND after_key = ?4 \
         ORDER BY split_id DESC LIMIT 1"
    );
    let of = params![job_id.as_str(), lower.collection.0, lower.partition, key];
    Ok(connection.prepare_cached(&sql)?.query_row(of, split_of).optional()?)
}

fn splits_of(connection: &Connection, job_id: &JobId, collection: Position) -> Result<Vec<Split>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM splits WHERE job_id = ?1 AND collection = ?2 ORDER BY split_id");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params![job_id.as_str(), collection.0], split_of)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

fn split_of(row: &Row<'_>) -> rusqlite::Result<Split> {
    let distinct_keys = unsigned_or_none(row, 13)?;
    Ok(Split {
        split_id: row.get(0).map(SplitId)?,
        collection: position(row, 1)?,
        partition: row.get(2)?,
        after: row.get(3)?,
        until: row.get(4)?,
        rows_planned: unsigned(row, 5)?,
        cursor: row.get(6)?,
        intent: row.get(7)?,
        progress: Progress {
            rows_read: unsigned(row, 8)?,
            rows_written: unsigned(row, 9)?,
            bytes: unsigned(row, 10)?,
        },
        done: row.get(11)?,
        count: unsigned_or_none(row, 12)?.map(|counted| RangeCount { counted, distinct_keys }),
        reopened: unsigned(row, 14)?,
    })
}
