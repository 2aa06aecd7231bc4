//! Splits.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::connection::{Change, Of};
use super::failure::Failure;
use super::rows::{
    all, at, bytes, damaged, get, key, key_or_none, one, position, split_id, unsigned, unsigned_or_none,
    without_nul,
};
use crate::attempt::Attempt;
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, Position, SplitId};
use crate::right::{Claim, Right};
use crate::splits::{
    CollectionProgress, Doubt, NewSplit, Progress, Quarantined, RangeCount, Split, Splits, Step,
};

pub(super) const COLUMNS: &str = "split_id, collection, partition, after_key, until_key, rows_planned, cursor, intent, \
                                  rows_read, rows_written, bytes, done, counted, distinct_keys, reopened";

/// The place of what is asked for behind these.
pub(super) const BEHIND: usize = 15;

/// A step of a split that is where the step begins, under its claim: one statement, because this is done all the time. The
/// row that it changes is looked at again after others let it go.
const ADVANCE: &str = "\
    WITH moved AS ( \
        UPDATE splits SET cursor = coalesce($7, cursor), intent = coalesce($8, intent), rows_read = rows_read + $9, \
        rows_written = rows_written + $10, bytes = bytes + $11 \
        WHERE split_id = $1 AND job_id = $2 AND epoch = $3 AND writer = $4 \
        AND cursor IS NOT DISTINCT FROM $5 AND intent IS NOT DISTINCT FROM $6 \
        RETURNING job_id, collection, coalesce(partition, '') AS partition), \
    kept AS ( \
        INSERT INTO samples (job_id, collection, partition, key) \
        SELECT moved.job_id, moved.collection, moved.partition, sample.key FROM moved, unnest($12::bytea[]) AS sample (key) \
        ON CONFLICT DO NOTHING), \
    marked AS ( \
        INSERT INTO marks (job_id, collection, partition, until_key, rows) \
        SELECT moved.job_id, moved.collection, moved.partition, mark.key, mark.rows \
        FROM moved, unnest($13::bytea[], $14::bigint[]) AS mark (key, rows) \
        ON CONFLICT (job_id, collection, partition, key_hash) \
        DO UPDATE SET rows = excluded.rows, equal_round = NULL, equal_rows = NULL) \
    SELECT 1 FROM moved";

