//! Rounds and marks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::connection::{Change, Of};
use super::failure::Failure;
use super::jobs::end;
use super::reservations::reserve_new;
use super::rows::{
    all, at, damaged, duration_or_none, get, key, milliseconds, named, one, position, signed_size, unsigned,
    unsigned_or_none,
};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};
use crate::jobs::JobState;
use crate::reservations::Reserved;
use crate::rounds::{
    ChangedPlan, EndedRound, EqualSpan, Mark, NewRound, Opening, RoundFact, RoundKind, RoundRecord,
    RoundState, Rounds, check_added, ending, no_cut_over, not_complete, open_number, opening,
};

const NEWEST: &str = "SELECT number, kind, state, options, plan, read_timestamp, switch_intended, begun_at, ended_at, \
                      window_ms, report FROM rounds WHERE job_id = $1 ORDER BY number DESC LIMIT $2";

#[async_trait]
impl Rounds for PostgresStore {
    async fn open_round(&self, attempt: &Attempt, round: NewRound) -> Result<RoundRecord, Error> {
        let id = attempt.job_id();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let former = newest(&change, id).await?;
            match opening(former.as_ref(), &round)? {
                Opening::Same => {}
                Opening::Next => begin(&change, id, former.as_ref(), &round).await?,
            }
            let opened = newest(&change, id).await?;
            change.commit(opened.ok_or_else(|| damaged("a round was not recorded"))?).await
        })
        .await
    }

    async fn round(&self, job_id: &JobId) -> Result<Option<RoundRecord>, Error> {
        self.read(NEWEST, &[&job_id.as_str(), &1_i64], |rows| rows.first().map(round_of).transpose()).await
    }

    async fn rounds(&self, job_id: &JobId, rounds_max: usize) -> Result<Vec<RoundRecord>, Error> {
        self.read(NEWEST, &[&job_id.as_str(), &signed_size(rounds_max)], |rows| all(rows, round_of)).await
    }

    async fn record_round_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let (id, timestamp) = (attempt.job_id().as_str(), read_timestamp.map(u64::cast_signed));
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, round) = self.begin_in_round(&mut client, attempt).await?;
            let latest = "UPDATE rounds SET read_timestamp = coalesce($3, read_timestamp) \
                          WHERE job_id = $1 AND number = $2 RETURNING read_timestamp";
            let recorded: Option<i64> = one(change.row(latest, &[&id, &round, &timestamp]).await?.as_ref())?;
            change.commit(recorded.map(i64::cast_unsigned)).await
        })
        .await
    }

    async fn change_plan(&self, attempt: &Attempt, changed: ChangedPlan) -> Result<Vec<Reserved>, Error> {
        let id = attempt.job_id();
        let names: Vec<&str> = changed.added.iter().map(|(_, new)| new.target.as_str()).collect();
        let positions: Vec<i64> = changed.added.iter().map(|(position, _)| at(*position)).collect();
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, _) = self.begin_in_round(&mut client, attempt).await?;
            check_added(&recorded(&change, id).await?, &changed.added)?;
            let held = reserve_new(&change, id, &names, &positions).await?;
            if held.is_empty() {
                follow(&change, id, &changed, &positions).await?;
            }
            change.commit(held).await
        })
        .await
    }

    async fn record_gone(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        let (id, place) = (attempt.job_id().as_str(), at(position));
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            for sql in [
                "UPDATE collections SET presence = 'gone' WHERE job_id = $1 AND position = $2",
                // To the one that has its name from now on.
                "UPDATE reservations r SET position = heir.position FROM \
                 (SELECT target, min(position) AS position FROM collections WHERE job_id = $1 AND presence <> 'gone' \
                 GROUP BY target) AS heir \
                 WHERE r.job_id = $1 AND r.position = $2 AND heir.target = r.name",
                "DELETE FROM reservations WHERE job_id = $1 AND position = $2",
            ] {
                change.execute(sql, &[&id, &place]).await?;
            }
            change.commit(()).await
        })
        .await
    }

    async fn record_round_fact(
        &self,
        attempt: &Attempt,
        position: Position,
        name: &str,
        document: String,
    ) -> Result<String, Error> {
        let (id, place) = (attempt.job_id().as_str(), at(position));
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, round) = self.begin_in_round(&mut client, attempt).await?;
            let first = "INSERT INTO round_facts (job_id, round, collection, name, document) \
                         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            change.execute(first, &[&id, &round, &place, &name, &document]).await?;
            let recorded = "SELECT document FROM round_facts \
                            WHERE job_id = $1 AND round = $2 AND collection = $3 AND name = $4";
            let recorded = change.row(recorded, &[&id, &round, &place, &name]).await?;
            change.commit(one(recorded.as_ref())?).await
        })
        .await
    }

    async fn round_facts(&self, job_id: &JobId, round: u64) -> Result<Vec<RoundFact>, Error> {
        let sql = "SELECT collection, name, document FROM round_facts WHERE job_id = $1 AND round = $2 \
                   ORDER BY collection, name";
        self.read(sql, &[&job_id.as_str(), &round.cast_signed()], |rows| {
            all(rows, |row| {
                Ok(RoundFact { collection: position(row, 0)?, name: get(row, 1)?, document: get(row, 2)? })
            })
        })
        .await
    }

    async fn record_round_done(
        &self,
        attempt: &Attempt,
        position: Position,
        report: String,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO round_reports (job_id, round, collection, report) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (job_id, round, collection) DO UPDATE SET report = excluded.report";
        let (id, place) = (attempt.job_id().as_str(), at(position));
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, round) = self.begin_in_round(&mut client, attempt).await?;
            change.execute(sql, &[&id, &round, &place, &report]).await?;
            change.commit(()).await
        })
        .await
    }

    async fn round_reports(&self, job_id: &JobId, round: u64) -> Result<Vec<(Position, String)>, Error> {
        let sql = "SELECT collection, report FROM round_reports WHERE job_id = $1 AND round = $2 \
                   ORDER BY collection";
        self.read(sql, &[&job_id.as_str(), &round.cast_signed()], |rows| {
            all(rows, |row| Ok((position(row, 0)?, get(row, 1)?)))
        })
        .await
    }

    async fn intend_rows(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error> {
        let sql = "UPDATE collections SET round_rows = greatest(round_rows, $3) \
                   WHERE job_id = $1 AND position = $2";
        let (id, place, rows) = (attempt.job_id().as_str(), at(position), rows.cast_signed());
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, _) = self.begin_in_round(&mut client, attempt).await?;
            change.execute(sql, &[&id, &place, &rows]).await?;
            change.commit(()).await
        })
        .await
    }

    async fn intend_switch(&self, attempt: &Attempt) -> Result<(), Error> {
        let id = attempt.job_id().as_str();
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, round) = self.begin_in_round(&mut client, attempt).await?;
            let sql =
                "UPDATE rounds SET switch_intended = TRUE WHERE job_id = $1 AND number = $2 AND kind = $3";
            if change.execute(sql, &[&id, &round, &RoundKind::CutOver.name()]).await? == 0 {
                return Err(no_cut_over(round.cast_unsigned()).into());
            }
            change.commit(()).await
        })
        .await
    }

    async fn end_round(&self, attempt: &Attempt, ended: EndedRound) -> Result<(), Error> {
        let id = attempt.job_id();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let newest = newest(&change, id).await?;
            if ending(newest.as_ref(), &ended)? {
                let round = open_number(newest.as_ref())?;
                if ended.job == JobState::Successful {
                    complete(&change, id, round).await?;
                }
                close(&change, id, round, &ended).await?;
            }
            end(&change, attempt, ended.job, &ended.report, &ended.ended_at).await?;
            change.commit(()).await
        })
        .await
    }

    async fn marks(&self, job_id: &JobId, position: Position) -> Result<Vec<Mark>, Error> {
        let sql = "SELECT partition, until_key, rows, equal_round, equal_rows FROM marks \
                   WHERE job_id = $1 AND collection = $2";
        self.read(sql, &[&job_id.as_str(), &at(position)], |rows| all(rows, mark_of)).await
    }

    async fn set_marks(
        &self,
        attempt: &Attempt,
        position: Position,
        partition: Option<String>,
        removed: Vec<Option<String>>,
        marks: Vec<Mark>,
    ) -> Result<(), Error> {
        let (id, place) = (attempt.job_id(), at(position));
        let of_part = partition.as_deref().unwrap_or_default();
        let keys: Vec<&[u8]> =
            removed.iter().map(|until| until.as_deref().unwrap_or_default().as_bytes()).collect();
        let marks: Vec<Mark> =
            marks.into_iter().map(|mark| Mark { partition: partition.clone(), ..mark }).collect();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let remove = "DELETE FROM marks USING unnest($4::bytea[]) AS removed (key) \
                          WHERE job_id = $1 AND collection = $2 AND partition = $3 \
                          AND marks.key_hash = sha256(removed.key)";
            change.execute(remove, &[&id.as_str(), &place, &of_part, &keys]).await?;
            put(&change, id, position, &marks).await?;
            change.commit(()).await
        })
        .await
    }

    async fn spans_equal(
        &self,
        attempt: &Attempt,
        position: Position,
        equal: Vec<EqualSpan>,
    ) -> Result<(), Error> {
        self.write(|| async {
            let mut client = self.client().await?;
            let (change, round) = self.begin_in_round(&mut client, attempt).await?;
            let marks = equal.iter().map(|span| Mark {
                partition: span.partition.clone(),
                until: span.until.clone(),
                rows: span.rows,
                equal: Some((round.cast_unsigned(), span.rows)),
            });
            put(&change, attempt.job_id(), position, &marks.collect::<Vec<_>>()).await?;
            change.commit(()).await
        })
        .await
    }
}

