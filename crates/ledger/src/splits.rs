//! Splits: key ranges, and how far each is copied.
//!
//! Before a page is sent, its last key is recorded as *intent*; some time after the target acknowledged it, the *cursor*
//! moves there. So every row of which nobody knows, after a crash, whether it landed is between cursor and intent. These
//! are two or three pages: one was acknowledged and not recorded, one was on its way, and one may have been about to be
//! sent. Ranges are never merged or moved, only divided.

use rusqlite::{Connection, Row, params};

use crate::error::{Error, ErrorKind};
use crate::jobs::{signed, signed_size};
use crate::store::{Attempt, Ledger};

/// A split to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSplit {
    /// Its partition; none where partitions can't be named.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Rows it is thought to hold.
    pub rows_planned: u64,
}

/// A split as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its number.
    pub split_id: i64,
    /// Place of its collection in the job.
    pub collection: usize,
    /// Its partition.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Rows it is thought to hold.
    pub rows_planned: u64,
    /// Last key that is on the target.
    pub cursor: Option<String>,
    /// Last key that may be on the target.
    pub intent: Option<String>,
    /// What was done.
    pub progress: Progress,
    /// Whether it is complete.
    pub done: bool,
    /// What the source counted at its end; only where it is complete.
    pub count: Option<RangeCount>,
    /// How often in a row it was opened again at its end, because the source had answered too few rows.
    pub reopened: u64,
}

/// What the source held in the range of a split when all its rows seemed to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeCount {
    /// Rows, every copy of a repeated key among them.
    pub counted: u64,
    /// Keys that it answers; asked for only where more rows are counted than were read.
    pub distinct_keys: Option<u64>,
}

/// Rows and bytes of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read from the source.
    pub rows_read: u64,
    /// Rows acknowledged by the target.
    pub rows_written: u64,
    /// Bytes of these rows on the wire.
    pub bytes: u64,
}

/// A step forward of a split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// The target holds everything up to this key; none while no page was acknowledged since the last step.
    pub cursor: Option<String>,
    /// Rows and bytes since the last step.
    pub progress: Progress,
    /// Everything up to this key may be sent from now on, and nothing beyond; none leaves it as it is.
    pub intent: Option<String>,
    /// Keys of the acknowledged rows that are to be compared later.
    pub samples: Vec<String>,
}

/// A range whose rows may be on the target more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its number.
    pub doubt_id: i64,
    /// Its partition.
    pub partition: Option<String>,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
}

/// A row that the target refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its partition; empty where partitions can't be named.
    pub partition: String,
    /// Its key.
    pub key: String,
    /// What the target said.
    pub reason: String,
    /// Whether it is being tried again by a write that can't be repeated, whose end is not recorded.
    pub in_doubt: bool,
}

const COLUMNS: &str = "split_id, collection, partition, after_key, until_key, rows_planned, cursor, intent, rows_read, \
                       rows_written, bytes, done, counted, distinct_keys, reopened";

impl Ledger {
    /// Records the splits of a collection, once. Returns those that are recorded, which after a crash may be others.
    pub async fn plan_splits(
        &self,
        attempt: &Attempt,
        collection: usize,
        splits: Vec<NewSplit>,
    ) -> Result<Vec<Split>, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let at = params![attempt.job_id(), signed_size(collection)];
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