#[async_trait]
impl Splits for PostgresStore {
    async fn plan_splits(
        &self,
        attempt: &Attempt,
        collection: Position,
        splits: Vec<NewSplit>,
    ) -> Result<Vec<Split>, Error> {
        let (id, place) = (attempt.job_id().as_str(), at(collection));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let plan = "UPDATE collections SET splits_planned = TRUE \
                        WHERE job_id = $1 AND position = $2 AND NOT splits_planned";
            if change.execute(plan, &[&id, &place]).await? == 1 {
                insert(&change, attempt.job_id(), collection, &splits).await?;
            } else {
                let planned = "SELECT 1 FROM collections WHERE job_id = $1 AND position = $2";
                let missing = || damaged(&format!("job {id} has no collection {collection}"));
                change.row(planned, &[&id, &place]).await?.ok_or_else(missing)?;
            }
            let planned = all(&change.rows(&of_collection(), &[&id, &place]).await?, split_of)?;
            change.commit(planned).await
        })
        .await
    }

    async fn splits(&self, job_id: &JobId, collection: Position) -> Result<Vec<Split>, Error> {
        self.read(&of_collection(), &[&job_id.as_str(), &at(collection)], |rows| all(rows, split_of)).await
    }

    async fn progress(&self, job_id: &JobId) -> Result<Vec<CollectionProgress>, Error> {
        let sql = "SELECT collection, CAST(sum(rows_read) AS BIGINT), CAST(sum(rows_written) AS BIGINT), \
                   CAST(sum(bytes) AS BIGINT), count(*), count(*) FILTER (WHERE done) FROM splits \
                   WHERE job_id = $1 GROUP BY collection ORDER BY collection";
        self.read(sql, &[&job_id.as_str()], |rows| {
            all(rows, |row| {
                let progress = Progress {
                    rows_read: unsigned(row, 1)?,
                    rows_written: unsigned(row, 2)?,
                    bytes: unsigned(row, 3)?,
                };
                let (splits, splits_done) = (unsigned(row, 4)?, unsigned(row, 5)?);
                Ok(CollectionProgress { collection: position(row, 0)?, progress, splits, splits_done })
            })
        })
        .await
    }

    async fn split(&self, split_id: SplitId) -> Result<Split, Error> {
        let sql = format!("SELECT {COLUMNS} FROM splits WHERE split_id = $1");
        let missing = || damaged(&format!("there is no split {split_id}"));
        self.read(&sql, &[&split_id.0], |rows| split_of(rows.first().ok_or_else(missing)?)).await
    }

    async fn advance(&self, claim: &Claim, step: Step) -> Result<(), Error> {
        if step.moves() && self.take_at_once(claim, &step).await? {
            return Ok(());
        }
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, split) = self.begin_under(&mut client, claim).await?;
            take(&change, &split, &step).await?;
            change.commit(()).await
        })
        .await
    }

    async fn finish_split(&self, claim: &Claim, step: Step, count: RangeCount) -> Result<(), Error> {
        let (counted, keys) = (count.counted.cast_signed(), count.distinct_keys.map(u64::cast_signed));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin(&mut client).await?;
            let (split, writer, epoch) = lock(&change, claim).await?;
            if split.done && writer.is_none() && epoch == claim.epoch() {
                // By an earlier try.
                return Ok(());
            }
            check_claim(claim, writer, epoch)?;
            take(&change, &split, &step).await?;
            let finish = "UPDATE splits SET done = TRUE, writer = NULL, counted = $2, distinct_keys = $3 \
                          WHERE split_id = $1";
            change.execute(finish, &[&claim.split_id().0, &counted, &keys]).await?;
            change.commit(()).await
        })
        .await
    }

    async fn reopen_split(&self, claim: &Claim, times: u64, refused: Vec<Quarantined>) -> Result<(), Error> {
        let (job_id, collection) = (claim.writer().job_id(), claim.writer().collection());
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin(&mut client).await?;
            let (split, writer, epoch) = lock(&change, claim).await?;
            if writer.is_none() && epoch == claim.epoch() + 1 && is_reopened(&split, times) {
                // By an earlier try.
                return Ok(());
            }
            check_claim(claim, writer, epoch)?;
            reopen(&change, &[claim.split_id().0], times).await?;
            forget_refused(&change, job_id, collection, &refused).await?;
            change.commit(()).await
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
        let (id, place) = (attempt.job_id().as_str(), at(collection));
        let mut ids: Vec<i64> = splits.iter().map(|split_id| split_id.0).collect();
        ids.sort_unstable();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let copied = "UPDATE collections SET copied = FALSE WHERE job_id = $1 AND position = $2";
            change.execute(copied, &[&id, &place]).await?;
            reopen(&change, &ids, 0).await?;
            let compared = "DELETE FROM comparisons WHERE job_id = $1 AND collection = $2";
            change.execute(compared, &[&id, &place]).await?;
            let equal = "UPDATE marks SET equal_round = NULL, equal_rows = NULL WHERE job_id = $1 AND collection = $2";
            change.execute(equal, &[&id, &place]).await?;
            forget_refused(&change, attempt.job_id(), collection, &refused).await?;
            change.commit(()).await
        })
        .await
    }

    async fn divide(&self, claim: &Claim, at: String, rows_planned: (u64, u64)) -> Result<Split, Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, lower) = self.begin_under(&mut client, claim).await?;
            if let Some(upper) = behind(&change, claim, &lower, &at).await? {
                return Ok(upper);
            }
            if lower.done {
                let text = format!("split {} is complete", lower.split_id);
                return Err(Error::new(ErrorKind::Moved, text).into());
            }
            let end = "UPDATE splits SET until_key = $2, rows_planned = $3 WHERE split_id = $1";
            change.execute(end, &[&lower.split_id.0, &at.as_bytes(), &rows_planned.0.cast_signed()]).await?;
            let upper = NewSplit {
                partition: lower.partition,
                after: Some(at.clone()),
                until: lower.until,
                rows_planned: rows_planned.1,
            };
            let upper = insert(&change, claim.writer().job_id(), lower.collection, &[upper]).await?;
            let upper = upper.into_iter().next().ok_or_else(|| damaged("a split was not recorded"))?;
            change.commit(upper).await
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
        let sql = "INSERT INTO doubts (job_id, collection, partition, after_key, until_key, attempt) \
                   SELECT job_id, $2, $3, $4, $5, attempt FROM jobs WHERE job_id = $1 AND NOT EXISTS \
                   (SELECT 1 FROM doubts WHERE job_id = $1 AND collection = $2 \
                   AND partition IS NOT DISTINCT FROM $3 AND after_key IS NOT DISTINCT FROM $4 \
                   AND until_key IS NOT DISTINCT FROM $5 AND NOT settled)";
        let (id, collection) = (right.job_id().as_str(), at(right.collection()));
        let of: Of<'_> = &[&id, &collection, &partition, &bytes(&after), &bytes(&until)];
        self.write_with(right, sql, of).await
    }

    async fn doubts(&self, job_id: &JobId, collection: Position) -> Result<Vec<Doubt>, Error> {
        let sql = "SELECT doubt_id, partition, after_key, until_key FROM doubts \
                   WHERE job_id = $1 AND collection = $2 AND NOT settled ORDER BY doubt_id";
        self.read(sql, &[&job_id.as_str(), &at(collection)], |rows| {
            all(rows, |row| {
                Ok(Doubt {
                    doubt_id: get(row, 0)?,
                    partition: get(row, 1)?,
                    after: key_or_none(row, 2)?,
                    until: key_or_none(row, 3)?,
                })
            })
        })
        .await
    }

    async fn doubts_total(&self, job_id: &JobId) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM doubts WHERE job_id = $1";
        self.read(sql, &[&job_id.as_str()], |rows| Ok(one::<i64>(rows.first())?.cast_unsigned())).await
    }

    async fn settle_doubt(&self, attempt: &Attempt, doubt_id: i64) -> Result<(), Error> {
        let sql = "UPDATE doubts SET settled = TRUE WHERE doubt_id = $2 AND job_id = $1";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &doubt_id]).await
    }

    async fn samples(
        &self,
        job_id: &JobId,
        collection: Position,
        partition: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let sql =
            "SELECT key FROM samples WHERE job_id = $1 AND collection = $2 AND partition = $3 ORDER BY key";
        let of: Of<'_> = &[&job_id.as_str(), &at(collection), &partition.unwrap_or_default()];
        self.read(sql, of, |rows| all(rows, |row| key(row, 0))).await
    }

    async fn record_quarantined(&self, right: Right<'_>, row: Quarantined) -> Result<(), Error> {
        let sql = "INSERT INTO quarantine (job_id, collection, partition, key, reason, in_doubt) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job_id, collection, partition, key_hash) \
                   DO UPDATE SET reason = excluded.reason, in_doubt = excluded.in_doubt";
        let (id, collection) = (right.job_id().as_str(), at(right.collection()));
        let reason = without_nul(&row.reason);
        let of: Of<'_> = &[&id, &collection, &row.partition, &row.key.as_bytes(), &reason, &row.in_doubt];
        self.write_with(right, sql, of).await
    }

    async fn quarantined_total(&self, job_id: &JobId, collection: Position) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM quarantine WHERE job_id = $1 AND collection = $2";
        let of: Of<'_> = &[&job_id.as_str(), &at(collection)];
        self.read(sql, of, |rows| Ok(one::<i64>(rows.first())?.cast_unsigned())).await
    }

    async fn quarantined(&self, job_id: &JobId, collection: Position) -> Result<Vec<Quarantined>, Error> {
        let sql = "SELECT partition, key, reason, in_doubt FROM quarantine WHERE job_id = $1 AND collection = $2 \
                   ORDER BY partition, key";
        self.read(sql, &[&job_id.as_str(), &at(collection)], |rows| {
            all(rows, |row| {
                Ok(Quarantined {
                    partition: get(row, 0)?,
                    key: key(row, 1)?,
                    reason: get(row, 2)?,
                    in_doubt: get(row, 3)?,
                })
            })
        })
        .await
    }

    async fn intend_retry(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
    ) -> Result<(), Error> {
        let sql = "UPDATE quarantine SET in_doubt = TRUE \
                   WHERE job_id = $1 AND collection = $2 AND partition = $3 AND key_hash = sha256($4)";
        let id = attempt.job_id().as_str();
        self.write_as(attempt, sql, &[&id, &at(collection), &row.partition, &row.key.as_bytes()]).await
    }

    async fn release_quarantined(
        &self,
        attempt: &Attempt,
        collection: Position,
        row: Quarantined,
        is_written: bool,
    ) -> Result<(), Error> {
        let (id, place) = (attempt.job_id().as_str(), at(collection));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            // The sums of a partition are what counts; which of its splits carries the row does not matter. It is locked
            // before the refused row, as those do who record one under a claim.
            let carrier = "SELECT split_id FROM splits WHERE job_id = $1 AND collection = $2 \
                           AND coalesce(partition, '') = $3 AND rows_read > rows_written \
                           ORDER BY split_id LIMIT 1 FOR NO KEY UPDATE";
            let carrier = change.row(carrier, &[&id, &place, &row.partition]).await?;
            let release = "DELETE FROM quarantine \
                           WHERE job_id = $1 AND collection = $2 AND partition = $3 AND key_hash = sha256($4)";
            let of: Of<'_> = &[&id, &place, &row.partition, &row.key.as_bytes()];
            let found = change.execute(release, of).await?;
            if let (1, Some(carrier)) = (found, carrier) {
                let count = match is_written {
                    true => "UPDATE splits SET rows_written = rows_written + 1 WHERE split_id = $1",
                    false => "UPDATE splits SET rows_read = rows_read - 1 WHERE split_id = $1",
                };
                change.execute(count, &[&get::<i64>(&carrier, 0)?]).await?;
            }
            change.commit(()).await
        })
        .await
    }
}

