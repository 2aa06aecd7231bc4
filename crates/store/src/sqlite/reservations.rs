//! Names on targets.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::lease::Lease;
use super::rows::{job_id, position, state};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::{JobId, Position};
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
                // Of two collections of a name, the first one is still to be removed, and has it until then.
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (target, name, job_id, position) \
                     SELECT jobs.target, collections.target, job_id, min(position) \
                     FROM collections JOIN jobs USING (job_id) WHERE job_id = ?1 AND presence <> 'gone' \
                     GROUP BY jobs.target, collections.target, job_id",
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
         WHERE wanted.job_id = ?1 AND wanted.presence <> 'gone' AND held.job_id <> ?1 ORDER BY wanted.position",
    )?;
    let found = statement.query_map(params![of.as_str()], reserved_of)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

/// The same for a name that a job asks for at a position.
pub(super) fn others_of_name(
    connection: &Connection,
    of: &JobId,
    at: Position,
    name: &str,
) -> Result<Vec<(Reserved, bool)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT held.name, ?3, held.job_id, held.position, holder.state, \
         made.creation_intended AND holder.state <> 'SUCCESSFUL' \
         FROM jobs own \
         JOIN reservations held ON held.target = own.target AND held.name = ?2 \
         JOIN jobs holder ON holder.job_id = held.job_id \
         JOIN collections made ON made.job_id = held.job_id AND made.position = held.position \
         WHERE own.job_id = ?1 AND held.job_id <> ?1",
    )?;
    let found = statement.query_map(params![of.as_str(), name, at.0], reserved_of)?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}

/// Reserves a name that nobody else has. If another collection of the job has it still, that one keeps it.
pub(super) fn reserve_name(
    connection: &Connection,
    of: &JobId,
    at: Position,
    name: &str,
) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO reservations (target, name, job_id, position) SELECT target, ?2, job_id, ?3 FROM jobs \
             WHERE job_id = ?1 ON CONFLICT (target, name) DO UPDATE SET job_id = excluded.job_id, \
             position = excluded.position WHERE reservations.job_id <> excluded.job_id",
        )?
        .execute(params![of.as_str(), name, at.0])?;
    Ok(())
}

fn reserved_of(row: &Row<'_>) -> rusqlite::Result<(Reserved, bool)> {
    let reserved = Reserved {
        name: row.get(0)?,
        position: position(row, 1)?,
        holder: job_id(row, 2)?,
        holder_position: position(row, 3)?,
        holder_state: state(row, 4)?,
        live: false,
    };
    Ok((reserved, row.get(5)?))
}
