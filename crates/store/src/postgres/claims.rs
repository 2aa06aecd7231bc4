//! Writers and claims.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::connection::{Change, Of};
use super::failure::Failure;
use super::rows::{all, at, damaged, get, one, split_id, ttl, unsigned};
use super::splits::{BEHIND, COLUMNS, split_of};
use crate::attempt::Attempt;
use crate::claims::{Claims, not_admitted};
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position, SplitId, WorkerId};
use crate::right::{Claim, Writer};
use crate::splits::Split;

/// Whether the time of a writer is not over. None holds for longer than [`WRITER_TTL_MAX`](crate::WRITER_TTL_MAX), so that
/// one with more was renewed before the server's clock was set back.
macro_rules! writer_holds {
    () => {
        "(writers.expires BETWEEN clock_timestamp() AND clock_timestamp() + interval '600 seconds')"
    };
}

#[async_trait]
impl Claims for PostgresStore {
    async fn open_writer(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        time: Duration,
    ) -> Result<Writer, Error> {
        let call = super::call();
        let number = self
            .write(|| async {
                let mut client = self.client().await?;
                let change = self.begin(&mut client).await?;
                let number = open(&change, job_id, collection, worker, ttl(time), &call).await?;
                change.commit(number).await
            })
            .await?;
        Ok(Writer::new(job_id.clone(), collection, number))
    }

