//! What was asked for under a name of the caller's own, so that asking again does it once.

use vecferry_store::{Change, Error, ErrorKind};

use super::Tables;

/// Names are remembered so long.
pub(super) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;
/// A request that made nothing for so long is not under way any more: its process ended.
const UNDER_WAY_MS: i64 = 12 * 60 * 1000;

/// What became of an earlier request with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The same: it made this job.
    Job(String),
    /// The same, and it is under way.
    Unfinished,
    /// Another body.
    Another,
}

/// Whether a request is the first with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is.
    First,
    /// It is not.
    Again(Answered),
}

impl Tables {
    /// Reserves a name for a request, and the job ID for what it makes.
    pub(crate) async fn begin_request(
        &self,
        (org_id, caller, name): (&str, &str, &str),
        body_hash: &str,
        job_id: &str,
    ) -> Result<Begun, Error> {
        let now = self.now_ms().await?;
        let reserved = self
            .change([
                // The rest is removed in the background; this one would stand in the way.
                Change::new(
                    "DELETE FROM idempotency WHERE org_id = $1 AND caller = $2 AND name = $3 AND at_ms < $4",
                    [org_id.into(), caller.into(), name.into(), now.saturating_sub(REMEMBERED_MS).into()],
                ),
                Change::new(
                    "INSERT INTO idempotency (org_id, caller, name, body_hash, job_id, at_ms) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                    [org_id.into(), caller.into(), name.into(), body_hash.into(), job_id.into(), now.into()],
                ),
            ])
            .await;
        match reserved {
            Ok(_) => return Ok(Begun::First),
            Err(error) if error.kind() == ErrorKind::Taken => {}
            Err(error) => return Err(error),
        }
        let sql = "SELECT i.body_hash, i.job_id, i.at_ms, \
            (SELECT COUNT(*) FROM migrations m WHERE m.job_id = i.job_id) \
            FROM idempotency i WHERE i.org_id = $1 AND i.caller = $2 AND i.name = $3";
        let row = self.row(sql, [org_id.into(), caller.into(), name.into()], |record| {
            Ok((record.text(0)?, record.text(1)?, record.integer(2)?, record.integer(3)?))
        });
        match row.await? {
            Some((hash, _, _, _)) if hash != body_hash => Ok(Begun::Again(Answered::Another)),
            Some((_, job_id, _, 1)) => Ok(Begun::Again(Answered::Job(job_id))),
            Some((_, left, at_ms, _)) if now.saturating_sub(at_ms) > UNDER_WAY_MS => {
                let sql = "UPDATE idempotency SET job_id = $5, at_ms = $6 \
                    WHERE org_id = $1 AND caller = $2 AND name = $3 AND job_id = $4";
                let values =
                    [org_id.into(), caller.into(), name.into(), left.into(), job_id.into(), now.into()];
                let is_first = self.change([Change::new(sql, values)]).await?.first() == Some(&1);
                Ok(if is_first { Begun::First } else { Begun::Again(Answered::Unfinished) })
            }
            Some(_) | None => Ok(Begun::Again(Answered::Unfinished)),
        }
    }

    /// Gives a name free again whose request made nothing. It stays where the request made the job after all, and its answer
    /// was lost, or where another request took it over.
    pub(crate) async fn drop_request(
        &self,
        (org_id, caller, name): (&str, &str, &str),
        job_id: &str,
    ) -> Result<(), Error> {
        let sql = "DELETE FROM idempotency WHERE org_id = $1 AND caller = $2 AND name = $3 AND job_id = $4 \
            AND NOT EXISTS (SELECT 1 FROM migrations m WHERE m.job_id = $4)";
        let values = [org_id.into(), caller.into(), name.into(), job_id.into()];
        self.change([Change::new(sql, values)]).await.map(drop)
    }
}

/// That a name is still reserved for a job, as a part of the transaction that makes the job: a request that took so long that
/// another one took over its name makes none.
pub(super) fn still_reserved((org_id, caller, name): (&str, &str, &str), job_id: &str) -> Change {
    let sql = "UPDATE idempotency SET job_id = job_id WHERE org_id = $1 AND caller = $2 AND name = $3 AND job_id = $4";
    Change::new(sql, [org_id.into(), caller.into(), name.into(), job_id.into()]).exactly(1)
}