impl PostgresStore {
    /// Takes a step by one statement. Whether it was taken; if not, it is to be found out why.
    async fn take_at_once(&self, claim: &Claim, step: &Step) -> Result<bool, Error> {
        let writer = claim.writer();
        let (marks, rows) = marks_of(step);
        let of: Of<'_> = &[
            &claim.split_id().0,
            &writer.job_id().as_str(),
            &claim.epoch(),
            &writer.number().cast_signed(),
            &bytes(&step.cursor),
            &bytes(&step.intent),
            &bytes(&step.to_cursor),
            &bytes(&step.to_intent),
            &step.progress.rows_read.cast_signed(),
            &step.progress.rows_written.cast_signed(),
            &step.progress.bytes.cast_signed(),
            &keys(&step.samples),
            &marks,
            &rows,
        ];
        self.write_once(ADVANCE, of, |rows| Ok(!rows.is_empty())).await
    }

    /// One statement about the rows of a collection.
    async fn write_with(&self, right: Right<'_>, sql: &str, of: Of<'_>) -> Result<(), Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_with(&mut client, right).await?;
            change.execute(sql, of).await?;
            change.commit(()).await
        })
        .await
    }
}

fn keys(keys: &[String]) -> Vec<&[u8]> {
    keys.iter().map(String::as_bytes).collect()
}