    async fn admit_workers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error> {
        let sql = "UPDATE collections SET admits_workers = TRUE WHERE job_id = $1 AND position = $2";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &at(collection)]).await
    }

    async fn join(
        &self,
        job_id: &JobId,
        collection: Position,
        worker: &WorkerId,
        time: Duration,
    ) -> Result<Writer, Error> {
        let call = super::call();
        let number = self
            .write(|| async {
                let mut client = self.client().await?;
                let change = self.begin(&mut client).await?;
                let number = open(&change, job_id, collection, worker, ttl(time), &call).await?;
                // The row is locked by now.
                let admits = "SELECT admits_workers FROM collections WHERE job_id = $1 AND position = $2";
                let row = change.row(admits, &[&job_id.as_str(), &at(collection)]).await?;
                if !row.map(|row| get(&row, 0)).transpose()?.unwrap_or(false) {
                    return Err(not_admitted(job_id, collection).into());
                }
                change.commit(number).await
            })
            .await?;
        Ok(Writer::new(job_id.clone(), collection, number))
    }

    async fn renew_writer(&self, writer: &Writer, time: Duration) -> Result<(), Error> {
        // Whoever takes it over holds its row meanwhile: it is lost before or renewed before, never both.
        let sql = "UPDATE writers SET expires = clock_timestamp() + $4::bigint * interval '1 millisecond' \
                   WHERE job_id = $1 AND collection = $2 AND number = $3 AND state = 'open' RETURNING 1";
        let (id, collection, number) = key_of(writer);
        self.write_once(sql, &[&id, &collection, &number, &ttl(time)], |rows| match rows.is_empty() {
            true => Err(ended(writer).into()),
            false => Ok(()),
        })
        .await
    }

    async fn lost_writers(&self, job_id: &JobId, collection: Position) -> Result<Vec<u64>, Error> {
        let sql = "SELECT number FROM writers WHERE job_id = $1 AND collection = $2 AND state = 'lost' ORDER BY number";
        self.read(sql, &[&job_id.as_str(), &at(collection)], |rows| all(rows, |row| unsigned(row, 0))).await
    }

    async fn close_lost_writers(
        &self,
        job_id: &JobId,
        collection: Position,
        numbers: Vec<u64>,
    ) -> Result<(), Error> {
        // Nobody changes a writer that is lost but this, so that the order of the rows does not matter.
        let sql = "UPDATE writers SET state = 'closed' \
                   WHERE job_id = $1 AND collection = $2 AND number = ANY($3) AND state = 'lost'";
        let numbers: Vec<i64> = numbers.into_iter().map(u64::cast_signed).collect();
        self.write_once(sql, &[&job_id.as_str(), &at(collection), &numbers], |_| Ok(())).await
    }

    async fn end_writer(&self, writer: &Writer, failure: Option<String>) -> Result<(), Error> {
        let (id, collection, number) = key_of(writer);
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin(&mut client).await?;
            // Also if an earlier try did.
            let sql = "UPDATE writers SET failure = $4, state = CASE state WHEN 'open' THEN 'lost' ELSE state END \
                       WHERE job_id = $1 AND collection = $2 AND number = $3 AND (state = 'open' OR failure IS NOT DISTINCT FROM $4) \
                       RETURNING 1";
            if change.row(sql, &[&id, &collection, &number, &failure]).await?.is_none() {
                return Err(ended(writer).into());
            }
            let attempt = attempt_of(&change, writer.job_id()).await?;
            let of = "job_id = $1 AND collection = $2 AND writer = $3";
            end_claims(&change, of, &[&id, &collection, &number], attempt).await?;
            change.commit(()).await
        })
        .await
    }

    async fn failures(&self, job_id: &JobId, collection: Position) -> Result<Vec<String>, Error> {
        let sql = "SELECT failure FROM writers WHERE job_id = $1 AND collection = $2 AND failure IS NOT NULL \
                   ORDER BY number";
        self.read(sql, &[&job_id.as_str(), &at(collection)], |rows| all(rows, |row| get(row, 0))).await
    }

    async fn workers(&self, job_id: &JobId) -> Result<u64, Error> {
        let sql = concat!(
            "SELECT count(DISTINCT worker) FROM writers WHERE job_id = $1 AND state = 'open' AND ",
            writer_holds!(),
            " AND EXISTS (SELECT 1 FROM splits s WHERE s.job_id = writers.job_id \
            AND s.collection = writers.collection AND s.writer = writers.number)"
        );
        self.read(sql, &[&job_id.as_str()], |rows| match rows.first() {
            Some(row) => unsigned(row, 0),
            None => Ok(0),
        })
        .await
    }

    async fn lose_writers(&self, attempt: &Attempt, collection: Position) -> Result<(), Error> {
        let (job_id, collection) = (attempt.job_id(), at(collection));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let close = "UPDATE collections SET admits_workers = FALSE WHERE job_id = $1 AND position = $2";
            change.execute(close, &[&job_id.as_str(), &collection]).await?;
            let open = "UPDATE writers SET state = 'lost' WHERE (job_id, collection, number) IN \
                        (SELECT job_id, collection, number FROM writers \
                        WHERE job_id = $1 AND collection = $2 AND state = 'open' ORDER BY number FOR NO KEY UPDATE)";
            change.execute(open, &[&job_id.as_str(), &collection]).await?;
            let of = "job_id = $1 AND collection = $2 AND writer IS NOT NULL";
            end_claims(&change, of, &[&job_id.as_str(), &collection], attempt.number()).await?;
            // None of these is open any more, and nobody else changes one that is not.
            let forget = "UPDATE writers SET failure = NULL \
                          WHERE job_id = $1 AND collection = $2 AND failure IS NOT NULL";
            change.execute(forget, &[&job_id.as_str(), &collection]).await?;
            change.commit(()).await
        })
        .await
    }

    async fn claim(&self, writer: &Writer, split_id: SplitId) -> Result<Option<(Claim, Split)>, Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin(&mut client).await?;
            let claimed = claim(&change, writer, split_id).await?;
            match claimed {
                Some(_) => change.commit(claimed).await,
                None => Ok(None),
            }
        })
        .await
    }

    async fn release(&self, claim: &Claim) -> Result<(), Error> {
        // Also if an earlier try did: whoever took the split over would have raised the epoch.
        let sql = "UPDATE splits SET writer = NULL WHERE split_id = $1 AND job_id = $2 AND epoch = $3 \
                   AND (writer = $4 OR (writer IS NULL AND NOT done)) RETURNING 1";
        let (id, _, number) = key_of(claim.writer());
        let of: Of<'_> = &[&claim.split_id().0, &id, &claim.epoch(), &number];
        self.write_once(sql, of, |rows| match rows.is_empty() {
            true => Err(super::lost(claim).into()),
            false => Ok(()),
        })
        .await
    }

    async fn free_splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<SplitId>, Error> {
        let sql = concat!(
            "SELECT split_id FROM splits s WHERE job_id = $1 AND collection = $2 AND NOT done AND NOT EXISTS \
            (SELECT 1 FROM writers WHERE writers.job_id = s.job_id AND writers.collection = s.collection \
            AND writers.number = s.writer AND writers.state = 'open' AND ",
            writer_holds!(),
            ") ORDER BY split_id"
        );
        self.read(sql, &[&job_id.as_str(), &at(collection)], |rows| all(rows, |row| split_id(row, 0))).await
    }
}

