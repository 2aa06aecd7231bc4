//! Which job may make a collection of a name on a target. Two jobs of one state directory never have the same name at
//! once.

use rusqlite::{Connection, params};

use crate::error::Error;
use crate::jobs::signed_size;
use crate::lease::Lease;
use crate::store::{Attempt, Ledger};

/// A name that another job has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The collection's name on the target, for lists.
    pub name: String,
    /// Its place in the job that asks for it.
    pub position: usize,
    /// The job that has it.
    pub holder: String,
    /// Its place in that job.
    pub holder_position: usize,
    /// The state of that job.
    pub holder_state: String,
    /// Whether a process works on that job now.
    pub live: bool,
}

impl Ledger {
    /// Reserves the names of all collections of a job on its target: all, or none if others have some of them. Another
    /// job has a name while a process works on it, and afterwards if it began to make the collection and did not end
    /// successfully.
    ///
    /// # Errors
    /// The ledger can't be read or written. Names of others are no error; they are returned.
    pub async fn reserve_names(&self, attempt: &Attempt) -> Result<Vec<Reserved>, Error> {
        let leases = self.leases();
        self.write_as(attempt, move |connection, attempt| {
            let mut held = Vec::new();
            for (reserved, may_hold) in others(connection, attempt.job_id())? {
                let live = Lease::is_taken(&leases, &reserved.holder)?;
                if live || may_hold {
                    held.push(Reserved { live, ..reserved });
                }
            }
            if held.is_empty() {
                connection.execute(
                    "INSERT OR REPLACE INTO reservations (target, name, job_id, position) \
                     SELECT jobs.target, collections.target, job_id, position \
                     FROM collections JOIN jobs USING (job_id) WHERE job_id = ?1",
                    params![attempt.job_id()],
                )?;
            }
            Ok(held)
        })
        .await
    }

    /// Gives a name free that a job has: nothing of what it made is there any more.
    pub async fn release_name(&self, reserved: Reserved) -> Result<(), Error> {
        self.write(move |connection| {
            connection.execute(
                "DELETE FROM reservations WHERE job_id = ?1 AND position = ?2",
                params![reserved.holder, signed_size(reserved.holder_position)],
            )?;
            Ok(())
        })
        .await
    }

    /// Takes a job back that was recorded and never began.
    pub async fn remove_job(&self, attempt: &Attempt) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            connection.execute("DELETE FROM jobs WHERE job_id = ?1", params![attempt.job_id()])?;
            Ok(())
        })
        .await
    }
}

/// The reservations of others in the way of a job, and whether they may count without a process.
fn others(connection: &Connection, job_id: &str) -> Result<Vec<(Reserved, bool)>, Error> {
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
    let found = statement.query_map(params![job_id], |row| {
        let size = |at| Ok::<_, rusqlite::Error>(usize::try_from(row.get::<_, i64>(at)?).unwrap_or_default());
        let reserved = Reserved {
            name: row.get(0)?,
            position: size(1)?,
            holder: row.get(2)?,
            holder_position: size(3)?,
            holder_state: row.get(4)?,
            live: false,
        };
        Ok((reserved, row.get(5)?))
    })?;
    Ok(found.collect::<Result<Vec<_>, _>>()?)
}
