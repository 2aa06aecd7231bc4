//! Writers and claims.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::clock::Moment;
use super::rows::{signed, unsigned};
use super::splits::{mark_unrecorded_as_doubts, one};
use crate::attempt::Attempt;
use crate::claims::{Claims, WRITER_TTL_MAX, not_admitted};
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position, SplitId, WorkerId};
use crate::right::{Claim, Writer};
use crate::splits::Split;

#[async_trait]
impl Claims for SqliteStore {
    async fn open_writer(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        ttl: Duration,
    ) -> Result<Writer, Error> {
        let (id, worker) = (job_id.clone(), worker.clone());
        self.write(move |connection| open(connection, &id, collection, &worker, ttl)).await
    }

    async fn admit_workers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute(
                "UPDATE collections SET admits_workers = 1 WHERE job_id = ?1 AND position = ?2",
                params![attempt.job_id().as_str(), collection.0],
            )?;
            Ok(())
        })
        .await
    }

    async fn join(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        ttl: Duration,
    ) -> Result<Writer, Error> {
        let (id, worker) = (job_id.clone(), worker.clone());
        self.write(move |connection| {
            let admits: Option<bool> = connection
                .query_row(
                    "SELECT admits_workers FROM collections WHERE job_id = ?1 AND position = ?2",
                    params![id.as_str(), collection.0],
                    |row| row.get(0),
                )
                .optional()?;
            if admits != Some(true) {
                return Err(not_admitted(&id, collection));
            }
            open(connection, &id, collection, &worker, ttl)
        })
        .await
    }

    async fn renew_writer(&self, writer: &Writer, ttl: Duration) -> Result<(), Error> {
        let writer = writer.clone();
        self.write(move |connection| {
            let now = Moment::now();
            let renewed = connection.execute(
                "UPDATE writers SET boot = ?4, expires_ms = ?5 \
                 WHERE job_id = ?1 AND collection = ?2 AND number = ?3 AND state = 'open'",
                params![
                    writer.job_id().as_str(),
                    writer.collection().0,
                    signed(writer.number()),
                    now.boot,
                    now.after(ttl.min(WRITER_TTL_MAX))
                ],
            )?;
            if renewed == 1 { Ok(()) } else { Err(ended(&writer)) }
        })
        .await
    }

    async fn lost_writers(&self, job_id: &JobId, collection: Position) -> Result<Vec<u64>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number FROM writers WHERE job_id = ?1 AND collection = ?2 AND state = 'lost' ORDER BY number",
            )?;
            let found = statement.query_map(params![id.as_str(), collection.0], |row| unsigned(row, 0))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn close_lost_writers(
        &self,
        job_id: &JobId,
        collection: Position,
        numbers: Vec<u64>,
    ) -> Result<(), Error> {
        let id = job_id.clone();
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE writers SET state = 'closed' \
                 WHERE job_id = ?1 AND collection = ?2 AND number = ?3 AND state = 'lost'",
            )?;
            for number in &numbers {
                statement.execute(params![id.as_str(), collection.0, signed(*number)])?;
            }
            Ok(())
        })
        .await
    }

    async fn end_writer(&self, writer: &Writer, failure: Option<String>) -> Result<(), Error> {
        let writer = writer.clone();
        self.write(move |connection| {
            // Also if an earlier try did.
            let of =
                params![writer.job_id().as_str(), writer.collection().0, signed(writer.number()), failure];
            let ended_now = connection.execute(
                "UPDATE writers SET failure = ?4 \
                 WHERE job_id = ?1 AND collection = ?2 AND number = ?3 AND (state = 'open' OR failure IS ?4)",
                of,
            )?;
            if ended_now == 0 {
                return Err(ended(&writer));
            }
            let attempt = connection.query_row(
                "SELECT attempt FROM jobs WHERE job_id = ?1",
                params![writer.job_id().as_str()],
                |row| row.get(0),
            )?;
            lose(connection, &writer, attempt)
        })
        .await
    }

    async fn failures(&self, job_id: &JobId, collection: Position) -> Result<Vec<String>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT failure FROM writers WHERE job_id = ?1 AND collection = ?2 AND failure IS NOT NULL \
                 ORDER BY number",
            )?;
            let found = statement.query_map(params![id.as_str(), collection.0], |row| row.get(0))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn workers(&self, job_id: &JobId) -> Result<u64, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let now = Moment::now();
            let mut statement = connection.prepare_cached(
                "SELECT count(DISTINCT worker) FROM writers w WHERE job_id = ?1 AND state = 'open' AND boot = ?2 \
                 AND expires_ms > ?3 AND EXISTS (SELECT 1 FROM splits s WHERE s.job_id = w.job_id \
                 AND s.collection = w.collection AND s.writer = w.number)",
            )?;
            let of = params![id.as_str(), now.boot, now.milliseconds];
            Ok(statement.query_row(of, |row| unsigned(row, 0))?)
        })
        .await
    }

    async fn lose_writers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let mut statement = connection.prepare_cached(
                "SELECT number FROM writers WHERE job_id = ?1 AND collection = ?2 AND state = 'open'",
            )?;
            let open = statement
                .query_map(params![attempt.job_id().as_str(), collection.0], |row| unsigned(row, 0))?
                .collect::<Result<Vec<_>, _>>()?;
            for number in open {
                lose(
                    connection,
                    &Writer::new(attempt.job_id().clone(), collection, number),
                    attempt.number(),
                )?;
            }
            let of = params![attempt.job_id().as_str(), collection.0];
            connection
                .execute("UPDATE writers SET failure = NULL WHERE job_id = ?1 AND collection = ?2", of)?;
            connection.execute(
                "UPDATE collections SET admits_workers = 0 WHERE job_id = ?1 AND position = ?2",
                of,
            )?;
            Ok(())
        })
        .await
    }

    async fn claim(&self, writer: &Writer, split_id: SplitId) -> Result<Option<(Claim, Split)>, Error> {
        let writer = writer.clone();
        self.write(move |connection| claim(connection, &writer, split_id)).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), Error> {
        let claim = claim.clone();
        self.write(move |connection| {
            // Also if it ended like this before: whoever took the split over would have raised the epoch.
            let released = connection
                .prepare_cached(
                    "UPDATE splits SET writer = NULL WHERE split_id = ?1 AND job_id = ?2 AND epoch = ?3 \
                     AND (writer = ?4 OR (writer IS NULL AND NOT done))",
                )?
                .execute(params![
                    claim.split_id().0,
                    claim.writer().job_id().as_str(),
                    claim.epoch(),
                    signed(claim.writer().number())
                ])?;
            if released == 1 { Ok(()) } else { Err(super::lost(&claim)) }
        })
        .await
    }

    async fn free_splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<SplitId>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let now = Moment::now();
            let mut statement = connection.prepare_cached(
                "SELECT split_id FROM splits s WHERE job_id = ?1 AND collection = ?2 AND NOT done AND NOT EXISTS \
                 (SELECT 1 FROM writers w WHERE w.job_id = s.job_id AND w.collection = s.collection \
                 AND w.number = s.writer AND w.state = 'open' AND w.boot = ?3 AND w.expires_ms > ?4) ORDER BY split_id",
            )?;
            let of = params![id.as_str(), collection.0, now.boot, now.milliseconds];
            let found = statement.query_map(of, |row| row.get(0).map(SplitId))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }
}