fn key_of(writer: &Writer) -> (&str, i64, i64) {
    (writer.job_id().as_str(), at(writer.collection()), writer.number().cast_signed())
}

fn ended(writer: &Writer) -> Error {
    let text = format!("writer {} of the collection was lost or closed", writer.number());
    Error::new(ErrorKind::Fenced, text)
}

async fn open(
    change: &Change<'_>,
    job_id: &JobId,
    collection: Position,
    worker: &WorkerId,
    ttl: i64,
    call: &str,
) -> Result<u64, Failure> {
    let (id, place) = (job_id.as_str(), at(collection));
    // Shared with others that open, not with an attempt that begins or ends writers: either it ends this one as well, or
    // this one is opened afterwards.
    let is_open = "SELECT state IN ('IN_PROGRESS', 'CANCELING') FROM jobs WHERE job_id = $1 FOR SHARE";
    if !change.row(is_open, &[&id]).await?.map(|row| get(&row, 0)).transpose()?.unwrap_or(false) {
        let text = format!("job {job_id} is not running");
        return Err(Error::new(ErrorKind::NotOpen, text).into());
    }
    let last = "SELECT writers FROM collections WHERE job_id = $1 AND position = $2 FOR NO KEY UPDATE";
    let missing = || damaged(&format!("job {job_id} has no collection {collection}"));
    let last: i64 = get(&change.row(last, &[&id, &place]).await?.ok_or_else(missing)?, 0)?;
    // Looked for under the lock on the collection, so that an earlier try is at its end.
    let opened = "SELECT number FROM writers WHERE job_id = $1 AND collection = $2 AND call = $3";
    if let Some(row) = change.row(opened, &[&id, &place, &call]).await? {
        return unsigned(&row, 0);
    }
    let number = last + 1;
    let next = "UPDATE collections SET writers = $3 WHERE job_id = $1 AND position = $2";
    change.execute(next, &[&id, &place, &number]).await?;
    let insert = "INSERT INTO writers (job_id, collection, number, worker, state, expires, call) \
                  VALUES ($1, $2, $3, $4, 'open', clock_timestamp() + $5::bigint * interval '1 millisecond', $6)";
    change.execute(insert, &[&id, &place, &number, &worker.as_str(), &ttl, &call]).await?;
    Ok(number.cast_unsigned())
}

/// A writer as it is while its row is locked.
#[derive(Clone, Copy)]
struct Look {
    number: i64,
    is_open: bool,
    is_over: bool,
}

impl Look {
    fn of(row: &Row) -> Result<Self, Failure> {
        Ok(Self { number: get(row, 0)?, is_open: get(row, 1)?, is_over: get(row, 2)? })
    }
}