    /// The splits of a collection, by number.
    pub async fn splits(&self, job_id: &str, collection: usize) -> Result<Vec<Split>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| splits_of(connection, &id, collection)).await
    }

    /// One split.
    pub async fn split(&self, split_id: i64) -> Result<Split, Error> {
        self.read(move |connection| one(connection, split_id)).await
    }

    /// Moves a split forward.
    pub async fn advance(&self, attempt: &Attempt, split_id: i64, step: Advance) -> Result<(), Error> {
        self.write_as(attempt, move |connection, _| advance(connection, split_id, &step)).await
    }

    /// Records the last step of a split, and that it is complete: the source was counted.
    pub async fn finish_split(
        &self,
        attempt: &Attempt,
        split_id: i64,
        step: Advance,
        count: RangeCount,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, _| {
            advance(connection, split_id, &step)?;
            connection.execute(
                "UPDATE splits SET done = 1, counted = ?2, distinct_keys = ?3 WHERE split_id = ?1",
                params![split_id, signed(count.counted), count.distinct_keys.map(signed)],
            )?;
            Ok(())
        })
        .await
    }

    /// Opens splits again from which rows are missing. Everything up to the intent of each is in doubt from now on, as
    /// after a crash, and what lies behind it was never sent; refused rows of the splits, which the caller names, are read
    /// again like all others. The collection is not copied any more, and no comparison of it holds.
    pub async fn reopen_splits(
        &self,
        attempt: &Attempt,
        collection: usize,
        splits: Vec<i64>,
        times: u64,
        refused: Vec<Quarantined>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            for split_id in &splits {
                connection.execute(
                    "UPDATE splits SET intent = coalesce(intent, cursor), cursor = NULL, rows_read = 0, rows_written = 0, \
                     bytes = 0, done = 0, counted = NULL, distinct_keys = NULL, reopened = ?2 WHERE split_id = ?1",
                    params![split_id, signed(times)],
                )?;
            }
            let at = params![attempt.job_id(), signed_size(collection)];
            connection.execute("UPDATE collections SET copied = 0 WHERE job_id = ?1 AND position = ?2", at)?;
            connection.execute("DELETE FROM comparisons WHERE job_id = ?1 AND collection = ?2", at)?;
            for row in &refused {
                connection.execute(
                    "DELETE FROM quarantine WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
                    params![attempt.job_id(), signed_size(collection), row.partition, row.key],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Divides a split behind a key that it has not come to, neither by its cursor nor by its intent (the caller's
    /// duty: only it can compare keys). Returns the new split, which is the upper part. `rows_planned` is of the lower and of
    /// the upper part; rows of the lower part that were copied already count.
    pub async fn divide(
        &self,
        attempt: &Attempt,
        split_id: i64,
        at: String,
        rows_planned: (u64, u64),
    ) -> Result<Split, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let lower = one(connection, split_id)?;
            if lower.done {
                return Err(Error::new(ErrorKind::Corrupt, format!("split {split_id} is complete")));
            }
            connection.execute(
                "UPDATE splits SET until_key = ?2, rows_planned = ?3 WHERE split_id = ?1",
                params![split_id, at, signed(rows_planned.0)],
            )?;
            let upper = NewSplit {
                partition: lower.partition,
                after: Some(at),
                until: lower.until,
                rows_planned: rows_planned.1,
            };
            let upper = insert(connection, attempt.job_id(), lower.collection, &upper)?;
            one(connection, upper)
        })
        .await
    }

    /// Records that the rows of a range may be on the target more than once.
    pub async fn record_doubt(
        &self,
        attempt: &Attempt,
        collection: usize,
        partition: Option<String>,
        after: Option<String>,
        until: Option<String>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "INSERT INTO doubts (job_id, collection, partition, after_key, until_key, attempt) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM doubts WHERE job_id = ?1 AND collection = ?2 \
                 AND partition IS ?3 AND after_key IS ?4 AND until_key IS ?5 AND NOT settled)",
                params![
                    attempt.job_id(),
                    signed_size(collection),
                    partition,
                    after,
                    until,
                    attempt.number()
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// The ranges of a collection that are still in doubt.
    pub async fn doubts(&self, job_id: &str, collection: usize) -> Result<Vec<Doubt>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT doubt_id, partition, after_key, until_key FROM doubts \
                 WHERE job_id = ?1 AND collection = ?2 AND NOT settled ORDER BY doubt_id",
            )?;
            let found = statement.query_map(params![id, signed_size(collection)], |row| {
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

    /// How many ranges of a job were ever in doubt.
    pub async fn doubts_total(&self, job_id: &str) -> Result<u64, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let count: i64 = connection.query_row(
                "SELECT count(*) FROM doubts WHERE job_id = ?1",
                params![id],
                |row| row.get(0),
            )?;
            Ok(count.cast_unsigned())
        })
        .await
    }

    /// Records that the rows of a range are on the target exactly once.
    pub async fn settle_doubt(&self, attempt: &Attempt, doubt_id: i64) -> Result<(), Error> {
        self.write_as(attempt, move |connection, _| {
            connection.execute("UPDATE doubts SET settled = 1 WHERE doubt_id = ?1", params![doubt_id])?;
            Ok(())
        })
        .await
    }

    /// The keys of a part that are to be compared.
    pub async fn samples(
        &self,
        job_id: &str,
        collection: usize,
        partition: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let (id, partition) = (job_id.to_owned(), partition.unwrap_or_default().to_owned());
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT key FROM samples WHERE job_id = ?1 AND collection = ?2 AND partition = ?3",
            )?;
            let found =
                statement.query_map(params![id, signed_size(collection), partition], |row| row.get(0))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Records a row that the target refuses.
    pub async fn record_quarantined(
        &self,
        attempt: &Attempt,
        collection: usize,
        row: Quarantined,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "INSERT OR REPLACE INTO quarantine (job_id, collection, partition, key, reason, in_doubt) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    attempt.job_id(),
                    signed_size(collection),
                    row.partition,
                    row.key,
                    row.reason,
                    row.in_doubt
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// Records, before it is done, that a refused row is tried again by a write that can't be repeated.
    pub async fn intend_retry(
        &self,
        attempt: &Attempt,
        collection: usize,
        row: Quarantined,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE quarantine SET in_doubt = 1 WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
                params![attempt.job_id(), signed_size(collection), row.partition, row.key],
            )?;
            Ok(())
        })
        .await
    }

    /// Records what became of a row that the target had refused: by now the target took it, or the source holds it no more.
    pub async fn release_quarantined(
        &self,
        attempt: &Attempt,
        collection: usize,
        row: Quarantined,
        is_written: bool,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let at = params![attempt.job_id(), signed_size(collection), row.partition, row.key];
            let found = connection.execute(
                "DELETE FROM quarantine WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND key = ?4",
                at,
            )?;
            if found == 1 {
                // The sums of a partition are what counts; which of its splits carries the row does not matter.
                let change = if is_written { "rows_written = rows_written + 1" } else { "rows_read = rows_read - 1" };
                connection.execute(
                    &format!(
                        "UPDATE splits SET {change} WHERE split_id = (SELECT min(split_id) FROM splits WHERE job_id = ?1 \
                         AND collection = ?2 AND coalesce(partition, '') = ?3 AND rows_read > rows_written)"
                    ),
                    params![attempt.job_id(), signed_size(collection), row.partition],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// The rows of a collection that the target refuses.
    pub async fn quarantined(&self, job_id: &str, collection: usize) -> Result<Vec<Quarantined>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT partition, key, reason, in_doubt FROM quarantine WHERE job_id = ?1 AND collection = ?2 ORDER BY partition, key",
            )?;
            let found = statement.query_map(params![id, signed_size(collection)], |row| {
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
}

fn insert(connection: &Connection, job_id: &str, collection: usize, split: &NewSplit) -> Result<i64, Error> {
    connection.execute(
        "INSERT INTO splits (job_id, collection, partition, after_key, until_key, rows_planned) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            job_id,
            signed_size(collection),
            split.partition,
            split.after,
            split.until,
            signed(split.rows_planned)
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

fn advance(connection: &Connection, split_id: i64, step: &Advance) -> Result<(), Error> {
    if let Some(cursor) = &step.cursor {
        connection
            .prepare_cached(
                "UPDATE splits SET cursor = ?2, rows_read = rows_read + ?3, rows_written = rows_written + ?4, \
                 bytes = bytes + ?5 WHERE split_id = ?1",
            )?
            .execute(params![
                split_id,
                cursor,
                signed(step.progress.rows_read),
                signed(step.progress.rows_written),
                signed(step.progress.bytes)
            ])?;
    }
    if let Some(intent) = &step.intent {
        connection
            .prepare_cached("UPDATE splits SET intent = ?2 WHERE split_id = ?1")?
            .execute(params![split_id, intent])?;
    }
    if !step.samples.is_empty() {
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO samples (job_id, collection, partition, key) \
             SELECT job_id, collection, coalesce(partition, ''), ?2 FROM splits WHERE split_id = ?1",
        )?;
        for key in &step.samples {
            statement.execute(params![split_id, key])?;
        }
    }
    Ok(())
}

fn one(connection: &Connection, split_id: i64) -> Result<Split, Error> {
    let sql = format!("SELECT {COLUMNS} FROM splits WHERE split_id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row(params![split_id], split_of)?)
}

fn splits_of(connection: &Connection, job_id: &str, collection: usize) -> Result<Vec<Split>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM splits WHERE job_id = ?1 AND collection = ?2 ORDER BY split_id");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params![job_id, signed_size(collection)], split_of)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

fn split_of(row: &Row<'_>) -> rusqlite::Result<Split> {
    let distinct_keys = row.get::<_, Option<i64>>(13)?.map(i64::cast_unsigned);
    Ok(Split {
        split_id: row.get(0)?,
        collection: usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
        partition: row.get(2)?,
        after: row.get(3)?,
        until: row.get(4)?,
        rows_planned: row.get::<_, i64>(5)?.cast_unsigned(),
        cursor: row.get(6)?,
        intent: row.get(7)?,
        progress: Progress {
            rows_read: row.get::<_, i64>(8)?.cast_unsigned(),
            rows_written: row.get::<_, i64>(9)?.cast_unsigned(),
            bytes: row.get::<_, i64>(10)?.cast_unsigned(),
        },
        done: row.get(11)?,
        count: row
            .get::<_, Option<i64>>(12)?
            .map(|counted| RangeCount { counted: counted.cast_unsigned(), distinct_keys }),
        reopened: row.get::<_, i64>(14)?.cast_unsigned(),
    })
}