/// Keys and rows of the marks of a step, each key once, as one statement needs them.
fn marks_of(step: &Step) -> (Vec<&[u8]>, Vec<i64>) {
    let marks: BTreeMap<_, _> = step.marks.iter().map(|(until, rows)| (until.as_bytes(), rows)).collect();
    marks.into_iter().map(|(until, rows)| (until, rows.cast_signed())).unzip()
}

fn of_collection() -> String {
    format!("SELECT {COLUMNS} FROM splits WHERE job_id = $1 AND collection = $2 ORDER BY split_id")
}

/// Records splits, by ID in the order in which they are given.
async fn insert(
    change: &Change<'_>,
    job_id: &JobId,
    collection: Position,
    splits: &[NewSplit],
) -> Result<Vec<Split>, Failure> {
    let sql = format!(
        "INSERT INTO splits (job_id, collection, partition, after_key, until_key, rows_planned) \
         SELECT $1, $2, partition, after_key, until_key, rows_planned \
         FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::bigint[]) WITH ORDINALITY \
         AS new (partition, after_key, until_key, rows_planned, place) ORDER BY place RETURNING {COLUMNS}"
    );
    let partitions: Vec<Option<&str>> = splits.iter().map(|split| split.partition.as_deref()).collect();
    let afters: Vec<Option<&[u8]>> = splits.iter().map(|split| bytes(&split.after)).collect();
    let untils: Vec<Option<&[u8]>> = splits.iter().map(|split| bytes(&split.until)).collect();
    let rows: Vec<i64> = splits.iter().map(|split| split.rows_planned.cast_signed()).collect();
    let of: Of<'_> = &[&job_id.as_str(), &at(collection), &partitions, &afters, &untils, &rows];
    all(&change.rows(&sql, of).await?, split_of)
}