impl PostgresStore {
    /// Begins a transaction about the round that is open, in the name of an attempt.
    async fn begin_in_round<'client>(
        &self,
        client: &'client mut deadpool_postgres::Client,
        attempt: &Attempt,
    ) -> Result<(Change<'client>, i64), Failure> {
        let change = self.begin_as(client, attempt).await?;
        let round = open_number(newest(&change, attempt.job_id()).await?.as_ref())?;
        Ok((change, round.cast_signed()))
    }
}

async fn newest(change: &Change<'_>, job_id: &JobId) -> Result<Option<RoundRecord>, Failure> {
    change.row(NEWEST, &[&job_id.as_str(), &1_i64]).await?.as_ref().map(round_of).transpose()
}

/// Begins a round in place of the newest one.
async fn begin(
    change: &Change<'_>,
    job_id: &JobId,
    former: Option<&RoundRecord>,
    new: &NewRound,
) -> Result<(), Failure> {
    let id = job_id.as_str();
    let number = (former.map_or(0, |former| former.number) + 1).cast_signed();
    let collections = "UPDATE collections SET round_rows = 0 WHERE job_id = $1";
    if former.is_none_or(|former| former.state == RoundState::Done) {
        change.execute(collections, &[&id]).await?;
    }
    let open = "UPDATE rounds SET state = 'failed', ended_at = $2 WHERE job_id = $1 AND state = 'open'";
    change.execute(open, &[&id, &new.begun_at]).await?;
    change.execute("UPDATE rounds SET plan = NULL WHERE job_id = $1", &[&id]).await?;
    let insert = "INSERT INTO rounds (job_id, number, kind, state, options, plan, begun_at) \
                  SELECT job_id, $2, $3, 'open', $4, plan, $5 FROM jobs WHERE job_id = $1";
    change.execute(insert, &[&id, &number, &new.kind.name(), &new.options, &new.begun_at]).await?;
    for sql in [
        "DELETE FROM round_facts WHERE job_id = $1 AND round IS DISTINCT FROM \
         (SELECT max(number) FROM rounds WHERE job_id = $1 AND state = 'done')",
        "DELETE FROM round_reports WHERE job_id = $1 AND round IS DISTINCT FROM \
         (SELECT max(number) FROM rounds WHERE job_id = $1 AND state = 'done')",
    ] {
        change.execute(sql, &[&id]).await?;
    }
    Ok(())
}

