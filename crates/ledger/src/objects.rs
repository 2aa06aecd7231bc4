//! What a job makes beside databases and collections: roles, users, grants. Kinds and names are texts that only the
//! caller reads.

use rusqlite::params;

use crate::error::Error;
use crate::store::{Attempt, Ledger};

/// An object that a job makes or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// What it is.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Whether the job made it; otherwise it was about to.
    pub created: bool,
}

impl Ledger {
    /// The objects of a job, in the order in which they were to be made.
    pub async fn objects(&self, job_id: &str) -> Result<Vec<ObjectRecord>, Error> {
        let id = job_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT kind, name, created FROM job_objects WHERE job_id = ?1 ORDER BY object_id",
            )?;
            let found = statement.query_map(params![id], |row| {
                Ok(ObjectRecord { kind: row.get(0)?, name: row.get(1)?, created: row.get(2)? })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Records, before the first is made, the objects (kind and name) that a job is about to make; all or none.
    pub async fn intend_objects(
        &self,
        attempt: &Attempt,
        objects: Vec<(String, String)>,
    ) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let mut statement = connection
                .prepare("INSERT OR IGNORE INTO job_objects (job_id, kind, name) VALUES (?1, ?2, ?3)")?;
            for (kind, name) in &objects {
                statement.execute(params![attempt.job_id(), kind, name])?;
            }
            Ok(())
        })
        .await
    }

    /// Records that objects of a kind are the job's own.
    pub async fn record_objects(
        &self,
        attempt: &Attempt,
        kind: &str,
        names: Vec<String>,
    ) -> Result<(), Error> {
        let sql = "UPDATE job_objects SET created = 1 WHERE job_id = ?1 AND kind = ?2 AND name = ?3";
        self.each_object(attempt, kind, names, sql).await
    }

    /// Forgets objects: they are gone from the target, or were never the job's.
    pub async fn forget_objects(
        &self,
        attempt: &Attempt,
        kind: &str,
        names: Vec<String>,
    ) -> Result<(), Error> {
        let sql = "DELETE FROM job_objects WHERE job_id = ?1 AND kind = ?2 AND name = ?3";
        self.each_object(attempt, kind, names, sql).await
    }

    async fn each_object(
        &self,
        attempt: &Attempt,
        kind: &str,
        names: Vec<String>,
        sql: &'static str,
    ) -> Result<(), Error> {
        let kind = kind.to_owned();
        self.write_as(attempt, move |connection, attempt| {
            let mut statement = connection.prepare(sql)?;
            for name in &names {
                statement.execute(params![attempt.job_id(), kind, name])?;
            }
            Ok(())
        })
        .await
    }
}
