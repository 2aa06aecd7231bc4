//! Names on targets.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::PostgresStore;
use super::connection::{Change, Of};
use super::failure::Failure;
use super::lease::lease_holds;
use super::rows::{all, at, get, job_id, position, state};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;
use crate::reservations::{Reservations, Reserved};

/// The reservations of others that are in the way of the names `wanted` of a job.
macro_rules! held_of {
    ($wanted:literal) => {
        concat!(
            "SELECT wanted.target, wanted.position, held.job_id, held.position, holder.state, \
             EXISTS (SELECT 1 FROM leases WHERE leases.job_id = held.job_id AND ",
            lease_holds!(),
            ") AS live FROM ",
            $wanted,
            " JOIN jobs own ON own.job_id = $1 \
             JOIN reservations held ON held.target = own.target AND held.name = wanted.target \
             JOIN jobs holder ON holder.job_id = held.job_id \
             JOIN collections made ON made.job_id = held.job_id AND made.position = held.position \
             WHERE held.job_id <> $1 AND (made.creation_intended AND holder.state <> 'SUCCESSFUL' \
             OR EXISTS (SELECT 1 FROM leases WHERE leases.job_id = held.job_id AND ",
            lease_holds!(),
            ")) ORDER BY wanted.position"
        )
    };
}

/// Of all its collections.
const HELD: &str = held_of!(
    "(SELECT target, position FROM collections WHERE job_id = $1 AND presence <> 'gone') AS wanted (target, position)"
);
/// Of collections that it is about to have.
const HELD_OF_NEW: &str = held_of!("unnest($2::text[], $3::bigint[]) AS wanted (target, position)");

/// Of two jobs that ask for one name at once, the second sees what the first got.
const LOCK: &str = "LOCK TABLE reservations IN SHARE ROW EXCLUSIVE MODE";

#[async_trait]
impl Reservations for PostgresStore {
    async fn reserve_names(&self, attempt: &Attempt) -> Result<Vec<Reserved>, Error> {
        let id = attempt.job_id().as_str();
        self.write(|| async {
            let mut client = self.client().await?;
            let change = self.begin_as(&mut client, attempt).await?;
            change.batch(LOCK).await?;
            let held = all(&change.rows(HELD, &[&id]).await?, reserved_of)?;
            if held.is_empty() {
                // Of two collections of a name, the first one is still to be removed, and has it until then.
                let reserve = "INSERT INTO reservations (target, name, job_id, position) \
                               SELECT jobs.target, collections.target, job_id, min(position) \
                               FROM collections JOIN jobs USING (job_id) WHERE job_id = $1 AND presence <> 'gone' \
                               GROUP BY jobs.target, collections.target, job_id \
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

/// The reservations of others that are in the way of new collections of a job; where there are none, the names are
/// reserved. If another collection of the job has one of them still, that one keeps it.
pub(super) async fn reserve_new(
    change: &Change<'_>,
    of: &JobId,
    names: &[&str],
    positions: &[i64],
) -> Result<Vec<Reserved>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    change.batch(LOCK).await?;
    let of: Of<'_> = &[&of.as_str(), &names, &positions];
    let held = all(&change.rows(HELD_OF_NEW, of).await?, reserved_of)?;
    if held.is_empty() {
        let reserve = "INSERT INTO reservations (target, name, job_id, position) \
                       SELECT jobs.target, wanted.name, job_id, wanted.position \
                       FROM jobs, unnest($2::text[], $3::bigint[]) AS wanted (name, position) WHERE job_id = $1 \
                       ON CONFLICT (target, name) DO UPDATE SET job_id = excluded.job_id, \
                       position = excluded.position WHERE reservations.job_id <> excluded.job_id";
        change.execute(reserve, of).await?;
    }
    Ok(held)
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