/// Source and target of the collections of a job, by position.
async fn recorded(change: &Change<'_>, job_id: &JobId) -> Result<Vec<(String, String)>, Failure> {
    let sql = "SELECT source, target FROM collections WHERE job_id = $1 ORDER BY position";
    all(&change.rows(sql, &[&job_id.as_str()]).await?, |row| Ok((get(row, 0)?, get(row, 1)?)))
}

/// Makes of the records what a changed plan says.
async fn follow(
    change: &Change<'_>,
    job_id: &JobId,
    changed: &ChangedPlan,
    positions: &[i64],
) -> Result<(), Failure> {
    let id = job_id.as_str();
    change.execute("UPDATE jobs SET plan = $2 WHERE job_id = $1", &[&id, &changed.plan]).await?;
    let sources: Vec<&str> = changed.added.iter().map(|(_, new)| new.source.as_str()).collect();
    let targets: Vec<&str> = changed.added.iter().map(|(_, new)| new.target.as_str()).collect();
    let rows: Vec<i64> = changed.added.iter().map(|(_, new)| new.rows_total.cast_signed()).collect();
    let added = "INSERT INTO collections (job_id, position, source, target, rows_total) \
                 SELECT $1, position, source, target, rows_total \
                 FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[]) \
                 AS new (position, source, target, rows_total) ON CONFLICT DO NOTHING";
    change.execute(added, &[&id, &positions, &sources, &targets, &rows]).await?;
    let going: Vec<i64> = changed.going.iter().map(|position| at(*position)).collect();
    let presence = "UPDATE collections SET presence = 'going' \
                    WHERE job_id = $1 AND position = ANY($2) AND presence = 'here'";
    change.execute(presence, &[&id, &going]).await?;
    let databases =
        "INSERT INTO databases (job_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING";
    change.execute(databases, &[&id, &changed.databases]).await?;
    Ok(())
}

