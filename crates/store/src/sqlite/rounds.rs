//! Rounds and marks.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::jobs::end;
use super::lease::Lease;
use super::reservations::{others_of_name, reserve_name};
use super::rows::{
    duration_or_none, milliseconds, named, position, signed, signed_size, unsigned, unsigned_or_none,
};
use super::{SqliteStore, unknown};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};
use crate::jobs::JobState;
use crate::reservations::Reserved;
use crate::rounds::{
    ChangedPlan, EndedRound, EqualSpan, Mark, NewRound, Opening, RoundFact, RoundKind, RoundRecord,
    RoundState, Rounds, check_added, ending, no_cut_over, not_complete, open_number, opening,
};

const COLUMNS: &str = "number, kind, state, options, plan, read_timestamp, switch_intended, begun_at, ended_at, \
                       window_ms, report";

#[async_trait]
impl Rounds for SqliteStore {
    async fn open_round(&self, attempt: &Attempt, round: NewRound) -> Result<RoundRecord, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let former = newest(connection, attempt.job_id())?;
            match opening(former.as_ref(), &round)? {
                Opening::Same => {}
                Opening::Next => begin(connection, attempt.job_id(), former.as_ref(), &round)?,
            }
            newest(connection, attempt.job_id())?.ok_or_else(|| unknown(attempt.job_id()))
        })
        .await
    }

    async fn round(&self, job_id: &JobId) -> Result<Option<RoundRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| newest(connection, &id)).await
    }

    async fn rounds(&self, job_id: &JobId, rounds_max: usize) -> Result<Vec<RoundRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM rounds WHERE job_id = ?1 ORDER BY number DESC LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map(params![id.as_str(), signed_size(rounds_max)], round_of)?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn record_round_timestamp(
        &self,
        attempt: &Attempt,
        read_timestamp: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        self.write_in_round(attempt, move |connection, id, round| {
            let recorded = connection.query_row(
                "UPDATE rounds SET read_timestamp = coalesce(?3, read_timestamp) WHERE job_id = ?1 AND number = ?2 \
                 RETURNING read_timestamp",
                params![id.as_str(), signed(round), read_timestamp.map(signed)],
                |row| unsigned_or_none(row, 0),
            )?;
            Ok(recorded)
        })
        .await
    }

    async fn change_plan(&self, attempt: &Attempt, change: ChangedPlan) -> Result<Vec<Reserved>, Error> {
        let leases = self.leases();
        self.write_in_round(attempt, move |connection, id, _| {
            check_added(&recorded(connection, id)?, &change.added)?;
            let mut held = Vec::new();
            for (position, new) in &change.added {
                for (reserved, may_hold) in others_of_name(connection, id, *position, &new.target)? {
                    let live = Lease::is_taken(&leases, reserved.holder.as_str())?;
                    if live || may_hold {
                        held.push(Reserved { live, ..reserved });
                    }
                }
            }
            if held.is_empty() {
                follow(connection, id, &change)?;
            }
            Ok(held)
        })
        .await
    }

    async fn record_gone(&self, attempt: &Attempt, position: Position) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let of = params![attempt.job_id().as_str(), position.0];
            connection
                .execute("UPDATE collections SET presence = 'gone' WHERE job_id = ?1 AND position = ?2", of)?;
            // To the one that has its name from now on.
            connection.execute(
                "UPDATE reservations AS r SET position = heir.position FROM \
                 (SELECT target, min(position) AS position FROM collections WHERE job_id = ?1 AND presence <> 'gone' \
                 GROUP BY target) AS heir \
                 WHERE r.job_id = ?1 AND r.position = ?2 AND heir.target = r.name",
                of,
            )?;
            connection.execute("DELETE FROM reservations WHERE job_id = ?1 AND position = ?2", of)?;
            Ok(())
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
        let name = name.to_owned();
        self.write_in_round(attempt, move |connection, id, round| {
            connection.execute(
                "INSERT OR IGNORE INTO round_facts (job_id, round, collection, name, document) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id.as_str(), signed(round), position.0, name, document],
            )?;
            let recorded = connection.query_row(
                "SELECT document FROM round_facts WHERE job_id = ?1 AND round = ?2 AND collection = ?3 AND name = ?4",
                params![id.as_str(), signed(round), position.0, name],
                |row| row.get(0),
            )?;
            Ok(recorded)
        })
        .await
    }

    async fn round_facts(&self, job_id: &JobId, round: u64) -> Result<Vec<RoundFact>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT collection, name, document FROM round_facts WHERE job_id = ?1 AND round = ?2 \
                 ORDER BY collection, name",
            )?;
            let found = statement.query_map(params![id.as_str(), signed(round)], |row| {
                Ok(RoundFact { collection: position(row, 0)?, name: row.get(1)?, document: row.get(2)? })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn record_round_done(
        &self,
        attempt: &Attempt,
        position: Position,
        report: String,
    ) -> Result<(), Error> {
        self.write_in_round(attempt, move |connection, id, round| {
            connection.execute(
                "INSERT INTO round_reports (job_id, round, collection, report) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (job_id, round, collection) DO UPDATE SET report = excluded.report",
                params![id.as_str(), signed(round), position.0, report],
            )?;
            Ok(())
        })
        .await
    }

    async fn round_reports(&self, job_id: &JobId, round: u64) -> Result<Vec<(Position, String)>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT collection, report FROM round_reports WHERE job_id = ?1 AND round = ?2 ORDER BY collection",
            )?;
            let found = statement
                .query_map(params![id.as_str(), signed(round)], |row| Ok((position(row, 0)?, row.get(1)?)))?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn intend_rows(&self, attempt: &Attempt, position: Position, rows: u64) -> Result<(), Error> {
        self.write_in_round(attempt, move |connection, id, _| {
            connection.execute(
                "UPDATE collections SET round_rows = max(round_rows, ?3) WHERE job_id = ?1 AND position = ?2",
                params![id.as_str(), position.0, signed(rows)],
            )?;
            Ok(())
        })
        .await
    }

    async fn intend_switch(&self, attempt: &Attempt) -> Result<(), Error> {
        self.write_in_round(attempt, move |connection, id, round| {
            let found = connection.execute(
                "UPDATE rounds SET switch_intended = 1 WHERE job_id = ?1 AND number = ?2 AND kind = ?3",
                params![id.as_str(), signed(round), RoundKind::CutOver.name()],
            )?;
            if found == 1 { Ok(()) } else { Err(no_cut_over(round)) }
        })
        .await
    }

    async fn end_round(&self, attempt: &Attempt, ended: EndedRound) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id();
            let newest = newest(connection, id)?;
            if ending(newest.as_ref(), &ended)? {
                let round = open_number(newest.as_ref())?;
                if ended.job == JobState::Successful {
                    complete(connection, id, round)?;
                }
                close(connection, id, round, &ended)?;
            }
            end(connection, attempt, ended.job, &ended.report, &ended.ended_at)
        })
        .await
    }

    async fn marks(&self, job_id: &JobId, position: Position) -> Result<Vec<Mark>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partition, until_key, rows, equal_round, equal_rows FROM marks \
                 WHERE job_id = ?1 AND collection = ?2",
            )?;
            let found = statement.query_map(params![id.as_str(), position.0], mark_of)?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn set_marks(
        &self,
        attempt: &Attempt,
        position: Position,
        partition: Option<String>,
        removed: Vec<Option<String>>,
        marks: Vec<Mark>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let id = attempt.job_id();
            let mut remove = connection.prepare_cached(
                "DELETE FROM marks WHERE job_id = ?1 AND collection = ?2 AND partition = ?3 AND until_key = ?4",
            )?;
            let partition = partition.unwrap_or_default();
            for until in removed {
                remove.execute(params![id.as_str(), position.0, partition, until.unwrap_or_default()])?;
            }
            for mark in marks {
                put(connection, id, position, &Mark { partition: Some(partition.clone()), ..mark })?;
            }
            Ok(())
        })
        .await
    }

    async fn spans_equal(
        &self,
        attempt: &Attempt,
        position: Position,
        equal: Vec<EqualSpan>,
    ) -> Result<(), Error> {
        self.write_in_round(attempt, move |connection, id, round| {
            for EqualSpan { partition, until, rows } in equal {
                put(connection, id, position, &Mark { partition, until, rows, equal: Some((round, rows)) })?;
            }
            Ok(())
        })
        .await
    }
}