/// Locks the split of a claim. With its writer and epoch, which come behind its columns.
async fn lock(change: &Change<'_>, claim: &Claim) -> Result<(Split, Option<i64>, i64), Failure> {
    let sql = format!(
        "SELECT {COLUMNS}, writer, epoch FROM splits WHERE split_id = $1 AND job_id = $2 FOR NO KEY UPDATE"
    );
    let of: Of<'_> = &[&claim.split_id().0, &claim.writer().job_id().as_str()];
    let row = change.row(&sql, of).await?.ok_or_else(|| super::lost(claim))?;
    Ok((split_of(&row)?, get(&row, BEHIND)?, get(&row, BEHIND + 1)?))
}

/// Locks a split under its claim.
pub(super) async fn hold(change: &Change<'_>, claim: &Claim) -> Result<Split, Failure> {
    let (split, writer, epoch) = lock(change, claim).await?;
    check_claim(claim, writer, epoch)?;
    Ok(split)
}

/// Refuses a write under a claim that is not the split's newest.
fn check_claim(claim: &Claim, writer: Option<i64>, epoch: i64) -> Result<(), Error> {
    let holds = epoch == claim.epoch() && writer == Some(claim.writer().number().cast_signed());
    if holds { Ok(()) } else { Err(super::lost(claim)) }
}

/// Takes a step of a split that is locked, once.
async fn take(change: &Change<'_>, split: &Split, step: &Step) -> Result<(), Failure> {
    let split_id = split.split_id;
    let moved = |text: String| Err(Error::new(ErrorKind::Moved, text).into());
    if !step.moves() {
        if step.progress != Progress::default() {
            return moved(format!("rows of split {split_id} count without a key"));
        }
    } else if split.cursor == step.cursor && split.intent == step.intent {
        let sql = "UPDATE splits SET cursor = coalesce($2, cursor), intent = coalesce($3, intent), \
                   rows_read = rows_read + $4, rows_written = rows_written + $5, bytes = bytes + $6 WHERE split_id = $1";
        let Progress { rows_read, rows_written, bytes: sent } = step.progress;
        let of: Of<'_> = &[
            &split_id.0,
            &bytes(&step.to_cursor),
            &bytes(&step.to_intent),
            &rows_read.cast_signed(),
            &rows_written.cast_signed(),
            &sent.cast_signed(),
        ];
        change.execute(sql, of).await?;
    } else if !step.is_taken(split) {
        return moved(format!("split {split_id} has changed since it was read"));
    }
    keep_samples(change, split_id, &step.samples).await?;
    keep_marks(change, split_id, step).await
}

/// A span into which something was written is equal no more, whatever was found before.
async fn keep_marks(change: &Change<'_>, split_id: SplitId, step: &Step) -> Result<(), Failure> {
    let (marks, rows) = marks_of(step);
    if marks.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO marks (job_id, collection, partition, until_key, rows) \
               SELECT job_id, collection, coalesce(partition, ''), mark.key, mark.rows \
               FROM splits, unnest($2::bytea[], $3::bigint[]) AS mark (key, rows) WHERE split_id = $1 \
               ON CONFLICT (job_id, collection, partition, key_hash) \
               DO UPDATE SET rows = excluded.rows, equal_round = NULL, equal_rows = NULL";
    change.execute(sql, &[&split_id.0, &marks, &rows]).await?;
    Ok(())
}