/// Nothing is left to do for the collections of a job, as its round found.
async fn complete(change: &Change<'_>, job_id: &JobId, round: u64) -> Result<(), Failure> {
    let of: Of<'_> = &[&job_id.as_str(), &round.cast_signed()];
    let left = "SELECT count(*) FROM collections c WHERE job_id = $1 AND (presence = 'going' OR presence = 'here' \
                AND NOT EXISTS (SELECT 1 FROM round_reports r WHERE r.job_id = $1 AND r.round = $2 \
                AND r.collection = c.position))";
    let left: i64 = one(change.row(left, of).await?.as_ref())?;
    if left > 0 {
        return Err(not_complete(round, left).into());
    }
    let done = "UPDATE collections c SET done = TRUE, removal_intended = FALSE, report = r.report FROM round_reports r \
                WHERE c.job_id = $1 AND c.presence = 'here' AND r.job_id = $1 AND r.round = $2 \
                AND r.collection = c.position";
    change.execute(done, of).await?;
    Ok(())
}

async fn close(change: &Change<'_>, job_id: &JobId, round: u64, ended: &EndedRound) -> Result<(), Failure> {
    let sql = "UPDATE rounds SET state = $3, ended_at = $4, window_ms = $5, report = $6 \
               WHERE job_id = $1 AND number = $2";
    let of: Of<'_> = &[
        &job_id.as_str(),
        &round.cast_signed(),
        &ended.state.name(),
        &ended.ended_at,
        &ended.window.map(milliseconds),
        &ended.of_round,
    ];
    change.execute(sql, of).await?;
    Ok(())
}

/// Records marks in place of those that are there; each once, as one statement needs them.
async fn put(change: &Change<'_>, job_id: &JobId, position: Position, marks: &[Mark]) -> Result<(), Failure> {
    let by_key: BTreeMap<_, _> = marks
        .iter()
        .map(|mark| {
            let partition = mark.partition.as_deref().unwrap_or_default();
            ((partition, mark.until.as_deref().unwrap_or_default()), mark)
        })
        .collect();
    let (partitions, keys): (Vec<&str>, Vec<&[u8]>) =
        by_key.keys().map(|(partition, until)| (*partition, until.as_bytes())).unzip();
    let rows: Vec<i64> = by_key.values().map(|mark| mark.rows.cast_signed()).collect();
    let (equal_rounds, equal_rows): (Vec<Option<i64>>, Vec<Option<i64>>) = by_key
        .values()
        .map(|mark| mark.equal.map(|(round, rows)| (round.cast_signed(), rows.cast_signed())).unzip())
        .unzip();
    let sql = "INSERT INTO marks (job_id, collection, partition, until_key, rows, equal_round, equal_rows) \
               SELECT $1, $2, partition, until_key, rows, equal_round, equal_rows \
               FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[]) \
               AS new (partition, until_key, rows, equal_round, equal_rows) \
               ON CONFLICT (job_id, collection, partition, key_hash) DO UPDATE SET rows = excluded.rows, \
               equal_round = excluded.equal_round, equal_rows = excluded.equal_rows";
    let of: Of<'_> =
        &[&job_id.as_str(), &at(position), &partitions, &keys, &rows, &equal_rounds, &equal_rows];
    change.execute(sql, of).await?;
    Ok(())
}

fn round_of(row: &Row) -> Result<RoundRecord, Failure> {
    Ok(RoundRecord {
        number: unsigned(row, 0)?,
        kind: named(row, 1, RoundKind::of_name)?,
        state: named(row, 2, RoundState::of_name)?,
        options: get(row, 3)?,
        plan: get(row, 4)?,
        read_timestamp: unsigned_or_none(row, 5)?,
        switch_intended: get(row, 6)?,
        begun_at: get(row, 7)?,
        ended_at: get(row, 8)?,
        window: duration_or_none(row, 9)?,
        report: get(row, 10)?,
    })
}

fn mark_of(row: &Row) -> Result<Mark, Failure> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Mark {
        partition: some(get(row, 0)?),
        until: some(key(row, 1)?),
        rows: unsigned(row, 2)?,
        equal: unsigned_or_none(row, 3)?.zip(unsigned_or_none(row, 4)?),
    })
}