impl SqliteStore {
    /// A write about the round that is open.
    async fn write_in_round<Answer: Send + 'static>(
        &self,
        attempt: &Attempt,
        change: impl FnOnce(&Connection, &JobId, u64) -> Result<Answer, Error> + Send + 'static,
    ) -> Result<Answer, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let round = open_number(newest(connection, attempt.job_id())?.as_ref())?;
            change(connection, attempt.job_id(), round)
        })
        .await
    }
}

fn newest(connection: &Connection, job_id: &JobId) -> Result<Option<RoundRecord>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM rounds WHERE job_id = ?1 ORDER BY number DESC LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row(params![job_id.as_str()], round_of).optional()?)
}

/// Begins a round in place of the newest one.
fn begin(
    connection: &Connection,
    job_id: &JobId,
    former: Option<&RoundRecord>,
    new: &NewRound,
) -> Result<(), Error> {
    let (id, number) = (job_id.as_str(), former.map_or(0, |former| former.number) + 1);
    connection.execute(
        "UPDATE rounds SET state = 'failed', ended_at = ?2 WHERE job_id = ?1 AND state = 'open'",
        params![id, new.begun_at],
    )?;
    connection.execute("UPDATE rounds SET plan = NULL WHERE job_id = ?1", params![id])?;
    connection.execute(
        "INSERT INTO rounds (job_id, number, kind, state, options, plan, begun_at) \
         SELECT job_id, ?2, ?3, 'open', ?4, plan, ?5 FROM jobs WHERE job_id = ?1",
        params![id, signed(number), new.kind.name(), new.options, new.begun_at],
    )?;
    if former.is_none_or(|former| former.state == RoundState::Done) {
        connection.execute("UPDATE collections SET round_rows = 0 WHERE job_id = ?1", params![id])?;
    }
    for table in ["round_facts", "round_reports"] {
        let sql = format!(
            "DELETE FROM {table} WHERE job_id = ?1 AND round IS NOT \
             (SELECT max(number) FROM rounds WHERE job_id = ?1 AND state = 'done')"
        );
        connection.execute(&sql, params![id])?;
    }
    Ok(())
}

