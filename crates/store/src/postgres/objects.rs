//! Objects.

use async_trait::async_trait;

use super::PostgresStore;
use super::rows::{all, get};
use crate::attempt::Attempt;
use crate::error::Error;
use crate::id::JobId;
use crate::objects::{ObjectRecord, Objects};

#[async_trait]
impl Objects for PostgresStore {
    async fn objects(&self, job_id: &JobId) -> Result<Vec<ObjectRecord>, Error> {
        let sql = "SELECT kind, name, created FROM job_objects WHERE job_id = $1 ORDER BY object_id";
        self.read(sql, &[&job_id.as_str()], |rows| {
            all(rows, |row| {
                Ok(ObjectRecord { kind: get(row, 0)?, name: get(row, 1)?, created: get(row, 2)? })
            })
        })
        .await
    }

    async fn intend_objects(&self, attempt: &Attempt, objects: Vec<(String, String)>) -> Result<(), Error> {
        let (kinds, names): (Vec<String>, Vec<String>) = objects.into_iter().unzip();
        let sql = "INSERT INTO job_objects (job_id, kind, name) SELECT $1, kind, name \
                   FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS new (kind, name, place) ORDER BY place \
                   ON CONFLICT (job_id, kind, name) DO NOTHING";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &kinds, &names]).await
    }

    async fn record_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error> {
        let sql = "UPDATE job_objects SET created = TRUE WHERE job_id = $1 AND kind = $2 AND name = ANY($3)";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &kind, &names]).await
    }

    async fn forget_objects(&self, attempt: &Attempt, kind: &str, names: Vec<String>) -> Result<(), Error> {
        let sql = "DELETE FROM job_objects WHERE job_id = $1 AND kind = $2 AND name = ANY($3)";
        self.write_as(attempt, sql, &[&attempt.job_id().as_str(), &kind, &names]).await
    }
}