#[cfg(test)]
mod tests {
    use super::super::webhooks::tests::on_both;
    use super::super::{Along, MigrationSource, NewDraft, NewMigration};
    use super::*;

    /// The job that is there under another ID.
    async fn another(tables: &Tables, job_id: &str) -> NewMigration {
        let known = tables.any_migration("job").await.unwrap().unwrap();
        NewMigration {
            job_id: job_id.into(),
            org_id: known.org_id,
            project_id: known.project_id,
            source: MigrationSource::Elsewhere { secret: None },
            source_address: known.source_address,
            target_cluster_id: known.target_cluster_id,
            target_address: known.target_address,
            kind: known.kind,
            request: "{}".into(),
            created_by: "user".into(),
            start_ms: 0,
            checks: None,
        }
    }

    async fn is_there(tables: &Tables, job_id: &str) -> bool {
        tables.any_migration(job_id).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_name_and_its_job_are_recorded_together() {
        on_both(a_name_and_its_job_are_recorded_together_on).await;
    }

    async fn a_name_and_its_job_are_recorded_together_on(tables: Tables, org_id: String) {
        let of = (org_id.as_str(), "user", "name");
        let along = || Along { request: Some(of), draft_id: None };
        // A request that takes too long loses its name to the next one, and makes nothing.
        assert_eq!(tables.begin_request(of, "hash", "slow").await.unwrap(), Begun::First);
        let sql = "UPDATE idempotency SET at_ms = at_ms - $1";
        tables.change([Change::new(sql, [(UNDER_WAY_MS + 1000).into()])]).await.unwrap();
        assert_eq!(tables.begin_request(of, "hash", "fast").await.unwrap(), Begun::First);
        let refused = tables.add_migration(another(&tables, "slow").await, along()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unmet);
        assert!(!is_there(&tables, "slow").await);
        // Nor does its end give the name free that is not its own any more.
        tables.drop_request(of, "slow").await.unwrap();
        let under_way = Begun::Again(Answered::Unfinished);
        assert_eq!(tables.begin_request(of, "hash", "third").await.unwrap(), under_way);
        tables.add_migration(another(&tables, "fast").await, along()).await.unwrap();
        // An answer of the store that was lost looks like a failure: the name still leads to the job.
        tables.drop_request(of, "fast").await.unwrap();
        let made = Begun::Again(Answered::Job("fast".into()));
        assert_eq!(tables.begin_request(of, "hash", "third").await.unwrap(), made);
    }

    #[tokio::test]
    async fn a_draft_becomes_one_job_or_stays() {
        on_both(a_draft_becomes_one_job_or_stays_on).await;
    }

    async fn a_draft_becomes_one_job_or_stays_on(tables: Tables, org_id: String) {
        let draft = NewDraft {
            org_id: org_id.clone(),
            project_id: "project".into(),
            created_by: "user".into(),
            content: "{}".into(),
        };
        let draft_id = tables.add_draft(draft).await.unwrap();
        let along = |name| Along { request: Some(name), draft_id: Some(&draft_id) };
        let of = (org_id.as_str(), "user", "console");
        let lost = tables.add_migration(another(&tables, "first").await, along(of)).await;
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unmet, "the name is not reserved");
        assert!(tables.draft("project", &draft_id, "user").await.unwrap().is_some());
        assert_eq!(tables.begin_request(of, "hash", "first").await.unwrap(), Begun::First);
        tables.add_migration(another(&tables, "first").await, along(of)).await.unwrap();
        assert_eq!(tables.draft("project", &draft_id, "user").await.unwrap(), None);
        // Nothing is made of a draft that was discarded.
        let of = (org_id.as_str(), "user", "again");
        assert_eq!(tables.begin_request(of, "hash", "second").await.unwrap(), Begun::First);
        let gone = tables.add_migration(another(&tables, "second").await, along(of)).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::Unmet);
        assert!(!is_there(&tables, "second").await);
    }
}
