//! Objects.

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteStore;
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;
use crate::objects::{ObjectRecord, Objects};

#[async_trait]
impl Objects for SqliteStore {
    async fn objects(&self, job_id: &JobId) -> Result<Vec<ObjectRecord>, Error> {
        let id = job_id.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT kind, name, created FROM job_objects WHERE job_id = ?1 ORDER BY object_id",
            )?;
            let found = statement.query_map(params![id.as_str()], |row| {
                Ok(ObjectRecord { kind: row.get(0)?, name: row.get(1)?, created: row.get(2)? })
            })?;
            Ok(found.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    async fn intend_objects(&self, attempt: &Attempt, objects: Vec<(String, String)>) -> Result<(), Error> {
        self.write_as(attempt, move |connection, attempt| {
            let mut statement = connection
                .prepare("INSERT OR IGNORE INTO job_objects (job_id, kind, name) VALUES (?1, ?2, ?3)")?;
            for (kind, name) in &objects {
                statement.execute(params![attempt.job_id().as_str(), kind, name])?;
            }
            Ok(())
        })
        .await
    }

    async fn record_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error> {
        let sql = "UPDATE job_objects SET created = 1 WHERE job_id = ?1 AND kind = ?2 AND name = ?3";
        self.each_object(attempt, kind, names, sql).await
    }

    async fn forget_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error> {
        let sql = "DELETE FROM job_objects WHERE job_id = ?1 AND kind = ?2 AND name = ?3";
        self.each_object(attempt, kind, names, sql).await
    }
}

impl SqliteStore {
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
                statement.execute(params![attempt.job_id().as_str(), kind, name])?;
            }
            Ok(())
        })
        .await
    }
}
