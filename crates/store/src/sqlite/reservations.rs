//! Names on targets.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::lease::Lease;
use super::rows::{job_id, position, state};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;
use crate::reservations::{Reservations, Reserved};

#[async_trait]
impl Reservations for SqliteStore {
    async fn reserve_names(&self, attempt: &Attempt) -> Result<Vec<Reserved>, Error> {
        let leases = self.leases();
        self.write_as(attempt, move |connection, attempt| {
            let mut held = Vec::new();
            for (reserved, may_hold) in others(connection, attempt.job_id())? {
                let live = Lease::is_taken(&leases, reserved.holder.as_str())?;
                if live || may_hold {
                    held.push(Reserved { live, ..reserved });
                }
            }
            if held.is_empty() {
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (target, name, job_id, position) \
                     SELECT jobs.target, collections.target, job_id, position \
                     FROM collections JOIN jobs USING (job_id) WHERE job_id = ?1",
                    params![attempt.job_id().as_str()],
                )?;
            }
            Ok(held)
        })
        .await
    }

    async fn release_name(&self, reserved: Reserved) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "DELETE FROM reservations WHERE job_id = ?1 AND position = ?2",
                params![reserved.holder.as_str(), reserved.holder_position.0],
            )?;
            Ok(())
        })
        .await
    }
}

/// The reservations of others in the way of a job, and whether they may count without a process.
fn others(connection: &Connection, of: &JobId) -> Result<Vec<(Reserved, bool)>, Error> {
    let mut statement = connection.prepare(
        "SELECT wanted.target, wanted.position, held.job_id, held.position, holder.state, \
         made.creation_intended AND holder.state <> 'SUCCESSFUL' \
         FROM collections wanted \
         JOIN jobs own ON own.job_id = wanted.job_id \
         JOIN reservations held ON held.target = own.target AND held.name = wanted.target \
         JOIN jobs holder ON holder.job_id = held.job_id \
         JOIN collections made ON made.job_id = held.job_id AND made.position = held.position \
         WHERE wanted.job_id = ?1 AND held.job_id <> ?1 ORDER BY wanted.position",
    )?;
    let found = statement.query_map(params![of.as_str()], |row| {
        let reserved = Reserved {
            name: row.get(0)?,
            position: position(row, 1)?,
            holder: job_id(row, 2)?,
            holder_position: position(row, 3)?,
            holder_state: state(row, 4)?,
            live: false,
        };
        Ok((reserved, row.get(5)?))
    })?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}
