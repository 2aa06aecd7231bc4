//! Comparisons of every row.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::failure::Failure;
use super::rows::{all, at, bytes, get, key_or_none, signed_size, size};
use crate::attempt::Attempt;
use crate::comparisons::{Comparison, Comparisons, NewComparison};
use crate::error::Error;
use crate::id::{JobId, Position};

const OF_STATE: &str = "SELECT comparison_id, part, after_key, until_key, cursor, outcome, done FROM comparisons \
                        WHERE job_id = $1 AND collection = $2 AND state = $3 ORDER BY comparison_id";

#[async_trait]
impl Comparisons for PostgresStore {
    async fn comparisons(
        &self,
        job_id: &JobId,
        collection: Position,
        state: &str,
    ) -> Result<Vec<Comparison>, Error> {
        let position = at(collection);
        self.read(OF_STATE, &[&job_id.as_str(), &position, &state], |rows| all(rows, comparison_of)).await
    }

    async fn plan_comparisons(
        &self,
        attempt: &Attempt,
        collection: Position,
        state: String,
        ranges: Vec<NewComparison>,
    ) -> Result<Vec<Comparison>, Error> {
        let (id, position) = (attempt.job_id().as_str(), at(collection));
        let parts: Vec<i64> = ranges.iter().map(|range| signed_size(range.part)).collect();
        let afters: Vec<Option<&[u8]>> = ranges.iter().map(|range| bytes(&range.after)).collect();
        let untils: Vec<Option<&[u8]>> = ranges.iter().map(|range| bytes(&range.until)).collect();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            let others = "DELETE FROM comparisons WHERE job_id = $1 AND collection = $2";
            change.execute(others, &[&id, &position]).await?;
            let insert = "INSERT INTO comparisons (job_id, collection, state, part, after_key, until_key) \
                          SELECT $1, $2, $3, part, after_key, until_key \
                          FROM unnest($4::bigint[], $5::bytea[], $6::bytea[]) WITH ORDINALITY \
                          AS new (part, after_key, until_key, place) ORDER BY place";
            change.execute(insert, &[&id, &position, &state, &parts, &afters, &untils]).await?;
            let planned = all(&change.rows(OF_STATE, &[&id, &position, &state]).await?, comparison_of)?;
            change.commit(planned).await
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
        let sql = "UPDATE comparisons SET cursor = coalesce($3, cursor), outcome = $4, done = $3 IS NULL \
                   WHERE comparison_id = $2 AND job_id = $1";
        let id = attempt.job_id().as_str();
        self.write_as(attempt, sql, &[&id, &comparison_id, &bytes(&cursor), &outcome]).await
    }
}

fn comparison_of(row: &Row) -> Result<Comparison, Failure> {
    Ok(Comparison {
        comparison_id: get(row, 0)?,
        part: size(row, 1)?,
        after: key_or_none(row, 2)?,
        until: key_or_none(row, 3)?,
        cursor: key_or_none(row, 4)?,
        outcome: get(row, 5)?,
        done: get(row, 6)?,
    })
}
