//! The databases of a job on the target.

use super::run::Job;
use crate::cluster::connect::denied;
use crate::problem::store_failed;
use crate::problem::{Code, Problem, Side, words_of};

impl Job {
    /// Makes the databases that no earlier attempt made.
    pub(super) async fn create_databases(&self) -> Result<(), Problem> {
        let failed = |error: vecferry_store::Error| store_failed(self.attempt.job_id(), &error);
        for (db, made) in self.store.databases(self.attempt.job_id()).await.map_err(failed)? {
            if !made && self.create_database(&db).await? {
                self.store.record_database(&self.attempt, &db).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Databases are made with the source's properties, before anything else. Tells whether this call made it: an earlier
    /// attempt may have, or somebody else since the plan, and then it is not the job's to remove.
    pub(super) async fn create_database(&self, db: &str) -> Result<bool, Problem> {
        let failed = |error| {
            Problem::new(Code::TargetFailed)
                .with("collection", format!("{db}.*"))
                .told("detail", words_of(&error))
        };
        let source_db =
            self.request.target_dbs.iter().find(|(_, target)| *target == db).map_or(db, |(source, _)| source);
        let properties = self.source.database_properties(source_db).await.map_err(|error| {
            denied(Side::Source, &error).unwrap_or_else(|| {
                Problem::new(Code::SourceFailed)
                    .with("collection", format!("{source_db}.*"))
                    .told("detail", words_of(&error))
            })
        })?;
        // Some servers may answer success for one that is there.
        if self.target.databases().await.map_err(failed)?.iter().any(|known| known == db) {
            return Ok(false);
        }
        match self.target.create_database(db, properties).await {
            Ok(()) => Ok(true),
            Err(_)
                if self.target.databases().await.is_ok_and(|known| known.iter().any(|name| name == db)) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(error)),
        }
    }
}
