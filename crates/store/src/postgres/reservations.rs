//! Names on targets.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::failure::Failure;
use super::lease::lease_holds;
use super::rows::{all, at, get, job_id, position, state};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::reservations::{Reservations, Reserved};

/// The reservations of others that are in the way of a job.
const HELD: &str = concat!(
    "\
    SELECT wanted.target, wanted.position, held.job_id, held.position, holder.state, \
    EXISTS (SELECT 1 FROM leases WHERE leases.job_id = held.job_id AND ",
    lease_holds!(),
    ") AS live \
    FROM collections wanted \
    JOIN jobs own ON own.job_id = wanted.job_id \
    JOIN reservations held ON held.target = own.target AND held.name = wanted.target \
    JOIN jobs holder ON holder.job_id = held.job_id \
    JOIN collections made ON made.job_id = held.job_id AND made.position = held.position \
    WHERE wanted.job_id = $1 AND held.job_id <> $1 \
    AND (made.creation_intended AND holder.state <> 'SUCCESSFUL' \
        OR EXISTS (SELECT 1 FROM leases WHERE leases.job_id = held.job_id AND ",
    lease_holds!(),
    ")) \
    ORDER BY wanted.position"
);

#[async_trait]
impl Reservations for PostgresStore {
    async fn reserve_names(&self, attempt: &Attempt) -> Result<Vec<Reserved>, Error> {
        let id = attempt.job_id().as_str();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            // Of two jobs that ask for one name at once, the second sees what the first got.
            change.batch("LOCK TABLE reservations IN SHARE ROW EXCLUSIVE MODE").await?;
            let held = all(&change.rows(HELD, &[&id]).await?, reserved_of)?;
            if held.is_empty() {
                let reserve = "INSERT INTO reservations (target, name, job_id, position) \
                               SELECT jobs.target, collections.target, job_id, position \
                               FROM collections JOIN jobs USING (job_id) WHERE job_id = $1 \
                               ON CONFLICT (target, name) \
                               DO UPDATE SET job_id = excluded.job_id, position = excluded.position";
                change.execute(reserve, &[&id]).await?;
            }
            change.commit(held).await
        })
        .await
    }

    async fn release_name(&self, reserved: Reserved) -> Result<(), Error> {
        let sql = "DELETE FROM reservations WHERE job_id = $1 AND position = $2";
        let position = at(reserved.holder_position);
        self.write_once(sql, &[&reserved.holder.as_str(), &position], |_| Ok(())).await
    }
}

fn reserved_of(row: &Row) -> Result<Reserved, Failure> {
    Ok(Reserved {
        name: get(row, 0)?,
        position: position(row, 1)?,
        holder: job_id(row, 2)?,
        holder_position: position(row, 3)?,
        holder_state: state(row, 4)?,
        live: get(row, 5)?,
    })
}