async fn claim(
    change: &Change<'_>,
    writer: &Writer,
    split_id: SplitId,
) -> Result<Option<(Claim, Split)>, Failure> {
    let (id, collection, number) = key_of(writer);
    // Writers are locked before splits, and which ones is told by the split: it is looked at twice.
    let holder = "SELECT writer FROM splits WHERE split_id = $1 AND job_id = $2 AND collection = $3";
    let Some(held) = change.row(holder, &[&split_id.0, &id, &collection]).await? else {
        let text = format!("the collection has no split {split_id} any more");
        return Err(Error::new(ErrorKind::Fenced, text).into());
    };
    let holder = get::<Option<i64>>(&held, 0)?;
    let other = holder.filter(|holder| *holder != number);
    let looks = lock_writers(change, writer, other).await?;
    let look = |number| looks.iter().find(|look| look.number == number);
    // One that nobody took over may go on after its time.
    if !look(number).is_some_and(|own| own.is_open) {
        return Err(ended(writer).into());
    }
    let locked = lock_splits(change, writer, split_id, other).await?;
    let Some((split, now)) = locked.iter().find(|(split, _)| split.split_id == split_id) else {
        return Err(Failure::Changed);
    };
    if split.done {
        return Ok(None);
    }
    if *now != holder {
        return Err(Failure::Changed);
    }
    if let Some(other) = other {
        if look(other).is_some_and(|holder| holder.is_open && !holder.is_over) {
            let text = format!("split {split_id} is being copied by writer {other}");
            return Err(Error::new(ErrorKind::IsClaimed, text).into());
        }
        lose(change, writer, other, &locked).await?;
    }
    let attempt = attempt_of(change, writer.job_id()).await?;
    mark_unrecorded_as_doubts(change, &[split_id.0], attempt).await?;
    let claim = "UPDATE splits SET epoch = epoch + 1, writer = $2 WHERE split_id = $1 RETURNING epoch";
    let epoch = one(change.row(claim, &[&split_id.0, &number]).await?.as_ref())?;
    Ok(Some((Claim::new(writer.clone(), split_id, epoch), split.clone())))
}

/// Locks a writer and perhaps another one of the same collection, always in the same order.
async fn lock_writers(
    change: &Change<'_>,
    writer: &Writer,
    other: Option<i64>,
) -> Result<Vec<Look>, Failure> {
    let (id, collection, number) = key_of(writer);
    let numbers: Vec<i64> = other.into_iter().chain([number]).collect();
    let lock = concat!(
        "SELECT number, state = 'open', NOT ",
        writer_holds!(),
        " FROM writers \
        WHERE job_id = $1 AND collection = $2 AND number = ANY($3) ORDER BY number FOR NO KEY UPDATE"
    );
    all(&change.rows(lock, &[&id, &collection, &numbers]).await?, Look::of)
}

/// Locks a split, and all that a writer has, which may be about to be lost: each with its writer as it is now.
async fn lock_splits(
    change: &Change<'_>,
    writer: &Writer,
    split_id: SplitId,
    other: Option<i64>,
) -> Result<Vec<(Split, Option<i64>)>, Failure> {
    let (id, collection, _) = key_of(writer);
    let lock = format!(
        "SELECT {COLUMNS}, writer FROM splits WHERE job_id = $1 AND collection = $2 AND (split_id = $3 OR writer = $4) \
         ORDER BY split_id FOR NO KEY UPDATE"
    );
    let rows = change.rows(&lock, &[&id, &collection, &split_id.0, &other]).await?;
    all(&rows, |row| Ok((split_of(row)?, get(row, BEHIND)?)))
}

/// Ends a writer and all its claims; what it may have sent is in doubt. Its row and its splits are locked.
async fn lose(
    change: &Change<'_>,
    by: &Writer,
    number: i64,
    locked: &[(Split, Option<i64>)],
) -> Result<(), Failure> {
    let (id, collection, _) = key_of(by);
    let of_it = locked.iter().filter(|(_, writer)| *writer == Some(number));
    let splits: Vec<i64> = of_it.map(|(split, _)| split.split_id.0).collect();
    let lost = "UPDATE writers SET state = 'lost' \
                WHERE job_id = $1 AND collection = $2 AND number = $3 AND state = 'open'";
    change.execute(lost, &[&id, &collection, &number]).await?;
    let attempt = attempt_of(change, by.job_id()).await?;
    free(change, &splits, attempt).await
}

