//! Comparisons of every row.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::rows::{signed_size, size};
use crate::attempt::Attempt;
use crate::comparisons::{Comparison, Comparisons, NewComparison};
use crate::error::Error;
use crate::id::{JobId, Position};

#[async_trait]
impl Comparisons for SqliteStore {
    async fn comparisons(
        &self,
        job_id: &JobId,
        collection: Position,
        state: &str,
    ) -> Result<Vec<Comparison>, Error> {
        let (id, state) = (job_id.clone(), state.to_owned());
        self.read(move |connection| comparisons_of(connection, &id, collection, &state)).await
    }

    async fn plan_comparisons(
        &self,
        attempt: &Attempt,
        collection: Position,
        state: String,
        ranges: Vec<NewComparison>,
    ) -> Result<Vec<Comparison>, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let (job_id, position) = (attempt.job_id().as_str(), collection.0);
            connection.execute(
                "DELETE FROM comparisons WHERE job_id = ?1 AND collection = ?2",
                params![job_id, position],
            )?;
            for range in &ranges {
                connection.execute(
                    "INSERT INTO comparisons (job_id, collection, state, part, after_key, until_key) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![job_id, position, state, signed_size(range.part), range.after, range.until],
                )?;
            }
            comparisons_of(connection, attempt.job_id(), collection, &state)
        })
        .await
    }

    async fn advance_comparison(
        &self,
        attempt: &Attempt,
        comparison_id: i64,
        cursor: Option<String>,
        outcome: String,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, _| {
            connection
                .prepare_cached(
                    "UPDATE comparisons SET cursor = coalesce(?2, cursor), outcome = ?3, done = ?2 IS NULL \
                     WHERE comparison_id = ?1",
                )?
                .execute(params![comparison_id, cursor, outcome])?;
            Ok(())
        })
        .await
    }
}

fn comparisons_of(
    connection: &Connection,
    job_id: &JobId,
    collection: Position,
    state: &str,
) -> Result<Vec<Comparison>, Error> {
    let mut statement = connection.prepare(
        "SELECT comparison_id, part, after_key, until_key, cursor, outcome, done FROM comparisons \
         WHERE job_id = ?1 AND collection = ?2 AND state = ?3 ORDER BY comparison_id",
    )?;
    let found = statement.query_map(params![job_id.as_str(), collection.0, state], |row| {
        Ok(Comparison {
            comparison_id: row.get(0)?,
            part: size(row, 1)?,
            after: row.get(2)?,
            until: row.get(3)?,
            cursor: row.get(4)?,
            outcome: row.get(5)?,
            done: row.get(6)?,
        })
    })?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}