fn open(
    connection: &Connection,
    job_id: &JobId,
    collection: Position,
    worker: &WorkerId,
    ttl: Duration,
) -> Result<Writer, Error> {
    let is_open: Option<bool> = connection
        .query_row(
            "SELECT state IN ('IN_PROGRESS', 'CANCELING') FROM jobs WHERE job_id = ?1",
            params![job_id.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    if is_open != Some(true) {
        return Err(Error::new(ErrorKind::NotOpen, format!("job {job_id} is not running")));
    }
    let number: i64 = connection.query_row(
        "UPDATE collections SET write_alias = write_alias + 1 WHERE job_id = ?1 AND position = ?2 \
         RETURNING write_alias",
        params![job_id.as_str(), collection.0],
        |row| row.get(0),
    )?;
    let now = Moment::now();
    connection.execute(
        "INSERT INTO writers (job_id, collection, number, worker, state, boot, expires_ms) \
         VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6)",
        params![
            job_id.as_str(),
            collection.0,
            number,
            worker.as_str(),
            now.boot,
            now.after(ttl.min(WRITER_TTL_MAX))
        ],
    )?;
    Ok(Writer::new(job_id.clone(), collection, number.cast_unsigned()))
}

fn ended(writer: &Writer) -> Error {
    let text = format!("writer {} of the collection was lost or closed", writer.number());
    Error::new(ErrorKind::Fenced, text)
}

/// Whether a writer is open, and whether its time is over.
fn look_at(connection: &Connection, writer: &Writer) -> Result<(bool, bool), Error> {
    let now = Moment::now();
    let found = connection
        .prepare_cached(
            "SELECT state = 'open', boot <> ?4 OR expires_ms <= ?5 FROM writers \
             WHERE job_id = ?1 AND collection = ?2 AND number = ?3",
        )?
        .query_row(
            params![
                writer.job_id().as_str(),
                writer.collection().0,
                signed(writer.number()),
                now.boot,
                now.milliseconds
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(found.unwrap_or((false, true)))
}

fn claim(
    connection: &Connection,
    writer: &Writer,
    split_id: SplitId,
) -> Result<Option<(Claim, Split)>, Error> {
    // One that nobody took over may go on after its time.
    if !look_at(connection, writer)?.0 {
        return Err(ended(writer));
    }
    let found: Option<(i64, Option<i64>)> = connection
        .prepare_cached(
            "SELECT attempt, writer FROM splits JOIN jobs USING (job_id) \
             WHERE split_id = ?1 AND job_id = ?2 AND collection = ?3",
        )?
        .query_row(params![split_id.0, writer.job_id().as_str(), writer.collection().0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((attempt, held)) = found else {
        let text = format!("the collection has no split {split_id} any more");
        return Err(Error::new(ErrorKind::Fenced, text));
    };
    let split = one(connection, split_id)?;
    if split.done {
        return Ok(None);
    }
    if let Some(held) = held.map(i64::cast_unsigned).filter(|held| *held != writer.number()) {
        let holder = Writer::new(writer.job_id().clone(), writer.collection(), held);
        let (is_open, is_over) = look_at(connection, &holder)?;
        if is_open && !is_over {
            return Err(Error::new(
                ErrorKind::IsClaimed,
                format!("split {split_id} is being copied by writer {held}"),
            ));
        }
        lose(connection, &holder, attempt)?;
    }
    mark_unrecorded_as_doubts(connection, "split_id = ?2", params![attempt, split_id.0])?;
    let epoch = connection
        .prepare_cached(
            "UPDATE splits SET epoch = epoch + 1, writer = ?2 WHERE split_id = ?1 RETURNING epoch",
        )?
        .query_row(params![split_id.0, signed(writer.number())], |row| row.get(0))?;
    Ok(Some((Claim::new(writer.clone(), split_id, epoch), split)))
}

/// Ends a writer and all its claims; what it may have sent is in doubt.
fn lose(connection: &Connection, writer: &Writer, attempt: i64) -> Result<(), Error> {
    let (id, collection, number) = (writer.job_id().as_str(), writer.collection().0, signed(writer.number()));
    mark_unrecorded_as_doubts(
        connection,
        "job_id = ?2 AND collection = ?3 AND writer = ?4",
        params![attempt, id, collection, number],
    )?;
    connection.execute(
        "UPDATE splits SET epoch = epoch + 1, writer = NULL WHERE job_id = ?1 AND collection = ?2 AND writer = ?3",
        params![id, collection, number],
    )?;
    connection.execute(
        "UPDATE writers SET state = 'lost' WHERE job_id = ?1 AND collection = ?2 AND number = ?3 AND state = 'open'",
        params![id, collection, number],
    )?;
    Ok(())
}

/// The same of all writers of a job.
pub(super) fn lose_writers_of_job(
    connection: &Connection,
    job_id: &JobId,
    attempt: i64,
) -> Result<(), Error> {
    let id = job_id.as_str();
    mark_unrecorded_as_doubts(connection, "job_id = ?2 AND writer IS NOT NULL", params![attempt, id])?;
    connection.execute(
        "UPDATE splits SET epoch = epoch + 1, writer = NULL WHERE job_id = ?1 AND writer IS NOT NULL",
        params![id],
    )?;
    connection
        .execute("UPDATE writers SET state = 'lost' WHERE job_id = ?1 AND state = 'open'", params![id])?;
    connection.execute("UPDATE writers SET failure = NULL WHERE job_id = ?1", params![id])?;
    connection.execute("UPDATE collections SET admits_workers = 0 WHERE job_id = ?1", params![id])?;
    Ok(())
}