async fn keep_samples(change: &Change<'_>, split_id: SplitId, samples: &[String]) -> Result<(), Failure> {
    if samples.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO samples (job_id, collection, partition, key) \
               SELECT job_id, collection, coalesce(partition, ''), unnest($2::bytea[]) FROM splits WHERE split_id = $1 \
               ON CONFLICT DO NOTHING";
    change.execute(sql, &[&split_id.0, &keys(samples)]).await?;
    Ok(())
}

/// Splits start again; everything that they may have sent is in doubt.
async fn reopen(change: &Change<'_>, splits: &[i64], times: u64) -> Result<(), Failure> {
    let locked = "SELECT 1 FROM splits WHERE split_id = ANY($1) ORDER BY split_id FOR NO KEY UPDATE";
    change.rows(locked, &[&splits]).await?;
    let sql = "UPDATE splits SET intent = coalesce(intent, cursor), cursor = NULL, rows_read = 0, rows_written = 0, \
               bytes = 0, done = FALSE, counted = NULL, distinct_keys = NULL, reopened = $2, epoch = epoch + 1, \
               writer = NULL WHERE split_id = ANY($1)";
    change.execute(sql, &[&splits, &times.cast_signed()]).await?;
    Ok(())
}

fn is_reopened(split: &Split, times: u64) -> bool {
    !split.done && split.cursor.is_none() && split.progress == Progress::default() && split.reopened == times
}

async fn forget_refused(
    change: &Change<'_>,
    job_id: &JobId,
    collection: Position,
    refused: &[Quarantined],
) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let partitions: Vec<&str> = refused.iter().map(|row| row.partition.as_str()).collect();
    let keys: Vec<&[u8]> = refused.iter().map(|row| row.key.as_bytes()).collect();
    let sql = "DELETE FROM quarantine USING unnest($3::text[], $4::bytea[]) AS read_again (partition, key) \
               WHERE job_id = $1 AND collection = $2 AND quarantine.partition = read_again.partition \
               AND quarantine.key_hash = sha256(read_again.key)";
    change.execute(sql, &[&job_id.as_str(), &at(collection), &partitions, &keys]).await?;
    Ok(())
}

/// The split that starts behind a key in the part of another one: by ID the last, though there is only one.
async fn behind(
    change: &Change<'_>,
    claim: &Claim,
    lower: &Split,
    key: &str,
) -> Result<Option<Split>, Failure> {
    let sql = format!(
        "SELECT {COLUMNS} FROM splits WHERE job_id = $1 AND collection = $2 AND partition IS NOT DISTINCT FROM $3 \
         AND after_key = $4 ORDER BY split_id DESC LIMIT 1"
    );
    let of: Of<'_> =
        &[&claim.writer().job_id().as_str(), &at(lower.collection), &lower.partition, &key.as_bytes()];
    change.row(&sql, of).await?.map(|row| split_of(&row)).transpose()
}

pub(super) fn split_of(row: &Row) -> Result<Split, Failure> {
    let distinct_keys = unsigned_or_none(row, 13)?;
    Ok(Split {
        split_id: split_id(row, 0)?,
        collection: position(row, 1)?,
        partition: get(row, 2)?,
        after: key_or_none(row, 3)?,
        until: key_or_none(row, 4)?,
        rows_planned: unsigned(row, 5)?,
        cursor: key_or_none(row, 6)?,
        intent: key_or_none(row, 7)?,
        progress: Progress {
            rows_read: unsigned(row, 8)?,
            rows_written: unsigned(row, 9)?,
            bytes: unsigned(row, 10)?,
        },
        done: get(row, 11)?,
        count: unsigned_or_none(row, 12)?.map(|counted| RangeCount { counted, distinct_keys }),
        reopened: unsigned(row, 14)?,
    })
}
