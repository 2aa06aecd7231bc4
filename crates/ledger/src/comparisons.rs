//! Comparisons of every row: key ranges, and how far each is compared, so that a proof that was interrupted goes on.
//!
//! A comparison is of one *state* of the target, a text that the caller makes of everything that was written. Ranges of
//! another state are worth nothing and are replaced.

use rusqlite::{Connection, params};

use crate::error::Error;
use crate::jobs::signed_size;
use crate::store::{Attempt, Ledger};

/// A range to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewComparison {
    /// Place of its part among the parts of the collection.
    pub part: usize,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
}

/// A range as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Its number.
    pub comparison_id: i64,
    /// Place of its part among the parts of the collection.
    pub part: usize,
    /// The range starts behind this key.
    pub after: Option<String>,
    /// The range ends with this key.
    pub until: Option<String>,
    /// Last key that is compared.
    pub cursor: Option<String>,
    /// What was found up to there, the caller's document.
    pub outcome: Option<String>,
    /// Whether it is compared to its end.
    pub done: bool,
}

impl Ledger {
    /// The ranges of a collection that were planned for a state of the target.
    pub async fn comparisons(
        &self,
        job_id: &str,
        collection: usize,
        state: &str,
    ) -> Result<Vec<Comparison>, Error> {
        let (id, state) = (job_id.to_owned(), state.to_owned());
        self.read(move |connection| comparisons_of(connection, &id, collection, &state)).await
    }

    /// Records the ranges of a collection for a state of the target, in place of any others.
    pub async fn plan_comparisons(
        &self,
        attempt: &Attempt,
        collection: usize,
        state: String,
        ranges: Vec<NewComparison>,
    ) -> Result<Vec<Comparison>, Error> {
        self.write_as(attempt, move |connection, attempt| {
            let (job_id, position) = (attempt.job_id(), signed_size(collection));
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
            comparisons_of(connection, job_id, collection, &state)
        })
        .await
    }

    /// Records how far a range is compared; without a cursor, to its end.
    pub async fn advance_comparison(
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
    job_id: &str,
    collection: usize,
    state: &str,
) -> Result<Vec<Comparison>, Error> {
    let mut statement = connection.prepare(
        "SELECT comparison_id, part, after_key, until_key, cursor, outcome, done FROM comparisons \
         WHERE job_id = ?1 AND collection = ?2 AND state = ?3 ORDER BY comparison_id",
    )?;
    let found = statement.query_map(params![job_id, signed_size(collection), state], |row| {
        Ok(Comparison {
            comparison_id: row.get(0)?,
            part: usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
            after: row.get(2)?,
            until: row.get(3)?,
            cursor: row.get(4)?,
            outcome: row.get(5)?,
            done: row.get(6)?,
        })
    })?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}