/// The same of all writers of a job.
pub(super) async fn lose_writers_of_job(
    change: &Change<'_>,
    job_id: &JobId,
    attempt: i64,
) -> Result<(), Failure> {
    let id = job_id.as_str();
    let close = "UPDATE collections SET admits_workers = FALSE WHERE (job_id, position) IN \
                 (SELECT job_id, position FROM collections WHERE job_id = $1 AND admits_workers \
                 ORDER BY position FOR NO KEY UPDATE)";
    change.execute(close, &[&id]).await?;
    let open = "UPDATE writers SET state = 'lost' WHERE (job_id, collection, number) IN \
                (SELECT job_id, collection, number FROM writers WHERE job_id = $1 AND state = 'open' \
                ORDER BY collection, number FOR NO KEY UPDATE)";
    change.execute(open, &[&id]).await?;
    end_claims(change, "job_id = $1 AND writer IS NOT NULL", &[&id], attempt).await?;
    let forget = "UPDATE writers SET failure = NULL WHERE job_id = $1 AND failure IS NOT NULL";
    change.execute(forget, &[&id]).await?;
    Ok(())
}

/// Ends the claims of some splits, whose writers were lost first: nobody claims with these any more.
async fn end_claims(change: &Change<'_>, which: &str, of: Of<'_>, attempt: i64) -> Result<(), Failure> {
    let lock = format!("SELECT split_id FROM splits WHERE {which} ORDER BY split_id FOR NO KEY UPDATE");
    let splits = all(&change.rows(&lock, of).await?, |row| get::<i64>(row, 0))?;
    free(change, &splits, attempt).await
}

/// Ends the claims of splits that are locked.
async fn free(change: &Change<'_>, splits: &[i64], attempt: i64) -> Result<(), Failure> {
    if splits.is_empty() {
        return Ok(());
    }
    mark_unrecorded_as_doubts(change, splits, attempt).await?;
    let free = "UPDATE splits SET epoch = epoch + 1, writer = NULL WHERE split_id = ANY($1)";
    change.execute(free, &[&splits]).await?;
    Ok(())
}

/// Records the ranges between cursor and intent of splits, which are locked, as in doubt.
async fn mark_unrecorded_as_doubts(change: &Change<'_>, splits: &[i64], attempt: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO doubts (job_id, collection, partition, after_key, until_key, attempt) \
               SELECT job_id, collection, partition, coalesce(cursor, after_key), intent, $2 FROM splits s \
               WHERE split_id = ANY($1) AND intent IS NOT NULL AND intent IS DISTINCT FROM cursor AND NOT EXISTS \
               (SELECT 1 FROM doubts d WHERE d.job_id = s.job_id AND d.collection = s.collection \
               AND d.partition IS NOT DISTINCT FROM s.partition \
               AND d.after_key IS NOT DISTINCT FROM coalesce(s.cursor, s.after_key) \
               AND d.until_key IS NOT DISTINCT FROM s.intent AND NOT d.settled) ORDER BY split_id";
    change.execute(sql, &[&splits, &attempt]).await?;
    Ok(())
}

/// The attempt in which something happens that is not of its own process. Not locked: it is for people.
async fn attempt_of(change: &Change<'_>, job_id: &JobId) -> Result<i64, Failure> {
    one(change.row("SELECT attempt FROM jobs WHERE job_id = $1", &[&job_id.as_str()]).await?.as_ref())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_writer_holds_for_longer_than_the_longest_time() {
        let seconds = crate::WRITER_TTL_MAX.as_secs();
        assert!(writer_holds!().contains(&format!("interval '{seconds} seconds'")));
    }
}