/// Source and target of the collections of a job, by position.
fn recorded(connection: &Connection, job_id: &JobId) -> Result<Vec<(String, String)>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT source, target FROM collections WHERE job_id = ?1 ORDER BY position")?;
    let found = statement.query_map(params![job_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

/// Makes of the records what a changed plan says.
fn follow(connection: &Connection, job_id: &JobId, change: &ChangedPlan) -> Result<(), Error> {
    let id = job_id.as_str();
    connection.execute("UPDATE jobs SET plan = ?2 WHERE job_id = ?1", params![id, change.plan])?;
    for (position, new) in &change.added {
        connection.execute(
            "INSERT OR IGNORE INTO collections (job_id, position, source, target, rows_total) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, position.0, new.source, new.target, signed(new.rows_total)],
        )?;
        reserve_name(connection, job_id, *position, &new.target)?;
    }
    for position in &change.going {
        connection.execute(
            "UPDATE collections SET presence = 'going' WHERE job_id = ?1 AND position = ?2 AND presence = 'here'",
            params![id, position.0],
        )?;
    }
    for name in &change.databases {
        connection
            .execute("INSERT OR IGNORE INTO databases (job_id, name) VALUES (?1, ?2)", params![id, name])?;
    }
    Ok(())
}

/// Nothing is left to do for the collections of a job, as its round found.
fn complete(connection: &Connection, job_id: &JobId, round: u64) -> Result<(), Error> {
    let of = params![job_id.as_str(), signed(round)];
    let left: i64 = connection.query_row(
        "SELECT count(*) FROM collections c WHERE job_id = ?1 AND (presence = 'going' OR presence = 'here' \
         AND NOT EXISTS (SELECT 1 FROM round_reports r WHERE r.job_id = ?1 AND r.round = ?2 \
         AND r.collection = c.position))",
        of,
        |row| row.get(0),
    )?;
    if left > 0 {
        return Err(not_complete(round, left));
    }
    connection.execute(
        "UPDATE collections AS c SET done = 1, removal_intended = 0, report = r.report FROM round_reports r \
         WHERE c.job_id = ?1 AND c.presence = 'here' AND r.job_id = ?1 AND r.round = ?2 AND r.collection = c.position",
        of,
    )?;
    Ok(())
}

fn close(connection: &Connection, job_id: &JobId, round: u64, ended: &EndedRound) -> Result<(), Error> {
    connection.execute(
        "UPDATE rounds SET state = ?3, ended_at = ?4, window_ms = ?5, report = ?6 WHERE job_id = ?1 AND number = ?2",
        params![
            job_id.as_str(),
            signed(round),
            ended.state.name(),
            ended.ended_at,
            ended.window.map(milliseconds),
            ended.of_round
        ],
    )?;
    Ok(())
}

/// Records a mark in place of the one that is there.
fn put(connection: &Connection, job_id: &JobId, position: Position, mark: &Mark) -> Result<(), Error> {
    let (equal_round, equal_rows) = mark.equal.unzip();
    connection
        .prepare_cached(
            "INSERT INTO marks (job_id, collection, partition, until_key, rows, equal_round, equal_rows) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (job_id, collection, partition, until_key) \
             DO UPDATE SET rows = excluded.rows, equal_round = excluded.equal_round, equal_rows = excluded.equal_rows",
        )?
        .execute(params![
            job_id.as_str(),
            position.0,
            mark.partition.as_deref().unwrap_or_default(),
            mark.until.as_deref().unwrap_or_default(),
            signed(mark.rows),
            equal_round.map(signed),
            equal_rows.map(signed)
        ])?;
    Ok(())
}

fn round_of(row: &Row<'_>) -> rusqlite::Result<RoundRecord> {
    Ok(RoundRecord {
        number: unsigned(row, 0)?,
        kind: named(row, 1, RoundKind::of_name)?,
        state: named(row, 2, RoundState::of_name)?,
        options: row.get(3)?,
        plan: row.get(4)?,
        read_timestamp: unsigned_or_none(row, 5)?,
        switch_intended: row.get(6)?,
        begun_at: row.get(7)?,
        ended_at: row.get(8)?,
        window: duration_or_none(row, 9)?,
        report: row.get(10)?,
    })
}

fn mark_of(row: &Row<'_>) -> rusqlite::Result<Mark> {
    let text = |column| row.get(column).map(|text: String| Some(text).filter(|text| !text.is_empty()));
    Ok(Mark {
        partition: text(0)?,
        until: text(1)?,
        rows: unsigned(row, 2)?,
        equal: unsigned_or_none(row, 3)?.zip(unsigned_or_none(row, 4)?),
    })
}
